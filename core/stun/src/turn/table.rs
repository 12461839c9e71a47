//! All allocations of a shard, and the ways to find one: by five-tuple, relay socket, relayed address, user, expiry.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use slab::Slab;

use super::allocation::{Allocation, Owner};
use super::config::{FiveTuple, RelayId};
use super::mobility::Mobility;
use super::seeded::{Seeded, SeededMap};

/// The slots of one five-tuple: one relayed address, or one of each family (RFC 8656 §7.2, dual allocation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Legs {
    v4: Option<u32>,
    v6: Option<u32>,
}

impl Legs {
    /// The slot that relays to peers of this family.
    pub(super) fn towards(self, ip: IpAddr) -> Option<u32> {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }

    /// One of them, IPv4 first.
    pub(super) fn first(self) -> Option<u32> {
        self.v4.or(self.v6)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        [self.v4, self.v6].into_iter().flatten()
    }

    fn place(&mut self, ip: IpAddr) -> &mut Option<u32> {
        if ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

/// Allocations by slot number, with every index to them.
pub(super) struct Table {
    slots: Slab<Allocation>,
    by_tuple: SeededMap<FiveTuple, Legs>,
    by_relayed: SeededMap<SocketAddr, u32>,
    by_user: BTreeMap<String, BTreeSet<u32>>,
    deadlines: BTreeSet<(Instant, u32)>,
    generation: u32,
}

impl Table {
    pub(super) fn new(hash: Seeded) -> Self {
        Self {
            slots: Slab::new(),
            by_tuple: SeededMap::with_hasher(hash),
            by_relayed: SeededMap::with_hasher(hash),
            by_user: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            generation: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Of each index: five-tuples, relayed addresses, users, deadlines.
    pub(super) fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.by_tuple.len(), self.by_relayed.len(), self.by_user.len(), self.deadlines.len())
    }

    pub(super) fn by_tuple(&self, tuple: &FiveTuple) -> Legs {
        self.by_tuple.get(tuple).copied().unwrap_or_default()
    }

    /// The other slot of the same five-tuple.
    pub(super) fn sibling(&self, slot: u32) -> Option<u32> {
        let legs = self.by_tuple(&self.get(slot)?.tuple);
        legs.iter().find(|&other| other != slot)
    }

    pub(super) fn by_relayed(&self, relayed: SocketAddr) -> Option<u32> {
        self.by_relayed.get(&relayed).copied()
    }

    pub(super) fn by_id(&self, relay: RelayId) -> Option<u32> {
        let allocation = self.get(relay.slot)?;
        (allocation.generation == relay.generation).then_some(relay.slot)
    }

    pub(super) fn id_of(&self, slot: u32) -> Option<RelayId> {
        self.get(slot).map(|allocation| RelayId { slot, generation: allocation.generation })
    }

    pub(super) fn of_user(&self, user: &str) -> Vec<u32> {
        self.by_user.get(user).map(|slots| slots.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn count_of_user(&self, user: &str) -> usize {
        self.by_user.get(user).map_or(0, BTreeSet::len)
    }

    /// All of them, in the order of their slots: for an operator, never for a packet.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Allocation)> {
        self.slots.iter().filter_map(|(slot, allocation)| Some((u32::try_from(slot).ok()?, allocation)))
    }

    pub(super) fn slots(&self) -> Vec<u32> {
        self.iter().map(|(slot, _)| slot).collect()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Allocation> {
        self.slots.get(usize::try_from(slot).ok()?)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Allocation> {
        self.slots.get_mut(usize::try_from(slot).ok()?)
    }

    /// Adds an allocation. It can be found by relayed address only from [`Table::publish`] on.
    pub(super) fn insert(&mut self, mut allocation: Allocation) -> Option<RelayId> {
        let entry = self.slots.vacant_entry();
        let slot = u32::try_from(entry.key()).ok()?;
        self.generation = self.generation.wrapping_add(1);
        allocation.generation = self.generation;
        *self.by_tuple.entry(allocation.tuple).or_default().place(allocation.bound.ip()) = Some(slot);
        self.by_user.entry(allocation.owner.user.clone()).or_default().insert(slot);
        self.deadlines.insert((allocation.expires, slot));
        entry.insert(allocation);
        Some(RelayId { slot, generation: self.generation })
    }

    /// Takes the allocations of another process, each in its slot; to be called on an empty table.
    pub(super) fn refill(&mut self, generation: u32, allocations: BTreeMap<u32, Allocation>) {
        self.generation = generation;
        let slots: Vec<u32> = allocations.keys().copied().collect();
        let places = allocations.into_iter().filter_map(|(slot, it)| Some((usize::try_from(slot).ok()?, it)));
        self.slots = places.collect();
        for slot in slots {
            let Some(allocation) = self.get(slot) else { continue };
            let (bound, expires, user) = (allocation.bound.ip(), allocation.expires, allocation.owner.user.clone());
            let next = allocation.mobility.and_then(|mobility| mobility.next);
            for tuple in [Some(allocation.tuple), next].into_iter().flatten() {
                *self.by_tuple.entry(tuple).or_default().place(bound) = Some(slot);
            }
            self.by_user.entry(user).or_default().insert(slot);
            self.deadlines.insert((expires, slot));
            self.publish(slot);
        }
    }

    /// The highest generation so far.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// The relay socket is open: its address can be reached from inside, by datagrams.
    pub(super) fn publish(&mut self, slot: u32) {
        let open = self.get(slot).filter(|allocation| !allocation.relays_connections());
        if let Some((bound, relayed)) = open.map(|allocation| (allocation.bound, allocation.relayed)) {
            self.by_relayed.insert(bound, slot);
            self.by_relayed.insert(relayed, slot);
        }
    }

    /// The owner of a five-tuple has come with another token. What it is called stays: quotas and usage go on.
    pub(super) fn renew(&mut self, slot: u32, owner: &Owner) {
        let Some(tuple) = self.get(slot).map(|allocation| allocation.tuple) else { return };
        for slot in self.by_tuple(&tuple).iter() {
            if let Some(allocation) = self.get_mut(slot) {
                let user = std::mem::take(&mut allocation.owner.user);
                allocation.owner = Owner { user, ..owner.clone() };
            }
        }
    }

    pub(super) fn set_expiry(&mut self, slot: u32, expires: Instant) {
        if let Some(allocation) = self.get_mut(slot) {
            let before = std::mem::replace(&mut allocation.expires, expires);
            self.deadlines.remove(&(before, slot));
            self.deadlines.insert((expires, slot));
        }
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<(RelayId, Allocation)> {
        let allocation = self.slots.try_remove(usize::try_from(slot).ok()?)?;
        let next = allocation.mobility.and_then(|mobility| mobility.next);
        for tuple in [Some(allocation.tuple), next].into_iter().flatten() {
            self.leave(tuple, allocation.bound.ip());
        }
        for address in [allocation.bound, allocation.relayed] {
            if self.by_relayed.get(&address) == Some(&slot) {
                self.by_relayed.remove(&address);
            }
        }
        self.deadlines.remove(&(allocation.expires, slot));
        if let Some(slots) = self.by_user.get_mut(&allocation.owner.user) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.by_user.remove(&allocation.owner.user);
            }
        }
        Some((RelayId { slot, generation: allocation.generation }, allocation))
    }

    fn leave(&mut self, tuple: FiveTuple, bound: IpAddr) {
        if let Some(legs) = self.by_tuple.get_mut(&tuple) {
            *legs.place(bound) = None;
            if *legs == Legs::default() {
                self.by_tuple.remove(&tuple);
            }
        }
    }

    /// The client is awaited at `mobility.next`, too. Tells where it was awaited before.
    pub(super) fn expect(&mut self, slot: u32, mobility: Mobility) -> Option<FiveTuple> {
        let allocation = self.get_mut(slot)?;
        let bound = allocation.bound.ip();
        let former = allocation.mobility.replace(mobility).and_then(|former| former.next);
        if let Some(former) = former {
            self.leave(former, bound);
        }
        if let Some(next) = mobility.next {
            *self.by_tuple.entry(next).or_default().place(bound) = Some(slot);
        }
        former
    }

    /// The client is awaited nowhere else.
    pub(super) fn expect_no_more(&mut self, slot: u32) {
        let mobility = self.get(slot).and_then(|allocation| allocation.mobility);
        if let Some(mobility) = mobility {
            self.expect(slot, Mobility { next: None, ..mobility });
        }
    }

    /// The client is where it was awaited, and no longer where it was.
    pub(super) fn move_to(&mut self, legs: Legs, to: FiveTuple) {
        for slot in legs.iter() {
            let Some(allocation) = self.get_mut(slot) else { continue };
            let (former, bound) = (std::mem::replace(&mut allocation.tuple, to), allocation.bound.ip());
            if let Some(mobility) = &mut allocation.mobility {
                mobility.next = None;
            }
            self.leave(former, bound);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// One allocation whose time is over.
    pub(super) fn expired(&self, now: Instant) -> Option<u32> {
        self.deadlines.first().filter(|&&(at, _)| at <= now).map(|&(_, slot)| slot)
    }
}
