//! The client of one allocation, RFC 8656 and RFC 6062: asks, meets challenges, asks again, keeps alive what it has.
//!
//! ```text
//!   ask(Allocate) ─► Output::Send ─► handle_packet(401) ─► Output::Send, signed ─► handle_packet ─► Output::Allocated
//!                                                                                └► Output::Failed
//!   from here on: Refresh, CreatePermission and ChannelBind are repeated before what they are for expires
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use stun_types::attribute::{AlternateServer, ErrorCode, XorMappedAddress};
use stun_types::message::{Message, MessageClass};
use turn_types::attribute::{ConnectionId, Lifetime, XorPeerAddress, XorRelayedAddress};
use turn_types::message::CONNECTION_ATTEMPT;

use super::login::Login;
use super::patience::{Carrier, Due, Patience};
use super::request::Request;
use crate::wire::{self, DATA, DATA_INDICATION, Head, Packet, Stun, XOR_PEER_ADDRESS};

/// The client of one allocation.
pub struct Client {
    login: Login,
    carrier: Carrier,
    waiting: Vec<Waiting>,
    upkeep: BTreeSet<(Instant, Request)>,
    outputs: VecDeque<Output>,
    rng: ChaCha8Rng,
}

/// A request that has not been answered.
struct Waiting {
    request: Request,
    transaction: [u8; 12],
    bytes: Vec<u8>,
    patience: Patience,
    /// How often it has been challenged.
    challenges: u8,
}

/// What the shell is to do, or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes to the server.
    Send(Vec<u8>),
    /// There is a relayed address.
    Allocated(Allocated),
    /// Another request has succeeded.
    Done(Request),
    /// The server has connected to this peer, or a peer to us (RFC 6062): bind it by a connection of its own.
    Connected {
        /// The peer.
        peer: SocketAddr,
        /// CONNECTION-ID.
        connection: u32,
    },
    /// A request has failed.
    Failed {
        /// Which.
        request: Request,
        /// Why.
        why: Failure,
    },
}

/// What a successful Allocate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// XOR-RELAYED-ADDRESS.
    pub relayed: SocketAddr,
    /// XOR-MAPPED-ADDRESS.
    pub mapped: Option<SocketAddr>,
    /// LIFETIME.
    pub lifetime: Duration,
}

/// Why a request has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server says so.
    #[error("the server refuses: {code} {reason}")]
    Refused {
        /// ERROR-CODE.
        code: u16,
        /// Its reason phrase, or what the code means.
        reason: String,
        /// ALTERNATE-SERVER.
        alternate: Option<SocketAddr>,
    },
    /// Nothing came.
    #[error("no answer to {requests} requests")]
    NoAnswer {
        /// How often it was asked.
        requests: u32,
    },
    /// The answer cannot be used.
    #[error("the answer lacks {missing}")]
    Unusable {
        /// What is not there.
        missing: &'static str,
    },
}

/// Data from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'p> {
    /// How it came.
    pub by: Payload,
    /// The peer's bytes.
    pub payload: &'p [u8],
}

/// How data goes between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// ChannelData.
    Channel(u16),
    /// Send and Data indications.
    Indication(SocketAddr),
}

impl Client {
    /// A client that has asked for nothing. The seed makes its transactions' identities, which must not be guessable.
    pub fn new(login: Login, carrier: Carrier, seed: [u8; 32]) -> Self {
        Self {
            login,
            carrier,
            waiting: Vec::new(),
            upkeep: BTreeSet::new(),
            outputs: VecDeque::new(),
            rng: ChaCha8Rng::from_seed(seed),
        }
    }

    /// For another connection to the same server: knows its last challenge.
    pub fn login(&self) -> Login {
        self.login.clone()
    }

    /// Asks. What comes of it is an [`Output`].
    pub fn ask(&mut self, now: Instant, request: Request) {
        if matches!(request, Request::Refresh { lifetime } if lifetime.is_zero()) {
            self.upkeep.clear();
        }
        self.send(now, request, 0);
    }

    /// A datagram, or a frame of a stream without its padding, from the server. What is not for us is ignored.
    pub fn handle_packet<'p>(&mut self, now: Instant, bytes: &'p [u8]) -> Option<Received<'p>> {
        match wire::parse(bytes).ok()? {
            Packet::Channel { number, payload } => Some(Received { by: Payload::Channel(number), payload }),
            Packet::Stun(stun) if stun.kind == DATA_INDICATION => data(stun),
            Packet::Stun(stun) => {
                self.on_message(now, stun);
                None
            }
            Packet::Classic(_) => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut silent = Vec::new();
        for waiting in &mut self.waiting {
            match waiting.patience.handle_timeout(now) {
                Due::Nothing => {}
                Due::Again => self.outputs.push_back(Output::Send(waiting.bytes.clone())),
                Due::GiveUp { requests } => silent.push((waiting.transaction, requests)),
            }
        }
        for (transaction, requests) in silent {
            if let Some(waiting) = self.take(transaction) {
                self.fail(waiting.request, Failure::NoAnswer { requests });
            }
        }
        while let Some((_, request)) = self.upkeep.first().filter(|(at, _)| *at <= now).cloned() {
            self.upkeep.pop_first();
            self.send(now, request, 0);
        }
    }

    /// What to do next. Drain after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let answers = self.waiting.iter().map(|waiting| waiting.patience.due()).min();
        let upkeep = self.upkeep.first().map(|&(at, _)| at);
        [answers, upkeep].into_iter().flatten().min()
    }

    /// Appends a payload as it travels to the server. `false`: it does not fit a message.
    pub fn write_payload(&mut self, by: Payload, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let Ok(length) = u16::try_from(payload.len()) else { return false };
        let head = match by {
            Payload::Channel(number) => Some(Head::channel_data(number, length)),
            Payload::Indication(peer) => Head::send_indication(peer, self.transaction(), length),
        };
        let Some(head) = head else { return false };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(payload);
        // RFC 8656 §12.5: ChannelData is padded over streams only; attributes always are.
        if self.carrier == Carrier::Stream || matches!(by, Payload::Indication(_)) {
            let padding = payload.len().next_multiple_of(4).saturating_sub(payload.len());
            out.extend(std::iter::repeat_n(0, padding));
        }
        true
    }

    fn transaction(&mut self) -> [u8; 12] {
        let mut transaction = [0; 12];
        self.rng.fill_bytes(&mut transaction);
        transaction
    }

    fn send(&mut self, now: Instant, request: Request, challenges: u8) {
        let transaction = self.transaction();
        let Some(bytes) = request.bytes(transaction, &self.login) else {
            return self.fail(request, Failure::Unusable { missing: "room for a request" });
        };
        self.outputs.push_back(Output::Send(bytes.clone()));
        let patience = Patience::new(now, self.carrier);
        self.waiting.push(Waiting { request, transaction, bytes, patience, challenges });
    }

    fn take(&mut self, transaction: [u8; 12]) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| waiting.transaction == transaction)?;
        Some(self.waiting.swap_remove(at))
    }

    fn fail(&mut self, request: Request, why: Failure) {
        self.outputs.push_back(Output::Failed { request, why });
    }

    fn on_message(&mut self, now: Instant, stun: Stun<'_>) {
        let Ok(message) = Message::from_bytes(stun.bytes) else { return };
        match message.class() {
            MessageClass::Indication if message.method() == CONNECTION_ATTEMPT => self.on_connected(&message, None),
            MessageClass::Indication | MessageClass::Request => {}
            MessageClass::Success => self.on_success(now, stun, &message),
            MessageClass::Error => self.on_error(now, &message),
        }
    }

    /// RFC 6062 §4.3 and §4.4: Connect is answered, or a peer has come.
    fn on_connected(&mut self, message: &Message<'_>, asked: Option<SocketAddr>) {
        let peer = message.attribute::<XorPeerAddress>().ok().map(|peer| peer.addr(message.transaction_id()));
        if let (Some(peer), Ok(connection)) = (asked.or(peer), message.attribute::<ConnectionId>()) {
            self.outputs.push_back(Output::Connected { peer, connection: connection.id() });
        }
    }

    fn on_success(&mut self, now: Instant, stun: Stun<'_>, message: &Message<'_>) {
        // RFC 8489 §9.2.5: an answer that is not as well protected as its request is as if it had never come.
        if !self.is_answered_by(message) || !self.login.verifies(stun) {
            return;
        }
        let Some(Waiting { request, .. }) = self.take(stun.transaction()) else { return };
        match request {
            Request::Allocate { .. } => self.on_allocated(now, message, request),
            Request::Refresh { .. } => self.on_refreshed(now, message, request),
            Request::CreatePermission { .. } | Request::ChannelBind { .. } => {
                self.upkeep.insert((now + PERMISSION_UPKEEP, request.clone()));
                self.outputs.push_back(Output::Done(request));
            }
            Request::Connect { peer } => self.on_connected(message, Some(peer)),
            Request::ConnectionBind { .. } => self.outputs.push_back(Output::Done(request)),
        }
    }

    fn is_answered_by(&self, message: &Message<'_>) -> bool {
        let transaction = message.as_bytes().get(8..20);
        let asked = self.waiting.iter().find(|waiting| Some(waiting.transaction.as_slice()) == transaction);
        asked.is_some_and(|waiting| waiting.request.method() == message.method())
    }

    fn on_allocated(&mut self, now: Instant, message: &Message<'_>, request: Request) {
        let transaction = message.transaction_id();
        let relayed = message.attribute::<XorRelayedAddress>().map(|relayed| relayed.addr(transaction));
        let lifetime = message.attribute::<Lifetime>().map(|lifetime| Duration::from_secs(lifetime.seconds().into()));
        if let (Ok(relayed), Ok(lifetime)) = (relayed, lifetime) {
            let mapped = message.attribute::<XorMappedAddress>().map(|mapped| mapped.addr(transaction)).ok();
            self.keep(now, lifetime);
            self.outputs.push_back(Output::Allocated(Allocated { relayed, mapped, lifetime }));
        } else {
            self.fail(request, Failure::Unusable { missing: "XOR-RELAYED-ADDRESS or LIFETIME" });
        }
    }

    fn on_refreshed(&mut self, now: Instant, message: &Message<'_>, request: Request) {
        if let Ok(lifetime) = message.attribute::<Lifetime>().map(|lifetime| lifetime.seconds())
            && lifetime > 0
        {
            self.keep(now, Duration::from_secs(lifetime.into()));
        }
        self.outputs.push_back(Output::Done(request));
    }

    /// RFC 8656 §8: refreshes about a minute before the end.
    fn keep(&mut self, now: Instant, lifetime: Duration) {
        let early = lifetime.saturating_sub(Duration::from_secs(60)).max(lifetime / 2);
        self.upkeep.insert((now + early, Request::Refresh { lifetime }));
    }

    fn on_error(&mut self, now: Instant, message: &Message<'_>) {
        let Ok(error) = message.attribute::<ErrorCode>() else { return };
        if !self.is_answered_by(message) {
            return;
        }
        let transaction: Option<[u8; 12]> = message.as_bytes().get(8..20).and_then(|bytes| bytes.try_into().ok());
        let Some(waiting) = transaction.and_then(|transaction| self.take(transaction)) else { return };
        // RFC 8489 §9.2.5: 401 to a request without integrity, and every 438, is a challenge.
        let challenge = error.code() == 438 || (error.code() == 401 && is_unsigned(&waiting));
        if challenge && waiting.challenges < MOST_CHALLENGES {
            match self.login.meet(message) {
                Ok(()) => self.send(now, waiting.request, waiting.challenges.saturating_add(1)),
                // Not to be believed: as if it had never come.
                Err(_) => self.waiting.push(waiting),
            }
            return;
        }
        // Deviation: an error without integrity is believed where §9.2.5 has it discarded. It is for a person to read,
        // and nobody who has not seen the request can forge it.
        let reason = match error.reason() {
            "" => ErrorCode::default_reason_for_code(error.code()),
            said => said,
        };
        let alternate = message.attribute::<AlternateServer>().ok().map(|other| other.server());
        let why = Failure::Refused { code: error.code(), reason: reason.to_owned(), alternate };
        self.fail(waiting.request, why);
    }
}

fn is_unsigned(waiting: &Waiting) -> bool {
    matches!(wire::parse(&waiting.bytes), Ok(Packet::Stun(stun)) if crate::integrity::Integrity::of(stun).is_none())
}

/// A Data indication, RFC 8656 §11.4; without DATA it tells of an ICMP error, and of nothing a client waits for.
fn data(stun: Stun<'_>) -> Option<Received<'_>> {
    let value = |wanted| stun.attributes().find(|&(kind, _)| kind == wanted).map(|(_, value)| value);
    let peer = wire::read_xor_address(value(XOR_PEER_ADDRESS)?, &stun.transaction())?;
    Some(Received { by: Payload::Indication(peer), payload: value(DATA)? })
}

/// Permissions live five minutes (RFC 8656 §9), channels ten (§12), and a ChannelBind renews both.
const PERMISSION_UPKEEP: Duration = Duration::from_secs(240);
/// A server that challenges more often does not want us.
const MOST_CHALLENGES: u8 = 3;
