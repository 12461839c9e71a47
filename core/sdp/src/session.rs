//! A session description, RFC 8866 §5: what is said of the whole, and its m-lines.
//!
//! Everything is kept in the order in which it came, attributes that nobody knows included; only lines of different kinds
//! are put into the order that RFC 8866 §5 wants.

use crate::address::{Address, Connection};
use crate::attribute::Attribute;
use crate::text::{Text, Token};

/// What one end says of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `o=`
    pub origin: Origin,
    /// `s=`
    pub name: Text,
    /// `i=`, `u=`, `e=`, `p=`
    pub notes: Vec<(Note, Text)>,
    /// `c=`, where m-lines have none of their own.
    pub connection: Option<Connection>,
    /// `b=`
    pub bandwidths: Vec<Bandwidth>,
    /// `t=`; at least one.
    pub times: Vec<Time>,
    /// `z=`
    pub zones: Option<Text>,
    /// `a=` before the first m-line.
    pub attributes: Vec<Attribute>,
    /// `m=` with what follows each. Their order and number are what an answer keeps.
    pub media: Vec<Media>,
}

/// `o=`, RFC 8866 §5.2: which session this is, and which version of its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `-`, mostly.
    pub user: Token,
    /// The session.
    pub id: Token,
    /// Grows by one with each change (RFC 3264 §8).
    pub version: u64,
    /// Of the machine that made it; nobody sends anything there.
    pub address: Address,
}

/// Lines for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// `i=`
    Information,
    /// `u=`
    Uri,
    /// `e=`
    Email,
    /// `p=`
    Phone,
}

/// `b=`, RFC 8866 §5.8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// `AS`: kilobits per second with headers; `TIAS`: bits per second without (RFC 3890).
    pub kind: Token,
    /// As many.
    pub value: u64,
}

/// `t=` with the `r=` lines after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds of the NTP era; 0 is always.
    pub start: u64,
    /// 0 is without an end.
    pub stop: u64,
    /// When it is repeated.
    pub repeats: Vec<Text>,
}

/// `m=` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What is sent.
    pub kind: Kind,
    /// Where to; 0 is nowhere: refused, or ended.
    pub port: u16,
    /// How many ports, if it says so.
    pub ports: Option<u16>,
    /// Over what.
    pub protocol: Protocol,
    /// For RTP: payload types, the best first.
    pub formats: Vec<Token>,
    /// `i=`
    pub title: Option<Text>,
    /// `c=`; more than one with multicast only.
    pub connections: Vec<Connection>,
    /// `b=`
    pub bandwidths: Vec<Bandwidth>,
    /// `a=`
    pub attributes: Vec<Attribute>,
}

/// Kinds of media, RFC 8866 §5.14.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `text`: what is typed as it is typed (RFC 4103).
    Text,
    /// `application`: data channels.
    Application,
    /// `message`
    Message,
    /// `image`: facsimile.
    Image,
    /// Any other.
    Other(Token),
}

/// Over what media travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RTP with one of its profiles.
    Rtp(Profile),
    /// `UDP/DTLS/SCTP`, `TCP/DTLS/SCTP` (RFC 8841).
    Sctp(Carrier),
    /// Any other.
    Other(Token),
}

/// Below DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// `UDP/`
    Udp,
    /// `TCP/`
    Tcp,
}

/// Profiles of RTP. Those with an F have feedback (RFC 4585), those with an S are protected (RFC 3711).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `RTP/AVP`
    Avp,
    /// `RTP/AVPF`
    Avpf,
    /// `RTP/SAVP`
    Savp,
    /// `RTP/SAVPF`
    Savpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764)
    DtlsSavp,
    /// `UDP/TLS/RTP/SAVPF`
    DtlsSavpf,
    /// `TCP/DTLS/RTP/SAVP`, the same by another road (RFC 8829 §5.1.2)
    TcpDtlsSavp,
    /// `TCP/DTLS/RTP/SAVPF`
    TcpDtlsSavpf,
}

impl Profile {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Avp, "RTP/AVP"),
        (Self::Avpf, "RTP/AVPF"),
        (Self::Savp, "RTP/SAVP"),
        (Self::Savpf, "RTP/SAVPF"),
        (Self::DtlsSavp, "UDP/TLS/RTP/SAVP"),
        (Self::DtlsSavpf, "UDP/TLS/RTP/SAVPF"),
        (Self::TcpDtlsSavp, "TCP/DTLS/RTP/SAVP"),
        (Self::TcpDtlsSavpf, "TCP/DTLS/RTP/SAVPF"),
    ];

    /// Whether plain RTP would break its word.
    pub const fn is_protected(self) -> bool {
        !matches!(self, Self::Avp | Self::Avpf)
    }

    /// Whether the keys come by DTLS and nothing else.
    pub const fn is_dtls(self) -> bool {
        matches!(self, Self::DtlsSavp | Self::DtlsSavpf | Self::TcpDtlsSavp | Self::TcpDtlsSavpf)
    }

    /// Whether receivers may report at once.
    pub const fn has_feedback(self) -> bool {
        matches!(self, Self::Avpf | Self::Savpf | Self::DtlsSavpf | Self::TcpDtlsSavpf)
    }
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let profile = Profile::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        match (profile, text.to_ascii_uppercase().as_str()) {
            (Some((profile, _)), _) => Some(Self::Rtp(*profile)),
            (None, "UDP/DTLS/SCTP") => Some(Self::Sctp(Carrier::Udp)),
            (None, "TCP/DTLS/SCTP") => Some(Self::Sctp(Carrier::Tcp)),
            (None, _) => Token::new(text).map(Self::Other),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Rtp(profile) => {
                Profile::ALL.iter().find(|(found, _)| found == profile).map_or("RTP/AVP", |(_, name)| *name)
            }
            Self::Sctp(Carrier::Udp) => "UDP/DTLS/SCTP",
            Self::Sctp(Carrier::Tcp) => "TCP/DTLS/SCTP",
            Self::Other(name) => name.as_str(),
        }
    }
}

impl Kind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "audio" => Self::Audio,
            "video" => Self::Video,
            "text" => Self::Text,
            "application" => Self::Application,
            "message" => Self::Message,
            "image" => Self::Image,
            other => Self::Other(Token::new(other)?),
        })
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Text => "text",
            Self::Application => "application",
            Self::Message => "message",
            Self::Image => "image",
            Self::Other(name) => name.as_str(),
        }
    }
}

impl Note {
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Information => 'i',
            Self::Uri => 'u',
            Self::Email => 'e',
            Self::Phone => 'p',
        }
    }
}

impl Bandwidth {
    /// Bits per second of what stands behind UDP, where that can be told.
    pub fn bits_per_second(&self) -> Option<u64> {
        match self.kind.as_str() {
            "TIAS" => Some(self.value),
            "AS" => Some(self.value.saturating_mul(1_000)),
            _ => None,
        }
    }
}
