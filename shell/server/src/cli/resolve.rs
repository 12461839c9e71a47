//! Names and addresses of servers as people type them, with or without a port.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use anyhow::Context as _;

/// Which addresses will do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Families {
    /// Only by IPv4.
    #[arg(short = '4', conflicts_with = "v6")]
    pub v4: bool,
    /// Only by IPv6.
    #[arg(short = '6')]
    pub v6: bool,
}

/// The first address of those families; `port` where the text names none.
pub fn resolve(text: &str, port: u16, families: Families) -> anyhow::Result<SocketAddr> {
    let found: Vec<SocketAddr> = match text.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => match text.to_socket_addrs() {
            Ok(found) => found.collect(),
            Err(_) => (text.trim_start_matches('[').trim_end_matches(']'), port)
                .to_socket_addrs()
                .with_context(|| format!("`{text}`: expected a name or an address that can be found"))?
                .collect(),
        },
    };
    let wanted = |address: &&SocketAddr| (!families.v4 || address.is_ipv4()) && (!families.v6 || address.is_ipv6());
    found.iter().find(wanted).copied().with_context(|| format!("`{text}` has no address of that family"))
}

/// All addresses of this family, and any port.
pub fn unspecified(family_of: SocketAddr) -> SocketAddr {
    match family_of {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0; 8], 0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(server: &str, v4: bool, v6: bool) -> Option<SocketAddr> {
        resolve(server, 3478, Families { v4, v6 }).ok()
    }

    #[test]
    fn addresses_are_taken_with_and_without_a_port() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:3478"),
            ("192.0.2.1:1", "192.0.2.1:1"),
            ("2001:db8::1", "[2001:db8::1]:3478"),
            ("[2001:db8::1]", "[2001:db8::1]:3478"),
            ("[2001:db8::1]:1", "[2001:db8::1]:1"),
        ] {
            assert_eq!(resolved(text, false, false), address.parse().ok(), "{text}");
        }
        assert_eq!(resolved("192.0.2.1", false, true), None);
        assert_eq!(resolved("2001:db8::1", true, false), None);
        assert_eq!(resolved("", false, false), None);
    }
}
