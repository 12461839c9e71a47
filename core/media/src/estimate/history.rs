//! What was sent, until the far end has said what became of it.
//!
//! A ring indexed by the transport-wide sequence number. It begins small and doubles while packets would be forgotten that
//! may still be acknowledged, up to a bound; after that the oldest are forgotten. A slot takes sixteen bytes.

use super::ProbeId;

/// The packets sent last.
#[derive(Debug)]
pub(super) struct History {
    slots: Vec<Slot>,
    /// One above the highest number recorded.
    next: u64,
}

/// A packet as it was sent, and what has just been learnt about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// In microseconds of our clock.
    pub(super) at: u64,
    pub(super) size: u64,
    pub(super) probe: Option<ProbeId>,
    pub(super) fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Received,
    Lost,
    /// Reported lost before, arrived after all.
    Late,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    at: u64,
    /// The low bits of the sequence number; far more than the index holds.
    tag: u32,
    size: u16,
    probe: Option<ProbeId>,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Empty,
    Waiting,
    Received,
    Lost,
}

impl History {
    pub(super) fn new() -> Self {
        Self { slots: vec![Slot::default(); SMALLEST], next: 0 }
    }

    pub(super) fn record(&mut self, at: u64, seq: u64, size: usize, probe: Option<ProbeId>) {
        let oldest = self.next.saturating_sub(self.capacity());
        if seq < oldest {
            return;
        }
        self.next = self.next.max(seq.saturating_add(1));
        if self.slot(seq).is_some_and(|old| old.state == State::Waiting && at.saturating_sub(old.at) < STILL_EXPECTED) {
            self.grow();
        }
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        let tag = tag(seq);
        if let Some(slot) = self.slot(seq) {
            *slot = Slot { at, tag, size, probe, state: State::Waiting };
        }
    }

    /// What the far end says of one number: none if it was not sent, is forgotten, or has been settled before.
    pub(super) fn settle(&mut self, seq: u64, arrived: bool) -> Option<Sent> {
        let tag = tag(seq);
        let slot = self.slot(seq).filter(|slot| slot.tag == tag)?;
        let (state, fate) = match (slot.state, arrived) {
            (State::Waiting, true) => (State::Received, Fate::Received),
            (State::Lost, true) => (State::Received, Fate::Late),
            (State::Waiting, false) => (State::Lost, Fate::Lost),
            (State::Empty | State::Received, _) | (State::Lost, false) => return None,
        };
        slot.state = state;
        Some(Sent { at: slot.at, size: u64::from(slot.size), probe: slot.probe, fate })
    }

    /// How many numbers it is worth looking at in one feedback.
    pub(super) fn worth_reading(&self) -> usize {
        self.slots.len().saturating_mul(2)
    }

    fn capacity(&self) -> u64 {
        u64::try_from(self.slots.len()).unwrap_or(u64::MAX)
    }

    fn slot(&mut self, seq: u64) -> Option<&mut Slot> {
        let index = seq.checked_rem(self.capacity())?;
        self.slots.get_mut(usize::try_from(index).ok()?)
    }

    fn grow(&mut self) {
        if self.slots.len() >= LARGEST {
            return;
        }
        let mut larger = vec![Slot::default(); self.slots.len().saturating_mul(2)];
        let mask = larger.len().saturating_sub(1);
        for old in self.slots.iter().filter(|slot| slot.state != State::Empty) {
            // The length is a power of two well below 2^32, so the tag has all the bits of the index.
            let index = usize::try_from(old.tag).unwrap_or(usize::MAX) & mask;
            if let Some(slot) = larger.get_mut(index) {
                *slot = *old;
            }
        }
        self.slots = larger;
    }
}

fn tag(seq: u64) -> u32 {
    u32::try_from(seq & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

const SMALLEST: usize = 128;
const LARGEST: usize = 8_192;
/// Feedback that comes later than this is not waited for, in microseconds.
const STILL_EXPECTED: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Slot>() <= 24, "{}", size_of::<Slot>());
    }

    #[test]
    fn a_packet_is_settled_once() {
        let mut history = History::new();
        history.record(7, 1, 1_200, None);
        assert_eq!(history.settle(1, true), Some(Sent { at: 7, size: 1_200, probe: None, fate: Fate::Received }));
        assert_eq!(history.settle(1, true), None);
        assert_eq!(history.settle(1, false), None);
    }

    #[test]
    fn what_was_lost_may_come_late() {
        let mut history = History::new();
        history.record(7, 1, 1_200, None);
        assert_eq!(history.settle(1, false).map(|sent| sent.fate), Some(Fate::Lost));
        assert_eq!(history.settle(1, false), None);
        assert_eq!(history.settle(1, true).map(|sent| sent.fate), Some(Fate::Late));
    }

    #[test]
    fn numbers_never_sent_mean_nothing() {
        let mut history = History::new();
        history.record(0, 10, 100, None);
        for seq in [0, 9, 11, 10 + 512, 10 + 8_192, u64::MAX] {
            assert_eq!(history.settle(seq, true), None, "{seq}");
        }
    }

    #[test]
    fn it_grows_for_what_is_still_expected_and_no_further_than_its_bound() {
        let mut history = History::new();
        for seq in 0..20_000 {
            history.record(seq, seq, 100, None);
        }
        assert_eq!(history.slots.len(), LARGEST);
        assert!(history.settle(20_000 - 8_192, true).is_some());
        assert_eq!(history.settle(20_000 - 8_193, true), None);
    }

    #[test]
    fn it_stays_small_when_feedback_is_prompt() {
        let mut history = History::new();
        for seq in 0..20_000 {
            history.record(seq, seq, 100, None);
            history.settle(seq, true);
        }
        assert_eq!(history.slots.len(), SMALLEST);
    }
}
