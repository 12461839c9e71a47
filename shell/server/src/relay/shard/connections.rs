//! TCP relaying (RFC 6062) at a shard: what happens at the sockets of peers, joining, and passing streams on to other shards.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tandem_stun::turn::{ConnectionId, Destination, FiveTuple, RelayId};

use super::super::door::Adopted;
use super::super::mailbox::Order;
use super::super::pairs::{Done, Pairs};
use super::super::peers::{Peers, Tokens};
use super::super::relayed::Relayed;
use super::{CONNECTING, PAIR, PEER_LISTENER, Shard};

/// The connections of one shard, before they are joined and after.
pub(super) struct Connections {
    pub(super) peers: Peers,
    pub(super) pairs: Pairs,
}

impl Connections {
    pub(super) fn new(place: (usize, Arc<Relayed>)) -> Self {
        let tokens = Tokens { listener: PEER_LISTENER, connecting: CONNECTING };
        Self { peers: Peers::new(tokens, place), pairs: Pairs::new(PAIR) }
    }
}

impl Shard {
    /// Peers wait at a relayed address.
    pub(super) fn on_incoming(&mut self, now: Instant, slot: u64) {
        if let Ok(slot) = u32::try_from(slot) {
            self.connections.peers.accept(now, &mut self.machine, slot);
            self.drain(now);
        }
    }

    /// A connection that was being established stands, or has failed.
    pub(super) fn on_connected(&mut self, now: Instant, number: u64) {
        let Ok(number) = u32::try_from(number) else { return };
        let connection = ConnectionId::from_bits(number);
        self.connections.peers.on_connected((now, &self.epoll), &mut self.machine, connection);
        self.drain(now);
    }

    /// Something can be done for a pair.
    pub(super) fn on_pair(&mut self, now: Instant, index: u64) {
        if let Some(done) = self.connections.pairs.on_ready(&self.epoll, index) {
            self.on_carried(now, done);
            self.drain(now);
        }
    }

    fn on_carried(&mut self, now: Instant, done: Done) {
        let Done { id, carried, is_over } = done;
        if let Some(until) = self.machine.handle_carried(now, id, carried) {
            self.connections.pairs.rest(&self.epoll, id, until);
        }
        if is_over {
            self.machine.handle_disconnected(id);
        }
    }

    /// Begins to connect to a peer.
    pub(super) fn connect(&mut self, relay: RelayId, connection: ConnectionId, to: (SocketAddr, Destination)) {
        if let Err(error) = self.connections.peers.connect(&self.epoll, (relay, connection), to) {
            tracing::debug!(%error, "cannot connect to a peer");
            self.machine.handle_disconnected(connection);
        }
    }

    /// Bytes go through from here on.
    pub(super) fn join(&mut self, now: Instant, connection: ConnectionId, client: FiveTuple) {
        let left = self.streams.leave(&self.epoll, client);
        match left.zip(self.connections.peers.take(connection)) {
            Some((left, peer)) => {
                let done = self.connections.pairs.join(&self.epoll, connection, left, peer);
                self.on_carried(now, done);
            }
            // The client has gone meanwhile.
            None => self.machine.handle_disconnected(connection),
        }
    }

    /// The machine has ended a connection.
    pub(super) fn hang_up(&mut self, connection: ConnectionId) {
        drop(self.connections.peers.take(connection));
        // Neither end has ended it: none may take what it has got for the whole.
        if let Some(pair) = self.connections.pairs.remove(connection) {
            pair.abort();
        }
    }

    /// A stream goes on at another shard, with what it has sent.
    pub(super) fn hand_over(&mut self, shard: u16, tuple: FiveTuple) {
        if let Err(error) = self.try_hand_over(shard, tuple) {
            tracing::debug!(%error, "a stream cannot go on at another shard and ends");
        }
    }

    fn try_hand_over(&mut self, shard: u16, tuple: FiveTuple) -> io::Result<()> {
        // Answers still on their way go first.
        self.streams.flush(&self.epoll);
        let left = self.streams.leave(&self.epoll, tuple).ok_or(io::ErrorKind::NotConnected)?;
        let mailbox = self.shared.mailboxes.get(usize::from(shard)).ok_or(io::ErrorKind::NotFound)?;
        if !left.unsent.is_empty() {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "the client does not read what it is answered"));
        }
        let adopted = Adopted { socket: left.socket, secure: left.secure, tuple, inbox: left.inbox, place: None };
        self.wiring.said = true;
        mailbox.order(Order::Adopt(Box::new(adopted)));
        Ok(())
    }
}
