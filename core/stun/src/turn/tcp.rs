//! TCP relaying, RFC 6062: Connect, peers that connect in, ConnectionBind, and the end of connections.
//!
//! ```text
//!   client ──Connect───────► Output::Connect ─► handle_connected ─► success with CONNECTION-ID
//!   peer ──connects in─────► handle_incoming, permitted ──────────► ConnectionAttempt
//!   client ──ConnectionBind, by a connection of its own───────────► Output::Join: bytes from here on
//! ```
//!
//! The bytes do not come by here: the shell carries them and tells how many, by [`Server::handle_carried`].

use std::net::SocketAddr;
use std::time::Instant;

use rand_core::RngCore;
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, StunWriteError,
};
use turn_types::attribute::{ConnectionId as ConnectionIdAttribute, XorPeerAddress};
use turn_types::message::{CONNECTION_ATTEMPT, CONNECTION_BIND};

use super::allocation::Allocation;
use super::answer::{self, Refusal, Request, Seal};
use super::config::{FiveTuple, Protocol, RelayId};
use super::connections::{Connection, ConnectionId, State};
use super::data::byte_rate;
use super::mobility::{REFRESH_REQUEST, shard_of_ticket};
use super::peers::Reach;
use super::request::{check_unknown, transaction_from};
use super::table::Legs;
use super::usage::{Direction, Traffic};
use super::{Output, Server};

/// Who may be at an address that is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Whoever is.
    Anyone,
    /// The address is ours: a TCP allocation, on whatever shard, and nothing else of this host.
    Relayed,
}

/// Bytes that a connection has carried since the last telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// From the client.
    pub up: u64,
    /// To the client.
    pub down: u64,
}

impl Server {
    /// RFC 6062 §5.2. Answered when the connection stands or has failed.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        (legs, seal): (Legs, &Seal),
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        check_unknown(message)?;
        if legs.first().and_then(|slot| self.table.get(slot)).is_none_or(|first| !first.relays_connections()) {
            return Err(Refusal::AllocationMismatch);
        }
        let peer = message.attribute::<XorPeerAddress>().map_err(|_| Refusal::BadRequest)?;
        let peer = peer.addr(message.transaction_id());
        if peer.port() == 0 {
            return Err(Refusal::BadRequest);
        }
        let slot = legs.towards(peer.ip()).ok_or(Refusal::PeerAddressFamilyMismatch)?;
        let whom = self.destination(slot, peer).ok_or(Refusal::Forbidden)?;
        if self.connections.has(slot, peer) {
            return Err(Refusal::ConnectionAlreadyExists);
        }
        if !self.has_room(slot) || !self.take_connect(now, slot) {
            return Err(Refusal::InsufficientCapacity);
        }
        let relay = self.table.id_of(slot).ok_or(Refusal::AllocationMismatch)?;
        let state = State::connecting(now, Request::from(message), seal.clone());
        let connection = self.connections.insert(&mut self.rng, Connection { slot, peer, state });
        self.outputs.push_back(Output::Connect { relay, connection, peer, whom });
        Ok(())
    }

    /// Whether a peer may be connected to, and who may be there.
    fn destination(&self, slot: u32, peer: SocketAddr) -> Option<Destination> {
        // Who connects to its own address would find itself.
        if self.table.get(slot).is_none_or(|own| own.relayed == peer || own.bound == peer) {
            return None;
        }
        match self.reach(slot, peer.ip())? {
            Reach::Outside => Some(Destination::Anyone),
            Reach::InsideOrOutside => (!self.peers.is_listener(peer)).then_some(Destination::Anyone),
            Reach::Inside => self.ports.shard_of(peer.port()).map(|_| Destination::Relayed),
        }
    }

    fn has_room(&self, slot: u32) -> bool {
        let limits = &self.settings.limits;
        self.connections.len() < limits.connections
            && self.connections.of(slot).count() < limits.connections_per_allocation
    }

    /// Each Connect costs as many bytes as a part of the burst, so that nobody looks for open ports through us at speed.
    fn take_connect(&mut self, now: Instant, slot: u32) -> bool {
        let Some(allocation) = self.table.get_mut(slot) else { return false };
        let rate = byte_rate(&self.settings.limits, allocation.bytes_per_second);
        allocation.bucket.take(now, rate, rate.burst / CONNECTS_AT_ONCE)
    }

    /// The shell has established the connection of an [`Output::Connect`].
    pub fn handle_connected(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let (slot, State::Connecting { request, seal, .. }) = (connection.slot, connection.state.clone()) else {
            return;
        };
        self.connections.turn(id, State::pending(now));
        if let Some(client) = self.table.get(slot).map(|allocation| allocation.tuple) {
            let number = ConnectionIdAttribute::new(id.bits());
            self.send(client, answer::success(request, &[&number], Some(&seal)));
        }
    }

    /// A connection has failed or ended, on either side; the shell keeps nothing of it.
    pub fn handle_disconnected(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(id) else { return };
        self.on_failed(&connection);
    }

    /// RFC 6062 §5.2: the client whose Connect waits is told.
    fn on_failed(&mut self, connection: &Connection) {
        self.tell_waiting(connection, &Refusal::ConnectionTimeoutOrFailure);
    }

    fn tell_waiting(&mut self, connection: &Connection, refusal: &Refusal) {
        let State::Connecting { request, seal, .. } = &connection.state else { return };
        if let Some(client) = self.table.get(connection.slot).map(|allocation| allocation.tuple) {
            self.counters.refused += 1;
            self.send(client, answer::refusal(*request, refusal, Some(seal)));
        }
    }

    /// Connections to peers that may not be relayed to any more.
    pub(super) fn refuse(&mut self, connections: &[ConnectionId]) {
        for &connection in connections {
            if let Some(refused) = self.connections.remove(connection) {
                self.tell_waiting(&refused, &Refusal::Forbidden);
                self.outputs.push_back(Output::Hangup { connection });
            }
        }
    }

    /// A peer has connected to a relayed address, RFC 6062 §5.3. `None`: close it.
    pub fn handle_incoming(&mut self, now: Instant, relay: RelayId, peer: SocketAddr) -> Option<ConnectionId> {
        let slot = self.table.by_id(relay)?;
        let allocation = self.table.get(slot).filter(|allocation| allocation.relays_connections())?;
        let permitted = allocation.opening.is_none() && allocation.permissions.reach(now, peer.ip()).is_some();
        let client = allocation.tuple;
        if !permitted || self.connections.has(slot, peer) || !self.has_room(slot) {
            self.counters.dropped += 1;
            return None;
        }
        let connection = Connection { slot, peer, state: State::pending(now) };
        let id = self.connections.insert(&mut self.rng, connection);
        let mut transaction = [0; 12];
        self.rng.fill_bytes(&mut transaction);
        self.send(client, attempt(transaction, peer, id));
        Some(id)
    }

    /// The allocation whose connection a ConnectionBind names.
    pub(super) fn by_connection(&self, message: &Message<'_>) -> Option<u32> {
        let id = (message.method() == CONNECTION_BIND).then(|| connection_of(message)).flatten()?;
        self.connections.get(id).map(|connection| connection.slot)
    }

    /// RFC 6062 §5.4: from the user who has the allocation, by a connection of its own.
    pub(super) fn on_connection_bind(
        &mut self,
        seal: &Seal,
        client: FiveTuple,
        message: &Message<'_>,
    ) -> Result<(), StunWriteError> {
        match self.bind_connection(client, message) {
            Ok(connection) => {
                let message = answer::success(message.into(), &[], Some(seal))?;
                self.outputs.push_back(Output::Send { to: client, message });
                self.outputs.push_back(Output::Join { connection, client });
            }
            Err(refusal) => {
                self.counters.refused += 1;
                let message = answer::refusal(message.into(), &refusal, Some(seal))?;
                self.outputs.push_back(Output::Send { to: client, message });
            }
        }
        Ok(())
    }

    fn bind_connection(&mut self, client: FiveTuple, message: &Message<'_>) -> Result<ConnectionId, Refusal> {
        check_unknown(message)?;
        let id = connection_of(message).ok_or(Refusal::BadRequest)?;
        let is_pending = self.connections.get(id).is_some_and(|known| matches!(known.state, State::Pending { .. }));
        if !client.transport.is_stream() || !is_pending {
            return Err(Refusal::BadRequest);
        }
        self.connections.turn(id, State::Bound);
        self.counters.connected += 1;
        Ok(id)
    }

    /// Where a stream without allocation is to go, if that is another shard: which has the connection that a ConnectionBind
    /// names, or the allocation whose ticket a Refresh shows.
    pub(super) fn shard_of_stream(&self, from: FiveTuple, bytes: &[u8]) -> Option<u16> {
        let shards = self.settings.shards;
        if !from.transport.is_stream() || shards < 2 {
            return None;
        }
        let shard = match *bytes.first_chunk()? {
            CONNECTION_BIND_REQUEST => connection_of(&Message::from_bytes(bytes).ok()?)?.shard(shards),
            REFRESH_REQUEST => shard_of_ticket(bytes).filter(|shard| *shard < shards)?,
            _ => return None,
        };
        (shard != self.settings.shard && self.table.by_tuple(&from).first().is_none()).then_some(shard)
    }

    /// A connection has carried bytes. Tells until when it is to rest, if that was more than it may.
    pub fn handle_carried(&mut self, now: Instant, id: ConnectionId, carried: Carried) -> Option<Instant> {
        let slot = self.connections.get(id)?.slot;
        for (direction, bytes) in [(Direction::Up, carried.up), (Direction::Down, carried.down)] {
            if bytes > 0 {
                self.count_traffic(slot, direction, Traffic { packets: 0, bytes });
            }
        }
        let limits = &self.settings.limits;
        let cost = carried.up.saturating_add(carried.down);
        let allocation = self.table.get_mut(slot)?;
        let rate = byte_rate(limits, allocation.bytes_per_second);
        allocation.bucket.spend(now, rate, cost)
    }

    /// Ends connections nobody has answered or asked for in time.
    pub(super) fn expire_connections(&mut self, now: Instant) {
        while let Some(connection) = self.connections.expired(now) {
            if let Some(expired) = self.connections.remove(connection) {
                self.on_failed(&expired);
                self.outputs.push_back(Output::Hangup { connection });
            }
        }
    }

    /// RFC 6062 §5.5: with the allocation end its connections.
    pub(super) fn hang_up(&mut self, slot: u32) {
        let ended: Vec<_> = self.connections.of(slot).collect();
        for connection in ended {
            self.connections.remove(connection);
            self.outputs.push_back(Output::Hangup { connection });
        }
    }
}

impl Allocation {
    /// Whether it relays connections instead of datagrams.
    pub(super) fn relays_connections(&self) -> bool {
        self.granted.protocol == Protocol::Tcp
    }
}

fn connection_of(message: &Message<'_>) -> Option<ConnectionId> {
    let number = message.attribute::<ConnectionIdAttribute>().ok()?;
    Some(ConnectionId::from_bits(number.id()))
}

/// RFC 6062 §5.3.
fn attempt(transaction: [u8; 12], peer: SocketAddr, id: ConnectionId) -> Result<Vec<u8>, StunWriteError> {
    let transaction = transaction_from(transaction);
    let kind = MessageType::from_class_method(MessageClass::Indication, CONNECTION_ATTEMPT);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::with_capacity(60));
    message.add_attribute(&XorPeerAddress::new(peer, transaction))?;
    message.add_attribute(&ConnectionIdAttribute::new(id.bits()))?;
    Ok(message.finish())
}

const CONNECTION_BIND_REQUEST: [u8; 2] = [0x00, 0x0B];
/// How many of an allocation may begin at once; after that as many as the bytes per second are parts of the burst.
const CONNECTS_AT_ONCE: u64 = 128;
