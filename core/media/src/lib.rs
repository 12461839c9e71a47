//! The media plane: who gets which packet of whom, how much of it, and when.
//!
//! ```text
//!   datagram ─► demux (address, or ufrag) ─► endpoint ─┬─ STUN, DTLS ─► transport ─► events, keys
//!                                                      └─ SRTP ─► stream ─► store
//!                                                                  │ for each subscriber of the track, and nobody else
//!                                                                  ▼
//!                                                  selection ─► numbers, times ─► SRTP ─► outbox
//! ```
//!
//! Knows no room, no user and no signalling: it is told by [`Command`]s, and tells by [`Event`]s. One [`Plane`] is one shard's.
//! Where a group is spread over several, they hand each other tracks and what is said, as [`Crossing`]s.

pub mod allocate;
pub mod bitrate;
pub mod estimate;
pub mod pace;
pub mod speaker;

mod carried;
mod carrier;
mod command;
mod crossing;
mod downlink;
mod endpoint;
mod group;
mod keyframes;
mod lanes;
mod numbers;
mod outbox;
mod plane;
mod rates;
mod redundancy;
mod renumber;
mod selection;
mod shape;
mod slot;
mod store;
pub mod terms;
mod track;
mod watch;

pub use command::{Command, Event};
pub use crossing::{Crossing, Shard};
pub use outbox::{MAX_DATAGRAM, Mark, Outbox};
pub use plane::{Config, Counters, Plane, TrackTally};
pub use selection::Layer;
pub use slot::{Payload, Subscription, Tally};
pub use tandem_rtp::Ssrc;
pub use tandem_rtp::reception::ntp;
pub use tandem_webrtc::{Breadth, Channel, Credentials, Ended, Message, Path, Protocol, Remote};
pub use track::{MAX_STREAMS, Publication, StreamSpec};

/// Names a peer; the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// Names a track; the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u64);

/// Names a room for one track at a peer, an m-line by which it gets whatever is shown in it; the caller's choice, per peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

/// Names peers that are together; the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// How much of what a slot shows is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The height at which it is shown, in pixels of the screen; 0: it is not seen, and not sent. Of no account for audio.
    pub height: u16,
    /// Its weight among what the same peer gets, from 0: higher ones come first.
    pub priority: u8,
    /// No layer beyond these.
    pub most: Option<Layer>,
}
