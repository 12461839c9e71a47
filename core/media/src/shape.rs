//! What a packet is, read from its payload descriptor, or from the dependency descriptor where there is one: that one is
//! readable also where frames are encrypted end to end.

use tandem_rtp::ext::{self, DependencyDescriptor, Dti, Ids, Structure};
use tandem_rtp::payload::{Codec, vp8, vp9};
use tandem_rtp::{Packet, SeqNo, Timestamp};

/// What one packet is, as far as layers go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// First packet of a frame: of a picture, of one spatial layer of it where there are several.
    pub(crate) starts: bool,
    /// First packet of a picture, whatever spatial layers it has.
    pub(crate) begins: bool,
    /// Last packet of a frame.
    pub(crate) ends: bool,
    /// The picture can be decoded without any other.
    pub(crate) is_keyframe: bool,
    /// Of SVC; 0 otherwise.
    pub(crate) spatial: u8,
    /// 0 where there is but one.
    pub(crate) temporal: u8,
    /// Whether more layers than before can begin with it.
    pub(crate) gate: Gate,
}

/// How more layers than before can begin with a frame that is no keyframe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gate {
    /// None can.
    #[default]
    Closed,
    /// Whoever has seen all lower temporal layers can go on with the frame's.
    Lower,
    /// Later pictures of higher temporal layers need none before the frame's (VP9, U of RFC 9628 §4.2).
    Above,
    /// Whoever has the frames it needs can go on with any of these targets.
    Targets { frame: u16, needs: Needs, switches: Switches },
}

/// How far back the frames are that a frame needs: the lowest bit is the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    near: u64,
    /// There are some that nobody remembers.
    far: bool,
}

/// The targets that can be switched to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// For each spatial layer the highest temporal one.
    temporal: [Option<u8>; SPATIAL],
    /// Beyond these layers the publisher sends nothing: whoever has them, has whatever it wants.
    top: (u8, u8),
}

/// Reads the packets of one stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    structure: Option<Box<Known>>,
    /// The newest picture's number, extended.
    picture: Option<SeqNo>,
    /// The last packet ended its picture.
    ended: bool,
    /// The picture that the last frame was of, and its temporal layer.
    last: Option<(Timestamp, u8)>,
    /// Pictures have frames of several temporal layers (`L2T2_KEY_SHIFT`): which is the last of a picture could not be known
    /// if some of them were left out.
    shifts: bool,
}

/// What dependency descriptors are told against.
#[derive(Debug)]
struct Known {
    structure: Structure,
    /// The highest layers of each target.
    layers: Vec<(u8, u8)>,
    /// The highest layers that the publisher sends.
    active: (u8, u8),
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
    /// Nobody can say which layer it is of: the structure that would tell is lost.
    pub(crate) is_unknown: bool,
    /// The publisher sends other layers from here on.
    pub(crate) changes: bool,
}

impl Reader {
    /// `None`: no payload of this codec.
    pub(crate) fn read(&mut self, codec: Codec, ids: &Ids, packet: &Packet<'_>) -> Option<Read> {
        if !codec.is_video() {
            let shape = Shape { starts: true, begins: true, ends: true, is_keyframe: true, ..Shape::default() };
            return Some(Read { shape, ..Read::default() });
        }
        let mut read = match codec {
            Codec::Vp8 => self.vp8(packet)?,
            Codec::Vp9 => self.vp9(packet)?,
            _ => self.other(codec, packet),
        };
        if let Some(value) = ids.value(packet, ext::Kind::DependencyDescriptor) {
            let told = self.described(value);
            // Without the descriptor the payload of the other codecs looks like that of the lowest layer.
            read.is_unknown = told.is_none() && !matches!(codec, Codec::Vp8 | Codec::Vp9);
            if let Some((shape, frame, changes)) = told {
                (read.shape, read.frame, read.changes) = (shape, Some(frame), changes);
                let sizes = self.structure.iter().flat_map(|known| &known.structure.resolutions);
                read.height = sizes.map(|size| size.height).max().or(read.height);
            }
        }
        self.place(packet, &mut read.shape);
        self.ended = packet.marker();
        Some(read)
    }

    /// The highest layers that the publisher says it sends, if it says so.
    pub(crate) fn active(&self) -> Option<(u8, u8)> {
        self.structure.as_ref().map(|known| known.active)
    }

    /// Which frame of its picture it is.
    fn place(&mut self, packet: &Packet<'_>, shape: &mut Shape) {
        if !shape.starts {
            return;
        }
        let before = self.last.replace((packet.timestamp(), shape.temporal));
        let same = before.filter(|(timestamp, _)| *timestamp == packet.timestamp());
        shape.begins = same.is_none();
        self.shifts |= same.is_some_and(|(_, temporal)| temporal != shape.temporal);
        if self.shifts {
            shape.temporal = 0;
        }
    }

    fn vp8(&mut self, packet: &Packet<'_>) -> Option<Read> {
        let descriptor = vp8::Descriptor::parse(packet.payload())?;
        let (temporal, needs_lowest_only) = descriptor.temporal.unwrap_or((0, false));
        let shape = Shape {
            starts: descriptor.starts_frame(),
            begins: false,
            ends: packet.marker(),
            is_keyframe: vp8::starts_key_frame(packet.payload()),
            spatial: 0,
            temporal,
            gate: if needs_lowest_only { Gate::Lower } else { Gate::Closed },
        };
        let picture = descriptor.picture.map(|id| (self.extend(id), descriptor.tl0_picture.unwrap_or_default()));
        let height = shape.is_keyframe.then(|| vp8::resolution(packet.payload())).flatten();
        Some(Read { shape, picture, height: height.map(|it| it.height), ..Read::default() })
    }

    fn vp9(&mut self, packet: &Packet<'_>) -> Option<Read> {
        let descriptor = vp9::Descriptor::parse(packet.payload())?;
        let layer = descriptor.layer.as_ref();
        let (spatial, temporal) = layer.map_or((0, 0), |layer| (layer.spatial, layer.temporal));
        let shape = Shape {
            starts: descriptor.start,
            begins: false,
            ends: descriptor.end,
            is_keyframe: vp9::starts_key_frame(packet.payload()),
            spatial,
            temporal,
            gate: if layer.is_some_and(|layer| layer.switching_point) { Gate::Above } else { Gate::Closed },
        };
        let tl0 = layer.and_then(|layer| layer.tl0_picture).unwrap_or_default();
        let picture = descriptor.picture.map(|id| (self.extend(id), tl0));
        let height = descriptor.structure.as_ref().and_then(|it| it.resolutions.iter().map(|size| size.height).max());
        Some(Read { shape, picture, height, ..Read::default() })
    }

    /// H.264 and AV1 without a dependency descriptor: no layers are told apart.
    fn other(&self, codec: Codec, packet: &Packet<'_>) -> Read {
        let is_keyframe = codec.starts_key_frame(packet.payload());
        // Where the payload cannot tell, the packet after the last of a picture begins the next.
        let starts = is_keyframe || self.ended;
        let shape = Shape { starts, ends: packet.marker(), is_keyframe, ..Shape::default() };
        Read { shape, ..Read::default() }
    }

    /// The shape, the frame's number, and whether other layers are sent from here on.
    fn described(&mut self, value: &[u8]) -> Option<(Shape, u16, bool)> {
        let before = self.structure.as_deref();
        let mut descriptor = DependencyDescriptor::parse(value, before.map(|known| &known.structure))?;
        let active_before = before.map(|known| known.active);
        let brings = descriptor.structure.take();
        let is_keyframe = brings.is_some() && descriptor.start_of_frame;
        if let Some(structure) = brings {
            self.structure = Some(Box::new(Known::new(*structure)));
        }
        let known = self.structure.as_deref_mut()?;
        if let Some(targets) = descriptor.active_decode_targets {
            known.activate(targets);
        }
        let template = &descriptor.frame.template;
        let frame = descriptor.frame_number;
        let gate = if descriptor.start_of_frame {
            let (needs, switches) = (Needs::new(&template.fdiffs), known.switches(|target| template.dti(target)));
            Gate::Targets { frame, needs, switches }
        } else {
            Gate::Closed
        };
        let shape = Shape {
            starts: descriptor.start_of_frame,
            begins: false,
            ends: descriptor.end_of_frame,
            is_keyframe,
            spatial: template.spatial,
            temporal: template.temporal,
            gate,
        };
        Some((shape, frame, active_before.is_some_and(|before| before != known.active)))
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

impl Known {
    fn new(structure: Structure) -> Self {
        let layers = (0..usize::from(structure.decode_targets)).map(|target| structure.layers_of(target)).collect();
        let mut known = Self { layers, active: (0, 0), structure };
        known.activate(u32::MAX);
        known
    }

    /// These targets are sent from here on, by their bits.
    fn activate(&mut self, targets: u32) {
        let sent = self.layers.iter().enumerate().filter(|(target, _)| targets >> target & 1 != 0);
        self.active = sent.fold((0, 0), |(s, t), (_, (spatial, temporal))| (s.max(*spatial), t.max(*temporal)));
    }

    fn switches(&self, dti: impl Fn(usize) -> Dti) -> Switches {
        let mut switches = Switches { top: self.active, ..Switches::default() };
        for (target, (spatial, temporal)) in self.layers.iter().enumerate() {
            if dti(target) != Dti::Switch {
                continue;
            }
            let most = switches.temporal.get_mut(usize::from(*spatial));
            most.into_iter().for_each(|most| *most = (*most).max(Some(*temporal)));
        }
        switches
    }
}

impl Needs {
    fn new(differences: &[u16]) -> Self {
        differences.iter().fold(Self::default(), |needs, difference| {
            let bit = difference.checked_sub(1).and_then(|back| 1_u64.checked_shl(u32::from(back)));
            Self { near: needs.near | bit.unwrap_or(0), far: needs.far || bit.is_none() }
        })
    }

    /// Whether all of them are among those a receiver has got; its lowest bit is the frame before this one.
    pub(crate) const fn are_in(self, got: u64) -> bool {
        !self.far && self.near & !got == 0
    }
}

impl Switches {
    /// The highest temporal layer that one who gets up to this spatial layer can go up to; beyond all layers, if that is the
    /// highest there is.
    pub(crate) fn temporal(self, spatial: u8) -> Option<u8> {
        let (top, fastest) = self.top;
        let temporal = self.temporal.get(usize::from(spatial.min(top))).copied().flatten()?;
        Some(if temporal >= fastest { u8::MAX } else { temporal })
    }
}

/// Of dependency descriptors.
const SPATIAL: usize = 4;

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
