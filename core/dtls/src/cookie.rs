//! The cookie of RFC 6347 §4.2.1: an HMAC over the client's addresses, its random and a slot of time, so that nothing is kept
//! until it comes back.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ring::hmac;
use subtle::ConstantTimeEq as _;

use crate::hello::Hello;
use crate::server::Path;

/// Makes and checks cookies.
pub(crate) struct Cookies {
    key: hmac::Key,
    started: Instant,
}

impl Cookies {
    pub(crate) fn new(key: &[u8; 32], now: Instant) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), started: now }
    }

    /// The cookie that this client is to send back.
    pub(crate) fn make(&self, now: Instant, path: Path, hello: &Hello<'_>) -> [u8; 32] {
        self.cookie(self.slot(now), path, hello)
    }

    /// The cookie that has come back. `None`: it is not this client's, or too old.
    pub(crate) fn check(&self, now: Instant, path: Path, hello: &Hello<'_>) -> Option<[u8; 32]> {
        if hello.cookie.len() != 32 {
            return None;
        }
        let slot = self.slot(now);
        let mut made =
            [Some(slot), slot.checked_sub(1)].into_iter().flatten().map(|slot| self.cookie(slot, path, hello));
        made.find(|cookie| bool::from(cookie.ct_eq(hello.cookie)))
    }

    fn slot(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs() / SLOT.as_secs()
    }

    fn cookie(&self, slot: u64, path: Path, hello: &Hello<'_>) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&slot.to_be_bytes());
        for at in [path.client, path.server] {
            context.update(&octets(at));
            context.update(&at.port().to_be_bytes());
        }
        context.update(hello.random);
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

fn octets(at: SocketAddr) -> [u8; 16] {
    match at.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// A cookie is good in the slot it was made in and in the next.
const SLOT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::tests::client_hello;

    fn path(client: &str) -> Path {
        Path { client: client.parse().expect("an address"), server: "198.51.100.1:5349".parse().expect("an address") }
    }

    #[test]
    fn a_cookie_is_good_for_its_client_its_random_and_a_while() {
        let start = some_instant();
        let cookies = Cookies::new(&[1; 32], start);
        let first = client_hello(0, 0, 9, &[]);
        let here = path("192.0.2.1:4000");
        let cookie = cookies.make(start, here, &Hello::parse(&first).expect("a hello"));
        let check = |now, path, random, cookie: &[u8]| {
            let second = client_hello(1, 1, random, cookie);
            cookies.check(now, path, &Hello::parse(&second).expect("a hello")).is_some()
        };
        assert!(check(start, here, 9, &cookie));
        assert!(check(start + 2 * SLOT - Duration::from_secs(1), here, 9, &cookie));
        assert!(!check(start + 2 * SLOT, here, 9, &cookie));
        assert!(!check(start, here, 8, &cookie));
        assert!(!check(start, path("192.0.2.1:4001"), 9, &cookie));
        assert!(!check(start, path("192.0.2.2:4000"), 9, &cookie));
        let mut wrong = cookie;
        wrong[31] ^= 1;
        assert!(!check(start, here, 9, &wrong));
        assert!(!check(start, here, 9, &cookie[..31]));
        assert!(!check(start, here, 9, &[]));
    }

    #[expect(clippy::disallowed_methods, reason = "an instant has to come from somewhere")]
    fn some_instant() -> Instant {
        Instant::now()
    }
}
