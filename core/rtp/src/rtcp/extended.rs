//! Extended reports, RFC 3611: receiver reference time and its echo, which give a receiver its round-trip time; VoIP
//! metrics; other blocks as they are.

use super::ssrc;
use crate::numbers::Ssrc;

/// A packet of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedReports<'a> {
    /// Whose reports.
    pub sender: Ssrc,
    blocks: &'a [u8],
}

/// One report block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Receiver reference time (§4.4): an NTP timestamp.
    ReferenceTime(u64),
    /// Its echo (§4.5).
    DelaySinceLast(DelaySinceLastReport<'a>),
    /// How a call sounds (§4.7).
    Voip(VoipMetrics<'a>),
    /// Another type, or a known one of another size.
    Unknown {
        /// BT.
        kind: u8,
        /// The second byte.
        specific: u8,
        /// Whole words.
        data: &'a [u8],
    },
}

/// DLRR: for each receiver whose reference time has come, the middle of it and the time since, in 1/65,536 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelaySinceLastReport<'a> {
    entries: &'a [[u8; 12]],
}

/// The VoIP metrics block (§4.7): the fields that are used, and all of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoipMetrics<'a> {
    bytes: &'a [u8; VOIP],
}

impl<'a> ExtendedReports<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, blocks) = ssrc(body)?;
        let mut rest = blocks;
        while !rest.is_empty() {
            take_block(&mut rest)?;
        }
        Some(Self { sender, blocks })
    }

    /// Its blocks in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let mut rest = self.blocks;
        std::iter::from_fn(move || take_block(&mut rest))
    }
}

fn take_block<'a>(rest: &mut &'a [u8]) -> Option<Block<'a>> {
    let (&[kind, specific, l0, l1], behind) = rest.split_first_chunk()?;
    let (data, behind) = behind.split_at_checked(4 * usize::from(u16::from_be_bytes([l0, l1])))?;
    *rest = behind;
    let known = match kind {
        RRTR => data.try_into().ok().map(|ntp| Block::ReferenceTime(u64::from_be_bytes(ntp))),
        DLRR => match data.as_chunks() {
            (entries, []) => Some(Block::DelaySinceLast(DelaySinceLastReport { entries })),
            _ => None,
        },
        VOIP_METRICS => data.try_into().ok().map(|bytes| Block::Voip(VoipMetrics { bytes })),
        _ => None,
    };
    Some(known.unwrap_or(Block::Unknown { kind, specific, data }))
}

impl<'a> DelaySinceLastReport<'a> {
    /// Receiver, the middle of its reference time, and the time since.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (Ssrc, u32, u32)> + use<'a> {
        let word = u32::from_be_bytes;
        self.entries.iter().map(move |&[a, b, c, d, e, f, g, h, i, j, k, l]| {
            (Ssrc(word([a, b, c, d])), word([e, f, g, h]), word([i, j, k, l]))
        })
    }
}

impl<'a> VoipMetrics<'a> {
    /// Of which stream.
    pub fn ssrc(&self) -> Ssrc {
        let [a, b, c, d, ..] = *self.bytes;
        Ssrc(u32::from_be_bytes([a, b, c, d]))
    }

    /// Lost and discarded packets, of 256 each.
    pub const fn loss_and_discard(&self) -> (u8, u8) {
        (self.bytes[4], self.bytes[5])
    }

    /// Milliseconds there and back.
    pub const fn round_trip(&self) -> u16 {
        u16::from_be_bytes([self.bytes[12], self.bytes[13]])
    }

    /// The R factor of this leg, 0 to 100; 127 means not known.
    pub const fn r_factor(&self) -> Option<u8> {
        known(self.bytes[20])
    }

    /// Mean opinion scores of listening and conversational quality, in tenths; 127 means not known.
    pub const fn opinion_scores(&self) -> (Option<u8>, Option<u8>) {
        (known(self.bytes[22]), known(self.bytes[23]))
    }

    /// The whole block behind its header, to be passed on.
    pub const fn bytes(&self) -> &'a [u8; 32] {
        self.bytes
    }
}

const fn known(value: u8) -> Option<u8> {
    if value == 127 { None } else { Some(value) }
}

pub(super) const RRTR: u8 = 4;
pub(super) const DLRR: u8 = 5;
pub(super) const VOIP_METRICS: u8 = 7;
const VOIP: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::{Packet, Packets, Writer};
    use super::*;

    #[test]
    fn blocks_are_read_as_they_were_written() {
        let mut metrics = [0; 32];
        (metrics[3], metrics[4], metrics[5], metrics[13], metrics[20], metrics[22], metrics[23]) =
            (9, 10, 11, 50, 93, 127, 41);
        let mut buffer = [0; 200];
        let mut writer = Writer::new(&mut buffer);
        writer.reference_time(Ssrc(1), 0x0102_0304_0506_0708).unwrap();
        writer.delay_since_last(Ssrc(1), &[(Ssrc(2), 3, 4), (Ssrc(5), 6, 7)]).unwrap();
        writer.voip_metrics(Ssrc(1), &metrics).unwrap();
        let length = writer.finish();
        let blocks: Vec<_> = Packets::new(&buffer[..length])
            .flat_map(|packet| match packet.unwrap() {
                Packet::ExtendedReports(reports) => reports.blocks().collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            })
            .collect();
        let [Block::ReferenceTime(0x0102_0304_0506_0708), Block::DelaySinceLast(delays), Block::Voip(voip)] =
            blocks.as_slice()
        else {
            panic!("{blocks:?}")
        };
        assert_eq!(delays.entries().collect::<Vec<_>>(), [(Ssrc(2), 3, 4), (Ssrc(5), 6, 7)]);
        assert_eq!((voip.ssrc(), voip.loss_and_discard(), voip.round_trip()), (Ssrc(9), (10, 11), 50));
        assert_eq!((voip.r_factor(), voip.opinion_scores(), voip.bytes()), (Some(93), (None, Some(41)), &metrics));
    }

    #[test]
    fn blocks_of_other_types_and_sizes_are_handed_on() {
        let body = [0, 0, 0, 1, 42, 7, 0, 1, 1, 2, 3, 4, RRTR, 0, 0, 0];
        let reports = ExtendedReports::parse(&body).unwrap();
        assert_eq!(
            reports.blocks().collect::<Vec<_>>(),
            [
                Block::Unknown { kind: 42, specific: 7, data: &[1, 2, 3, 4] },
                Block::Unknown { kind: RRTR, specific: 0, data: &[] }
            ]
        );
        assert!(ExtendedReports::parse(&body[..11]).is_none());
        assert!(ExtendedReports::parse(&[0, 0, 0, 1, 42, 7, 0xff, 0xff]).is_none());
    }
}
