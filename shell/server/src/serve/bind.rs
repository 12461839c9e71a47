//! Ports, and what to say when one cannot be had.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use tokio::net::TcpListener;

/// Listens. On a machine without IPv6, `::` means every IPv4 address.
pub async fn bind(address: IpAddr, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind((address, port)).await {
        Err(error) if address.is_ipv6() && address.is_unspecified() && is_without_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        other => other,
    };
    bound.map_err(|error| explain(error, &format!("port {port}"), setting))
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
