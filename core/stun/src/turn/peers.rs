//! Which peers may be relayed to: public addresses, what the operator allows, and our own relay addresses, whose
//! packets stay inside the process.
//!
//! Every IPv4-in-IPv6 form is judged by the IPv4 address in it, so that `::ffff:127.0.0.1`, `64:ff9b::7f00:1` or
//! `2002:7f00:1::` open nothing that `127.0.0.1` would not. RFC 8656 §21; the IANA special-purpose registries.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::config::{Addresses, PeerRules};
use super::realms::{Realms, Verdict};
use crate::Cidr;

/// Judges peers.
pub(super) struct Peers {
    rules: PeerRules,
    own: BTreeSet<IpAddr>,
    /// Ours in front of a NAT: nothing sent there would come back.
    external: BTreeSet<IpAddr>,
    listener_ports: Vec<u16>,
    services: Vec<SocketAddr>,
}

/// What may be done with packets to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// They leave by the relay socket.
    Outside,
    /// They reach live allocations of ours and nothing else.
    Inside,
    /// Ours if the port is a live allocation's, else they leave; never to a listener of ours.
    InsideOrOutside,
}

impl Peers {
    pub(super) fn new(rules: PeerRules, addresses: &Addresses) -> Self {
        let external = addresses.external.addresses().collect();
        let own = addresses.own.iter().copied().collect();
        let (listener_ports, services) = (addresses.listener_ports.clone(), addresses.services.clone());
        Self { rules, own, external, listener_ports, services }
    }

    /// Other rules than before; addresses of this host stay known.
    pub(super) fn change(&mut self, rules: PeerRules, addresses: &Addresses) {
        self.external = addresses.external.addresses().collect();
        self.rules = rules;
    }

    /// An address of this host that was not known at construction.
    pub(super) fn add_own(&mut self, ip: IpAddr) {
        self.own.insert(ip);
    }

    /// By the rules of the configuration, of all realms, and of one. `None`: refused.
    pub(super) fn judge(&self, ip: IpAddr, realms: &Realms, realm: &str) -> Option<Reach> {
        let embedded = embedded_v4(ip, &self.rules.nat64).map(IpAddr::V4);
        let verdict = realms.verdict(realm, ip, embedded);
        let matches = |ranges: &[Cidr]| {
            ranges.iter().any(|range| range.contains(ip) || embedded.is_some_and(|inner| range.contains(inner)))
        };
        if matches(&self.rules.deny) || verdict == Verdict::Denied {
            return None;
        }
        if self.external.contains(&ip) {
            return Some(Reach::Inside);
        }
        if self.own.contains(&ip) {
            return Some(if self.rules.allow_loopback { Reach::InsideOrOutside } else { Reach::Inside });
        }
        // 0.0.0.0 and :: reach this host, too (CVE-2020-26262).
        if ip.is_unspecified() {
            return None;
        }
        let this_host = embedded.is_some_and(|inner| self.own.contains(&inner) || self.external.contains(&inner));
        let loopback = ip.is_loopback() || embedded.is_some_and(|inner| inner.is_loopback());
        if this_host || loopback {
            return (self.rules.allow_loopback && embedded.is_none()).then_some(Reach::InsideOrOutside);
        }
        let allowed = matches(&self.rules.allow) || verdict == Verdict::Allowed;
        (allowed || is_public(ip, &self.rules.nat64)).then_some(Reach::Outside)
    }

    /// Whether it is a port of this host that is there for everybody.
    pub(super) fn is_service(&self, peer: SocketAddr) -> bool {
        self.services.contains(&peer)
    }

    /// Whether a packet that leaves would arrive at a socket of this process.
    pub(super) fn is_listener(&self, peer: SocketAddr) -> bool {
        self.listener_ports.contains(&peer.port())
    }
}

fn is_public(ip: IpAddr, nat64: &[Cidr]) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => {
            let special = SPECIAL_V6.iter().any(|&(network, prefix)| in_v6(ip, network, prefix));
            // Only 2000::/3 is global unicast (RFC 4291 §2.4), beside the NAT64 prefix of RFC 6052.
            let unicast = in_v6(ip, 0x2000 << 112, 3) || in_v6(ip, 0x0064_ff9b << 96, 96);
            unicast && !special && embedded_v4(ip.into(), nat64).is_none_or(is_public_v4)
        }
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|&(network, prefix)| {
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
        ip.to_bits() & mask == network.to_bits()
    })
}

fn in_v6(ip: Ipv6Addr, network: u128, prefix: u32) -> bool {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
    ip.to_bits() & mask == network
}

/// The IPv4 address inside an IPv6 address: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
fn embedded_v4(ip: IpAddr, nat64: &[Cidr]) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    if let Some(prefix) = nat64.iter().find(|prefix| prefix.contains(ip.into())) {
        return translated(ip, prefix.prefix());
    }
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if ip.to_bits() > 1 => Some(join(g, h)),
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(join(g, h)),
        [0x64, 0xff9b, 1, ..] => Some(join(g, h)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        [0x2001, 0, ..] => Some(join(!g, !h)),
        [_, _, _, _, 0 | 0x0200, 0x5efe] => Some(join(g, h)),
        _ => None,
    }
}

/// RFC 6052 §2.2: where a NAT64 prefix of this length puts the IPv4 address; bits 64 to 71 stay out of it.
fn translated(ip: Ipv6Addr, prefix: u8) -> Option<Ipv4Addr> {
    let places: [usize; 4] = match prefix {
        32 => [4, 5, 6, 7],
        40 => [5, 6, 7, 9],
        48 => [6, 7, 9, 10],
        56 => [7, 9, 10, 11],
        64 => [9, 10, 11, 12],
        96 => [12, 13, 14, 15],
        _ => return None,
    };
    let octets = ip.octets();
    let [a, b, c, d] = places.map(|place| octets.get(place).copied().unwrap_or(0));
    Some(Ipv4Addr::new(a, b, c, d))
}

const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Inside 2000::/3 only: everything outside it is refused anyway.
const SPECIAL_V6: [(u128, u32); 3] = [
    (0x2001_0000 << 96, 23), // IETF protocol assignments, Teredo, ORCHID
    (0x2001_0db8 << 96, 32), // documentation
    (0x3fff_0000 << 96, 20), // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(rules: PeerRules) -> Peers {
        let own = ["127.0.0.1", "192.168.1.5", "::1"].map(|ip| ip.parse().expect("an address")).to_vec();
        let external = IpAddr::from([5, 6, 7, 8]).into();
        Peers::new(rules, &Addresses { own, listener_ports: vec![3478], external, ..Addresses::default() })
    }

    fn judge(rules: PeerRules, ip: &str) -> Option<Reach> {
        peers(rules).judge(ip.parse().unwrap_or_else(|_| panic!("{ip}")), &Realms::default(), "")
    }

    #[test]
    fn private_and_special_peers_are_refused_in_every_form() {
        let refused = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.2",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.6",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:c0a8:105::1",
            "2001::1",
            "2001:0:808:808::80ff:fffe",
            "2001:db8::1",
            "2a00::5efe:10.0.0.1",
            "2a00::200:5efe:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "ff02::1",
            "3fff::1",
            "5f00::1",
            "100::1",
            "4000::1",
            "64:ff9b::c0a8:105",
            "::ffff:5.6.7.8",
        ];
        for ip in refused {
            assert_eq!(judge(PeerRules::default(), ip), None, "{ip}");
        }
    }

    #[test]
    fn public_peers_are_allowed_up_to_the_edges_of_the_special_ranges() {
        let allowed = [
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "2a00:1450::1",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "3fff:1000::1",
        ];
        for ip in allowed {
            assert_eq!(judge(PeerRules::default(), ip), Some(Reach::Outside), "{ip}");
        }
    }

    #[test]
    fn our_own_addresses_reach_only_what_is_inside() {
        for ip in ["127.0.0.1", "192.168.1.5", "5.6.7.8", "::1"] {
            assert_eq!(judge(PeerRules::default(), ip), Some(Reach::Inside), "{ip}");
        }
    }

    #[test]
    fn allowing_a_private_range_does_not_open_this_host() {
        let rules = PeerRules { allow: vec!["192.168.0.0/16".parse().expect("a range")], ..PeerRules::default() };
        assert_eq!(judge(rules.clone(), "192.168.1.6"), Some(Reach::Outside));
        assert_eq!(judge(rules.clone(), "192.168.1.5"), Some(Reach::Inside));
        assert_eq!(judge(rules, "::ffff:192.168.1.5"), None);
    }

    #[test]
    fn allowing_loopback_opens_this_host_in_its_plain_form_only() {
        let rules = PeerRules { allow_loopback: true, ..PeerRules::default() };
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "192.168.1.5"] {
            assert_eq!(judge(rules.clone(), ip), Some(Reach::InsideOrOutside), "{ip}");
        }
        for ip in ["0.0.0.0", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.0.0.1", "169.254.169.254"] {
            assert_eq!(judge(rules.clone(), ip), None, "{ip}");
        }
    }

    #[test]
    fn a_denied_range_wins_over_an_allowed_one_and_over_public() {
        let range = |text: &str| vec![text.parse().expect("a range")];
        let rules = PeerRules { deny: range("8.8.0.0/16"), allow: range("8.0.0.0/8"), ..PeerRules::default() };
        assert_eq!(judge(rules.clone(), "8.8.8.8"), None);
        assert_eq!(judge(rules.clone(), "64:ff9b::808:808"), None);
        assert_eq!(judge(rules, "8.9.8.8"), Some(Reach::Outside));
    }

    #[test]
    fn a_prefix_of_ones_own_nat64_is_judged_by_the_address_inside() {
        let nat64 = ["2a00:64::/32", "2a01:64:0::/40", "2a02:64::/48", "2a03:64::/56", "2a04:64::/64", "2a05:64::/96"];
        let nat64 = nat64.map(|prefix| prefix.parse().expect("a prefix")).to_vec();
        let rules = PeerRules { nat64, ..PeerRules::default() };
        // 10.1.2.3, and 9.1.2.3, under each prefix.
        for (first, reach) in [(10, None), (9, Some(Reach::Outside))] {
            let inside = [
                format!("2a00:64:{first:02x}01:0203::"),
                format!("2a01:0064:00{first:02x}:0102:0003::"),
                format!("2a02:64:0:{first:02x}01:0002:0300::"),
                format!("2a03:64:0:{first:04x}:0001:0203::"),
                format!("2a04:64:0:0:00{first:02x}:0102:0300::"),
                format!("2a05:64::{first:02x}01:0203"),
            ];
            for ip in inside {
                assert_eq!(judge(rules.clone(), &ip), reach, "{ip}");
            }
        }
        assert_eq!(judge(PeerRules::default(), "2a05:64::a01:203"), Some(Reach::Outside), "unless it is known");
        assert_eq!(judge(rules, "2a05:64::7f00:1"), None);
    }

    #[test]
    fn a_denied_range_that_is_no_prefix_is_denied_to_its_last_address_and_no_further() {
        // 2a00::ff to 2a00::1:1 compared as text, or byte by byte, would be wrong.
        let deny =
            ["2a00::ff/128", "2a00::100/120", "2a00::1:0/127"].map(|range| range.parse().expect("a range")).to_vec();
        let rules = PeerRules { deny, ..PeerRules::default() };
        for ip in ["2a00::ff", "2a00::100", "2a00::1ff", "2a00::1:0", "2a00::1:1"] {
            assert_eq!(judge(rules.clone(), ip), None, "{ip}");
        }
        for ip in ["2a00::fe", "2a00::1:2", "2a00::2"] {
            assert_eq!(judge(rules.clone(), ip), Some(Reach::Outside), "{ip}");
        }
    }

    #[test]
    fn the_external_address_is_reached_from_inside_whatever_network_is_denied_around_it_by_default() {
        // coturn's users lock themselves out when the external address is a private one of an outer network.
        let own = vec!["192.168.1.5".parse().expect("an address")];
        let addresses = Addresses { own, external: IpAddr::from([10, 0, 0, 9]).into(), ..Addresses::default() };
        let mut peers = Peers::new(PeerRules::default(), &addresses);
        let external: IpAddr = "10.0.0.9".parse().expect("an address");
        assert_eq!(peers.judge(external, &Realms::default(), ""), Some(Reach::Inside));
        peers.change(PeerRules::default(), &Addresses::default());
        assert_eq!(peers.judge(external, &Realms::default(), ""), None, "it is ours no longer");
        assert_eq!(
            peers.judge("192.168.1.5".parse().expect("an address"), &Realms::default(), ""),
            Some(Reach::Inside)
        );
    }
}
