//! Tokens against a whole server: made by commands, by the API and by the libraries' rules; taken by signalling and by the API.

mod running;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use running::Running;
use serde_json::{Value, json};
use tandem_server::tokens::{Claims, Video, sign};
use tandem_store::Signer;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// Plain HTTP, as behind a proxy; nobody enters without a token.
async fn start() -> Running {
    let home = tempfile::tempdir().expect("a directory");
    Running::start_in(home, |settings| {
        settings.http.behind_proxy = true;
        settings.rooms.tokens = true;
        settings.limits.api_failures_per_minute = 6;
    })
    .await
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn signer(key: &str) -> Signer {
    Signer::of_key(key).expect("a key")
}

fn claims(key: &str, video: Video) -> Claims {
    let video = Video { room: Some("kitchen".into()), ..video };
    Claims {
        iss: signer(key).id,
        sub: Some("user-42".into()),
        name: Some("Ann".into()),
        exp: now() + 60,
        video: Some(video),
        ..Claims::default()
    }
}

fn entering() -> Video {
    Video { room_join: true, ..Video::default() }
}

/// What the server says first to whoever joins the kitchen so.
async fn join(running: &Running, token: Option<&str>) -> Value {
    let url = format!("ws://{}/signal", running.server.address());
    let (mut socket, _) = connect_async(url).await.expect("a socket");
    let join = json!({ "type": "join", "room": "kitchen", "name": "Somebody", "token": token });
    socket.send(Message::text(join.to_string())).await.expect("sent");
    loop {
        if let Message::Text(text) = socket.next().await.expect("an answer").expect("a message") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

async fn ask(running: &Running, method: Method, bearer: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let url = format!("http://{}/api/v1{path}", running.server.address());
    let mut request = running.client.request(method, url).bearer_auth(bearer);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.unwrap_or(Value::Null))
}

fn tandem(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments).arg("--data-dir").arg(home).output().expect("it runs")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_enters_with_a_token_and_is_who_it_says() {
    let running = start().await;
    let key = running.key().await;
    assert_eq!(join(&running, None).await["reason"], "token_needed");
    let token = sign(&claims(&key, entering()), &signer(&key)).expect("a token");
    let joined = join(&running, Some(&token)).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    let ann = &joined["participants"][0];
    assert_eq!((ann["name"].as_str(), ann["identity"].as_str()), (Some("Ann"), Some("user-42")));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_says_why_and_guessing_is_not_free() {
    let running = start().await;
    let key = running.key().await;
    let good = claims(&key, entering());
    let other = Signer { secret: "another".into(), ..signer(&key) };
    let unknown = Claims { iss: "000000000000".into(), ..good.clone() };
    let expired = Claims { exp: now() - 60, ..good.clone() };
    let hidden = claims(&key, Video { hidden: true, ..entering() });
    let elsewhere = Video { room: Some("garden".into()), ..entering() };
    let elsewhere = Claims { video: Some(elsewhere), ..good.clone() };
    for (claims, signer, says) in [
        (&good, &other, "signature is wrong"),
        (&unknown, &other, "the key `000000000000`, which is unknown"),
        (&expired, &signer(&key), "has expired: it was good until "),
        (&hidden, &signer(&key), "seen by the others"),
        (&elsewhere, &signer(&key), "for the room `garden`"),
    ] {
        let refused = join(&running, Some(&sign(claims, signer).expect("a token"))).await;
        assert_eq!(refused["reason"], "bad_token", "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{refused}");
    }
    for _ in 0..4 {
        assert_eq!(join(&running, Some("no.token.atall")).await["reason"], "bad_token");
    }
    // Two and four that nobody with the key has made.
    let token = sign(&good, &signer(&key)).expect("a token");
    assert_eq!(join(&running, Some(&token)).await["reason"], "too_many");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_as_long_as_its_key() {
    let running = start().await;
    let key = running.key().await;
    let token = sign(&claims(&key, entering()), &signer(&key)).expect("a token");
    assert_eq!(join(&running, Some(&token)).await["type"], "joined");
    let listed = printed(&tandem(running.home.path(), &["key", "list"]));
    assert!(!listed.contains("never used"), "a token is a use of its key: {listed}");
    printed(&tandem(running.home.path(), &["key", "revoke", &signer(&key).id]));
    let refused = join(&running, Some(&token)).await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("revoked")), "{refused}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_makes_tokens_and_takes_them_for_what_they_grant() {
    let running = start().await;
    let key = running.key().await;
    let wanted = json!({ "room": "kitchen", "identity": "chair", "admin": true, "publish": ["microphone"], "ttl": 60 });
    let (status, made) = ask(&running, Method::POST, &key, "/tokens", Some(wanted)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let token = made["token"].as_str().expect("a token");
    let link = made["link"].as_str().expect("a link");
    assert!(link.starts_with("https://127.0.0.1:") && link.ends_with(&format!("/r/kitchen#token={token}")), "{link}");
    assert!(made["expires_at"].as_u64().is_some_and(|at| at > now() * 1000));
    let joined = join(&running, Some(token)).await;
    let may = json!({
        "publish": { "audio": true, "video": false, "screen": false }, "subscribe": true, "data": true, "admin": true,
    });
    assert_eq!(joined["participants"][0]["may"], may);

    let create = Video { room_create: true, ..Video::default() };
    let maker = sign(&claims(&key, create), &signer(&key)).expect("a token");
    let list = Video { room_list: true, ..Video::default() };
    let lister = sign(&claims(&key, list), &signer(&key)).expect("a token");
    for (bearer, method, path, status) in [
        (token, Method::GET, "/rooms/kitchen", StatusCode::OK),
        (token, Method::GET, "/rooms/garden", StatusCode::FORBIDDEN),
        (token, Method::GET, "/rooms", StatusCode::FORBIDDEN),
        (token, Method::GET, "/sessions", StatusCode::FORBIDDEN),
        (token, Method::POST, "/tokens", StatusCode::FORBIDDEN),
        (token, Method::GET, "/turn/keys", StatusCode::FORBIDDEN),
        (&lister, Method::GET, "/rooms", StatusCode::OK),
        (&maker, Method::POST, "/rooms", StatusCode::CREATED),
        (&maker, Method::GET, "/rooms/kitchen", StatusCode::FORBIDDEN),
        (&maker, Method::DELETE, "/rooms/kitchen", StatusCode::NO_CONTENT),
        ("a.b.c", Method::GET, "/rooms", StatusCode::UNAUTHORIZED),
    ] {
        let (got, answer) = ask(&running, method.clone(), bearer, path, None).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
    }
    for (body, says) in [
        (json!({ "identity": "x" }), "room: expected"),
        (json!({ "room": "a", "identity": "x", "ttl": 0 }), "ttl: expected"),
        (json!({ "room": "a", "identity": "x", "publish": ["hologram"] }), "hologram"),
        (json!({ "room": "a", "identity": "x", "colour": "red" }), "colour"),
    ] {
        let (status, problem) = ask(&running, Method::POST, &key, "/tokens", Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{problem}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_make_tokens_show_them_and_print_what_signs() {
    let running = start().await;
    let key = running.key().await;
    let (home, id) = (running.home.path(), signer(&key).id);
    assert_eq!(printed(&tandem(home, &["key", "secret", &id])), signer(&key).secret);

    let another = tandem(home, &["key", "create", "--name", "another"]);
    let Signer { id: other, secret } = signer(&printed(&another));
    let said = String::from_utf8_lossy(&another.stderr);
    assert!(said.contains(&format!("API key {other}, API secret {secret}")), "{said}");

    let made = ["token", "create", "--key-id", &id, "--room", "kitchen", "--identity", "user-42", "--name", "Ann"];
    let token = printed(&tandem(home, &made));
    assert_eq!(join(&running, Some(&token)).await["participants"][0]["name"], "Ann");
    let link =
        ["token", "create", "--key", &key, "--room", "kitchen", "--identity", "x", "--link", "https://a.example"];
    let link = printed(&tandem(home, &link));
    assert!(link.starts_with("https://a.example/r/kitchen#token="), "{link}");

    let shown = printed(&tandem(home, &["token", "show", &link]));
    assert!(shown.contains("identity    x") && shown.ends_with("This server takes it."), "{shown}");
    let forged = tandem(home, &["token", "show", &format!("{token}x")]);
    assert!(!forged.status.success());
    let (shown, said) = (String::from_utf8_lossy(&forged.stdout), String::from_utf8_lossy(&forged.stderr));
    assert!(shown.contains("name        Ann") && said.contains("signature is wrong"), "{shown}{said}");

    for (arguments, says) in [
        (vec!["--key-id", "000000000000"], "no valid key"),
        (vec!["--key", "secret"], "expected an API key"),
        (vec!["--key-id", &id, "--publish", "hologram"], "hologram"),
        (vec!["--key-id", &id, "--link", "a.example"], "--link: expected"),
        (vec![], "--key"),
    ] {
        let all = [vec!["token", "create", "--room", "kitchen", "--identity", "x"], arguments].concat();
        let refused = tandem(home, &all);
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(says) && refused.stdout.is_empty(), "{said}");
    }
    running.stop().await;
}
