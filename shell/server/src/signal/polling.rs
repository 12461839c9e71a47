//! Long polling, for networks that let no WebSocket through. The same frames, the same session, the same resume.
//!
//! ```text
//!  POST   /signal/poll               [first frames]  → {"id": "…"}          a connection; `id` is its secret
//!  GET    /signal/poll/{id}?batch=1                  → [frame, frame, …]    waits until there is something, or `[]`
//!  POST   /signal/poll/{id}?post=1   [frames]        → 204                  in order
//!  DELETE /signal/poll/{id}                          → 204                  closes
//! ```
//!
//! Posts and batches are numbered from 1 without gaps, so a request that is repeated because its answer was lost does
//! nothing twice and loses nothing: an old post is answered and not handled; the last batch is given again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;
use tandem_api::signal::{ClientKind, Reason, ServerFrame};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, timeout};

use super::session::{Onward, Refusal, Session};
use super::{Shared, origin};
use crate::engine::{After, Outbox, encode};

/// A post may carry this many times the largest frame: all that gathered while the one before was on its way.
const POST_FRAMES: usize = 4;
/// Frames in one post.
const FRAMES: usize = 256;

/// All polling connections.
pub(super) struct Sessions {
    shared: Arc<Shared>,
    by_id: Mutex<HashMap<String, Arc<Poll>>>,
}

/// One polling connection.
struct Poll {
    outbox: Arc<Outbox>,
    /// Posts are handled one after the other.
    inward: AsyncMutex<Inward>,
    outward: AsyncMutex<Outward>,
    /// Says to a waiting request that a later one has taken its place, or that all is over.
    superseded: Notify,
    presence: Mutex<Presence>,
    /// Said when the connection is to end.
    ended: Notify,
}

struct Inward {
    /// Taken when the connection ends.
    session: Option<Session>,
    /// Number of the last post that was handled.
    last: u64,
}

#[derive(Default)]
struct Outward {
    /// Number of the batch in `body`.
    batch: u64,
    body: Vec<u8>,
    /// The outbox has given all it will ever give.
    finished: bool,
}

struct Presence {
    /// Requests that wait.
    waiting: usize,
    /// When the last one ended.
    since: Instant,
}

#[derive(Deserialize)]
pub(super) struct WhichPost {
    post: u64,
}

#[derive(Deserialize)]
pub(super) struct WhichBatch {
    batch: u64,
}

impl Sessions {
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, by_id: Mutex::default() })
    }

    fn find(&self, id: &str) -> Result<Arc<Poll>, Refusal> {
        self.lock().get(id).cloned().ok_or_else(|| {
            let detail = "expected the id of an open connection: open another one and resume";
            Refusal::new(StatusCode::NOT_FOUND, Reason::NotJoined, detail)
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Poll>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a connection that nobody asks for any more.
    async fn watch(self: Arc<Self>, id: String, poll: Arc<Poll>) {
        let idle = self.shared.config.poll_idle;
        loop {
            let rest = poll.presence().deadline(idle).saturating_duration_since(Instant::now());
            if rest.is_zero() || timeout(rest, poll.ended.notified()).await.is_ok() {
                break;
            }
        }
        self.lock().remove(&id);
        poll.superseded.notify_waiters();
        drop(poll.inward.lock().await.session.take());
    }
}

impl Poll {
    fn presence(&self) -> std::sync::MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    fn deadline(&self, idle: std::time::Duration) -> Instant {
        let since = if self.waiting > 0 { Instant::now() } else { self.since };
        since + idle
    }
}

/// Somebody waits for a batch: as long as this lives, the client is there.
struct Waiting(Arc<Poll>);

impl Waiting {
    fn new(poll: &Arc<Poll>) -> Self {
        poll.presence().waiting += 1;
        Self(Arc::clone(poll))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut presence = self.0.presence();
        presence.waiting = presence.waiting.saturating_sub(1);
        presence.since = Instant::now();
    }
}

/// `POST /signal/poll`.
pub(super) async fn open(State(sessions): State<Arc<Sessions>>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let shared = &sessions.shared;
    let pass = shared.gate.enter(origin::address(&parts))?;
    let frames = read_frames(body, shared.config.frame_bytes).await?;
    let Some(id) = unguessable() else {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Reason::ServerFull, "no randomness to be had"));
    };
    let origin = origin::of_request(&parts, ClientKind::Web);
    let session = Session::new(Arc::clone(shared), origin, pass);
    let poll = Arc::new(Poll {
        outbox: Arc::clone(&session.transport.outbox),
        inward: AsyncMutex::new(Inward { session: Some(session), last: 0 }),
        outward: AsyncMutex::default(),
        superseded: Notify::new(),
        presence: Mutex::new(Presence { waiting: 0, since: Instant::now() }),
        ended: Notify::new(),
    });
    sessions.lock().insert(id.clone(), Arc::clone(&poll));
    tokio::spawn(Arc::clone(&sessions).watch(id.clone(), Arc::clone(&poll)));
    handle_frames(&mut *poll.inward.lock().await, &frames).await;
    Ok(json(StatusCode::OK, format!(r#"{{"id":"{id}"}}"#)))
}

/// `POST /signal/poll/{id}?post=n`.
pub(super) async fn send(
    State(sessions): State<Arc<Sessions>>,
    Path(id): Path<String>,
    Query(WhichPost { post }): Query<WhichPost>,
    body: Body,
) -> Result<Response, Refusal> {
    let poll = sessions.find(&id)?;
    let frames = read_frames(body, sessions.shared.config.frame_bytes).await?;
    let mut inward = poll.inward.lock().await;
    let expected = inward.last.saturating_add(1);
    if post > expected || post == 0 {
        let detail = format!("expected post {expected}, got {post}");
        return Err(Refusal::new(StatusCode::CONFLICT, Reason::OutOfOrder, detail));
    }
    if post == expected {
        handle_frames(&mut inward, &frames).await;
        inward.last = post;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /signal/poll/{id}?batch=n`.
pub(super) async fn receive(
    State(sessions): State<Arc<Sessions>>,
    Path(id): Path<String>,
    Query(WhichBatch { batch }): Query<WhichBatch>,
) -> Result<Response, Refusal> {
    let poll = sessions.find(&id)?;
    // A request that the client has given up, unknown to us, must not swallow what is meant for this one.
    poll.superseded.notify_waiters();
    let superseded = poll.superseded.notified();
    let _waiting = Waiting::new(&poll);
    let mut outward = poll.outward.lock().await;
    if batch != outward.batch && batch != outward.batch.saturating_add(1) {
        let detail = format!("expected batch {} or {}, got {batch}", outward.batch, outward.batch.saturating_add(1));
        return Err(Refusal::new(StatusCode::CONFLICT, Reason::OutOfOrder, detail));
    }
    if batch > outward.batch {
        if outward.finished {
            poll.ended.notify_one();
            return Err(Refusal::new(StatusCode::GONE, Reason::NotJoined, "the connection has ended".to_owned()));
        }
        let next = tokio::select! {
            biased;
            next = timeout(sessions.shared.config.poll_wait, poll.outbox.next()) => next.ok(),
            () = superseded => None,
        };
        // An answer of nothing takes no number: the same batch is asked for again.
        let Some(next) = next else { return Ok(json(StatusCode::OK, "[]".to_owned())) };
        outward.finished = next.after != After::Wait;
        if next.after == After::Abort {
            poll.ended.notify_one();
            return Err(Refusal::new(
                StatusCode::GONE,
                Reason::TooMany,
                "too much was waiting: open and resume".to_owned(),
            ));
        }
        outward.batch = batch;
        outward.body = array(&next.frames);
    }
    Ok(json(StatusCode::OK, outward.body.clone()))
}

/// `DELETE /signal/poll/{id}`.
pub(super) async fn close(
    State(sessions): State<Arc<Sessions>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    sessions.find(&id)?.ended.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// Waits only for what the hello needs. A request that is dropped meanwhile has done nothing and may be repeated.
async fn handle_frames(inward: &mut Inward, frames: &[Box<RawValue>]) {
    let Some(session) = inward.session.as_mut() else { return };
    for frame in frames {
        let onward = if session.has_hello() {
            session.handle_text(frame.get())
        } else {
            Box::pin(session.handle_first(frame.get())).await
        };
        if onward == Onward::Close {
            // What was refused waits in the outbox, which is finished; the rest of the post is not read.
            return;
        }
    }
}

async fn read_frames(body: Body, frame_bytes: usize) -> Result<Vec<Box<RawValue>>, Refusal> {
    let limit = frame_bytes.saturating_mul(POST_FRAMES);
    let Ok(bytes) = to_bytes(body, limit).await else {
        let detail = format!("expected a body of at most {limit} bytes");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, detail));
    };
    let frames: Vec<Box<RawValue>> = serde_json::from_slice(&bytes).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, Reason::Malformed, format!("expected a JSON array of frames: {error}"))
    })?;
    if frames.len() > FRAMES {
        let detail = format!("expected at most {FRAMES} frames in one post, got {}", frames.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, detail));
    }
    Ok(frames)
}

fn array(frames: &VecDeque<ServerFrame>) -> Vec<u8> {
    let mut body = b"[".to_vec();
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        encode(&mut body, frame);
    }
    body.push(b']');
    body
}

fn json(status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 128 random bits: who knows them is the client.
fn unguessable() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
