//! The protection profiles: names, numbers, sizes; and the master keys that a handshake or a session description brings.

use zeroize::Zeroizing;

/// How packets are encrypted and authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// AES-128 in counter mode, HMAC-SHA1 of 80 bits (RFC 3711).
    Aes128CmSha1_80,
    /// The same with 32 bits for media (RFC 4568 §6.2.2); control packets keep 80 (RFC 3711 §5.2).
    Aes128CmSha1_32,
    /// AES-256 in counter mode (RFC 6188).
    Aes256CmSha1_80,
    /// The same with 32 bits for media.
    Aes256CmSha1_32,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode (RFC 7714).
    AeadAes256Gcm,
}

impl Suite {
    /// All, the cheapest of each strength first.
    pub const ALL: [Self; 6] = [
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
        Self::Aes128CmSha1_80,
        Self::Aes128CmSha1_32,
        Self::Aes256CmSha1_80,
        Self::Aes256CmSha1_32,
    ];

    /// The name in `a=crypto` lines (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256CmSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256CmSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// By its name in `a=crypto` lines.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// The number in the `use_srtp` extension of DTLS (RFC 5764 §4.1.2, RFC 7714 §14.2). The AES-256 counter modes have none.
    pub const fn dtls_profile(self) -> Option<u16> {
        match self {
            Self::Aes128CmSha1_80 => Some(0x0001),
            Self::Aes128CmSha1_32 => Some(0x0002),
            Self::AeadAes128Gcm => Some(0x0007),
            Self::AeadAes256Gcm => Some(0x0008),
            Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 => None,
        }
    }

    /// By its number in the `use_srtp` extension.
    pub fn from_dtls_profile(profile: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.dtls_profile() == Some(profile))
    }

    /// Bytes of the master key.
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 | Self::AeadAes128Gcm => 16,
            Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt.
    pub const fn salt_length(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Bytes that protection adds to a media packet.
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes256CmSha1_80 => 10,
            Self::Aes128CmSha1_32 | Self::Aes256CmSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes that protection adds to a control packet.
    pub const fn rtcp_overhead(self) -> usize {
        if self.is_aead() { 20 } else { 14 }
    }

    pub(super) const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

/// Master key and salt of one direction; wiped when dropped.
#[derive(Clone)]
pub struct Master {
    pub(super) suite: Suite,
    /// As many bytes of it as the suite says.
    key: Zeroizing<[u8; 32]>,
    /// Filled up with zeros behind, as RFC 7714 §11 has it.
    pub(super) salt: Zeroizing<[u8; 14]>,
}

/// Which end of a DTLS handshake we were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// `a=setup:active`.
    Client,
    /// `a=setup:passive`.
    Server,
}

/// The keying material is not as long as its suite says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes of keying material, got {got}")]
pub struct KeyLength {
    /// What the suite takes.
    pub expected: usize,
    /// What came.
    pub got: usize,
}

impl Master {
    /// Key and then salt, as an `a=crypto` line has them (RFC 4568 §6.1).
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Result<Self, KeyLength> {
        let error = KeyLength { expected: suite.key_length() + suite.salt_length(), got: key_and_salt.len() };
        let (key, salt) = key_and_salt.split_at_checked(suite.key_length()).ok_or(error)?;
        Self::of(suite, key, salt).ok_or(error)
    }

    /// Key and salt apart, as a handshake may hand them over.
    pub fn from_parts(suite: Suite, key: &[u8], salt: &[u8]) -> Result<Self, KeyLength> {
        let got = key.len() + salt.len();
        Self::of(suite, key, salt).ok_or(KeyLength { expected: suite.key_length() + suite.salt_length(), got })
    }

    /// What a DTLS handshake exports (RFC 5764 §4.2): for what we send, and for what we receive.
    pub fn from_dtls(suite: Suite, exported: &[u8], role: DtlsRole) -> Result<(Self, Self), KeyLength> {
        let (key, salt) = (suite.key_length(), suite.salt_length());
        let error = KeyLength { expected: 2 * (key + salt), got: exported.len() };
        let parts = || {
            let (client_key, rest) = exported.split_at_checked(key)?;
            let (server_key, rest) = rest.split_at_checked(key)?;
            let (client_salt, server_salt) = rest.split_at_checked(salt)?;
            Some((Self::of(suite, client_key, client_salt)?, Self::of(suite, server_key, server_salt)?))
        };
        let (client, server) = parts().ok_or(error)?;
        Ok(match role {
            DtlsRole::Client => (client, server),
            DtlsRole::Server => (server, client),
        })
    }

    /// What it is for.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) fn key(&self) -> &[u8] {
        self.key.get(..self.suite.key_length()).unwrap_or_default()
    }

    fn of(suite: Suite, key: &[u8], salt: &[u8]) -> Option<Self> {
        let (mut all, mut filled) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 14]));
        if key.len() != suite.key_length() || salt.len() != suite.salt_length() {
            return None;
        }
        filled.get_mut(..salt.len())?.copy_from_slice(salt);
        all.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { suite, key: all, salt: filled })
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Master").field("suite", &self.suite).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(suite.name()), Some(suite));
            assert!(suite.dtls_profile().is_none_or(|profile| Suite::from_dtls_profile(profile) == Some(suite)));
        }
        assert_eq!(Suite::from_dtls_profile(0x0005), None);
    }

    #[test]
    fn each_end_sends_with_what_the_other_receives_with() {
        let exported: Vec<u8> = (0..56).collect();
        let (sent, received) = Master::from_dtls(Suite::AeadAes128Gcm, &exported, DtlsRole::Client).unwrap();
        assert_eq!((sent.key(), &sent.salt[..]), (&exported[..16], &[&exported[32..44], &[0, 0]].concat()[..]));
        assert_eq!((received.key(), &received.salt[..12]), (&exported[16..32], &exported[44..56]));
        let (other, _) = Master::from_dtls(Suite::AeadAes128Gcm, &exported, DtlsRole::Server).unwrap();
        assert_eq!(other.key(), received.key());
    }

    #[test]
    fn material_of_another_length_is_refused() {
        let refused = KeyLength { expected: 30, got: 29 };
        assert_eq!(Master::new(Suite::Aes128CmSha1_80, &[0; 29]).err(), Some(refused));
        assert!(Master::new(Suite::Aes128CmSha1_80, &[0; 31]).is_err());
        assert!(Master::from_parts(Suite::Aes128CmSha1_80, &[0; 14], &[0; 16]).is_err(), "the wrong way around");
        let (whole, parts) =
            (Master::new(Suite::AeadAes128Gcm, &[3; 28]), Master::from_parts(Suite::AeadAes128Gcm, &[3; 16], &[3; 12]));
        let (whole, parts) = (whole.unwrap(), parts.unwrap());
        assert_eq!((whole.key(), &whole.salt[..]), (parts.key(), &parts.salt[..]));
        assert!(Master::from_dtls(Suite::AeadAes256Gcm, &[0; 87], DtlsRole::Client).is_err());
        assert!(Master::from_dtls(Suite::AeadAes256Gcm, &[0; 89], DtlsRole::Client).is_err());
    }
}
