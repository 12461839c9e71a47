//! What planes of one process tell each other of rooms that are spread over several of them: values, so that they can cross
//! threads. Whoever carries them keeps the order of each pair, and loses those that [`Crossing::may_be_lost`] at most.
//!
//! ```text
//!   the home of a track                                        a far plane
//!   ───────────────────                                        ───────────
//!   a publisher's packets, once  ── Packet, Clock ──►          store ─► selection ─► its own subscribers
//!                                ── Muted, Gone ──►
//!   asks the publisher           ◄── Wanted, Keyframe ──       for all of them
//!                                ◄── Dropped ──                nobody is shown it any more
//!
//!   microphones  ── Heard, Silent ──►  the ear of the group: the one plane that tells who speaks
//!   lanes        ── Said, Missed ──►   members that are connected there
//! ```

use std::sync::Arc;

use tandem_rtp::ext::{AudioLevel, Ids};
use tandem_rtp::rtcp::SenderInfo;

use crate::lanes::Lane;
use crate::{GroupId, TrackId};

/// Names a plane; the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub usize);

/// What one plane tells another.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing(pub(crate) Tells);

/// What it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tells {
    /// So many streams of a track are wanted over there, the smallest first.
    Wanted { track: TrackId, streams: u8 },
    /// Somebody over there cannot go on without a keyframe.
    Keyframe { track: TrackId, stream: u8 },
    /// It is not known any more over there.
    Dropped { track: TrackId },
    /// What its publisher has sent.
    Packet(Box<Parcel>),
    /// What its publisher says of its clock.
    Clock { track: TrackId, stream: u8, info: SenderInfo },
    /// Nobody gets it until it is let through again.
    Muted { track: TrackId, muted: bool },
    /// It is no more.
    Gone { track: TrackId },
    /// How loud a packet of a track was.
    Heard { group: GroupId, track: TrackId, level: AudioLevel },
    /// A track that may have been heard will not be any more.
    Silent { group: GroupId, track: TrackId },
    /// By a lane: whom it is from stands in front, as members get it. `to`: one of them; 0: all who are there.
    Said { group: GroupId, to: u32, lane: Lane, bytes: Arc<[u8]> },
    /// By the reliable lane something was said that is lost.
    Missed { group: GroupId },
    /// All that this plane was and had is gone.
    Lost,
}

/// A packet of a track, decrypted, as its publisher has written it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parcel {
    pub(crate) track: TrackId,
    pub(crate) stream: u8,
    /// It came by retransmission.
    pub(crate) is_again: bool,
    pub(crate) way: Way,
    /// Of its publisher's header extensions.
    pub(crate) ids: Ids,
    pub(crate) bytes: Arc<[u8]>,
}

/// Where in the course of a stream a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// Another one when the stream begins anew, or is carried again.
    pub(crate) life: u32,
    /// One more with each packet of that life.
    pub(crate) count: u32,
}

impl Crossing {
    /// What a shard that has begun anew gives to all others, before anything else.
    #[must_use]
    pub const fn lost() -> Self {
        Self(Tells::Lost)
    }

    /// Whether it may be lost where there is no room for it.
    #[must_use]
    pub const fn may_be_lost(&self) -> bool {
        matches!(self.0, Tells::Packet(_) | Tells::Clock { .. } | Tells::Heard { .. } | Tells::Said { .. })
    }

    /// What must arrive in its place where it was lost: on a reliable lane nothing is missing in silence.
    #[must_use]
    pub const fn missed(&self) -> Option<Self> {
        match self.0 {
            Tells::Said { group, lane: Lane::Reliable, .. } => Some(Self(Tells::Missed { group })),
            _ => None,
        }
    }

    /// Bytes it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Tells::Packet(parcel) => parcel.bytes.len(),
            Tells::Said { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}
