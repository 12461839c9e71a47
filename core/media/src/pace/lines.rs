//! Where packets wait: a line for each track, the tracks of a class in turn.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::Class;
use crate::SlotId;

/// All that waits.
#[derive(Debug)]
pub(super) struct Waiting<P> {
    audio: Lines<P>,
    again: Lines<P>,
    video: Lines<P>,
}

/// What waits of one class.
#[derive(Debug)]
pub(super) struct Lines<P> {
    tracks: BTreeMap<SlotId, VecDeque<Item<P>>>,
    /// The tracks that have something, whose turn it is first.
    turns: VecDeque<SlotId>,
    packets: usize,
    /// An empty line, kept for the next track that needs one.
    spare: VecDeque<Item<P>>,
}

#[derive(Debug)]
pub(super) struct Item<P> {
    pub(super) since: Instant,
    pub(super) size: usize,
    pub(super) packet: P,
}

impl<P> Waiting<P> {
    pub(super) fn len(&self) -> usize {
        self.audio.packets + self.again.packets + self.video.packets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn none_of(&self, class: Class) -> bool {
        match class {
            Class::Audio => self.audio.packets == 0,
            Class::Retransmission => self.again.packets == 0,
            Class::Video => self.video.packets == 0,
        }
    }

    pub(super) fn of(&mut self, class: Class) -> &mut Lines<P> {
        match class {
            Class::Audio => &mut self.audio,
            Class::Retransmission => &mut self.again,
            Class::Video => &mut self.video,
        }
    }

    pub(super) fn next(&mut self) -> Option<(Class, Item<P>)> {
        ORDER.into_iter().find_map(|class| Some((class, self.of(class).next()?)))
    }

    /// Takes out the oldest packet of the longest line in the lowest class, unless that class is above `class`.
    pub(super) fn evict(&mut self, class: Class) -> Option<P> {
        ORDER.into_iter().rev().take_while(|lower| *lower >= class).find_map(|lower| self.of(lower).evict())
    }

    pub(super) fn remove(&mut self, track: SlotId) {
        for class in ORDER {
            self.of(class).remove(track);
        }
    }
}

impl<P> Lines<P> {
    pub(super) fn push(&mut self, since: Instant, track: SlotId, size: usize, packet: P) {
        let spare = &mut self.spare;
        let turns = &mut self.turns;
        let line = self.tracks.entry(track).or_insert_with(|| {
            turns.push_back(track);
            std::mem::take(spare)
        });
        line.push_back(Item { since, size, packet });
        self.packets += 1;
    }

    fn next(&mut self) -> Option<Item<P>> {
        let track = self.turns.pop_front()?;
        let item = self.take_from(track);
        if self.tracks.contains_key(&track) {
            self.turns.push_back(track);
        }
        item
    }

    fn evict(&mut self) -> Option<P> {
        let (track, _) = self.tracks.iter().max_by_key(|(_, line)| line.len())?;
        let track = *track;
        let item = self.take_from(track);
        if !self.tracks.contains_key(&track) {
            self.turns.retain(|turn| *turn != track);
        }
        item.map(|item| item.packet)
    }

    /// The oldest of a track; a line that becomes empty goes.
    fn take_from(&mut self, track: SlotId) -> Option<Item<P>> {
        let line = self.tracks.get_mut(&track)?;
        let item = line.pop_front();
        self.packets -= usize::from(item.is_some());
        if line.is_empty() {
            self.spare = self.tracks.remove(&track).unwrap_or_default();
        }
        item
    }

    fn remove(&mut self, track: SlotId) {
        if let Some(line) = self.tracks.remove(&track) {
            self.packets -= line.len();
            self.turns.retain(|turn| *turn != track);
        }
    }
}

impl<P> Default for Waiting<P> {
    fn default() -> Self {
        Self { audio: Lines::default(), again: Lines::default(), video: Lines::default() }
    }
}

impl<P> Default for Lines<P> {
    fn default() -> Self {
        Self { tracks: BTreeMap::new(), turns: VecDeque::new(), packets: 0, spare: VecDeque::new() }
    }
}

const ORDER: [Class; 3] = [Class::Audio, Class::Retransmission, Class::Video];
