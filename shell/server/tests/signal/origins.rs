//! Pages of other web sites: what they may do, and what they are told.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, VARY,
};
use reqwest::{Method, Response};
use tandem_server::signal::Config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::{Server, engine_config, start_with};

const FRIEND: &str = "https://friend.example";
const FOREIGN: [&str; 4] =
    ["https://evil.example", "https://friend.example.evil.example", "http://friend.example", "null"];

async fn server() -> Server {
    let config = Config { allowed_origins: vec![FRIEND.to_owned()], ..Config::default() };
    start_with(engine_config(), config, None).await
}

/// The status a WebSocket handshake of a page of this origin is answered with.
async fn open(server: &Server, path: &str, origin: &str) -> u16 {
    let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
    request.headers_mut().insert("origin", origin.parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

async fn ask(server: &Server, method: Method, path: &str, origin: &str) -> Response {
    let request = reqwest::Client::new().request(method, format!("http://{}{path}", server.address));
    request.header("origin", origin).body("[]").send().await.unwrap()
}

fn header(answer: &Response, name: axum::http::HeaderName) -> &str {
    answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_websocket_is_opened_for_our_own_pages_and_allowed_ones_and_for_scripts() {
    let server = server().await;
    let own = format!("http://{}", server.address);
    for path in ["/signal", "/socket.io/?EIO=4&transport=websocket"] {
        assert_eq!(open(&server, path, &own).await, 101, "{path}");
        assert_eq!(open(&server, path, FRIEND).await, 101, "{path}");
        for origin in FOREIGN {
            assert_eq!(open(&server, path, origin).await, 403, "{path} {origin}");
        }
    }
    assert!(tokio_tungstenite::connect_async(format!("ws://{}/signal", server.address)).await.is_ok(), "no origin");
}

#[tokio::test]
async fn polling_is_answered_readably_for_allowed_pages_and_not_at_all_for_others() {
    let server = server().await;
    for (method, path) in [(Method::POST, "/signal/poll"), (Method::GET, "/socket.io/?EIO=4&transport=polling")] {
        let allowed = ask(&server, method.clone(), path, FRIEND).await;
        assert!(allowed.status().is_success(), "{path}: {}", allowed.status());
        assert_eq!(header(&allowed, ACCESS_CONTROL_ALLOW_ORIGIN), FRIEND, "{path}");
        assert!(header(&allowed, VARY).contains("origin"), "a cache must not give it to others");
        for origin in FOREIGN {
            let refused = ask(&server, method.clone(), path, origin).await;
            assert_eq!(refused.status().as_u16(), 403, "{path} {origin}");
            assert_eq!(header(&refused, ACCESS_CONTROL_ALLOW_ORIGIN), "", "{path} {origin}");
            assert!(refused.text().await.unwrap().contains("forbidden"));
        }
    }
}

#[tokio::test]
async fn a_preflight_allows_what_polling_needs_and_only_for_allowed_pages() {
    let server = server().await;
    for path in ["/signal/poll", "/signal/poll/x?post=1", "/socket.io/?EIO=4&transport=polling"] {
        let allowed = ask(&server, Method::OPTIONS, path, FRIEND).await;
        assert_eq!(allowed.status().as_u16(), 204, "{path}");
        assert_eq!(header(&allowed, ACCESS_CONTROL_ALLOW_ORIGIN), FRIEND);
        assert_eq!(header(&allowed, ACCESS_CONTROL_ALLOW_METHODS), "GET, POST, DELETE");
        assert_eq!(header(&allowed, ACCESS_CONTROL_ALLOW_HEADERS), "content-type");
        assert!(!allowed.headers().contains_key("access-control-allow-credentials"), "nobody is known by a cookie");
        let refused = ask(&server, Method::OPTIONS, path, "https://evil.example").await;
        assert_eq!(refused.status().as_u16(), 403, "{path}");
        assert_eq!(header(&refused, ACCESS_CONTROL_ALLOW_ORIGIN), "");
    }
}

#[tokio::test]
async fn a_star_allows_every_page() {
    let config = Config { allowed_origins: vec!["*".to_owned()], ..Config::default() };
    let server = start_with(engine_config(), config, None).await;
    for origin in ["https://anyone.example", "null"] {
        assert_eq!(open(&server, "/signal", origin).await, 101, "{origin}");
    }
}
