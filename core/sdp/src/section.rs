//! An m-line together with what is said of the whole session, joined: codecs with their parameters and feedback, transports,
//! sources. What stands at the m-line goes before what stands at the session (RFC 8866 §5.13).

use std::collections::BTreeMap;

use crate::address::{Connection, Host, number};
use crate::attribute::{Attribute, Rtcp};
use crate::candidate::Candidate;
use crate::codec::{Codec, Format};
use crate::crypto::Crypto;
use crate::direction::Direction;
use crate::dtls::{Fingerprint, Setup};
use crate::extension::Extmap;
use crate::group::{Group, Mid};
use crate::layers::{Rid, Simulcast, Way};
use crate::parameters::Parameters;
use crate::session::{Media, Protocol, Session};
use crate::source::{Msid, Ssrc, SsrcGroup};
use crate::text::{Secret, Token};

/// A user fragment and its password, RFC 8839 §5.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Shown in every check.
    pub ufrag: Token,
    /// Shown in none.
    pub pwd: Secret,
}

impl Credentials {
    pub(crate) fn of<'a>(attributes: impl IntoIterator<Item = &'a Attribute>) -> Option<Self> {
        let (mut ufrag, mut pwd) = (None, None);
        for attribute in attributes {
            match attribute {
                Attribute::IceUfrag(found) if ufrag.is_none() => ufrag = Some(found.clone()),
                Attribute::IcePwd(found) if pwd.is_none() => pwd = Some(found.clone()),
                _ => {}
            }
        }
        Some(Self { ufrag: ufrag?, pwd: pwd? })
    }
}

/// A source, with what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which.
    pub ssrc: Ssrc,
    /// The canonical name: sources with the same one are in time with each other.
    pub cname: Option<Box<str>>,
    /// Where its packets are sent again.
    pub retransmissions: Option<Ssrc>,
}

/// A view of one m-line.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// The whole.
    pub session: &'a Session,
    /// The m-line.
    pub media: &'a Media,
}

impl Session {
    /// All m-lines in order.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = Section<'_>> {
        self.media.iter().map(|media| Section { session: self, media })
    }

    /// One m-line.
    pub fn section(&self, line: usize) -> Option<Section<'_>> {
        self.media.get(line).map(|media| Section { session: self, media })
    }

    /// Its groups.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Group(group) => Some(group),
            _ => None,
        })
    }

    /// Whether it was made by an agent that only answers checks, RFC 8445 §2.5.
    pub fn is_ice_lite(&self) -> bool {
        self.attributes.contains(&Attribute::IceLite)
    }
}

/// The values of the attributes of one kind.
macro_rules! all {
    ($section:expr, $variant:ident) => {
        $section.media.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::$variant(value) => Some(value),
            _ => None,
        })
    };
}

/// The first value of one kind, at the m-line or else at the session.
macro_rules! first {
    ($section:expr, $variant:ident) => {
        $section.everywhere().find_map(|attribute| match attribute {
            Attribute::$variant(value) => Some(value),
            _ => None,
        })
    };
}

impl<'a> Section<'a> {
    fn everywhere(self) -> impl Iterator<Item = &'a Attribute> {
        self.media.attributes.iter().chain(&self.session.attributes)
    }

    /// Whether an attribute without a value stands at the m-line.
    pub fn has(self, flag: &Attribute) -> bool {
        self.media.attributes.contains(flag)
    }

    /// Its identity.
    pub fn mid(self) -> Option<&'a Mid> {
        all!(self, Mid).next()
    }

    /// Which way media flows.
    pub fn direction(self) -> Direction {
        first!(self, Direction).copied().unwrap_or_default()
    }

    /// Which way media flows if an address of nowhere counts as hold, RFC 3264 §8.4. With ICE it means nothing: the
    /// candidates come later.
    pub fn effective_direction(self) -> Direction {
        let held = self.connection().is_some_and(Connection::is_nowhere) && self.credentials().is_none();
        let able = if held { Direction::SendOnly } else { Direction::SendRecv };
        self.direction().and(able)
    }

    /// Where media goes.
    pub fn connection(self) -> Option<&'a Connection> {
        self.media.connections.first().or(self.session.connection.as_ref())
    }

    /// Where RTP goes, if that is not a name.
    pub fn destination(self) -> Option<(&'a Host, u16)> {
        self.connection().map(|connection| (connection.address.host(), self.media.port))
    }

    /// Where RTCP goes: RFC 3605, or RFC 3550 §11.
    pub fn rtcp(self) -> Option<(&'a Host, u16)> {
        let (host, port) = self.destination()?;
        Some(match all!(self, Rtcp).next() {
            Some(Rtcp { port, address }) => (address.as_ref().map_or(host, |address| address.host()), *port),
            None => (host, port.saturating_add(1)),
        })
    }

    /// ICE credentials.
    pub fn credentials(self) -> Option<Credentials> {
        Credentials::of(self.everywhere())
    }

    /// `trickle`, `ice2`, `renomination`.
    pub fn ice_options(self) -> &'a [Token] {
        first!(self, IceOptions).map_or(&[], Vec::as_slice)
    }

    /// Candidates we understand.
    pub fn candidates(self) -> impl Iterator<Item = &'a Candidate> {
        all!(self, Candidate).map(Box::as_ref)
    }

    /// Whether there will be no more candidates.
    pub fn has_all_candidates(self) -> bool {
        self.everywhere().any(|attribute| *attribute == Attribute::EndOfCandidates)
    }

    /// Certificates the other end may show. Those of the m-line, if it has any.
    pub fn fingerprints(self) -> Vec<&'a Fingerprint> {
        let own: Vec<_> = all!(self, Fingerprint).collect();
        let of = |attribute: &'a Attribute| match attribute {
            Attribute::Fingerprint(fingerprint) => Some(fingerprint),
            _ => None,
        };
        if own.is_empty() { self.session.attributes.iter().filter_map(of).collect() } else { own }
    }

    /// Who begins the handshake.
    pub fn setup(self) -> Option<Setup> {
        first!(self, Setup).copied()
    }

    /// Names the DTLS association, RFC 8842 §4.
    pub fn tls_id(self) -> Option<&'a Token> {
        first!(self, TlsId)
    }

    /// Keys of SRTP.
    pub fn cryptos(self) -> impl Iterator<Item = &'a Crypto> {
        all!(self, Crypto).map(Box::as_ref)
    }

    /// Header extensions; those of the session come after those of the m-line.
    pub fn extensions(self) -> impl Iterator<Item = &'a Extmap> {
        self.everywhere().filter_map(|attribute| match attribute {
            Attribute::Extmap(extmap) => Some(extmap),
            _ => None,
        })
    }

    /// Whether both forms of header extensions may stand in one stream, RFC 8285 §6.
    pub fn allows_mixed_extensions(self) -> bool {
        self.everywhere().any(|attribute| *attribute == Attribute::ExtmapAllowMixed)
    }

    /// Encodings and what bounds them.
    pub fn rids(self) -> impl Iterator<Item = &'a Rid> {
        all!(self, Rid).map(Box::as_ref)
    }

    /// Which encodings go each way.
    pub fn simulcast(self) -> Option<&'a Simulcast> {
        all!(self, Simulcast).next()
    }

    /// Encodings of one way that both `a=simulcast` and `a=rid` name, in the order of the former. RFC 8853 §5.2: others are
    /// not there.
    pub fn layers(self, way: Way) -> Vec<&'a Rid> {
        let known: BTreeMap<_, _> = self.rids().filter(|rid| rid.way == way).map(|rid| (&rid.id, rid)).collect();
        let listed = self.simulcast().map_or(&[][..], |simulcast| simulcast.layers(way));
        listed.iter().filter_map(|layer| layer.alternatives.iter().find_map(|a| known.get(&a.id))).copied().collect()
    }

    /// The streams its track belongs to.
    pub fn msids(self) -> impl Iterator<Item = &'a Msid> {
        all!(self, Msid)
    }

    /// Groups of sources.
    pub fn source_groups(self) -> impl Iterator<Item = &'a SsrcGroup> {
        all!(self, SsrcGroup)
    }

    /// Its sources in order, those that only send again left out.
    pub fn sources(self) -> Vec<Source> {
        let again: BTreeMap<_, _> = self.source_groups().filter_map(SsrcGroup::retransmission).collect();
        let only_again: std::collections::BTreeSet<_> = again.values().copied().collect();
        let mut sources: Vec<Source> = Vec::new();
        let mut places = BTreeMap::new();
        for attribute in all!(self, Ssrc).filter(|attribute| !only_again.contains(&attribute.ssrc)) {
            let ssrc = attribute.ssrc;
            let at = *places.entry(ssrc).or_insert_with(|| {
                sources.push(Source { ssrc, cname: None, retransmissions: again.get(&ssrc).copied() });
                sources.len() - 1
            });
            if let (true, Some(source)) = (attribute.name.is("cname"), sources.get_mut(at)) {
                source.cname = attribute.value.as_ref().map(|value| value.as_str().into());
            }
        }
        sources
    }

    /// Milliseconds of media in a packet that the other end likes.
    pub fn ptime(self) -> Option<u16> {
        first!(self, Ptime).copied()
    }

    /// Milliseconds of media in a packet that the other end bears.
    pub fn maxptime(self) -> Option<u16> {
        first!(self, Maxptime).copied()
    }

    /// Bits per second that the other end can receive, RFC 3890 before RFC 8866 §5.8.
    pub fn bandwidth(self) -> Option<u64> {
        let own = &self.media.bandwidths;
        let exact = own.iter().find(|bandwidth| bandwidth.kind.is("TIAS"));
        exact.or_else(|| own.iter().find(|b| b.kind.is("AS"))).and_then(|bandwidth| bandwidth.bits_per_second())
    }

    /// The port of SCTP inside DTLS, RFC 8841 §5.
    pub fn sctp_port(self) -> Option<u16> {
        all!(self, SctpPort).next().copied()
    }

    /// Bytes of the largest message the other end takes, RFC 8841 §6: 64 KiB unless it says otherwise.
    pub fn max_message_size(self) -> u64 {
        match all!(self, MaxMessageSize).next().copied() {
            Some(0) => u64::MAX,
            Some(bytes) => bytes,
            None => 65_536,
        }
    }

    /// Its codecs in the order of the formats: those with `a=rtpmap`, and those whose payload type says it all.
    pub fn codecs(self) -> Vec<Codec> {
        if !matches!(self.media.protocol, Protocol::Rtp(_)) {
            return Vec::new();
        }
        let mut codecs: Vec<Codec> = Vec::new();
        let mut places: BTreeMap<u8, usize> = BTreeMap::new();
        let mut mapped: BTreeMap<u8, Format> = BTreeMap::new();
        for map in all!(self, Rtpmap) {
            mapped.entry(map.number).or_insert_with(|| Format::from(map));
        }
        for number in self.media.formats.iter().filter_map(|format| number::<u8>(format.as_str())) {
            let format = mapped.remove(&number).or_else(|| Format::of_static(number));
            if let (Some(format), false) = (format, places.contains_key(&number)) {
                places.insert(number, codecs.len());
                codecs.push(Codec { number, format, feedback: Vec::new() });
            }
        }
        for fmtp in all!(self, Fmtp) {
            let at = number(fmtp.format.as_str()).and_then(|number: u8| places.get(&number));
            if let Some(codec) = at.and_then(|at| codecs.get_mut(*at)) {
                codec.format.parameters = Parameters::parse(fmtp.text.as_str());
            }
        }
        self.add_feedback(&mut codecs, &places);
        codecs
    }

    /// RFC 4585 §4.2: `*` is for all. Bounded, since each could be for each.
    fn add_feedback(self, codecs: &mut [Codec], places: &BTreeMap<u8, usize>) {
        for line in all!(self, RtcpFb).take(MAX_FEEDBACK_LINES) {
            let whom = match line.number.map(|number| places.get(&number)) {
                None => 0..codecs.len(),
                Some(Some(at)) => *at..at.saturating_add(1),
                Some(None) => continue,
            };
            for codec in codecs.get_mut(whom).unwrap_or_default() {
                if codec.feedback.len() < MAX_FEEDBACK && !codec.feedback.contains(&line.feedback) {
                    codec.feedback.push(line.feedback.clone());
                }
            }
        }
    }
}

/// Kinds of feedback of one codec; browsers have five.
const MAX_FEEDBACK: usize = 16;
/// Lines of it at one m-line: 128 payload types with five each, and some.
const MAX_FEEDBACK_LINES: usize = 800;
