//! What is to happen later, in order. Setting and cancelling cost O(log n); asking for the next one does not walk.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::context::Seat;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The place of one who lost the transport is kept no longer.
    Away(Seat),
    /// The TURN credentials of this one are getting old.
    Credentials(Seat),
    /// The room goes back from browser to browser.
    Topology(Seat),
    /// Whoever was sent to the room has come by now, or does not come.
    Expected(Seat),
}

#[derive(Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.due.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Instant, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next one, if its time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}
