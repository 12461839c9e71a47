//! Bound channels of UDP clients that the shell may have relayed past this machine, inside the kernel.
//!
//! ```text
//!   bound, refreshed, permitted, moved ─► Output::Offload: which packets, until when, how many bytes
//!   moved, ended, shut out ─────────────► Output::Onload: no longer ─► handle_offloaded: the last counts ─► handle_onloaded
//!   bytes that passed here nevertheless ► Output::Spent               handle_offloaded: counts, whenever there are some
//! ```
//!
//! The shell relays within what it was granted and says afterwards what passed, so that figures, limits and ends are those of
//! packets that pass here. What it was not granted comes here as before. A rate is kept on both sides, and each tells the
//! other what it has let pass: together they may exceed it by one burst, once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::allocation::{Channel, Owner};
use super::config::{RelayId, Transport};
use super::data::byte_rate;
use super::limits::Limit;
use super::peers::Reach;
use super::usage::{Traffic, Usage};
use super::{Output, Server};

/// One channel, and what may be relayed in it past the machine. Comes again whenever something of it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// The allocation.
    pub relay: RelayId,
    /// The channel.
    pub channel: u16,
    /// The client, over UDP.
    pub client: SocketAddr,
    /// Our address that it sends to.
    pub server: SocketAddr,
    /// Our address that the peer sends to.
    pub relayed: SocketAddr,
    /// The peer.
    pub peer: SocketAddr,
    /// What the peer is.
    pub beyond: Beyond,
    /// When the channel expires: the client's packets may pass until then.
    pub up_until: Instant,
    /// When the channel or the permission expires: the peer's packets may pass until then.
    pub down_until: Instant,
    /// Payload bytes, of all channels of the allocation and both directions together.
    pub budget: Budget,
}

/// Where a channel leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Out.
    Outside,
    /// To the client that the peer, an address relayed here, stands for.
    Inside,
}

/// A token bucket of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Comes in.
    pub per_second: u64,
    /// Fits in.
    pub burst: u64,
    /// Is in.
    pub left: u64,
}

/// What was relayed past the machine in one channel, since that was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloaded {
    /// From the client.
    pub up: Traffic,
    /// To the client.
    pub down: Traffic,
    /// Packets over the budget.
    pub dropped: u64,
}

/// Who is relayed for by the shell.
pub(super) struct Offloads {
    wanted: bool,
    /// Allocations that have ended, while their last packets are being counted.
    leaving: BTreeMap<RelayId, Owner>,
}

impl Offloads {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, leaving: BTreeMap::new() }
    }
}

impl Server {
    /// Grants every channel to a peer's address anew: one was bound or refreshed, or its permission was.
    pub(super) fn offload_towards(&mut self, slot: u32, ip: IpAddr) {
        self.offload_where(slot, |channel| channel.peer.ip() == ip);
    }

    /// The client is elsewhere: what was granted is over, and granted anew from there.
    pub(super) fn offload_elsewhere(&mut self, slot: u32) {
        let relay = self.table.id_of(slot);
        let was = self.table.get_mut(slot).is_some_and(|of| std::mem::replace(&mut of.offloaded, false));
        if let Some(relay) = relay.filter(|_| was) {
            self.outputs.push_back(Output::Onload { relay });
        }
        self.offload_where(slot, |_| true);
    }

    fn offload_where(&mut self, slot: u32, applies: impl Fn(&Channel) -> bool) {
        if !self.offloads.wanted {
            return;
        }
        let Some(allocation) = self.table.get(slot).filter(|of| of.tuple.transport == Transport::Udp) else { return };
        if allocation.meters.shares(&self.settings.limits) {
            return;
        }
        let channels: Vec<Channel> = allocation.channels.iter().filter(|channel| applies(channel)).copied().collect();
        for channel in channels {
            let Some(offload) = self.offload(slot, channel) else { continue };
            if let Some(allocation) = self.table.get_mut(slot) {
                allocation.offloaded = true;
            }
            self.outputs.push_back(Output::Offload(offload));
        }
    }

    fn offload(&self, slot: u32, channel: Channel) -> Option<Offload> {
        let (relay, allocation) = (self.table.id_of(slot)?, self.table.get(slot)?);
        let beyond = match channel.reach {
            Reach::Outside => Beyond::Outside,
            Reach::Inside if self.peers.is_service(channel.peer) => return None,
            Reach::Inside => Beyond::Inside,
            // What else listens on this host is reached by the sockets only.
            Reach::InsideOrOutside => self.table.by_relayed(channel.peer).map(|_| Beyond::Inside)?,
        };
        let permitted = allocation.permissions.until(channel.peer.ip())?;
        let rate = byte_rate(&self.settings.limits, allocation.bytes_per_second);
        Some(Offload {
            relay,
            channel: channel.number,
            client: allocation.tuple.client,
            server: allocation.tuple.server,
            // From inside we are known by the address that clients are told.
            relayed: if beyond == Beyond::Inside { allocation.relayed } else { allocation.bound },
            peer: channel.peer,
            beyond,
            up_until: channel.expires,
            down_until: channel.expires.min(permitted),
            budget: Budget { per_second: rate.per_second, burst: rate.burst, left: allocation.bucket.left() },
        })
    }

    /// The allocation has ended, and what was granted with it.
    pub(super) fn onload_ended(&mut self, relay: RelayId, offloaded: bool, owner: &Owner) {
        if offloaded {
            self.offloads.leaving.insert(relay, owner.clone());
            self.outputs.push_back(Output::Onload { relay });
        }
    }

    fn is_offloaded(&self, slot: u32) -> bool {
        self.table.get(slot).is_some_and(|allocation| allocation.offloaded)
    }

    /// Bytes have passed here in spite of a grant.
    pub(super) fn on_spent(&mut self, slot: u32, cost: u64) {
        let Some(relay) = self.table.id_of(slot).filter(|_| self.is_offloaded(slot)) else { return };
        match self.outputs.back_mut() {
            Some(Output::Spent { relay: last, bytes }) if *last == relay => *bytes = bytes.saturating_add(cost),
            _ => self.outputs.push_back(Output::Spent { relay, bytes: cost }),
        }
    }

    /// What has been relayed past the machine for an allocation, which may have ended since.
    pub fn handle_offloaded(&mut self, now: Instant, relay: RelayId, passed: Offloaded) {
        let Traffic { packets, bytes } = passed.up.plus(passed.down);
        self.counters.dropped = self.counters.dropped.saturating_add(passed.dropped);
        self.counters.offloaded = self.counters.offloaded.saturating_add(packets);
        if !self.handle_relayed_elsewhere(relay, passed.up, passed.down) {
            self.counters.packets = self.counters.packets.saturating_add(packets);
            self.counters.bytes = self.counters.bytes.saturating_add(bytes);
            if let Some(owner) = self.offloads.leaving.get(&relay) {
                let usage = Usage { up: passed.up, down: passed.down, ..Usage::default() };
                self.ledger.add(owner, &usage);
            }
        }
        self.counters.met.count_many(Limit::SessionBytes, passed.dropped);
        let limits = self.settings.limits;
        let Some(allocation) = self.table.by_id(relay).and_then(|slot| self.table.get_mut(slot)) else { return };
        allocation.bucket.spend(now, byte_rate(&limits, allocation.bytes_per_second), bytes);
        // Packets per second are bounded here only: whoever has had too many is relayed here until its next refresh.
        if !allocation.meters.spend_packets(now, &limits, packets) && std::mem::take(&mut allocation.offloaded) {
            self.outputs.push_back(Output::Onload { relay });
        }
    }

    /// All is told of what was relayed past the machine before an [`Output::Onload`].
    pub fn handle_onloaded(&mut self, relay: RelayId) {
        self.offloads.leaving.remove(&relay);
    }
}
