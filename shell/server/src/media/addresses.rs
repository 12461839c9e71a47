//! Where the media plane listens, and under which addresses it is found.

use std::net::{IpAddr, Ipv4Addr};

/// Addresses of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// To listen at; none of them is unspecified.
    pub local: Vec<IpAddr>,
    /// What addresses of ours are outside, where a one-to-one NAT stands in front; `None` for the local one means all of its
    /// family.
    pub external: Vec<(IpAddr, Option<IpAddr>)>,
}

impl Addresses {
    /// From what the settings say: addresses to listen at, of which an unspecified one means all that this machine has of
    /// its family.
    pub fn find(listen: &[IpAddr], own: &[IpAddr], external: Vec<(IpAddr, Option<IpAddr>)>) -> Self {
        let mut local: Vec<IpAddr> = Vec::new();
        for &ip in listen {
            if !ip.is_unspecified() {
                local.push(ip);
                continue;
            }
            // `::` takes connections of both families.
            let wanted = |own: &&IpAddr| ip.is_ipv6() || own.is_ipv4();
            local.extend(own.iter().filter(wanted).filter(|own| is_reachable(**own)));
        }
        if local.is_empty() {
            local.push(Ipv4Addr::LOCALHOST.into());
        }
        let mut known = Vec::new();
        local.retain(|ip| {
            !known.contains(ip) && {
                known.push(*ip);
                true
            }
        });
        local.truncate(MOST);
        Self { local, external }
    }

    /// What a local address is told as: itself, and before it what it is outside.
    pub fn seen_as(&self, ip: IpAddr) -> impl Iterator<Item = IpAddr> {
        let fits = move |(public, private): &&(IpAddr, Option<IpAddr>)| {
            private.map_or(public.is_ipv4() == ip.is_ipv4(), |private| private == ip)
        };
        let outside = self.external.iter().filter(fits).map(|(public, _)| *public).filter(move |public| *public != ip);
        outside.chain([ip])
    }
}

/// Whether somebody else can come by it.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        // A link-local one means nothing without the name of a link.
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

/// Each is a socket per shard, and a candidate for every browser to try.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().expect("an address")).collect()
    }

    #[test]
    fn everything_means_what_others_can_reach() {
        let own = ips(&["127.0.0.1", "192.0.2.1", "169.254.1.1", "::1", "fe80::1", "2001:db8::1"]);
        let find = |listen: &[&str]| Addresses::find(&ips(listen), &own, Vec::new()).local;
        assert_eq!(find(&["::"]), ips(&["192.0.2.1", "2001:db8::1"]));
        assert_eq!(find(&["0.0.0.0"]), ips(&["192.0.2.1"]));
        assert_eq!(find(&["127.0.0.1", "127.0.0.1"]), ips(&["127.0.0.1"]));
        assert_eq!(Addresses::find(&ips(&["::"]), &ips(&["127.0.0.1"]), Vec::new()).local, ips(&["127.0.0.1"]));
    }

    #[test]
    fn behind_a_nat_the_public_address_comes_first() {
        let external =
            vec![(ips(&["198.51.100.1"])[0], None), (ips(&["198.51.100.2"])[0], Some(ips(&["10.0.0.2"])[0]))];
        let addresses = Addresses { local: Vec::new(), external };
        let seen = |ip: &str| addresses.seen_as(ips(&[ip])[0]).collect::<Vec<_>>();
        assert_eq!(seen("10.0.0.1"), ips(&["198.51.100.1", "10.0.0.1"]));
        assert_eq!(seen("10.0.0.2"), ips(&["198.51.100.1", "198.51.100.2", "10.0.0.2"]));
        assert_eq!(seen("2001:db8::1"), ips(&["2001:db8::1"]));
    }
}
