//! The queue that stands: by how much even the quickest packets of late were slower than the quickest ones known.
//!
//! Delays that grow and are gone again are not a link that is too narrow, but somebody at the far end who was busy for a moment, or
//! a radio that had to try again: the queue drains by itself.

use std::time::Duration;

/// Follows the lowest delays.
#[derive(Debug)]
pub(super) struct Standing {
    ever: Lowest,
    lately: Lowest,
}

/// The lowest of the last one or two spans.
#[derive(Debug)]
struct Lowest {
    span: u64,
    since: u64,
    now: Option<i64>,
    before: Option<i64>,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self { ever: Lowest::of(EVER), lately: Lowest::of(LATELY) }
    }

    /// A packet that was sent at `at` has arrived; the delay is between two clocks that have nothing to do with each other.
    pub(super) fn add(&mut self, at: u64, delay: i64) {
        self.ever.add(at, delay);
        self.lately.add(at, delay);
    }

    /// How long the queue is that did not drain lately.
    pub(super) fn queue(&self) -> Duration {
        let queue = self.lately.get().zip(self.ever.get()).map(|(lately, ever)| lately.saturating_sub(ever));
        Duration::from_micros(queue.and_then(|queue| u64::try_from(queue).ok()).unwrap_or(0))
    }
}

impl Lowest {
    fn of(span: Duration) -> Self {
        Self { span: u64::try_from(span.as_micros()).unwrap_or(u64::MAX), since: 0, now: None, before: None }
    }

    fn add(&mut self, at: u64, delay: i64) {
        if at.saturating_sub(self.since) >= self.span {
            self.before = self.now.take();
            self.since = at;
        }
        self.now = Some(self.now.map_or(delay, |lowest| lowest.min(delay)));
    }

    fn get(&self) -> Option<i64> {
        self.now.into_iter().chain(self.before).min()
    }
}

/// A way that has become longer is known by then to be no queue.
const EVER: Duration = Duration::from_secs(10);
/// Whoever was busy for a moment has caught up once or twice by then.
const LATELY: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet each 10 ms, and what is told after the last one, in milliseconds.
    fn after(delays: impl Iterator<Item = i64>) -> u128 {
        let mut standing = Standing::new();
        for (at, delay) in (0_u64..).step_by(10_000).zip(delays) {
            standing.add(at, -5_000_000 + delay * 1_000);
        }
        standing.queue().as_millis()
    }

    #[test]
    fn a_queue_that_stays_is_told_and_one_that_comes_and_goes_is_not() {
        assert_eq!(after(std::iter::empty()), 0);
        assert_eq!(after((0..200).map(|_| 40)), 0, "a long way is no queue");
        assert_eq!(after((0..200).map(|at| 40 + if at % 20 < 12 { 300 } else { 0 })), 0);
        assert_eq!(after((0..200).map(|at| if at < 100 { 40 } else { 90 })), 50);
        assert_eq!(after((0..200).map(|at| if at < 100 { 90 } else { 40 })), 0, "the way has become shorter");
    }

    #[test]
    fn a_way_that_has_become_longer_is_no_queue_for_ever() {
        assert_eq!(after((0..4_000).map(|at| if at < 100 { 40 } else { 90 })), 0);
    }
}
