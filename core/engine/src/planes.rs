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
    /// How many connections each has.
    loads: Vec<usize>,
    /// Whose each is, and at which shard.
    endpoints: BTreeMap<EndpointId, (Seat, usize)>,
    tracks: BTreeMap<TrackId, Seat>,
    last: u64,
    pub(crate) awaited: Awaited,
}

impl Planes {
    pub(crate) fn new(terms: Vec<Terms>) -> Self {
        let awaited = Awaited::new(awaited::MOST * terms.len());
        let loads = vec![0; terms.len()];
        Self { terms, loads, awaited, ..Self::default() }
    }

    pub(crate) fn are_there(&self) -> bool {
        !self.terms.is_empty()
    }

    /// Which shard serves a newcomer to a room of this number that has so many connections: a small one has a home, a large one
    /// is spread over all.
    pub(crate) fn place(&self, room: u64, connections: usize) -> usize {
        let home = self.home(room);
        let load = |shard: usize| self.loads.get(shard).copied().unwrap_or_default();
        if connections < SPREAD_FROM {
            return home;
        }
        (0..self.loads.len()).min_by_key(|&shard| (load(shard), shard != home)).unwrap_or(home)
    }

    fn home(&self, room: u64) -> usize {
        let shards = u64::try_from(self.terms.len().max(1)).unwrap_or(1);
        usize::try_from(room % shards).unwrap_or_default()
    }

    pub(crate) fn terms(&self, shard: usize) -> Option<&Terms> {
        self.terms.get(shard)
    }

    pub(crate) fn endpoint(&mut self, seat: Seat, shard: usize) -> EndpointId {
        self.last += 1;
        let endpoint = EndpointId(self.last);
        self.endpoints.insert(endpoint, (seat, shard));
        self.loads.get_mut(shard).into_iter().for_each(|load| *load += 1);
        endpoint
    }

    pub(crate) fn track(&mut self, seat: Seat) -> TrackId {
        self.last += 1;
        let track = TrackId(self.last);
        self.tracks.insert(track, seat);
        track
    }

    pub(crate) fn forget_endpoint(&mut self, endpoint: EndpointId) {
        let Some((_, shard)) = self.endpoints.remove(&endpoint) else { return };
        self.loads.get_mut(shard).into_iter().for_each(|load| *load = load.saturating_sub(1));
    }

    pub(crate) fn forget_track(&mut self, track: TrackId) {
        self.tracks.remove(&track);
    }

    /// Whose connection it is.
    pub(crate) fn seat_of(&self, endpoint: EndpointId) -> Option<Seat> {
        self.endpoints.get(&endpoint).map(|(seat, _)| *seat)
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

/// With fewer connections a room stays at its home. Such a room takes a sixth of a core at the most (each is shown all others,
/// 24 · 23 · 90 packets in a second, of 3 µs): to spread it would cost wake-ups and bring nothing.
const SPREAD_FROM: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::RoomKey;

    #[test]
    fn small_rooms_have_a_home_and_newcomers_to_large_ones_go_where_there_is_least_to_do() {
        let mut planes = Planes::new((0..3).map(|_| Terms::new([7; 32], Vec::new())).collect());
        let seat = Seat { room: RoomKey(4), number: 1 };
        assert_eq!((planes.place(4, 0), planes.place(4, SPREAD_FROM - 1), planes.place(5, 0)), (1, 1, 2));
        assert_eq!(planes.place(4, SPREAD_FROM), 1, "rather at home");
        let first = planes.endpoint(seat, 1);
        assert_eq!(planes.place(4, SPREAD_FROM), 0);
        planes.endpoint(seat, 0);
        assert_eq!(planes.place(4, SPREAD_FROM), 2);
        planes.endpoint(seat, 2);
        planes.forget_endpoint(first);
        planes.forget_endpoint(first);
        assert_eq!((planes.place(4, SPREAD_FROM), planes.census()), (1, (2, 0)));
    }

    #[test]
    fn without_planes_there_is_still_an_answer() {
        assert_eq!(Planes::new(Vec::new()).place(7, 100), 0);
    }
}
