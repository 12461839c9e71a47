//! The certificate we show, and its key.

use std::fmt;

use dimpl::DtlsCertificate;
use dimpl::crypto::SigningKey;
use thiserror::Error;

use crate::provider;

/// A certificate with its private key: ECDSA with P-256 or P-384, the only kind that is spoken here.
#[derive(Clone)]
pub struct Identity(pub(crate) DtlsCertificate);

/// A private key, DER.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// RFC 5208.
    Pkcs8(&'a [u8]),
    /// RFC 5915.
    Sec1(&'a [u8]),
}

/// The key is of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected an ECDSA key with P-256 or P-384, got one of another kind")]
pub struct Unsupported;

impl Identity {
    /// A certificate, DER, and its key.
    ///
    /// # Errors
    /// The key is of no kind that DTLS is spoken with here, or there is no certificate.
    pub fn new(certificate: &[u8], key: Key<'_>) -> Result<Self, Unsupported> {
        let candidates = match key {
            Key::Pkcs8(key) => vec![key.to_vec()],
            Key::Sec1(key) => CURVES.iter().map(|curve| wrap(curve, key)).collect(),
        };
        let usable = candidates.into_iter().find(|key| provider::load_key(key).is_some());
        let private_key = usable.filter(|_| !certificate.is_empty()).ok_or(Unsupported)?;
        Ok(Self(DtlsCertificate { certificate: certificate.to_vec(), private_key }))
    }

    /// Whether a signature can be made with it.
    pub(crate) fn is_usable(&self) -> bool {
        provider::load_key(&self.0.private_key).is_some_and(|key| key.algorithm() == dimpl::SignatureAlgorithm::ECDSA)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// RFC 5208 §5 around RFC 5915 §3: `SEQUENCE { 0, algorithm, OCTET STRING key }`.
fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let body = [&[2, 1, 0], algorithm, &tagged(4, key)].concat();
    tagged(0x30, &body)
}

/// X.690 §8.1.3: a tag, a length, the content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let long = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length: &[u8] = match long {
        [0, short @ ..=0x7F] => &[short],
        [0, short] => &[0x81, short],
        [high, low] => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

/// RFC 5480 §2.1.1: `SEQUENCE { id-ecPublicKey, curve }`.
const CURVES: [&[u8]; 2] = [
    &[0x30, 19, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7],
    &[0x30, 16, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 5, 0x2B, 0x81, 4, 0, 0x22],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_keys_are_taken_in_both_forms_and_others_are_refused() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            let pkcs8 = key.serialize_der();
            assert!(Identity::new(b"certificate", Key::Pkcs8(&pkcs8)).is_ok_and(|identity| identity.is_usable()));
            // The OCTET STRING at the end holds the key as RFC 5915 has it.
            let sec1 = pkcs8.windows(4).enumerate().skip(8).find(|(_, bytes)| {
                bytes[0] == 0x30 && bytes[1] == 0x81 && bytes[3] == 2 || bytes[0] == 0x30 && bytes[2..] == [2, 1]
            });
            let (at, _) = sec1.expect("a key inside");
            assert!(Identity::new(b"certificate", Key::Sec1(&pkcs8[at..])).is_ok(), "{pkcs8:02x?}");
        }
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key").serialize_der();
        assert_eq!(Identity::new(b"certificate", Key::Pkcs8(&other)).err(), Some(Unsupported));
        assert_eq!(Identity::new(b"certificate", Key::Sec1(&other)).err(), Some(Unsupported));
    }
}
