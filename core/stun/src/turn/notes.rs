//! What the machines of different shards tell each other: a port kept by one may be claimed at another.

use std::net::SocketAddr;
use std::time::Instant;

use stun_types::message::Message;

use super::answer::{self, Refusal};
use super::authenticate::Authentic;
use super::config::FiveTuple;
use super::parked::Waiting;
use super::reservations::Token;
use super::seeded::{Seeded, SeededMap};
use super::{Output, Server};

/// From one shard's machine to another's. The shell carries it and looks no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A user has come with a token of yours.
    Claim {
        /// RESERVATION-TOKEN.
        token: Token,
        /// Whose credential it came with.
        user: String,
        /// Who asks.
        shard: u16,
    },
    /// This is the port: relay on it, and return it.
    Lent {
        /// RESERVATION-TOKEN.
        token: Token,
        /// For whom.
        user: String,
        /// Where to bind.
        at: SocketAddr,
    },
    /// Nothing is kept under that token for that user.
    Void {
        /// RESERVATION-TOKEN.
        token: Token,
    },
    /// What this client sends concerns an allocation of `keeper`: pass it on.
    Guest {
        /// Which client.
        tuple: FiveTuple,
        /// To whom.
        keeper: u16,
    },
    /// It no longer does.
    GuestGone {
        /// Which client.
        tuple: FiveTuple,
    },
    /// A lent port is free again.
    Returned {
        /// Which.
        at: SocketAddr,
    },
}

/// Clients whose packets reach another shard than the one that keeps their allocation.
pub(super) struct Guests {
    /// Of whom we pass on what comes, and to whom.
    pub(super) keepers: SeededMap<FiveTuple, u16>,
    /// Whose packets are passed on to us, and by whom.
    pub(super) hosts: SeededMap<FiveTuple, u16>,
}

impl Guests {
    pub(super) fn new(hash: Seeded) -> Self {
        Self { keepers: SeededMap::with_hasher(hash), hosts: SeededMap::with_hasher(hash) }
    }
}

impl Server {
    /// A note of another shard's machine.
    pub fn handle_note(&mut self, now: Instant, note: Note) {
        match note {
            Note::Claim { token, user, shard } => {
                let note = match self.reservations.claim(token, &user) {
                    Some(at) => {
                        self.lend(at, shard);
                        Note::Lent { token, user, at }
                    }
                    None => Note::Void { token },
                };
                self.outputs.push_back(Output::Tell { shard, note });
            }
            Note::Lent { token, user, at } => {
                // Kept here from now on: claimed by the request that waits, or returned when its time is over.
                if let Some(former) = self.reservations.keep(now, token, at, &user) {
                    self.give_back(former);
                }
                for waiting in self.claims.take(&token) {
                    self.handle_client(now, waiting.from, &waiting.bytes);
                }
            }
            Note::Guest { tuple, keeper } => {
                self.guests.keepers.insert(tuple, keeper);
            }
            Note::GuestGone { tuple } => {
                self.guests.keepers.remove(&tuple);
            }
            Note::Void { token } => self.on_void(now, token),
            Note::Returned { at } => {
                if self.reservations.take_back(at) {
                    self.reservations.take_back(self.advertised(at));
                    self.ports.release(at);
                }
            }
        }
    }

    /// Whoever waits for that token is refused, as if it had never been one of ours.
    fn on_void(&mut self, now: Instant, token: Token) {
        for Waiting { from, bytes } in self.claims.take(&token) {
            let Ok(message) = Message::from_bytes(&bytes) else { continue };
            if let Ok(Authentic::Stranger(_, seal)) = self.gate.check(now, from.client, &message, None) {
                self.counters.refused += 1;
                let refusal = Refusal::InsufficientCapacity;
                self.send(from, answer::refusal((&message).into(), &refusal, Some(&seal)));
            }
        }
    }

    fn lend(&mut self, at: SocketAddr, shard: u16) {
        self.reservations.lend(at, shard);
        self.reservations.lend(self.advertised(at), shard);
    }

    /// A port is no longer relayed on: ours is free, a borrowed one goes back.
    pub(super) fn give_back(&mut self, at: SocketAddr) {
        if self.ports.release(at) {
            return;
        }
        if let Some(shard) = self.ports.shard_of(at.port()) {
            self.outputs.push_back(Output::Tell { shard, note: Note::Returned { at } });
        }
    }
}
