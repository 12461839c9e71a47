//! Passes: each lets one who was sent to another room enter there, once, and soon.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tandem_api::signal::Permissions;

use crate::context::RoomKey;
use crate::participant::Card;
use crate::tokens::TokenHash;

/// What whoever brings it is in the room.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub room: RoomKey,
    pub card: Card,
    pub may: Permissions,
    /// Is the host there again.
    pub host: bool,
}

/// Those that have not been used yet.
#[derive(Default)]
pub(crate) struct Passes {
    open: BTreeMap<TokenHash, Pass>,
    /// In the order in which they were made, which is that in which they end.
    ends: VecDeque<(Instant, TokenHash)>,
}

impl Passes {
    pub(crate) fn add(&mut self, now: Instant, hash: TokenHash, pass: Pass) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) || self.ends.len() >= MOST {
            let Some((_, old)) = self.ends.pop_front() else { break };
            self.open.remove(&old);
        }
        self.ends.push_back((now + PATIENCE, hash));
        self.open.insert(hash, pass);
    }

    /// The pass that has this hash, if its time is not over.
    pub(crate) fn find(&self, now: Instant, hash: &TokenHash) -> Option<&Pass> {
        let pass = self.open.get(hash)?;
        self.ends.iter().any(|(end, known)| known == hash && *end > now).then_some(pass)
    }

    /// Whether somebody may still come to a room like that.
    pub(crate) fn has_for(&self, now: Instant, room: impl Fn(RoomKey) -> bool) -> bool {
        let mut open = self.ends.iter().filter(|(end, _)| *end > now).filter_map(|(_, hash)| self.open.get(hash));
        open.any(|pass| room(pass.room))
    }

    /// It was used.
    pub(crate) fn take(&mut self, hash: &TokenHash) {
        self.open.remove(hash);
        self.ends.retain(|(_, known)| known != hash);
    }
}

/// A page goes at once; one that has lost its network meanwhile needs a moment more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Beyond that the oldest end early.
const MOST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
    fn now() -> Instant {
        Instant::now()
    }

    fn hash(number: u32) -> TokenHash {
        TokenHash::of(&number.to_be_bytes())
    }

    fn pass(room: u64) -> Pass {
        Pass { room: RoomKey(room), card: Card::default(), may: Permissions::USUAL, host: false }
    }

    #[test]
    fn a_pass_is_good_once_and_for_a_minute() {
        let (mut passes, now) = (Passes::default(), now());
        passes.add(now, hash(1), pass(7));
        passes.add(now, hash(2), pass(8));
        assert_eq!(passes.find(now, &hash(1)).map(|pass| pass.room), Some(RoomKey(7)));
        assert!(passes.find(now, &hash(3)).is_none());
        passes.take(&hash(1));
        assert!(passes.find(now, &hash(1)).is_none(), "used");
        assert!(passes.find(now + PATIENCE, &hash(2)).is_none(), "too late");
    }

    #[test]
    fn however_many_are_made_only_so_many_are_kept() {
        let (mut passes, now) = (Passes::default(), now());
        for number in 0..6_000 {
            passes.add(now, hash(number), pass(1));
        }
        assert_eq!((passes.open.len(), passes.ends.len()), (MOST, MOST));
        assert!(passes.find(now, &hash(0)).is_none() && passes.find(now, &hash(5_999)).is_some());
    }
}
