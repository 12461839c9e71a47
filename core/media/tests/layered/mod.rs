//! A camera of layers (SVC), and what a receiver makes of that which arrives: it refuses what could not be decoded.

#![allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "shared by tests that use parts of it; of what they have made themselves"
)]

use std::collections::{BTreeMap, BTreeSet};

use tandem_media::{Command, EndpointId, Layer, Payload};
use tandem_rtp::ext::{self, DependencyDescriptor, Structure};
use tandem_rtp::header::Header;
use tandem_rtp::payload::{Codec, vp9};
use tandem_rtp::{PayloadType, Ssrc, Timestamp};

use crate::world::{Got, World, payload};

pub const VP9: Payload = payload(Codec::Vp9, 98, Some(99));
pub const AV1: Payload = payload(Codec::Av1, 45, Some(46));
/// The number of the dependency descriptor.
pub const DESCRIPTOR: u8 = 12;
/// How many pictures back the one is that a picture needs, by its place in the group of four; 0 2 1 2.
pub const L3T3: [u16; 4] = [4, 1, 2, 1];
const TEMPORAL: [u8; 4] = [0, 2, 1, 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Upper spatial layers need the ones below them at keyframes only (`L3T3_KEY`).
    Vp9 { flexible: bool },
    /// They always do (`L3T3`), as Chromium describes it.
    Av1,
}

/// What a camera of layers sends.
pub struct Layered {
    pub scheme: Scheme,
    pub spatial: u8,
    /// The upper layers of the next picture need no earlier one.
    pub renews: bool,
    /// Which decode targets are sent, once that is told.
    pub active: Option<u32>,
    /// The first packet of the next keyframe is lost.
    pub lose_structure: bool,
    /// The first number of the structure's templates.
    pub offset: u8,
    /// Of half a frame, by spatial layer.
    pub sizes: [usize; 3],
    picture: u16,
    frame: u16,
    tl0: u8,
    at: usize,
    sequence: u16,
    timestamp: u32,
    structure: Structure,
    /// The last frame of each spatial layer at each place of the group of four.
    frames: [[u16; 4]; 4],
}

impl Layered {
    pub fn new(scheme: Scheme, spatial: u8) -> Self {
        let structure = *DependencyDescriptor::parse(&chromium(), None).expect("one").structure.expect("one");
        let (renews, active, lose_structure, offset) = (false, None, false, 0);
        let (picture, frame, tl0, at, sequence, timestamp) = (0x7ff8, 0xfff0, 250, 0, 65_500, 50_000);
        Self {
            scheme,
            spatial,
            renews,
            active,
            lose_structure,
            offset,
            sizes: [60; 3],
            picture,
            frame,
            tl0,
            at,
            sequence,
            timestamp,
            structure,
            frames: [[0; 4]; 4],
        }
    }

    /// The next picture: each of its frames in two packets.
    pub fn picture(&mut self, world: &mut World, is_keyframe: bool) {
        self.at = if is_keyframe { 0 } else { (self.at + 1) % 4 };
        let temporal = TEMPORAL[self.at];
        if temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        if is_keyframe {
            self.structure.id_offset = self.offset;
        }
        let renews = self.renews && temporal == 0;
        self.renews &= !renews;
        let sent = self.active.map_or(self.spatial, |active| u8::try_from(active.count_ones() / 3).expect("small"));
        for spatial in 0..sent {
            let alone = is_keyframe || renews && spatial > 0;
            for half in 0..2 {
                let is_last = spatial + 1 == sent && half == 1;
                let (payload, descriptor) = match self.scheme {
                    Scheme::Vp9 { flexible } => (self.vp9(flexible, is_keyframe, alone, spatial, half), None),
                    Scheme::Av1 => self.av1(is_keyframe, alone, spatial, half),
                };
                let number = if self.scheme == Scheme::Av1 { 45 } else { 98 };
                let header = Header {
                    marker: is_last,
                    payload_type: PayloadType::from_wire(number),
                    sequence: self.sequence,
                    timestamp: Timestamp(self.timestamp),
                    ssrc: Ssrc(4_242),
                };
                self.sequence = self.sequence.wrapping_add(1);
                let mut extensions: Vec<(u8, &[u8])> = vec![(4, b"1")];
                extensions.extend(descriptor.as_deref().map(|value| (DESCRIPTOR, value)));
                if is_keyframe && spatial == 0 && half == 0 && std::mem::take(&mut self.lose_structure) {
                    continue;
                }
                world.send(1, header, &extensions, &payload);
            }
            self.frames[usize::from(spatial)][self.at] = self.frame;
            self.frame = self.frame.wrapping_add(1);
        }
        self.picture = (self.picture + 1) & 0x7fff;
        self.timestamp = self.timestamp.wrapping_add(3_000);
    }

    /// RFC 9628 §4.2.
    fn vp9(&self, flexible: bool, is_keyframe: bool, alone: bool, spatial: u8, half: u8) -> Vec<u8> {
        let temporal = TEMPORAL[self.at];
        let tells = is_keyframe && spatial == 0 && half == 0;
        let bits = [
            (0x80, true),
            (0x40, !alone),
            (0x20, true),
            (0x10, flexible),
            (0x08, half == 0),
            (0x04, half == 1),
            (0x02, tells),
        ];
        let flags = bits.iter().filter(|(_, is)| *is).map(|(bit, _)| bit).sum::<u8>();
        let [high, low] = (0x8000 | self.picture).to_be_bytes();
        let inter = u8::from(alone && spatial > 0);
        let mut out = vec![flags, high, low, temporal << 5 | u8::from(temporal > 0) << 4 | spatial << 1 | inter];
        if !flexible {
            out.push(self.tl0);
        } else if !alone {
            out.push(u8::try_from(L3T3[self.at]).expect("small") << 1);
        }
        if tells {
            out.push((self.spatial - 1) << 5 | 0x18);
            for spatial in 0..self.spatial {
                let side = |of: u16| (of >> (self.spatial - 1 - spatial)).to_be_bytes();
                out.extend([side(1_280), side(720)].concat());
            }
            out.push(4);
            for (temporal, back) in TEMPORAL.into_iter().zip(L3T3) {
                out.extend([temporal << 5 | u8::from(temporal > 0) << 4 | 1 << 2, u8::try_from(back).expect("small")]);
            }
        }
        out.resize(out.len() + self.sizes[usize::from(spatial)], spatial);
        out
    }

    /// AV1 RTP §4, and its appendix A.
    fn av1(&self, is_keyframe: bool, alone: bool, spatial: u8, half: u8) -> (Vec<u8>, Option<Vec<u8>>) {
        let place = match (self.at, alone, spatial) {
            (0, true, 0) => 1,
            (0, true, _) => 1 + 5 * spatial,
            (0, false, _) => 5 * spatial,
            (2, ..) => 2 + 5 * spatial,
            (1, ..) => 3 + 5 * spatial,
            _ => 4 + 5 * spatial,
        };
        let mut template = self.structure.templates[usize::from(place)].clone();
        if !alone {
            // With fewer layers than in the template, what is needed is nearer.
            let needed = self.frames[usize::from(spatial)][[0, 0, 0, 2][self.at]];
            template.fdiffs[0] = self.frame.wrapping_sub(needed);
        }
        let tells = is_keyframe && spatial == 0 && half == 0;
        let all = Some(self.structure.all_targets());
        let descriptor = DependencyDescriptor {
            start_of_frame: half == 0,
            end_of_frame: half == 1,
            frame_number: self.frame,
            template_id: (self.offset + place) % 64,
            structure: tells.then(|| Box::new(self.structure.clone())),
            active_decode_targets: if tells { all } else { self.active.filter(|_| half == 0) },
            frame: ext::FrameDependencies { template, resolution: None },
        };
        let mut value = Vec::new();
        assert!(descriptor.write(Some(&self.structure), &mut value));
        let mut out = vec![if tells { 0x18 } else { 0x10 }];
        out.resize(1 + self.sizes[usize::from(spatial)], spatial);
        (out, Some(value))
    }
}

/// A publisher of layers, and a subscriber; a third one who may do something else.
pub struct Bench {
    pub world: World,
    pub layered: Layered,
    heeded: u64,
}

impl Bench {
    pub fn new(scheme: Scheme, spatial: u8, layer: Option<Layer>) -> Self {
        let mut world = World::with(3);
        world.ids.set(ext::Kind::DependencyDescriptor, DESCRIPTOR);
        for peer in 1..=3 {
            let ids = world.ids;
            world.tell(Command::Extensions { endpoint: EndpointId(peer), ids });
        }
        let codec = if scheme == Scheme::Av1 { AV1 } else { VP9 };
        world.publish(1, 1, codec, &[]);
        world.subscribe(2, 1, codec, layer);
        Self { world, layered: Layered::new(scheme, spatial), heeded: 0 }
    }

    /// So many pictures, of a publisher that heeds what it is asked for.
    pub fn heedful_pictures(&mut self, count: usize) {
        for _ in 0..count {
            let asked = self.keyframes_asked();
            self.layered.picture(&mut self.world, std::mem::replace(&mut self.heeded, asked) < asked);
            self.world.run_ms(33);
        }
    }

    /// So many pictures, those in `keys` keyframes.
    pub fn pictures(&mut self, count: usize, keys: &[usize]) {
        for at in 0..count {
            self.layered.picture(&mut self.world, keys.contains(&at));
            self.world.run_ms(33);
        }
    }

    pub fn keyframes_asked(&self) -> u64 {
        self.world.plane.counters().keyframes
    }
}

/// A picture that has arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub spatial: u8,
    pub temporal: u8,
}

/// What a retransmission repeats (RFC 4588 §4).
pub fn original(got: &Got) -> Got {
    if got.header.payload_type != PayloadType::from_wire(99) {
        return got.clone();
    }
    let sequence = u16::from_be_bytes([got.payload[0], got.payload[1]]);
    let header = Header { sequence, payload_type: PayloadType::from_wire(98), ssrc: Ssrc(10_002), ..got.header };
    Got { header, payload: got.payload[2..].to_vec(), ..got.clone() }
}

/// Without gaps; and the marker is with the last packet of each time, and with no other.
fn check_packets(got: &[Got]) {
    for pair in got.windows(2) {
        assert_eq!(pair[0].header.sequence.wrapping_add(1), pair[1].header.sequence);
        assert_eq!(pair[0].header.marker, pair[0].header.timestamp != pair[1].header.timestamp, "{pair:?}");
    }
    assert!(got.last().is_none_or(|last| last.header.marker), "the last picture is not ended");
}

/// VP9 as a receiver sees it; `group`: how many pictures back the one is that a picture needs, where it does not say so.
pub fn seen_vp9(got: &[Got], group: [u16; 4]) -> Vec<Seen> {
    check_packets(got);
    let mut seen: Vec<(u32, Seen)> = Vec::new();
    let (mut frames, mut begun, mut first) = (BTreeSet::new(), None, 0);
    for got in got {
        let it = vp9::Descriptor::parse(&got.payload).expect("VP9");
        let (picture, layer) = (it.picture.expect("a number").value(), it.layer.expect("a layer"));
        assert_eq!(it.start, begun.is_none(), "a frame is whole");
        begun = if it.end { None } else { Some((picture, layer.spatial)) };
        if !it.start {
            continue;
        }
        if vp9::starts_key_frame(&got.payload) {
            (first, frames) = (picture, BTreeSet::new());
        } else {
            let back = if it.flexible {
                it.differences.iter().map(|back| u16::from(*back)).collect()
            } else if it.inter_predicted {
                vec![group[usize::from(picture.wrapping_sub(first) & 3)]]
            } else {
                Vec::new()
            };
            for back in back {
                let needed = (picture.wrapping_sub(back) & 0x7fff, layer.spatial);
                assert!(frames.contains(&needed), "{picture} of {layer:?} needs {needed:?}");
            }
        }
        if layer.inter_layer {
            assert!(frames.contains(&(picture, layer.spatial - 1)), "{picture} of {layer:?} needs what is below it");
        }
        frames.insert((picture, layer.spatial));
        note(&mut seen, got, Seen { spatial: layer.spatial, temporal: layer.temporal });
    }
    seen.into_iter().map(|(_, seen)| seen).collect()
}

/// AV1 as a receiver sees it, by its dependency descriptors.
pub fn seen_av1(got: &[Got]) -> Vec<Seen> {
    check_packets(got);
    let mut seen: Vec<(u32, Seen)> = Vec::new();
    let (mut structure, mut frames) = (None, BTreeMap::new());
    for got in got {
        let it = DependencyDescriptor::parse(got.extension(DESCRIPTOR), structure.as_ref()).expect("a descriptor");
        let template = it.frame.template;
        if let Some(new) = it.structure {
            (structure, frames) = (Some(*new), BTreeMap::new());
        }
        if !it.start_of_frame {
            assert!(frames.contains_key(&it.frame_number) && it.end_of_frame, "a frame is whole");
            continue;
        }
        for back in &template.fdiffs {
            let needed = it.frame_number.wrapping_sub(*back);
            let (spatial, temporal) = frames.get(&needed).copied().unwrap_or_else(|| {
                panic!("{} of {:?} needs {needed}", it.frame_number, (template.spatial, template.temporal))
            });
            assert!(spatial <= template.spatial && temporal <= template.temporal);
        }
        let layer = (template.spatial, template.temporal);
        assert_eq!(frames.insert(it.frame_number, layer), None, "its number is its own");
        note(&mut seen, got, Seen { spatial: layer.0, temporal: layer.1 });
    }
    seen.into_iter().map(|(_, seen)| seen).collect()
}

fn note(seen: &mut Vec<(u32, Seen)>, got: &Got, frame: Seen) {
    match seen.last_mut().filter(|(timestamp, _)| *timestamp == got.header.timestamp.0) {
        Some((_, picture)) => {
            assert_eq!(picture.spatial + 1, frame.spatial, "none is left out between two");
            *picture = frame;
        }
        None => {
            assert_eq!(frame.spatial, 0);
            seen.push((got.header.timestamp.0, frame));
        }
    }
}

/// The first descriptor of a key frame with `L3T3`, as Chromium has sent it.
fn chromium() -> Vec<u8> {
    let text = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b820\
                ac1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d";
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}
