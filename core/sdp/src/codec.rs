//! Codecs, joined from `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` (RFC 8866 §6.6, RFC 4585 §4.2, RFC 5104), and the payload types
//! that need no `a=rtpmap` (RFC 3551 §6).

use std::fmt;

use crate::address::number;
use crate::malformed::Expected;
use crate::parameters::Parameters;
use crate::text::{Text, Token};

/// A codec as one side of an m-line knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The RTP payload type.
    pub number: u8,
    /// What it is, and its parameters.
    pub format: Format,
    /// What feedback its receiver gives.
    pub feedback: Vec<Feedback>,
}

/// What is coded how, apart from the number that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// `opus`, `VP8`; the same in any case.
    pub name: Token,
    /// Ticks per second of the RTP timestamp.
    pub clock: u32,
    /// 1 unless it says otherwise.
    pub channels: u8,
    /// From `a=fmtp`.
    pub parameters: Parameters,
}

/// `a=rtpmap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtpmap {
    /// The RTP payload type, 0 to 127.
    pub number: u8,
    /// The encoding's name.
    pub name: Token,
    /// Ticks per second.
    pub clock: u32,
    /// The encoding's parameters: channels.
    pub channels: Option<u8>,
}

/// One kind of feedback, RFC 4585 §4.2.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feedback {
    /// `nack`: packets that are missing.
    Nack,
    /// `nack pli`: a picture is lost.
    PictureLoss,
    /// `ccm fir`: a picture that needs no other is wanted (RFC 5104).
    FullIntra,
    /// `goog-remb`: the receiver's estimate of the bandwidth.
    Remb,
    /// `transport-cc`: arrival times of all packets.
    TransportCc,
    /// Any other.
    Other(Text),
}

/// `a=rtcp-fb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpFb {
    /// Of which payload type; of all, if none.
    pub number: Option<u8>,
    /// What.
    pub feedback: Feedback,
}

impl Format {
    /// A format without parameters. `None`: the name is none.
    pub fn new(name: &str, clock: u32, channels: u8) -> Option<Self> {
        let name = Token::new(name).filter(|name| !name.as_str().contains('/'))?;
        Some(Self { name, clock: clock.max(1), channels: channels.max(1), parameters: Parameters::none() })
    }

    /// What a payload type means by itself, RFC 3551 §6.
    pub fn of_static(number: u8) -> Option<Self> {
        let (_, name, clock, channels) = STATIC.iter().find(|(found, ..)| *found == number)?;
        Self::new(name, *clock, *channels)
    }

    /// The payload type that means this format by itself.
    pub fn static_number(&self) -> Option<u8> {
        let same = |name: &str, clock: u32, channels: u8| {
            self.name.is(name) && self.clock == clock && self.channels == channels
        };
        STATIC.iter().find(|(_, name, clock, channels)| same(name, *clock, *channels)).map(|(number, ..)| *number)
    }

    /// Whether it carries no media of its own: retransmission, redundancy, error correction, tones, comfort noise.
    pub fn is_auxiliary(&self) -> bool {
        AUXILIARY.iter().any(|name| self.name.is(name))
    }

    /// Retransmission, RFC 4588.
    pub fn is_rtx(&self) -> bool {
        self.name.is("rtx")
    }

    pub(crate) fn rtpmap(&self, number: u8) -> Rtpmap {
        let channels = (self.channels > 1).then_some(self.channels);
        Rtpmap { number, name: self.name.clone(), clock: self.clock, channels }
    }
}

impl From<&Rtpmap> for Format {
    fn from(map: &Rtpmap) -> Self {
        let channels = map.channels.unwrap_or(1).max(1);
        Self { name: map.name.clone(), clock: map.clock, channels, parameters: Parameters::none() }
    }
}

impl Rtpmap {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let (Some(format), Some(encoding), None) = (words.next(), words.next(), words.next()) else {
            return Err("a payload type and an encoding");
        };
        let mut parts = encoding.split('/');
        let name = parts.next().and_then(Token::new).ok_or("the name of an encoding")?;
        let clock = parts.next().and_then(number).filter(|clock| *clock > 0).ok_or("a clock rate")?;
        let channels = parts.next().map(|text| number(text).filter(|n| *n > 0).ok_or("channels")).transpose()?;
        let number = payload_type(format)?;
        if parts.next().is_some() {
            Err("nothing after the channels")
        } else {
            Ok(Self { number, name, clock, channels })
        }
    }
}

/// RFC 3550 §5.1 has seven bits for it.
pub(crate) fn payload_type(text: &str) -> Result<u8, Expected> {
    number(text).filter(|number| *number <= MAX_PAYLOAD_TYPE).ok_or("a payload type, 0 to 127")
}

impl Feedback {
    fn parse(text: &str) -> Result<Self, Expected> {
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        Ok(match words.as_slice() {
            [] => return Err("a kind of feedback"),
            ["nack"] => Self::Nack,
            ["nack", "pli"] => Self::PictureLoss,
            ["ccm", "fir"] => Self::FullIntra,
            ["goog-remb"] => Self::Remb,
            ["transport-cc"] => Self::TransportCc,
            other => Self::Other(Text::new(&other.join(" ")).ok_or("a kind of feedback")?),
        })
    }
}

impl RtcpFb {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let (format, feedback) = value.split_once(' ').ok_or("a payload type and a kind of feedback")?;
        let number = if format == "*" { None } else { Some(payload_type(format)?) };
        Ok(Self { number, feedback: Feedback::parse(feedback)? })
    }
}

impl fmt::Display for Rtpmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.number, self.name, self.clock)?;
        self.channels.map_or(Ok(()), |channels| write!(f, "/{channels}"))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.name, self.clock, self.channels)?;
        if self.parameters.is_empty() { Ok(()) } else { write!(f, " {}", self.parameters) }
    }
}

impl fmt::Display for Feedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nack => "nack",
            Self::PictureLoss => "nack pli",
            Self::FullIntra => "ccm fir",
            Self::Remb => "goog-remb",
            Self::TransportCc => "transport-cc",
            Self::Other(text) => text.as_str(),
        })
    }
}

impl fmt::Display for RtcpFb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{number} {}", self.feedback),
            None => write!(f, "* {}", self.feedback),
        }
    }
}

/// RFC 3551 §6, tables 4 and 5: number, name, clock rate, channels.
const STATIC: [(u8, &str, u32, u8); 24] = [
    (0, "PCMU", 8_000, 1),
    (3, "GSM", 8_000, 1),
    (4, "G723", 8_000, 1),
    (5, "DVI4", 8_000, 1),
    (6, "DVI4", 16_000, 1),
    (7, "LPC", 8_000, 1),
    (8, "PCMA", 8_000, 1),
    // It samples at 16,000; the clock rate is an old mistake that stays (RFC 3551 §4.5.2).
    (9, "G722", 8_000, 1),
    (10, "L16", 44_100, 2),
    (11, "L16", 44_100, 1),
    (12, "QCELP", 8_000, 1),
    (13, "CN", 8_000, 1),
    (14, "MPA", 90_000, 1),
    (15, "G728", 8_000, 1),
    (16, "DVI4", 11_025, 1),
    (17, "DVI4", 22_050, 1),
    (18, "G729", 8_000, 1),
    (25, "CelB", 90_000, 1),
    (26, "JPEG", 90_000, 1),
    (28, "nv", 90_000, 1),
    (31, "H261", 90_000, 1),
    (32, "MPV", 90_000, 1),
    (33, "MP2T", 90_000, 1),
    (34, "H263", 90_000, 1),
];

/// What only helps other codecs.
const AUXILIARY: [&str; 7] = ["rtx", "red", "ulpfec", "flexfec", "flexfec-03", "telephone-event", "CN"];

pub(crate) const MAX_PAYLOAD_TYPE: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtpmaps_and_feedback_are_printed_as_they_are_read() {
        for text in ["111 opus/48000/2", "0 PCMU/8000", "9 G722/8000/1"] {
            assert_eq!(Rtpmap::parse(text).expect(text).to_string(), text);
        }
        for bad in ["128 VP8/90000", "1 VP8", "1 VP8/0", "1 a/1/0", "1 a/1/1/1", "x a/1", "1 /8000", "1 a/1 b"] {
            assert!(Rtpmap::parse(bad).is_err(), "{bad}");
        }
        for text in ["96 nack", "96 nack pli", "* ccm fir", "100 ccm tmmbr smaxpr=120", "1 trr-int 100"] {
            assert_eq!(RtcpFb::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(RtcpFb::parse("96 nack pli").expect("feedback").feedback, Feedback::PictureLoss);
        assert!(RtcpFb::parse("96").is_err() && RtcpFb::parse("96 ").is_err());
    }

    #[test]
    fn a_static_payload_type_is_its_format_and_back() {
        for (number, ..) in STATIC {
            assert_eq!(Format::of_static(number).expect("a format").static_number(), Some(number));
        }
        assert_eq!(Format::of_static(96), None);
    }
}
