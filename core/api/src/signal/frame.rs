//! What a client asks for once it is in.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Candidate, Json, Media, PathKind, Permissions, Sends, Slot, Source};

/// A numbered request, or an unnumbered note, from a joined client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientFrame {
    /// Received all events up to and including `n`.
    Ack { n: u64 },
    /// Asks for a `pong`: is the way still open?
    Ping {},
    /// Leave for good.
    Leave { id: u64 },
    /// A session description for one participant. `epoch` is that participant's, as the sender knows it.
    Offer { id: u64, to: String, epoch: u32, sdp: String },
    /// The answer to its offer.
    Answer { id: u64, to: String, epoch: u32, sdp: String },
    /// One trickled candidate for one participant.
    Candidate { id: u64, to: String, epoch: u32, candidate: Candidate },
    /// Anything an application wants to tell the others, or one of them, through the server.
    Message {
        id: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        #[ts(type = "unknown")]
        data: Json,
    },
    /// A line of text to everyone, or to one.
    Chat {
        id: u64,
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// What this participant brings has changed.
    Media { id: u64, media: Media },
    /// The name others see has changed.
    Rename { id: u64, name: String },
    /// Which way the media of a pair takes, as the browser measured it.
    Path { id: u64, peer: String, path: PathKind },
    /// New ICE servers with fresh credentials, please.
    IceServers { id: u64 },
    /// Host: let a ringing participant in.
    Accept { id: u64, participant: String },
    /// Host: turn a ringing participant away.
    Decline { id: u64, participant: String },
    /// Host: nobody else enters, or newcomers may again.
    Lock { id: u64, locked: bool },
    /// Host: remove a participant.
    Remove { id: u64, participant: String },
    /// Host: make someone else the host.
    HandOver { id: u64, to: String },
    /// Host: end the session for everyone.
    End { id: u64 },
    /// The browser's offer to the media plane: the first one connects, later ones change what goes by that connection.
    /// Answered by `media_answer`.
    MediaOffer { id: u64, sdp: String, sends: Vec<Sends> },
    /// What is to come by the m-lines that receive; slots that are not named stay as they are.
    Watch { id: u64, slots: Vec<Slot> },
    /// The connection to the media plane is given up.
    MediaClose { id: u64 },
    /// Raise the hand, or lower it.
    Hand { id: u64, raised: bool },
    /// Host: stop what a participant sends. Who is peer to peer is asked only.
    Mute { id: u64, participant: String, source: Source },
    /// Host: lower everyone's hand, or one participant's.
    LowerHand { id: u64, participant: String },
    /// Host: media goes through the server whatever the number of participants, or as the server sees fit.
    Topology { id: u64, sfu: bool },
    /// Host: what a participant may do from here on. What it sends against that is stopped.
    Permit { id: u64, participant: String, may: Permissions },
    /// Host: newcomers only watch, or may send at once.
    Newcomers { id: u64, watch_only: bool },
    /// Host: so many breakout rooms, and whether everybody else is spread over them at once.
    BreakoutOpen { id: u64, rooms: u8, assign: bool },
    /// Host: everybody comes back, and the breakout rooms are gone.
    BreakoutClose { id: u64 },
    /// Go to another room of the same family: a breakout room, or back. The host sends others, `from` the room they are in if
    /// that is not this one.
    Move {
        id: u64,
        participant: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        to: String,
    },
    /// What one says, in writing, so far; told again with more of it until it is `done`. `language` as in BCP 47.
    Caption { id: u64, line: u32, text: String, done: bool, language: String },
}

impl ClientFrame {
    /// Number of the request; a note has none.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Ack { .. } | Self::Ping {} => None,
            Self::Leave { id }
            | Self::Offer { id, .. }
            | Self::Answer { id, .. }
            | Self::Candidate { id, .. }
            | Self::Message { id, .. }
            | Self::Chat { id, .. }
            | Self::Media { id, .. }
            | Self::Rename { id, .. }
            | Self::Path { id, .. }
            | Self::IceServers { id }
            | Self::Accept { id, .. }
            | Self::Decline { id, .. }
            | Self::Lock { id, .. }
            | Self::Remove { id, .. }
            | Self::HandOver { id, .. }
            | Self::End { id }
            | Self::MediaOffer { id, .. }
            | Self::Watch { id, .. }
            | Self::MediaClose { id }
            | Self::Hand { id, .. }
            | Self::Mute { id, .. }
            | Self::LowerHand { id, .. }
            | Self::Topology { id, .. }
            | Self::Permit { id, .. }
            | Self::Newcomers { id, .. }
            | Self::BreakoutOpen { id, .. }
            | Self::BreakoutClose { id }
            | Self::Move { id, .. }
            | Self::Caption { id, .. } => Some(*id),
        }
    }
}
