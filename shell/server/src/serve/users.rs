//! Users of the relay from a database: looked up when somebody comes, on the runtime, while the relay's threads go on; and
//! what is known of realms, looked at again whenever it may have changed.
//!
//! ```text
//!   shard ─ask─► lookup ─► database        down: tried again for a while, then Unavailable; said once
//!   database ─told, or from time to time─► realms ─► all shards
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tandem_store::{Error, Facts, Heard, OauthKey, PeerRule, RealmOption, Record, TurnUser, TurnUsers};
use tandem_stun::turn::{Account, Answer, Name, Realms, Secret, TokenAlgorithm, TokenKey, UserKey};
use tokio::time::{Instant, sleep};

use super::relay::network;
use crate::cli::networks;
use crate::http::health::Condition;
use crate::relay;

/// A database of users, and how it does. Cheap to clone.
#[derive(Clone)]
pub struct Users {
    database: TurnUsers,
    down: Arc<AtomicBool>,
    /// Those of authorisation servers, by their names; as they were when the database was looked at last.
    keys: Arc<ArcSwap<TokenKeys>>,
}

impl Users {
    pub fn new(database: TurnUsers) -> Self {
        Self { database, down: Arc::default(), keys: Arc::default() }
    }

    /// Whether clients may hide their names: every user can be found by USERHASH. Not while nobody can tell.
    pub async fn all_hashed(&self) -> bool {
        let all_hashed = self.database.all_hashed().await;
        self.note(all_hashed.as_ref().err());
        all_hashed.unwrap_or(false)
    }

    /// Who is asked by the relay.
    pub fn ask(&self) -> relay::Ask {
        let (users, runtime) = (self.clone(), tokio::runtime::Handle::current());
        Arc::new(move |user, tell| {
            let users = users.clone();
            drop(runtime.spawn(async move { tell(users.find(&user).await) }));
        })
    }

    async fn find(&self, user: &UserKey) -> Answer {
        if let Name::Kid(kid) = &user.name {
            let known = self.keys.load();
            let account = |key: &TokenKey| Account { username: kid.clone(), secret: Secret::Token(key.clone()) };
            return key_for(&known, kid, &user.realm).map_or(Answer::Unknown, |key| Answer::Known(account(key)));
        }
        let (started, was_down) = (Instant::now(), self.is_down());
        loop {
            match self.look(user).await {
                Ok(found) => {
                    self.note(None);
                    return found.map_or(Answer::Unknown, Answer::Known);
                }
                Err(Error::Unreadable(problem)) => {
                    tracing::debug!(problem, "a user of the relay cannot be let in");
                    return Answer::Unknown;
                }
                Err(error) => self.note(Some(&error)),
            }
            // Whoever comes in the middle of an outage need not wait for its end.
            if was_down || started.elapsed() >= PATIENCE {
                return Answer::Unavailable;
            }
            sleep(PAUSE).await;
        }
    }

    async fn look(&self, user: &UserKey) -> Result<Option<Account>, Error> {
        let found = match &user.name {
            Name::Plain(name) => self.database.find(&user.realm, name).await?,
            Name::Hash(hash) => self.database.find_by_hash(&user.realm, *hash).await?,
            Name::Kid(_) => None,
        };
        let account = |user: TurnUser| Account {
            username: user.name,
            secret: Secret::Keys { md5: Some(user.md5), sha256: user.sha256 },
        };
        Ok(found.map(account))
    }

    /// Tells the relay of realms from here on, until it ends. `told`: what it knows of them.
    pub async fn watch(self, handle: Weak<relay::Handle>, told: Arc<Realms>) {
        let mut watch = self.database.watch();
        let mut told = Realms::clone(&told);
        loop {
            let facts = self.database.facts().await;
            self.note(facts.as_ref().err());
            let Some(relay) = handle.upgrade() else { return };
            if let Ok(facts) = &facts {
                self.keys.store(Arc::new(keys(facts)));
            }
            match facts.map(|facts| realms(&facts)) {
                // What was known stays while nothing can be known.
                Err(_) => {
                    drop(relay);
                    sleep(RETRY).await;
                    continue;
                }
                Ok(realms) if realms != told => {
                    tracing::info!(realms = realms.len(), "the relay's realms have changed");
                    relay.set_realms(&Arc::new(realms.clone()));
                    told = realms;
                }
                Ok(_) => {}
            }
            drop(relay);
            let heard = watch.next().await;
            if let (Heard::User(name), Some(relay)) = (heard, handle.upgrade()) {
                relay.user_changed(&name);
            }
        }
    }

    /// What is known of realms, for whoever cannot begin without. A database that starts again is waited for a while.
    pub async fn realms(&self) -> Arc<Realms> {
        let started = Instant::now();
        loop {
            let facts = self.database.facts().await;
            self.note(facts.as_ref().err());
            match facts {
                Ok(facts) => {
                    self.keys.store(Arc::new(keys(&facts)));
                    return Arc::new(realms(&facts));
                }
                Err(_) if started.elapsed() < PATIENCE => sleep(PAUSE).await,
                Err(_) => return Arc::default(),
            }
        }
    }

    /// For `/readyz`.
    pub fn condition(&self) -> Condition {
        match self.is_down() {
            true => Condition::Degraded(format!("{} with the relay's users does not answer", self.database.kind())),
            false => Condition::Ok,
        }
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Says once that an outage has begun, and once that it has ended.
    fn note(&self, error: Option<&Error>) {
        if error.is_some_and(Error::is_closed) {
            return;
        }
        let was_down = self.down.swap(error.is_some(), Ordering::Relaxed);
        let database = self.database.kind();
        match (error, was_down) {
            (Some(error), false) => tracing::error!(database, %error, "the relay's users cannot be looked up"),
            (None, true) => tracing::info!(database, "the relay's users can be looked up again"),
            (Some(_), true) | (None, false) => {}
        }
    }
}

/// What the relay is told of realms.
fn realms(facts: &Facts) -> Realms {
    let mut realms = Realms::default();
    let fits = |realm: &str| !realm.is_empty() && realm.chars().count() <= MAX_REALM;
    for realm in facts.realms.iter().filter(|realm| fits(realm)).take(MAX_REALMS) {
        realms.add(realm);
    }
    for record in &facts.records {
        match record {
            Record::Secret { realm, value } if fits(realm) => {
                realms.add(realm).secrets.push(value.clone().into_bytes());
            }
            Record::Origin { origin, realm } if fits(realm) => realms.add_origin(origin, realm),
            Record::Option { realm, option, value } if fits(realm) => {
                let facts = realms.add(realm);
                // Zero bounds nothing.
                let most = usize::try_from(*value).ok().filter(|&most| most > 0);
                match option {
                    // There each direction has so many, here both together have twice as many.
                    RealmOption::MaxBps => facts.bytes_per_second = most.map(|_| value.saturating_mul(2)),
                    RealmOption::TotalQuota => facts.allocations = most,
                    RealmOption::UserQuota => facts.allocations_per_user = most,
                }
            }
            Record::Peer { rule, realm, range } if realm.is_empty() || fits(realm) => {
                let peers = if realm.is_empty() { &mut realms.peers } else { &mut realms.add(realm).peers };
                let ranges = if *rule == PeerRule::Allowed { &mut peers.allow } else { &mut peers.deny };
                match networks(range) {
                    Ok(found) => ranges.extend(found.iter().filter_map(network)),
                    Err(problem) => tracing::warn!(%rule, range, problem, "a rule on peers is passed over"),
                }
            }
            Record::Secret { .. } | Record::Origin { .. } | Record::Option { .. } => {}
            Record::Peer { .. } | Record::Key(_) => {}
        }
    }
    realms
}

/// Keys of authorisation servers, by name, each with the realm it is for; an empty one is for any.
type TokenKeys = BTreeMap<String, (String, TokenKey)>;

/// The key of that name, if who comes with a token wants a realm that it is for.
fn key_for<'k>(keys: &'k TokenKeys, kid: &str, realm: &str) -> Option<&'k TokenKey> {
    keys.get(kid).filter(|(of, _)| of.is_empty() || of == realm).map(|(_, key)| key)
}

fn keys(facts: &Facts) -> TokenKeys {
    let key = |from: &OauthKey| {
        let bytes = BASE64_STANDARD.decode(from.ikm_key.trim()).ok()?;
        let until = (from.lifetime != 0).then(|| from.timestamp.saturating_add(from.lifetime.into()));
        TokenKey::new(&from.kid, TokenAlgorithm::parse(&from.as_rs_alg)?, &bytes, until).ok()
    };
    let mut keys = BTreeMap::new();
    for record in &facts.records {
        if let Record::Key(from) = record {
            match key(from) {
                Some(key) => drop(keys.insert(from.kid.clone(), (from.realm.clone(), key))),
                None => tracing::debug!(kid = from.kid, "a key of an authorisation server is none"),
            }
        }
    }
    keys
}

/// A database that starts again is waited for so long. A request waits five seconds in the relay, and connecting takes some.
const PATIENCE: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_millis(250);
/// While the database is down.
const RETRY: Duration = Duration::from_secs(2);
/// RFC 8489 §14.9: REALM has fewer than 128 characters.
const MAX_REALM: usize = 127;
/// Realms with users alone; those with facts are as many as the operator has written.
const MAX_REALMS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_are_those_of_users_and_of_facts_and_what_is_no_realm_is_passed_over() {
        let realm = |name: &str| name.to_owned();
        let mut facts = Facts::default();
        facts.realms.extend([realm("north"), realm(""), "x".repeat(128)]);
        facts.records.extend([
            Record::Secret { realm: realm("south"), value: "logen".into() },
            Record::Secret { realm: realm(""), value: "nobody's".into() },
            Record::Origin { origin: "https://a.example".into(), realm: realm("west") },
            Record::Option { realm: realm("west"), option: RealmOption::MaxBps, value: 500 },
            Record::Option { realm: realm("west"), option: RealmOption::TotalQuota, value: 12 },
            Record::Option { realm: realm("west"), option: RealmOption::UserQuota, value: 3 },
            Record::Option { realm: realm("south"), option: RealmOption::UserQuota, value: 0 },
            Record::Peer { rule: PeerRule::Denied, realm: realm(""), range: "10.0.0.0-10.0.0.255".into() },
            Record::Peer { rule: PeerRule::Allowed, realm: realm("west"), range: "::1".into() },
            Record::Peer { rule: PeerRule::Allowed, realm: realm("west"), range: "nowhere".into() },
        ]);
        let mut expected = Realms::default();
        expected.add("north");
        expected.add("south").secrets.push(b"logen".to_vec());
        expected.add_origin("https://a.example", "west");
        let west = expected.add("west");
        (west.bytes_per_second, west.allocations, west.allocations_per_user) = (Some(1_000), Some(12), Some(3));
        let range = |text: &str| text.parse().expect("a range");
        expected.peers.deny = vec![range("10.0.0.0/24")];
        expected.add("west").peers.allow = vec![range("::1/128")];
        assert!(realms(&facts) == expected);
    }

    #[test]
    fn keys_of_coturns_example_are_taken_and_short_ones_are_passed_over() {
        let key = |kid: &str, ikm_key: &str, as_rs_alg: &str| {
            let (kid, ikm_key, as_rs_alg) = (kid.to_owned(), ikm_key.to_owned(), as_rs_alg.to_owned());
            Record::Key(OauthKey { kid, ikm_key, timestamp: 0, lifetime: 0, as_rs_alg, realm: String::new() })
        };
        let mut facts = Facts::default();
        facts.records.extend([
            key("north", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK", "A256GCM"),
            key("union", "MTIzNDU2Nzg5MDEyMzQ1Ngo=", "A128GCM"),
            key("short", "MTIzNDU2Nzg5MDEyMzQ1Ngo=", "A256GCM"),
            key("none", "!", ""),
        ]);
        assert_eq!(keys(&facts).keys().collect::<Vec<_>>(), ["north", "union"]);
    }

    #[test]
    fn a_key_is_good_for_its_own_realm_and_one_without_for_any() {
        let key = |kid: &str, realm: &str| {
            let ikm_key = "MTIzNDU2Nzg5MDEyMzQ1Ngo=".to_owned();
            let (kid, realm, as_rs_alg) = (kid.to_owned(), realm.to_owned(), "A128GCM".to_owned());
            Record::Key(OauthKey { kid, ikm_key, timestamp: 0, lifetime: 0, as_rs_alg, realm })
        };
        let mut facts = Facts::default();
        facts.records.extend([key("of-west", "west"), key("of-all", "")]);
        let keys = keys(&facts);
        let is_good = |kid, realm| key_for(&keys, kid, realm).is_some();
        assert!(is_good("of-west", "west") && !is_good("of-west", "north") && !is_good("of-west", ""));
        assert!(is_good("of-all", "west") && is_good("of-all", "north") && !is_good("other", "west"));
    }
}
