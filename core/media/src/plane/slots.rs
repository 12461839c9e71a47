//! Slots: what is shown in which, and how much of it.

use std::time::Instant;

use super::Plane;
use crate::command::Event;
use crate::downlink::Downlink;
use crate::endpoint::MAX_OUTGOING;
use crate::selection::Layer;
use crate::slot::Slot;
use crate::{EndpointId, SlotId, Subscription, TrackId, Want};

impl Plane {
    pub(super) fn open_slot(
        &mut self,
        now: Instant,
        id: EndpointId,
        slot: SlotId,
        subscription: Subscription,
    ) -> Option<()> {
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
        let can_fill = room.can_fill();
        let index = self.slots.insert(room);
        outgoing.insert(slot, index, ssrcs.into_iter().flatten());
        outgoing.filled = outgoing.filled.or(can_fill.then_some(index));
        endpoint.downlink.get_or_insert_with(|| Box::new(Downlink::new(now)));
        Some(())
    }

    pub(super) fn close_slot(&mut self, now: Instant, id: EndpointId, slot: SlotId) -> Option<()> {
        let place = self.slot_place(id, slot)?;
        self.drop_slot(now, place);
        Some(())
    }

    pub(super) fn show(&mut self, now: Instant, id: EndpointId, slot: SlotId, track: Option<TrackId>) -> Option<()> {
        let place = self.slot_place(id, slot)?;
        let index = match track {
            Some(track) => self.names.tracks.get(&track).copied(),
            None => None,
        };
        self.put(now, place, index);
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
    fn put(&mut self, now: Instant, place: usize, track: Option<usize>) {
        if self.slots.get(place).is_none_or(|slot| slot.shows == track) {
            return;
        }
        self.demand(now, place, 0);
        let Some(slot) = self.slots.get_mut(place) else { return };
        let before = slot.shows;
        if let Some(before) = before.and_then(|track| self.tracks.get_mut(track)) {
            before.slots.retain(|&other| other != place);
        }
        slot.show(track);
        if let Some(track) = track.and_then(|track| self.tracks.get_mut(track)) {
            track.slots.push(place);
        }
        before.into_iter().chain(track).for_each(|track| self.mind_import(now, track));
    }

    /// Something about a slot has changed. Sound begins, and what is not to be sent ends, at once; how much there is of
    /// pictures, the allocation decides.
    pub(super) fn choose(&mut self, now: Instant, place: usize) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        let shown = slot.shows.and_then(|track| self.tracks.get(track));
        let shown = shown.filter(|track| !track.is_muted && slot.takes(&track.spec.payloads));
        let endpoint = slot.endpoint;
        match shown.map(|track| track.is_video()) {
            Some(false) => slot.selection.want(Some(Layer { stream: 0, ..ALL })),
            Some(true) if slot.want.height > 0 => {}
            Some(true) | None => {
                slot.selection.want(None);
                self.demand(now, place, 0);
            }
        }
        self.tell_layer(place);
        self.reconsider(now, endpoint);
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

    pub(super) fn drop_slots_of(&mut self, now: Instant, place: usize) {
        let slots = self.endpoints.get(place).into_iter().flat_map(|it| it.outgoing.slots.values().copied());
        let slots: Vec<usize> = slots.collect();
        slots.into_iter().for_each(|slot| self.drop_slot(now, slot));
    }

    fn drop_slot(&mut self, now: Instant, place: usize) {
        self.put(now, place, None);
        let Some(slot) = self.slots.try_remove(place) else { return };
        let (last, rtx_last) = slot.numbers.last();
        let lasts = [Some((slot.spec.ssrc, last)), slot.spec.rtx.map(|rtx| (rtx, rtx_last))];
        let lasts = lasts.into_iter().flatten();
        let Self { endpoints, slots, .. } = self;
        let Some(endpoint) = endpoints.get_mut(slot.endpoint) else { return };
        endpoint.outgoing.remove(slot.id, place, lasts);
        if let Some(downlink) = &mut endpoint.downlink {
            downlink.pacer.remove_track(slot.id);
        }
        if endpoint.outgoing.filled == Some(place) {
            let mut others = endpoint.outgoing.slots.values().copied();
            endpoint.outgoing.filled = others.find(|&other| slots.get(other).is_some_and(Slot::can_fill));
        }
        self.reconsider(now, slot.endpoint);
    }
}

/// Whatever there is.
pub(super) const ALL: Layer = Layer { stream: u8::MAX, spatial: u8::MAX, temporal: u8::MAX };
