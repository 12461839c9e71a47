//! What goes into the engine and what comes out.

#![allow(missing_docs, reason = "variants have a sentence; the names of their fields say the rest")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tandem_api::signal::{
    ClientFrame, ClientKind, Entry, Hello, IceServer, Json, LeaveReason, Participant, PathKind, Permissions, Reason,
    Room, ServerFrame, Track,
};
use tandem_media::terms::Terms;

/// The shell's one clock reading of a wake-up.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For records and for people, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// One connection of a client, whatever carries it. The shell numbers them and never reuses a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub u64);

/// A question from the HTTP API, answered by one [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What happens to the engine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first frame of a transport, and what the token in it grants, if there is one and it was found to be good.
    Hello { transport: TransportId, origin: Origin, hello: Hello, grants: Option<Box<Grants>> },
    /// Any later frame.
    Frame { transport: TransportId, frame: ClientFrame },
    /// The transport is gone.
    Closed { transport: TransportId },
    /// From the HTTP API.
    Command { id: CommandId, command: Command },
    /// Rooms as they stood when the last process ended. Only before anything else.
    Restore(Vec<RoomKept>),
    /// The relay is announced in another way from here on, or not at all.
    Relay(Option<Relay>),
    /// The process is going down: tell everyone, refuse newcomers.
    Drain { reconnect: Duration },
}

/// What a third party has signed for somebody. The signature, the time and the key were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// The one room it is for; `None`: any.
    pub room: Option<String>,
    /// Who this is to the third party. Two with the same are never in at the same time.
    pub identity: Option<String>,
    /// What the others see, whatever the participant says.
    pub name: Option<String>,
    /// What the third party keeps with it.
    pub metadata: Option<String>,
    /// What it may do.
    pub may: Permissions,
}

/// Where a transport comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Address of the client as far as it is known.
    pub address: IpAddr,
    /// Host name or address under which the client reached us: the relay answers there, too.
    pub host: String,
    /// The port of HTTPS under which it did, if known.
    pub port: Option<u16>,
    /// What it speaks.
    pub client: ClientKind,
}

/// What third parties may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Rooms with somebody in them, or created beforehand, by name, after `after`, at most `limit`.
    ListRooms { after: Option<String>, limit: usize },
    /// One room and its roster.
    ShowRoom { name: String },
    /// Make a room that exists before anyone enters.
    CreateRoom(CreateRoom),
    /// End the session and forget the room.
    DeleteRoom { name: String },
    /// Change a room; what is absent stays as it is.
    ChangeRoom { room: String, change: RoomChange },
    /// Remove somebody.
    RemoveParticipant { room: String, participant: String },
    /// Change somebody; what is absent stays as it is.
    ChangeParticipant { room: String, participant: String, change: ParticipantChange },
    /// Stop what somebody sends, or let it through again: one track, by its name.
    StopTrack { room: String, participant: String, track: String, stopped: bool },
    /// Send somebody to another room.
    MoveParticipant { room: String, participant: String, to: String },
    /// Tell those in a room something, or some of them only.
    Tell { room: String, to: Vec<String>, data: Json },
    /// Somebody without signalling of ours wants in: WHIP, WHEP.
    Connect(Box<Guest>),
    /// It has more to tell: candidates, or that ICE begins anew. `version`: of which state it speaks, if it says so.
    Trickle { token: String, fragment: String, version: Option<u32> },
    /// It leaves.
    Disconnect { token: String },
}

/// Somebody who comes by an offer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Name of the room.
    pub room: String,
    /// What the others see.
    pub name: String,
    /// Where from.
    pub address: IpAddr,
    /// What for.
    pub way: Way,
    /// The offer.
    pub sdp: String,
    /// What its token grants.
    pub grants: Option<Box<Grants>>,
}

/// What is to be different in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomChange {
    /// Nobody enters any more, or again.
    pub locked: Option<bool>,
    /// How newcomers enter.
    pub entry: Option<Entry>,
    /// Nobody enters without a token.
    pub tokens: Option<bool>,
    /// Newcomers send nothing until they are let.
    pub watch_only: Option<bool>,
    /// Room for so many.
    pub max_participants: Option<u32>,
    /// What the third party keeps with it; empty: nothing.
    pub metadata: Option<String>,
}

/// What is to be different with somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParticipantChange {
    /// What the others see.
    pub name: Option<String>,
    /// What the third party keeps with it; empty: nothing.
    pub metadata: Option<String>,
    /// What it may do.
    pub may: Option<Permissions>,
}

/// What somebody comes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To publish (RFC 9725).
    Whip,
    /// To watch.
    Whep,
}

/// A room made beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRoom {
    /// Chosen by us when absent.
    pub name: Option<String>,
    /// How newcomers enter.
    pub entry: Entry,
    /// Relay candidates only, for everyone.
    pub relay_only: bool,
    /// Fewer than the server's own limit, when given.
    pub max_participants: Option<u32>,
    /// Nobody enters without a token.
    pub tokens: bool,
    /// Newcomers send nothing until they are let.
    pub watch_only: bool,
    /// What the third party keeps with it.
    pub metadata: Option<String>,
}

/// Answer to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `ListRooms`; `more` when another page follows.
    Rooms { rooms: Vec<RoomView>, more: bool },
    /// To `ShowRoom`, `CreateRoom`, `ChangeRoom`.
    Room(RoomView),
    /// To `ChangeParticipant`, `StopTrack`.
    Participant(Box<Participant>),
    /// To `DeleteRoom`, `RemoveParticipant`, `MoveParticipant`, `Tell`, `Disconnect`, and `Trickle` of candidates.
    Done,
    /// To `Connect`. The token names the connection from here on; nobody else knows it. `user`: the user part of its TURN user
    /// name, if it needs the relay.
    Connected { token: String, participant: String, answer: String, version: u32, user: String },
    /// To `Trickle`: ICE begins anew, with these credentials of ours.
    Restarted { fragment: String, version: u32 },
    /// To `Trickle`: it speaks of a state that has been superseded.
    Outdated,
    /// Not done, and why.
    Refused { reason: Reason, detail: String },
    /// No such room or participant.
    NotFound,
}

/// A room as third parties see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// As its participants see it.
    pub room: Room,
    /// Identity of the running session, when somebody is in.
    pub session: Option<String>,
    /// Everyone in it.
    pub participants: Vec<Participant>,
}

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write a frame.
    Send { transport: TransportId, frame: ServerFrame },
    /// Close once everything sent has been written.
    Close { transport: TransportId },
    /// Answer a command.
    Reply { id: CommandId, reply: Reply },
    /// Store what happened.
    Record(Record),
    /// Something third parties want to hear of.
    Hook(Box<Hook>),
    /// Store how a room stands, in place of what was stored for it; `None`: it is gone.
    Keep { room: String, kept: Option<RoomKept> },
    /// Everything this user relays ends at once (the user part of its TURN user name).
    Revoke { user: String },
    /// For the media plane of a shard.
    Media { shard: usize, command: Box<tandem_media::Command> },
}

/// What third parties hear of, if they want to (`Config::hooks`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Unix time in milliseconds.
    pub at: u64,
    /// Where.
    pub room: Room,
    /// In which session.
    pub session: String,
    /// What.
    pub what: Happening,
}

/// What has happened in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Somebody entered an empty room.
    RoomStarted,
    /// The last one is gone, or it was ended.
    RoomFinished,
    /// Somebody is in.
    ParticipantJoined { participant: Participant },
    /// Somebody is gone.
    ParticipantLeft { participant: Participant, reason: LeaveReason },
    /// Somebody sends something through the server.
    TrackPublished { participant: Participant, track: Track },
    /// And does so no more.
    TrackUnpublished { participant: Participant, track: Track },
}

/// A line of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Somebody entered an empty room.
    SessionStarted { session: String, room: String, at: u64 },
    /// Somebody is in.
    Joined { session: String, participant: String, name: String, client: ClientKind, at: u64 },
    /// Somebody is gone.
    Left { session: String, participant: String, reason: LeaveReason, at: u64 },
    /// A pair's media takes this way (a session that used a relay at all counts as relayed).
    Path { session: String, participant: String, peer: String, path: PathKind, at: u64 },
    /// The last one is gone, or it was ended.
    SessionEnded { session: String, reason: LeaveReason, at: u64 },
}

/// All that must outlive the process for a call to survive its restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomKept {
    /// As participants see it.
    pub room: Room,
    /// Of the running session.
    pub session: String,
    /// The room's own limit.
    pub max_participants: Option<u32>,
    /// Made through the API: stays when empty.
    pub created: bool,
    /// Everyone with a place.
    pub participants: Vec<ParticipantKept>,
}

/// One place in a kept room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantKept {
    /// As on the roster.
    pub participant: Participant,
    /// SHA-256 of the resume token, base64url; of two tokens, separated by a comma, while it is not certain which of them
    /// the client has. The token itself is never stored.
    pub resume_hash: String,
    /// The name was given by the token.
    #[serde(default)]
    pub named: bool,
    /// What it was in the room from which it was sent to this breakout room.
    #[serde(default)]
    pub home: Option<Home>,
}

/// What somebody is in the room it has come from, and will be there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// What it may do there.
    pub may: Permissions,
    /// It was the host.
    pub host: bool,
}

/// How the engine is to behave.
///
/// Size: one field for each thing that the shell decides; they have nothing to do with each other.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a place is kept after its transport is lost.
    pub resume: Duration,
    /// Rooms at the same time.
    pub max_rooms: usize,
    /// Participants in one room.
    pub max_participants: u32,
    /// Participants up to which browsers connect to each other directly.
    pub mesh: u32,
    /// Relay candidates only, in all rooms.
    pub relay_only: bool,
    /// Nobody enters any room without a token.
    pub tokens: bool,
    /// Third parties want to hear what happens.
    pub hooks: bool,
    /// Largest session description.
    pub sdp_bytes: usize,
    /// Longest chat line.
    pub chat_chars: usize,
    /// Largest frame; announced, enforced by the shell.
    pub frame_bytes: usize,
    /// Events kept for a client that does not acknowledge.
    pub backlog_events: usize,
    /// And their bytes.
    pub backlog_bytes: usize,
    /// Requests per second of one client, sustained.
    pub requests_per_second: u32,
    /// And at once.
    pub requests_burst: u32,
    /// The media plane of each shard; none: this server forwards no media.
    pub planes: Vec<Terms>,
    /// The relay we announce, if any.
    pub relay: Option<Relay>,
    /// STUN and TURN servers of others that are announced as well.
    pub extra_ice_servers: Vec<IceServer>,
}

/// The TURN server of this process.
#[derive(Clone)]
pub struct Relay {
    /// HMAC key of the ephemeral credentials.
    pub secret: Vec<u8>,
    /// How long a credential is valid.
    pub ttl: Duration,
    /// Port of STUN and TURN over UDP and TCP.
    pub port: u16,
    /// Port of TURN over TLS.
    pub tls_port: Option<u16>,
    /// Whether it answers TURN over TLS on the port of HTTPS, too.
    pub shares_https_port: bool,
    /// Announced in place of the host name the client used.
    pub host: Option<String>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("port", &self.port).field("tls_port", &self.tls_port).finish_non_exhaustive()
    }
}
