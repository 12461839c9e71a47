//! What third parties ask for through the HTTP API.

use tandem_api::signal::{Event, Json, LeaveReason, Reason};
use tandem_policy::names::{PersonName, RoomName};

use crate::context::{Context, Refusal};
use crate::engine::Engine;
use crate::forwarding;
use crate::guests::refused;
use crate::interface::{Command, CreateRoom, Now, ParticipantChange, Reply, RoomChange, RoomView};
use crate::participant::parse_identity;
use crate::rights::allows;
use crate::room::{Room, Rules};

impl Engine {
    pub(crate) fn handle_command(&mut self, now: Now, command: Command) -> Reply {
        match command {
            Command::ListRooms { after, limit } => self.list_rooms(after.as_deref(), limit),
            Command::ShowRoom { name } => self.show_room(&name),
            Command::CreateRoom(wanted) => self.create_room(now, wanted),
            Command::DeleteRoom { name } => self.delete_room(now, &name),
            Command::RemoveParticipant { room, participant } => self.remove_participant(now, &room, &participant),
            Command::ChangeRoom { room, change } => self.change_room(now, &room, change),
            Command::ChangeParticipant { room, participant, change } => {
                self.change_participant(now, (&room, &participant), change)
            }
            Command::StopTrack { room, participant, track, stopped } => {
                self.stop_track(now, (&room, &participant), &track, stopped)
            }
            Command::MoveParticipant { room, participant, to } => {
                self.move_participant(now, (&room, &participant), &to)
            }
            Command::Tell { room, to, data } => self.tell_room(now, &room, &to, &data),
            Command::Connect(_) | Command::Trickle { .. } | Command::Disconnect { .. } => {
                self.handle_guest(now, command)
            }
        }
    }

    fn list_rooms(&self, after: Option<&str>, limit: usize) -> Reply {
        let mut rooms = self.rooms.after(after);
        let page: Vec<RoomView> =
            rooms.by_ref().take(limit.min(MOST_LISTED)).map(|room| room.view_for_others(&self.ctx)).collect();
        Reply::Rooms { rooms: page, more: rooms.next().is_some() }
    }

    fn show_room(&self, name: &str) -> Reply {
        match self.find(name).and_then(|key| self.rooms.room(key)) {
            Some(room) => Reply::Room(room.view_for_others(&self.ctx)),
            None => Reply::NotFound,
        }
    }

    fn create_room(&mut self, now: Now, wanted: CreateRoom) -> Reply {
        if self.draining.is_some() {
            return refuse(Reason::Draining, "The server is going down.".to_owned());
        }
        if wanted.max_participants == Some(0) {
            return refuse(Reason::Malformed, "expected room for at least 1 participant, got 0".to_owned());
        }
        let metadata = match wanted.metadata.map(metadata).transpose() {
            Ok(metadata) => metadata.flatten(),
            Err(refusal) => return refused(refusal),
        };
        let name = match wanted.name.as_deref().map(RoomName::parse) {
            None => self.ctx.tokens.room_name(),
            Some(Ok(name)) => name,
            Some(Err(error)) => return refuse(Reason::BadName, error.to_string()),
        };
        if self.rooms.find(name.as_str()).is_some() {
            return refuse(Reason::BadName, format!("a room `{}` exists", name.as_str()));
        }
        if let Err(refusal) = self.room_for_a_room() {
            return refused(refusal);
        }
        let key = self.rooms.next_key();
        let rules = Rules {
            entry: wanted.entry,
            relay_only: wanted.relay_only,
            max_participants: wanted.max_participants,
            created: true,
            tokens: wanted.tokens,
        };
        let mut room = Room::new(key, name.into_string(), rules, now);
        room.watch_only = wanted.watch_only;
        room.metadata = metadata;
        room.changed = true;
        let view = room.view_for_others(&self.ctx);
        self.rooms.insert(room);
        self.settle(now, key);
        Reply::Room(view)
    }

    fn delete_room(&mut self, now: Now, name: &str) -> Reply {
        let Some(key) = self.find(name) else { return Reply::NotFound };
        let Some(room) = self.rooms.room_mut(key) else { return Reply::NotFound };
        room.end(&mut self.ctx, now, LeaveReason::Ended);
        room.rules.created = false;
        self.end_family(now, key);
        Reply::Done
    }

    fn remove_participant(&mut self, now: Now, room: &str, participant: &str) -> Reply {
        self.with_participant(now, (room, participant), |room, ctx, number| {
            room.depart(ctx, now, number, LeaveReason::Removed);
            Ok(Reply::Done)
        })
    }

    fn change_room(&mut self, now: Now, name: &str, change: RoomChange) -> Reply {
        let Some(key) = self.find(name) else { return Reply::NotFound };
        if change.max_participants == Some(0) {
            let detail = "expected room for at least 1 participant, got 0".to_owned();
            return Reply::Refused { reason: Reason::Malformed, detail };
        }
        let metadata = match change.metadata.map(metadata).transpose() {
            Ok(metadata) => metadata,
            Err(refusal) => return refused(refusal),
        };
        let Some(room) = self.rooms.room_mut(key) else { return Reply::NotFound };
        let before = room.view(&self.ctx);
        room.locked = change.locked.unwrap_or(room.locked);
        room.rules.entry = change.entry.unwrap_or(room.rules.entry);
        room.rules.tokens = change.tokens.unwrap_or(room.rules.tokens);
        room.rules.max_participants = change.max_participants.or(room.rules.max_participants);
        room.watch_only = change.watch_only.unwrap_or(room.watch_only);
        if let Some(metadata) = metadata {
            room.metadata = metadata;
        }
        room.changed = true;
        if room.view(&self.ctx) != before {
            room.tell_room(&mut self.ctx);
        }
        let view = room.view_for_others(&self.ctx);
        self.settle(now, key);
        Reply::Room(view)
    }

    fn change_participant(&mut self, now: Now, whom: (&str, &str), change: ParticipantChange) -> Reply {
        self.with_participant(now, whom, |room, ctx, number| {
            let name = change.name.as_deref().map(PersonName::parse).transpose();
            let name = name.map_err(|error| Refusal::new(Reason::BadName, error.to_string()))?;
            let metadata = change.metadata.map(metadata).transpose()?;
            if let Some(name) = name {
                room.give_name(ctx, number, name.into_string());
            }
            if let Some(metadata) = metadata {
                room.set_metadata(ctx, number, metadata);
            }
            if let Some(may) = change.may {
                room.set_may(ctx, now, number, may);
            }
            let member = room.members.get(&number);
            Ok(member.map_or(Reply::NotFound, |member| Reply::Participant(Box::new(member.view(number)))))
        })
    }

    fn stop_track(&mut self, now: Now, whom: (&str, &str), track: &str, stopped: bool) -> Reply {
        self.with_participant(now, whom, |room, ctx, number| {
            let sent = room.members.get(&number).and_then(|member| member.leg.as_ref());
            let sent = sent.and_then(|leg| leg.tracks.values().find(|sent| forwarding::name(sent.number) == track));
            let Some(source) = sent.map(|sent| sent.source) else { return Ok(Reply::NotFound) };
            let may = room.members.get(&number).map(|member| member.may.publish).unwrap_or_default();
            if !stopped && !allows(may, source) {
                let detail = "this one may not send that: change what it may do first";
                return Err(Refusal::new(Reason::NotPermitted, detail));
            }
            if room.stop(ctx, number, source, stopped) {
                room.tell_participant(ctx, number, 0);
                if stopped {
                    room.tell(ctx, number, Event::Muted { by: String::new(), source });
                }
            }
            let member = room.members.get(&number);
            Ok(member.map_or(Reply::NotFound, |member| Reply::Participant(Box::new(member.view(number)))))
        })
    }

    fn move_participant(&mut self, now: Now, (room, participant): (&str, &str), to: &str) -> Reply {
        let Some(from) = self.find(room) else { return Reply::NotFound };
        let Some(room) = self.rooms.room(from) else { return Reply::NotFound };
        let Some(number) = parse_identity(participant).filter(|number| room.members.contains_key(number)) else {
            return Reply::NotFound;
        };
        if let Err(refusal) = room.may_be_sent(number) {
            return refused(refusal);
        }
        let Some(to) = self.find(to) else {
            let detail = format!("there is no room `{to}`: make it first");
            return Reply::Refused { reason: Reason::BadName, detail };
        };
        if to != from {
            self.send(now, (from, number), to);
        }
        Reply::Done
    }

    fn tell_room(&mut self, now: Now, room: &str, to: &[String], data: &Json) -> Reply {
        let Some(key) = self.find(room) else { return Reply::NotFound };
        let Some(room) = self.rooms.room_mut(key) else { return Reply::NotFound };
        let mut numbers = Vec::new();
        for who in to {
            match room.anyone(who) {
                Ok(number) => numbers.push(number),
                Err(refusal) => return refused(refusal),
            }
        }
        if to.is_empty() {
            numbers = room.members.iter().filter(|(_, member)| member.is_in()).map(|(number, _)| *number).collect();
        }
        for number in numbers {
            room.tell(&mut self.ctx, number, Event::Message { from: String::new(), data: data.clone() });
        }
        self.settle(now, key);
        Reply::Done
    }

    fn with_participant(
        &mut self,
        now: Now,
        (room, participant): (&str, &str),
        act: impl FnOnce(&mut Room, &mut Context, u32) -> Result<Reply, Refusal>,
    ) -> Reply {
        let Some(key) = self.find(room) else { return Reply::NotFound };
        let Some(room) = self.rooms.room_mut(key) else { return Reply::NotFound };
        let Some(number) = parse_identity(participant).filter(|number| room.members.contains_key(number)) else {
            return Reply::NotFound;
        };
        let reply = act(room, &mut self.ctx, number).unwrap_or_else(refused);
        self.settle(now, key);
        reply
    }
}

impl Room {
    fn set_metadata(&mut self, ctx: &mut Context, number: u32, metadata: Option<String>) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let card = member.card.get_or_insert_default();
        if std::mem::replace(&mut card.metadata, metadata.clone()) != metadata {
            self.changed = true;
            self.tell_participant(ctx, number, 0);
        }
    }

    /// By a third party. What the participant says of its name does not count any more.
    fn give_name(&mut self, ctx: &mut Context, number: u32, name: String) {
        let Some(member) = self.members.get_mut(&number) else { return };
        member.card.get_or_insert_default().named = true;
        self.changed = true;
        if std::mem::replace(&mut member.who.name, name.clone()) != name {
            self.tell_participant(ctx, number, 0);
        }
    }
}

fn refuse(reason: Reason, detail: String) -> Reply {
    Reply::Refused { reason, detail }
}

/// What a third party keeps with a room or somebody; empty: nothing.
fn metadata(text: String) -> Result<Option<String>, Refusal> {
    if text.len() > METADATA_BYTES {
        let detail = format!("expected metadata of at most {METADATA_BYTES} bytes, got {}", text.len());
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// It goes to everyone in a room with each change.
const METADATA_BYTES: usize = 4_096;

const MOST_LISTED: usize = 1000;
