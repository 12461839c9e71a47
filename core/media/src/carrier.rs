//! Tracks that other planes carry on: at their home who carries what, and over there what becomes of it.

use std::time::Instant;

use crate::crossing::{Shard, Way};
use crate::track::MAX_STREAMS;

/// Where a track comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A peer of this plane sends it.
    Here(usize),
    /// Another plane hands it on.
    There(Box<Import>),
}

/// At home: another plane that has the track, too.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) shard: Shard,
    /// So many streams are handed to it, the smallest first.
    pub(crate) streams: u8,
    ways: [Way; MAX_STREAMS],
}

/// Over there: how it comes in.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) home: Shard,
    /// So many streams were asked for last.
    pub(crate) told: u8,
    /// What the plane's list says.
    pub(crate) listed: Option<Instant>,
    /// When to look whether streams have stopped.
    pub(crate) look_at: Option<Instant>,
    /// When it is dropped, if nobody is shown it by then.
    pub(crate) idle_at: Option<Instant>,
    /// The packet that is to come next.
    next: [Option<Way>; MAX_STREAMS],
}

/// How a packet follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// It is the next one.
    Next,
    /// Between them some were lost.
    Gap,
    /// The stream begins anew.
    Anew,
}

impl Carrier {
    pub(crate) fn new(shard: Shard) -> Self {
        Self { shard, streams: 0, ways: [Way::default(); MAX_STREAMS] }
    }

    /// A stream begins anew.
    pub(crate) fn begin(&mut self, stream: usize, life: u32) {
        self.ways.get_mut(stream).into_iter().for_each(|way| *way = Way { life, count: 0 });
    }

    /// Where the next packet of a stream is; `None`: it is not handed on.
    pub(crate) fn next(&mut self, stream: usize) -> Option<Way> {
        if stream >= usize::from(self.streams) {
            return None;
        }
        let way = self.ways.get_mut(stream)?;
        let next = *way;
        way.count = way.count.wrapping_add(1);
        Some(next)
    }
}

impl Import {
    pub(crate) fn new(home: Shard, idle_at: Instant) -> Self {
        let (told, listed, look_at, idle_at) = (0, None, None, Some(idle_at));
        Self { home, told, listed, look_at, idle_at, next: [None; MAX_STREAMS] }
    }

    /// A packet of a stream has come. `None`: there is no such stream.
    pub(crate) fn follow(&mut self, stream: usize, way: Way) -> Option<Follows> {
        let next = self.next.get_mut(stream)?;
        let before = next.replace(Way { count: way.count.wrapping_add(1), ..way });
        Some(match before {
            Some(expected) if expected == way => Follows::Next,
            Some(expected) if expected.life == way.life => Follows::Gap,
            Some(_) | None => Follows::Anew,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_a_gap_and_another_life_is_none() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let mut import = Import::new(Shard(1), Instant::now());
        let mut carrier = Carrier::new(Shard(2));
        assert_eq!(carrier.next(0), None);
        carrier.streams = 1;
        carrier.begin(0, 7);
        let mut follow = |way: Option<Way>| import.follow(0, way.expect("handed on"));
        assert_eq!(follow(carrier.next(0)), Some(Follows::Anew));
        assert_eq!(follow(carrier.next(0)), Some(Follows::Next));
        assert_eq!(carrier.next(1), None);
        carrier.next(0);
        assert_eq!(follow(carrier.next(0)), Some(Follows::Gap));
        carrier.begin(0, 8);
        carrier.next(0);
        assert_eq!(follow(carrier.next(0)), Some(Follows::Anew));
        assert_eq!(import.follow(MAX_STREAMS, Way::default()), None);
    }
}
