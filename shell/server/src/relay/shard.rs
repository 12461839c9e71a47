//! One shard: a thread with its machine and sockets. Wait, read a batch, ask the machine, send, look at the clock once.

mod connections;
mod inputs;
mod outputs;
mod passage;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tandem_offload::Kernel;
use tandem_stun::Cidr;
use tandem_stun::turn::{self, Server, Transport};

use super::handover::Remains;
use super::listeners::Sockets;
use super::mailbox::{Contents, Mailbox};
use super::offload::Offloads;
use super::pace::Pace;
use super::quota::Quota;
use super::relayed::Relayed;
use super::report::{Report, Stats};
use super::secure::{Identities, Secure};
use super::streams::{StreamLimits, Streams};
use super::usage::{TakeUsage, Tally};
use super::wiring::{Source, Wiring};
use super::{Ask, SharedChanges, SharedRealms};
use crate::net::epoll::{Epoll, Interest};
use crate::net::udp::{Receiver, Sender};
use connections::Connections;
use outputs::count;

/// What a shard shares with the others and with the handle.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) mailboxes: Arc<[Mailbox]>,
    pub(super) quota: Arc<Quota>,
    pub(super) relayed: Arc<Relayed>,
    pub(super) report: Arc<Report>,
    pub(super) ask: Option<Ask>,
    pub(super) realms: SharedRealms,
    pub(super) changes: SharedChanges,
    pub(super) usage: Option<TakeUsage>,
}

/// How a shard deals with TCP, TLS and DTLS.
#[derive(Clone)]
pub(super) struct StreamSettings {
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) dtls: Option<Identities>,
    pub(super) limits: StreamLimits,
    /// From these a PROXY header comes first.
    pub(super) proxies: Arc<[Cidr]>,
}

/// What a shard is made from, more than once if need be.
pub(super) struct Seed {
    pub(super) index: usize,
    pub(super) machine: turn::Config,
    pub(super) shared: Shared,
    pub(super) sockets: Sockets,
    pub(super) streams: StreamSettings,
    pub(super) kernel: Option<Arc<Kernel>>,
    /// What the first shard made from this goes on with.
    pub(super) remains: Option<Remains>,
}

impl Seed {
    /// Of the machine, as things are.
    pub(super) fn config(&self) -> turn::Config {
        let realms = Arc::clone(&self.shared.realms.lock().unwrap_or_else(PoisonError::into_inner));
        let mut config = turn::Config { wall_clock: super::wall_clock(), realms, ..self.machine.clone() };
        if let Some(changes) = &*self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner) {
            changes.apply_to(&mut config);
        }
        config
    }
}

/// What outlives a panic.
pub(super) struct Legacy {
    pub(super) stats: Stats,
    revocations: Vec<(turn::Whom, u64)>,
}

/// One shard.
///
/// Size: a coordinator of children, one for each kind of socket; each turn borrows several of them apart from each other.
pub(super) struct Shard {
    index: usize,
    machine: Server,
    epoll: Epoll,
    wiring: Wiring,
    offloads: Offloads,
    streams: Streams,
    connections: Connections,
    secure: Secure,
    receiver: Receiver<Source>,
    sender: Sender,
    shared: Shared,
    contents: Contents,
    /// Whether all shards together have a bound of bytes.
    shares_all: bool,
    /// Done by former shards in this place.
    before: Stats,
    published: (Instant, Stats),
    clock_set: Instant,
    tally: Tally,
    pace: Pace,
    /// Another program is about to take over.
    retired: bool,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    Stop,
}

impl Shard {
    /// Opens what a shard needs beside its listeners. `before`: what shards in its place have done.
    pub(super) fn new(seed: &Seed, before: Stats) -> io::Result<Self> {
        let (index, shared, sockets, settings) =
            (seed.index, seed.shared.clone(), seed.sockets.try_clone()?, seed.streams.clone());
        let config = seed.config();
        let shares_all = config.limits.bytes_per_second_in_all > 0;
        let shard = config.ports.shard;
        let epoll = Epoll::new()?;
        for (token, (socket, _)) in (LISTENER..).zip(&sockets.udp) {
            epoll.add(socket.as_raw_fd(), token, Interest::Read)?;
        }
        let tcp = sockets.tcp.into_iter().map(|(socket, _)| (socket, Transport::Tcp));
        let tls = sockets.tls.into_iter().map(|(socket, _)| (socket, Transport::Tls));
        let acceptors: Vec<_> = tcp.chain(tls).collect();
        for (token, (socket, _)) in (ACCEPTOR..).zip(&acceptors) {
            epoll.add(socket.as_raw_fd(), token, Interest::Read)?;
        }
        if let Some(mailbox) = shared.mailboxes.get(index) {
            epoll.add(mailbox.wake().fd(), MAILBOX, Interest::Read)?;
        }
        let now = config.wall_clock.0;
        let tally = Tally::new(now, shared.usage.clone());
        let shards = config.ports.shards.into();
        let table = seed.kernel.as_ref().map(|kernel| kernel.table(shard.into(), shards)).transpose()?;
        let mut machine = Server::new(config, random_seed()?);
        for (key, bytes_per_second) in shared.quota.key_rates() {
            machine.handle_key_limit(now, &key, Some(bytes_per_second));
        }
        Ok(Self {
            index,
            machine,
            shares_all,
            epoll,
            wiring: Wiring::new(shard, sockets.udp, Arc::clone(&shared.mailboxes)),
            offloads: Offloads::new(now, table),
            secure: Secure::new(now, settings.dtls.clone(), settings.limits, random_seed()?)?,
            streams: Streams::new(acceptors, settings, STREAM),
            connections: Connections::new((index, Arc::clone(&shared.relayed))),
            receiver: Receiver::new(),
            sender: Sender::new(),
            shared,
            contents: Contents::default(),
            before,
            published: (now, before),
            clock_set: now,
            tally,
            pace: Pace::default(),
            retired: false,
        })
    }

    /// Works until it is told to stop.
    pub(super) fn run(&mut self) {
        self.work();
        let now = Instant::now();
        self.offloads.last(now, &mut self.machine);
        self.tally.last(now, &mut self.machine);
        self.report(now);
    }

    fn work(&mut self) {
        let mut ready = Vec::new();
        loop {
            let timeout = self.timeout(Instant::now());
            if let Err(error) = self.epoll.wait(timeout, &mut ready) {
                tracing::error!(%error, "a relay shard cannot wait for its sockets and ends");
                return;
            }
            let now = Instant::now();
            let Some(read) = self.turn(now, &ready) else { return };
            let pause = self.pace.after_turn(now, Instant::now(), read);
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
    }

    /// Everything that is ready, once: all datagrams together first, then streams. Tells how many pieces were read; `None`:
    /// it is time to end.
    fn turn(&mut self, now: Instant, ready: &[u64]) -> Option<usize> {
        let (streams, sockets): (Vec<u64>, Vec<u64>) = ready.iter().partition(|&&token| token & !LOW == STREAM);
        let (mut read, mut next) = (0, Next::Continue);
        for token in sockets {
            let index = token & LOW;
            match token & !LOW {
                MAILBOX => next = self.on_mailbox(now),
                _ if self.retired => {}
                LISTENER => read += self.on_listener(now, index),
                RELAY => read += self.on_relay(now, index),
                PEER_LISTENER => self.on_incoming(now, index),
                CONNECTING => self.on_connected(now, index),
                PAIR => self.on_pair(now, index),
                ACCEPTOR => self.streams.accept(now, &self.epoll, index),
                _ => {}
            }
        }
        if next == Next::Stop {
            self.secure.disconnect_all();
            self.flush_secure(now);
            return None;
        }
        self.forward(now);
        if self.retired {
            // For the moment that the others take.
            return Some(read);
        }
        let mut handshakes = 0;
        for key in streams.into_iter().filter_map(|token| usize::try_from(token & LOW).ok()) {
            // Each takes as long as some dozens of packets. The others are told of again in the next turn.
            handshakes += usize::from(self.streams.is_handshaking(key));
            if handshakes <= MAX_HANDSHAKES || !self.streams.is_handshaking(key) {
                self.on_stream(now, key);
                read += 1;
            }
        }
        self.settle(now);
        self.on_time(now);
        self.report(now);
        Some(read)
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        let machine = self.machine.poll_timeout().map(|at| at.saturating_duration_since(now));
        // What has happened is published within a second even if nothing happens any more.
        let publish = (self.stats() != self.published.1).then_some(PUBLISH_EVERY);
        let streams = self.streams.poll_timeout().map(|at| at.saturating_duration_since(now));
        let secure = self.secure.poll_timeout().map(|at| at.saturating_duration_since(now));
        let usage = self.tally.due(&self.machine).map(|at| at.saturating_duration_since(now));
        let pairs = self.connections.pairs.poll_timeout().map(|at| at.saturating_duration_since(now));
        let offloads = self.offloads.poll_timeout().map(|at| at.saturating_duration_since(now));
        [machine, streams, secure, offloads, pairs, publish, usage, Some(CLOCK_EVERY)].into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Instant) {
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
            self.drain(now);
        }
        if self.offloads.poll_timeout().is_some_and(|at| at <= now) {
            self.offloads.harvest(now, &mut self.machine);
            self.drain(now);
        }
        self.streams.handle_timeout(now);
        self.connections.pairs.handle_timeout(now, &self.epoll);
        // Handshakes come last, a few in each turn: whoever relays already does not wait for them.
        self.secure.handle_timeout(now);
        self.on_secured(now);
        self.settle(now);
        self.tally.handle_timeout(now, &mut self.machine);
        if now.saturating_duration_since(self.clock_set) >= CLOCK_EVERY {
            self.clock_set = now;
            let (at, unix) = super::wall_clock();
            self.machine.handle_wall_clock(at, unix);
            self.secure.refresh_identity();
            // An address that came up since the start is ours, too: no peer to send to.
            for ip in super::own_addresses().unwrap_or_default() {
                self.machine.handle_own_address(ip);
            }
        }
    }

    fn stats(&self) -> Stats {
        let (dtls, secure) = self.secure.figures();
        let own = Stats {
            turn: self.machine.counters(),
            lost: self.wiring.lost.saturating_add(self.streams.lost).saturating_add(self.secure.lost),
            streams: count(self.streams.len()),
            streams_refused: self.streams.refused,
            offloads: count(self.offloads.len()),
            dtls: count(dtls),
            dtls_refused: secure.refused,
            dtls_challenges: secure.challenged,
            dtls_shed: secure.shed,
            restarts: 0,
        };
        own.plus(self.before)
    }

    /// After a panic: what it has done, with the one restart more that is to follow, and whose credentials are refused. All
    /// that lived in it is gone.
    pub(super) fn bequeath(mut self) -> Legacy {
        let now = Instant::now();
        self.offloads.last(now, &mut self.machine);
        self.tally.last(now, &mut self.machine);
        let last = self.stats().without_life();
        let last = Stats { restarts: last.restarts + 1, ..last };
        last.publish(&self.published.1);
        self.shared.report.write(&last);
        self.shared.quota.forget(self.index);
        self.shared.relayed.forget(self.index);
        Legacy { stats: last, revocations: self.machine.revocations() }
    }

    /// What a shard that has panicked leaves.
    pub(super) fn inherit(&mut self, legacy: &Legacy) {
        self.machine.handle_revocations(Instant::now(), &legacy.revocations);
    }

    /// Other settings.
    fn change(&mut self, now: Instant, changes: &turn::Changes) {
        self.shares_all = changes.limits.bytes_per_second_in_all > 0;
        self.machine.handle_changes(now, changes);
    }

    fn report(&mut self, now: Instant) {
        let stats = self.stats();
        self.shared.report.write(&stats);
        let (at, before) = &mut self.published;
        if stats != *before && now.saturating_duration_since(*at) >= PUBLISH_EVERY {
            stats.publish(before);
            (*at, *before) = (now, stats);
            if self.shares_all {
                let share = self.shared.quota.share_of_all(self.index);
                self.machine.handle_share(&turn::Group::Server, share);
            }
        }
    }
}

pub(super) fn random_seed() -> io::Result<[u8; 32]> {
    use std::io::Read as _;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

const LOW: u64 = 0xFFFF_FFFF;
const LISTENER: u64 = 0;
const RELAY: u64 = 1 << 32;
const MAILBOX: u64 = 2 << 32;
const ACCEPTOR: u64 = 3 << 32;
const STREAM: u64 = 4 << 32;
const PEER_LISTENER: u64 = 5 << 32;
const CONNECTING: u64 = 6 << 32;
const PAIR: u64 = 7 << 32;
/// TLS negotiations carried on in one turn.
const MAX_HANDSHAKES: usize = 4;
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// The wall clock may be set while we run.
const CLOCK_EVERY: Duration = Duration::from_secs(30);
