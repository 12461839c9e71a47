//! The relay for whoever runs it: its figures; settings read again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the relay does, and has done since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayFigures {
    /// Threads that work.
    pub running: u64,
    /// Threads there should be.
    pub threads: u64,
    /// Live allocations.
    pub allocations: u64,
    /// Live connections over TCP and TLS.
    pub streams: u64,
    /// Allocations made.
    pub allocated: u64,
    /// Packets relayed.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
    /// Packets not relayed.
    pub dropped: u64,
}

/// Settings that had changed, by their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// In force from here on.
    pub applied: Vec<String>,
    /// These wait for the next start.
    pub restart: Vec<String>,
}
