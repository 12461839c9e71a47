//! The accept loop: counts, TLS, HTTP/1.1 or HTTP/2, and a graceful end.
//!
//! ```text
//! accept ─► gate (total, per address) ─► opening (timed: TLS, whose it is) ─► hyper (header timeout, header limits) ─► router
//!                                         └─► relay
//! ```
//!
//! A connection keeps its place at the gate until its socket closes, also after it became a WebSocket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::client::Trust;
use super::gate::{Full, Gate, Pass};
use super::opening::{self, Opened, Tls};
use super::proxied::{self, Proxies};
use crate::metrics;

/// What a listener needs to serve.
#[derive(Clone)]
pub struct Serving {
    /// Answers.
    pub router: Router,
    /// `None`: plain HTTP, because a proxy in front does TLS.
    pub tls: Option<Tls>,
    /// Places.
    pub gate: Arc<Gate>,
    /// Whose word on the client's address counts.
    pub trust: Trust,
    /// Whose connections begin with a PROXY header.
    pub proxies: Proxies,
    /// For that header and the TLS handshake.
    pub handshake_timeout: Duration,
    /// For the headers of a request, and between requests.
    pub header_timeout: Duration,
}

const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: u32 = 32 << 10;
const MAX_STREAMS: u32 = 128;

/// Serves until `stop` turns true, then until the last connection has ended.
pub async fn run(listener: TcpListener, serving: Serving, stop: watch::Receiver<bool>) {
    let mut until_stop = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut until_stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => admit(&mut connections, socket, peer, &serving, &stop),
                Err(error) => pause(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A sender that is gone means the same.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn admit(
    tasks: &mut JoinSet<()>,
    socket: TcpStream,
    peer: SocketAddr,
    serving: &Serving,
    stop: &watch::Receiver<bool>,
) {
    let proxied = serving.proxies.contains(peer.ip());
    let entered = if proxied { serving.gate.enter_unknown() } else { serving.gate.enter(peer.ip()) };
    match entered {
        Ok(pass) => {
            metrics::HTTP_CONNECTIONS_TOTAL.add(1);
            let (serving, stop) = (serving.clone(), stop.clone());
            if proxied {
                tasks.spawn(introduced(socket, peer, pass, serving, stop));
            } else {
                tasks.spawn(connection(socket, peer, pass, serving, stop));
            }
        }
        Err(full) => refuse(peer, full),
    }
}

fn refuse(peer: SocketAddr, full: Full) {
    metrics::HTTP_CONNECTIONS_REFUSED_TOTAL.add_labelled(full.label(), 1);
    tracing::debug!(%peer, limit = full.label(), "connection refused");
}

/// A connection of a load balancer, once it has said whose it is.
async fn introduced(
    mut socket: TcpStream,
    proxy: SocketAddr,
    mut pass: Pass,
    serving: Serving,
    stop: watch::Receiver<bool>,
) {
    let peer = match tokio::time::timeout(serving.handshake_timeout, proxied::read_header(&mut socket)).await {
        Ok(Ok(client)) => client.unwrap_or(proxy),
        Ok(Err(error)) => return tracing::debug!(%proxy, %error, "no PROXY header"),
        Err(_) => return tracing::debug!(%proxy, "the PROXY header took too long"),
    };
    match pass.identify(peer.ip()) {
        Ok(()) => connection(socket, peer, pass, serving, stop).await,
        Err(full) => refuse(peer, full),
    }
}

/// Out of file descriptors, most likely: the loop must not spin.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn connection(socket: TcpStream, peer: SocketAddr, pass: Pass, serving: Serving, stop: watch::Receiver<bool>) {
    let _ = socket.set_nodelay(true);
    let socket = Counted { socket, pass };
    let Some(tls) = serving.tls.clone() else {
        return speak(socket, peer, serving, stop).await;
    };
    match tokio::time::timeout(serving.handshake_timeout, opening::open(socket, peer, &tls)).await {
        Ok(Ok(Opened::Web(stream))) => speak(*stream, peer, serving, stop).await,
        Ok(Ok(Opened::Relay)) => tracing::debug!(%peer, "a client of the relay"),
        Ok(Ok(Opened::Challenge)) => tracing::info!("a certificate authority has checked that the name is ours"),
        Ok(Err(error)) => {
            metrics::HTTP_HANDSHAKES_FAILED_TOTAL.add_labelled("error", 1);
            tracing::debug!(%peer, %error, "TLS handshake failed");
        }
        Err(_) => {
            metrics::HTTP_HANDSHAKES_FAILED_TOTAL.add_labelled("timeout", 1);
            tracing::debug!(%peer, "TLS handshake took too long");
        }
    }
}

async fn speak<S>(stream: S, peer: SocketAddr, serving: Serving, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = http(serving.header_timeout);
    let Serving { router, trust, .. } = serving;
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        trust.identify(peer, &mut request);
        router.clone().oneshot(request)
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended");
    }
}

fn http(header_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    builder
}

/// A socket that holds its place at the gate.
pub(super) struct Counted {
    socket: TcpStream,
    pass: Pass,
}

impl Counted {
    /// Waits for bytes and leaves them where they are.
    pub(super) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(bytes).await
    }

    /// The socket, and its place for whoever goes on with it.
    pub(super) fn into_parts(self) -> (TcpStream, Box<dyn Send>) {
        (self.socket, Box::new(self.pass))
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
