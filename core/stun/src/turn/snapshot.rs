//! A machine on its way into another process, so that an upgrade ends no relaying: what it knows, in a form of a version.
//!
//! ```text
//!   old process: Server::snapshot ─► bytes, relay sockets ─► Server::go_on :new process
//! ```
//!
//! Times are what is left of them: instants mean nothing elsewhere. Peers are judged anew by the rules of the machine that
//! goes on. What waits for an answer is left out: clients repeat it. The bytes hold keys: they are for nobody but us.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::allocation::{Allocation, Channels, Granted, Owner, Permissions};
use super::config::{Config, FiveTuple, PortSlice, Protocol, RelayId, Transport};
use super::data::byte_rate;
use super::limiter::Bucket;
use super::limits::Meters;
use super::mobility::Mobility;
use super::reservations::KeptPort;
use super::sessions::Whom;
use super::usage::Meter;
use super::{Limits, Output, Server, Whose};

/// The form written and read here. Another one is another number, also if it looks the same.
pub const SNAPSHOT_VERSION: u32 = 1;

/// Why a machine cannot go on from these bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotGoOn {
    /// Written by another program.
    #[error("expected a snapshot of version {SNAPSHOT_VERSION}, got one of version {got}")]
    Version {
        /// Its version.
        got: u32,
    },
    /// No snapshot, or a damaged one.
    #[error("expected a snapshot of a relay machine, got bytes that are none: {0}")]
    Malformed(&'static str),
    /// Of another shard, or of as many shards as there are not.
    #[error("expected a snapshot of shard {shard} of {shards}, got one of shard {got} of {got_of}")]
    Shard {
        /// Which this is.
        shard: u16,
        /// Of how many.
        shards: u16,
        /// Which it was.
        got: u16,
        /// Of how many.
        got_of: u16,
    },
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    slice: PortSlice,
    nonces: ([u8; 32], Duration),
    generation: u32,
    allocations: Vec<Kept>,
    reserved: Vec<KeptPort>,
    lent: Vec<(SocketAddr, u16)>,
    /// Who passes on whose packets: to us, and we to others.
    hosts: Vec<(FiveTuple, u16)>,
    keepers: Vec<(FiveTuple, u16)>,
    revoked: Vec<(Whom, u64)>,
}

/// Size: an allocation as it is, in one piece.
#[derive(Serialize, Deserialize)]
struct Kept {
    relay: RelayId,
    tuple: FiveTuple,
    owner: Owner,
    bound: SocketAddr,
    relayed: SocketAddr,
    lived: Duration,
    left: Duration,
    granted: Granted,
    mobility: Option<Mobility>,
    permissions: Vec<(IpAddr, Duration)>,
    channels: Vec<(u16, SocketAddr, Duration)>,
}

impl Server {
    /// Ends what cannot go on elsewhere: connections with peers (RFC 6062), with the allocations they belong to, and DTLS,
    /// whose keys nobody else has. With DTLS ends what was relayed by it, as with a stream, unless the client has a ticket by
    /// which to come back (RFC 8016).
    pub fn end_connections(&mut self, now: Instant) {
        let cannot =
            |allocation: &Allocation| allocation.relays_connections() || allocation.tuple.transport == Transport::Dtls;
        let ending = self.table.iter().filter(|(_, allocation)| cannot(allocation));
        let ending = ending.map(|(slot, allocation)| (slot, allocation.tuple, allocation.relays_connections()));
        for (slot, client, is_connected) in ending.collect::<Vec<_>>() {
            self.outputs.push_back(Output::Disconnect { client });
            match is_connected {
                true => self.release(now, slot),
                false => self.handle_closed(now, client),
            }
        }
    }

    /// All that another machine needs to go on with every allocation.
    pub fn snapshot(&self, now: Instant) -> Vec<u8> {
        let is_whole = |allocation: &Allocation| allocation.opening.is_none() && !allocation.relays_connections();
        let opened = self.table.iter().filter(|(_, allocation)| is_whole(allocation));
        let (reserved, lent) = self.reservations.keep_for_later(now);
        let pairs = |(tuple, shard): (&FiveTuple, &u16)| (*tuple, *shard);
        let snapshot = Snapshot {
            slice: self.ports.slice(),
            nonces: self.gate.nonces.keep_for_later(now),
            generation: self.table.generation(),
            allocations: opened.map(|(slot, allocation)| keep(now, slot, allocation)).collect(),
            reserved,
            lent,
            hosts: self.guests.hosts.iter().map(pairs).collect(),
            keepers: self.guests.keepers.iter().map(pairs).collect(),
            revoked: self.revocations(),
        };
        let version = SNAPSHOT_VERSION.to_be_bytes().to_vec();
        postcard::to_extend(&snapshot, version).expect("a vector takes all bytes, and every length is known")
    }

    /// A machine that goes on where another one has been taken down. Whoever calls has the relay sockets that belong to the
    /// allocations, see [`Server::relays`].
    ///
    /// # Errors
    /// The bytes are no snapshot of this version and shard.
    pub fn go_on(config: Config, seed: [u8; 32], now: Instant, bytes: &[u8]) -> Result<Self, CannotGoOn> {
        let snapshot = parse(bytes)?;
        let (ours, its) = (config.ports, snapshot.slice);
        if (ours.shard, ours.shards) != (its.shard, its.shards) {
            let (shard, shards, got, got_of) = (ours.shard, ours.shards, its.shard, its.shards);
            return Err(CannotGoOn::Shard { shard, shards, got, got_of });
        }
        let mut server = Self::new(config, seed);
        server.gate.nonces.go_on(now, snapshot.nonces);
        server.handle_revocations(now, &snapshot.revoked);
        server.guests.hosts.extend(snapshot.hosts);
        server.guests.keepers.extend(snapshot.keepers);
        let mut used: BTreeSet<SocketAddr> = snapshot.lent.iter().map(|&(at, _)| at).collect();
        used.extend(snapshot.reserved.iter().map(|port| port.at));
        used.extend(snapshot.allocations.iter().map(|kept| kept.bound));
        server.ports.take_all(&used);
        for (at, shard) in snapshot.lent {
            server.reservations.lend(at, shard);
        }
        for port in snapshot.reserved {
            server.reservations.keep_on(now, port);
        }
        let mut allocations = BTreeMap::new();
        for kept in snapshot.allocations {
            allocations.insert(kept.relay.slot, server.revive(now, kept));
        }
        server.table.refill(snapshot.generation, allocations);
        for slot in server.table.slots() {
            server.join_groups(now, slot);
            // What the other process had the kernel relay, that process has taken back.
            server.offload_elsewhere(slot);
        }
        Ok(server)
    }

    /// Every relay socket there is, with whose it is and who asked for it.
    pub fn relays(&self) -> Vec<(RelayId, Whose, FiveTuple)> {
        let relay =
            |(slot, it): (u32, &Allocation)| (RelayId { slot, generation: it.generation }, it.owner.whose(), it.tuple);
        self.table.iter().map(relay).collect()
    }

    fn revive(&self, now: Instant, kept: Kept) -> Allocation {
        let Limits { max_lifetime, .. } = self.settings.limits;
        let (realms, realm) = (self.gate.realms(), &kept.owner.realm);
        let judge = |ip| self.peers.judge(ip, realms, realm);
        let bytes_per_second = realms.bytes_per_second(realm);
        let rate = byte_rate(&self.settings.limits, bytes_per_second);
        let (mut permissions, mut channels) = (Permissions::default(), Channels::default());
        for (ip, left) in kept.permissions.into_iter().take(self.settings.limits.permissions) {
            if let Some(reach) = judge(ip) {
                permissions.install_for(now, ip, reach, left);
            }
        }
        for (number, peer, left) in kept.channels.into_iter().take(self.settings.limits.channels) {
            if let Some(reach) = judge(peer.ip()) {
                channels.bind_for(now, (number, peer), reach, left);
            }
        }
        Allocation {
            generation: kept.relay.generation,
            tuple: kept.tuple,
            owner: kept.owner,
            bound: kept.bound,
            relayed: kept.relayed,
            expires: now + kept.left.min(max_lifetime),
            opening: None,
            granted: kept.granted,
            mobility: kept.mobility,
            bucket: Bucket::full(now, rate),
            meter: Meter::going_on(now, kept.lived),
            meters: Meters::new(now, &self.settings.limits),
            bytes_per_second,
            permissions,
            channels,
            // Granted again once all of them are here: one may be the other's peer.
            offloaded: false,
        }
    }
}

fn keep(now: Instant, slot: u32, allocation: &Allocation) -> Kept {
    Kept {
        relay: RelayId { slot, generation: allocation.generation },
        tuple: allocation.tuple,
        owner: allocation.owner.clone(),
        bound: allocation.bound,
        relayed: allocation.relayed,
        lived: now.saturating_duration_since(allocation.meter.started),
        left: allocation.expires.saturating_duration_since(now),
        granted: allocation.granted,
        mobility: allocation.mobility,
        permissions: allocation.permissions.keep_for_later(now),
        channels: allocation.channels.keep_for_later(now),
    }
}

fn parse(bytes: &[u8]) -> Result<Snapshot, CannotGoOn> {
    let (version, body) = bytes.split_first_chunk().ok_or(CannotGoOn::Malformed("too few bytes"))?;
    match u32::from_be_bytes(*version) {
        SNAPSHOT_VERSION => {}
        got => return Err(CannotGoOn::Version { got }),
    }
    let (snapshot, rest) =
        postcard::take_from_bytes::<Snapshot>(body).map_err(|_| CannotGoOn::Malformed("they end or differ within"))?;
    if !rest.is_empty() {
        return Err(CannotGoOn::Malformed("more follow"));
    }
    let slots: BTreeSet<u32> = snapshot.allocations.iter().map(|kept| kept.relay.slot).collect();
    if slots.len() != snapshot.allocations.len() {
        return Err(CannotGoOn::Malformed("two allocations are in one place"));
    }
    // Places are kept up to the highest number.
    if slots.last().is_some_and(|&slot| slot > MAX_SLOT) {
        return Err(CannotGoOn::Malformed("an allocation is too far away"));
    }
    if snapshot.allocations.iter().any(|kept| kept.granted.protocol == Protocol::Tcp) {
        return Err(CannotGoOn::Malformed("an allocation relays connections, which do not go along"));
    }
    let is_sane = |(number, peer, _): &(u16, SocketAddr, Duration)| CHANNELS.contains(number) && peer.port() != 0;
    if !snapshot.allocations.iter().flat_map(|kept| &kept.channels).all(is_sane) {
        return Err(CannotGoOn::Malformed("a channel is none"));
    }
    Ok(snapshot)
}

/// More allocations than a shard has descriptors.
const MAX_SLOT: u32 = 1 << 20;
/// RFC 8656 §12, and RFC 5766 §11.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFE;
