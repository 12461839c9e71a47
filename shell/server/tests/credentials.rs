//! The relay as a service in our own form: applications, credentials, taking back, usage and quotas, against live sessions.

mod relay_client;
mod running;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use relay_client::Client;
use reqwest::{Method, StatusCode};
use running::Running;
use serde_json::{Value, json};

struct Api {
    running: Running,
    operator: String,
}

impl Api {
    async fn start() -> Api {
        Self::start_in(tempfile::tempdir().expect("a directory")).await
    }

    async fn start_in(home: tempfile::TempDir) -> Api {
        let running = Running::start_in(home, |settings| {
            settings.relay.enabled = true;
            settings.relay.port = 0;
            settings.relay.tls_port = 0;
            settings.relay.allow_loopback = true;
        })
        .await;
        let operator = running.key().await;
        Api { running, operator }
    }

    async fn ask(&self, key: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.running.client.request(method, self.running.url(path)).bearer_auth(key);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        (status, serde_json::from_str(&answer.text().await.expect("a body")).unwrap_or(Value::Null))
    }

    async fn operate(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(&self.operator, method, path, body).await
    }

    /// An application: its identity and its key.
    async fn application(&self, new: Value) -> (String, String) {
        let (status, made) = self.operate(Method::POST, "/api/v1/turn/keys", new).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        (text(&made["key"]["id"]), text(&made["secret"]))
    }

    async fn credential(&self, key: &str, wanted: Value) -> Value {
        let (status, made) = self.ask(key, Method::POST, "/api/v1/turn/credentials", wanted).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made
    }

    fn relay(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.running.server.relay_port().expect("a relay")).into()
    }

    /// A client with this credential, and whether it gets an allocation.
    async fn enter(&self, credential: &Value) -> (Client, Result<SocketAddr, u16>) {
        let (username, password) = (text(&credential["username"]), text(&credential["ice_servers"][1]["credential"]));
        let relay = self.relay();
        let enter = move || {
            let mut client = Client::with_login(relay, username, password);
            let allocated = client.allocate();
            (client, allocated)
        };
        tokio::task::spawn_blocking(enter).await.expect("a client")
    }

    async fn sessions(&self, query: &str) -> Vec<Value> {
        let (status, list) = self.operate(Method::GET, &format!("/api/v1/turn/sessions{query}"), Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        list["sessions"].as_array().expect("sessions").clone()
    }

    async fn usage(&self, query: &str) -> Vec<Value> {
        let (status, list) = self.operate(Method::GET, &format!("/api/v1/turn/usage{query}"), Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        list["usage"].as_array().expect("usage").clone()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected a text, got {value}")).to_owned()
}

/// Waits until it is so; fails when it never is.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_gets_credentials_that_the_relay_believes_and_no_others() {
    let api = Api::start().await;
    let (id, key) = api.application(json!({ "name": "shop" })).await;
    let made = api.credential(&key, json!({ "ttl": 600, "tag": "al/ice" })).await;
    let port = api.relay().port();
    assert_eq!(made["ice_servers"][0], json!({ "urls": [format!("stun:localhost:{port}")] }));
    let urls = json!([format!("turn:localhost:{port}?transport=udp"), format!("turn:localhost:{port}?transport=tcp")]);
    for url in urls.as_array().expect("urls") {
        assert!(made["ice_servers"][1]["urls"].as_array().expect("urls").contains(url), "{made}");
    }
    let username = text(&made["username"]);
    assert!(username.contains(&format!(":{id}/al%2Fice/")), "{username}");
    assert_eq!(made["ttl"], 600);
    assert!(api.enter(&made).await.1.is_ok());
    let mut forged = made.clone();
    forged["username"] = json!(username.replace("ice", "ica"));
    assert_eq!(api.enter(&forged).await.1, Err(401));

    let (_, other) = api.application(json!({ "name": "forum" })).await;
    for (key, body, status, part) in [
        (key.as_str(), json!({ "ttl": 0 }), StatusCode::BAD_REQUEST, "expected 1 to 172800"),
        (&key, json!({ "ttl": 172_801 }), StatusCode::BAD_REQUEST, "got 172801"),
        (&key, json!({ "ttl": "x" }), StatusCode::BAD_REQUEST, "invalid type"),
        (&key, json!({ "colour": 1 }), StatusCode::BAD_REQUEST, "colour"),
        (&key, json!([]), StatusCode::BAD_REQUEST, "expected a JSON object"),
        (&key, json!({ "tag": "x".repeat(65) }), StatusCode::BAD_REQUEST, "at most 64"),
        (&other, json!({ "key": id }), StatusCode::NOT_FOUND, "not below"),
        ("ta_000000000000_x", json!({}), StatusCode::UNAUTHORIZED, "unknown"),
        ("", json!({}), StatusCode::UNAUTHORIZED, "unknown"),
        ("tk_000000000000_x", json!({}), StatusCode::UNAUTHORIZED, "unknown"),
    ] {
        let (got, problem) = api.ask(key, Method::POST, "/api/v1/turn/credentials", body).await;
        assert_eq!(got, status, "{problem}");
        assert!(text(&problem["detail"]).contains(part), "{problem}");
    }
    let (status, _) = api.ask(&key, Method::GET, "/api/v1/turn/keys", Value::Null).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "an application's key is not an operator's");
    // The operator tries the relay without an application.
    let own = api.credential(&api.operator, json!({ "ttl": 60 })).await;
    assert!(api.enter(&own).await.1.is_ok());
    assert_eq!(api.sessions("").await.len(), 2);
    api.running.stop().await;
}

#[tokio::test]
async fn applications_are_made_changed_shown_and_removed() {
    let api = Api::start().await;
    let (id, key) = api.application(json!({ "name": "shop", "limits": { "sessions": 5 } })).await;
    let path = format!("/api/v1/turn/keys/{id}");
    let (_, shown) = api.operate(Method::GET, &path, Value::Null).await;
    assert_eq!(
        (&shown["name"], &shown["limits"], &shown["enabled"]),
        (&json!("shop"), &json!({ "sessions": 5 }), &json!(true))
    );
    assert!(!shown.to_string().contains(&key), "the secret is shown once");
    let (_, below) = api.operate(Method::POST, "/api/v1/turn/keys", json!({ "name": "branch", "parent": id })).await;
    let below = text(&below["key"]["id"]);
    assert!(text(&api.credential(&key, json!({ "key": below })).await["username"]).contains(&below));
    for (body, part) in [
        (json!({ "name": "" }), "expected a name"),
        (json!({ "name": "x", "parent": "nobody" }), "no application nobody"),
        (json!({ "name": "x", "parent": below }), "stands below"),
        (json!({ "name": "branch", "parent": id }), "already"),
        (json!({ "name": "x", "origins": ["app.example"] }), "expected origins"),
        (json!({ "name": "x", "limits": { "speed": 1 } }), "speed"),
        (json!({}), "name"),
    ] {
        let (status, problem) = api.operate(Method::POST, "/api/v1/turn/keys", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
        assert!(text(&problem["detail"]).contains(part), "{problem}");
    }
    let (_, renewed) = api.operate(Method::POST, &format!("{path}/secret"), Value::Null).await;
    let (status, _) = api.ask(&key, Method::POST, "/api/v1/turn/credentials", json!({})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the secret before");
    let key = text(&renewed["secret"]);
    let (_, changed) = api.operate(Method::PATCH, &path, json!({ "enabled": false, "name": "Shop" })).await;
    assert_eq!((&changed["name"], &changed["limits"]), (&json!("Shop"), &json!({ "sessions": 5 })));
    let (status, problem) = api.ask(&key, Method::POST, "/api/v1/turn/credentials", json!({})).await;
    assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    let (_, list) = api.operate(Method::GET, "/api/v1/turn/keys", Value::Null).await;
    assert_eq!(list["keys"].as_array().map(Vec::len), Some(2));
    assert_eq!(api.operate(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    for path in [path, format!("/api/v1/turn/keys/{below}")] {
        assert_eq!(api.operate(Method::GET, &path, Value::Null).await.0, StatusCode::NOT_FOUND);
        assert_eq!(api.operate(Method::DELETE, &path, Value::Null).await.0, StatusCode::NOT_FOUND);
    }
    api.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_ends_and_is_refused_also_after_a_restart_and_what_comes_later_is_good() {
    let api = Api::start().await;
    let (id, key) = api.application(json!({ "name": "shop" })).await;
    let ann = api.credential(&key, json!({ "tag": "ann" })).await;
    let ann_too = api.credential(&key, json!({ "tag": "ann" })).await;
    let ben = api.credential(&key, json!({ "tag": "ben" })).await;
    for credential in [&ann, &ann_too, &ben] {
        assert!(api.enter(credential).await.1.is_ok());
    }
    let revoke =
        async |api: &Api, what: Value| api.ask(&key, Method::POST, "/api/v1/turn/credentials/revoke", what).await;
    // One of two with the same label.
    assert_eq!(revoke(&api, json!({ "username": ann["username"] })).await, (StatusCode::OK, json!({ "ended": 1 })));
    assert_eq!(api.enter(&ann).await.1, Err(401));
    assert_eq!(api.sessions(&format!("?key={id}&tag=ann")).await.len(), 1);
    // All of a label.
    assert_eq!(revoke(&api, json!({ "tag": "ann" })).await.1, json!({ "ended": 1 }));
    assert_eq!(api.enter(&ann_too).await.1, Err(401));
    let later = api.credential(&key, json!({ "tag": "ann" })).await;
    assert!(api.enter(&later).await.1.is_ok());
    let sessions = api.sessions(&format!("?key={id}&tag=ann")).await;
    assert_eq!((sessions.len(), &sessions[0]["tag"], &sessions[0]["key"]), (1, &json!("ann"), &json!(id)));

    for (what, status) in [
        (json!({ "username": "17:alice" }), StatusCode::NOT_FOUND),
        (json!({ "username": "nonsense" }), StatusCode::NOT_FOUND),
        (json!({ "username": ann["username"], "tag": "ann" }), StatusCode::BAD_REQUEST),
        (json!({ "key": "000000000000" }), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(revoke(&api, what).await.0, status);
    }
    let (_, other) = api.application(json!({ "name": "forum" })).await;
    let foreign = json!({ "username": ben["username"] });
    let (status, _) = api.ask(&other, Method::POST, "/api/v1/turn/credentials/revoke", foreign).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it is not the other application's");

    let api = Api::start_in(api.running.stop().await).await;
    assert_eq!(api.enter(&ann).await.1, Err(401), "remembered");
    assert_eq!(api.enter(&ann_too).await.1, Err(401), "remembered");
    assert!(api.enter(&later).await.1.is_ok() && api.enter(&ben).await.1.is_ok());
    // All of the application.
    assert_eq!(revoke(&api, json!({})).await.1, json!({ "ended": 2 }));
    assert_eq!(api.enter(&later).await.1, Err(401));
    let fresh = api.credential(&key, json!({ "tag": "ben" })).await;
    assert!(api.enter(&fresh).await.1.is_ok());
    // Disabled: all ends, nothing begins; enabled again, it is as before.
    let path = format!("/api/v1/turn/keys/{id}");
    assert_eq!(api.operate(Method::PATCH, &path, json!({ "enabled": false })).await.0, StatusCode::OK);
    assert_eq!((api.sessions("").await.len(), api.enter(&fresh).await.1), (0, Err(486)));
    assert_eq!(api.operate(Method::PATCH, &path, json!({ "enabled": true })).await.0, StatusCode::OK);
    assert!(api.enter(&fresh).await.1.is_ok());
    // Kicked: it may come again.
    let session = text(&api.sessions("").await[0]["id"]);
    let path = format!("/api/v1/turn/sessions/{session}");
    assert_eq!(api.operate(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(api.operate(Method::DELETE, &path, Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(api.operate(Method::DELETE, "/api/v1/turn/sessions/x", Value::Null).await.0, StatusCode::BAD_REQUEST);
    assert!(api.enter(&fresh).await.1.is_ok());
    // Removed: nothing is left.
    assert_eq!(
        api.operate(Method::DELETE, &format!("/api/v1/turn/keys/{id}"), Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!((api.sessions("").await.len(), api.enter(&fresh).await.1), (0, Err(401)));
    api.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_shows_and_ends_what_an_application_relays_also_after_it_was_taken_back() {
    let api = Api::start().await;
    let (id, key) = api.application(json!({ "name": "shop" })).await;
    let end = async |wanted: Value| {
        let (status, ended) = api.operate(Method::POST, "/api/v1/turn/sessions/end", wanted).await;
        assert_eq!(status, StatusCode::OK, "{ended}");
        ended["ended"].as_u64().expect("a number")
    };
    // Each round its credentials have other names at the relay.
    for round in 0..3 {
        let ann = api.credential(&key, json!({ "tag": "ann" })).await;
        let (_client, allocated) = api.enter(&ann).await;
        allocated.unwrap_or_else(|code| panic!("an allocation in round {round}, not {code}"));
        assert_eq!(api.sessions(&format!("?key={id}&tag=ann&realm=tandem")).await.len(), 1, "{round}");
        assert!(api.sessions(&format!("?key={id}&tag=ben")).await.is_empty());
        assert!(api.sessions("?key=nobody").await.is_empty());
        assert_eq!(end(json!({ "key": "nobody" })).await, 0);
        assert_eq!(end(json!({ "key": id })).await, 1, "{round}");
        let (_client, allocated) = api.enter(&ann).await;
        allocated.expect("its credential is still good");
        assert_eq!(end(json!({ "key": id, "revoke": true })).await, 1, "{round}");
        assert_eq!(api.enter(&ann).await.1, Err(401));
    }
    api.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_exact_and_who_has_used_up_the_month_is_ended_and_gets_nothing() {
    let api = Api::start().await;
    let (id, key) =
        api.application(json!({ "name": "shop", "limits": { "bytes_per_month": 50_000, "sessions": 1 } })).await;
    let ann = api.credential(&key, json!({ "tag": "ann" })).await;
    let (client, allocated) = api.enter(&ann).await;
    allocated.expect("an allocation");
    assert_eq!(api.enter(&ann).await.1, Err(486), "one session at once");
    // Ten packets up, which come back.
    let talk = |mut client: Client, number: u16, count: usize| {
        let size = 1000;
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.bind(number, peer.local_addr().expect("an address")).expect("a channel");
        for _ in 0..count {
            client.say(number, &vec![7; size]);
            let mut bytes = [0; 2000];
            let (length, from) = peer.recv_from(&mut bytes).expect("a packet");
            peer.send_to(&bytes[..length], from).expect("sent");
            assert_eq!(client.hear().1.len(), size);
        }
        client
    };
    let client = tokio::task::spawn_blocking(move || talk(client, 0x4000, 10)).await.expect("a talk");
    until("usage is told", async || !api.usage(&format!("?key={id}")).await.is_empty()).await;
    until("all of it", async || api.usage(&format!("?key={id}&step=all")).await[0]["up"]["packets"] == 10).await;
    let usage = api.usage(&format!("?key={id}&tag=ann&step=all&split=tag")).await;
    let flow = json!({ "packets": 10, "bytes": 10_000 });
    assert_eq!(usage.len(), 1);
    assert_eq!((&usage[0]["up"], &usage[0]["down"]), (&flow, &flow));
    assert_eq!((&usage[0]["tag"], &usage[0]["key"], &usage[0]["sessions"]), (&json!("ann"), &json!(id), &json!(1)));
    let (_, shown) = api.operate(Method::GET, &format!("/api/v1/turn/keys/{id}"), Value::Null).await;
    assert_eq!(shown["month_bytes"], 20_000);
    assert!(api.usage("?key=").await.is_empty(), "nothing of the server's own");
    for wrong in ["?step=week", "?from=2&to=1", "?colour=red"] {
        let path = format!("/api/v1/turn/usage{wrong}");
        assert_eq!(api.operate(Method::GET, &path, Value::Null).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }

    let client = tokio::task::spawn_blocking(move || talk(client, 0x4001, 15)).await.expect("a talk");
    until("the session is ended", async || api.sessions("").await.is_empty()).await;
    drop(client);
    let (status, problem) = api.ask(&key, Method::POST, "/api/v1/turn/credentials", json!({})).await;
    assert_eq!((status, &problem["type"]), (StatusCode::TOO_MANY_REQUESTS, &json!("over_quota")));
    assert!(text(&problem["detail"]).contains("50000 of 50000 bytes"), "{problem}");
    assert_eq!(api.enter(&ann).await.1, Err(486), "what was handed out before is of no use either");
    // Also for a server that starts again; and with a larger bound it goes on.
    let api = Api::start_in(api.running.stop().await).await;
    assert_eq!(api.enter(&ann).await.1, Err(486));
    let (_, shown) = api.operate(Method::GET, &format!("/api/v1/turn/keys/{id}"), Value::Null).await;
    assert_eq!(shown["month_bytes"], 50_000);
    let more = json!({ "limits": { "bytes_per_month": 60_000 } });
    assert_eq!(api.operate(Method::PATCH, &format!("/api/v1/turn/keys/{id}"), more).await.0, StatusCode::OK);
    let (mut client, allocated) = api.enter(&ann).await;
    allocated.expect("an allocation");
    // What is relayed until the end is in the books.
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.bind(0x4000, peer.local_addr().expect("an address")).expect("a channel");
    client.say(0x4000, &[7; 500]);
    peer.recv_from(&mut [0; 2000]).expect("a packet");
    let api = Api::start_in(api.running.stop().await).await;
    let (_, shown) = api.operate(Method::GET, &format!("/api/v1/turn/keys/{id}"), Value::Null).await;
    assert_eq!(shown["month_bytes"], 50_500);
    api.running.stop().await;
}

/// Fifty packets of a thousand bytes at once; how many arrive.
fn flood(mut client: Client, number: u16) -> (Client, usize) {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    peer.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    client.bind(number, peer.local_addr().expect("an address")).expect("a channel");
    (0..50).for_each(|_| client.say(number, &[7; 1000]));
    let arrived = std::iter::from_fn(|| peer.recv_from(&mut [0; 2000]).ok()).count();
    (client, arrived)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_relays_so_many_bytes_per_second_from_the_start_after_a_change_and_after_a_restart() {
    let api = Api::start().await;
    // Two seconds' worth is let through at once.
    let limits = json!({ "bytes_per_second": 5_000 });
    let (id, key) = api.application(json!({ "name": "shop", "limits": limits })).await;
    let path = format!("/api/v1/turn/keys/{id}");
    let (_, shown) = api.operate(Method::GET, &path, Value::Null).await;
    assert_eq!(shown["limits"], limits);
    let ann = api.credential(&key, json!({ "tag": "ann" })).await;
    let flood_by = async |api: &Api, number: u16| {
        let (client, allocated) = api.enter(&ann).await;
        allocated.expect("an allocation");
        tokio::task::spawn_blocking(move || flood(client, number)).await.expect("a flood")
    };
    let (client, arrived) = flood_by(&api, 0x4000).await;
    assert!(arrived < 50, "{arrived}");

    let refused = json!({ "limits": { "bytes_per_second": 0 } });
    assert_eq!(api.operate(Method::PATCH, &path, refused).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(api.operate(Method::PATCH, &path, json!({ "limits": {} })).await.0, StatusCode::OK);
    let (client, arrived) = tokio::task::spawn_blocking(move || flood(client, 0x4001)).await.expect("a flood");
    assert_eq!(arrived, 50, "a session that is there is free, too");
    assert_eq!(api.operate(Method::PATCH, &path, json!({ "limits": limits })).await.0, StatusCode::OK);
    let (client, arrived) = tokio::task::spawn_blocking(move || flood(client, 0x4002)).await.expect("a flood");
    assert!(arrived < 50, "{arrived}");
    drop(client);

    let api = Api::start_in(api.running.stop().await).await;
    let (_, arrived) = flood_by(&api, 0x4000).await;
    assert!(arrived < 50, "{arrived}");
    api.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_of_the_command_line_are_known_to_a_running_server() {
    let api = Api::start().await;
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(["turn", "app"]).args(arguments).arg("--data-dir").arg(api.running.home.path());
        let output = command.output().expect("it runs");
        (output.status.success(), String::from_utf8(output.stdout).expect("text").trim().to_owned())
    };
    let (made, key) = run(&["add", "shop", "--monthly", "1GiB", "--per-second", "1MiB"]);
    assert!(made && key.starts_with("ta_"), "{key}");
    let credential = api.credential(&key, json!({})).await;
    assert!(api.enter(&credential).await.1.is_ok());
    let (_, list) = run(&["list"]);
    assert!(list.contains("  shop  made ") && list.ends_with("  monthly 1GiB  per second 1MiB"), "{list}");
    let id = list.split("  ").next().expect("an identity").to_owned();
    let change = ["change", &id, "--sessions", "1", "--monthly", "none", "--per-second", "5000B", "--name", "Shop"];
    let (changed, line) = run(&change);
    assert!(changed && line.contains("  Shop  made ") && line.ends_with("  sessions 1  per second 5000B"), "{line}");
    until("it has one session, and no more", async || api.enter(&credential).await.1 == Err(486)).await;
    assert!(run(&["change", &id, "--disable", "--origin", "https://app.example.org"]).1.ends_with("  disabled"));
    until("its session is ended", async || api.sessions("").await.is_empty()).await;
    let (enabled, line) = run(&["change", &id, "--enable", "--sessions", "none"]);
    assert!(enabled && line.ends_with("  per second 5000B  origins https://app.example.org"), "{line}");
    until("it may enter again", async || api.enter(&credential).await.1.is_ok()).await;
    assert!(!run(&["change", &id]).0 && !run(&["change", "nobody", "--enable"]).0);
    assert!(run(&["remove", &id]).0);
    assert!(!run(&["remove", &id]).0, "it is gone");
    until("the session is ended", async || api.sessions("").await.is_empty()).await;
    assert_eq!(api.enter(&credential).await.1, Err(401));
    api.running.stop().await;
}
