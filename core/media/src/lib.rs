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
//! Knows no room, no user and no signalling: it is told by calls, and tells by [`Event`]s. One [`Plane`] is one shard's.

pub mod allocate;
pub mod bitrate;
pub mod estimate;
pub mod pace;
pub mod speaker;

mod endpoint;
mod forward;
mod keyframes;
mod outbox;
mod plane;
mod reception;
mod renumber;
mod selection;
mod shape;
mod store;
mod track;

pub use forward::{Payload, Subscription, Tally};
pub use outbox::{MAX_DATAGRAM, Outbox};
pub use plane::{Config, Counters, Event, Plane, TrackTally, Unknown};
pub use selection::Layer;
pub use track::{MAX_STREAMS, Publication, StreamSpec};

/// Names a peer; the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// Names a track; the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u64);
