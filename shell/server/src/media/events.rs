//! What shards tell the engine: by a bounded queue, so that no packet waits for a decision.

use std::collections::VecDeque;

use tandem_media::Event;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::metrics::MEDIA_EVENTS_DROPPED_TOTAL;

/// What a shard tells.
#[derive(Debug)]
pub enum Told {
    /// Its plane.
    Event(Event),
    /// It has lost everything and begins anew.
    Lost {
        /// Which one.
        shard: usize,
    },
}

/// The shards' end.
pub type Sender = mpsc::Sender<Told>;
/// The engine's end.
pub type Queue = mpsc::Receiver<Told>;

/// Both ends.
pub fn queue() -> (Sender, Queue) {
    mpsc::channel(ROOM)
}

/// One shard's way to the queue.
pub(super) struct Outgoing {
    sender: Sender,
    /// What must not be lost and has found no room.
    waiting: VecDeque<Told>,
}

impl Outgoing {
    pub(super) fn new(sender: Sender) -> Self {
        Self { sender, waiting: VecDeque::new() }
    }

    pub(super) fn tell(&mut self, told: Told) {
        self.waiting.push_back(told);
        self.flush();
    }

    /// Whether something waits.
    pub(super) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tries again. What is soon told anew anyway is lost, and counted.
    pub(super) fn flush(&mut self) {
        while let Some(told) = self.waiting.pop_front() {
            match self.sender.try_send(told) {
                Ok(()) => {}
                Err(TrySendError::Full(told)) if must_arrive(&told) => return self.waiting.push_front(told),
                Err(TrySendError::Full(_)) => MEDIA_EVENTS_DROPPED_TOTAL.add(1),
                // Nobody listens any more: the process ends.
                Err(TrySendError::Closed(_)) => return self.waiting.clear(),
            }
        }
    }
}

/// As many of these as there are endpoints, at most.
fn must_arrive(told: &Told) -> bool {
    match told {
        Told::Lost { .. } => true,
        Told::Event(event) => {
            matches!(event, Event::Connected(_) | Event::Ended(..) | Event::Watched { .. } | Event::Flows(_))
        }
    }
}

const ROOM: usize = 4_096;
