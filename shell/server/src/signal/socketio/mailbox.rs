//! The queue between a socket's handlers and its task.
//!
//! Handlers cannot wait, so the queue has to refuse: a client that sends faster than it is served loses its socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use socketioxide::SendError;
use socketioxide::SocketError;
use socketioxide::extract::{Event, SocketRef, TryData};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::engine::Outbox;

/// Events of one socket that may wait.
const EVENTS: usize = 32_768;
/// And their bytes.
const BYTES: usize = 4 << 20;
/// How often a full packet queue is looked at again.
const RETRY: std::time::Duration = std::time::Duration::from_millis(5);

/// What a client sent.
pub(super) struct Said {
    pub event: String,
    /// The first argument; text of the error if it is not JSON that we can read.
    pub data: Result<Value, String>,
    bytes: usize,
}

/// One socket's queue. Kept in the socket's extensions.
#[derive(Clone)]
pub(super) struct Mailbox {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Something has been said, or the client is gone.
    news: Notify,
}

/// An empty mailbox holds no memory but this.
#[derive(Default)]
struct State {
    said: VecDeque<Said>,
    bytes: usize,
    /// Nothing more will be put in.
    gone: bool,
    taken: bool,
}

/// The task's end of it.
pub(super) struct Inbox {
    inner: Arc<Inner>,
}

impl Mailbox {
    /// Registers handlers for these events, and for the end, and leaves the mailbox with the socket.
    pub fn attach(socket: &SocketRef, events: &[&'static str]) {
        let mailbox = Self { inner: Arc::new(Inner { state: Mutex::default(), news: Notify::new() }) };
        for event in events {
            let mailbox = mailbox.clone();
            socket.on(*event, move |Event(event): Event, TryData(data): TryData<Value>| {
                mailbox.put(event, data.map_err(|error| error.to_string()));
                std::future::ready(())
            });
        }
        let at_end = mailbox.clone();
        socket.on_disconnect(move || {
            at_end.inner.lock().gone = true;
            at_end.inner.news.notify_one();
            std::future::ready(())
        });
        socket.extensions.insert(mailbox);
    }

    /// The task's end; only once.
    pub fn take(socket: &SocketRef) -> Option<Inbox> {
        let mailbox = socket.extensions.get::<Self>()?;
        let taken = std::mem::replace(&mut mailbox.inner.lock().taken, true);
        (!taken).then_some(Inbox { inner: mailbox.inner })
    }

    /// Says something to the task of this socket, in the client's stead.
    pub fn tell(socket: &SocketRef, event: &str, data: Value) {
        if let Some(mailbox) = socket.extensions.get::<Self>() {
            mailbox.put(event.to_owned(), Ok(data));
        }
    }

    fn put(&self, event: String, data: Result<Value, String>) {
        let bytes = data.as_ref().map_or(0, weigh);
        let mut state = self.inner.lock();
        if state.gone {
            return;
        }
        if state.said.len() >= EVENTS || state.bytes.saturating_add(bytes) > BYTES {
            crate::metrics::SIGNAL_REFUSED_TOTAL.add_labelled("too_many", 1);
            state.gone = true;
        } else {
            state.bytes = state.bytes.saturating_add(bytes);
            state.said.push_back(Said { event, data, bytes });
        }
        drop(state);
        self.inner.news.notify_one();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// What the client said next; `None` when it is gone and all it said has been taken.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            {
                let mut state = self.inner.lock();
                if let Some(said) = state.said.pop_front() {
                    state.bytes = state.bytes.saturating_sub(said.bytes);
                    if state.said.is_empty() {
                        state.said = VecDeque::new();
                    }
                    return Some(said);
                }
                if state.gone {
                    return None;
                }
            }
            self.inner.news.notified().await;
        }
    }
}

/// Emits, waiting while the socket's packet queue is full; `Err` when the socket is gone, or too slow.
pub(super) async fn emit<T: serde::Serialize + ?Sized>(
    socket: &SocketRef,
    outbox: &Outbox,
    event: &str,
    data: &T,
    patience: std::time::Duration,
) -> Result<(), TooSlow> {
    let deadline = Instant::now() + patience;
    loop {
        match socket.emit(event, data) {
            Ok(()) => return Ok(()),
            Err(SendError::Socket(SocketError::InternalChannelFull)) if Instant::now() < deadline => {
                tokio::select! {
                    () = sleep(RETRY) => {}
                    () = outbox.aborted() => return Err(TooSlow),
                }
            }
            Err(_) => return Err(TooSlow),
        }
    }
}

/// Gone, or as good as.
#[derive(Debug)]
pub(super) struct TooSlow;

/// About the bytes that a value takes as JSON.
fn weigh(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len().saturating_add(8),
        Value::Array(items) => items.iter().fold(8, |sum, item| sum.saturating_add(weigh(item))),
        Value::Object(fields) => {
            fields.iter().fold(8, |sum, (name, value)| sum.saturating_add(name.len()).saturating_add(weigh(value)))
        }
    }
}
