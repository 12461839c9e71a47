//! The session protocol, version 1.
//!
//! ```text
//! client                                            server
//!   │ {"type":"join","room":"…","name":"Ann"}          │   first frame: join or resume
//!   ├─────────────────────────────────────────────────►│
//!   │            {"n":1,"type":"joined",…}             │   every event after that is numbered
//!   │◄─────────────────────────────────────────────────┤
//!   │ {"id":1,"type":"offer","to":"p2","sdp":"…"}      │   requests are numbered by the client, from 1, no gaps
//!   ├─────────────────────────────────────────────────►│
//!   │            {"n":2,"type":"reply","to":1,…}       │   each request is answered by one reply
//!   │◄─────────────────────────────────────────────────┤
//!   │ {"type":"ack","n":2}                             │   unnumbered; lets the server forget
//! ```
//!
//! After a lost transport the client opens another and sends `resume` with the last event it saw; the server answers
//! `resumed` (unnumbered) with the last request it processed, then repeats every event the client misses. Both sides
//! resend what the other has not seen, so nothing is lost, doubled or reordered.
//!
//! Where one side has lost its memory (a reloaded page sends `last: null`; a restarted server) the answer to `resume` is a
//! new `joined` with the same `you`, and both numberings start again at 1. A reloaded page has a raised `epoch`: the
//! others drop their connection to it and build another. After a server's restart the epochs are as before, and
//! connections between browsers simply go on.

#![allow(missing_docs, reason = "field names are the words of the protocol; those that need a sentence have one")]

mod frame;
mod json;
mod parse;
mod plane;
mod rights;
mod weight;

use std::sync::Arc;

pub use frame::ClientFrame;
pub use json::{Json, TooDeep};
pub use parse::{ParseError, parse_frame, parse_hello};
pub use plane::{Layer, Sends, Sent, Slot, SlotLayer, Source, Topology, Track};
pub use rights::{Breakout, BreakoutMember, Permissions};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Name of the protocol, offered as WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "tandem.v1";

/// The first frame on a transport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Hello {
    /// Enter a room as a new participant.
    Join(Join),
    /// Come back after a lost transport.
    Resume(Resume),
    /// See who is there before entering. Answered by `seen`; then the transport closes.
    Look(Look),
}

/// Enter a room as a new participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Name of the room as it stands in the link.
    pub room: String,
    /// What the others see.
    pub name: String,
    /// Only relay candidates of this participant may reach the others.
    #[serde(default)]
    pub hide_address: bool,
    /// What the participant brings.
    #[serde(default)]
    pub media: Media,
    /// How newcomers enter, honoured only from the one who opens the room.
    #[serde(default)]
    pub entry: Entry,
    /// What this participant sends is encrypted by a key that the server does not have.
    #[serde(default)]
    pub encrypted: bool,
    /// A token that was signed for this room (JWT), or the pass of `moved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional = nullable)]
    pub token: Option<String>,
}

/// How newcomers enter a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Whoever has the link enters.
    #[default]
    Open,
    /// A newcomer rings; nothing about its network is exchanged until the host accepts.
    Ring,
}

/// Come back after a lost transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// From `joined`.
    pub token: String,
    /// Number of the last event received; absent when the page was reloaded and knows nothing any more.
    #[serde(default)]
    #[ts(optional = nullable)]
    pub last: Option<u64>,
    /// What the participant brings from here on (only read when `last` is absent).
    #[serde(default)]
    pub media: Media,
}

/// See who is there before entering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// Name of the room as it stands in the link.
    pub room: String,
}

/// One ICE candidate as `RTCIceCandidateInit` gives it. An empty `candidate` means end of candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The `candidate-attribute` of RFC 8839 §5.1, without `a=`.
    pub candidate: String,
    #[serde(default)]
    #[ts(optional = nullable)]
    pub sdp_mid: Option<String>,
    #[serde(default, rename = "sdpMLineIndex")]
    #[ts(optional = nullable)]
    pub sdp_m_line_index: Option<u16>,
    #[serde(default)]
    #[ts(optional = nullable)]
    pub username_fragment: Option<String>,
}

/// What a participant sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    pub audio: bool,
    pub video: bool,
    pub screen: bool,
}

impl Media {
    /// Everything there is.
    pub const ALL: Self = Self { audio: true, video: true, screen: true };

    /// What of it is within `bound`, too.
    #[must_use]
    pub fn within(self, bound: Self) -> Self {
        Self { audio: self.audio && bound.audio, video: self.video && bound.video, screen: self.screen && bound.screen }
    }
}

/// The way of a pair's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// From browser to browser.
    P2p,
    /// Through a TURN server.
    Relay,
}

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum ServerFrame {
    /// A numbered event of the session.
    Event(Numbered),
    /// Something about the transport itself.
    Note(Note),
}

/// An event and its number; numbers start at 1 and have no gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Numbered {
    pub n: u64,
    #[serde(flatten)]
    pub event: Arc<Event>,
}

/// About the transport, not the session: never repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Note {
    /// The session goes on; `received` is the last request that was processed.
    Resumed { received: u64 },
    /// Answer to `look`.
    Seen(Seen),
    /// Answer to `ping`.
    Pong {},
    /// The frame, or the join, was not accepted. The transport closes when `fatal`.
    Refused {
        reason: Reason,
        /// A sentence for a person.
        detail: String,
        fatal: bool,
    },
    /// The server is going down; connect again after this many milliseconds.
    Draining { reconnect_ms: u64 },
    /// Who speaks through the media plane, the latest first.
    Speakers { participants: Vec<String> },
    /// What comes by some of your slots has changed.
    Layers { slots: Vec<SlotLayer> },
    /// What somebody says, in writing, as far as it has been understood. Each `line` is told again and again until it is
    /// `done`.
    Caption { from: String, line: u32, text: String, done: bool, language: String },
}

/// A room through the open door: what entering it would show, and no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Seen {
    pub door: Door,
    /// How many are in; 0 unless `door` is `open`.
    pub participants: u32,
    /// The first few of them in the order of arrival; none unless `door` is `open`.
    pub names: Vec<String>,
}

/// How a newcomer would find the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Nobody is in, or there is no such room: whoever enters is its host.
    Empty,
    /// Somebody is in, and whoever has the link enters.
    Open,
    /// Somebody is in, and a newcomer rings.
    Ring,
    /// Somebody is in, and nobody else enters.
    Locked,
    /// Whoever has a token for it enters.
    Token,
    /// It belongs to another room, from which one is sent there.
    Breakout,
}

/// What happens in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// You are in.
    Joined(Box<Joined>),
    /// The answer to request `to`.
    Reply {
        to: u64,
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// Someone arrived.
    ParticipantJoined {
        participant: Participant,
    },
    /// Someone is different: name, media, connection, ringing.
    ParticipantChanged {
        participant: Participant,
    },
    /// Someone is gone.
    ParticipantLeft {
        participant: String,
        reason: LeaveReason,
    },
    /// Lock, host or counts have changed.
    RoomChanged {
        room: Room,
    },
    Offer {
        from: String,
        sdp: String,
    },
    Answer {
        from: String,
        sdp: String,
    },
    Candidate {
        from: String,
        candidate: Candidate,
    },
    /// A line of text. Who said it does not get it back: the reply tells that it was passed on.
    Chat {
        from: String,
        text: String,
        /// Unix time in milliseconds.
        at: u64,
        /// Sent to you alone.
        private: bool,
    },
    /// What an application said by `message`.
    Message {
        from: String,
        #[ts(type = "unknown")]
        data: Json,
    },
    /// The answer to your offer to the media plane, and what your tracks are called from here on.
    MediaAnswer {
        /// Number of the `media_offer`.
        to: u64,
        sdp: String,
        tracks: Vec<Sent>,
    },
    /// Your connection to the media plane is over: a new one takes a new offer of a new connection.
    MediaEnded {
        detail: String,
    },
    /// So many of the layers of your track are wanted, the smallest first: what is beyond need not be sent.
    Watched {
        track: String,
        layers: u8,
    },
    /// The host has stopped what you send, or asks you to.
    Muted {
        by: String,
        source: Source,
    },
    /// Go to another room: join it with this pass, which is good for once. `out` follows.
    Moved {
        room: String,
        pass: String,
    },
    /// Fresh credentials, unasked or as the result of `ice_servers`.
    IceServers {
        ice_servers: Vec<IceServer>,
    },
    /// You are out, and will not be let back by the resume token.
    Out {
        reason: LeaveReason,
    },
}

/// Everything a newcomer needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Joined {
    /// Your own identity within the room.
    pub you: String,
    /// For `resume`.
    pub resume_token: String,
    /// How long the place is kept after the transport is lost.
    pub resume_ms: u64,
    pub room: Room,
    /// Everyone, you included, in the order of arrival.
    pub participants: Vec<Participant>,
    pub ice_servers: Vec<IceServer>,
    pub limits: Limits,
}

/// A room as everyone in it sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Room {
    pub name: String,
    /// Identity of the host.
    pub host: String,
    pub locked: bool,
    pub entry: Entry,
    /// Nobody's own address may reach another: relay candidates only.
    pub relay_only: bool,
    /// How media goes from here on.
    #[serde(default)]
    pub topology: Topology,
    /// The host wants it through the server, however few are in.
    pub always_sfu: bool,
    /// Nobody enters without a token.
    #[serde(default)]
    pub tokens: bool,
    /// Newcomers send nothing until the host lets them.
    #[serde(default)]
    pub watch_only: bool,
    /// What a third party keeps with the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub metadata: Option<String>,
    /// The room this one was made for, as one of its breakout rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub parent: Option<String>,
    /// The breakout rooms of this room or, in one of them, of its parent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<Breakout>>")]
    pub breakouts: Vec<Breakout>,
    /// Unix time in milliseconds.
    pub started_at: u64,
    pub counts: Counts,
}

/// Who is in the session and what media exists, counted by the server. Those who still ring are not in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Counts {
    pub participants: u32,
    pub audio: u32,
    pub video: u32,
    pub screen: u32,
}

/// One entry of the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Participant {
    pub id: String,
    pub name: String,
    pub media: Media,
    pub state: Presence,
    pub hide_address: bool,
    /// Says that what it sends is encrypted by a key that the server does not have: of no use to whoever has no key.
    #[serde(default)]
    pub encrypted: bool,
    pub client: ClientKind,
    /// Raised each time the participant's page starts anew; connections of an earlier epoch are dead.
    pub epoch: u32,
    /// Unix time in milliseconds: arrival, or acceptance of one who rang. Those who are in first make up the mesh.
    pub joined_at: u64,
    /// What it may do; absent: everything but what is the host's.
    #[serde(default, skip_serializing_if = "Permissions::are_usual")]
    #[ts(optional, as = "Option<Permissions>")]
    pub may: Permissions,
    /// Who it is to the third party that has signed its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub identity: Option<String>,
    /// What that third party keeps with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub metadata: Option<String>,
    /// When the hand was raised, Unix time in milliseconds; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub hand: Option<u64>,
    /// What comes of it through the server.
    #[serde(default)]
    pub tracks: Vec<Track>,
}

/// What a participant speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// This protocol.
    #[default]
    Web,
    /// The classic Socket.IO vocabulary: understands `message` only, makes no peer connection with us.
    Classic,
    /// Publishes by WHIP (RFC 9725), and hears nothing of us.
    Whip,
    /// Watches by WHEP, and hears nothing of us.
    Whep,
}

/// How present a participant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Waits for the host to accept.
    Ringing,
    Here,
    /// Transport lost; the place is kept for a while.
    Away,
}

/// Why someone is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// Their own wish.
    Left,
    /// Did not come back in time.
    Lost,
    /// By the host, or by an operator.
    Removed,
    /// The host did not accept.
    Declined,
    /// The session was ended for everyone.
    Ended,
    /// Read too slowly: more was waiting for it than the server keeps.
    TooSlow,
    /// Went to another room.
    Moved,
    /// The same identity has come in again: the newer one counts.
    Replaced,
}

/// Outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Refused { reason: Reason, detail: String },
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not JSON, or a field is missing or of the wrong kind.
    Malformed,
    /// No message of that `type`.
    UnknownType,
    /// More bytes than allowed.
    TooLarge,
    /// A request number was left out.
    OutOfOrder,
    /// `join` or `resume` must come first, and only once.
    NotJoined,
    AlreadyJoined,
    /// The name of a room or person breaks the rules; the detail says which.
    BadName,
    RoomLocked,
    RoomFull,
    /// The server is at a limit the operator set.
    ServerFull,
    /// Too many messages, or connections, in a short time.
    TooMany,
    /// The resume token is unknown or too old: join again.
    ResumeExpired,
    /// Only the host may.
    NotHost,
    /// Nobody with that identity in the room.
    NoSuchParticipant,
    /// The one called has not accepted yet.
    NotAccepted,
    /// A candidate would have shown an address that is to stay hidden.
    AddressHidden,
    /// The session description cannot be read, or is too large.
    BadSdp,
    /// The candidate cannot be read.
    BadCandidate,
    /// The participant's page has started anew since: the message was meant for a connection that is gone.
    StaleEpoch,
    /// The server is going down.
    Draining,
    /// The operator does not allow it.
    Forbidden,
    /// Nobody enters here without a token.
    TokenNeeded,
    /// The token is wrong, too old, or for something else; the detail says which.
    BadToken,
    /// Its token, or the host, does not let it do that.
    NotPermitted,
}

/// One element of `RTCConfiguration.iceServers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub credential: Option<String>,
}

/// What the server accepts from one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Limits {
    pub frame_bytes: u32,
    pub sdp_bytes: u32,
    pub chat_chars: u32,
    pub name_chars: u32,
    pub participants: u32,
    /// Above this many participants a mesh of peer connections is too heavy: media goes through the server, or stops being
    /// offered where `sfu` is false.
    pub mesh: u32,
    /// The server has a media plane: `media_offer` is answered.
    pub sfu: bool,
}
