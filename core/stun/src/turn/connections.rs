//! The connections of TCP allocations (RFC 6062): by number, by peer, and until when they may wait.
//!
//! ```text
//!   Connect ─────────────► Connecting ──established──► Pending ──ConnectionBind──► Bound ──► gone
//!                              └─ failed or 30 s: gone    ▲ └─ 30 s: gone
//!   a permitted peer comes ───────────────────────────────┘
//! ```
//!
//! What is answered is decided in `tcp`; sockets and bytes are the shell's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;

use super::answer::{Request, Seal};
use super::seeded::{Seeded, SeededMap};

/// CONNECTION-ID: names the connection between a relayed address and a peer.
///
/// The remainder by the number of shards is the shard that has it, since ConnectionBind comes by a connection of its own,
/// which may reach another one. The rest is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u32);

impl ConnectionId {
    fn new(shard: u16, shards: u16, rng: &mut ChaCha8Rng) -> Self {
        let (shard, shards) = (u32::from(shard), u32::from(shards.max(1)));
        // Half of all numbers: what is added below cannot overflow.
        let random = rng.next_u32() >> 1;
        Self((random - random % shards).wrapping_add(shard))
    }

    /// From the value of the attribute.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The value of the attribute.
    pub fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn shard(self, shards: u16) -> u16 {
        u16::try_from(self.0 % u32::from(shards.max(1))).unwrap_or_default()
    }
}

/// All connections of one shard.
pub(super) struct Connections {
    live: SeededMap<ConnectionId, Connection>,
    by_peer: BTreeMap<(u32, SocketAddr), ConnectionId>,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
    /// Which shard this is, of how many.
    place: (u16, u16),
}

/// Between the relayed address of the allocation in `slot` and `peer`.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) slot: u32,
    pub(super) peer: SocketAddr,
    pub(super) state: State,
}

#[derive(Clone)]
pub(super) enum State {
    /// Being established; this Connect waits for it.
    Connecting { until: Instant, request: Request, seal: Seal },
    /// Established; waits for ConnectionBind.
    Pending { until: Instant },
    /// Joined with a connection of the client.
    Bound,
}

impl State {
    fn until(&self) -> Option<Instant> {
        match self {
            Self::Connecting { until, .. } | Self::Pending { until } => Some(*until),
            Self::Bound => None,
        }
    }

    pub(super) fn connecting(now: Instant, request: Request, seal: Seal) -> Self {
        Self::Connecting { until: now + CONNECT_TIMEOUT, request, seal }
    }

    pub(super) fn pending(now: Instant) -> Self {
        Self::Pending { until: now + BIND_TIMEOUT }
    }
}

impl Connections {
    pub(super) fn new(place: (u16, u16), hash: Seeded) -> Self {
        Self { live: SeededMap::with_hasher(hash), by_peer: BTreeMap::new(), deadlines: BTreeSet::new(), place }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.live.get(&id)
    }

    /// Whether an allocation has a connection with this peer, whatever its state.
    pub(super) fn has(&self, slot: u32, peer: SocketAddr) -> bool {
        self.by_peer.contains_key(&(slot, peer))
    }

    /// The connections of an allocation.
    pub(super) fn of(&self, slot: u32) -> impl Iterator<Item = ConnectionId> {
        let from = |slot| (slot, LOWEST);
        self.by_peer.range(from(slot)..).take_while(move |((of, _), _)| *of == slot).map(|(_, &id)| id)
    }

    /// Adds one; its peer must not have another one with this allocation.
    pub(super) fn insert(&mut self, rng: &mut ChaCha8Rng, connection: Connection) -> ConnectionId {
        let (shard, shards) = self.place;
        let mut id = ConnectionId::new(shard, shards, rng);
        // At most a few thousand of them live: soon there is a free one.
        while self.live.contains_key(&id) {
            id = ConnectionId::new(shard, shards, rng);
        }
        self.by_peer.insert((connection.slot, connection.peer), id);
        self.deadlines.extend(connection.state.until().map(|until| (until, id)));
        self.live.insert(id, connection);
        id
    }

    /// Goes on to another state; tells the former one.
    pub(super) fn turn(&mut self, id: ConnectionId, state: State) -> Option<State> {
        let connection = self.live.get_mut(&id)?;
        let former = std::mem::replace(&mut connection.state, state);
        let until = connection.state.until();
        if let Some(until) = former.until() {
            self.deadlines.remove(&(until, id));
        }
        self.deadlines.extend(until.map(|until| (until, id)));
        Some(former)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.live.remove(&id)?;
        self.by_peer.remove(&(connection.slot, connection.peer));
        if let Some(until) = connection.state.until() {
            self.deadlines.remove(&(until, id));
        }
        Some(connection)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// One that has waited too long; to be removed.
    pub(super) fn expired(&self, now: Instant) -> Option<ConnectionId> {
        self.deadlines.first().filter(|&&(at, _)| at <= now).map(|&(_, id)| id)
    }
}

/// The first of all addresses in their order.
const LOWEST: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
/// RFC 6062 §5.2: at least so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// RFC 6062 §5.2 and §5.3.
const BIND_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_number_tells_its_shard() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (shard, shards) in [(0, 1), (0, 3), (2, 3), (65_534, 65_535), (17, 64)] {
            for _ in 0..100 {
                assert_eq!(ConnectionId::new(shard, shards, &mut rng).shard(shards), shard);
            }
        }
    }

    #[test]
    fn the_connections_of_an_allocation_are_found_and_no_others() {
        let (now, mut rng) = (crate::turn::some_instant(), ChaCha8Rng::seed_from_u64(1));
        let mut connections = Connections::new((0, 1), Seeded::new((1, 2)));
        let peers = ["0.0.0.0:0", "255.255.255.255:65535", "[::]:0", "[ffff::ffff]:65535"];
        let mut add = |slot, peer: &str| {
            let peer = peer.parse().expect("an address");
            connections.insert(&mut rng, Connection { slot, peer, state: State::pending(now) })
        };
        let mut of_two: Vec<_> = peers.map(|peer| add(2, peer)).to_vec();
        for slot in [1, 3, u32::MAX] {
            for peer in peers {
                add(slot, peer);
            }
        }
        let mut found: Vec<_> = connections.of(2).collect();
        of_two.sort();
        found.sort();
        assert_eq!(found, of_two);
        assert_eq!(connections.of(u32::MAX).count(), 4);
        assert_eq!(connections.of(0).count(), 0);
    }

    #[test]
    fn only_what_waits_has_a_deadline() {
        let (now, mut rng) = (crate::turn::some_instant(), ChaCha8Rng::seed_from_u64(1));
        let mut connections = Connections::new((0, 1), Seeded::new((1, 2)));
        let peer = "1.2.3.4:5".parse().expect("an address");
        let id = connections.insert(&mut rng, Connection { slot: 0, peer, state: State::pending(now) });
        assert_eq!((connections.expired(now), connections.next_deadline()), (None, Some(now + BIND_TIMEOUT)));
        assert_eq!(connections.expired(now + BIND_TIMEOUT), Some(id));
        connections.turn(id, State::Bound);
        assert_eq!((connections.expired(now + BIND_TIMEOUT), connections.next_deadline()), (None, None));
        connections.remove(id);
        assert!(!connections.has(0, peer) && connections.len() == 0);
    }
}
