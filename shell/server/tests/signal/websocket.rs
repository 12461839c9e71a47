//! The WebSocket transport.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::harness::{Client, engine_config, id_of, start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_in_a_room_hear_each_other() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "kitchen", "Ann").await;
    let (mut bob, joined) = Client::join(&server, "kitchen", "Bob").await;
    assert_eq!(joined["participants"].as_array().unwrap().len(), 2);
    assert_eq!(ann.next_of("participant_joined").await["participant"]["name"], "Bob");
    ann.send(json!({ "type": "message", "id": 1, "data": { "hello": ["Bob"] } })).await;
    assert_eq!(ann.next_of("reply").await["outcome"], "ok");
    assert_eq!(bob.next_of("message").await["data"], json!({ "hello": ["Bob"] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_messages_arrive_in_order() {
    const MESSAGES: u64 = 20_000;
    // Ann does not wait for replies, and Bob reads when he can.
    let engine = tandem_engine::Config { backlog_events: 50_000, backlog_bytes: 64 << 20, ..engine_config() };
    let server = start_with(engine, tandem_server::signal::Config::default(), None).await;
    let (ann, _) = Client::join(&server, "order", "Ann").await;
    let (mut bob, joined) = Client::join(&server, "order", "Bob").await;
    let bob_id = id_of(&joined);
    let (mut say, mut hear) = ann.ws.split();
    let talking = tokio::spawn(async move {
        for id in 1..=MESSAGES {
            let frame = json!({ "type": "message", "id": id, "to": bob_id, "data": id });
            say.feed(Message::text(frame.to_string())).await.unwrap();
        }
        say.flush().await.unwrap();
        // Held open until the last one has arrived.
        say
    });
    let reading = tokio::spawn(async move {
        while let Some(Ok(Message::Text(text))) = hear.next().await {
            assert!(!text.contains("refused"), "{text}");
        }
    });
    for expected in 1..=MESSAGES {
        let event = bob.next_of("message").await;
        assert_eq!(event["data"], expected);
    }
    let _say = talking.await.unwrap();
    reading.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_resumes_without_losing_or_doubling_anything() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "resume", "Ann").await;
    let (bob, joined) = Client::join(&server, "resume", "Bob").await;
    let token = joined["resume_token"].clone();
    let mut last = joined["n"].as_u64().unwrap();
    let mut id = 0;
    let mut heard = Vec::new();
    let mut connection = Some(bob);
    for round in 0..5 {
        if let Some(mut bob) = connection.take() {
            // Reads some, and is torn away without a word while more is on its way.
            while heard.len() < round * 10 {
                let event = bob.next().await;
                last = event["n"].as_u64().unwrap_or(last);
                if event["type"] == "message" {
                    heard.push(event["data"].as_u64().unwrap());
                }
            }
            drop(bob);
        }
        for _ in 0..10 {
            id += 1;
            ann.send(json!({ "type": "message", "id": id, "data": id })).await;
        }
        while ann.next_of("reply").await["to"] != id {}
        let mut bob = Client::open(&server).await;
        bob.send(json!({ "type": "resume", "token": token, "last": last })).await;
        assert_eq!(bob.next().await["type"], "resumed");
        connection = Some(bob);
    }
    let mut bob = connection.take().unwrap();
    while heard.len() < 50 {
        let event = bob.next().await;
        assert_eq!(event["n"].as_u64().unwrap(), last + 1, "{event}");
        last += 1;
        if event["type"] == "message" {
            heard.push(event["data"].as_u64().unwrap());
        }
    }
    assert_eq!(heard, (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_subprotocol_is_confirmed_when_offered() {
    let server = start().await;
    let mut request = format!("ws://{}/signal", server.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("other, tandem.v1"));
    let (_, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "tandem.v1");
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_and_one_of_ours_is_not() {
    let server = start().await;
    let with_origin = |origin: String| {
        let mut request = format!("ws://{}/signal", server.address).into_client_request().unwrap();
        request.headers_mut().insert("origin", HeaderValue::try_from(origin).unwrap());
        tokio_tungstenite::connect_async(request)
    };
    assert!(with_origin("https://evil.example".into()).await.unwrap_err().to_string().contains("403"));
    with_origin(format!("http://{}", server.address)).await.unwrap();
}

#[tokio::test]
async fn a_plain_request_is_told_what_was_expected() {
    let server = start().await;
    let response = reqwest::get(format!("http://{}/signal", server.address)).await.unwrap();
    assert_eq!(response.status(), 400);
    let refused: serde_json::Value = response.json().await.unwrap();
    assert_eq!(refused["reason"], "malformed");
    assert!(refused["detail"].as_str().unwrap().contains("Upgrade: websocket"));
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name_and_too_much_of_it_closes() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "names", "Ann").await;
    let cases = [
        ("{", "malformed"),
        (r#"{"type":"dance","id":1}"#, "unknown_type"),
        (r#"{"type":"chat","id":1}"#, "malformed"),
        (r#"{"type":"join","room":"a","name":"b"}"#, "already_joined"),
    ];
    for (text, reason) in cases {
        ann.ws.send(Message::text(text)).await.unwrap();
        let refused = ann.next_of("refused").await;
        assert_eq!((refused["reason"].as_str().unwrap(), refused["fatal"].as_bool().unwrap()), (reason, false));
    }
    // The refused frames took no number.
    ann.send(json!({ "type": "chat", "id": 1, "text": "still here" })).await;
    assert_eq!(ann.next_of("reply").await["outcome"], "ok");
    for _ in 0..10 {
        ann.ws.send(Message::text("{")).await.unwrap();
    }
    let mut last = serde_json::Value::Null;
    while let Some(frame) = ann.next_or_end().await {
        last = frame;
    }
    assert_eq!((last["type"].as_str(), last["fatal"].as_bool()), (Some("refused"), Some(true)));
}

#[tokio::test]
async fn who_looks_is_told_who_is_there_and_the_connection_ends() {
    let server = start().await;
    let (_ann, _) = Client::join(&server, "window", "Ann").await;
    let mut passer_by = Client::open(&server).await;
    passer_by.send(json!({ "type": "look", "room": "window" })).await;
    let seen = passer_by.next().await;
    assert_eq!(seen, json!({ "type": "seen", "door": "open", "participants": 1, "names": ["Ann"] }));
    assert_eq!(passer_by.next_or_end().await, None);
}

#[tokio::test]
async fn the_first_message_must_be_a_hello() {
    let server = start().await;
    let mut client = Client::open(&server).await;
    client.send(json!({ "type": "chat", "id": 1, "text": "hello?" })).await;
    assert_eq!(client.next().await["reason"], "not_joined");
}

#[tokio::test]
async fn who_says_nothing_is_asked_to_leave() {
    let config = tandem_server::signal::Config {
        hello_timeout: std::time::Duration::from_millis(50),
        ..tandem_server::signal::Config::default()
    };
    let server = start_with(engine_config(), config, None).await;
    let mut client = Client::open(&server).await;
    assert_eq!(client.next().await["reason"], "not_joined");
    assert!(client.next_or_end().await.is_none());
}

#[tokio::test]
async fn who_gives_no_sign_of_life_is_away() {
    let config = tandem_server::signal::Config {
        ping_interval: std::time::Duration::from_millis(50),
        ..tandem_server::signal::Config::default()
    };
    let server = start_with(engine_config(), config, None).await;
    let (mut ann, _) = Client::join(&server, "life", "Ann").await;
    // Bob's connection stays open and is never read: no ping of ours is answered.
    let (_bob, _) = Client::join(&server, "life", "Bob").await;
    loop {
        let changed = ann.next_of("participant_changed").await;
        if changed["participant"]["name"] == "Bob" {
            assert_eq!(changed["participant"]["state"], "away");
            break;
        }
    }
}

#[tokio::test]
async fn a_draining_server_says_so_to_everyone() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "drain", "Ann").await;
    server.engine.drain(std::time::Duration::from_secs(3)).unwrap();
    assert_eq!(ann.next_of("draining").await["reconnect_ms"], 3000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_arrive_as_they_were_sent() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "numbers", "Ann").await;
    let (mut bob, _) = Client::join(&server, "numbers", "Bob").await;
    // The nearest double to each is hard to find; found by the fuzz target `signal_frame`.
    for (id, number) in (1..).zip(["4.5e300", "2.2250738585072014e-308", "1.7976931348623157e308", "0.1"]) {
        let said = format!(r#"{{"type":"message","id":{id},"data":{number}}}"#);
        ann.ws.send(tokio_tungstenite::tungstenite::Message::text(said)).await.unwrap();
        let heard = bob.next_of("message").await["data"].as_f64().unwrap();
        assert_eq!(heard.to_bits(), number.parse::<f64>().unwrap().to_bits(), "{number} arrived as {heard:e}");
    }
}
