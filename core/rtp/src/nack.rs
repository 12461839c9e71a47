//! Which packets of a stream are missing, and when to ask for them (again): the receiver's side of RFC 4585 §6.2.1.
//!
//! A missing packet is asked for when it has had time to arrive out of order, and again after each round trip, so many
//! times. Asking is the caller's business ([`crate::rtcp::Writer::nack`]), and so is a key frame when too much is missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::numbers::SeqNo;

/// How patient a generator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a packet may be overtaken before it counts as lost.
    pub reordering: Duration,
    /// How often a packet is asked for.
    pub tries: u8,
    /// More missing packets than this are given up together.
    pub max_missing: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { reordering: Duration::from_millis(10), tries: 10, max_missing: 500 }
    }
}

/// What a packet was to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one behind a hole.
    New(SeqNo),
    /// One that was missing.
    Late(SeqNo),
    /// One that has been, or had been given up.
    Superfluous,
    /// One behind a hole too large to be filled: everything missing is given up, only a key frame helps.
    TooFar(SeqNo),
}

/// Follows one stream.
#[derive(Debug)]
pub struct Generator {
    config: Config,
    highest: Option<SeqNo>,
    missing: BTreeMap<SeqNo, Missing>,
    /// No missing packet is due earlier.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Missing {
    due: Instant,
    tries: u8,
}

impl Generator {
    /// Of a stream that has not begun.
    pub const fn new(config: Config) -> Self {
        Self { config, highest: None, missing: BTreeMap::new(), due: None }
    }

    /// A packet has come.
    pub fn handle_packet(&mut self, now: Instant, sequence: u16) -> Arrival {
        let Some(highest) = self.highest else {
            let first = SeqNo::first(sequence);
            self.highest = Some(first);
            return Arrival::New(first);
        };
        let number = highest.near(sequence);
        if number <= highest {
            let was_missing = self.missing.remove(&number).is_some();
            return if was_missing { Arrival::Late(number) } else { Arrival::Superfluous };
        }
        self.highest = Some(number);
        let hole = usize::try_from(number.0 - highest.0 - 1).unwrap_or(usize::MAX);
        if hole == 0 {
            return Arrival::New(number);
        }
        if self.missing.len().saturating_add(hole) > self.config.max_missing {
            self.give_up();
            return Arrival::TooFar(number);
        }
        let due = now + self.config.reordering;
        let numbers = (highest.0 + 1..number.0).map(SeqNo);
        self.missing.extend(numbers.map(|number| (number, Missing { due, tries: 0 })));
        self.due = Some(self.due.map_or(due, |earliest| earliest.min(due)));
        Arrival::New(number)
    }

    /// When there will be something to ask for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| !self.missing.is_empty())
    }

    /// Appends what is to be asked for, in order; it will be asked for again after a round trip. Says how many packets
    /// were given up because they have been asked for often enough.
    pub fn take_due(&mut self, now: Instant, round_trip: Duration, asked: &mut Vec<u16>) -> usize {
        if self.due.is_none_or(|due| due > now) {
            return 0;
        }
        let before = self.missing.len();
        // Never sooner than a packet can be overtaken.
        let again = now + round_trip.max(self.config.reordering);
        let tries = self.config.tries;
        let mut earliest: Option<Instant> = None;
        self.missing.retain(|number, missing| {
            if missing.due <= now {
                if missing.tries >= tries {
                    return false;
                }
                missing.tries += 1;
                missing.due = again;
                asked.push(number.wire());
            }
            earliest = Some(earliest.map_or(missing.due, |known| known.min(missing.due)));
            true
        });
        self.due = earliest;
        before - self.missing.len()
    }

    /// What is before this packet is not needed any more: it begins a key frame.
    pub fn forget_before(&mut self, number: SeqNo) {
        self.missing = self.missing.split_off(&number);
    }

    /// Asks for nothing that is missing so far.
    pub fn give_up(&mut self) {
        self.missing.clear();
        self.due = None;
    }

    /// How many packets are missing.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[allow(clippy::disallowed_methods, reason = "some instant to begin with")]
    fn begin() -> (Generator, Instant) {
        (Generator::new(Config { reordering: 10 * MS, tries: 2, max_missing: 5 }), Instant::now())
    }

    fn due(generator: &mut Generator, now: Instant) -> (Vec<u16>, usize) {
        let mut asked = Vec::new();
        let given_up = generator.take_due(now, 50 * MS, &mut asked);
        (asked, given_up)
    }

    #[test]
    fn holes_are_asked_for_after_a_while_and_again_after_a_round_trip() {
        let (mut generator, now) = begin();
        for sequence in [65_534, 2] {
            assert!(matches!(generator.handle_packet(now, sequence), Arrival::New(_)));
        }
        assert_eq!((generator.poll_timeout(), due(&mut generator, now).0), (Some(now + 10 * MS), vec![]));
        assert_eq!(generator.handle_packet(now + MS, 0), Arrival::Late(SeqNo(0x2_0000)));
        assert_eq!(due(&mut generator, now + 10 * MS), (vec![65_535, 1], 0));
        assert_eq!(generator.poll_timeout(), Some(now + 60 * MS));
        assert_eq!(generator.handle_packet(now + 11 * MS, 1), Arrival::Late(SeqNo(0x2_0001)));
        assert_eq!(due(&mut generator, now + 60 * MS), (vec![65_535], 0));
        assert_eq!(due(&mut generator, now + 110 * MS), (vec![], 1), "twice is enough");
        assert_eq!((generator.poll_timeout(), generator.missing()), (None, 0));
        assert_eq!(generator.handle_packet(now, 65_535), Arrival::Superfluous);
    }

    #[test]
    fn a_stream_without_holes_asks_for_nothing() {
        let (mut generator, now) = begin();
        assert_eq!(generator.handle_packet(now, 7), Arrival::New(SeqNo(0x1_0007)));
        assert_eq!(generator.handle_packet(now, 8), Arrival::New(SeqNo(0x1_0008)));
        assert_eq!(generator.handle_packet(now, 8), Arrival::Superfluous);
        assert_eq!(generator.handle_packet(now, 6), Arrival::Superfluous, "before the first");
        assert_eq!(generator.poll_timeout(), None);
    }

    #[test]
    fn too_large_a_hole_is_given_up() {
        let (mut generator, now) = begin();
        generator.handle_packet(now, 0);
        generator.handle_packet(now, 4);
        assert_eq!(generator.missing(), 3);
        assert_eq!(generator.handle_packet(now, 8), Arrival::TooFar(SeqNo(0x1_0008)));
        assert_eq!((generator.missing(), generator.poll_timeout()), (0, None));
        assert_eq!(generator.handle_packet(now, 30_000), Arrival::TooFar(SeqNo(0x1_7530)));
    }

    #[test]
    fn a_key_frame_ends_the_wait() {
        let (mut generator, now) = begin();
        generator.handle_packet(now, 0);
        generator.handle_packet(now, 2);
        generator.handle_packet(now, 4);
        generator.forget_before(SeqNo(0x1_0002));
        assert_eq!(due(&mut generator, now + 10 * MS).0, [3]);
    }
}
