//! How fast somebody may be: a token bucket, kept as the one moment at which it will be full again.

use std::time::{Duration, Instant};

/// Sustained rate and burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Per second, for long.
    pub per_second: u32,
    /// At once, after a rest.
    pub burst: u32,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one token; `false` when there is none.
    pub fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let each = Duration::from_secs(1) / rate.per_second.max(1);
        let full_at = self.full_at.max(now) + each;
        if full_at.saturating_duration_since(now) > each.saturating_mul(rate.burst.max(1)) {
            return false;
        }
        self.full_at = full_at;
        true
    }

    /// Nothing was taken lately.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn the_burst_goes_through_and_then_the_sustained_rate() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(now);
        assert_eq!([(); 4].map(|()| bucket.take(now, RATE)), [true, true, true, false]);
        now += Duration::from_millis(99);
        assert!(!bucket.take(now, RATE));
        now += Duration::from_millis(1);
        assert!(bucket.take(now, RATE));
        assert!(!bucket.take(now, RATE));
        now += Duration::from_millis(300);
        assert!(bucket.is_full(now));
        assert_eq!([(); 4].map(|()| bucket.take(now, RATE)), [true, true, true, false]);
    }

    #[test]
    fn a_rate_of_nothing_still_lets_one_through_each_second() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        let none = Rate { per_second: 0, burst: 0 };
        assert!(bucket.take(now, none));
        assert!(!bucket.take(now, none));
        assert!(bucket.take(now + Duration::from_secs(1), none));
    }
}
