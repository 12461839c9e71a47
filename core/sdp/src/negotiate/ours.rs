//! What we are ready to do: the one side of a negotiation that is ours to choose.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::candidate::Candidate;
use crate::codec::{Feedback, Format};
use crate::crypto::{Key, Suite};
use crate::direction::Direction;
use crate::dtls::{Fingerprint, Role};
use crate::group::Mid;
use crate::layers::RidId;
use crate::section::Credentials;
use crate::session::Kind;
use crate::source::{Msid, Ssrc};
use crate::text::Token;

/// What we offer, or answer with.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Names the session in `o=`; the same for as long as it lives.
    pub session: u64,
    /// Of the machine, for `o=`.
    pub address: IpAddr,
    /// For each kind of media, the best first.
    pub codecs: BTreeMap<Kind, Vec<OurCodec>>,
    /// Header extensions.
    pub extensions: Vec<OurExtension>,
    /// How packets travel, for all m-lines that share a transport or have none of their own.
    pub transport: OurTransport,
    /// Data channels, if we have any.
    pub data: Option<OurData>,
    /// One for each m-line; `None` refuses it in an answer and ends it in an offer.
    pub lines: Vec<Option<OurLine>>,
    /// For m-lines of an offer beyond `lines`; `None` refuses them.
    pub unlisted: Option<OurLine>,
    /// Whether m-lines share a transport.
    pub bundle: Bundle,
    /// How many codecs an answer has.
    pub breadth: Breadth,
}

/// Whether m-lines share a transport, RFC 9143.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// Each has its own.
    Never,
    /// All that can, do: in an offer, those without a transport of their own; in an answer, those offered so.
    Always,
}

/// How many codecs an answer has, RFC 3264 §6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// All that both have: any may be sent at any time.
    All,
    /// The best one, and what helps it: for phones that bear no change.
    Best,
}

/// A codec of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurCodec {
    /// What it is; its parameters say what we like to receive.
    pub format: Format,
    /// What feedback we give and understand.
    pub feedback: Vec<Feedback>,
    /// Whether packets may be sent again in a stream of their own (RFC 4588).
    pub retransmission: Retransmission,
    /// Which payload type to offer it as, if that is free.
    pub number: Option<u8>,
}

/// Whether packets are sent again in a stream of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retransmission {
    /// No.
    Never,
    /// As `rtx`.
    Rtx,
}

/// A header extension of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurExtension {
    /// Which.
    pub uri: Token,
    /// For these kinds of media.
    pub kinds: Vec<Kind>,
    /// Whether we send it, or understand it.
    pub direction: Direction,
}

/// How our packets travel.
#[derive(Clone, Debug)]
pub struct OurTransport {
    /// Where we are: the default candidate with ICE, or [`OurTransport::LATER`].
    pub address: SocketAddr,
    /// Where our RTCP is, if not at the port after that of RTP and not multiplexed.
    pub rtcp: Option<SocketAddr>,
    /// Whether RTP and RTCP share a port.
    pub mux: Mux,
    /// Ours, if we have it.
    pub ice: Option<OurIce>,
    /// Ours, if we have it.
    pub dtls: Option<OurDtls>,
    /// Keys for `a=crypto`, the best suite first.
    pub sdes: Vec<(Suite, Key)>,
    /// Whether media may go unprotected.
    pub plain: Plain,
}

/// Whether RTP and RTCP share a port, RFC 5761.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mux {
    /// No.
    Never,
    /// If the other end can.
    IfBoth,
    /// Without it there is no media (RFC 8858).
    Required,
}

/// Whether media may go unprotected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Never.
    Refused,
    /// Where the other end wants no better.
    Allowed,
}

/// Our ICE agent.
#[derive(Clone, Debug)]
pub struct OurIce {
    /// Change them to restart.
    pub credentials: Credentials,
    /// What kind of agent it is.
    pub agent: Agent,
    /// Whether we go without, where the other end has none.
    pub need: Need,
    /// `trickle`.
    pub options: Vec<Token>,
    /// What is found so far.
    pub candidates: Vec<Candidate>,
    /// Whether that is all.
    pub gathering: Gathering,
}

/// What kind of ICE agent, RFC 8445 §2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Checks, and answers checks.
    Full,
    /// Answers checks.
    Lite,
}

/// Whether we go without something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Where the other end does not have it.
    IfBoth,
    /// Never.
    Required,
}

/// Whether there will be more candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathering {
    /// There may be.
    Trickling,
    /// These are all.
    Complete,
}

/// Our end of DTLS.
#[derive(Clone, Debug)]
pub struct OurDtls {
    /// Of our certificate.
    pub fingerprints: Vec<Fingerprint>,
    /// What we are where the other end leaves it to us. A role once agreed on stays.
    pub role: Role,
}

/// Our data channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OurData {
    /// The port of SCTP inside DTLS: 5000 everywhere.
    pub port: u16,
    /// Bytes of the largest message we take.
    pub max_message_size: u64,
}

/// What we want of an m-line.
#[derive(Clone, Debug)]
pub struct OurLine {
    /// What to offer. An answer has what is offered.
    pub kind: Kind,
    /// What to call it in an offer. `None`: as it is called, or anything free.
    pub mid: Option<Mid>,
    /// Whether we send, and receive.
    pub direction: Direction,
    /// What we send.
    pub sends: OurStreams,
    /// In place of those of the kind.
    pub codecs: Option<Vec<OurCodec>>,
    /// Several encodings of one track.
    pub layers: OurLayers,
    /// A transport of its own, which is never shared.
    pub transport: Option<OurTransport>,
    /// What packets we like.
    pub pace: Pace,
}

/// What we send at an m-line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OurStreams {
    /// Stream and track of each.
    pub msids: Vec<Msid>,
    /// Sources.
    pub sources: Vec<OurSource>,
}

/// A source of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurSource {
    /// Which.
    pub ssrc: Ssrc,
    /// Where its packets are sent again.
    pub retransmissions: Option<Ssrc>,
    /// The canonical name.
    pub cname: Token,
}

/// Which encodings we take and send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OurLayers {
    /// As many of an offered simulcast are taken.
    pub most: usize,
    /// Those to ask for, in an offer.
    pub receive: Vec<RidId>,
    /// Those to send, if the other end takes them.
    pub send: Vec<RidId>,
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

impl OurTransport {
    /// The address of somebody whose candidates come later, RFC 8840 §4.1.1.
    pub const LATER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9);

    /// As browsers want it: ICE, DTLS, one port.
    pub const fn webrtc(ice: OurIce, dtls: OurDtls) -> Self {
        Self {
            address: Self::LATER,
            rtcp: None,
            mux: Mux::Required,
            ice: Some(ice),
            dtls: Some(dtls),
            sdes: Vec::new(),
            plain: Plain::Refused,
        }
    }

    /// As old phones want it: one address, no protection.
    pub const fn plain(address: SocketAddr) -> Self {
        Self { address, rtcp: None, mux: Mux::IfBoth, ice: None, dtls: None, sdes: Vec::new(), plain: Plain::Allowed }
    }
}

impl OurLine {
    /// An m-line that has nothing to send yet.
    pub fn new(kind: Kind, direction: Direction) -> Self {
        Self {
            kind,
            mid: None,
            direction,
            sends: OurStreams::default(),
            codecs: None,
            layers: OurLayers::default(),
            transport: None,
            pace: Pace::default(),
        }
    }
}

impl OurCodec {
    /// A codec without feedback.
    pub const fn new(format: Format) -> Self {
        Self { format, feedback: Vec::new(), retransmission: Retransmission::Never, number: None }
    }
}

impl Ours {
    /// The transport of an m-line.
    pub(crate) fn transport_of<'a>(&'a self, line: &'a OurLine) -> &'a OurTransport {
        line.transport.as_ref().unwrap_or(&self.transport)
    }

    /// The codecs of an m-line.
    pub(crate) fn codecs_of<'a>(&'a self, line: &'a OurLine, kind: &Kind) -> &'a [OurCodec] {
        let usual = || self.codecs.get(kind).map_or(&[][..], Vec::as_slice);
        line.codecs.as_deref().unwrap_or_else(usual)
    }
}
