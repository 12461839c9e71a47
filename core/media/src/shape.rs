//! What a packet is, read from its payload descriptor, or from the dependency descriptor where there is one: that one is
//! readable also where frames are encrypted end to end.

use tandem_rtp::ext::{self, DependencyDescriptor, Dti, Ids, Structure};
use tandem_rtp::payload::{Codec, vp8, vp9};
use tandem_rtp::{Packet, SeqNo};

use crate::selection::Shape;

/// Reads the packets of one stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    structure: Option<Box<Structure>>,
    /// The newest picture's number, extended.
    picture: Option<SeqNo>,
    /// The last packet ended its picture.
    ended: bool,
}

/// A packet's shape, and the numbers in it that count pictures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub(crate) shape: Shape,
    /// Of VP8 and VP9: the picture, and which picture of the lowest temporal layer it goes back to.
    pub(crate) picture: Option<(SeqNo, u8)>,
    /// Of the dependency descriptor: the frame.
    pub(crate) frame: Option<u16>,
    /// Of the largest picture, where the packet tells it.
    pub(crate) height: Option<u16>,
}

impl Reader {
    /// `None`: no payload of this codec.
    pub(crate) fn read(&mut self, codec: Codec, ids: &Ids, packet: &Packet<'_>) -> Option<Read> {
        if !codec.is_video() {
            let shape = Shape { starts: true, ends: true, is_keyframe: true, ..Shape::default() };
            return Some(Read { shape, ..Read::default() });
        }
        let mut read = match codec {
            Codec::Vp8 => self.vp8(packet)?,
            Codec::Vp9 => self.vp9(packet)?,
            _ => self.other(codec, packet),
        };
        if let Some(value) = ids.value(packet, ext::Kind::DependencyDescriptor)
            && let Some((shape, frame)) = self.described(value)
        {
            (read.shape, read.frame) = (shape, Some(frame));
            let sizes = self.structure.iter().flat_map(|structure| &structure.resolutions);
            read.height = sizes.map(|size| size.height).max().or(read.height);
        }
        self.ended = packet.marker();
        Some(read)
    }

    fn vp8(&mut self, packet: &Packet<'_>) -> Option<Read> {
        let descriptor = vp8::Descriptor::parse(packet.payload())?;
        let (temporal, needs_lowest_only) = descriptor.temporal.unwrap_or((0, false));
        let shape = Shape {
            starts: descriptor.starts_frame(),
            ends: packet.marker(),
            is_keyframe: vp8::starts_key_frame(packet.payload()),
            spatial: 0,
            temporal,
            switches_up: needs_lowest_only || temporal == 0,
        };
        let picture = descriptor.picture.map(|id| (self.extend(id), descriptor.tl0_picture.unwrap_or_default()));
        let height = shape.is_keyframe.then(|| vp8::resolution(packet.payload())).flatten();
        Some(Read { shape, picture, height: height.map(|it| it.height), frame: None })
    }

    fn vp9(&mut self, packet: &Packet<'_>) -> Option<Read> {
        let descriptor = vp9::Descriptor::parse(packet.payload())?;
        let layer = descriptor.layer.as_ref();
        let (spatial, temporal) = layer.map_or((0, 0), |layer| (layer.spatial, layer.temporal));
        let shape = Shape {
            starts: descriptor.start,
            ends: descriptor.end,
            is_keyframe: vp9::starts_key_frame(packet.payload()),
            spatial,
            temporal,
            switches_up: layer.is_none_or(|layer| layer.switching_point) || temporal == 0,
        };
        let tl0 = layer.and_then(|layer| layer.tl0_picture).unwrap_or_default();
        let picture = descriptor.picture.map(|id| (self.extend(id), tl0));
        let height = descriptor.structure.as_ref().and_then(|it| it.resolutions.iter().map(|size| size.height).max());
        Some(Read { shape, picture, height, frame: None })
    }

    /// H.264 and AV1 without a dependency descriptor: no layers are told apart.
    fn other(&self, codec: Codec, packet: &Packet<'_>) -> Read {
        let is_keyframe = codec.starts_key_frame(packet.payload());
        // Where the payload cannot tell, the packet after the last of a picture begins the next.
        let starts = is_keyframe || self.ended;
        let shape = Shape { starts, ends: packet.marker(), is_keyframe, ..Shape::default() };
        Read { shape, ..Read::default() }
    }

    fn described(&mut self, value: &[u8]) -> Option<(Shape, u16)> {
        let descriptor = DependencyDescriptor::parse(value, self.structure.as_deref())?;
        let template = &descriptor.frame.template;
        let (spatial, temporal) = (template.spatial, template.temporal);
        // AV1 RTP §A.4: a switch indication for the targets of its own temporal layer lets a receiver begin there.
        let targets = 0..usize::from(descriptor.structure.as_deref().or(self.structure.as_deref())?.decode_targets);
        let switches_up = temporal == 0 || targets.into_iter().any(|target| template.dti(target) == Dti::Switch);
        let shape = Shape {
            starts: descriptor.start_of_frame,
            ends: descriptor.end_of_frame,
            is_keyframe: descriptor.structure.is_some() && descriptor.start_of_frame,
            spatial,
            temporal,
            switches_up,
        };
        if descriptor.structure.is_some() {
            self.structure = descriptor.structure;
        }
        Some((shape, descriptor.frame_number))
    }

    /// Pictures are counted in 7 or 15 bits.
    fn extend(&mut self, id: vp8::PictureId) -> SeqNo {
        let (value, bits) = match id {
            vp8::PictureId::Short(value) => (u16::from(value), 7),
            vp8::PictureId::Long(value) => (value, 15),
        };
        let newest = *self.picture.get_or_insert(SeqNo(0x1_0000 + u64::from(value)));
        // Moved to the top of 16 bits, the shorter way around is that of the wire.
        let shift = 16 - bits;
        let step = (value << shift).wrapping_sub(newest.wire() << shift).cast_signed() >> shift;
        let picture = SeqNo(newest.0.saturating_add_signed(i64::from(step)));
        self.picture = Some(newest.max(picture));
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_counted_on_across_the_wrap_of_either_width() {
        let long = |reader: &mut Reader, value| reader.extend(vp8::PictureId::Long(value)).0;
        let short = |reader: &mut Reader, value| reader.extend(vp8::PictureId::Short(value)).0;
        let mut reader = Reader::default();
        let first = long(&mut reader, 0x7ffe);
        assert_eq!(
            [long(&mut reader, 0x7fff), long(&mut reader, 0), long(&mut reader, 0x7ffd)],
            [first + 1, first + 2, first - 1]
        );
        let mut reader = Reader::default();
        let first = short(&mut reader, 126);
        assert_eq!(
            [short(&mut reader, 127), short(&mut reader, 0), short(&mut reader, 125)],
            [first + 1, first + 2, first - 1]
        );
    }
}
