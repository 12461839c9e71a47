//! What third parties ask for through the HTTP API.

use tandem_api::signal::{LeaveReason, Reason};
use tandem_policy::names::RoomName;

use crate::engine::Engine;
use crate::interface::{Command, CreateRoom, Now, Reply, RoomView};
use crate::participant::parse_identity;
use crate::room::{Room, Rules};

impl Engine {
    pub(crate) fn handle_command(&mut self, now: Now, command: Command) -> Reply {
        match command {
            Command::ListRooms { after, limit } => self.list_rooms(after.as_deref(), limit),
            Command::ShowRoom { name } => self.show_room(&name),
            Command::CreateRoom(wanted) => self.create_room(now, wanted),
            Command::DeleteRoom { name } => self.delete_room(now, &name),
            Command::RemoveParticipant { room, participant } => self.remove_participant(now, &room, &participant),
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
        let refused = |reason, detail: String| Reply::Refused { reason, detail };
        if self.draining.is_some() {
            return refused(Reason::Draining, "The server is going down.".to_owned());
        }
        if wanted.max_participants == Some(0) {
            return refused(Reason::Malformed, "expected room for at least 1 participant, got 0".to_owned());
        }
        let name = match wanted.name.as_deref().map(RoomName::parse) {
            None => self.ctx.tokens.room_name(),
            Some(Ok(name)) => name,
            Some(Err(error)) => return refused(Reason::BadName, error.to_string()),
        };
        if self.rooms.find(name.as_str()).is_some() {
            return refused(Reason::BadName, format!("a room `{}` exists", name.as_str()));
        }
        if let Err(refusal) = self.room_for_a_room() {
            return refused(refusal.reason, refusal.detail);
        }
        let key = self.rooms.next_key();
        let rules = Rules {
            entry: wanted.entry,
            relay_only: wanted.relay_only,
            max_participants: wanted.max_participants,
            created: true,
        };
        let mut room = Room::new(key, name.into_string(), rules, now);
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
        self.settle(now, key);
        Reply::Done
    }

    fn remove_participant(&mut self, now: Now, room: &str, participant: &str) -> Reply {
        let Some(key) = self.find(room) else { return Reply::NotFound };
        let Some(room) = self.rooms.room_mut(key) else { return Reply::NotFound };
        let Some(number) = parse_identity(participant).filter(|number| room.members.contains_key(number)) else {
            return Reply::NotFound;
        };
        room.depart(&mut self.ctx, now, number, LeaveReason::Removed);
        self.settle(now, key);
        Reply::Done
    }
}

const MOST_LISTED: usize = 1000;
