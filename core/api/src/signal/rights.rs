//! What a participant may do, and the rooms that belong to a room.

#![allow(missing_docs, reason = "field names are the words of the protocol; those that need a sentence have one")]

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::Media;

/// What a participant may do beyond being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// What it may send. The sound of a screen goes with its picture.
    pub publish: Media,
    /// It gets what the others send.
    pub subscribe: bool,
    /// It may chat, and its application may say something.
    pub data: bool,
    /// It may do whatever the host may.
    pub admin: bool,
}

impl Permissions {
    /// Everything but what is the host's.
    pub const USUAL: Self = Self { publish: Media::ALL, subscribe: true, data: true, admin: false };

    /// Nothing has been taken or given.
    pub fn are_usual(&self) -> bool {
        *self == Self::USUAL
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self::USUAL
    }
}

/// A room that some of a room have gone to for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Breakout {
    pub name: String,
    /// Everyone in it, in the order of arrival.
    pub participants: Vec<BreakoutMember>,
}

/// Somebody in a breakout room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct BreakoutMember {
    /// Identity within that room.
    pub id: String,
    pub name: String,
}
