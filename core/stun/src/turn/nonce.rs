//! Stateless nonces, RFC 8489 §9.2: an HMAC over time and address. Nothing is kept for a client that has proved nothing.
//!
//! ```text
//!   base64( seconds since start, 4 bytes | HMAC-SHA256(key, seconds | client address and port), first 8 bytes )
//! ```

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
}

impl Nonces {
    /// `start` is the instant the stamps count from.
    pub(super) fn new(key: [u8; 32], start: Instant) -> Self {
        Self { key, start }
    }

    /// A nonce for this client.
    pub(super) fn issue(&self, now: Instant, client: SocketAddr) -> String {
        let stamp = self.stamp(now).to_be_bytes();
        let mut raw = [0; 12];
        let (time, mac) = raw.split_at_mut(4);
        time.copy_from_slice(&stamp);
        mac.copy_from_slice(&self.mac(stamp, client));
        STANDARD.encode(raw)
    }

    /// Whether it is ours, for this client, and fresh.
    pub(super) fn is_valid(&self, now: Instant, client: SocketAddr, nonce: &str) -> bool {
        let mut raw = [0; 12];
        if !matches!(STANDARD.decode_slice(nonce, &mut raw), Ok(12)) {
            return false;
        }
        let [t0, t1, t2, t3, mac @ ..] = raw;
        let stamp = [t0, t1, t2, t3];
        let genuine: bool = self.mac(stamp, client).ct_eq(&mac).into();
        let age = self.stamp(now).checked_sub(u32::from_be_bytes(stamp));
        genuine && age.is_some_and(|age| Duration::from_secs(age.into()) < LIFETIME)
    }

    fn stamp(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.start).as_secs()).unwrap_or(u32::MAX)
    }

    fn mac(&self, stamp: [u8; 4], client: SocketAddr) -> [u8; 8] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(&stamp);
        match client.ip() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&client.port().to_be_bytes());
        let whole: [u8; 32] = mac.finalize().into_bytes().into();
        let [m0, m1, m2, m3, m4, m5, m6, m7, ..] = whole;
        [m0, m1, m2, m3, m4, m5, m6, m7]
    }
}

/// RFC 8656 §5: a nonce should be good for at least one hour.
const LIFETIME: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_client_and_its_time_only() {
        let start = crate::turn::some_instant();
        let nonces = Nonces::new([7; 32], start);
        let client: SocketAddr = "1.2.3.4:5000".parse().expect("an address");
        let other: SocketAddr = "1.2.3.4:5001".parse().expect("an address");
        let nonce = nonces.issue(start, client);
        assert!(nonces.is_valid(start, client, &nonce));
        assert!(nonces.is_valid(start + LIFETIME - Duration::from_secs(1), client, &nonce));
        assert!(!nonces.is_valid(start + LIFETIME, client, &nonce));
        assert!(!nonces.is_valid(start, other, &nonce));
        assert!(!Nonces::new([8; 32], start).is_valid(start, client, &nonce));
    }

    #[test]
    fn a_nonce_of_another_form_is_refused() {
        let start = crate::turn::some_instant();
        let nonces = Nonces::new([7; 32], start);
        let client: SocketAddr = "[2001:4860::1]:5000".parse().expect("an address");
        for nonce in ["", "AAAA", "AAAAAAAAAAAAAAAA", "****************", &"A".repeat(700)] {
            assert!(!nonces.is_valid(start, client, nonce), "{nonce}");
        }
    }
}
