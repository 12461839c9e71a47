//! A client's socket: packets in, packets out, over UDP, TCP, TLS and DTLS; and the fixed messages of an RFC 6062 connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use rustls_pki_types::ServerName;
use tandem_stun::client::Carrier;
use tandem_stun::wire::{self, Frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use super::secure::Secure;
use crate::cli::resolve::unspecified;
use crate::tls::anyone;

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// Datagrams inside DTLS (RFC 7350).
    Dtls,
}

impl Transport {
    pub fn carrier(self) -> Carrier {
        match self {
            Self::Udp | Self::Dtls => Carrier::Datagrams,
            Self::Tcp | Self::Tls => Carrier::Stream,
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Dtls => "DTLS",
        })
    }
}

/// A socket with what waits to be sent.
pub struct Link(Kind);

enum Kind {
    Udp { socket: UdpSocket, outbox: VecDeque<Vec<u8>> },
    Dtls(Box<Secure>),
    Stream(Stream),
}

struct Stream {
    reader: ReadHalf<Box<dyn Io>>,
    writer: WriteHalf<Box<dyn Io>>,
    inbox: BytesMut,
    outbox: BytesMut,
    framing: Framing,
}

/// Where a packet of a stream ends.
#[derive(Clone, Copy)]
enum Framing {
    /// RFC 8656 §12.5.
    Turn,
    /// After this many bytes.
    Fixed(usize),
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Link {
    pub async fn open(server: SocketAddr, transport: Transport) -> anyhow::Result<Self> {
        let io: Box<dyn Io> = match transport {
            Transport::Udp => return Ok(Self(Kind::Udp { socket: udp(server).await?, outbox: VecDeque::new() })),
            Transport::Dtls => return Ok(Self(Kind::Dtls(Box::new(Secure::open(udp(server).await?).await?)))),
            Transport::Tcp => Box::new(tcp(server).await?),
            Transport::Tls => {
                let name = ServerName::IpAddress(server.ip().into());
                Box::new(tls()?.connect(name, tcp(server).await?).await?)
            }
        };
        let (reader, writer) = tokio::io::split(io);
        let (inbox, outbox) = (BytesMut::with_capacity(BUFFER), BytesMut::new());
        Ok(Self(Kind::Stream(Stream { reader, writer, inbox, outbox, framing: Framing::Turn })))
    }

    /// From here on all messages have this size (RFC 6062 §4.4: after ConnectionBind the bytes are the peer's).
    pub fn set_fixed(&mut self, size: usize) {
        if let Kind::Stream(stream) = &mut self.0 {
            stream.framing = Framing::Fixed(size);
        }
    }

    /// Is sent when [`Self::receive`] is awaited next.
    pub fn queue(&mut self, packet: &[u8]) {
        match &mut self.0 {
            Kind::Udp { outbox, .. } => outbox.push_back(packet.to_vec()),
            Kind::Dtls(secure) => secure.queue(packet),
            Kind::Stream(stream) => stream.outbox.extend_from_slice(packet),
        }
    }

    /// Sends what is queued and waits for the next packet. May be dropped while it waits: nothing is lost by that.
    pub async fn receive(&mut self, packet: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            Kind::Udp { socket, outbox } => {
                while let Some(datagram) = outbox.front() {
                    socket.send(datagram).await?;
                    outbox.pop_front();
                }
                packet.resize(MOST, 0);
                let length = socket.recv(packet).await?;
                packet.truncate(length);
                Ok(())
            }
            Kind::Dtls(secure) => secure.receive(packet).await,
            Kind::Stream(stream) => stream.receive(packet).await,
        }
    }
}

impl Stream {
    async fn receive(&mut self, packet: &mut Vec<u8>) -> io::Result<()> {
        loop {
            if self.take_frame(packet)? {
                return Ok(());
            }
            let read = async {
                self.inbox.reserve(BUFFER);
                match self.reader.read_buf(&mut self.inbox).await {
                    Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed the connection")),
                    other => other,
                }
            };
            if self.outbox.is_empty() {
                read.await?;
            } else {
                tokio::select! {
                    read = read => { read?; }
                    written = async {
                        self.writer.write_buf(&mut self.outbox).await?;
                        self.writer.flush().await
                    } => written?,
                }
            }
        }
    }

    fn take_frame(&mut self, packet: &mut Vec<u8>) -> io::Result<bool> {
        let (length, padded) = match self.framing {
            Framing::Fixed(size) if self.inbox.len() >= size => (size, size),
            Framing::Fixed(_) => return Ok(false),
            Framing::Turn => match wire::frame(&self.inbox).map_err(io::Error::other)? {
                Frame::Whole { length, padded } => (length, padded),
                Frame::Partial => return Ok(false),
            },
        };
        packet.clear();
        packet.extend_from_slice(self.inbox.get(..length).unwrap_or_default());
        self.inbox.advance(padded);
        Ok(true)
    }
}

/// Connected, it hears of ICMP errors, and of nobody else.
async fn udp(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(unspecified(server)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

async fn tcp(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Takes any certificate: what is measured is the way, and no password travels on it.
fn tls() -> anyhow::Result<TlsConnector> {
    let mut config = rustls::ClientConfig::clone(&*anyone()?);
    // RFC 7443.
    config.alpn_protocols = vec![b"stun.turn".to_vec()];
    Ok(Arc::new(config).into())
}

/// The largest datagram.
pub(super) const MOST: usize = 65_536;
const BUFFER: usize = 16_384;
