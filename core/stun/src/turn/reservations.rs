//! Ports kept for an Allocate to come (RFC 8656 §7.2, EVEN-PORT with R=1 and RESERVATION-TOKEN).
//!
//! The client that comes with the token may reach another shard than the one that keeps the port: the other shard asks
//! (`Note::Claim`), the port is lent (`Note::Lent`), and given back when its allocation ends (`Note::Returned`). As
//! long as it is lent, packets from inside to its address are passed on to the borrower.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};

/// RESERVATION-TOKEN: the shard that keeps the port, then six random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token(u64);

impl Token {
    pub(super) fn new(shard: u16, rng: &mut ChaCha8Rng) -> Self {
        let [_, _, random @ ..] = rng.next_u64().to_be_bytes();
        let [s0, s1] = shard.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5] = random;
        Self(u64::from_be_bytes([s0, s1, r0, r1, r2, r3, r4, r5]))
    }

    /// As RESERVATION-TOKEN has it.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn shard(self) -> u16 {
        let [s0, s1, ..] = self.0.to_be_bytes();
        u16::from_be_bytes([s0, s1])
    }
}

/// The kept ports of one shard, its own and borrowed ones.
#[derive(Default)]
pub(super) struct Reservations {
    kept: BTreeMap<Token, Kept>,
    deadlines: BTreeSet<(Instant, Token)>,
    by_user: BTreeMap<String, usize>,
    /// Our ports that other shards relay on.
    lent: BTreeMap<SocketAddr, u16>,
}

/// A kept port on its way to another process.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptPort {
    pub(super) token: Token,
    pub(super) at: SocketAddr,
    pub(super) user: String,
    pub(super) left: Duration,
}

struct Kept {
    at: SocketAddr,
    user: String,
    expires: Instant,
}

impl Reservations {
    /// Keeps a port for thirty seconds. Tokens are drawn at random: one that was kept under the same token is told, and free.
    #[must_use]
    pub(super) fn keep(&mut self, now: Instant, token: Token, at: SocketAddr, user: &str) -> Option<SocketAddr> {
        let expires = now + LIFETIME;
        let former = self.remove(token);
        self.kept.insert(token, Kept { at, user: user.to_owned(), expires });
        self.deadlines.insert((expires, token));
        *self.by_user.entry(user.to_owned()).or_default() += 1;
        former
    }

    /// Hands the port over to the user it was kept for. `None`: nothing is kept under this token for this user.
    pub(super) fn claim(&mut self, token: Token, user: &str) -> Option<SocketAddr> {
        self.kept.get(&token).filter(|kept| kept.user == user)?;
        self.remove(token)
    }

    /// A port that nobody has claimed in time; call until there is none.
    pub(super) fn expired(&mut self, now: Instant) -> Option<SocketAddr> {
        let &(_, token) = self.deadlines.first().filter(|&&(at, _)| at <= now)?;
        self.remove(token)
    }

    fn remove(&mut self, token: Token) -> Option<SocketAddr> {
        let kept = self.kept.remove(&token)?;
        self.deadlines.remove(&(kept.expires, token));
        if let Some(count) = self.by_user.get_mut(&kept.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_user.remove(&kept.user);
            }
        }
        Some(kept.at)
    }

    /// How many ports are kept for a user.
    pub(super) fn count_of_user(&self, user: &str) -> usize {
        self.by_user.get(user).copied().unwrap_or(0)
    }

    /// Ports kept, and addresses lent.
    pub(super) fn sizes(&self) -> (usize, usize) {
        debug_assert_eq!((self.kept.len(), self.kept.len()), (self.deadlines.len(), self.by_user.values().sum()));
        (self.kept.len(), self.lent.len())
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// All kept ports, with the time that is left, and all lent ones.
    pub(super) fn keep_for_later(&self, now: Instant) -> (Vec<KeptPort>, Vec<(SocketAddr, u16)>) {
        let port = |(&token, kept): (&Token, &Kept)| KeptPort {
            token,
            at: kept.at,
            user: kept.user.clone(),
            left: kept.expires.saturating_duration_since(now),
        };
        (self.kept.iter().map(port).collect(), self.lent.iter().map(|(&at, &shard)| (at, shard)).collect())
    }

    /// Keeps a port on.
    pub(super) fn keep_on(&mut self, now: Instant, port: KeptPort) {
        let KeptPort { token, at, user, left } = port;
        let expires = now + left.min(LIFETIME);
        if self.kept.insert(token, Kept { at, user: user.clone(), expires }).is_none() {
            self.deadlines.insert((expires, token));
            *self.by_user.entry(user).or_default() += 1;
        }
    }

    pub(super) fn lend(&mut self, at: SocketAddr, shard: u16) {
        self.lent.insert(at, shard);
    }

    /// `false`: it was not lent.
    pub(super) fn take_back(&mut self, at: SocketAddr) -> bool {
        self.lent.remove(&at).is_some()
    }

    /// The shard that relays on a port of ours.
    pub(super) fn borrower(&self, at: SocketAddr) -> Option<u16> {
        self.lent.get(&at).copied()
    }
}

/// RFC 8656 §7.2.
const LIFETIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::some_instant;

    #[test]
    fn a_port_kept_under_a_token_that_is_drawn_twice_is_not_forgotten() {
        let (mut kept, now, token) = (Reservations::default(), some_instant(), Token::from_bits(7));
        let [one, other] = [50_001, 50_003].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        assert_eq!(kept.keep(now, token, one, "alice"), None);
        assert_eq!(kept.keep(now, token, other, "alice"), Some(one), "it is to be given back");
        assert_eq!((kept.sizes(), kept.count_of_user("alice")), ((1, 0), 1));
        assert_eq!((kept.expired(now + LIFETIME), kept.expired(now + LIFETIME)), (Some(other), None));
        assert_eq!(kept.count_of_user("alice"), 0);
    }
}
