//! What a client asks for: each request in its turn, at a bounded pace, answered by one reply.
//!
//! What goes from one client to another is in `relaying`.

use tandem_api::signal::{ClientFrame, ClientKind, Event, LeaveReason, Media, Note, Outcome, PathKind, Reason, Source};
use tandem_policy::names::PersonName;
use tandem_policy::rate::Rate;

use crate::context::{Context, Refusal};
use crate::family::Errand;
use crate::interface::{Now, Output, Record, TransportId};
use crate::participant::{Admission, Permit, identity, parse_identity};
use crate::relaying::Caption;
use crate::room::Room;
use crate::session::Turn;

type Answer = Result<(), Refusal>;

impl Room {
    pub(crate) fn handle_frame(
        &mut self,
        ctx: &mut Context,
        now: Now,
        (transport, number): (TransportId, u32),
        frame: ClientFrame,
    ) {
        if let ClientFrame::Ack { n } = frame {
            return self.on_ack(ctx, number, transport, n);
        }
        let Some(member) = self.members.get_mut(&number) else { return };
        let turn = frame.id().map(|id| member.session.take_turn(id));
        if turn == Some(Turn::Repeated) {
            return;
        }
        let rate = Rate { per_second: ctx.config.requests_per_second, burst: ctx.config.requests_burst };
        match (member.pace.permit(now.instant, rate), turn, frame.id()) {
            (Permit::Cut, Some(Turn::Process), Some(id)) => {
                self.reply(ctx, number, id, Err(too_fast(rate)));
                self.cut(ctx, now, number, too_fast(rate));
            }
            (Permit::Cut, _, _) => self.cut(ctx, now, number, too_fast(rate)),
            (Permit::Go, Some(Turn::Process), Some(id)) => self.process(ctx, now, number, id, frame),
            (Permit::TooFast, Some(Turn::Process), Some(id)) => self.reply(ctx, number, id, Err(too_fast(rate))),
            (Permit::Go, Some(Turn::Gap { expected }), Some(got)) => out_of_order(ctx, transport, expected, got),
            (Permit::Go, _, _) => ctx.note(transport, Note::Pong {}),
            (Permit::TooFast, _, _) => ctx.stats.refusals += 1,
        }
    }

    fn on_ack(&mut self, ctx: &mut Context, number: u32, transport: TransportId, n: u64) {
        let Some(member) = self.members.get_mut(&number) else { return };
        if !member.session.acknowledge(n) {
            let detail = format!("`ack` of event {n}, which was never sent");
            return ctx.note(transport, Note::Refused { reason: Reason::OutOfOrder, detail, fatal: false });
        }
        if n > 0 {
            self.on_token_known(ctx, number);
        }
    }

    fn process(&mut self, ctx: &mut Context, now: Now, number: u32, id: u64, frame: ClientFrame) {
        ctx.stats.requests += 1;
        match frame {
            // These two end what the reply would be told to: it comes first.
            ClientFrame::Leave { .. } => {
                self.reply(ctx, number, id, Ok(()));
                self.depart(ctx, now, number, LeaveReason::Left);
            }
            ClientFrame::End { .. } if self.only_host(number).is_ok() => {
                self.reply(ctx, number, id, Ok(()));
                if !self.family.breakouts.is_empty() && self.family.parent.is_none() {
                    ctx.errands.push_back(Errand::End { parent: self.key });
                }
                self.end(ctx, now, LeaveReason::Ended);
            }
            frame => {
                let answer = self.carry_out(ctx, now, number, frame);
                self.reply(ctx, number, id, answer);
            }
        }
    }

    fn carry_out(&mut self, ctx: &mut Context, now: Now, number: u32, frame: ClientFrame) -> Answer {
        match frame {
            ClientFrame::Offer { to, epoch, sdp, .. } => {
                self.pass_description(ctx, number, (&to, epoch), &sdp, |from, sdp| Event::Offer { from, sdp })
            }
            ClientFrame::Answer { to, epoch, sdp, .. } => {
                self.pass_description(ctx, number, (&to, epoch), &sdp, |from, sdp| Event::Answer { from, sdp })
            }
            ClientFrame::Candidate { to, epoch, candidate, .. } => {
                self.pass_candidate(ctx, number, (&to, epoch), candidate)
            }
            ClientFrame::Message { to, data, .. } => self.pass_message(ctx, number, to.as_deref(), data),
            ClientFrame::Chat { text, to, .. } => self.pass_chat(ctx, now, number, &text, to.as_deref()),
            ClientFrame::Media { media, .. } => self.set_media(ctx, number, media),
            ClientFrame::Rename { name, .. } => self.rename(ctx, number, &name),
            ClientFrame::Path { peer, path, .. } => self.note_path(ctx, now, number, &peer, path),
            ClientFrame::IceServers { .. } => self.renew_ice_servers(ctx, now, number),
            ClientFrame::Accept { participant, .. } => self.accept(ctx, now, number, &participant),
            ClientFrame::Decline { participant, .. } => self.decline(ctx, now, number, &participant),
            ClientFrame::Lock { locked, .. } => self.lock(ctx, number, locked),
            ClientFrame::Remove { participant, .. } => self.remove(ctx, now, number, &participant),
            ClientFrame::HandOver { to, .. } => self.hand_over(ctx, now, number, &to),
            ClientFrame::End { .. } => self.only_host(number),
            ClientFrame::MediaOffer { id, sdp, sends } => self.offer_media(ctx, now, (number, id), (&sdp, sends)),
            ClientFrame::Watch { slots, .. } => self.watch(ctx, number, slots),
            ClientFrame::MediaClose { .. } => self.close_media(ctx, number),
            ClientFrame::Hand { raised, .. } => self.raise_hand(ctx, now, number, raised),
            ClientFrame::LowerHand { participant, .. } => self.lower_hand(ctx, number, &participant),
            ClientFrame::Mute { participant, source, .. } => self.mute(ctx, number, &participant, source),
            ClientFrame::Topology { sfu, .. } => self.force_topology(ctx, now, number, sfu),
            ClientFrame::Permit { participant, may, .. } => self.permit(ctx, now, number, &participant, may),
            ClientFrame::Newcomers { watch_only, .. } => {
                self.only_host(number)?;
                self.set_watch_only(ctx, watch_only);
                Ok(())
            }
            ClientFrame::BreakoutOpen { rooms, assign, .. } => self.open_breakouts(ctx, number, rooms, assign),
            ClientFrame::BreakoutClose { .. } => self.close_breakouts(ctx, number),
            ClientFrame::Move { participant, from, to, .. } => {
                self.move_somebody(ctx, number, (&participant, from.as_deref()), &to)
            }
            ClientFrame::Caption { line, text, done, language, .. } => {
                self.pass_caption(ctx, number, Caption { line, text, done, language })
            }
            // Done with before it comes here.
            ClientFrame::Ack { .. } | ClientFrame::Ping {} | ClientFrame::Leave { .. } => Ok(()),
        }
    }

    fn reply(&mut self, ctx: &mut Context, number: u32, to: u64, answer: Answer) {
        let outcome = match answer {
            Ok(()) => Outcome::Ok,
            Err(refusal) => {
                ctx.stats.refusals += 1;
                Outcome::Refused { reason: refusal.reason, detail: refusal.detail }
            }
        };
        self.tell(ctx, number, Event::Reply { to, outcome });
    }

    // --- about oneself ---

    fn set_media(&mut self, ctx: &mut Context, number: u32, wanted: Media) -> Answer {
        let Some(member) = self.members.get_mut(&number) else { return Ok(()) };
        let media = wanted.within(member.may.publish);
        let before = std::mem::replace(&mut member.who.media, media);
        let answer = if media == wanted {
            Ok(())
        } else {
            let detail = "you may not send all of that: whatever you may is on";
            Err(Refusal::new(Reason::NotPermitted, detail))
        };
        if before == media {
            return answer;
        }
        let counted = member.is_in();
        // What the host has stopped goes on once its owner turns it on again.
        let on = [
            (media.audio && !before.audio, &[Source::Microphone][..]),
            (media.video && !before.video, &[Source::Camera]),
            (media.screen && !before.screen, &[Source::Screen, Source::ScreenAudio]),
        ];
        for source in on.into_iter().filter(|(on, _)| *on).flat_map(|(_, sources)| sources) {
            self.stop(ctx, number, *source, false);
        }
        self.tell_participant(ctx, number, 0);
        self.fill_all(ctx);
        if counted {
            self.tell_room(ctx);
        }
        self.changed = true;
        answer
    }

    fn rename(&mut self, ctx: &mut Context, number: u32, name: &str) -> Answer {
        let name = PersonName::parse(name).map_err(|e| Refusal::new(Reason::BadName, e.to_string()))?.into_string();
        let Some(member) = self.members.get_mut(&number) else { return Ok(()) };
        if member.card.as_ref().is_some_and(|card| card.named) {
            return Err(Refusal::new(Reason::NotPermitted, "your name comes from your invitation"));
        }
        if std::mem::replace(&mut member.who.name, name.clone()) != name {
            self.tell_participant(ctx, number, 0);
            self.changed = true;
        }
        Ok(())
    }

    fn note_path(&mut self, ctx: &mut Context, now: Now, number: u32, peer: &str, path: PathKind) -> Answer {
        let other = self.other(number, peer)?;
        let session = self.session();
        let Some(member) = self.members.get_mut(&number) else { return Ok(()) };
        if member.paths.insert(other, path) != Some(path) {
            let (participant, peer, at) = (identity(number), identity(other), now.unix_ms);
            ctx.emit(Output::Record(Record::Path { session, participant, peer, path, at }));
        }
        Ok(())
    }

    fn renew_ice_servers(&mut self, ctx: &mut Context, now: Now, number: u32) -> Answer {
        let ice_servers = self.ice_servers(ctx, now, number);
        self.tell(ctx, number, Event::IceServers { ice_servers });
        Ok(())
    }

    fn raise_hand(&mut self, ctx: &mut Context, now: Now, number: u32, raised: bool) -> Answer {
        self.only_accepted(number)?;
        let Some(member) = self.members.get_mut(&number) else { return Ok(()) };
        if member.hand.is_some() != raised {
            member.hand = raised.then_some(now.unix_ms);
            self.changed = true;
            self.tell_participant(ctx, number, 0);
        }
        Ok(())
    }

    // --- the host's ---

    fn lower_hand(&mut self, ctx: &mut Context, number: u32, who: &str) -> Answer {
        self.only_host(number)?;
        let other = self.anyone(who)?;
        if self.members.get_mut(&other).and_then(|member| member.hand.take()).is_some() {
            self.changed = true;
            self.tell_participant(ctx, other, 0);
        }
        Ok(())
    }

    fn accept(&mut self, ctx: &mut Context, now: Now, number: u32, who: &str) -> Answer {
        self.only_host(number)?;
        let ringing = self.anyone(who)?;
        let Some(member) = self.members.get_mut(&ringing) else { return Ok(()) };
        if member.is_in() {
            return Ok(());
        }
        member.admission = Admission::In;
        // Who was here first decides whom a mesh carries: waiting at the door does not count.
        member.who.joined_at = now.unix_ms;
        self.record_joined(ctx, now, ringing);
        self.tell_participant(ctx, ringing, 0);
        self.tell_room(ctx);
        self.choose_topology(ctx, now);
        Ok(())
    }

    fn decline(&mut self, ctx: &mut Context, now: Now, number: u32, who: &str) -> Answer {
        self.only_host(number)?;
        let ringing = self.anyone(who)?;
        if self.members.get(&ringing).is_some_and(|member| member.is_in()) {
            return Err(Refusal::new(Reason::Forbidden, format!("`{who}` does not ring; `remove` puts somebody out")));
        }
        self.depart(ctx, now, ringing, LeaveReason::Declined);
        Ok(())
    }

    fn lock(&mut self, ctx: &mut Context, number: u32, locked: bool) -> Answer {
        self.only_host(number)?;
        if std::mem::replace(&mut self.locked, locked) != locked {
            self.tell_room(ctx);
        }
        Ok(())
    }

    fn remove(&mut self, ctx: &mut Context, now: Now, number: u32, who: &str) -> Answer {
        self.only_host(number)?;
        let other = self.anyone(who)?;
        if other == number {
            return Err(Refusal::new(Reason::Forbidden, "`remove` is for others; `leave` is for oneself"));
        }
        self.depart(ctx, now, other, LeaveReason::Removed);
        Ok(())
    }

    fn hand_over(&mut self, ctx: &mut Context, now: Now, number: u32, to: &str) -> Answer {
        self.only_host(number)?;
        if self.anyone(to)? == number {
            return Ok(());
        }
        let other = self.other(number, to)?;
        if self.members.get(&other).is_some_and(|member| member.who.client == ClientKind::Classic) {
            return Err(Refusal::new(
                Reason::Forbidden,
                format!("`{to}` speaks the classic vocabulary: it cannot host"),
            ));
        }
        if self.members.get(&other).is_some_and(|member| !self.can_host(member)) {
            let detail = format!("the invitation of `{to}` does not let it decide for others");
            return Err(Refusal::new(Reason::Forbidden, detail));
        }
        self.make_host(ctx, now, other);
        self.tell_room(ctx);
        Ok(())
    }

    // --- who is meant ---

    /// Someone with a place, ringing or not.
    pub(crate) fn anyone(&self, who: &str) -> Result<u32, Refusal> {
        let number = parse_identity(who).filter(|number| self.members.contains_key(number));
        number.ok_or_else(|| {
            let who: String = who.chars().take(20).filter(|c| !c.is_control()).collect();
            Refusal::new(Reason::NoSuchParticipant, format!("nobody in this room is `{who}`"))
        })
    }

    /// Someone else; both have been let in.
    pub(crate) fn other(&self, number: u32, who: &str) -> Result<u32, Refusal> {
        self.only_accepted(number)?;
        let other = self.anyone(who)?;
        if other == number {
            return Err(Refusal::new(
                Reason::NoSuchParticipant,
                format!("`{who}` is yourself: expected somebody else"),
            ));
        }
        if !self.members.get(&other).is_some_and(|member| member.is_in()) {
            return Err(Refusal::new(Reason::NotAccepted, format!("the host has not let `{who}` in yet")));
        }
        Ok(other)
    }

    pub(crate) fn only_accepted(&self, number: u32) -> Answer {
        if self.members.get(&number).is_some_and(|member| member.is_in()) {
            return Ok(());
        }
        Err(Refusal::new(Reason::NotAccepted, "the host has not let you in yet"))
    }
}

fn out_of_order(ctx: &mut Context, transport: TransportId, expected: u64, got: u64) {
    ctx.stats.refusals += 1;
    let detail = format!("expected request {expected}, got {got}");
    ctx.note(transport, Note::Refused { reason: Reason::OutOfOrder, detail, fatal: false });
}

fn too_fast(rate: Rate) -> Refusal {
    let detail = format!("at most {} requests a second, {} at once", rate.per_second, rate.burst);
    Refusal::new(Reason::TooMany, detail)
}
