//! Cryptography for `rtc-dtls`: what its own provider takes from `ring`, with two differences.
//!
//! Our key stays as `ring` has read it. And the nonces of AES-GCM are the numbers of records, not random (`provider/suites.rs`
//! says why, and writes them into what is sent).

use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _};
use rtc_dtls::crypto_provider::providers::{RingCrypto, RingProvider};
use rtc_dtls::crypto_provider::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm,
    KeyExchangeAlgorithm, Mac, PublicKey, PublicKeyEncoding, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme,
    SigningKey,
};

/// What is offered.
#[derive(Default)]
pub(super) struct Provider {
    ring: RingProvider,
    crypto: Crypto,
}

impl RTCCryptoProvider for Provider {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        &self.crypto
    }

    fn random(&self) -> &dyn RTCRandom {
        self.ring.random()
    }
}

#[derive(Default)]
struct Crypto(RingCrypto);

impl RTCCrypto for Crypto {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        matches!(
            algorithm,
            CryptoAlgorithm::Hash(HashAlgorithm::Sha256)
                | CryptoAlgorithm::Hmac(HmacAlgorithm::Sha256)
                | CryptoAlgorithm::Aead(AeadAlgorithm::Aes128Gcm)
                | CryptoAlgorithm::KeyExchange(_)
                | CryptoAlgorithm::Signature(_)
        ) && self.0.supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.hash(algorithm, data)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.0.new_hmac(algorithm, key)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        Ok(Box::new(Numbered(self.0.new_aead(algorithm, key)?)))
    }

    fn start_key_exchange(&self, algorithm: KeyExchangeAlgorithm) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.0.start_key_exchange(algorithm)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.0.verify_signature(scheme, key, message, signature)
    }
}

/// RFC 5288 §3: the explicit part of the nonce is the number of the record, with which the additional data begin
/// (RFC 6347 §4.1.2.1).
struct Numbered(Box<dyn AeadCipher>);

impl AeadCipher for Numbered {
    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn seal_in_place(&mut self, nonce: &[u8], aad: &[u8], text: &mut [u8], tag: &mut [u8]) -> Result<(), CryptoError> {
        let wrong = CryptoError::InvalidNonceLength { expected: 12, actual: nonce.len() };
        let (Some(fixed), Some(number)) = (nonce.first_chunk::<4>(), aad.first_chunk::<8>()) else { return Err(wrong) };
        self.0.seal_in_place(&[&fixed[..], number].concat(), aad, text, tag)
    }

    fn open_in_place(&mut self, nonce: &[u8], aad: &[u8], text: &mut [u8], tag: &[u8]) -> Result<(), CryptoError> {
        self.0.open_in_place(nonce, aad, text, tag)
    }
}

struct Key {
    pair: EcdsaKeyPair,
    /// The one this key signs with: `ring` ties the hash to the curve.
    scheme: SignatureScheme,
}

/// Reads our private key, PKCS #8. `None`: not ECDSA with P-256 or P-384.
pub(super) fn load(pkcs8: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let curves: [(&EcdsaSigningAlgorithm, SignatureScheme); 2] = [
        (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, SignatureScheme::EcdsaP256Sha256),
        (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, SignatureScheme::EcdsaP384Sha384),
    ];
    curves.into_iter().find_map(|(algorithm, scheme)| {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new()).ok()?;
        Some(Arc::new(Key { pair, scheme }) as Arc<dyn SigningKey>)
    })
}

impl SigningKey for Key {
    fn supports(&self, scheme: SignatureScheme) -> bool {
        scheme == self.scheme
    }

    fn public_key(&self) -> PublicKey<'_> {
        PublicKey { encoding: PublicKeyEncoding::EcUncompressedPoint, bytes: self.pair.public_key().as_ref() }
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if scheme != self.scheme {
            return Err(CryptoError::UnsupportedAlgorithm(CryptoAlgorithm::Signature(scheme)));
        }
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| CryptoError::RandomnessFailed)?;
        Ok(signature.as_ref().to_vec())
    }
}
