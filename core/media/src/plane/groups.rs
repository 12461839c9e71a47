//! Groups: who is in which, and who speaks there.

use std::time::Instant;

use tandem_rtp::ext::AudioLevel;
use tandem_webrtc::NotSent;

use super::Plane;
use crate::command::Event;
use crate::crossing::Tells;
use crate::group::Group;
use crate::lanes::{Lane, Said};
use crate::outbox::Outbox;
use crate::{EndpointId, GroupId};

impl Plane {
    /// A peer that is in another group leaves that one. Somebody else under the same number is not in it any more.
    pub(super) fn join(&mut self, id: EndpointId, group: GroupId, member: u32) -> Option<()> {
        let place = self.place(id)?;
        self.leave(place);
        let groups = &mut self.groups;
        let index = *self.names.groups.entry(group).or_insert_with(|| groups.insert(Group::new(group)));
        let before = self.groups.get_mut(index)?.members.insert(member, place);
        self.with(place, |endpoint| endpoint.group = Some((index, member)));
        if let Some(before) = before {
            self.with(before, |endpoint| endpoint.group = None);
            self.silence_all(before, index);
        }
        Some(())
    }

    pub(super) fn hush(&mut self, id: EndpointId, hushed: bool) -> Option<()> {
        let place = self.place(id)?;
        self.with(place, |endpoint| endpoint.lanes.hushed = hushed)
    }

    /// A group that nobody is in is gone.
    pub(super) fn leave(&mut self, place: usize) {
        let Some((index, member)) = self.with(place, |endpoint| endpoint.group.take()).flatten() else { return };
        self.silence_all(place, index);
        let Some(group) = self.groups.get_mut(index) else { return };
        group.members.remove(&member);
        if group.members.is_empty() {
            let id = group.id;
            self.groups.try_remove(index);
            self.names.groups.remove(&id);
        }
    }

    /// How loud a packet of a track is.
    pub(super) fn hear(&mut self, now: Instant, track: usize, level: AudioLevel) {
        let Some(track) = self.tracks.get_mut(track).filter(|track| !track.is_muted) else { return };
        let publisher = track.publisher().and_then(|publisher| self.endpoints.get(publisher));
        let Some((index, _)) = publisher.and_then(|endpoint| endpoint.group) else { return };
        let Some(group) = self.groups.get_mut(index) else { return };
        if let Some(ear) = group.spread.ear {
            let tells = Tells::Heard { group: group.id, track: track.id, level };
            return self.tell(ear, tells);
        }
        let voice = *track.voice.get_or_insert_with(|| group.join(track.id));
        let recent = group.hear(now, voice, level);
        let group = group.id;
        self.events.extend(recent.map(|recent| Event::Speaking { group, recent }));
    }

    /// What a member has said goes to those whom it is for.
    pub(super) fn pass_on(&mut self, now: Instant, said: Said, out: &mut impl Outbox) {
        let Said { place, lane, mut message } = said;
        let speaker = self.endpoints.get(place).filter(|endpoint| !endpoint.lanes.hushed);
        let group = speaker.and_then(|endpoint| endpoint.group);
        let head = message.bytes.first_chunk_mut::<4>().filter(|_| !message.is_text);
        let to = group.zip(head).and_then(|((index, member), head)| {
            let group = self.groups.get(index)?;
            let (members, is_spread) = (&group.members, !group.spread.others.is_empty());
            // Who it is for becomes whom it is from.
            let to = u32::from_be_bytes(std::mem::replace(head, member.to_be_bytes()));
            match (to, members.get(&to)) {
                (0, _) => {
                    let others: Vec<usize> = members.values().copied().filter(|other| *other != place).collect();
                    Some((others, is_spread.then_some((index, 0))))
                }
                (_, Some(one)) => Some((vec![*one], None)),
                (_, None) => is_spread.then(|| (Vec::new(), Some((index, to)))),
            }
        });
        let Some((to, elsewhere)) = to else {
            self.counters.misspoken += 1;
            return;
        };
        if let Some((group, to)) = elsewhere {
            self.say_across(group, to, lane, &message.bytes);
        }
        for to in to {
            self.say(now, to, lane, &message.bytes);
            self.drain(now, to, out);
        }
    }

    /// By the lane of one member; one that does not read as fast as the others write loses the message, or the lane.
    pub(super) fn say(&mut self, now: Instant, to: usize, lane: Lane, bytes: &[u8]) {
        let Some(endpoint) = self.endpoints.get_mut(to) else { return };
        let Some(channel) = endpoint.lanes.channel(lane) else { return };
        // What waits long on the lossy lane is of no use when it arrives.
        if lane == Lane::Lossy && endpoint.transport.buffered(channel) > LOSSY_WAITS {
            self.counters.unsaid += 1;
            return;
        }
        let sent = endpoint.transport.send(now, channel, false, bytes);
        self.counters.unsaid += u64::from(sent.is_err());
        if (lane, sent) == (Lane::Reliable, Err(NotSent::Full)) {
            self.cut(now, to, lane);
        }
    }

    /// Closes the lane of one member, so that it knows that something is missing.
    pub(super) fn cut(&mut self, now: Instant, to: usize, lane: Lane) {
        let Some(endpoint) = self.endpoints.get_mut(to) else { return };
        let Some(channel) = endpoint.lanes.channel(lane) else { return };
        endpoint.transport.close_channel(now, channel);
        endpoint.lanes.close(channel);
        self.events.push_back(Event::Closed(endpoint.id, channel));
    }

    /// A track of a peer of this group is heard no more.
    pub(super) fn silence(&mut self, track: usize, group: usize) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let Some(track) = self.tracks.get_mut(track) else { return };
        if let Some(ear) = group.spread.ear {
            if !track.is_video() {
                let tells = Tells::Silent { group: group.id, track: track.id };
                self.tell(ear, tells);
            }
            return;
        }
        let voice = track.voice.take();
        let recent = voice.and_then(|voice| group.leave(voice));
        let group = group.id;
        self.events.extend(recent.map(|recent| Event::Speaking { group, recent }));
    }

    fn silence_all(&mut self, place: usize, group: usize) {
        let tracks = self.endpoints.get(place).into_iter().flat_map(|endpoint| &endpoint.incoming.tracks);
        let tracks: Vec<usize> = tracks.map(|(_, track)| *track).collect();
        tracks.into_iter().for_each(|track| self.silence(track, group));
    }
}

/// So many bytes wait at most for a member on the lossy lane.
const LOSSY_WAITS: usize = 64 << 10;
