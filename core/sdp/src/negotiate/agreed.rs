//! What two descriptions agree on, as transports and the media plane need to know it.

use std::collections::BTreeMap;

use super::history::History;
use crate::address::Host;
use crate::candidate::Candidate;
use crate::codec::{Feedback, Format};
use crate::crypto::Crypto;
use crate::direction::Direction;
use crate::dtls::{Fingerprint, Role};
use crate::group::Mid;
use crate::layers::RidId;
use crate::parameters::Parameters;
use crate::section::{Credentials, Source};
use crate::session::{Kind, Session};
use crate::source::{Msid, SsrcGroup};
use crate::text::Token;

/// The outcome of an offer and its answer.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// Our description.
    pub local: Session,
    /// Theirs.
    pub remote: Session,
    /// One for each m-line.
    pub lines: Vec<Line>,
    /// What the m-lines travel over.
    pub transports: Vec<Transport>,
    /// Why we have refused m-lines of the offer.
    pub refused: BTreeMap<usize, Why>,
    pub(crate) initiator: Side,
    pub(crate) history: History,
}

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one who made the offer.
    Offerer,
    /// The other one.
    Answerer,
}

/// An m-line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Refused, or ended: its place may be taken by another.
    Free,
    /// RTP.
    Media(Box<MediaLine>),
    /// Data channels.
    Data(DataLine),
}

/// An m-line of RTP.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaLine {
    /// Its identity.
    pub mid: Option<Mid>,
    /// What is sent.
    pub kind: Kind,
    /// Over which of the transports.
    pub transport: usize,
    /// Whether we send, and receive.
    pub direction: Direction,
    /// In the order of the answer: the first is what both like best.
    pub codecs: Vec<AgreedCodec>,
    /// Header extensions.
    pub extensions: Vec<AgreedExtension>,
    /// Whether the two forms of extensions may be mixed.
    pub mixed_extensions: bool,
    /// Whether RTCP may leave its reports out, RFC 5506.
    pub reduced_size: bool,
    /// What they send.
    pub incoming: Incoming,
    /// What packets they like.
    pub pace: Pace,
}

/// What packets one end likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Milliseconds of media in a packet.
    pub ptime: Option<u16>,
    /// Milliseconds at most.
    pub maxptime: Option<u16>,
    /// Bits per second.
    pub bandwidth: Option<u64>,
}

/// A codec both have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedCodec {
    /// What it is, with the parameters of our description: what we like to receive.
    pub format: Format,
    /// The parameters of theirs: what they like to receive.
    pub theirs: Parameters,
    /// The payload type they send it as.
    pub receive: u8,
    /// The payload type we send it as.
    pub send: u8,
    /// The payload types of its retransmissions, if both have it.
    pub retransmission: Option<Numbers>,
    /// What feedback both have.
    pub feedback: Vec<Feedback>,
}

/// Payload types of the same thing, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// What they send.
    pub receive: u8,
    /// What we send.
    pub send: u8,
}

/// A header extension both have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedExtension {
    /// Its number, the same both ways.
    pub id: u16,
    /// Which.
    pub uri: Token,
    /// Whether we send it, and receive it.
    pub direction: Direction,
}

/// What they send at an m-line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incoming {
    /// Streams and track.
    pub msids: Vec<Msid>,
    /// Sources they have told, the retransmitting ones within.
    pub sources: Vec<Source>,
    /// How sources belong together.
    pub groups: Vec<SsrcGroup>,
    /// Encodings they offer to send.
    pub offered_layers: Vec<RidId>,
    /// Encodings that were taken.
    pub layers: Vec<RidId>,
}

/// An m-line of data channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLine {
    /// Its identity.
    pub mid: Option<Mid>,
    /// Over which of the transports.
    pub transport: usize,
    /// Our port of SCTP.
    pub local_port: u16,
    /// Theirs.
    pub remote_port: u16,
    /// Bytes of the largest message they take.
    pub max_message_size: u64,
}

/// What m-lines travel over.
#[derive(Clone, Debug, PartialEq)]
pub struct Transport {
    /// Whose it is; the first of them has described it.
    pub lines: Vec<usize>,
    /// With ICE: who they are and where they may be.
    pub ice: Option<RemoteIce>,
    /// How media is protected.
    pub security: Security,
    /// Where they are, if there is no ICE.
    pub destination: Option<(Host, u16)>,
    /// Where their RTCP is, if neither ICE tells nor it goes where RTP goes.
    pub rtcp: Option<(Host, u16)>,
}

/// The other end's ICE agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteIce {
    /// Theirs.
    pub credentials: Credentials,
    /// Whether we decide which pair of candidates is used, RFC 8445 §6.1.1.
    pub role: IceRole,
    /// Whether they check nothing themselves.
    pub is_lite: bool,
    /// `trickle`.
    pub options: Vec<Token>,
    /// Where they may be.
    pub candidates: Vec<Candidate>,
    /// Whether there will be no more.
    pub is_complete: bool,
}

/// Who decides which pair of candidates is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceRole {
    /// We.
    Controlling,
    /// They.
    Controlled,
}

/// How media is protected.
#[derive(Clone, Debug, PartialEq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// With keys from the descriptions.
    Sdes {
        /// What we protect with.
        ours: Box<Crypto>,
        /// What they protect with.
        theirs: Box<Crypto>,
    },
    /// With keys from DTLS.
    Dtls {
        /// Which end of it we are.
        role: Role,
        /// One of these is their certificate's.
        fingerprints: Vec<Fingerprint>,
        /// Names the association, if they name it: another one begins it anew (RFC 8842 §4).
        tls_id: Option<Token>,
    },
}

/// Why we have refused an m-line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It was offered with port 0.
    #[error("it was offered as ended")]
    Ended,
    /// We want no such m-line.
    #[error("no such m-line is wanted")]
    NotWanted,
    /// We do not have it.
    #[error("expected RTP or data channels, got {kind} over {protocol}")]
    Protocol {
        /// What was offered.
        kind: String,
        /// Over what.
        protocol: String,
    },
    /// Nothing in common.
    #[error("expected one of our codecs, got {offered}")]
    NoCodec {
        /// Their names.
        offered: String,
    },
    /// It would need a transport of its own, and has none.
    #[error("it does not share a transport, and there is none for it alone")]
    NoTransport,
    /// We do not go without.
    #[error("expected `a=rtcp-mux`")]
    NoMux,
    /// We do not go without.
    #[error("expected ICE credentials")]
    NoIce,
    /// Nothing in common.
    #[error("expected a fingerprint, or a key of a suite that we have")]
    NoProtection,
    /// Nobody would begin the handshake.
    #[error("expected `a=setup` of `actpass`, `active` or `passive`")]
    NoSetup,
}

impl Agreed {
    /// M-lines whose place may be taken by another, of any kind (RFC 9429 §5.2.2).
    pub fn free_lines(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().zip(0..).filter(|(line, _)| matches!(line, Line::Free)).map(|(_, at)| at)
    }

    /// The m-line of an identity, with its place.
    pub fn line(&self, mid: &str) -> Option<(usize, &Line)> {
        let named = |line: &Line| line.mid().is_some_and(|found| found.as_str() == mid);
        self.lines.iter().enumerate().find(|(_, line)| named(line))
    }

    /// Whether a description of theirs restarts ICE (RFC 8839 §4.4.1.1.1): then our answer needs new credentials, too.
    pub fn is_ice_restart(&self, next: &Session) -> bool {
        let changed = |transport: &Transport| {
            let mut sections = transport.lines.iter().filter_map(|line| next.section(*line));
            let now = sections.find(|section| section.media.port != 0).and_then(|section| section.credentials());
            matches!((&transport.ice, now), (Some(old), Some(new)) if old.credentials != new)
        };
        self.transports.iter().any(changed)
    }

    /// Our role in the DTLS of an m-line.
    pub(crate) fn dtls_role(&self, line: usize) -> Option<Role> {
        let transport = self.transports.iter().find(|transport| transport.lines.contains(&line))?;
        match &transport.security {
            Security::Dtls { role, .. } => Some(*role),
            Security::Plain | Security::Sdes { .. } => None,
        }
    }
}

impl Line {
    /// Its identity, if it is alive and has one.
    pub fn mid(&self) -> Option<&Mid> {
        match self {
            Self::Free => None,
            Self::Media(media) => media.mid.as_ref(),
            Self::Data(data) => data.mid.as_ref(),
        }
    }

    /// The m-line, if it is of RTP.
    pub fn media(&self) -> Option<&MediaLine> {
        match self {
            Self::Media(media) => Some(media),
            Self::Free | Self::Data(_) => None,
        }
    }
}
