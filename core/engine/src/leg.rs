//! One participant's connection to the media plane: what was agreed on, what it sends, what it has room for.

use std::collections::BTreeMap;

use tandem_api::signal::{Reason, Source};
use tandem_media::allocate;
use tandem_media::terms::{self, Terms};
use tandem_media::{
    Breadth, Command, Credentials, EndpointId, Publication, Shard, SlotId, Ssrc, Subscription, TrackId,
};
use tandem_sdp::{Agreed, Direction, Fragment, FragmentLine, Kind, Line, OurLine, Section, Session, negotiate};

use crate::context::{Context, Refusal, Seat};

/// How a leg stands.
pub(crate) struct Leg {
    pub(crate) endpoint: EndpointId,
    /// Where its plane is.
    pub(crate) shard: usize,
    /// Names our description.
    session: u64,
    credentials: Credentials,
    agreed: Option<Agreed>,
    /// By m-line.
    pub(crate) tracks: BTreeMap<String, Sent>,
    pub(crate) slots: BTreeMap<String, Slot>,
    last_slot: u32,
    /// Counts restarts of ICE, for those who speak of states (ETag).
    pub(crate) version: u32,
}

/// A track that comes in.
pub(crate) struct Sent {
    pub(crate) id: TrackId,
    /// `t5`, within the room.
    pub(crate) number: u32,
    pub(crate) source: Source,
    /// By the host.
    pub(crate) stopped: bool,
    publication: Publication,
}

/// Room for a track that goes out.
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    pub(crate) kind: Kind,
    ssrc: Ssrc,
    rtx: Option<Ssrc>,
    subscription: Option<Subscription>,
}

/// What comes of an offer.
pub(crate) struct Outcome {
    pub(crate) commands: Vec<Command>,
    pub(crate) answer: String,
    /// Tracks that are no more.
    pub(crate) gone: Vec<Sent>,
    /// Some have come or gone.
    pub(crate) changed: bool,
}

/// Who offers, and how its new tracks are numbered.
pub(crate) struct Offerer<'a> {
    pub(crate) seat: Seat,
    /// The last number of a track in the room.
    pub(crate) last_track: &'a mut u32,
    /// What its DTLS may be like.
    pub(crate) breadth: Breadth,
    /// What it says it sends, by m-line.
    pub(crate) sends: &'a BTreeMap<String, Source>,
}

impl Leg {
    pub(crate) fn new(ctx: &mut Context, seat: Seat, shard: usize) -> Self {
        Self {
            endpoint: ctx.planes.endpoint(seat, shard),
            shard,
            session: u64::from(ctx.tokens.word()),
            credentials: ctx.tokens.credentials(),
            agreed: None,
            tracks: BTreeMap::new(),
            slots: BTreeMap::new(),
            last_slot: 0,
            version: 1,
        }
    }

    /// Whether an offer is of the connection that this leg is, or of another one that takes its place.
    pub(crate) fn is_of(&self, offer: &Session) -> bool {
        self.agreed.as_ref().is_none_or(|agreed| agreed.remote.origin.id == offer.origin.id)
    }

    /// The description its peer has last given.
    pub(crate) fn last_offer(&self) -> Option<&Session> {
        self.agreed.as_ref().map(|agreed| &agreed.remote)
    }

    /// Whether these are the credentials its peer has now.
    pub(crate) fn is_known_by(&self, credentials: &tandem_sdp::Credentials) -> bool {
        let mut sections = self.last_offer().into_iter().flat_map(Session::sections);
        sections.find_map(|section| section.credentials()).is_some_and(|known| known == *credentials)
    }

    /// What another shard is to be told before it shows a track of this one. `None`: it is not another one.
    pub(crate) fn import(&self, shard: usize, track: TrackId) -> Option<Command> {
        let sent = self.tracks.values().find(|sent| sent.id == track).filter(|_| shard != self.shard)?;
        Some(Command::Import { track, home: Shard(self.shard), publication: sent.publication.clone() })
    }

    /// Our credentials and candidates, as a fragment of a description (RFC 9725 §4.3.3).
    pub(crate) fn fragment(&self) -> Option<String> {
        let first = self.agreed.as_ref()?.local.sections().find(|section| section.media.port != 0)?;
        let line = FragmentLine {
            mid: first.mid().cloned(),
            candidates: first.candidates().cloned().collect(),
            is_complete: true,
        };
        Some(Fragment { credentials: first.credentials(), lines: vec![line] }.to_string())
    }

    /// Answers an offer. After an error everything is as before.
    pub(crate) fn offer(
        &mut self,
        ctx: &mut Context,
        offerer: Offerer<'_>,
        offer: &Session,
    ) -> Result<Outcome, Refusal> {
        let restarts = self.agreed.as_ref().is_some_and(|agreed| agreed.is_ice_restart(offer));
        let credentials = if restarts { ctx.tokens.credentials() } else { self.credentials.clone() };
        let mut fresh = BTreeMap::new();
        let lines = offer.sections().map(|section| self.line(ctx, section, &offerer, &mut fresh)).collect();
        let ours = ctx.planes.terms(self.shard).and_then(|terms| Terms::ours(terms, self.session, &credentials, lines));
        let ours = ours.ok_or_else(|| Refusal::new(Reason::Forbidden, "this server forwards no media"))?;
        let agreed = negotiate(offer, self.agreed.as_ref(), &ours).map_err(|error| bad_sdp(&error))?;
        let remote = terms::remote(&agreed).ok_or_else(|| {
            Refusal::new(Reason::BadSdp, "expected an offer with ICE and a DTLS fingerprint of SHA-256 or more")
        })?;
        let endpoint = self.endpoint;
        let mut commands = Vec::new();
        let ids = terms::extensions(&agreed);
        if self.agreed.is_none() {
            commands.push(Command::Add { endpoint, credentials: credentials.clone(), ids, breadth: offerer.breadth });
        } else {
            commands.push(Command::Extensions { endpoint, ids });
            if restarts {
                commands.push(Command::Restart { endpoint, credentials: credentials.clone() });
            }
        }
        commands.push(Command::Remote { endpoint, remote });
        self.credentials = credentials;
        self.slots.extend(fresh);
        let answer = agreed.local.to_string();
        let (gone, came) = self.settle(ctx, &agreed, offerer, &mut commands);
        self.agreed = Some(agreed);
        let changed = came || !gone.is_empty();
        Ok(Outcome { commands, answer, gone, changed })
    }

    /// What we want of an m-line.
    fn line(
        &self,
        ctx: &mut Context,
        section: Section<'_>,
        offerer: &Offerer<'_>,
        fresh: &mut BTreeMap<String, Slot>,
    ) -> Option<OurLine> {
        let kind = section.media.kind.clone();
        if kind == Kind::Application {
            return Some(OurLine::new(kind, Direction::SendRecv));
        }
        if !matches!(kind, Kind::Audio | Kind::Video) {
            return None;
        }
        let mid = section.mid()?.as_str();
        let idle = OurLine::new(kind.clone(), Direction::Inactive);
        match section.direction() {
            Direction::RecvOnly => {
                let slot = match self.slots.get(mid) {
                    Some(slot) => slot,
                    None if self.slots.len() + fresh.len() < MAX_SLOTS => {
                        let id = SlotId(self.last_slot + 1 + u32::try_from(fresh.len()).unwrap_or_default());
                        let rtx = (kind == Kind::Video).then(|| Ssrc(ctx.tokens.word()));
                        let slot =
                            Slot { id, kind: kind.clone(), ssrc: Ssrc(ctx.tokens.word()), rtx, subscription: None };
                        fresh.entry(mid.to_owned()).or_insert(slot)
                    }
                    None => return Some(idle),
                };
                Some(terms::sending(kind, (slot.ssrc, slot.rtx), mid, mid).unwrap_or(idle))
            }
            Direction::SendOnly | Direction::SendRecv
                if offerer.sends.contains_key(mid)
                    && (self.tracks.contains_key(mid) || self.tracks.len() < MAX_TRACKS) =>
            {
                Some(terms::receiving(section))
            }
            _ => Some(idle),
        }
    }

    /// Tracks and slots as they were agreed on: those that have come, and those that are no more.
    fn settle(
        &mut self,
        ctx: &mut Context,
        agreed: &Agreed,
        offerer: Offerer<'_>,
        commands: &mut Vec<Command>,
    ) -> (Vec<Sent>, bool) {
        let endpoint = self.endpoint;
        self.last_slot = self.slots.values().map(|slot| slot.id.0).max().unwrap_or_default().max(self.last_slot);
        let mut tracks = std::mem::take(&mut self.tracks);
        let mut slots = std::mem::take(&mut self.slots);
        let mut came = false;
        for line in agreed.lines.iter().filter_map(Line::media) {
            let Some(mid) = line.mid.as_ref().map(|mid| mid.as_str().to_owned()) else { continue };
            let source = offerer.sends.get(&mid).copied();
            if line.direction.receives()
                && let Some(source) = source
                && let Some(publication) = terms::publication(line, shows(source))
            {
                let sent = match tracks.remove(&mid) {
                    Some(sent) if sent.publication == publication && sent.source == source => sent,
                    before => {
                        came = true;
                        if let Some(before) = before {
                            commands.push(Command::Unpublish { track: before.id });
                            ctx.planes.forget_track(before.id);
                        }
                        *offerer.last_track = offerer.last_track.saturating_add(1);
                        let (id, number) = (ctx.planes.track(offerer.seat), *offerer.last_track);
                        commands.push(Command::Publish { endpoint, track: id, publication: publication.clone() });
                        Sent { id, number, source, stopped: false, publication }
                    }
                };
                self.tracks.insert(mid, sent);
            } else if line.direction.sends()
                && let Some(mut slot) = slots.remove(&mid)
            {
                let subscription = terms::subscription(line, slot.ssrc, slot.rtx);
                if slot.subscription.as_ref() != Some(&subscription) {
                    if slot.subscription.is_some() {
                        commands.push(Command::CloseSlot { endpoint, slot: slot.id });
                    }
                    commands.push(Command::OpenSlot { endpoint, slot: slot.id, subscription: subscription.clone() });
                    slot.subscription = Some(subscription);
                }
                self.slots.insert(mid, slot);
            }
        }
        for slot in slots.into_values().filter(|slot| slot.subscription.is_some()) {
            commands.push(Command::CloseSlot { endpoint, slot: slot.id });
        }
        let gone: Vec<Sent> = tracks.into_values().collect();
        commands.extend(gone.iter().map(|sent| Command::Unpublish { track: sent.id }));
        (gone, came)
    }
}

fn shows(source: Source) -> allocate::Kind {
    match source {
        Source::Microphone | Source::ScreenAudio => allocate::Kind::Audio,
        Source::Camera => allocate::Kind::Camera,
        Source::Screen => allocate::Kind::Screen,
    }
}

pub(crate) fn bad_sdp(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Reason::BadSdp, error.to_string())
}

/// Tracks one participant may send.
const MAX_TRACKS: usize = 8;
/// Tracks one participant may get at the same time.
const MAX_SLOTS: usize = 150;
