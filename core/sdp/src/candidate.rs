//! ICE candidates, RFC 8839 §5.1, with the TCP types of RFC 6544 §4.5: in a description, or alone as they trickle.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::address::{Host, number};
use crate::malformed::Expected;
use crate::text::Token;

/// A place where media may be received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Candidates with the same one share a base and a server.
    pub foundation: Token,
    /// 1 is RTP, 2 is RTCP where the two are not multiplexed.
    pub component: u16,
    /// Over what.
    pub transport: Transport,
    /// Higher is better.
    pub priority: u32,
    /// An address, or an mDNS name.
    pub host: Host,
    /// The discard port, 9, where [`TcpType::Active`] has no other.
    pub port: u16,
    /// How it was found.
    pub kind: Kind,
    /// The base of a reflexive or relayed one: address and port.
    pub related: Option<(Host, u16)>,
    /// Names and values after these: `generation 0`, `ufrag abcd`, `network-cost 999`.
    pub extensions: Vec<(Token, Token)>,
}

/// Over what a candidate is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `udp`.
    Udp,
    /// `tcp`, with `tcptype`.
    Tcp(TcpType),
    /// Something else, which nobody can use: a TCP candidate without a type among it.
    Other(Token),
}

/// Who opens the connection, RFC 6544 §4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpType {
    /// The one who has the candidate.
    Active,
    /// The other one.
    Passive,
    /// Both at once.
    SimultaneousOpen,
}

/// How a candidate was found, RFC 8839 §5.1 `cand-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An own address.
    Host,
    /// As a STUN server sees it.
    ServerReflexive,
    /// As the other end sees it.
    PeerReflexive,
    /// Of a TURN server.
    Relayed,
    /// Of a kind to come, which is to be ignored.
    Other(Token),
}

impl Candidate {
    /// An address of ours, with nothing to tell about it. The priority is that of RFC 8445 §5.1.2.1 for the first of them,
    /// less by one for each `rank`.
    pub fn host(transport: Transport, address: SocketAddr, rank: u16) -> Self {
        let preference = u32::from(u16::MAX.saturating_sub(rank));
        // Two addresses of one kind have foundations of their own: they have different bases.
        let foundation = format!("{}{}", if matches!(transport, Transport::Udp) { "u" } else { "t" }, rank);
        Self {
            foundation: Token::ours(&foundation),
            component: 1,
            priority: (126 << 24) | (preference << 8) | 255,
            transport,
            host: Host::Ip(address.ip()),
            port: address.port(),
            kind: Kind::Host,
            related: None,
            extensions: Vec::new(),
        }
    }

    /// Where it is, unless that is a name.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }

    /// The value of an extension.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(found, _)| found.is(name)).map(|(_, value)| value.as_str())
    }

    /// What stands after `candidate:`.
    pub(crate) fn parse_value(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let mut next = |expected| words.next().ok_or(expected);
        let foundation = next("a foundation")?;
        let component =
            number(next("a component")?).filter(|n| (1..=256).contains(n)).ok_or("a component, 1 to 256")?;
        let transport = next("a transport")?;
        let priority = number(next("a priority")?).ok_or("a priority below 2^32")?;
        let host = Host::parse(next("an address")?).ok_or("an address")?;
        let port = number(next("a port")?).ok_or("a port")?;
        if next("`typ`")? != "typ" {
            return Err("`typ`");
        }
        let kind = Kind::parse(next("a type")?)?;
        let mut rest = Pairs::parse(words)?;
        let related = rest.related()?;
        let transport = Transport::parse(transport, &mut rest)?;
        let foundation =
            Token::new(foundation).filter(|f| f.as_str().len() <= 32).ok_or("a foundation up to 32 long")?;
        let extensions = rest.0;
        Ok(Self { foundation, component, transport, priority, host, port, kind, related, extensions })
    }
}

impl FromStr for Candidate {
    type Err = Expected;

    /// A trickled candidate: `candidate:…`, with `a=` in front or not (RFC 8838 leaves it to the protocol, browsers do without).
    fn from_str(text: &str) -> Result<Self, Expected> {
        let text = text.trim();
        let value = text.strip_prefix("a=").unwrap_or(text).strip_prefix("candidate:").ok_or("`candidate:`")?;
        if value.len() > MAX_BYTES {
            return Err("a candidate of honest length");
        }
        Self::parse_value(value)
    }
}

/// The pairs of name and value after the type.
struct Pairs(Vec<(Token, Token)>);

impl Pairs {
    fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self, Expected> {
        let mut pairs = Vec::new();
        while let Some(name) = words.next() {
            let value = words.next().ok_or("a value for each extension")?;
            let token = |word| Token::new(word).ok_or("names and values of visible characters");
            pairs.push((token(name)?, token(value)?));
        }
        Ok(Self(pairs))
    }

    fn take(&mut self, name: &str) -> Option<Token> {
        let at = self.0.iter().position(|(found, _)| found.is(name))?;
        Some(self.0.remove(at).1)
    }

    /// Both or neither; a lone one says nothing.
    fn related(&mut self) -> Result<Option<(Host, u16)>, Expected> {
        let (Some(host), port) = (self.take("raddr"), self.take("rport")) else { return Ok(None) };
        let host = Host::parse(host.as_str()).ok_or("an address after `raddr`")?;
        let port = port.and_then(|port| number(port.as_str())).ok_or("a port after `rport`")?;
        Ok(Some((host, port)))
    }
}

impl Transport {
    fn parse(text: &str, rest: &mut Pairs) -> Result<Self, Expected> {
        let other = || Token::new(text).map(Self::Other).ok_or("a transport");
        match text.to_ascii_lowercase().as_str() {
            "udp" => Ok(Self::Udp),
            "tcp" => match rest.take("tcptype") {
                Some(kind) => TcpType::parse(kind.as_str()).map(Self::Tcp),
                None => other(),
            },
            _ => other(),
        }
    }
}

impl TcpType {
    fn parse(text: &str) -> Result<Self, Expected> {
        match text {
            "active" => Ok(Self::Active),
            "passive" => Ok(Self::Passive),
            "so" => Ok(Self::SimultaneousOpen),
            _ => Err("`active`, `passive` or `so` after `tcptype`"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        }
    }
}

impl Kind {
    fn parse(text: &str) -> Result<Self, Expected> {
        match text {
            "host" => Ok(Self::Host),
            "srflx" => Ok(Self::ServerReflexive),
            "prflx" => Ok(Self::PeerReflexive),
            "relay" => Ok(Self::Relayed),
            other => Token::new(other).map(Self::Other).ok_or("a type"),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
            Self::Other(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Candidate {
    /// `candidate:…`, without `a=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match &self.transport {
            Transport::Udp => "udp",
            Transport::Tcp(_) => "tcp",
            Transport::Other(name) => name.as_str(),
        };
        let Self { foundation, component, priority, host, port, .. } = self;
        write!(f, "candidate:{foundation} {component} {transport} {priority} {host} {port} typ {}", self.kind.name())?;
        if let Some((host, port)) = &self.related {
            write!(f, " raddr {host} rport {port}")?;
        }
        if let Transport::Tcp(kind) = self.transport {
            write!(f, " tcptype {}", kind.name())?;
        }
        self.extensions.iter().try_for_each(|(name, value)| write!(f, " {name} {value}"))
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

/// A candidate with every extension known takes a fifth of it.
const MAX_BYTES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: &str) -> Candidate {
        text.parse().unwrap_or_else(|error| panic!("{text}: expected {error}"))
    }

    #[test]
    fn candidates_are_printed_as_they_are_read() {
        for text in [
            // RFC 8839 §5.1, and as browsers write them.
            "candidate:2 1 udp 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
            "candidate:1 1 udp 2130706431 2001:db8::1 8998 typ host generation 0 ufrag k2 network-cost 999",
            "candidate:0 2 udp 2122252542 e8e24564-9fa6-453e-ba2f-c10d3e28b5e6.local 52458 typ host",
            "candidate:1 1 tcp 1518083839 192.0.2.2 9 typ host tcptype active generation 0 network-id 1",
            "candidate:1 1 tcp 1 0.0.0.0 9 typ relay raddr 0.0.0.0 rport 0 tcptype so",
            "candidate:1 1 sctp 1 192.0.2.2 9 typ future",
        ] {
            assert_eq!(candidate(text).to_string(), text);
            assert_eq!(candidate(&format!("a={text}")), candidate(text));
        }
    }

    #[test]
    fn a_candidate_is_read_into_its_parts() {
        let read = candidate("candidate:2 1 UDP 16 192.0.2.3 45664 typ srflx raddr fd00::1 rport 8 ufrag abc");
        assert_eq!((read.transport.clone(), read.kind.clone()), (Transport::Udp, Kind::ServerReflexive));
        assert_eq!(read.address(), Some("192.0.2.3:45664".parse().expect("an address")));
        assert_eq!(read.related, Some((Host::Ip("fd00::1".parse().expect("an address")), 8)));
        assert_eq!(read.extension("ufrag"), Some("abc"));
        let hidden = candidate("candidate:0 1 UDP 5 b0d45018.local 5 typ host");
        assert_eq!(hidden.address(), None);
    }

    #[test]
    fn what_is_no_candidate_is_refused() {
        for bad in [
            "",
            "candidate:",
            "1 1 udp 1 1.1.1.1 1 typ host",
            "candidate:1 0 udp 1 1.1.1.1 1 typ host",
            "candidate:1 257 udp 1 1.1.1.1 1 typ host",
            "candidate:1 1 udp 4294967296 1.1.1.1 1 typ host",
            "candidate:1 1 udp 1 1.1.1.1 65536 typ host",
            "candidate:1 1 udp 1 1.1.1.1 1 type host",
            "candidate:1 1 udp 1 1.1.1.1 1 typ host odd",
            "candidate:1 1 udp 1 1.1.1.1 1 typ srflx raddr 1.1.1.1",
            "candidate:1 1 tcp 1 1.1.1.1 1 typ host tcptype sideways",
            "candidate:012345678901234567890123456789012 1 udp 1 1.1.1.1 1 typ host",
        ] {
            assert!(bad.parse::<Candidate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn our_own_candidates_rank_below_each_other() {
        let address: SocketAddr = "192.0.2.1:3478".parse().expect("an address");
        let first = Candidate::host(Transport::Udp, address, 0);
        assert_eq!(first.priority, 2_130_706_431, "RFC 8445 §5.1.2.1 for a host on its only interface");
        assert!(first.priority > Candidate::host(Transport::Udp, address, 1).priority);
        assert_eq!(candidate(&first.to_string()), first);
    }
}
