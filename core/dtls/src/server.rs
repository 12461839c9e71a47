//! All DTLS clients of one set of sockets: the front without state, the associations behind it, their bounds.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use slab::Slab;
use thiserror::Error;

use crate::association::{self, Association, Ended, Settings, State};
use crate::cookie::Cookies;
use crate::hello::{DTLS_1_2, HANDSHAKE_FAILURE, Hello, PROTOCOL_VERSION};
use crate::identity::Identity;
use crate::keyed::Keyed;
use crate::waiting::{Kind, Step, Waiting};

/// Between which two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The client's address as we see it.
    pub client: SocketAddr,
    /// The local address it reached.
    pub server: SocketAddr,
}

/// What a server is made from.
#[derive(Clone)]
pub struct Config {
    /// Shown to clients.
    pub identity: Identity,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds on associations.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At the same time.
    pub total: usize,
    /// Of one address (IPv6: one /64).
    pub per_address: usize,
    /// How long the handshake may take.
    pub handshake: Duration,
    /// How long a client may be silent that does not relay.
    pub idle: Duration,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients asked for their cookie.
    pub challenged: u64,
    /// Handshakes that came to their end.
    pub opened: u64,
    /// Hellos that are malformed, and clients beyond the bounds.
    pub refused: u64,
    /// Datagrams of handshakes for which there was no room to wait. Clients repeat them.
    pub shed: u64,
}

/// The identity cannot be used: a mistake of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the DTLS certificate's key cannot sign, or the cryptography failed its own test")]
pub struct Unusable;

/// What is to be done; filled by the calls, emptied by the caller.
pub struct Outputs {
    /// Messages of clients.
    pub plain: Batch,
    /// Datagrams to clients.
    pub sealed: Batch,
    /// Demands for the cookie and refusals, to sources that have proved nothing: to be sent as sparingly as the caller answers such.
    pub challenges: Batch,
    /// Paths whose association has ended.
    pub closed: Vec<Path>,
    pub(crate) scratch: Vec<u8>,
}

impl Default for Outputs {
    fn default() -> Self {
        let batch = Batch::default;
        Self { plain: batch(), sealed: batch(), challenges: batch(), closed: Vec::new(), scratch: vec![0; SCRATCH] }
    }
}

impl Outputs {
    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.plain.is_empty() && self.sealed.is_empty() && self.challenges.is_empty() && self.closed.is_empty()
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        [&mut self.plain, &mut self.sealed, &mut self.challenges].into_iter().for_each(Batch::clear);
        self.closed.clear();
    }
}

/// Pieces in one buffer.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    pieces: Vec<(Path, Range<usize>)>,
}

impl Batch {
    /// The pieces in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Path, &[u8])> {
        self.pieces.iter().filter_map(|(path, range)| Some((*path, self.bytes.get(range.clone())?)))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Forgets them; a buffer of ordinary size is kept.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }

    pub(crate) fn push(&mut self, path: Path, parts: &[&[u8]]) -> &mut [u8] {
        let start = self.bytes.len();
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.pieces.push((path, start..self.bytes.len()));
        self.bytes.get_mut(start..).unwrap_or_default()
    }
}

/// The server.
pub struct Server {
    identity: Identity,
    settings: Settings,
    limits: Limits,
    cookies: Cookies,
    waiting: Waiting,
    live: Slab<Association>,
    by_path: HashMap<Path, usize, Keyed>,
    per_network: HashMap<u128, usize, Keyed>,
    deadlines: BTreeSet<(Instant, usize)>,
    message: Vec<u8>,
    counters: Counters,
}

impl Server {
    /// `seed`: secret; who knows it can make cookies.
    ///
    /// # Errors
    /// The identity cannot be used.
    pub fn new(now: Instant, config: Config, seed: [u8; 32]) -> Result<Self, Unusable> {
        let settings =
            Settings::new(config.limits.handshake).filter(|_| config.identity.is_usable()).ok_or(Unusable)?;
        let mut generator = StdRng::from_seed(seed);
        let (key, keyed): ([u8; 32], Keyed) = (generator.random(), Keyed(generator.random()));
        Ok(Self {
            identity: config.identity,
            settings,
            limits: config.limits,
            waiting: Waiting::new(keyed),
            cookies: Cookies::new(&key, now),
            live: Slab::new(),
            by_path: HashMap::with_hasher(keyed),
            per_network: HashMap::with_hasher(keyed),
            deadlines: BTreeSet::new(),
            message: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// Another certificate for those that come from here on.
    pub fn set_identity(&mut self, identity: Identity) {
        if identity.is_usable() {
            self.identity = identity;
        }
    }

    /// A datagram that [`is_dtls`] says is one. What belongs to a handshake waits for [`Server::handle_timeout`], which is then
    /// due at once.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8], out: &mut Outputs) {
        if datagram.len() > MAX_DATAGRAM {
            return;
        }
        if !Hello::is_begun(datagram) {
            // Without an association there is nobody who could read it.
            let Some(&key) = self.by_path.get(&path) else { return };
            return match self.live.get(key).map(|association| association.state) {
                Some(State::Open) => self.feed(now, key, datagram, out),
                Some(State::Handshaking(_)) => self.put_off(now, path, datagram, Kind::Rest),
                None => {}
            };
        }
        let Ok(hello) = Hello::parse(datagram) else {
            self.counters.refused += 1;
            return;
        };
        // RFC 8996 §3: no DTLS 1.0. Told at once, a client may try another version.
        let hopeless = (hello.version != DTLS_1_2).then_some(PROTOCOL_VERSION);
        let unspoken = association::choose(hello.suites).is_none().then_some(HANDSHAKE_FAILURE);
        if let Some(description) = hopeless.or(unspoken) {
            out.challenges.push(path, &[&hello.write_alert(description)]);
            self.counters.refused += 1;
            return;
        }
        if ROUNDS.contains(&hello.message_seq) && self.cookies.check(now, path, &hello).is_some() {
            return self.put_off(now, path, datagram, Kind::Hello);
        }
        let cookie = self.cookies.make(now, path, &hello);
        out.challenges.push(path, &[&hello.write_challenge(&cookie)]);
        self.counters.challenged += 1;
    }

    fn put_off(&mut self, now: Instant, path: Path, datagram: &[u8], kind: Kind) {
        let step = Step { path, datagram: datagram.into(), kind };
        if !self.waiting.push(now, network(path.client.ip()), step) {
            self.counters.shed += 1;
        }
    }

    /// Carries a handshake on by a datagram that has waited.
    fn carry_on(&mut self, now: Instant, step: &Step, out: &mut Outputs) {
        let Step { path, ref datagram, kind } = *step;
        let known = self.by_path.get(&path).copied();
        let hello = match kind {
            Kind::Hello => Hello::parse(datagram).ok().and_then(|hello| Some((cookie_of(&hello)?, hello))),
            Kind::Rest => None,
        };
        match (hello, known) {
            (None, Some(key)) => self.feed(now, key, datagram, out),
            (None, None) => {}
            // Its answer was lost, perhaps.
            (Some((_, hello)), Some(key)) if self.live.get(key).is_some_and(|one| one.random == *hello.random) => {
                self.feed(now, key, datagram, out);
            }
            (Some((cookie, hello)), known) => {
                // RFC 6347 §4.2.8: it has begun anew, and has shown that it is there.
                known.into_iter().for_each(|key| self.remove(key, out));
                self.accept(now, (path, cookie), (&hello, datagram), out);
            }
        }
    }

    /// Seals a message of two parts for a client. `false`: it is lost.
    pub fn send(&mut self, path: Path, parts: [&[u8]; 2], out: &mut Outputs) -> bool {
        let Some(association) = self.by_path.get(&path).and_then(|&key| self.live.get_mut(key)) else { return false };
        self.message.clear();
        parts.iter().for_each(|part| self.message.extend_from_slice(part));
        association.send(&self.message, out)
    }

    /// Whether the client of a path relays.
    pub fn set_allocated(&mut self, now: Instant, path: Path, allocated: bool) {
        if let Some(association) = self.by_path.get(&path).and_then(|&key| self.live.get_mut(key)) {
            association.allocated = allocated;
            association.active = now;
        }
    }

    /// Ends an association.
    pub fn close(&mut self, path: Path, out: &mut Outputs) {
        if let Some(&key) = self.by_path.get(&path) {
            self.dismiss(key, out);
        }
    }

    /// Ends all: the server goes.
    pub fn close_all(&mut self, out: &mut Outputs) {
        let keys: Vec<usize> = self.live.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.dismiss(key, out));
    }

    /// When [`Server::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.waiting.since(), self.deadlines.first().map(|&(at, _)| at)].into_iter().flatten().min()
    }

    /// Carries on a few handshakes, repeats what was lost, ends what takes too long or is silent. If there is more than takes
    /// a moment, it is due again at once.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outputs) {
        for _ in 0..STEPS {
            let Some(step) = self.waiting.pop() else { break };
            self.carry_on(now, &step, out);
        }
        for _ in 0..DUE {
            let Some(&(at, key)) = self.deadlines.first().filter(|&&(at, _)| at <= now) else { return };
            self.deadlines.remove(&(at, key));
            let idle = self.limits.idle;
            let Some(association) = self.live.get_mut(key) else { continue };
            match association.state {
                State::Handshaking(until) if until <= now => self.remove(key, out),
                State::Handshaking(_) => {
                    let next = association.handle_timeout(now, out);
                    self.go_on(now, key, next, out);
                }
                State::Open => {
                    let until = if association.allocated { now + idle } else { association.active + idle };
                    if until <= now { self.dismiss(key, out) } else { self.arm(key, until) }
                }
            }
        }
    }

    /// Associations, those being made included.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn accept(
        &mut self,
        now: Instant,
        (path, cookie): (Path, [u8; 32]),
        (hello, datagram): (&Hello<'_>, &[u8]),
        out: &mut Outputs,
    ) {
        let network = network(path.client.ip());
        let of_network = self.per_network.get(&network).copied().unwrap_or(0);
        if self.live.len() >= self.limits.total || of_network >= self.limits.per_address {
            self.counters.refused += 1;
            return;
        }
        let with = (&self.identity, &self.settings);
        let Some(association) = Association::accept(now, (path, cookie), (hello, datagram), with, out) else {
            self.counters.refused += 1;
            return;
        };
        let deadline = association.deadline;
        let key = self.live.insert(association);
        self.by_path.insert(path, key);
        *self.per_network.entry(network).or_default() += 1;
        self.deadlines.insert((deadline, key));
    }

    fn feed(&mut self, now: Instant, key: usize, datagram: &[u8], out: &mut Outputs) {
        let Some(association) = self.live.get_mut(key) else { return };
        let before = association.state;
        let next = association.handle_datagram(now, datagram, out);
        let opened = before != association.state;
        if opened {
            self.counters.opened += 1;
        }
        match (before, next) {
            (_, Err(Ended)) => self.remove(key, out),
            (State::Open, Ok(_)) => {}
            (State::Handshaking(_), Ok(at)) => self.go_on(now, key, Ok(at), out),
        }
    }

    /// After a step of the handshake, perhaps its last.
    fn go_on(&mut self, now: Instant, key: usize, next: Result<Instant, Ended>, out: &mut Outputs) {
        let state = self.live.get(key).map(|association| association.state);
        match (next, state) {
            (Ok(at), Some(State::Handshaking(until))) => self.arm(key, at.max(now + SOONEST).min(until)),
            (Ok(_), Some(State::Open)) => self.arm(key, now + self.limits.idle),
            (Err(Ended), _) | (_, None) => self.remove(key, out),
        }
    }

    fn arm(&mut self, key: usize, at: Instant) {
        if let Some(association) = self.live.get_mut(key) {
            self.deadlines.remove(&(association.deadline, key));
            association.deadline = at;
            self.deadlines.insert((at, key));
        }
    }

    /// Says good-bye.
    fn dismiss(&mut self, key: usize, out: &mut Outputs) {
        if let Some(association) = self.live.get_mut(key) {
            association.close(out);
        }
        self.remove(key, out);
    }

    fn remove(&mut self, key: usize, out: &mut Outputs) {
        let Some(association) = self.live.try_remove(key) else { return };
        self.by_path.remove(&association.path);
        self.deadlines.remove(&(association.deadline, key));
        let network = network(association.path.client.ip());
        if let Some(count) = self.per_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_network.remove(&network);
            }
        }
        out.closed.push(association.path);
    }
}

/// RFC 7983 §7: by its first byte, a datagram at a port that STUN shares.
pub fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram, [20..=63, ..])
}

/// Whoever has an IPv6 address has its whole /64.
fn network(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
    }
}

fn cookie_of(hello: &Hello<'_>) -> Option<[u8; 32]> {
    hello.cookie.try_into().ok()
}

/// RFC 6347 §4.1: 2^14 bytes of plaintext, the overhead of a suite, a header.
const MAX_DATAGRAM: usize = (1 << 14) + 256 + 13;
/// Room for whatever a datagram may hold.
const SCRATCH: usize = 1 << 15;
/// Of a batch's buffer.
const KEPT: usize = 1 << 20;
/// How often a client may have been asked for its cookie: the one it has may have become too old.
const ROUNDS: std::ops::RangeInclusive<u16> = 1..=3;
/// Datagrams of handshakes dealt with at a time: a key exchange, or a signature, for each.
const STEPS: usize = 4;
/// Deadlines dealt with at a time: a few datagrams are repeated for each.
const DUE: usize = 64;
/// Handshakes are not looked at more often.
const SOONEST: Duration = Duration::from_millis(10);
