//! One end of a WebRTC connection: DTLS with certificates on both sides and keys for SRTP (RFC 5763, RFC 5764).
//!
//! The peer's certificate is known by its fingerprint only (RFC 8122); any other one ends the connection. There is no
//! cookie: the caller hands in what comes over a path that ICE has proved (RFC 8827 §6.5), and nothing else.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Output};
use ring::digest;
use thiserror::Error;

use crate::association::{AES128_GCM, guarded};
use crate::identity::Identity;
use crate::provider::{self, write_nonces};

/// What all connections of this process share: our certificate, and settings that cost a millisecond to make.
#[derive(Clone)]
pub struct Local {
    config: Arc<Config>,
    identity: Identity,
}

/// Who begins the handshake (RFC 4145 §4, RFC 8842 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We: `a=setup:active`.
    Client,
    /// The peer: `a=setup:passive`.
    Server,
}

/// A certificate's hash, RFC 8122 §5.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: Hash,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A text that is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected a fingerprint such as `sha-256 AB:CD:…` with sha-256, sha-384 or sha-512, got `{got}`")]
pub struct NotAFingerprint {
    got: String,
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
    dtls: Box<Dtls>,
    expected: Vec<Fingerprint>,
    state: State,
    buffer: Vec<u8>,
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
        let config = Config::builder()
            .with_crypto_provider(provider::provider())
            .require_client_certificate(true)
            .use_server_cookie(false)
            .dtls12_cipher_suites(&[AES128_GCM])
            .handshake_timeout(HANDSHAKE)
            .build()
            .map_err(|_| Ended::Failed)?;
        if !identity.is_usable() {
            return Err(Ended::Failed);
        }
        Ok(Self { config: Arc::new(config), identity })
    }

    /// Of our certificate, for descriptions.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(Hash::Sha256, &self.identity.0.certificate)
    }
}

impl Fingerprint {
    fn of(hash: Hash, certificate: &[u8]) -> Self {
        let algorithm = match hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        Self { hash, value: digest::digest(algorithm, certificate).as_ref().to_vec() }
    }

    /// Reads the value of `a=fingerprint`.
    ///
    /// # Errors
    /// It is none, or by a hash that is not taken any more.
    pub fn parse(text: &str) -> Result<Self, NotAFingerprint> {
        let wrong = || NotAFingerprint { got: text.chars().take(120).collect() };
        let (name, digits) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let hash = match name.to_ascii_lowercase().as_str() {
            "sha-256" => Hash::Sha256,
            "sha-384" => Hash::Sha384,
            "sha-512" => Hash::Sha512,
            _ => return Err(wrong()),
        };
        let byte = |pair: &str| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten();
        let value: Option<Vec<u8>> = digits.trim().split(':').take(65).map(byte).collect();
        let value = value.filter(|value| value.len() == hash.length()).ok_or_else(wrong)?;
        Ok(Self { hash, value })
    }

    fn fits(&self, certificate: &[u8]) -> bool {
        Self::of(self.hash, certificate) == *self
    }
}

impl Hash {
    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

/// As it stands in `a=fingerprint`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash.name())?;
        for (i, byte) in self.value.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i > 0 { ":" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Peer {
    /// A connection to whoever has a certificate of one of these fingerprints. A client begins at once.
    pub fn new(now: Instant, local: &Local, role: Role, expected: Vec<Fingerprint>) -> Self {
        let begin = || {
            let mut dtls = Box::new(Dtls::new_12(local.config.clone(), local.identity.0.clone(), now));
            dtls.set_active(role == Role::Client);
            let begun = dtls.handle_timeout(now).is_ok();
            (dtls, begun)
        };
        let (dtls, begun) = begin();
        let state = if begun { State::Handshaking { certified: false } } else { State::Ended(Ended::Failed) };
        Self { dtls, expected, state, buffer: vec![0; BUFFER] }
    }

    /// A datagram from the peer.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.is_over() {
            return;
        }
        let Self { dtls, .. } = self;
        let fed = guarded(|| dtls.handle_timeout(now).and_then(|()| dtls.handle_packet(datagram)));
        match (fed, self.state) {
            (Some(Ok(())), _) => {}
            // RFC 6347 §4.1.2.7: what makes no sense is dropped, unless `dimpl` itself cannot go on.
            (Some(Err(_)), State::Connected) => {}
            _ => self.state = State::Ended(Ended::Failed),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Self { dtls, .. } = self;
        if !matches!(self.state, State::Ended(_) | State::Silent)
            && !matches!(guarded(|| dtls.handle_timeout(now)), Some(Ok(())))
        {
            self.state = State::Ended(Ended::Failed);
        }
    }

    /// Sends data of applications. `false`: there is no connection (any more), or not yet.
    pub fn send(&mut self, message: &[u8]) -> bool {
        let Self { dtls, .. } = self;
        self.state == State::Connected && matches!(guarded(|| dtls.send_application_data(message)), Some(Ok(_)))
    }

    /// Says good-bye (RFC 5246 §7.2.1); nothing is told after that.
    pub fn close(&mut self) {
        let Self { dtls, .. } = self;
        let _ = guarded(|| dtls.close());
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
                    self.state = State::Silent;
                    return PeerEvent::Ended(why);
                }
                State::Silent => return PeerEvent::Wait(None),
                State::Finished { keyed: true } => {
                    self.state = State::Connected;
                    return PeerEvent::Connected;
                }
                State::Handshaking { .. } | State::Finished { keyed: false } | State::Connected => {}
            }
            let Self { dtls, buffer, .. } = self;
            // The buffer is lent for as long as the event lives: so what is in it is told by its length first.
            let step = guarded(|| Step::of(dtls.poll_output(buffer)));
            match step.unwrap_or(Step::Ended(Ended::Failed)) {
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
                // `dimpl` tells the keys right after the end of the handshake, or never.
                Step::Wait(_) if self.state == (State::Finished { keyed: false }) => {
                    self.state = State::Ended(Ended::NoSrtp);
                }
                Step::Wait(at) => return PeerEvent::Wait(Some(at)),
            }
        }
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
        let (ours, theirs) = if self.dtls.is_active() { (client, server) } else { (server, client) };
        Some(SrtpKeys { profile, ours, theirs })
    }
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

/// What `dimpl` says, without what it borrows.
enum Step {
    Send(usize),
    Received(usize),
    Certificate(Vec<u8>),
    Keys(Vec<u8>, SrtpProfile),
    Connected,
    Ended(Ended),
    Wait(Instant),
}

impl Step {
    fn of(output: Output<'_>) -> Self {
        match output {
            Output::Packet(packet) => Self::Send(packet.len()),
            Output::ApplicationData(data) => Self::Received(data.len()),
            Output::PeerCert(certificate) => Self::Certificate(certificate.to_vec()),
            Output::KeyingMaterial(material, profile) => {
                let profile = match profile {
                    dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmSha1_80,
                    dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
                    dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
                    _ => return Self::Ended(Ended::NoSrtp),
                };
                Self::Keys(material.to_vec(), profile)
            }
            Output::Connected => Self::Connected,
            Output::CloseNotify => Self::Ended(Ended::Closed),
            Output::Timeout(at) => Self::Wait(at),
            // Nothing we send or take is longer than the buffer.
            _ => Self::Ended(Ended::Failed),
        }
    }
}

/// RFC 8827 §6.5 sets none; whoever has not finished by then will not.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Any datagram fits.
const BUFFER: usize = 4_096;
