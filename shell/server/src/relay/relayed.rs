//! Where peers can connect in (RFC 6062), on all shards: two clients that are both relayed here reach each other, while
//! nothing else of this host does. Asked once per connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all shards.
#[derive(Default)]
pub(super) struct Relayed {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// What clients are told, by where it is bound, and the shard.
    advertised: HashMap<SocketAddr, (SocketAddr, usize)>,
    /// And the other way round.
    bound: HashMap<SocketAddr, SocketAddr>,
}

impl Relayed {
    pub(super) fn open(&self, shard: usize, bound: SocketAddr, advertised: SocketAddr) {
        let mut inside = self.lock();
        inside.advertised.insert(bound, (advertised, shard));
        inside.bound.insert(advertised, bound);
    }

    pub(super) fn close(&self, bound: SocketAddr) {
        let mut inside = self.lock();
        if let Some((advertised, _)) = inside.advertised.remove(&bound) {
            inside.bound.remove(&advertised);
        }
    }

    /// A shard is gone, and so are its listeners.
    pub(super) fn forget(&self, shard: usize) {
        let mut inside = self.lock();
        let Inside { advertised, bound } = &mut *inside;
        advertised.retain(|_, (told, of)| {
            let stays = *of != shard;
            if !stays {
                bound.remove(told);
            }
            stays
        });
    }

    /// Where to connect to for a relayed address. `None`: nobody listens there for us.
    pub(super) fn bound(&self, address: SocketAddr) -> Option<SocketAddr> {
        let inside = self.lock();
        let is_bound = inside.advertised.contains_key(&address).then_some(address);
        is_bound.or_else(|| inside.bound.get(&address).copied())
    }

    /// Under which address others know who connects from here.
    pub(super) fn advertised(&self, from: SocketAddr) -> SocketAddr {
        self.lock().advertised.get(&from).map_or(from, |&(advertised, _)| advertised)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // A thread that panicked with the lock leaves at most one entry too many or too few.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_relayed_address_is_found_under_both_names_as_long_as_it_is_open() {
        let relayed = Relayed::default();
        let (bound, told, other) = (at("192.168.1.5:50000"), at("203.0.113.9:50000"), at("192.168.1.5:50001"));
        relayed.open(0, bound, told);
        relayed.open(1, other, other);
        for address in [bound, told] {
            assert_eq!(relayed.bound(address), Some(bound));
        }
        assert_eq!((relayed.advertised(bound), relayed.bound(at("192.168.1.5:22"))), (told, None));
        relayed.forget(0);
        assert_eq!((relayed.bound(told), relayed.bound(bound), relayed.advertised(bound)), (None, None, bound));
        assert_eq!(relayed.bound(other), Some(other));
        relayed.close(other);
        assert_eq!(relayed.bound(other), None);
    }
}
