//! `a=crypto`: keys of SRTP in the description itself, RFC 4568, with the suites of RFC 6188 and RFC 7714.
//!
//! ```text
//!   a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 UNENCRYPTED_SRTCP
//!            tag suite                        key and salt                             life MKI  session parameters
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use base64::{alphabet, engine::DecodePaddingMode};

use crate::address::number;
use crate::malformed::Expected;
use crate::text::Token;

/// One offered, or the chosen, way to protect SRTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Names it within its m-line.
    pub tag: u32,
    /// By what.
    pub suite: Suite,
    /// At least one.
    pub keys: Vec<Key>,
    /// What changes the protection; see [`Crypto::is_usable`].
    pub parameters: Vec<Token>,
}

/// A cipher with its authentication.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: what every phone has.
    Aes128CmSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`.
    Aes128CmSha1_32,
    /// `AES_192_CM_HMAC_SHA1_80`.
    Aes192CmSha1_80,
    /// `AES_192_CM_HMAC_SHA1_32`.
    Aes192CmSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80`.
    Aes256CmSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32`.
    Aes256CmSha1_32,
    /// `AEAD_AES_128_GCM`.
    Aes128Gcm,
    /// `AEAD_AES_256_GCM`.
    Aes256Gcm,
    /// One we do not know; its keys are not looked at.
    Other(Token),
}

/// A master key with its salt.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Key and salt, one after the other.
    pub key_and_salt: Vec<u8>,
    /// After how many packets it ends.
    pub lifetime: Option<u64>,
    /// In which packets it is used.
    pub mki: Option<Mki>,
}

/// The master key identifier that its packets carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mki {
    /// Its value.
    pub value: u64,
    /// Bytes of it in each packet, 1 to 128.
    pub length: u8,
}

impl Crypto {
    /// Whether we can do what it asks for: a suite we know, one key without an identifier in each packet, and no parameter that
    /// changes the protection (RFC 4568 §6.3 has one refuse what one does not know). `WSH` is a hint.
    pub fn is_usable(&self) -> bool {
        let known = !matches!(self.suite, Suite::Other(_));
        let harmless =
            |parameter: &Token| parameter.as_str().starts_with("WSH=") || parameter.as_str().starts_with('-');
        let alone = matches!(self.keys.as_slice(), [key] if key.mki.is_none());
        known && alone && self.parameters.iter().all(harmless)
    }

    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().and_then(number).filter(|tag| *tag <= MAX_TAG).ok_or("a tag of up to nine digits")?;
        let suite = Suite::parse(words.next().ok_or("a crypto suite")?)?;
        let keys = words.next().ok_or("`inline:` and a key")?;
        let keys =
            keys.split(';').take(MAX_KEYS + 1).map(|key| Key::parse(&suite, key)).collect::<Result<Vec<_>, _>>()?;
        if keys.len() > MAX_KEYS {
            return Err("fewer keys");
        }
        let parameters = words.take(MAX_PARAMETERS + 1).map(Token::new).collect::<Option<Vec<_>>>();
        let parameters = parameters.filter(|list| list.len() <= MAX_PARAMETERS).ok_or("a few session parameters")?;
        Ok(Self { tag, suite, keys, parameters })
    }
}

impl Suite {
    /// How many bytes key and salt have together. `None`: unknown.
    pub const fn key_and_salt(&self) -> Option<usize> {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => Some(16 + 14),
            Self::Aes192CmSha1_80 | Self::Aes192CmSha1_32 => Some(24 + 14),
            Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 => Some(32 + 14),
            Self::Aes128Gcm => Some(16 + 12),
            Self::Aes256Gcm => Some(32 + 12),
            Self::Other(_) => None,
        }
    }

    fn parse(text: &str) -> Result<Self, Expected> {
        let known = KNOWN.iter().find(|(_, name)| *name == text).map(|(suite, _)| suite.clone());
        known.map_or_else(|| Token::new(text).map(Self::Other).ok_or("a crypto suite"), Ok)
    }

    fn name(&self) -> &str {
        match self {
            Self::Other(name) => name.as_str(),
            known => KNOWN.iter().find(|(suite, _)| suite == known).map_or("", |(_, name)| *name),
        }
    }
}

const KNOWN: [(Suite, &str); 8] = [
    (Suite::Aes128CmSha1_80, "AES_CM_128_HMAC_SHA1_80"),
    (Suite::Aes128CmSha1_32, "AES_CM_128_HMAC_SHA1_32"),
    (Suite::Aes192CmSha1_80, "AES_192_CM_HMAC_SHA1_80"),
    (Suite::Aes192CmSha1_32, "AES_192_CM_HMAC_SHA1_32"),
    (Suite::Aes256CmSha1_80, "AES_256_CM_HMAC_SHA1_80"),
    (Suite::Aes256CmSha1_32, "AES_256_CM_HMAC_SHA1_32"),
    (Suite::Aes128Gcm, "AEAD_AES_128_GCM"),
    (Suite::Aes256Gcm, "AEAD_AES_256_GCM"),
];

impl Key {
    /// A key for a suite. `None`: it has the wrong length for it, or the suite is unknown.
    pub fn new(suite: &Suite, key_and_salt: Vec<u8>) -> Option<Self> {
        let fits = suite.key_and_salt() == Some(key_and_salt.len());
        fits.then_some(Self { key_and_salt, lifetime: None, mki: None })
    }

    fn parse(suite: &Suite, text: &str) -> Result<Self, Expected> {
        let mut parts = text.strip_prefix("inline:").ok_or("`inline:`")?.split('|');
        let encoded = parts.next().unwrap_or_default();
        let key_and_salt = LENIENT.decode(encoded).map_err(|_| "key and salt in Base64")?;
        match suite.key_and_salt() {
            Some(expected) if expected != key_and_salt.len() => return Err("key and salt of the suite's length"),
            None if key_and_salt.len() > MAX_OTHER_KEY => return Err("a shorter key"),
            Some(_) | None => {}
        }
        let mut key = Self { key_and_salt, lifetime: None, mki: None };
        // Both are optional, in this order; only an MKI has a colon.
        let mut next = parts.next();
        if let Some(lifetime) = next.filter(|part| !part.contains(':')) {
            key.lifetime = Some(parse_lifetime(lifetime).ok_or("a lifetime: packets, or 2^n")?);
            next = parts.next();
        }
        if let Some(mki) = next {
            key.mki = Some(Mki::parse(mki).ok_or("an MKI: its value, a colon, its length of 1 to 128")?);
        }
        if parts.next().is_some() { Err("nothing after the MKI") } else { Ok(key) }
    }
}

/// RFC 4568 §6.1: a count of packets, or a power of two.
fn parse_lifetime(text: &str) -> Option<u64> {
    let lifetime = match text.strip_prefix("2^") {
        Some(power) => 1_u64.checked_shl(number(power)?)?,
        None => number(text)?,
    };
    (lifetime > 0).then_some(lifetime)
}

impl Mki {
    fn parse(text: &str) -> Option<Self> {
        let (value, length) = text.split_once(':')?;
        let length = number(length).filter(|length| (1..=128).contains(length))?;
        Some(Self { value: number(value)?, length })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("lifetime", &self.lifetime).field("mki", &self.mki).finish_non_exhaustive()
    }
}

impl fmt::Display for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.tag, self.suite.name())?;
        for (at, key) in self.keys.iter().enumerate() {
            let between = if at == 0 { "" } else { ";" };
            write!(f, "{between}{key}")?;
        }
        self.parameters.iter().try_for_each(|parameter| write!(f, " {parameter}"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inline:{}", STANDARD.encode(&self.key_and_salt))?;
        match self.lifetime {
            Some(lifetime) if lifetime.is_power_of_two() => write!(f, "|2^{}", lifetime.trailing_zeros())?,
            Some(lifetime) => write!(f, "|{lifetime}")?,
            None => {}
        }
        self.mki.map_or(Ok(()), |mki| write!(f, "|{}:{}", mki.value, mki.length))
    }
}

/// Phones leave the padding out, or write bits where there should be none.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// RFC 4568 §9.1: one to nine digits.
const MAX_TAG: u32 = 999_999_999;
/// Keys of one line; nobody is known to send two.
const MAX_KEYS: usize = 16;
/// Bytes of a key of a suite we do not know.
const MAX_OTHER_KEY: usize = 256;
/// RFC 4568 §6.3 knows six.
const MAX_PARAMETERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn crypto(text: &str) -> Crypto {
        Crypto::parse(text).unwrap_or_else(|error| panic!("{text}: expected {error}"))
    }

    #[test]
    fn the_examples_of_rfc_4568_are_read_and_printed() {
        // RFC 4568 §9.1 and §5.1, RFC 7714 §14.1.
        for text in [
            "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP",
            "1 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|1:32",
            "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
            "5 AEAD_AES_128_GCM inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==|1:4",
            "6 SOMETHING_NEW inline:AAAA",
        ] {
            assert_eq!(crypto(text).to_string(), text);
        }
    }

    #[test]
    fn lifetime_and_mki_are_told_apart() {
        let key = |text: &str| crypto(&format!("1 X inline:AAAA{text}")).keys.swap_remove(0);
        assert_eq!(key("|2^20").lifetime, Some(1 << 20));
        assert_eq!(key("|1000").lifetime, Some(1_000));
        assert_eq!(key("|7:4").mki, Some(Mki { value: 7, length: 4 }));
        let both = key("|2^31|1:1");
        assert_eq!((both.lifetime, both.mki), (Some(1 << 31), Some(Mki { value: 1, length: 1 })));
    }

    #[test]
    fn what_changes_the_protection_is_not_usable() {
        let key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        assert!(crypto(&format!("1 AES_CM_128_HMAC_SHA1_80 {key} WSH=64")).is_usable());
        for bad in ["UNENCRYPTED_SRTP", "UNAUTHENTICATED_SRTP", "KDR=1"] {
            assert!(!crypto(&format!("1 AES_CM_128_HMAC_SHA1_80 {key} {bad}")).is_usable(), "{bad}");
        }
        assert!(!crypto(&format!("1 AES_CM_128_HMAC_SHA1_80 {key};{key}")).is_usable());
        // Its packets carry the identifier, which nothing of ours writes or takes off.
        assert!(!crypto(&format!("1 AES_CM_128_HMAC_SHA1_80 {key}|2^20|1:4")).is_usable());
        assert!(crypto(&format!("1 AES_CM_128_HMAC_SHA1_80 {key}|2^20")).is_usable());
        assert!(!crypto("1 F8_128_HMAC_SHA1_80 inline:AAAA").is_usable());
    }

    #[test]
    fn bad_keys_are_refused_and_no_key_is_shown() {
        for bad in [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 X uri:AAAA",
            "1 X inline:A!",
            "1 X inline:AAAA|2^64",
            "1 X inline:AAAA|0",
            "1 X inline:AAAA|1:0",
            "1 X inline:AAAA|1:129",
            "1 X inline:AAAA|1|1:1|1",
            "9999999999 X inline:AAAA",
        ] {
            assert!(Crypto::parse(bad).is_err(), "{bad}");
        }
        let shown =
            format!("{:?}", crypto("1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"));
        assert!(!shown.contains("89") && !shown.contains("WVN"), "{shown}");
    }
}
