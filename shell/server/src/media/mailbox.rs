//! What waits for a shard: commands of the engine, and what other shards' planes tell its own. All of it in one order.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_media::{Command, Crossing, Shard};

use crate::metrics::{MEDIA_COMMANDS_DROPPED_TOTAL, MEDIA_CROSSINGS_DROPPED_TOTAL};
use crate::net::epoll::Wake;

/// Of one shard.
pub(super) struct Mailbox {
    inside: Mutex<Contents>,
    wake: Wake,
}

/// Something that waits.
pub(super) enum Left {
    Command(Box<Command>),
    Crossing(Shard, Crossing),
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) left: Vec<Left>,
    /// What must be known of what found no room; each once.
    missed: Vec<(Shard, Crossing)>,
    commands: usize,
    /// Bytes that cross.
    bytes: usize,
    pub(super) stop: bool,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { inside: Mutex::default(), wake: Wake::new()? })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.wake.fd()
    }

    /// Leaves a command. When so many wait that the shard must be stuck, it is lost, and counted.
    pub(super) fn give(&self, command: Command) {
        let mut inside = self.lock();
        if inside.commands >= MOST {
            drop(inside);
            return MEDIA_COMMANDS_DROPPED_TOTAL.add(1);
        }
        let was_empty = inside.left.is_empty();
        inside.commands += 1;
        inside.left.push(Left::Command(Box::new(command)));
        drop(inside);
        if was_empty {
            self.wake.ring();
        }
    }

    /// Leaves what another shard's plane has told in one turn, and empties it. Media that finds no room is lost, and counted;
    /// all else arrives.
    pub(super) fn cross(&self, from: Shard, crossings: &mut Vec<Crossing>) {
        let mut inside = self.lock();
        let (was_empty, mut lost) = (inside.left.is_empty(), 0);
        for crossing in crossings.drain(..) {
            let (waiting, bytes) = (inside.left.len(), inside.bytes.saturating_add(crossing.bytes()));
            if crossing.may_be_lost() && (waiting >= MOST_CROSSINGS || bytes > MOST_BYTES) {
                lost += 1;
                inside.miss(from, &crossing);
                continue;
            }
            inside.bytes = bytes;
            inside.left.push(Left::Crossing(from, crossing));
        }
        let has_some = !inside.left.is_empty();
        drop(inside);
        MEDIA_CROSSINGS_DROPPED_TOTAL.add(lost);
        if was_empty && has_some {
            self.wake.ring();
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.wake.ring();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    /// Takes everything, and leaves the emptied buffer of last time.
    pub(super) fn take(&self, contents: &mut Contents) {
        self.wake.clear();
        contents.left.clear();
        let mut inside = self.lock();
        std::mem::swap(&mut inside.left, &mut contents.left);
        contents.left.extend(inside.missed.drain(..).map(|(from, missed)| Left::Crossing(from, missed)));
        (inside.commands, inside.bytes) = (0, 0);
        contents.stop = inside.stop;
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // A thread that panicked while pushing leaves a whole value behind.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn miss(&mut self, from: Shard, crossing: &Crossing) {
        let missed = crossing.missed().map(|missed| (from, missed));
        let is_known = missed.as_ref().is_some_and(|missed| self.missed.contains(missed));
        self.missed.extend(missed.filter(|_| !is_known));
    }
}

/// A shard takes all there are in one turn.
const MOST: usize = 1 << 16;
/// As many values of other shards come in 50 ms, where there is much to do.
const MOST_CROSSINGS: usize = 1 << 13;
const MOST_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use tandem_media::{GroupId, TrackId};

    use super::*;

    fn taken(mailbox: &Mailbox) -> Vec<Left> {
        let mut contents = Contents::default();
        mailbox.take(&mut contents);
        contents.left
    }

    #[test]
    fn commands_and_what_planes_tell_keep_their_order() {
        let mailbox = Mailbox::new().expect("a wake");
        let command = || Command::Unpublish { track: TrackId(1) };
        mailbox.give(command());
        mailbox.cross(Shard(3), &mut vec![Crossing::lost()]);
        mailbox.give(command());
        let left = taken(&mailbox);
        assert!(matches!(left.as_slice(), [Left::Command(_), Left::Crossing(Shard(3), _), Left::Command(_)]));
        assert!(taken(&mailbox).is_empty());
    }

    #[test]
    fn what_must_arrive_finds_room_where_there_is_none() {
        let mailbox = Mailbox::new().expect("a wake");
        let mut many: Vec<_> = (0..2 * MOST_CROSSINGS).map(|_| Crossing::lost()).collect();
        mailbox.cross(Shard(0), &mut many);
        assert!(many.is_empty());
        mailbox.give(Command::Spread { group: GroupId(1), others: Vec::new(), ear: None });
        assert_eq!(taken(&mailbox).len(), 2 * MOST_CROSSINGS + 1);
    }
}
