//! VP9, RFC 9628.
//!
//! ```text
//!   |I|P|L|F|B|E|V|Z|
//!   |M| picture id  |   if I; 15 bits if M
//!   | TID |U| SID |D|   if L
//!   |   TL0PICIDX   |   if L and not F
//!   |   P_DIFF    |N|   if F and P; up to three, N: one more
//!   | SS …          |   if V: scalability structure
//! ```

use smallvec::SmallVec;

use super::vp8::PictureId;
use super::{Frame, Malformed, pieces};
use crate::ext::Resolution;

/// What stands before a frame's bits (§4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// The picture's number.
    pub picture: Option<PictureId>,
    /// P: the frame needs earlier pictures.
    pub inter_predicted: bool,
    /// F: each frame says which pictures it needs.
    pub flexible: bool,
    /// B: a frame begins.
    pub start: bool,
    /// E: a frame ends.
    pub end: bool,
    /// Z: higher spatial layers do not need the frame.
    pub not_for_upper: bool,
    /// The frame's layer, if there are layers.
    pub layer: Option<Layer>,
    /// P_DIFF: so many pictures back are those it needs.
    pub differences: SmallVec<[u8; 3]>,
    /// Which layers there are, from here on.
    pub structure: Option<Structure<'a>>,
    /// Bytes of the descriptor.
    pub length: usize,
}

/// Of which layer a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// TID.
    pub temporal: u8,
    /// U: a receiver can go up to this temporal layer here.
    pub switching_point: bool,
    /// SID.
    pub spatial: u8,
    /// D: the frame needs the spatial layer below.
    pub inter_layer: bool,
    /// Counts pictures of the lowest temporal layer; not in flexible mode.
    pub tl0_picture: Option<u8>,
}

/// The scalability structure (§4.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure<'a> {
    /// How many spatial layers, 1 to 8.
    pub spatial_layers: u8,
    /// The size of each, if told.
    pub resolutions: SmallVec<[Resolution; 8]>,
    pictures: u8,
    group: &'a [u8],
}

/// A picture of the group that repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPicture<'a> {
    /// TID.
    pub temporal: u8,
    /// U.
    pub switching_point: bool,
    /// So many pictures back are those it needs, at most three.
    pub differences: &'a [u8],
}

impl<'a> Descriptor<'a> {
    /// From the front of a payload.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut rest = payload;
        let flags = take(&mut rest)?;
        let is = |bit: u8| flags & bit != 0;
        let picture = if is(0x80) { Some(PictureId::parse(&mut rest)?) } else { None };
        let (inter_predicted, flexible) = (is(0x40), is(0x10));
        let layer = if is(0x20) { Some(Layer::parse(&mut rest, flexible)?) } else { None };
        let mut differences = SmallVec::new();
        let mut more = flexible && inter_predicted;
        while more {
            let difference = take(&mut rest)?;
            differences.push(difference >> 1);
            more = difference & 1 != 0;
            // There are no more than three reference frames.
            if more && differences.len() == 3 {
                return None;
            }
        }
        let structure = if is(0x02) { Some(Structure::parse(&mut rest)?) } else { None };
        Some(Self {
            picture,
            inter_predicted,
            flexible,
            start: is(0x08),
            end: is(0x04),
            not_for_upper: is(0x01),
            layer,
            differences,
            structure,
            length: payload.len() - rest.len(),
        })
    }

    /// A picture begins with the first packet of its lowest layer.
    pub fn starts_picture(&self) -> bool {
        self.start && self.layer.is_none_or(|layer| layer.spatial == 0)
    }
}

impl Layer {
    fn parse(rest: &mut &[u8], flexible: bool) -> Option<Self> {
        let bits = take(rest)?;
        Some(Self {
            temporal: bits >> 5,
            switching_point: bits & 0x10 != 0,
            spatial: bits >> 1 & 7,
            inter_layer: bits & 1 != 0,
            tl0_picture: if flexible { None } else { Some(take(rest)?) },
        })
    }
}

impl<'a> Structure<'a> {
    fn parse(rest: &mut &'a [u8]) -> Option<Self> {
        let flags = take(rest)?;
        let spatial_layers = (flags >> 5) + 1;
        let mut resolutions = SmallVec::new();
        if flags & 0x10 != 0 {
            for _ in 0..spatial_layers {
                let (&[w0, w1, h0, h1], behind) = rest.split_first_chunk()?;
                *rest = behind;
                resolutions
                    .push(Resolution { width: u16::from_be_bytes([w0, w1]), height: u16::from_be_bytes([h0, h1]) });
            }
        }
        let pictures = if flags & 0x08 != 0 { take(rest)? } else { 0 };
        let start = *rest;
        for _ in 0..pictures {
            take_picture(rest)?;
        }
        let group = start.get(..start.len() - rest.len())?;
        Some(Self { spatial_layers, resolutions, pictures, group })
    }

    /// The pictures of the group that repeats; none if it is not told.
    pub fn group(&self) -> impl Iterator<Item = GroupPicture<'a>> + use<'a> {
        let mut rest = self.group;
        (0..self.pictures).map_while(move |_| take_picture(&mut rest))
    }
}

fn take_picture<'a>(rest: &mut &'a [u8]) -> Option<GroupPicture<'a>> {
    let bits = take(rest)?;
    let (differences, behind) = rest.split_at_checked(usize::from(bits >> 2 & 3))?;
    *rest = behind;
    Some(GroupPicture { temporal: bits >> 5, switching_point: bits & 0x10 != 0, differences })
}

/// Writes other numbers over those of a payload, each as wide as it is there; says whether it could be read.
pub fn rewrite(payload: &mut [u8], picture: u16, tl0_picture: u8) -> bool {
    let Some(descriptor) = Descriptor::parse(payload) else { return false };
    let (old, layer) = (descriptor.picture, descriptor.layer);
    let [high, low] = (picture & 0x7fff).to_be_bytes();
    let mut places = payload.iter_mut().skip(1);
    match old {
        Some(PictureId::Short(_)) => places.by_ref().take(1).for_each(|place| *place = low & 0x7f),
        Some(PictureId::Long(_)) => {
            places.by_ref().zip([0x80 | high, low]).take(2).for_each(|(place, byte)| *place = byte);
        }
        None => {}
    }
    if layer.is_some_and(|layer| layer.tl0_picture.is_some()) {
        places.skip(1).take(1).for_each(|place| *place = tl0_picture);
    }
    true
}

/// The first packet of a picture that needs no other.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    Descriptor::parse(payload).is_some_and(|descriptor| {
        descriptor.starts_picture() && !descriptor.inter_predicted && payload.len() > descriptor.length
    })
}

pub(super) fn append(payload: &[u8], data: &mut Vec<u8>) -> Result<(), Malformed> {
    let descriptor = Descriptor::parse(payload).ok_or(Malformed::TooShort)?;
    if data.is_empty() != descriptor.starts_picture() {
        return Err(Malformed::Fragment);
    }
    data.extend_from_slice(payload.get(descriptor.length..).unwrap_or_default());
    Ok(())
}

/// In flexible mode, each picture needing the one before: what an encoder without layers makes.
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
        let place = if index == 0 { 0x08 } else { 0 } | if index == last { 0x04 } else { 0 };
        let predicted = if frame.key { 0 } else { 0x40 };
        scratch.clear();
        scratch.extend([0x90 | predicted | place, 0x80 | high, low]);
        if !frame.key {
            scratch.push(1 << 1);
        }
        scratch.extend_from_slice(piece);
        each(scratch, index == last);
    }
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (&first, behind) = rest.split_first()?;
    *rest = behind;
    Some(first)
}

/// Bytes of the descriptor that is written, at most: flags, a long picture number, one difference.
const WRITTEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_without_flexible_mode() {
        let payload = [0b1110_1001, 0x92, 0x34, 0b0101_0011, 77, 0xaa];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!((descriptor.picture, descriptor.length), (Some(PictureId::Long(0x1234)), 5));
        assert!(descriptor.start && !descriptor.end && descriptor.not_for_upper && descriptor.inter_predicted);
        assert_eq!(
            descriptor.layer,
            Some(Layer { temporal: 2, switching_point: true, spatial: 1, inter_layer: true, tl0_picture: Some(77) })
        );
        assert!(!descriptor.starts_picture(), "an upper layer");
        for length in 0..5 {
            assert_eq!(Descriptor::parse(&payload[..length]), None, "{length}");
        }
    }

    #[test]
    fn flexible_mode_names_what_is_needed() {
        let payload = [0b1101_1100, 0x05, 1 << 1 | 1, 2 << 1 | 1, 3 << 1, 0xaa];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!((descriptor.differences.as_slice(), descriptor.length), (&[1, 2, 3][..], 5));
        let endless = [0b1101_1100, 0x05, 3, 3, 3, 3, 3];
        assert_eq!(Descriptor::parse(&endless), None);
    }

    #[test]
    fn the_structure_tells_sizes_and_the_group() {
        let payload = [
            0b1000_1010,
            0x05,
            0b0011_1000,
            0x01,
            0x40,
            0,
            0xb4,
            0x02,
            0x80,
            0x01,
            0x68,
            2,
            0b0001_0000,
            0b0010_1000,
            1,
            2,
            0xaa,
        ];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.length, 16);
        let structure = descriptor.structure.unwrap();
        assert_eq!(
            (structure.spatial_layers, structure.resolutions.as_slice()),
            (2, &[Resolution { width: 320, height: 180 }, Resolution { width: 640, height: 360 }][..])
        );
        assert_eq!(
            structure.group().collect::<Vec<_>>(),
            [
                GroupPicture { temporal: 0, switching_point: true, differences: &[] },
                GroupPicture { temporal: 1, switching_point: false, differences: &[1, 2] }
            ]
        );
        for length in 0..16 {
            assert_eq!(Descriptor::parse(&payload[..length]), None, "{length}");
        }
    }

    #[test]
    fn numbers_are_rewritten_as_wide_as_they_are() {
        let mut long = [0b1010_1000, 0x92, 0x34, 0, 77, 0xaa];
        assert!(rewrite(&mut long, 0x0102, 9));
        assert_eq!(long, [0b1010_1000, 0x81, 0x02, 0, 9, 0xaa]);
        let mut short = [0b1010_1000, 5, 0, 77, 0xaa];
        assert!(rewrite(&mut short, 0x0182, 9));
        assert_eq!(short, [0b1010_1000, 2, 0, 9, 0xaa]);
        let mut flexible = [0b1011_1000, 5, 0, 0xaa];
        assert!(rewrite(&mut flexible, 6, 9));
        assert_eq!(flexible, [0b1011_1000, 6, 0, 0xaa]);
        assert!(!rewrite(&mut [0b1010_1000, 0x92], 1, 1));
    }

    #[test]
    fn key_frames_need_no_other_and_begin_below() {
        assert!(starts_key_frame(&[0b1000_1000, 5, 0xaa]));
        assert!(starts_key_frame(&[0b1010_1000, 5, 0, 0, 0xaa]));
        assert!(!starts_key_frame(&[0b1100_1000, 5, 0xaa]), "needs others");
        assert!(!starts_key_frame(&[0b1000_0000, 5, 0xaa]), "goes on");
        assert!(!starts_key_frame(&[0b1010_1000, 5, 0b0000_0010, 0, 0xaa]), "an upper layer");
        assert!(!starts_key_frame(&[0b1000_1000, 5]) && !starts_key_frame(&[]));
    }
}
