//! Bounds on what a client may use, counted by which of them was met; and buckets that several allocations share.
//!
//! A packet costs tokens of its allocation's own buckets, and of those it shares: of its user, of the key that has issued its
//! credential, of the server. Only bounds that are set have a bucket. Where shards share a bound, each gets the part that
//! its allocations are of all ([`Share`]), told by the shell: approximate, and without a word between shards per packet.

use std::collections::BTreeMap;
use std::time::Instant;

use slab::Slab;
use smallvec::SmallVec;

use super::Server;
use super::allocation::Owner;
use super::config::Limits;
use super::data::byte_rate;
use super::limiter::{Bucket, Rate};
use crate::credential::key_and_tag;

/// A bound that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Bytes per second of one allocation: packets are dropped.
    SessionBytes,
    /// Packets per second of one allocation: packets are dropped.
    SessionPackets,
    /// Bytes per second of one user: packets are dropped.
    UserBytes,
    /// Bytes per second of all users of one key: packets are dropped.
    KeyBytes,
    /// Bytes per second of all: packets are dropped.
    ServerBytes,
    /// Peers an allocation turns to per second: 508.
    NewPeers,
    /// Permissions of one allocation: 508.
    Permissions,
    /// Channels of one allocation: 508.
    Channels,
    /// Allocations of all: 300 or 508.
    Allocations,
    /// Allocations of one user, or of all users of one key or realm: 486.
    Quota,
    /// A peer that must not be relayed to: 403.
    ForbiddenPeer,
}

impl Limit {
    /// All of them, in the order they are counted in.
    pub const ALL: [Self; LIMITS] = [
        Self::SessionBytes,
        Self::SessionPackets,
        Self::UserBytes,
        Self::KeyBytes,
        Self::ServerBytes,
        Self::NewPeers,
        Self::Permissions,
        Self::Channels,
        Self::Allocations,
        Self::Quota,
        Self::ForbiddenPeer,
    ];

    /// For people and their metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionBytes => "session_bytes",
            Self::SessionPackets => "session_packets",
            Self::UserBytes => "user_bytes",
            Self::KeyBytes => "key_bytes",
            Self::ServerBytes => "server_bytes",
            Self::NewPeers => "new_peers",
            Self::Permissions => "permissions",
            Self::Channels => "channels",
            Self::Allocations => "allocations",
            Self::Quota => "quota",
            Self::ForbiddenPeer => "forbidden_peer",
        }
    }
}

/// How often each bound was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met(pub [u64; LIMITS]);

impl Met {
    /// How often this one was.
    pub fn get(&self, limit: Limit) -> u64 {
        Limit::ALL.iter().zip(self.0).find(|(other, _)| **other == limit).map_or(0, |(_, count)| count)
    }

    pub(super) fn count(&mut self, limit: Limit) {
        self.count_many(limit, 1);
    }

    pub(super) fn count_many(&mut self, limit: Limit, times: u64) {
        if let Some((_, count)) = Limit::ALL.iter().zip(&mut self.0).find(|(other, _)| **other == limit) {
            *count = count.saturating_add(times);
        }
    }
}

/// Kinds of bounds.
pub const LIMITS: usize = 11;

/// Who shares a bound.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// All allocations of a user.
    User(String),
    /// All with credentials that a key has issued.
    Key(String),
    /// All.
    Server,
}

/// The part of a shared bound that belongs to one shard: as its allocations are of all those in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Allocations of the group on this shard.
    pub here: u32,
    /// And on all.
    pub all: u32,
}

impl Share {
    const WHOLE: Self = Self { here: 1, all: 1 };

    fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.here.min(self.all)) / u128::from(self.all.max(1));
        u64::try_from(part).unwrap_or(whole).max(1)
    }
}

/// The buckets of one allocation, beside that of its bytes.
pub(super) struct Meters {
    packets: Bucket,
    new_peers: Bucket,
    /// Places among the shared ones.
    shared: SmallVec<[usize; 2]>,
}

impl Meters {
    pub(super) fn new(now: Instant, limits: &Limits) -> Self {
        Self {
            packets: Bucket::full(now, packet_rate(limits)),
            new_peers: Bucket::full(now, peer_rate(limits)),
            shared: SmallVec::new(),
        }
    }

    /// Whether it has a part in bounds that only this machine can keep.
    pub(super) fn shares(&self, limits: &Limits) -> bool {
        !self.shared.is_empty() || limits.bytes_per_second_in_all > 0
    }

    fn take_packet(&mut self, now: Instant, limits: &Limits) -> bool {
        limits.packets_per_second == 0 || self.packets.take(now, packet_rate(limits), 1)
    }

    /// So many packets have been relayed past the machine. `false`: more than was allowed.
    pub(super) fn spend_packets(&mut self, now: Instant, limits: &Limits, packets: u64) -> bool {
        limits.packets_per_second == 0 || self.packets.spend(now, packet_rate(limits), packets).is_none()
    }

    /// Whether an allocation may turn to so many peers it has not turned to before.
    pub(super) fn take_peers(&mut self, now: Instant, limits: &Limits, peers: usize) -> bool {
        let peers = u64::try_from(peers).unwrap_or(u64::MAX);
        limits.peers_per_second == 0 || self.new_peers.take(now, peer_rate(limits), peers)
    }
}

fn packet_rate(limits: &Limits) -> Rate {
    two_seconds(limits.packets_per_second.into())
}

/// That much per second, and two seconds' worth at once.
fn two_seconds(per_second: u64) -> Rate {
    Rate { per_second, burst: per_second.saturating_mul(2) }
}

/// As many at once as there may be permissions: a client that has just learnt of its peers asks for all of them.
fn peer_rate(limits: &Limits) -> Rate {
    let at_once = u64::try_from(limits.permissions).unwrap_or(u64::MAX);
    Rate { per_second: limits.peers_per_second.into(), burst: at_once.max(limits.peers_per_second.into()) }
}

/// What allocations share.
#[derive(Default)]
pub(super) struct Pools {
    pools: Slab<Pool>,
    by_group: BTreeMap<Group, usize>,
    /// Bytes per second of all users of a key.
    keys: BTreeMap<String, u64>,
    server: Option<Bucket>,
    server_share: Option<Share>,
}

struct Pool {
    group: Group,
    members: usize,
    whole: u64,
    share: Share,
    bucket: Bucket,
}

impl Pool {
    fn rate(&self) -> Rate {
        rate(self.whole, self.share)
    }

    fn limit(&self) -> Limit {
        match self.group {
            Group::User(_) => Limit::UserBytes,
            Group::Key(_) => Limit::KeyBytes,
            Group::Server => Limit::ServerBytes,
        }
    }
}

fn rate(whole: u64, share: Share) -> Rate {
    two_seconds(share.of(whole))
}

impl Pools {
    /// The bound of a group, if it has one.
    fn whole(&self, group: &Group, limits: &Limits) -> Option<u64> {
        let set = match group {
            Group::User(_) => limits.bytes_per_second_per_user,
            Group::Key(key) => self.keys.get(key).copied().unwrap_or(0),
            Group::Server => limits.bytes_per_second_in_all,
        };
        (set > 0).then_some(set)
    }

    /// An allocation of this owner joins the groups that have a bound.
    fn join(&mut self, now: Instant, owner: &Owner, limits: &Limits, meters: &mut Meters) {
        for group in groups(owner) {
            let Some(whole) = self.whole(&group, limits) else { continue };
            let pools = &mut self.pools;
            let place = *self.by_group.entry(group).or_insert_with_key(|group| {
                let (share, bucket) = (Share::WHOLE, Bucket::full(now, rate(whole, Share::WHOLE)));
                pools.insert(Pool { group: group.clone(), members: 0, whole, share, bucket })
            });
            if let Some(pool) = pools.get_mut(place) {
                pool.members += 1;
                meters.shared.push(place);
            }
        }
    }

    /// An allocation leaves its groups; the last one closes the door.
    fn leave(&mut self, meters: &mut Meters) {
        for place in meters.shared.drain(..) {
            let Some(pool) = self.pools.get_mut(place) else { continue };
            pool.members = pool.members.saturating_sub(1);
            if pool.members == 0 {
                let pool = self.pools.remove(place);
                self.by_group.remove(&pool.group);
            }
        }
    }

    /// Takes from everything that is shared. `Err`: this bound is met.
    fn take(&mut self, now: Instant, limits: &Limits, meters: &Meters, cost: u64) -> Result<(), Limit> {
        for &place in &meters.shared {
            let Some(pool) = self.pools.get_mut(place) else { continue };
            let rate = pool.rate();
            if !pool.bucket.take(now, rate, cost) {
                return Err(pool.limit());
            }
        }
        if limits.bytes_per_second_in_all > 0 {
            let rate = rate(limits.bytes_per_second_in_all, self.server_share.unwrap_or(Share::WHOLE));
            if !self.server.get_or_insert_with(|| Bucket::full(now, rate)).take(now, rate, cost) {
                return Err(Limit::ServerBytes);
            }
        }
        Ok(())
    }
}

fn groups(owner: &Owner) -> impl Iterator<Item = Group> {
    let key = key_and_tag(&owner.user).map(|(key, _)| Group::Key(key.to_owned()));
    [Some(Group::User(owner.user.clone())), key].into_iter().flatten()
}

impl Server {
    /// Whether an allocation may relay so many bytes more. What is met is counted.
    pub(super) fn take_bytes(&mut self, now: Instant, slot: u32, payload: &[u8]) -> bool {
        let limits = &self.settings.limits;
        let cost = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let Some(allocation) = self.table.get_mut(slot) else { return false };
        let rate = byte_rate(limits, allocation.bytes_per_second);
        let met = if !allocation.bucket.take(now, rate, cost) {
            Err(Limit::SessionBytes)
        } else if !allocation.meters.take_packet(now, limits) {
            Err(Limit::SessionPackets)
        } else {
            self.pools.take(now, limits, &allocation.meters, cost)
        };
        match met {
            Ok(()) => self.on_spent(slot, cost),
            Err(limit) => self.counters.met.count(limit),
        }
        met.is_ok()
    }

    /// The part of a shared bound that belongs to this shard has changed.
    pub fn handle_share(&mut self, group: &Group, share: Share) {
        if *group == Group::Server {
            self.pools.server_share = Some(share);
        } else if let Some(pool) = self.pools.by_group.get(group).and_then(|&place| self.pools.pools.get_mut(place)) {
            pool.share = share;
        }
    }

    /// All users of a key together may relay so many bytes per second from here on. `None`: as many as they like. Walks over
    /// allocations.
    pub fn handle_key_limit(&mut self, now: Instant, key: &str, bytes_per_second: Option<u64>) {
        match bytes_per_second.filter(|&bytes| bytes > 0) {
            Some(bytes) => drop(self.pools.keys.insert(key.to_owned(), bytes)),
            None => drop(self.pools.keys.remove(key)),
        }
        self.regroup(now);
        for slot in self.table.slots() {
            let of = self.table.get(slot).map(|allocation| &allocation.owner.user);
            if of.and_then(|user| key_and_tag(user)).is_some_and(|(of, _)| of == key) {
                self.offload_elsewhere(slot);
            }
        }
    }

    /// Every allocation joins the groups that have a bound, by bounds that have changed.
    pub(super) fn regroup(&mut self, now: Instant) {
        let shares: Vec<(Group, Share)> =
            self.pools.pools.iter().map(|(_, pool)| (pool.group.clone(), pool.share)).collect();
        for slot in self.table.slots() {
            self.leave_groups(slot);
            self.join_groups(now, slot);
        }
        for (group, share) in shares {
            self.handle_share(&group, share);
        }
    }

    pub(super) fn join_groups(&mut self, now: Instant, slot: u32) {
        if let Some(allocation) = self.table.get_mut(slot) {
            self.pools.join(now, &allocation.owner, &self.settings.limits, &mut allocation.meters);
        }
    }

    fn leave_groups(&mut self, slot: u32) {
        if let Some(allocation) = self.table.get_mut(slot) {
            self.pools.leave(&mut allocation.meters);
        }
    }
}

/// An allocation has ended.
pub(super) fn leave(pools: &mut Pools, meters: &mut Meters) {
    pools.leave(meters);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_part_of_the_allocations_and_never_nothing() {
        assert_eq!(Share { here: 1, all: 4 }.of(1_000), 250);
        assert_eq!(Share { here: 0, all: 4 }.of(1_000), 1);
        assert_eq!(Share { here: 7, all: 4 }.of(1_000), 1_000);
        assert_eq!(Share { here: 1, all: 0 }.of(1_000), 1, "told before anybody has joined");
        assert_eq!(Share { here: 3, all: 4 }.of(u64::MAX), u64::MAX / 4 * 3 + 2);
    }

    #[test]
    fn each_bound_is_counted_by_itself_and_has_a_name_of_its_own() {
        let mut met = Met::default();
        for limit in Limit::ALL {
            met.count(limit);
            assert_eq!(met.get(limit), 1, "{limit:?}");
        }
        let names: std::collections::BTreeSet<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        assert_eq!(names.len(), LIMITS);
    }
}
