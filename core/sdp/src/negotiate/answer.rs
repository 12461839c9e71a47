//! Answers an offer, RFC 3264 §6, RFC 9429 §5.3.
//!
//! What of an m-line does not go with us refuses that m-line and no other; only an offer that contradicts itself has no answer.

use std::collections::{BTreeMap, BTreeSet};

use super::agree::agree;
use super::agreed::{Agreed, Side, Why};
use super::bundle::Groups;
use super::matching::{self, rtx_of, same};
use super::ours::{OurCodec, OurLine, OurTransport, Ours, Plain, Retransmission};
use super::refused::Refused;
use super::write::{self, Carriage, Place, Protection};
use crate::address::number;
use crate::attribute::Attribute;
use crate::codec::Codec;
use crate::crypto::Crypto;
use crate::direction::Direction;
use crate::dtls::{Role, Setup};
use crate::extension::{Extmap, MAX_ONE_BYTE, MAX_TWO_BYTE};
use crate::group::Mid;
use crate::layers::{Rid, Way};
use crate::section::Section;
use crate::session::{Kind, Media, Profile, Protocol, Session};
use crate::text::Token;

/// Answers an offer. `before` is what was agreed on before it; both descriptions and what they mean come back in [`Agreed`].
pub fn negotiate(offer: &Session, before: Option<&Agreed>, ours: &Ours) -> Result<Agreed, Refused> {
    let (expected, got) = (before.map_or(0, |before| before.lines.len()), offer.media.len());
    if got < expected {
        return Err(Refused::FewerLines { expected, got });
    }
    let groups = Groups::read(offer)?;
    let mut answerer = Answerer { offer, before, ours, groups, tenant: None, sharing: BTreeSet::new() };
    let mut refused = BTreeMap::new();
    let mut media = Vec::new();
    for (at, offered) in offer.sections().enumerate() {
        media.push(answerer.line(at, offered).unwrap_or_else(|why| {
            refused.insert(at, why);
            let Media { kind, protocol, formats, .. } = offered.media;
            write::dead(kind.clone(), protocol.clone(), formats.clone(), offered.mid())
        }));
    }
    let answer = answerer.session(media);
    let agreed = agree(Side::Answerer, offer, &answer, before)?;
    Ok(Agreed { refused, ..agreed })
}

struct Answerer<'a> {
    offer: &'a Session,
    before: Option<&'a Agreed>,
    ours: &'a Ours,
    groups: Groups<'a>,
    /// Who has the transport that m-lines share.
    tenant: Option<Tenant>,
    /// M-lines of the group that has it.
    sharing: BTreeSet<usize>,
}

/// Who has our one transport.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tenant {
    Group(usize),
    Line(usize),
}

impl<'a> Answerer<'a> {
    fn line(&mut self, at: usize, offered: Section<'a>) -> Result<Media, Why> {
        let group = self.groups.group_of(offered.mid());
        let bundle_only = group.is_some() && offered.has(&Attribute::BundleOnly);
        if offered.media.port == 0 && !bundle_only {
            return Err(Why::Ended);
        }
        match self.ours.wanted(at, &offered.media.kind) {
            Some(wanted) => match &wanted.transport {
                None => self.shared(at, offered, wanted),
                Some(_) if bundle_only => Err(Why::NoTransport),
                Some(transport) => self.media(at, offered, wanted, (transport, Place::Tagged)),
            },
            None if self.carries_others(at, offered) => {
                let idle = OurLine::new(offered.media.kind.clone(), Direction::Inactive);
                self.shared(at, offered, &idle).map_err(|_| Why::NotWanted)
            }
            None => Err(Why::NotWanted),
        }
    }

    /// An m-line on the transport that there is for all.
    fn shared(&mut self, at: usize, offered: Section<'a>, wanted: &OurLine) -> Result<Media, Why> {
        let group = self.groups.group_of(offered.mid());
        let tenant = group.map_or(Tenant::Line(at), Tenant::Group);
        if self.tenant.is_some_and(|other| other != tenant) {
            return Err(Why::NoTransport);
        }
        let place = if self.tenant.is_none() { Place::Tagged } else { Place::Shared };
        let media = self.media(at, offered, wanted, (&self.ours.transport, place))?;
        self.tenant = Some(tenant);
        if group.is_some() {
            self.sharing.insert(at);
        }
        Ok(media)
    }

    /// Whether others that are wanted travel over what is described at this m-line. Deviation: RFC 9143 §7.3.1 has the next of
    /// them take over when this one is refused. Chromium takes no such answer once a session has begun, and none to an offer
    /// with `max-bundle`. Data channels cannot be idle.
    fn carries_others(&self, at: usize, offered: Section<'a>) -> bool {
        let group = self.groups.group_of(offered.mid()).filter(|_| self.sharing.is_empty());
        let shares = |line: &usize| {
            let Some(other) = self.offer.section(*line) else { return false };
            let alive = other.media.port != 0 || other.has(&Attribute::BundleOnly);
            let wanted = self.ours.wanted(*line, &other.media.kind);
            alive && wanted.is_some_and(|wanted| wanted.transport.is_none())
        };
        let members = group.map_or(&[][..], |group| self.groups.members(group));
        offered.media.kind != Kind::Application && members.iter().any(|line| *line > at && shares(line))
    }

    fn media(
        &self,
        at: usize,
        offered: Section<'a>,
        wanted: &OurLine,
        transport: (&OurTransport, Place),
    ) -> Result<Media, Why> {
        let Media { kind, protocol, formats, .. } = offered.media;
        let unknown = || Why::Protocol { kind: kind.to_string(), protocol: protocol.to_string() };
        let mut media = write::media(kind.clone(), protocol.clone(), offered.mid());
        match protocol {
            Protocol::Rtp(profile) if *kind != Kind::Application => {
                self.carriage(at, offered, *profile, transport)?.write(&mut media);
                self.rtp(offered, wanted, &mut media)?;
            }
            Protocol::Sctp(_) if *kind == Kind::Application => {
                let channels = formats.iter().any(|format| format.is("webrtc-datachannel"));
                // RFC 8841 §5.2: drafts of old said it otherwise.
                let data = self.ours.data.filter(|_| channels && offered.sctp_port().is_some()).ok_or_else(unknown)?;
                self.carriage(at, offered, Profile::DtlsSavpf, transport)?.write(&mut media);
                write::data(&mut media, data);
            }
            Protocol::Rtp(_) | Protocol::Sctp(_) | Protocol::Other(_) => return Err(unknown()),
        }
        Ok(media)
    }

    /// How an m-line travels, if that goes with us.
    fn carriage<'t>(
        &self,
        at: usize,
        offered: Section<'a>,
        profile: Profile,
        (transport, place): (&'t OurTransport, Place),
    ) -> Result<Carriage<'t>, Why> {
        let described = self.offer.section(self.groups.describing(at)).unwrap_or(offered);
        let ice = transport.ice.as_ref().filter(|_| described.credentials().is_some());
        if ice.is_none() && transport.address.ip().is_unspecified() {
            return Err(Why::NoIce);
        }
        let is_rtp = matches!(offered.media.protocol, Protocol::Rtp(_));
        let must_mux = ice.is_some() || self.groups.group_of(offered.mid()).is_some();
        if is_rtp && must_mux && !offered.has(&Attribute::RtcpMux) {
            return Err(Why::NoMux);
        }
        let protection = self.protection(at, described, profile, transport)?;
        Ok(Carriage { transport, ice, protection, place })
    }

    /// The best that both have. An offer that does not insist gets it, too (RFC 8643).
    fn protection(
        &self,
        at: usize,
        offered: Section<'a>,
        profile: Profile,
        transport: &OurTransport,
    ) -> Result<Protection, Why> {
        if let Some(dtls) = &transport.dtls
            && !offered.fingerprints().is_empty()
        {
            let role = match offered.setup() {
                // RFC 8842 §5.3: a role that is agreed on stays.
                Some(Setup::ActPass) => self.role_before(at).unwrap_or(dtls.role),
                // RFC 4145 §4: who says nothing is active.
                Some(Setup::Active) | None => Role::Server,
                Some(Setup::Passive) => Role::Client,
                Some(Setup::HoldConn) => return Err(Why::NoSetup),
            };
            return Ok(Protection::Dtls(role.setup()));
        }
        let usable = || offered.cryptos().filter(|crypto| crypto.is_usable() && !profile.is_dtls());
        let common = transport.sdes.iter().find_map(|(suite, key)| {
            let tag = usable().find(|crypto| crypto.suite == *suite)?.tag;
            Some(Crypto { tag, suite: suite.clone(), keys: vec![key.clone()], parameters: Vec::new() })
        });
        match common {
            Some(crypto) => Ok(Protection::Sdes(vec![crypto])),
            None if !profile.is_protected() && transport.plain == Plain::Allowed => Ok(Protection::Plain),
            None => Err(Why::NoProtection),
        }
    }

    /// Our role in the DTLS of an m-line, or of those that it shares a transport with: another may be new among them.
    fn role_before(&self, at: usize) -> Option<Role> {
        let group = self.offer.section(at).and_then(|offered| self.groups.group_of(offered.mid()));
        let members = group.map_or(&[][..], |group| self.groups.members(group));
        members.iter().chain([&at]).find_map(|line| self.before?.dtls_role(*line))
    }

    fn rtp(&self, offered: Section<'a>, wanted: &OurLine, media: &mut Media) -> Result<(), Why> {
        let theirs = offered.codecs();
        let codecs = common_codecs(&theirs, self.ours.codecs_of(wanted));
        if codecs.iter().all(|codec| codec.format.is_auxiliary()) {
            let names: Vec<_> = theirs.iter().map(|codec| codec.format.name.as_str()).collect();
            return Err(Why::NoCodec { offered: names.join(", ") });
        }
        let direction = offered.effective_direction().reversed().and(wanted.direction);
        media.attributes.extend(extensions(offered, self.ours.extensions_of(wanted)));
        media.attributes.push(Attribute::Direction(direction));
        if direction.sends() {
            write::streams(media, wanted);
        }
        let echoed = [Attribute::RtcpMux, Attribute::RtcpRsize];
        media.attributes.extend(echoed.into_iter().filter(|flag| offered.has(flag)));
        codecs.iter().for_each(|codec| write::codec(media, codec));
        if direction.receives() {
            write::layers(media, layers(offered, &codecs, wanted.layers));
        }
        Ok(())
    }

    fn session(&self, media: Vec<Media>) -> Session {
        let mut attributes = Vec::new();
        if let Some(Tenant::Group(group)) = self.tenant {
            let sharing = self.groups.members(group).iter().filter(|line| self.sharing.contains(line));
            let mids: Vec<Mid> = sharing.filter_map(|line| self.offer.section(*line)?.mid().cloned()).collect();
            attributes.push(write::bundle(mids));
        }
        if let Some(ice) = self.ours.agent() {
            let offered: Vec<&Token> =
                self.offer.sections().next().map_or(&[][..], Section::ice_options).iter().collect();
            let known = ["trickle", "ice2"].map(Token::ours);
            attributes.extend(write::agent(ice, known.into_iter().filter(|known| offered.contains(&known)).collect()));
        }
        let before = self.before.map(|before| &before.local);
        write::session(self.ours.session, self.ours.transport.address.ip(), before, attributes, media)
    }
}

/// Codecs that both have, in our order, with the offered payload types.
fn common_codecs(offered: &[Codec], ours: &[OurCodec]) -> Vec<Codec> {
    let mut chosen: Vec<Codec> = Vec::new();
    let mut taken = BTreeSet::new();
    for our in ours {
        let theirs = offered.iter().find(|codec| !taken.contains(&codec.number) && same(&codec.format, &our.format));
        let Some(theirs) = theirs else { continue };
        taken.insert(theirs.number);
        let mut format = theirs.format.clone();
        format.parameters = matching::answer(&theirs.format, &our.format);
        let feedback = our.feedback.iter().filter(|feedback| theirs.feedback.contains(feedback)).cloned().collect();
        chosen.push(Codec { number: theirs.number, format, feedback });
        if let (Retransmission::Rtx, Some(rtx)) = (our.retransmission, rtx_of(offered, theirs)) {
            taken.insert(rtx.number);
            chosen.push(Codec { feedback: Vec::new(), ..rtx.clone() });
        }
    }
    let media: Vec<Codec> = chosen.iter().filter(|codec| !codec.format.is_auxiliary()).cloned().collect();
    chosen.retain(|codec| helps(codec, &media));
    chosen
}

/// Whether what carries no media of its own can help what does.
fn helps(codec: &Codec, media: &[Codec]) -> bool {
    let format = &codec.format;
    if format.name.is("telephone-event") || format.name.is("CN") {
        // RFC 4733 §2.1: with the clock of the codec beside it. No event in common is none at all.
        let silent = format.name.is("telephone-event") && format.parameters.is_empty();
        return !silent && media.iter().any(|codec| codec.format.clock == format.clock);
    }
    match format.parameters.bare() {
        // RFC 2198 §5: what is repeated must be there.
        Some(list) if format.name.is("red") => {
            let mut numbers = list.split('/').map(number::<u8>);
            numbers.all(|number| media.iter().any(|codec| Some(codec.number) == number))
        }
        Some(_) | None => true,
    }
}

/// RFC 8285 §6: those we know, with the offered numbers.
fn extensions(offered: Section<'_>, known: &[Token]) -> Vec<Attribute> {
    let mixed = offered.allows_mixed_extensions();
    let most = if mixed { MAX_TWO_BYTE } else { MAX_ONE_BYTE };
    let (mut ids, mut uris) = (BTreeSet::new(), BTreeSet::new());
    let mut attributes: Vec<_> = mixed.then_some(Attribute::ExtmapAllowMixed).into_iter().collect();
    for extmap in offered.extensions().filter(|extmap| extmap.id <= most && known.contains(&extmap.uri)) {
        if ids.insert(extmap.id) && uris.insert(&extmap.uri) {
            let direction = extmap.direction.map(Direction::reversed);
            let (id, uri) = (extmap.id, extmap.uri.clone());
            attributes.push(Attribute::Extmap(Extmap { id, direction, uri, attributes: None }));
        }
    }
    attributes
}

/// The first of the offered encodings that we can take, RFC 8853 §5.3.2, RFC 8851 §6.2.2.
fn layers(offered: Section<'_>, codecs: &[Codec], most: usize) -> Vec<Rid> {
    let taken = |rid: &&Rid| rid.is_understood();
    let as_ours = |rid: &Rid| Rid { way: Way::Receive, ..rid.clone() };
    let theirs = offered.layers(Way::Send).into_iter().filter(taken).map(as_ours);
    theirs.filter_map(|rid| write::possible(rid, codecs)).take(most).collect()
}
