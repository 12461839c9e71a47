//! Which socket a packet leaves by: listeners, relay sockets, other shards.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use socket2::Socket;
use tandem_stun::turn::{FiveTuple, Forward, Fragmentation, Note, OpenRefused, RelayId, Transport};
use tandem_stun::wire::Head;

use super::listeners;
use super::mailbox::{Mailbox, Order, Way};
use crate::net::epoll::{Epoll, Interest};
use crate::net::errors;
use crate::net::udp::Outgoing;

/// The datagram sockets of one shard, and the way to the others.
pub(super) struct Wiring {
    shard: u16,
    pub(super) listeners: Vec<(Socket, SocketAddr)>,
    /// By slot number.
    relays: Vec<Option<Relay>>,
    mailboxes: Arc<[Mailbox]>,
    /// Packets nobody took.
    pub(super) lost: u64,
    /// Whether anything has gone to another shard.
    pub(super) said: bool,
}

struct Relay {
    id: RelayId,
    socket: Socket,
    /// Datagrams asked for when it is read next: as many as usually come.
    expected: u8,
}

impl Wiring {
    pub(super) fn new(shard: u16, listeners: Vec<(Socket, SocketAddr)>, mailboxes: Arc<[Mailbox]>) -> Self {
        Self { shard, listeners, relays: Vec::new(), mailboxes, lost: 0, said: false }
    }

    /// Opens a relay socket; its token is `token` plus the slot.
    pub(super) fn open(&mut self, epoll: &Epoll, id: RelayId, at: SocketAddr, token: u64) -> Result<(), OpenRefused> {
        let socket = listeners::relay_socket(at).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => OpenRefused::Taken,
            _ => {
                tracing::debug!(%at, %error, "cannot open a relay socket");
                OpenRefused::Exhausted
            }
        })?;
        self.insert(epoll, id, socket, token)
    }

    /// Takes a relay socket that is open.
    pub(super) fn insert(&mut self, epoll: &Epoll, id: RelayId, socket: Socket, token: u64) -> Result<(), OpenRefused> {
        epoll
            .add(socket.as_raw_fd(), token | u64::from(id.slot()), Interest::Read)
            .map_err(|_| OpenRefused::Exhausted)?;
        let slot = usize::try_from(id.slot()).map_err(|_| OpenRefused::Exhausted)?;
        if self.relays.len() <= slot {
            self.relays.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.relays.get_mut(slot) {
            *place = Some(Relay { id, socket, expected: 1 });
        }
        Ok(())
    }

    /// Gives all relay sockets away.
    pub(super) fn take_relays(&mut self) -> Vec<(RelayId, Socket)> {
        self.relays.drain(..).flatten().map(|relay| (relay.id, relay.socket)).collect()
    }

    /// Closes a relay socket. `false`: it was not open.
    pub(super) fn close(&mut self, id: RelayId) -> bool {
        let place = usize::try_from(id.slot()).ok().and_then(|slot| self.relays.get_mut(slot));
        place.and_then(|place| place.take_if(|relay| relay.id == id)).is_some()
    }

    /// The relay socket in a slot.
    pub(super) fn relay(&self, slot: u64) -> Option<(RelayId, RawFd)> {
        let relay = self.relays.get(usize::try_from(slot).ok()?)?.as_ref()?;
        Some((relay.id, relay.socket.as_raw_fd()))
    }

    /// How many datagrams to ask a relay socket for.
    pub(super) fn expected(&self, id: RelayId) -> usize {
        let relay = usize::try_from(id.slot()).ok().and_then(|slot| self.relays.get(slot)).and_then(Option::as_ref);
        relay.map_or(1, |relay| relay.expected.into())
    }

    /// How many there were: all that were asked for means there may be more next time.
    pub(super) fn set_expected(&mut self, id: RelayId, got: usize) {
        let place = usize::try_from(id.slot()).ok().and_then(|slot| self.relays.get_mut(slot)).and_then(Option::as_mut);
        if let Some(relay) = place {
            let full = got >= usize::from(relay.expected);
            relay.expected = if full {
                relay.expected.saturating_mul(2).min(MAX_EXPECTED)
            } else {
                u8::try_from(got).unwrap_or(MAX_EXPECTED).max(1)
            };
        }
    }

    /// What the machine wants done with a packet, as far as datagram sockets and other shards can do it.
    pub(super) fn route<'p>(&mut self, forward: Forward<'p>) -> Routed<'p> {
        match forward {
            // Streams are handed over by whoever reads them.
            Forward::Nothing | Forward::Dropped(_) | Forward::HandOver { .. } => Routed::Done,
            Forward::ToPeer { relay, peer, payload, fragmentation } => {
                match self.relay(u64::from(relay.slot())).filter(|(id, _)| *id == relay) {
                    Some((_, fd)) if fragmentation == Fragmentation::Forbidden => {
                        if errors::send_unfragmented(fd, peer, payload).is_err() {
                            self.lost += 1;
                        }
                        Routed::Done
                    }
                    Some((_, fd)) => {
                        let (head, source) = (Head::EMPTY, None);
                        Routed::Datagram(Outgoing { fd, to: peer, source, head, payload, padded: false, class: 0 })
                    }
                    None => self.lose(),
                }
            }
            Forward::ToClient { client, head, payload, padded } => match client.transport {
                Transport::Udp => self.client(client, head, payload, padded),
                Transport::Dtls => Routed::Secure { client, head, payload, padded },
                Transport::Tcp | Transport::Tls => Routed::Stream { client, head, payload, padded },
            },
            Forward::ToShard { shard, from, to, payload } => self.pass_on(shard, Way::Inside { from, to }, payload),
            Forward::ToKeeper { shard, from, bytes } => {
                self.pass_on(shard, Way::Guest { host: self.shard, from }, bytes)
            }
        }
    }

    /// A datagram to a client, from the address it reached.
    pub(super) fn client<'p>(&mut self, client: FiveTuple, head: Head, payload: &'p [u8], padded: bool) -> Routed<'p> {
        let fits =
            |ip: IpAddr| ip == client.server.ip() || (ip.is_unspecified() && ip.is_ipv4() == client.server.is_ipv4());
        match self.listeners.iter().find(|(_, at)| fits(at.ip()) && at.port() == client.server.port()) {
            Some((socket, at)) => {
                let source = at.ip().is_unspecified().then(|| client.server.ip());
                Routed::Datagram(Outgoing {
                    fd: socket.as_raw_fd(),
                    to: client.client,
                    source,
                    head,
                    payload,
                    padded,
                    class: 0,
                })
            }
            None => self.lose(),
        }
    }

    fn pass_on<'p>(&mut self, shard: u16, way: Way, bytes: &[u8]) -> Routed<'p> {
        self.said = true;
        let taken = self.mailboxes.get(usize::from(shard)).is_some_and(|mailbox| mailbox.parcel(way, bytes));
        if taken { Routed::Done } else { self.lose() }
    }

    /// Gives a note to the machine of another shard.
    pub(super) fn tell(&mut self, shard: u16, note: Note) {
        self.said = true;
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard)) {
            mailbox.order(Order::Note(note));
        }
    }

    fn lose<'p>(&mut self) -> Routed<'p> {
        self.lost += 1;
        Routed::Done
    }
}

/// Which socket a datagram came from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// The listener at this address.
    Listener(SocketAddr),
    /// The relay socket of an allocation.
    Relay(RelayId),
}

/// Where a packet goes.
pub(super) enum Routed<'p> {
    /// Nowhere any more.
    Done,
    /// Out by a datagram socket.
    Datagram(Outgoing<'p>),
    /// Out by the stream of a client.
    Stream { client: FiveTuple, head: Head, payload: &'p [u8], padded: bool },
    /// Out by the DTLS association of a client.
    Secure { client: FiveTuple, head: Head, payload: &'p [u8], padded: bool },
}

/// More come with the next reading.
const MAX_EXPECTED: u8 = 32;
