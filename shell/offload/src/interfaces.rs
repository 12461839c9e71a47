//! The network interfaces of this host: number, Ethernet address, and which of them lead out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::io;

/// One interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) number: u32,
    /// `None`: packets do not come in Ethernet frames there.
    pub(crate) ethernet: Option<[u8; 6]>,
}

/// All interfaces by name.
pub(crate) fn all() -> io::Result<BTreeMap<String, Interface>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` takes the address of a list that is ours until freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (mut found, mut entry) = (BTreeMap::new(), list);
    // SAFETY: each entry, its name, and its address of the family it names are valid until the list is freed.
    while let Some(item) = unsafe { entry.as_ref() } {
        // SAFETY: as above; the length of a link-layer address is part of it.
        if let Some((name, interface)) = unsafe { link(item) } {
            found.insert(name, interface);
        }
        entry = item.ifa_next;
    }
    // SAFETY: made by getifaddrs, freed once.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// The link-layer entry of an interface.
///
/// # Safety
/// The entry must come from a list of getifaddrs that has not been freed.
unsafe fn link(item: &libc::ifaddrs) -> Option<(String, Interface)> {
    // SAFETY: null, or an address with its family in front.
    let family = i32::from(unsafe { item.ifa_addr.as_ref() }?.sa_family);
    if family != libc::AF_PACKET {
        return None;
    }
    // SAFETY: the family says which type it is.
    let address: libc::sockaddr_ll = unsafe { item.ifa_addr.cast::<libc::sockaddr_ll>().read_unaligned() };
    // SAFETY: a name that ends with zero.
    let name = unsafe { CStr::from_ptr(item.ifa_name) }.to_str().ok()?.to_owned();
    let ethernet = (address.sll_hatype == libc::ARPHRD_ETHER && address.sll_halen == 6)
        .then(|| address.sll_addr.first_chunk().copied())
        .flatten();
    Some((name, Interface { number: u32::try_from(address.sll_ifindex).ok()?, ethernet }))
}

/// Whether there is a device behind an interface, were it a virtual machine's.
pub(crate) fn is_hardware(name: &str) -> bool {
    std::fs::exists(format!("/sys/class/net/{name}/device")).unwrap_or(false)
}

/// The interfaces that a default route leads to.
pub(crate) fn leading_out() -> BTreeSet<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (read("/proc/thread-self/net/route"), read("/proc/thread-self/net/ipv6_route"));
    parse_v4(&v4).chain(parse_v6(&v6)).filter(|name| name != "lo").collect()
}

/// `eth0 00000000 ...`: destination and, as the eighth, mask are zero.
fn parse_v4(table: &str) -> impl Iterator<Item = String> {
    table.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        (columns.get(1) == Some(&"00000000") && columns.get(7) == Some(&"00000000"))
            .then(|| columns.first().map(|name| (*name).to_owned()))
            .flatten()
    })
}

/// `00000000000000000000000000000000 00 ... eth0`.
fn parse_v6(table: &str) -> impl Iterator<Item = String> {
    table.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        (columns.first() == Some(&"00000000000000000000000000000000") && columns.get(1) == Some(&"00"))
            .then(|| columns.last().map(|name| (*name).to_owned()))
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_name_the_interfaces_that_lead_out() {
        let v4 = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                  eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  eth1\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(parse_v4(v4).collect::<Vec<_>>(), ["eth0"]);
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 wan0\n\
             fe800000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth1\n"
        );
        assert_eq!(parse_v6(&v6).collect::<Vec<_>>(), ["wan0"]);
    }

    #[test]
    fn the_loopback_interface_is_there_and_is_no_ethernet() {
        let all = all().expect("interfaces");
        assert_eq!(all.get("lo").map(|lo| lo.ethernet), Some(None), "{all:?}");
    }
}
