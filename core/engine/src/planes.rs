//! What the engine knows of media planes: where they are, and whose endpoints and tracks theirs are.

use std::collections::BTreeMap;

use tandem_media::terms::Terms;
use tandem_media::{EndpointId, TrackId};

use crate::awaited::{self, Awaited};
use crate::context::Seat;

#[derive(Default)]
pub(crate) struct Planes {
    /// One for each shard; none: this server forwards no media.
    terms: Vec<Terms>,
    endpoints: BTreeMap<EndpointId, Seat>,
    tracks: BTreeMap<TrackId, Seat>,
    last: u64,
    pub(crate) awaited: Awaited,
}

impl Planes {
    pub(crate) fn new(terms: Vec<Terms>) -> Self {
        let awaited = Awaited::new(awaited::MOST * terms.len());
        Self { terms, awaited, ..Self::default() }
    }

    pub(crate) fn are_there(&self) -> bool {
        !self.terms.is_empty()
    }

    /// Which shard serves a room that has this number.
    pub(crate) fn shard(&self, room: u64) -> usize {
        let shards = u64::try_from(self.terms.len().max(1)).unwrap_or(1);
        usize::try_from(room % shards).unwrap_or_default()
    }

    pub(crate) fn terms(&self, shard: usize) -> Option<&Terms> {
        self.terms.get(shard)
    }

    pub(crate) fn endpoint(&mut self, seat: Seat) -> EndpointId {
        self.last += 1;
        let endpoint = EndpointId(self.last);
        self.endpoints.insert(endpoint, seat);
        endpoint
    }

    pub(crate) fn track(&mut self, seat: Seat) -> TrackId {
        self.last += 1;
        let track = TrackId(self.last);
        self.tracks.insert(track, seat);
        track
    }

    pub(crate) fn forget_endpoint(&mut self, endpoint: EndpointId) {
        self.endpoints.remove(&endpoint);
    }

    pub(crate) fn forget_track(&mut self, track: TrackId) {
        self.tracks.remove(&track);
    }

    /// Whose connection it is.
    pub(crate) fn seat_of(&self, endpoint: EndpointId) -> Option<Seat> {
        self.endpoints.get(&endpoint).copied()
    }

    /// Who sends it.
    pub(crate) fn sender_of(&self, track: TrackId) -> Option<Seat> {
        self.tracks.get(&track).copied()
    }

    /// Connections and tracks that there are.
    pub(crate) fn census(&self) -> (usize, usize) {
        (self.endpoints.len(), self.tracks.len())
    }
}
