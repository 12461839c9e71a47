//! Those in a room, and what may be changed of a room and of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RoomEntry;
use crate::signal;

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomMember {
    /// Identity within the room.
    #[schema(example = "p2")]
    pub id: String,
    /// Who it is to whoever has signed its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// As the others see it.
    pub name: String,
    /// What was kept with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Whether somebody is there.
    pub state: RoomPresence,
    /// What it speaks.
    pub client: RoomClient,
    /// What it sends.
    pub media: RoomMedia,
    /// What it may do.
    pub may: RoomPermissions,
    /// What comes of it through the server.
    pub tracks: Vec<RoomTrack>,
    /// Its address reaches nobody.
    pub hide_address: bool,
    /// What it sends is encrypted by a key that the server does not have.
    pub encrypted: bool,
    /// When it has raised its hand, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<u64>,
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

/// What somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomClient {
    /// Our own protocol.
    Web,
    /// The classic Socket.IO vocabulary.
    Classic,
    /// Publishes by WHIP.
    Whip,
    /// Watches by WHEP.
    Whep,
}

/// Microphone, camera, screen: what somebody sends, or may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoomMedia {
    /// Microphone.
    pub audio: bool,
    /// Camera.
    pub video: bool,
    /// Screen, and its sound.
    pub screen: bool,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomPermissions {
    /// What it may send.
    pub publish: RoomMedia,
    /// It gets what the others send.
    pub subscribe: bool,
    /// It may chat, and its application may say something.
    pub data: bool,
    /// It may do whatever the host may.
    pub admin: bool,
}

/// Something that comes of somebody through the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoomTrack {
    /// Unique in the room, and never used again.
    #[schema(example = "t5")]
    pub id: String,
    /// What it shows or lets hear.
    pub source: RoomSource,
    /// Nobody gets it.
    pub stopped: bool,
}

/// What a track shows or lets hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomSource {
    /// A microphone.
    Microphone,
    /// A camera.
    Camera,
    /// A screen.
    Screen,
    /// The sound of a screen.
    ScreenAudio,
}

/// What is to be different in a room; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeRoom {
    /// Nobody enters any more.
    pub locked: Option<bool>,
    /// How newcomers enter.
    pub entry: Option<RoomEntry>,
    /// Nobody enters without a token.
    pub tokens: Option<bool>,
    /// Newcomers send nothing until they are let.
    pub watch_only: Option<bool>,
    /// Room for so many; whoever is in stays.
    #[schema(minimum = 1)]
    pub max_participants: Option<u32>,
    /// What is kept with it, at most 4096 bytes; empty: nothing.
    pub metadata: Option<String>,
}

/// What is to be different with somebody; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeMember {
    /// What the others see; it cannot be changed by the participant any more.
    pub name: Option<String>,
    /// What is kept with it, at most 4096 bytes; empty: nothing.
    pub metadata: Option<String>,
    /// What it may do. What it sends against that is stopped.
    pub may: Option<RoomPermissions>,
}

/// Whether a track goes to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeTrack {
    /// Nobody gets it, until its owner turns it on again or this is taken back.
    pub stopped: bool,
}

/// Where somebody is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveMember {
    /// Name of a room that exists.
    #[schema(example = "blue-otter-2")]
    pub to: String,
}

/// Something to tell those in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomMessage {
    /// To these, by their identity within the room; to everyone if left out.
    #[serde(default)]
    pub to: Vec<String>,
    /// Anything; it arrives as a `message` from nobody.
    #[schema(value_type = Object)]
    pub data: signal::Json,
}

impl From<signal::Media> for RoomMedia {
    fn from(signal::Media { audio, video, screen }: signal::Media) -> Self {
        RoomMedia { audio, video, screen }
    }
}

impl From<RoomMedia> for signal::Media {
    fn from(RoomMedia { audio, video, screen }: RoomMedia) -> Self {
        signal::Media { audio, video, screen }
    }
}

impl From<signal::Permissions> for RoomPermissions {
    fn from(may: signal::Permissions) -> Self {
        let signal::Permissions { publish, subscribe, data, admin } = may;
        RoomPermissions { publish: publish.into(), subscribe, data, admin }
    }
}

impl From<RoomPermissions> for signal::Permissions {
    fn from(may: RoomPermissions) -> Self {
        let RoomPermissions { publish, subscribe, data, admin } = may;
        signal::Permissions { publish: publish.into(), subscribe, data, admin }
    }
}

impl From<signal::Track> for RoomTrack {
    fn from(track: signal::Track) -> Self {
        let source = match track.source {
            signal::Source::Microphone => RoomSource::Microphone,
            signal::Source::Camera => RoomSource::Camera,
            signal::Source::Screen => RoomSource::Screen,
            signal::Source::ScreenAudio => RoomSource::ScreenAudio,
        };
        RoomTrack { id: track.id, source, stopped: track.stopped }
    }
}

impl From<signal::Participant> for RoomMember {
    fn from(from: signal::Participant) -> Self {
        RoomMember {
            id: from.id,
            identity: from.identity,
            name: from.name,
            metadata: from.metadata,
            state: match from.state {
                signal::Presence::Ringing => RoomPresence::Ringing,
                signal::Presence::Here => RoomPresence::Here,
                signal::Presence::Away => RoomPresence::Away,
            },
            client: match from.client {
                signal::ClientKind::Web => RoomClient::Web,
                signal::ClientKind::Classic => RoomClient::Classic,
                signal::ClientKind::Whip => RoomClient::Whip,
                signal::ClientKind::Whep => RoomClient::Whep,
            },
            media: from.media.into(),
            may: from.may.into(),
            tracks: from.tracks.into_iter().map(RoomTrack::from).collect(),
            hide_address: from.hide_address,
            encrypted: from.encrypted,
            hand: from.hand,
            joined_at: from.joined_at,
        }
    }
}
