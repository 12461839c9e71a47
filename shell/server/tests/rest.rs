//! The HTTP API as a third party uses it.

mod running;

use reqwest::{Method, StatusCode};
use running::Running;
use serde_json::{Value, json};

struct Api {
    running: Running,
    key: String,
}

impl Api {
    async fn start() -> Api {
        let running = Running::start().await;
        let key = running.key().await;
        Api { running, key }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.running.client.request(method, self.running.url(path)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let kind =
            answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let text = answer.text().await.expect("a body");
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(kind, "application/problem+json", "{path}: {text}");
        }
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, None).await
    }
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_shown() {
    let running = Running::start().await;
    for path in ["/api/v1/rooms", "/api/v1/sessions", "/api/v1/sessions/x", "/api/v1/rooms/x"] {
        let answer = running.get(path).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    let wrong = running.client.get(running.url("/api/v1/rooms")).bearer_auth("tk_000000000000_x").send().await;
    assert_eq!(wrong.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    running.stop().await;
}

#[tokio::test]
async fn after_too_many_wrong_keys_an_address_has_to_wait() {
    let running = Running::start_with(|settings| settings.limits.api_failures_per_minute = 2).await;
    let wrong = || running.client.get(running.url("/api/v1/rooms")).bearer_auth("tk_000000000000_x").send();
    assert_eq!(wrong().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(wrong().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    let blocked = wrong().await.expect("an answer");
    assert_eq!(blocked.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(blocked.headers().contains_key("retry-after"));
    running.stop().await;
}

#[tokio::test]
async fn a_room_is_made_shown_listed_and_deleted() {
    let api = Api::start().await;
    let wanted = json!({ "name": "blue-otter", "entry": "ring", "max_participants": 3 });
    let (status, made) = api.ask(Method::POST, "/api/v1/rooms", Some(wanted.clone())).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["name"], &made["entry"], &made["participants"]),
        (&json!("blue-otter"), &json!("ring"), &json!([]))
    );
    let (status, problem) = api.ask(Method::POST, "/api/v1/rooms", Some(wanted)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("bad_name")));

    let (status, unnamed) = api.ask(Method::POST, "/api/v1/rooms", Some(json!({}))).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(unnamed["name"].as_str().is_some_and(|name| name.len() > 8), "{unnamed}");

    assert_eq!(api.get("/api/v1/rooms/blue-otter").await.1["name"], "blue-otter");
    let (_, first) = api.get("/api/v1/rooms?limit=1").await;
    let next = first["next"].as_str().expect("another page").to_owned();
    let (_, second) = api.get(&format!("/api/v1/rooms?limit=1&after={next}")).await;
    assert_eq!(second["rooms"].as_array().map(Vec::len), Some(1));
    assert_ne!(first["rooms"], second["rooms"]);
    assert_eq!(second.get("next"), None);

    assert_eq!(api.ask(Method::DELETE, "/api/v1/rooms/blue-otter", None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/api/v1/rooms/blue-otter").await.0, StatusCode::NOT_FOUND);
    api.running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_says_why() {
    let api = Api::start().await;
    for (path, part) in [
        ("/api/v1/rooms?limit=0", "expected 1 to 200, got 0"),
        ("/api/v1/rooms?limit=x", "invalid digit"),
        ("/api/v1/rooms?colour=red", "colour"),
        ("/api/v1/sessions?after=x", "expected `next`"),
        ("/api/v1/sessions?mode=fax", "fax"),
    ] {
        let (status, problem) = api.get(path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{path}: {problem}");
    }
    for (body, status) in [
        (json!({ "nmae": "x" }), StatusCode::BAD_REQUEST),
        (json!([]), StatusCode::BAD_REQUEST),
        (json!({ "max_participants": 0 }), StatusCode::BAD_REQUEST),
        (json!({ "name": "a/b\u{202e}" }), StatusCode::CONFLICT),
        (json!({ "name": "x".repeat(100_000) }), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(api.ask(Method::POST, "/api/v1/rooms", Some(body)).await.0, status);
    }
    assert_eq!(api.ask(Method::PUT, "/api/v1/rooms", None).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(api.get("/api/v1/nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/api/v1/sessions/nothing").await.0, StatusCode::NOT_FOUND);
    let (status, _) = api.ask(Method::DELETE, "/api/v1/rooms/nowhere/participants/p1", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    api.running.stop().await;
}

#[tokio::test]
async fn the_document_is_open_to_everyone_and_names_every_route() {
    let running = Running::start().await;
    let document: Value = running.get("/api/v1/openapi.json").await.json().await.expect("a document");
    let paths: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();
    for path in ["/rooms", "/rooms/{name}", "/rooms/{name}/participants/{id}", "/sessions", "/sessions/{id}"] {
        assert!(paths.iter().any(|known| *known == path), "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_room_made_beforehand_is_there_after_a_restart() {
    let api = Api::start().await;
    let (status, _) = api.ask(Method::POST, "/api/v1/rooms", Some(json!({ "name": "lasting" }))).await;
    assert_eq!(status, StatusCode::CREATED);
    let home = api.running.stop().await;
    let running = Running::start_in(home, |_| {}).await;
    let again = Api { running, key: api.key };
    assert_eq!(again.get("/api/v1/rooms/lasting").await.0, StatusCode::OK);
    again.running.stop().await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_read_the_api_even_with_a_key_and_even_where_its_signalling_is_allowed() {
    let running = Running::start_with(|settings| settings.http.allowed_origins = vec!["*".to_owned()]).await;
    let key = running.key().await;
    let asked = |method| {
        let request = running.client.request(method, running.url("/api/v1/rooms"));
        request.header("origin", "https://friend.example").header("access-control-request-method", "GET")
    };
    // A browser asks first, without the key, and gets nothing that would let it go on.
    let preflight = asked(Method::OPTIONS).send().await.expect("an answer");
    assert_eq!(preflight.status(), StatusCode::UNAUTHORIZED);
    let answer = asked(Method::GET).bearer_auth(&key).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "a program that happens to send an origin is served");
    for answer in [preflight, answer] {
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        assert_eq!(answer.headers()["cross-origin-resource-policy"], "same-origin");
    }
    running.stop().await;
}
