//! Tracks that come, are stopped, and go.

use std::time::Instant;

use tandem_rtp::Ssrc;

use super::Plane;
use crate::carrier::Origin;
use crate::crossing::Tells;
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
        let index = self.tracks.insert(Track::new(now, (track, self.serial), Origin::Here(place), publication));
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

    pub(super) fn unpublish(&mut self, now: Instant, track: TrackId) -> Option<()> {
        let index = *self.names.tracks.get(&track)?;
        self.tracks.get(index)?.publisher()?;
        self.drop_track(now, index)
    }

    /// Slots in which it is shown stay, and show nothing. Other planes are told.
    pub(super) fn drop_track(&mut self, now: Instant, index: usize) -> Option<()> {
        let publisher = self.tracks.get(index)?.publisher();
        let owner = publisher.and_then(|publisher| self.endpoints.get(publisher));
        if let Some((group, _)) = owner.and_then(|endpoint| endpoint.group) {
            self.silence(index, group);
        }
        let gone = self.tracks.try_remove(index)?;
        self.names.tracks.remove(&gone.id);
        if let Some(listed) = gone.import().and_then(|import| import.listed) {
            self.imports_due.remove(&(listed, index));
        }
        for carrier in &gone.carriers {
            self.tell(carrier.shard, Tells::Gone { track: gone.id });
        }
        for place in gone.slots {
            let Some(slot) = self.slots.get_mut(place) else { continue };
            slot.show(None);
            let endpoint = slot.endpoint;
            self.tell_layer(place);
            self.reconsider(now, endpoint);
        }
        if let Some(publisher) = publisher {
            self.with(publisher, |endpoint| endpoint.incoming.remove(index));
        }
        Some(())
    }

    pub(super) fn mute(&mut self, now: Instant, track: TrackId, muted: bool) -> Option<()> {
        let index = *self.names.tracks.get(&track)?;
        self.tracks.get(index)?.publisher()?;
        let carriers = self.tracks.get(index).into_iter().flat_map(|track| &track.carriers);
        let shards: Vec<_> = carriers.map(|carrier| carrier.shard).collect();
        shards.into_iter().for_each(|shard| self.tell(shard, Tells::Muted { track, muted }));
        if !muted {
            self.begin_carrying_anew(index);
        }
        self.stop(now, index, muted)
    }

    pub(super) fn stop(&mut self, now: Instant, index: usize, muted: bool) -> Option<()> {
        let track = self.tracks.get_mut(index)?;
        track.is_muted = muted;
        for place in track.slots.clone() {
            self.choose(now, place);
        }
        self.mind_import(now, index);
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
