//! Commands that wait for a shard.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_media::Command;

use crate::metrics::MEDIA_COMMANDS_DROPPED_TOTAL;
use crate::net::epoll::Wake;

/// Of one shard.
pub(super) struct Mailbox {
    inside: Mutex<Contents>,
    wake: Wake,
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) commands: Vec<Command>,
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
        if inside.commands.len() >= MOST {
            drop(inside);
            return MEDIA_COMMANDS_DROPPED_TOTAL.add(1);
        }
        let was_empty = inside.commands.is_empty();
        inside.commands.push(command);
        drop(inside);
        if was_empty {
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
        contents.commands.clear();
        let mut inside = self.lock();
        std::mem::swap(&mut inside.commands, &mut contents.commands);
        contents.stop = inside.stop;
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // A thread that panicked while pushing leaves a whole value behind.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shard takes all there are in one turn.
const MOST: usize = 1 << 16;
