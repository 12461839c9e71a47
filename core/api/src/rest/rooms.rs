//! Rooms as they stand.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::RoomMember;
use crate::signal;

/// Which rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RoomQuery {
    /// Rooms after this one, as `next` of the page before said.
    pub after: Option<String>,
    /// How many at most; 1 to 200, 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

/// A page of rooms, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomList {
    /// The rooms.
    pub rooms: Vec<RoomState>,
    /// For `after`, when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A room to be made before anyone enters. It stays when it is empty, until it is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewRoom {
    /// Its name, which is the last part of its link; one that nobody can guess is made if left out.
    #[schema(example = "blue-otter")]
    pub name: Option<String>,
    /// How newcomers enter.
    pub entry: RoomEntry,
    /// Relay candidates only: nobody's address reaches another.
    pub relay_only: bool,
    /// Fewer than the server allows.
    #[schema(minimum = 1)]
    pub max_participants: Option<u32>,
    /// Nobody enters without a token.
    pub tokens: bool,
    /// Newcomers send nothing until the host, or a request to the API, lets them.
    pub watch_only: bool,
    /// Whatever you want to keep with it, at most 4096 bytes; everyone in the room can read it.
    pub metadata: Option<String>,
}

/// How newcomers enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomEntry {
    /// Whoever has the link enters.
    #[default]
    Open,
    /// A newcomer rings, and the host accepts.
    Ring,
}

impl From<signal::Entry> for RoomEntry {
    fn from(entry: signal::Entry) -> Self {
        match entry {
            signal::Entry::Open => RoomEntry::Open,
            signal::Entry::Ring => RoomEntry::Ring,
        }
    }
}

impl From<RoomEntry> for signal::Entry {
    fn from(entry: RoomEntry) -> Self {
        match entry {
            RoomEntry::Open => signal::Entry::Open,
            RoomEntry::Ring => signal::Entry::Ring,
        }
    }
}

/// A room and everyone in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomState {
    /// Its name.
    #[schema(example = "blue-otter")]
    pub name: String,
    /// The running session, when somebody is in; see `/sessions/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Identity of the host, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "p1")]
    pub host: Option<String>,
    /// Nobody else enters.
    pub locked: bool,
    /// How newcomers enter.
    pub entry: RoomEntry,
    /// Relay candidates only.
    pub relay_only: bool,
    /// Nobody enters without a token.
    pub tokens: bool,
    /// Newcomers send nothing until they are let.
    pub watch_only: bool,
    /// What was kept with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// The room it was made for, as one of its breakout rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The breakout rooms of this one, or of its parent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breakouts: Vec<String>,
    /// When the session began, or the room was made.
    pub started_at: u64,
    /// Who is in and what media exists.
    pub counts: RoomCounts,
    /// Everyone, in the order of arrival: nobody is hidden.
    pub participants: Vec<RoomMember>,
}

/// Counted by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomCounts {
    /// People in the room.
    pub participants: u32,
    /// Microphones.
    pub audio: u32,
    /// Cameras.
    pub video: u32,
    /// Shared screens.
    pub screen: u32,
}

impl RoomState {
    /// As the engine shows it.
    pub fn new(room: signal::Room, session: Option<String>, participants: Vec<signal::Participant>) -> RoomState {
        let signal::Counts { participants: people, audio, video, screen } = room.counts;
        RoomState {
            name: room.name,
            session,
            host: Some(room.host).filter(|host| !host.is_empty()),
            locked: room.locked,
            entry: room.entry.into(),
            relay_only: room.relay_only,
            tokens: room.tokens,
            watch_only: room.watch_only,
            metadata: room.metadata,
            parent: room.parent,
            breakouts: room.breakouts.into_iter().map(|breakout| breakout.name).collect(),
            started_at: room.started_at,
            counts: RoomCounts { participants: people, audio, video, screen },
            participants: participants.into_iter().map(RoomMember::from).collect(),
        }
    }
}
