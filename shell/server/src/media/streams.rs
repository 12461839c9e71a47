//! Media over TCP (RFC 6544), for networks that let no UDP out: each datagram has its length in front of it (RFC 4571 §2).
//!
//! A stream is nobody's until the plane has answered it, which it does to who knows a password; until then it is let live for
//! a moment only. What a slow reader does not take is dropped, whole datagrams at a time: late media is worth nothing.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use slab::Slab;
use socket2::Socket;
use tandem_media::{Path, Protocol};

use crate::net::epoll::{Epoll, Interest};

/// All of one shard.
pub(super) struct Streams {
    listeners: Vec<(Socket, SocketAddr)>,
    streams: Slab<Stream>,
    by_path: HashMap<Path, usize>,
    by_address: HashMap<IpAddr, u32>,
    /// When to look whether a stream is still of use.
    due: BTreeSet<(Instant, usize)>,
    buffer: Vec<u8>,
}

struct Stream {
    socket: TcpStream,
    path: Path,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    waits_to_write: bool,
    /// The plane has answered it.
    is_known: bool,
    heard: Instant,
}

/// What the first byte of a token says.
pub(super) enum Ready {
    Listener(usize),
    Stream(usize),
}

impl Streams {
    pub(super) fn new(listeners: Vec<(Socket, SocketAddr)>, epoll: &Epoll) -> io::Result<Self> {
        for (token, (socket, _)) in (LISTENER..).zip(&listeners) {
            epoll.add(socket.as_raw_fd(), token, Interest::Read)?;
        }
        Ok(Self {
            listeners,
            streams: Slab::new(),
            by_path: HashMap::new(),
            by_address: HashMap::new(),
            due: BTreeSet::new(),
            buffer: vec![0; READ],
        })
    }

    /// Whose a token is, if it is one of these.
    pub(super) fn ready(token: u64) -> Option<Ready> {
        let place = |low: u64| usize::try_from(token - low).ok();
        match token {
            STREAM..END => place(STREAM).map(Ready::Stream),
            LISTENER..STREAM => place(LISTENER).map(Ready::Listener),
            _ => None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Closes what is of no use any more.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, key));
            let Some(stream) = self.streams.get(key) else { continue };
            let until = stream.heard + if stream.is_known { IDLE } else { PROOF };
            if until <= now {
                self.close(key);
            } else {
                self.due.insert((until, key));
            }
        }
    }

    pub(super) fn accept(&mut self, now: Instant, index: usize, epoll: &Epoll) {
        for _ in 0..MOST_ACCEPTED {
            let Some((listener, local)) = self.listeners.get(index) else { return };
            let (socket, remote) = match listener.accept() {
                Ok((socket, remote)) => (socket, remote.as_socket()),
                Err(_) => return,
            };
            let Some(remote) = remote else { continue };
            let of_this = self.by_address.get(&remote.ip()).copied().unwrap_or_default();
            // Half of what there is, where nobody else has any: an office behind one address whose network lets no UDP out.
            let free = MOST.saturating_sub(self.streams.len());
            if usize::try_from(of_this).is_ok_and(|of_this| of_this >= free) {
                continue;
            }
            let path = Path { protocol: Protocol::Tcp, local: *local, remote };
            if self.take_in(now, socket, path, epoll).is_err() {
                continue;
            }
        }
    }

    fn take_in(&mut self, now: Instant, socket: Socket, path: Path, epoll: &Epoll) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let socket = TcpStream::from(socket);
        let entry = self.streams.vacant_entry();
        let key = entry.key();
        epoll.add(socket.as_raw_fd(), STREAM + to_u64(key), Interest::Read)?;
        entry.insert(Stream {
            socket,
            path,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            waits_to_write: false,
            is_known: false,
            heard: now,
        });
        if let Some(before) = self.by_path.insert(path, key) {
            self.close(before);
            self.by_path.insert(path, key);
        }
        *self.by_address.entry(path.remote.ip()).or_default() += 1;
        self.due.insert((now + PROOF, key));
        Ok(())
    }

    /// Reads what is there; each whole datagram is handed on. Writes what waits.
    pub(super) fn handle(&mut self, now: Instant, key: usize, epoll: &Epoll, mut each: impl FnMut(Path, &mut [u8])) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = match self.streams.get_mut(key) {
            Some(stream) => stream.read(now, &mut buffer, &mut each).and_then(|()| stream.flush(epoll, key)),
            None => Ok(()),
        };
        self.buffer = buffer;
        if outcome.is_err() {
            self.close(key);
        }
    }

    /// Sends a datagram. `false`: it is lost.
    pub(super) fn send(&mut self, path: Path, datagram: &[u8], epoll: &Epoll) -> bool {
        let Some(&key) = self.by_path.get(&path) else { return false };
        let Some(stream) = self.streams.get_mut(key) else { return false };
        stream.is_known = true;
        let Ok(length) = u16::try_from(datagram.len()) else { return false };
        if stream.output.len() - stream.written + datagram.len() > MOST_WAITING {
            return false;
        }
        if stream.written > 0 {
            stream.output.drain(..stream.written);
            stream.written = 0;
        }
        stream.output.extend_from_slice(&length.to_be_bytes());
        stream.output.extend_from_slice(datagram);
        if !stream.waits_to_write && stream.flush(epoll, key).is_err() {
            self.close(key);
            return false;
        }
        true
    }

    fn close(&mut self, key: usize) {
        let Some(stream) = self.streams.try_remove(key) else { return };
        if self.by_path.get(&stream.path) == Some(&key) {
            self.by_path.remove(&stream.path);
        }
        let ip = stream.path.remote.ip();
        if let Some(count) = self.by_address.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&ip);
            }
        }
    }
}

impl Stream {
    /// An error: it is over, or not what it should be.
    fn read(&mut self, now: Instant, buffer: &mut [u8], each: &mut impl FnMut(Path, &mut [u8])) -> io::Result<()> {
        let count = match self.socket.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.heard = now;
        self.input.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let mut start = 0;
        while let Some(&[a, b]) = self.input.get(start..start + 2) {
            let length = usize::from(u16::from_be_bytes([a, b]));
            if length > LONGEST {
                return Err(ErrorKind::InvalidData.into());
            }
            let Some(datagram) = self.input.get_mut(start + 2..start + 2 + length) else { break };
            each(self.path, datagram);
            start += 2 + length;
        }
        self.input.drain(..start);
        Ok(())
    }

    fn flush(&mut self, epoll: &Epoll, key: usize) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.socket.write(self.output.get(self.written..).unwrap_or_default()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let waits = self.written < self.output.len();
        if !waits {
            self.output.clear();
            self.output.shrink_to(KEPT);
            self.written = 0;
        }
        if std::mem::replace(&mut self.waits_to_write, waits) != waits {
            let interest = if waits { Interest::ReadAndWrite } else { Interest::Read };
            epoll.change(self.socket.as_raw_fd(), STREAM + to_u64(key), interest)?;
        }
        Ok(())
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

const LISTENER: u64 = 1 << 32;
const STREAM: u64 = 2 << 32;
const END: u64 = 3 << 32;
/// What is read at once; enough for a large picture.
const READ: usize = 64 << 10;
/// What a peer of ours may send as one datagram: a media packet, or a record of DTLS.
const LONGEST: usize = 20 << 10;
/// Half a second of video at 4 Mbit/s.
const MOST_WAITING: usize = 256 << 10;
/// Buffer that an idle stream keeps.
const KEPT: usize = 2 << 10;
/// Until it has to be known who it is.
const PROOF: Duration = Duration::from_secs(10);
/// Checks of consent come every few seconds (RFC 7675 §5.1).
const IDLE: Duration = Duration::from_secs(60);
const MOST: usize = 4_096;
const MOST_ACCEPTED: usize = 64;
