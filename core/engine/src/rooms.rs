//! All rooms: by name for those who come, by key for those who are in.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::context::RoomKey;
use crate::room::Room;

#[derive(Default)]
pub(crate) struct Rooms {
    by_key: BTreeMap<RoomKey, Room>,
    by_name: BTreeMap<Box<str>, RoomKey>,
    last_key: u64,
}

impl Rooms {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn next_key(&mut self) -> RoomKey {
        self.last_key += 1;
        RoomKey(self.last_key)
    }

    pub(crate) fn insert(&mut self, room: Room) {
        self.by_name.insert(room.name.as_str().into(), room.key);
        self.by_key.insert(room.key, room);
    }

    pub(crate) fn remove(&mut self, key: RoomKey) {
        if let Some(room) = self.by_key.remove(&key) {
            self.by_name.remove(room.name.as_str());
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<RoomKey> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn room(&self, key: RoomKey) -> Option<&Room> {
        self.by_key.get(&key)
    }

    pub(crate) fn room_mut(&mut self, key: RoomKey) -> Option<&mut Room> {
        self.by_key.get_mut(&key)
    }

    pub(crate) fn keys(&self) -> Vec<RoomKey> {
        self.by_key.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Room> {
        self.by_key.values()
    }

    /// In the order of their names, those after `after`.
    pub(crate) fn after(&self, after: Option<&str>) -> impl Iterator<Item = &Room> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name.range::<str, _>((from, Bound::Unbounded)).filter_map(|(_, key)| self.by_key.get(key))
    }
}
