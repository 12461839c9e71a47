//! Rate limits: a token bucket, and a bounded table of them for sources that have proved nothing.
//!
//! An answer to such a source may be a reflection: whoever forges the address of a victim has it sent there. So a source
//! gets so many answers per second, and over time not much more bytes than have come from it ([`Sources::admit`]).
//!
//! The table has sets of four places. A new source takes the place of the one idle longest in its set, so a flood from
//! many forged addresses cannot lock others out, while one address, the victim of a reflection, stays limited.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::seeded::Seeded;

/// Fills at a rate up to a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: u64,
    filled: Instant,
}

/// How a bucket fills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) per_second: u64,
    pub(super) burst: u64,
}

impl Bucket {
    pub(super) fn full(now: Instant, rate: Rate) -> Self {
        Self { tokens: rate.burst, filled: now }
    }

    /// Takes `cost`, or nothing if less is left.
    pub(super) fn take(&mut self, now: Instant, rate: Rate, cost: u64) -> bool {
        if self.tokens < rate.burst {
            self.fill(now, rate);
        } else {
            // More than that: the burst has been made smaller.
            self.tokens = rate.burst;
            self.filled = now;
        }
        match self.tokens.checked_sub(cost) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Takes `cost` for what has happened already. Tells when what is missing will have been filled in; until then
    /// nothing can be taken.
    pub(super) fn spend(&mut self, now: Instant, rate: Rate, cost: u64) -> Option<Instant> {
        if self.take(now, rate, cost) {
            return None;
        }
        let missing = cost.saturating_sub(std::mem::take(&mut self.tokens));
        let time = Duration::from_micros(missing.saturating_mul(1_000_000) / rate.per_second.max(1));
        // In the future: the debt. What had been filled in and rounded away is lost.
        self.filled = self.filled.max(now).checked_add(time.min(LONGEST_DEBT))?;
        Some(self.filled)
    }

    /// What was left when it was last looked into.
    pub(super) fn left(&self) -> u64 {
        self.tokens
    }

    fn fill(&mut self, now: Instant, rate: Rate) {
        let micros = u64::try_from(now.saturating_duration_since(self.filled).as_micros()).unwrap_or(u64::MAX);
        let new = micros.saturating_mul(rate.per_second) / 1_000_000;
        if new > 0 {
            self.tokens = self.tokens.saturating_add(new).min(rate.burst);
            // Only whole tokens are taken out of the elapsed time, so that a slow rate fills exactly.
            let spent = new.saturating_mul(1_000_000) / rate.per_second.max(1);
            self.filled = self.filled.checked_add(Duration::from_micros(spent)).map_or(now, |at| at.min(now));
        }
    }
}

/// What sources that have proved nothing may still be sent: a fixed number of them.
pub(super) struct Sources {
    sets: Vec<[Option<Source>; WAYS]>,
    hash: Seeded,
    rate: Rate,
}

#[derive(Clone, Copy)]
struct Source {
    tag: u64,
    answers: Bucket,
    /// Bytes on the wire, in hundredths.
    credit: u64,
}

impl Sources {
    pub(super) fn new(hash: Seeded, rate: Rate) -> Self {
        Self { sets: vec![[None; WAYS]; SETS], hash, rate }
    }

    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Whether this source may get one more answer: not too many, and not much more bytes than it has sent. `heard`: the
    /// payload of the datagram that came.
    pub(super) fn admit(&mut self, now: Instant, source: IpAddr, heard: usize) -> bool {
        let rate = self.rate;
        let Some(place) = self.place(now, source) else { return false };
        let earned = on_wire(source, heard).saturating_mul(AMPLIFICATION_HUNDREDTHS);
        place.credit = place.credit.saturating_add(earned).min(CREDIT);
        place.credit >= on_wire(source, LARGEST_ANSWER).saturating_mul(100) && place.answers.take(now, rate, 1)
    }

    /// An answer of so many bytes has been sent to it.
    pub(super) fn charge(&mut self, now: Instant, source: IpAddr, sent: usize) {
        if let Some(place) = self.place(now, source) {
            place.credit = place.credit.saturating_sub(on_wire(source, sent).saturating_mul(100));
        }
    }

    /// It has repeated what only the owner of the address can have read: its answers are no reflections.
    pub(super) fn prove(&mut self, now: Instant, source: IpAddr) {
        if let Some(place) = self.place(now, source) {
            place.credit = CREDIT;
        }
    }

    fn place(&mut self, now: Instant, source: IpAddr) -> Option<&mut Source> {
        let tag = self.hash.hash_one(network(source));
        let set = self.sets.get_mut(usize::try_from(tag % SETS_U64).ok()?)?;
        let known = set.iter().position(|place| place.is_some_and(|owner| owner.tag == tag));
        let oldest = || (0..WAYS).min_by_key(|&way| set.get(way).copied().flatten().map(|of| of.answers.filled));
        let way = known.or_else(oldest)?;
        let place = set.get_mut(way)?;
        if known.is_none() {
            *place = Some(Source { tag, answers: Bucket::full(now, self.rate), credit: CREDIT });
        }
        place.as_mut()
    }
}

/// With the headers of IP and UDP.
fn on_wire(source: IpAddr, payload: usize) -> u64 {
    let headers = if source.is_ipv4() { 28 } else { 48 };
    u64::try_from(payload).unwrap_or(u64::MAX).saturating_add(headers)
}

/// Whoever has an IPv6 address has its whole /64.
fn network(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or_default() ^ (1 << 63),
    }
}

/// Bytes sent for a byte received, in hundredths, once the first credit is spent.
const AMPLIFICATION_HUNDREDTHS: u64 = 130;
/// In hundredths of bytes: about 280 answers to newcomers behind one address, who then prove it.
const CREDIT: u64 = 32 * 1_024 * 100;
/// What one answer may take.
const LARGEST_ANSWER: usize = 256;
/// One piece never costs more.
const LONGEST_DEBT: Duration = Duration::from_secs(60);
const WAYS: usize = 4;
const SETS: usize = 1 << SETS_LOG2;
const SETS_U64: u64 = 1 << SETS_LOG2;
const SETS_LOG2: u32 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    #[test]
    fn a_source_gets_its_burst_then_its_rate() {
        let start = crate::turn::some_instant();
        let mut sources = Sources::new(Seeded::new((1, 2)), RATE);
        let source: IpAddr = "1.2.3.4".parse().expect("an address");
        let admitted = |sources: &mut Sources, now| (0..100).filter(|_| sources.admit(now, source, 1_000)).count();
        assert_eq!(admitted(&mut sources, start), 5);
        assert_eq!(admitted(&mut sources, start + Duration::from_millis(99)), 0);
        assert_eq!(admitted(&mut sources, start + Duration::from_millis(100)), 1);
        assert_eq!(admitted(&mut sources, start + Duration::from_secs(60)), 5);
    }

    #[test]
    fn what_was_spent_beyond_the_burst_is_paid_off_by_waiting() {
        let start = crate::turn::some_instant();
        let mut bucket = Bucket::full(start, RATE);
        assert_eq!(bucket.spend(start, RATE, 5), None);
        let paid_off = start + Duration::from_secs(2);
        assert_eq!(bucket.spend(start, RATE, 20), Some(paid_off));
        assert_eq!(bucket.spend(start, RATE, 10), Some(paid_off + Duration::from_secs(1)), "debts add up");
        let paid_off = paid_off + Duration::from_secs(1);
        assert!(!bucket.take(paid_off, RATE, 1));
        assert_eq!(bucket.spend(paid_off + Duration::from_millis(100), RATE, 1), None);
    }

    #[test]
    fn a_flood_of_forged_sources_locks_nobody_out_and_takes_no_memory() {
        let start = crate::turn::some_instant();
        let mut sources = Sources::new(Seeded::new((1, 2)), RATE);
        let size = sources.sets.len();
        for forged in 0..200_000_u32 {
            sources.admit(start, IpAddr::V4(forged.into()), 28);
        }
        assert_eq!(sources.sets.len(), size);
        assert!(sources.admit(start, "200.1.2.3".parse().expect("an address"), 28));
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let start = crate::turn::some_instant();
        let mut sources = Sources::new(Seeded::new((1, 2)), RATE);
        let admitted =
            (0..100_u128).filter(|low| sources.admit(start, IpAddr::V6((0x2a << 120 | low).into()), 28)).count();
        assert_eq!(admitted, 5);
    }

    #[test]
    fn a_source_that_proves_nothing_is_not_sent_much_more_than_it_has_sent() {
        let start = crate::turn::some_instant();
        let mut sources = Sources::new(Seeded::new((1, 2)), Rate { per_second: 1_000_000, burst: 1_000_000 });
        let source: IpAddr = "1.2.3.4".parse().expect("an address");
        let (mut heard, mut sent) = (0.0, 0.0);
        for _ in 0..10_000 {
            heard += 28.0 + 28.0;
            if sources.admit(start, source, 28) {
                sources.charge(start, source, 84);
                sent += 28.0 + 84.0;
            }
        }
        assert!(sent > heard && sent / heard < 1.37, "{}", sent / heard);
        assert!(!sources.admit(start, source, 0));
        sources.prove(start, source);
        assert!(sources.admit(start, source, 0));
    }
}
