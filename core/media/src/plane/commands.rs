//! What the plane is told.

use std::time::Instant;

use super::{Plane, Unknown};
use crate::command::Command;
use crate::forward::{Forward, NOWHERE, Subscription};
use crate::outbox::Outbox;
use crate::selection::Layer;
use crate::{EndpointId, SlotId, TrackId, Want};

impl Plane {
    /// Does what is said. What names somebody or something that is not there is counted.
    pub fn handle_command(&mut self, now: Instant, command: Command, out: &mut impl Outbox) {
        let done = match command {
            Command::Add { endpoint, credentials, ids, breadth } => {
                let added = self.add_peer(now, endpoint, (credentials, breadth), ids);
                if added { Ok(()) } else { Err(Unknown::Endpoint(endpoint)) }
            }
            Command::Join { .. } => Ok(()),
            Command::Remote { endpoint, remote } => self.set_remote(now, endpoint, remote, out),
            Command::Candidate { endpoint, line } => self.add_candidate(now, endpoint, &line, out).map(|_| ()),
            Command::Extensions { endpoint, ids } => self.set_extensions(endpoint, ids),
            Command::Restart { endpoint, credentials } => self.restart_ice(now, endpoint, credentials, out).map(|_| ()),
            Command::Remove { endpoint } => {
                self.remove(now, endpoint, out);
                Ok(())
            }
            Command::Publish { endpoint, track, publication } => self.publish(endpoint, track, publication),
            Command::Unpublish { track } => self.unpublish(track),
            Command::Mute { track, muted } => self.mute(track, muted),
            Command::OpenSlot { endpoint, slot, subscription } => self.open_slot(endpoint, slot, subscription),
            Command::CloseSlot { endpoint, slot } => self.close_slot(endpoint, slot),
            Command::Show { endpoint, slot, track } => self.show(now, endpoint, slot, track),
            Command::Want { endpoint, slot, want } => self.set_want(now, endpoint, slot, want),
            Command::Open { endpoint, channel } => self.open(now, endpoint, &channel, out).map(|_| ()),
            Command::Send { endpoint, message } => self.send(now, endpoint, &message, out).map(|_| ()),
        };
        if done.is_err() {
            self.counters.in_vain += 1;
        }
    }

    /// A peer has room for a track. A slot of that name that it had is gone.
    ///
    /// # Errors
    /// There is no such peer.
    pub fn open_slot(&mut self, id: EndpointId, slot: SlotId, subscription: Subscription) -> Result<(), Unknown> {
        let place = self.place(id)?;
        let _ = self.close_slot(id, slot);
        let first = self.random.short();
        let Some(endpoint) = self.endpoints.get_mut(place) else { return Err(Unknown::Endpoint(id)) };
        let ssrcs = [Some(subscription.ssrc), subscription.rtx];
        let is_video = subscription.payloads.iter().any(|payload| payload.codec.is_video());
        let forward = self.forwards.insert(Forward::new((place, NOWHERE), subscription, first, is_video));
        endpoint.outgoing.extend(ssrcs.into_iter().flatten().map(|ssrc| (ssrc, forward)));
        endpoint.slots.insert(slot, forward);
        Ok(())
    }

    /// The room for a track is gone.
    ///
    /// # Errors
    /// There is no such peer or slot.
    pub fn close_slot(&mut self, id: EndpointId, slot: SlotId) -> Result<(), Unknown> {
        let forward = self.slot(id, slot)?;
        self.drop_forward(forward);
        Ok(())
    }

    /// What comes by a slot from here on: under the same numbers, which go on.
    ///
    /// # Errors
    /// There is no such peer, slot or track.
    pub fn show(&mut self, now: Instant, id: EndpointId, slot: SlotId, track: Option<TrackId>) -> Result<(), Unknown> {
        let place = self.slot(id, slot)?;
        let index = match track {
            Some(track) => *self.names.tracks.get(&track).ok_or(Unknown::Track(track))?,
            None => NOWHERE,
        };
        let Some(forward) = self.forwards.get_mut(place) else { return Err(Unknown::Endpoint(id)) };
        if forward.track == index {
            return Ok(());
        }
        let before = std::mem::replace(&mut forward.track, index);
        forward.retarget();
        if let Some(before) = self.tracks.get_mut(before) {
            before.forwards.retain(|&other| other != place);
        }
        if let Some(track) = self.tracks.get_mut(index) {
            track.forwards.push(place);
        }
        self.choose(now, place);
        Ok(())
    }

    /// How much of it is wanted.
    ///
    /// # Errors
    /// There is no such peer or slot.
    pub fn set_want(&mut self, now: Instant, id: EndpointId, slot: SlotId, want: Want) -> Result<(), Unknown> {
        let place = self.slot(id, slot)?;
        if let Some(forward) = self.forwards.get_mut(place) {
            forward.want = Some(want);
        }
        self.choose(now, place);
        Ok(())
    }

    /// Nobody gets a track, or everybody who wants it.
    ///
    /// # Errors
    /// There is no such track.
    pub fn mute(&mut self, track: TrackId, muted: bool) -> Result<(), Unknown> {
        let index = *self.names.tracks.get(&track).ok_or(Unknown::Track(track))?;
        let Some(track) = self.tracks.get_mut(index) else { return Err(Unknown::Track(track)) };
        track.is_muted = muted;
        Ok(())
    }

    /// Which layers a slot gets: of the streams that come, the smallest that is as large as it is shown.
    pub(super) fn choose(&mut self, now: Instant, place: usize) {
        let Some(forward) = self.forwards.get_mut(place) else { return };
        let Some(track) = self.tracks.get(forward.track) else { return };
        let Some(want) = forward.want else { return };
        let layer = match track.is_video() {
            false => Some(Layer { stream: 0, spatial: 0, temporal: 0 }),
            true if want.height == 0 => None,
            true => Some(Layer { stream: track.stream_for(want.height), spatial: u8::MAX, temporal: u8::MAX }),
        };
        forward.selection.want(layer);
        let (index, waits) = (forward.track, forward.selection.waits_for());
        self.want_keyframe(now, index, waits);
    }

    fn slot(&self, id: EndpointId, slot: SlotId) -> Result<usize, Unknown> {
        let place = self.place(id)?;
        let found = self.endpoints.get(place).and_then(|endpoint| endpoint.slots.get(&slot));
        found.copied().ok_or(Unknown::Endpoint(id))
    }
}
