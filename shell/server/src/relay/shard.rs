//! One shard: a thread with its machine and sockets. Wait, read a batch, ask the machine, send, look at the clock once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_stun::turn::{self, Answer, FiveTuple, OpenRefused, Output, QueryId, RelayId, Server, Transport, UserKey};
use tandem_stun::wire::{self, Frame, Head};

use super::listeners::Sockets;
use super::mailbox::{Contents, Mailbox, Order, Way};
use super::pace::Pace;
use super::quota::Quota;
use super::report::{Report, Stats};
use super::stream::Progress;
use super::streams::{StreamLimits, Streams};
use super::sys::{BATCH, Epoll, Interest, Outgoing, Receiver, Sender};
use super::wiring::{Routed, Source, Wiring};
use super::{Ask, errors};

/// What a shard shares with the others and with the handle.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) mailboxes: Arc<[Mailbox]>,
    pub(super) quota: Arc<Quota>,
    pub(super) report: Arc<Report>,
    pub(super) ask: Option<Ask>,
}

/// How a shard deals with TCP and TLS.
#[derive(Clone)]
pub(super) struct StreamSettings {
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) limits: StreamLimits,
}

/// What a shard is made from, more than once if need be.
pub(super) struct Seed {
    pub(super) index: usize,
    pub(super) machine: turn::Config,
    pub(super) shared: Shared,
    pub(super) sockets: Sockets,
    pub(super) streams: StreamSettings,
}

/// One shard.
pub(super) struct Shard {
    index: usize,
    machine: Server,
    epoll: Epoll,
    wiring: Wiring,
    streams: Streams,
    receiver: Receiver<Source>,
    sender: Sender,
    shared: Shared,
    contents: Contents,
    /// Done by former shards in this place.
    before: Stats,
    published: (Instant, Stats),
    clock_set: Instant,
    pace: Pace,
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
        let config = turn::Config { wall_clock: super::wall_clock(), ..seed.machine.clone() };
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
        Ok(Self {
            index,
            machine: Server::new(config, random_seed()?),
            epoll,
            wiring: Wiring::new(shard, sockets.udp, Arc::clone(&shared.mailboxes)),
            streams: Streams::new(acceptors, settings.tls, settings.limits, STREAM),
            receiver: Receiver::new(),
            sender: Sender::new(),
            shared,
            contents: Contents::default(),
            before,
            published: (now, before),
            clock_set: now,
            pace: Pace::default(),
        })
    }

    /// Works until it is told to stop.
    pub(super) fn run(&mut self) {
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
                LISTENER => read += self.on_listener(now, index),
                RELAY => read += self.on_relay(now, index),
                MAILBOX => next = self.on_mailbox(now),
                ACCEPTOR => self.streams.accept(now, &self.epoll, index),
                _ => {}
            }
        }
        if next == Next::Stop {
            return None;
        }
        self.forward(now);
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
        [machine, streams, publish, Some(CLOCK_EVERY)].into_iter().flatten().min()
    }

    /// Reads a listener; how many pieces.
    fn on_listener(&mut self, now: Instant, index: u64) -> usize {
        let listener = usize::try_from(index).ok().and_then(|index| self.wiring.listeners.get(index));
        let Some((fd, at)) = listener.map(|(socket, at)| (socket.as_raw_fd(), *at)) else { return 0 };
        let mut read = 0;
        for _ in 0..MAX_BATCHES {
            self.make_room(now, BATCH);
            match self.receiver.receive(fd, BATCH, Source::Listener(at)) {
                Ok(count) => {
                    read += count;
                    if count < BATCH {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a listener cannot be read");
                    break;
                }
            }
        }
        read
    }

    /// Reads a relay socket; how many pieces.
    fn on_relay(&mut self, now: Instant, slot: u64) -> usize {
        let Some((id, _)) = self.wiring.relay(slot) else { return 0 };
        let most = self.wiring.expected(id);
        self.make_room(now, most);
        // Looked up again: what has been dealt with may have closed it.
        let Some((_, fd)) = self.wiring.relay(slot).filter(|(same, _)| *same == id) else { return 0 };
        let count = self.receiver.receive(fd, most, Source::Relay(id)).unwrap_or(0);
        if count == 0 {
            self.on_relay_errors(now, (id, fd));
        }
        self.wiring.set_expected(id, count);
        count
    }

    fn make_room(&mut self, now: Instant, pieces: usize) {
        if self.receiver.room() < pieces {
            self.forward(now);
        }
    }

    /// Deals with all that has been read from datagram sockets: one sending for all of it.
    fn forward(&mut self, now: Instant) {
        if self.receiver.len() == 0 {
            return self.drain(now);
        }
        let mut out = Vec::with_capacity(self.receiver.len() * 2);
        for received in self.receiver.iter() {
            for datagram in received.datagrams() {
                let forward = match received.source {
                    Source::Listener(at) => {
                        let server = SocketAddr::new(received.local.unwrap_or(at.ip()), at.port());
                        let from = FiveTuple { transport: Transport::Udp, client: received.from, server };
                        self.machine.handle_client(now, from, datagram)
                    }
                    Source::Relay(id) => self.machine.handle_peer(now, id, received.from, datagram),
                };
                dispatch(self.wiring.route(forward), &mut out, &mut self.streams);
            }
        }
        self.wiring.lost += count(self.sender.send(&out));
        drop(out);
        self.receiver.clear();
        self.drain(now);
    }

    /// Ready with nothing to read: ICMP errors wait, perhaps.
    fn on_relay_errors(&mut self, now: Instant, (id, fd): (RelayId, RawFd)) {
        for _ in 0..MAX_ERRORS {
            match errors::receive(fd) {
                Some(Some(error)) => self.machine.handle_icmp(now, id, error),
                Some(None) => {}
                None => break,
            }
        }
        self.drain(now);
    }

    fn on_stream(&mut self, now: Instant, key: usize) {
        self.streams.on_writable(key);
        for _ in 0..MAX_BATCHES {
            let Some((tuple, inbox, progress)) = self.streams.read(key) else { return };
            let framed = self.on_frames(now, tuple, &inbox);
            match framed {
                Some(used) if progress != Progress::Closed => self.streams.restore(now, key, inbox, used),
                // Closed, or no longer to be cut into frames.
                _ => return self.streams.remove(key),
            }
            self.drain(now);
            if progress == Progress::Blocked {
                return;
            }
        }
    }

    /// Handles the whole frames of a stream; how many bytes they are. `None`: these are no frames.
    fn on_frames(&mut self, now: Instant, tuple: FiveTuple, bytes: &[u8]) -> Option<usize> {
        let (mut used, mut out) = (0, Vec::new());
        let framed = loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match wire::frame(rest) {
                Ok(Frame::Whole { length, padded }) => {
                    let forward = self.machine.handle_client(now, tuple, rest.get(..length).unwrap_or_default());
                    dispatch(self.wiring.route(forward), &mut out, &mut self.streams);
                    used += padded;
                }
                Ok(Frame::Partial) => break Some(used),
                Err(_) => break None,
            }
        };
        self.wiring.lost += count(self.sender.send(&out));
        framed
    }

    /// Writes to streams, and tells the machine which have ended, until nothing is left to do.
    fn settle(&mut self, now: Instant) {
        loop {
            self.streams.flush(&self.epoll);
            let Some(tuple) = self.streams.poll_closed() else { return };
            self.machine.handle_closed(tuple);
            self.drain(now);
        }
    }

    fn on_mailbox(&mut self, now: Instant) -> Next {
        let mut contents = std::mem::take(&mut self.contents);
        if let Some(mailbox) = self.shared.mailboxes.get(self.index) {
            mailbox.take(&mut contents);
        }
        let mut next = Next::Continue;
        for order in contents.orders.drain(..) {
            match order {
                Order::Revoke(user) => self.machine.revoke(now, &user),
                Order::Note(note) => self.machine.handle_note(now, note),
                Order::Answer { life, id, answer } if life == self.before.restarts => {
                    self.machine.handle_answer(now, id, answer);
                }
                Order::Answer { .. } => {}
                Order::Stop => next = Next::Stop,
                #[cfg(test)]
                Order::Panic => panic!("ordered by a test"),
            }
        }
        let mut out = Vec::new();
        for (way, bytes) in contents.parcels() {
            let forward = match way {
                Way::Inside { from, to } => self.machine.handle_hairpin(now, from, to, bytes),
                Way::Guest { host, from } => self.machine.handle_guest(now, host, from, bytes),
            };
            dispatch(self.wiring.route(forward), &mut out, &mut self.streams);
        }
        self.wiring.lost += count(self.sender.send(&out));
        drop(out);
        self.contents = contents;
        self.drain(now);
        next
    }

    fn on_time(&mut self, now: Instant) {
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
            self.drain(now);
        }
        self.streams.handle_timeout(now);
        self.settle(now);
        if now.saturating_duration_since(self.clock_set) >= CLOCK_EVERY {
            self.clock_set = now;
            let (at, unix) = super::wall_clock();
            self.machine.handle_wall_clock(at, unix);
            // An address that came up since the start is ours, too: no peer to send to.
            for ip in super::own_addresses().unwrap_or_default() {
                self.machine.handle_own_address(ip);
            }
        }
    }

    /// Does what the machine wants.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { to, message } => self.send_message(to, &message),
                Output::Open { relay, at, user, client } => {
                    let result = match self.shared.quota.take(self.index, &user) {
                        true => self.wiring.open(&self.epoll, relay, at, RELAY),
                        false => Err(OpenRefused::Quota),
                    };
                    if matches!(result, Err(OpenRefused::Taken | OpenRefused::Exhausted)) {
                        self.shared.quota.release(self.index, &user);
                    }
                    if result.is_ok() && client.transport != Transport::Udp {
                        self.streams.set_allocated(now, client, true);
                    }
                    self.machine.handle_opened(now, relay, result);
                }
                Output::Close { relay, user, client } => {
                    if client.transport != Transport::Udp {
                        self.streams.set_allocated(now, client, false);
                    }
                    if self.wiring.close(relay) {
                        self.shared.quota.release(self.index, &user);
                    }
                }
                Output::Moved { from, to } => {
                    for (client, relays) in [(from, false), (to, true)] {
                        if client.transport != Transport::Udp {
                            self.streams.set_allocated(now, client, relays);
                        }
                    }
                }
                Output::Query { id, user } => self.ask(now, id, user),
                Output::Tell { shard, note } => self.wiring.tell(shard, note),
                Output::Disconnect { client } => self.streams.disconnect(client),
            }
        }
    }

    /// Has somebody found out; the answer comes by the mailbox.
    fn ask(&mut self, now: Instant, id: QueryId, user: UserKey) {
        let Some(ask) = &self.shared.ask else { return self.machine.handle_answer(now, id, Answer::Unavailable) };
        let (mailboxes, index, life) = (Arc::clone(&self.shared.mailboxes), self.index, self.before.restarts);
        let tell = move |answer| {
            if let Some(mailbox) = mailboxes.get(index) {
                mailbox.order(Order::Answer { life, id, answer });
            }
        };
        ask(user, Box::new(tell));
    }

    fn send_message(&mut self, to: FiveTuple, message: &[u8]) {
        if to.transport != Transport::Udp {
            self.streams.send(to, Head::EMPTY, message, false);
        } else if let Routed::Datagram(packet) = self.wiring.client(to, Head::EMPTY, message, false) {
            self.wiring.lost += count(self.sender.send(&[packet]));
        }
    }

    fn stats(&self) -> Stats {
        let own = Stats {
            turn: self.machine.counters(),
            lost: self.wiring.lost.saturating_add(self.streams.lost),
            streams: count(self.streams.len()),
            streams_refused: self.streams.refused,
            restarts: 0,
        };
        own.plus(self.before)
    }

    /// After a panic: what it has done, with the one restart more that is to follow. All that lived in it is gone.
    pub(super) fn bequeath(self) -> Stats {
        let last = self.stats().without_life();
        let last = Stats { restarts: last.restarts + 1, ..last };
        last.publish(&self.published.1);
        self.shared.report.write(&last);
        self.shared.quota.forget(self.index);
        last
    }

    fn report(&mut self, now: Instant) {
        let stats = self.stats();
        self.shared.report.write(&stats);
        let (at, before) = &mut self.published;
        if stats != *before && now.saturating_duration_since(*at) >= PUBLISH_EVERY {
            stats.publish(before);
            (*at, *before) = (now, stats);
        }
    }
}

fn dispatch<'p>(routed: Routed<'p>, out: &mut Vec<Outgoing<'p>>, streams: &mut Streams) {
    match routed {
        Routed::Datagram(packet) => out.push(packet),
        Routed::Stream { client, head, payload, padded } => streams.send(client, head, payload, padded),
        Routed::Done => {}
    }
}

fn count(packets: usize) -> u64 {
    u64::try_from(packets).unwrap_or(u64::MAX)
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
/// Batches read from one socket before the others get their turn.
const MAX_BATCHES: usize = 4;
/// ICMP errors taken from one socket before the others get their turn.
const MAX_ERRORS: usize = 32;
/// TLS negotiations carried on in one turn.
const MAX_HANDSHAKES: usize = 4;
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// The wall clock may be set while we run.
const CLOCK_EVERY: Duration = Duration::from_secs(30);
