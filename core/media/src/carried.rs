//! Header extensions that go from a publisher's packet to its subscribers: those that tell of the media, not of the way.

use tandem_rtp::Packet;
use tandem_rtp::ext::{Ids, Kind};
use tandem_rtp::header::{NoRoom, Writer};

/// Those of one packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried<'a>([Option<&'a [u8]>; KINDS.len()]);

impl<'a> Carried<'a> {
    /// As the publisher has written them.
    pub(crate) fn of(packet: &Packet<'a>, ids: &Ids) -> Self {
        let mut carried = Self::default();
        for (id, value) in packet.extensions() {
            let kind = ids.kind(id).filter(|kind| fits(*kind, value.len()));
            let kind = kind.and_then(|kind| KINDS.iter().position(|known| *known == kind));
            let place = kind.and_then(|index| carried.0.get_mut(index));
            place.into_iter().for_each(|place| *place = Some(value));
        }
        carried
    }

    /// Writes those that a subscriber has agreed on, under its numbers. `frame`: what the number of the frame is to it.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, ids: &Ids, frame: Option<u16>) -> Result<(), NoRoom> {
        for (kind, value) in KINDS.into_iter().zip(self.0) {
            let Some((id, value)) = ids.id(kind).zip(value) else { continue };
            match (kind, frame, value) {
                // Bits 8 to 23 count frames (AV1 RTP §A.8.1).
                (Kind::DependencyDescriptor, Some(frame), [first, _, _, rest @ ..]) if value.len() <= LONGEST => {
                    let mut own = [0; LONGEST];
                    let [high, low] = frame.to_be_bytes();
                    own.iter_mut().zip([*first, high, low].iter().chain(rest)).for_each(|(to, from)| *to = *from);
                    writer.extension(id, own.get(..value.len()).unwrap_or_default())?;
                }
                _ => writer.extension(id, value)?,
            }
        }
        Ok(())
    }
}

/// Whether a value is as long as it should be. Another length would say nothing, and, beyond 16 bytes, force a form of the header upon subscribers that
/// they may not have agreed to (RFC 8285 §4.2); only who has agreed to it gets dependency descriptors.
fn fits(kind: Kind, length: usize) -> bool {
    match kind {
        Kind::AudioLevel | Kind::Orientation | Kind::VideoContentType => length == 1,
        Kind::PlayoutDelay => length == 3,
        // With primaries and luminance of a mastering display it would be 28.
        Kind::ColorSpace => length == 4,
        Kind::AbsCaptureTime => matches!(length, 8 | 16),
        Kind::DependencyDescriptor => (3..=LONGEST).contains(&length),
        // Those of the way, not of the media: each of our ways has its own.
        Kind::AbsSendTime | Kind::TransportSequence | Kind::Mid | Kind::Rid | Kind::RepairedRid | Kind::VideoLayers => {
            false
        }
    }
}

const KINDS: [Kind; 7] = [
    Kind::AudioLevel,
    Kind::AbsCaptureTime,
    Kind::PlayoutDelay,
    Kind::Orientation,
    Kind::VideoContentType,
    Kind::ColorSpace,
    Kind::DependencyDescriptor,
];
/// No element is longer (RFC 8285 §4.3).
const LONGEST: usize = 255;
