//! What makes a broken transport invisible: numbers, and the events that are not yet acknowledged.
//!
//! ```text
//!  events    1 ─── 2 ─── 3 ─── 4 ─── 5        requests   1 ─── 2 ─── 3
//!                  └ acked └── backlog ──┘ sent                      └ received
//! ```
//!
//! A client that comes back says what it saw last and gets the rest of the backlog. One whose numbers are not ours (its
//! page was reloaded, our process was restarted) begins again at 1, told by a new `joined`.

use std::collections::VecDeque;
use std::sync::Arc;

use tandem_api::signal::{Event, Numbered};

/// What to do with a request, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is the next one.
    Process,
    /// It was processed before; its reply is among the events, or was seen.
    Repeated,
    /// One before it is missing.
    Gap {
        /// The number that should have come.
        expected: u64,
    },
}

/// How many unacknowledged events are kept, and how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub events: usize,
    pub bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Session {
    sent: u64,
    received: u64,
    backlog: VecDeque<Numbered>,
    bytes: usize,
    /// The client counts from an earlier process' `joined`: its numbers mean nothing here.
    foreign: bool,
}

impl Session {
    /// Of one whose numbering was lost with an earlier process.
    pub(crate) fn foreign() -> Self {
        Self { foreign: true, ..Self::default() }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Numbers an event and keeps it until it is acknowledged.
    pub(crate) fn push(&mut self, event: Arc<Event>) -> Numbered {
        self.sent += 1;
        let numbered = Numbered { n: self.sent, event };
        self.bytes += numbered.weight();
        self.backlog.push_back(numbered.clone());
        numbered
    }

    /// Whether more waits than is kept. A `joined` alone never is: it is as large as the room.
    pub(crate) fn is_over(&self, bounds: Bounds) -> bool {
        self.backlog.len() > 1 && (self.backlog.len() > bounds.events.max(1) || self.bytes > bounds.bytes)
    }

    /// Forgets what the client has seen. `false` when it claims to have seen what was never sent.
    pub(crate) fn acknowledge(&mut self, n: u64) -> bool {
        if n > self.sent {
            return false;
        }
        while self.backlog.front().is_some_and(|event| event.n <= n) {
            if let Some(event) = self.backlog.pop_front() {
                self.bytes = self.bytes.saturating_sub(event.weight());
            }
        }
        if self.backlog.is_empty() {
            // An idle participant holds no memory for this.
            self.backlog = VecDeque::new();
            self.bytes = 0;
        }
        true
    }

    /// Whether all after `last` can be told again.
    pub(crate) fn can_continue_after(&self, last: u64) -> bool {
        let acknowledged = self.backlog.front().map_or(self.sent, |event| event.n - 1);
        !self.foreign && (acknowledged..=self.sent).contains(&last)
    }

    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = &Numbered> {
        self.backlog.iter()
    }

    pub(crate) fn into_unacknowledged(self) -> impl Iterator<Item = Arc<Event>> {
        self.backlog.into_iter().map(|numbered| numbered.event)
    }

    pub(crate) fn take_turn(&mut self, id: u64) -> Turn {
        let expected = self.received + 1;
        match id.cmp(&expected) {
            std::cmp::Ordering::Less => Turn::Repeated,
            std::cmp::Ordering::Greater => Turn::Gap { expected },
            std::cmp::Ordering::Equal => {
                self.received = id;
                Turn::Process
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_api::signal::LeaveReason;

    use super::*;

    fn event() -> Arc<Event> {
        Event::Out { reason: LeaveReason::Left }.into()
    }

    fn numbers(session: &Session) -> Vec<u64> {
        session.unacknowledged().map(|event| event.n).collect()
    }

    #[test]
    fn events_are_numbered_without_gaps_and_kept_until_acknowledged() {
        let mut session = Session::default();
        for n in 1..=4 {
            assert_eq!(session.push(event()).n, n);
        }
        assert!(session.acknowledge(2));
        assert!(session.acknowledge(1), "an old acknowledgement changes nothing");
        assert_eq!(numbers(&session), [3, 4]);
        assert!(!session.acknowledge(5), "never sent");
        assert!(session.acknowledge(4));
        assert_eq!(numbers(&session), [0; 0]);
        assert_eq!(session.bytes, 0);
        assert_eq!(session.backlog.capacity(), 0, "an idle session holds no memory");
    }

    #[test]
    fn one_can_go_on_from_what_is_still_known_and_from_nowhere_else() {
        let mut session = Session::default();
        for _ in 0..4 {
            session.push(event());
        }
        session.acknowledge(2);
        assert_eq!([1, 2, 3, 4, 5].map(|last| session.can_continue_after(last)), [false, true, true, true, false]);
        assert!(!Session::foreign().can_continue_after(0));
    }

    #[test]
    fn a_request_is_processed_once_and_in_its_turn() {
        let mut session = Session::default();
        assert_eq!(session.take_turn(2), Turn::Gap { expected: 1 });
        assert_eq!(session.take_turn(1), Turn::Process);
        assert_eq!(session.take_turn(1), Turn::Repeated);
        assert_eq!(session.take_turn(0), Turn::Repeated);
        assert_eq!(session.take_turn(u64::MAX), Turn::Gap { expected: 2 });
        assert_eq!(session.received(), 1);
    }

    #[test]
    fn the_backlog_is_bounded_in_events_and_in_bytes() {
        let mut session = Session::default();
        let bounds = Bounds { events: 3, bytes: 10_000 };
        for _ in 0..3 {
            session.push(event());
        }
        assert!(!session.is_over(bounds));
        session.push(event());
        assert!(session.is_over(bounds));
        session.acknowledge(4);
        session.push(Event::Chat { from: "p1".into(), text: "x".repeat(20_000), at: 0, private: false }.into());
        assert!(!session.is_over(bounds), "one alone always fits");
        session.push(event());
        assert!(session.is_over(bounds));
    }
}
