//! What a database of users holds, whatever its kind. The names are those of coturn's tables.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::database::{Error, hex};

/// A user and the keys of its password, which itself is not kept. Has no `Debug`: a key is as good as the password.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnUser {
    /// REALM.
    pub realm: String,
    /// USERNAME, prepared as OpaqueString.
    pub name: String,
    /// `MD5(name ":" realm ":" password)`.
    pub md5: [u8; 16],
    /// `SHA-256(name ":" realm ":" password)`; coturn keeps none.
    pub sha256: Option<[u8; 32]>,
}

/// A user as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedTurnUser {
    /// REALM.
    pub realm: String,
    /// USERNAME.
    pub name: String,
    /// When it was added, or got another password, where that is kept.
    pub changed_at: Option<u64>,
}

/// One fact that is not a user. Has no `Debug`: some are secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// `turn_secret`: a key of ephemeral credentials. A realm may have several.
    Secret {
        /// Where it is good.
        realm: String,
        /// The secret.
        value: String,
    },
    /// `turn_origin_to_realm`: pages from `origin` are asked for `realm`.
    Origin {
        /// Scheme, host and port.
        origin: String,
        /// The realm.
        realm: String,
    },
    /// `turn_realm_option`.
    Option {
        /// Whose.
        realm: String,
        /// Which.
        option: RealmOption,
        /// How much.
        value: u64,
    },
    /// `allowed_peer_ip` and `denied_peer_ip`.
    Peer {
        /// Whether they may be relayed to.
        rule: PeerRule,
        /// Whose; empty: everybody's.
        realm: String,
        /// An address, a network, or two addresses with a hyphen between.
        range: String,
    },
    /// `oauth_key`.
    Key(OauthKey),
}

/// What a realm may have of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RealmOption {
    /// Bytes per second of one allocation, each direction.
    MaxBps,
    /// Allocations of all its users together.
    TotalQuota,
    /// Allocations of one of its users.
    UserQuota,
}

/// Whether peers may be relayed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerRule {
    /// Although another rule denies it.
    Allowed,
    /// By nobody of the realm.
    Denied,
}

/// A key of an authorisation server (RFC 7635). Has no `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OauthKey {
    /// Names it.
    pub kid: String,
    /// The key in base64. May be longer than the algorithm takes: its beginning counts.
    pub ikm_key: String,
    /// When it becomes good, in seconds since 1970; 0: always was.
    pub timestamp: u64,
    /// For how many seconds; 0: for ever.
    pub lifetime: u32,
    /// `A256GCM` or `A128GCM`; empty: `A256GCM`.
    pub as_rs_alg: String,
    /// The realm of those who use it; empty: any.
    pub realm: String,
}

/// All records, and the realms that users are in. Has no `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// In order.
    pub records: BTreeSet<Record>,
    /// Those of users.
    pub realms: BTreeSet<String>,
}

impl RealmOption {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MaxBps, Self::TotalQuota, Self::UserQuota];

    /// As coturn writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxBps => "max-bps",
            Self::TotalQuota => "total-quota",
            Self::UserQuota => "user-quota",
        }
    }
}

impl FromStr for RealmOption {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Misuse(format!("expected max-bps, total-quota or user-quota, got `{text}`"));
        Self::ALL.into_iter().find(|option| option.name() == text).ok_or_else(wrong)
    }
}

impl PeerRule {
    /// As the tables and keys are called: `allowed` or `denied`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}

impl fmt::Display for PeerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// USERHASH of RFC 8489 §14.4, in hexadecimal.
pub(super) fn userhash(realm: &str, name: &str) -> String {
    hex(&Sha256::digest(format!("{name}:{realm}")))
}

/// The MD5 key as coturn keeps it; some databases fill it up with spaces.
pub(super) fn read_md5(realm: &str, name: &str, text: &str) -> Result<[u8; 16], Error> {
    let broken = || Error::Unreadable(format!("the key of {name} in {realm} is not hexadecimal of the right length"));
    // coturn looks no further, either.
    text.trim_end().get(..32).and_then(unhex).ok_or_else(broken)
}

/// Our SHA-256 key, and behind it the MD5 key it was made with: a password that coturn's tools have changed since makes it
/// worthless.
pub(super) fn write_sha256(user: &TurnUser) -> Option<String> {
    user.sha256.map(|key| format!("{}{}", hex(&key), hex(&user.md5)))
}

/// The other way round. `alone`: nobody else writes here, so a key without the other one is good as well.
pub(super) fn read_sha256(text: &str, md5: &[u8; 16], alone: bool) -> Option<[u8; 32]> {
    let (key, made_with) = text.trim_end().split_at_checked(64)?;
    let holds = unhex(made_with) == Some(*md5) || (alone && made_with.is_empty());
    unhex(key).filter(|_| holds)
}

pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let (pairs, []) = bytes else { return None };
    pairs.iter().map(pair).collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever else writes into the database may write anything.
        #[test]
        fn no_text_of_a_key_is_too_odd(text in "[0-9a-fA-F +\\x00é]{0,140}", any in ".{0,140}") {
            for text in [text, any] {
                if let Some(bytes) = unhex::<16>(&text) {
                    prop_assert_eq!(hex(&bytes), text.to_ascii_lowercase());
                }
                if let Ok(key) = read_md5("north.gov", "gorst", &text) {
                    prop_assert!(text.to_ascii_lowercase().starts_with(&hex(&key)));
                }
                prop_assert!(read_sha256(&text, &[1; 16], false).is_none() || text.to_lowercase().contains(&hex(&[1; 16])));
                let _ = read_sha256(&text, &[1; 16], true);
                let _ = text.parse::<RealmOption>();
            }
        }
    }

    #[test]
    fn keys_survive_being_written_and_what_is_not_one_is_refused() {
        assert_eq!(unhex::<3>(&hex(&[0, 0x9f, 0xff])), Some([0, 0x9f, 0xff]));
        for text in ["", "00", "00000", "0000000", "00000g", "+1+1+1"] {
            assert_eq!(unhex::<3>(text), None, "{text}");
        }
        let padded = format!("{:128}", "7da2270ccfa49786e0115366d3a3d14d");
        assert!(read_md5("north.gov", "gorst", &padded).is_ok_and(|key| key[0] == 0x7d));
        assert!(read_md5("north.gov", "gorst", "7da2").is_err());
    }

    #[test]
    fn a_sha256_key_goes_with_the_md5_key_it_was_made_with_and_no_other() {
        let user = TurnUser { realm: "r".into(), name: "n".into(), md5: [1; 16], sha256: Some([2; 32]) };
        let text = write_sha256(&user).expect("a text");
        assert_eq!(read_sha256(&text, &[1; 16], false), Some([2; 32]));
        assert_eq!(read_sha256(&text, &[3; 16], false), None, "turnadmin has given another password");
        assert_eq!(read_sha256(&text[..64], &[1; 16], false), None);
        assert_eq!(read_sha256(&text[..64], &[1; 16], true), Some([2; 32]));
        assert_eq!(read_sha256("", &[1; 16], true), None);
    }

    #[test]
    fn the_hash_of_a_user_is_that_of_rfc_8489() {
        // printf '%s' gorst:north.gov | sha256sum
        assert_eq!(userhash("north.gov", "gorst"), "171205b63925b340172cf5f6b526e073b435695b205c2eff1460d53f341083e0");
    }
}
