//! Where something is: the addresses of `o=`, `c=` and `a=rtcp` lines and of candidates (RFC 8866 §5.7, RFC 3605).
//!
//! Names are kept as text and never looked up here: those that browsers make for mDNS mean nothing outside their network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::malformed::Expected;
use crate::text::Token;

/// An address, or a name in its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, resolvable or not.
    Name(Token),
}

/// Which kind of address a line announces, RFC 8866 §8.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `IP4`.
    V4,
    /// `IP6`.
    V6,
}

/// `IN IP4 192.0.2.1`: the network is always the Internet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    family: Family,
    host: Host,
}

/// A `c=` line. Multicast addresses may carry a time to live and a number of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Where media is to go.
    pub address: Address,
    /// What follows the address after a slash, as it was.
    pub multicast: Option<Token>,
}

impl Host {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(ip) => Some(Self::Ip(ip)),
            Err(_) => Token::new(text).map(Self::Name),
        }
    }
}

impl Address {
    /// The address of a name.
    pub fn name(family: Family, name: Token) -> Self {
        // A name that is an address would be read back as one.
        Self::from_parts(family, Host::parse(name.as_str()).unwrap_or(Host::Name(name)))
    }

    fn from_parts(family: Family, host: Host) -> Self {
        match host {
            // Deviation: `IP4` in front of an IPv6 address, which is seen, is taken for a slip of the pen.
            Host::Ip(ip) => Self::from(ip),
            Host::Name(_) => Self { family, host },
        }
    }

    /// What stands behind `IP4` or `IP6`.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The address, if it is not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Name(_) => None,
        }
    }

    pub(crate) fn parse(net: &str, family: &str, host: &str) -> Result<Self, Expected> {
        if !net.eq_ignore_ascii_case("IN") {
            return Err("the network type `IN`");
        }
        let family = match family.to_ascii_uppercase().as_str() {
            "IP4" => Family::V4,
            "IP6" => Family::V6,
            _ => return Err("`IP4` or `IP6`"),
        };
        Ok(Self::from_parts(family, Host::parse(host).ok_or("an address or a name")?))
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        let family = if ip.is_ipv4() { Family::V4 } else { Family::V6 };
        Self { family, host: Host::Ip(ip) }
    }
}

impl Connection {
    /// Nowhere: of a description whose candidates come later (RFC 8840 §4.1.1), or of old phones that put somebody on hold.
    pub fn nowhere() -> Self {
        Self::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Whether it is nowhere: `0.0.0.0` (RFC 3264 §8.4), or `::`.
    pub fn is_nowhere(&self) -> bool {
        self.address.ip().is_some_and(|ip| ip.is_unspecified())
    }

    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let (Some(net), Some(family), Some(host), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("a network type, an address type and an address");
        };
        let (host, multicast) = match host.split_once('/') {
            Some((host, rest)) => (host, Some(Token::new(rest).ok_or("something after the slash")?)),
            None => (host, None),
        };
        Ok(Self { address: Address::parse(net, family, host)?, multicast })
    }
}

impl From<IpAddr> for Connection {
    fn from(ip: IpAddr) -> Self {
        Self { address: Address::from(ip), multicast: None }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => "IP4",
            Family::V6 => "IP6",
        };
        write!(f, "IN {family} {}", self.host)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        self.multicast.as_ref().map_or(Ok(()), |rest| write!(f, "/{rest}"))
    }
}

/// Digits only: no sign, no blank.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_printed_as_they_are_read() {
        for text in ["IN IP4 224.2.36.42/127", "IN IP6 ff15::101/3", "IN IP4 pc33.atlanta.com", "IN IP6 2001:db8::1"] {
            assert_eq!(Connection::parse(text).expect(text).to_string(), text);
        }
        assert!(Connection::parse("IN IP4 0.0.0.0").expect("nowhere").is_nowhere());
        for bad in ["", "IN IP4", "TN RFC2543 +1-201-406-4090", "IN IP5 1.1.1.1", "IN IP4 1.1.1.1 x", "IN IP4 a/"] {
            assert!(Connection::parse(bad).is_err(), "{bad}");
        }
    }
}
