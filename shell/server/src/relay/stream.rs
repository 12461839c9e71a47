//! One client over TCP or TLS: bytes in, bytes out, both bounded. Frames are cut by `tandem_stun::wire::frame`.
//!
//! A client that reads too slowly loses datagrams, like any slow path; the other clients of the shard do not wait.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use rustls::ServerConnection;
use tandem_stun::turn::FiveTuple;
use tandem_stun::wire::{self, Frame, Head};

use super::sys::Interest;

/// One connection.
pub(super) struct Stream {
    socket: TcpStream,
    secure: Option<Box<ServerConnection>>,
    pub(super) tuple: FiveTuple,
    /// Bytes of the client that are no whole frame yet.
    pub(super) inbox: Vec<u8>,
    /// Bytes for the client, before encryption.
    outbox: Vec<u8>,
    written: usize,
    pub(super) interest: Interest,
    pub(super) queued: bool,
    /// Whether the client relays: then the allocation's life decides, not ours.
    pub(super) allocated: bool,
    /// When the last whole frame came.
    pub(super) active: Instant,
    pub(super) deadline: Instant,
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
        secure: Option<Box<ServerConnection>>,
        tuple: FiveTuple,
        (now, deadline): (Instant, Instant),
    ) -> Self {
        Self {
            socket,
            secure,
            tuple,
            inbox: Vec::new(),
            outbox: Vec::new(),
            written: 0,
            interest: Interest::Read,
            queued: false,
            allocated: false,
            active: now,
            deadline,
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Whether TLS is still being negotiated.
    pub(super) fn is_handshaking(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.is_handshaking())
    }

    /// Whether the TLS layer has something to say on its own.
    pub(super) fn wants_write(&self) -> bool {
        self.written < self.outbox.len() || self.secure.as_ref().is_some_and(|secure| secure.wants_write())
    }

    /// Reads once into the inbox.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> io::Result<Progress> {
        let outcome = match &mut self.secure {
            None => self.socket.read(scratch),
            Some(secure) => secure.read_tls(&mut self.socket),
        };
        let count = match outcome {
            Ok(0) => return Ok(Progress::Closed),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Progress::Blocked);
            }
            Err(error) => return Err(error),
        };
        match &mut self.secure {
            None => self.inbox.extend_from_slice(scratch.get(..count).unwrap_or_default()),
            Some(_) => return self.decrypt(scratch),
        }
        Ok(Progress::Some)
    }

    fn decrypt(&mut self, scratch: &mut [u8]) -> io::Result<Progress> {
        let Some(secure) = &mut self.secure else { return Ok(Progress::Blocked) };
        if let Err(error) = secure.process_new_packets() {
            // The client is told why, if it still listens.
            let _ = secure.write_tls(&mut self.socket);
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        loop {
            match secure.reader().read(scratch) {
                Ok(0) => return Ok(Progress::Closed),
                Ok(count) => self.inbox.extend_from_slice(scratch.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Some),
                Err(error) => return Err(error),
            }
        }
    }

    /// Queues a frame. `false`: the client reads too slowly, the frame is lost.
    pub(super) fn queue(&mut self, head: Head, payload: &[u8], padded: bool) -> bool {
        let unpadded = head.as_bytes().len() + payload.len();
        if self.outbox.len() - self.written + unpadded > MAX_OUTBOX {
            return false;
        }
        if self.written > 0 {
            self.outbox.drain(..self.written);
            self.written = 0;
        }
        self.outbox.extend_from_slice(head.as_bytes());
        self.outbox.extend_from_slice(payload);
        if padded {
            let padding = unpadded.next_multiple_of(4) - unpadded;
            self.outbox.resize(self.outbox.len() + padding, 0);
        }
        true
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
            match &mut self.secure {
                Some(secure) => {
                    if !secure.is_handshaking() {
                        self.written += encrypt(secure, self.outbox.get(self.written..).unwrap_or_default())?;
                    }
                    if !secure.wants_write() {
                        break;
                    }
                    secure.write_tls(&mut self.socket)?;
                }
                None if self.written == self.outbox.len() => break,
                None => self.written += self.socket.write(self.outbox.get(self.written..).unwrap_or_default())?,
            }
        }
        if self.written == self.outbox.len() {
            self.written = 0;
            self.outbox.clear();
            self.outbox.shrink_to(KEPT);
        }
        Ok(())
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

/// A quarter of a second of video at 8 Mbit/s.
const MAX_OUTBOX: usize = 256 * 1_024;
/// Encrypted ahead of what the socket has taken.
const MAX_AHEAD: usize = 32 * 1_024;
/// Buffer that an idle connection keeps.
const KEPT: usize = 2 * 1_024;
