//! Rooms as they stand.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomMember {
    /// Identity within the room.
    #[schema(example = "p2")]
    pub id: String,
    /// As the others see it.
    pub name: String,
    /// Whether somebody is there.
    pub state: RoomPresence,
    /// What it sends.
    pub media: RoomMedia,
    /// Its address reaches nobody.
    pub hide_address: bool,
    /// When it entered.
    pub joined_at: u64,
}

/// How present somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomPresence {
    /// Waits for the host to accept.
    Ringing,
    /// In.
    Here,
    /// Network lost; the place is kept for a while.
    Away,
}

/// What somebody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomMedia {
    /// Microphone.
    pub audio: bool,
    /// Camera.
    pub video: bool,
    /// Screen.
    pub screen: bool,
}

impl From<signal::Participant> for RoomMember {
    fn from(from: signal::Participant) -> Self {
        let signal::Media { audio, video, screen } = from.media;
        RoomMember {
            id: from.id,
            name: from.name,
            state: match from.state {
                signal::Presence::Ringing => RoomPresence::Ringing,
                signal::Presence::Here => RoomPresence::Here,
                signal::Presence::Away => RoomPresence::Away,
            },
            media: RoomMedia { audio, video, screen },
            hide_address: from.hide_address,
            joined_at: from.joined_at,
        }
    }
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
            started_at: room.started_at,
            counts: RoomCounts { participants: people, audio, video, screen },
            participants: participants.into_iter().map(RoomMember::from).collect(),
        }
    }
}
