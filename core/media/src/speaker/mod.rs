//! Who speaks: the dominant speaker of a room and those before, from the audio levels that packets carry (RFC 6464).
//!
//! After Volfin and Cohen, "Dominant Speaker Identification for Multipoint Videoconferencing": each voice has a short, a
//! middle and a long memory of its speech. A challenger takes over only if it leads in all three, so neither a cough nor an
//! "mhm" does, and two who speak at once do not take turns.
//!
//! ```text
//!   level ──► above the voice's own noise? ──► short 0.1 s ── middle 0.4 s ── long 1.5 s
//!                                                  └──── all ahead of the dominant's ────┴──► Dominant
//! ```
//!
//! A packet is compared with the dominant speaker alone, and memories fade by the time that has passed: a packet costs the
//! same however many listen, and nothing has to be done when nobody speaks. What the pictures show is the caller's business.

mod voice;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::voice::Voice;

/// One who may speak, as long as it has not left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpeakerId {
    index: usize,
    generation: u32,
}

/// What the sender's own detector says of a packet (the V bit). Only believed of those who have set it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It takes this for speech.
    Speech,
    /// It does not, or has no detector.
    Unknown,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Another one is dominant; nobody, if the one before has left.
    Dominant(Option<SpeakerId>),
    /// Others are among the recent speakers, or in another order.
    Recent,
}

/// The voices of one room.
#[derive(Debug)]
pub struct Speakers {
    slots: Vec<Slot>,
    free: Vec<usize>,
    dominant: Option<SpeakerId>,
    since: Option<Instant>,
    recent: VecDeque<SpeakerId>,
    most: usize,
    changes: Changes,
}

#[derive(Debug, Default)]
struct Changes {
    dominant: bool,
    recent: bool,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    voice: Option<Voice>,
}

impl Speakers {
    /// A silent room that remembers so many recent speakers, the dominant one among them.
    #[must_use]
    pub fn new(recent: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            dominant: None,
            since: None,
            recent: VecDeque::new(),
            most: recent,
            changes: Changes::default(),
        }
    }

    /// Somebody who may speak.
    pub fn join(&mut self) -> SpeakerId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, voice: None });
            self.slots.len() - 1
        });
        let generation = self.slots.get_mut(index).map_or(0, |slot| {
            slot.voice = Some(Voice::new());
            slot.generation
        });
        SpeakerId { index, generation }
    }

    /// Somebody has left, or will not speak any more.
    pub fn leave(&mut self, id: SpeakerId) {
        let Some(slot) = self.slots.get_mut(id.index).filter(|slot| slot.generation == id.generation) else { return };
        slot.generation = slot.generation.wrapping_add(1);
        slot.voice = None;
        self.free.push(id.index);
        if let Some(place) = self.recent.iter().position(|other| *other == id) {
            self.recent.remove(place);
            self.changes.recent = true;
        }
        if self.dominant == Some(id) {
            self.dominant = None;
            self.since = None;
            self.changes.dominant = true;
        }
    }

    /// A packet of somebody has come: its level in -dBov, from 0 (loudest) to 127 (silence).
    pub fn on_level(&mut self, now: Instant, id: SpeakerId, level: u8, activity: Activity) {
        let Some(voice) = self.voice_mut(id) else { return };
        voice.hear(now, level, activity);
        if self.dominant == Some(id) {
            return;
        }
        let (begins, takes_over) = match self.voice(id) {
            Some(voice) if voice.speaks() => (true, self.takes_over(now, voice)),
            Some(_) | None => return,
        };
        if takes_over {
            self.dominant = Some(id);
            self.since = Some(now);
            self.changes.dominant = true;
            self.remember(id, 0);
        } else if begins && !self.recent.contains(&id) {
            // Speaks beside the dominant one.
            self.remember(id, 1);
        }
    }

    /// What has changed since it was asked last.
    pub fn poll(&mut self) -> Option<Changed> {
        if std::mem::take(&mut self.changes.dominant) {
            return Some(Changed::Dominant(self.dominant));
        }
        std::mem::take(&mut self.changes.recent).then_some(Changed::Recent)
    }

    /// Who speaks, or spoke last.
    #[must_use]
    pub fn dominant(&self) -> Option<SpeakerId> {
        self.dominant
    }

    /// The recent speakers, the dominant one first.
    pub fn recent(&self) -> impl Iterator<Item = SpeakerId> {
        self.recent.iter().copied()
    }

    fn takes_over(&self, now: Instant, challenger: &Voice) -> bool {
        if self.since.is_some_and(|since| now.saturating_duration_since(since) < HOLD) {
            return false;
        }
        self.dominant.and_then(|id| self.voice(id)).is_none_or(|dominant| challenger.leads(now, dominant))
    }

    fn remember(&mut self, id: SpeakerId, place: usize) {
        if let Some(before) = self.recent.iter().position(|other| *other == id) {
            self.recent.remove(before);
        }
        self.recent.insert(place.min(self.recent.len()), id);
        self.recent.truncate(self.most);
        self.changes.recent = true;
    }

    fn voice(&self, id: SpeakerId) -> Option<&Voice> {
        self.slots.get(id.index).filter(|slot| slot.generation == id.generation)?.voice.as_ref()
    }

    fn voice_mut(&mut self, id: SpeakerId) -> Option<&mut Voice> {
        self.slots.get_mut(id.index).filter(|slot| slot.generation == id.generation)?.voice.as_mut()
    }
}

/// Nobody is dominant for less.
const HOLD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
