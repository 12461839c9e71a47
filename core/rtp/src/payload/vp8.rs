//! VP8, RFC 7741.
//!
//! ```text
//!   |X|R|N|S|R| PID |   S: a partition starts; PID: which
//!   |I|L|T|K| RSV   |   if X
//!   |M| PictureID   |   if I; 15 bits if M
//!   |   TL0PICIDX   |   if L
//!   |TID|Y| KEYIDX  |   if T or K
//! ```

use super::{Frame, Malformed, pieces};
use crate::ext::Resolution;

/// What stands before the bits of a partition (§4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// N: nothing needs the frame.
    pub non_reference: bool,
    /// S: a partition begins with this packet.
    pub start: bool,
    /// PID: which partition.
    pub partition: u8,
    /// The picture's number.
    pub picture: Option<PictureId>,
    /// Counts frames of the lowest temporal layer.
    pub tl0_picture: Option<u8>,
    /// TID and Y: the temporal layer, and whether it needs the lowest only.
    pub temporal: Option<(u8, bool)>,
    /// KEYIDX: counts key frames, 5 bits.
    pub key_index: Option<u8>,
    /// Bytes of the descriptor.
    pub length: usize,
}

/// A picture's number as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureId {
    /// Seven bits.
    Short(u8),
    /// Fifteen bits.
    Long(u16),
}

impl PictureId {
    /// Without its width.
    pub fn value(self) -> u16 {
        match self {
            Self::Short(value) => u16::from(value),
            Self::Long(value) => value,
        }
    }

    pub(super) fn parse(bytes: &mut &[u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        if first & 0x80 == 0 {
            return Some(Self::Short(first));
        }
        let (&second, rest) = rest.split_first()?;
        *bytes = rest;
        Some(Self::Long(u16::from_be_bytes([first & 0x7f, second])))
    }
}

impl Descriptor {
    /// From the front of a payload.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (&first, mut rest) = payload.split_first()?;
        let mut flags = 0;
        if first & 0x80 != 0 {
            flags = take(&mut rest)?;
        }
        let picture = if flags & 0x80 == 0 { None } else { Some(PictureId::parse(&mut rest)?) };
        let tl0_picture = if flags & 0x40 == 0 { None } else { Some(take(&mut rest)?) };
        let (mut temporal, mut key_index) = (None, None);
        if flags & 0x30 != 0 {
            let both = take(&mut rest)?;
            temporal = (flags & 0x20 != 0).then_some((both >> 6, both & 0x20 != 0));
            key_index = (flags & 0x10 != 0).then_some(both & 0x1f);
        }
        Some(Self {
            non_reference: first & 0x20 != 0,
            start: first & 0x10 != 0,
            partition: first & 7,
            picture,
            tl0_picture,
            temporal,
            key_index,
            length: payload.len() - rest.len(),
        })
    }

    /// A frame begins with its first partition's first packet.
    pub const fn starts_frame(&self) -> bool {
        self.start && self.partition == 0
    }
}

/// Writes other numbers over those of a payload, each as wide as it is there; says whether it could be read.
pub fn rewrite(payload: &mut [u8], picture: u16, tl0_picture: u8) -> bool {
    let Some(descriptor) = Descriptor::parse(payload) else { return false };
    let [high, low] = (picture & 0x7fff).to_be_bytes();
    let mut places = payload.iter_mut().skip(2);
    let mut put = |byte| {
        if let Some(place) = places.next() {
            *place = byte;
        }
    };
    match descriptor.picture {
        Some(PictureId::Short(_)) => put(low & 0x7f),
        Some(PictureId::Long(_)) => {
            put(0x80 | high);
            put(low);
        }
        None => {}
    }
    if descriptor.tl0_picture.is_some() {
        put(tl0_picture);
    }
    true
}

/// RFC 6386 §9.1: the first bit of a frame says whether it needs others.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    key_frame_bits(payload).is_some()
}

/// Width and height, written in the first packet of a key frame.
pub fn resolution(payload: &[u8]) -> Option<Resolution> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = key_frame_bits(payload)?.first_chunk()? else { return None };
    // The two bits above are for scaling.
    let side = |bytes| u16::from_le_bytes(bytes) & 0x3fff;
    Some(Resolution { width: side([w0, w1]), height: side([h0, h1]) })
}

fn key_frame_bits(payload: &[u8]) -> Option<&[u8]> {
    let descriptor = Descriptor::parse(payload).filter(Descriptor::starts_frame)?;
    payload.get(descriptor.length..).filter(|bits| bits.first().is_some_and(|first| first & 1 == 0))
}

pub(super) fn append(payload: &[u8], data: &mut Vec<u8>) -> Result<(), Malformed> {
    let descriptor = Descriptor::parse(payload).ok_or(Malformed::TooShort)?;
    if data.is_empty() != descriptor.starts_frame() {
        return Err(Malformed::Fragment);
    }
    data.extend_from_slice(payload.get(descriptor.length..).unwrap_or_default());
    Ok(())
}

pub(super) fn packetize(
    frame: &Frame,
    picture: u16,
    limit: usize,
    scratch: &mut Vec<u8>,
    each: &mut impl FnMut(&[u8], bool),
) {
    let [high, low] = picture.to_be_bytes();
    let pieces = pieces(&frame.data, limit - WRITTEN);
    let last = pieces.len() - 1;
    for (index, piece) in pieces.enumerate() {
        scratch.clear();
        scratch.extend([if index == 0 { 0x90 } else { 0x80 }, 0x80, 0x80 | high, low]);
        scratch.extend_from_slice(piece);
        each(scratch, index == last);
    }
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&first, behind) = rest.split_first()?;
    *rest = behind;
    Some(first)
}

/// Bytes of the descriptor that is written: flags and a long picture number.
const WRITTEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found() {
        let payload = [0xb2, 0xf0, 0x92, 0x34, 7, 0b1010_0011, 0xaa];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(
            descriptor,
            Descriptor {
                non_reference: true,
                start: true,
                partition: 2,
                picture: Some(PictureId::Long(0x1234)),
                tl0_picture: Some(7),
                temporal: Some((2, true)),
                key_index: Some(3),
                length: 6,
            }
        );
        for length in 0..6 {
            assert_eq!(Descriptor::parse(&payload[..length]), None, "{length}");
        }
        assert_eq!(Descriptor::parse(&[0x10, 1]).unwrap().length, 1);
        let short = Descriptor::parse(&[0x80, 0x80, 0x7f]).unwrap();
        assert_eq!((short.picture, short.length), (Some(PictureId::Short(0x7f)), 3));
    }

    #[test]
    fn numbers_are_rewritten_as_wide_as_they_are() {
        let mut long = [0x90, 0xe0, 0x92, 0x34, 7, 0x40, 0xaa];
        assert!(rewrite(&mut long, 0xffff, 9));
        assert_eq!(long, [0x90, 0xe0, 0xff, 0xff, 9, 0x40, 0xaa]);
        let mut short = [0x90, 0xc0, 5, 7, 0xaa];
        assert!(rewrite(&mut short, 0x0182, 9));
        assert_eq!(short, [0x90, 0xc0, 2, 9, 0xaa]);
        let mut none = [0x10, 0xaa, 0xaa];
        assert!(rewrite(&mut none, 1, 2));
        assert_eq!(none, [0x10, 0xaa, 0xaa]);
        assert!(!rewrite(&mut [0x90, 0xc0, 0x85], 1, 2));
    }

    #[test]
    fn key_frames_begin_with_their_first_packet() {
        let key = [0x10, 0x00, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41];
        assert!(starts_key_frame(&key));
        assert_eq!(resolution(&key), Some(Resolution { width: 640, height: 360 }));
        assert!(!starts_key_frame(&[0x10, 0x01]), "needs others");
        assert!(!starts_key_frame(&[0x00, 0x00]), "goes on");
        assert!(!starts_key_frame(&[0x11, 0x00]), "another partition");
        assert!(!starts_key_frame(&[0x10]) && !starts_key_frame(&[]));
    }
}
