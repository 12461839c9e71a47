//! The data path: ChannelData and Send indications up, peers' datagrams down, and both at once inside the process.
//!
//! No allocation, no copy: what leaves is a header of ours and a part of the bytes that came in.

use std::net::SocketAddr;
use std::time::Instant;

use rand_core::RngCore;

use super::Server;
use super::allocation::Allocation;
use super::config::{FiveTuple, Limits, RelayId};
use super::limiter::Rate;
use super::peers::Reach;
use super::usage::Direction;
use crate::wire::{self, Head, Stun};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward<'p> {
    /// Nothing leaves: it was a message for the machine.
    Nothing,
    /// Nothing leaves.
    Dropped(DropReason),
    /// Leaves by a relay socket.
    ToPeer {
        /// The socket.
        relay: RelayId,
        /// Where to.
        peer: SocketAddr,
        /// What.
        payload: &'p [u8],
        /// Whether it may be fragmented on its way.
        fragmentation: Fragmentation,
    },
    /// Goes to a client: `head`, then `payload`, then zeros up to a multiple of four bytes if `padded`.
    ToClient {
        /// The client.
        client: FiveTuple,
        /// In front.
        head: Head,
        /// What.
        payload: &'p [u8],
        /// Whether zeros follow.
        padded: bool,
    },
    /// Goes to an allocation of another shard, by its [`Server::handle_hairpin`].
    ToShard {
        /// Which.
        shard: u16,
        /// Our relayed address.
        from: SocketAddr,
        /// The relayed address there.
        to: SocketAddr,
        /// What.
        payload: &'p [u8],
    },
    /// Goes to another shard's machine, by its [`Server::handle_guest`]: the client has moved.
    ToKeeper {
        /// Which.
        shard: u16,
        /// The client.
        from: FiveTuple,
        /// All it has sent.
        bytes: &'p [u8],
    },
    /// The stream this came by goes to another shard, whole, and this comes first there.
    HandOver {
        /// Which.
        shard: u16,
    },
}

/// Whether routers may fragment a packet (RFC 8656 §15, the alternate behaviour: they may unless the client says no).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragmentation {
    /// DF is clear.
    Allowed,
    /// DF is set: the client has asked for it by DONT-FRAGMENT, to probe the path.
    Forbidden,
}

/// Why a packet is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The five-tuple, or the relay address, has none that relays datagrams.
    NoAllocation,
    /// The channel is not bound.
    NoChannel,
    /// No permission for the peer.
    NoPermission,
    /// The peer is one of our own sockets, or an address of ours where nothing listens inside.
    Forbidden,
    /// More bytes or packets per second than allowed; which, [`super::Counters::met`] tells.
    Rate,
    /// An indication that lacks something, has too much, or is too long.
    Malformed,
}

impl Server {
    pub(super) fn drop_packet<'p>(&mut self, reason: DropReason) -> Forward<'p> {
        self.counters.dropped += 1;
        Forward::Dropped(reason)
    }

    /// RFC 8656 §12.6.
    pub(super) fn on_channel_data<'p>(
        &mut self,
        now: Instant,
        from: FiveTuple,
        number: u16,
        payload: &'p [u8],
    ) -> Forward<'p> {
        let legs = self.table.by_tuple(&from);
        let Some(first) = legs.first() else { return self.drop_packet(DropReason::NoAllocation) };
        let bound = |slot| Some((slot, self.table.get(slot)?.channels.by_number(now, number)?));
        let Some((slot, channel)) = bound(first).or_else(|| legs.iter().find_map(bound)) else {
            return self.drop_packet(DropReason::NoChannel);
        };
        self.on_heard(legs, from);
        self.send_up(now, slot, Peer::new(channel.peer, channel.reach), payload)
    }

    /// RFC 8656 §11.2.
    pub(super) fn on_send<'p>(&mut self, now: Instant, from: FiveTuple, stun: Stun<'p>) -> Forward<'p> {
        let legs = self.table.by_tuple(&from);
        // RFC 6062 §5: no datagrams by a TCP allocation.
        if legs.first().and_then(|slot| self.table.get(slot)).is_none_or(Allocation::relays_connections) {
            return self.drop_packet(DropReason::NoAllocation);
        }
        let Some((peer, payload, fragmentation)) = parse_send(stun) else {
            return self.drop_packet(DropReason::Malformed);
        };
        let permitted = legs.towards(peer.ip()).and_then(|slot| {
            let reach = self.table.get(slot)?.permissions.reach(now, peer.ip())?;
            (peer.port() != 0).then_some((slot, reach))
        });
        let Some((slot, reach)) = permitted else { return self.drop_packet(DropReason::NoPermission) };
        self.on_heard(legs, from);
        self.send_up(now, slot, Peer { at: peer, reach, fragmentation }, payload)
    }

    fn send_up<'p>(&mut self, now: Instant, slot: u32, peer: Peer, payload: &'p [u8]) -> Forward<'p> {
        if !self.take_bytes(now, slot, payload) {
            return self.drop_packet(DropReason::Rate);
        }
        match peer.reach {
            Reach::Outside => self.send_outside(slot, peer, payload),
            Reach::Inside if self.peers.is_service(peer.at) => self.send_outside(slot, peer, payload),
            Reach::Inside => self.send_inside(now, slot, peer.at, payload),
            Reach::InsideOrOutside => match self.table.by_relayed(peer.at).is_some() {
                true => self.send_inside(now, slot, peer.at, payload),
                false if self.peers.is_listener(peer.at) => self.drop_packet(DropReason::Forbidden),
                false => self.send_outside(slot, peer, payload),
            },
        }
    }

    fn send_outside<'p>(&mut self, slot: u32, peer: Peer, payload: &'p [u8]) -> Forward<'p> {
        let Some(relay) = self.table.id_of(slot) else { return self.drop_packet(DropReason::NoAllocation) };
        self.count_relayed(slot, Direction::Up, payload);
        Forward::ToPeer { relay, peer: peer.at, payload, fragmentation: peer.fragmentation }
    }

    /// The peer is a relay address of ours: nothing leaves the process.
    fn send_inside<'p>(&mut self, now: Instant, slot: u32, to: SocketAddr, payload: &'p [u8]) -> Forward<'p> {
        let Some(from) = self.table.get(slot).map(|allocation| allocation.relayed) else {
            return self.drop_packet(DropReason::NoAllocation);
        };
        if let Some(target) = self.table.by_relayed(to) {
            self.count_relayed(slot, Direction::Up, payload);
            return self.deliver(now, target, from, payload);
        }
        match self.other_shard(to) {
            Some(shard) => {
                self.count_relayed(slot, Direction::Up, payload);
                Forward::ToShard { shard, from, to, payload }
            }
            None => self.drop_packet(DropReason::Forbidden),
        }
    }

    /// The shard that relays at an address of ours, if it is not this one.
    fn other_shard(&self, to: SocketAddr) -> Option<u16> {
        let borrower = self.reservations.borrower(to);
        borrower.or_else(|| self.ports.shard_of(to.port()).filter(|&shard| shard != self.settings.shard))
    }

    /// What another shard has sent to a relay address of this one.
    pub(super) fn on_hairpin<'p>(
        &mut self,
        now: Instant,
        (from, to): (SocketAddr, SocketAddr),
        payload: &'p [u8],
    ) -> Forward<'p> {
        match (self.table.by_relayed(to), self.reservations.borrower(to)) {
            (Some(slot), _) => self.deliver(now, slot, from, payload),
            (None, Some(shard)) => Forward::ToShard { shard, from, to, payload },
            (None, None) => self.drop_packet(DropReason::NoAllocation),
        }
    }

    /// RFC 8656 §11.3 and §12.7.
    pub(super) fn deliver<'p>(&mut self, now: Instant, slot: u32, from: SocketAddr, payload: &'p [u8]) -> Forward<'p> {
        let Some(allocation) = self.table.get(slot) else { return self.drop_packet(DropReason::NoAllocation) };
        if allocation.relays_connections() {
            return self.drop_packet(DropReason::NoAllocation);
        }
        if allocation.opening.is_some() || allocation.permissions.reach(now, from.ip()).is_none() {
            return self.drop_packet(DropReason::NoPermission);
        }
        let client = allocation.tuple;
        let channel = allocation.channels.number_of(now, from);
        if !self.take_bytes(now, slot, payload) {
            return self.drop_packet(DropReason::Rate);
        }
        let Some(head) = self.head(channel, from, payload) else { return self.drop_packet(DropReason::Malformed) };
        self.count_relayed(slot, Direction::Down, payload);
        // RFC 8656 §12.5: ChannelData is padded over streams; a STUN message is a multiple of four everywhere.
        let padded = channel.is_none() || client.transport.is_stream();
        Forward::ToClient { client, head, payload, padded }
    }

    fn head(&mut self, channel: Option<u16>, from: SocketAddr, payload: &[u8]) -> Option<Head> {
        let length = u16::try_from(payload.len()).ok()?;
        if let Some(number) = channel {
            return Some(Head::channel_data(number, length));
        }
        let mut transaction = [0; 12];
        self.rng.fill_bytes(&mut transaction);
        Head::data_indication(from, transaction, length)
    }
}

/// What an allocation may pass, by what its realm says or else in general; two seconds' worth at once.
pub(super) fn byte_rate(limits: &Limits, of_realm: Option<u64>) -> Rate {
    let general = Rate { per_second: limits.bytes_per_second, burst: limits.burst_bytes };
    of_realm.map_or(general, |per_second| Rate { per_second, burst: per_second.saturating_mul(2) })
}

/// Where a packet goes, and how.
#[derive(Clone, Copy)]
struct Peer {
    at: SocketAddr,
    reach: Reach,
    fragmentation: Fragmentation,
}

impl Peer {
    fn new(at: SocketAddr, reach: Reach) -> Self {
        Self { at, reach, fragmentation: Fragmentation::Allowed }
    }
}

/// Peer and data of a Send indication. The first of each kind counts; an unknown attribute that must be understood
/// makes the indication void, RFC 8489 §6.3.2.
fn parse_send(stun: Stun<'_>) -> Option<(SocketAddr, &[u8], Fragmentation)> {
    let transaction = stun.transaction();
    let (mut peer, mut data, mut fragmentation) = (None, None, Fragmentation::Allowed);
    for (kind, value) in stun.attributes() {
        match kind {
            wire::XOR_PEER_ADDRESS => peer = peer.or(Some(wire::read_xor_address(value, &transaction)?)),
            wire::DATA => data = data.or(Some(value)),
            DONT_FRAGMENT => fragmentation = Fragmentation::Forbidden,
            MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 => break,
            0..0x8000 => return None,
            _ => {}
        }
    }
    Some((peer?, data?, fragmentation))
}

const MESSAGE_INTEGRITY: u16 = 0x0008;
const DONT_FRAGMENT: u16 = 0x001A;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
