//! What the relay's shell is told at its start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tandem_offload::Interfaces;
use tandem_stun::Cidr;
use tandem_stun::turn::{self, Limits, PeerRules};

use super::secure::Identities;
use super::streams::StreamLimits;
use super::usage::TakeUsage;

/// RFC 8489 §9.2: the realm unless the settings name another one. Users' keys are made for it.
pub const REALM: &str = "tandem";

/// Settings of the relay.
///
/// Size: a flat list of what is independent of each other; what belongs together has a struct of its own.
#[derive(Clone)]
pub struct Config {
    /// Addresses to listen on; unspecified ones mean all of a family.
    pub listen: Vec<IpAddr>,
    /// Port of STUN and TURN over UDP and TCP; 0: any free one.
    pub port: u16,
    /// STUN and TURN over TLS, if wanted.
    pub tls: Option<Tls>,
    /// The certificate for DTLS, if that is wanted: on the ports of STUN and of TLS, over UDP.
    pub dtls: Option<Identities>,
    /// NAT behaviour discovery, if wanted.
    pub discovery: Option<Discovery>,
    /// RFC 8489 §9.2: shown to clients.
    pub realm: String,
    /// HMAC key of the ephemeral credentials.
    pub secret: Vec<u8>,
    /// Those that it has replaced, and that are still good.
    pub former_secrets: Vec<Vec<u8>>,
    /// Users with passwords, beside those with ephemeral credentials.
    pub users: Users,
    /// How long the credentials that are handed out stay valid.
    pub credential_lifetime: Duration,
    /// Whether an allocation ends when its ephemeral credential does.
    pub end_on_expiry: bool,
    /// Ports to relay on.
    pub relay_ports: RangeInclusive<u16>,
    /// Told to clients in place of our own addresses: we stand behind a NAT.
    pub external: turn::External,
    /// Our addresses to relay from; of a family without any, the one that the client has reached.
    pub relay_from: Vec<IpAddr>,
    /// Other relays, for clients that come while this one is full.
    pub alternates: Vec<SocketAddr>,
    /// Who may be relayed to, beside public addresses.
    pub peers: PeerRules,
    /// More ports of this process, UDP or TCP, refused as peers like our own.
    pub forbidden_ports: Vec<u16>,
    /// Ports of this host that may be relayed to: the media plane's.
    pub services: Vec<std::net::SocketAddr>,
    /// Bounds per shard; the ones on users hold for all shards together.
    pub limits: Limits,
    /// Bounds on TCP and TLS connections, per shard.
    pub streams: StreamLimits,
    /// Takes who has used how much, about every ten seconds from each shard.
    pub usage: Option<TakeUsage>,
    /// Load balancers: a connection from one of these begins with a PROXY header, and any other does not.
    pub proxies: Vec<Cidr>,
    /// Where the kernel relays bound channels by itself, if that is wanted.
    pub offload: Option<Interfaces>,
    /// Realms, to begin with.
    pub realms: Arc<turn::Realms>,
    /// Threads; `None`: one per core.
    pub shards: Option<NonZeroU16>,
}

/// NAT behaviour discovery, RFC 5780: clients are answered from another address and port as well.
#[derive(Clone, Copy, Debug)]
pub struct Discovery {
    /// Two addresses of this host, both listened on, that clients reach under the same ports.
    pub addresses: [IpAddr; 2],
    /// The other UDP port; 0: any free one.
    pub port: u16,
}

/// Users with passwords of their own, beside the ephemeral credentials.
#[derive(Clone, Default)]
pub struct Users {
    /// Name and password, good in every realm.
    pub fixed: Vec<(String, String)>,
    /// Who knows about others.
    pub ask: Option<Ask>,
    /// They cannot be found by USERHASH.
    pub unhashed: bool,
    /// Authorisation servers whose tokens are taken (RFC 7635).
    pub third_party: Option<turn::ThirdParty>,
}

/// Asks about a user and tells the answer, once, on whatever thread. Called by threads that must not wait.
pub type Ask = Arc<dyn Fn(turn::UserKey, Box<dyn FnOnce(turn::Answer) + Send>) + Send + Sync>;

/// TLS of the relay.
#[derive(Clone)]
pub struct Tls {
    /// The port; 0: any free one.
    pub port: u16,
    /// Certificate and protocol versions. May resolve certificates anew for each connection.
    pub config: Arc<rustls::ServerConfig>,
}

impl Config {
    /// All that are good, the first of them for those to come.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let former = self.former_secrets.iter().filter(|former| **former != self.secret);
        std::iter::once(&self.secret).chain(former).cloned().collect()
    }

    /// What of it can be changed while the relay runs.
    pub fn changes(&self) -> turn::Changes {
        turn::Changes {
            secrets: self.secrets(),
            users: self.users.fixed.clone(),
            credential_lifetime: self.credential_lifetime,
            end_on_expiry: self.end_on_expiry,
            external: self.external.clone(),
            relay: self.relay_from.clone(),
            alternates: self.alternates.clone(),
            peers: self.peers.clone(),
            limits: self.limits,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            port: 3478,
            tls: None,
            dtls: None,
            discovery: None,
            realm: REALM.to_owned(),
            secret: Vec::new(),
            former_secrets: Vec::new(),
            users: Users::default(),
            credential_lifetime: Duration::from_secs(86_400),
            end_on_expiry: false,
            relay_ports: 49_152..=65_535,
            external: turn::External::default(),
            relay_from: Vec::new(),
            alternates: Vec::new(),
            peers: PeerRules::default(),
            forbidden_ports: Vec::new(),
            services: Vec::new(),
            limits: Limits::default(),
            streams: StreamLimits::default(),
            usage: None,
            proxies: Vec::new(),
            offload: None,
            realms: Arc::default(),
            shards: None,
        }
    }
}
