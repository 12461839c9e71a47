//! Several shards of the relay with a shell that opens sockets, or fails to, and carries notes, sometimes late; and what
//! must hold of them at any time.

mod message;
mod person;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tandem_sim::Chance;
use tandem_stun::turn::{
    Accounts, Addresses, Config, External, FiveTuple, Forward, Limits, Note, OpenRefused, Output, PeerRules, PortSlice,
    RelayId, Server, Transport, Whom,
};

pub use person::Person;

pub const SECRET: &[u8] = b"a day at the relay";
pub const UNIX: u64 = 1_700_000_000;
const SHARDS: u16 = 3;
const PER_USER: usize = 4;
const FIRST: u16 = 50_000;
const LAST: u16 = 51_999;

/// The shards and what lies between them.
pub struct World {
    pub shards: Vec<Server>,
    pub now: Instant,
    pub chance: Chance,
    open: Vec<BTreeMap<RelayId, SocketAddr>>,
    /// Relay sockets of each user on all shards, as the shell counts them.
    quota: BTreeMap<String, usize>,
    notes: VecDeque<(u16, Note)>,
    answers: BTreeMap<FiveTuple, Vec<u8>>,
    pub told: Told,
}

/// What has happened: a day on which nothing of a kind happens has proved nothing of it.
#[derive(Default, Debug)]
pub struct Told {
    pub allocated: usize,
    pub expired: usize,
    pub refused_sockets: usize,
    pub over_quota: usize,
    pub notes: usize,
    pub moved: usize,
    pub relayed: usize,
    pub between_shards: usize,
    pub lies: usize,
    pub claimed: usize,
}

impl World {
    pub fn new(seed: u64, now: Instant) -> Self {
        let mut chance = Chance::new(seed);
        let shards = (0..SHARDS).map(|shard| Server::new(config(now, shard), chance.seed())).collect();
        Self {
            shards,
            now,
            chance,
            open: (0..SHARDS).map(|_| BTreeMap::new()).collect(),
            quota: BTreeMap::new(),
            notes: VecDeque::new(),
            answers: BTreeMap::new(),
            told: Told::default(),
        }
    }

    /// Which shard the system gives a client to.
    pub fn shard_of(tuple: FiveTuple) -> usize {
        let SocketAddr::V4(at) = tuple.client else { return 0 };
        usize::try_from((at.ip().to_bits() ^ u32::from(at.port())) % u32::from(SHARDS)).unwrap_or(0)
    }

    /// Time goes on; what is due before happens on the way.
    pub fn advance(&mut self, to: Instant) {
        loop {
            let due =
                self.shards.iter().enumerate().filter_map(|(shard, server)| Some((server.poll_timeout()?, shard)));
            let Some((at, shard)) = due.min().filter(|&(at, _)| at <= to) else { break };
            self.now = self.now.max(at);
            let before = self.shards[shard].counters().allocations;
            self.shards[shard].handle_timeout(self.now);
            self.drain(shard);
            let after = self.shards[shard].counters().allocations;
            self.told.expired += usize::try_from(before.saturating_sub(after)).unwrap_or(0);
            let next = self.shards[shard].poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timeout that was handled is over");
        }
        self.now = self.now.max(to);
    }

    /// A packet of a client, and what comes back to it.
    pub fn packet(&mut self, from: FiveTuple, bytes: &[u8]) -> Option<Vec<u8>> {
        self.answers.remove(&from);
        self.hand_in(from, bytes);
        // Notes are quick, mostly.
        if !self.chance.one_in(4) {
            self.carry_notes();
        }
        self.answers.remove(&from)
    }

    fn hand_in(&mut self, from: FiveTuple, bytes: &[u8]) {
        let shard = Self::shard_of(from);
        let forward = self.shards[shard].handle_client(self.now, from, bytes);
        let forward = Kept::of(forward);
        self.drain(shard);
        self.follow(shard, forward);
    }

    /// What leaves must leave by an open socket, and reaches another shard where it is for that.
    fn follow(&mut self, shard: usize, forward: Kept) {
        match forward {
            Kept::Nothing => {}
            Kept::ToPeer(relay, peer) => {
                let from = self.open[shard].get(&relay).copied().expect("packets leave by open sockets");
                assert!(!peer.ip().is_loopback() && !is_own(peer.ip()), "{peer} must not be reached");
                self.told.relayed += 1;
                // It answers at once.
                let back = Kept::of(self.shards[shard].handle_peer(self.now, relay, peer, b"and back"));
                assert!(matches!(back, Kept::ToClient | Kept::Nothing), "{from}");
                self.drain(shard);
            }
            Kept::ToClient => self.told.relayed += 1,
            Kept::ToShard(other, from, to) => {
                self.told.between_shards += 1;
                let other = usize::from(other);
                let _ = self.shards[other].handle_hairpin(self.now, from, to, b"across");
                self.drain(other);
            }
            Kept::ToKeeper(keeper, from, bytes) => {
                self.told.between_shards += 1;
                let keeper = usize::from(keeper);
                let host = u16::try_from(shard).expect("few shards");
                let forward = Kept::of(self.shards[keeper].handle_guest(self.now, host, from, &bytes));
                self.drain(keeper);
                assert!(!matches!(forward, Kept::ToKeeper(..)), "nobody passes on what was passed on");
                self.follow(keeper, forward);
            }
        }
    }

    /// Gives every note to its shard.
    pub fn carry_notes(&mut self) {
        while let Some((shard, note)) = self.notes.pop_front() {
            self.told.notes += 1;
            let shard = usize::from(shard);
            self.shards[shard].handle_note(self.now, note);
            self.drain(shard);
        }
    }

    /// Does what a shard wants, as the shell would.
    fn drain(&mut self, shard: usize) {
        while let Some(output) = self.shards[shard].poll_output() {
            match output {
                Output::Send { to, message } => {
                    self.answers.insert(to, message);
                }
                Output::Open { relay, at, whose, .. } => {
                    let result = self.open_socket(shard, relay, at, &whose.user);
                    self.shards[shard].handle_opened(self.now, relay, result);
                }
                Output::Close { relay, whose, .. } => {
                    if self.open[shard].remove(&relay).is_some() {
                        let count = self.quota.get_mut(&whose.user).expect("counted when it was opened");
                        *count -= 1;
                        if *count == 0 {
                            self.quota.remove(&whose.user);
                        }
                    }
                }
                Output::Tell { shard, note } => self.notes.push_back((shard, note)),
                Output::Moved { .. } => self.told.moved += 1,
                Output::Query { .. } => panic!("nobody can be asked here"),
                Output::Connect { .. } | Output::Join { .. } | Output::Hangup { .. } => {
                    panic!("nobody asks for connections here")
                }
                Output::Offload(_) | Output::Onload { .. } | Output::Spent { .. } => {
                    panic!("no packet passes the machine by here")
                }
                Output::Disconnect { client } => self.shards[shard].handle_closed(self.now, client),
            }
        }
    }

    fn open_socket(&mut self, shard: usize, relay: RelayId, at: SocketAddr, user: &str) -> Result<(), OpenRefused> {
        if self.chance.one_in(40) {
            self.told.refused_sockets += 1;
            return Err(if self.chance.one_in(3) { OpenRefused::Exhausted } else { OpenRefused::Taken });
        }
        if self.quota.get(user).is_some_and(|&count| count >= PER_USER) {
            self.told.over_quota += 1;
            return Err(OpenRefused::Quota);
        }
        assert!(!self.open.iter().any(|open| open.values().any(|&other| other == at)), "{at} is open already");
        *self.quota.entry(user.to_owned()).or_default() += 1;
        self.open[shard].insert(relay, at);
        self.told.allocated += 1;
        Ok(())
    }

    /// The end of a stream.
    pub fn close(&mut self, tuple: FiveTuple) {
        let shard = Self::shard_of(tuple);
        self.shards[shard].handle_closed(self.now, tuple);
        self.drain(shard);
    }

    pub fn revoke(&mut self, user: &str) {
        for shard in 0..self.shards.len() {
            self.shards[shard].revoke(self.now, &Whom::User(user.to_owned()));
            self.drain(shard);
        }
    }

    /// A relayed address of somebody.
    pub fn some_relayed(&mut self) -> Option<SocketAddr> {
        let shard = self.chance.below(self.open.len());
        let skip = self.chance.below(self.open[shard].len());
        self.open[shard].values().nth(skip).copied()
    }

    /// What must hold whatever has happened.
    pub fn check(&mut self) {
        self.carry_notes();
        let (mut taken, mut open, mut kept, mut lent) = (0, 0, 0, 0);
        let mut addresses = BTreeSet::new();
        for (server, sockets) in self.shards.iter_mut().zip(&self.open) {
            let census = server.census();
            assert_eq!(census.allocations, sockets.len(), "each allocation has its socket: {census:?}");
            assert_eq!(census.deadlines, census.allocations, "{census:?}");
            assert!(census.five_tuples <= 2 * census.allocations, "{census:?}");
            assert!(census.relayed <= 2 * census.allocations && census.users <= census.allocations, "{census:?}");
            assert_eq!(census.questions, 0, "{census:?}");
            assert!(census.allocations == 0 || server.poll_timeout().is_some());
            for at in sockets.values() {
                assert!((FIRST..=LAST).contains(&at.port()) && addresses.insert(*at), "{at}");
            }
            (taken, open) = (taken + census.ports, open + sockets.len());
            (kept, lent) = (kept + census.kept, lent + census.lent);
            // As the shell does now and then.
            let _ = server.take_usage(self.now);
        }
        assert_eq!(taken, open + kept, "a port is relayed on, kept, or free");
        assert!(lent <= open + kept, "{lent} ports are lent, {open} open, {kept} kept");
        let counted: usize = self.quota.values().sum();
        assert_eq!(counted, open, "each socket is counted for its user");
        assert!(self.quota.values().all(|&count| count <= PER_USER));
    }

    /// What must hold when everybody has gone and their times are over.
    pub fn check_empty(&mut self) {
        self.check();
        for server in &self.shards {
            assert_eq!(server.census(), tandem_stun::turn::Census::default());
            assert_eq!((server.poll_timeout(), server.counters().allocations), (None, 0));
        }
        assert!(self.quota.is_empty() && self.notes.is_empty());
    }
}

/// What becomes of a packet, without what it holds.
enum Kept {
    Nothing,
    ToPeer(RelayId, SocketAddr),
    ToClient,
    ToShard(u16, SocketAddr, SocketAddr),
    ToKeeper(u16, FiveTuple, Vec<u8>),
}

impl Kept {
    fn of(forward: Forward<'_>) -> Self {
        match forward {
            Forward::Nothing | Forward::Dropped(_) | Forward::HandOver { .. } => Self::Nothing,
            Forward::ToPeer { relay, peer, .. } => Self::ToPeer(relay, peer),
            Forward::ToClient { .. } => Self::ToClient,
            Forward::ToShard { shard, from, to, .. } => Self::ToShard(shard, from, to),
            Forward::ToKeeper { shard, from, bytes } => Self::ToKeeper(shard, from, bytes.to_vec()),
        }
    }
}

fn config(now: Instant, shard: u16) -> Config {
    Config {
        realm: "tandem".into(),
        realms: Default::default(),
        secrets: vec![SECRET.to_vec()],
        accounts: Accounts::default(),
        credential_lifetime: Duration::from_secs(86_400),
        end_on_expiry: false,
        wall_clock: (now, UNIX),
        nonce_key: [7; 32],
        discovery: None,
        ports: PortSlice { first: FIRST, last: LAST, shard, shards: SHARDS },
        addresses: Addresses {
            own: own().to_vec(),
            listener_ports: vec![3_478],
            services: Vec::new(),
            external: External::default(),
            relay: Vec::new(),
            alternates: Vec::new(),
        },
        peers: PeerRules::default(),
        offload: false,
        limits: Limits { allocations_per_user: PER_USER, allocations: 400, ..Limits::default() },
    }
}

fn own() -> [IpAddr; 3] {
    ["127.0.0.1", "192.0.2.5", "2001:db8::5"].map(|ip| ip.parse().expect("an address"))
}

fn is_own(ip: IpAddr) -> bool {
    own().contains(&ip)
}

/// A place of a client.
pub fn place(transport: Transport, number: usize) -> FiveTuple {
    let number = u32::try_from(number).expect("few clients");
    let ip = std::net::Ipv4Addr::from_bits(0x0505_0000 + number / 1_000);
    let port = 10_000 + u16::try_from(number % 1_000).expect("below a thousand");
    FiveTuple { transport, client: (ip, port).into(), server: SocketAddr::new(own()[1], 3_478) }
}
