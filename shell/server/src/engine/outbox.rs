//! What waits to be written to one transport: a queue bounded in frames and in bytes.
//!
//! The engine puts in, the transport's task takes everything there is at once, so that one wake-up and one system call
//! carry a whole burst. That a request was carried out is not urgent: it waits a few milliseconds for company. A full
//! outbox ends its transport; the session behind it lives on in the engine, whose own backlog decides whether a `resume`
//! can make good what was lost here. An empty outbox holds no memory but itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_api::signal::{Event, Note, Outcome, ServerFrame};
use tokio::sync::Notify;

/// How much may wait for one transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Frames.
    pub frames: usize,
    /// The bytes that they hold in memory.
    pub bytes: usize,
}

impl OutboxLimits {
    /// Room for the whole backlog that a `resume` replays at once, and as much again for what happens meanwhile.
    #[must_use]
    pub fn above_backlog(config: &tandem_engine::Config) -> Self {
        Self {
            frames: config.backlog_events.saturating_mul(2).saturating_add(64),
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
    pub frames: VecDeque<ServerFrame>,
    /// And then.
    pub after: After,
}

/// Fate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It waits; the reader has to be woken.
    Urgent,
    /// It waits alone, and may: the reader has to be woken a little later.
    Patient,
    /// It waits with others, for which the reader has been or will be woken.
    InCompany,
    /// The outbox is over its limit and now ends its transport.
    Overflow,
    /// The outbox had ended before.
    Ended,
}

/// The queue between the engine and one transport.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    wake: Notify,
    limits: OutboxLimits,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<ServerFrame>,
    bytes: usize,
    /// Something that waits should be written now.
    urgent: bool,
    after: After,
}

impl State {
    fn empty(after: After) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, urgent: false, after }
    }
}

impl Outbox {
    pub(super) fn new(limits: OutboxLimits) -> Self {
        Self { state: Mutex::new(State::empty(After::Wait)), wake: Notify::new(), limits }
    }

    /// Queues a frame. The reader sleeps on until [`Outbox::wake`].
    pub fn push(&self, frame: ServerFrame) -> Push {
        let mut state = self.lock();
        if state.after != After::Wait {
            return Push::Ended;
        }
        let bytes = state.bytes.saturating_add(frame.weight());
        if state.frames.len() >= self.limits.frames || bytes > self.limits.bytes {
            *state = State::empty(After::Abort);
            return Push::Overflow;
        }
        state.bytes = bytes;
        let urgent = is_urgent(&frame);
        let alone = state.frames.is_empty();
        state.urgent |= urgent;
        state.frames.push_back(frame);
        match (urgent, alone) {
            (true, _) => Push::Urgent,
            (false, true) => Push::Patient,
            (false, false) => Push::InCompany,
        }
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

    /// What waits has waited long enough. `false` when there is nothing; otherwise the reader has to be woken.
    pub(super) fn make_urgent(&self) -> bool {
        let mut state = self.lock();
        state.urgent = !state.frames.is_empty();
        state.urgent
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

    /// Frames and bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.frames.len(), state.bytes)
    }

    fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        if !state.urgent && state.after == After::Wait {
            return None;
        }
        let after = state.after;
        let taken = std::mem::replace(&mut *state, State::empty(after));
        Some(Batch { frames: taken.frames, after })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends a frame as JSON text.
pub fn encode(out: &mut Vec<u8>, frame: &ServerFrame) {
    let before = out.len();
    // Our own types have string keys only, so printing cannot fail; were it to, an empty object is ignored by clients.
    if serde_json::to_writer(&mut *out, frame).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"{}");
    }
}

/// That a request was carried out is not: what comes of it is told by events of its own.
fn is_urgent(frame: &ServerFrame) -> bool {
    let ServerFrame::Event(numbered) = frame else { return true };
    !matches!(*numbered.event, Event::Reply { outcome: Outcome::Ok, .. })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tandem_api::signal::Numbered;

    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits { frames: 3, bytes: 4_000 };

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

    fn carried_out(to: u64) -> ServerFrame {
        ServerFrame::Event(Numbered { n: to, event: Arc::new(Event::Reply { to, outcome: Outcome::Ok }) })
    }

    #[tokio::test]
    async fn one_batch_carries_everything_that_waited_in_order() {
        let outbox = Outbox::new(LIMITS);
        assert_eq!(outbox.push(pong()), Push::Urgent);
        assert_eq!(outbox.push(refused("x")), Push::Urgent);
        let batch = outbox.next().await;
        assert_eq!(batch.after, After::Wait);
        assert_eq!(batch.frames, [pong(), refused("x")]);
        assert_eq!(outbox.waiting(), (0, 0));
    }

    #[tokio::test]
    async fn that_a_request_was_carried_out_waits_for_company() {
        let outbox = Outbox::new(LIMITS);
        assert_eq!(outbox.push(carried_out(1)), Push::Patient);
        assert_eq!(outbox.push(carried_out(2)), Push::InCompany);
        assert!(outbox.take().is_none(), "nothing is urgent");
        assert_eq!(outbox.push(pong()), Push::Urgent);
        assert_eq!(outbox.next().await.frames, [carried_out(1), carried_out(2), pong()]);
        assert!(!outbox.make_urgent(), "nothing is left that could be");
    }

    #[tokio::test]
    async fn patience_ends() {
        let outbox = Outbox::new(LIMITS);
        outbox.push(carried_out(1));
        assert!(outbox.make_urgent());
        assert_eq!(outbox.next().await.frames, [carried_out(1)]);
    }

    #[tokio::test]
    async fn one_frame_too_many_empties_the_outbox_and_aborts_its_transport() {
        let outbox = Outbox::new(LIMITS);
        for _ in 0..3 {
            assert_eq!(outbox.push(pong()), Push::Urgent);
        }
        assert_eq!(outbox.push(pong()), Push::Overflow);
        assert_eq!(outbox.waiting(), (0, 0));
        assert_eq!(outbox.push(pong()), Push::Ended);
        assert_eq!(outbox.next().await.after, After::Abort);
        outbox.aborted().await;
    }

    #[test]
    fn the_byte_limit_holds() {
        let outbox = Outbox::new(LIMITS);
        assert_eq!(outbox.push(refused("short")), Push::Urgent);
        assert_eq!(outbox.push(refused(&"long".repeat(1_000))), Push::Overflow);
    }

    #[tokio::test]
    async fn a_finished_outbox_gives_what_waited_urgent_or_not_and_then_closes() {
        let outbox = Outbox::new(LIMITS);
        outbox.push(carried_out(1));
        outbox.finish();
        assert_eq!(outbox.push(pong()), Push::Ended);
        let batch = outbox.next().await;
        assert_eq!((batch.frames.len(), batch.after), (1, After::Close));
    }
}
