//! NAT behaviour discovery, RFC 5780 (and what RFC 3489 had of it): a client learns how the NAT in front of it maps and
//! filters, by answers from another address and port of ours. Needs two addresses and two ports, all four reachable.
//!
//! An answer is never longer than its request by more than the three addresses in it, and goes to the address the request
//! came from, whatever port the client names.

use std::net::{IpAddr, SocketAddr};

use crate::turn::{External, FiveTuple, Transport};
use crate::wire::Stun;

/// Our addresses and ports: every pair of one of each must be a listener of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Two of one family.
    pub addresses: [IpAddr; 2],
    /// Two different ones.
    pub ports: [u16; 2],
}

/// What a request wants beside its mapped address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    other_ip: bool,
    other_port: bool,
    /// RESPONSE-PORT.
    port: Option<u16>,
    /// Length of PADDING.
    padding: Option<usize>,
}

/// Where an answer leaves, where it goes, and what it says of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) to: FiveTuple,
    /// As clients know the address it leaves.
    pub(crate) origin: SocketAddr,
    /// And the address that shares neither address nor port with the one that was asked.
    pub(crate) other: SocketAddr,
    /// Bytes of PADDING for the answer.
    pub(crate) padding: Option<usize>,
}

/// Why there is no such way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Wanted {
    /// Reads what the request wants; the first attribute of a kind counts.
    pub(crate) fn parse(stun: Stun<'_>) -> Result<Self, Refused> {
        let mut wanted = Self::default();
        let first = |wanted_kind| stun.attributes().find(|&(kind, _)| kind == wanted_kind).map(|(_, value)| value);
        if let Some(value) = first(CHANGE_REQUEST) {
            let &[_, _, _, flags] = value else { return Err(Refused) };
            (wanted.other_ip, wanted.other_port) = (flags & CHANGE_IP != 0, flags & CHANGE_PORT != 0);
        }
        if let Some(value) = first(RESPONSE_PORT) {
            let &[p0, p1, ..] = value else { return Err(Refused) };
            wanted.port = Some(u16::from_be_bytes([p0, p1])).filter(|&port| port != 0);
            // A port of zero is nobody's.
            wanted.port.ok_or(Refused)?;
        }
        wanted.padding = first(PADDING).map(<[u8]>::len);
        Ok(wanted)
    }

    fn is_plain(self) -> bool {
        self == Self::default()
    }
}

impl Discovery {
    /// Where the answer goes. `None`: the request has come to none of the four, and is answered plainly.
    pub(crate) fn way(&self, from: FiveTuple, wanted: Wanted, external: &External) -> Result<Option<Way>, Refused> {
        let Some(other) = self.other(from.server) else {
            return if wanted.is_plain() { Ok(None) } else { Err(Refused) };
        };
        // RFC 5780 §7.2 and §7.5: over UDP only. §6.1: a padded answer goes back where the request came from.
        let contradicts = wanted.padding.is_some() && wanted.port.is_some();
        if contradicts || (from.transport != Transport::Udp && !wanted.is_plain()) {
            return Err(Refused);
        }
        let ip = if wanted.other_ip { other.ip() } else { from.server.ip() };
        let port = if wanted.other_port { other.port() } else { from.server.port() };
        let client = SocketAddr::new(from.client.ip(), wanted.port.unwrap_or(from.client.port()));
        let to = FiveTuple { server: SocketAddr::new(ip, port), client, ..from };
        let padding = wanted.padding.map(|length| length.saturating_sub(ADDRESSES) / 4 * 4);
        Ok(Some(Way { to, origin: external.of(to.server), other: external.of(other), padding }))
    }

    fn other(&self, server: SocketAddr) -> Option<SocketAddr> {
        let [ip, other_ip] = self.addresses;
        let [port, other_port] = self.ports;
        let ip = if server.ip() == ip { other_ip } else { (server.ip() == other_ip).then_some(ip)? };
        let port = if server.port() == port { other_port } else { (server.port() == other_port).then_some(port)? };
        Some(SocketAddr::new(ip, port))
    }
}

/// CHANGE-REQUEST, RFC 5780 §7.2.
pub(crate) const CHANGE_REQUEST: u16 = 0x0003;
/// RFC 5780 §7.6.
pub(crate) const PADDING: u16 = 0x0026;
/// RFC 5780 §7.5.
pub(crate) const RESPONSE_PORT: u16 = 0x0027;
const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;
/// What the addresses in an answer take, at most: three of IPv6.
const ADDRESSES: usize = 3 * 24;
