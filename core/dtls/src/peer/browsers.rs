//! A connection by `dimpl`: ECDSA certificates only, as all browsers have them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Output};

use super::{Fed, HANDSHAKE, Role, SrtpProfile, Step};
use crate::association::{AES128_GCM, guarded};
use crate::identity::Identity;
use crate::peer::Ended;
use crate::provider;

/// One end of a connection.
pub(super) struct Engine(Box<Dtls>);

/// What connections share.
pub(super) fn settings() -> Option<Arc<Config>> {
    let config = Config::builder()
        .with_crypto_provider(provider::provider())
        .require_client_certificate(true)
        .use_server_cookie(false)
        .dtls12_cipher_suites(&[AES128_GCM])
        .handshake_timeout(Duration::from_secs(HANDSHAKE))
        .build();
    config.ok().map(Arc::new)
}

impl Engine {
    /// A client begins at once.
    pub(super) fn new(now: Instant, settings: &Arc<Config>, identity: &Identity, role: Role) -> Option<Self> {
        let mut dtls = Box::new(Dtls::new_12(Arc::clone(settings), identity.0.clone(), now));
        dtls.set_active(role == Role::Client);
        dtls.handle_timeout(now).is_ok().then_some(Self(dtls))
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Fed {
        let Self(dtls) = self;
        match guarded(|| dtls.handle_timeout(now).and_then(|()| dtls.handle_packet(datagram))) {
            Some(Ok(())) => Fed::Taken,
            Some(Err(_)) => Fed::Nonsense,
            None => Fed::Broken,
        }
    }

    /// Whether it can go on.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let Self(dtls) = self;
        matches!(guarded(|| dtls.handle_timeout(now)), Some(Ok(())))
    }

    pub(super) fn send(&mut self, message: &[u8]) -> bool {
        let Self(dtls) = self;
        matches!(guarded(|| dtls.send_application_data(message)), Some(Ok(_)))
    }

    pub(super) fn close(&mut self) {
        let Self(dtls) = self;
        let _ = guarded(|| dtls.close());
    }

    /// What to do next; of datagrams and data, the length of what lies in the buffer.
    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> Step {
        let Self(dtls) = self;
        guarded(|| step(dtls.poll_output(buffer))).unwrap_or(Step::Ended(Ended::Failed))
    }
}

/// What `dimpl` says, without what it borrows.
fn step(output: Output<'_>) -> Step {
    match output {
        Output::Packet(packet) => Step::Send(packet.len()),
        Output::ApplicationData(data) => Step::Received(data.len()),
        Output::PeerCert(certificate) => Step::Certificate(certificate.to_vec()),
        Output::KeyingMaterial(material, profile) => {
            let profile = match profile {
                dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmSha1_80,
                dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
                dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
                _ => return Step::Ended(Ended::NoSrtp),
            };
            Step::Keys(material.to_vec(), profile)
        }
        Output::Connected => Step::Connected,
        Output::CloseNotify => Step::Ended(Ended::Closed),
        Output::Timeout(at) => Step::Wait(Some(at)),
        // Nothing we send or take is longer than the buffer.
        _ => Step::Ended(Ended::Failed),
    }
}
