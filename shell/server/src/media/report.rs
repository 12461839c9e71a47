//! What a shard has done, for others to read without asking it.

use std::sync::{Mutex, PoisonError};

use tandem_media::Counters;

/// Figures of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Of the planes.
    pub plane: Counters,
    /// Peers there are.
    pub endpoints: u64,
    /// Tracks there are.
    pub tracks: u64,
    /// Ways of tracks to peers.
    pub forwards: u64,
    /// Datagrams the system did not take.
    pub unsent: u64,
    /// Times a shard began anew after a panic.
    pub restarts: u64,
}

impl Stats {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            plane: self.plane.plus(other.plane),
            endpoints: self.endpoints + other.endpoints,
            tracks: self.tracks + other.tracks,
            forwards: self.forwards + other.forwards,
            unsent: self.unsent + other.unsent,
            restarts: self.restarts + other.restarts,
        }
    }
}

/// Of one shard.
#[derive(Default)]
pub(super) struct Report(Mutex<Stats>);

impl Report {
    pub(super) fn read(&self) -> Stats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, stats: Stats) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}
