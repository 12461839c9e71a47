//! What a relay machine is told at construction, and the names of what it deals with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::external::External;
use super::realms::Realms;
use super::users::Accounts;
use crate::{Cidr, Discovery};

/// How a client reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// Datagrams inside DTLS (RFC 7350 §4.6.2).
    Dtls,
}

impl Transport {
    /// Whether messages follow one another in a stream, and have to be told apart in it.
    pub fn is_stream(self) -> bool {
        match self {
            Self::Tcp | Self::Tls => true,
            Self::Udp | Self::Dtls => false,
        }
    }
}

/// What an allocation relays: REQUESTED-TRANSPORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Connections (RFC 6062).
    Tcp,
}

/// A client as RFC 8656 §3.2 knows it: its address, ours, and the transport between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FiveTuple {
    /// The transport between.
    pub transport: Transport,
    /// Its address as we see it.
    pub client: SocketAddr,
    /// The local address it reached.
    pub server: SocketAddr,
}

/// Names the relay socket of one allocation; never used twice by one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelayId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl RelayId {
    /// A small number that no other live allocation has.
    pub fn slot(self) -> u32 {
        self.slot
    }
}

/// Settings of a relay machine.
#[derive(Clone)]
pub struct Config {
    /// RFC 8489 §9.2: shown to clients, part of their key. Short, because every 401 carries it.
    pub realm: String,
    /// Other realms, to begin with.
    pub realms: Arc<Realms>,
    /// HMAC keys of the ephemeral credentials of every realm, see [`crate::credential`]: each is good, while one is being
    /// replaced.
    pub secrets: Vec<Vec<u8>>,
    /// Users with passwords.
    pub accounts: Accounts,
    /// How long an issued credential is valid; decides how long a revoked user stays out.
    pub credential_lifetime: Duration,
    /// Whether an allocation ends when its ephemeral credential does. Otherwise refreshing goes on, as RFC 8656 §5 allows.
    pub end_on_expiry: bool,
    /// Wall-clock time at an instant, in seconds since 1970.
    pub wall_clock: (Instant, u64),
    /// Random, and the same for all shards: a nonce is good at each, since clients that move reach others.
    pub nonce_key: [u8; 32],
    /// The ports to relay on.
    pub ports: PortSlice,
    /// NAT behaviour discovery (RFC 5780), if there are the addresses for it.
    pub discovery: Option<Discovery>,
    /// Our own addresses.
    pub addresses: Addresses,
    /// Who may be relayed to.
    pub peers: PeerRules,
    /// Bounds on everything a client can make us hold or do.
    pub limits: Limits,
    /// Whether the shell relays channels by itself where it can, see [`super::Output::Offload`].
    pub offload: bool,
}

/// The relay ports of all shards, and which part is ours: pairs of ports go round the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSlice {
    /// The first port of all shards.
    pub first: u16,
    /// The last port of all shards.
    pub last: u16,
    /// Which shard this is.
    pub shard: u16,
    /// How many there are.
    pub shards: u16,
}

impl Default for PortSlice {
    fn default() -> Self {
        Self { first: 49_152, last: 65_535, shard: 0, shards: 1 }
    }
}

/// Addresses of this host.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// All addresses of the host's interfaces; the first usable of a family serves a client of the other.
    pub own: Vec<IpAddr>,
    /// Ports of this process, UDP or TCP, refused as peers on any own address.
    pub listener_ports: Vec<u16>,
    /// Ports of this host that whoever has an allocation may be relayed to, although nothing else of it may be: the media
    /// plane's, the way for those whose network lets no UDP out.
    pub services: Vec<SocketAddr>,
    /// Told to clients in place of these: the host stands behind a NAT.
    pub external: External,
    /// The ones to relay from; of a family without any, the one that the client has reached.
    pub relay: Vec<IpAddr>,
    /// Other relays, named to clients while this one is full (ALTERNATE-SERVER, RFC 8489 §10).
    pub alternates: Vec<SocketAddr>,
}

/// Who may be relayed to, beside public addresses, which always may.
#[derive(Clone, Debug, Default)]
pub struct PeerRules {
    /// Refused, whatever else says yes.
    pub deny: Vec<Cidr>,
    /// Allowed although private or special. Does not open this host itself.
    pub allow: Vec<Cidr>,
    /// Opens loopback and this host's own addresses, listeners excepted: for development.
    pub allow_loopback: bool,
    /// Prefixes under which a NAT64 of this network reaches IPv4 (RFC 6052 §2.2), beside the well-known one: peers there are
    /// judged by the address inside as well.
    pub nat64: Vec<Cidr>,
}

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Allocations on this shard.
    pub allocations: usize,
    /// Allocations of one user on this shard.
    pub allocations_per_user: usize,
    /// Permissions of one allocation.
    pub permissions: usize,
    /// Channels of one allocation.
    pub channels: usize,
    /// Connections with peers on this shard (RFC 6062).
    pub connections: usize,
    /// Connections of one allocation.
    pub connections_per_allocation: usize,
    /// Payload bytes per second of one allocation, both directions together.
    pub bytes_per_second: u64,
    /// And at once.
    pub burst_bytes: u64,
    /// Packets per second of one allocation, both directions together, and twice as many at once; 0: no bound.
    pub packets_per_second: u32,
    /// Peers one allocation may turn to per second that it had not turned to, and as many as `permissions` at once; 0: no bound.
    pub peers_per_second: u32,
    /// Payload bytes per second of all allocations of one user, on all shards together; 0: no bound.
    pub bytes_per_second_per_user: u64,
    /// Payload bytes per second of all allocations on all shards; 0: no bound.
    pub bytes_per_second_in_all: u64,
    /// Answers per second to one source (IPv6: one /64) that has proved nothing.
    pub answers_per_second: u32,
    /// And at once.
    pub answers_burst: u32,
    /// Upper bound of an allocation's life between refreshes.
    pub max_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations: 10_000,
            allocations_per_user: 16,
            permissions: 64,
            channels: 64,
            connections: 8_192,
            connections_per_allocation: 64,
            bytes_per_second: 4_000_000,
            burst_bytes: 8_000_000,
            packets_per_second: 10_000,
            peers_per_second: 5,
            bytes_per_second_per_user: 0,
            bytes_per_second_in_all: 0,
            answers_per_second: 200,
            answers_burst: 1_000,
            max_lifetime: Duration::from_secs(3_600),
        }
    }
}
