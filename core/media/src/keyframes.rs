//! Asking a publisher for a picture that stands on its own (RFC 4585 §6.3.1): once for all who wait, not often, and again if
//! none comes.

use std::time::{Duration, Instant};

/// Of one stream.
#[derive(Debug, Default)]
pub(crate) struct Keyframes {
    wanted: bool,
    /// When it was asked last, and how often in vain.
    asked: Option<(Instant, u32)>,
}

impl Keyframes {
    /// Somebody cannot go on without one.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// One has begun: whoever waits has it.
    pub(crate) fn came(&mut self) {
        self.wanted = false;
        if let Some((_, tries)) = &mut self.asked {
            *tries = 0;
        }
    }

    /// Whether to ask now.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let is_due = self.wanted && self.poll_timeout(now).is_some_and(|at| at <= now);
        if is_due {
            let tries = self.asked.map_or(0, |(_, tries)| tries);
            self.asked = Some((now, tries.saturating_add(1)));
        }
        is_due
    }

    /// When to ask next, if somebody waits.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.wanted.then(|| match self.asked {
            None => now,
            // After one that was answered, and after those that were not: longer each time.
            Some((at, tries)) => at + SHORTEST * (1 << tries.saturating_sub(1).min(4)),
        })
    }
}

/// Between two that are asked for: each costs as much as many other frames, and libwebrtc does not heed what comes within 300 ms of
/// the last.
const SHORTEST: Duration = Duration::from_millis(320);

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
    fn some_instant() -> Instant {
        Instant::now()
    }

    /// When it asks in the next ten seconds, in milliseconds.
    fn asks(keyframes: &mut Keyframes, start: Instant, mut each: impl FnMut(&mut Keyframes, u64)) -> Vec<u64> {
        (0..10_000)
            .step_by(10)
            .filter(|&ms| {
                each(keyframes, ms);
                keyframes.poll(start + Duration::from_millis(ms))
            })
            .collect()
    }

    #[test]
    fn it_asks_at_once_and_then_less_and_less_often() {
        let asks = asks(&mut Keyframes::default(), some_instant(), |keyframes, _| keyframes.want());
        assert_eq!(asks, [0, 320, 960, 2_240, 4_800, 9_920]);
    }

    #[test]
    fn thousands_who_wait_are_one_and_one_answer_is_enough_for_all() {
        let asks = asks(&mut Keyframes::default(), some_instant(), |keyframes, ms| {
            if ms < 50 {
                (0..1_000).for_each(|_| keyframes.want());
            }
            if ms == 60 {
                keyframes.came();
            }
        });
        assert_eq!(asks, [0]);
    }

    #[test]
    fn who_asks_for_one_after_the_other_gets_four_in_a_second() {
        let asks = asks(&mut Keyframes::default(), some_instant(), |keyframes, ms| {
            keyframes.came();
            if ms < 1_000 {
                keyframes.want();
            }
        });
        assert_eq!(asks, [0, 320, 640, 960]);
    }

    #[test]
    fn nobody_waits_nobody_is_asked() {
        let mut keyframes = Keyframes::default();
        let now = some_instant();
        assert!(!keyframes.poll(now) && keyframes.poll_timeout(now).is_none());
    }
}
