//! Peers that are together: who of them speaks, and who hears what is said by data channels.

use std::collections::BTreeMap;
use std::time::Instant;

use tandem_rtp::ext::AudioLevel;

use crate::speaker::{Activity, SpeakerId, Speakers};
use crate::{GroupId, TrackId};

pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// By their numbers.
    pub(crate) members: BTreeMap<u32, usize>,
    speakers: Speakers,
    /// Whose voice is which.
    voices: BTreeMap<SpeakerId, TrackId>,
}

impl Group {
    pub(crate) fn new(id: GroupId) -> Self {
        Self { id, members: BTreeMap::new(), speakers: Speakers::new(RECENT), voices: BTreeMap::new() }
    }

    /// A track that may be heard.
    pub(crate) fn join(&mut self, track: TrackId) -> SpeakerId {
        let voice = self.speakers.join();
        self.voices.insert(voice, track);
        voice
    }

    /// It will not be heard any more.
    pub(crate) fn leave(&mut self, voice: SpeakerId) -> Option<Vec<TrackId>> {
        self.speakers.leave(voice);
        self.voices.remove(&voice);
        self.poll()
    }

    /// How loud a packet of a track is (RFC 6464). If others speak now: they, the dominant one first.
    pub(crate) fn hear(&mut self, now: Instant, voice: SpeakerId, level: AudioLevel) -> Option<Vec<TrackId>> {
        let activity = if level.voice { Activity::Speech } else { Activity::Unknown };
        self.speakers.on_level(now, voice, level.below_overload, activity);
        self.poll()
    }

    fn poll(&mut self) -> Option<Vec<TrackId>> {
        self.speakers.poll()?;
        while self.speakers.poll().is_some() {}
        Some(self.speakers.recent().filter_map(|voice| self.voices.get(&voice).copied()).collect())
    }
}

/// As many speakers are told of.
const RECENT: usize = 8;
