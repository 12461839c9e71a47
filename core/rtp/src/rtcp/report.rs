//! Sender and receiver reports, RFC 3550 §6.4.

use super::{Raw, ssrc};
use crate::numbers::{Ssrc, Timestamp};

/// What a sender has sent, and what it has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// Whose report.
    pub sender: Ssrc,
    /// What it has sent.
    pub info: SenderInfo,
    blocks: &'a [[u8; BLOCK]],
}

/// The sender's part of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall-clock time in 32.32 fixed point; what a receiver echoes are its middle 32 bits.
    pub ntp: u64,
    /// The same moment by the media clock.
    pub rtp: Timestamp,
    /// Packets since the start.
    pub packets: u32,
    /// Bytes of payload since the start.
    pub octets: u32,
}

/// What a receiver has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Whose report.
    pub sender: Ssrc,
    blocks: &'a [[u8; BLOCK]],
}

/// How one stream arrives (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Of which stream.
    pub ssrc: u32,
    /// Lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Lost since the start; negative if more came than were sent.
    pub cumulative_lost: i32,
    /// The highest sequence number, with the number of its wraps above it.
    pub highest: u32,
    /// In ticks of the media clock.
    pub jitter: u32,
    /// The middle of the last sender report's NTP time; zero for none.
    pub last_sender_report: u32,
    /// Since then, in 1/65,536 s.
    pub delay: u32,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(raw: Raw<'a>) -> Option<Self> {
        let (sender, rest) = ssrc(raw.body)?;
        let (info, rest) = rest.split_first_chunk::<INFO>()?;
        let [n0, n1, n2, n3, n4, n5, n6, n7, r0, r1, r2, r3, p0, p1, p2, p3, o0, o1, o2, o3] = *info;
        let info = SenderInfo {
            ntp: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            rtp: Timestamp(u32::from_be_bytes([r0, r1, r2, r3])),
            packets: u32::from_be_bytes([p0, p1, p2, p3]),
            octets: u32::from_be_bytes([o0, o1, o2, o3]),
        };
        Some(Self { sender, info, blocks: blocks(raw.count, rest)? })
    }

    /// What it has received, at most 31.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::parse)
    }
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(raw: Raw<'a>) -> Option<Self> {
        let (sender, rest) = ssrc(raw.body)?;
        Some(Self { sender, blocks: blocks(raw.count, rest)? })
    }

    /// What it has received, at most 31.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        self.blocks.iter().map(ReportBlock::parse)
    }
}

/// Profile-specific extensions may follow.
fn blocks(count: u8, bytes: &[u8]) -> Option<&[[u8; BLOCK]]> {
    bytes.as_chunks().0.get(..usize::from(count))
}

impl ReportBlock {
    fn parse(bytes: &[u8; BLOCK]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| words.get(index).map_or(0, |word| u32::from_be_bytes(*word));
        let [fraction_lost, ..] = word(1).to_be_bytes();
        Self {
            ssrc: word(0),
            fraction_lost,
            // 24 bits with a sign.
            cumulative_lost: (word(1) << 8).cast_signed() >> 8,
            highest: word(2),
            jitter: word(3),
            last_sender_report: word(4),
            delay: word(5),
        }
    }

    /// A loss beyond 24 bits is told as the largest they hold.
    pub(super) fn bytes(&self) -> [[u8; 4]; 6] {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff).cast_unsigned() & 0x00ff_ffff;
        let losses = u32::from(self.fraction_lost) << 24 | lost;
        [self.ssrc, losses, self.highest, self.jitter, self.last_sender_report, self.delay].map(u32::to_be_bytes)
    }
}

const INFO: usize = 20;
const BLOCK: usize = 24;

#[cfg(test)]
mod tests {
    use super::super::{Packet, Packets, Writer};
    use super::*;

    fn block() -> ReportBlock {
        ReportBlock {
            ssrc: 7,
            fraction_lost: 85,
            cumulative_lost: -1,
            highest: 0x0001_46e1,
            jitter: 273,
            last_sender_report: 0x09f3_6432,
            delay: 150_137,
        }
    }

    #[test]
    fn reports_are_read_as_they_were_written() {
        let info = SenderInfo { ntp: 0xda8b_d1fc_dddd_a05a, rtp: Timestamp(0xaaf4_edd5), packets: 1, octets: 2 };
        let mut buffer = [0; 200];
        let mut writer = Writer::new(&mut buffer);
        writer.sender_report(Ssrc(0x902f_9e2e), &info, &[block(); 2]).unwrap();
        writer.receiver_report(Ssrc(1), &[block()]).unwrap();
        let length = writer.finish();
        assert_eq!((length, &buffer[..8]), (28 + 48 + 8 + 24, &[0x82, 200, 0, 18, 0x90, 0x2f, 0x9e, 0x2e][..]));
        let packets: Vec<_> = Packets::new(&buffer[..length]).map(Result::unwrap).collect();
        let [Packet::SenderReport(sent), Packet::ReceiverReport(received)] = packets.as_slice() else {
            panic!("{packets:?}")
        };
        assert_eq!((sent.sender, sent.info), (Ssrc(0x902f_9e2e), info));
        assert_eq!((sent.blocks().collect::<Vec<_>>(), received.blocks().len()), (vec![block(); 2], 1));
    }

    #[test]
    fn counts_beyond_the_body_are_refused() {
        let mut report = [0; 32];
        report[..4].copy_from_slice(&[0x81, 201, 0, 7]);
        assert!(Packets::new(&report).all(|packet| packet.is_ok()));
        report[0] = 0x82;
        assert!(Packets::new(&report).next().unwrap().is_err());
        assert!(Packets::new(&[0x80, 200, 0, 1, 0, 0, 0, 0]).next().unwrap().is_err());
    }
}
