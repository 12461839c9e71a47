//! Address ranges in CIDR notation (RFC 4632, RFC 4291 §2.3), compared as numbers: never as text.

use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The part before the slash.
    #[error("expected an IPv4 or IPv6 address, optionally with /prefix; got {got:?}")]
    Address {
        /// The whole text.
        got: String,
    },
    /// The part after the slash.
    #[error("expected a prefix length of 0 to {max}; got {got:?}")]
    Prefix {
        /// The text after the slash.
        got: String,
        /// 32 or 128.
        max: u8,
    },
}

impl Cidr {
    /// The range with the first `prefix` bits of `network`. `None`: longer than the address.
    pub const fn new(network: IpAddr, prefix: u8) -> Option<Self> {
        let max = width(network);
        if prefix > max { None } else { Some(Self { network, prefix }) }
    }

    /// How many bits are the same.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the address lies inside. An IPv4 range never contains an IPv6 address: canonicalise first.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(self.prefix.into());
                let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(self.prefix.into());
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        Self { network: address, prefix: width(address) }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.trim().parse().map_err(|_| CidrError::Address { got: text.to_owned() })?;
        let Some(prefix) = prefix else { return Ok(network.into()) };
        let refused = || CidrError::Prefix { got: prefix.to_owned(), max: width(network) };
        Self::new(network, prefix.trim().parse().map_err(|_| refused())?).ok_or_else(refused)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_range_contains_its_edges_and_nothing_beside_them() {
        let inside = |range_text: &str, address: &str| range(range_text).contains(address.parse().expect("an address"));
        assert!(inside("172.16.0.0/12", "172.16.0.0") && inside("172.16.0.0/12", "172.31.255.255"));
        assert!(!inside("172.16.0.0/12", "172.32.0.0") && !inside("172.16.0.0/12", "172.15.255.255"));
        assert!(inside("fc00::/7", "fdff::1") && !inside("fc00::/7", "fe00::"));
        assert!(inside("0.0.0.0/0", "8.8.8.8") && inside("::/0", "2a00::1"));
        assert!(inside("10.0.0.1", "10.0.0.1") && !inside("10.0.0.1", "10.0.0.2"));
        assert!(!inside("0.0.0.0/0", "::1"));
    }

    #[test]
    fn a_text_that_is_no_range_is_refused_with_what_was_expected() {
        assert!(matches!("10.0.0".parse::<Cidr>(), Err(CidrError::Address { .. })));
        assert_eq!("10.0.0.0/33".parse::<Cidr>(), Err(CidrError::Prefix { got: "33".into(), max: 32 }));
        assert!(matches!("::/129".parse::<Cidr>(), Err(CidrError::Prefix { max: 128, .. })));
        assert!(matches!("::/-1".parse::<Cidr>(), Err(CidrError::Prefix { .. })));
    }
}
