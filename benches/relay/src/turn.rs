//! The messages of a TURN client: enough to allocate, bind a channel and release.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, bail};
use hmac::{Hmac, Mac as _};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use tandem_stun::wire::{self, COOKIE, Packet, Stun};

use crate::link::Link;

/// Name and password at a server.
#[derive(Clone)]
pub struct Login {
    pub username: String,
    pub password: String,
    pub realm: String,
}

/// What a client needs to sign requests.
pub struct Signer {
    login: Login,
    key: [u8; 16],
    nonce: Vec<u8>,
    transaction: u64,
}

impl Signer {
    pub fn new(login: &Login, transaction: u64) -> Self {
        let key = Md5::digest(format!("{}:{}:{}", login.username, login.realm, login.password)).into();
        Self { login: login.clone(), key, nonce: Vec::new(), transaction: transaction << 16 }
    }

    fn request(&mut self, kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        self.transaction += 1;
        let mut message = Vec::with_capacity(256);
        message.extend(kind.to_be_bytes());
        message.extend([0; 2]);
        message.extend(COOKIE);
        message.extend([0; 4]);
        message.extend(self.transaction.to_be_bytes());
        for (kind, value) in attributes {
            push(&mut message, *kind, value);
        }
        if !self.nonce.is_empty() {
            push(&mut message, USERNAME, self.login.username.as_bytes());
            push(&mut message, REALM, self.login.realm.as_bytes());
            push(&mut message, NONCE, &self.nonce);
            set_length(&mut message, 24);
            let mut mac = Hmac::<Sha1>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
            mac.update(&message);
            push(&mut message, MESSAGE_INTEGRITY, &mac.finalize().into_bytes());
        }
        set_length(&mut message, 0);
        message
    }

    /// A signed request and its answer; a challenge is met once.
    pub fn ask(&mut self, link: &mut Link, step: &Step) -> anyhow::Result<Vec<u8>> {
        for _ in 0..2 {
            let request = self.write(step);
            link.send(&request)?;
            let answer = link.receive()?;
            if self.is_success(step, &answer)? {
                return Ok(answer);
            }
        }
        bail!("challenged twice")
    }

    /// The next request of this kind.
    pub fn write(&mut self, step: &Step) -> Vec<u8> {
        match *step {
            Step::Allocate => self.request(ALLOCATE, &[(REQUESTED_TRANSPORT, &[17, 0, 0, 0])]),
            Step::Bind(peer) => {
                let [n0, n1] = CHANNEL.to_be_bytes();
                self.request(CHANNEL_BIND, &[(CHANNEL_NUMBER, &[n0, n1, 0, 0]), (XOR_PEER_ADDRESS, &xor(peer))])
            }
            Step::Permit(peer) => self.request(CREATE_PERMISSION, &[(XOR_PEER_ADDRESS, &xor(peer))]),
            Step::AllocateConnections => self.request(ALLOCATE, &[(REQUESTED_TRANSPORT, &[6, 0, 0, 0])]),
            Step::Connect(peer) => self.request(CONNECT, &[(XOR_PEER_ADDRESS, &xor(peer))]),
            Step::BindConnection(number) => self.request(CONNECTION_BIND, &[(CONNECTION_ID, &number)]),
            Step::Release => self.request(REFRESH, &[(LIFETIME, &[0; 4])]),
        }
    }

    /// Whether the answer to the last request says yes; `false`: it was a challenge, ask again.
    pub fn is_success(&mut self, step: &Step, answer: &[u8]) -> anyhow::Result<bool> {
        let stun = parse(answer)?;
        if !stun.transaction().ends_with(&self.transaction.to_be_bytes()) {
            bail!("an answer to another request");
        }
        if stun.kind == step.kind() | SUCCESS {
            return Ok(true);
        }
        let code = attribute(stun, ERROR_CODE)
            .and_then(|value| Some(u16::from(*value.get(2)?) * 100 + u16::from(*value.get(3)?)));
        match (code, attribute(stun, NONCE)) {
            (Some(401 | 438), Some(nonce)) => self.nonce = nonce.to_vec(),
            _ => bail!("{step:?} was refused with {code:?}"),
        }
        Ok(false)
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Allocate,
    /// Binds the one channel that is used here to a peer.
    Bind(SocketAddrV4),
    Permit(SocketAddrV4),
    /// RFC 6062.
    AllocateConnections,
    Connect(SocketAddrV4),
    BindConnection([u8; 4]),
    Release,
}

impl Step {
    fn kind(self) -> u16 {
        match self {
            Self::Allocate | Self::AllocateConnections => ALLOCATE,
            Self::Connect(_) => CONNECT,
            Self::BindConnection(_) => CONNECTION_BIND,
            Self::Bind(_) => CHANNEL_BIND,
            Self::Permit(_) => CREATE_PERMISSION,
            Self::Release => REFRESH,
        }
    }
}

/// An Allocate without credentials, as a stranger sends it.
pub fn stranger(transaction: u64) -> Vec<u8> {
    let login = Login { username: String::new(), password: String::new(), realm: String::new() };
    Signer::new(&login, transaction).request(ALLOCATE, &[(REQUESTED_TRANSPORT, &[17, 0, 0, 0])])
}

/// The number of the connection in an answer to Connect.
pub fn connection_of(answer: &[u8]) -> anyhow::Result<[u8; 4]> {
    let number = attribute(parse(answer)?, CONNECTION_ID).and_then(|value| value.try_into().ok());
    number.context("expected a CONNECTION-ID")
}

/// One frame of ChannelData; the payload a multiple of four.
pub fn channel_data(payload: usize) -> Vec<u8> {
    let mut frame = CHANNEL.to_be_bytes().to_vec();
    frame.extend(u16::try_from(payload).expect("a datagram").to_be_bytes());
    frame.resize(4 + payload, 0xA5);
    frame
}

/// A Send indication.
pub fn send_indication(peer: SocketAddrV4, payload: usize) -> Vec<u8> {
    let login = Login { username: String::new(), password: String::new(), realm: String::new() };
    Signer::new(&login, 7).request(0x0016, &[(XOR_PEER_ADDRESS, &xor(peer)), (0x0013, &vec![0xA5; payload])])
}

fn parse(bytes: &[u8]) -> anyhow::Result<Stun<'_>> {
    match wire::parse(bytes)? {
        Packet::Stun(stun) => Ok(stun),
        other => bail!("expected an answer, got {other:?}"),
    }
}

fn attribute<'a>(stun: Stun<'a>, wanted: u16) -> Option<&'a [u8]> {
    stun.attributes().find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn set_length(message: &mut [u8], more: usize) {
    let length = u16::try_from(message.len() - wire::HEADER + more).expect("a short message");
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn xor(address: SocketAddrV4) -> [u8; 8] {
    let [p0, p1] = (address.port() ^ 0x2112).to_be_bytes();
    let [a, b, c, d] = (u32::from(*address.ip()) ^ u32::from_be_bytes(COOKIE)).to_be_bytes();
    [0, 1, p0, p1, a, b, c, d]
}

/// The loopback address of the nth client: no two have the same, because servers limit what one address may ask.
pub fn client_address(index: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x7F10_0000 + u32::try_from(index).expect("few clients") + 1)
}

const CHANNEL: u16 = 0x4000;
const SUCCESS: u16 = 0x0100;
const ALLOCATE: u16 = 0x0003;
const REFRESH: u16 = 0x0004;
const CREATE_PERMISSION: u16 = 0x0008;
const CHANNEL_BIND: u16 = 0x0009;
const CONNECT: u16 = 0x000A;
const CONNECTION_BIND: u16 = 0x000B;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const CHANNEL_NUMBER: u16 = 0x000C;
const LIFETIME: u16 = 0x000D;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const REQUESTED_TRANSPORT: u16 = 0x0019;
const CONNECTION_ID: u16 = 0x002A;
