//! Feedback that asks for something: NACK (RFC 4585 §6.2.1), FIR (RFC 5104 §4.3.1), REMB (draft-alvestrand-rmcat-remb-03).

use super::{ssrc, two_ssrcs};
use crate::numbers::Ssrc;

/// Packets that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender: Ssrc,
    /// Of which stream.
    pub media: Ssrc,
    pairs: &'a [[u8; 4]],
}

/// A missing packet, and which of the sixteen behind it are missing too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackPair {
    /// PID.
    pub first: u16,
    /// BLP: bit n is the packet `first` + n + 1.
    pub following: u16,
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, media, control) = two_ssrcs(body)?;
        let (pairs, rest) = control.as_chunks();
        rest.is_empty().then_some(Self { sender, media, pairs })
    }

    /// As they stand.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = NackPair> + use<'a> {
        let pair = |&[p0, p1, b0, b1]: &[u8; 4]| NackPair {
            first: u16::from_be_bytes([p0, p1]),
            following: u16::from_be_bytes([b0, b1]),
        };
        self.pairs.iter().map(pair)
    }

    /// Each missing packet: at most 17 for four bytes.
    pub fn sequences(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.pairs().flat_map(NackPair::sequences)
    }
}

impl NackPair {
    /// Each of them.
    pub fn sequences(self) -> impl Iterator<Item = u16> {
        let following = (0..16).filter(move |bit| self.following >> bit & 1 != 0);
        std::iter::once(self.first).chain(following.map(move |bit| self.first.wrapping_add(bit + 1)))
    }

    /// As few pairs as say the same: of numbers in order.
    pub fn of(sequences: impl IntoIterator<Item = u16>) -> impl Iterator<Item = Self> {
        let mut rest = sequences.into_iter().peekable();
        std::iter::from_fn(move || {
            let mut pair = Self { first: rest.next()?, following: 0 };
            while let Some(next) = rest.next_if(|next| (1..=16).contains(&next.wrapping_sub(pair.first))) {
                pair.following |= 1 << (next.wrapping_sub(pair.first) - 1);
            }
            Some(pair)
        })
    }
}

/// Demands of a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fir<'a> {
    /// Who demands.
    pub sender: Ssrc,
    entries: &'a [[u8; 8]],
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, _, control) = two_ssrcs(body)?;
        let (entries, rest) = control.as_chunks();
        rest.is_empty().then_some(Self { sender, entries })
    }

    /// Of which streams, each with a number that is the same when the demand is repeated.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (Ssrc, u8)> + use<'a> {
        self.entries.iter().map(|&[a, b, c, d, number, ..]| (Ssrc(u32::from_be_bytes([a, b, c, d])), number))
    }
}

/// How much a receiver thinks it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    /// Who thinks so.
    pub sender: Ssrc,
    /// Bits per second; more than 64 bits can say is the most they can.
    pub bitrate: u64,
    ssrcs: &'a [[u8; 4]],
}

impl<'a> Remb<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, _, control) = two_ssrcs(body)?;
        let (&[_, _, _, _, count, m0, m1, m2], rest) = control.split_first_chunk()?;
        let mantissa = u64::from(u32::from_be_bytes([0, m0 & 3, m1, m2]));
        let exponent = u32::from(m0 >> 2);
        let fits = exponent <= mantissa.leading_zeros();
        let bitrate = if fits { mantissa.checked_shl(exponent).unwrap_or(0) } else { u64::MAX };
        let ssrcs = rest.as_chunks().0.get(..usize::from(count))?;
        Some(Self { sender, bitrate, ssrcs })
    }

    /// From which streams together.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        self.ssrcs.iter().map(|&bytes| Ssrc(u32::from_be_bytes(bytes)))
    }

    /// Exponent and mantissa of a rate, rounded down to 18 bits.
    pub(super) fn bitrate_bytes(bitrate: u64) -> [u8; 3] {
        let exponent = (64 - bitrate.leading_zeros()).saturating_sub(18);
        let [.., m0, m1, m2] = (bitrate >> exponent).to_be_bytes();
        let [.., exponent] = exponent.to_be_bytes();
        [exponent << 2 | (m0 & 3), m1, m2]
    }
}

/// Application layer feedback is also used for other things.
pub(super) fn is_remb(body: &[u8]) -> bool {
    two_ssrcs(body).and_then(|(_, _, control)| ssrc(control)).is_some_and(|(name, _)| name.0.to_be_bytes() == *REMB)
}

pub(super) const REMB: &[u8; 4] = b"REMB";

#[cfg(test)]
mod tests {
    use super::super::{Packet, Packets, Writer};
    use super::*;

    #[test]
    fn missing_packets_are_told_in_pairs() {
        let missing = [65_534, 65_535, 0, 14, 15, 100];
        let pairs: Vec<_> = NackPair::of(missing).collect();
        assert_eq!(
            pairs,
            [
                NackPair { first: 65_534, following: 0b1000_0000_0000_0011 },
                NackPair { first: 15, following: 0 },
                NackPair { first: 100, following: 0 }
            ]
        );
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        writer.nack(Ssrc(1), Ssrc(2), missing).unwrap();
        let length = writer.finish();
        let Some(Ok(Packet::Nack(nack))) = Packets::new(&buffer[..length]).next() else { panic!("no NACK") };
        assert_eq!(
            (nack.sender, nack.media, nack.sequences().collect::<Vec<_>>()),
            (Ssrc(1), Ssrc(2), missing.to_vec())
        );
    }

    #[test]
    fn rates_keep_eighteen_bits() {
        for (bitrate, kept) in
            [(0, 0), (262_143, 262_143), (262_145, 262_144), (2_500_000, 2_500_000), (u64::MAX, 0x3ffff << 46)]
        {
            let mut buffer = [0; 64];
            let mut writer = Writer::new(&mut buffer);
            writer.remb(Ssrc(1), bitrate, &[Ssrc(7), Ssrc(8)]).unwrap();
            let length = writer.finish();
            let Some(Ok(Packet::Remb(remb))) = Packets::new(&buffer[..length]).next() else { panic!("no REMB") };
            assert_eq!((remb.bitrate, remb.ssrcs().collect::<Vec<_>>()), (kept, vec![Ssrc(7), Ssrc(8)]));
        }
        let huge = [&[0; 8][..], b"REMB", &[0, 0xff, 0xff, 0xff]].concat();
        assert_eq!(Remb::parse(&huge).unwrap().bitrate, u64::MAX, "18 bits, 63 times doubled");
        let short = [&[0; 8][..], b"REMB", &[1, 0, 0, 0]].concat();
        assert!(is_remb(&short) && Remb::parse(&short).is_none(), "one stream is promised, none there");
    }

    #[test]
    fn demands_name_their_streams() {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        writer.fir(Ssrc(1), &[(Ssrc(5), 200)]).unwrap();
        writer.pli(Ssrc(1), Ssrc(2)).unwrap();
        let length = writer.finish();
        let packets: Vec<_> = Packets::new(&buffer[..length]).map(Result::unwrap).collect();
        let [Packet::Fir(fir), Packet::Pli { media: Ssrc(2), .. }] = packets.as_slice() else { panic!("{packets:?}") };
        assert_eq!(fir.entries().collect::<Vec<_>>(), [(Ssrc(5), 200)]);
    }

    #[test]
    fn other_application_feedback_is_handed_on() {
        let bytes = [0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, b'A', b'B', b'C', b'D'];
        assert!(matches!(Packets::new(&bytes).next(), Some(Ok(Packet::Unknown(_)))));
    }
}
