//! Redis and what speaks like it, with coturn's keys:
//!
//! ```text
//! turn/realm/<realm>/user/<name>/key                    MD5 key, hexadecimal
//! turn/realm/<realm>/secret                             set of secrets
//! turn/realm/<realm>/max-bps|total-quota|user-quota     number
//! turn/realm/<realm>/allowed-peer-ip|denied-peer-ip     set of ranges
//! turn/origin/<origin>                                  realm
//! turn/oauth/kid/<kid>                                  hash: ikm_key, as_rs_alg, timestamp, lifetime, realm
//! turn/realm/<realm>/user/<name>/sha256                 ours: SHA-256 key and the MD5 key it goes with
//! turn/realm/<realm>/userhash/<hash>                    ours: the name behind a USERHASH
//! ```
//!
//! Changes are told on a channel of ours, and by the server's own notifications where those are switched on.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{AsyncTypedCommands as _, Client, RedisResult, pipe};

use super::records::{read_md5, read_sha256, userhash, write_sha256};
use super::{ANSWER_WITHIN, CHANNEL, Facts, ListedTurnUser, OauthKey, PeerRule, RealmOption, Record, TurnUser};
use crate::database::{Error, hex};

pub(super) struct Redis {
    client: Client,
    /// Connects when it is used, and again after it was lost.
    connection: ConnectionManager,
}

/// What a key of coturn's is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key<'k> {
    User { realm: &'k str, name: &'k str },
    Secrets(&'k str),
    Option(&'k str, RealmOption),
    Peers(&'k str, PeerRule),
    Origin(&'k str),
    Oauth(&'k str),
}

impl Redis {
    pub(super) fn open(url: &str) -> Result<Self, Error> {
        let client = Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { client, connection })
    }

    pub(super) async fn listen(&self) -> Option<PubSub> {
        let mut listener = self.client.get_async_pubsub().await.ok()?;
        listener.subscribe(CHANNEL).await.ok()?;
        listener.psubscribe("__keyspace@*__:turn/*").await.ok()?;
        Some(listener)
    }

    pub(super) async fn announce(&self, what: &str) {
        if let Err(error) = self.connection.clone().publish(CHANNEL, what).await {
            tracing::debug!(%error, "a change could not be announced; it is seen within a minute");
        }
    }

    pub(super) async fn find(&self, realm: &str, name: &str) -> Result<Option<TurnUser>, Error> {
        let keys = [user_key(realm, name, "key"), user_key(realm, name, "sha256")];
        let found: Vec<Option<String>> = self.connection.clone().mget(&keys).await?;
        let [md5, sha256] = <[_; 2]>::try_from(found).unwrap_or_default();
        let Some(md5) = md5 else { return Ok(None) };
        let md5 = read_md5(realm, name, &md5)?;
        let sha256 = sha256.and_then(|text| read_sha256(&text, &md5, false));
        Ok(Some(TurnUser { realm: realm.to_owned(), name: name.to_owned(), md5, sha256 }))
    }

    pub(super) async fn find_by_hash(&self, realm: &str, hash: &str) -> Result<Option<TurnUser>, Error> {
        let name: Option<String> = self.connection.clone().get(hash_key(realm, hash)).await?;
        match name.filter(|name| userhash(realm, name) == hash) {
            Some(name) => self.find(realm, &name).await,
            None => Ok(None),
        }
    }

    pub(super) async fn all_hashed(&self) -> Result<bool, Error> {
        Ok(self.without_hash().await?.is_empty())
    }

    /// Realm and name of each user who has none.
    async fn without_hash(&self) -> Result<Vec<(String, String)>, Error> {
        let mut connection = self.connection.clone();
        let mut without = Vec::new();
        for user in self.list().await? {
            if !connection.exists(hash_key(&user.realm, &userhash(&user.realm, &user.name))).await? {
                without.push((user.realm, user.name));
            }
        }
        Ok(without)
    }

    pub(super) async fn put(&self, user: &TurnUser, hash: &str, _now: u64) -> Result<(), Error> {
        let (realm, name) = (user.realm.as_str(), user.name.as_str());
        let mut pipe = pipe();
        pipe.atomic().set(user_key(realm, name, "key"), hex(&user.md5)).set(hash_key(realm, hash), name);
        match write_sha256(user) {
            Some(sha256) => pipe.set(user_key(realm, name, "sha256"), sha256),
            None => pipe.del(user_key(realm, name, "sha256")),
        };
        Ok(pipe.exec_async(&mut self.connection.clone()).await?)
    }

    pub(super) async fn remove(&self, realm: &str, name: &str) -> Result<bool, Error> {
        let mut connection = self.connection.clone();
        connection.del(&[user_key(realm, name, "sha256"), hash_key(realm, &userhash(realm, name))]).await?;
        Ok(connection.del(user_key(realm, name, "key")).await? > 0)
    }

    pub(super) async fn list(&self) -> Result<Vec<ListedTurnUser>, Error> {
        let keys = self.keys().await?;
        let user = |key: &String| match read_key(key)? {
            Key::User { realm, name } => {
                Some(ListedTurnUser { realm: realm.to_owned(), name: name.to_owned(), changed_at: None })
            }
            _ => None,
        };
        Ok(keys.iter().filter_map(user).collect())
    }

    /// All keys of coturn's, without stopping the server for it.
    async fn keys(&self) -> Result<BTreeSet<String>, Error> {
        let (mut keys, mut cursor) = (BTreeSet::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg("turn/*").arg("COUNT").arg(1_000);
            let (next, found): (u64, Vec<String>) = scan.query_async(&mut self.connection.clone()).await?;
            keys.extend(found);
            cursor = next;
            if cursor == 0 {
                return Ok(keys);
            }
        }
    }

    pub(super) async fn facts(&self) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        for key in self.keys().await? {
            match read_key(&key) {
                Some(Key::User { realm, .. }) => {
                    facts.realms.insert(realm.to_owned());
                }
                Some(kind) => facts.records.extend(self.records(&key, kind).await?),
                None => {}
            }
        }
        Ok(facts)
    }

    /// What stands behind one key.
    async fn records(&self, key: &str, kind: Key<'_>) -> RedisResult<Vec<Record>> {
        let mut connection = self.connection.clone();
        let records = match kind {
            Key::User { .. } => Vec::new(),
            Key::Secrets(realm) => {
                let values = connection.smembers(key).await?;
                values.into_iter().map(|value| Record::Secret { realm: realm.to_owned(), value }).collect()
            }
            Key::Peers(realm, rule) => {
                let ranges = connection.smembers(key).await?;
                ranges.into_iter().map(|range| Record::Peer { rule, realm: realm.to_owned(), range }).collect()
            }
            Key::Option(realm, option) => {
                let value = connection.get(key).await?.and_then(|value: String| value.trim().parse().ok());
                value.map(|value| Record::Option { realm: realm.to_owned(), option, value }).into_iter().collect()
            }
            Key::Origin(origin) => {
                let realm: Option<String> = connection.get(key).await?;
                realm.map(|realm| Record::Origin { origin: origin.to_owned(), realm }).into_iter().collect()
            }
            Key::Oauth(kid) => {
                let fields: BTreeMap<String, String> = connection.hgetall(key).await?.into_iter().collect();
                let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
                vec![Record::Key(OauthKey {
                    kid: kid.to_owned(),
                    ikm_key: text("ikm_key"),
                    timestamp: text("timestamp").parse().unwrap_or(0),
                    lifetime: text("lifetime").parse().unwrap_or(0),
                    as_rs_alg: text("as_rs_alg"),
                    realm: text("realm"),
                })]
            }
        };
        Ok(records)
    }

    pub(super) async fn add(&self, record: &Record) -> Result<bool, Error> {
        let mut connection = self.connection.clone();
        let key = record_key(record);
        if let Record::Secret { value, .. } | Record::Peer { range: value, .. } = record {
            return Ok(connection.sadd(key, value).await? > 0);
        }
        let was_there = connection.exists(&key).await?;
        match record {
            Record::Secret { .. } | Record::Peer { .. } => {}
            Record::Origin { realm, .. } => connection.set(key, realm).await?,
            Record::Option { value, .. } => connection.set(key, value.to_string()).await?,
            Record::Key(oauth) => {
                let (timestamp, lifetime) = (oauth.timestamp.to_string(), oauth.lifetime.to_string());
                let fields = [
                    ("ikm_key", &oauth.ikm_key),
                    ("as_rs_alg", &oauth.as_rs_alg),
                    ("timestamp", &timestamp),
                    ("lifetime", &lifetime),
                    ("realm", &oauth.realm),
                ];
                connection.hset_multiple(key, &fields).await?;
            }
        }
        Ok(!was_there)
    }

    pub(super) async fn take_out(&self, record: &Record) -> Result<bool, Error> {
        let (mut connection, key) = (self.connection.clone(), record_key(record));
        let taken = match record {
            Record::Secret { value, .. } | Record::Peer { range: value, .. } => connection.srem(key, value).await?,
            Record::Origin { .. } | Record::Option { .. } | Record::Key(_) => connection.del(key).await?,
        };
        Ok(taken > 0)
    }

    pub(super) async fn prepare(&self) -> Result<(), Error> {
        for (realm, name) in self.without_hash().await? {
            self.connection.clone().set(hash_key(&realm, &userhash(&realm, &name)), &name).await?;
        }
        Ok(())
    }
}

/// What has been announced; `None`: the connection is lost.
pub(super) async fn told(listener: &mut PubSub) -> Option<String> {
    let message = listener.on_message().next().await?;
    let told: String = message.get_payload().unwrap_or_default();
    // A notification of the server's own names the key.
    match message.get_channel_name().split_once("__:").and_then(|(_, key)| read_key(key)) {
        Some(Key::User { name, .. }) => Some(format!("{}{name}", super::USER)),
        Some(_) => Some(super::RECORDS.to_owned()),
        None => Some(told),
    }
}

fn user_key(realm: &str, name: &str, kind: &str) -> String {
    format!("turn/realm/{realm}/user/{name}/{kind}")
}

fn hash_key(realm: &str, hash: &str) -> String {
    format!("turn/realm/{realm}/userhash/{hash}")
}

fn record_key(record: &Record) -> String {
    match record {
        Record::Secret { realm, .. } => format!("turn/realm/{realm}/secret"),
        Record::Origin { origin, .. } => format!("turn/origin/{origin}"),
        Record::Option { realm, option, .. } => format!("turn/realm/{realm}/{}", option.name()),
        Record::Peer { rule, realm, .. } => format!("turn/realm/{realm}/{rule}-peer-ip"),
        Record::Key(key) => format!("turn/oauth/kid/{}", key.kid),
    }
}

fn read_key(key: &str) -> Option<Key<'_>> {
    let key = key.strip_prefix("turn/")?;
    if let Some(origin) = key.strip_prefix("origin/") {
        return Some(Key::Origin(origin));
    }
    if let Some(kid) = key.strip_prefix("oauth/kid/") {
        return Some(Key::Oauth(kid));
    }
    let (realm, rest) = key.strip_prefix("realm/")?.split_once('/')?;
    if let Some(name) = rest.strip_prefix("user/") {
        return name.strip_suffix("/key").map(|name| Key::User { realm, name });
    }
    match rest {
        "secret" => Some(Key::Secrets(realm)),
        "allowed-peer-ip" => Some(Key::Peers(realm, PeerRule::Allowed)),
        "denied-peer-ip" => Some(Key::Peers(realm, PeerRule::Denied)),
        option => option.parse().ok().map(|option| Key::Option(realm, option)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_is_one_that_we_would_write_or_none(key in "turn/(realm|origin|oauth/kid)/.{0,40}", tail in "(/secret|/max-bps|/user/.{0,9}/key)?") {
            let key = format!("{key}{tail}");
            let again = match read_key(&key) {
                Some(Key::User { realm, name }) => user_key(realm, name, "key"),
                Some(Key::Secrets(realm)) => record_key(&Record::Secret { realm: realm.into(), value: String::new() }),
                Some(Key::Peers(realm, rule)) => {
                    record_key(&Record::Peer { rule, realm: realm.into(), range: String::new() })
                }
                Some(Key::Option(realm, option)) => record_key(&Record::Option { realm: realm.into(), option, value: 0 }),
                Some(Key::Origin(origin)) => format!("turn/origin/{origin}"),
                Some(Key::Oauth(kid)) => format!("turn/oauth/kid/{kid}"),
                None => key.clone(),
            };
            prop_assert_eq!(again, key);
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let user = Key::User { realm: "north.gov", name: "a/b" };
        assert_eq!(read_key(&user_key("north.gov", "a/b", "key")), Some(user));
        assert_eq!(read_key("turn/realm/north.gov/secret"), Some(Key::Secrets("north.gov")));
        assert_eq!(read_key("turn/realm//denied-peer-ip"), Some(Key::Peers("", PeerRule::Denied)));
        assert_eq!(read_key("turn/realm/r/max-bps"), Some(Key::Option("r", RealmOption::MaxBps)));
        assert_eq!(read_key("turn/origin/https://bligh.edu:443"), Some(Key::Origin("https://bligh.edu:443")));
        for other in
            ["", "turn/", "turn/realm/r", "turn/realm/r/user/n/sha256", "turn/realm/r/userhash/00", "x/realm/r/secret"]
        {
            assert_eq!(read_key(other), None, "{other}");
        }
    }
}
