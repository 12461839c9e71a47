//! What sockets, streams and other threads bring to a shard: read in batches, handed to the machine, sent on at once.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use tandem_dtls::Path;
use tandem_stun::turn::{FiveTuple, Forward, RelayId, Transport};
use tandem_stun::wire::{self, Frame};

use super::super::door::Adopted;
use super::super::mailbox::{Order, Way};
use super::super::operate::Credentials;
use super::super::secure;
use super::super::stream::Progress;
use super::super::wiring::Source;
use super::outputs::{count, dispatch};
use super::{Next, Shard};
use crate::net::errors;
use crate::net::udp::BATCH;

impl Shard {
    /// Reads a listener; how many pieces.
    pub(super) fn on_listener(&mut self, now: Instant, index: u64) -> usize {
        let listener = usize::try_from(index).ok().and_then(|index| self.wiring.listeners.get(index));
        let Some((fd, at)) = listener.map(|(socket, at)| (socket.as_raw_fd(), *at)) else { return 0 };
        let mut read = 0;
        for _ in 0..MAX_BATCHES {
            self.make_room(now, BATCH);
            match self.receiver.receive(fd, BATCH, Source::Listener(at)) {
                Ok(count) => {
                    read += count;
                    if count < BATCH {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a listener cannot be read");
                    break;
                }
            }
        }
        read
    }

    /// Reads a relay socket; how many pieces.
    pub(super) fn on_relay(&mut self, now: Instant, slot: u64) -> usize {
        let Some((id, _)) = self.wiring.relay(slot) else { return 0 };
        let most = self.wiring.expected(id);
        self.make_room(now, most);
        // Looked up again: what has been dealt with may have closed it.
        let Some((_, fd)) = self.wiring.relay(slot).filter(|(same, _)| *same == id) else { return 0 };
        let count = self.receiver.receive(fd, most, Source::Relay(id)).unwrap_or(0);
        if count == 0 {
            self.on_relay_errors(now, (id, fd));
        }
        self.wiring.set_expected(id, count);
        count
    }

    fn make_room(&mut self, now: Instant, pieces: usize) {
        if self.receiver.room() < pieces {
            self.forward(now);
        }
    }

    /// Deals with all that has been read from datagram sockets: one sending for all of it.
    pub(super) fn forward(&mut self, now: Instant) {
        if self.receiver.len() == 0 {
            return self.drain(now);
        }
        let mut out = Vec::with_capacity(self.receiver.len() * 2);
        for received in self.receiver.iter() {
            for datagram in received.datagrams() {
                let forward = match received.source {
                    Source::Listener(at) => {
                        let server = SocketAddr::new(received.local.unwrap_or(at.ip()), at.port());
                        if self.secure.takes(datagram) {
                            let path = Path { client: received.from, server };
                            self.secure.handle_datagram(now, path, datagram);
                            continue;
                        }
                        let from = FiveTuple { transport: Transport::Udp, client: received.from, server };
                        self.machine.handle_client(now, from, datagram)
                    }
                    Source::Relay(id) => self.machine.handle_peer(now, id, received.from, datagram),
                };
                dispatch(self.wiring.route(forward), &mut out, (&mut self.streams, &mut self.secure));
            }
        }
        self.wiring.lost += count(self.sender.send(&out));
        drop(out);
        self.receiver.clear();
        self.on_secured(now);
        self.drain(now);
        self.flush_secure(now);
    }

    /// Deals with what clients have said inside DTLS.
    pub(super) fn on_secured(&mut self, now: Instant) {
        let plain = self.secure.take_plain();
        let mut out = Vec::with_capacity(plain.len());
        for (path, message) in plain.iter() {
            let forward = self.machine.handle_client(now, secure::tuple(path), message);
            dispatch(self.wiring.route(forward), &mut out, (&mut self.streams, &mut self.secure));
        }
        self.wiring.lost += count(self.sender.send(&out));
        drop(out);
        self.secure.give_back(plain);
    }

    /// Ready with nothing to read: ICMP errors wait, perhaps.
    fn on_relay_errors(&mut self, now: Instant, (id, fd): (RelayId, RawFd)) {
        for _ in 0..MAX_ERRORS {
            match errors::receive(fd) {
                Some(Some(error)) => self.machine.handle_icmp(now, id, error),
                Some(None) => {}
                None => break,
            }
        }
        self.drain(now);
    }

    pub(super) fn on_stream(&mut self, now: Instant, key: usize) {
        self.streams.on_writable(key);
        for _ in 0..MAX_BATCHES {
            let Some((tuple, mut inbox, progress)) = self.streams.read(key) else { return };
            loop {
                let (used, then) = self.on_frames(now, tuple, &inbox);
                match then {
                    // Closed, or no longer to be cut into frames.
                    Then::Lost => return self.streams.remove(key),
                    Then::Read if progress == Progress::Closed => return self.streams.remove(key),
                    _ => self.streams.restore(now, key, inbox, used),
                }
                self.drain(now);
                match then {
                    Then::GoOn => {}
                    Then::HandOver(shard) => return self.hand_over(shard, tuple),
                    Then::Read | Then::Lost => break,
                }
                // Unless it has been joined with a peer's: then what follows was not for us.
                match self.streams.inbox(key, tuple) {
                    Some(rest) => inbox = rest,
                    None => return,
                }
            }
            if progress == Progress::Blocked {
                return;
            }
        }
    }

    /// Handles whole frames of a stream; tells how many bytes they are.
    fn on_frames(&mut self, now: Instant, tuple: FiveTuple, bytes: &[u8]) -> (usize, Then) {
        let (mut used, mut out) = (0, Vec::new());
        let then = loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match wire::frame(rest) {
                Ok(Frame::Whole { length, padded }) => {
                    let message = rest.get(..length).unwrap_or_default();
                    let forward = self.machine.handle_client(now, tuple, message);
                    if let Forward::HandOver { shard } = forward {
                        break Then::HandOver(shard);
                    }
                    dispatch(self.wiring.route(forward), &mut out, (&mut self.streams, &mut self.secure));
                    used += padded;
                    if message.starts_with(&CONNECTION_BIND) {
                        break Then::GoOn;
                    }
                }
                Ok(Frame::Partial) => break Then::Read,
                Err(_) => break Then::Lost,
            }
        };
        self.wiring.lost += count(self.sender.send(&out));
        (used, then)
    }

    /// Writes to streams, and tells the machine which have ended, until nothing is left to do.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            self.streams.flush(&self.epoll);
            self.flush_secure(now);
            let Some(tuple) = self.streams.poll_closed() else { return };
            self.machine.handle_closed(now, tuple);
            self.drain(now);
        }
    }

    pub(super) fn on_mailbox(&mut self, now: Instant) -> Next {
        let mut contents = std::mem::take(&mut self.contents);
        if let Some(mailbox) = self.shared.mailboxes.get(self.index) {
            mailbox.take(&mut contents);
        }
        let (mut next, mut asked, mut last) = (Next::Continue, None, None);
        for order in contents.orders.drain(..) {
            match order {
                Order::UserChanged(user) => self.machine.handle_user_changed(&user),
                Order::Realms(realms) => self.machine.handle_realms(realms),
                // Whoever has asked may have stopped waiting.
                Order::Sessions { filter, after, limit, reply } => {
                    let _ = reply.try_send(self.machine.sessions(&filter, after, limit));
                }
                Order::End { whom, credentials, reply } => {
                    let ended = match credentials {
                        Credentials::Kept => self.machine.end(now, &whom),
                        Credentials::Refused => self.machine.revoke(now, &whom),
                    };
                    let _ = reply.map(|reply| reply.try_send(ended));
                }
                Order::KeyLimit { key, bytes_per_second } => {
                    self.machine.handle_key_limit(now, &key, bytes_per_second);
                }
                Order::Share { group, share } => self.machine.handle_share(&group, share),
                Order::Change(changes) => self.change(now, &changes),
                Order::Note(note) => self.machine.handle_note(now, note),
                Order::Answer { life, id, answer } if life == self.before.restarts => {
                    self.machine.handle_answer(now, id, answer);
                }
                Order::Answer { .. } => {}
                Order::Adopt(adopted) => self.adopt(now, *adopted),
                Order::Retire(done) => {
                    self.retire(now);
                    let _ = done.try_send(());
                }
                // Once all that was left here is dealt with.
                Order::Said(reply) => asked = Some(reply),
                Order::HandOver(reply) => last = Some(reply),
                Order::Stop => next = Next::Stop,
                #[cfg(test)]
                Order::Panic => panic!("ordered by a test"),
            }
        }
        let mut out = Vec::new();
        for (way, bytes) in contents.parcels() {
            let forward = match way {
                Way::Inside { from, to } => self.machine.handle_hairpin(now, from, to, bytes),
                Way::Guest { host, from } => self.machine.handle_guest(now, host, from, bytes),
            };
            dispatch(self.wiring.route(forward), &mut out, (&mut self.streams, &mut self.secure));
        }
        self.wiring.lost += count(self.sender.send(&out));
        drop(out);
        self.contents = contents;
        self.drain(now);
        if let Some(asked) = asked {
            self.settle(now);
            let _ = asked.try_send(std::mem::take(&mut self.wiring.said));
        }
        if let Some(last) = last {
            let _ = last.try_send(self.take_down(now));
            next = Next::Stop;
        }
        next
    }

    /// Goes on with a connection where somebody else has left it.
    fn adopt(&mut self, now: Instant, adopted: Adopted) {
        match self.streams.adopt(now, &self.epoll, adopted) {
            // What has been read already is not told by epoll.
            Ok(key) => self.on_stream(now, key),
            Err(error) => {
                tracing::debug!(%error, "a connection from another door is refused");
                self.streams.refused += 1;
            }
        }
    }
}

/// What follows after some frames of a stream.
enum Then {
    /// More has to be read.
    Read,
    /// More has been read; what the machine wants comes first.
    GoOn,
    /// The rest goes to another shard.
    HandOver(u16),
    /// These are no frames.
    Lost,
}

/// What a ConnectionBind begins with (RFC 6062 §6.1): after it, perhaps, no more frames come.
const CONNECTION_BIND: [u8; 2] = [0x00, 0x0B];
/// Batches read from one socket before the others get their turn.
const MAX_BATCHES: usize = 4;
/// ICMP errors taken from one socket before the others get their turn.
const MAX_ERRORS: usize = 32;
