//! A whole server with people in a room: what the API shows of them, and what becomes of them when the server restarts.

mod running;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use running::Running;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Person {
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
}

impl Person {
    async fn connect(running: &Running) -> Person {
        let url = format!("ws://{}/signal", running.server.address());
        let mut request = url.into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "tandem.v1".parse().expect("a header"));
        let (socket, _) = connect_async(request).await.expect("a socket");
        Person { socket }
    }

    async fn say(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.expect("sent");
    }

    /// The next frame of this type; others are passed over.
    async fn hear(&mut self, kind: &str) -> Value {
        loop {
            let message = self.socket.next().await.expect("more to hear").expect("a message");
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Reads on, as a browser does, so that the socket can be closed from the other side.
    async fn until_closed(mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    async fn join(running: &Running, name: &str) -> (Person, Value) {
        let mut person = Person::connect(running).await;
        person.say(json!({ "type": "join", "room": "blue-otter", "name": name })).await;
        let joined = person.hear("joined").await;
        (person, joined)
    }
}

/// Plain HTTP, as behind a proxy, so that the test needs no TLS of its own.
async fn start(home: Option<tempfile::TempDir>) -> Running {
    let home = home.unwrap_or_else(|| tempfile::tempdir().expect("a directory"));
    Running::start_in(home, |settings| settings.http.behind_proxy = true).await
}

async fn ask(running: &Running, method: reqwest::Method, key: &str, path: &str) -> (StatusCode, Value) {
    let url = format!("http://{}/api/v1{path}", running.server.address());
    let answer = running.client.request(method, url).bearer_auth(key).send().await.expect("an answer");
    (answer.status(), answer.json().await.unwrap_or(Value::Null))
}

async fn get(running: &Running, key: &str, path: &str) -> Value {
    ask(running, reqwest::Method::GET, key, path).await.1
}

#[tokio::test]
async fn people_are_shown_removed_and_remembered() {
    let running = start(None).await;
    let key = running.key().await;
    let (ann, _) = Person::join(&running, "Ann").await;
    let (mut bob, joined) = Person::join(&running, "Bob").await;

    let room = get(&running, &key, "/rooms/blue-otter").await;
    let names: Vec<&Value> =
        room["participants"].as_array().expect("people").iter().map(|person| &person["name"]).collect();
    assert_eq!(names, ["Ann", "Bob"]);

    let path = format!("/rooms/blue-otter/participants/{}", joined["you"].as_str().expect("an identity"));
    assert_eq!(ask(&running, reqwest::Method::DELETE, &key, &path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(bob.hear("out").await["reason"], "removed");
    assert_eq!(ask(&running, reqwest::Method::DELETE, &key, "/rooms/blue-otter").await.0, StatusCode::NO_CONTENT);

    // What was decided before the end is in the database after it.
    let (home, ()) = tokio::join!(running.stop(), ann.until_closed());
    let running = start(Some(home)).await;
    let sessions = get(&running, &key, "/sessions?room=blue-otter&ended=true").await;
    let session = sessions["sessions"].get(0).cloned().expect("the session");
    assert_eq!(session["end_reason"], "ended");
    let detail = get(&running, &key, &format!("/sessions/{}", session["id"].as_str().expect("an identity"))).await;
    let reasons: Vec<&Value> =
        detail["stays"].as_array().expect("stays").iter().map(|stay| &stay["leave_reason"]).collect();
    assert_eq!(reasons, ["ended", "removed"]);
    running.stop().await;
}

#[tokio::test]
async fn a_restart_tells_everyone_and_everyone_comes_back_to_the_same_place() {
    let running = start(None).await;
    let key = running.key().await;
    let (mut ann, joined) = Person::join(&running, "Ann").await;
    let session = get(&running, &key, "/rooms/blue-otter").await["session"].clone();

    let listen = async move {
        let told = ann.hear("draining").await;
        ann.until_closed().await;
        told
    };
    let (told, home) = tokio::join!(listen, running.stop());
    assert!(told["reconnect_ms"].is_u64(), "{told}");

    let running = start(Some(home)).await;
    let away = get(&running, &key, "/rooms/blue-otter").await;
    assert_eq!(away["participants"][0]["state"], "away");
    assert_eq!(away["session"], session, "the session goes on");
    let mut again = Person::connect(&running).await;
    again.say(json!({ "type": "resume", "token": joined["resume_token"], "last": 1 })).await;
    assert_eq!(again.hear("joined").await["you"], joined["you"]);
    assert_eq!(get(&running, &key, "/rooms/blue-otter").await["participants"][0]["state"], "here");
    tokio::join!(running.stop(), again.until_closed());
}

#[tokio::test]
async fn a_third_party_changes_who_may_do_what_and_sends_people_elsewhere() {
    let running = start(None).await;
    let key = running.key().await;
    let ask = async |method: Method, path: &str, body: Value| {
        let url = format!("http://{}/api/v1/rooms/{path}", running.server.address());
        let answer = running.client.request(method, url).bearer_auth(&key).json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), serde_json::from_str::<Value>(&answer.text().await.expect("a body")).ok())
    };
    let (mut ann, _) = Person::join(&running, "Ann").await;
    let (mut bo, _) = Person::join(&running, "Bo").await;

    let watch = json!({ "publish": {}, "subscribe": true, "data": true, "admin": false });
    let change = json!({ "name": "Bob", "metadata": "seat 7", "may": watch });
    let (status, bob) = ask(Method::PATCH, "blue-otter/participants/p2", change).await;
    assert_eq!((status, &bob.as_ref().expect("Bob")["metadata"]), (200, &json!("seat 7")));
    bo.say(json!({ "type": "media", "id": 1, "media": { "audio": true } })).await;
    assert_eq!(bo.hear("reply").await["reason"], "not_permitted");
    let (status, shown) = ask(Method::GET, "blue-otter/participants/p2", json!({})).await;
    let shown = shown.expect("Bob");
    assert_eq!((status, &shown["name"], &shown["media"]["audio"]), (200, &json!("Bob"), &json!(false)));
    assert_eq!(shown["may"]["publish"], json!({ "audio": false, "video": false, "screen": false }));
    assert_eq!(ask(Method::GET, "blue-otter/participants/p9", json!({})).await.0, 404);
    let stop = json!({ "stopped": true });
    assert_eq!(ask(Method::PATCH, "blue-otter/participants/p2/tracks/t1", stop).await.0, 404, "it sends nothing");

    assert_eq!(ask(Method::POST, "blue-otter/messages", json!({ "to": ["p1"], "data": { "n": 1 } })).await.0, 204);
    let message = ann.hear("message").await;
    assert_eq!((&message["from"], &message["data"]), (&json!(""), &json!({ "n": 1 })));
    assert_eq!(ask(Method::POST, "blue-otter/messages", json!({ "data": 1, "colour": 2 })).await.0, 400);

    let change = json!({ "locked": true, "metadata": "lesson 3" });
    let (status, room) = ask(Method::PATCH, "blue-otter", change).await;
    assert_eq!((status, &room.expect("a room")["metadata"]), (200, &json!("lesson 3")));
    let mut eve = Person::connect(&running).await;
    eve.say(json!({ "type": "join", "room": "blue-otter", "name": "Eve" })).await;
    assert_eq!(eve.hear("refused").await["reason"], "room_locked");

    assert_eq!(ask(Method::POST, "blue-otter/participants/p2/move", json!({ "to": "lounge" })).await.0, 409);
    let made = running.client.post(format!("http://{}/api/v1/rooms", running.server.address())).bearer_auth(&key);
    let made = made.json(&json!({ "name": "lounge", "tokens": true })).send().await.expect("an answer");
    assert_eq!(made.status().as_u16(), 201);
    assert_eq!(ask(Method::POST, "blue-otter/participants/p2/move", json!({ "to": "lounge" })).await.0, 204);
    let moved = bo.hear("moved").await;
    assert_eq!((&moved["room"], &bo.hear("out").await["reason"]), (&json!("lounge"), &json!("moved")));
    let mut bo = Person::connect(&running).await;
    bo.say(json!({ "type": "join", "room": "lounge", "name": "Bo", "token": moved["pass"] })).await;
    let joined = bo.hear("joined").await;
    assert_eq!(joined["participants"][0]["metadata"], "seat 7", "what was kept with him goes along");
    running.stop().await;
}
