//! One shard: a thread with its plane and sockets. Wait, read a batch, ask the plane, send, look at the clock once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_media::{Counters, Crossing, Path, Plane, Protocol, Shard as Place};

use super::batch::{Batch, Tcp};
use super::events::{Outgoing, Sender as Events, Told};
use super::mailbox::{Contents, Left, Mailbox};
use super::report::{Report, Stats};
use super::sockets::Sockets;
use super::streams::{Ready, Streams};
use crate::net::epoll::{Epoll, Interest};
use crate::net::udp::{BATCH, Receiver, Sender};

/// What a shard is made from, more than once if need be.
pub(super) struct Seed {
    pub(super) index: usize,
    pub(super) sockets: Sockets,
    pub(super) transports: Arc<tandem_webrtc::Config>,
    pub(super) foreign: Arc<tandem_webrtc::Config>,
    pub(super) mailboxes: Arc<[Mailbox]>,
    pub(super) events: Events,
    pub(super) report: Arc<Report>,
}

/// Starts the thread of a shard; returns once it is ready, or with the reason why it is not.
pub(super) fn spawn(seed: Seed) -> io::Result<JoinHandle<()>> {
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let name = format!("media-{}", seed.index);
    let thread = std::thread::Builder::new().name(name).spawn(move || keep(&seed, &ready))?;
    is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the media shard ended at its start")))?;
    Ok(thread)
}

/// A panic is a bug of ours, ends the connections of one shard, and is loud; clients connect again at once.
fn keep(seed: &Seed, ready: &SyncSender<io::Result<()>>) {
    let mut before = Stats::default();
    let mut shard = match Shard::new(seed, before) {
        Ok(shard) => shard,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let _ = ready.send(Ok(()));
    while catch_unwind(AssertUnwindSafe(|| shard.work(seed))).is_err() {
        tracing::error!(shard = seed.index, "a media shard has panicked; its connections are lost, it starts again");
        before = seed.report.read();
        before.restarts += 1;
        (before.endpoints, before.tracks, before.forwards) = (0, 0, 0);
        shard = loop {
            match Shard::new(seed, before) {
                Ok(shard) => break shard,
                Err(error) => tracing::error!(shard = seed.index, %error, "the media shard cannot start again yet"),
            }
            if seed.mailboxes.get(seed.index).is_none_or(Mailbox::is_stopped) {
                return;
            }
            std::thread::sleep(PATIENCE);
        };
        let others = seed.mailboxes.iter().enumerate().filter(|(index, _)| *index != seed.index);
        others.for_each(|(_, mailbox)| mailbox.cross(Place(seed.index), &mut vec![Crossing::lost()]));
        shard.events.tell(Told::Lost { shard: seed.index });
    }
}

struct Shard {
    plane: Plane,
    epoll: Epoll,
    sockets: Vec<(RawFd, SocketAddr)>,
    receiver: Receiver<usize>,
    sender: Sender,
    streams: Streams,
    batch: Batch,
    contents: Contents,
    /// For the plane of each other shard, as one turn leaves it.
    across: Vec<Vec<Crossing>>,
    events: Outgoing,
    /// Done by former shards in this place.
    before: Stats,
    unsent: u64,
}

impl Shard {
    fn new(seed: &Seed, before: Stats) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let sockets: Vec<_> = seed.sockets.udp().collect();
        for (token, (fd, _)) in (0..).zip(&sockets) {
            epoll.add(*fd, token, Interest::Read)?;
        }
        if let Some(mailbox) = seed.mailboxes.get(seed.index) {
            epoll.add(mailbox.fd(), MAILBOX, Interest::Read)?;
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut words = random.chunks_exact(8).map(|word| word.try_into().map(u64::from_be_bytes).unwrap_or_default());
        let random = std::array::from_fn(|_| words.next().unwrap_or_default());
        let now = Instant::now();
        let udp = sockets.iter().map(|(_, at)| (Protocol::Udp, *at));
        let config = tandem_media::Config {
            transports: Arc::clone(&seed.transports),
            foreign: Some(Arc::clone(&seed.foreign)),
            listens: udp.chain(seed.sockets.streams().map(|at| (Protocol::Tcp, at))).collect(),
            clock: (now, tandem_media::ntp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())),
        };
        Ok(Self {
            plane: Plane::new(config, random),
            streams: Streams::new(seed.sockets.listeners()?, &epoll)?,
            epoll,
            sockets,
            receiver: Receiver::new(),
            sender: Sender::new(),
            batch: Batch::new(),
            contents: Contents::default(),
            across: seed.mailboxes.iter().map(|_| Vec::new()).collect(),
            events: Outgoing::new(seed.events.clone()),
            before,
            unsent: 0,
        })
    }

    /// Works until it is told to stop.
    fn work(&mut self, seed: &Seed) {
        let mut ready = Vec::new();
        loop {
            let timeout = self.timeout(Instant::now());
            if let Err(error) = self.epoll.wait(timeout, &mut ready) {
                tracing::error!(%error, "a media shard cannot wait for its sockets and ends");
                return;
            }
            let now = Instant::now();
            if ready.contains(&MAILBOX) && self.obey(now, seed) {
                return;
            }
            for token in ready.iter().filter(|token| **token != MAILBOX) {
                match Streams::ready(*token) {
                    Some(Ready::Listener(index)) => self.streams.accept(now, index, &self.epoll),
                    Some(Ready::Stream(key)) => self.read_stream(now, key),
                    None => usize::try_from(*token).into_iter().for_each(|index| self.read(now, index)),
                }
            }
            if self.plane.poll_timeout().is_some_and(|at| at <= now) {
                self.plane.handle_timeout(now, &mut self.batch);
            }
            if self.streams.poll_timeout().is_some_and(|at| at <= now) {
                self.streams.handle_timeout(now);
            }
            self.flush(seed);
            self.report(seed);
        }
    }

    /// Carries out what waits. `true`: it is to stop.
    fn obey(&mut self, now: Instant, seed: &Seed) -> bool {
        let Some(mailbox) = seed.mailboxes.get(seed.index) else { return true };
        mailbox.take(&mut self.contents);
        for left in self.contents.left.drain(..) {
            match left {
                Left::Command(command) => self.plane.handle_command(now, *command, &mut self.batch),
                Left::Crossing(from, told) => self.plane.handle_crossing(now, from, told, &mut self.batch),
            }
            if self.batch.is_large() {
                self.unsent += to_u64(self.batch.send(
                    &mut self.sender,
                    &self.sockets,
                    Tcp { streams: &mut self.streams, epoll: &self.epoll },
                ));
            }
        }
        self.contents.stop
    }

    fn read(&mut self, now: Instant, index: usize) {
        let Some(&(fd, local)) = self.sockets.get(index) else { return };
        self.receiver.clear();
        // An error belongs to something sent before: the next read is clean.
        if self.receiver.receive(fd, BATCH, index).unwrap_or_default() == 0 {
            return;
        }
        for mut received in self.receiver.iter_mut() {
            let path = Path { protocol: Protocol::Udp, local, remote: received.from };
            for datagram in received.datagrams_mut() {
                self.plane.handle_datagram(now, path, datagram, &mut self.batch);
            }
            if self.batch.is_large() {
                self.unsent += to_u64(self.batch.send(
                    &mut self.sender,
                    &self.sockets,
                    Tcp { streams: &mut self.streams, epoll: &self.epoll },
                ));
            }
        }
    }

    fn read_stream(&mut self, now: Instant, key: usize) {
        let Self { plane, batch, streams, epoll, .. } = self;
        streams.handle(now, key, epoll, |path, datagram| plane.handle_datagram(now, path, datagram, batch));
    }

    fn flush(&mut self, seed: &Seed) {
        self.unsent += to_u64(self.batch.send(
            &mut self.sender,
            &self.sockets,
            Tcp { streams: &mut self.streams, epoll: &self.epoll },
        ));
        self.cross(seed);
        while let Some(event) = self.plane.poll_event() {
            self.events.tell(Told::Event(event));
        }
        self.events.flush();
    }

    /// What is for other shards' planes goes to their mailboxes, all of one turn at once.
    fn cross(&mut self, seed: &Seed) {
        let mut some = false;
        while let Some((Place(to), crossing)) = self.plane.poll_crossing() {
            some = true;
            if let Some(across) = self.across.get_mut(to) {
                across.push(crossing);
            }
        }
        if !some {
            return;
        }
        for (across, mailbox) in self.across.iter_mut().zip(seed.mailboxes.iter()).filter(|(it, _)| !it.is_empty()) {
            mailbox.cross(Place(seed.index), across);
        }
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        let behind = self.events.is_behind().then_some(RETRY);
        let due = [self.plane.poll_timeout(), self.streams.poll_timeout()];
        let due = due.into_iter().flatten().map(|at| at.saturating_duration_since(now));
        due.chain(behind).min()
    }

    fn report(&self, seed: &Seed) {
        let (endpoints, tracks, forwards) = self.plane.census();
        let plane: Counters = self.plane.counters();
        seed.report.write(self.before.plus(Stats {
            plane,
            endpoints: to_u64(endpoints),
            tracks: to_u64(tracks),
            forwards: to_u64(forwards),
            unsent: self.unsent,
            restarts: 0,
        }));
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

const MAILBOX: u64 = u64::MAX;
/// After the engine's queue was full.
const RETRY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(1);
