//! What is the same under every transport: text in, refused by name or handed to the engine.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tandem_api::signal::{ClientFrame, Hello, Note, ParseError, Reason, parse_frame, parse_hello};
use tandem_engine::{Grants, Origin};

use super::gate::Shut;
use super::{Pass, Shared};
use crate::engine::Transport;
use crate::metrics;
use crate::tokens::is_token;

/// Frames that could not be understood before the transport is closed. An honest client sends none.
const STRIKES: u8 = 10;

/// Whether the transport goes on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Onward {
    /// Read the next frame.
    Read,
    /// Write what waits, then close.
    Close,
}

/// One connection on its way into a room, and in it.
pub(super) struct Session {
    shared: Arc<Shared>,
    pub transport: Transport,
    /// Until the hello has taken it along.
    origin: Option<Origin>,
    strikes: u8,
    /// With Socket.IO the connection holds it.
    _pass: Option<Pass>,
}

impl Session {
    pub fn new(shared: Arc<Shared>, origin: Origin, pass: impl Into<Option<Pass>>) -> Self {
        let transport = shared.engine.open();
        Self { shared, transport, origin: Some(origin), strikes: 0, _pass: pass.into() }
    }

    /// Whether `join` or `resume` has come.
    pub fn has_hello(&self) -> bool {
        self.origin.is_none()
    }

    /// A later frame as text.
    pub fn handle_text(&mut self, text: &str) -> Onward {
        if text.len() > self.shared.config.frame_bytes {
            return self.too_large(text.len());
        }
        match parse_frame(text) {
            Ok(frame) => self.handle_frame(frame),
            Err(error) => self.misunderstood(error),
        }
    }

    /// A frame as long as no hello has come: whether the token in it is good is asked first. May be dropped while waiting; what
    /// was said can then be said again.
    pub async fn handle_first(&mut self, text: &str) -> Onward {
        if text.len() > self.shared.config.frame_bytes {
            return self.too_large(text.len());
        }
        let hello = match parse_hello(text) {
            Ok(hello) => hello,
            Err(error) => return self.misunderstood(error),
        };
        let token = match (&hello, &self.origin) {
            (Hello::Join(join), Some(origin)) => {
                join.token.clone().filter(|token| is_token(token)).map(|token| (origin.address, token))
            }
            _ => None,
        };
        let Some((address, token)) = token else { return self.handle_hello(hello) };
        match (self.shared.verify_token)(address, token).await {
            Ok(grants) => self.enter(hello, Some(grants.into())),
            Err((reason, detail)) => self.refuse(reason, detail),
        }
    }

    pub fn handle_hello(&mut self, hello: Hello) -> Onward {
        self.enter(hello, None)
    }

    fn enter(&mut self, hello: Hello, grants: Option<Box<Grants>>) -> Onward {
        let Some(origin) = self.origin.take() else {
            return self.refuse(Reason::AlreadyJoined, "this connection is already in a room".to_owned());
        };
        match self.shared.engine.hello(&self.transport, origin, hello, grants) {
            Ok(()) => Onward::Read,
            Err(stopped) => self.refuse(Reason::Draining, stopped.to_string()),
        }
    }

    pub fn handle_frame(&mut self, frame: ClientFrame) -> Onward {
        match self.shared.engine.frame(self.transport.id, frame) {
            Ok(()) => Onward::Read,
            Err(stopped) => self.refuse(Reason::Draining, stopped.to_string()),
        }
    }

    /// No hello came in time.
    pub fn no_hello(&self) -> Onward {
        let seconds = self.shared.config.hello_timeout.as_secs();
        self.refuse(Reason::NotJoined, format!("expected `join`, `resume` or `look` within {seconds} s"))
    }

    /// A frame of more bytes than allowed.
    pub fn too_large(&self, got: usize) -> Onward {
        let limit = self.shared.config.frame_bytes;
        self.refuse(Reason::TooLarge, format!("expected a frame of at most {limit} bytes, got {got}"))
    }

    /// Something that is not text.
    pub fn binary(&self) -> Onward {
        self.refuse(Reason::Malformed, "expected JSON as text, got a binary message".to_owned())
    }

    /// A frame that is not one. The transport closes when there are too many of them.
    pub fn misunderstood(&mut self, error: ParseError) -> Onward {
        self.strikes = self.strikes.saturating_add(1);
        let fatal = self.strikes >= STRIKES;
        count(error.reason);
        self.transport.outbox.note(error.into_note(fatal));
        if fatal { self.end() } else { Onward::Read }
    }

    /// Refuses by name and closes.
    pub fn refuse(&self, reason: Reason, detail: String) -> Onward {
        count(reason);
        self.transport.outbox.note(Note::Refused { reason, detail, fatal: true });
        self.end()
    }

    fn end(&self) -> Onward {
        self.transport.outbox.finish();
        Onward::Close
    }
}

impl Drop for Session {
    /// The connection is gone, however its task ended; the engine is told of one that it knows.
    fn drop(&mut self) {
        if self.has_hello() {
            self.shared.engine.closed(self.transport.id);
        }
    }
}

fn count(reason: Reason) {
    metrics::SIGNAL_REFUSED_TOTAL.add_labelled(name(reason), 1);
}

/// The few reasons that a transport itself refuses by.
fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Malformed => "malformed",
        Reason::UnknownType => "unknown_type",
        Reason::TooLarge => "too_large",
        Reason::NotJoined => "not_joined",
        Reason::AlreadyJoined => "already_joined",
        Reason::Draining => "draining",
        Reason::Forbidden => "forbidden",
        Reason::ServerFull => "server_full",
        Reason::BadToken => "bad_token",
        Reason::TooMany => "too_many",
        _ => "other",
    }
}

/// An HTTP answer that refuses in the same words as a frame does.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub reason: Reason,
    pub detail: String,
}

impl Refusal {
    pub fn new(status: StatusCode, reason: Reason, detail: impl Into<String>) -> Self {
        Self { status, reason, detail: detail.into() }
    }
}

impl From<Shut> for Refusal {
    fn from(shut: Shut) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::TooMany, shut.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        count(self.reason);
        let Self { status, reason, detail } = self;
        (status, Json(Note::Refused { reason, detail, fatal: true })).into_response()
    }
}
