//! What one attacker holds: sockets that say nothing, half a handshake, half a request, or a WebSocket that never enters.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::StreamExt as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::Process;

/// Attempts under way at the same time; the system queues a thousand.
const AT_ONCE: usize = 128;

const UPGRADE: &str = "GET /signal HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const LORIS: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nx-slowly: ";
/// A record that announces 512 bytes of a ClientHello, and the first of them.
const HALF_HELLO: [u8; 9] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC];
/// `{"type":"join"}`, masked with zeros: names no room, which is refused.
const BAD_JOIN: &[u8] = b"\x81\x8f\0\0\0\0{\"type\":\"join\"}";

/// A socket of the attacker.
pub enum Held {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Let in; the server closes it in the end, which frees its place.
    Socket(Box<TlsStream<TcpStream>>),
    /// Closed before it got anywhere.
    Refused,
}

impl Held {
    /// Whether the server may have given its place to a later one meanwhile.
    pub fn ended_by_itself(&self) -> bool {
        matches!(self, Held::Socket(_)) && self.is_cut_off()
    }

    /// Whether the server has closed it.
    pub fn is_cut_off(&self) -> bool {
        let socket = match self {
            Held::Plain(socket) => socket,
            Held::Tls(stream) | Held::Socket(stream) => stream.get_ref().0,
            Held::Refused => return true,
        };
        loop {
            match socket.try_read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }
}

/// So many sockets from 127.0.0.1, every kind in turn. They stay open until what is returned is dropped.
pub async fn wave(server: &Process, sockets: usize) -> Vec<Held> {
    let connector = connector(&server.certificate);
    let address = SocketAddr::from(([127, 0, 0, 1], server.port));
    let attempts = (0..sockets).map(|i| attempt(i, connector.clone(), address));
    futures_util::stream::iter(attempts).buffer_unordered(AT_ONCE).collect().await
}

async fn attempt(number: usize, connector: TlsConnector, address: SocketAddr) -> Held {
    let socket = connect(address, [127, 0, 0, 1]).await;
    let held = match number % 5 {
        0 => return Held::Plain(socket),
        1 => half_open(socket).await.map(Held::Plain),
        2 => half_a_request(&connector, socket).await.map(|stream| Held::Tls(Box::new(stream))),
        3 => websocket(&connector, socket, &[]).await.map(|stream| Held::Socket(Box::new(stream))),
        _ => websocket(&connector, socket, BAD_JOIN).await.map(|stream| Held::Socket(Box::new(stream))),
    };
    held.unwrap_or(Held::Refused)
}

async fn half_open(mut socket: TcpStream) -> std::io::Result<TcpStream> {
    socket.write_all(&HALF_HELLO).await?;
    Ok(socket)
}

async fn half_a_request(connector: &TlsConnector, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = secure(connector, socket).await?;
    stream.write_all(LORIS.as_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}

async fn websocket(connector: &TlsConnector, socket: TcpStream, says: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = secure(connector, socket).await?;
    stream.write_all(UPGRADE.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(says).await?;
    stream.flush().await?;
    if !says.is_empty() {
        let mut refusal = [0; 128];
        let count = stream.read(&mut refusal).await?;
        let text = String::from_utf8_lossy(refusal.get(..count).unwrap_or_default()).into_owned();
        assert!(text.contains("refused"), "{text}");
    }
    Ok(stream)
}

pub async fn secure(connector: &TlsConnector, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, socket).await
}

pub async fn connect(address: SocketAddr, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

/// Believes this certificate.
pub fn connector(certificate: &CertificateDer<'static>) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
