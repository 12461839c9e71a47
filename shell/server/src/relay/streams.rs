//! All clients of a shard over TCP and TLS: accepting within limits, finding, timing out.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection};
use slab::Slab;
use socket2::Socket;
use tandem_stun::Cidr;
use tandem_stun::turn::{FiveTuple, Transport};
use tandem_stun::wire::Head;

use super::door::Adopted;
use super::handover::Plain;
use super::shard::StreamSettings;
use super::stream::{Preface, Progress, Stream};
use crate::net::epoll::{Epoll, Interest};

/// Bounds on streams, per shard.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Connections.
    pub total: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// How long TLS may take to be negotiated.
    pub handshake: Duration,
    /// How long a client without allocation may be silent.
    pub idle: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { total: 4_096, per_address: 128, handshake: Duration::from_secs(10), idle: Duration::from_secs(60) }
    }
}

/// A listening socket and where it is bound.
type Listener = (Socket, SocketAddr);

/// The streams of one shard.
pub(super) struct Streams {
    listeners: Vec<(Socket, Transport)>,
    live: Slab<Stream>,
    by_tuple: HashMap<FiveTuple, usize>,
    per_address: HashMap<IpAddr, usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    /// Those with something to write.
    queued: Vec<usize>,
    /// Those that have ended and of which the machine does not know yet.
    closed: Vec<FiveTuple>,
    scratch: Vec<u8>,
    settings: Settings,
    pub(super) refused: u64,
    pub(super) lost: u64,
}

struct Settings {
    tls: Option<Arc<ServerConfig>>,
    limits: StreamLimits,
    /// From these a PROXY header comes first.
    proxies: Arc<[Cidr]>,
    /// Added to a stream's number to make its token.
    token: u64,
    /// Given up for a moment when the process has no descriptor left, to refuse a connection instead of spinning.
    spare: Spare,
}

/// One descriptor in reserve.
pub(super) struct Spare(Option<std::fs::File>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(std::fs::File::open("/dev/null").ok())
    }

    /// Out of descriptors: the connection that waits is closed with the one kept for this.
    pub(super) fn shed(&mut self, listener: &Socket) {
        self.0 = None;
        drop(listener.accept());
        *self = Self::new();
    }
}

/// A stream that is no longer one of frames here: joined with a peer's, or another shard's.
pub(super) struct Left {
    pub(super) socket: TcpStream,
    pub(super) secure: Option<Box<ServerConnection>>,
    /// What has been read and not dealt with.
    pub(super) inbox: Vec<u8>,
    /// What has not been written yet.
    pub(super) unsent: Vec<u8>,
}

impl Streams {
    pub(super) fn new(
        listeners: Vec<(Socket, Transport)>,
        StreamSettings { tls, limits, proxies, dtls: _ }: StreamSettings,
        token: u64,
    ) -> Self {
        Self {
            listeners,
            live: Slab::new(),
            by_tuple: HashMap::new(),
            per_address: HashMap::new(),
            deadlines: BTreeSet::new(),
            queued: Vec::new(),
            closed: Vec::new(),
            scratch: vec![0; SCRATCH],
            settings: Settings { tls, limits, proxies, token, spare: Spare::new() },
            refused: 0,
            lost: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Accepts what waits at a listener.
    pub(super) fn accept(&mut self, now: Instant, epoll: &Epoll, index: u64) {
        for _ in 0..MAX_ACCEPTS {
            let listener = usize::try_from(index).ok().and_then(|index| self.listeners.get(index));
            let Some((listener, transport)) = listener else { return };
            let transport = *transport;
            match listener.accept() {
                Ok((socket, address)) => {
                    let admitted = address.as_socket().map(|from| self.admit(now, epoll, socket, (from, transport)));
                    if !matches!(admitted, Some(Ok(()))) {
                        self.refused += 1;
                    }
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    self.refused += 1;
                    return self.settings.spare.shed(listener);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client was gone before it was accepted.
                Err(_) => {}
            }
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        epoll: &Epoll,
        socket: Socket,
        (client, transport): (SocketAddr, Transport),
    ) -> io::Result<()> {
        let proxied = self.settings.proxies.iter().any(|network| network.contains(client.ip()));
        // A proxy stands for many, who are counted each for itself once they are known.
        self.check_limits((!proxied).then(|| client.ip()))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let server = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let secure = match (transport, &self.settings.tls) {
            (Transport::Tls, Some(config)) => {
                Some(Box::new(ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?))
            }
            (Transport::Tls, None) => return Err(io::ErrorKind::Unsupported.into()),
            (Transport::Tcp | Transport::Udp | Transport::Dtls, _) => None,
        };
        let tuple = FiveTuple { transport, client, server };
        let mut stream = Stream::new(TcpStream::from(socket), secure, tuple, now);
        stream.set_preface(if proxied { Preface::Header(Vec::new()) } else { Preface::Own });
        self.insert(now, epoll, stream)?;
        Ok(())
    }

    /// Takes a connection that somebody else has accepted; its number here.
    pub(super) fn adopt(&mut self, now: Instant, epoll: &Epoll, adopted: Adopted) -> io::Result<usize> {
        let Adopted { socket, secure, tuple, inbox, place } = adopted;
        self.check_limits(Some(tuple.client.ip()))?;
        let mut stream = Stream::new(socket, secure, tuple, now);
        stream.inbox = inbox;
        stream.take_decrypted()?;
        let key = self.insert(now, epoll, stream)?;
        // Counted here from now on. The client has one limit, whichever port it came by; a flood of the other port's
        // connections takes nothing away from it, and a relayed call does not hold up the other port's end.
        drop(place);
        Ok(key)
    }

    /// Whether there is room for one more; of this client, if it is known.
    fn check_limits(&self, client: Option<IpAddr>) -> io::Result<()> {
        let limits = self.settings.limits;
        let of_address = client.and_then(|ip| self.per_address.get(&ip)).copied().unwrap_or(0);
        if self.live.len() >= limits.total || of_address >= limits.per_address {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }

    fn insert(&mut self, now: Instant, epoll: &Epoll, mut stream: Stream) -> io::Result<usize> {
        let (tuple, limits) = (stream.tuple, self.settings.limits);
        let deadline = now + if stream.is_handshaking() { limits.handshake } else { limits.idle };
        stream.deadline = deadline;
        let entry = self.live.vacant_entry();
        let key = entry.key();
        let token = self.settings.token | u64::try_from(key).unwrap_or(u64::MAX);
        epoll.add(stream.fd(), token, Interest::Read)?;
        if !stream.is_anonymous() {
            stream.counted = Some(tuple.client.ip());
            *self.per_address.entry(tuple.client.ip()).or_default() += 1;
        }
        entry.insert(stream);
        self.deadlines.insert((deadline, key));
        self.list(key, tuple);
        Ok(key)
    }

    /// A proxy has said whose connection this is.
    fn introduce(&mut self, key: usize, client: SocketAddr) -> io::Result<()> {
        let room = self.check_limits(Some(client.ip()));
        let Some(stream) = self.live.get_mut(key) else { return Ok(()) };
        room.inspect_err(|_| self.refused += 1)?;
        let former = std::mem::replace(&mut stream.tuple.client, client);
        stream.counted = Some(client.ip());
        *self.per_address.entry(client.ip()).or_default() += 1;
        let tuple = stream.tuple;
        self.by_tuple.remove(&FiveTuple { client: former, ..tuple });
        self.list(key, tuple);
        Ok(())
    }

    fn list(&mut self, key: usize, tuple: FiveTuple) {
        // The same five-tuple again: the kernel has closed the former connection.
        if let Some(former) = self.by_tuple.insert(tuple, key) {
            self.remove(former);
            self.by_tuple.insert(tuple, key);
        }
    }

    /// Reads once; what the client has sent so far, and whether there may be more. `None`: it is gone.
    pub(super) fn read(&mut self, key: usize) -> Option<(FiveTuple, Vec<u8>, Progress)> {
        let stream = self.live.get_mut(key)?;
        let read = stream.fill(&mut self.scratch);
        let named = stream.named.take();
        let read = read.and_then(|progress| named.map_or(Ok(()), |at| self.introduce(key, at)).map(|()| progress));
        let stream = self.live.get_mut(key)?;
        match read {
            Ok(progress) => {
                let (tuple, inbox) = (stream.tuple, std::mem::take(&mut stream.inbox));
                if stream.wants_write() {
                    self.queue_flush(key);
                }
                Some((tuple, inbox, progress))
            }
            Err(error) => {
                tracing::debug!(%error, "a stream ends");
                self.remove(key);
                None
            }
        }
    }

    /// What has been read of a client's stream and not dealt with. `None`: it is no longer here.
    pub(super) fn inbox(&mut self, key: usize, client: FiveTuple) -> Option<Vec<u8>> {
        let stream = self.live.get_mut(key).filter(|stream| stream.tuple == client)?;
        Some(std::mem::take(&mut stream.inbox))
    }

    /// Takes the bytes back, of which `used` were whole frames.
    pub(super) fn restore(&mut self, now: Instant, key: usize, inbox: Vec<u8>, used: usize) {
        if let Some(stream) = self.live.get_mut(key) {
            stream.restore(inbox, used);
            if used > 0 {
                stream.active = now;
            }
        }
    }

    /// Queues a frame for a client.
    pub(super) fn send(&mut self, client: FiveTuple, head: Head, payload: &[u8], padded: bool) {
        let Some(&key) = self.by_tuple.get(&client) else {
            self.lost += 1;
            return;
        };
        if let Some(stream) = self.live.get_mut(key) {
            self.lost += stream.queue(head, payload, padded);
            self.queue_flush(key);
        }
    }

    /// Whether a stream is still negotiating TLS.
    pub(super) fn is_handshaking(&self, key: usize) -> bool {
        self.live.get(key).is_some_and(Stream::is_handshaking)
    }

    fn queue_flush(&mut self, key: usize) {
        if let Some(stream) = self.live.get_mut(key).filter(|stream| !stream.queued) {
            stream.queued = true;
            self.queued.push(key);
        }
    }

    /// The socket takes bytes again.
    pub(super) fn on_writable(&mut self, key: usize) {
        self.queue_flush(key);
    }

    /// Writes what has been queued.
    pub(super) fn flush(&mut self, epoll: &Epoll) {
        while let Some(key) = self.queued.pop() {
            let Some(stream) = self.live.get_mut(key) else { continue };
            stream.queued = false;
            if stream.flush().is_err() {
                self.remove(key);
                continue;
            }
            let wanted = if stream.wants_write() { Interest::ReadAndWrite } else { Interest::Read };
            if stream.interest != wanted {
                stream.interest = wanted;
                let token = self.settings.token | u64::try_from(key).unwrap_or(u64::MAX);
                if epoll.change(stream.fd(), token, wanted).is_err() {
                    self.remove(key);
                }
            }
        }
    }

    /// Whether the client of a stream relays.
    pub(super) fn set_allocated(&mut self, now: Instant, client: FiveTuple, allocated: bool) {
        if let Some(stream) = self.by_tuple.get(&client).and_then(|&key| self.live.get_mut(key)) {
            stream.allocated = allocated;
            stream.active = now;
        }
    }

    /// Shuts a client out.
    pub(super) fn disconnect(&mut self, client: FiveTuple) {
        if let Some(&key) = self.by_tuple.get(&client) {
            self.remove(key);
        }
    }

    /// Lets a client's stream go, open as it is. The machine is not told: there is no allocation.
    pub(super) fn leave(&mut self, epoll: &Epoll, client: FiveTuple) -> Option<Left> {
        let key = *self.by_tuple.get(&client)?;
        let stream = self.forget(key)?;
        epoll.remove(stream.fd()).ok()?;
        Some(stream.leave())
    }

    /// Closes all connections whose keys stay here, and those that have not said yet whose they are.
    pub(super) fn close_secure(&mut self) {
        let secure = self.live.iter().filter(|(_, stream)| !stream.is_plain()).map(|(key, _)| key);
        for key in secure.collect::<Vec<_>>() {
            self.remove(key);
        }
    }

    /// Gives all plain connections away.
    pub(super) fn take_plain(&mut self) -> Vec<Plain> {
        self.live.drain().filter_map(Stream::leave_plain).collect()
    }

    /// Gives the listeners away: plain ones, and those of TLS.
    pub(super) fn take_listeners(&mut self) -> (Vec<Listener>, Vec<Listener>) {
        let listeners = self.listeners.drain(..).filter_map(|(socket, transport)| {
            let at = socket.local_addr().ok()?.as_socket()?;
            Some(((socket, at), transport))
        });
        let (tls, tcp): (Vec<_>, Vec<_>) = listeners.partition(|(_, transport)| *transport == Transport::Tls);
        let plain = |of: Vec<(Listener, Transport)>| of.into_iter().map(|(listener, _)| listener).collect();
        (plain(tcp), plain(tls))
    }

    /// What was to leave when the connection came here.
    pub(super) fn refill(&mut self, key: usize, outbox: (Vec<u8>, usize)) {
        if let Some(stream) = self.live.get_mut(key) {
            stream.refill(outbox);
            self.queue_flush(key);
        }
    }

    pub(super) fn remove(&mut self, key: usize) {
        if let Some(stream) = self.forget(key) {
            self.closed.push(stream.tuple);
        }
    }

    fn forget(&mut self, key: usize) -> Option<Stream> {
        let stream = self.live.try_remove(key)?;
        self.by_tuple.remove(&stream.tuple);
        self.deadlines.remove(&(stream.deadline, key));
        if let Some(ip) = stream.counted
            && let Some(count) = self.per_address.get_mut(&ip)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_address.remove(&ip);
            }
        }
        Some(stream)
    }

    /// A stream that has ended since the last call.
    pub(super) fn poll_closed(&mut self) -> Option<FiveTuple> {
        self.closed.pop()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Closes those whose handshake takes too long, and those that neither relay nor speak.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let idle = self.settings.limits.idle;
        while let Some(&(at, key)) = self.deadlines.first().filter(|&&(at, _)| at <= now) {
            self.deadlines.remove(&(at, key));
            let Some(stream) = self.live.get_mut(key) else { continue };
            let until = if stream.allocated { now + idle } else { stream.active + idle };
            if stream.is_handshaking() || until <= now {
                self.remove(key);
            } else {
                stream.deadline = until;
                self.deadlines.insert((until, key));
            }
        }
    }
}

const SCRATCH: usize = 64 * 1_024;
const MAX_ACCEPTS: usize = 64;
