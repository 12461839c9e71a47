//! Stateless nonces, RFC 8489 §9.2: an HMAC over time and address. Nothing is kept for a client that has proved nothing.
//!
//! ```text
//!   "obMatJos2" | base64( security features, 3 bytes )
//!               | base64( minutes since start, 2 bytes | HMAC-SHA256(key, features | minutes | client), first 7 bytes )
//! ```
//!
//! Short, because every 401 carries one. The cookie in front (§9.2) tells clients of RFC 8489 what they may use, and that
//! nobody has taken it out of our answer.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Makes and checks nonces with one key.
pub(super) struct Nonces {
    key: [u8; 32],
    start: Instant,
    cookie: String,
}

/// What clients may use, RFC 8489 §18.1, beside PASSWORD-ALGORITHMS, which they always may.
#[derive(Clone, Copy)]
pub(super) struct Features {
    /// USERHASH.
    pub(super) user_hash: bool,
}

impl Nonces {
    /// `start` is the instant the stamps count from.
    pub(super) fn new(key: [u8; 32], start: Instant, features: Features) -> Self {
        let bits = [0, 0, PASSWORD_ALGORITHMS | if features.user_hash { USERNAME_ANONYMITY } else { 0 }];
        Self { key, start, cookie: format!("{COOKIE}{}", STANDARD.encode(bits)) }
    }

    /// The key, and since when the stamps count.
    pub(super) fn keep_for_later(&self, now: Instant) -> ([u8; 32], Duration) {
        (self.key, now.saturating_duration_since(self.start))
    }

    /// Goes on where another process has stopped.
    pub(super) fn go_on(&mut self, now: Instant, (key, age): ([u8; 32], Duration)) {
        // No machine runs longer than its clock.
        if let Some(start) = now.checked_sub(age) {
            (self.key, self.start) = (key, start);
        }
    }

    /// A nonce for this client.
    pub(super) fn issue(&self, now: Instant, client: SocketAddr) -> String {
        let minutes = self.minutes(now);
        let [.., m0, m1] = minutes.to_be_bytes();
        let mut raw = [m0, m1, 0, 0, 0, 0, 0, 0, 0];
        if let Some(mac) = raw.last_chunk_mut::<7>() {
            *mac = self.mac(minutes, client);
        }
        format!("{}{}", self.cookie, STANDARD.encode(raw))
    }

    /// Whether it is ours, for this client, and fresh.
    pub(super) fn is_valid(&self, now: Instant, client: SocketAddr, nonce: &str) -> bool {
        let mut raw = [0; 9];
        let Some(stamped) = nonce.strip_prefix(&self.cookie) else { return false };
        if !matches!(STANDARD.decode_slice(stamped, &mut raw), Ok(9)) {
            return false;
        }
        let [m0, m1, mac @ ..] = raw;
        let now = self.minutes(now);
        // The stamp holds the low half of the minutes: the age tells the whole.
        let [.., n0, n1] = now.to_be_bytes();
        let age = u32::from(u16::from_be_bytes([n0, n1]).wrapping_sub(u16::from_be_bytes([m0, m1])));
        let Some(issued) = now.checked_sub(age).filter(|_| age < LIFETIME_MINUTES) else { return false };
        self.mac(issued, client).ct_eq(&mac).into()
    }

    fn minutes(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.start).as_secs() / 60).unwrap_or(u32::MAX)
    }

    fn mac(&self, minutes: u32, client: SocketAddr) -> [u8; 7] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(self.cookie.as_bytes());
        mac.update(&minutes.to_be_bytes());
        match client.ip() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&client.port().to_be_bytes());
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let [m0, m1, m2, m3, m4, m5, m6, ..] = whole;
        [m0, m1, m2, m3, m4, m5, m6]
    }
}

/// RFC 8489 §9.2.
const COOKIE: &str = "obMatJos2";
/// RFC 8489 §18.1: bit 0.
const PASSWORD_ALGORITHMS: u8 = 1;
/// RFC 8489 §18.1: bit 1.
const USERNAME_ANONYMITY: u8 = 2;
/// RFC 8656 §5: a nonce should be good for at least one hour; minutes are counted whole.
const LIFETIME_MINUTES: u32 = 61;
#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(61 * 60);
    const FEATURES: Features = Features { user_hash: true };

    #[test]
    fn a_nonce_is_good_for_its_client_and_its_time_only() {
        let start = crate::turn::some_instant();
        let nonces = Nonces::new([7; 32], start, FEATURES);
        let client: SocketAddr = "1.2.3.4:5000".parse().expect("an address");
        let other: SocketAddr = "1.2.3.4:5001".parse().expect("an address");
        let nonce = nonces.issue(start, client);
        assert_eq!((nonce.len(), nonce.get(..13)), (25, Some("obMatJos2AAAD")));
        assert!(nonces.is_valid(start, client, &nonce));
        let wrapped = start + Duration::from_secs(65_536 * 60);
        assert!(!nonces.is_valid(wrapped, client, &nonce), "the stamp alone would be fresh again");
        assert!(nonces.is_valid(wrapped, client, &nonces.issue(wrapped, client)));
        let modest = Nonces::new([7; 32], start, Features { user_hash: false });
        assert!(!modest.is_valid(start, client, &nonce), "what it promises is part of it");
        assert!(nonces.is_valid(start + LIFETIME - Duration::from_secs(1), client, &nonce));
        assert!(!nonces.is_valid(start + LIFETIME, client, &nonce));
        assert!(!nonces.is_valid(start, other, &nonce));
        assert!(!Nonces::new([8; 32], start, FEATURES).is_valid(start, client, &nonce));
    }

    #[test]
    fn a_nonce_of_another_form_is_refused() {
        let start = crate::turn::some_instant();
        let nonces = Nonces::new([7; 32], start, FEATURES);
        let client: SocketAddr = "[2001:4860::1]:5000".parse().expect("an address");
        for nonce in ["", "AAAA", "AAAAAAAAAAAAAAAA", "****************", &"A".repeat(700)] {
            assert!(!nonces.is_valid(start, client, nonce), "{nonce}");
        }
    }
}
