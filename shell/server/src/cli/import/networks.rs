//! Ranges of addresses, as coturn writes them, and the networks they are made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address;
use crate::config::types::Cidr;

/// A network, an address, or a range of addresses, as the fewest networks.
pub(crate) fn networks(value: &str) -> Result<Vec<Cidr>, String> {
    if let Ok(network) = value.parse() {
        return Ok(vec![network]);
    }
    let wrong = || format!("expected an address, a network, or a range of addresses, got `{value}`");
    let (first, last) = value.split_once('-').ok_or_else(wrong)?;
    let (bits, first, last) = match (address(first.trim())?, address(last.trim())?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (32, first.to_bits().into(), last.to_bits().into()),
        (IpAddr::V6(first), IpAddr::V6(last)) => (128, first.to_bits(), last.to_bits()),
        _ => return Err(wrong()),
    };
    if first > last {
        return Err(wrong());
    }
    Ok(cover(bits, first, last))
}

/// What is left of some networks without others.
pub(super) fn without(networks: &[Cidr], others: &[Cidr]) -> Vec<Cidr> {
    let mut left: Vec<Range> = networks.iter().map(range).collect();
    for (bits, first, last) in others.iter().map(range) {
        let rest = |(of, from, to): Range| {
            if of != bits || to < first || last < from {
                return vec![(of, from, to)];
            }
            let below = first.checked_sub(1).filter(|end| *end >= from).map(|end| (of, from, end));
            let above = last.checked_add(1).filter(|start| *start <= to).map(|start| (of, start, to));
            below.into_iter().chain(above).collect()
        };
        left = left.into_iter().flat_map(rest).collect();
    }
    left.into_iter().flat_map(|(bits, first, last)| cover(bits, first, last)).collect()
}

/// Bits of an address of this family, first and last address.
type Range = (u32, u128, u128);

fn range(network: &Cidr) -> Range {
    let (bits, address): (u32, u128) = match network.address {
        IpAddr::V4(address) => (32, address.to_bits().into()),
        IpAddr::V6(address) => (128, address.to_bits()),
    };
    let host = 1_u128.checked_shl(bits.saturating_sub(network.prefix.into())).map_or(u128::MAX, |size| size - 1);
    (bits, address & !host, address | host)
}

/// The networks from the first to the last address: each as large as its alignment and the rest allow.
fn cover(bits: u32, mut first: u128, last: u128) -> Vec<Cidr> {
    let mut networks = Vec::new();
    loop {
        let rest = last - first;
        // Of so many addresses, a power of two: by alignment, and by what is left.
        let left = if rest == u128::MAX { 128 } else { (rest + 1).ilog2() };
        let size = first.trailing_zeros().min(bits).min(left);
        let address = match u32::try_from(first) {
            Ok(v4) if bits == 32 => IpAddr::V4(Ipv4Addr::from_bits(v4)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(first)),
        };
        networks.push(Cidr { address, prefix: u8::try_from(bits - size).unwrap_or(0) });
        let next = 1_u128.checked_shl(size).and_then(|size| first.checked_add(size));
        match next {
            Some(next) if next <= last => first = next,
            _ => return networks,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many addresses, if no two networks have one in common and all lie in the order they are told.
    fn size(networks: &[Cidr]) -> Option<u128> {
        let (mut size, mut next) = (0_u128, 0);
        for (_, first, last) in networks.iter().map(range) {
            if first < next {
                return None;
            }
            size = size.checked_add(last - first)?.checked_add(1)?;
            next = last.checked_add(1)?;
        }
        Some(size)
    }

    proptest! {
        #[test]
        fn a_range_is_covered_exactly(ends in any::<[u32; 2]>(), shift in 0_u32..32, wide in any::<[u64; 2]>()) {
            for text in [ends.map(|end| end >> shift).map(Ipv4Addr::from_bits).map(|end| end.to_string()),
                         wide.map(|end| Ipv6Addr::from_bits(u128::from(end) << shift).to_string())] {
                let [one, other] = &text;
                let (first, last): (IpAddr, IpAddr) = (one.parse().expect("an address"), other.parse().expect("an address"));
                let (first, last) = (first.min(last), first.max(last));
                let found = networks(&format!("{first}-{last}")).expect("networks");
                let bits = |ip: IpAddr| match ip { IpAddr::V4(ip) => ip.to_bits().into(), IpAddr::V6(ip) => ip.to_bits() };
                prop_assert_eq!(size(&found), Some(bits(last) - bits(first) + 1));
                prop_assert_eq!(found.first().map(|network| network.address), Some(first));
                // What is taken out of it is gone, and the rest is there.
                let (half, rest) = found.split_at(found.len() / 2);
                prop_assert_eq!(size(&without(&found, half)), size(rest));
            }
        }

        #[test]
        fn no_text_is_too_odd(text in "[0-9a-f:./ -]{0,60}", any in ".{0,60}") {
            let _ = networks(&text);
            let _ = networks(&any);
        }
    }

    #[test]
    fn a_range_becomes_the_fewest_networks() {
        for (range, wanted) in [
            ("192.0.2.1", vec!["192.0.2.1/32"]),
            ("192.0.2.1-192.0.2.6", vec!["192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6/32"]),
            ("0.0.0.0-255.255.255.255", vec!["0.0.0.0/0"]),
            ("255.255.255.255-255.255.255.255", vec!["255.255.255.255/32"]),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", vec!["::/0"]),
            ("2001:db8::-2001:db8::ff", vec!["2001:db8::/120"]),
        ] {
            let found: Vec<String> = networks(range).unwrap_or_default().iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted, "{range}");
        }
        for wrong in ["", "x", "10.0.0.2-10.0.0.1", "10.0.0.1-::1"] {
            assert!(networks(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_are_taken_out_of_networks() {
        let all = |texts: &[&str]| texts.iter().flat_map(|text| networks(text).expect("networks")).collect::<Vec<_>>();
        for (of, others, wanted) in [
            (&["10.0.0.0/8"][..], &["10.0.0.0/9"][..], &["10.128.0.0/9"][..]),
            (&["10.0.0.0/24"], &["10.0.0.1"], &["10.0.0.0", "10.0.0.2-10.0.0.255"]),
            (&["0.0.0.0/0"], &["0.0.0.0/0"], &[]),
            (&["::/0"], &["::/0", "10.0.0.0/8"], &[]),
            (&["10.0.0.0/8", "::1"], &["192.0.2.1", "11.0.0.0/8"], &["10.0.0.0/8", "::1"]),
        ] {
            assert_eq!(without(&all(of), &all(others)), all(wanted), "{of:?} without {others:?}");
        }
    }
}
