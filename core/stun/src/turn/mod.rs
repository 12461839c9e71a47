//! The relay machine of one shard, RFC 8656: allocations, permissions, channels, and what to do with each packet.
//!
//! ```text
//!   client packet ──handle_client──►┐                  ┌► Forward: at most one packet, header + part of the input
//!   peer packet ────handle_peer────►│     Server       │
//!   other shard ────handle_hairpin─►│                  ├► poll_output: answers, sockets to open and close
//!   socket opened ──handle_opened──►┘                  └► poll_timeout: when the next allocation expires
//! ```
//!
//! Data packets are looked up by hash and forwarded without allocation or copy. A request that needs a relay socket
//! waits as an allocation that is `opening`. Nothing is kept for a client that has not shown a valid credential.

mod allocate;
mod allocation;
mod answer;
mod authenticate;
mod census;
mod changes;
mod config;
mod connections;
mod data;
mod external;
mod icmp;
mod limiter;
mod limits;
mod mobility;
mod nonce;
mod notes;
mod offload;
mod opening;
mod parked;
mod peers;
mod ports;
mod realms;
mod request;
mod requests_with_allocation;
mod reservations;
mod revoked;
mod seeded;
mod sessions;
mod snapshot;
mod table;
mod tcp;
mod token;
mod usage;
mod users;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

pub use census::Census;
pub use changes::Changes;
pub use config::{Addresses, Config, FiveTuple, Limits, PeerRules, PortSlice, Protocol, RelayId, Transport};
pub use connections::ConnectionId;
pub use data::{DropReason, Forward, Fragmentation};
pub use external::{External, Mapping};
pub use icmp::IcmpError;
pub use limits::{Group, LIMITS, Limit, Met, Share};
pub use notes::Note;
pub use offload::{Beyond, Budget, Offload, Offloaded};
pub use realms::{RealmFacts, RealmPeers, Realms, canonical_origin};
pub use reservations::Token;
pub use sessions::{Filter, NoSessionId, Session, SessionId, Whom};
pub use snapshot::{CannotGoOn, SNAPSHOT_VERSION};
pub use tcp::{Carried, Destination};
pub use token::{TokenAlgorithm, TokenKey, TokenKeyTooShort};
pub use usage::{Traffic, Usage};
pub use users::{Account, Accounts, Answer, Name, QueryId, Secret, ThirdParty, UserKey, userhash};

use crate::Discovery;
use crate::wire::{self, Packet};
use allocation::Owner;
use authenticate::Gate;
use connections::Connections;
use limits::Pools;
use notes::Guests;
use offload::Offloads;
use parked::Parked;
use peers::Peers;
use ports::Ports;
use reservations::Reservations;
use table::Table;
use usage::Ledger;

/// The relay machine of one shard.
pub struct Server {
    settings: Settings,
    table: Table,
    connections: Connections,
    gate: Gate,
    peers: Peers,
    ports: Ports,
    reservations: Reservations,
    claims: Parked<Token>,
    guests: Guests,
    ledger: Ledger,
    offloads: Offloads,
    pools: Pools,
    rng: ChaCha8Rng,
    outputs: VecDeque<Output>,
    counters: Counters,
}

/// What stays of the configuration after the children have taken their parts.
struct Settings {
    limits: Limits,
    shard: u16,
    shards: u16,
    discovery: Option<Discovery>,
    addresses: Addresses,
}

/// Whose a relay socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The user, without the expiry of an ephemeral name; of another realm than the default one as `user@realm`.
    pub user: String,
    /// The realm.
    pub realm: String,
}

/// What the shell is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a client.
    Send {
        /// Where to, and from which local address.
        to: FiveTuple,
        /// A multiple of four bytes long: ready for streams, too.
        message: Vec<u8>,
    },
    /// Open a relay socket and tell the result by [`Server::handle_opened`].
    Open {
        /// Its name.
        relay: RelayId,
        /// Where to bind it.
        at: SocketAddr,
        /// What the client is told instead.
        advertised: SocketAddr,
        /// Datagrams, or a listener for connections.
        protocol: Protocol,
        /// Whose it would be, for quotas that span shards.
        whose: Whose,
        /// Who asks.
        client: FiveTuple,
    },
    /// Close a relay socket.
    Close {
        /// Its name.
        relay: RelayId,
        /// Whose it was.
        whose: Whose,
        /// Who asked for it.
        client: FiveTuple,
    },
    /// Connect to a peer from a relayed address (RFC 6062 §5.2), and tell by [`Server::handle_connected`] or
    /// [`Server::handle_disconnected`].
    Connect {
        /// The socket whose address it comes from.
        relay: RelayId,
        /// Names the connection.
        connection: ConnectionId,
        /// Whom to.
        peer: SocketAddr,
        /// Who may be there.
        whom: Destination,
    },
    /// From here on pass on bytes between a connection and the stream of a client, both ways, as they are.
    Join {
        /// The connection with the peer.
        connection: ConnectionId,
        /// The stream, which is no longer one of STUN messages once all that was to be sent has been.
        client: FiveTuple,
    },
    /// Close a connection, whatever its state, and the stream it has been joined with.
    Hangup {
        /// Which.
        connection: ConnectionId,
    },
    /// Find out about a user, and tell by [`Server::handle_answer`].
    Query {
        /// Names the question.
        id: QueryId,
        /// Who.
        user: UserKey,
    },
    /// Give a note to the machine of another shard, which takes it by [`Server::handle_note`].
    Tell {
        /// Which shard.
        shard: u16,
        /// What.
        note: Note,
    },
    /// A client relays from another place from here on (RFC 8016).
    Moved {
        /// Where it was.
        from: FiveTuple,
        /// Where it is.
        to: FiveTuple,
    },
    /// The client of a stream has been shut out: close it.
    Disconnect {
        /// The client.
        client: FiveTuple,
    },
    /// Relay this channel past the machine, or go on with it as it is from here on, if that can be done.
    Offload(Offload),
    /// Relay no channel of this allocation past the machine any more; tell by [`Server::handle_offloaded`] what was
    /// relayed, then that this was all by [`Server::handle_onloaded`].
    Onload {
        /// The allocation.
        relay: RelayId,
    },
    /// Bytes of an allocation with such channels were relayed by the machine: they count against its budget.
    Spent {
        /// The allocation.
        relay: RelayId,
        /// Payload.
        bytes: u64,
    },
}

/// Why a relay socket was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRefused {
    /// Another process has the port: try another one.
    Taken,
    /// The user has too many allocations on all shards together.
    Quota,
    /// No socket can be had.
    Exhausted,
}

/// What happened so far; all but `allocations` and `connections` only grow.
///
/// Size: a flat list of plain numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Live allocations; one of both families counts twice.
    pub allocations: u64,
    /// Allocations made.
    pub allocated: u64,
    /// Live connections with peers, established or not.
    pub connections: u64,
    /// Connections with peers joined with one of a client.
    pub connected: u64,
    /// Packets relayed, both directions.
    pub packets: u64,
    /// Their payload, and what connections have carried.
    pub bytes: u64,
    /// Packets that were not relayed, and connections of peers that were not wanted.
    pub dropped: u64,
    /// Bytes that are neither STUN nor ChannelData, or lie about their lengths.
    pub malformed: u64,
    /// Binding requests answered.
    pub bindings: u64,
    /// 401 and 438.
    pub challenges: u64,
    /// Requests whose integrity or credential was wrong.
    pub unauthorized: u64,
    /// Users asked for.
    pub queries: u64,
    /// Clients that have moved.
    pub moved: u64,
    /// Other error answers.
    pub refused: u64,
    /// Answers withheld from sources that ask too much.
    pub limited: u64,
    /// Users, keys and tags shut out.
    pub revoked: u64,
    /// Packets relayed past the machine; they are among `packets`.
    pub offloaded: u64,
    /// Bounds that were met.
    pub met: Met,
}

impl Server {
    /// A machine without allocations. `config.wall_clock` also starts the nonces' time.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        let hash = seeded::Seeded::new((rng.next_u64(), rng.next_u64()));
        Self {
            table: Table::new(hash),
            connections: Connections::new((config.ports.shard, config.ports.shards), hash),
            peers: Peers::new(config.peers.clone(), &config.addresses),
            ports: Ports::new(config.ports),
            reservations: Reservations::default(),
            claims: Parked::new(),
            guests: Guests::new(hash),
            ledger: Ledger::default(),
            offloads: Offloads::new(config.offload),
            pools: Pools::default(),
            gate: Gate::new(&config, hash),
            settings: Settings {
                limits: config.limits,
                shard: config.ports.shard,
                shards: config.ports.shards,
                discovery: config.discovery,
                addresses: config.addresses,
            },
            rng,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A datagram, or a frame of a stream without its padding, from a client.
    pub fn handle_client<'p>(&mut self, now: Instant, from: FiveTuple, bytes: &'p [u8]) -> Forward<'p> {
        match (self.keeper(from, bytes), self.shard_of_stream(from, bytes)) {
            (Some(shard), _) => Forward::ToKeeper { shard, from, bytes },
            (None, Some(shard)) => Forward::HandOver { shard },
            (None, None) => self.handle_own(now, from, bytes),
        }
    }

    fn handle_own<'p>(&mut self, now: Instant, from: FiveTuple, bytes: &'p [u8]) -> Forward<'p> {
        match wire::parse(bytes) {
            Ok(Packet::Channel { number, payload }) => self.on_channel_data(now, from, number, payload),
            Ok(Packet::Stun(stun)) if stun.kind == wire::SEND_INDICATION => self.on_send(now, from, stun),
            Ok(Packet::Stun(stun)) => {
                self.on_message(now, from, stun);
                Forward::Nothing
            }
            Ok(Packet::Classic(stun)) => {
                self.on_classic_binding(now, from, stun);
                Forward::Nothing
            }
            Err(_) => {
                self.counters.malformed += 1;
                Forward::Nothing
            }
        }
    }

    /// A datagram from a peer at a relay socket.
    pub fn handle_peer<'p>(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        payload: &'p [u8],
    ) -> Forward<'p> {
        match self.table.by_id(relay) {
            Some(slot) => self.deliver(now, slot, peer, payload),
            None => self.drop_packet(DropReason::NoAllocation),
        }
    }

    /// A packet that an allocation of another shard, relayed at `from`, sends to our relayed address `to`.
    pub fn handle_hairpin<'p>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        payload: &'p [u8],
    ) -> Forward<'p> {
        self.on_hairpin(now, (from, to), payload)
    }

    /// A client's stream has ended: so does its allocation, unless it is mobile.
    pub fn handle_closed(&mut self, now: Instant, from: FiveTuple) {
        let legs = self.table.by_tuple(&from);
        if self.survives(legs, from) {
            return;
        }
        for slot in legs.iter() {
            self.release(now, slot);
        }
    }

    /// Ends what has expired: allocations, kept ports, requests that wait in vain.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.table.expired(now) {
            self.release(now, slot);
        }
        while let Some(unclaimed) = self.reservations.expired(now) {
            self.give_back(unclaimed);
        }
        while self.claims.expire(now).is_some() {}
        self.expire_connections(now);
        self.gate.users.handle_timeout(now);
    }

    /// Whether the shell may send a source that has proved nothing an answer of its own, of so many bytes and no longer than
    /// what it answers: such answers are limited together with ours.
    pub fn admit_answer(&mut self, now: Instant, source: SocketAddr, bytes: usize) -> bool {
        let admitted = self.gate.admit(now, source, bytes);
        if admitted {
            self.gate.charge(now, source, bytes);
        } else {
            self.counters.limited += 1;
        }
        admitted
    }

    /// The shell's wall clock, whenever it may have been set.
    pub fn handle_wall_clock(&mut self, now: Instant, unix: u64) {
        self.gate.set_wall_clock(now, unix);
    }

    /// An address of this host that has appeared since construction.
    pub fn handle_own_address(&mut self, ip: IpAddr) {
        self.peers.add_own(ip);
    }

    /// What to do next. Drain after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Server::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.table.next_deadline(),
            self.reservations.next_deadline(),
            self.claims.next_deadline(),
            self.connections.next_deadline(),
            self.gate.users.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        let count = |live: usize| u64::try_from(live).unwrap_or(u64::MAX);
        let (allocations, connections) = (count(self.table.len()), count(self.connections.len()));
        Counters { allocations, connections, ..self.counters }
    }

    fn release(&mut self, now: Instant, slot: u32) {
        self.hang_up(slot);
        let Some((relay, mut allocation)) = self.table.remove(slot) else { return };
        if allocation.opening.is_none() {
            usage::end(&mut self.ledger, &allocation.owner, &mut allocation.meter, now);
        }
        self.onload_ended(relay, allocation.offloaded, &allocation.owner);
        limits::leave(&mut self.pools, &mut allocation.meters);
        self.give_back(allocation.bound);
        let Owner { user, realm, .. } = allocation.owner;
        self.outputs.push_back(Output::Close { relay, whose: Whose { user, realm }, client: allocation.tuple });
        let next = allocation.mobility.and_then(|mobility| mobility.next);
        for tuple in [Some(allocation.tuple), next].into_iter().flatten() {
            self.on_left(tuple);
        }
    }
}

/// Where the time of a test begins.
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock; tests go on from it by hand")]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}
