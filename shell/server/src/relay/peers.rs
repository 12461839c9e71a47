//! The sockets of TCP allocations (RFC 6062): a listener at each relayed address, and connections with peers until they
//! are joined with a client's.
//!
//! What a peer sends meanwhile waits in the kernel, whose receive window bounds it (RFC 6062 §5.2 and §5.3).

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Instant;

use socket2::Socket;
use tandem_stun::turn::{ConnectionId, Destination, OpenRefused, RelayId, Server};

use super::listeners;
use super::relayed::Relayed;
use super::streams::Spare;
use crate::net::epoll::{Epoll, Interest};

/// All of one shard.
pub(super) struct Peers {
    /// By slot number.
    listeners: HashMap<u32, (RelayId, Socket)>,
    waiting: HashMap<ConnectionId, Socket>,
    /// Which shard this is, and where all of them listen.
    place: (usize, Arc<Relayed>),
    spare: Spare,
    tokens: Tokens,
}

/// What is added to a slot's, or a connection's number.
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    pub(super) listener: u64,
    pub(super) connecting: u64,
}

impl Peers {
    pub(super) fn new(tokens: Tokens, place: (usize, Arc<Relayed>)) -> Self {
        Self { listeners: HashMap::new(), waiting: HashMap::new(), place, spare: Spare::new(), tokens }
    }

    /// Listens at a relayed address, which clients know as another one, perhaps.
    pub(super) fn open(
        &mut self,
        epoll: &Epoll,
        id: RelayId,
        (at, advertised): (SocketAddr, SocketAddr),
    ) -> Result<(), OpenRefused> {
        let opened = listeners::relay_listener(at).and_then(|socket| {
            epoll.add(socket.as_raw_fd(), self.tokens.listener | u64::from(id.slot()), Interest::Read)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => {
                self.listeners.insert(id.slot(), (id, socket));
                let (shard, relayed) = &self.place;
                relayed.open(*shard, at, advertised);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(OpenRefused::Taken),
            Err(error) => {
                tracing::debug!(%at, %error, "cannot listen at a relayed address");
                Err(OpenRefused::Exhausted)
            }
        }
    }

    /// Closes a listener. `false`: it was not open.
    pub(super) fn close(&mut self, id: RelayId) -> bool {
        let is_it = self.listeners.get(&id.slot()).is_some_and(|(known, _)| *known == id);
        let Some((_, listener)) = is_it.then(|| self.listeners.remove(&id.slot())).flatten() else { return false };
        if let Some(at) = listener.local_addr().ok().and_then(|at| at.as_socket()) {
            self.place.1.close(at);
        }
        true
    }

    /// Accepts what waits at a relayed address, as far as the machine wants it.
    pub(super) fn accept(&mut self, now: Instant, machine: &mut Server, slot: u32) {
        for _ in 0..MAX_ACCEPTS {
            let Some((id, listener)) = self.listeners.get(&slot) else { return };
            match listener.accept() {
                Ok((socket, address)) => {
                    // One that is relayed here, too, is known by the address its client was told.
                    let peer = address.as_socket().map(|from| self.place.1.advertised(from));
                    let admitted = peer.and_then(|peer| machine.handle_incoming(now, *id, peer));
                    let Some(connection) = admitted else { continue };
                    match socket.set_nonblocking(true).and_then(|()| socket.set_tcp_nodelay(true)) {
                        Ok(()) => drop(self.waiting.insert(connection, socket)),
                        Err(_) => machine.handle_disconnected(connection),
                    }
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    return self.spare.shed(listener);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The peer was gone before it was accepted.
                Err(_) => {}
            }
        }
    }

    /// Begins to connect to a peer from a relayed address (RFC 6062 §5.2).
    pub(super) fn connect(
        &mut self,
        epoll: &Epoll,
        (relay, connection): (RelayId, ConnectionId),
        (peer, whom): (SocketAddr, Destination),
    ) -> io::Result<()> {
        let peer = match whom {
            Destination::Anyone => Some(peer),
            Destination::Relayed => self.place.1.bound(peer),
        };
        let peer = peer.ok_or(io::ErrorKind::ConnectionRefused)?;
        let listener = self.listeners.get(&relay.slot()).filter(|(id, _)| *id == relay);
        let (_, listener) = listener.ok_or(io::ErrorKind::NotFound)?;
        let at = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let socket = listeners::relay_connection(at, peer)?;
        epoll.add(socket.as_raw_fd(), self.tokens.connecting | u64::from(connection.bits()), Interest::Write)?;
        self.waiting.insert(connection, socket);
        Ok(())
    }

    /// A connection that was being established stands, or has failed.
    pub(super) fn on_connected(
        &mut self,
        (now, epoll): (Instant, &Epoll),
        machine: &mut Server,
        connection: ConnectionId,
    ) {
        let Some(socket) = self.waiting.get(&connection) else { return };
        let stands = match socket.take_error() {
            Ok(None) => socket.peer_addr().map(|_| ()),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        // Nothing is asked of it until it is joined.
        match stands.and_then(|()| epoll.remove(socket.as_raw_fd())) {
            Ok(()) => machine.handle_connected(now, connection),
            Err(error) => {
                tracing::debug!(%error, "a peer is not reached");
                self.waiting.remove(&connection);
                machine.handle_disconnected(connection);
            }
        }
    }

    /// The socket of a connection that is joined or given up.
    pub(super) fn take(&mut self, connection: ConnectionId) -> Option<TcpStream> {
        self.waiting.remove(&connection).map(TcpStream::from)
    }
}

const MAX_ACCEPTS: usize = 16;
