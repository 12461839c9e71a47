//! A connection by `rtc-dtls`, which takes RSA certificates, too.
//!
//! ```text
//!   Handshaking ──the library says so──► Open ──good-bye, a fatal alert, `close`──► Over
//!        └──── 30 s, an alert, another certificate, nonsense ─────────────────────────┘
//! ```
//!
//! Nothing reaches the library that [`Front`] has not let through, and after the handshake only sealed records. Time is told it
//! when a flight is to be repeated: it repeats as soon as it is asked, and the pauses between (RFC 6347 §4.2.4.1) are ours.
//!
//! As a server the library does not compare what the client's Finished says (RFC 5246 §7.4.9). What that would show is shown
//! otherwise: a client must have a certificate here, its CertificateVerify signs the handshake up to there as we have it
//! (§7.4.8), the certificate is the one expected, and the Finished has come sealed with the keys.
//!
//! Deviation: RFC 7627 §5.4 forbids to export keys where the peer has no extended master secret. It is used where the peer has it,
//! and not demanded: OpenSSL has it from 1.1.0 on, and telephones with an older one are among those that this is for. What it is
//! against, two handshakes with one master secret, needs somebody in between who chooses the secret of a key exchange; with the
//! curves that are spoken here nobody can, and there is neither resumption nor renegotiation.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::signature_hash_algorithm::SignatureScheme;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

use super::front::{ALERT, APPLICATION_DATA, Front, Heard, LONGEST_FINISHED, MOST_SHOWN, Records};
use super::{BUFFER, Ended, Fed, Fingerprint, HANDSHAKE, Role, SrtpProfile, Step, crypto};
use crate::association::guarded;
use crate::hello;
use crate::identity::Identity;

/// What connections share.
#[derive(Clone)]
pub(super) struct Settings {
    client: Arc<HandshakeConfig>,
    server: Arc<HandshakeConfig>,
}

/// One end of a connection.
pub(super) struct Engine {
    endpoint: Endpoint,
    role: Role,
    stage: Stage,
    out: VecDeque<Output>,
    /// Of the last call.
    now: Instant,
}

enum Stage {
    Handshaking(Box<Handshake>),
    /// How often a repeated Finished of the client has been shown to the library.
    Open(u8),
    Over,
}

struct Handshake {
    front: Front,
    /// When it has to be over.
    until: Instant,
    /// When what we have said is repeated, and how long to wait after that.
    repeat: Option<Instant>,
    pause: Duration,
}

enum Output {
    Received(BytesMut),
    Step(Step),
}

impl Settings {
    /// `None`: the key cannot be used.
    pub(super) fn new(identity: &Identity) -> Option<Self> {
        let key = crypto::load(&identity.0.private_key)?;
        let certificate = Certificate::from_signing_key(vec![identity.0.certificate.clone().into()], key);
        let build = |is_client| {
            ConfigBuilder::default()
                .with_crypto_provider(Arc::new(crypto::Provider::default()))
                .with_certificates(vec![certificate.clone()])
                .with_cipher_suites(SUITES.to_vec())
                .with_signature_schemes(SIGNATURES.to_vec())
                .with_srtp_protection_profiles(PROFILES.to_vec())
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                .with_extended_master_secret(ExtendedMasterSecretType::Request)
                // No chain is looked at: the fingerprint counts (RFC 8122), which is compared here.
                .with_insecure_skip_verify(true)
                .with_flight_interval(AT_ONCE)
                // It wants to name one; nobody's.
                .with_server_name("peer.invalid".to_owned())
                .build(is_client, None)
        };
        Some(Self { client: Arc::new(build(true).ok()?), server: Arc::new(build(false).ok()?) })
    }
}

impl Engine {
    /// A client begins at once.
    pub(super) fn new(now: Instant, settings: &Settings, role: Role) -> Option<Self> {
        let server = (role == Role::Server).then(|| Arc::clone(&settings.server));
        let mut endpoint = Endpoint::new(SOMEWHERE, TransportProtocol::UDP, server);
        if role == Role::Client {
            let begin = || endpoint.connect(now, SOMEWHERE, Arc::clone(&settings.client), None);
            guarded(begin)?.ok()?;
        }
        let handshake = Handshake {
            front: Front::new(role),
            until: now.checked_add(Duration::from_secs(HANDSHAKE))?,
            repeat: if role == Role::Client { now.checked_add(PAUSE) } else { None },
            pause: PAUSE,
        };
        Some(Self { endpoint, role, stage: Stage::Handshaking(Box::new(handshake)), out: VecDeque::new(), now })
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8], expected: &[Fingerprint]) -> Fed {
        self.now = now;
        match &mut self.stage {
            Stage::Handshaking(handshake) => {
                let heard = handshake.front.handle_datagram(datagram);
                self.on_flight(heard, expected)
            }
            Stage::Open(_) => {
                Records(datagram).map(|record| self.on_record(&record)).find(broken).unwrap_or(Fed::Taken)
            }
            Stage::Over => Fed::Taken,
        }
    }

    /// Whether it can go on.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.now = now;
        let Stage::Handshaking(handshake) = &mut self.stage else { return true };
        if now >= handshake.until {
            return false;
        }
        if handshake.repeat.is_none_or(|at| now < at) {
            return true;
        }
        handshake.pause = handshake.pause.saturating_mul(2);
        handshake.repeat = now.checked_add(handshake.pause);
        let Self { endpoint, .. } = self;
        matches!(guarded(|| endpoint.handle_timeout(SOMEWHERE, now)), Some(Ok(())))
    }

    pub(super) fn send(&mut self, message: &[u8]) -> bool {
        let Self { endpoint, now, .. } = self;
        matches!(self.stage, Stage::Open(_))
            && matches!(guarded(|| endpoint.write(*now, SOMEWHERE, message)), Some(Ok(())))
    }

    /// Before there are keys nobody could believe it.
    pub(super) fn close(&mut self) {
        if let Stage::Open(_) = std::mem::replace(&mut self.stage, Stage::Over) {
            let Self { endpoint, now, .. } = self;
            let _ = guarded(|| endpoint.stop(*now, SOMEWHERE).is_some());
        }
    }

    /// What to do next; of datagrams and data, the length of what lies in the buffer.
    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> Step {
        while let Some(datagram) = self.endpoint.poll_transmit() {
            if let Some(length) = put(&datagram.message, buffer) {
                return Step::Send(length);
            }
        }
        while let Some(output) = self.out.pop_front() {
            match output {
                Output::Step(step) => return step,
                Output::Received(data) => {
                    if let Some(length) = put(&data, buffer) {
                        return Step::Received(length);
                    }
                }
            }
        }
        match &self.stage {
            Stage::Handshaking(handshake) => Step::Wait(handshake.repeat.into_iter().chain([handshake.until]).min()),
            Stage::Open(_) | Stage::Over => Step::Wait(None),
        }
    }

    /// A whole flight, or what has ended the handshake.
    fn on_flight(&mut self, heard: Heard, expected: &[Fingerprint]) -> Fed {
        let (flight, certificate) = match heard {
            Heard::Nothing => return Fed::Taken,
            Heard::Over(why) => return self.end(why),
            Heard::Flight(flight, certificate) => (flight, certificate),
        };
        // The library is asked for the one it has gone by when the handshake is over; this spares both sides the rest.
        if certificate.is_some_and(|shown| !expected.iter().any(|one| one.fits(&shown))) {
            return self.end(Ended::WrongCertificate);
        }
        let Self { endpoint, now, .. } = self;
        match guarded(|| endpoint.read(*now, SOMEWHERE, None, flight)) {
            None => Fed::Broken,
            Some(Err(
                Error::ErrServerNoMatchingSrtpProfile
                | Error::ErrClientNoMatchingSrtpProfile
                | Error::ErrRequestedButNoSrtpExtension,
            )) => self.end(Ended::NoSrtp),
            Some(Err(_)) => self.end(Ended::Failed),
            Some(Ok(events)) => {
                // It has answered, for the first time.
                if let Stage::Handshaking(handshake) = &mut self.stage {
                    (handshake.pause, handshake.repeat) = (PAUSE, self.now.checked_add(PAUSE));
                }
                self.on_events(events)
            }
        }
    }

    /// A record after the handshake. What is not sealed could be anybody's.
    fn on_record(&mut self, record: &super::front::Record<'_>) -> Fed {
        let wanted = match (&mut self.stage, record.epoch, record.kind) {
            (Stage::Open(_), 1, ALERT | APPLICATION_DATA) => true,
            // RFC 6347 §4.2.4: our last flight was lost. A client has none that would be waited for.
            (Stage::Open(shown), 1, hello::HANDSHAKE) if self.role == Role::Server => {
                *shown = shown.saturating_add(1);
                *shown <= MOST_SHOWN && record.whole.len() <= LONGEST_FINISHED
            }
            _ => false,
        };
        if !wanted {
            return Fed::Taken;
        }
        let Self { endpoint, now, .. } = self;
        match guarded(|| endpoint.read(*now, SOMEWHERE, None, BytesMut::from(record.whole))) {
            None => Fed::Broken,
            Some(Ok(events)) => self.on_events(events),
            Some(Err(why)) => {
                // To an alert it would answer with the same one, and so would the peer if it is one of these.
                while self.endpoint.poll_transmit().is_some() {}
                // RFC 5246 §7.2.2: a fatal one ends the connection, a warning means nothing here.
                if matches!(why, Error::ErrAlertFatalOrClose) { self.end(Ended::Failed) } else { Fed::Taken }
            }
        }
    }

    fn on_events(&mut self, events: Vec<EndpointEvent>) -> Fed {
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => self.on_complete(),
                EndpointEvent::ApplicationData(data) => self.out.push_back(Output::Received(data)),
                EndpointEvent::PeerClosed => return self.end(Ended::Closed),
                _ => {}
            }
        }
        Fed::Taken
    }

    /// Tells the certificate, the end of the handshake, and the keys if there are any.
    fn on_complete(&mut self) {
        self.stage = Stage::Open(0);
        let Some(state) = self.endpoint.get_connection_state(SOMEWHERE) else { return };
        let certificate = state.peer_certificates.first().cloned().unwrap_or_default();
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Some(SrtpProfile::Aes128CmSha1_80),
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Some(SrtpProfile::AeadAes128Gcm),
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => Some(SrtpProfile::AeadAes256Gcm),
            _ => None,
        };
        let keys = profile.and_then(|profile| {
            let (key, salt) = profile.lengths();
            let material = state.export_keying_material(EXPORTER, &[], 2 * (key + salt)).ok()?;
            Some(Step::Keys(material.as_ref().to_vec(), profile))
        });
        let steps = [Some(Step::Certificate(certificate)), Some(Step::Connected), keys];
        self.out.extend(steps.into_iter().flatten().map(Output::Step));
    }

    /// After what is still to be sent.
    fn end(&mut self, why: Ended) -> Fed {
        self.stage = Stage::Over;
        self.out.push_back(Output::Step(Step::Ended(why)));
        Fed::Taken
    }
}

fn broken(fed: &Fed) -> bool {
    matches!(fed, Fed::Broken)
}

/// Its length, if it fits.
fn put(bytes: &[u8], buffer: &mut [u8]) -> Option<usize> {
    buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
}

/// With AES-GCM only: its CBC suites authenticate what they have not encrypted (RFC 7366 §1).
const SUITES: [CipherSuiteId; 2] =
    [CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256, CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256];
/// What peers may sign with, without SHA-1; and we.
const SIGNATURES: [SignatureScheme; 5] = [
    SignatureScheme::EcdsaWithP256AndSha256,
    SignatureScheme::EcdsaWithP384AndSha384,
    SignatureScheme::Pkcs1WithSha256,
    SignatureScheme::Pkcs1WithSha384,
    SignatureScheme::Pkcs1WithSha512,
];
/// As they are offered by a client. A server takes the first of the client's that it has.
const PROFILES: [SrtpProtectionProfile; 3] = [
    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
];
/// RFC 5764 §4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// The library sorts connections by address; there is one.
const SOMEWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
/// Whenever the library is told the time, it is time to repeat.
const AT_ONCE: Duration = Duration::from_millis(1);
/// Before a flight is repeated for the first time; doubled each time, so that a flight is sent six times at most.
/// Deviation: RFC 6347 §4.2.4.1 says one second. ICE has found out that the path answers sooner, and somebody waits for a call.
const PAUSE: Duration = Duration::from_millis(500);
const _: () = assert!(BUFFER > 1_200 + 64, "a datagram of the library's fits");
