//! MongoDB, with coturn's collections: `turnusers_lt`, `turn_secret`, `oauth_key`, and `realm`, whose documents hold the
//! origins, options and peers of one realm each.
//!
//! Ours beside them are the fields `hmackey_sha256` and `userhash` of a user.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};

use super::records::{read_md5, read_sha256, userhash, write_sha256};
use super::{ANSWER_WITHIN, Facts, ListedTurnUser, OauthKey, PeerRule, RealmOption, Record, TurnUser};
use crate::database::{Error, hex};

#[derive(Clone)]
pub(super) struct Mongo {
    database: Database,
}

impl Mongo {
    pub(super) async fn open(url: &str) -> Result<Self, Error> {
        let mut options = ClientOptions::parse(url).await?;
        options.server_selection_timeout = Some(ANSWER_WITHIN);
        options.connect_timeout = Some(ANSWER_WITHIN);
        let client = Client::with_options(options)?;
        // coturn's default.
        let database = client.default_database().unwrap_or_else(|| client.database("turn"));
        Ok(Self { database })
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    async fn all(&self, name: &str) -> Result<Vec<Document>, Error> {
        Ok(self.collection(name).find(doc! {}).await?.try_collect().await?)
    }

    /// There is nothing to announce by.
    pub(super) async fn announce(&self, _what: &str) {}

    pub(super) async fn find(&self, realm: &str, name: &str) -> Result<Option<TurnUser>, Error> {
        self.user(doc! { "realm": realm, "name": name }).await
    }

    pub(super) async fn find_by_hash(&self, realm: &str, hash: &str) -> Result<Option<TurnUser>, Error> {
        let found = self.user(doc! { "realm": realm, "userhash": hash }).await?;
        Ok(found.filter(|user| userhash(realm, &user.name) == hash))
    }

    async fn user(&self, which: Document) -> Result<Option<TurnUser>, Error> {
        let Some(found) = self.collection(USERS).find_one(which).await? else { return Ok(None) };
        let (realm, name) = (text(&found, "realm"), text(&found, "name"));
        let md5 = read_md5(&realm, &name, &text(&found, "hmackey"))?;
        let sha256 = read_sha256(&text(&found, "hmackey_sha256"), &md5, false);
        Ok(Some(TurnUser { realm, name, md5, sha256 }))
    }

    pub(super) async fn all_hashed(&self) -> Result<bool, Error> {
        Ok(self.collection(USERS).find_one(doc! { "userhash": null }).await?.is_none())
    }

    pub(super) async fn put(&self, user: &TurnUser, hash: &str, _now: u64) -> Result<(), Error> {
        let which = doc! { "realm": &user.realm, "name": &user.name };
        let sha256 = write_sha256(user).map_or(Bson::Null, Bson::String);
        let set = doc! { "hmackey": hex(&user.md5), "hmackey_sha256": sha256, "userhash": hash };
        self.collection(USERS).update_one(which, doc! { "$set": set }).upsert(true).await?;
        Ok(())
    }

    pub(super) async fn remove(&self, realm: &str, name: &str) -> Result<bool, Error> {
        let removed = self.collection(USERS).delete_one(doc! { "realm": realm, "name": name }).await?;
        Ok(removed.deleted_count > 0)
    }

    pub(super) async fn list(&self) -> Result<Vec<ListedTurnUser>, Error> {
        let users = self.all(USERS).await?;
        let read =
            |user: &Document| ListedTurnUser { realm: text(user, "realm"), name: text(user, "name"), changed_at: None };
        Ok(users.iter().map(read).collect())
    }

    pub(super) async fn facts(&self) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        let realms = self.collection(USERS).distinct("realm", doc! {}).await?;
        facts.realms.extend(realms.iter().filter_map(Bson::as_str).map(str::to_owned));
        for found in self.all("turn_secret").await? {
            facts.records.insert(Record::Secret { realm: text(&found, "realm"), value: text(&found, "value") });
        }
        for found in self.all("oauth_key").await? {
            facts.records.insert(Record::Key(OauthKey {
                kid: text(&found, "kid"),
                ikm_key: text(&found, "ikm_key"),
                timestamp: number(found.get("timestamp")).unwrap_or(0),
                lifetime: number(found.get("lifetime")).and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0),
                as_rs_alg: text(&found, "as_rs_alg"),
                realm: text(&found, "realm"),
            }));
        }
        for found in self.all(REALMS).await? {
            facts.records.extend(of_realm(&found));
        }
        Ok(facts)
    }

    pub(super) async fn add(&self, record: &Record) -> Result<bool, Error> {
        let (collection, which, change) = match record {
            Record::Secret { realm, value } => {
                let which = doc! { "realm": realm, "value": value };
                ("turn_secret", which.clone(), doc! { "$set": which })
            }
            Record::Key(key) => {
                let (timestamp, lifetime) = (signed(key.timestamp), i32::try_from(key.lifetime).unwrap_or(i32::MAX));
                let set = doc! {
                    "ikm_key": &key.ikm_key, "as_rs_alg": &key.as_rs_alg, "realm": &key.realm, "timestamp": timestamp,
                    "lifetime": lifetime,
                };
                ("oauth_key", doc! { "kid": &key.kid }, doc! { "$set": set })
            }
            Record::Origin { origin, realm } => {
                // One origin, one realm.
                let was_there = self.take_out(record).await?;
                let change = doc! { "$addToSet": { "origin": origin } };
                self.collection(REALMS).update_one(doc! { "realm": realm }, change).upsert(true).await?;
                return Ok(!was_there);
            }
            Record::Option { realm, option, value } => {
                let field = format!("options.{}", option.name());
                let realms = self.collection(REALMS);
                let was_there = realms.find_one(doc! { "realm": realm, &field: { "$exists": true } }).await?.is_some();
                let set = doc! { "$set": { field: i32::try_from(*value).unwrap_or(i32::MAX) } };
                realms.update_one(doc! { "realm": realm }, set).upsert(true).await?;
                return Ok(!was_there);
            }
            Record::Peer { rule, realm, range } => {
                (REALMS, doc! { "realm": realm }, doc! { "$addToSet": { format!("{rule}_peer_ip"): range } })
            }
        };
        let done = self.collection(collection).update_one(which, change).upsert(true).await?;
        let is_peer = matches!(record, Record::Peer { .. });
        Ok(done.upserted_id.is_some() || (is_peer && done.modified_count > 0))
    }

    pub(super) async fn take_out(&self, record: &Record) -> Result<bool, Error> {
        let (which, change) = match record {
            Record::Secret { realm, value } => {
                let gone = self.collection("turn_secret").delete_one(doc! { "realm": realm, "value": value }).await?;
                return Ok(gone.deleted_count > 0);
            }
            Record::Key(key) => {
                let gone = self.collection("oauth_key").delete_one(doc! { "kid": &key.kid }).await?;
                return Ok(gone.deleted_count > 0);
            }
            Record::Origin { origin, .. } => (doc! {}, doc! { "$pull": { "origin": origin } }),
            Record::Option { realm, option, .. } => {
                (doc! { "realm": realm }, doc! { "$unset": { format!("options.{}", option.name()): 1 } })
            }
            Record::Peer { rule, realm, range } => {
                (doc! { "realm": realm }, doc! { "$pull": { format!("{rule}_peer_ip"): range } })
            }
        };
        Ok(self.collection(REALMS).update_many(which, change).await?.modified_count > 0)
    }

    pub(super) async fn prepare(&self) -> Result<(), Error> {
        let without: Vec<Document> =
            self.collection(USERS).find(doc! { "userhash": null }).await?.try_collect().await?;
        for user in without {
            let (realm, name) = (text(&user, "realm"), text(&user, "name"));
            let set = doc! { "$set": { "userhash": userhash(&realm, &name) } };
            self.collection(USERS).update_one(doc! { "realm": realm, "name": name }, set).await?;
        }
        Ok(())
    }
}

/// What one document of the collection `realm` says.
fn of_realm(found: &Document) -> Vec<Record> {
    let realm = text(found, "realm");
    let texts = |field: &str| -> Vec<String> {
        let list = found.get_array(field).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Bson::as_str).map(str::to_owned).collect()
    };
    let mut records = Vec::new();
    records.extend(texts("origin").into_iter().map(|origin| Record::Origin { origin, realm: realm.clone() }));
    for rule in [PeerRule::Allowed, PeerRule::Denied] {
        let ranges = texts(&format!("{rule}_peer_ip"));
        records.extend(ranges.into_iter().map(|range| Record::Peer { rule, realm: realm.clone(), range }));
    }
    if let Ok(options) = found.get_document("options") {
        let read = |option: RealmOption| {
            let value = number(options.get(option.name()))?;
            Some(Record::Option { realm: realm.clone(), option, value })
        };
        records.extend(RealmOption::ALL.into_iter().filter_map(read));
    }
    records
}

fn text(document: &Document, field: &str) -> String {
    document.get_str(field).unwrap_or_default().to_owned()
}

/// Numbers come in three kinds; JavaScript writes the third.
fn number(value: Option<&Bson>) -> Option<u64> {
    match value? {
        Bson::Int32(number) => u64::try_from(*number).ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; fractions do not count")]
        Bson::Double(number) => Some(*number as u64),
        _ => None,
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

const USERS: &str = "turnusers_lt";
const REALMS: &str = "realm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_of_coturns_example_is_read_whole_whatever_kind_its_numbers_are() {
        let found = doc! {
            "realm": "crinna.org",
            "origin": ["http://crinna.org:80", "https://bligh.edu:443"],
            "options": { "max-bps": 400_000.0, "user-quota": 8_000_i64, "total-quota": 10_000, "other": 1 },
            "allowed_peer_ip": ["172.17.13.200"],
            "denied_peer_ip": ["123::45", 7],
        };
        let records = of_realm(&found);
        assert_eq!(records.len(), 7);
        let realm = "crinna.org".to_owned();
        for (option, value) in
            [(RealmOption::MaxBps, 400_000), (RealmOption::UserQuota, 8_000), (RealmOption::TotalQuota, 10_000)]
        {
            assert!(records.contains(&Record::Option { realm: realm.clone(), option, value }));
        }
        assert!(of_realm(&doc! {}).is_empty());
    }
}
