//! Header extensions: the elements of RFC 8285, which of them both sides have agreed on, and what each of them means.
//!
//! ```text
//!   one-byte form   profile 0xBEDE     |  ID   |  L-1  |  L bytes …         ID 1 to 14, L 1 to 16
//!   two-byte form   profile 0x100x     |      ID       |       L       |  L bytes …
//! ```

mod bits;
mod dependency;
mod layers;
mod simple;

use std::ops::Range;

pub use dependency::{DependencyDescriptor, Dti, FrameDependencies, Resolution, Structure, Template};
pub use layers::{SpatialLayer, VideoLayers};
pub use simple::{AbsCaptureTime, AbsSendTime, AudioLevel, Orientation, PlayoutDelay, TransportSequence, text};

use crate::packet::{Layout, Padding};

/// How elements are written (RFC 8285 §4.2, §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    OneByte,
    TwoByte,
}

impl Form {
    pub(crate) const fn profile(self) -> u16 {
        match self {
            Self::OneByte => 0xbede,
            Self::TwoByte => 0x1000,
        }
    }

    pub(crate) fn fits(self, id: u8, length: usize) -> bool {
        match self {
            Self::OneByte => (1..=14).contains(&id) && (1..=16).contains(&length),
            Self::TwoByte => id != 0 && length <= 255,
        }
    }

    /// What stands before a value that fits.
    pub(crate) fn head(self, id: u8, length: u8) -> smallvec::SmallVec<[u8; 2]> {
        match self {
            Self::OneByte => smallvec::smallvec![id << 4 | (length.wrapping_sub(1) & 0x0f)],
            Self::TwoByte => smallvec::smallvec![id, length],
        }
    }
}

/// Elements of an extension in order: id and value. Ends at the first that does not fit.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    bytes: &'a [u8],
    places: Places,
}

impl<'a> Elements<'a> {
    /// No elements.
    pub(crate) const NONE: Self = Self { bytes: &[], places: Places { at: 0, form: Form::OneByte } };

    /// Of a profile's words; other profiles than the two of RFC 8285 have no elements.
    pub fn new(profile: u16, words: &'a [u8]) -> Self {
        Places::of(profile).map_or(Self::NONE, |places| Self { bytes: words, places })
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, range) = self.places.next(self.bytes)?;
        Some((id, self.bytes.get(range)?))
    }
}

/// The value of the first element with this id, to be filled in or changed where it lies.
pub fn value_mut(packet: &mut [u8], id: u8) -> Option<&mut [u8]> {
    let layout = Layout::of(packet, Padding::Encrypted).ok()?;
    let (head, words) = packet.get_mut(layout.sources_end..layout.payload)?.split_first_chunk_mut()?;
    let [p0, p1, _, _] = *head;
    let mut places = Places::of(u16::from_be_bytes([p0, p1]))?;
    let range = std::iter::from_fn(|| places.next(words)).find(|&(found, _)| found == id)?.1;
    words.get_mut(range)
}

/// Walks over elements by their places.
#[derive(Clone, Debug)]
struct Places {
    at: usize,
    form: Form,
}

impl Places {
    fn of(profile: u16) -> Option<Self> {
        match profile {
            0xbede => Some(Self { at: 0, form: Form::OneByte }),
            // The low four bits are the application's.
            0x1000..=0x100f => Some(Self { at: 0, form: Form::TwoByte }),
            _ => None,
        }
    }

    fn next(&mut self, words: &[u8]) -> Option<(u8, Range<usize>)> {
        // Padding.
        while words.get(self.at) == Some(&0) {
            self.at += 1;
        }
        let first = *words.get(self.at)?;
        let (id, start, length) = match self.form {
            Form::OneByte => (first >> 4, self.at + 1, usize::from(first & 0x0f) + 1),
            Form::TwoByte => (first, self.at + 2, usize::from(*words.get(self.at + 1)?)),
        };
        // §4.2: both end the extension.
        if self.form == Form::OneByte && (id == 0 || id == 15) || start + length > words.len() {
            self.at = words.len();
            return None;
        }
        self.at = start + length;
        Some((id, start..self.at))
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $uri:literal,)*) => {
        /// What an element means; in `a=extmap` lines it is named by a URI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// All that have a meaning here.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name in session descriptions.
            pub const fn uri(self) -> &'static str {
                match self { $(Self::$kind => $uri,)* }
            }
        }
    };
}

kinds! {
    /// How loud a packet is, [`AudioLevel`] (RFC 6464).
    AudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    /// When the packet left, [`AbsSendTime`].
    AbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    /// A number for each packet of a transport, [`TransportSequence`].
    TransportSequence = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    /// Which media section, [`text`] (RFC 9143).
    Mid = "urn:ietf:params:rtp-hdrext:sdes:mid",
    /// Which layer of a simulcast, [`text`] (RFC 8852).
    Rid = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    /// Of which layer a retransmission is, [`text`] (RFC 8852).
    RepairedRid = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    /// How the camera is held, [`Orientation`] (3GPP TS 26.114 §7.4.5).
    Orientation = "urn:3gpp:video-orientation",
    /// How long to wait before showing, [`PlayoutDelay`].
    PlayoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    /// When the first sample was taken, [`AbsCaptureTime`].
    AbsCaptureTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    /// Which frames a frame needs, [`DependencyDescriptor`].
    DependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    /// What the picture is of, a byte: 0 unspecified, 1 a screen. Without meaning here: receivers smooth less for a screen.
    VideoContentType = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
    /// How colors are coded: 4 bytes, 28 with those of a mastering display. Without meaning here.
    ColorSpace = "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
    /// Which layers are sent at which rates, [`VideoLayers`].
    VideoLayers = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
}

impl Kind {
    /// By its name in session descriptions.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.uri() == uri)
    }

    fn index(self) -> usize {
        // Declared without values: they count from zero.
        self as usize
    }
}

/// Which id each kind has with one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids([u8; Kind::ALL.len()]);

impl Ids {
    /// Agrees on an id, 1 to 255 (RFC 8285 §5); zero takes the kind away.
    pub fn set(&mut self, kind: Kind, id: u8) {
        if let Some(place) = self.0.get_mut(kind.index()) {
            *place = id;
        }
    }

    /// The id of a kind, if there is one.
    pub fn id(&self, kind: Kind) -> Option<u8> {
        self.0.get(kind.index()).copied().filter(|&id| id != 0)
    }

    /// The kind of an id, if it means something here.
    pub fn kind(&self, id: u8) -> Option<Kind> {
        let index = self.0.iter().position(|&known| known == id && id != 0)?;
        Kind::ALL.get(index).copied()
    }

    /// The value of this kind in a packet.
    pub fn value<'a>(&self, packet: &crate::Packet<'a>, kind: Kind) -> Option<&'a [u8]> {
        packet.extension_of(self.id(kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 8285 §4.2 and §4.3: three elements and padding between them.
    #[test]
    fn elements_of_both_forms_are_found() {
        let one: Vec<_> = Elements::new(0xbede, &[0x10, 1, 0x21, 2, 2, 0, 0, 0x33, 4, 4, 4, 4]).collect();
        assert_eq!(one, [(1, &[1][..]), (2, &[2, 2][..]), (3, &[4; 4][..])]);
        let two: Vec<_> = Elements::new(0x1003, &[1, 0, 2, 1, 9, 0, 255, 4, 8, 8, 8, 8]).collect();
        assert_eq!(two, [(1, &[][..]), (2, &[9][..]), (255, &[8; 4][..])]);
        assert_eq!(Elements::new(0xabac, &[0x10, 1]).count(), 0);
    }

    #[test]
    fn reserved_ids_and_short_values_end_the_extension() {
        assert_eq!(Elements::new(0xbede, &[0x10, 1, 0xf0, 2, 0x20, 3]).count(), 1);
        assert_eq!(Elements::new(0xbede, &[0x10, 1, 0x01, 2, 0x20, 3]).count(), 1);
        assert_eq!(Elements::new(0xbede, &[0x10, 1, 0x22, 2]).count(), 1);
        assert_eq!(Elements::new(0x1000, &[1, 1, 1, 2]).count(), 1);
        assert_eq!(Elements::new(0x1000, &[1, 1, 1, 2, 9, 0]).count(), 1);
    }

    #[test]
    fn a_value_is_changed_where_it_lies() {
        let mut packet = [0x90, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x31, 0, 0, 0, 7];
        value_mut(&mut packet, 3).unwrap().copy_from_slice(&[1, 2]);
        assert_eq!(packet[16..], [0x31, 1, 2, 0, 7]);
        assert!(value_mut(&mut packet, 4).is_none());
        assert!(value_mut(&mut packet[..15], 3).is_none());
    }

    #[test]
    fn ids_and_kinds_find_each_other() {
        let mut ids = Ids::default();
        for (id, &kind) in (1..).zip(Kind::ALL) {
            assert_eq!((Kind::from_uri(kind.uri()), ids.id(kind)), (Some(kind), None));
            ids.set(kind, id);
            assert_eq!((ids.id(kind), ids.kind(id)), (Some(id), Some(kind)));
        }
        assert_eq!((ids.kind(0), ids.kind(200)), (None, None));
        ids.set(Kind::Mid, 0);
        assert_eq!(ids.id(Kind::Mid), None);
    }
}
