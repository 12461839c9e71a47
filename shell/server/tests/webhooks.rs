//! Webhooks of a whole server, told to a receiver that fails at first.

mod running;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use running::Running;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tandem_server::config::Settings;
use tandem_server::data_dir::DataDir;
use tandem_server::serve::{Server, database};
use tandem_server::tokens;
use tandem_store::Store;
use tokio::net::TcpListener;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// What has come, and with what it was answered.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<(StatusCode, HeaderMap, Bytes)>>>);

impl Receiver {
    /// Answers the first two with an error, and one with a redirect.
    async fn start(&self) -> String {
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn all(&self) -> Vec<(StatusCode, HeaderMap, Bytes)> {
        self.0.lock().expect("whole").clone()
    }

    /// Those that were taken, as soon as there are so many.
    async fn taken(&self, count: usize) -> Vec<Value> {
        loop {
            let taken = self.all().into_iter().filter(|(status, ..)| status.is_success());
            let taken: Vec<_> = taken.map(|(_, _, body)| serde_json::from_slice(&body).expect("JSON")).collect();
            if taken.len() >= count {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let mut all = receiver.0.lock().expect("whole");
    let status = match all.len() {
        0 | 1 => StatusCode::INTERNAL_SERVER_ERROR,
        2 => StatusCode::TEMPORARY_REDIRECT,
        _ => StatusCode::OK,
    };
    all.push((status, headers, body));
    (status, [("location", "/elsewhere")])
}

/// A key that is there before the server.
async fn key(home: &std::path::Path) -> (String, Store) {
    let data = DataDir::open(home).expect("the data directory");
    let store = Store::open(&database(&data)).await.expect("the database");
    (store.create_key("hooks", 1).await.expect("a key").key.id, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_arrives_in_order_signed_and_until_it_is_taken() {
    let home = tempfile::tempdir().expect("a directory");
    let (key, store) = key(home.path()).await;
    let receiver = Receiver::default();
    let url = receiver.start().await;
    // Nobody listens there.
    let dead = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port").local_addr().expect("an address");
    let running = Running::start_in(home, |settings| {
        settings.http.behind_proxy = true;
        settings.webhooks.urls = vec![format!("http://{dead}/"), url];
        settings.webhooks.key = Some(key.clone());
    })
    .await;
    let signal = format!("ws://{}/signal", running.server.address());
    let (mut ann, _) = connect_async(signal).await.expect("a socket");
    let join = json!({ "type": "join", "room": "kitchen", "name": "Ann" });
    ann.send(Message::text(join.to_string())).await.expect("sent");
    let _joined = ann.next().await.expect("an answer");
    ann.send(Message::text(json!({ "type": "leave", "id": 1 }).to_string())).await.expect("sent");

    let taken = tokio::time::timeout(Duration::from_secs(30), receiver.taken(4)).await.expect("all of it");
    let events: Vec<_> = taken.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    assert_eq!(events, ["room_started", "participant_joined", "participant_left", "room_finished"]);
    let (joined, left) = (&taken[1], &taken[2]);
    assert_eq!((&joined["room"]["name"], &joined["participant"]["name"]), (&json!("kitchen"), &json!("Ann")));
    assert_eq!(joined["room"]["sid"], left["room"]["sid"]);
    assert_eq!(left["participant"]["disconnectReason"], "CLIENT_INITIATED");

    let all = receiver.all();
    assert_eq!(all.len(), 7, "three attempts were not taken");
    let same: Vec<_> = all.iter().take(4).map(|(_, _, body)| body).collect();
    assert!(same.windows(2).all(|pair| pair[0] == pair[1]), "what is sent again is the same");
    for (_, headers, body) in &all {
        assert_eq!(headers["content-type"], "application/webhook+json");
        let token = headers["authorization"].to_str().expect("text");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let now = u64::try_from(now.as_millis()).expect("a time");
        let claims = tokens::check(&store, token, now).await.expect("a signature");
        assert_eq!(claims.iss, key);
        assert_eq!(claims.sha256, Some(BASE64_STANDARD.encode(Sha256::digest(body))));
        assert!(claims.grants().is_err(), "nobody enters with it");
    }
    store.close().await;
    running.stop().await;
}

#[tokio::test]
async fn a_key_that_is_not_there_is_said_at_the_start() {
    let home = tempfile::tempdir().expect("a directory");
    let settings = |key: &str| Settings {
        webhooks: tandem_server::config::settings::Webhooks {
            urls: vec!["https://a.example/hook".into()],
            key: Some(key.to_owned()),
            ..Default::default()
        },
        ..running::settings(home.path())
    };
    let error = Server::start(settings("000000000000")).await.err().expect("a refusal");
    assert!(format!("{error:#}").contains("webhooks.key: there is no valid API key `000000000000`"), "{error:#}");
    let (key, store) = key(home.path()).await;
    store.close().await;
    Server::start(settings(&key)).await.expect("a server").stop().await;
}
