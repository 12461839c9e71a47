//! A shard's way out of one program and into the next.

use std::collections::HashMap;
use std::time::Instant;

use socket2::Socket;
use tandem_stun::turn::{self, RelayId, Server, Transport};

use super::super::door::Adopted;
use super::super::handover::{Parts, Remains};
use super::super::listeners::Sockets;
use super::{RELAY, Shard};

impl Shard {
    /// Ends what cannot go on elsewhere. From here on what clients and peers send waits in the sockets.
    pub(super) fn retire(&mut self, now: Instant) {
        self.machine.end_connections(now);
        self.drain(now);
        self.streams.close_secure();
        self.secure.disconnect_all();
        self.settle(now);
        self.retired = true;
    }

    /// Takes the shard apart; it ends with this.
    pub(super) fn take_down(&mut self, now: Instant) -> Parts {
        let udp = std::mem::take(&mut self.wiring.listeners);
        let (tcp, tls) = self.streams.take_listeners();
        Parts {
            snapshot: self.machine.snapshot(now),
            sockets: Sockets { udp, tcp, tls },
            relays: self.wiring.take_relays(),
            streams: self.streams.take_plain(),
        }
    }

    /// Goes on where the shard of another program has been taken apart. Nothing else has happened here yet.
    pub(in super::super) fn go_on(&mut self, now: Instant, config: turn::Config, remains: Remains) {
        let seed = super::random_seed().unwrap_or_default();
        match Server::go_on(config, seed, now, &remains.snapshot) {
            Ok(machine) => self.machine = machine,
            Err(error) => return tracing::error!(%error, shard = self.index, "what was relayed here ends"),
        }
        let mut sockets: HashMap<RelayId, Socket> = remains.relays.into_iter().collect();
        for left in remains.streams {
            let (tuple, outbox) = (left.tuple, left.outbox);
            let adopted = Adopted { socket: left.socket, secure: None, tuple, inbox: left.inbox, place: None };
            match self.streams.adopt(now, &self.epoll, adopted) {
                Ok(key) => self.streams.refill(key, outbox),
                Err(_) => self.machine.handle_closed(now, tuple),
            }
        }
        for (relay, whose, client) in self.machine.relays() {
            let socket = sockets.remove(&relay);
            let opened = socket.is_some_and(|socket| self.wiring.insert(&self.epoll, relay, socket, RELAY).is_ok());
            if opened {
                self.shared.quota.adopt(self.index, &whose);
                if client.transport != Transport::Udp {
                    self.streams.set_allocated(now, client, true);
                }
            }
        }
        self.drain(now);
    }
}
