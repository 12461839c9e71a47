//! The gate: long-term credentials (RFC 8489 §9.2.4) that are ephemeral, stateless nonces, and revocation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeStaticType, MessageIntegrity, Nonce, Realm, Username};
use stun_types::message::{IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message};

use super::allocation::Owner;
use super::config::Config;
use super::limiter::{Rate, Sources};
use super::nonce::Nonces;
use super::seeded::Seeded;
use crate::credential;

/// Decides who comes in. Keeps nothing for those who do not.
pub(super) struct Gate {
    realm: String,
    secret: Vec<u8>,
    credential_lifetime: Duration,
    wall_clock: (Instant, u64),
    nonces: Nonces,
    sources: Sources,
    /// Users shut out, and until when: credentials that expire no later than this were issued before.
    revoked: BTreeMap<String, u64>,
}

/// Why a request does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// 400: integrity without the attributes it needs.
    Incomplete,
    /// 401: no integrity at all; the usual first request.
    Unauthenticated,
    /// 401: wrong or expired credential.
    Wrong,
    /// 438.
    Stale,
    /// 441: not the one who made the allocation.
    NotOwner,
}

impl Gate {
    pub(super) fn new(config: &Config, nonce_key: [u8; 32], hash: Seeded) -> Self {
        let limits = &config.limits;
        let rate = Rate { per_second: limits.answers_per_second.into(), burst: limits.answers_burst.into() };
        Self {
            realm: config.realm.clone(),
            secret: config.secret.clone(),
            credential_lifetime: config.credential_lifetime,
            wall_clock: config.wall_clock,
            nonces: Nonces::new(nonce_key, config.wall_clock.0),
            sources: Sources::new(hash, rate),
            revoked: BTreeMap::new(),
        }
    }

    pub(super) fn realm(&self) -> &str {
        &self.realm
    }

    pub(super) fn nonce(&self, now: Instant, client: SocketAddr) -> String {
        self.nonces.issue(now, client)
    }

    /// Whether a source that has proved nothing gets an answer.
    pub(super) fn admit(&mut self, now: Instant, client: SocketAddr) -> bool {
        self.sources.admit(now, client.ip())
    }

    pub(super) fn set_wall_clock(&mut self, now: Instant, unix: u64) {
        self.wall_clock = (now, unix);
    }

    fn unix(&self, now: Instant) -> u64 {
        let (at, unix) = self.wall_clock;
        unix.saturating_add(now.saturating_duration_since(at).as_secs())
    }

    /// Refuses the credentials this user holds.
    pub(super) fn revoke(&mut self, now: Instant, user: &str) {
        let unix = self.unix(now);
        self.revoked.retain(|_, until| *until > unix);
        if self.revoked.len() >= MAX_REVOKED {
            self.revoked.pop_first();
        }
        self.revoked.insert(user.to_owned(), unix.saturating_add(self.credential_lifetime.as_secs()));
    }

    /// Checks a request, in the order of RFC 8489 §9.2.4. `holder` owns the five-tuple's allocation, if there is one.
    pub(super) fn check(
        &self,
        now: Instant,
        client: SocketAddr,
        message: &Message<'_>,
        holder: Option<&Owner>,
    ) -> Result<Authentic, Closed> {
        if !message.has_attribute(MessageIntegrity::TYPE) {
            return Err(Closed::Unauthenticated);
        }
        let username = message.attribute::<Username>().map_err(|_| Closed::Incomplete)?;
        let realm = message.attribute::<Realm>().map_err(|_| Closed::Incomplete)?;
        let nonce = message.attribute::<Nonce>().map_err(|_| Closed::Incomplete)?;
        if !self.nonces.is_valid(now, client, nonce.nonce()) {
            return Err(Closed::Stale);
        }
        if realm.realm() != self.realm {
            return Err(Closed::Wrong);
        }
        match holder {
            // RFC 8656 §5: the same credential for the life of the allocation, even after it has expired.
            Some(owner) if owner.username == username.username() => {
                verify(message, &owner.key)?;
                Ok(Authentic::Holder)
            }
            Some(_) => {
                self.stranger(now, message, username.username())?;
                Err(Closed::NotOwner)
            }
            None => self.stranger(now, message, username.username()).map(Authentic::Stranger),
        }
    }

    fn stranger(&self, now: Instant, message: &Message<'_>, username: &str) -> Result<Owner, Closed> {
        let (expiry, user) = credential::parse_username(username).ok_or(Closed::Wrong)?;
        let revoked = self.revoked.get(user).is_some_and(|&until| expiry <= until);
        if expiry <= self.unix(now) || revoked {
            return Err(Closed::Wrong);
        }
        let password = credential::password(&self.secret, username);
        let credentials = LongTermKeyCredentials::new(username.to_owned(), password, self.realm.clone());
        let key = credentials.make_key(IntegrityAlgorithm::Sha1);
        verify(message, &key)?;
        Ok(Owner { username: username.to_owned(), user: user.to_owned(), key })
    }
}

fn verify(message: &Message<'_>, key: &IntegrityKey) -> Result<(), Closed> {
    message.validate_integrity_with_key(key).map(|_| ()).map_err(|_| Closed::Wrong)
}

/// Who a valid credential belongs to.
pub(super) enum Authentic {
    /// The owner of this five-tuple's allocation.
    Holder,
    /// Somebody without an allocation.
    Stranger(Owner),
}

/// A new revocation beyond this pushes out another one.
const MAX_REVOKED: usize = 65_536;
