//! The cookie of RFC 6347 §4.2.1: an HMAC over the client's addresses and its random, so that nothing is kept until it
//! comes back.
//!
//! `dimpl` makes cookies of its own, HMAC-SHA256(secret, client_random), with a secret that it draws from its generator
//! when a server object is made. That generator can be seeded. So the seed is what covers the addresses, and the secret
//! that `dimpl` will draw is computed here ahead: the cookie is known before there is an object, and an object made later
//! with the same seed knows it, too.
//!
//! What else comes from the seeded generator: the server's random, the explicit nonces of AES-GCM records, the jitter of
//! timers. None is secret. Keys are: those of the key exchange and the signatures come from the operating system, so two
//! handshakes with one seed have different keys, and nonces need to differ under one key only. See
//! `docs/decisions/0006`.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ring::hmac;
use subtle::ConstantTimeEq as _;

use crate::hello::Hello;
use crate::server::Path;

/// Makes and checks cookies.
pub(crate) struct Cookies {
    key: hmac::Key,
    started: Instant,
}

/// What a server object is seeded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectSeed(pub(crate) u64);

impl Cookies {
    pub(crate) fn new(key: &[u8; 32], now: Instant) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), started: now }
    }

    /// The cookie that this client is to send back.
    pub(crate) fn make(&self, now: Instant, path: Path, hello: &Hello<'_>) -> [u8; 32] {
        cookie(self.seed(self.slot(now), path, hello), hello)
    }

    /// The seed of the object that will take this cookie; `None`: it is not this client's, or too old.
    pub(crate) fn check(&self, now: Instant, path: Path, hello: &Hello<'_>) -> Option<ObjectSeed> {
        if hello.cookie.len() != 32 {
            return None;
        }
        let slot = self.slot(now);
        [Some(slot), slot.checked_sub(1)].into_iter().flatten().find_map(|slot| {
            let seed = self.seed(slot, path, hello);
            bool::from(cookie(seed, hello).ct_eq(hello.cookie)).then_some(seed)
        })
    }

    fn slot(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs() / SLOT.as_secs()
    }

    fn seed(&self, slot: u64, path: Path, hello: &Hello<'_>) -> ObjectSeed {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&slot.to_be_bytes());
        for at in [path.client, path.server] {
            context.update(&octets(at));
            context.update(&at.port().to_be_bytes());
        }
        context.update(hello.random);
        let tag = context.sign();
        ObjectSeed(tag.as_ref().first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
    }
}

/// What `dimpl` makes of this seed: it draws the jitter of its timer, then the secret (`HandshakeTimers::new`,
/// `Server::new_with_engine`).
fn cookie(seed: ObjectSeed, hello: &Hello<'_>) -> [u8; 32] {
    let mut generator = StdRng::seed_from_u64(seed.0);
    let _jitter: f32 = generator.random();
    let secret: [u8; 32] = generator.random();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), hello.random);
    tag.as_ref().first_chunk().copied().unwrap_or_default()
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
