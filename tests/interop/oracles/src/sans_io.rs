//! The client of turn-proto (`turn-client-proto`), over UDP, TCP and TLS, signing by SHA-1 and by SHA-256.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use turn_client_proto::api::{TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::client::TurnClient;
use turn_client_proto::prelude::{DelayedTransmitBuild as _, TurnClientApi as _};
use turn_client_proto::stun::Instant;
use turn_client_proto::stun::agent::Transmit;
use turn_client_proto::stun::types::TransportType;
use turn_client_proto::stun::types::message::IntegrityAlgorithm;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::TurnCredentials;
use turn_client_proto::udp::TurnClientUdp;

use crate::Server;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
    Tls,
}

/// Each way, each signature: two clients reach each other by permission and by channel, and leave.
pub fn run(server: &Server) {
    for way in [Way::Udp, Way::Tcp, Way::Tls] {
        for integrity in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
            let (mut first, mut second) = (Oracle::new(server, way, integrity), Oracle::new(server, way, integrity));
            let (to_first, to_second) = (first.relayed(), second.relayed());
            first.permit(to_second);
            second.permit(to_first);
            both(&mut first, &mut second, (to_first, to_second), b"by indication");
            first.bind(to_second);
            second.bind(to_first);
            // A multiple of four bytes: over streams this client does not pad ChannelData, where RFC 8656 §12.5 wants it.
            both(&mut first, &mut second, (to_first, to_second), b"by a channel");
            for oracle in [&mut first, &mut second] {
                oracle.client.delete(oracle.now()).expect("it can leave");
                oracle.until("it has left", |oracle| matches!(oracle.client.poll(oracle.now()), TurnPollRet::Closed));
            }
            println!("ok  turn-client-proto, {way:?}, {integrity:?}");
        }
    }
}

fn both(first: &mut Oracle, second: &mut Oracle, (to_first, to_second): (SocketAddr, SocketAddr), text: &[u8]) {
    first.say(to_second, text);
    assert_eq!(second.hear(), (to_first, text.to_vec()));
    second.say(to_first, text);
    assert_eq!(first.hear(), (to_second, text.to_vec()));
}

/// One client and its socket.
struct Oracle {
    client: TurnClient,
    wire: Wire,
    start: Clock,
    events: Vec<TurnEvent>,
    heard: Vec<(SocketAddr, Vec<u8>)>,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Oracle {
    fn new(server: &Server, way: Way, integrity: IntegrityAlgorithm) -> Self {
        let mut config = TurnConfig::new(TurnCredentials::new(&server.user, &server.password));
        config.set_supported_integrity(integrity);
        let remote = if way == Way::Tls { server.tls } else { server.plain };
        let (client, wire): (TurnClient, Wire) = if way == Way::Udp {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect(remote).expect("a destination");
            socket.set_read_timeout(Some(TURN)).expect("a timeout");
            let local = socket.local_addr().expect("an address");
            (TurnClientUdp::allocate(local, remote, config).into(), Wire::Udp(socket))
        } else {
            let stream = TcpStream::connect(remote).expect("a connection");
            let local = stream.local_addr().expect("an address");
            let wire = if way == Way::Tls { tls(stream) } else { Wire::Tcp(stream) };
            wire.set_timeout();
            (TurnClientTcp::allocate(local, remote, config).into(), wire)
        };
        Self { client, wire, start: Clock::now(), events: Vec::new(), heard: Vec::new() }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(i64::try_from(self.start.elapsed().as_nanos()).expect("not that long"))
    }

    fn relayed(&mut self) -> SocketAddr {
        self.until("it has a relayed address", |oracle| oracle.client.relayed_addresses().next().is_some());
        self.client.relayed_addresses().next().expect("the address").1
    }

    fn permit(&mut self, peer: SocketAddr) {
        self.client.create_permission(TransportType::Udp, peer.ip(), self.now()).expect("it can be asked for");
        self.until("the peer may write", |oracle| oracle.client.have_permission(TransportType::Udp, peer.ip()));
    }

    fn bind(&mut self, peer: SocketAddr) {
        self.client.bind_channel(TransportType::Udp, peer, self.now()).expect("it can be asked for");
        let bound = |event: &TurnEvent| matches!(event, TurnEvent::ChannelCreated(_, to) if *to == peer);
        self.until("the channel is bound", |oracle| oracle.events.iter().any(bound));
    }

    fn say(&mut self, to: SocketAddr, text: &[u8]) {
        let now = self.now();
        let transmit = self.client.send_to(TransportType::Udp, to, text.to_vec(), now).expect("it can be sent");
        if let Some(transmit) = transmit {
            self.wire.send(&transmit.data.build());
        }
        self.turn();
    }

    fn hear(&mut self) -> (SocketAddr, Vec<u8>) {
        self.until("something was heard", |oracle| !oracle.heard.is_empty());
        self.heard.remove(0)
    }

    fn until(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) {
        let end = Clock::now() + Duration::from_secs(20);
        while !holds(self) {
            assert!(Clock::now() < end, "never came true: {what}; {:?}", self.events);
            self.turn();
        }
    }

    /// Sends what there is to send, and takes in what has come.
    fn turn(&mut self) {
        let _ = self.client.poll(self.now());
        while let Some(transmit) = self.client.poll_transmit(self.now()) {
            self.wire.send(transmit.data.as_ref());
        }
        let mut bytes = vec![0; 65_536];
        let length = self.wire.receive(&mut bytes);
        if length > 0 {
            bytes.truncate(length);
            let (from, to) = (self.client.remote_addr(), self.client.local_addr());
            let transmit = Transmit::new(bytes, self.client.transport(), from, to);
            let now = self.now();
            if let TurnRecvRet::PeerData(data) = self.client.recv(transmit, now) {
                self.heard.push((data.peer, data.data().to_vec()));
            }
            while let Some(data) = self.client.poll_recv(now) {
                self.heard.push((data.peer, data.data().to_vec()));
            }
        }
        while let Some(event) = self.client.poll_event() {
            let failed = matches!(
                event,
                TurnEvent::AllocationCreateFailed(..)
                    | TurnEvent::PermissionCreateFailed(..)
                    | TurnEvent::ChannelCreateFailed(..)
            );
            assert!(!failed, "{event:?}");
            self.events.push(event);
        }
    }
}

impl Wire {
    fn set_timeout(&self) {
        let stream = match self {
            Self::Udp(_) => return,
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        };
        stream.set_read_timeout(Some(TURN)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send(bytes).expect("sent"), bytes.len()),
            Self::Tcp(stream) => stream.write_all(bytes).expect("sent"),
            Self::Tls(stream) => stream.write_all(bytes).expect("sent"),
        }
    }

    /// What has come within a short while; zero if nothing has.
    fn receive(&mut self, bytes: &mut [u8]) -> usize {
        let received = match self {
            Self::Udp(socket) => socket.recv(bytes),
            Self::Tcp(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        };
        match received {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The server's certificate is its own.
fn tls(stream: TcpStream) -> Wire {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
    Wire::Tls(Box::new(rustls::StreamOwned::new(connection, stream)))
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const TURN: Duration = Duration::from_millis(20);
