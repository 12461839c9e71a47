//! Where datagrams are written that are to be sent: into the caller's own buffers, without a copy.

use tandem_rtp::payload::Codec;
use tandem_webrtc::Path;

/// Takes datagrams.
pub trait Outbox {
    /// Room for the next datagram, [`MAX_DATAGRAM`] bytes or more. What was written and not committed is forgotten.
    fn room(&mut self) -> &mut [u8];

    /// The first `length` bytes of the room are to be sent that way.
    fn commit(&mut self, path: Path, length: usize, mark: Mark);
}

/// What a datagram carries: networks may be told to prefer some (RFC 8837).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// All else.
    Other,
}

impl Mark {
    pub(crate) fn of(codec: Codec) -> Self {
        if codec.is_video() { Self::Video } else { Self::Audio }
    }
}

/// No datagram of ours is longer: what a publisher may send with what protection and our extensions add.
pub const MAX_DATAGRAM: usize = 1_600;
