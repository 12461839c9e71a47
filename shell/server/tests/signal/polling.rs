//! Long polling.

use serde_json::{Value, json};

use crate::harness::{Client, Server, start};

pub struct Poller {
    http: reqwest::Client,
    url: String,
    batch: u64,
    post: u64,
    frames: std::collections::VecDeque<Value>,
}

impl Poller {
    pub async fn open(server: &Server) -> Self {
        let http = reqwest::Client::new();
        let base = format!("http://{}/signal/poll", server.address);
        let opened: Value = http.post(&base).body("[]").send().await.unwrap().json().await.unwrap();
        let url = format!("{base}/{}", opened["id"].as_str().unwrap());
        Self { http, url, batch: 1, post: 1, frames: Default::default() }
    }

    pub async fn post(&self, post: u64, frames: &Value) -> u16 {
        let url = format!("{}?post={post}", self.url);
        self.http.post(url).body(frames.to_string()).send().await.unwrap().status().as_u16()
    }

    pub async fn send(&mut self, frames: Value) {
        assert_eq!(self.post(self.post, &frames).await, 204);
        self.post += 1;
    }

    async fn get(&self, batch: u64) -> reqwest::Response {
        self.http.get(format!("{}?batch={batch}", self.url)).send().await.unwrap()
    }

    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            while let Some(frame) = self.frames.pop_front() {
                if frame["type"] == kind {
                    return frame;
                }
            }
            let batch: Vec<Value> = self.get(self.batch).await.json().await.unwrap();
            if !batch.is_empty() {
                self.batch += 1;
            }
            self.frames.extend(batch);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_polls_and_one_with_a_websocket_talk() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "poll", "Ann").await;
    let mut bob = Poller::open(&server).await;
    bob.send(json!([{ "type": "join", "room": "poll", "name": "Bob" }])).await;
    bob.next_of("joined").await;
    bob.send(json!([
        { "type": "message", "id": 1, "data": 1 },
        { "type": "message", "id": 2, "data": 2 },
        { "type": "message", "id": 3, "data": 3 }
    ]))
    .await;
    for expected in 1..=3 {
        assert_eq!(ann.next_of("message").await["data"], expected);
    }
    ann.send(json!({ "type": "chat", "id": 1, "text": "hello" })).await;
    assert_eq!(bob.next_of("chat").await["text"], "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_post_is_not_handled_twice_and_a_left_out_one_is_refused() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "posts", "Ann").await;
    let mut bob = Poller::open(&server).await;
    bob.send(json!([{ "type": "join", "room": "posts", "name": "Bob" }])).await;
    let first = json!([{ "type": "message", "id": 1, "data": "first" }]);
    assert_eq!(bob.post(2, &first).await, 204);
    assert_eq!(bob.post(2, &first).await, 204);
    assert_eq!(bob.post(4, &json!([])).await, 409);
    assert_eq!(bob.post(3, &json!([{ "type": "message", "id": 2, "data": "second" }])).await, 204);
    assert_eq!(ann.next_of("message").await["data"], "first");
    assert_eq!(ann.next_of("message").await["data"], "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_answer_was_lost_is_given_again() {
    let server = start().await;
    let mut bob = Poller::open(&server).await;
    bob.send(json!([{ "type": "join", "room": "again", "name": "Bob" }])).await;
    let once = bob.get(1).await.text().await.unwrap();
    let again = bob.get(1).await.text().await.unwrap();
    assert!(once.contains("joined"));
    assert_eq!(once, again);
    assert_eq!(bob.get(3).await.status(), 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_from_websocket_to_polling_and_back() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "moves", "Ann").await;
    let (bob, joined) = Client::join(&server, "moves", "Bob").await;
    let token = joined["resume_token"].clone();
    drop(bob);
    ann.send(json!({ "type": "message", "id": 1, "data": "one" })).await;
    let mut polling = Poller::open(&server).await;
    polling.send(json!([{ "type": "resume", "token": token, "last": joined["n"] }])).await;
    polling.next_of("resumed").await;
    let one = polling.next_of("message").await;
    assert_eq!(one["data"], "one");
    assert_eq!(polling.http.delete(&polling.url).send().await.unwrap().status(), 204);
    ann.send(json!({ "type": "message", "id": 2, "data": "two" })).await;
    let mut bob = Client::open(&server).await;
    bob.send(json!({ "type": "resume", "token": token, "last": one["n"] })).await;
    assert_eq!(bob.next().await["type"], "resumed");
    assert_eq!(bob.next_of("message").await["data"], "two");
}

#[tokio::test]
async fn an_unknown_connection_and_a_body_that_is_no_array_are_refused_by_name() {
    let server = start().await;
    let mut bob = Poller::open(&server).await;
    assert_eq!(bob.post(1, &json!({ "type": "join" })).await, 400);
    assert_eq!(bob.post(1, &json!([{ "type": "join", "room": "a", "name": "x".repeat(300_000) }])).await, 413);
    bob.send(json!([{ "type": "sing" }])).await;
    assert_eq!(bob.next_of("refused").await["reason"], "unknown_type");
    bob.url.push('x');
    assert_eq!(bob.get(1).await.status(), 404);
}

#[tokio::test]
async fn who_polls_no_more_is_forgotten_and_seen_as_away() {
    let config = tandem_server::signal::Config {
        poll_idle: std::time::Duration::from_millis(100),
        ..tandem_server::signal::Config::default()
    };
    let server = crate::harness::start_with(crate::harness::engine_config(), config, None).await;
    let (mut ann, _) = Client::join(&server, "idle", "Ann").await;
    let mut bob = Poller::open(&server).await;
    bob.send(json!([{ "type": "join", "room": "idle", "name": "Bob" }])).await;
    loop {
        let changed = ann.next_of("participant_changed").await;
        if changed["participant"]["state"] == "away" {
            break;
        }
    }
    assert_eq!(bob.get(1).await.status(), 404);
}
