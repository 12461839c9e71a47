//! Rate limits: a token bucket, and a bounded table of them for sources that have proved nothing.
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

/// Buckets by source address, a fixed number of them.
pub(super) struct Sources {
    sets: Vec<[Option<(u64, Bucket)>; WAYS]>,
    hash: Seeded,
    rate: Rate,
}

impl Sources {
    pub(super) fn new(hash: Seeded, rate: Rate) -> Self {
        Self { sets: vec![[None; WAYS]; SETS], hash, rate }
    }

    /// Whether this source may get one more answer.
    pub(super) fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        let tag = self.hash.hash_one(network(source));
        let index = usize::try_from(tag % SETS_U64).unwrap_or_default();
        let Some(set) = self.sets.get_mut(index) else { return false };
        let known = set.iter().position(|place| place.is_some_and(|(owner, _)| owner == tag));
        let oldest = || (0..WAYS).min_by_key(|&way| set.get(way).copied().flatten().map(|(_, bucket)| bucket.filled));
        let Some(way) = known.or_else(oldest) else { return false };
        let Some(place) = set.get_mut(way) else { return false };
        if known.is_none() {
            *place = Some((tag, Bucket::full(now, self.rate)));
        }
        place.as_mut().is_some_and(|(_, bucket)| bucket.take(now, self.rate, 1))
    }
}

/// Whoever has an IPv6 address has its whole /64.
fn network(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or_default() ^ (1 << 63),
    }
}

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
        let admitted = |sources: &mut Sources, now| (0..100).filter(|_| sources.admit(now, source)).count();
        assert_eq!(admitted(&mut sources, start), 5);
        assert_eq!(admitted(&mut sources, start + Duration::from_millis(99)), 0);
        assert_eq!(admitted(&mut sources, start + Duration::from_millis(100)), 1);
        assert_eq!(admitted(&mut sources, start + Duration::from_secs(60)), 5);
    }

    #[test]
    fn a_flood_of_forged_sources_locks_nobody_out_and_takes_no_memory() {
        let start = crate::turn::some_instant();
        let mut sources = Sources::new(Seeded::new((1, 2)), RATE);
        let size = sources.sets.len();
        for forged in 0..200_000_u32 {
            sources.admit(start, IpAddr::V4(forged.into()));
        }
        assert_eq!(sources.sets.len(), size);
        assert!(sources.admit(start, "200.1.2.3".parse().expect("an address")));
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let start = crate::turn::some_instant();
        let mut sources = Sources::new(Seeded::new((1, 2)), RATE);
        let admitted = (0..100_u128).filter(|low| sources.admit(start, IpAddr::V6((0x2a << 120 | low).into()))).count();
        assert_eq!(admitted, 5);
    }
}
