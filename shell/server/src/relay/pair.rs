//! A client's connection and a peer's, joined (RFC 6062 §5.4): what comes by one leaves by the other, as it is.
//!
//! ```text
//!   client ──read──► unsent of the peer's end ──► peer        each direction ends on its own (half-close)
//!   client ◄── unsent of the client's end ◄──read── peer
//! ```
//!
//! As long as an end has not taken what it was given, nothing more is read for it: one reading is the most that waits.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use rustls::ServerConnection;
use tandem_stun::turn::{Carried, ConnectionId};

use super::splice::Pipe;
use crate::net::epoll::Interest;

/// What all pairs of a shard use in turn.
pub(super) struct Tools {
    scratch: Vec<u8>,
    /// For plain connections with much to carry. `None`: there was none to be had; bytes are copied.
    pipe: Option<Pipe>,
}

impl Tools {
    pub(super) fn new() -> Self {
        let pipe = Pipe::new();
        if let Err(error) = &pipe {
            tracing::warn!(%error, "no pipe: relayed connections take more time");
        }
        Self { scratch: vec![0; READING], pipe: pipe.ok() }
    }
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Peer,
}

/// Both ends.
pub(super) struct Pair {
    pub(super) id: ConnectionId,
    client: End,
    peer: End,
    /// More has been carried than may be: nothing is read until then.
    pub(super) resting: Option<Instant>,
}

/// One connection.
pub(super) struct End {
    socket: TcpStream,
    secure: Option<Box<ServerConnection>>,
    /// Not yet taken by the socket, before encryption.
    unsent: Vec<u8>,
    /// How it is registered; `None`: not at all.
    pub(super) interest: Option<Interest>,
    /// The last reading brought much: the next one had better not be copied.
    is_bulk: bool,
    /// Nothing more comes from here.
    ended: bool,
    /// Nothing more goes out here.
    closing: Closing,
}

/// How far the closing of a direction has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    /// TLS has been told.
    Notified,
    Closed,
}

/// What a reading has brought.
struct Got {
    bytes: usize,
    /// There may be more.
    more: bool,
}

impl Pair {
    pub(super) fn new(id: ConnectionId, client: End, peer: End) -> Self {
        Self { id, client, peer, resting: None }
    }

    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Peer => &mut self.peer,
        }
    }

    /// Passes on what the client had sent before the connections were joined.
    pub(super) fn begin(&mut self, early: &[u8]) -> io::Result<Carried> {
        self.client.flush()?;
        self.peer.write(early)?;
        Ok(carried(Side::Client, early.len()))
    }

    /// Something can be done at an end: does it, and tells what has been carried.
    pub(super) fn on_ready(&mut self, side: Side, tools: &mut Tools) -> io::Result<Carried> {
        let is_resting = self.resting.is_some();
        let (from, to) = match side {
            Side::Client => (&mut self.client, &mut self.peer),
            Side::Peer => (&mut self.peer, &mut self.client),
        };
        let mut bytes = 0;
        from.flush()?;
        for _ in 0..MAX_READINGS {
            if is_resting || from.ended || to.has_unsent() {
                break;
            }
            let got = from.read(to, tools)?;
            bytes += got.bytes;
            if !got.more {
                break;
            }
        }
        if from.ended {
            to.close()?;
        }
        if to.ended {
            from.close()?;
        }
        Ok(carried(side, bytes))
    }

    /// Both directions have ended.
    pub(super) fn is_over(&self) -> bool {
        self.client.closing == Closing::Closed && self.peer.closing == Closing::Closed
    }

    /// What each end is to be waited for.
    pub(super) fn wanted(&self, side: Side) -> Option<Interest> {
        let (from, to) = match side {
            Side::Client => (&self.client, &self.peer),
            Side::Peer => (&self.peer, &self.client),
        };
        match (!from.ended && !to.has_unsent() && self.resting.is_none(), from.has_unsent()) {
            (true, true) => Some(Interest::ReadAndWrite),
            (true, false) => Some(Interest::Read),
            (false, true) => Some(Interest::Write),
            (false, false) => None,
        }
    }

    /// One end was torn off, so the other is, too: neither takes a torn stream for a whole one.
    pub(super) fn abort(self) {
        for end in [self.client, self.peer] {
            let _ = socket2::SockRef::from(&end.socket).set_linger(Some(Duration::ZERO));
        }
    }
}

impl End {
    /// `unsent`: what is to be written first.
    pub(super) fn new(socket: TcpStream, secure: Option<Box<ServerConnection>>, unsent: Vec<u8>) -> Self {
        Self { socket, secure, unsent, interest: None, is_bulk: false, ended: false, closing: Closing::Open }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.secure.as_ref().is_some_and(|secure| secure.wants_write())
    }

    /// Reads once, for the other end, which has taken everything so far.
    fn read(&mut self, to: &mut Self, tools: &mut Tools) -> io::Result<Got> {
        let spliced = tools.pipe.as_ref().filter(|_| self.is_bulk && self.secure.is_none() && to.secure.is_none());
        let outcome = match spliced {
            Some(pipe) => pipe.pass(self.fd(), to.fd(), tools.scratch.len(), &mut to.unsent),
            None => self.socket.read(&mut tools.scratch),
        };
        let count = match outcome {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Got { bytes: 0, more: false });
            }
            Err(error) => return Err(error),
        };
        if count == 0 {
            // Deviation: who ends TCP without ending TLS is believed all the same; many clients do.
            self.ended = true;
            return Ok(Got { bytes: 0, more: false });
        }
        // Less than there is room for: that was all. Whatever comes later, epoll tells.
        let more = count == tools.scratch.len();
        self.is_bulk = count >= BULK;
        let bytes = tools.scratch.get(..count).unwrap_or_default();
        let bytes = match &self.secure {
            None if spliced.is_some() => count,
            None => {
                to.write(bytes)?;
                count
            }
            Some(_) => self.decrypt(to, bytes)?,
        };
        Ok(Got { bytes, more })
    }

    fn decrypt(&mut self, to: &mut Self, mut records: &[u8]) -> io::Result<usize> {
        let Some(secure) = &mut self.secure else { return Ok(0) };
        let mut carried = 0;
        while !records.is_empty() && !self.ended {
            if secure.read_tls(&mut records)? == 0 {
                self.ended = true;
            }
            secure.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            loop {
                let mut reader = secure.reader();
                let count = match reader.fill_buf() {
                    Ok([]) => {
                        self.ended = true;
                        break;
                    }
                    Ok(plain) => {
                        to.write(plain)?;
                        plain.len()
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                reader.consume(count);
                carried += count;
            }
        }
        Ok(carried)
    }

    /// Writes what the socket takes, and keeps the rest.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.has_unsent() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        match &mut self.secure {
            None => {
                let count = write_some(&mut self.socket, bytes)?;
                self.unsent.extend_from_slice(bytes.get(count..).unwrap_or_default());
                Ok(())
            }
            Some(secure) => {
                secure.writer().write_all(bytes)?;
                self.flush()
            }
        }
    }

    /// Writes what has been kept.
    fn flush(&mut self) -> io::Result<()> {
        let Some(secure) = &mut self.secure else {
            let count = write_some(&mut self.socket, &self.unsent)?;
            self.unsent.drain(..count);
            if self.unsent.is_empty() {
                // An idle connection keeps no buffer.
                self.unsent = Vec::new();
            }
            return Ok(());
        };
        loop {
            while secure.wants_write() {
                match secure.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if self.unsent.is_empty() {
                return Ok(());
            }
            secure.writer().write_all(&self.unsent)?;
            self.unsent = Vec::new();
        }
    }

    /// The other end has ended: once everything has been written, so does this direction.
    fn close(&mut self) -> io::Result<()> {
        if self.closing == Closing::Open && self.unsent.is_empty() {
            if let Some(secure) = &mut self.secure {
                secure.send_close_notify();
            }
            self.closing = Closing::Notified;
            self.flush()?;
        }
        if self.closing == Closing::Notified && !self.has_unsent() {
            self.socket.shutdown(std::net::Shutdown::Write)?;
            self.closing = Closing::Closed;
        }
        Ok(())
    }
}

/// So many bytes from this side.
fn carried(side: Side, bytes: usize) -> Carried {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    match side {
        Side::Client => Carried { up: bytes, down: 0 },
        Side::Peer => Carried { up: 0, down: bytes },
    }
}

/// Writes until the socket takes no more; how many bytes it has taken.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// From here on copying costs more than what the pipe takes besides.
const BULK: usize = 4 * 1_024;
/// As much as one reading brings.
const READING: usize = 64 * 1_024;
/// Readings of one end before others get their turn.
const MAX_READINGS: usize = 4;
