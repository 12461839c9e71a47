//! A room: who is in it, who is its host, and what everybody is told.
//!
//! ```text
//!             enter (room open, or first)                    lost            30 s
//!  newcomer ───────────────────────────────► Here ◄────────► Away ─────────► gone
//!      └──────► Ringing ── accept ────────────┘ └── leave, remove, end ──────► gone
//!                  └──── decline, leave ─────────────────────────────────────► gone
//! ```
//!
//! What a client asks for is in `requests` and `relaying`, how it comes back in `presence`, what is stored in `keep`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_api::signal::{
    self, ClientKind, Counts, Door, Entry, Event, Joined, LeaveReason, Limits, Media, Note, Presence, Reason, Seen,
};

use crate::context::{Context, Refusal, RoomKey, Seat, deadline};
use crate::family::Family;
use crate::forwarding::Forwarding;
use crate::ice_servers;
use crate::interface::{Happening, Now, Origin, Output, Record, RoomView, TransportId};
use crate::participant::{Admission, Keys, Link, Pace, Participant, Who, identity};
use crate::rights::{Right, token_needed};
use crate::session::Session;
use crate::timers::Timer;

/// What was settled when the room was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub entry: Entry,
    pub relay_only: bool,
    pub max_participants: Option<u32>,
    /// Made through the API: stays when empty.
    pub created: bool,
    /// Nobody enters without a token.
    pub tokens: bool,
}

/// What runs from the first one's coming to the last one's going.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub id: String,
    pub started_at: u64,
}

/// Somebody who wants in; the names are in their kept form.
pub(crate) struct Newcomer {
    pub name: String,
    pub hide_address: bool,
    pub media: Media,
    pub entry: Entry,
    pub encrypted: bool,
    /// By what.
    pub right: Right,
}

/// One room.
///
/// Size: what belongs together is in children; these are of the room as a whole.
pub(crate) struct Room {
    pub(crate) key: RoomKey,
    pub(crate) name: String,
    pub(crate) rules: Rules,
    pub(crate) made_at: u64,
    pub(crate) locked: bool,
    /// Newcomers send nothing until they are let.
    pub(crate) watch_only: bool,
    /// What a third party keeps with it.
    pub(crate) metadata: Option<String>,
    pub(crate) family: Family,
    pub(crate) forwarding: Forwarding,
    pub(crate) running: Option<Running>,
    /// Zero when nobody is in.
    pub(crate) host: u32,
    pub(crate) last_number: u32,
    /// In the order of arrival. Boxed: a node of the map has space for eleven, most rooms have two.
    pub(crate) members: BTreeMap<u32, Box<Participant>>,
    /// Those for whom too much waits; they are put out once everyone has been told what is being told.
    pub(crate) overflowed: Vec<u32>,
    /// What is stored of it is out of date.
    pub(crate) changed: bool,
    /// Something of it is stored.
    pub(crate) stored: bool,
}

impl Room {
    pub(crate) fn new(key: RoomKey, name: String, rules: Rules, now: Now) -> Self {
        Self {
            key,
            name,
            rules,
            made_at: now.unix_ms,
            locked: false,
            watch_only: false,
            metadata: None,
            family: Family::default(),
            forwarding: Forwarding::default(),
            running: None,
            host: 0,
            last_number: 0,
            members: BTreeMap::new(),
            overflowed: Vec::new(),
            changed: false,
            stored: false,
        }
    }

    /// Nobody in it, and nobody asked for it to stay.
    pub(crate) fn is_over(&self) -> bool {
        self.members.is_empty() && !self.rules.created && self.family.breakouts.is_empty()
    }

    pub(crate) fn session(&self) -> String {
        self.running.as_ref().map(|running| running.id.clone()).unwrap_or_default()
    }

    pub(crate) fn seat(&self, number: u32) -> Seat {
        Seat { room: self.key, number }
    }

    pub(crate) fn user(&self, number: u32) -> String {
        ice_servers::user(self.running.as_ref().map_or("", |running| &running.id), &identity(number))
    }

    pub(crate) fn is_relay_only(&self, ctx: &Context) -> bool {
        self.rules.relay_only || ctx.config.relay_only
    }

    pub(crate) fn needs_token(&self, ctx: &Context) -> bool {
        self.rules.tokens || ctx.config.tokens
    }

    pub(crate) fn most_participants(&self, ctx: &Context) -> u32 {
        self.rules.max_participants.map_or(ctx.config.max_participants, |own| own.min(ctx.config.max_participants))
    }

    // --- what is seen of it ---

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for member in self.members.values().filter(|member| member.is_in()) {
            counts.participants += 1;
            counts.audio += u32::from(member.who.media.audio);
            counts.video += u32::from(member.who.media.video);
            counts.screen += u32::from(member.who.media.screen);
        }
        counts
    }

    pub(crate) fn view(&self, ctx: &Context) -> signal::Room {
        signal::Room {
            name: self.name.clone(),
            host: if self.host == 0 { String::new() } else { identity(self.host) },
            locked: self.locked,
            entry: self.rules.entry,
            relay_only: self.is_relay_only(ctx),
            topology: self.forwarding.topology,
            always_sfu: self.forwarding.forced,
            tokens: self.needs_token(ctx),
            watch_only: self.watch_only,
            metadata: self.metadata.clone(),
            parent: self.family.parent.clone(),
            breakouts: self.family.breakouts.clone(),
            started_at: self.running.as_ref().map_or(self.made_at, |running| running.started_at),
            counts: self.counts(),
        }
    }

    pub(crate) fn roster(&self) -> Vec<signal::Participant> {
        self.members.iter().map(|(number, member)| member.view(*number)).collect()
    }

    pub(crate) fn view_for_others(&self, ctx: &Context) -> RoomView {
        let session = self.running.as_ref().map(|running| running.id.clone());
        RoomView { room: self.view(ctx), session, participants: self.roster() }
    }

    /// As one sees it who has not entered. A door that is not open tells nothing of those behind it.
    pub(crate) fn seen(&self, ctx: &Context) -> Seen {
        let door = match (self.host, self.locked, self.rules.entry) {
            _ if self.family.parent.is_some() => Door::Breakout,
            _ if self.needs_token(ctx) => Door::Token,
            (0, _, _) => Door::Empty,
            (_, true, _) => Door::Locked,
            (_, false, Entry::Ring) => Door::Ring,
            (_, false, Entry::Open) => Door::Open,
        };
        if door != Door::Open {
            return Seen { door, participants: 0, names: Vec::new() };
        }
        let present = self.members.values().filter(|member| member.is_in());
        let names = present.take(MOST_NAMES).map(|member| member.who.name.clone()).collect();
        Seen { door, participants: self.counts().participants, names }
    }

    // --- telling ---

    pub(crate) fn tell(&mut self, ctx: &mut Context, number: u32, event: impl Into<Arc<Event>>) {
        let Some(member) = self.members.get_mut(&number) else { return };
        if !member.tell(ctx, event.into()) && !self.overflowed.contains(&number) {
            self.overflowed.push(number);
        }
    }

    pub(crate) fn tell_all(&mut self, ctx: &mut Context, event: Event) {
        self.tell_all_but(ctx, 0, event);
    }

    pub(crate) fn tell_all_but(&mut self, ctx: &mut Context, except: u32, event: Event) {
        let event = Arc::new(event);
        for (number, member) in self.members.iter_mut().filter(|(number, _)| **number != except) {
            if !member.tell(ctx, Arc::clone(&event)) && !self.overflowed.contains(number) {
                self.overflowed.push(*number);
            }
        }
    }

    /// Lock, host or counts have changed.
    pub(crate) fn tell_room(&mut self, ctx: &mut Context) {
        self.changed = true;
        let event = Event::RoomChanged { room: self.view(ctx) };
        self.tell_all(ctx, event);
    }

    pub(crate) fn tell_participant(&mut self, ctx: &mut Context, number: u32, except: u32) {
        let Some(member) = self.members.get(&number) else { return };
        let event = Event::ParticipantChanged { participant: member.view(number) };
        self.tell_all_but(ctx, except, event);
    }

    // --- coming ---

    pub(crate) fn enter(
        &mut self,
        ctx: &mut Context,
        now: Now,
        (transport, origin): (TransportId, Origin),
        newcomer: Newcomer,
    ) -> Result<(), Refusal> {
        let right = newcomer.right;
        let number = self.place(ctx, origin.address, &right)?;
        let is_first = self.members.is_empty();
        let may = right.may(self.watch_only && !is_first);
        let card = right.card();
        let by_link = right.identity().is_none() && self.family.parent.is_none();
        let can_host = may.admin || by_link;
        let twin = right.identity().and_then(|identity| self.who_is(identity));
        if is_first {
            self.begin(ctx, now, number, newcomer.entry);
        } else if can_host && self.members.get(&self.host).is_some_and(|host| !self.can_host(host)) {
            // Until now nobody was in who could decide anything.
            self.host = number;
        }
        if let Right::Pass(hash, pass) = &right {
            ctx.passes.take(hash);
            if pass.host {
                self.host = number;
            }
        }
        let rings = self.rules.entry == Entry::Ring && number != self.host && !right.is_invitation();
        let admission = if rings { Admission::Ringing } else { Admission::In };
        let (token, hash) = ctx.tokens.issue(self.seat(number));
        let who = Who {
            name: newcomer.name,
            media: newcomer.media.within(may.publish),
            hide_address: newcomer.hide_address,
            encrypted: newcomer.encrypted,
            client: origin.client,
            epoch: 1,
            joined_at: now.unix_ms,
        };
        let participant = Participant {
            who,
            may,
            card,
            admission,
            link: Link::Open(transport),
            host: origin.host.into(),
            port: origin.port,
            session: Session::default(),
            keys: Keys { current: hash, previous: None },
            pace: Pace::new(now.instant),
            paths: BTreeMap::new(),
            renewal: None,
            hand: None,
            leg: None,
        };
        self.members.insert(number, Box::new(participant));
        ctx.seats.insert(transport, self.seat(number));
        ctx.stats.participants += 1;
        ctx.stats.joins += 1;
        self.welcome(ctx, now, number, token);
        self.announce(ctx, now, number);
        if let Some(twin) = twin {
            self.depart(ctx, now, twin, LeaveReason::Replaced);
        }
        self.choose_topology(ctx, now);
        self.make_room(ctx, now);
        Ok(())
    }

    /// Whoever is in under an identity that a third party has given.
    pub(crate) fn who_is(&self, identity: &str) -> Option<u32> {
        self.members.iter().find(|(_, member)| member.identity() == Some(identity)).map(|(number, _)| *number)
    }

    /// A number for one who comes from there. It may be one too many, until [`Self::make_room`].
    pub(crate) fn place(&mut self, ctx: &Context, address: IpAddr, right: &Right) -> Result<u32, Refusal> {
        if let Some(parent) = self.family.parent.as_ref().filter(|_| !matches!(right, Right::Pass(..))) {
            let detail = format!("This is a breakout room of `{parent}`: enter there, and go on from there.");
            return Err(Refusal::new(Reason::Forbidden, detail));
        }
        if self.needs_token(ctx) && !right.is_invitation() {
            return Err(token_needed());
        }
        if self.locked && !right.opens_locks() {
            return Err(Refusal::new(Reason::RoomLocked, "The host has locked this room: nobody else enters."));
        }
        let most = self.most_participants(ctx);
        let is_full = self.members.len() >= usize::try_from(most).unwrap_or(usize::MAX);
        if is_full && !self.has_superfluous(address) {
            return Err(Refusal::new(Reason::RoomFull, format!("This room is full: at most {most} fit in.")));
        }
        self.next_number()
    }

    fn next_number(&mut self) -> Result<u32, Refusal> {
        let full = || Refusal::new(Reason::RoomFull, "This session has had as many visitors as it can number.");
        self.last_number = self.last_number.checked_add(1).ok_or_else(full)?;
        Ok(self.last_number)
    }

    /// The first one is the host, and decides how others enter unless that was settled before.
    pub(crate) fn begin(&mut self, ctx: &mut Context, now: Now, number: u32, entry: Entry) {
        if !self.rules.created {
            self.rules.entry = entry;
        }
        self.host = number;
        let session = ctx.tokens.session();
        self.running = Some(Running { id: session.clone(), started_at: now.unix_ms });
        ctx.stats.sessions += 1;
        let room = self.name.clone();
        ctx.emit(Output::Record(Record::SessionStarted { session, room, at: now.unix_ms }));
        self.hook(ctx, || Happening::RoomStarted);
    }

    /// Tells one everything it needs to begin, or to begin again.
    pub(crate) fn welcome(&mut self, ctx: &mut Context, now: Now, number: u32, resume_token: String) {
        let ice_servers = self.ice_servers(ctx, now, number);
        let joined = Joined {
            you: identity(number),
            resume_token,
            resume_ms: u64::try_from(ctx.config.resume.as_millis()).unwrap_or(u64::MAX),
            room: self.view(ctx),
            participants: self.roster(),
            ice_servers,
            limits: self.limits(ctx),
        };
        self.changed = true;
        self.tell(ctx, number, Event::Joined(Box::new(joined)));
    }

    fn limits(&self, ctx: &Context) -> Limits {
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Limits {
            frame_bytes: number(ctx.config.frame_bytes),
            sdp_bytes: number(ctx.config.sdp_bytes),
            chat_chars: number(ctx.config.chat_chars),
            name_chars: number(tandem_policy::names::PERSON_CHARS),
            participants: self.most_participants(ctx),
            mesh: ctx.config.mesh,
            sfu: ctx.planes.are_there(),
        }
    }

    /// Fresh credentials, and the next ones in time.
    pub(crate) fn ice_servers(&mut self, ctx: &mut Context, now: Now, number: u32) -> Vec<signal::IceServer> {
        let (user, seat) = (self.user(number), self.seat(number));
        let Some(member) = self.members.get_mut(&number) else { return Vec::new() };
        if let Some(relay) = &ctx.config.relay {
            let at = deadline(now, (relay.ttl / 4).saturating_mul(3).max(SHORTEST_RENEWAL));
            if let Some(before) = member.renewal.replace(at) {
                ctx.timers.cancel(before, Timer::Credentials(seat));
            }
            ctx.timers.set(at, Timer::Credentials(seat));
        }
        ice_servers::ice_servers(&ctx.config, (&member.host, member.port), &user, now.unix_ms)
    }

    pub(crate) fn announce(&mut self, ctx: &mut Context, now: Now, number: u32) {
        let Some(member) = self.members.get(&number) else { return };
        let is_in = member.is_in();
        let event = Event::ParticipantJoined { participant: member.view(number) };
        self.tell_all_but(ctx, number, event);
        if is_in {
            self.record_joined(ctx, now, number);
            let event = Event::RoomChanged { room: self.view(ctx) };
            self.tell_all_but(ctx, number, event);
        }
    }

    pub(crate) fn record_joined(&self, ctx: &mut Context, now: Now, number: u32) {
        let Some(member) = self.members.get(&number) else { return };
        ctx.emit(Output::Record(Record::Joined {
            session: self.session(),
            participant: identity(number),
            name: member.who.name.clone(),
            client: member.who.client,
            at: now.unix_ms,
        }));
        self.hook_joined(ctx, number);
    }

    // --- going ---

    /// One is gone: the others are told, and get another host if it was theirs.
    pub(crate) fn depart(&mut self, ctx: &mut Context, now: Now, number: u32, reason: LeaveReason) {
        let Some(was_in) = self.put_out(ctx, now, number, reason) else { return };
        self.changed = true;
        for member in self.members.values_mut() {
            member.paths.remove(&number);
        }
        let event = Event::ParticipantLeft { participant: identity(number), reason };
        self.tell_all(ctx, event);
        if !was_in {
            return;
        }
        if self.host == number {
            let next = self.next_host();
            self.make_host(ctx, now, next);
        }
        if self.host == 0 {
            // Those who still ring must not inherit a room that nobody let them into.
            self.end(ctx, now, reason);
        } else {
            self.tell_room(ctx);
            self.choose_topology(ctx, now);
        }
    }

    /// Everybody is out.
    pub(crate) fn end(&mut self, ctx: &mut Context, now: Now, of_session: LeaveReason) {
        while let Some(number) = self.members.keys().next().copied() {
            self.put_out(ctx, now, number, LeaveReason::Ended);
        }
        self.changed = true;
        self.end_forwarding(ctx);
        self.overflowed.clear();
        self.host = 0;
        self.last_number = 0;
        self.locked = false;
        self.watch_only &= self.rules.created;
        if self.running.is_some() {
            self.hook(ctx, || Happening::RoomFinished);
        }
        let Some(running) = self.running.take() else { return };
        ctx.stats.sessions = ctx.stats.sessions.saturating_sub(1);
        let session = running.id;
        ctx.emit(Output::Record(Record::SessionEnded { session, reason: of_session, at: now.unix_ms }));
    }

    /// Takes one out of everything that knows it. Tells whether it had been in, as far as it was here at all.
    fn put_out(&mut self, ctx: &mut Context, now: Now, number: u32, reason: LeaveReason) -> Option<bool> {
        let (user, seat) = (self.user(number), self.seat(number));
        let mut member = self.members.remove(&number)?;
        let was = ctx.config.hooks.then(|| member.view(number));
        if let Some(leg) = member.leg.take() {
            if let Some(was) = &was {
                self.hook_unpublished(ctx, was, leg.tracks.values());
            }
            self.forget_leg(ctx, &leg);
        }
        // Nothing is kept for it any longer, so whether it still fits does not matter.
        let _ = member.tell(ctx, Event::Out { reason }.into());
        match member.link {
            Link::Open(transport) => {
                ctx.seats.remove(&transport);
                ctx.emit(Output::Close { transport });
            }
            Link::Lost { until } => ctx.timers.cancel(until, Timer::Away(seat)),
            Link::Media { until, awaited } => {
                until.into_iter().for_each(|until| ctx.timers.cancel(until, Timer::Away(seat)));
                awaited.into_iter().for_each(|ticket| ctx.planes.awaited.dismiss(ticket, seat));
            }
        }
        if let Some(at) = member.renewal {
            ctx.timers.cancel(at, Timer::Credentials(seat));
        }
        ctx.tokens.forget(&member.keys.current);
        if let Some(previous) = &member.keys.previous {
            ctx.tokens.forget(previous);
        }
        ctx.stats.participants = ctx.stats.participants.saturating_sub(1);
        if ctx.config.relay.is_some() {
            ctx.emit(Output::Revoke { user });
        }
        if member.is_in() {
            let (session, participant, at) = (self.session(), identity(number), now.unix_ms);
            ctx.emit(Output::Record(Record::Left { session, participant, reason, at }));
            if let Some(was) = was {
                self.hook_left(ctx, was, reason);
            }
        }
        Some(member.is_in())
    }

    /// The longest present of those who can act as host best. Zero when nobody is in.
    pub(crate) fn next_host(&self) -> u32 {
        let fitness = |member: &Participant| {
            let is_web = member.who.client == ClientKind::Web;
            (member.presence() == Presence::Here, is_web, self.can_host(member))
        };
        let present = self.members.iter().filter(|(_, member)| member.is_in());
        // Of equals `max_by_key` takes the last: the one who came first, in reverse order.
        present.rev().max_by_key(|(_, member)| fitness(member)).map_or(0, |(number, _)| *number)
    }

    /// Puts out those who read too slowly, and those who thereby became so.
    pub(crate) fn settle(&mut self, ctx: &mut Context, now: Now) {
        while let Some(number) = self.overflowed.pop() {
            ctx.stats.too_slow += 1;
            self.depart(ctx, now, number, LeaveReason::TooSlow);
        }
    }

    /// The transport is told why and closed; the place stays for a while.
    pub(crate) fn cut(&mut self, ctx: &mut Context, now: Now, number: u32, refusal: Refusal) {
        let Some(transport) = self.members.get(&number).and_then(|member| member.transport()) else { return };
        ctx.refuse(transport, refusal);
        ctx.seats.remove(&transport);
        self.lose(ctx, now, number);
    }

    pub(crate) fn say_draining(&self, ctx: &mut Context, reconnect_ms: u64) {
        for transport in self.members.values().filter_map(|member| member.transport()) {
            ctx.note(transport, Note::Draining { reconnect_ms });
        }
    }
}

/// However short-lived credentials are: telling new ones has an end.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);
/// Enough for a sentence.
const MOST_NAMES: usize = 5;
