//! Peers that are together: who of them speaks, and who hears what is said by data channels.

use std::collections::BTreeMap;
use std::time::Instant;

use tandem_rtp::ext::AudioLevel;

use crate::speaker::{Activity, SpeakerId, Speakers};
use crate::{GroupId, Shard, TrackId};

pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// By their numbers.
    pub(crate) members: BTreeMap<u32, usize>,
    speakers: Speakers,
    /// Whose voice is which.
    voices: BTreeMap<SpeakerId, TrackId>,
    pub(crate) spread: Spread,
}

/// Where else members of a group are.
#[derive(Default)]
pub(crate) struct Spread {
    pub(crate) others: Vec<Shard>,
    /// Who hears all; `None`: this plane.
    pub(crate) ear: Option<Shard>,
    /// Those that are heard there.
    voices: BTreeMap<TrackId, (Shard, SpeakerId)>,
}

impl Group {
    pub(crate) fn new(id: GroupId) -> Self {
        let (members, voices, spread) = (BTreeMap::new(), BTreeMap::new(), Spread::default());
        Self { id, members, speakers: Speakers::new(RECENT), voices, spread }
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

    /// The same of one that is connected to another plane. `None`: not this one hears it.
    pub(crate) fn hear_far(
        &mut self,
        now: Instant,
        (shard, track): (Shard, TrackId),
        level: AudioLevel,
    ) -> Option<Option<Vec<TrackId>>> {
        if self.spread.ear.is_some() || !self.spread.others.contains(&shard) {
            return None;
        }
        let voice = match self.spread.voices.get(&track) {
            Some((home, voice)) if *home == shard => *voice,
            Some(_) => return None,
            None => {
                let voice = self.join(track);
                self.spread.voices.insert(track, (shard, voice));
                voice
            }
        };
        Some(self.hear(now, voice, level))
    }

    /// One of another plane will not be heard any more. `None`: it has not been.
    pub(crate) fn leave_far(&mut self, shard: Shard, track: TrackId) -> Option<Option<Vec<TrackId>>> {
        self.spread.voices.get(&track).filter(|(home, _)| *home == shard)?;
        let (_, voice) = self.spread.voices.remove(&track)?;
        Some(self.leave(voice))
    }

    pub(crate) fn far_voices(&self) -> Vec<(Shard, TrackId)> {
        self.spread.voices.iter().map(|(track, (shard, _))| (*shard, *track)).collect()
    }

    /// Nobody has been heard.
    pub(crate) fn forget_voices(&mut self) {
        self.speakers = Speakers::new(RECENT);
        self.voices.clear();
        self.spread.voices.clear();
    }

    fn poll(&mut self) -> Option<Vec<TrackId>> {
        self.speakers.poll()?;
        while self.speakers.poll().is_some() {}
        Some(self.speakers.recent().filter_map(|voice| self.voices.get(&voice).copied()).collect())
    }
}

/// As many speakers are told of.
const RECENT: usize = 8;
