//! The credential service in the words of others: exact answers, errors, and pages of other sites.

mod relay_client;
mod running;

use std::net::SocketAddr;

use relay_client::Client;
use reqwest::{Method, RequestBuilder, StatusCode};
use running::Running;
use serde_json::{Value, json};
use tandem_store::{Application, NewApplication, Relayed, Store, UsageLine};

/// A server with an application.
struct World {
    running: Running,
    application: Application,
    key: String,
}

impl World {
    async fn start() -> World {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut tandem_server::config::Settings)) -> World {
        let running = Running::start_with(|settings| {
            settings.relay.enabled = true;
            settings.relay.port = 0;
            settings.relay.tls_port = 0;
            change(settings);
        })
        .await;
        let store = store(&running).await;
        let origins = vec!["https://app.example".to_owned()];
        let new = NewApplication { name: "shop".into(), origins, ..Default::default() };
        let made = store.create_application(&new, 1).await.expect("an application");
        store.close().await;
        World { running, application: made.application, key: made.text }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.running.client.request(method, self.running.url(path))
    }

    fn id(&self) -> &str {
        &self.application.id
    }

    fn relay(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.running.server.relay_port().expect("a relay")).into()
    }

    /// `turn:` URLs this server names.
    fn turn(&self) -> Vec<String> {
        let port = self.relay().port();
        let mut urls =
            vec![format!("turn:localhost:{port}?transport=udp"), format!("turn:localhost:{port}?transport=tcp")];
        urls.extend(self.shared());
        urls
    }

    fn shared(&self) -> Option<String> {
        Some(format!("turns:localhost:{}?transport=tcp", self.running.server.address().port()))
    }

    fn stun(&self) -> String {
        format!("stun:localhost:{}", self.relay().port())
    }

    /// Whether the relay lets this credential in.
    async fn is_let_in(&self, username: &Value, password: &Value) -> bool {
        let (relay, username, password) = (self.relay(), text(username), text(password));
        let enter = move || Client::with_login(relay, username, password).allocate().is_ok();
        tokio::task::spawn_blocking(enter).await.expect("a client")
    }
}

async fn store(running: &Running) -> Store {
    let data = tandem_server::data_dir::DataDir::open(running.home.path()).expect("the data directory");
    Store::open(&tandem_server::serve::database(&data)).await.expect("the database")
}

async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    (status, serde_json::from_str(&answer.text().await.expect("a body")).unwrap_or(Value::Null))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected a text, got {value}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudflare_generates_in_both_forms_and_revokes() {
    let world = World::start().await;
    let path = format!("/v1/turn/keys/{}/credentials", world.id());
    let ask = |what: &str, key: &str, body: Value| {
        world.request(Method::POST, &format!("{path}/{what}")).bearer_auth(key).json(&body)
    };
    let wanted = json!({ "ttl": 3600, "customIdentifier": "user 4/2", "unknown": 1 });
    let (status, list) = send(ask("generate-ice-servers", &world.key, wanted)).await;
    let server = &list["iceServers"][1];
    let exact = json!({ "iceServers": [
        { "urls": [world.stun()] },
        { "urls": world.turn(), "username": server["username"], "credential": server["credential"] },
    ] });
    assert_eq!((status, &list), (StatusCode::CREATED, &exact));
    assert!(text(&server["username"]).contains("/user%204%2F2/"), "{server}");
    assert!(world.is_let_in(&server["username"], &server["credential"]).await);

    let (status, one) = send(ask("generate", &world.key, json!({ "ttl": 60 }))).await;
    let server_of_one = &one["iceServers"];
    let urls = [vec![world.stun()], world.turn()].concat();
    let exact = json!({ "iceServers": {
        "urls": urls, "username": server_of_one["username"], "credential": server_of_one["credential"],
    } });
    assert_eq!((status, &one), (StatusCode::CREATED, &exact));

    // As it is in the address, and encoded as a library does it.
    let encoded = text(&server["username"]).replace('%', "%25").replace('/', "%2F").replace(':', "%3A");
    let (status, body) = send(ask(&format!("{encoded}/revoke"), &world.key, Value::Null)).await;
    assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
    assert!(!world.is_let_in(&server["username"], &server["credential"]).await);
    assert!(world.is_let_in(&server_of_one["username"], &server_of_one["credential"]).await);
    let plain = format!("{}/revoke", text(&server_of_one["username"]));
    assert_eq!(send(ask(&plain, &world.key, Value::Null)).await.0, StatusCode::NO_CONTENT);
    assert!(!world.is_let_in(&server_of_one["username"], &server_of_one["credential"]).await);

    for (what, key, body, status, code) in [
        ("generate", world.key.as_str(), json!({ "ttl": 172_801 }), StatusCode::BAD_REQUEST, "invalid_request"),
        ("generate", &world.key, json!({ "ttl": "long" }), StatusCode::BAD_REQUEST, "invalid_request"),
        ("generate-ice-servers", "ta_000000000000_x", json!({}), StatusCode::UNAUTHORIZED, "unauthorized"),
        ("17:nobody/revoke", &world.key, json!({}), StatusCode::NOT_FOUND, "not_found"),
    ] {
        let (got, error) = send(ask(what, key, body)).await;
        assert_eq!((got, error["errorCode"].as_str()), (status, Some(code)), "{error}");
        assert!(error["errorDescription"].is_string());
    }
    let other = world.request(Method::POST, "/v1/turn/keys/000000000000/credentials/generate").bearer_auth(&world.key);
    assert_eq!(send(other).await.0, StatusCode::UNAUTHORIZED, "not its key");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_makes_tokens_for_an_account_and_those_below() {
    let world = World::start().await;
    let sid = format!("AC{}", world.id());
    let ask = |sid: &str, user: &str, key: &str, form: &[(&str, &str)]| {
        let path = format!("/2010-04-01/Accounts/{sid}/Tokens.json");
        world.request(Method::POST, &path).basic_auth(user, Some(key)).form(form)
    };
    let (status, token) = send(ask(&sid, &sid, &world.key, &[("Ttl", "3600")])).await;
    assert_eq!(status, StatusCode::CREATED, "{token}");
    let (username, password) = (&token["username"], &token["password"]);
    let mut servers = vec![json!({ "url": world.stun(), "urls": world.stun() })];
    for url in world.turn() {
        servers.push(json!({ "url": url, "urls": url, "username": username, "credential": password }));
    }
    let exact = json!({
        "account_sid": sid, "date_created": token["date_created"], "date_updated": token["date_created"],
        "ice_servers": servers, "password": password, "ttl": "3600", "username": username,
    });
    assert_eq!(token, exact);
    assert!(text(&token["date_created"]).ends_with(" +0000"), "{token}");
    assert!(world.is_let_in(username, password).await);
    // Without a form at all, as many programs do it.
    let path = format!("/2010-04-01/Accounts/{}/Tokens.json", world.id());
    let bare = world.request(Method::POST, &path).basic_auth(world.id(), Some(&world.key));
    let (status, token) = send(bare).await;
    assert_eq!((status, &token["ttl"]), (StatusCode::CREATED, &json!("86400")));

    let store = store(&world.running).await;
    let new = NewApplication { name: "branch".into(), parent: Some(world.id().into()), ..Default::default() };
    let below = store.create_application(&new, 1).await.expect("an application").application.id;
    store.close().await;
    let (status, token) = send(ask(&format!("AC{below}"), &sid, &world.key, &[])).await;
    assert_eq!(status, StatusCode::CREATED, "{token}");
    assert!(text(&token["username"]).contains(&below));

    for (target, user, key, ttl, status, code) in [
        (sid.as_str(), sid.as_str(), "ta_000000000000_x", "60", StatusCode::UNAUTHORIZED, 20003),
        (&sid, "AC000000000000", &world.key, "60", StatusCode::UNAUTHORIZED, 20003),
        ("AC000000000000", &sid, &world.key, "60", StatusCode::NOT_FOUND, 20404),
        (&sid, &sid, &world.key, "long", StatusCode::BAD_REQUEST, 20001),
        (&sid, &sid, &world.key, "999999", StatusCode::BAD_REQUEST, 20001),
    ] {
        let (got, error) = send(ask(target, user, key, &[("Ttl", ttl)])).await;
        assert_eq!((got, &error["code"], &error["status"]), (status, &json!(code), &json!(status.as_u16())), "{error}");
        assert_eq!(error["more_info"], format!("https://www.twilio.com/docs/errors/{code}"));
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xirsys_gives_servers_for_a_channel_keeps_accounts_and_tells_statistics() {
    let world = World::start().await;
    let ask = |method: Method, path: &str, user: &str, key: &str, body: Value| {
        let request = world.request(method, path).basic_auth(user, Some(key));
        if body.is_null() { request } else { request.json(&body) }
    };
    let own = |method: Method, path: &str, body: Value| ask(method, path, world.id(), &world.key, body);
    let (status, answer) = send(own(Method::PUT, "/_turn/my/path", json!({ "format": "urls", "expire": "60" }))).await;
    let server = &answer["v"]["iceServers"];
    let urls = [vec![world.stun()], world.turn()].concat();
    let exact = json!({ "v": { "iceServers": {
        "username": server["username"], "urls": urls, "credential": server["credential"],
    } }, "s": "ok" });
    assert_eq!((status, &answer), (StatusCode::OK, &exact));
    assert!(world.is_let_in(&server["username"], &server["credential"]).await);
    let (_, answer) = send(own(Method::PUT, "/_turn/my/path", Value::Null)).await;
    let servers = answer["v"]["iceServers"].as_array().expect("a list");
    let (username, credential) = (&servers[1]["username"], &servers[1]["credential"]);
    let mut exact = vec![json!({ "url": world.stun() })];
    exact.extend(world.turn().iter().map(|url| json!({ "username": username, "url": url, "credential": credential })));
    assert_eq!(servers, &exact);

    assert_eq!(send(own(Method::PUT, "/_ns/my/path", Value::Null)).await.1, json!({ "v": "my/path", "s": "ok" }));
    let (_, gone) = send(own(Method::DELETE, "/_ns/my/path", Value::Null)).await;
    assert_eq!(gone, json!({ "v": 1, "s": "ok" }), "the one session");
    assert!(!world.is_let_in(&server["username"], &server["credential"]).await);

    // Accounts below.
    let wanted = json!({ "k": "lily", "v": { "email": "lily@example.org", "password": "x" } });
    let (_, made) = send(own(Method::PUT, "/_acc/accounts", wanted)).await;
    let secret = text(&made["v"]["secret"]);
    assert_eq!(
        (&made["s"], &made["v"]["username"], &made["v"]["active"]),
        (&json!("ok"), &json!("lily"), &json!(true))
    );
    assert_eq!(send(own(Method::GET, "/_acc/accounts", Value::Null)).await.1, json!({ "v": ["lily"], "s": "ok" }));
    let (_, shown) = send(own(Method::GET, "/_acc/accounts?k=lily", Value::Null)).await;
    assert_eq!((&shown["v"]["id"], shown["v"].get("secret")), (&made["v"]["id"], None));
    let below = format!("{}#lily", world.id());
    for key in [secret.clone(), format!("!{}", world.key)] {
        let (_, answer) = send(ask(Method::PUT, "/_turn/x", &below, &key, json!({ "format": "urls" }))).await;
        assert!(text(&answer["v"]["iceServers"]["username"]).contains(&text(&made["v"]["id"])), "{answer}");
    }
    for (user, key) in [(below.as_str(), &world.key), ("lily", &secret), (world.id(), &secret), ("0#lily", &secret)] {
        let (status, answer) = send(ask(Method::PUT, "/_turn/x", user, key, Value::Null)).await;
        assert_eq!(
            (status, answer),
            (StatusCode::UNAUTHORIZED, json!({ "v": "unauthorized", "s": "error" })),
            "{user}"
        );
    }
    assert_eq!(send(own(Method::DELETE, "/_acc/accounts?k=lily", Value::Null)).await.1["s"], "ok");
    assert_eq!(send(own(Method::GET, "/_acc/accounts?k=lily", Value::Null)).await.0, StatusCode::NOT_FOUND);

    // Statistics of two minutes in 2026.
    let store = store(&world.running).await;
    let minute = 29_667_358;
    let line = |minute, tag: &str, up_bytes, sessions| UsageLine {
        minute,
        application: world.id().into(),
        tag: tag.into(),
        relayed: Relayed { sessions, up_bytes, ..Relayed::default() },
    };
    let lines = [line(minute, "a/b", 48, 2), line(minute + 1, "a/b", 51, 0), line(minute, "c", 1000, 1)];
    store.add_usage(&lines).await.expect("stored");
    store.close().await;
    let told = async |query: &str| send(own(Method::GET, query, Value::Null)).await.1["v"].clone();
    let both = json!({ "sum": 99, "min": 48, "max": 51, "count": 2 });
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(minute).expect("small") * 60).expect("a time");
    let day = format!("{}:{}:{}", at.year(), u8::from(at.month()), at.day());
    assert_eq!(told(&format!("/_stats/a/b?l=turn:data&gs={day}&ge={day}")).await, both);
    assert_eq!(told(&format!("/_stats/a/b?l=turn:data&gs={day}&ge={day}&break=1")).await, json!({ day.clone(): both }));
    let hour = at.hour();
    let (first, second) = (format!("{day}:{hour}:{}", at.minute()), format!("{day}:{hour}:{}", at.minute() + 1));
    let apart = json!({
        first.clone(): { "sum": 48, "min": 48, "max": 48, "count": 1 },
        second.clone(): { "sum": 51, "min": 51, "max": 51, "count": 1 },
    });
    assert_eq!(told(&format!("/_stats/a/b?l=turn:data&gs={first}&ge={second}&break=1")).await, apart);
    let sessions = json!({ "sum": 3, "min": 1, "max": 1, "count": 3 });
    assert_eq!(told(&format!("/_stats/?l=turn:sess&gs={}&ge={}", at.year(), at.year())).await, sessions);
    for wrong in ["l=stun:data", "", "l=turn:data&gs=2026:13"] {
        let (status, answer) = send(own(Method::GET, &format!("/_stats/a/b?{wrong}"), Value::Null)).await;
        assert_eq!((status, &answer["s"]), (StatusCode::BAD_REQUEST, &json!("error")), "{wrong}");
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draft_uberti_answers_a_query() {
    let world = World::start().await;
    for method in [Method::GET, Method::POST] {
        let query = format!("/turn?service=turn&username=mbzrxpgjys&ttl=60&key={}", world.key);
        let (status, answer) = send(world.request(method, &query)).await;
        let exact = json!({
            "username": answer["username"], "password": answer["password"], "ttl": 60, "uris": world.turn(),
        });
        assert_eq!((status, &answer), (StatusCode::OK, &exact));
        assert!(text(&answer["username"]).contains("/mbzrxpgjys/"));
        assert!(world.is_let_in(&answer["username"], &answer["password"]).await);
    }
    let (status, _) = send(world.request(Method::GET, "/turn?service=turn").bearer_auth(&world.key)).await;
    assert_eq!(status, StatusCode::OK);
    for (query, status) in [
        ("service=turn".to_owned(), StatusCode::UNAUTHORIZED),
        ("service=turn&key=ta_000000000000_x".to_owned(), StatusCode::UNAUTHORIZED),
        (format!("service=fax&key={}", world.key), StatusCode::BAD_REQUEST),
        (format!("key={}", world.key), StatusCode::BAD_REQUEST),
        (format!("service=turn&ttl=x&key={}", world.key), StatusCode::BAD_REQUEST),
    ] {
        let (got, problem) = send(world.request(Method::GET, &format!("/turn?{query}"))).await;
        assert_eq!(got, status, "{problem}");
    }
    world.running.stop().await;
}

#[tokio::test]
async fn pages_may_ask_where_the_key_names_their_origin_and_nowhere_else() {
    let world = World::start().await;
    let path = format!("/turn?service=turn&key={}", world.key);
    let ask = |method: Method, path: &str, origin: &str| {
        let request = world.request(method, path).header("origin", origin);
        request.header("access-control-request-method", "PUT").send()
    };
    let mine = ask(Method::GET, &path, "https://app.example").await.expect("an answer");
    assert_eq!(
        (mine.status(), &mine.headers()["access-control-allow-origin"]),
        (StatusCode::OK, &"https://app.example".parse().expect("a header"))
    );
    let theirs = ask(Method::GET, &path, "https://evil.example").await.expect("an answer");
    assert_eq!(theirs.status(), StatusCode::FORBIDDEN);
    assert!(!theirs.headers().contains_key("access-control-allow-origin"));
    let own = "/api/v1/turn/credentials";
    for (origin, status, allowed) in
        [("https://app.example", StatusCode::CREATED, true), ("https://evil.example", StatusCode::FORBIDDEN, false)]
    {
        let request = world.request(Method::POST, own).header("origin", origin).bearer_auth(&world.key);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{origin}");
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), allowed, "{origin}");
    }
    for path in ["/api/v1/turn/keys", "/api/v1/turn/usage"] {
        let answer = ask(Method::OPTIONS, path, "https://app.example").await.expect("an answer");
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "what is an operator's: {path}");
    }
    let before = ask(Method::OPTIONS, "/_turn/x", "https://app.example").await.expect("an answer");
    assert_eq!(before.status(), StatusCode::NO_CONTENT);
    assert_eq!(before.headers()["access-control-allow-headers"], "authorization, content-type");
    let before = ask(Method::OPTIONS, "/_turn/x", "https://evil.example").await.expect("an answer");
    assert_eq!(before.status(), StatusCode::FORBIDDEN);
    assert!(!before.headers().contains_key("access-control-allow-origin"));
    world.running.stop().await;
}

#[tokio::test]
async fn wrong_keys_count_together_whatever_the_dialect_and_a_server_without_dialects_has_none() {
    let world = World::start_with(|settings| settings.limits.api_failures_per_minute = 3).await;
    let wrong = "ta_000000000000_x";
    let requests = [
        world.request(Method::GET, &format!("/turn?service=turn&key={wrong}")),
        world.request(Method::PUT, "/_turn/x").basic_auth("x", Some(wrong)),
        world.request(Method::GET, "/api/v1/rooms").bearer_auth("tk_000000000000_x"),
    ];
    for request in requests {
        assert_eq!(send(request).await.0, StatusCode::UNAUTHORIZED);
    }
    let path = format!("/v1/turn/keys/{}/credentials/generate", world.id());
    let (status, error) = send(world.request(Method::POST, &path).bearer_auth(&world.key)).await;
    assert_eq!((status, &error["errorCode"]), (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limited")));
    world.running.stop().await;

    let world = World::start_with(|settings| settings.relay.credential_dialects = false).await;
    let path = format!("/turn?service=turn&key={}", world.key);
    let answer = world.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    world.running.stop().await;
}
