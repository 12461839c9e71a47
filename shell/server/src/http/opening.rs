//! Whose a connection is: web pages, signalling and TURN come by one port (RFC 7443).
//!
//! ```text
//! first byte ─┬─ STUN ───────────────────────────────────────────────► relay, plain
//!             └─ TLS ─► ALPN ─┬─ stun.turn, stun.nat-discovery ──────► relay
//!                             ├─ acme-tls/1 ─────────────────────────► proof for a certificate authority
//!                             ├─ h2 ─────────────────────────────────► web
//!                             └─ none, http/1.1 ─► first byte ─┬─ STUN ► relay
//!                                                  inside      └─────► web
//! ```
//!
//! Clients that do not name TURN are many, the TURN of browsers among them. What goes to the relay leaves the runtime.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::ClientHello;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::listen::Counted;
use crate::metrics;
use crate::relay::{self, Door, Visitor};

/// The configurations of a TLS listener.
#[derive(Clone)]
pub struct Tls {
    /// For browsers.
    pub ordinary: Arc<ServerConfig>,
    /// For a certificate authority that checks whether the name is ours (RFC 8737).
    pub challenge: Arc<ServerConfig>,
    /// If the port is shared with the relay.
    pub relay: Option<SharedPort>,
}

/// The relay behind a port that is shared with it.
#[derive(Clone)]
pub struct SharedPort {
    /// Where its clients go.
    pub door: Door,
    /// With its names in ALPN.
    pub config: Arc<ServerConfig>,
}

/// What a connection has turned out to be.
pub(super) enum Opened {
    Web(Box<TlsStream<Counted>>),
    /// It has been shown what it wanted to see.
    Challenge,
    /// It has gone there.
    Relay,
}

/// Finds out, and hands over what is the relay's. Takes as long as the client lets it.
pub(super) async fn open(socket: Counted, peer: SocketAddr, tls: &Tls) -> io::Result<Opened> {
    if let Some(relay) = &tls.relay {
        let mut first = [0];
        if socket.peek(&mut first).await? > 0 && is_stun(first) {
            let (socket, place) = socket.into_parts();
            return hand_over(relay, Visitor { socket: socket.into_std()?, secure: None, client: peer, place });
        }
    }
    let start = LazyConfigAcceptor::new(Default::default(), socket).await?;
    if rustls_acme::is_tls_alpn_challenge(&start.client_hello()) {
        let mut stream = start.into_stream(tls.challenge.clone()).await?;
        stream.shutdown().await?;
        return Ok(Opened::Challenge);
    }
    let Some(relay) = &tls.relay else {
        return start.into_stream(tls.ordinary.clone()).await.map(Box::new).map(Opened::Web);
    };
    if names_relay(&start.client_hello()) {
        let stream = start.into_stream(relay.config.clone()).await?;
        return hand_over_secure(relay, stream, peer);
    }
    let mut stream = start.into_stream(tls.ordinary.clone()).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if !is_http2 && stream.fill_buf().await?.first().is_some_and(|&first| is_stun([first])) {
        return hand_over_secure(relay, stream, peer);
    }
    Ok(Opened::Web(Box::new(stream)))
}

/// RFC 7983 §7: 0 to 3 is STUN. A TLS record begins with 22, a request of HTTP/1.1 with a letter. A client's first words
/// are never ChannelData, which begins like a letter: it has no channel yet.
fn is_stun([first]: [u8; 1]) -> bool {
    first <= 3
}

/// RFC 7443 §3. Browsers that want pages do not; coturn's clients name HTTP first and mean TURN all the same.
fn names_relay(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut names| names.any(|name| relay::ALPN.contains(&name)))
}

fn hand_over_secure(relay: &SharedPort, stream: TlsStream<Counted>, peer: SocketAddr) -> io::Result<Opened> {
    let (socket, session) = stream.into_inner();
    let (socket, place) = socket.into_parts();
    let (socket, secure) = (socket.into_std()?, Some(Box::new(session)));
    hand_over(relay, Visitor { socket, secure, client: peer, place })
}

fn hand_over(relay: &SharedPort, visitor: Visitor) -> io::Result<Opened> {
    relay.door.hand_over(visitor)?;
    metrics::HTTP_CONNECTIONS_TO_RELAY_TOTAL.add(1);
    Ok(Opened::Relay)
}
