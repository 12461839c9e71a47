//! The sockets of one shard: one for each address, all at the same port where one was asked for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::udp::prepare_udp;

/// Opened.
pub(super) struct Sockets {
    udp: Vec<(Socket, SocketAddr)>,
}

impl Sockets {
    /// Where they are.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.udp.iter().map(|(_, at)| *at)
    }

    pub(super) fn udp(&self) -> impl Iterator<Item = (RawFd, SocketAddr)> {
        self.udp.iter().map(|(socket, at)| (socket.as_raw_fd(), *at))
    }
}

pub(super) fn open(addresses: &[IpAddr], port: u16) -> io::Result<Sockets> {
    let udp = addresses.iter().map(|ip| open_one(SocketAddr::new(*ip, port))).collect::<io::Result<_>>()?;
    Ok(Sockets { udp })
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

const BUFFER: usize = 4 << 20;
