//! A relay on its way into the program that takes this process over: every socket stays open, every shard's machine goes on.
//!
//! ```text
//!   shards ─► Handover ─► write: descriptors that survive exec, and a paper in memory that says what each is
//!                                                                │ exec
//!   shards ◄─ Handover ◄─ read ◄─────────────────────────────────┘
//! ```
//!
//! What arrives meanwhile waits in the sockets. TLS and DTLS cannot go along: their keys do not leave the libraries. These
//! clients are told before, and come back by themselves. Connections with peers (RFC 6062) are torn off.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::Socket;
use tandem_stun::turn::{FiveTuple, RelayId};

use super::inherit;
use super::listeners::{Bound, Sockets};

/// A relay that has been taken down, and listeners of others that go along.
pub struct Handover {
    pub(super) ports: (u16, Option<u16>, Option<u16>),
    pub(super) shards: Vec<Parts>,
    /// In the order in which they were put in.
    pub listeners: Vec<TcpListener>,
    /// Those that were good for credentials, and for how long they still are, were they replaced.
    pub secrets: Vec<(Vec<u8>, Duration)>,
}

/// One shard, taken apart.
pub(super) struct Parts {
    pub(super) snapshot: Vec<u8>,
    pub(super) sockets: Sockets,
    pub(super) relays: Vec<(RelayId, Socket)>,
    pub(super) streams: Vec<Plain>,
}

/// A plain stream where it has been left.
pub(super) struct Plain {
    pub(super) socket: TcpStream,
    pub(super) tuple: FiveTuple,
    /// Bytes of the client that are no whole frame yet.
    pub(super) inbox: Vec<u8>,
    /// Bytes for the client, and how many of them end a frame that has begun to leave.
    pub(super) outbox: (Vec<u8>, usize),
}

/// The paper. Descriptors are numbers of this process, before and after.
#[derive(Serialize, Deserialize)]
struct Paper {
    version: u32,
    ports: (u16, Option<u16>, Option<u16>),
    shards: Vec<ShardPaper>,
    listeners: Vec<RawFd>,
    secrets: Vec<(Vec<u8>, Duration)>,
}

#[derive(Serialize, Deserialize)]
struct ShardPaper {
    snapshot: Vec<u8>,
    udp: Vec<(RawFd, SocketAddr)>,
    tcp: Vec<(RawFd, SocketAddr)>,
    tls: Vec<(RawFd, SocketAddr)>,
    relays: Vec<(RawFd, RelayId)>,
    streams: Vec<StreamPaper>,
}

/// As in [`Plain`].
type StreamPaper = (RawFd, FiveTuple, Vec<u8>, (Vec<u8>, usize));

impl Handover {
    /// Leaves everything behind for the program to come; the number of the paper's descriptor.
    ///
    /// # Errors
    /// The system has no memory for the paper.
    pub fn write(self) -> io::Result<RawFd> {
        let paper = Paper {
            version: VERSION,
            ports: self.ports,
            shards: self.shards.into_iter().map(ShardPaper::write).collect::<io::Result<_>>()?,
            listeners: self.listeners.into_iter().map(leave).collect::<io::Result<_>>()?,
            secrets: self.secrets,
        };
        let bytes = postcard::to_allocvec(&paper).map_err(io::Error::other)?;
        let mut file = File::from(inherit::memory_file()?);
        file.write_all(&bytes)?;
        file.rewind()?;
        leave(file)
    }

    /// Takes what the program before has left behind.
    ///
    /// # Errors
    /// There is no such paper, it is another program's, or it names what is not open.
    pub fn read(paper: RawFd) -> io::Result<Self> {
        let mut taken = Taken::default();
        let (mut file, mut bytes) = (File::from(taken.descriptor(paper)?), Vec::new());
        file.read_to_end(&mut bytes)?;
        let (paper, rest) = postcard::take_from_bytes::<Paper>(&bytes).map_err(|_| unreadable("a paper"))?;
        if paper.version != VERSION || !rest.is_empty() {
            return Err(unreadable("a paper of this version"));
        }
        Ok(Self {
            ports: paper.ports,
            shards: paper.shards.into_iter().map(|shard| shard.read(&mut taken)).collect::<io::Result<_>>()?,
            listeners: taken
                .all(paper.listeners.into_iter().map(|fd| (fd, ())))?
                .into_iter()
                .map(|(it, ())| it)
                .collect(),
            secrets: paper.secrets,
        })
    }

    /// The listeners, and what each shard goes on with.
    pub(super) fn unpack(self) -> (Bound, Vec<Remains>) {
        let (port, tls_port, other_port) = self.ports;
        let (per_shard, remains) = self.shards.into_iter().map(Parts::unpack).unzip();
        (Bound { port, tls_port, other_port, per_shard }, remains)
    }
}

/// What a shard goes on with, beside its listeners.
pub(super) struct Remains {
    pub(super) snapshot: Vec<u8>,
    pub(super) relays: Vec<(RelayId, Socket)>,
    pub(super) streams: Vec<Plain>,
}

impl Parts {
    fn unpack(self) -> (Sockets, Remains) {
        let Self { snapshot, sockets, relays, streams } = self;
        (sockets, Remains { snapshot, relays, streams })
    }
}

impl ShardPaper {
    fn write(parts: Parts) -> io::Result<Self> {
        let listeners = |sockets: Vec<(Socket, SocketAddr)>| -> io::Result<Vec<_>> {
            sockets.into_iter().map(|(socket, at)| Ok((leave(socket)?, at))).collect()
        };
        let stream = |left: Plain| Ok((leave(left.socket)?, left.tuple, left.inbox, left.outbox));
        Ok(Self {
            snapshot: parts.snapshot,
            udp: listeners(parts.sockets.udp)?,
            tcp: listeners(parts.sockets.tcp)?,
            tls: listeners(parts.sockets.tls)?,
            relays: parts.relays.into_iter().map(|(id, socket)| Ok((leave(socket)?, id))).collect::<io::Result<_>>()?,
            streams: parts.streams.into_iter().map(stream).collect::<io::Result<_>>()?,
        })
    }

    fn read(self, taken: &mut Taken) -> io::Result<Parts> {
        let stream = |(fd, tuple, inbox, outbox)| {
            taken.descriptor(fd).map(|it| Plain { socket: it.into(), tuple, inbox, outbox })
        };
        let streams = self.streams.into_iter().map(stream).collect::<io::Result<_>>()?;
        let sockets = Sockets { udp: taken.all(self.udp)?, tcp: taken.all(self.tcp)?, tls: taken.all(self.tls)? };
        let relays = taken.all(self.relays)?.into_iter().map(|(socket, id)| (id, socket)).collect();
        Ok(Parts { snapshot: self.snapshot, sockets, relays, streams })
    }
}

/// What has been taken: nothing twice.
#[derive(Default)]
struct Taken(BTreeSet<RawFd>);

impl Taken {
    fn descriptor(&mut self, number: RawFd) -> io::Result<OwnedFd> {
        // The first three are everybody's.
        if number < 3 || !self.0.insert(number) {
            return Err(unreadable("a descriptor of its own"));
        }
        inherit::take_over(number)
    }

    fn all<T: From<OwnedFd>, A>(&mut self, numbers: impl IntoIterator<Item = (RawFd, A)>) -> io::Result<Vec<(T, A)>> {
        numbers.into_iter().map(|(number, what)| Ok((self.descriptor(number)?.into(), what))).collect()
    }
}

/// Keeps it open for the program to come.
fn leave(descriptor: impl IntoRawFd) -> io::Result<RawFd> {
    let number = descriptor.into_raw_fd();
    inherit::set_inherited(number, true)?;
    Ok(number)
}

fn unreadable(expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("what was left behind is not {expected}"))
}

/// Of the paper; the machines' snapshots have a version of their own.
const VERSION: u32 = 2;

/// What both programs must agree on: the forms of what is handed over.
pub fn form() -> String {
    format!("{VERSION}.{}", tandem_stun::turn::SNAPSHOT_VERSION)
}
