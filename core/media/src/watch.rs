//! How much of a track somebody wants: what is beyond need not be sent (dynacast). Up at once, down after a while: whoever has
//! just looked away may look again.

use std::time::{Duration, Instant};

use crate::track::MAX_STREAMS;

#[derive(Debug)]
pub(crate) struct Watch {
    /// How many want which stream as their largest.
    wanted: [u32; MAX_STREAMS],
    /// So many streams, the smallest first, are wanted, as far as the publisher knows.
    told: u8,
    /// When more were asked for, and from which on.
    woken: Option<(Instant, u8)>,
    /// When less will be asked for.
    down_at: Option<Instant>,
}

impl Watch {
    /// A publisher begins with all it has.
    pub(crate) fn new(now: Instant, streams: usize) -> Self {
        let told = u8::try_from(streams).unwrap_or(u8::MAX);
        Self { wanted: [0; MAX_STREAMS], told, woken: None, down_at: Some(now + PATIENCE) }
    }

    /// One of another plane sends nothing before it is asked.
    pub(crate) fn asleep() -> Self {
        Self { wanted: [0; MAX_STREAMS], told: 0, woken: None, down_at: None }
    }

    /// Somebody wants other streams than before: so many, the smallest first. How many to ask for at once, if more.
    pub(crate) fn change(&mut self, now: Instant, before: u8, after: u8) -> Option<u8> {
        let mut count = |streams: u8, by: fn(u32) -> u32| {
            let place = usize::from(streams).checked_sub(1).and_then(|index| self.wanted.get_mut(index));
            place.into_iter().for_each(|count| *count = by(*count));
        };
        count(before, |count| count.saturating_sub(1));
        count(after, |count| count.saturating_add(1));
        let wanted = self.wanted();
        if wanted > self.told {
            self.woken = Some((now, self.told));
            self.told = wanted;
            self.down_at = None;
            return Some(wanted);
        }
        if wanted == self.told {
            self.down_at = None;
        } else {
            self.down_at.get_or_insert(now + PATIENCE);
        }
        None
    }

    /// How many to ask for from here on, if it is time for less.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<u8> {
        self.down_at.take_if(|at| *at <= now)?;
        let wanted = self.wanted();
        (std::mem::replace(&mut self.told, wanted) != wanted).then_some(wanted)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.down_at
    }

    /// Whether a stream that does not come may do so if it is asked for.
    pub(crate) fn may_wake(&self, now: Instant, stream: u8) -> bool {
        let has_just = |(at, from): (Instant, u8)| stream >= from && now.saturating_duration_since(at) < WAKES;
        stream >= self.told || self.woken.is_some_and(has_just)
    }

    fn wanted(&self) -> u8 {
        let largest = self.wanted.iter().rposition(|count| *count > 0);
        largest.and_then(|index| u8::try_from(index + 1).ok()).unwrap_or(0)
    }
}

/// Before less is asked for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A publisher that does not send what it is asked for after so long cannot.
const WAKES: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_asked_for_at_once_and_less_after_a_while() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let now = Instant::now();
        let mut watch = Watch::new(now, 3);
        assert_eq!(watch.change(now, 0, 2), None);
        assert_eq!(watch.poll_timeout(), Some(now + PATIENCE));
        assert_eq!(watch.handle_timeout(now + PATIENCE), Some(2));
        assert!(watch.may_wake(now + PATIENCE, 2) && !watch.may_wake(now + PATIENCE, 1));
        assert_eq!(watch.change(now, 0, 3), Some(3));
        assert_eq!((watch.change(now, 3, 1), watch.change(now, 0, 3)), (None, None));
        assert_eq!(watch.poll_timeout(), None, "who looks away and looks again is not noticed");
        assert!(watch.may_wake(now, 2) && !watch.may_wake(now + WAKES, 2));
        assert_eq!((watch.change(now, 3, 0), watch.change(now, 2, 0)), (None, None));
        assert_eq!(watch.handle_timeout(now + PATIENCE), Some(1));
        assert_eq!(watch.poll_timeout(), None);
    }
}
