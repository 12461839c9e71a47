//! From an offer and its answer to what they agree on, seen from either end. Whoever answers and whoever has offered read
//! the same two texts, so that what is told to the media plane is what stands in them.

use std::collections::{BTreeMap, BTreeSet};

use super::agreed::{
    Agreed, AgreedCodec, AgreedExtension, DataLine, IceRole, Incoming, Line, MediaLine, Numbers, Pace, RemoteIce,
    Security, Side, Transport,
};
use super::bundle::{Bundles, Groups};
use super::matching::{rtx_of, same};
use super::refused::Refused;
use crate::attribute::Attribute;
use crate::codec::Codec;
use crate::crypto::Crypto;
use crate::dtls::{Role, Setup};
use crate::extension::{Extmap, MAX_ONE_BYTE, MAX_TWO_BYTE};
use crate::layers::{Rid, RidId, Way};
use crate::section::Section;
use crate::session::{Profile, Protocol, Session};
use crate::text::Token;

/// Both descriptions of an m-line.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    offer: Section<'a>,
    answer: Section<'a>,
    side: Side,
    at: usize,
}

/// Reads both. `before` is what was agreed on before these.
pub(super) fn agree(side: Side, offer: &Session, answer: &Session, before: Option<&Agreed>) -> Result<Agreed, Refused> {
    check_lines(offer, answer)?;
    let initiator = before.map_or(side, |before| before.initiator);
    let groups = (Groups::read(offer)?, Groups::read(answer)?);
    let bundles = Bundles::of_answer(&groups.0, answer)?;
    let (mut lines, mut transports) = (Vec::new(), Vec::<Transport>::new());
    let (mut places, mut ufrags) = (BTreeMap::new(), BTreeSet::new());
    for (at, (offered, answered)) in offer.sections().zip(answer.sections()).enumerate() {
        let pair = Pair { offer: offered, answer: answered, side, at };
        let tagged = bundles.tagged(at);
        let place = places.get(&tagged).copied().unwrap_or(transports.len());
        let line = if pair.is_alive(&bundles) { pair.line(place) } else { Line::Free };
        if let Some(transport) = transports.get_mut(place) {
            transport.lines.extend((line != Line::Free).then_some(at));
        } else if line != Line::Free {
            let described = (groups.0.describing(tagged), groups.1.describing(tagged));
            let sections = offer.section(described.0).zip(answer.section(described.1));
            let (offer, answer) = sections.unwrap_or((offered, answered));
            let pair = Pair { offer, answer, side, at: tagged };
            if pair.is_part_of(&mut ufrags) {
                return Err(Refused::Apart { line: at });
            }
            let mut transport = pair.transport(initiator)?;
            transport.lines.push(at);
            transports.push(transport);
            places.insert(tagged, place);
        }
        lines.push(line);
    }
    let (local, remote) = match side {
        Side::Offerer => (offer, answer),
        Side::Answerer => (answer, offer),
    };
    let mut history = before.map(|before| before.history.clone()).unwrap_or_default();
    history.add_local(local);
    history.add(local);
    history.add(remote);
    let (local, remote) = (local.clone(), remote.clone());
    Ok(Agreed { local, remote, lines, transports, refused: BTreeMap::new(), initiator, history })
}

/// RFC 3264 §6: as many m-lines, in the same order, of the same kinds.
fn check_lines(offer: &Session, answer: &Session) -> Result<(), Refused> {
    let (expected, got) = (offer.media.len(), answer.media.len());
    if expected != got {
        return Err(Refused::Lines { expected, got });
    }
    for (line, (offered, answered)) in offer.sections().zip(answer.sections()).enumerate() {
        let (o, a) = (offered.media, answered.media);
        let refused = a.port == 0;
        if o.kind != a.kind {
            return Err(Refused::Kind { line, expected: o.kind.to_string(), got: a.kind.to_string() });
        }
        if !refused && !is_same_protocol(&o.protocol, &a.protocol) {
            return Err(Refused::Protocol { line, expected: o.protocol.to_string(), got: a.protocol.to_string() });
        }
        if let (Some(expected), Some(got)) = (offered.mid(), answered.mid())
            && expected != got
        {
            return Err(Refused::Mid { line, expected: expected.to_string(), got: got.to_string() });
        }
    }
    Ok(())
}

/// RFC 3264 §6.1 wants the same words. RFC 9429 §5.1.2 takes every DTLS profile for every other; nothing takes an unprotected
/// one for a protected one.
fn is_same_protocol(offered: &Protocol, answered: &Protocol) -> bool {
    match (offered, answered) {
        (Protocol::Rtp(offered), Protocol::Rtp(answered)) => offered.is_protected() == answered.is_protected(),
        (offered, answered) => offered == answered,
    }
}

impl<'a> Pair<'a> {
    fn local(self) -> Section<'a> {
        match self.side {
            Side::Offerer => self.offer,
            Side::Answerer => self.answer,
        }
    }

    fn remote(self) -> Section<'a> {
        match self.side {
            Side::Offerer => self.answer,
            Side::Answerer => self.offer,
        }
    }

    /// An m-line lives if both give it a port, or share one that has it.
    fn is_alive(self, bundles: &Bundles) -> bool {
        let offered =
            self.offer.media.port != 0 || (self.offer.has(&Attribute::BundleOnly) && bundles.contains(self.at));
        offered && self.answer.media.port != 0
    }

    fn line(self, transport: usize) -> Line {
        match self.offer.media.protocol {
            Protocol::Rtp(_) => self.media(transport).map_or(Line::Free, |media| Line::Media(Box::new(media))),
            Protocol::Sctp(_) => self.data(transport),
            Protocol::Other(_) => Line::Free,
        }
    }

    fn data(self, transport: usize) -> Line {
        let (Some(local_port), Some(remote_port)) = (self.local().sctp_port(), self.remote().sctp_port()) else {
            return Line::Free;
        };
        let max_message_size = self.remote().max_message_size();
        Line::Data(DataLine { mid: self.offer.mid().cloned(), transport, local_port, remote_port, max_message_size })
    }

    /// `None`: nothing in common.
    fn media(self, transport: usize) -> Option<MediaLine> {
        let (local, remote) = (self.local(), self.remote());
        let codecs = self.codecs();
        if codecs.iter().all(|codec| codec.format.is_auxiliary()) {
            return None;
        }
        let reduced_size = Attribute::RtcpRsize;
        Some(MediaLine {
            mid: self.offer.mid().cloned(),
            kind: self.offer.media.kind.clone(),
            transport,
            direction: local.direction().and(remote.effective_direction().reversed()),
            codecs,
            extensions: self.extensions(),
            mixed_extensions: self.offer.allows_mixed_extensions() && self.answer.allows_mixed_extensions(),
            reduced_size: self.offer.has(&reduced_size) && self.answer.has(&reduced_size),
            incoming: Incoming {
                msids: remote.msids().cloned().collect(),
                sources: remote.sources(),
                groups: remote.source_groups().cloned().collect(),
                offered_layers: ids(&remote.layers(Way::Send)),
                layers: self.layers(),
            },
            pace: Pace { ptime: remote.ptime(), maxptime: remote.maxptime(), bandwidth: remote.bandwidth() },
        })
    }

    /// Each codec of the answer with its counterpart in the offer, by the payload type, or else by what it is (RFC 3264 §6.1:
    /// the numbers may differ).
    fn codecs(self) -> Vec<AgreedCodec> {
        let (offered, answered) = (self.offer.codecs(), self.answer.codecs());
        let mut agreed: Vec<AgreedCodec> = Vec::new();
        for codec in answered.iter().filter(|codec| !codec.format.is_rtx()) {
            let of_number = |o: &&Codec| o.number == codec.number && same(&o.format, &codec.format);
            let counterpart = offered.iter().find(of_number);
            let Some(counterpart) = counterpart.or_else(|| offered.iter().find(|o| same(&o.format, &codec.format)))
            else {
                continue;
            };
            let retransmission = rtx_of(&offered, counterpart).zip(rtx_of(&answered, codec));
            agreed.push(self.codec(counterpart, codec, retransmission.map(|(o, a)| (o.number, a.number))));
        }
        agreed
    }

    fn codec(self, offered: &Codec, answered: &Codec, rtx: Option<(u8, u8)>) -> AgreedCodec {
        let (local, remote) = match self.side {
            Side::Offerer => (offered, answered),
            Side::Answerer => (answered, offered),
        };
        let retransmission = rtx.map(|(offered, answered)| match self.side {
            Side::Offerer => Numbers { receive: offered, send: answered },
            Side::Answerer => Numbers { receive: answered, send: offered },
        });
        AgreedCodec {
            format: local.format.clone(),
            theirs: remote.format.parameters.clone(),
            receive: local.number,
            send: remote.number,
            retransmission,
            feedback: local.feedback.iter().filter(|feedback| remote.feedback.contains(feedback)).cloned().collect(),
        }
    }

    /// RFC 8285 §6: an answer repeats those it takes, with their numbers.
    fn extensions(self) -> Vec<AgreedExtension> {
        let mixed = self.offer.allows_mixed_extensions() && self.answer.allows_mixed_extensions();
        let most = if mixed { MAX_TWO_BYTE } else { MAX_ONE_BYTE };
        let mut offered: BTreeMap<u16, &Extmap> = BTreeMap::new();
        for extmap in self.offer.extensions() {
            offered.entry(extmap.id).or_insert(extmap);
        }
        let mut seen = BTreeSet::new();
        let taken = self.answer.extensions().filter(|extmap| extmap.id <= most && seen.insert(&extmap.uri));
        taken
            .filter_map(|answered| {
                let offered = offered.get(&answered.id).filter(|offered| offered.uri == answered.uri)?;
                let (o, a) = (offered.direction.unwrap_or_default(), answered.direction.unwrap_or_default());
                let of_answerer = a.and(o.reversed());
                let direction = match self.side {
                    Side::Offerer => of_answerer.reversed(),
                    Side::Answerer => of_answerer,
                };
                Some(AgreedExtension { id: answered.id, uri: answered.uri.clone(), direction })
            })
            .collect()
    }

    /// Encodings that come to us: those that both name.
    fn layers(self) -> Vec<RidId> {
        let theirs: BTreeSet<_> = self.remote().layers(Way::Send).into_iter().map(|rid| &rid.id).collect();
        let ours = self.local().layers(Way::Receive);
        ours.into_iter().map(|rid| &rid.id).filter(|id| theirs.contains(id)).cloned().collect()
    }

    /// Whether we can be reached here only where another transport is: the same agent, without candidates of its own.
    fn is_part_of(self, ufrags: &mut BTreeSet<Token>) -> bool {
        let local = self.local();
        let is_known = local.credentials().is_some_and(|credentials| !ufrags.insert(credentials.ufrag));
        is_known && local.candidates().next().is_none()
    }

    fn transport(self, initiator: Side) -> Result<Transport, Refused> {
        let remote = self.remote();
        let muxed = [self.offer, self.answer].iter().all(|section| section.has(&Attribute::RtcpMux));
        let is_data = matches!(self.offer.media.protocol, Protocol::Sctp(_));
        if !is_data && !muxed && self.local().has(&Attribute::RtcpMuxOnly) {
            return Err(Refused::NoMux { line: self.at });
        }
        let destination = |place: Option<(&crate::address::Host, u16)>| place.map(|(host, port)| (host.clone(), port));
        let ice = self.ice(initiator);
        let rtcp = if ice.is_some() || muxed || is_data { None } else { destination(remote.rtcp()) };
        let destination = if ice.is_some() { None } else { destination(remote.destination()) };
        Ok(Transport { lines: Vec::new(), ice, security: self.security()?, destination, rtcp })
    }

    fn ice(self, initiator: Side) -> Option<RemoteIce> {
        let (local, remote) = (self.local(), self.remote());
        local.credentials()?;
        let (we_are_lite, is_lite) = (local.session.is_ice_lite(), remote.session.is_ice_lite());
        // RFC 8445 §6.1.1: a full agent decides, the one who began it if both are the same.
        let controls = if we_are_lite == is_lite { initiator == Side::Offerer } else { is_lite };
        Some(RemoteIce {
            credentials: remote.credentials()?,
            role: if controls { IceRole::Controlling } else { IceRole::Controlled },
            is_lite,
            options: remote.ice_options().to_vec(),
            // Those of RTCP are of no use: with ICE it goes where RTP goes.
            candidates: remote.candidates().filter(|candidate| candidate.component == 1).cloned().collect(),
            is_complete: remote.has_all_candidates(),
        })
    }

    fn security(self) -> Result<Security, Refused> {
        let (local, remote) = (self.local(), self.remote());
        let profile = match self.offer.media.protocol {
            Protocol::Rtp(profile) => profile,
            Protocol::Sctp(_) | Protocol::Other(_) => Profile::DtlsSavpf,
        };
        let fingerprints: Vec<_> = remote.fingerprints().into_iter().cloned().collect();
        if !fingerprints.is_empty() && !local.fingerprints().is_empty() {
            let tls_id = remote.tls_id().cloned();
            return Ok(Security::Dtls { role: self.dtls_role()?, fingerprints, tls_id });
        }
        // RFC 4568 §5.1.2: the answer repeats the tag of what it takes. Its parameters are its own, and may ask for less.
        let meant = |offered: &&Crypto, answered: &Crypto| {
            offered.tag == answered.tag && offered.suite == answered.suite && offered.is_usable()
        };
        if let Some(answered) = self.answer.cryptos().next().filter(|answered| answered.is_usable())
            && let Some(offered) = self.offer.cryptos().find(|offered| meant(offered, answered))
            && !profile.is_dtls()
        {
            let (ours, theirs) = match self.side {
                Side::Offerer => (offered, answered),
                Side::Answerer => (answered, offered),
            };
            return Ok(Security::Sdes { ours: Box::new(ours.clone()), theirs: Box::new(theirs.clone()) });
        }
        match profile.is_protected() {
            true => Err(Refused::NoProtection { line: self.at }),
            false => Ok(Security::Plain),
        }
    }

    /// RFC 4145 §4.1, RFC 8842 §5.
    fn dtls_role(self) -> Result<Role, Refused> {
        let of_answerer = match (self.offer.setup(), self.answer.setup()) {
            // RFC 4145 §4: who says nothing is active, unless the offer leaves no room for it.
            (Some(Setup::Active), None | Some(Setup::Passive)) => Role::Server,
            (Some(Setup::ActPass), Some(Setup::Passive)) => Role::Server,
            (Some(Setup::ActPass | Setup::Passive), None | Some(Setup::Active)) => Role::Client,
            (None, Some(Setup::Passive)) => Role::Server,
            (offered, answered) => {
                let name = |setup: Option<Setup>| setup.map_or("none", Setup::name);
                return Err(Refused::Setup { line: self.at, offered: name(offered), answered: name(answered) });
            }
        };
        Ok(match self.side {
            Side::Offerer => of_answerer.other(),
            Side::Answerer => of_answerer,
        })
    }
}

fn ids(rids: &[&Rid]) -> Vec<RidId> {
    rids.iter().map(|rid| rid.id.clone()).collect()
}
