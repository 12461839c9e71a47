//! Third-party authorisation, RFC 7635: who comes with a token of an authorisation server needs no account here.
//!
//! ```text
//!   401 THIRD-PARTY-AUTHORIZATION(our name) ─► client fetches a token for that name
//!   USERNAME(kid), ACCESS-TOKEN(nonce | AES-GCM{ mac key, time, lifetime }) ─► opened with the key `kid` shares with us
//! ```
//!
//! The token brings the key its messages are protected with. Where keys come from is the caller's business, like
//! passwords: from the configuration, or by an answer to a question about [`super::Name::Kid`].

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce, Tag};
use sha2::{Digest as _, Sha256};
use stun_types::attribute::AttributeType;

use crate::integrity::Key;

/// A key shared with an authorisation server, RFC 7635 §4.1. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey {
    kid: String,
    key: Secret,
    /// Seconds since 1970; tokens made with it are refused afterwards.
    until: Option<u64>,
}

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    Aes128([u8; 16]),
    Aes256([u8; 32]),
}

/// AEAD of a key, by the names coturn's tables have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// `A128GCM`.
    A128Gcm,
    /// `A256GCM`, which RFC 7635 §4.1 wants everybody to know.
    A256Gcm,
}

impl TokenAlgorithm {
    /// By its name, whatever its case.
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_uppercase().replace('_', "-").as_str() {
            "A128GCM" => Some(Self::A128Gcm),
            "A256GCM" | "" => Some(Self::A256Gcm),
            _ => None,
        }
    }
}

/// Why something is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a key of at least {expected} bytes, got {got}")]
pub struct TokenKeyTooShort {
    /// Bytes the algorithm needs.
    pub expected: usize,
    /// What came.
    pub got: usize,
}

impl TokenKey {
    /// From the bytes both sides know. Longer ones are cut, as coturn and its tools do.
    pub fn new(
        kid: &str,
        algorithm: TokenAlgorithm,
        bytes: &[u8],
        until: Option<u64>,
    ) -> Result<Self, TokenKeyTooShort> {
        let short = |expected| TokenKeyTooShort { expected, got: bytes.len() };
        let key = match algorithm {
            TokenAlgorithm::A128Gcm => Secret::Aes128(*bytes.first_chunk().ok_or(short(16))?),
            TokenAlgorithm::A256Gcm => Secret::Aes256(*bytes.first_chunk().ok_or(short(32))?),
        };
        Ok(Self { kid: kid.to_owned(), key, until })
    }

    /// How clients name it, in USERNAME.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Opens a token made for `server_name`. `None`: it was made with another key or for another server, it lies about its
    /// lengths, or its time is over; a client need not know which.
    pub(super) fn open(&self, server_name: &str, unix: u64, token: &[u8]) -> Option<Grant> {
        if self.until.is_some_and(|until| until.saturating_add(TOLERANCE) < unix) {
            return None;
        }
        let (length, rest) = token.split_first_chunk::<2>()?;
        let (nonce, sealed) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let nonce: [u8; 12] = nonce.try_into().ok()?;
        if sealed.len() > MAX_SEALED {
            return None;
        }
        let (block, tag) = sealed.split_last_chunk::<16>()?;
        let mut block = block.to_vec();
        let (nonce, tag) = (Nonce::from(nonce), Tag::from(*tag));
        let aad = server_name.as_bytes();
        let opened = match &self.key {
            Secret::Aes128(key) => Aes128Gcm::new(key.into()).decrypt_in_place_detached(&nonce, aad, &mut block, &tag),
            Secret::Aes256(key) => Aes256Gcm::new(key.into()).decrypt_in_place_detached(&nonce, aad, &mut block, &tag),
        };
        opened.ok()?;
        Grant::parse(&block).filter(|grant| grant.until.saturating_add(TOLERANCE) >= unix)
    }
}

/// What a token grants.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// One of them protects the messages of whoever came with it.
    pub(super) keys: [Key; 2],
    /// Seconds since 1970.
    pub(super) until: u64,
    /// Tells tokens apart, in what operators see and in quotas; says nothing about the key.
    pub(super) fingerprint: String,
}

impl Grant {
    /// RFC 7635 §6.2, the encrypted block.
    fn parse(block: &[u8]) -> Option<Self> {
        let (length, rest) = block.split_first_chunk::<2>()?;
        let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (timestamp, rest) = rest.split_first_chunk::<8>()?;
        let lifetime = u32::from_be_bytes(rest.try_into().ok()?);
        // For HMAC-SHA1, or HMAC-SHA256.
        if !matches!(key.len(), 20 | 32) {
            return None;
        }
        // The lower 16 bits are fractions of a second.
        let since = u64::from_be_bytes(*timestamp) >> 16;
        let digest = Sha256::digest([b"token fingerprint", key].concat());
        let fingerprint = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        // Deviation: coturn and its clients use the first 16 bytes only, as if the key were one made by MD5.
        let keys = [Key::from_bytes(key), Key::from_bytes(key.first_chunk::<16>()?)];
        Some(Self { keys, until: since.saturating_add(lifetime.into()), fingerprint })
    }
}

/// RFC 7635 §6.2.
pub(super) const ACCESS_TOKEN: AttributeType = AttributeType::new(0x001B);
/// RFC 7635 §6.1.
pub(super) const THIRD_PARTY_AUTHORIZATION: AttributeType = AttributeType::new(0x802E);
/// Seconds by which clocks may differ, RFC 7635 §4.1.1.
pub(super) const TOLERANCE: u64 = 5;
/// The longest that a token with a key of 32 bytes takes, and some more.
const MAX_SEALED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = *b"01234567890123456789012345678901";
    const NAME: &str = "relay.example.org";

    /// As an authorisation server does it.
    fn seal(name: &str, block: &[u8]) -> Vec<u8> {
        let nonce = [9; 12];
        let mut sealed = block.to_vec();
        let tag = Aes256Gcm::new(&KEY.into()).encrypt_in_place_detached(&nonce.into(), name.as_bytes(), &mut sealed);
        [&[0, 12][..], &nonce, &sealed, &tag.expect("sealed")].concat()
    }

    fn block(key: &[u8], since: u64, lifetime: u32) -> Vec<u8> {
        let length = u16::try_from(key.len()).expect("short").to_be_bytes();
        [&length[..], key, &(since << 16 | 0x8000).to_be_bytes(), &lifetime.to_be_bytes()].concat()
    }

    fn key(until: Option<u64>) -> TokenKey {
        TokenKey::new("north", TokenAlgorithm::A256Gcm, &KEY, until).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_token_is_good_for_its_server_and_its_time() {
        let token = seal(NAME, &block(&[7; 20], 1_000, 100));
        let until = |unix| key(None).open(NAME, unix, &token).map(|grant| grant.until);
        assert_eq!((until(1_000), until(1_105), until(1_106)), (Some(1_100), Some(1_100), None));
        assert!(key(None).open("other.example.org", 1_000, &token).is_none());
        assert!(key(Some(900)).open(NAME, 1_000, &token).is_none());
        assert!(key(Some(2_000)).open(NAME, 1_000, &token).is_some());
    }

    #[test]
    fn every_length_is_checked_and_every_changed_byte_is_noticed() {
        let token = seal(NAME, &block(&[7; 20], 1_000, 100));
        for length in 0..token.len() {
            assert!(key(None).open(NAME, 1_000, &token[..length]).is_none(), "{length} bytes");
        }
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] ^= 1;
            assert!(key(None).open(NAME, 1_000, &changed).is_none(), "byte {at}");
        }
        let mut longer = token.clone();
        longer.extend([0; 70_000]);
        assert!(key(None).open(NAME, 1_000, &longer).is_none());
        // Lies inside what was sealed, by an authorisation server gone wrong.
        let good = block(&[7; 20], 1_000, 100);
        let lies = [&good[..good.len() - 1], &[good.as_slice(), &[0]].concat(), &block(&[7; 19], 1_000, 100)]
            .map(<[u8]>::to_vec);
        for lie in lies.into_iter().chain([Vec::new(), vec![0xFF, 0xFF, 1], block(&[7; 64], 1_000, 9)]) {
            assert!(key(None).open(NAME, 1_000, &seal(NAME, &lie)).is_none(), "{lie:?}");
        }
    }

    #[test]
    fn keys_are_long_enough_and_algorithms_have_names() {
        let short = TokenKey::new("x", TokenAlgorithm::A256Gcm, &[0; 31], None);
        assert_eq!(short.err(), Some(TokenKeyTooShort { expected: 32, got: 31 }));
        assert!(TokenKey::new("x", TokenAlgorithm::A128Gcm, &[0; 17], None).is_ok());
        assert_eq!(TokenAlgorithm::parse("a128_gcm"), None);
        assert_eq!(TokenAlgorithm::parse("a128gcm"), Some(TokenAlgorithm::A128Gcm));
        assert_eq!(TokenAlgorithm::parse("A256GCM"), Some(TokenAlgorithm::A256Gcm));
    }
}
