//! The queue between a socket's handlers and its task.
//!
//! Handlers cannot wait, so the queue has to refuse: a client that sends faster than it is served loses its socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use socketioxide::SendError;
use socketioxide::SocketError;
use socketioxide::extract::{Event, SocketRef, TryData};
use tokio::sync::{Notify, mpsc};
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
    pub bytes: usize,
}

/// One socket's queue. Kept in the socket's extensions.
#[derive(Clone)]
pub(super) struct Mailbox {
    inner: Arc<Inner>,
}

struct Inner {
    sender: mpsc::Sender<Said>,
    receiver: Mutex<Option<mpsc::Receiver<Said>>>,
    bytes: AtomicUsize,
    gone: Notify,
}

/// The task's end of it.
pub(super) struct Inbox {
    receiver: mpsc::Receiver<Said>,
    inner: Arc<Inner>,
}

impl Mailbox {
    /// Registers handlers for these events, and for the end, and leaves the mailbox with the socket.
    pub fn attach(socket: &SocketRef, events: &[&'static str]) {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let inner =
            Inner { sender, receiver: Mutex::new(Some(receiver)), bytes: AtomicUsize::new(0), gone: Notify::new() };
        let mailbox = Self { inner: Arc::new(inner) };
        for event in events {
            let mailbox = mailbox.clone();
            socket.on(*event, move |Event(event): Event, TryData(data): TryData<Value>| {
                mailbox.put(event, data.map_err(|error| error.to_string()));
                std::future::ready(())
            });
        }
        let at_end = mailbox.clone();
        socket.on_disconnect(move || {
            at_end.inner.gone.notify_one();
            std::future::ready(())
        });
        socket.extensions.insert(mailbox);
    }

    /// The task's end; only once.
    pub fn take(socket: &SocketRef) -> Option<Inbox> {
        let mailbox = socket.extensions.get::<Self>()?;
        let receiver = mailbox.inner.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Inbox { receiver, inner: mailbox.inner })
    }

    /// Says something to the task of this socket, in the client's stead.
    pub fn tell(socket: &SocketRef, event: &str, data: Value) {
        if let Some(mailbox) = socket.extensions.get::<Self>() {
            mailbox.put(event.to_owned(), Ok(data));
        }
    }

    fn put(&self, event: String, data: Result<Value, String>) {
        let bytes = data.as_ref().map_or(0, weigh);
        let waiting = self.inner.bytes.fetch_add(bytes, Ordering::Relaxed);
        let said = Said { event, data, bytes };
        if waiting.saturating_add(bytes) > BYTES || self.inner.sender.try_send(said).is_err() {
            crate::metrics::SIGNAL_REFUSED_TOTAL.add_labelled("too_many", 1);
            self.inner.gone.notify_one();
        }
    }
}

impl Inbox {
    /// What the client said next; `None` when it is gone and all it said has been taken.
    pub async fn next(&mut self) -> Option<Said> {
        let said = tokio::select! {
            biased;
            said = self.receiver.recv() => said,
            () = self.inner.gone.notified() => {
                // Remembered for the next call: what came before the end is still to be handled.
                self.inner.gone.notify_one();
                self.receiver.try_recv().ok()
            }
        }?;
        self.inner.bytes.fetch_sub(said.bytes, Ordering::Relaxed);
        Some(said)
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
