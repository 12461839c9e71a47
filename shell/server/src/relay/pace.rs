//! When to look again. Each wake-up costs a shard as much as a packet or two: while packets keep coming, it lets them
//! gather for a moment and reads them together. An idle relay answers at once.

use std::time::{Duration, Instant};

/// Of one shard.
#[derive(Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    quick: u32,
}

impl Pace {
    /// How long to let packets gather after a turn that began and ended then, and read so many pieces.
    pub(super) fn after_turn(&mut self, began: Instant, ended: Instant, read: usize) -> Duration {
        let since = self.last.map_or(Duration::MAX, |last| began.saturating_duration_since(last));
        self.last = Some(began);
        self.quick = if read > 0 && since <= QUICK { self.quick.saturating_add(1) } else { 0 };
        if self.quick < STEADY {
            return Duration::ZERO;
        }
        GATHER.saturating_sub(ended.saturating_duration_since(began))
    }
}

/// From one turn to the next; a tenth of what a packet may wait for its siblings in a browser's own pacer.
const GATHER: Duration = Duration::from_micros(150);
/// Turns that follow each other so quickly mean load: more than 2,500 of them per second.
const QUICK: Duration = Duration::from_micros(400);
/// As many in a row: one burst is no load.
const STEADY: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of ten microseconds, begun at this distance: the pause after the last one.
    fn pause(distance: Duration, turns: u32, read: usize) -> Duration {
        let (mut pace, mut began) = (Pace::default(), Instant::now());
        let mut pause = Duration::ZERO;
        for _ in 0..turns {
            pause = pace.after_turn(began, began + Duration::from_micros(10), read);
            began += distance;
        }
        pause
    }

    #[test]
    fn packets_gather_only_while_they_keep_coming() {
        let gathered = GATHER - Duration::from_micros(10);
        assert_eq!(pause(Duration::from_micros(50), STEADY, 1), Duration::ZERO);
        assert_eq!(pause(Duration::from_micros(50), STEADY + 1, 1), gathered);
        assert_eq!(pause(QUICK, 100, 1), gathered);
        assert_eq!(pause(QUICK + Duration::from_micros(1), 100, 1), Duration::ZERO);
        assert_eq!(pause(Duration::from_micros(50), 100, 0), Duration::ZERO);
    }

    #[test]
    fn a_shard_that_is_busy_anyway_does_not_pause() {
        let (mut pace, mut began) = (Pace::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(pace.after_turn(began, began + GATHER, 64), Duration::ZERO);
            began += GATHER;
        }
    }
}
