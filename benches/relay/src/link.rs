//! One client's way to the server: UDP, TCP, TLS or DTLS. Blocking while it is set up, polled under load.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use tandem_dtls::{Client, Event};
use tandem_stun::wire::{self, Frame};

use crate::os::{self, Batch};

/// Under which transport the clients come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The client's datagrams are segmented and merged by the kernel, as by a network card that can.
    Merged,
    /// Datagram by datagram.
    Plain,
    Tcp,
    Tls,
    /// Segmented and merged as well.
    Dtls,
}

/// One client.
pub enum Link {
    Udp { socket: UdpSocket, merged: bool },
    Tcp(Stream),
    Tls(Stream, Box<ClientConnection>),
    Dtls(Secure),
}

pub struct Secure {
    socket: UdpSocket,
    to: SocketAddrV4,
    client: Client,
    connected: bool,
    /// Messages that have come.
    inbox: VecDeque<Vec<u8>>,
    /// Datagrams that are to leave, of one size each.
    outbox: Vec<Vec<u8>>,
}

pub struct Stream {
    socket: TcpStream,
    inbox: Vec<u8>,
}

impl Link {
    /// Connects from `from` to a server.
    pub fn open(transport: Transport, from: Ipv4Addr, to: SocketAddrV4) -> anyhow::Result<Self> {
        match transport {
            Transport::Merged | Transport::Plain => {
                let socket = UdpSocket::bind((from, 0))?;
                socket.connect(to)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                let merged = transport == Transport::Merged;
                if merged {
                    os::set_udp(socket.as_raw_fd(), libc::UDP_GRO, 1)?;
                }
                Ok(Self::Udp { socket, merged })
            }
            Transport::Tcp => Ok(Self::Tcp(Stream::open(to)?)),
            Transport::Tls => {
                let name = ServerName::try_from("localhost").context("a name")?;
                let tls = ClientConnection::new(tls_config()?, name)?;
                let mut link = Self::Tls(Stream::open(to)?, Box::new(tls));
                link.shake_hands()?;
                Ok(link)
            }
            Transport::Dtls => Ok(Self::Dtls(Secure::open(from, to)?)),
        }
    }

    fn shake_hands(&mut self) -> anyhow::Result<()> {
        let Self::Tls(stream, tls) = self else { return Ok(()) };
        while tls.is_handshaking() {
            tls.complete_io(&mut stream.socket)?;
        }
        Ok(())
    }

    pub fn fd(&self) -> RawFd {
        match self {
            Self::Udp { socket, .. } | Self::Dtls(Secure { socket, .. }) => socket.as_raw_fd(),
            Self::Tcp(stream) | Self::Tls(stream, _) => stream.socket.as_raw_fd(),
        }
    }

    /// Sends one message.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Udp { socket, .. } => {
                socket.send(bytes)?;
            }
            Self::Dtls(secure) => {
                secure.client.send(bytes)?;
                secure.drain();
                secure.flush()?;
            }
            Self::Tcp(stream) => stream.socket.write_all(bytes)?,
            Self::Tls(stream, tls) => {
                tls.writer().write_all(bytes)?;
                while tls.wants_write() {
                    tls.write_tls(&mut stream.socket)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for one message.
    pub fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut part = vec![0; 65_536];
        if let Self::Udp { socket, .. } = self {
            let length = socket.recv(&mut part).context("no answer")?;
            part.truncate(length);
            return Ok(part);
        }
        if let Self::Dtls(secure) = self {
            return secure.receive();
        }
        loop {
            if let Self::Tcp(stream) | Self::Tls(stream, _) = self
                && let Frame::Whole { length, padded } = wire::frame(&stream.inbox)?
            {
                let frame = stream.inbox[..length].to_vec();
                stream.inbox.drain(..padded);
                return Ok(frame);
            }
            if self.read(&mut part)? == 0 {
                bail!("the server has closed the connection");
            }
        }
    }

    /// Bytes of a stream into its inbox.
    fn read(&mut self, part: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Udp { .. } | Self::Dtls(_) => Ok(0),
            Self::Tcp(stream) => {
                let count = stream.socket.read(part)?;
                stream.inbox.extend_from_slice(&part[..count]);
                Ok(count)
            }
            Self::Tls(stream, tls) => {
                let count = tls.read_tls(&mut stream.socket)?;
                tls.process_new_packets().map_err(std::io::Error::other)?;
                loop {
                    match tls.reader().read(part) {
                        Ok(0) => return Ok(0),
                        Ok(plain) => stream.inbox.extend_from_slice(&part[..plain]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(count),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// A datagram that has come.
    pub fn poll_datagram<'a>(&self, part: &'a mut [u8]) -> anyhow::Result<Option<&'a [u8]>> {
        let Self::Udp { socket, .. } = self else { bail!("expected a UDP client") };
        match socket.recv(part) {
            Ok(length) => Ok(part.get(..length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn set_polled(&self) -> std::io::Result<()> {
        match self {
            Self::Udp { socket, .. } | Self::Dtls(Secure { socket, .. }) => socket.set_nonblocking(true),
            Self::Tcp(stream) | Self::Tls(stream, _) => stream.socket.set_nonblocking(true),
        }
    }

    /// Sends several frames of `size` bytes at once.
    pub fn burst(&mut self, frames: &[u8], size: usize) -> anyhow::Result<()> {
        match self {
            Self::Udp { socket, merged: true } if frames.len() > size => {
                let to = match socket.peer_addr()? {
                    std::net::SocketAddr::V4(to) => to,
                    std::net::SocketAddr::V6(_) => bail!("expected IPv4"),
                };
                os::send_segments(socket.as_raw_fd(), to, &[frames], Some(size));
            }
            Self::Dtls(secure) => {
                for frame in frames.chunks(size) {
                    secure.client.send(frame)?;
                    secure.drain();
                }
                secure.flush()?;
            }
            Self::Udp { socket, .. } => {
                os::send_plain(socket.as_raw_fd(), frames, size);
            }
            // A window is small beside a socket's buffer: what does not fit waits for the server, busily.
            Self::Tcp(stream) => write_busily(&mut stream.socket, frames)?,
            Self::Tls(stream, tls) => {
                tls.writer().write_all(frames)?;
                while tls.wants_write() {
                    match tls.write_tls(&mut stream.socket) {
                        Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// How many frames have come.
    pub fn collect(&mut self, batch: &mut Batch, part: &mut [u8]) -> anyhow::Result<usize> {
        if let Self::Udp { socket, .. } = self {
            batch.receive(socket.as_raw_fd(), 8);
            return Ok(batch.pieces().map(|piece| piece.count()).sum());
        }
        if let Self::Dtls(secure) = self {
            return secure.collect(batch);
        }
        match self.read(part) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        let (Self::Tcp(stream) | Self::Tls(stream, _)) = self else { return Ok(0) };
        let (mut used, mut count) = (0, 0);
        while let Frame::Whole { padded, .. } = wire::frame(&stream.inbox[used..])? {
            used += padded;
            count += 1;
        }
        stream.inbox.drain(..used);
        Ok(count)
    }
}

impl Secure {
    fn open(from: Ipv4Addr, to: SocketAddrV4) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((from, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        os::set_udp(socket.as_raw_fd(), libc::UDP_GRO, 1)?;
        let client = Client::new(Instant::now())?;
        let mut secure = Self { socket, to, client, connected: false, inbox: VecDeque::new(), outbox: Vec::new() };
        secure.drain();
        while !secure.connected {
            secure.flush()?;
            secure.hear()?;
        }
        secure.flush()?;
        Ok(secure)
    }

    fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(message);
            }
            self.hear()?;
        }
    }

    /// Waits for a datagram.
    fn hear(&mut self) -> anyhow::Result<()> {
        let mut part = vec![0; 65_536];
        let length = self.socket.recv(&mut part).context("no answer")?;
        self.client.handle_datagram(Instant::now(), &part[..length])?;
        self.drain();
        Ok(())
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Event::Send(datagram) => self.outbox.push(datagram.to_vec()),
                Event::Received(message) => self.inbox.push_back(message.to_vec()),
                Event::Connected => self.connected = true,
                Event::Closed | Event::Wait(_) => return,
            }
        }
    }

    /// Sends what has gathered: a run of equal datagrams in one call.
    fn flush(&mut self) -> anyhow::Result<()> {
        let size = self.outbox.first().map_or(0, Vec::len);
        if self.outbox.len() > 1 && self.outbox.iter().all(|datagram| datagram.len() == size) {
            let parts: Vec<&[u8]> = self.outbox.iter().map(Vec::as_slice).collect();
            os::send_segments(self.socket.as_raw_fd(), self.to, &parts, Some(size));
        } else {
            for datagram in &self.outbox {
                self.socket.send(datagram)?;
            }
        }
        self.outbox.clear();
        Ok(())
    }

    fn collect(&mut self, batch: &mut Batch) -> anyhow::Result<usize> {
        batch.receive(self.socket.as_raw_fd(), 8);
        for piece in batch.pieces() {
            for datagram in piece.bytes.chunks(piece.segment.max(1)) {
                self.client.handle_datagram(Instant::now(), datagram)?;
                self.drain();
            }
        }
        let count = self.inbox.len();
        self.inbox.clear();
        Ok(count)
    }
}

/// Writes all, however long it takes.
pub fn write_busily(socket: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Stream {
    fn open(to: SocketAddrV4) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, inbox: Vec::new() })
    }
}

fn tls_config() -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Servers under test sign their own certificates.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
