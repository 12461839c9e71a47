//! What a description says of DTLS: fingerprints (RFC 8122) and who begins (RFC 4145, RFC 8842 §5).

use std::fmt;

use crate::malformed::Expected;
use crate::text::Token;

/// `a=fingerprint`: the certificate the other end will show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// By which function.
    pub hash: Hash,
    /// Its value; as many bytes as the function yields.
    pub value: Vec<u8>,
}

/// A hash function, RFC 8122 §5. MD2, MD5 and what else nobody may use is [`Hash::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// `sha-1`: old devices have no other.
    Sha1,
    /// `sha-224`.
    Sha224,
    /// `sha-256`: what everybody has.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
    /// Any other.
    Other(Token),
}

/// `a=setup`: who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The one who says it.
    Active,
    /// The other one.
    Passive,
    /// As the answer says.
    ActPass,
    /// Nobody yet.
    HoldConn,
}

/// Which end of the handshake one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends the ClientHello: `active`.
    Client,
    /// Waits for it: `passive`.
    Server,
}

impl Fingerprint {
    /// The SHA-256 of a certificate.
    pub fn sha256(value: [u8; 32]) -> Self {
        Self { hash: Hash::Sha256, value: value.to_vec() }
    }

    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let (Some(hash), Some(digits), None) = (words.next(), words.next(), words.next()) else {
            return Err("a hash function and its value");
        };
        let hash = Hash::parse(hash)?;
        let value: Vec<u8> = digits.split(':').map(parse_byte).collect::<Option<_>>().ok_or("pairs of hex digits")?;
        match hash.len() {
            Some(len) if len != value.len() => Err("as many bytes as the hash function yields"),
            None if value.len() > MAX_OTHER => Err("a fingerprint of at most 64 bytes"),
            Some(_) | None => Ok(Self { hash, value }),
        }
    }
}

fn parse_byte(text: &str) -> Option<u8> {
    let hex = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

impl Hash {
    fn parse(text: &str) -> Result<Self, Expected> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "sha-1" => Self::Sha1,
            "sha-224" => Self::Sha224,
            "sha-256" => Self::Sha256,
            "sha-384" => Self::Sha384,
            "sha-512" => Self::Sha512,
            other => Self::Other(Token::new(other).ok_or("the name of a hash function")?),
        })
    }

    fn name(&self) -> &str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            Self::Other(name) => name.as_str(),
        }
    }

    const fn len(&self) -> Option<usize> {
        match self {
            Self::Sha1 => Some(20),
            Self::Sha224 => Some(28),
            Self::Sha256 => Some(32),
            Self::Sha384 => Some(48),
            Self::Sha512 => Some(64),
            Self::Other(_) => None,
        }
    }
}

impl Setup {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        match value.to_ascii_lowercase().as_str() {
            "active" => Ok(Self::Active),
            "passive" => Ok(Self::Passive),
            "actpass" => Ok(Self::ActPass),
            "holdconn" => Ok(Self::HoldConn),
            _ => Err("`active`, `passive`, `actpass` or `holdconn`"),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

impl Role {
    /// The one the other end then has.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// How it is said.
    pub const fn setup(self) -> Setup {
        match self {
            Self::Client => Setup::Active,
            Self::Server => Setup::Passive,
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash.name())?;
        self.value.iter().zip(0..).try_for_each(|(byte, at)| {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")
        })
    }
}

/// As long as the longest function yields.
const MAX_OTHER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_has_the_length_of_its_function() {
        // RFC 8122 §5.
        let text =
            "sha-256 12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD";
        let read = Fingerprint::parse(text).expect("a fingerprint");
        assert_eq!((read.value.len(), read.to_string().as_str()), (32, text));
        assert_eq!(Fingerprint::parse(&text.to_lowercase()).expect("lower case"), read);
        for bad in ["sha-256 12:DF", "sha-1", "sha-1 GG", "sha-1 1:2", "", "md5 +1", &format!("{text}:00")] {
            assert!(Fingerprint::parse(bad).is_err(), "{bad}");
        }
    }
}
