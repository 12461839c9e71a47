//! Cryptography for `dimpl` by `ring`, the library that TLS uses here, too.
//!
//! Keys of exchanges and signatures come from the operating system's generator, inside `ring`, whatever seed there is.

mod exchange;
mod hash;
mod sign;
mod suites;
mod told;

use dimpl::crypto::{CryptoProvider, SecureRandom};
use dimpl::{CryptoError, CryptoOperation};
use ring::rand::{SecureRandom as _, SystemRandom};

pub(crate) use sign::load as load_key;
pub(crate) use suites::write_nonces;
pub(crate) use told::with_cookie;

/// What is offered: AES-128-GCM and ChaCha20-Poly1305, X25519 and P-256, ECDSA with P-256 and P-384.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: exchange::GROUPS,
        signature_verification: &sign::Verifier,
        key_provider: &sign::Keys,
        secure_random: &System,
        hash_provider: &hash::Hashes,
        hmac_provider: &hash::Hmacs,
        cipher_suites: suites::DTLS12,
        dtls13_cipher_suites: suites::DTLS13,
    }
}

#[derive(Debug)]
struct System;

impl SecureRandom for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        SystemRandom::new().fill(buffer).map_err(|_| CryptoError::OperationFailed(CryptoOperation::FillRandom))
    }
}
