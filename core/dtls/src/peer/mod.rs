//! One end of a WebRTC connection: DTLS with certificates on both sides and keys for SRTP (RFC 5763, RFC 5764).
//!
//! The peer's certificate is known by its fingerprint only (RFC 8122); any other one ends the connection. There is no
//! cookie: the caller hands in what comes over a path that ICE has proved (RFC 8827 §6.5), and nothing else.
//!
//! ```text
//!          ┌─ browsers: dimpl ────────────────────────┐
//!   Peer ──┤                                          ├── Step ──► Peer: certificate, keys, state ──► PeerEvent
//!          └─ everybody: front ─ whole flights ─ rtc-dtls ─┘
//! ```
//!
//! Why there are two is in `docs/decisions/0009`.

mod browsers;
mod crypto;
mod everybody;
mod fingerprint;
mod front;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

pub use self::fingerprint::{Fingerprint, NotAFingerprint};
use crate::identity::Identity;
use crate::provider::write_nonces;

/// What all connections of this process share: our certificate, and settings that cost a millisecond to make.
#[derive(Clone)]
pub struct Local {
    browsers: Arc<dimpl::Config>,
    everybody: everybody::Settings,
    identity: Identity,
}

/// With whom a connection can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// With whoever has an ECDSA certificate, as all browsers have: the cheaper and shorter way.
    Browsers,
    /// Also with whoever has an RSA certificate: telephones, gateways, GStreamer up to 1.22.
    Everybody,
}

/// Who begins the handshake (RFC 4145 §4, RFC 8842 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We: `a=setup:active`.
    Client,
    /// The peer: `a=setup:passive`.
    Server,
}

/// The cipher of SRTP that was agreed on, and the keys: RFC 5764 §4.2.
pub struct SrtpKeys {
    /// Which cipher.
    pub profile: SrtpProfile,
    /// Master key and salt of what we send.
    pub ours: (Vec<u8>, Vec<u8>),
    /// Of what the peer sends.
    pub theirs: (Vec<u8>, Vec<u8>),
}

/// Without the keys.
impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKeys({:?}, …)", self.profile)
    }
}

/// RFC 5764 §4.1.2, RFC 7714 §14.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpProfile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`.
    Aes128CmSha1_80,
    /// `SRTP_AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`.
    AeadAes256Gcm,
}

/// What a connection wants, or has got.
pub enum PeerEvent<'a> {
    /// To the peer.
    Send(&'a [u8]),
    /// From the peer: data of applications.
    Received(&'a [u8]),
    /// Keys for media; the peer has shown the certificate that was expected.
    Keys(SrtpKeys),
    /// Messages can be sent from here on.
    Connected,
    /// It is over, and this is why.
    Ended(Ended),
    /// Nothing more before then, or ever, unless something comes.
    Wait(Option<Instant>),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Ended {
    /// RFC 5246 §7.2.1.
    #[error("the peer has said good-bye")]
    Closed,
    /// RFC 8122 §5: somebody else than the one that signalling told of.
    #[error("the peer's certificate is another one than its description says")]
    WrongCertificate,
    /// RFC 5764 §4.1: without it no media can flow.
    #[error("the peer speaks none of our SRTP ciphers")]
    NoSrtp,
    /// What it sent made no sense, or it did not answer in time.
    #[error("the DTLS handshake or connection has failed")]
    Failed,
}

/// One connection.
pub struct Peer {
    engine: Option<Engine>,
    role: Role,
    expected: Vec<Fingerprint>,
    state: State,
    buffer: Vec<u8>,
}

/// What handshakes and records are done by.
enum Engine {
    Browsers(browsers::Engine),
    Everybody(Box<everybody::Engine>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Whether the peer has shown the certificate that was expected.
    Handshaking {
        certified: bool,
    },
    /// The handshake is over; whether there are keys.
    Finished {
        keyed: bool,
    },
    Connected,
    /// To be told, or told.
    Ended(Ended),
    Silent,
}

impl Local {
    /// Makes what connections share.
    ///
    /// # Errors
    /// The key of the certificate cannot be used, or the cryptography failed its own test.
    pub fn new(identity: Identity) -> Result<Self, Ended> {
        if !identity.is_usable() {
            return Err(Ended::Failed);
        }
        let browsers = browsers::settings().ok_or(Ended::Failed)?;
        let everybody = everybody::Settings::new(&identity).ok_or(Ended::Failed)?;
        Ok(Self { browsers, everybody, identity })
    }

    /// Of our certificate, for descriptions.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(fingerprint::Hash::Sha256, &self.identity.0.certificate)
    }
}

impl Peer {
    /// A connection to whoever has a certificate of one of these fingerprints. A client begins at once.
    pub fn new(now: Instant, local: &Local, role: Role, expected: Vec<Fingerprint>, breadth: Breadth) -> Self {
        let engine = match breadth {
            Breadth::Browsers => {
                browsers::Engine::new(now, &local.browsers, &local.identity, role).map(Engine::Browsers)
            }
            Breadth::Everybody => {
                everybody::Engine::new(now, &local.everybody, role).map(|engine| Engine::Everybody(Box::new(engine)))
            }
        };
        let begun = State::Handshaking { certified: false };
        let state = if engine.is_some() { begun } else { State::Ended(Ended::Failed) };
        Self { engine, role, expected, state, buffer: vec![0; BUFFER] }
    }

    /// A datagram from the peer.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        let fed = match self.living() {
            Some((Engine::Browsers(engine), _)) => engine.handle_datagram(now, datagram),
            Some((Engine::Everybody(engine), expected)) => engine.handle_datagram(now, datagram, expected),
            None => return,
        };
        match (fed, self.state) {
            (Fed::Taken, _) => {}
            // RFC 6347 §4.1.2.7: what makes no sense is dropped, unless the library itself cannot go on.
            (Fed::Nonsense, State::Connected) => {}
            _ => self.state = State::Ended(Ended::Failed),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let goes_on = match self.living() {
            Some((Engine::Browsers(engine), _)) => engine.handle_timeout(now),
            Some((Engine::Everybody(engine), _)) => engine.handle_timeout(now),
            None => return,
        };
        if !goes_on {
            self.state = State::Ended(Ended::Failed);
        }
    }

    /// Sends data of applications. `false`: there is no connection (any more), or not yet, or so much fits into no datagram.
    pub fn send(&mut self, message: &[u8]) -> bool {
        self.state == State::Connected
            && message.len() <= LONGEST
            && match self.living() {
                Some((Engine::Browsers(engine), _)) => engine.send(message),
                Some((Engine::Everybody(engine), _)) => engine.send(message),
                None => false,
            }
    }

    /// Says good-bye (RFC 5246 §7.2.1); nothing is told after that.
    pub fn close(&mut self) {
        match self.living() {
            Some((Engine::Browsers(engine), _)) => engine.close(),
            Some((Engine::Everybody(engine), _)) => engine.close(),
            None => {}
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended(_) | State::Silent)
    }

    /// What to do next. Drain after every call, until [`PeerEvent::Wait`] or [`PeerEvent::Ended`].
    pub fn poll_output(&mut self) -> PeerEvent<'_> {
        loop {
            match self.state {
                State::Ended(why) => {
                    // What is kept of it is of no use any more.
                    (self.state, self.engine) = (State::Silent, None);
                    return PeerEvent::Ended(why);
                }
                State::Silent => return PeerEvent::Wait(None),
                State::Finished { keyed: true } => {
                    self.state = State::Connected;
                    return PeerEvent::Connected;
                }
                State::Handshaking { .. } | State::Finished { keyed: false } | State::Connected => {}
            }
            // The buffer is lent for as long as the event lives: so what is in it is told by its length first.
            let step = match &mut self.engine {
                Some(Engine::Browsers(engine)) => engine.poll(&mut self.buffer),
                Some(Engine::Everybody(engine)) => engine.poll(&mut self.buffer),
                None => Step::Ended(Ended::Failed),
            };
            match step {
                Step::Send(length) => {
                    let packet = self.buffer.get_mut(..length).unwrap_or_default();
                    write_nonces(packet);
                    return PeerEvent::Send(packet);
                }
                Step::Received(length) => {
                    return PeerEvent::Received(self.buffer.get(..length).unwrap_or_default());
                }
                Step::Certificate(certificate) => self.on_certificate(&certificate),
                Step::Keys(material, profile) => {
                    if let Some(keys) = self.on_keys(&material, profile) {
                        return PeerEvent::Keys(keys);
                    }
                }
                Step::Connected if self.state == (State::Handshaking { certified: true }) => {
                    self.state = State::Finished { keyed: false };
                }
                Step::Connected => self.state = State::Ended(Ended::WrongCertificate),
                Step::Ended(why) => self.state = State::Ended(why),
                // The keys are told right after the end of the handshake, or never.
                Step::Wait(_) if self.state == (State::Finished { keyed: false }) => {
                    self.state = State::Ended(Ended::NoSrtp);
                }
                Step::Wait(at) => return PeerEvent::Wait(at),
            }
        }
    }

    /// What goes on, as long as it is not over.
    fn living(&mut self) -> Option<(&mut Engine, &[Fingerprint])> {
        if self.is_over() {
            return None;
        }
        Some((self.engine.as_mut()?, &self.expected))
    }

    fn on_certificate(&mut self, certificate: &[u8]) {
        match &mut self.state {
            State::Handshaking { certified } if self.expected.iter().any(|one| one.fits(certificate)) => {
                *certified = true;
            }
            _ => self.state = State::Ended(Ended::WrongCertificate),
        }
    }

    /// RFC 5764 §4.2: key of the client, of the server, salt of the client, of the server.
    fn on_keys(&mut self, material: &[u8], profile: SrtpProfile) -> Option<SrtpKeys> {
        let (key, salt) = profile.lengths();
        let State::Finished { keyed } = &mut self.state else {
            self.state = State::Ended(Ended::WrongCertificate);
            return None;
        };
        let part = |from: usize, length: usize| material.get(from..from + length).map(<[u8]>::to_vec);
        let client = (part(0, key)?, part(2 * key, salt)?);
        let server = (part(key, key)?, part(2 * key + salt, salt)?);
        *keyed = true;
        let (ours, theirs) = if self.role == Role::Client { (client, server) } else { (server, client) };
        Some(SrtpKeys { profile, ours, theirs })
    }
}

/// What came of a datagram.
enum Fed {
    Taken,
    Nonsense,
    /// A panic: the engine must not be touched again.
    Broken,
}

/// What an engine says; what is to be sent and what was received lies in the buffer, so long.
enum Step {
    Send(usize),
    Received(usize),
    /// The one that the peer has shown.
    Certificate(Vec<u8>),
    /// Exported for SRTP: RFC 5764 §4.2.
    Keys(Vec<u8>, SrtpProfile),
    /// The handshake is over.
    Connected,
    Ended(Ended),
    Wait(Option<Instant>),
}

impl SrtpProfile {
    /// Of a master key, and of a master salt.
    fn lengths(self) -> (usize, usize) {
        match self {
            Self::Aes128CmSha1_80 => (16, 14),
            Self::AeadAes128Gcm => (16, 12),
            Self::AeadAes256Gcm => (32, 12),
        }
    }
}

/// Seconds. RFC 8827 §6.5 sets none; whoever has not finished by then will not.
const HANDSHAKE: u64 = 30;
/// Any datagram fits.
const BUFFER: usize = 4_096;
/// What fits into a record in it: a header, the explicit nonce, the tag of AES-GCM.
const LONGEST: usize = BUFFER - 13 - 8 - 16;
