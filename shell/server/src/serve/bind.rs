//! Ports, and what to say when one cannot be had.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted. With fewer, a flood from one address delays the connections of all others
/// by seconds: what does not fit is dropped by the kernel and sent again by the client.
const WAITING: u32 = 4096;

/// Listens. On a machine without IPv6, `::` means every IPv4 address.
pub fn bind(address: IpAddr, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let bound = match listen((address, port).into()) {
        Err(error) if address.is_ipv6() && address.is_unspecified() && is_without_ipv6(&error) => {
            listen((Ipv4Addr::UNSPECIFIED, port).into())
        }
        other => other,
    };
    bound.map_err(|error| explain(error, &format!("port {port}"), setting))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // A restart finds the port free although old connections have not quite ended.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// What to do about it.
pub fn explain(error: io::Error, ports: &str, setting: &str) -> anyhow::Error {
    let flag = setting.replace('_', "-");
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{ports} is in use by another program: stop that, or choose another with --{flag}")
        }
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{ports} is reserved for root: choose one above 1023 with --{flag}, or give the binary the right (setcap \
             cap_net_bind_service=+ep)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{ports}: http.address is no address of this machine: choose another with --http.address")
        }
        _ => anyhow::Error::from(error).context(format!("{ports} ({setting}) cannot be listened at")),
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}
