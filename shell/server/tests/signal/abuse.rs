//! Clients that mean no good: what they hold stays bounded, and other rooms do not notice. Measured by counts, not time.

use futures_util::SinkExt;
use serde_json::json;
use tandem_server::engine::OutboxLimits;
use tandem_server::signal::{Config, GateLimits};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, engine_config, start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sockets_from_one_address_gets_as_many_as_the_limit_and_a_clear_word() {
    const LIMIT: usize = 50;
    let gate = GateLimits { total: 10_000, per_address: LIMIT };
    let server = start_with(engine_config(), Config { gate, ..Config::default() }, None).await;
    let (mut ann, _) = Client::join(&server, "calm", "Ann").await;
    let (mut bob, _) = Client::join(&server, "calm", "Bob").await;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..500 {
        match tokio_tungstenite::connect_async(format!("ws://{}/signal", server.address)).await {
            Ok((socket, _)) => open.push(socket),
            Err(error) => {
                assert!(error.to_string().contains("429"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((open.len(), refused), (LIMIT - 2, 500 - (LIMIT - 2)));
    ann.send(json!({ "type": "message", "id": 1, "data": "undisturbed" })).await;
    assert_eq!(bob.next_of("message").await["data"], "undisturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_description_of_a_megabyte_is_refused_before_it_is_read() {
    let server = start().await;
    let (mut ann, _) = Client::join(&server, "large", "Ann").await;
    let (mut bob, joined) = Client::join(&server, "large", "Bob").await;
    let offer =
        json!({ "type": "offer", "id": 1, "to": joined["room"]["host"], "epoch": 1, "sdp": "x".repeat(1 << 20) });
    // The server stops reading in the middle of it: the rest may find the connection closed.
    let _ = bob.ws.send(Message::text(offer.to_string())).await;
    loop {
        let changed = ann.next_of("participant_changed").await;
        if changed["participant"]["state"] == "away" {
            break;
        }
    }
    let (mut carl, _) = Client::join(&server, "large", "Carl").await;
    carl.send(json!({ "type": "message", "id": 1, "data": "undisturbed" })).await;
    assert_eq!(ann.next_of("message").await["data"], "undisturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_loses_its_transport_and_nobody_else_notices() {
    let outbox = OutboxLimits { frames: 100, bytes: 64 << 10 };
    let engine = tandem_engine::Config { backlog_events: 200, ..engine_config() };
    let server = start_with(engine, Config::default(), Some(outbox)).await;
    let (mut ann, _) = Client::join(&server, "slow", "Ann").await;
    let (mut bob, _) = Client::join(&server, "slow", "Bob").await;
    let (_deaf, joined) = Client::join(&server, "slow", "Deaf").await;
    let deaf = joined["you"].clone();
    let mut gone = false;
    let mut id = 0;
    // The kernel's buffers fill first, then ours: at the latest when the backlog is full the seat is lost.
    while !gone {
        id += 1;
        assert!(id < 2_000, "nothing stops what is kept for a client that never reads");
        ann.send(json!({ "type": "message", "id": id, "data": "x".repeat(16 << 10) })).await;
        loop {
            let frame = ann.next().await;
            ann.send(json!({ "type": "ack", "n": frame["n"] })).await;
            gone |= frame["type"] == "participant_left" && frame["participant"] == deaf;
            if frame["type"] == "reply" && frame["to"] == id {
                break;
            }
        }
        let message = bob.next_of("message").await;
        bob.send(json!({ "type": "ack", "n": message["n"] })).await;
    }
}

#[tokio::test]
async fn binary_messages_and_broken_frames_are_refused_by_name() {
    let server = start().await;
    let mut client = Client::open(&server).await;
    client.ws.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    let refused = client.next().await;
    assert_eq!((refused["reason"].as_str(), refused["fatal"].as_bool()), (Some("malformed"), Some(true)));
    assert!(refused["detail"].as_str().unwrap().contains("binary"));
    assert!(client.next_or_end().await.is_none());
}

#[tokio::test]
async fn every_unicode_trick_in_a_room_name_is_refused_or_harmless() {
    let server = start().await;
    for name in ["", " ", "a/b", "\u{202e}abc", "a\u{0}b", "a\nb", "\u{feff}x", "../..", &"é".repeat(1000)] {
        let mut client = Client::open(&server).await;
        client.send(json!({ "type": "join", "room": name, "name": "Ann" })).await;
        let answer = client.next().await;
        assert!(answer["type"] == "joined" || answer["reason"] == "bad_name", "{name:?}: {answer}");
    }
}
