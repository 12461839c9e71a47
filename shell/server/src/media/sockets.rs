//! The sockets of one shard: one for each address, all at the same port where one was asked for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::udp::prepare_udp;

/// Opened.
pub(super) struct Sockets {
    udp: Vec<(Socket, SocketAddr)>,
    tcp: Vec<(Socket, SocketAddr)>,
}

impl Sockets {
    /// Where they are.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.udp.iter().map(|(_, at)| *at)
    }

    /// Those of them that also take TCP.
    pub(super) fn streams(&self) -> impl Iterator<Item = SocketAddr> {
        self.tcp.iter().map(|(_, at)| *at)
    }

    /// The listeners once more.
    pub(super) fn listeners(&self) -> io::Result<Vec<(Socket, SocketAddr)>> {
        self.tcp.iter().map(|(socket, at)| Ok((socket.try_clone()?, *at))).collect()
    }

    pub(super) fn udp(&self) -> impl Iterator<Item = (RawFd, SocketAddr)> {
        self.udp.iter().map(|(socket, at)| (socket.as_raw_fd(), *at))
    }
}

pub(super) fn open(addresses: &[IpAddr], port: u16) -> io::Result<Sockets> {
    let udp: Vec<_> = addresses.iter().map(|ip| open_one(SocketAddr::new(*ip, port))).collect::<io::Result<_>>()?;
    // The same port over TCP, where it is free: without it everything but the narrowest networks works.
    let listen = |(_, at): &(Socket, SocketAddr)| match listen(*at) {
        Ok(listener) => Some((listener, *at)),
        Err(error) => {
            tracing::warn!(%at, %error, "no media over TCP here");
            None
        }
    };
    let tcp = udp.iter().filter_map(listen).collect();
    Ok(Sockets { udp, tcp })
}

fn open_one(at: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let open = || -> io::Result<(Socket, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        prepare_udp(&socket, false, at.is_ipv4())?;
        // As much as the host allows: a picture for hundreds leaves at once.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.bind(&at.into())?;
        let at = socket.local_addr()?.as_socket().unwrap_or(at);
        Ok((socket, at))
    };
    open().map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {at}: {error}")))
}

fn listen(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

const BACKLOG: i32 = 256;
const BUFFER: usize = 4 << 20;
