//! Losing the transport and coming back.

use tandem_api::signal::{ClientKind, Event, LeaveReason, Note, Reason, Resume, ServerFrame};

use crate::context::{Context, Refusal, deadline};
use crate::interface::{Now, Origin, Output, TransportId};
use crate::participant::{Keys, Link, Participant};
use crate::room::Room;
use crate::timers::Timer;
use crate::tokens::TokenHash;

impl Room {
    /// The transport is gone, its entry in `seats` too.
    pub(crate) fn lose(&mut self, ctx: &mut Context, now: Now, number: u32) {
        let seat = self.seat(number);
        let Some(member) = self.members.get_mut(&number) else { return };
        if member.who.client == ClientKind::Classic {
            // That vocabulary has no way back.
            return self.depart(ctx, now, number, LeaveReason::Left);
        }
        let until = deadline(now, ctx.config.resume);
        member.link = Link::Lost { until };
        ctx.timers.set(until, Timer::Away(seat));
        if member.is_in() {
            self.tell_participant(ctx, number, number);
        }
    }

    /// The time to come back has passed.
    pub(crate) fn on_away_timeout(&mut self, ctx: &mut Context, now: Now, number: u32) {
        if self.members.get(&number).is_some_and(|member| member.transport().is_none()) {
            self.depart(ctx, now, number, LeaveReason::Lost);
        }
    }

    /// The TURN credentials are getting old: others are told, unasked.
    pub(crate) fn on_credentials_timeout(&mut self, ctx: &mut Context, now: Now, number: u32) {
        let Some(member) = self.members.get_mut(&number) else { return };
        member.renewal = None;
        let ice_servers = self.ice_servers(ctx, now, number);
        self.tell(ctx, number, Event::IceServers { ice_servers });
    }

    /// One comes back with a token that was found to be of this place.
    pub(crate) fn resume(
        &mut self,
        ctx: &mut Context,
        now: Now,
        (number, hash): (u32, TokenHash),
        (transport, origin): (TransportId, Origin),
        resume: &Resume,
    ) -> Result<(), Refusal> {
        let seat = self.seat(number);
        let expired = || Refusal::new(Reason::ResumeExpired, "Your place is gone: join again.");
        let member = self.members.get_mut(&number).filter(|member| !member.is_guest()).ok_or_else(expired)?;
        let has_current = member.keys.current.is(&hash);
        if !has_current && !member.keys.previous.is_some_and(|previous| previous.is(&hash)) {
            return Err(expired());
        }
        supersede(ctx, member, Timer::Away(seat));
        member.link = Link::Open(transport);
        (member.host, member.port) = (origin.host.into(), origin.port);
        ctx.seats.insert(transport, seat);
        ctx.stats.resumes += 1;
        if has_current {
            self.on_token_known(ctx, number);
        }
        let goes_on = |last| self.members.get(&number).is_some_and(|member| member.session.can_continue_after(last));
        match resume.last.filter(|last| has_current && goes_on(*last)) {
            Some(last) => self.go_on(ctx, number, transport, last),
            None => self.begin_again(ctx, now, number, resume),
        }
        Ok(())
    }

    /// What the client misses is told again, then that it is back.
    fn go_on(&mut self, ctx: &mut Context, number: u32, transport: TransportId, last: u64) {
        let Some(member) = self.members.get_mut(&number) else { return };
        member.session.acknowledge(last);
        ctx.note(transport, Note::Resumed { received: member.session.received() });
        for event in member.session.unacknowledged() {
            ctx.emit(Output::Send { transport, frame: ServerFrame::Event(event.clone()) });
        }
        if member.is_in() {
            // Itself, too: what it missed may have shown it away.
            self.tell_participant(ctx, number, 0);
        }
    }

    /// One of the two sides remembers nothing: both numberings start at 1. A page that was reloaded has lost its peer
    /// connections, too, which its raised epoch tells the others.
    fn begin_again(&mut self, ctx: &mut Context, now: Now, number: u32, resume: &Resume) {
        let seat = self.seat(number);
        let before = self.counts();
        let Some(member) = self.members.get_mut(&number) else { return };
        if resume.last.is_none() {
            member.who.epoch = member.who.epoch.saturating_add(1);
            member.who.media = resume.media.within(member.may.publish);
            member.paths.clear();
        }
        // Whoever begins again connects again.
        self.drop_leg(ctx, number);
        let Some(member) = self.members.get_mut(&number) else { return };
        let unseen = std::mem::take(&mut member.session).into_unacknowledged();
        let (token, hash) = ctx.tokens.issue(seat);
        // Which of its tokens the client has seen is known for the older one only: a newer one may have been lost.
        let known = *member.keys.known();
        if !member.keys.current.is(&known) {
            ctx.tokens.forget(&member.keys.current);
        }
        member.keys = Keys { current: hash, previous: Some(known) };
        self.welcome(ctx, now, number, token);
        // What others have said meanwhile is not in the roster.
        for event in unseen.filter(|event| outlives(event, resume.last.is_none())) {
            self.tell(ctx, number, event);
        }
        self.tell_participant(ctx, number, number);
        if self.counts() != before {
            self.tell_room(ctx);
        }
    }

    /// The client has its newest token: the older one is of no use.
    pub(crate) fn on_token_known(&mut self, ctx: &mut Context, number: u32) {
        let Some(member) = self.members.get_mut(&number) else { return };
        if let Some(previous) = member.keys.previous.take() {
            ctx.tokens.forget(&previous);
            self.changed = true;
        }
    }
}

/// Whether an event that was not seen is told again under new numbers. What concerns peer connections means nothing to a
/// page that has lost them; what the roster tells is in `joined`.
fn outlives(event: &Event, reloaded: bool) -> bool {
    match event {
        Event::Chat { .. } | Event::Message { .. } => true,
        Event::Offer { .. } | Event::Answer { .. } | Event::Candidate { .. } => !reloaded,
        Event::Muted { .. } => true,
        Event::Joined(_)
        | Event::Reply { .. }
        | Event::ParticipantJoined { .. }
        | Event::ParticipantChanged { .. }
        | Event::ParticipantLeft { .. }
        | Event::RoomChanged { .. }
        | Event::IceServers { .. }
        | Event::MediaAnswer { .. }
        | Event::MediaEnded { .. }
        | Event::Watched { .. }
        | Event::Moved { .. }
        | Event::Out { .. } => false,
    }
}

/// The newer transport counts; the older one, if any, is told so and closed.
fn supersede(ctx: &mut Context, member: &Participant, away: Timer) {
    match member.link {
        Link::Open(transport) => {
            ctx.seats.remove(&transport);
            let detail = "You have gone on over another connection.".to_owned();
            ctx.note(transport, Note::Refused { reason: Reason::AlreadyJoined, detail, fatal: true });
            ctx.emit(Output::Close { transport });
        }
        Link::Lost { until } => ctx.timers.cancel(until, away),
        // Its token is no way back.
        Link::Media { .. } => {}
    }
}
