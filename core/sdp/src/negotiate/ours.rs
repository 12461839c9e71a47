//! What we are ready to do: the one side of a negotiation that is ours to choose.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::candidate::Candidate;
use crate::codec::{Feedback, Format};
use crate::crypto::{Key, Suite};
use crate::direction::Direction;
use crate::dtls::{Fingerprint, Role};
use crate::section::Credentials;
use crate::session::Kind;
use crate::source::{Msid, Ssrc};
use crate::text::Token;

/// What we offer, or answer with.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Names the session in `o=`; the same for as long as it lives.
    pub session: u64,
    /// For each kind of media, the best first. Each line may have others.
    pub codecs: BTreeMap<Kind, Vec<OurCodec>>,
    /// Header extensions we understand, for each kind of media.
    pub extensions: BTreeMap<Kind, Vec<Token>>,
    /// What m-lines travel over that have no transport of their own. With ICE they share it (RFC 9143); without, there can
    /// be one of them.
    pub transport: OurTransport,
    /// Data channels, if we have any.
    pub data: Option<OurData>,
    /// One for each m-line; `None` refuses it in an answer and ends it in an offer. An answer leaves it inactive where others
    /// that are wanted share its transport: browsers do not take that it goes alone.
    pub lines: Vec<Option<OurLine>>,
    /// For m-lines of somebody's offer beyond `lines`: the first of its kind. Where there is none, the m-line is refused as if
    /// it were `None` there.
    pub others: Vec<OurLine>,
}

/// A codec of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurCodec {
    /// What it is; its parameters say what we like to receive. `red` for audio names the codec it repeats by itself.
    pub format: Format,
    /// What feedback we give and understand.
    pub feedback: Vec<Feedback>,
    /// Whether packets may be sent again in a stream of their own.
    pub retransmission: Retransmission,
    /// Which payload type to offer it as, if that is free.
    pub number: Option<u8>,
}

/// Whether packets are sent again in a stream of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retransmission {
    /// No.
    Never,
    /// As `rtx`, RFC 4588.
    Rtx,
}

/// How our packets travel.
#[derive(Clone, Debug)]
pub struct OurTransport {
    /// Where we are. [`OurTransport::LATER`] where only ICE can tell: then there is no going without it.
    pub address: SocketAddr,
    /// Ours, if we have it. With it, RTP and RTCP share a port (RFC 8858); without it they do if both can, and else RTCP is
    /// at the port after that of RTP.
    pub ice: Option<OurIce>,
    /// Ours, if we have it.
    pub dtls: Option<OurDtls>,
    /// Keys for `a=crypto`, the best suite first.
    pub sdes: Vec<(Suite, Key)>,
    /// Whether media may go unprotected.
    pub plain: Plain,
}

/// Whether media may go unprotected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Never.
    Refused,
    /// Where the other end wants no better.
    Allowed,
}

/// Our ICE agent. Its candidates are all there are.
#[derive(Clone, Debug)]
pub struct OurIce {
    /// Change them to restart.
    pub credentials: Credentials,
    /// What kind of agent it is.
    pub agent: Agent,
    /// Where it is.
    pub candidates: Vec<Candidate>,
}

/// What kind of ICE agent, RFC 8445 §2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Checks, and answers checks.
    Full,
    /// Answers checks.
    Lite,
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
    /// What to offer; one of another kind in somebody's offer is refused. [`Kind::Application`] is data channels.
    pub kind: Kind,
    /// Whether we send, and receive.
    pub direction: Direction,
    /// What we send: the stream and the track of each.
    pub msids: Vec<Msid>,
    /// What we send: the sources.
    pub sources: Vec<OurSource>,
    /// In place of those of the kind.
    pub codecs: Option<Vec<OurCodec>>,
    /// As many encodings of an offered simulcast are taken, and asked for again in offers of ours.
    pub layers: usize,
    /// A transport of its own, which is never shared.
    pub transport: Option<OurTransport>,
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

impl OurTransport {
    /// The address of somebody whom ICE finds, RFC 8840 §4.1.1.
    pub const LATER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9);

    /// As browsers want it: ICE, DTLS, one port.
    pub const fn webrtc(ice: OurIce, dtls: OurDtls) -> Self {
        Self { address: Self::LATER, ice: Some(ice), dtls: Some(dtls), sdes: Vec::new(), plain: Plain::Refused }
    }

    /// As old phones want it: one address, no protection.
    pub const fn plain(address: SocketAddr) -> Self {
        Self { address, ice: None, dtls: None, sdes: Vec::new(), plain: Plain::Allowed }
    }

    /// As newer phones want it: one address, keys in the description.
    pub const fn sdes(address: SocketAddr, keys: Vec<(Suite, Key)>) -> Self {
        Self { address, ice: None, dtls: None, sdes: keys, plain: Plain::Refused }
    }
}

impl OurLine {
    /// An m-line that has nothing to send yet.
    pub const fn new(kind: Kind, direction: Direction) -> Self {
        Self { kind, direction, msids: Vec::new(), sources: Vec::new(), codecs: None, layers: 0, transport: None }
    }
}

impl OurCodec {
    /// A codec without feedback.
    pub const fn new(format: Format) -> Self {
        Self { format, feedback: Vec::new(), retransmission: Retransmission::Never, number: None }
    }
}

impl Ours {
    /// What is wanted of an m-line of somebody's offer.
    pub(crate) fn wanted(&self, line: usize, kind: &Kind) -> Option<&OurLine> {
        match self.lines.get(line) {
            Some(listed) => listed.as_ref().filter(|wanted| wanted.kind == *kind),
            None => self.others.iter().find(|wanted| wanted.kind == *kind),
        }
    }

    /// Our ICE agent: there is one, however many transports it finds.
    pub(crate) fn agent(&self) -> Option<&OurIce> {
        let mut own = self.lines.iter().flatten().filter_map(|line| line.transport.as_ref()?.ice.as_ref());
        self.transport.ice.as_ref().or_else(|| own.next())
    }

    /// What an m-line travels over.
    pub(crate) fn transport_of<'a>(&'a self, line: &'a OurLine) -> &'a OurTransport {
        line.transport.as_ref().unwrap_or(&self.transport)
    }

    /// The codecs of an m-line.
    pub(crate) fn codecs_of<'a>(&'a self, line: &'a OurLine) -> &'a [OurCodec] {
        let usual = || self.codecs.get(&line.kind).map_or(&[][..], Vec::as_slice);
        line.codecs.as_deref().unwrap_or_else(usual)
    }

    /// The header extensions of an m-line.
    pub(crate) fn extensions_of(&self, line: &OurLine) -> &[Token] {
        self.extensions.get(&line.kind).map_or(&[], Vec::as_slice)
    }
}
