//! The same load at a Janus (its videoroom by HTTP and JSON), to have something to compare with.

use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::{Context as _, bail};
use axum::http::Method;
use serde_json::{Value, json};

use super::http::Connection;
use super::join::Session;

/// A room of a Janus, and who publishes there.
pub struct Janus {
    room: u64,
    feeds: Mutex<Vec<u64>>,
}

impl Janus {
    /// Makes the room.
    pub async fn new(at: &mut Connection) -> anyhow::Result<Self> {
        let session = attach(at).await?;
        let room = u64::from(std::process::id());
        let body = json!({
            "request": "create", "room": room, "publishers": 1000, "bitrate": 0, "fir_freq": 0,
            "audiocodec": "opus", "videocodec": "vp8", "videoorient_ext": false, "playoutdelay_ext": false,
        });
        let made = message(at, &session, body, None).await?;
        let made = made.pointer("/plugindata/data/videoroom").and_then(Value::as_str).unwrap_or_default().to_owned();
        if made != "created" {
            bail!("Janus: expected a room to be created, got {made:?}");
        }
        Ok(Self { room, feeds: Mutex::new(Vec::new()) })
    }

    pub async fn publish(&self, at: &mut Connection, number: u16, offer: String) -> anyhow::Result<(String, Session)> {
        let session = attach(at).await?;
        let body = json!({
            "request": "joinandconfigure", "ptype": "publisher", "room": self.room, "display": format!("publisher-{number}"),
        });
        message(at, &session, body, Some(json!({ "type": "offer", "sdp": offer, "trickle": false }))).await?;
        let joined = event_with_description(at, &session).await?;
        let feed =
            joined.pointer("/plugindata/data/id").and_then(Value::as_u64).context("Janus: a publisher without id")?;
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).push(feed);
        Ok((description(&joined)?, Session::Janus(session)))
    }

    /// What it offers, and in which session.
    pub async fn subscribe(&self, at: &mut Connection) -> anyhow::Result<(String, String)> {
        let session = attach(at).await?;
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let streams: Vec<Value> = feeds.iter().map(|feed| json!({ "feed": feed })).collect();
        let body = json!({ "request": "join", "ptype": "subscriber", "room": self.room, "streams": streams });
        message(at, &session, body, None).await?;
        let offered = event_with_description(at, &session).await?;
        Ok((description(&offered)?, session))
    }

    pub async fn answer(&self, at: &mut Connection, session: &str, answer: String) -> anyhow::Result<()> {
        let description = json!({ "type": "answer", "sdp": answer, "trickle": false });
        message(at, session, json!({ "request": "start" }), Some(description)).await.map(|_| ())
    }

    pub async fn end(at: &mut Connection, session: &str) -> anyhow::Result<()> {
        let own = session.rsplit_once('/').map_or(session, |(own, _)| own);
        ask(at, own, json!({ "janus": "destroy" })).await.map(|_| ())
    }
}

/// A session with a handle of the plugin: the path of both.
async fn attach(at: &mut Connection) -> anyhow::Result<String> {
    let id = |answer: &Value| answer.pointer("/data/id").and_then(Value::as_u64).context("Janus: an answer without id");
    let session = id(&ask(at, "", json!({ "janus": "create" })).await?)?;
    let path = format!("/{session}");
    let handle = id(&ask(at, &path, json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" })).await?)?;
    Ok(format!("{path}/{handle}"))
}

async fn message(at: &mut Connection, session: &str, body: Value, description: Option<Value>) -> anyhow::Result<Value> {
    let mut request = json!({ "janus": "message", "body": body });
    if let (Some(description), Some(request)) = (description, request.as_object_mut()) {
        request.insert("jsep".to_owned(), description);
    }
    ask(at, session, request).await
}

async fn ask(at: &mut Connection, path: &str, mut request: Value) -> anyhow::Result<Value> {
    if let Some(request) = request.as_object_mut() {
        request.insert("transaction".to_owned(), json!("bench"));
    }
    let answer = at.ask(Method::POST, path, ("application/json", request.to_string())).await?;
    checked(&answer.text)
}

/// Waits for what comes by itself, until it is a description.
async fn event_with_description(at: &mut Connection, session: &str) -> anyhow::Result<Value> {
    let own = session.rsplit_once('/').map_or(session, |(own, _)| own).to_owned();
    for _ in 0..MOST_EVENTS {
        let answer = at.ask(Method::GET, &format!("{own}?maxev=1"), ("", String::new())).await?;
        let event = checked(&answer.text)?;
        if event.get("jsep").is_some() {
            return Ok(event);
        }
    }
    bail!("Janus: no description among {MOST_EVENTS} events")
}

fn checked(text: &str) -> anyhow::Result<Value> {
    let answer: Value = serde_json::from_str(text).context("Janus: expected JSON")?;
    let error = answer.pointer("/error/reason").or_else(|| answer.pointer("/plugindata/data/error"));
    match error.and_then(Value::as_str) {
        Some(reason) => bail!("Janus: {reason}"),
        None => Ok(answer),
    }
}

fn description(event: &Value) -> anyhow::Result<String> {
    let sdp = event.pointer("/jsep/sdp").and_then(Value::as_str);
    sdp.map(str::to_owned).context("Janus: a description without sdp")
}

const MOST_EVENTS: usize = 20;
