//! What waits to be written to one transport: a queue bounded in parcels and in bytes.
//!
//! The engine thread puts in, the transport's task takes everything there is at once, so that one wake-up and one system
//! call carry a whole burst. A full outbox ends its transport; the session behind it lives on in the engine, whose own
//! backlog decides whether a `resume` can make good what was lost here. An empty outbox holds no memory but itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_api::signal::{Note, ServerFrame};
use tokio::sync::Notify;

/// How parcels are made for a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As JSON text, printed by the engine thread.
    Json,
    /// As they are: the transport speaks another vocabulary and translates.
    Frames,
}

/// One thing to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Parcel {
    /// A frame as JSON.
    Text(String),
    /// A frame to translate.
    Frame(Box<ServerFrame>),
}

/// How much may wait for one transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Parcels.
    pub parcels: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl OutboxLimits {
    /// Room for the whole backlog that a `resume` replays at once, and as much again for what happens meanwhile.
    #[must_use]
    pub fn above_backlog(config: &tandem_engine::Config) -> Self {
        Self {
            parcels: config.backlog_events.saturating_mul(2).saturating_add(64),
            bytes: config.backlog_bytes.saturating_mul(2).saturating_add(config.frame_bytes),
        }
    }
}

/// What to do when a batch has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Wait for the next one.
    Wait,
    /// Close: nothing more will come.
    Close,
    /// Drop the connection at once: it was too slow.
    Abort,
}

/// Everything that waited.
#[derive(Debug)]
pub struct Batch {
    /// In order.
    pub parcels: VecDeque<Parcel>,
    /// And then.
    pub after: After,
}

/// Fate of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It waits; the reader has to be woken.
    Queued,
    /// The outbox is over its limit and now ends its transport.
    Overflow,
    /// The outbox had ended before.
    Ended,
}

/// The queue between the engine thread and one transport.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    wake: Notify,
    limits: OutboxLimits,
    encoding: Encoding,
}

#[derive(Debug)]
struct State {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    after: After,
}

impl Outbox {
    pub(super) fn new(encoding: Encoding, limits: OutboxLimits) -> Self {
        let state = State { parcels: VecDeque::new(), bytes: 0, after: After::Wait };
        Self { state: Mutex::new(state), wake: Notify::new(), limits, encoding }
    }

    /// Queues a frame. The reader sleeps on until [`Outbox::wake`].
    pub fn push(&self, frame: ServerFrame) -> Push {
        let (parcel, bytes) = match self.encoding {
            Encoding::Json => {
                let text = encode(&frame);
                let bytes = text.len();
                (Parcel::Text(text), bytes)
            }
            Encoding::Frames => {
                let bytes = weigh(&frame);
                (Parcel::Frame(Box::new(frame)), bytes)
            }
        };
        let mut state = self.lock();
        if state.after != After::Wait {
            return Push::Ended;
        }
        let bytes = state.bytes.saturating_add(bytes);
        if state.parcels.len() >= self.limits.parcels || bytes > self.limits.bytes {
            *state = State { parcels: VecDeque::new(), bytes: 0, after: After::Abort };
            return Push::Overflow;
        }
        state.bytes = bytes;
        state.parcels.push_back(parcel);
        Push::Queued
    }

    /// Queues something about the transport itself and wakes the reader: the transports' own word, past the engine.
    pub fn note(&self, note: Note) {
        self.push(ServerFrame::Note(note));
        self.wake();
    }

    /// Nothing more will be queued: what waits is written, then the transport closes.
    pub fn finish(&self) {
        let mut state = self.lock();
        if state.after == After::Wait {
            state.after = After::Close;
        }
        drop(state);
        self.wake();
    }

    /// Wakes the reader.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Everything that waits, as soon as there is something. For one reader; may be dropped while waiting.
    pub async fn next(&self) -> Batch {
        loop {
            if let Some(batch) = self.take() {
                return batch;
            }
            self.wake.notified().await;
        }
    }

    /// Resolves when the outbox has overflowed, for a reader that is busy writing.
    pub async fn aborted(&self) {
        while self.lock().after != After::Abort {
            self.wake.notified().await;
        }
    }

    /// Parcels and bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.parcels.len(), state.bytes)
    }

    fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        if state.parcels.is_empty() && state.after == After::Wait {
            return None;
        }
        state.bytes = 0;
        Some(Batch { parcels: std::mem::take(&mut state.parcels), after: state.after })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A frame as JSON text.
#[must_use]
pub fn encode(frame: &ServerFrame) -> String {
    // Our own types have string keys only, so printing cannot fail; were it to, an empty object is ignored by clients.
    serde_json::to_string(frame).unwrap_or_else(|_| String::from("{}"))
}

/// The bytes a frame would take as JSON.
fn weigh(frame: &ServerFrame) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, frame) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits { parcels: 3, bytes: 200 };

    fn pong() -> ServerFrame {
        ServerFrame::Note(Note::Pong {})
    }

    fn refused(detail: &str) -> ServerFrame {
        ServerFrame::Note(Note::Refused {
            reason: tandem_api::signal::Reason::Malformed,
            detail: detail.to_owned(),
            fatal: false,
        })
    }

    #[tokio::test]
    async fn one_batch_carries_everything_that_waited_in_order() {
        let outbox = Outbox::new(Encoding::Json, LIMITS);
        assert_eq!(outbox.push(pong()), Push::Queued);
        assert_eq!(outbox.push(refused("x")), Push::Queued);
        let batch = outbox.next().await;
        assert_eq!(batch.after, After::Wait);
        assert_eq!(batch.parcels.len(), 2);
        assert_eq!(batch.parcels[0], Parcel::Text(r#"{"type":"pong"}"#.to_owned()));
        assert_eq!(outbox.waiting(), (0, 0));
    }

    #[tokio::test]
    async fn one_parcel_too_many_empties_the_outbox_and_aborts_its_transport() {
        let outbox = Outbox::new(Encoding::Frames, LIMITS);
        for _ in 0..3 {
            assert_eq!(outbox.push(pong()), Push::Queued);
        }
        assert_eq!(outbox.push(pong()), Push::Overflow);
        assert_eq!(outbox.waiting(), (0, 0));
        assert_eq!(outbox.push(pong()), Push::Ended);
        assert_eq!(outbox.next().await.after, After::Abort);
        outbox.aborted().await;
    }

    #[test]
    fn the_byte_limit_holds_whichever_way_parcels_are_made() {
        for encoding in [Encoding::Json, Encoding::Frames] {
            let outbox = Outbox::new(encoding, LIMITS);
            assert_eq!(outbox.push(refused("short")), Push::Queued);
            assert_eq!(outbox.push(refused(&"long".repeat(40))), Push::Overflow);
        }
    }

    #[tokio::test]
    async fn a_finished_outbox_gives_what_waited_and_then_closes() {
        let outbox = Outbox::new(Encoding::Json, LIMITS);
        outbox.push(pong());
        outbox.finish();
        assert_eq!(outbox.push(pong()), Push::Ended);
        let batch = outbox.next().await;
        assert_eq!((batch.parcels.len(), batch.after), (1, After::Close));
    }
}
