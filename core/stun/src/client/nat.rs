//! NAT behaviour discovery at the client, RFC 5780 §4: how the NAT in between maps addresses, what it lets in, and
//! whether it turns packets round. Two sockets, one after the other; filtering first, before anything has been sent to the
//! server's other address.
//!
//! ```text
//!   Reach ──► FilterBoth ──silence──► FilterPort ──► MapAddress ──another──► MapPort ──► Hairpin ──► Behaviour
//!     └─ no OTHER-ADDRESS ─────────────────────────────────────────────────────────────────┘
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use super::patience::{Carrier, Due, Patience};
use crate::discovery::CHANGE_REQUEST;
use crate::wire::{self, BINDING_REQUEST, COOKIE, FAMILY_V4, FAMILY_V6, Packet, Stun};

/// The client of one discovery.
pub struct Discoverer {
    server: SocketAddr,
    test: Test,
    transaction: [u8; 12],
    patience: Patience,
    outputs: Vec<Probe>,
    found: Found,
    over: Option<Result<Behaviour, Undiscovered>>,
    rng: ChaCha8Rng,
}

/// What the shell is to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// From where.
    pub from: Side,
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// Which of two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one whose NAT is asked about.
    First,
    /// Another port of the same machine, for turning round.
    Second,
}

/// What has been found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Where the server saw the first socket.
    pub mapped: SocketAddr,
    /// §4.3. `None`: the server has no other address to ask from.
    pub mapping: Option<Dependence>,
    /// §4.4. `None`: the same, or it does not answer from there.
    pub filtering: Option<Dependence>,
    /// §4.5: a packet to the mapped address comes back in.
    pub hairpin: bool,
}

/// On what of the other side a NAT's behaviour depends, RFC 4787 §4.1 and §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// On nothing.
    EndpointIndependent,
    /// On its address.
    AddressDependent,
    /// On its address and port.
    AddressAndPortDependent,
}

/// Nothing could be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undiscovered {
    /// Not one answer.
    #[error("no answer to {requests} requests")]
    NoAnswer {
        /// How often it was asked.
        requests: u32,
    },
    /// An error answer to a plain Binding request.
    #[error("the server refuses a plain Binding request")]
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// Test I.
    Reach,
    /// Filtering, test II: from the other address and port.
    FilterBoth,
    /// Filtering, test III: from the other port.
    FilterPort,
    /// Mapping, test II: to the other address.
    MapAddress,
    /// Mapping, test III: to the other address and port.
    MapPort,
    Hairpin,
}

#[derive(Default)]
struct Found {
    mapped: Option<SocketAddr>,
    other: Option<SocketAddr>,
    /// Where the other address saw us.
    mapped_there: Option<SocketAddr>,
    mapping: Option<Dependence>,
    filtering: Option<Dependence>,
}

/// What an answer says.
struct Answer {
    mapped: SocketAddr,
    other: Option<SocketAddr>,
}

impl Discoverer {
    /// Begins with the first test. The seed makes the transactions' identities.
    pub fn new(now: Instant, server: SocketAddr, seed: [u8; 32]) -> Self {
        let mut discoverer = Self {
            server,
            test: Test::Reach,
            transaction: [0; 12],
            patience: Patience::new(now, Carrier::Datagrams),
            outputs: Vec::new(),
            found: Found::default(),
            over: None,
            rng: ChaCha8Rng::from_seed(seed),
        };
        discoverer.begin(now, Test::Reach);
        discoverer
    }

    /// A datagram that has come to one of the sockets. What belongs to no test is ignored.
    pub fn handle_datagram(&mut self, now: Instant, to: Side, from: SocketAddr, bytes: &[u8]) {
        let Ok(Packet::Stun(stun)) = wire::parse(bytes) else { return };
        if self.over.is_some() || stun.transaction() != self.transaction || to != Side::First {
            return;
        }
        match (self.test, stun.kind) {
            // Our own request, turned round.
            (Test::Hairpin, BINDING_REQUEST) => self.finish(true),
            (Test::Hairpin, _) => {}
            (Test::Reach, BINDING_ERROR) => self.over = Some(Err(Undiscovered::Refused)),
            (test, BINDING_SUCCESS) => {
                if let Some(answer) = read(stun) {
                    self.on_answer(now, test, from, &answer);
                }
            }
            // The server knows nothing of what is asked.
            (test, BINDING_ERROR) => self.on_unsupported(now, test),
            _ => {}
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.over.is_some() {
            return;
        }
        match self.patience.handle_timeout(now) {
            Due::Nothing => {}
            Due::Again => self.send(),
            Due::GiveUp { requests } => self.on_silence(now, requests),
        }
    }

    /// What is to be sent.
    pub fn poll_output(&mut self) -> Option<Probe> {
        self.outputs.pop()
    }

    /// When to call [`Self::handle_timeout`]; `None` at the end.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.over.is_none().then(|| self.patience.due())
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Result<Behaviour, Undiscovered>> {
        self.over
    }

    fn on_answer(&mut self, now: Instant, test: Test, from: SocketAddr, answer: &Answer) {
        let other = self.found.other;
        match test {
            Test::Reach => {
                self.found.mapped = Some(answer.mapped);
                // An address that shares its IP or its port with this one is of no use for the tests.
                let differs = |other: &SocketAddr| other.ip() != self.server.ip() && other.port() != self.server.port();
                self.found.other = answer.other.filter(differs);
                let next = if self.found.other.is_some() { Test::FilterBoth } else { Test::Hairpin };
                self.begin(now, next);
            }
            // An answer from where it was asked tells nothing of the NAT.
            Test::FilterBoth if Some(from) == other => self.filtered(now, Some(Dependence::EndpointIndependent)),
            Test::FilterPort if from.ip() == self.server.ip() && from.port() != self.server.port() => {
                self.filtered(now, Some(Dependence::AddressDependent));
            }
            Test::FilterBoth | Test::FilterPort => self.filtered(now, None),
            Test::MapAddress if Some(answer.mapped) == self.found.mapped => {
                self.found.mapping = Some(Dependence::EndpointIndependent);
                self.begin(now, Test::Hairpin);
            }
            Test::MapAddress => {
                self.found.mapped_there = Some(answer.mapped);
                self.begin(now, Test::MapPort);
            }
            Test::MapPort => {
                let same = Some(answer.mapped) == self.found.mapped_there;
                let found = if same { Dependence::AddressDependent } else { Dependence::AddressAndPortDependent };
                self.found.mapping = Some(found);
                self.begin(now, Test::Hairpin);
            }
            Test::Hairpin => {}
        }
    }

    fn filtered(&mut self, now: Instant, filtering: Option<Dependence>) {
        self.found.filtering = filtering;
        self.begin(now, Test::MapAddress);
    }

    fn on_unsupported(&mut self, now: Instant, test: Test) {
        match test {
            Test::FilterBoth | Test::FilterPort => self.filtered(now, None),
            Test::Reach | Test::MapAddress | Test::MapPort | Test::Hairpin => self.begin(now, Test::Hairpin),
        }
    }

    fn on_silence(&mut self, now: Instant, requests: u32) {
        match self.test {
            Test::Reach => self.over = Some(Err(Undiscovered::NoAnswer { requests })),
            Test::FilterBoth => self.begin(now, Test::FilterPort),
            Test::FilterPort => self.filtered(now, Some(Dependence::AddressAndPortDependent)),
            // The other address does not answer at all: what its silence said of filtering is worth nothing.
            Test::MapAddress => {
                self.found.filtering = None;
                self.begin(now, Test::Hairpin);
            }
            Test::MapPort => self.begin(now, Test::Hairpin),
            Test::Hairpin => self.finish(false),
        }
    }

    fn begin(&mut self, now: Instant, test: Test) {
        self.test = test;
        self.rng.fill_bytes(&mut self.transaction);
        self.patience = match test {
            Test::Reach => Patience::new(now, Carrier::Datagrams),
            // RFC 5780 §4: silence is an answer here, and need not be waited for that long.
            _ => Patience::short(now),
        };
        self.send();
    }

    fn send(&mut self) {
        let server = self.server;
        let other = self.found.other.unwrap_or(server);
        let (from, to, flags) = match self.test {
            Test::Reach => (Side::First, server, 0),
            Test::FilterBoth => (Side::First, server, CHANGE_IP | CHANGE_PORT),
            Test::FilterPort => (Side::First, server, CHANGE_PORT),
            Test::MapAddress => (Side::First, SocketAddr::new(other.ip(), server.port()), 0),
            Test::MapPort => (Side::First, other, 0),
            Test::Hairpin => (Side::Second, self.found.mapped.unwrap_or(server), 0),
        };
        let body: &[u8] = if flags == 0 { &[] } else { &[0, 3, 0, 4, 0, 0, 0, flags] };
        debug_assert!(body.is_empty() || body.starts_with(&CHANGE_REQUEST.to_be_bytes()));
        let mut bytes = BINDING_REQUEST.to_be_bytes().to_vec();
        bytes.extend([0, if body.is_empty() { 0 } else { 8 }]);
        bytes.extend(COOKIE);
        bytes.extend(self.transaction);
        bytes.extend(body);
        self.outputs.push(Probe { from, to, bytes });
    }

    fn finish(&mut self, hairpin: bool) {
        let Found { mapping, filtering, mapped, .. } = self.found;
        let Some(mapped) = mapped else { return };
        self.over = Some(Ok(Behaviour { mapped, mapping, filtering, hairpin }));
    }
}

/// XOR-MAPPED-ADDRESS, and OTHER-ADDRESS or, from servers of old, CHANGED-ADDRESS.
fn read(stun: Stun<'_>) -> Option<Answer> {
    let value = |wanted| stun.attributes().find(|&(kind, _)| kind == wanted).map(|(_, value)| value);
    let mapped = wire::read_xor_address(value(XOR_MAPPED_ADDRESS)?, &stun.transaction())?;
    let other = value(OTHER_ADDRESS).or_else(|| value(CHANGED_ADDRESS)).and_then(plain_address);
    Some(Answer { mapped, other })
}

/// An address as MAPPED-ADDRESS has it, RFC 8489 §14.1.
fn plain_address(value: &[u8]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk()?;
    let port = u16::from_be_bytes([p0, p1]);
    match (family, address.len()) {
        (FAMILY_V4, 4) => Some(SocketAddr::from((*address.first_chunk::<4>()?, port))),
        (FAMILY_V6, 16) => Some(SocketAddr::from((*address.first_chunk::<16>()?, port))),
        _ => None,
    }
}

const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const CHANGED_ADDRESS: u16 = 0x0005;
const OTHER_ADDRESS: u16 = 0x802C;
