//! Tracks that come, are stopped, and go.

use std::time::Instant;

use tandem_rtp::Ssrc;

use super::Plane;
use crate::endpoint::Source;
use crate::track::Track;
use crate::{EndpointId, Publication, TrackId};

impl Plane {
    pub(super) fn publish(
        &mut self,
        now: Instant,
        id: EndpointId,
        track: TrackId,
        publication: Publication,
    ) -> Option<()> {
        let place = self.place(id)?;
        if self.names.tracks.contains_key(&track) {
            return None;
        }
        self.serial = self.serial.wrapping_add(1);
        let index = self.tracks.insert(Track::new(now, (track, self.serial), place, publication));
        self.names.tracks.insert(track, index);
        let (endpoint, track) = (self.endpoints.get_mut(place)?, self.tracks.get(index)?);
        let watched = track.watch.poll_timeout().filter(|_| track.is_video());
        endpoint.incoming.tracks.push((track.spec.mid.clone(), index));
        for (stream, spec) in track.spec.streams.iter().enumerate().take(track.streams.len()) {
            let mut insert = |ssrc: Option<Ssrc>, is_rtx| {
                ssrc.map(|ssrc| endpoint.incoming.insert(ssrc, Source { track: index, stream, is_rtx }))
            };
            insert(spec.ssrc, false);
            insert(spec.rtx, true);
        }
        watched.into_iter().for_each(|at| self.wake(place, at));
        Some(())
    }

    /// Slots in which it is shown stay, and show nothing.
    pub(super) fn unpublish(&mut self, now: Instant, track: TrackId) -> Option<()> {
        let index = self.names.tracks.remove(&track)?;
        let owner = self.tracks.get(index).and_then(|track| self.endpoints.get(track.endpoint));
        if let Some((group, _)) = owner.and_then(|endpoint| endpoint.group) {
            self.silence(index, group);
        }
        let gone = self.tracks.try_remove(index)?;
        for place in gone.slots {
            let Some(slot) = self.slots.get_mut(place) else { continue };
            slot.show(None);
            let endpoint = slot.endpoint;
            self.tell_layer(place);
            self.reconsider(now, endpoint);
        }
        self.with(gone.endpoint, |endpoint| endpoint.incoming.remove(index));
        Some(())
    }

    pub(super) fn mute(&mut self, now: Instant, track: TrackId, muted: bool) -> Option<()> {
        let index = *self.names.tracks.get(&track)?;
        let track = self.tracks.get_mut(index)?;
        track.is_muted = muted;
        for place in track.slots.clone() {
            self.choose(now, place);
        }
        Some(())
    }

    pub(super) fn drop_tracks_of(&mut self, now: Instant, place: usize) {
        let tracks = self.endpoints.get(place).into_iter().flat_map(|endpoint| &endpoint.incoming.tracks);
        let mine: Vec<TrackId> = tracks.filter_map(|(_, index)| Some(self.tracks.get(*index)?.id)).collect();
        for track in mine {
            // It is there: it has just been found.
            let _ = self.unpublish(now, track);
        }
    }
}
