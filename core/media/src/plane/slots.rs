//! Slots: what is shown in which, and how much of it.

use std::time::Instant;

use super::Plane;
use crate::allocate::Kind;
use crate::command::Event;
use crate::endpoint::MAX_OUTGOING;
use crate::selection::Layer;
use crate::slot::Slot;
use crate::track::Track;
use crate::{EndpointId, SlotId, Subscription, TrackId, Want};

impl Plane {
    pub(super) fn open_slot(&mut self, id: EndpointId, slot: SlotId, subscription: Subscription) -> Option<()> {
        let place = self.place(id)?;
        let endpoint = self.endpoints.get_mut(place)?;
        let outgoing = &mut endpoint.outgoing;
        let ssrcs = [Some(subscription.ssrc), subscription.rtx];
        let is_taken = ssrcs.iter().flatten().any(|ssrc| outgoing.ssrcs.contains_key(ssrc));
        if outgoing.slots.contains_key(&slot) || is_taken || outgoing.ssrcs.len() + ssrcs.len() > MAX_OUTGOING {
            return None;
        }
        let [before, rtx_before] = ssrcs.map(|ssrc| outgoing.ended.remove(&ssrc?));
        let first = before.unwrap_or_else(|| self.random.short());
        let mut room = Slot::new(place, slot, subscription, first);
        rtx_before.inspect(|&last| room.numbers.go_on(last));
        outgoing.insert(slot, self.slots.insert(room), ssrcs.into_iter().flatten());
        Some(())
    }

    pub(super) fn close_slot(&mut self, id: EndpointId, slot: SlotId) -> Option<()> {
        let place = self.slot_place(id, slot)?;
        self.drop_slot(place);
        Some(())
    }

    pub(super) fn show(&mut self, now: Instant, id: EndpointId, slot: SlotId, track: Option<TrackId>) -> Option<()> {
        let place = self.slot_place(id, slot)?;
        let index = match track {
            Some(track) => self.names.tracks.get(&track).copied(),
            None => None,
        };
        self.put(place, index);
        self.choose(now, place);
        // A track that is gone already: nothing is shown.
        (index.is_some() || track.is_none()).then_some(())
    }

    pub(super) fn want(&mut self, now: Instant, id: EndpointId, slot: SlotId, want: Want) -> Option<()> {
        let place = self.slot_place(id, slot)?;
        self.slots.get_mut(place)?.want = want;
        self.choose(now, place);
        Some(())
    }

    /// Puts a track into a slot, in the place of what was there.
    fn put(&mut self, place: usize, track: Option<usize>) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        if slot.shows == track {
            return;
        }
        if let Some(before) = slot.shows.and_then(|track| self.tracks.get_mut(track)) {
            before.slots.retain(|&other| other != place);
        }
        slot.show(track);
        if let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) {
            track.slots.push(place);
        }
    }

    /// Other streams of a track come than before: whoever is shown it may get another.
    pub(super) fn choose_all(&mut self, now: Instant, track: usize) {
        let slots = self.tracks.get(track).map(|track| track.slots.clone()).unwrap_or_default();
        slots.into_iter().for_each(|place| self.choose(now, place));
    }

    /// What is wanted of what a slot shows.
    pub(super) fn choose(&mut self, now: Instant, place: usize) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        let shown = slot.shows.and_then(|track| self.tracks.get(track));
        let layer = shown.filter(|track| !track.is_muted && slot.takes(&track.spec.payloads));
        let layer = layer.and_then(|track| fitting(track, slot.want));
        slot.selection.want(layer);
        self.tell_layer(place);
        self.want_for(now, place);
    }

    /// Tells of what a slot gets, if that is something else.
    pub(super) fn tell_layer(&mut self, place: usize) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        let layer = slot.selection.current();
        if slot.told != layer {
            slot.told = layer;
            let (slot, endpoint) = (slot.id, self.endpoints.get(slot.endpoint));
            self.events.extend(endpoint.map(|endpoint| Event::Layer { endpoint: endpoint.id, slot, layer }));
        }
    }

    pub(super) fn drop_slots_of(&mut self, place: usize) {
        let slots = self.endpoints.get(place).into_iter().flat_map(|it| it.outgoing.slots.values().copied());
        let slots: Vec<usize> = slots.collect();
        slots.into_iter().for_each(|slot| self.drop_slot(slot));
    }

    fn drop_slot(&mut self, place: usize) {
        self.put(place, None);
        let Some(slot) = self.slots.try_remove(place) else { return };
        let (last, rtx_last) = slot.numbers.last();
        let lasts = [Some((slot.spec.ssrc, last)), slot.spec.rtx.map(|rtx| (rtx, rtx_last))];
        let lasts = lasts.into_iter().flatten();
        self.with(slot.endpoint, |endpoint| endpoint.outgoing.remove(slot.id, place, lasts));
    }
}

/// Of the pictures that come, the smallest that is as high as wanted, or the largest.
fn fitting(track: &Track, want: Want) -> Option<Layer> {
    let most = want.most.unwrap_or(ALL);
    if track.spec.kind == Kind::Audio {
        return Some(Layer { stream: 0, ..ALL });
    }
    if want.height == 0 {
        return None;
    }
    let allowed = 0..track.streams.len().min(usize::from(most.stream) + 1);
    let comes = |stream: &usize| track.streams.get(*stream).is_some_and(|stream| stream.comes);
    // A tile a little larger than a picture is no reason for four times as many bits.
    let enough = want.height - want.height / 4;
    let mut coming = allowed.clone().filter(comes);
    let fits = coming.clone().find(|&stream| track.height(stream) >= enough);
    let stream = fits.or_else(|| coming.next_back()).or_else(|| allowed.end.checked_sub(1))?;
    Some(Layer { stream: u8::try_from(stream).ok()?, ..most })
}

/// Whatever there is.
const ALL: Layer = Layer { stream: u8::MAX, spatial: u8::MAX, temporal: u8::MAX };
