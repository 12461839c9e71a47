//! Opening the listeners: the same addresses once per shard, the kernel spreading clients over them (`SO_REUSEPORT`).

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::Config;
use crate::net::errors;
use crate::net::udp;

/// Everything that has been opened.
pub(super) struct Bound {
    pub(super) port: u16,
    pub(super) tls_port: Option<u16>,
    /// UDP only, for discovery.
    pub(super) other_port: Option<u16>,
    pub(super) per_shard: Vec<Sockets>,
}

/// The listeners of one shard, with the addresses they are bound to.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) udp: Vec<(Socket, SocketAddr)>,
    pub(super) tcp: Vec<(Socket, SocketAddr)>,
    pub(super) tls: Vec<(Socket, SocketAddr)>,
}

impl Sockets {
    /// The same sockets once more.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let all = |sockets: &[(Socket, SocketAddr)]| -> io::Result<Vec<_>> {
            sockets.iter().map(|(socket, at)| Ok((socket.try_clone()?, *at))).collect()
        };
        Ok(Self { udp: all(&self.udp)?, tcp: all(&self.tcp)?, tls: all(&self.tls)? })
    }
}

/// Opens UDP, TCP and TLS on every address. UDP and TCP share one port number.
pub(super) fn open(config: &Config, shards: u16) -> io::Result<Bound> {
    let mut tries = 0;
    loop {
        match open_once(config, shards) {
            // Any free UDP port was asked for, and over TCP it is taken: ask again.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && config.port == 0 && tries < MAX_TRIES => {
                tries += 1
            }
            outcome => return outcome,
        }
    }
}

fn open_once(config: &Config, shards: u16) -> io::Result<Bound> {
    let mut bound = Bound { port: config.port, tls_port: None, other_port: None, per_shard: Vec::new() };
    bound.per_shard.resize_with(shards.into(), Sockets::default);
    let mut refused = None;
    for &ip in &config.listen {
        // A host without IPv6 cannot listen on `::`: one family that works is enough.
        match open_address(config, &mut bound, ip) {
            Err(error) if ip.is_unspecified() && is_missing_family(&error) => {
                tracing::info!(%ip, "not listening: the host has no such address");
                refused = Some(error);
            }
            outcome => outcome?,
        }
    }
    match refused {
        Some(error) if bound.per_shard.iter().all(|sockets| sockets.udp.is_empty()) => Err(error),
        _ => Ok(bound),
    }
}

fn open_address(config: &Config, bound: &mut Bound, ip: IpAddr) -> io::Result<()> {
    bound.port = probe(SocketAddr::new(ip, bound.port), Kind::Udp)?;
    probe(SocketAddr::new(ip, bound.port), Kind::Tcp)?;
    let at = SocketAddr::new(ip, bound.port);
    for sockets in &mut bound.per_shard {
        sockets.udp.push((listener(at, Kind::Udp, Sharing::Shards)?, at));
        sockets.tcp.push((listener(at, Kind::Tcp, Sharing::Shards)?, at));
    }
    if let Some(discovery) = &config.discovery {
        let port = probe(SocketAddr::new(ip, bound.other_port.unwrap_or(discovery.port)), Kind::Udp)?;
        bound.other_port = Some(port);
        let at = SocketAddr::new(ip, port);
        for sockets in &mut bound.per_shard {
            sockets.udp.push((listener(at, Kind::Udp, Sharing::Shards)?, at));
        }
    }
    let Some(tls) = &config.tls else { return Ok(()) };
    let port = probe(SocketAddr::new(ip, bound.tls_port.unwrap_or(tls.port)), Kind::Tcp)?;
    bound.tls_port = Some(port);
    let at = SocketAddr::new(ip, port);
    for sockets in &mut bound.per_shard {
        sockets.tls.push((listener(at, Kind::Tcp, Sharing::Shards)?, at));
    }
    if config.dtls.is_some() {
        probe(at, Kind::Udp)?;
        for sockets in &mut bound.per_shard {
            sockets.udp.push((listener(at, Kind::Udp, Sharing::Shards)?, at));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    Shards,
}

/// Binds without sharing and lets go again: a second server would otherwise share our port unnoticed. Tells the port.
fn probe(at: SocketAddr, kind: Kind) -> io::Result<u16> {
    let socket = listener(at, kind, Sharing::Alone)?;
    Ok(socket.local_addr()?.as_socket().map_or(at.port(), |address| address.port()))
}

fn listener(at: SocketAddr, kind: Kind, sharing: Sharing) -> io::Result<Socket> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {at}: {error}"));
    open_listener(at, kind, sharing).map_err(named)
}

fn open_listener(at: SocketAddr, kind: Kind, sharing: Sharing) -> io::Result<Socket> {
    let (kind_of_socket, protocol) = match kind {
        Kind::Udp => (Type::DGRAM, Protocol::UDP),
        Kind::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(at), kind_of_socket, Some(protocol))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Kind::Tcp {
        // Connections of a former process in TIME_WAIT do not keep the port.
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(sharing == Sharing::Shards)?;
    if kind == Kind::Udp {
        udp::prepare_udp(&socket, at.ip().is_unspecified(), at.is_ipv4())?;
        set_buffers(&socket);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    if kind == Kind::Tcp && sharing == Sharing::Shards {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// A relay socket.
pub(super) fn relay_socket(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    udp::prepare_udp(&socket, false, at.is_ipv4())?;
    errors::prepare(&socket, at.is_ipv4())?;
    socket.bind(&at.into())?;
    Ok(socket)
}

/// A listener at a relayed address (RFC 6062 §5.1).
pub(super) fn relay_listener(at: SocketAddr) -> io::Result<Socket> {
    let socket = relay_stream(at, Sharing::Alone)?;
    // From here on connections that leave may have the same address; before, that would have hidden that it is taken.
    socket.set_reuse_port(true)?;
    socket.listen(RELAY_BACKLOG)?;
    Ok(socket)
}

/// A connection from a relayed address (RFC 6062 §5.2), on its way.
pub(super) fn relay_connection(at: SocketAddr, peer: SocketAddr) -> io::Result<Socket> {
    let socket = relay_stream(at, Sharing::Shards)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn relay_stream(at: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a former allocation in TIME_WAIT do not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Shards)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

/// As much as the host allows: a burst for thousands of clients arrives at one socket.
fn set_buffers(socket: &Socket) {
    let _ = socket.set_recv_buffer_size(LISTENER_BUFFER);
    let _ = socket.set_send_buffer_size(LISTENER_BUFFER);
}

fn is_missing_family(error: &io::Error) -> bool {
    let missing = [libc::EAFNOSUPPORT, libc::EADDRNOTAVAIL, libc::EPFNOSUPPORT, libc::EPROTONOSUPPORT];
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|code| missing.contains(&code))
        || error.kind() == io::ErrorKind::Unsupported
}

const MAX_TRIES: u32 = 16;
const BACKLOG: i32 = 1_024;
/// Peers that connect in at once.
const RELAY_BACKLOG: i32 = 64;
const LISTENER_BUFFER: usize = 4 * 1_024 * 1_024;
