//! Fingerprints of certificates, as descriptions carry them (RFC 8122 §5).

use std::fmt;

use ring::digest;
use thiserror::Error;

/// A certificate's hash, RFC 8122 §5.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: Hash,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hash {
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

impl Fingerprint {
    pub(super) fn of(hash: Hash, certificate: &[u8]) -> Self {
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

    /// Whether it is this certificate's.
    pub(super) fn fits(&self, certificate: &[u8]) -> bool {
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
