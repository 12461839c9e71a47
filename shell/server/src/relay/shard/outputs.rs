//! What a shard does because the machine wants it: messages, relay sockets, questions to others.

use std::sync::Arc;
use std::time::Instant;

use tandem_stun::turn::{Answer, FiveTuple, OpenRefused, Output, Protocol, QueryId, Transport, UserKey};
use tandem_stun::wire::Head;

use super::super::mailbox::Order;
use super::super::secure::{self, Secure};
use super::super::streams::Streams;
use super::super::wiring::Routed;
use super::{RELAY, Shard};
use crate::net::udp::Outgoing;

impl Shard {
    /// Does what the machine wants.
    pub(super) fn drain(&mut self, now: Instant) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { to, message } => self.send_message(to, &message),
                Output::Open { relay, at, advertised, protocol, whose, client } => {
                    let result = match (self.shared.quota.take(self.index, &whose), protocol) {
                        (true, Protocol::Udp) => self.wiring.open(&self.epoll, relay, at, RELAY),
                        (true, Protocol::Tcp) => self.connections.peers.open(&self.epoll, relay, (at, advertised)),
                        (false, _) => Err(OpenRefused::Quota),
                    };
                    if matches!(result, Err(OpenRefused::Taken | OpenRefused::Exhausted)) {
                        self.shared.quota.release(self.index, &whose);
                    }
                    if result.is_ok() {
                        self.share(&whose.user);
                        self.set_allocated(now, client, true);
                    }
                    self.machine.handle_opened(now, relay, result);
                }
                Output::Close { relay, whose, client } => {
                    self.set_allocated(now, client, false);
                    if self.wiring.close(relay) || self.connections.peers.close(relay) {
                        self.shared.quota.release(self.index, &whose);
                        self.share(&whose.user);
                    }
                }
                Output::Connect { relay, connection, peer, whom } => self.connect(relay, connection, (peer, whom)),
                Output::Join { connection, client } => self.join(now, connection, client),
                Output::Hangup { connection } => self.hang_up(connection),
                Output::Moved { from, to } => {
                    self.set_allocated(now, from, false);
                    self.set_allocated(now, to, true);
                }
                Output::Query { id, user } => self.ask(now, id, user),
                Output::Tell { shard, note } => self.wiring.tell(shard, note),
                Output::Disconnect { client } if client.transport == Transport::Dtls => self.secure.disconnect(client),
                Output::Disconnect { client } => self.streams.disconnect(client),
                Output::Offload(offload) => self.offloads.grant(now, &mut self.machine, &offload),
                Output::Onload { relay } => self.offloads.withdraw(now, &mut self.machine, relay),
                Output::Spent { relay, bytes } => self.offloads.spend(now, relay, bytes),
            }
        }
    }

    /// The user has one allocation more or less: so all shards have other shares in what bounds it.
    fn share(&mut self, user: &str) {
        for (group, shard, share) in self.shared.quota.shares(user) {
            if shard == self.index {
                self.machine.handle_share(&group, share);
            } else if let Some(mailbox) = self.shared.mailboxes.get(shard) {
                mailbox.order(Order::Share { group, share });
            }
        }
    }

    /// Whether a client relays: what silence means.
    fn set_allocated(&mut self, now: Instant, client: FiveTuple, allocated: bool) {
        match client.transport {
            Transport::Udp => {}
            Transport::Dtls => self.secure.set_allocated(now, client, allocated),
            Transport::Tcp | Transport::Tls => self.streams.set_allocated(now, client, allocated),
        }
    }

    /// Sends the datagrams of DTLS, and tells the machine which clients are gone, until nothing is left to do.
    pub(super) fn flush_secure(&mut self, now: Instant) {
        while !self.secure.out.is_idle() {
            let mut out = self.secure.take_out();
            let mut packets = Vec::with_capacity(out.sealed.len());
            let challenges = out.challenges.iter();
            let machine = &mut self.machine;
            let admitted = challenges.filter(|(path, bytes)| machine.admit_answer(now, path.client, bytes.len()));
            for (path, bytes) in out.sealed.iter().chain(admitted) {
                if let Routed::Datagram(packet) = self.wiring.client(secure::tuple(path), Head::EMPTY, bytes, false) {
                    packets.push(packet);
                }
            }
            self.wiring.lost += count(self.sender.send(&packets));
            drop(packets);
            for path in out.closed.drain(..) {
                self.machine.handle_closed(now, secure::tuple(path));
            }
            self.secure.give_back_out(out);
            self.drain(now);
        }
    }

    /// Has somebody found out; the answer comes by the mailbox.
    fn ask(&mut self, now: Instant, id: QueryId, user: UserKey) {
        let Some(ask) = &self.shared.ask else { return self.machine.handle_answer(now, id, Answer::Unavailable) };
        let (mailboxes, index, life) = (Arc::clone(&self.shared.mailboxes), self.index, self.before.restarts);
        let tell = move |answer| {
            if let Some(mailbox) = mailboxes.get(index) {
                mailbox.order(Order::Answer { life, id, answer });
            }
        };
        ask(user, Box::new(tell));
    }

    fn send_message(&mut self, to: FiveTuple, message: &[u8]) {
        match to.transport {
            Transport::Tcp | Transport::Tls => self.streams.send(to, Head::EMPTY, message, false),
            Transport::Dtls => self.secure.send(to, Head::EMPTY, message, false),
            Transport::Udp => {
                if let Routed::Datagram(packet) = self.wiring.client(to, Head::EMPTY, message, false) {
                    self.wiring.lost += count(self.sender.send(&[packet]));
                }
            }
        }
    }
}

pub(super) fn dispatch<'p>(
    routed: Routed<'p>,
    out: &mut Vec<Outgoing<'p>>,
    (streams, secure): (&mut Streams, &mut Secure),
) {
    match routed {
        Routed::Datagram(packet) => out.push(packet),
        Routed::Stream { client, head, payload, padded } => streams.send(client, head, payload, padded),
        Routed::Secure { client, head, payload, padded } => secure.send(client, head, payload, padded),
        Routed::Done => {}
    }
}

pub(super) fn count(packets: usize) -> u64 {
    u64::try_from(packets).unwrap_or(u64::MAX)
}
