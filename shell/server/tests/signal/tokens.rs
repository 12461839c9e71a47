//! Joining with a token, over transports that ask whether it is good before they do anything else.

use serde_json::json;

use crate::harness::{Client, start};
use crate::polling::Poller;

fn join(token: &str) -> serde_json::Value {
    json!({ "type": "join", "room": "kitchen", "name": "Ann", "token": token })
}

#[tokio::test]
async fn what_is_said_behind_a_join_waits_for_its_token() {
    let server = start().await;
    let mut ann = Client::open(&server).await;
    ann.send(join("good.user-42")).await;
    ann.send(json!({ "type": "chat", "id": 1, "text": "already" })).await;
    let joined = ann.next().await;
    assert_eq!(joined["type"], "joined", "{joined}");
    assert_eq!(joined["participants"][0]["identity"], "user-42");
    assert_eq!(ann.next_of("reply").await["outcome"], "ok");
}

#[tokio::test]
async fn a_bad_token_is_refused_and_what_is_no_token_is_the_engines_business() {
    let server = start().await;
    for (token, detail) in
        [("bad.one", "it is bad"), ("apass", "the pass was used, is too old, or is for another room")]
    {
        let mut ann = Client::open(&server).await;
        ann.send(join(token)).await;
        let refused = ann.next().await;
        assert_eq!((refused["reason"].as_str(), refused["fatal"].as_bool()), (Some("bad_token"), Some(true)));
        assert_eq!(refused["detail"], detail);
        assert_eq!(ann.next_or_end().await, None);
    }
}

#[tokio::test]
async fn who_polls_joins_with_a_token_and_a_post_that_was_given_up_can_be_repeated() {
    let server = start().await;
    let mut ann = Poller::open(&server).await;
    let frames = json!([join("good.user-42"), { "type": "chat", "id": 1, "text": "already" }]);
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(10), ann.post(1, &frames)).await;
    assert!(given_up.is_err(), "the token takes longer than that");
    ann.send(frames).await;
    assert_eq!(ann.next_of("joined").await["participants"][0]["identity"], "user-42");
    assert_eq!(ann.next_of("reply").await["outcome"], "ok");
    let mut bob = Poller::open(&server).await;
    bob.send(json!([join("bad.one"), { "type": "chat", "id": 1, "text": "never said" }])).await;
    assert_eq!(bob.next_of("refused").await["reason"], "bad_token");
}
