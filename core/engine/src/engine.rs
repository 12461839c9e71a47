//! The `Engine` itself: finds the room an input is for, and lets it decide.

use std::time::{Duration, Instant};

use tandem_api::signal::{ClientFrame, Door, Hello, Join, LeaveReason, Look, Note, Reason, Resume, Seen};
use tandem_media as media;
use tandem_policy::names::{PersonName, RoomName};

use crate::context::{Context, Refusal, RoomKey, Stats};
use crate::interface::{Config, Grants, Input, Now, Origin, Output, RoomKept, TransportId};
use crate::rights::{Right, token_needed};
use crate::room::{Newcomer, Room, Rules};
use crate::rooms::Rooms;
use crate::timers::Timer;
use crate::tokens::TokenHash;

/// Every room, everyone in it, and the session each of them holds with us.
pub struct Engine {
    pub(crate) ctx: Context,
    pub(crate) rooms: Rooms,
    /// The process is going down: the time after which clients are told to come back, in milliseconds.
    pub(crate) draining: Option<u64>,
}

impl Engine {
    /// An engine without rooms. All that must not be guessed comes from `seed`.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self { ctx: Context::new(config, seed), rooms: Rooms::default(), draining: None }
    }

    /// Something has happened. Afterwards, drain [`Engine::poll_output`].
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.ctx.unix_ms = now.unix_ms;
        match input {
            Input::Hello { transport, origin, hello, grants } => {
                self.handle_hello(now, (transport, origin), hello, grants);
            }
            Input::Frame { transport, frame } => self.handle_frame(now, transport, frame),
            Input::Closed { transport } => self.handle_closed(now, transport),
            Input::Command { id, command } => {
                let reply = self.handle_command(now, command);
                self.ctx.emit(Output::Reply { id, reply });
            }
            Input::Restore(rooms) => {
                rooms.into_iter().for_each(|kept| self.restore(now, kept));
                self.mend_families(now);
            }
            // Who has credentials already gets others when these grow old.
            Input::Relay(relay) => self.ctx.config.relay = relay,
            Input::Drain { reconnect } => self.drain(reconnect),
        }
    }

    /// A media plane tells something. Afterwards, drain [`Engine::poll_output`].
    pub fn handle_media(&mut self, now: Now, event: media::Event) {
        self.ctx.unix_ms = now.unix_ms;
        if let media::Event::Speaking { group, recent } = &event {
            if let Some(room) = self.rooms.room_mut(RoomKey(group.0)) {
                room.on_speaking(&mut self.ctx, recent);
            }
            return;
        }
        let seat = match &event {
            media::Event::Watched { track, .. } => self.ctx.planes.sender_of(*track),
            media::Event::Ended(endpoint, _)
            | media::Event::Layer { endpoint, .. }
            | media::Event::Connected(endpoint)
            | media::Event::Found(endpoint, _)
            | media::Event::Lost(endpoint) => self.ctx.planes.seat_of(*endpoint),
            _ => None,
        };
        // What is told of those who have just gone is late.
        let Some(seat) = seat else { return };
        let Some(room) = self.rooms.room_mut(seat.room) else { return };
        room.on_media(&mut self.ctx, now, seat.number, event);
        self.settle(now, seat.room);
    }

    /// The plane of a shard has lost all it had: whoever was connected to it has to connect again.
    pub fn handle_media_lost(&mut self, now: Now, shard: usize) {
        self.ctx.unix_ms = now.unix_ms;
        for key in self.rooms.keys() {
            let Some(room) = self.rooms.room_mut(key).filter(|room| room.is_at(shard)) else { continue };
            room.lose_media(&mut self.ctx, now, shard);
            self.settle(now, key);
        }
    }

    /// The time that [`Engine::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.ctx.unix_ms = now.unix_ms;
        while let Some(timer) = self.ctx.timers.pop(now.instant) {
            let (Timer::Away(seat) | Timer::Credentials(seat) | Timer::Topology(seat) | Timer::Expected(seat)) = timer;
            let Some(room) = self.rooms.room_mut(seat.room) else { continue };
            match timer {
                Timer::Away(_) => room.on_away_timeout(&mut self.ctx, now, seat.number),
                Timer::Credentials(_) => room.on_credentials_timeout(&mut self.ctx, now, seat.number),
                Timer::Topology(_) => room.on_topology_timeout(&mut self.ctx),
                // It may be over.
                Timer::Expected(_) => {}
            }
            self.settle(now, seat.room);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.ctx.poll_output()
    }

    /// When [`Engine::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ctx.timers.next()
    }

    /// What it holds and what it has done.
    pub fn stats(&self) -> Stats {
        let (legs, tracks) = self.ctx.planes.census();
        Stats {
            legs,
            tracks,
            rooms: self.rooms.len(),
            transports: self.ctx.seats.len(),
            tokens: self.ctx.tokens.len(),
            timers: self.ctx.timers.len(),
            ..self.ctx.stats
        }
    }

    fn handle_hello(
        &mut self,
        now: Now,
        (transport, origin): (TransportId, Origin),
        hello: Hello,
        grants: Option<Box<Grants>>,
    ) {
        if self.ctx.seats.contains_key(&transport) {
            let detail = "You are in a room already; another one takes another connection.".to_owned();
            return self.ctx.note(transport, Note::Refused { reason: Reason::AlreadyJoined, detail, fatal: false });
        }
        let answer = match hello {
            Hello::Join(join) => self.join(now, (transport, origin), join, grants),
            Hello::Resume(resume) => self.resume(now, transport, origin, &resume),
            Hello::Look(look) => self.look(transport, &look),
        };
        if let Err(refusal) = answer {
            self.ctx.refuse(transport, refusal);
        }
    }

    fn join(
        &mut self,
        now: Now,
        from: (TransportId, Origin),
        join: Join,
        grants: Option<Box<Grants>>,
    ) -> Result<(), Refusal> {
        if self.draining.is_some() {
            return Err(Refusal::new(Reason::Draining, "The server is going down: try again in a moment."));
        }
        let right = self.right(now, &join.room, join.token.as_deref(), grants)?;
        let name = right.name().unwrap_or(&join.name);
        let name =
            PersonName::parse(name).map_err(|error| Refusal::new(Reason::BadName, format!("in your name: {error}")))?;
        let newcomer = Newcomer {
            name: name.into_string(),
            hide_address: join.hide_address,
            media: join.media,
            entry: join.entry,
            encrypted: join.encrypted,
            right,
        };
        let key = self.room_for(now, &join.room, &newcomer.right)?;
        let Some(room) = self.rooms.room_mut(key) else { return Ok(()) };
        let entered = room.enter(&mut self.ctx, now, from, newcomer);
        self.settle(now, key);
        entered
    }

    /// By which right somebody enters. A pass is used up only by entering.
    pub(crate) fn right(
        &self,
        now: Now,
        room: &str,
        token: Option<&str>,
        grants: Option<Box<Grants>>,
    ) -> Result<Right, Refusal> {
        let name = room_name(room)?;
        if let Some(grants) = grants {
            return match &grants.room {
                Some(wanted) if RoomName::parse(wanted).ok().as_ref() != Some(&name) => {
                    let wanted: String = wanted.chars().take(80).filter(|c| !c.is_control()).collect();
                    let detail = format!("the token is for the room `{wanted}`, not for `{}`", name.as_str());
                    Err(Refusal::new(Reason::BadToken, detail))
                }
                _ => Ok(Right::Token(grants)),
            };
        }
        let Some(token) = token else { return Ok(Right::Link) };
        let hash = TokenHash::of(token.as_bytes());
        let pass = self.ctx.passes.find(now.instant, &hash);
        match pass.filter(|pass| self.rooms.find(name.as_str()) == Some(pass.room)) {
            Some(pass) => Ok(Right::Pass(hash, Box::new(pass.clone()))),
            None => Err(Refusal::new(Reason::BadToken, "the pass was used, is too old, or is for another room")),
        }
    }

    /// The room of that name, made if there is none.
    pub(crate) fn room_for(&mut self, now: Now, name: &str, right: &Right) -> Result<RoomKey, Refusal> {
        let name = room_name(name)?;
        match self.rooms.find(name.as_str()) {
            Some(key) => Ok(key),
            None if self.ctx.config.tokens && matches!(right, Right::Link) => Err(token_needed()),
            None => self.open_room(now, name),
        }
    }

    fn open_room(&mut self, now: Now, name: RoomName) -> Result<RoomKey, Refusal> {
        self.room_for_a_room()?;
        let key = self.rooms.next_key();
        let rules = Rules::default();
        self.rooms.insert(Room::new(key, name.into_string(), rules, now));
        Ok(key)
    }

    pub(crate) fn room_for_a_room(&self) -> Result<(), Refusal> {
        let most = self.ctx.config.max_rooms;
        if self.rooms.len() < most {
            return Ok(());
        }
        Err(Refusal::new(Reason::ServerFull, format!("This server holds at most {most} rooms at a time.")))
    }

    fn resume(&mut self, now: Now, transport: TransportId, origin: Origin, resume: &Resume) -> Result<(), Refusal> {
        if let Some(reconnect_ms) = self.draining {
            // Its place is kept; what comes after us gives it back.
            self.ctx.note(transport, Note::Draining { reconnect_ms });
            self.ctx.emit(Output::Close { transport });
            return Ok(());
        }
        let expired = || Refusal::new(Reason::ResumeExpired, "Your place is gone: join again.");
        let (seat, hash) = self.ctx.tokens.find(&resume.token).ok_or_else(expired)?;
        let room = self.rooms.room_mut(seat.room).ok_or_else(expired)?;
        let resumed = room.resume(&mut self.ctx, now, (seat.number, hash), (transport, origin), resume);
        self.settle(now, seat.room);
        resumed
    }

    /// Gives no place and leaves no trace: it shows what entering would, and whoever has the link can enter.
    fn look(&mut self, transport: TransportId, look: &Look) -> Result<(), Refusal> {
        let name = room_name(&look.room)?;
        let room = self.rooms.find(name.as_str()).and_then(|key| self.rooms.room(key));
        let door = if self.ctx.config.tokens { Door::Token } else { Door::Empty };
        let nobody = Seen { door, participants: 0, names: Vec::new() };
        self.ctx.note(transport, Note::Seen(room.map_or(nobody, |room| room.seen(&self.ctx))));
        self.ctx.emit(Output::Close { transport });
        Ok(())
    }

    fn handle_frame(&mut self, now: Now, transport: TransportId, frame: ClientFrame) {
        let Some(seat) = self.ctx.seats.get(&transport).copied() else {
            // The last `ack` of one who was told that it is out may come late.
            if !matches!(frame, ClientFrame::Ack { .. }) {
                let detail = "expected `join`, `resume` or `look` as the first message";
                self.ctx.refuse(transport, Refusal::new(Reason::NotJoined, detail));
            }
            return;
        };
        let Some(room) = self.rooms.room_mut(seat.room) else { return };
        room.handle_frame(&mut self.ctx, now, (transport, seat.number), frame);
        self.settle(now, seat.room);
        self.run_errands(now);
    }

    fn handle_closed(&mut self, now: Now, transport: TransportId) {
        let Some(seat) = self.ctx.seats.remove(&transport) else { return };
        let Some(room) = self.rooms.room_mut(seat.room) else { return };
        room.lose(&mut self.ctx, now, seat.number);
        self.settle(now, seat.room);
    }

    fn restore(&mut self, now: Now, kept: RoomKept) {
        let name = RoomName::parse(&kept.room.name).ok().filter(|name| self.rooms.find(name.as_str()).is_none());
        let Some(name) = name else {
            // Not one that we have kept: nobody could come back to it.
            return self.ctx.emit(Output::Keep { room: kept.room.name, kept: None });
        };
        let key = self.rooms.next_key();
        let mut room = Room::restore(&mut self.ctx, now, (key, name), kept);
        if room.host == 0 && room.running.is_some() {
            // Of those who were in nobody is left.
            room.end(&mut self.ctx, now, LeaveReason::Lost);
        }
        self.rooms.insert(room);
        // Its family may be still to come.
        self.settle_alone(now, key);
    }

    fn drain(&mut self, reconnect: Duration) {
        let reconnect_ms = u64::try_from(reconnect.as_millis()).unwrap_or(u64::MAX);
        self.draining = Some(reconnect_ms);
        for room in self.rooms.iter() {
            room.say_draining(&mut self.ctx, reconnect_ms);
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<RoomKey> {
        self.rooms.find(RoomName::parse(name).ok()?.as_str())
    }

    /// After each change of a room: puts out who is too slow, has it stored, forgets it when it is over.
    pub(crate) fn settle(&mut self, now: Now, key: RoomKey) {
        self.settle_alone(now, key);
        self.settle_family(now, key);
    }

    pub(crate) fn settle_alone(&mut self, now: Now, key: RoomKey) {
        let Some(room) = self.rooms.room_mut(key) else { return };
        room.settle(&mut self.ctx, now);
        let over = room.is_over() && !self.ctx.passes.has_for(now.instant, |room| room == key);
        // One that waited for somebody may be over although nothing in it has changed.
        if std::mem::take(&mut room.changed) || (over && room.stored) {
            room.stored = true;
            let kept = (!over).then(|| room.kept(&self.ctx));
            self.ctx.emit(Output::Keep { room: room.name.clone(), kept });
        }
        if over {
            self.rooms.remove(key);
        }
    }
}

fn room_name(text: &str) -> Result<RoomName, Refusal> {
    RoomName::parse(text).map_err(|error| Refusal::new(Reason::BadName, format!("in the name of the room: {error}")))
}
