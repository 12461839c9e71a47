//! Requests of a client and what it reads in answers: no more than the story needs.

use std::net::SocketAddr;

use tandem_stun::credential::credential;
use tandem_stun::integrity::{self, Algorithm, Integrity, Key};
use tandem_stun::wire::{self, COOKIE, Packet, Stun};

use super::{SECRET, UNIX};

/// Methods, as request types.
pub const ALLOCATE: u16 = 0x0003;
pub const REFRESH: u16 = 0x0004;
pub const CREATE_PERMISSION: u16 = 0x0008;
pub const CHANNEL_BIND: u16 = 0x0009;
const SUCCESS: u16 = 0x0100;

/// One request before it is signed.
#[derive(Clone)]
pub struct Request {
    pub kind: u16,
    pub attributes: Vec<(u16, Vec<u8>)>,
}

/// Name and key of a client, and the nonce it has been given.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    username: String,
    key: Key,
    pub nonce: Vec<u8>,
}

impl Login {
    /// With the right password, or a guessed one; good for a day.
    pub fn new(user: &str, password: Option<&str>) -> Self {
        let made = credential(SECRET, UNIX + 2 * 86_400, user);
        let password = password.unwrap_or(&made.password);
        let key = Key::long_term(Algorithm::Md5, &made.username, "tandem", password);
        Self { user: user.to_owned(), username: made.username, key, nonce: Vec::new() }
    }
}

impl Login {
    /// The same user with another nonce, or none yet.
    pub fn with_nonce(&self, nonce: Vec<u8>) -> Self {
        Self { nonce, ..self.clone() }
    }
}

impl Request {
    pub fn new(kind: u16, attributes: &[(u16, &[u8])]) -> Self {
        Self { kind, attributes: attributes.iter().map(|&(kind, value)| (kind, value.to_vec())).collect() }
    }

    pub fn allocate(more: &[(u16, &[u8])]) -> Self {
        Self::new(ALLOCATE, &[&[(0x0019, &[17, 0, 0, 0][..])], more].concat())
    }

    pub fn refresh(seconds: u32, ticket: Option<&[u8]>) -> Self {
        let lifetime = seconds.to_be_bytes();
        let mut attributes: Vec<(u16, &[u8])> = vec![(0x000d, &lifetime)];
        attributes.extend(ticket.map(|ticket| (TICKET, ticket)));
        Self::new(REFRESH, &attributes)
    }

    pub fn permit(peer: SocketAddr) -> Self {
        Self::new(CREATE_PERMISSION, &[(0x0012, &xor(peer))])
    }

    pub fn bind(number: u16, peer: SocketAddr) -> Self {
        let [n0, n1] = number.to_be_bytes();
        Self::new(CHANNEL_BIND, &[(0x000c, &[n0, n1, 0, 0]), (0x0012, &xor(peer))])
    }

    /// Its bytes; signed if there is a nonce.
    pub fn write(&self, transaction: u64, login: Option<&Login>) -> Vec<u8> {
        let mut message = self.kind.to_be_bytes().to_vec();
        message.extend([0; 2]);
        message.extend(COOKIE);
        message.extend([9; 4]);
        message.extend(transaction.to_be_bytes());
        for (kind, value) in &self.attributes {
            push(&mut message, *kind, value);
        }
        let Some(login) = login.filter(|login| !login.nonce.is_empty()) else { return with_length(message) };
        push(&mut message, 0x0006, login.username.as_bytes());
        push(&mut message, 0x0014, b"tandem");
        push(&mut message, 0x0015, &login.nonce);
        integrity::protect(with_length(message), Integrity::Sha1, &login.key).expect("room")
    }
}

/// What an answer says.
pub struct Answer(Vec<u8>);

impl Answer {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn stun(&self) -> Stun<'_> {
        match wire::parse(&self.0) {
            Ok(Packet::Stun(stun)) => stun,
            other => panic!("an answer is a message: {other:?}"),
        }
    }

    pub fn value(&self, wanted: u16) -> Option<&[u8]> {
        self.stun().attributes().find(|&(kind, _)| kind == wanted).map(|(_, value)| value)
    }

    pub fn is_success(&self) -> bool {
        self.stun().kind & 0x0110 == SUCCESS
    }

    pub fn code(&self) -> Option<u16> {
        let &[_, _, hundreds, rest, ..] = self.value(0x0009)? else { return None };
        Some(u16::from(hundreds) * 100 + u16::from(rest))
    }

    pub fn relayed(&self) -> Option<SocketAddr> {
        wire::read_xor_address(self.value(0x0016)?, &self.stun().transaction())
    }
}

fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len() - wire::HEADER).expect("a short message").to_be_bytes();
    message[2..4].copy_from_slice(&length);
    message
}

fn xor(peer: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(peer) = peer else { panic!("peers are IPv4 here") };
    let port = (peer.port() ^ 0x2112).to_be_bytes();
    let ip = (peer.ip().to_bits() ^ u32::from_be_bytes(COOKIE)).to_be_bytes();
    [&[0, 1], &port[..], &ip].concat()
}

pub const TICKET: u16 = 0x8030;
pub const TOKEN: u16 = 0x0022;
pub const EVEN_PORT: u16 = 0x0018;
