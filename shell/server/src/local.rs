//! What this machine is called: host name and addresses, for certificates and for the links that are printed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Names and addresses under which a browser may reach this machine, `localhost` included.
pub fn names() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    if let Some(host) = host_name() {
        if !host.contains('.') {
            names.insert(format!("{host}.local"));
        }
        names.insert(host);
    }
    names.extend(addresses().iter().map(IpAddr::to_string));
    names
}

/// The host's own name, where it is one a certificate can hold.
fn host_name() -> Option<String> {
    let name = gethostname::gethostname().into_string().ok()?.trim_end_matches('.').to_ascii_lowercase();
    let label = |part: &str| {
        !part.is_empty() && part.len() <= 63 && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    (name.len() <= 253 && name.split('.').all(label)).then_some(name)
}

/// Addresses of all interfaces, without those that only mean something together with an interface.
fn addresses() -> BTreeSet<IpAddr> {
    let link_local = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().map(if_addrs::Interface::ip).filter(|address| !link_local(address)).collect()
}

/// Addresses another device may use, the one of the default route first.
pub fn lan_addresses() -> Vec<IpAddr> {
    let main = default_route();
    let mut found: Vec<IpAddr> = addresses().into_iter().filter(|address| !address.is_loopback()).collect();
    found.sort_by_key(|address| (Some(*address) != main, address.is_ipv6(), *address));
    found
}

/// Connecting a UDP socket asks the routing table and sends nothing.
fn default_route() -> Option<IpAddr> {
    // TEST-NET-1 (RFC 5737): an address that is somewhere outside for sure.
    let outside = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(outside).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// A host as it stands in a URL: IPv6 in brackets.
pub fn url_host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The address a client connects to when we listen at this one and it is on the same machine.
pub fn reachable(listening: IpAddr) -> IpAddr {
    match listening {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_as_localhost_at_least() {
        let names = names();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(names.contains(name), "{names:?}");
        }
    }

    #[test]
    fn an_ipv6_host_stands_in_brackets_in_a_url() {
        assert_eq!(url_host(IpAddr::V6(Ipv6Addr::LOCALHOST)), "[::1]");
    }
}
