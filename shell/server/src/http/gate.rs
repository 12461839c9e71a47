//! How many connections there may be, in total and from one address. Asked before a TLS handshake costs anything.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::types::Cidr;

/// Counts connections.
#[derive(Debug)]
pub struct Gate {
    total: usize,
    per_address: u32,
    exempt: Vec<Cidr>,
    open: Mutex<Open>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, u32>,
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// `limits.connections`.
    Total,
    /// `limits.connections_per_address`.
    Address,
}

impl Full {
    /// For the metric.
    pub fn label(self) -> &'static str {
        match self {
            Full::Total => "total",
            Full::Address => "address",
        }
    }
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    counted: Option<IpAddr>,
}

impl Gate {
    /// Addresses in `exempt` (reverse proxies) are counted in the total only.
    pub fn new(total: usize, per_address: u32, exempt: Vec<Cidr>) -> Arc<Gate> {
        Arc::new(Gate { total, per_address, exempt, open: Mutex::default(), emptied: Notify::new() })
    }

    /// Takes a place for somebody who is not known yet.
    pub fn enter_unknown(self: &Arc<Self>) -> Result<Pass, Full> {
        let mut open = self.lock();
        if open.total >= self.total {
            return Err(Full::Total);
        }
        open.total += 1;
        Ok(Pass { gate: self.clone(), counted: None })
    }

    /// Takes a place.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Pass, Full> {
        let mut pass = self.enter_unknown()?;
        pass.identify(address)?;
        Ok(pass)
    }

    /// Places taken.
    pub fn open(&self) -> usize {
        self.lock().total
    }

    /// Waits until nobody is in.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.open() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// The counters are whole after each statement that changes them: a panic elsewhere cannot have torn them.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Counts it as one of this address.
    pub fn identify(&mut self, address: IpAddr) -> Result<(), Full> {
        if self.counted.is_some() || self.gate.exempt.iter().any(|net| net.contains(address)) {
            return Ok(());
        }
        let key = subscriber(address);
        let mut open = self.gate.lock();
        let count = open.by_address.entry(key).or_insert(0);
        if *count >= self.gate.per_address {
            return Err(Full::Address);
        }
        *count += 1;
        self.counted = Some(key);
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.total = open.total.saturating_sub(1);
        if open.total == 0 {
            self.gate.emptied.notify_waiters();
        }
        let Some(key) = self.counted else { return };
        if let Some(count) = open.by_address.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&key);
            }
        }
    }
}

/// What one subscriber is given: an IPv4 address, or the first 64 bits of an IPv6 one.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_gets_its_share_and_gets_it_back_when_a_connection_ends() {
        let gate = Gate::new(10, 2, Vec::new());
        let first = gate.enter(address("192.0.2.1")).expect("the first");
        let _second = gate.enter(address("::ffff:192.0.2.1")).expect("the second");
        assert_eq!(gate.enter(address("192.0.2.1")).expect_err("the third"), Full::Address);
        let _other = gate.enter(address("192.0.2.2")).expect("another address");
        drop(first);
        assert!(gate.enter(address("192.0.2.1")).is_ok());
        assert_eq!(gate.open(), 2);
    }

    #[test]
    fn one_who_is_known_later_counts_from_then_on() {
        let gate = Gate::new(3, 1, Vec::new());
        let mut first = gate.enter_unknown().expect("the first");
        first.identify(address("192.0.2.1")).expect("room for it");
        let mut second = gate.enter_unknown().expect("the second");
        assert_eq!(second.identify(address("192.0.2.1")).expect_err("no room"), Full::Address);
        assert_eq!(gate.open(), 2);
        drop(first);
        second.identify(address("192.0.2.1")).expect("room again");
        drop(second);
        assert_eq!(gate.open(), 0);
        assert!(gate.lock().by_address.is_empty());
    }

    #[test]
    fn an_ipv6_subscriber_is_a_64_bit_prefix() {
        let gate = Gate::new(10, 1, Vec::new());
        let _first = gate.enter(address("2001:db8:0:1::1")).expect("the first");
        assert_eq!(gate.enter(address("2001:db8:0:1:ffff::2")).expect_err("same subscriber"), Full::Address);
        assert!(gate.enter(address("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn the_total_holds_for_everyone_and_the_share_not_for_proxies() {
        let gate = Gate::new(3, 1, vec!["127.0.0.0/8".parse().expect("a network")]);
        let passes: Vec<_> = (0..3).map(|_| gate.enter(address("127.0.0.1")).expect("a proxy")).collect();
        assert_eq!(gate.enter(address("192.0.2.1")).expect_err("full"), Full::Total);
        drop(passes);
        assert_eq!(gate.open(), 0);
        assert!(gate.lock().by_address.is_empty());
    }
}
