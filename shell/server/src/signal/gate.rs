//! How many connections there may be, in all and from one address. A [`Pass`] is held as long as its connection lives.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics;

/// Connections at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// In all.
    pub total: usize,
    /// From one IPv4 address, or from one IPv6 network of 64 bits (what one household gets).
    pub per_address: usize,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { total: 20_000, per_address: 200 }
    }
}

/// Why nobody enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// The server has all the connections it may have.
    #[error("the server has reached its limit of {0} connections")]
    Total(usize),
    /// This address has.
    #[error("this address has reached its limit of {0} connections")]
    Address(usize),
}

/// Counts connections.
#[derive(Debug)]
pub struct Gate {
    limits: GateLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Permission of one connection; leaves when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    pub(super) fn new(limits: GateLimits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Pass, Shut> {
        self.admit(address).inspect_err(|shut| {
            let limit = match shut {
                Shut::Total(_) => "total",
                Shut::Address(_) => "address",
            };
            metrics::SIGNAL_SHUT_OUT_TOTAL.add_labelled(limit, 1);
        })
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Pass, Shut> {
        let address = household(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.limits.total {
            return Err(Shut::Total(self.limits.total));
        }
        let of_address = counts.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.limits.per_address {
            return Err(Shut::Address(self.limits.per_address));
        }
        counts.by_address.insert(address, of_address + 1);
        counts.total += 1;
        Ok(Pass { gate: Arc::clone(self), address })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        if let Some(of_address) = counts.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_at_its_limit_is_shut_out_and_others_are_not() {
        let gate = Gate::new(GateLimits { total: 3, per_address: 2 });
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = gate.enter(a).unwrap();
        let _second = gate.enter(a).unwrap();
        assert_eq!(gate.enter(a).unwrap_err(), Shut::Address(2));
        let _third = gate.enter(b).unwrap();
        assert_eq!(gate.enter(b).unwrap_err(), Shut::Total(3));
        drop(first);
        gate.enter(a).unwrap();
    }

    #[test]
    fn one_ipv6_network_counts_as_one_address_and_leaves_nothing_behind() {
        let gate = Gate::new(GateLimits { total: 9, per_address: 1 });
        let pass = gate.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(gate.enter("2001:db8::ffff:2".parse().unwrap()).unwrap_err(), Shut::Address(1));
        let other = gate.enter("2001:db8:0:1::1".parse().unwrap()).unwrap();
        drop((pass, other));
        let counts = gate.counts.lock().unwrap();
        assert!(counts.total == 0 && counts.by_address.is_empty());
    }
}
