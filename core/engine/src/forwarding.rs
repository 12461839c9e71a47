//! Media through the server: connections to its plane, who sends and gets what, and whether a room needs it.

use std::collections::BTreeMap;

use tandem_api::signal::{self, Event, LeaveReason, Note, Reason, Sends, Slot, SlotLayer, Source, Topology};
use tandem_media as media;
use tandem_media::{Breadth, Command, GroupId, Shard, SlotId, TrackId, Want};
use tandem_policy::topology::{self, Wanted};
use tandem_sdp::{Kind, Session};

use crate::context::{Context, Refusal, Seat, deadline};
use crate::interface::{Now, Output};
use crate::leg::{Leg, Offerer, Outcome, bad_sdp};
use crate::participant::{Participant, identity};
use crate::rights::allows;
use crate::room::Room;
use crate::timers::Timer;

type Answer = Result<(), Refusal>;

/// The part of a room that is about media through the server.
#[derive(Default)]
pub(crate) struct Forwarding {
    pub(crate) topology: Topology,
    /// The host wants it through the server whatever the number.
    pub(crate) forced: bool,
    /// When it goes back from browser to browser.
    back_at: Option<std::time::Instant>,
    last_track: u32,
    /// By number.
    tracks: BTreeMap<u32, Known>,
    speakers: Vec<u32>,
    spread: Spread,
}

/// Over which shards a room is spread.
#[derive(Default)]
struct Spread {
    /// How many of its connections are at which.
    legs: BTreeMap<usize, usize>,
    /// The one that hears who speaks.
    ear: usize,
}

/// A track of the room.
struct Known {
    id: TrackId,
    owner: u32,
    is_audio: bool,
    is_screen: bool,
}

impl Room {
    pub(crate) fn offer_media(
        &mut self,
        ctx: &mut Context,
        now: Now,
        (number, request): (u32, u64),
        (sdp, sends): (&str, Vec<Sends>),
    ) -> Answer {
        self.only_accepted(number)?;
        if sends.len() > MOST_SENDS {
            let detail = format!("expected at most {MOST_SENDS} entries in `sends`, got {}", sends.len());
            return Err(Refusal::new(Reason::Malformed, detail));
        }
        let sends: BTreeMap<String, Source> = sends.into_iter().map(|it| (it.mid, it.source)).collect();
        let (answer, tracks) = self.negotiate(ctx, now, number, sdp, &sends)?;
        self.tell(ctx, number, Event::MediaAnswer { to: request, sdp: answer, tracks });
        Ok(())
    }

    /// Answers an offer of somebody who is in.
    pub(crate) fn negotiate(
        &mut self,
        ctx: &mut Context,
        now: Now,
        number: u32,
        sdp: &str,
        sends: &BTreeMap<String, Source>,
    ) -> Result<(String, Vec<signal::Sent>), Refusal> {
        if sdp.len() > ctx.config.sdp_bytes {
            let detail = format!("expected a description of at most {} bytes, got {}", ctx.config.sdp_bytes, sdp.len());
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        let offer = tandem_sdp::parse(sdp).map_err(|error| bad_sdp(&error))?;
        self.answer(ctx, now, number, &offer, sends)
    }

    /// The same, of an offer that was read.
    pub(crate) fn answer(
        &mut self,
        ctx: &mut Context,
        now: Now,
        number: u32,
        offer: &Session,
        sends: &BTreeMap<String, Source>,
    ) -> Result<(String, Vec<signal::Sent>), Refusal> {
        let seat = self.seat(number);
        if !ctx.planes.are_there() {
            return Err(Refusal::new(Reason::Forbidden, "this server forwards no media"));
        }
        let publish = self.members.get(&number).map(|member| member.may.publish).unwrap_or_default();
        let sends = &sends
            .iter()
            .filter(|(_, source)| allows(publish, **source))
            .map(|(mid, source)| (mid.clone(), *source))
            .collect();
        if self.members.get(&number).and_then(|it| it.leg.as_ref()).is_some_and(|leg| !leg.is_of(offer)) {
            // A page that has made another connection has lost the one before.
            self.drop_leg(ctx, number);
        }
        let connections = self.forwarding.spread.legs.values().sum();
        let Some(member) = self.members.get_mut(&number) else { return Err(gone()) };
        let is_new = member.leg.is_none();
        let last_before = self.forwarding.last_track;
        // Whose page is ours has a browser's certificate.
        let breadth = if member.is_guest() { Breadth::Everybody } else { Breadth::Browsers };
        let place = |ctx: &mut Context| ctx.planes.place(seat.room.0, connections);
        let mut leg = member.leg.take().unwrap_or_else(|| {
            let shard = place(ctx);
            Box::new(Leg::new(ctx, seat, shard))
        });
        let offerer = Offerer { seat, last_track: &mut self.forwarding.last_track, breadth, sends };
        let outcome = leg.offer(ctx, offerer, offer);
        let (endpoint, shard, group) = (leg.endpoint, leg.shard, GroupId(self.key.0));
        let Outcome { commands, answer, gone: ended, changed } = match outcome {
            Ok(outcome) => outcome,
            Err(refusal) => {
                if is_new {
                    ctx.planes.forget_endpoint(endpoint);
                } else {
                    member.leg = Some(leg);
                }
                return Err(refusal);
            }
        };
        for command in commands {
            let is_first = matches!(command, Command::Add { .. });
            ctx.emit(Output::Media { shard, command: Box::new(command) });
            if is_first {
                ctx.emit(Output::Media { shard, command: Box::new(Command::Join { endpoint, group, member: number }) });
            }
        }
        let sent: Vec<signal::Sent> =
            leg.tracks.iter().map(|(mid, sent)| signal::Sent { mid: mid.clone(), track: name(sent.number) }).collect();
        self.forwarding.tracks.retain(|_, known| known.owner != number);
        self.forwarding.tracks.extend(leg.tracks.values().map(|sent| {
            let is_audio = matches!(sent.source, Source::Microphone | Source::ScreenAudio);
            let is_screen = matches!(sent.source, Source::Screen | Source::ScreenAudio);
            (sent.number, Known { id: sent.id, owner: number, is_audio, is_screen })
        }));
        ended.iter().for_each(|sent| ctx.planes.forget_track(sent.id));
        let hushed = is_new && !member.may.data;
        let who = ctx.config.hooks.then(|| member.view(number));
        if hushed {
            ctx.emit(Output::Media { shard, command: Box::new(Command::Hush { endpoint, hushed }) });
        }
        if let Some(who) = who {
            self.hook_unpublished(ctx, &who, ended.iter());
            let fresh = leg.tracks.values().filter(|sent| sent.number > last_before);
            self.hook_published(ctx, number, fresh);
        }
        if let Some(member) = self.members.get_mut(&number) {
            member.leg = Some(leg);
        }
        if is_new {
            self.begin_at(ctx, shard);
        }
        if changed {
            self.tell_participant(ctx, number, 0);
            self.fill_all(ctx);
        }
        self.choose_topology(ctx, now);
        Ok((answer, sent))
    }

    pub(crate) fn close_media(&mut self, ctx: &mut Context, number: u32) -> Answer {
        if self.drop_leg(ctx, number) {
            self.tell_participant(ctx, number, 0);
        }
        Ok(())
    }

    /// Forgets a connection to the plane. Tells whether tracks have gone with it.
    pub(crate) fn drop_leg(&mut self, ctx: &mut Context, number: u32) -> bool {
        let Some(leg) = self.members.get_mut(&number).and_then(|member| member.leg.take()) else { return false };
        if let Some(who) = self.members.get(&number).filter(|_| ctx.config.hooks).map(|member| member.view(number)) {
            self.hook_unpublished(ctx, &who, leg.tracks.values());
        }
        self.forget_leg(ctx, &leg)
    }

    pub(crate) fn forget_leg(&mut self, ctx: &mut Context, leg: &Leg) -> bool {
        let shard = leg.shard;
        ctx.planes.forget_endpoint(leg.endpoint);
        for sent in leg.tracks.values() {
            ctx.planes.forget_track(sent.id);
            self.forwarding.tracks.remove(&sent.number);
        }
        // Its tracks and slots go with it.
        ctx.emit(Output::Media { shard, command: Box::new(Command::Remove { endpoint: leg.endpoint }) });
        self.end_at(ctx, shard);
        if !leg.tracks.is_empty() {
            self.fill_all(ctx);
        }
        !leg.tracks.is_empty()
    }

    // --- over several shards ---

    /// Whether some of its connections are at a shard.
    pub(crate) fn is_at(&self, shard: usize) -> bool {
        self.forwarding.spread.legs.contains_key(&shard)
    }

    /// One more connection is at a shard.
    fn begin_at(&mut self, ctx: &mut Context, shard: usize) {
        let Spread { legs, ear } = &mut self.forwarding.spread;
        let count = legs.entry(shard).or_default();
        *count += 1;
        match (*count, legs.len()) {
            (1, 1) => *ear = shard,
            (1, _) => self.tell_spread(ctx),
            _ => {}
        }
    }

    fn end_at(&mut self, ctx: &mut Context, shard: usize) {
        let legs = &mut self.forwarding.spread.legs;
        let Some(count) = legs.get_mut(&shard) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            legs.remove(&shard);
            self.tell_spread(ctx);
        }
    }

    /// Each shard of a room is told of the others. Who hears goes on hearing.
    fn tell_spread(&mut self, ctx: &mut Context) {
        let Spread { legs, ear } = &mut self.forwarding.spread;
        if !legs.contains_key(ear) {
            *ear = legs.keys().next().copied().unwrap_or_default();
        }
        for &shard in legs.keys() {
            let others: Vec<Shard> = legs.keys().filter(|other| **other != shard).map(|other| Shard(*other)).collect();
            let ear = (shard != *ear).then_some(Shard(*ear));
            let command = Command::Spread { group: GroupId(self.key.0), others, ear };
            ctx.emit(Output::Media { shard, command: Box::new(command) });
        }
    }

    /// Shows a track in a slot of a connection, wherever it comes from.
    pub(crate) fn show(&self, ctx: &mut Context, leg: &Leg, (slot, want): (SlotId, Want), track: Option<TrackId>) {
        let (shard, endpoint) = (leg.shard, leg.endpoint);
        let owner = track.and_then(|track| ctx.planes.sender_of(track)).and_then(|seat| self.members.get(&seat.number));
        let home = owner.and_then(|owner| owner.leg.as_ref()).zip(track);
        let import = home.and_then(|(home, track)| home.import(shard, track));
        let commands = [Command::Want { endpoint, slot, want }, Command::Show { endpoint, slot, track }];
        for command in import.into_iter().chain(commands) {
            ctx.emit(Output::Media { shard, command: Box::new(command) });
        }
    }

    /// Tracks of others: what is on before what is off, shared screens first, then whoever has spoken last, then in the
    /// order of arrival.
    pub(crate) fn ranked(&self, number: u32, is_audio: bool) -> Vec<TrackId> {
        let rank = |known: &Known| {
            let spoke =
                self.forwarding.speakers.iter().position(|speaker| *speaker == known.owner).unwrap_or(usize::MAX);
            (!self.is_on(known), !known.is_screen, spoke)
        };
        let others = self.forwarding.tracks.iter().filter(|(_, it)| it.owner != number && it.is_audio == is_audio);
        let mut tracks: Vec<_> = others.map(|(track, known)| (rank(known), *track, known.id)).collect();
        tracks.sort_unstable();
        tracks.into_iter().map(|(.., id)| id).collect()
    }

    /// Its owner sends it.
    fn is_on(&self, known: &Known) -> bool {
        let media = self.members.get(&known.owner).map(|member| member.who.media).unwrap_or_default();
        if known.is_screen {
            media.screen
        } else if known.is_audio {
            media.audio
        } else {
            media.video
        }
    }

    pub(crate) fn watch(&mut self, ctx: &mut Context, number: u32, slots: Vec<Slot>) -> Answer {
        self.only_accepted(number)?;
        if self.members.get(&number).is_some_and(|member| !member.may.subscribe) {
            return Err(Refusal::new(Reason::NotPermitted, "you do not get what the others send"));
        }
        let Some(leg) = self.members.get(&number).and_then(|member| member.leg.as_ref()) else {
            return Err(Refusal::new(Reason::NotJoined, "expected `media_offer` before `watch`"));
        };
        let mut shown = Vec::new();
        for Slot { mid, track, height, priority } in slots {
            let Some(slot) = leg.slots.get(&mid) else {
                let mid: String = mid.chars().take(20).filter(|c| !c.is_control()).collect();
                let detail = format!("no m-line `{mid}` of your offer receives: expected one of them in `slots`");
                return Err(Refusal::new(Reason::Malformed, detail));
            };
            // Who sends it may have gone while this was on its way: then nothing comes.
            let track = track.as_deref().and_then(parse_name).and_then(|track| self.forwarding.tracks.get(&track));
            if let Some(known) = track.filter(|known| known.is_audio != (slot.kind == Kind::Audio)) {
                let (got, expected) = if known.is_audio { ("sound", "pictures") } else { ("pictures", "sound") };
                let detail = format!("expected a track of {expected} for m-line `{mid}`, got one of {got}");
                return Err(Refusal::new(Reason::Malformed, detail));
            }
            let track = track.filter(|known| known.owner != number).map(|known| known.id);
            shown.push(((slot.id, Want { height, priority, most: None }), track));
        }
        shown.into_iter().for_each(|(slot, track)| self.show(ctx, leg, slot, track));
        Ok(())
    }

    // --- the host's ---

    pub(crate) fn mute(&mut self, ctx: &mut Context, number: u32, who: &str, source: Source) -> Answer {
        self.only_host(number)?;
        let other = self.anyone(who)?;
        if self.stop(ctx, other, source, true) {
            self.tell_participant(ctx, other, 0);
        }
        self.tell(ctx, other, Event::Muted { by: identity(number), source });
        Ok(())
    }

    /// Stops tracks of one kind of somebody, or lets them through again. Tells whether that changes anything.
    pub(crate) fn stop(&mut self, ctx: &mut Context, number: u32, source: Source, muted: bool) -> bool {
        let Some(leg) = self.members.get_mut(&number).and_then(|member| member.leg.as_mut()) else { return false };
        let shard = leg.shard;
        let mut changed = false;
        for sent in leg.tracks.values_mut().filter(|sent| sent.source == source && sent.stopped != muted) {
            sent.stopped = muted;
            changed = true;
            ctx.emit(Output::Media { shard, command: Box::new(Command::Mute { track: sent.id, muted }) });
        }
        changed
    }

    pub(crate) fn force_topology(&mut self, ctx: &mut Context, now: Now, number: u32, sfu: bool) -> Answer {
        self.only_host(number)?;
        if sfu && !ctx.planes.are_there() {
            return Err(Refusal::new(Reason::Forbidden, "this server forwards no media"));
        }
        let before = std::mem::replace(&mut self.forwarding.forced, sfu);
        let topology = self.forwarding.topology;
        self.choose_topology(ctx, now);
        // A change of the way tells the room by itself.
        if before != sfu && topology == self.forwarding.topology {
            self.tell_room(ctx);
        }
        Ok(())
    }

    // --- which way ---

    /// After whatever may change it. Up at once, down after a while: who has just left may come back.
    pub(crate) fn choose_topology(&mut self, ctx: &mut Context, now: Now) {
        let browsers = self.members.values().filter(|member| member.is_in()).count();
        let situation = topology::Situation {
            available: ctx.planes.are_there(),
            forced: self.forwarding.forced
                || self.members.values().any(|member| member.is_guest() || (member.is_in() && member.is_limited())),
            participants: u32::try_from(browsers).unwrap_or(u32::MAX),
            direct: ctx.config.mesh,
        };
        let seat = Seat { room: self.key, number: 0 };
        let is_up = self.forwarding.topology == Topology::Sfu;
        match (topology::wanted(situation), is_up, self.forwarding.back_at) {
            (Wanted::Sfu, true, Some(at)) => {
                ctx.timers.cancel(at, Timer::Topology(seat));
                self.forwarding.back_at = None;
            }
            (Wanted::Sfu, false, _) => self.set_topology(ctx, Topology::Sfu),
            (Wanted::Never, true, _) => self.set_topology(ctx, Topology::P2p),
            (Wanted::P2p, true, None) if browsers > 0 => {
                let at = deadline(now, topology::BACK_AFTER);
                self.forwarding.back_at = Some(at);
                ctx.timers.set(at, Timer::Topology(seat));
            }
            _ => {}
        }
    }

    pub(crate) fn on_topology_timeout(&mut self, ctx: &mut Context) {
        self.forwarding.back_at = None;
        self.set_topology(ctx, Topology::P2p);
    }

    fn set_topology(&mut self, ctx: &mut Context, topology: Topology) {
        if std::mem::replace(&mut self.forwarding.topology, topology) != topology {
            self.tell_room(ctx);
        }
    }

    /// Nobody is in any more.
    pub(crate) fn end_forwarding(&mut self, ctx: &mut Context) {
        if let Some(at) = self.forwarding.back_at {
            ctx.timers.cancel(at, Timer::Topology(Seat { room: self.key, number: 0 }));
        }
        self.forwarding = Forwarding::default();
    }

    // --- what the plane tells ---

    pub(crate) fn on_media(&mut self, ctx: &mut Context, now: Now, number: u32, event: media::Event) {
        match event {
            media::Event::Ended(..) if self.members.get(&number).is_some_and(|member| member.is_guest()) => {
                self.depart(ctx, now, number, LeaveReason::Left);
            }
            media::Event::Connected(_) => self.on_guest_connected(ctx, number),
            media::Event::Found(..) => self.on_guest_found(ctx, number),
            media::Event::Lost(_) => self.on_guest_lost(ctx, now, number),
            media::Event::Ended(_, why) => {
                let changed = self.drop_leg(ctx, number);
                self.tell(ctx, number, Event::MediaEnded { detail: why.to_string() });
                if changed {
                    self.tell_participant(ctx, number, 0);
                }
                self.choose_topology(ctx, now);
            }
            media::Event::Layer { slot, layer, .. } => {
                let Some(member) = self.members.get(&number) else { return };
                let Some((transport, leg)) = member.transport().zip(member.leg.as_ref()) else { return };
                let Some(mid) = leg.slots.iter().find(|(_, known)| known.id == slot).map(|(mid, _)| mid.clone()) else {
                    return;
                };
                let layer =
                    layer.map(|media::Layer { stream, spatial, temporal }| signal::Layer { stream, spatial, temporal });
                ctx.note(transport, Note::Layers { slots: vec![SlotLayer { mid, layer }] });
            }
            media::Event::Watched { track, streams } => {
                let sent = self.members.get(&number).and_then(|member| member.leg.as_ref());
                let sent =
                    sent.and_then(|leg| leg.tracks.values().find(|sent| sent.id == track)).map(|sent| sent.number);
                if let Some(sent) = sent {
                    self.tell(ctx, number, Event::Watched { track: name(sent), layers: streams });
                }
            }
            _ => {}
        }
    }

    /// The plane of a shard has forgotten everybody.
    pub(crate) fn lose_media(&mut self, ctx: &mut Context, now: Now, shard: usize) {
        let is_there = |member: &Participant| member.leg.as_ref().is_some_and(|leg| leg.shard == shard);
        let connected = self.members.iter().filter(|(_, member)| is_there(member));
        for number in connected.map(|(number, _)| *number).collect::<Vec<_>>() {
            if self.members.get(&number).is_some_and(|member| member.is_guest()) {
                self.depart(ctx, now, number, LeaveReason::Lost);
                continue;
            }
            let changed = self.drop_leg(ctx, number);
            self.tell(ctx, number, Event::MediaEnded { detail: "the media plane has begun anew".to_owned() });
            if changed {
                self.tell_participant(ctx, number, 0);
            }
        }
    }

    /// The latest who have spoken, that one first.
    pub(crate) fn on_speaking(&mut self, ctx: &mut Context, recent: &[TrackId]) {
        let mut speakers: Vec<u32> =
            recent.iter().filter_map(|track| ctx.planes.sender_of(*track)).map(|seat| seat.number).collect();
        speakers.truncate(MOST_SPEAKERS);
        if speakers == self.forwarding.speakers {
            return;
        }
        let participants: Vec<String> = speakers.iter().map(|number| identity(*number)).collect();
        self.forwarding.speakers = speakers;
        self.fill_all(ctx);
        for transport in self.members.values().filter(|member| member.is_in()).filter_map(|member| member.transport()) {
            ctx.note(transport, Note::Speakers { participants: participants.clone() });
        }
    }
}

fn gone() -> Refusal {
    Refusal::new(Reason::NoSuchParticipant, "you are not in this room any more")
}

/// `t5`.
pub(crate) fn name(track: u32) -> String {
    format!("t{track}")
}

fn parse_name(text: &str) -> Option<u32> {
    text.strip_prefix('t')?.parse().ok()
}

/// M-lines that send.
const MOST_SENDS: usize = 16;
/// More are of no use to anybody.
const MOST_SPEAKERS: usize = 5;
