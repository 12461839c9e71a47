//! An RTP packet seen where it lies (RFC 3550 §5.1). Every length in it is checked once, by [`Packet::parse`].
//!
//! ```text
//!   0                   1                   2                   3
//!   |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//!   |                           timestamp                           |
//!   |           synchronization source (SSRC) identifier            |
//!   |            contributing source (CSRC) identifiers, CC of them |
//!   |     defined by profile        |  length, in words             |  if X
//!   |     header extension                                          |
//!   |     payload …                         padding | padding count |  if P
//! ```

use std::ops::Range;

use crate::ext;
use crate::numbers::{PayloadType, Ssrc, Timestamp};

/// A packet whose lengths are true.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

/// Where the parts of a packet lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Behind the fixed header and the contributing sources.
    pub(crate) sources_end: usize,
    /// First byte of the payload: the size of everything before it.
    pub(crate) payload: usize,
    /// Behind the payload, before the padding.
    pub(crate) end: usize,
}

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Less than what the header promises.
    #[error("expected at least {expected} bytes, got {got}")]
    TooShort {
        /// Up to the end of the part that is missing.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Not version 2.
    #[error("expected version 2, got {got}")]
    Version {
        /// The two bits.
        got: u8,
    },
    /// More padding than payload, or none though it is announced (RFC 3550 §5.1).
    #[error("{padding} bytes of padding in a payload of {payload}")]
    Padding {
        /// What the last byte says.
        padding: u8,
        /// Payload and padding together.
        payload: usize,
    },
}

impl<'a> Packet<'a> {
    /// Sees a packet in bytes that end where it does.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let layout = Layout::of(bytes, Padding::Readable)?;
        Ok(Self { bytes, layout })
    }

    /// The whole packet.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the payload format makes of it: mostly the end of a frame, or the start of a talk spurt.
    pub fn marker(&self) -> bool {
        self.head()[1] & MARKER != 0
    }

    /// What the payload is.
    pub fn payload_type(&self) -> PayloadType {
        PayloadType::from_wire(self.head()[1])
    }

    /// As it is on the wire; [`crate::Extended`] makes it one that does not wrap.
    pub fn sequence(&self) -> u16 {
        let [_, _, high, low, ..] = *self.head();
        u16::from_be_bytes([high, low])
    }

    /// In ticks of the payload's clock.
    pub fn timestamp(&self) -> Timestamp {
        let [_, _, _, _, bytes @ .., _, _, _, _] = *self.head();
        Timestamp(u32::from_be_bytes(bytes))
    }

    /// Whose packet it is.
    pub fn ssrc(&self) -> Ssrc {
        let [.., a, b, c, d] = *self.head();
        Ssrc(u32::from_be_bytes([a, b, c, d]))
    }

    /// Who contributed to a mix, at most 15.
    pub fn csrcs(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        let sources = self.bytes.get(FIXED..self.layout.sources_end).unwrap_or_default();
        sources.as_chunks().0.iter().map(|&bytes| Ssrc(u32::from_be_bytes(bytes)))
    }

    /// The header extension: what its profile is, and its words.
    pub fn extension(&self) -> Option<(u16, &'a [u8])> {
        let whole = self.bytes.get(self.layout.sources_end..self.layout.payload)?;
        let (&[p0, p1, _, _], words) = whole.split_first_chunk()?;
        Some((u16::from_be_bytes([p0, p1]), words))
    }

    /// The elements of the header extension (RFC 8285): id and value.
    pub fn extensions(&self) -> ext::Elements<'a> {
        self.extension().map_or(ext::Elements::NONE, |(profile, words)| ext::Elements::new(profile, words))
    }

    /// The value of the first element with this id.
    pub fn extension_of(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|&(found, _)| found == id).map(|(_, value)| value)
    }

    /// What the payload format defines, without padding.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.layout.payload..self.layout.end).unwrap_or_default()
    }

    /// Where in the packet the payload lies.
    pub const fn payload_range(&self) -> Range<usize> {
        self.layout.payload..self.layout.end
    }

    /// Bytes of padding behind the payload, their count included.
    pub const fn padding(&self) -> usize {
        self.bytes.len() - self.layout.end
    }

    fn head(&self) -> &'a [u8; FIXED] {
        self.bytes.first_chunk().expect("`parse` found the fixed header")
    }
}

impl std::fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet")
            .field("payload_type", &self.payload_type().value())
            .field("marker", &self.marker())
            .field("sequence", &self.sequence())
            .field("timestamp", &self.timestamp().0)
            .field("ssrc", &self.ssrc())
            .field("payload", &self.payload().len())
            .finish()
    }
}

/// Whether the last byte can be read: it is encrypted in an SRTP packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    Readable,
    Encrypted,
}

impl Layout {
    pub(crate) fn of(bytes: &[u8], padding: Padding) -> Result<Self, Malformed> {
        let got = bytes.len();
        let head = bytes.first_chunk::<FIXED>().ok_or(Malformed::TooShort { expected: FIXED, got })?;
        let first = head[0];
        if first >> 6 != 2 {
            return Err(Malformed::Version { got: first >> 6 });
        }
        let sources_end = FIXED + 4 * usize::from(first & 0x0f);
        let payload = if first & EXTENSION == 0 {
            sources_end
        } else {
            let behind = bytes.get(sources_end..).and_then(<[u8]>::first_chunk);
            let &[_, _, l0, l1] = behind.ok_or(Malformed::TooShort { expected: sources_end + 4, got })?;
            sources_end + 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]))
        };
        let held = got.checked_sub(payload).ok_or(Malformed::TooShort { expected: payload, got })?;
        let count = match bytes.last() {
            Some(&last) if first & PADDING != 0 && padding == Padding::Readable => {
                if last == 0 || usize::from(last) > held {
                    return Err(Malformed::Padding { padding: last, payload: held });
                }
                usize::from(last)
            }
            Some(_) | None => 0,
        };
        Ok(Self { sources_end, payload, end: got - count })
    }
}

/// The header without contributing sources and extension.
pub(crate) const FIXED: usize = 12;
pub(crate) const MARKER: u8 = 0x80;
pub(crate) const PADDING: u8 = 0x20;
pub(crate) const EXTENSION: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two contributing sources, an extension of one word, four bytes of payload, three of padding.
    const FULL: [u8; 35] = [
        0xb2, 0xe0, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0,
        1, 0x10, 0xaa, 0, 0, 1, 2, 3, 4, 9, 9, 3,
    ];

    #[test]
    fn every_part_is_found() {
        let packet = Packet::parse(&FULL).unwrap();
        assert!(packet.marker());
        assert_eq!(packet.payload_type().value(), 0x60);
        assert_eq!(packet.sequence(), 0x1234);
        assert_eq!(packet.timestamp(), Timestamp(0xdeca_fbad));
        assert_eq!(packet.ssrc(), Ssrc(0xcafe_babe));
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [Ssrc(1), Ssrc(2)]);
        assert_eq!(packet.extension(), Some((0xbede, &[0x10, 0xaa, 0, 0][..])));
        assert_eq!(packet.extension_of(1), Some(&[0xaa][..]));
        assert_eq!((packet.payload(), packet.padding()), (&[1, 2, 3, 4][..], 3));
        assert_eq!(packet.payload_range(), 28..32);
    }

    #[test]
    fn whatever_is_cut_off_is_missed() {
        for length in 0..28 {
            assert!(matches!(Packet::parse(&FULL[..length]), Err(Malformed::TooShort { .. })), "{length}");
        }
        assert_eq!(Packet::parse(&FULL[..28]), Err(Malformed::Padding { padding: 0, payload: 0 }));
    }

    #[test]
    fn padding_fits_the_payload_and_counts_itself() {
        let mut bytes = FULL;
        bytes[34] = 7;
        assert_eq!(Packet::parse(&bytes).unwrap().payload(), &[] as &[u8], "padding only");
        bytes[34] = 8;
        assert_eq!(Packet::parse(&bytes), Err(Malformed::Padding { padding: 8, payload: 7 }));
        bytes[34] = 0;
        assert_eq!(Packet::parse(&bytes), Err(Malformed::Padding { padding: 0, payload: 7 }));
    }

    #[test]
    fn only_version_two_is_rtp() {
        let mut bytes = FULL;
        bytes[0] = 0x40;
        assert_eq!(Packet::parse(&bytes), Err(Malformed::Version { got: 1 }));
    }
}
