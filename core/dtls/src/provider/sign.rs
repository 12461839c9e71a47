//! ECDSA: our signatures, and those of peers.

use dimpl::crypto::{Buf, KeyProvider, SignatureVerifier, SigningKey};
use dimpl::{CryptoError, CryptoOperation, HashAlgorithm, NamedGroup, SignatureAlgorithm};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, UnparsedPublicKey};
use x509_parser::parse_x509_certificate;

/// Reads a private key, PKCS #8. `None`: not ECDSA with P-256 or P-384.
pub(crate) fn load(pkcs8: &[u8]) -> Option<impl SigningKey + use<>> {
    let curves: [(&EcdsaSigningAlgorithm, [HashAlgorithm; 1]); 2] = [
        (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, [HashAlgorithm::SHA256]),
        (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, [HashAlgorithm::SHA384]),
    ];
    curves.into_iter().find_map(|(algorithm, hash)| {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new()).ok()?;
        Some(Key { pair, hash })
    })
}

#[derive(Debug)]
pub(super) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, pkcs8: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        load(pkcs8).map(|key| Box::new(key) as Box<dyn SigningKey>).ok_or(CryptoError::InvalidPrivateKey)
    }
}

#[derive(Debug)]
struct Key {
    pair: EcdsaKeyPair,
    /// The one this key signs with: `ring` ties it to the curve.
    hash: [HashAlgorithm; 1],
}

impl SigningKey for Key {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        let [key_hash] = self.hash;
        if hash != key_hash {
            return Err(CryptoError::SigningKeyHashMismatch { key_hash, requested: hash });
        }
        let signature = self
            .pair
            .sign(&SystemRandom::new(), data)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        let [hash] = self.hash;
        hash
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &self.hash
    }
}

#[derive(Debug)]
pub(super) struct Verifier;

impl SignatureVerifier for Verifier {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        if algorithm != SignatureAlgorithm::ECDSA {
            return Err(CryptoError::UnsupportedSignatureAlgorithm(algorithm));
        }
        let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
        let key = certificate.public_key();
        let curve = key.algorithm.parameters.as_ref().ok_or(CryptoError::MissingEcCurveParameter)?;
        let curve = curve.as_oid().map_err(|_| CryptoError::InvalidEcCurveParameter)?;
        let group = match curve.to_id_string().as_str() {
            P256 => NamedGroup::Secp256r1,
            P384 => NamedGroup::Secp384r1,
            _ => return Err(CryptoError::UnsupportedEcCurve),
        };
        let with: &EcdsaVerificationAlgorithm = match (group, hash) {
            (NamedGroup::Secp256r1, HashAlgorithm::SHA256) => &signature::ECDSA_P256_SHA256_ASN1,
            (NamedGroup::Secp256r1, HashAlgorithm::SHA384) => &signature::ECDSA_P256_SHA384_ASN1,
            (NamedGroup::Secp384r1, HashAlgorithm::SHA256) => &signature::ECDSA_P384_SHA256_ASN1,
            (NamedGroup::Secp384r1, HashAlgorithm::SHA384) => &signature::ECDSA_P384_SHA384_ASN1,
            _ => return Err(CryptoError::UnsupportedSignatureVerification { signature: algorithm, hash, group }),
        };
        UnparsedPublicKey::new(with, &key.subject_public_key.data)
            .verify(data, signature)
            .map_err(|_| CryptoError::SignatureVerificationFailed { signature: algorithm, hash, group })
    }
}

/// RFC 5480 §2.1.1.1.
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
