//! Free relay ports, one list per local address: taken at random (RFC 8656 §7.2), given back when an allocation ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;

use super::config::PortSlice;

/// The free ports of this shard.
pub(super) struct Ports {
    slice: PortSlice,
    free: BTreeMap<IpAddr, Vec<u16>>,
}

/// What kind of port is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parity {
    Any,
    /// EVEN-PORT with R=0: the next higher port stays free for others.
    Even,
    /// EVEN-PORT with R=1: the next higher port is taken, too.
    Pair,
    /// RESERVATION-TOKEN: the port that was kept, and no other.
    Kept,
}

impl Ports {
    pub(super) fn new(slice: PortSlice) -> Self {
        Self { slice, free: BTreeMap::new() }
    }

    /// Takes a free port of this address. `None`: all are in use.
    pub(super) fn take(&mut self, rng: &mut ChaCha8Rng, ip: IpAddr, parity: Parity) -> Option<SocketAddr> {
        if !self.free.contains_key(&ip) {
            if self.free.len() >= MAX_ADDRESSES {
                return None;
            }
            self.free.insert(ip, self.slice.ports().collect());
        }
        let free = self.free.get_mut(&ip)?;
        let count = u64::try_from(free.len()).ok().filter(|&count| count > 0)?;
        let start = usize::try_from(rng.next_u64() % count).ok()?;
        let is_free = (parity == Parity::Pair).then(|| free.iter().copied().collect::<BTreeSet<u16>>());
        let fits = |port: &u16| match (parity, &is_free) {
            (Parity::Any, _) => true,
            (Parity::Even, _) => port.is_multiple_of(2),
            (Parity::Pair, Some(is_free)) => port.is_multiple_of(2) && is_free.contains(&(port | 1)),
            (Parity::Pair, None) | (Parity::Kept, _) => false,
        };
        let index = free.iter().cycle().skip(start).take(free.len()).position(fits)?;
        let port = free.swap_remove((start + index) % free.len());
        if parity == Parity::Pair {
            free.retain(|&other| other != port | 1);
        }
        Some(SocketAddr::new(ip, port))
    }

    pub(super) fn slice(&self) -> PortSlice {
        self.slice
    }

    /// Takes ports that are in use already.
    pub(super) fn take_all(&mut self, used: &BTreeSet<SocketAddr>) {
        for ip in used.iter().map(SocketAddr::ip).collect::<BTreeSet<_>>().into_iter().take(MAX_ADDRESSES) {
            let slice = self.slice;
            let free = self.free.entry(ip).or_insert_with(|| slice.ports().collect());
            free.retain(|&port| !used.contains(&SocketAddr::new(ip, port)));
        }
    }

    /// Gives a port back. `false`: it is another shard's.
    pub(super) fn release(&mut self, address: SocketAddr) -> bool {
        if self.shard_of(address.port()) != Some(self.slice.shard) {
            return false;
        }
        if let Some(free) = self.free.get_mut(&address.ip()) {
            free.push(address.port());
        }
        true
    }

    /// How many are not free, on all addresses together.
    pub(super) fn taken(&self) -> usize {
        let all = self.slice.ports().count();
        self.free.values().map(|free| all.saturating_sub(free.len())).sum()
    }

    /// Whether there is a shard of this number.
    pub(super) fn has_shard(&self, shard: u16) -> bool {
        shard < self.slice.shards
    }

    /// Whose port it is. `None`: no relay port.
    pub(super) fn shard_of(&self, port: u16) -> Option<u16> {
        self.slice.shard_of(port)
    }
}

impl PortSlice {
    fn shard_of(&self, port: u16) -> Option<u16> {
        let inside = (self.first..=self.last).contains(&port);
        // A port and its next higher (RFC 8656 §7.2, EVEN-PORT) belong to one shard.
        inside.then(|| (port / 2) % self.shards.max(1))
    }

    fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        let slice = *self;
        (slice.first..=slice.last).filter(move |&port| slice.shard_of(port) == Some(slice.shard))
    }
}

/// Local addresses that relay at the same time; loopback alone has sixteen million.
const MAX_ADDRESSES: usize = 256;

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn every_port_is_given_once_and_again_after_release() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut ports = Ports::new(PortSlice { first: 65_526, last: 65_535, shard: 0, shards: 1 });
        let mut taken: Vec<_> = std::iter::from_fn(|| ports.take(&mut rng, LOCAL, Parity::Any)).collect();
        taken.sort();
        assert_eq!(taken.iter().map(SocketAddr::port).collect::<Vec<_>>(), (65_526..=65_535).collect::<Vec<_>>());
        ports.release(SocketAddr::new(LOCAL, 65_530));
        assert_eq!(ports.take(&mut rng, LOCAL, Parity::Any).map(|address| address.port()), Some(65_530));
    }

    #[test]
    fn shards_share_the_range_without_overlap() {
        let slice = |shard| PortSlice { first: 50_001, last: 50_100, shard, shards: 3 };
        let mut all: Vec<u16> = (0..3).flat_map(|shard| slice(shard).ports()).collect();
        all.sort_unstable();
        assert_eq!(all, (50_001..=50_100).collect::<Vec<_>>());
    }

    #[test]
    fn a_pair_is_taken_whole_or_not_at_all() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut ports = Ports::new(PortSlice { first: 49_999, last: 50_004, shard: 0, shards: 1 });
        let first = ports.take(&mut rng, LOCAL, Parity::Pair).expect("a free pair");
        let single = ports.take(&mut rng, LOCAL, Parity::Pair).expect("another one");
        assert_eq!((first.port() % 2, single.port() % 2), (0, 0));
        assert_eq!(ports.take(&mut rng, LOCAL, Parity::Pair), None, "50004 has no sibling in the range");
        let mut left: Vec<_> = std::iter::from_fn(|| ports.take(&mut rng, LOCAL, Parity::Any)).collect();
        left.sort();
        assert_eq!(left.iter().map(SocketAddr::port).collect::<Vec<_>>(), [49_999, 50_004]);
    }

    #[test]
    fn an_even_port_leaves_its_sibling_free() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut ports = Ports::new(PortSlice { first: 50_000, last: 50_003, shard: 0, shards: 1 });
        let first = ports.take(&mut rng, LOCAL, Parity::Even).expect("a free port");
        let second = ports.take(&mut rng, LOCAL, Parity::Even).expect("a free port");
        assert_eq!((first.port() % 2, second.port() % 2), (0, 0));
        assert_eq!(ports.take(&mut rng, LOCAL, Parity::Even), None);
        let odd: Vec<_> = std::iter::from_fn(|| ports.take(&mut rng, LOCAL, Parity::Any)).collect();
        assert_eq!(odd.len(), 2);
    }
}
