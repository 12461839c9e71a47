//! Cipher suites: AES-128-GCM (RFC 5288, RFC 5289) and ChaCha20-Poly1305 (RFC 7905).
//!
//! RFC 5288 §3 demands of AES-GCM that no nonce comes twice under one key. `dimpl` draws the eight bytes of it that go
//! with each record at random, which is too little for millions of records. So the number of the record is taken in
//! their place here, and [`write_nonces`] puts it where the peer looks for it.

use dimpl::crypto::{
    Aad, Buf, Cipher, Dtls12CipherSuite, Dtls13CipherSuite, Nonce, SupportedDtls12CipherSuite,
    SupportedDtls13CipherSuite, TmpBuf,
};
use dimpl::{CryptoError, CryptoOperation, HashAlgorithm};
use ring::aead::{self, AES_128_GCM, CHACHA20_POLY1305, LessSafeKey, UnboundKey, quic};

use crate::hello::RECORD_HEADER;

pub(super) const DTLS12: &[&dyn SupportedDtls12CipherSuite] = &[
    &Suite {
        suite: Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256,
        algorithm: &AES_128_GCM,
        fixed_nonce: 4,
        explicit_nonce: 8,
    },
    &Suite {
        suite: Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256,
        algorithm: &CHACHA20_POLY1305,
        fixed_nonce: 12,
        explicit_nonce: 0,
    },
];

/// There must be one for `dimpl` to start at all; DTLS 1.3 is not spoken yet.
pub(super) const DTLS13: &[&dyn SupportedDtls13CipherSuite] = &[&ChaCha20Poly1305];

#[derive(Debug)]
struct Suite {
    suite: Dtls12CipherSuite,
    algorithm: &'static aead::Algorithm,
    fixed_nonce: usize,
    explicit_nonce: usize,
}

impl SupportedDtls12CipherSuite for Suite {
    fn suite(&self) -> Dtls12CipherSuite {
        self.suite
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_lengths(&self) -> (usize, usize, usize) {
        (0, self.algorithm.key_len(), self.fixed_nonce)
    }

    fn explicit_nonce_len(&self) -> usize {
        self.explicit_nonce
    }

    fn tag_len(&self) -> usize {
        self.algorithm.tag_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        let nonce = if self.explicit_nonce > 0 { NonceFrom::RecordNumber } else { NonceFrom::Caller };
        Ok(Box::new(Aead::new(self.algorithm, key, nonce)?))
    }
}

/// Completes the records of a datagram made by AES-GCM: the explicit part of the nonce is the number of the record.
pub(crate) fn write_nonces(mut records: &mut [u8]) {
    while let Some((header, rest)) = records.split_first_chunk_mut::<RECORD_HEADER>() {
        let [_, _, _, number @ .., l0, l1] = header;
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if let Some(nonce) = rest.first_chunk_mut().filter(|_| !matches!(number, [0, 0, ..])) {
            *nonce = *number;
        }
        records = rest.get_mut(length..).unwrap_or_default();
    }
}

#[derive(Debug)]
struct ChaCha20Poly1305;

impl SupportedDtls13CipherSuite for ChaCha20Poly1305 {
    fn suite(&self) -> Dtls13CipherSuite {
        Dtls13CipherSuite::CHACHA20_POLY1305_SHA256
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn key_len(&self) -> usize {
        CHACHA20_POLY1305.key_len()
    }

    fn iv_len(&self) -> usize {
        CHACHA20_POLY1305.nonce_len()
    }

    fn tag_len(&self) -> usize {
        CHACHA20_POLY1305.tag_len()
    }

    fn create_cipher(&self, key: &[u8]) -> Result<Box<dyn Cipher>, CryptoError> {
        Ok(Box::new(Aead::new(&CHACHA20_POLY1305, key, NonceFrom::Caller)?))
    }

    /// RFC 9147 §4.2.3; two of these bytes are used.
    fn encrypt_sn(&self, key: &[u8], sample: &[u8; 16]) -> [u8; 16] {
        let mask = quic::HeaderProtectionKey::new(&quic::CHACHA20, key).and_then(|key| key.new_mask(sample));
        let mut out = [0; 16];
        if let (Ok(mask), Some(head)) = (mask, out.first_chunk_mut()) {
            *head = mask;
        }
        out
    }
}

#[derive(Debug)]
struct Aead {
    key: LessSafeKey,
    nonce: NonceFrom,
}

/// What makes the nonces of what we seal differ.
#[derive(Clone, Copy, Debug)]
enum NonceFrom {
    /// It is part of what is handed in, and different each time.
    Caller,
    /// The number of the record (RFC 5288 §3), with which the additional data begin (RFC 6347 §4.1.2.1).
    RecordNumber,
}

impl Aead {
    fn new(algorithm: &'static aead::Algorithm, key: &[u8], nonce: NonceFrom) -> Result<Self, CryptoError> {
        let failed = |_| CryptoError::OperationFailed(CryptoOperation::CreateCipher);
        Ok(Self { key: LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(failed)?), nonce })
    }
}

impl Cipher for Aead {
    fn encrypt(&mut self, plaintext: &mut Buf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let mut nonce = nonce.0;
        if let NonceFrom::RecordNumber = self.nonce {
            let number: &[u8; 8] = aad.first_chunk().ok_or(CryptoError::InvalidNonce)?;
            *nonce.last_chunk_mut().ok_or(CryptoError::InvalidNonce)? = *number;
        }
        let tag = self
            .key
            .seal_in_place_separate_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(&*aad),
                plaintext.as_mut(),
            )
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Encrypt))?;
        plaintext.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn decrypt(&mut self, ciphertext: &mut TmpBuf, aad: Aad, nonce: Nonce) -> Result<(), CryptoError> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce.0);
        let length = self
            .key
            .open_in_place(nonce, aead::Aad::from(&*aad), ciphertext.as_mut())
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Decrypt))?
            .len();
        ciphertext.truncate(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_record_carries_its_number_as_the_nonce_and_a_plain_one_is_left_alone() {
        let record = |epoch, number, body: &[u8]| {
            let length = u8::try_from(body.len()).expect("short");
            [&[23, 254, 253, 0, epoch, 0, 0, 0, 0, 1, number, 0, length], body].concat()
        };
        let mut datagram = [record(0, 7, &[9; 10]), record(1, 8, &[9; 10]), record(1, 9, &[9; 3])].concat();
        write_nonces(&mut datagram);
        let sealed = [0, 1, 0, 0, 0, 0, 1, 8, 9, 9];
        assert_eq!(datagram, [record(0, 7, &[9; 10]), record(1, 8, &sealed), record(1, 9, &[9; 3])].concat());
    }
}
