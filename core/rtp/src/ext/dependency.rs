//! The dependency descriptor: which frames a frame needs, and which qualities need the frame.
//!
//! "RTP Payload Format For AV1" (AOM, v1.0), appendix A; the names are its names. A key frame's first packet brings a
//! [`Structure`] of templates; every packet names one of them and says where its frame differs. A structure is allocated when
//! one comes and has at most 64 templates; a descriptor without one allocates nothing.
//!
//! Deviation: a frame or template with more than [`MAX_FDIFFS`] references is refused; no codec has as many.

use smallvec::SmallVec;

use super::bits::{Reader, Writer};

/// How a decode target stands to a frame, a DTI (A.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dti {
    /// `-`: it is not in the target.
    NotPresent,
    /// `D`: nothing later needs it.
    Discardable,
    /// `S`: the target can be switched to here.
    Switch,
    /// `R`: needed.
    Required,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// Differences of frame numbers: to frames that are needed.
pub type Fdiffs = SmallVec<[u16; MAX_FDIFFS]>;
/// A value for each chain: the difference to the frame before in it, zero for none.
pub type ChainFdiffs = SmallVec<[u8; MAX_TARGETS]>;

/// What frames of one kind have in common, or what is true of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Layer of space, 0 to 3.
    pub spatial: u8,
    /// Layer of time, 0 to 7.
    pub temporal: u8,
    dtis: Dtis,
    /// So many frames back are those it needs.
    pub fdiffs: Fdiffs,
    /// For each chain, so many frames back is the one before in it.
    pub chain_fdiffs: ChainFdiffs,
}

impl Template {
    /// How a decode target stands to it.
    pub fn dti(&self, target: usize) -> Dti {
        self.dtis.of(target)
    }
}

/// The templates of a coded video sequence, `template_dependency_structure()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// The number of the first template, 0 to 63.
    pub id_offset: u8,
    /// At most 32.
    pub decode_targets: u8,
    /// At most 64, by layer.
    pub templates: Vec<Template>,
    /// Which chain protects which decode target; nothing if there are no chains.
    pub protected_by: SmallVec<[u8; 8]>,
    /// At most as many as decode targets.
    pub chains: u8,
    /// Of each spatial layer, if told.
    pub resolutions: SmallVec<[Resolution; 4]>,
}

/// What one packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// First packet of its frame.
    pub start_of_frame: bool,
    /// Last packet of its frame.
    pub end_of_frame: bool,
    /// Counts frames, of all layers.
    pub frame_number: u16,
    /// The number of its template, 0 to 63.
    pub template_id: u8,
    /// The structure from here on.
    pub structure: Option<Box<Structure>>,
    /// Which decode targets are sent from here on, one bit each.
    pub active_decode_targets: Option<u32>,
    /// What is true of the frame: the template's word where the packet has none.
    pub frame: FrameDependencies,
}

/// A frame's layers, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameDependencies {
    /// The template with what the packet changes of it.
    pub template: Template,
    /// Of the frame's spatial layer, if the structure tells.
    pub resolution: Option<Resolution>,
}

impl DependencyDescriptor {
    /// From the element's value, with the structure that was true before; nothing if it is malformed, names a template that
    /// is not there, or there is no structure yet.
    pub fn parse(value: &[u8], known: Option<&Structure>) -> Option<Self> {
        let mut bits = Reader::new(value);
        let (start_of_frame, end_of_frame) = (bits.flag()?, bits.flag()?);
        let template_id = bits.small(6)?;
        let frame_number = u16::try_from(bits.read(16)?).ok()?;
        let mut custom = [false; 3];
        let (mut structure, mut active_decode_targets) = (None, None);
        if value.len() > MANDATORY {
            let (has_structure, has_active) = (bits.flag()?, bits.flag()?);
            for flag in &mut custom {
                *flag = bits.flag()?;
            }
            if has_structure {
                let read = Structure::read(&mut bits)?;
                active_decode_targets = Some(read.all_targets());
                structure = Some(Box::new(read));
            }
            if has_active {
                let targets = structure.as_deref().or(known)?.decode_targets;
                active_decode_targets = Some(bits.read(usize::from(targets))?);
            }
        }
        let frame = structure.as_deref().or(known)?.read_frame(&mut bits, template_id, custom)?;
        Some(Self { start_of_frame, end_of_frame, frame_number, template_id, structure, active_decode_targets, frame })
    }

    /// Appends the element's value: the descriptor told against its own structure, or the one that is known. Nothing is
    /// appended, and `false` said, if there is neither or it has no such template.
    #[must_use]
    pub fn write(&self, known: Option<&Structure>, out: &mut Vec<u8>) -> bool {
        let Some(structure) = self.structure.as_deref().or(known) else { return false };
        let Some(template) = structure.template(self.template_id) else { return false };
        let mut bits = Writer::new(out);
        bits.flag(self.start_of_frame);
        bits.flag(self.end_of_frame);
        bits.write(u32::from(self.template_id), 6);
        bits.write(u32::from(self.frame_number), 16);
        let own = &self.frame.template;
        let custom =
            [own.dtis != template.dtis, own.fdiffs != template.fdiffs, own.chain_fdiffs != template.chain_fdiffs];
        // All targets are active where a structure begins.
        let all = self.structure.as_ref().map(|structure| structure.all_targets());
        let active = self.active_decode_targets.filter(|&active| Some(active) != all);
        if self.structure.is_none() && active.is_none() && custom == [false; 3] {
            return true;
        }
        bits.flag(self.structure.is_some());
        bits.flag(active.is_some());
        custom.into_iter().for_each(|flag| bits.flag(flag));
        if let Some(structure) = &self.structure {
            structure.write(&mut bits);
        }
        if let Some(active) = active {
            bits.write(active, usize::from(structure.decode_targets));
        }
        own.write_custom(&mut bits, structure.decode_targets, custom);
        true
    }
}

impl Structure {
    /// The template with this number.
    pub fn template(&self, id: u8) -> Option<&Template> {
        let index = (id.wrapping_add(64).wrapping_sub(self.id_offset)) % 64;
        self.templates.get(usize::from(index))
    }

    /// One bit for each decode target.
    pub const fn all_targets(&self) -> u32 {
        match 1_u32.checked_shl(self.decode_targets as u32) {
            Some(bit) => bit - 1,
            None => u32::MAX,
        }
    }

    /// The highest layers a decode target takes part in: of space, and of time (`decode_target_layers()`).
    pub fn layers_of(&self, target: usize) -> (u8, u8) {
        let present = self.templates.iter().filter(|template| template.dti(target) != Dti::NotPresent);
        present.fold((0, 0), |(spatial, temporal), template| {
            (spatial.max(template.spatial), temporal.max(template.temporal))
        })
    }

    fn read(bits: &mut Reader<'_>) -> Option<Self> {
        let id_offset = bits.small(6)?;
        let decode_targets = bits.small(5)? + 1;
        let mut templates = Self::read_layers(bits)?;
        for template in &mut templates {
            template.dtis = Dtis::read(bits, decode_targets)?;
        }
        for template in &mut templates {
            while bits.flag()? {
                push_fdiff(&mut template.fdiffs, bits.read(4)?)?;
            }
        }
        let chains = u8::try_from(bits.non_symmetric(u32::from(decode_targets) + 1)?).ok()?;
        let mut protected_by = SmallVec::new();
        if chains > 0 {
            for _ in 0..decode_targets {
                protected_by.push(u8::try_from(bits.non_symmetric(u32::from(chains))?).ok()?);
            }
            for template in &mut templates {
                for _ in 0..chains {
                    template.chain_fdiffs.push(bits.small(4)?);
                }
            }
        }
        let mut resolutions = SmallVec::new();
        if bits.flag()? {
            for _ in 0..=templates.iter().map(|template| template.spatial).max()? {
                let mut side = || u16::try_from(bits.read(16)?).ok()?.checked_add(1);
                resolutions.push(Resolution { width: side()?, height: side()? });
            }
        }
        Some(Self { id_offset, decode_targets, templates, protected_by, chains, resolutions })
    }

    /// `template_layers()`: the layers of each template, and with them how many there are.
    fn read_layers(bits: &mut Reader<'_>) -> Option<Vec<Template>> {
        let mut templates = Vec::new();
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            if templates.len() == MAX_TEMPLATES {
                return None;
            }
            let (fdiffs, chain_fdiffs) = Default::default();
            templates.push(Template { spatial, temporal, dtis: Dtis(0), fdiffs, chain_fdiffs });
            match bits.read(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => break,
            }
            if spatial > MAX_SPATIAL || temporal > MAX_TEMPORAL {
                return None;
            }
        }
        Some(templates)
    }

    fn write(&self, bits: &mut Writer<'_>) {
        bits.write(u32::from(self.id_offset), 6);
        bits.write(u32::from(self.decode_targets.saturating_sub(1)), 5);
        let mut following = self.templates.iter().skip(1);
        for template in &self.templates {
            bits.write(
                match following.next() {
                    None => 3,
                    Some(next) if next.spatial > template.spatial => 2,
                    Some(next) if next.temporal > template.temporal => 1,
                    Some(_) => 0,
                },
                2,
            );
        }
        for template in &self.templates {
            template.dtis.write(bits, self.decode_targets);
        }
        for template in &self.templates {
            for &fdiff in &template.fdiffs {
                bits.flag(true);
                bits.write(u32::from(fdiff.wrapping_sub(1)), 4);
            }
            bits.flag(false);
        }
        bits.non_symmetric(u32::from(self.chains), u32::from(self.decode_targets) + 1);
        if self.chains > 0 {
            self.protected_by.iter().for_each(|&chain| bits.non_symmetric(u32::from(chain), u32::from(self.chains)));
            let fdiffs = self.templates.iter().flat_map(|template| &template.chain_fdiffs);
            fdiffs.for_each(|&fdiff| bits.write(u32::from(fdiff), 4));
        }
        bits.flag(!self.resolutions.is_empty());
        for resolution in &self.resolutions {
            bits.write(u32::from(resolution.width.wrapping_sub(1)), 16);
            bits.write(u32::from(resolution.height.wrapping_sub(1)), 16);
        }
    }

    /// `frame_dependency_definition()`.
    fn read_frame(&self, bits: &mut Reader<'_>, id: u8, custom: [bool; 3]) -> Option<FrameDependencies> {
        let mut template = self.template(id)?.clone();
        let [dtis, fdiffs, chains] = custom;
        if dtis {
            template.dtis = Dtis::read(bits, self.decode_targets)?;
        }
        if fdiffs {
            template.fdiffs.clear();
            loop {
                let size = usize::try_from(bits.read(2)?).ok()?;
                if size == 0 {
                    break;
                }
                push_fdiff(&mut template.fdiffs, bits.read(4 * size)?)?;
            }
        }
        if chains {
            template.chain_fdiffs.clear();
            for _ in 0..self.chains {
                template.chain_fdiffs.push(bits.small(8)?);
            }
        }
        let resolution = self.resolutions.get(usize::from(template.spatial)).copied();
        Some(FrameDependencies { template, resolution })
    }
}

impl Template {
    fn write_custom(&self, bits: &mut Writer<'_>, targets: u8, [dtis, fdiffs, chains]: [bool; 3]) {
        if dtis {
            self.dtis.write(bits, targets);
        }
        if fdiffs {
            for &fdiff in &self.fdiffs {
                let value = u32::from(fdiff.wrapping_sub(1) & 0x0fff);
                let size: u8 = if value < 16 {
                    1
                } else if value < 256 {
                    2
                } else {
                    3
                };
                bits.write(u32::from(size), 2);
                bits.write(value, 4 * usize::from(size));
            }
            bits.write(0, 2);
        }
        if chains {
            self.chain_fdiffs.iter().for_each(|&fdiff| bits.write(u32::from(fdiff), 8));
        }
    }
}

fn push_fdiff(fdiffs: &mut Fdiffs, minus_one: u32) -> Option<()> {
    if fdiffs.len() == MAX_FDIFFS {
        return None;
    }
    fdiffs.push(u16::try_from(minus_one).ok()? + 1);
    Some(())
}

/// Two bits for each of at most 32 decode targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dtis(u64);

impl Dtis {
    fn read(bits: &mut Reader<'_>, targets: u8) -> Option<Self> {
        (0..targets).try_fold(Self(0), |dtis, target| Some(Self(dtis.0 | u64::from(bits.read(2)?) << (2 * target))))
    }

    fn write(self, bits: &mut Writer<'_>, targets: u8) {
        (0..targets).for_each(|target| bits.write(u32::from(self.pair(usize::from(target))), 2));
    }

    fn pair(self, target: usize) -> u8 {
        let shifted = if target < MAX_TARGETS { self.0 >> (2 * target) } else { 0 };
        let [.., low] = shifted.to_be_bytes();
        low & 3
    }

    fn of(self, target: usize) -> Dti {
        match self.pair(target) {
            0 => Dti::NotPresent,
            1 => Dti::Discardable,
            2 => Dti::Switch,
            _ => Dti::Required,
        }
    }
}

/// Bytes of a descriptor that says nothing but where it is.
const MANDATORY: usize = 3;
const MAX_TARGETS: usize = 32;
const MAX_TEMPLATES: usize = 64;
const MAX_FDIFFS: usize = 8;
const MAX_SPATIAL: u8 = 3;
const MAX_TEMPORAL: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    /// L1T3 as Chromium sends it: three decode targets, one chain, five templates.
    fn l1t3() -> Structure {
        let template = |temporal, dtis: [u64; 3], fdiffs: &[u16], chain| Template {
            spatial: 0,
            temporal,
            dtis: Dtis(dtis[0] | dtis[1] << 2 | dtis[2] << 4),
            fdiffs: fdiffs.into(),
            chain_fdiffs: [chain].as_slice().into(),
        };
        Structure {
            id_offset: 60,
            decode_targets: 3,
            templates: vec![
                template(0, [2, 2, 2], &[], 0),
                template(0, [2, 2, 2], &[4], 4),
                template(1, [0, 1, 2], &[2], 2),
                template(2, [0, 0, 1], &[1], 1),
                template(2, [0, 0, 1], &[1], 3),
            ],
            protected_by: [0, 0, 0].as_slice().into(),
            chains: 1,
            resolutions: [Resolution { width: 1_280, height: 720 }].as_slice().into(),
        }
    }

    fn key_frame() -> DependencyDescriptor {
        let structure = l1t3();
        let frame = structure.read_frame(&mut Reader::new(&[]), 60, [false; 3]).unwrap();
        DependencyDescriptor {
            start_of_frame: true,
            end_of_frame: false,
            frame_number: 0x1234,
            template_id: 60,
            active_decode_targets: Some(0b111),
            structure: Some(Box::new(structure)),
            frame,
        }
    }

    #[test]
    fn a_key_frame_brings_the_structure() {
        let mut bytes = Vec::new();
        assert!(key_frame().write(None, &mut bytes));
        // start, not end, template 60; frame number; structure, no active targets, nothing custom; offset 60, ….
        assert_eq!(bytes[..5], [0b1011_1100, 0x12, 0x34, 0b1000_0111, 0b1000_0010]);
        let read = DependencyDescriptor::parse(&bytes, None).unwrap();
        assert_eq!(read, key_frame());
        let structure = read.structure.unwrap();
        assert_eq!([0, 1, 2].map(|target| structure.layers_of(target)), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(read.frame.resolution, Some(Resolution { width: 1_280, height: 720 }));
        assert_eq!(
            [0, 1, 2, 3].map(|t| structure.template(62).unwrap().dti(t)),
            [Dti::NotPresent, Dti::Discardable, Dti::Switch, Dti::NotPresent]
        );
    }

    #[test]
    fn a_later_frame_is_three_bytes() {
        let known = l1t3();
        let read = DependencyDescriptor::parse(&[0xc0, 0, 9], Some(&known)).unwrap();
        assert_eq!(
            (read.frame.template.temporal, read.frame.template.fdiffs.as_slice()),
            (2, &[1][..]),
            "offset 60 + 4 wraps"
        );
        assert_eq!(DependencyDescriptor::parse(&[0xc0, 0, 9], None), None, "no structure yet");
        assert_eq!(DependencyDescriptor::parse(&[0xc1, 0, 9], Some(&known)), None, "no such template");
        let mut bytes = Vec::new();
        assert!(read.write(Some(&known), &mut bytes));
        assert_eq!(bytes, [0xc0, 0, 9]);
    }

    #[test]
    fn a_frame_may_differ_from_its_template() {
        let known = l1t3();
        let mut frame = DependencyDescriptor::parse(&[0xc0, 0, 9], Some(&known)).unwrap();
        frame.active_decode_targets = Some(0b011);
        frame.frame.template.dtis = Dtis(0b11_01_10);
        frame.frame.template.fdiffs = [1, 17, 4_096].as_slice().into();
        frame.frame.template.chain_fdiffs = [200].as_slice().into();
        let mut bytes = Vec::new();
        assert!(frame.write(Some(&known), &mut bytes));
        assert_eq!(DependencyDescriptor::parse(&bytes, Some(&known)), Some(frame));
        // Whatever is cut off of it is missed.
        for length in MANDATORY + 1..bytes.len() {
            assert_eq!(DependencyDescriptor::parse(&bytes[..length], Some(&known)), None, "{length}");
        }
    }

    /// L3T3 as Chromium sent it: a key frame's first packet, and packets of later frames with and without a mask of what is
    /// active.
    #[test]
    fn descriptors_of_a_browser() {
        let hex = |text: &str| -> Vec<u8> {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(digit).collect()
        };
        let first = hex(
            "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b820\
             ac1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d",
        );
        let key = DependencyDescriptor::parse(&first, None).unwrap();
        assert_eq!((key.start_of_frame, key.end_of_frame, key.frame_number), (true, true, 0x0172));
        let structure = key.structure.clone().unwrap();
        assert_eq!((structure.decode_targets, structure.chains, structure.protected_by.len()), (9, 3, 9));
        assert_eq!((0..9).map(|target| structure.layers_of(target)).max(), Some((2, 2)));
        assert_eq!(
            structure.resolutions.iter().map(|size| (size.width, size.height)).collect::<Vec<_>>(),
            [(120, 67), (240, 135), (480, 270)]
        );
        let mut again = Vec::new();
        assert!(key.write(None, &mut again));
        assert_eq!(again, first);
        for (text, spatial, temporal, active) in
            [("86017340fc", 1, 0, Some(0b11_1111)), ("c3017540fc", 0, 2, Some(0b11_1111)), ("8b0174", 2, 0, None)]
        {
            let bytes = hex(text);
            let read = DependencyDescriptor::parse(&bytes, Some(&structure)).unwrap();
            let layer = (read.frame.template.spatial, read.frame.template.temporal);
            assert_eq!((layer, read.active_decode_targets), ((spatial, temporal), active), "{text}");
            let mut again = Vec::new();
            assert!(read.write(Some(&structure), &mut again));
            assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_structure_that_never_ends_is_refused() {
        // next_layer_idc 0 for ever.
        let mut bytes = vec![0x80, 0, 0, 0b1000_0000];
        bytes.extend([0; 200]);
        assert_eq!(DependencyDescriptor::parse(&bytes, None), None);
        // References without end: one target, one template, then `fdiff_follows_flag` for ever.
        let mut bytes = vec![0x80, 0, 0, 0b1000_0000, 0b0000_0000, 0b1100_1111];
        bytes.extend([0xff; 200]);
        assert_eq!(DependencyDescriptor::parse(&bytes, None), None);
    }

    #[test]
    fn thirty_two_targets_have_a_full_mask() {
        let structure = Structure { decode_targets: 32, ..l1t3() };
        assert_eq!((structure.all_targets(), l1t3().all_targets()), (u32::MAX, 7));
    }
}
