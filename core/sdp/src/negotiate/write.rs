//! The lines of our descriptions, as offers and answers have in common.

use super::ours::{Agent, OurData, OurIce, OurLine, OurSource, OurTransport};
use crate::address::{Address, Connection};
use crate::attribute::{Attribute, Fmtp};
use crate::codec::{Codec, RtcpFb};
use crate::crypto::Crypto;
use crate::dtls::Setup;
use crate::group::{Group, Mid};
use crate::layers::{Layer, Rid, Simulcast};
use crate::session::{Kind, Media, Origin, Protocol, Session, Time};
use crate::source::{SsrcAttribute, SsrcGroup};
use crate::text::{Text, Token};

/// How media of an m-line of ours is protected.
#[derive(Clone, Debug)]
pub(super) enum Protection {
    /// Not at all.
    Plain,
    /// With one of these keys.
    Sdes(Vec<Crypto>),
    /// With keys from DTLS.
    Dtls(Setup),
}

/// How an m-line of ours travels.
#[derive(Clone, Debug)]
pub(super) struct Carriage<'a> {
    pub(super) transport: &'a OurTransport,
    /// If it is used.
    pub(super) ice: Option<&'a OurIce>,
    pub(super) protection: Protection,
    pub(super) place: Place,
}

/// Who says where candidates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// This m-line.
    Tagged,
    /// Another one, whose transport it shares.
    Shared,
    /// Another one, whose transport it shares or else is refused, RFC 9143 §6.
    BundleOnly,
}

impl Carriage<'_> {
    /// Writes where to send, ICE and keys. Those who share a transport say it all except for the candidates, since there are
    /// browsers that want credentials and fingerprints at each m-line.
    pub(super) fn write(&self, media: &mut Media) {
        let OurTransport { address, dtls, .. } = self.transport;
        media.port = if self.place == Place::BundleOnly { 0 } else { address.port() };
        media.connections.push(Connection::from(address.ip()));
        let attributes = &mut media.attributes;
        if self.place == Place::BundleOnly {
            attributes.push(Attribute::BundleOnly);
        }
        if let Some(ice) = self.ice {
            attributes.push(Attribute::IceUfrag(ice.credentials.ufrag.clone()));
            attributes.push(Attribute::IcePwd(ice.credentials.pwd.clone()));
            if self.place == Place::Tagged {
                attributes.extend(ice.candidates.iter().cloned().map(Box::new).map(Attribute::Candidate));
                attributes.push(Attribute::EndOfCandidates);
            }
        }
        match &self.protection {
            Protection::Plain => {}
            Protection::Sdes(keys) => attributes.extend(keys.iter().cloned().map(Box::new).map(Attribute::Crypto)),
            Protection::Dtls(setup) => {
                let fingerprints = dtls.iter().flat_map(|dtls| &dtls.fingerprints);
                attributes.extend(fingerprints.cloned().map(Attribute::Fingerprint));
                attributes.push(Attribute::Setup(*setup));
            }
        }
    }
}

/// An m-line with nothing in it yet.
pub(super) fn media(kind: Kind, protocol: Protocol, mid: Option<&Mid>) -> Media {
    let mut media = Media::new(kind, 0, None, protocol, Vec::new());
    media.attributes.extend(mid.cloned().map(Attribute::Mid));
    media
}

/// An m-line that is refused or has ended. It keeps its identity: browsers tell m-lines by it.
pub(super) fn dead(kind: Kind, protocol: Protocol, formats: Vec<Token>, mid: Option<&Mid>) -> Media {
    let mut media = media(kind, protocol, mid);
    media.formats = formats;
    media.connections.push(Connection::nowhere());
    media.attributes.push(Attribute::Direction(crate::direction::Direction::Inactive));
    media
}

/// A codec with what is said of it.
pub(super) fn codec(media: &mut Media, codec: &Codec) {
    let Codec { number, format, feedback } = codec;
    let payload_type = Token::ours(&number.to_string());
    media.formats.push(payload_type.clone());
    media.attributes.push(Attribute::Rtpmap(format.rtpmap(*number)));
    let feedback = feedback.iter().cloned().map(|feedback| RtcpFb { number: Some(*number), feedback });
    media.attributes.extend(feedback.map(Attribute::RtcpFb));
    if !format.parameters.is_empty() {
        let text = Text::ours(&format.parameters.to_string());
        media.attributes.push(Attribute::Fmtp(Fmtp { format: payload_type, text }));
    }
}

/// What we send at an m-line.
pub(super) fn streams(media: &mut Media, line: &OurLine) {
    media.attributes.extend(line.msids.iter().cloned().map(Attribute::Msid));
    for OurSource { ssrc, retransmissions, cname } in &line.sources {
        let semantics = Token::ours("FID");
        let group = retransmissions.map(|again| SsrcGroup { semantics, ssrcs: vec![*ssrc, again] });
        media.attributes.extend(group.map(Attribute::SsrcGroup));
        for ssrc in [Some(*ssrc), *retransmissions].into_iter().flatten() {
            let (name, value) = (Token::ours("cname"), Text::ours(cname.as_str()));
            media.attributes.push(Attribute::Ssrc(SsrcAttribute { ssrc, name, value: Some(value) }));
        }
    }
}

/// An encoding as far as it comes as one of these codecs. `None`: it was bound to others.
pub(super) fn possible(mut rid: Rid, codecs: &[Codec]) -> Option<Rid> {
    let bound = !rid.numbers.is_empty();
    rid.numbers.retain(|number| codecs.iter().any(|codec| codec.number == *number));
    (bound != rid.numbers.is_empty()).then_some(rid)
}

/// Encodings that we receive.
pub(super) fn layers(media: &mut Media, rids: Vec<Rid>) {
    let receive: Vec<_> = rids.iter().map(|rid| Layer::of(rid.id.clone())).collect();
    let simulcast = (!receive.is_empty()).then_some(Simulcast { send: Vec::new(), receive });
    media.attributes.extend(rids.into_iter().map(Box::new).map(Attribute::Rid));
    media.attributes.extend(simulcast.map(Attribute::Simulcast));
}

/// What we say of data channels.
pub(super) fn data(media: &mut Media, data: OurData) {
    media.formats.push(Token::ours("webrtc-datachannel"));
    media.attributes.push(Attribute::SctpPort(data.port));
    media.attributes.push(Attribute::MaxMessageSize(data.max_message_size));
}

/// Identities that share a transport.
pub(super) fn bundle(mids: Vec<Mid>) -> Attribute {
    Attribute::Group(Group { semantics: Token::ours("BUNDLE"), mids })
}

/// What an agent says of itself before the first m-line.
pub(super) fn agent(ice: &OurIce, options: Vec<Token>) -> Vec<Attribute> {
    let lite = (ice.agent == Agent::Lite).then_some(Attribute::IceLite);
    let options = (!options.is_empty()).then_some(Attribute::IceOptions(options));
    lite.into_iter().chain(options).collect()
}

/// The whole. Its version is that of before if it says the same, and else the next one (RFC 3264 §8).
pub(super) fn session(
    id: u64,
    address: std::net::IpAddr,
    before: Option<&Session>,
    attributes: Vec<Attribute>,
    media: Vec<Media>,
) -> Session {
    let version = before.map_or(0, |before| before.origin.version);
    let origin =
        Origin { user: Token::ours("-"), id: Token::ours(&id.to_string()), version, address: Address::from(address) };
    let mut session = Session { times: vec![Time::default()], attributes, media, ..Session::new(origin) };
    if before != Some(&session) {
        session.origin.version = version.wrapping_add(1);
    }
    session
}
