//! A small TURN client over real sockets, for the relay's tests.

#![allow(dead_code, reason = "each test file uses its part")]

mod dtls;

use std::io::{ErrorKind, Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stun_types::attribute::{AttributeType, AttributeWrite, ErrorCode, Nonce, RawAttribute, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageWrite, MessageWriteExt,
    MessageWriteVec, Method,
};
use tandem_server::relay::{self, Config, Handle};
use tandem_stun::credential;
use tandem_stun::wire::{self, Frame, Packet};
use turn_types::attribute::{
    ChannelNumber, ConnectionId, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{
    ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_ATTEMPT, CONNECTION_BIND, CREATE_PERMISSION, REFRESH,
};

pub const SECRET: &[u8] = b"relay test secret";

/// A relay on loopback, on any free port.
pub fn start(change: impl FnOnce(&mut Config)) -> Handle {
    let mut config =
        Config { listen: vec![Ipv4Addr::LOCALHOST.into()], port: 0, secret: SECRET.to_vec(), ..Config::default() };
    change(&mut config);
    relay::start(config).expect("the relay starts")
}

/// TLS with a certificate made for the occasion.
pub fn self_signed() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a certificate and its key");
    Arc::new(tls)
}

/// Waits until something holds; fails when it never does.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A client and its credential.
pub struct Client {
    wire: Wire,
    username: String,
    key: IntegrityKey,
    nonce: String,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream, Vec<u8>),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>, Vec<u8>),
    Dtls(UdpSocket, Box<dtls::Session>),
}

impl Client {
    pub fn udp(relay: SocketAddr, user: &str) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        Self::by(socket, relay, user)
    }

    /// By a socket that is wherever the test has put it.
    pub fn by(socket: UdpSocket, relay: SocketAddr, user: &str) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.connect(relay).expect("a destination");
        Self::new(Wire::Udp(socket), user)
    }

    pub fn tcp(relay: SocketAddr, user: &str) -> Self {
        let stream = TcpStream::connect(relay).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self::new(Wire::Tcp(stream, Vec::new()), user)
    }

    /// Over TLS; names this protocol, if it is not empty.
    pub fn tls(relay: SocketAddr, user: &str, protocol: &[u8]) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting))
            .with_no_client_auth();
        config.alpn_protocols = if protocol.is_empty() { Vec::new() } else { vec![protocol.to_vec()] };
        let name = "localhost".try_into().expect("a name");
        let client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = TcpStream::connect(relay).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self::new(Wire::Tls(Box::new(rustls::StreamOwned::new(client, stream)), Vec::new()), user)
    }

    /// Over DTLS, by a socket that may have been another session's before.
    pub fn dtls(socket: UdpSocket, relay: SocketAddr, user: &str) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.connect(relay).expect("a destination");
        let session = dtls::Session::open(&socket);
        Self::new(Wire::Dtls(socket, Box::new(session)), user)
    }

    /// Over UDP, with a credential made with this secret.
    pub fn with_secret(relay: SocketAddr, secret: &[u8], user: &str) -> Self {
        let login = credential::credential(secret, until_when(), user);
        Self::with_login(relay, login.username, login.password)
    }

    /// Over UDP, with a credential that somebody else has made.
    pub fn with_login(relay: SocketAddr, username: String, password: String) -> Self {
        let mut client = Self::udp(relay, "replaced");
        let credentials = LongTermKeyCredentials::new(username.clone(), password, "tandem".into());
        client.key = credentials.make_key(IntegrityAlgorithm::Sha1);
        client.username = username;
        client
    }

    fn new(wire: Wire, user: &str) -> Self {
        let login = credential::credential(SECRET, until_when(), user);
        let credentials = LongTermKeyCredentials::new(login.username.clone(), login.password, "tandem".into());
        let key = credentials.make_key(IntegrityAlgorithm::Sha1);
        Self { wire, username: login.username, key, nonce: String::new() }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => assert_eq!(socket.send(bytes).expect("sent"), bytes.len()),
            Wire::Tcp(stream, _) => stream.write_all(bytes).expect("sent"),
            Wire::Tls(stream, _) => stream.write_all(bytes).expect("sent"),
            Wire::Dtls(socket, session) => session.send(socket, bytes),
        }
    }

    /// The next message or ChannelData.
    pub fn receive(&mut self) -> Vec<u8> {
        match &mut self.wire {
            Wire::Udp(socket) => {
                let mut bytes = vec![0; 65_536];
                let length = socket.recv(&mut bytes).expect("a datagram in time");
                bytes.truncate(length);
                bytes
            }
            Wire::Tcp(stream, inbox) => receive_frame(stream, inbox),
            Wire::Tls(stream, inbox) => receive_frame(stream, inbox),
            Wire::Dtls(socket, session) => session.receive(socket).expect("a message, not an end"),
        }
    }

    /// Whether the relay has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        match &mut self.wire {
            Wire::Udp(_) => false,
            Wire::Tcp(stream, _) => is_closed(stream),
            Wire::Tls(stream, _) => is_closed(stream),
            Wire::Dtls(socket, session) => session.receive(socket).is_none(),
        }
    }

    /// Whether the connection has been torn off: no end of what was sent, but an error.
    pub fn is_torn(&mut self) -> bool {
        match &mut self.wire {
            Wire::Tcp(stream, _) => loop {
                match stream.read(&mut [0; 4_096]) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) => return error.kind() == ErrorKind::ConnectionReset,
                }
            },
            Wire::Udp(_) | Wire::Tls(..) | Wire::Dtls(..) => panic!("asked of plain streams only"),
        }
    }

    /// The same, with bytes for the peer right behind the request.
    pub fn bind_connection_and_say(&mut self, number: u32, bytes: &[u8]) {
        // Any request, for a nonce.
        assert_eq!(self.refresh(), Err(437));
        let mut message = Message::builder_request(CONNECTION_BIND, MessageWriteVec::new());
        message.add_attribute(&ConnectionId::new(number)).expect("room");
        self.sign(&mut message);
        self.send(&[message.finish(), bytes.to_vec()].concat());
        let answer = self.receive();
        assert_eq!(Message::from_bytes(&answer).expect("an answer").class(), MessageClass::Success);
    }

    fn sign(&self, message: &mut MessageWriteVec) {
        message.add_attribute(&Username::new(&self.username).expect("a name")).expect("room");
        message.add_attribute(&Realm::new("tandem").expect("a realm")).expect("room");
        message.add_attribute(&Nonce::new(&self.nonce).expect("a nonce")).expect("room");
        message.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1).expect("room");
    }

    /// A signed request: its answer, or the error's number.
    pub fn request(
        &mut self,
        method: Method,
        attributes: impl Fn(stun_types::message::TransactionId) -> Vec<Box<dyn AttributeWrite>>,
    ) -> Result<Vec<u8>, u16> {
        for _ in 0..3 {
            let mut message = Message::builder_request(method, MessageWriteVec::new());
            let transaction = message.transaction_id();
            for attribute in attributes(transaction) {
                message.add_attribute(attribute.as_ref()).expect("room");
            }
            if !self.nonce.is_empty() {
                self.sign(&mut message);
            }
            self.send(&message.finish());
            let answer = self.receive();
            let parsed = Message::from_bytes(&answer).expect("an answer");
            assert_eq!(parsed.transaction_id(), transaction);
            if parsed.class() != MessageClass::Error {
                return Ok(answer);
            }
            let code = parsed.attribute::<ErrorCode>().expect("a code").code();
            match parsed.attribute::<Nonce>() {
                Ok(nonce) if self.nonce.is_empty() || code == 438 => self.nonce = nonce.nonce().to_owned(),
                _ => return Err(code),
            }
        }
        Err(438)
    }

    /// Allocates; the relayed address.
    pub fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.request(ALLOCATE, |_| vec![Box::new(RequestedTransport::new(17))])?;
        let parsed = Message::from_bytes(&answer).expect("an answer");
        Ok(parsed.attribute::<XorRelayedAddress>().expect("an address").addr(parsed.transaction_id()))
    }

    /// The same, and asks for a ticket to go on with elsewhere (RFC 8016).
    pub fn allocate_mobile(&mut self) -> Result<Vec<u8>, u16> {
        let answer = self.request(ALLOCATE, |_| {
            vec![Box::new(RequestedTransport::new(17)), Box::new(RawAttribute::new(TICKET, &[]).into_owned())]
        })?;
        let parsed = Message::from_bytes(&answer).expect("an answer");
        Ok(parsed.raw_attribute(TICKET).expect("a ticket").value.to_vec())
    }

    /// Goes on with what belongs to a ticket.
    pub fn resume(&mut self, ticket: &[u8]) -> Result<(), u16> {
        // The first request has no nonce yet.
        self.request(REFRESH, |_| vec![Box::new(RawAttribute::new(TICKET, ticket).into_owned())]).map(|_| ())
    }

    pub fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<(), u16> {
        let attributes = |transaction| -> Vec<Box<dyn AttributeWrite>> {
            vec![Box::new(ChannelNumber::new(number)), Box::new(XorPeerAddress::new(peer, transaction))]
        };
        self.request(CHANNEL_BIND, attributes).map(|_| ())
    }

    pub fn refresh(&mut self) -> Result<(), u16> {
        self.request(REFRESH, |_| Vec::new()).map(|_| ())
    }

    /// Gives the allocation back.
    pub fn release(&mut self) -> Result<(), u16> {
        self.request(REFRESH, |_| vec![Box::new(Lifetime::new(0))]).map(|_| ())
    }

    /// Allocates for connections (RFC 6062); the relayed address.
    pub fn allocate_tcp(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.request(ALLOCATE, |_| vec![Box::new(RequestedTransport::new(RequestedTransport::TCP))])?;
        let parsed = Message::from_bytes(&answer).expect("an answer");
        Ok(parsed.attribute::<XorRelayedAddress>().expect("an address").addr(parsed.transaction_id()))
    }

    pub fn permit(&mut self, peer: SocketAddr) -> Result<(), u16> {
        self.request(CREATE_PERMISSION, |transaction| vec![Box::new(XorPeerAddress::new(peer, transaction))])
            .map(|_| ())
    }

    /// Connects to a peer; the connection's number.
    pub fn connect(&mut self, peer: SocketAddr) -> Result<u32, u16> {
        let answer = self.request(CONNECT, |transaction| vec![Box::new(XorPeerAddress::new(peer, transaction))])?;
        Ok(number_of(&answer))
    }

    /// Waits for a ConnectionAttempt; the peer, and the connection's number.
    pub fn attempt(&mut self) -> (SocketAddr, u32) {
        let told = self.receive();
        let parsed = Message::from_bytes(&told).expect("a message");
        assert_eq!((parsed.method(), parsed.class()), (CONNECTION_ATTEMPT, MessageClass::Indication));
        let peer = parsed.attribute::<XorPeerAddress>().expect("a peer").addr(parsed.transaction_id());
        (peer, number_of(&told))
    }

    /// Makes this a client's side of a connection: what is sent and read from here on is the peer's.
    pub fn bind_connection(&mut self, number: u32) -> Result<(), u16> {
        self.request(CONNECTION_BIND, |_| vec![Box::new(ConnectionId::new(number))]).map(|_| ())
    }

    /// So many bytes as they come.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let (stream, inbox): (&mut dyn Read, &mut Vec<u8>) = match &mut self.wire {
            Wire::Udp(_) | Wire::Dtls(..) => panic!("datagrams are no stream"),
            Wire::Tcp(stream, inbox) => (stream, inbox),
            Wire::Tls(stream, inbox) => (stream, inbox),
        };
        let early: Vec<u8> = inbox.drain(..inbox.len().min(length)).collect();
        bytes[..early.len()].copy_from_slice(&early);
        stream.read_exact(&mut bytes[early.len()..]).expect("bytes in time");
        bytes
    }

    /// Sends nothing more.
    pub fn end(&mut self) {
        match &mut self.wire {
            Wire::Udp(_) | Wire::Dtls(..) => panic!("datagrams have no end"),
            Wire::Tcp(stream, _) => stream.shutdown(Shutdown::Write).expect("an end"),
            Wire::Tls(stream, _) => {
                stream.conn.send_close_notify();
                stream.flush().expect("sent");
            }
        }
    }

    /// Sends on a channel.
    pub fn say(&mut self, number: u16, payload: &[u8]) {
        let length = u16::try_from(payload.len()).expect("a short payload");
        let mut bytes = [&number.to_be_bytes()[..], &length.to_be_bytes(), payload].concat();
        if matches!(self.wire, Wire::Tcp(..) | Wire::Tls(..)) {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        self.send(&bytes);
    }

    /// Receives on a channel.
    pub fn hear(&mut self) -> (u16, Vec<u8>) {
        let bytes = self.receive();
        match wire::parse(&bytes) {
            Ok(Packet::Channel { number, payload }) => (number, payload.to_vec()),
            other => panic!("expected ChannelData, got {other:?}"),
        }
    }
}

/// The same for all clients of a test: two connections of one user have one credential.
fn until_when() -> u64 {
    static UNTIL: OnceLock<u64> = OnceLock::new();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    *UNTIL.get_or_init(|| now() + 600)
}

fn number_of(message: &[u8]) -> u32 {
    let parsed = Message::from_bytes(message).expect("a message");
    parsed.attribute::<ConnectionId>().expect("a number").id()
}

fn receive_frame(stream: &mut impl Read, inbox: &mut Vec<u8>) -> Vec<u8> {
    loop {
        if let Frame::Whole { length, padded } = wire::frame(inbox).expect("frames") {
            let frame = inbox.get(..length).unwrap_or_default().to_vec();
            inbox.drain(..padded);
            return frame;
        }
        let mut part = [0; 4_096];
        let count = stream.read(&mut part).expect("bytes in time");
        assert!(count > 0, "the relay has closed the connection");
        inbox.extend_from_slice(part.get(..count).unwrap_or_default());
    }
}

fn is_closed(stream: &mut impl Read) -> bool {
    loop {
        match stream.read(&mut [0; 4_096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof),
        }
    }
}

const TICKET: AttributeType = AttributeType::new(0x8030);
const PATIENCE: Duration = Duration::from_secs(30);

/// A TLS client that believes everyone.
#[derive(Debug)]
pub struct Trusting;

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
