//! Finding a path: ICE (RFC 8445), full or lite, by the agent of `is`.
//!
//! `is` keeps whatever address an authenticated check has come from. A peer that has the password but bad intentions
//! could name millions: here only so many are let through.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceConnectionState, IceCreds};
use thiserror::Error;

/// What authenticates connectivity checks: `a=ice-ufrag` and `a=ice-pwd` (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Names the agent; checks carry it in the clear.
    pub ufrag: String,
    /// Signs checks.
    pub password: String,
}

/// What datagrams go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Each is a datagram.
    Udp,
    /// Each has its length in front of it (RFC 6544, RFC 4571).
    Tcp,
}

/// From one of our addresses to one of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// What it goes by.
    pub protocol: Protocol,
    /// Ours: what the socket is bound to.
    pub local: SocketAddr,
    /// The peer's, as we see it.
    pub remote: SocketAddr,
}

/// Which part of ICE an agent plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers checks and sends none: for a server that everybody can reach (RFC 8445 §2.5).
    Lite,
    /// Sends checks; whether it also decides (RFC 8445 §6.1.1).
    Full {
        /// Whether it nominates.
        is_controlling: bool,
    },
}

/// A candidate that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "expected a candidate with an IP address such as `candidate:1 1 udp 2113929471 203.0.113.5 10100 typ host`, got `{got}`"
)]
pub struct NotACandidate {
    got: String,
}

/// What has happened to paths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The peer has an address here: it has proved to know the password.
    Source(Protocol, SocketAddr),
    /// What is sent goes this way.
    Nominated(Path),
    /// No path answers any more.
    Lost,
}

pub(crate) struct Ice {
    agent: IceAgent,
    /// Whom checks have come from, since the last restart and before it.
    sources: [Vec<(Protocol, SocketAddr)>; 2],
    candidates: usize,
    nominated: Option<Path>,
    is_lost: bool,
}

impl Credentials {
    /// From 24 bytes nobody can guess: 48 bits of name, 144 bits of password (RFC 8445 §5.3 wants 24 and 128).
    pub fn new(random: [u8; 24]) -> Self {
        let mut text = String::with_capacity(32);
        for three in random.chunks_exact(3) {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            for shift in [18, 12, 6, 0] {
                text.push(char::from(ICE_CHARS[(bits >> shift & 63) as usize]));
            }
        }
        let password = text.split_off(8);
        Self { ufrag: text, password }
    }
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.ufrag)
    }
}

/// Whom a check is for: the first half of its USERNAME (RFC 8445 §7.2.2). `None`: it is no check.
pub fn addressee(datagram: &[u8]) -> Option<&str> {
    let message = catch_unwind(|| StunMessage::parse(datagram).ok()).ok().flatten()?;
    if !message.is_binding_request() {
        return None;
    }
    message.username().and_then(|name| name.split_once(':')).map(|(ours, _)| ours)
}

impl Ice {
    /// `tie_breaker`: RFC 8445 §5.2.
    pub(crate) fn new(
        mode: Mode,
        credentials: Credentials,
        tie_breaker: u64,
        paths: &[(Protocol, SocketAddr)],
    ) -> Self {
        let mut agent = IceAgent::new(credentials.into());
        agent.set_control_tie_breaker(tie_breaker);
        agent.set_max_candidate_pairs(PAIRS);
        match mode {
            Mode::Lite => agent.set_ice_lite(true),
            Mode::Full { is_controlling } => agent.set_controlling(is_controlling),
        }
        for (protocol, local) in paths {
            if let Ok(candidate) = Candidate::host(*local, is::Protocol::from(*protocol)) {
                agent.add_local_candidate(candidate);
            }
        }
        Self { agent, sources: Default::default(), candidates: 0, nominated: None, is_lost: false }
    }

    /// The peer's, once they are known.
    pub(crate) fn set_remote(&mut self, credentials: Credentials) {
        self.agent.set_remote_credentials(credentials.into());
    }

    /// A candidate of the peer, `candidate:…`. Those beyond [`CANDIDATES`] are passed over.
    ///
    /// # Errors
    /// It is none, or has a name instead of an address.
    pub(crate) fn add_candidate(&mut self, line: &str) -> Result<(), NotACandidate> {
        let wrong = || NotACandidate { got: line.chars().take(120).collect() };
        let candidate = catch_unwind(|| Candidate::from_sdp_string(line).ok()).ok().flatten().ok_or_else(wrong)?;
        if self.candidates < CANDIDATES {
            self.candidates += 1;
            self.agent.add_remote_candidate(candidate);
        }
        Ok(())
    }

    /// Both sides begin anew, while what is agreed on goes on (RFC 8445 §9).
    pub(crate) fn restart(&mut self, credentials: Credentials) {
        self.agent.ice_restart(credentials.into(), true);
        self.candidates = 0;
        let [now, before] = &mut self.sources;
        *before = std::mem::take(now);
    }

    /// A check, or the answer to one.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let source = (path.protocol, path.remote);
        let [known, _] = &self.sources;
        if known.len() >= SOURCES && !known.contains(&source) {
            return;
        }
        let Self { agent, .. } = self;
        // Whatever it panics about, the agent keeps what it has.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let Ok(message) = StunMessage::parse(datagram) else { return };
            let (source, destination) = (path.remote, path.local);
            if agent.handle_packet(now, StunPacket { proto: path.protocol.into(), source, destination, message }) {
                agent.handle_timeout(now);
            }
        }));
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Self { agent, .. } = self;
        let _ = catch_unwind(AssertUnwindSafe(|| agent.handle_timeout(now)));
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(Path, Vec<u8>)> {
        let transmit = self.agent.poll_transmit()?;
        let path = Path { protocol: transmit.proto.into(), local: transmit.source, remote: transmit.destination };
        Some((path, transmit.contents.into()))
    }

    pub(crate) fn poll_happened(&mut self) -> Option<Happened> {
        while let Some(event) = self.agent.poll_event() {
            match event {
                IceAgentEvent::DiscoveredRecv { proto, source } => {
                    let source = (proto.into(), source);
                    let [known, _] = &mut self.sources;
                    if !known.contains(&source) {
                        known.push(source);
                    }
                    return Some(Happened::Source(source.0, source.1));
                }
                IceAgentEvent::NominatedSend { proto, source, destination } => {
                    let path = Path { protocol: proto.into(), local: source, remote: destination };
                    self.nominated = Some(path);
                    self.is_lost = false;
                    return Some(Happened::Nominated(path));
                }
                IceAgentEvent::IceConnectionStateChange(state) => match (state, self.nominated) {
                    (IceConnectionState::Disconnected, _) if !self.is_lost => {
                        self.is_lost = true;
                        return Some(Happened::Lost);
                    }
                    (IceConnectionState::Connected | IceConnectionState::Completed, Some(path)) if self.is_lost => {
                        self.is_lost = false;
                        return Some(Happened::Nominated(path));
                    }
                    _ => {}
                },
                IceAgentEvent::IceRestart(_) => {}
            }
        }
        None
    }

    /// Whether the peer has proved to be reached there.
    pub(crate) fn is_proved(&self, path: Path) -> bool {
        self.sources.iter().any(|sources| sources.contains(&(path.protocol, path.remote)))
    }
}

impl From<Credentials> for IceCreds {
    fn from(Credentials { ufrag, password }: Credentials) -> Self {
        Self { ufrag, pass: password }
    }
}

impl From<Protocol> for is::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Udp => Self::Udp,
            Protocol::Tcp => Self::Tcp,
        }
    }
}

impl From<is::Protocol> for Protocol {
    fn from(protocol: is::Protocol) -> Self {
        match protocol {
            is::Protocol::Udp => Self::Udp,
            is::Protocol::Tcp | is::Protocol::SslTcp | is::Protocol::Tls => Self::Tcp,
        }
    }
}

/// RFC 8839 §5.1: `ice-char`.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Addresses a peer may have in one generation: several networks, each with a NAT that gives it several ports.
const SOURCES: usize = 32;
/// Candidates that are taken from a peer in one generation.
const CANDIDATES: usize = 64;
/// RFC 8445 §6.1.2.5.
const PAIRS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_as_long_as_they_must_be_and_of_the_right_letters() {
        let Credentials { ufrag, password } = Credentials::new(*b"any twenty-four octets..");
        assert_eq!((ufrag.len(), password.len()), (8, 24));
        assert!((ufrag + &password).bytes().all(|byte| ICE_CHARS.contains(&byte)));
        assert_ne!(Credentials::new([0; 24]), Credentials::new([1; 24]));
    }

    #[test]
    fn what_is_no_check_is_for_nobody() {
        for bytes in [&[][..], &[0; 20], b"GET / HTTP/1.1\r\n\r\n........", &[0x80; 200]] {
            assert_eq!(addressee(bytes), None);
        }
    }

    #[test]
    fn a_candidate_without_an_address_is_refused() {
        let mut ice = Ice::new(Mode::Lite, Credentials::new([7; 24]), 1, &[]);
        let name = "candidate:1 1 udp 2113937151 7c5e1b0a-1d4a-4c5e.local 54321 typ host";
        for line in [name, "", "candidate:", "a=b"] {
            assert!(ice.add_candidate(line).is_err(), "{line}");
        }
        assert_eq!(ice.add_candidate("candidate:1 1 udp 2113929471 203.0.113.5 10100 typ host"), Ok(()));
    }
}
