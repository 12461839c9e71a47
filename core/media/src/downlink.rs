//! The way to one subscriber: what it can carry, who gets how much of it, and what waits for its turn.

use std::time::{Duration, Instant};

use tandem_rtp::SeqNo;
use tandem_rtp::rtcp::{Status, TransportFeedback};

use crate::SlotId;
use crate::allocate::Allocator;
use crate::bitrate::Bitrate;
use crate::estimate::Estimator;
use crate::outbox::Mark;
use crate::pace::{self, Class, Pacer, Pushed};

pub(crate) struct Downlink {
    pub(crate) estimator: Estimator,
    pub(crate) pacer: Pacer<Waiting>,
    pub(crate) allocator: Allocator,
    /// What the pacer and the allocator have been told.
    told: Bitrate,
    /// It is told what arrives, or how much is wanted; receiver reports alone tell too little to stop anything for.
    pub(crate) heard: bool,
    /// Some of what is to be seen comes.
    pub(crate) flows: bool,
    /// When the first picture left.
    pub(crate) began: Option<Instant>,
    /// When to allocate, and when it was done last.
    pub(crate) allocate_at: Option<Instant>,
    allocated: Option<Instant>,
    /// When to look after the estimate: some time after something was sent.
    pub(crate) look_at: Option<Instant>,
    reference: Reference,
}

/// Buffers of packets that have waited and left, whoever they were for.
#[derive(Default)]
pub(crate) struct Spares(Vec<Vec<u8>>);

/// A packet that waits for its turn, not protected yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mark: Mark,
}

/// Counts the turns of the 24 bits of a feedback's reference time.
#[derive(Clone, Copy, Debug, Default)]
struct Reference {
    last: Option<i64>,
}

impl Downlink {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            estimator: Estimator::new(now, START),
            pacer: Pacer::new(now, pace::Config::default(), START),
            allocator: Allocator::new(),
            told: START,
            heard: false,
            flows: false,
            began: None,
            allocate_at: None,
            allocated: None,
            look_at: None,
            reference: Reference::default(),
        }
    }

    /// Something has changed that the allocation depends on. When to do it.
    pub(crate) fn want_allocation(&mut self, now: Instant) -> Instant {
        // What comes together is done together.
        let soon = self.allocated.map_or(now, |at| (at + SELDOM).max(now)) + TOGETHER;
        let at = self.allocate_at.map_or(soon, |at| at.min(soon));
        *self.allocate_at.insert(at)
    }

    /// It is done now.
    pub(crate) fn begin_allocation(&mut self, now: Instant) {
        self.allocate_at = None;
        self.allocated = Some(now);
    }

    /// Rates change all the time: once in a while it is done anew.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.allocated.is_some_and(|at| now.saturating_duration_since(at) >= STALE)
    }

    /// The transport-wide feedback of the peer. `sent`: the last number that was used.
    pub(crate) fn on_feedback(&mut self, now: Instant, sent: u64, feedback: &TransportFeedback<'_>) {
        let start = i64::from(feedback.reference) * REFERENCE;
        let turns = self.reference.extend(start) - start;
        let sent = SeqNo(sent);
        let arrivals = feedback.iter().flat_map(|status| {
            let (first, count, at) = match status {
                Status::Lost { first, count } => (first, count, None),
                Status::Received { sequence, at } => (sequence, 1, Some(at)),
            };
            let first = sent.near(first).0;
            let at = at.and_then(|at| u64::try_from(at + turns).ok()).map(Duration::from_micros);
            (first..first + u64::from(count)).map(move |number| (number, at))
        });
        self.heard = true;
        self.estimator.on_feedback(now, arrivals);
    }

    /// What may be sent, if that is worth another allocation.
    pub(crate) fn follow(&mut self, now: Instant) -> bool {
        let target = self.estimator.target();
        if target == self.told {
            return false;
        }
        self.pacer.set_target(now, target);
        let is_less = target < self.allocator.total() && target < self.told;
        let is_other = target < self.told.scale(0.95) || target > self.told.scale(1.05);
        if is_less || is_other {
            self.told = target;
        }
        is_less || is_other
    }

    /// Pictures have only just begun to come: what its way carries is being found out.
    pub(crate) fn is_new(&self, now: Instant) -> bool {
        self.began.is_none_or(|at| now.saturating_duration_since(at) < BEGINNING)
    }

    /// What could be used; nothing as long as nothing comes.
    pub(crate) fn needed(&self) -> Bitrate {
        if self.flows { self.allocator.wanted() } else { Bitrate::ZERO }
    }

    /// A packet has to wait. The one that has to go for it, or this one itself.
    pub(crate) fn wait(&mut self, now: Instant, (slot, class): (SlotId, Class), packet: Waiting) -> Option<Waiting> {
        let size = packet.bytes.len();
        match self.pacer.push(now, slot, class, size, packet) {
            Pushed::Queued => None,
            // It cannot pass: it has just been asked.
            Pushed::Pass(dropped, _) | Pushed::Dropped(dropped) => Some(dropped),
        }
    }
}

impl Spares {
    /// A buffer for a packet that has to wait.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// A packet has left or is dropped.
    pub(crate) fn give(&mut self, mut bytes: Vec<u8>) {
        if self.0.len() < SPARES {
            bytes.clear();
            self.0.push(bytes);
        }
    }
}

impl Reference {
    fn extend(&mut self, start: i64) -> i64 {
        let turn = (1 << 24) * REFERENCE;
        let last = self.last.unwrap_or(start);
        let away = (start - last).rem_euclid(turn);
        let extended = if away < turn / 2 { last + away } else { last + away - turn };
        // Before the first there is nothing.
        let extended = extended.max(0);
        self.last = Some(last.max(extended));
        extended
    }
}

/// Until it is known what the way carries.
const START: Bitrate = Bitrate::from_kbps(600);
/// Between two allocations.
const SELDOM: Duration = Duration::from_millis(100);
const TOGETHER: Duration = Duration::from_millis(2);
const STALE: Duration = Duration::from_secs(1);
/// Of a reference time, in microseconds.
const REFERENCE: i64 = 64_000;
/// As many as wait at a time in a busy plane; 0.4 MB.
const SPARES: usize = 256;
/// By then probes have been answered.
const BEGINNING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_times_go_on_across_their_wrap() {
        let mut reference = Reference::default();
        let last = ((1 << 24) - 1) * REFERENCE;
        assert_eq!(reference.extend(last), last);
        assert_eq!(reference.extend(0), last + REFERENCE);
        assert_eq!(reference.extend(last), last, "one that was overtaken");
        assert_eq!(reference.extend(REFERENCE), last + 2 * REFERENCE);
    }
}
