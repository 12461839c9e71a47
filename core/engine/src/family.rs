//! Breakout rooms: rooms that belong to a room, and who goes from one to another.
//!
//! ```text
//!            breakout_open                 move, breakout_close
//!   parent ───────────────► parent + 1…n ◄──────────────────────► parent
//! ```
//!
//! Rooms of a family know each other by name, so that they find each other after a restart, too. Whoever is to go gets a pass,
//! leaves, and enters with it: nothing else than what any newcomer goes through.

use tandem_api::signal::{Breakout, BreakoutMember, ClientKind, Entry, Event, LeaveReason, Presence, Reason};
use tandem_policy::names::RoomName;

use crate::context::{Context, Refusal, RoomKey, Seat, deadline};
use crate::engine::Engine;
use crate::interface::{Home, Now};
use crate::participant::{identity, parse_identity};
use crate::passes::{self, Pass};
use crate::room::{Room, Rules};
use crate::timers::Timer;

/// Where a room stands among those that belong together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    /// The room this one was made for.
    pub parent: Option<String>,
    /// The breakout rooms, in each of the family.
    pub breakouts: Vec<Breakout>,
}

/// What a room has agreed to, and the engine carries out since it takes several rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Make rooms for this one, and send everyone but one there, or nobody.
    Open { parent: RoomKey, rooms: u8, all_but: Option<u32> },
    /// Call everyone back.
    Close { parent: String },
    /// The session is over, there, too.
    End { parent: RoomKey },
    /// Send somebody.
    Send { from: String, number: u32, to: String },
}

type Answer = Result<(), Refusal>;

impl Room {
    pub(crate) fn open_breakouts(&mut self, ctx: &mut Context, number: u32, rooms: u8, assign: bool) -> Answer {
        self.only_host(number)?;
        if self.family.parent.is_some() {
            return Err(Refusal::new(Reason::Forbidden, "a breakout room has no breakout rooms of its own"));
        }
        if !self.family.breakouts.is_empty() {
            return Err(Refusal::new(
                Reason::Forbidden,
                "there are breakout rooms already: `breakout_close` ends them",
            ));
        }
        if !(1..=MOST_ROOMS).contains(&rooms) {
            return Err(Refusal::new(Reason::Malformed, format!("expected 1 to {MOST_ROOMS} rooms, got {rooms}")));
        }
        ctx.errands.push_back(Errand::Open { parent: self.key, rooms, all_but: assign.then_some(number) });
        Ok(())
    }

    pub(crate) fn close_breakouts(&mut self, ctx: &mut Context, number: u32) -> Answer {
        self.only_host(number)?;
        if self.family.breakouts.is_empty() {
            return Err(Refusal::new(Reason::Forbidden, "there are no breakout rooms"));
        }
        let parent = self.family.parent.clone().unwrap_or_else(|| self.name.clone());
        ctx.errands.push_back(Errand::Close { parent });
        Ok(())
    }

    /// Oneself, or with the host's powers anyone of the family.
    pub(crate) fn move_somebody(
        &mut self,
        ctx: &mut Context,
        number: u32,
        (who, from): (&str, Option<&str>),
        to: &str,
    ) -> Answer {
        self.only_accepted(number)?;
        let from = from.unwrap_or(&self.name).to_owned();
        if from != self.name || who != identity(number) {
            self.only_host(number)?;
        }
        let no_such = |room: &str| {
            let room: String = room.chars().take(80).filter(|c| !c.is_control()).collect();
            Refusal::new(Reason::BadName, format!("`{room}` is none of the rooms that belong to this one"))
        };
        for room in [from.as_str(), to] {
            let is_known = room == self.name
                || self.family.parent.as_deref() == Some(room)
                || self.family.breakouts.iter().any(|breakout| breakout.name == room);
            if !is_known || self.family.breakouts.is_empty() {
                return Err(no_such(room));
            }
        }
        let other = parse_identity(who).ok_or_else(|| self.anyone(who).err().unwrap_or_else(|| no_such(&from)))?;
        if from == self.name {
            self.may_be_sent(self.anyone(who)?)?;
        }
        if from != to {
            ctx.errands.push_back(Errand::Send { from, number: other, to: to.to_owned() });
        }
        Ok(())
    }

    /// Whether one can go elsewhere at all.
    pub(crate) fn may_be_sent(&self, number: u32) -> Answer {
        let Some(member) = self.members.get(&number) else { return Ok(()) };
        if member.who.client != ClientKind::Web {
            let detail = format!("`{}` cannot be told to go elsewhere", identity(number));
            return Err(Refusal::new(Reason::Forbidden, detail));
        }
        self.only_accepted(number)
    }

    /// What one is who goes from here to another room of the family, or to any other.
    fn pass_for(&self, number: u32, to: &Room) -> Option<Pass> {
        let member = self.members.get(&number)?;
        let mut card = member.card.as_deref().cloned().unwrap_or_default();
        let goes_home = self.family.parent.as_deref() == Some(to.name.as_str());
        let home = card.home.take();
        if goes_home {
            let home = home.unwrap_or(Home { may: member.may, host: false });
            return Some(Pass { room: to.key, card, may: home.may, host: home.host });
        }
        let is_family = to.family.parent.is_some();
        if is_family {
            card.home = Some(home.unwrap_or(Home { may: member.may, host: number == self.host }));
        }
        let mut may = member.may;
        // Who decides in a room does so in those that were made for it.
        may.admin |= is_family && self.decides(number);
        Some(Pass { room: to.key, card, may, host: false })
    }

    /// Those who are in it, as its family sees them.
    fn as_breakout(&self) -> Breakout {
        let present = self.members.iter().filter(|(_, member)| member.is_in());
        let participants =
            present.map(|(number, member)| BreakoutMember { id: identity(*number), name: member.who.name.clone() });
        Breakout { name: self.name.clone(), participants: participants.collect() }
    }
}

impl Engine {
    /// What rooms have agreed to.
    pub(crate) fn run_errands(&mut self, now: Now) {
        while let Some(errand) = self.ctx.errands.pop_front() {
            match errand {
                Errand::Open { parent, rooms, all_but } => self.open_family(now, parent, rooms, all_but),
                Errand::Close { parent } => {
                    if let Some(parent) = self.rooms.find(&parent) {
                        self.close_family(now, parent);
                    }
                }
                Errand::End { parent } => self.end_family(now, parent),
                Errand::Send { from, number, to } => {
                    if let Some((from, to)) = self.rooms.find(&from).zip(self.rooms.find(&to)) {
                        self.send(now, (from, number), to);
                    }
                }
            }
        }
    }

    fn open_family(&mut self, now: Now, parent: RoomKey, rooms: u8, all_but: Option<u32>) {
        let Some(room) = self.rooms.room(parent) else { return };
        let (name, rules) = (room.name.clone(), room.rules);
        let mut children = Vec::new();
        for number in 1..=rooms {
            if self.room_for_a_room().is_err() {
                break;
            }
            let usual = RoomName::parse(&format!("{name}-{number}"));
            let free = usual.ok().filter(|name| self.rooms.find(name.as_str()).is_none());
            let child = free.unwrap_or_else(|| self.ctx.tokens.room_name()).into_string();
            let key = self.rooms.next_key();
            let rules = Rules { entry: Entry::Open, created: true, ..rules };
            let mut room = Room::new(key, child, rules, now);
            room.family.parent = Some(name.clone());
            self.rooms.insert(room);
            children.push(key);
        }
        self.tell_family(now, parent, &children);
        let Some(room) = self.rooms.room(parent).filter(|_| all_but.is_some()) else { return };
        let all = room.members.iter().filter(|(number, member)| {
            Some(**number) != all_but && member.presence() == Presence::Here && room.may_be_sent(**number).is_ok()
        });
        let all: Vec<u32> = all.map(|(number, _)| *number).collect();
        for (number, child) in all.into_iter().zip(children.iter().copied().cycle()) {
            self.send(now, (parent, number), child);
        }
    }

    /// Everybody comes back, and the breakout rooms are gone.
    fn close_family(&mut self, now: Now, parent: RoomKey) {
        for child in self.children(parent) {
            let Some(room) = self.rooms.room(child) else { continue };
            for number in room.members.keys().copied().collect::<Vec<_>>() {
                self.send(now, (child, number), parent);
            }
        }
        self.end_family(now, parent);
    }

    /// The breakout rooms are gone, with whoever is in them.
    pub(crate) fn end_family(&mut self, now: Now, parent: RoomKey) {
        for child in self.children(parent) {
            self.end_child(now, child);
        }
        if let Some(room) = self.rooms.room_mut(parent) {
            room.family.breakouts.clear();
            room.tell_room(&mut self.ctx);
        }
        self.settle(now, parent);
    }

    /// One goes: it is told where to, and is out here.
    pub(crate) fn send(&mut self, now: Now, (from, number): (RoomKey, u32), to: RoomKey) {
        let Some((room, target)) = self.rooms.room(from).zip(self.rooms.room(to)) else { return };
        if !room.members.contains_key(&number) || room.may_be_sent(number).is_err() {
            return;
        }
        let (Some(pass), target) = (room.pass_for(number, target), target.name.clone()) else { return };
        let (text, hash) = self.ctx.tokens.pass();
        self.ctx.passes.add(now.instant, hash, pass);
        self.ctx.timers.set(deadline(now, passes::PATIENCE), Timer::Expected(Seat { room: to, number: 0 }));
        let Some(room) = self.rooms.room_mut(from) else { return };
        room.tell(&mut self.ctx, number, Event::Moved { room: target, pass: text });
        room.depart(&mut self.ctx, now, number, LeaveReason::Moved);
        self.settle(now, from);
    }

    fn children(&self, parent: RoomKey) -> Vec<RoomKey> {
        let breakouts = self.rooms.room(parent).map(|room| room.family.breakouts.as_slice()).unwrap_or_default();
        breakouts.iter().filter_map(|breakout| self.rooms.find(&breakout.name)).collect()
    }

    fn end_child(&mut self, now: Now, child: RoomKey) {
        let Some(room) = self.rooms.room_mut(child) else { return };
        room.end(&mut self.ctx, now, LeaveReason::Ended);
        room.rules.created = false;
        room.family = Family::default();
        self.settle(now, child);
    }

    /// After a change of one of a family, everyone in it hears who is where. With nobody left in any of them it is over.
    pub(crate) fn settle_family(&mut self, now: Now, key: RoomKey) {
        let Some(room) = self.rooms.room(key) else { return };
        if room.family.parent.is_none() && room.family.breakouts.is_empty() {
            return;
        }
        let parent = room.family.parent.as_deref().map_or(Some(key), |parent| self.rooms.find(parent));
        let Some(parent) = parent else { return };
        let children = self.children(parent);
        let somebody = |key: &RoomKey| self.rooms.room(*key).is_some_and(|room| !room.members.is_empty());
        let is_awaited = self.ctx.passes.has_for(now.instant, |room| room == parent || children.contains(&room));
        if !is_awaited && !std::iter::once(&parent).chain(&children).any(somebody) {
            return self.end_family(now, parent);
        }
        self.tell_family(now, parent, &children);
    }

    fn tell_family(&mut self, now: Now, parent: RoomKey, children: &[RoomKey]) {
        let breakouts: Vec<Breakout> =
            children.iter().filter_map(|key| self.rooms.room(*key)).map(Room::as_breakout).collect();
        for key in std::iter::once(parent).chain(children.iter().copied()) {
            let Some(room) = self.rooms.room_mut(key).filter(|room| room.family.breakouts != breakouts) else {
                continue;
            };
            room.family.breakouts.clone_from(&breakouts);
            room.tell_room(&mut self.ctx);
            self.settle_alone(now, key);
        }
    }

    /// After a restart: those whose family is not there any more stand alone.
    pub(crate) fn mend_families(&mut self, now: Now) {
        for key in self.rooms.keys() {
            let Some(room) = self.rooms.room(key) else { continue };
            let is_orphan = room.family.parent.as_deref().is_some_and(|parent| self.rooms.find(parent).is_none());
            let known = |breakout: &Breakout| self.rooms.find(&breakout.name).is_some();
            let lost = room.family.breakouts.iter().any(|breakout| !known(breakout));
            if is_orphan {
                self.end_child(now, key);
            } else if lost {
                let breakouts = room.family.breakouts.iter().filter(|it| known(it)).cloned().collect();
                if let Some(room) = self.rooms.room_mut(key) {
                    room.family.breakouts = breakouts;
                }
            }
        }
    }
}

/// More than anybody can look after.
const MOST_ROOMS: u8 = 20;
