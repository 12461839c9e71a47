//! One client over TCP or TLS: bytes in, bytes out, both bounded. Frames are cut by `tandem_stun::wire::frame`.
//!
//! A client that reads too slowly loses datagrams, like any slow path; the other clients of the shard do not wait.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use rustls::ServerConnection;
use tandem_stun::turn::FiveTuple;
use tandem_stun::wire::{self, Frame, Head};

use super::handover::Plain;
use super::outbox::Outbox;
use super::streams::Left;
use crate::net::epoll::Interest;
use crate::proxy_protocol::{self, Client, Header};

/// One connection.
pub(super) struct Stream {
    socket: TcpStream,
    secure: Option<Box<ServerConnection>>,
    pub(super) tuple: FiveTuple,
    preface: Preface,
    /// The client, as a PROXY header has just said.
    pub(super) named: Option<SocketAddr>,
    /// The address whose connections it is counted with.
    pub(super) counted: Option<IpAddr>,
    /// Bytes of the client that are no whole frame yet.
    pub(super) inbox: Vec<u8>,
    /// Frames for the client, before encryption.
    outbox: Outbox,
    pub(super) interest: Interest,
    pub(super) queued: bool,
    /// Whether the client relays: then the allocation's life decides, not ours.
    pub(super) allocated: bool,
    /// When the last whole frame came.
    pub(super) active: Instant,
    pub(super) deadline: Instant,
}

/// What comes before anything else.
pub(super) enum Preface {
    /// A PROXY header, of which there is this so far.
    Header(Vec<u8>),
    /// The client's own words, which may be no such header.
    Own,
    /// Nothing any more.
    Over,
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Bytes; there may be more.
    Some,
    /// Nothing for the time being.
    Blocked,
    /// The client has closed.
    Closed,
}

impl Stream {
    pub(super) fn new(
        socket: TcpStream,
        mut secure: Option<Box<ServerConnection>>,
        tuple: FiveTuple,
        now: Instant,
    ) -> Self {
        if let Some(secure) = &mut secure {
            // What is handed over is bounded here, in whole frames.
            secure.set_buffer_limit(None);
        }
        Self {
            socket,
            secure,
            tuple,
            preface: Preface::Over,
            named: None,
            counted: None,
            inbox: Vec::new(),
            outbox: Outbox::default(),
            interest: Interest::Read,
            queued: false,
            allocated: false,
            active: now,
            deadline: now,
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// What is to come first.
    pub(super) fn set_preface(&mut self, preface: Preface) {
        self.preface = preface;
    }

    /// Whether it is still to be said who the client is.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.preface, Preface::Header(_))
    }

    /// Whether nothing of it is known to TLS alone.
    pub(super) fn is_plain(&self) -> bool {
        self.secure.is_none() && !self.is_anonymous()
    }

    /// Leaves it to another program. `None`: it cannot be left.
    pub(super) fn leave_plain(self) -> Option<Plain> {
        let is_plain = self.is_plain();
        let Self { socket, tuple, inbox, outbox, .. } = self;
        is_plain.then(|| Plain { socket, tuple, inbox, outbox: outbox.into_rest() })
    }

    /// What was to leave before it came here.
    pub(super) fn refill(&mut self, rest: (Vec<u8>, usize)) {
        self.outbox = Outbox::of_rest(rest);
    }

    /// Whether TLS is still being negotiated, or the client named.
    pub(super) fn is_handshaking(&self) -> bool {
        self.is_anonymous() || self.secure.as_ref().is_some_and(|secure| secure.is_handshaking())
    }

    /// Whether the TLS layer has something to say on its own.
    pub(super) fn wants_write(&self) -> bool {
        !self.outbox.waiting().is_empty() || self.secure.as_ref().is_some_and(|secure| secure.wants_write())
    }

    /// Reads once into the inbox.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> io::Result<Progress> {
        let count = match self.socket.read(scratch) {
            Ok(0) => return Ok(Progress::Closed),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Progress::Blocked);
            }
            Err(error) => return Err(error),
        };
        // Less than there was room for: that was all. What comes later is told by epoll.
        let progress = if count < scratch.len() { Progress::Blocked } else { Progress::Some };
        let bytes = scratch.get(..count).unwrap_or_default();
        match std::mem::replace(&mut self.preface, Preface::Over) {
            Preface::Over => self.take_in(bytes, progress),
            Preface::Own if proxy_protocol::is_meant(bytes) => Err(invalid("a PROXY header from one who is no proxy")),
            Preface::Own => self.take_in(bytes, progress),
            Preface::Header(mut header) => {
                header.extend_from_slice(bytes);
                match proxy_protocol::parse(&header).map_err(invalid)? {
                    Header::Partial => {
                        self.preface = Preface::Header(header);
                        Ok(progress)
                    }
                    Header::Whole { length, client } => {
                        self.named = Some(match client {
                            Client::At(address) => address,
                            Client::Proxy => self.tuple.client,
                        });
                        self.take_in(header.get(length..).unwrap_or_default(), progress)
                    }
                }
            }
        }
    }

    /// Takes what belongs to the connection itself.
    fn take_in(&mut self, bytes: &[u8], progress: Progress) -> io::Result<Progress> {
        if self.secure.is_some() {
            return Ok(self.decrypt(bytes)?.unwrap_or(progress));
        }
        self.inbox.extend_from_slice(bytes);
        Ok(progress)
    }

    /// Takes records in; `Some` if the client has closed.
    fn decrypt(&mut self, mut records: &[u8]) -> io::Result<Option<Progress>> {
        let Some(secure) = &mut self.secure else { return Ok(None) };
        while !records.is_empty() {
            if secure.read_tls(&mut records)? == 0 {
                return Ok(Some(Progress::Closed));
            }
            if let Err(error) = secure.process_new_packets() {
                // The client is told why, if it still listens.
                let _ = secure.write_tls(&mut self.socket);
                return Err(invalid(error));
            }
            if take_plain(secure, &mut self.inbox)? == Progress::Closed {
                return Ok(Some(Progress::Closed));
            }
        }
        Ok(None)
    }

    /// Takes what TLS had decrypted before the connection came here.
    pub(super) fn take_decrypted(&mut self) -> io::Result<()> {
        if let Some(secure) = &mut self.secure {
            // Whether the client has closed since is found out by reading.
            take_plain(secure, &mut self.inbox)?;
        }
        Ok(())
    }

    /// Queues a frame; returns how many older ones are lost for it, because the client reads too slowly.
    pub(super) fn queue(&mut self, head: Head, payload: &[u8], padded: bool) -> u64 {
        self.outbox.push(head, payload, padded)
    }

    /// Writes what the socket takes. Frames gathered since the last call leave together.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self.write_out() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            outcome => outcome,
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        loop {
            let waiting = self.outbox.waiting();
            match &mut self.secure {
                Some(secure) => {
                    let count = if secure.is_handshaking() { 0 } else { encrypt(secure, waiting)? };
                    self.outbox.take(count);
                    if secure.wants_write() {
                        secure.write_tls(&mut self.socket)?;
                    } else if count == 0 {
                        return Ok(());
                    }
                }
                None if waiting.is_empty() => return Ok(()),
                None => {
                    let count = self.socket.write(waiting)?;
                    self.outbox.take(count);
                }
            }
        }
    }

    /// Takes it apart for whoever goes on with it.
    pub(super) fn leave(self) -> Left {
        let unsent = self.outbox.waiting().to_vec();
        Left { socket: self.socket, secure: self.secure, inbox: self.inbox, unsent }
    }

    /// Gives back what is left of the inbox after `used` bytes of frames.
    pub(super) fn restore(&mut self, mut inbox: Vec<u8>, used: usize) {
        inbox.drain(..used.min(inbox.len()));
        if inbox.is_empty() {
            inbox.shrink_to(KEPT);
        }
        self.inbox = inbox;
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Moves what has been decrypted to the inbox.
fn take_plain(secure: &mut ServerConnection, inbox: &mut Vec<u8>) -> io::Result<Progress> {
    loop {
        let mut reader = secure.reader();
        let count = match reader.fill_buf() {
            Ok([]) => return Ok(Progress::Closed),
            Ok(plain) => {
                inbox.extend_from_slice(plain);
                plain.len()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Blocked),
            Err(error) => return Err(error),
        };
        reader.consume(count);
    }
}

/// Hands whole frames to the TLS layer, as many as may leave at once; returns how many bytes they are.
///
/// Each frame is a record of its own: there are clients that take what one record holds for one message.
fn encrypt(secure: &mut ServerConnection, bytes: &[u8]) -> io::Result<usize> {
    let mut used = 0;
    if secure.wants_write() {
        return Ok(0);
    }
    while used < MAX_AHEAD {
        let rest = bytes.get(used..).unwrap_or_default();
        let Ok(Frame::Whole { padded, .. }) = wire::frame(rest) else { break };
        secure.writer().write_all(rest.get(..padded).unwrap_or_default())?;
        used += padded;
    }
    Ok(used)
}

/// Encrypted ahead of what the socket has taken.
const MAX_AHEAD: usize = 32 * 1_024;
/// Buffer for half a frame that an idle connection keeps.
const KEPT: usize = 2 * 1_024;
