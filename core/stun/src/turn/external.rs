//! Public addresses in front of ours: the host stands behind a NAT that forwards ports one to one (RFC 8656 §7.2 tells a
//! client the address at which peers reach it, and that is the one outside).

use std::net::{IpAddr, SocketAddr};

/// What clients are told in place of addresses of this host. Ports stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External(Vec<Mapping>);

/// One public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// What is told.
    pub public: IpAddr,
    /// In place of this address of ours; `None`: of all of the family that have no mapping of their own, loopback excepted.
    pub private: Option<IpAddr>,
}

impl External {
    /// The first mapping of an address is the one that counts.
    pub fn new(mappings: Vec<Mapping>) -> Self {
        Self(mappings)
    }

    /// The address outside.
    pub(crate) fn of(&self, local: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.of_ip(local.ip()), local.port())
    }

    fn of_ip(&self, local: IpAddr) -> IpAddr {
        let own = self.0.iter().find(|mapping| mapping.private == Some(local));
        let general = || {
            let fits = |mapping: &&Mapping| mapping.private.is_none() && mapping.public.is_ipv4() == local.is_ipv4();
            self.0.iter().find(fits).filter(|_| !local.is_loopback())
        };
        own.or_else(general).map_or(local, |mapping| mapping.public)
    }

    /// All public ones.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.iter().map(|mapping| mapping.public)
    }
}

/// One public address for all of its family.
impl From<IpAddr> for External {
    fn from(public: IpAddr) -> Self {
        Self(vec![Mapping { public, private: None }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_with_a_mapping_of_its_own_has_that_one_and_the_others_the_one_of_their_family() {
        let pair = |public, private| Mapping { public: ip(public), private: Some(ip(private)) };
        let external = External::new(vec![
            Mapping { public: ip("203.0.113.1"), private: None },
            pair("203.0.113.2", "10.0.0.2"),
            pair("203.0.113.9", "10.0.0.2"),
            pair("2001:db8::2", "fd00::2"),
        ]);
        for (local, told) in [
            ("10.0.0.2", "203.0.113.2"),
            ("10.0.0.3", "203.0.113.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("fd00::2", "2001:db8::2"),
            ("fd00::3", "fd00::3"),
        ] {
            assert_eq!(external.of(SocketAddr::new(ip(local), 7)), SocketAddr::new(ip(told), 7), "{local}");
        }
        assert_eq!(External::default().of(SocketAddr::new(ip("10.0.0.2"), 7)).ip(), ip("10.0.0.2"));
    }
}
