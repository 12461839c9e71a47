//! Makes an offer, RFC 3264 §5 and §8, RFC 9429 §5.2, and reads the answer to it.

use std::collections::{BTreeMap, BTreeSet};

use super::agree::agree;
use super::agreed::{Agreed, Line, Side};
use super::history::History;
use super::ours::{OurCodec, OurLine, OurTransport, Ours, Plain, Retransmission};
use super::refused::{Misuse, Refused};
use super::write::{self, Carriage, Place, Protection};
use crate::attribute::Attribute;
use crate::codec::{Codec, Format};
use crate::crypto::Crypto;
use crate::dtls::Setup;
use crate::extension::Extmap;
use crate::group::Mid;
use crate::layers::{Rid, Way};
use crate::parameters::Parameters;
use crate::session::{Carrier, Kind, Media, Profile, Protocol, Session};
use crate::text::Token;

/// Makes an offer. `before` is what was agreed on before it: its m-lines keep their places and identities, payload types and
/// header extensions their numbers.
pub fn offer(before: Option<&Agreed>, ours: &Ours) -> Result<Session, Misuse> {
    let history = before.map(|before| before.history.clone()).unwrap_or_default();
    let mut offerer = Offerer { before, ours, history, sharing: Vec::new() };
    let places = before.map_or(0, |before| before.lines.len()).max(ours.lines.len());
    let media: Vec<Media> = (0..places).map(|at| offerer.line(at)).collect::<Result<_, _>>()?;
    Ok(offerer.session(media))
}

/// Reads the answer to an offer of ours.
pub fn accept(offer: &Session, answer: &Session, before: Option<&Agreed>) -> Result<Agreed, Refused> {
    agree(Side::Offerer, offer, answer, before)
}

struct Offerer<'a> {
    before: Option<&'a Agreed>,
    ours: &'a Ours,
    history: History,
    /// Identities of the m-lines that share a transport.
    sharing: Vec<Mid>,
}

impl<'a> Offerer<'a> {
    fn line(&mut self, at: usize) -> Result<Media, Misuse> {
        let Some(wanted) = self.ours.lines.get(at).and_then(Option::as_ref) else { return Ok(self.ended(at)) };
        let living = self.living(at);
        let mid = match living {
            Some((_, kind)) if *kind != wanted.kind => {
                let (is, wanted) = (kind.to_string(), wanted.kind.to_string());
                return Err(Misuse::KindChanged { line: at, is, wanted });
            }
            Some((mid, _)) => mid.cloned(),
            None if self.ours.transport_of(wanted).ice.is_some() => self.fresh_mid(),
            // Nothing would tell telephones apart by it.
            None => None,
        };
        let carriage = self.carriage(at, wanted, mid.as_ref(), living.is_some())?;
        match wanted.kind {
            Kind::Application => self.data(at, carriage, mid.as_ref()),
            _ => self.rtp(at, wanted, carriage, mid.as_ref()),
        }
    }

    /// Identity and kind of an m-line that lives.
    fn living(&self, at: usize) -> Option<(Option<&'a Mid>, &'a Kind)> {
        match self.before?.lines.get(at)? {
            Line::Free => None,
            Line::Media(media) => Some((media.mid.as_ref(), &media.kind)),
            Line::Data(data) => Some((data.mid.as_ref(), &Kind::Application)),
        }
    }

    /// An m-line that takes another's place is another m-line (RFC 9429 §5.2.2).
    fn fresh_mid(&mut self) -> Option<Mid> {
        Mid::new(&self.history.fresh_mid().to_string())
    }

    /// What has ended keeps its place. So does what never began: the m-lines behind it have theirs.
    fn ended(&mut self, at: usize) -> Media {
        match self.before.and_then(|before| before.local.section(at)) {
            Some(ended) => {
                let Media { kind, protocol, formats, .. } = ended.media;
                write::dead(kind.clone(), protocol.clone(), formats.clone(), ended.mid())
            }
            None => {
                let (protocol, mid) = (Protocol::Rtp(Profile::DtlsSavpf), self.fresh_mid());
                write::dead(Kind::Audio, protocol, vec![Token::ours("0")], mid.as_ref())
            }
        }
    }

    fn carriage(
        &mut self,
        line: usize,
        wanted: &'a OurLine,
        mid: Option<&Mid>,
        lives: bool,
    ) -> Result<Carriage<'a>, Misuse> {
        let transport = self.ours.transport_of(wanted);
        let ice = transport.ice.as_ref();
        let place = match (&wanted.transport, ice, mid) {
            (Some(_), _, _) => Place::Tagged,
            (None, Some(_), Some(mid)) => {
                self.sharing.push(mid.clone());
                // RFC 9143 §7.2.2: a shared transport is not offered twice, except where it is agreed on.
                let other = if lives { Place::Shared } else { Place::BundleOnly };
                if self.sharing.len() == 1 { Place::Tagged } else { other }
            }
            (None, _, _) if self.is_only_tenant(line) => Place::Tagged,
            (None, _, _) => return Err(Misuse::NoTransport { line }),
        };
        let protection = protection(line, transport)?;
        Ok(Carriage { transport, ice, protection, place })
    }

    /// Whether an m-line is the first without a transport of its own.
    fn is_only_tenant(&self, line: usize) -> bool {
        let shares = |line: &Option<OurLine>| line.as_ref().is_some_and(|line| line.transport.is_none());
        self.ours.lines.iter().position(shares) == Some(line)
    }

    fn data(&self, line: usize, carriage: Carriage<'_>, mid: Option<&Mid>) -> Result<Media, Misuse> {
        let (Some(data), Protection::Dtls(_)) = (self.ours.data, &carriage.protection) else {
            return Err(Misuse::NoData { line });
        };
        let mut media = write::media(Kind::Application, Protocol::Sctp(Carrier::Udp), mid);
        carriage.write(&mut media);
        write::data(&mut media, data);
        Ok(media)
    }

    fn rtp(
        &mut self,
        line: usize,
        wanted: &OurLine,
        carriage: Carriage<'_>,
        mid: Option<&Mid>,
    ) -> Result<Media, Misuse> {
        let codecs = self.codecs(&wanted.kind, self.ours.codecs_of(wanted));
        if codecs.iter().all(|codec| codec.format.is_auxiliary()) {
            return Err(Misuse::NoCodec { line, kind: wanted.kind.to_string() });
        }
        let gives_feedback = codecs.iter().any(|codec| !codec.feedback.is_empty());
        let protocol = Protocol::Rtp(profile(&carriage.protection, gives_feedback));
        let layers = self.layers(line, wanted, &codecs);
        let mut media = write::media(wanted.kind.clone(), protocol, mid);
        carriage.write(&mut media);
        media.attributes.extend(self.extensions(wanted, &layers));
        media.attributes.push(Attribute::Direction(wanted.direction));
        if wanted.direction.sends() {
            write::streams(&mut media, wanted);
        }
        media.attributes.push(Attribute::RtcpMux);
        if carriage.ice.is_some() {
            media.attributes.push(Attribute::RtcpMuxOnly);
        }
        if gives_feedback {
            media.attributes.push(Attribute::RtcpRsize);
        }
        codecs.iter().for_each(|codec| write::codec(&mut media, codec));
        write::layers(&mut media, layers);
        Ok(media)
    }

    /// Encodings that come to us and shall go on coming: browsers end a simulcast that an offer does not ask for. One that is
    /// not agreed on cannot be asked for, since only its sender knows how they are called.
    fn layers(&self, at: usize, wanted: &OurLine, codecs: &[Codec]) -> Vec<Rid> {
        let line = self.before.and_then(|before| before.lines.get(at)?.media().zip(before.local.section(at)));
        let Some((agreed, said)) = line.filter(|_| wanted.direction.receives()) else { return Vec::new() };
        let coming =
            said.layers(Way::Receive).into_iter().filter(|rid| agreed.incoming.layers.contains(&rid.id)).cloned();
        coming.filter_map(|rid| write::possible(rid, codecs)).take(wanted.layers).collect()
    }

    /// Our codecs with the payload types they have had, or free ones. What finds none is left out.
    fn codecs(&mut self, kind: &Kind, ours: &[OurCodec]) -> Vec<Codec> {
        let mut codecs: Vec<Codec> = Vec::new();
        let mut taken = BTreeSet::new();
        for our in ours {
            let Some(format) = with_what_it_repeats(&our.format, kind, &codecs) else { continue };
            let Some(number) = self.history.number_of(kind, &format, our.number) else { continue };
            if !taken.insert(number) {
                continue;
            }
            let clock = format.clock;
            codecs.push(Codec { number, format, feedback: our.feedback.clone() });
            let rtx = Format::new("rtx", clock, 1).filter(|_| our.retransmission == Retransmission::Rtx);
            let Some(mut format) = rtx else { continue };
            format.parameters = Parameters::none().with("apt", &number.to_string());
            let number = self.history.number_of(kind, &format, None).filter(|number| taken.insert(*number));
            codecs.extend(number.map(|number| Codec { number, format, feedback: Vec::new() }));
        }
        codecs
    }

    /// Names of encodings are of no use where none come.
    fn extensions(&mut self, wanted: &OurLine, layers: &[Rid]) -> Vec<Attribute> {
        let of_use = |uri: &&Token| !layers.is_empty() || !OF_ENCODINGS.contains(&uri.as_str());
        let known = self.ours.extensions_of(wanted).iter().filter(of_use);
        let mut extensions = BTreeMap::new();
        for uri in known {
            if let Some(id) = self.history.extension_id(uri) {
                extensions.insert(id, Extmap { id, direction: None, uri: uri.clone(), attributes: None });
            }
        }
        extensions.into_values().map(Attribute::Extmap).collect()
    }

    fn session(self, media: Vec<Media>) -> Session {
        let mut attributes = Vec::new();
        if !self.sharing.is_empty() {
            attributes.push(write::bundle(self.sharing));
        }
        if media.iter().flat_map(|media| &media.attributes).any(|attribute| matches!(attribute, Attribute::Extmap(_))) {
            attributes.push(Attribute::ExtmapAllowMixed);
        }
        if let Some(ice) = self.ours.agent() {
            attributes.extend(write::agent(ice, ["trickle", "ice2"].map(Token::ours).to_vec()));
        }
        let before = self.before.map(|before| &before.local);
        write::session(self.ours.session, self.ours.transport.address.ip(), before, attributes, media)
    }
}

/// `red` in audio says which codec it repeats, RFC 2198 §5: the first that is there with its clock.
fn with_what_it_repeats(format: &Format, kind: &Kind, before: &[Codec]) -> Option<Format> {
    if !format.name.is("red") || *kind != Kind::Audio {
        return Some(format.clone());
    }
    let (clock, channels) = (format.clock, format.channels);
    let like = |codec: &&Codec| codec.format.clock == clock && codec.format.channels == channels;
    let Codec { number, .. } = before.iter().filter(|codec| !codec.format.is_auxiliary()).find(like)?;
    Some(Format { parameters: Parameters::parse(&format!("{number}/{number}")), ..format.clone() })
}

/// The best we have.
fn protection(line: usize, transport: &OurTransport) -> Result<Protection, Misuse> {
    if transport.dtls.is_some() {
        // RFC 8842 §5.2: whoever offers leaves it to the other end, in later offers, too.
        return Ok(Protection::Dtls(Setup::ActPass));
    }
    let keys: Vec<Crypto> = transport
        .sdes
        .iter()
        .zip(1..)
        .map(|((suite, key), tag)| Crypto {
            tag,
            suite: suite.clone(),
            keys: vec![key.clone()],
            parameters: Vec::new(),
        })
        .collect();
    match transport.plain {
        _ if !keys.is_empty() => Ok(Protection::Sdes(keys)),
        Plain::Allowed => Ok(Protection::Plain),
        Plain::Refused => Err(Misuse::NoProtection { line }),
    }
}

/// RFC 9429 §5.1.2 for DTLS: the same whether there is feedback or not.
const fn profile(protection: &Protection, gives_feedback: bool) -> Profile {
    match (protection, gives_feedback) {
        (Protection::Dtls(_), _) => Profile::DtlsSavpf,
        (Protection::Sdes(_), true) => Profile::Savpf,
        (Protection::Sdes(_), false) => Profile::Savp,
        (Protection::Plain, true) => Profile::Avpf,
        (Protection::Plain, false) => Profile::Avp,
    }
}

/// RFC 8852 §4.
const OF_ENCODINGS: [&str; 2] =
    ["urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"];
