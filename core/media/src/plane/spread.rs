//! Groups whose members are at several planes: one of these hears all of them, and what is said by lanes reaches all.

use std::sync::Arc;
use std::time::Instant;

use tandem_rtp::ext::AudioLevel;

use super::Plane;
use crate::command::Event;
use crate::crossing::{Shard, Tells};
use crate::lanes::Lane;
use crate::outbox::Outbox;
use crate::{GroupId, TrackId};

impl Plane {
    /// Where the other members are, and who of us hears all.
    pub(super) fn spread(&mut self, id: GroupId, others: Vec<Shard>, ear: Option<Shard>) -> Option<()> {
        let index = *self.names.groups.get(&id)?;
        self.forget_far_voices(index, |shard| ear.is_none() && others.contains(&shard));
        let group = self.groups.get_mut(index)?;
        let before = group.spread.ear;
        group.spread.others = others;
        group.spread.ear = ear;
        if before.is_none() && ear.is_some() {
            // Whom it has heard another one hears from here on.
            group.forget_voices();
            let members: Vec<usize> = group.members.values().copied().collect();
            for (_, track) in members.iter().filter_map(|&it| self.endpoints.get(it)).flat_map(|it| &it.incoming.tracks)
            {
                self.tracks.get_mut(*track).into_iter().for_each(|track| track.voice = None);
            }
        }
        Some(())
    }

    pub(super) fn on_heard(
        &mut self,
        now: Instant,
        from: Shard,
        (id, track): (GroupId, TrackId),
        level: AudioLevel,
    ) -> Option<()> {
        let group = self.groups.get_mut(*self.names.groups.get(&id)?)?;
        let recent = group.hear_far(now, (from, track), level)?;
        self.events.extend(recent.map(|recent| Event::Speaking { group: id, recent }));
        Some(())
    }

    pub(super) fn on_silent(&mut self, from: Shard, id: GroupId, track: TrackId) -> Option<()> {
        let group = self.groups.get_mut(*self.names.groups.get(&id)?)?;
        let recent = group.leave_far(from, track)?;
        self.events.extend(recent.map(|recent| Event::Speaking { group: id, recent }));
        Some(())
    }

    /// Voices of other planes that are not heard any more; those of some stay.
    pub(super) fn forget_far_voices(&mut self, index: usize, stays: impl Fn(Shard) -> bool) {
        let Some(group) = self.groups.get_mut(index) else { return };
        for (shard, track) in group.far_voices() {
            if !stays(shard) {
                let recent = group.leave_far(shard, track).flatten();
                let group = group.id;
                self.events.extend(recent.map(|recent| Event::Speaking { group, recent }));
            }
        }
    }

    /// What a member has said goes to the planes where others may be.
    pub(super) fn say_across(&mut self, index: usize, to: u32, lane: Lane, bytes: &[u8]) {
        let Self { groups, across, .. } = self;
        let Some(group) = groups.get(index).filter(|group| !group.spread.others.is_empty()) else { return };
        let bytes: Arc<[u8]> = bytes.into();
        across.extend(group.spread.others.iter().map(|&other| {
            let tells = Tells::Said { group: group.id, to, lane, bytes: Arc::clone(&bytes) };
            (other, crate::Crossing(tells))
        }));
    }

    pub(super) fn on_said(
        &mut self,
        now: Instant,
        (id, to): (GroupId, u32),
        lane: Lane,
        bytes: &[u8],
        out: &mut impl Outbox,
    ) -> Option<()> {
        let members = &self.groups.get(*self.names.groups.get(&id)?)?.members;
        let to: Vec<usize> = match to {
            0 => members.values().copied().collect(),
            // Which plane somebody is at, only that one knows.
            one => members.get(&one).copied().into_iter().collect(),
        };
        for to in to {
            self.say(now, to, lane, bytes);
            self.drain(now, to, out);
        }
        Some(())
    }

    /// Whoever might have got it has to know.
    pub(super) fn on_missed(&mut self, now: Instant, id: GroupId, out: &mut impl Outbox) -> Option<()> {
        let members = &self.groups.get(*self.names.groups.get(&id)?)?.members;
        let members: Vec<usize> = members.values().copied().collect();
        for to in members {
            self.counters.unsaid += 1;
            self.cut(now, to, Lane::Reliable);
            self.drain(now, to, out);
        }
        Some(())
    }
}
