//! WHIP and WHEP over real HTTP: what is answered, with which headers, and what is refused. Media flows in `tests/interop`.

mod running;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH, LOCATION, ORIGIN};
use reqwest::{Method, Response, StatusCode};
use running::Running;
use tandem_api::signal::Media;
use tandem_server::tokens::Wanted;
use tandem_store::Signer;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

fn offer(way: &str, ufrag: &str) -> String {
    let common = format!(
        "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na={way}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
         a=setup:actpass\r\na=fingerprint:sha-256 {}\r\n",
        ["AB"; 32].join(":")
    );
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n{common}\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n{common}"
    )
}

async fn post(server: &Running, path: &str, kind: &str, body: String) -> Response {
    let request = server.client.post(server.url(path)).header(CONTENT_TYPE, kind).body(body);
    request.send().await.expect("an answer")
}

fn header(response: &Response, name: impl reqwest::header::AsHeaderName) -> String {
    let value = response.headers().get(name).expect("the header");
    value.to_str().expect("text").to_owned()
}

async fn participants(server: &Running, key: &str) -> serde_json::Value {
    let request = server.client.get(server.url("/api/v1/rooms/kitchen")).bearer_auth(key);
    let room: serde_json::Value = request.send().await.expect("an answer").json().await.expect("JSON");
    room["participants"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_made_changed_and_ended() {
    let server = Running::start().await;
    let key = server.key().await;
    let made = post(&server, "/whip/kitchen?name=Camera%201", SDP, offer("sendonly", "aaaa")).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    assert_eq!((header(&made, CONTENT_TYPE), header(&made, ETAG)), (SDP.into(), "\"1\"".into()));
    assert_eq!(header(&made, "accept-patch"), FRAGMENT);
    let session = header(&made, LOCATION);
    assert!(session.starts_with("/whip/kitchen/") && session.len() > 40, "{session}");
    let answer = made.text().await.expect("an answer");
    assert!(answer.contains("a=recvonly") && answer.contains("a=ice-lite") && answer.contains(" typ host"), "{answer}");
    let people = participants(&server, &key).await;
    assert_eq!(people[0]["name"].as_str(), Some("Camera 1"));

    let watching = post(&server, "/whep/kitchen", SDP, offer("recvonly", "bbbb")).await;
    assert_eq!(watching.status(), StatusCode::CREATED);
    let viewer = header(&watching, LOCATION);
    assert!(watching.text().await.expect("an answer").contains("a=sendonly"));

    let patch = |version: &'static str, body: &'static str| {
        let request = server.client.patch(server.url(&session)).header(CONTENT_TYPE, FRAGMENT);
        request.header(IF_MATCH, HeaderValue::from_static(version)).body(body).send()
    };
    let candidate = "a=ice-ufrag:aaaa\r\na=ice-pwd:0123456789abcdefghijkl\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 5000 typ host\r\n";
    assert_eq!(patch("\"1\"", candidate).await.expect("an answer").status(), StatusCode::NO_CONTENT);
    let restart = "a=ice-ufrag:cccc\r\na=ice-pwd:0123456789abcdefghijkl\r\n";
    assert_eq!(patch("\"9\"", restart).await.expect("an answer").status(), StatusCode::PRECONDITION_FAILED);
    let restarted = patch("*", restart).await.expect("an answer");
    assert_eq!((restarted.status(), header(&restarted, ETAG)), (StatusCode::OK, "\"2\"".into()));
    assert!(restarted.text().await.expect("text").starts_with("a=ice-ufrag:"));

    for session in [&session, &viewer] {
        let end = || server.client.delete(server.url(session)).send();
        assert_eq!(end().await.expect("an answer").status(), StatusCode::OK);
        assert_eq!(end().await.expect("an answer").status(), StatusCode::NOT_FOUND);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_offer_is_refused_with_the_reason() {
    let server = Running::start().await;
    for (path, kind, body, status, says) in [
        (
            "/whip/kitchen",
            "text/plain",
            offer("sendonly", "aaaa"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "application/sdp",
        ),
        ("/whip/kitchen", SDP, "hello".into(), StatusCode::BAD_REQUEST, "v=0"),
        ("/whip/kitchen", SDP, offer("recvonly", "aaaa"), StatusCode::BAD_REQUEST, "sendonly"),
        ("/whep/kitchen", SDP, offer("sendonly", "aaaa"), StatusCode::BAD_REQUEST, "recvonly"),
        ("/whip/%E2%80%AE", SDP, offer("sendonly", "aaaa"), StatusCode::CONFLICT, "U+202E"),
        ("/whip/kitchen", SDP, "x".repeat(300 << 10), StatusCode::PAYLOAD_TOO_LARGE, "bytes"),
    ] {
        let refused = post(&server, path, kind, body).await;
        assert_eq!(refused.status(), status, "{path}");
        let problem: serde_json::Value = refused.json().await.expect("a problem");
        assert!(problem["detail"].as_str().unwrap_or_default().contains(says), "{problem}");
    }
    for (method, path) in
        [(Method::GET, "/whip/kitchen"), (Method::PUT, "/whip/kitchen/x"), (Method::GET, "/whep/kitchen/x")]
    {
        let answer = server.client.request(method, server.url(path)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let nobody =
        server.client.patch(server.url("/whip/kitchen/x")).header(CONTENT_TYPE, FRAGMENT).body("a=ice-ufrag:a\r\n");
    assert_eq!(nobody.send().await.expect("an answer").status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

/// What this key signs for whoever may send that in the kitchen.
fn token(key: &str, publish: Media) -> String {
    let wanted = Wanted {
        room: "kitchen".into(),
        identity: "camera-1".into(),
        name: Some("By the door".into()),
        metadata: None,
        ttl: Duration::from_secs(60),
        publish,
        subscribe: false,
        data: true,
        admin: false,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    wanted.mint(&Signer::of_key(key).expect("a key"), now).expect("a token").token
}

#[tokio::test(flavor = "multi_thread")]
async fn who_brings_a_token_gets_what_it_grants_and_where_one_is_needed_nobody_enters_without() {
    let server = Running::start_with(|settings| settings.rooms.tokens = true).await;
    let key = server.key().await;
    let ask = async |path: &str, way: &str, bearer: Option<&str>| {
        let request = server.client.post(server.url(path)).header(CONTENT_TYPE, SDP).body(offer(way, "aaaa"));
        let request = if let Some(token) = bearer { request.bearer_auth(token) } else { request };
        request.send().await.expect("an answer")
    };
    let without = ask("/whip/kitchen", "sendonly", None).await;
    assert_eq!((without.status(), header(&without, "www-authenticate")), (StatusCode::UNAUTHORIZED, CHALLENGE.into()));

    let all = token(&key, Media::ALL);
    let made = ask("/whip/kitchen", "sendonly", Some(&all)).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let people = participants(&server, &key).await;
    assert_eq!((people[0]["name"].as_str(), people.as_array().map(Vec::len)), (Some("By the door"), Some(1)));
    // The session's address is enough from here on.
    let end = server.client.delete(server.url(&header(&made, LOCATION))).send().await.expect("an answer");
    assert_eq!(end.status(), StatusCode::OK);

    let silent = token(&key, Media { audio: false, video: false, screen: true });
    for (path, way, bearer, status, says) in [
        ("/whip/kitchen", "sendonly", silent.as_str(), StatusCode::FORBIDDEN, "may not send"),
        ("/whep/kitchen", "recvonly", &all, StatusCode::FORBIDDEN, "does not let you get"),
        ("/whip/garden", "sendonly", &all, StatusCode::UNAUTHORIZED, "for the room `kitchen`"),
        ("/whip/kitchen", "sendonly", &format!("{all}x"), StatusCode::UNAUTHORIZED, "signature is wrong"),
        ("/whip/kitchen", "sendonly", &key, StatusCode::UNAUTHORIZED, "expected a token for a room"),
    ] {
        let refused = ask(path, way, Some(bearer)).await;
        assert_eq!(refused.status(), status, "{says}");
        if status == StatusCode::UNAUTHORIZED {
            assert_eq!(header(&refused, "www-authenticate"), format!("{CHALLENGE}, error=\"invalid_token\""));
        }
        let problem: serde_json::Value = refused.json().await.expect("a problem");
        assert!(problem["detail"].as_str().unwrap_or_default().contains(says), "{problem}");
    }
    server.stop().await;
}

const CHALLENGE: &str = "Bearer realm=\"tandem\"";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_is_told_the_relay_with_a_credential_of_its_own() {
    let server = Running::start_with(|settings| {
        settings.relay.enabled = true;
        (settings.relay.port, settings.relay.tls_port) = (0, 0);
    })
    .await;
    let port = server.server.relay_port().expect("a relay");
    let mut seen = Vec::new();
    for (path, way) in [("/whip/kitchen", "sendonly"), ("/whep/kitchen", "recvonly")] {
        let made = post(&server, path, SDP, offer(way, "aaaa")).await;
        let links: Vec<_> = made.headers().get_all("link").iter().map(|link| link.to_str().expect("text")).collect();
        assert_eq!(links.first(), Some(&format!("<stun:localhost:{port}>; rel=\"ice-server\"").as_str()));
        let turn = links.iter().find(|link| link.starts_with(&format!("<turn:localhost:{port}?transport=udp>")));
        let turn = (*turn.expect("a way over UDP")).to_owned();
        assert!(turn.contains("; credential=\"") && turn.ends_with("; credential-type=\"password\""), "{turn}");
        seen.push(turn);
    }
    assert_ne!(seen.first(), seen.last(), "each has its own");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_ask_where_the_operator_allows_it() {
    let server =
        Running::start_with(|settings| settings.http.allowed_origins = vec!["https://friend.example".into()]).await;
    let preflight = |origin: &'static str| {
        let request = server.client.request(Method::OPTIONS, server.url("/whip/kitchen"));
        request.header(ORIGIN, HeaderValue::from_static(origin)).header(ACCEPT, HeaderValue::from_static("*/*")).send()
    };
    let friend = preflight("https://friend.example").await.expect("an answer");
    assert_eq!(friend.status(), StatusCode::NO_CONTENT);
    assert!(header(&friend, "access-control-allow-methods").contains("PATCH"));
    assert!(header(&friend, "access-control-expose-headers").contains("location"));
    assert_eq!(preflight("https://stranger.example").await.expect("an answer").status(), StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_media_plane_there_is_no_such_address() {
    let server = Running::start_with(|settings| settings.media.enabled = false).await;
    let answer = post(&server, "/whip/kitchen", SDP, offer("sendonly", "aaaa")).await;
    assert_ne!(answer.status(), StatusCode::CREATED);
    server.stop().await;
}
