//! RTCP: compound and reduced-size packets, read where they lie (RFC 3550 §6, RFC 5506), and written into the caller's
//! buffer.
//!
//! ```text
//!   | V=2 | P | count or format | packet type | length, words - 1 |   body …   |      one after the other
//! ```
//!
//! Lengths and counts of a packet are checked when [`Packets`] comes to it; what follows from them is read without
//! allocation. Types that have no meaning here are handed on as they are ([`Packet::Unknown`]).

mod description;
mod extended;
mod feedback;
mod report;
mod transport;
mod write;

pub use description::{App, Chunk, Chunks, Goodbye, Item, SourceDescription};
pub use extended::{Block, DelaySinceLastReport, ExtendedReports, VoipMetrics};
pub use feedback::{Fir, Nack, NackPair, Remb};
pub use report::{ReceiverReport, ReportBlock, SenderInfo, SenderReport};
pub use transport::{Recorder, Status, Statuses, TransportFeedback};
pub use write::{NoRoom, Writer};

use crate::numbers::Ssrc;

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR, RFC 3550 §6.4.1.
    SenderReport(SenderReport<'a>),
    /// RR, RFC 3550 §6.4.2.
    ReceiverReport(ReceiverReport<'a>),
    /// SDES, RFC 3550 §6.5.
    SourceDescription(SourceDescription<'a>),
    /// BYE, RFC 3550 §6.6.
    Goodbye(Goodbye<'a>),
    /// APP, RFC 3550 §6.7.
    App(App<'a>),
    /// Generic NACK, RFC 4585 §6.2.1.
    Nack(Nack<'a>),
    /// Picture loss indication, RFC 4585 §6.3.1.
    Pli {
        /// Who misses it.
        sender: Ssrc,
        /// Whose picture.
        media: Ssrc,
    },
    /// Full intra request, RFC 5104 §4.3.1.
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate, draft-alvestrand-rmcat-remb-03.
    Remb(Remb<'a>),
    /// Which packets of a transport arrived when, draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1.
    TransportFeedback(TransportFeedback<'a>),
    /// XR, RFC 3611.
    ExtendedReports(ExtendedReports<'a>),
    /// Another type, or another format of a known type.
    Unknown(Raw<'a>),
}

/// A packet as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Reports, sources or the feedback's format: five bits.
    pub count: u8,
    /// The packet type.
    pub kind: u8,
    /// Behind the first four bytes, without padding.
    pub body: &'a [u8],
}

/// Why bytes are no RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Less than a header.
    #[error("expected at least 4 bytes, got {got}")]
    TooShort {
        /// What is left.
        got: usize,
    },
    /// Not version 2.
    #[error("expected version 2, got {got}")]
    Version {
        /// The two bits.
        got: u8,
    },
    /// The packet reaches beyond the compound.
    #[error("the header promises {said} bytes, {got} are left")]
    Length {
        /// Header included.
        said: usize,
        /// What is left.
        got: usize,
    },
    /// More padding than packet, or none (RFC 3550 §6.4.1).
    #[error("{padding} bytes of padding")]
    Padding {
        /// What the last byte says.
        padding: u8,
    },
    /// The body is too short for what its header or its own counts promise.
    #[error("packet type {kind}: the body of {got} bytes is shorter than it promises")]
    Body {
        /// The packet type.
        kind: u8,
        /// Bytes of the body.
        got: usize,
    },
}

/// Iterates over the packets of a compound. A body that promises more than it has is told of and passed over; after a
/// header that cannot be true nothing follows, as it is not known where.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    /// Of a whole datagram, unprotected. It may begin with any packet (RFC 5506).
    pub const fn new(compound: &'a [u8]) -> Self {
        Self { rest: compound }
    }

    fn take(&mut self) -> Result<Raw<'a>, Malformed> {
        let got = self.rest.len();
        let &[first, kind, l0, l1] = self.rest.first_chunk().ok_or(Malformed::TooShort { got })?;
        if first >> 6 != 2 {
            return Err(Malformed::Version { got: first >> 6 });
        }
        let said = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        let (packet, rest) = self.rest.split_at_checked(said).ok_or(Malformed::Length { said, got })?;
        self.rest = rest;
        let mut body = packet.get(4..).unwrap_or_default();
        if first & 0x20 != 0 {
            let padding = body.last().copied().unwrap_or(0);
            // Deviation: it need not be whole words. Browsers fill up the last word of transport-wide feedback with it.
            let end = body.len().checked_sub(usize::from(padding)).filter(|_| padding != 0);
            body = end.and_then(|end| body.get(..end)).ok_or(Malformed::Padding { padding })?;
        }
        Ok(Raw { count: first & 0x1f, kind, body })
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let raw = self.take();
        if raw.is_err() {
            self.rest = &[];
        }
        Some(raw.and_then(Packet::of))
    }
}

impl<'a> Packet<'a> {
    /// What a packet means.
    fn of(raw: Raw<'a>) -> Result<Self, Malformed> {
        let packet = match (raw.kind, raw.count) {
            (SR, _) => SenderReport::parse(raw).map(Self::SenderReport),
            (RR, _) => ReceiverReport::parse(raw).map(Self::ReceiverReport),
            (SDES, _) => SourceDescription::parse(raw).map(Self::SourceDescription),
            (BYE, _) => Goodbye::parse(raw).map(Self::Goodbye),
            (APP, _) => App::parse(raw).map(Self::App),
            (RTPFB, NACK) => Nack::parse(raw.body).map(Self::Nack),
            (RTPFB, TWCC) => TransportFeedback::parse(raw.body).map(Self::TransportFeedback),
            (PSFB, PLI) => two_ssrcs(raw.body).map(|(sender, media, _)| Self::Pli { sender, media }),
            (PSFB, FIR) => Fir::parse(raw.body).map(Self::Fir),
            (PSFB, AFB) if feedback::is_remb(raw.body) => Remb::parse(raw.body).map(Self::Remb),
            (XR, _) => ExtendedReports::parse(raw.body).map(Self::ExtendedReports),
            _ => Some(Self::Unknown(raw)),
        };
        packet.ok_or(Malformed::Body { kind: raw.kind, got: raw.body.len() })
    }
}

/// Whether a datagram of a port that media and control share is control: its packet type is one of 192 to 223, which media
/// does not use there (RFC 5761 §4). Protection does not hide it.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

/// An SSRC and what follows it.
fn ssrc(bytes: &[u8]) -> Option<(Ssrc, &[u8])> {
    let (&ssrc, rest) = bytes.split_first_chunk()?;
    Some((Ssrc(u32::from_be_bytes(ssrc)), rest))
}

/// The two that every feedback begins with (RFC 4585 §6.1), and its control information.
fn two_ssrcs(body: &[u8]) -> Option<(Ssrc, Ssrc, &[u8])> {
    let (sender, rest) = ssrc(body)?;
    let (media, rest) = ssrc(rest)?;
    Some((sender, media, rest))
}

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const APP: u8 = 204;
/// Transport layer feedback.
const RTPFB: u8 = 205;
/// Payload-specific feedback.
const PSFB: u8 = 206;
const XR: u8 = 207;

const NACK: u8 = 1;
const TWCC: u8 = 15;
const PLI: u8 = 1;
const FIR: u8 = 4;
/// Application layer feedback.
const AFB: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_one_after_the_other() {
        let compound = [0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let packets: Vec<_> = Packets::new(&compound).map(Result::unwrap).collect();
        assert!(matches!(packets[0], Packet::ReceiverReport(ref report) if report.sender == Ssrc(1)));
        assert_eq!(packets[1..], [Packet::Pli { sender: Ssrc(1), media: Ssrc(2) }]);
    }

    #[test]
    fn media_and_control_share_a_port() {
        assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0xbf, 223]) && is_rtcp(&[0x81, 192]));
        assert!(!is_rtcp(&[0x80, 96]) && !is_rtcp(&[0x80, 96 | 0x80]) && !is_rtcp(&[0x7f, 200]) && !is_rtcp(&[0x80]));
    }

    #[test]
    fn unknown_types_and_formats_are_handed_on() {
        let compound = [0x9f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x83, 250, 0, 0];
        let packets: Vec<_> = Packets::new(&compound).map(Result::unwrap).collect();
        assert_eq!(
            packets,
            [
                Packet::Unknown(Raw { count: 31, kind: 205, body: &[0, 0, 0, 1, 0, 0, 0, 2] }),
                Packet::Unknown(Raw { count: 3, kind: 250, body: &[] }),
            ]
        );
    }

    #[test]
    fn lengths_beyond_the_datagram_end_it() {
        let mut packets = Packets::new(&[0x80, 201, 0, 2, 0, 0, 0, 1]);
        assert_eq!(packets.next(), Some(Err(Malformed::Length { said: 12, got: 8 })));
        assert_eq!(packets.next(), None);
        assert_eq!(Packets::new(&[0x80, 201, 0]).next(), Some(Err(Malformed::TooShort { got: 3 })));
        assert_eq!(Packets::new(&[0x40, 201, 0, 0]).next(), Some(Err(Malformed::Version { got: 1 })));
        assert_eq!(Packets::new(&[]).next(), None);
    }

    #[test]
    fn a_broken_body_hides_nothing_behind_it() {
        let compound = [0x82, 203, 0, 1, 0, 0, 0, 1, 0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let packets: Vec<_> = Packets::new(&compound).collect();
        assert_eq!(
            packets,
            [Err(Malformed::Body { kind: 203, got: 4 }), Ok(Packet::Pli { sender: Ssrc(1), media: Ssrc(2) })]
        );
    }

    #[test]
    fn padding_lies_within_the_packet() {
        let padded = |last| [0xa1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, last];
        assert_eq!(Packets::new(&padded(4)).next(), Some(Ok(Packet::Pli { sender: Ssrc(1), media: Ssrc(2) })));
        for padding in [0, 13, 16] {
            assert_eq!(Packets::new(&padded(padding)).next(), Some(Err(Malformed::Padding { padding })));
        }
        assert!(matches!(Packets::new(&padded(8)).next(), Some(Err(Malformed::Body { kind: 206, got: 4 }))));
    }

    /// As str0m sends it, and browsers do: the last word is filled up, and the padding is that byte alone.
    #[test]
    fn feedback_whose_last_word_is_filled_up_is_read() {
        let feedback = [0xaf, 0xcd, 0, 5, 0x15, 0x1e, 0x9c, 0xb3, 0, 0, 3, 0xe9, 0, 1, 0, 1, 0, 0, 0, 0, 0x20, 1, 0, 1];
        let Some(Ok(Packet::TransportFeedback(read))) = Packets::new(&feedback).next() else { panic!("is feedback") };
        assert_eq!(read.iter().collect::<Vec<_>>(), [Status::Received { sequence: 1, at: 0 }]);
    }
}
