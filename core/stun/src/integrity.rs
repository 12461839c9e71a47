//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.5, §14.6) with long-term keys (§9.2.2).
//!
//! Keys may come from a database that knows no password; which hash made the key and which HMAC protects a message are
//! two choices, and a client may mix them.

use hmac::{Hmac, Mac};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;
use stun_types::attribute::{AttributeStaticType as _, Fingerprint};

use crate::wire::{COOKIE, HEADER, Stun};

/// Protects messages. Has no `Debug`: it is as good as the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(Vec<u8>);

/// How a key is made from user name, realm and password: the values of PASSWORD-ALGORITHM, RFC 8489 §18.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5(user ":" realm ":" password)`, the only one before RFC 8489.
    Md5,
    /// The same by SHA-256.
    Sha256,
}

/// How a message is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY: HMAC-SHA1.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

impl Key {
    /// The long-term key of a password, RFC 8489 §9.2.2. All three must have been prepared as OpaqueString.
    pub fn long_term(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Self {
        let text = [username, realm, password].join(":");
        match algorithm {
            Algorithm::Md5 => Self(Md5::digest(text.as_bytes()).to_vec()),
            Algorithm::Sha256 => Self(Sha256::digest(text.as_bytes()).to_vec()),
        }
    }

    /// A key as a database keeps it: 16 bytes by MD5, or 32 by SHA-256; or the password itself, for short-term ones.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn sha1(&self) -> Hmac<Sha1> {
        let Ok(mac) = Hmac::new_from_slice(&self.0) else { unreachable!("HMAC takes keys of any length") };
        mac
    }

    fn sha256(&self) -> Hmac<Sha256> {
        let Ok(mac) = Hmac::new_from_slice(&self.0) else { unreachable!("HMAC takes keys of any length") };
        mac
    }
}

impl Integrity {
    /// What protects this message: the stronger one, if there are both.
    pub fn of(stun: Stun<'_>) -> Option<Self> {
        let has = |wanted| stun.attributes().any(|(kind, _)| kind == wanted);
        if has(MESSAGE_INTEGRITY_SHA256) {
            return Some(Self::Sha256);
        }
        has(MESSAGE_INTEGRITY).then_some(Self::Sha1)
    }

    fn attribute(self) -> u16 {
        match self {
            Self::Sha1 => MESSAGE_INTEGRITY,
            Self::Sha256 => MESSAGE_INTEGRITY_SHA256,
        }
    }
}

/// Whether the message carries this protection and was protected with this key.
pub fn verify(stun: Stun<'_>, integrity: Integrity, key: &Key) -> bool {
    verified(stun, integrity, key).unwrap_or(false)
}

fn verified(stun: Stun<'_>, integrity: Integrity, key: &Key) -> Option<bool> {
    let mut at = HEADER;
    let mut attributes = stun.attributes();
    let value = loop {
        let (kind, value) = attributes.next()?;
        if kind == integrity.attribute() {
            break value;
        }
        at += 4 + value.len().next_multiple_of(4);
    };
    let (header, rest) = stun.bytes.split_at_checked(HEADER)?;
    let (before, _) = rest.split_at_checked(at - HEADER)?;
    // The length in the header is as if the message ended with this attribute.
    let header = with_length(header, at - HEADER + 4 + value.len())?;
    Some(match integrity {
        Integrity::Sha1 => {
            value.len() == 20 && key.sha1().chain_update(header).chain_update(before).verify_slice(value).is_ok()
        }
        // RFC 8489 §14.6: may be truncated, to no less than sixteen bytes.
        Integrity::Sha256 => {
            (16..=32).contains(&value.len())
                && value.len().is_multiple_of(4)
                && key.sha256().chain_update(header).chain_update(before).verify_truncated_left(value).is_ok()
        }
    })
}

/// Protects a finished message that has neither protection nor FINGERPRINT. `None`: it has no room left.
pub fn protect(mut message: Vec<u8>, integrity: Integrity, key: &Key) -> Option<Vec<u8>> {
    let size: u16 = match integrity {
        Integrity::Sha1 => 20,
        Integrity::Sha256 => 32,
    };
    let length = message.len().checked_sub(HEADER)? + 4 + usize::from(size);
    let header = with_length(message.get(..HEADER)?, length)?;
    message.get_mut(..HEADER)?.copy_from_slice(&header);
    let value = match integrity {
        Integrity::Sha1 => key.sha1().chain_update(&message).finalize().into_bytes().to_vec(),
        Integrity::Sha256 => key.sha256().chain_update(&message).finalize().into_bytes().to_vec(),
    };
    message.extend_from_slice(&integrity.attribute().to_be_bytes());
    message.extend_from_slice(&size.to_be_bytes());
    message.extend_from_slice(&value);
    Some(message)
}

/// Adds FINGERPRINT (RFC 8489 §14.7) to a message without one. `None`: it has no room left.
pub(crate) fn fingerprint(mut message: Vec<u8>) -> Option<Vec<u8>> {
    let length = message.len().checked_sub(HEADER)? + 8;
    let header = with_length(message.get(..HEADER)?, length)?;
    message.get_mut(..HEADER)?.copy_from_slice(&header);
    let crc = Fingerprint::compute(&[&message]);
    message.extend_from_slice(&Fingerprint::TYPE.value().to_be_bytes());
    message.extend_from_slice(&4_u16.to_be_bytes());
    message.extend(crc.iter().zip(FINGERPRINT_MASK).map(|(byte, mask)| byte ^ mask));
    Some(message)
}

fn with_length(header: &[u8], length: usize) -> Option<[u8; HEADER]> {
    let mut header: [u8; HEADER] = header.try_into().ok()?;
    header.get_mut(2..4)?.copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    debug_assert!(header.get(4..8) == Some(&COOKIE));
    Some(header)
}

const FINGERPRINT_MASK: [u8; 4] = 0x5354_554e_u32.to_be_bytes();
const MESSAGE_INTEGRITY: u16 = 0x0008;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
