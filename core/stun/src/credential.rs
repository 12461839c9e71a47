//! Ephemeral TURN credentials: what the signalling hands out and the relay verifies without a database.
//!
//! The user name is `<unix expiry>:<user>`, the password is `base64(HMAC-SHA1(secret, user name))`: the scheme of
//! draft-uberti-behave-turn-rest that coturn and the common services share. Who gets one is the caller's business.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `<unix expiry>:<user>`.
    pub username: String,
    /// Base64 of an HMAC-SHA1 over the user name.
    pub password: String,
}

/// Makes the credential of `user`, valid until `expiry` (seconds since 1970).
pub fn credential(secret: &[u8], expiry: u64, user: &str) -> Credential {
    let username = format!("{expiry}:{user}");
    let password = password(secret, &username);
    Credential { username, password }
}

/// The password that belongs to a user name.
pub fn password(secret: &[u8], username: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { unreachable!("HMAC takes keys of any length") };
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Takes a user name apart: when it expires, and whose it is. `None`: not of this form.
pub fn parse_username(username: &str) -> Option<(u64, &str)> {
    let (expiry, user) = username.split_once(':')?;
    let digits = !expiry.is_empty() && expiry.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || user.is_empty() {
        return None;
    }
    Some((expiry.parse().ok()?, user))
}

/// Takes `<key>/<tag>` or `<key>/<tag>/<serial>` apart, the name in a credential of a credential service: which key has
/// issued it, and the application's own label, which may be empty. `None`: another kind of name.
pub fn key_and_tag(user: &str) -> Option<(&str, &str)> {
    let (key, rest) = user.split_once('/').filter(|(key, _)| !key.is_empty())?;
    Some((key, rest.split_once('/').map_or(rest, |(tag, _)| tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_the_known_form_and_value() {
        // Computed independently: printf 1700000000:alice | openssl dgst -sha1 -hmac secret -binary | base64
        let made = credential(b"secret", 1_700_000_000, "alice");
        assert_eq!(made.username, "1700000000:alice");
        assert_eq!(made.password, "d8soP47RbdIKLDUOpnJPVQyq5Ts=");
    }

    #[test]
    fn a_user_name_without_expiry_or_user_is_not_ours() {
        assert_eq!(parse_username("17:bob:laptop"), Some((17, "bob:laptop")));
        for bad in ["", "17", "17:", ":bob", "+17:bob", "x:bob", "99999999999999999999999:bob"] {
            assert_eq!(parse_username(bad), None, "{bad}");
        }
    }

    #[test]
    fn key_and_tag_end_at_a_slash() {
        assert_eq!(key_and_tag("k1/alice"), Some(("k1", "alice")));
        assert_eq!(key_and_tag("k1/a/b/c"), Some(("k1", "a")));
        assert_eq!(key_and_tag("k1/"), Some(("k1", "")));
        assert_eq!((key_and_tag("alice"), key_and_tag("/alice"), key_and_tag("")), (None, None, None));
    }
}
