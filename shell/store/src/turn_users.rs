//! Users of the relay and what is known of its realms, read and written as coturn lays them out, so that its database can be
//! taken over as it is. One file per kind of database.
//!
//! ```text
//!   TurnUsers ─┬─ sql ─┬─ sqlite     tables turnusers_lt, turn_secret, …       own file by default
//!              │       ├─ postgres
//!              │       └─ mysql
//!              ├─ redis              keys turn/realm/<realm>/user/<name>/key, …
//!              └─ mongo              collections, behind the feature `mongodb`
//! ```
//!
//! coturn keeps MD5 keys alone. Ours beside them (SHA-256 keys, and USERHASH to find users by) stand in columns and keys of
//! their own, which coturn does not look at; `prepare` makes room for them.

#[cfg(feature = "mongodb")]
mod mongo;
mod mysql;
mod postgres;
mod records;
mod redis;
mod sql;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use crate::database::{Error, Store};

pub use records::{Facts, ListedTurnUser, OauthKey, PeerRule, RealmOption, Record, TurnUser};

use records::userhash;
use sql::{Pool, Sql};

/// A database of users. Cheap to clone.
#[derive(Clone)]
pub struct TurnUsers(Backend);

#[derive(Clone)]
enum Backend {
    Sql(Arc<Sql>),
    Redis(Arc<redis::Redis>),
    #[cfg(feature = "mongodb")]
    Mongo(mongo::Mongo),
}

/// Something in the database has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This user was added, removed, or has another password.
    User(String),
    /// Something else.
    Records,
    /// Perhaps: it is time to look.
    Perhaps,
}

impl Store {
    /// Those in our own file.
    pub fn turn_users(&self) -> TurnUsers {
        TurnUsers(Backend::Sql(Arc::new(Sql::new(Pool::Sqlite(self.pool.clone()), true))))
    }
}

/// To each backend the same question.
macro_rules! each {
    ($self:ident, $backend:ident => $what:expr) => {
        match &$self.0 {
            Backend::Sql($backend) => $what,
            Backend::Redis($backend) => $what,
            #[cfg(feature = "mongodb")]
            Backend::Mongo($backend) => $what,
        }
    };
}

impl TurnUsers {
    /// By its URL. Connects at the first question, and again whenever the connection is lost.
    ///
    /// # Errors
    /// The URL is of no kind we know, or is malformed. It is not repeated: it may hold a password.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let pool = match scheme {
            "sqlite" => sqlite::open(url.trim_start_matches("sqlite:"))?,
            "postgres" | "postgresql" => postgres::open(url)?,
            "mysql" | "mariadb" => mysql::open(url)?,
            "redis" | "rediss" | "unix" => return Ok(Self(Backend::Redis(Arc::new(redis::Redis::open(url)?)))),
            #[cfg(feature = "mongodb")]
            "mongodb" | "mongodb+srv" => return Ok(Self(Backend::Mongo(mongo::Mongo::open(url).await?))),
            #[cfg(not(feature = "mongodb"))]
            "mongodb" | "mongodb+srv" => {
                return Err(Error::Misuse("this binary was built without the feature `mongodb`".to_owned()));
            }
            _ => {
                let known = "sqlite:PATH, postgres://, mysql://, redis://, rediss:// or mongodb://";
                return Err(Error::Misuse(format!("expected {known}, got a URL that begins with `{scheme}:`")));
            }
        };
        Ok(Self(Backend::Sql(Arc::new(Sql::new(pool, false)))))
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            Backend::Sql(sql) => sql.kind(),
            Backend::Redis(_) => "Redis",
            #[cfg(feature = "mongodb")]
            Backend::Mongo(_) => "MongoDB",
        }
    }

    /// The user of this name.
    pub async fn find(&self, realm: &str, name: &str) -> Result<Option<TurnUser>, Error> {
        each!(self, backend => backend.find(realm, name).await)
    }

    /// The user behind a USERHASH (RFC 8489 §14.4). Where there is no room for it nobody is found.
    pub async fn find_by_hash(&self, realm: &str, hash: [u8; 32]) -> Result<Option<TurnUser>, Error> {
        each!(self, backend => backend.find_by_hash(realm, &crate::database::hex(&hash)).await)
    }

    /// Whether every user can be found by its USERHASH.
    pub async fn all_hashed(&self) -> Result<bool, Error> {
        each!(self, backend => backend.all_hashed().await)
    }

    /// Adds a user, or gives it another password. Tells whether the user is new.
    pub async fn put(&self, user: &TurnUser, now: u64) -> Result<bool, Error> {
        let is_new = self.find(&user.realm, &user.name).await?.is_none();
        let hash = userhash(&user.realm, &user.name);
        each!(self, backend => backend.put(user, &hash, now).await)?;
        self.announce(&format!("{USER}{}", user.name)).await;
        Ok(is_new)
    }

    /// Removes a user. `false`: there was none.
    pub async fn remove(&self, realm: &str, name: &str) -> Result<bool, Error> {
        let was_there = each!(self, backend => backend.remove(realm, name).await)?;
        self.announce(&format!("{USER}{name}")).await;
        Ok(was_there)
    }

    /// All users, or those of a realm, by realm and name.
    pub async fn list(&self, realm: Option<&str>) -> Result<Vec<ListedTurnUser>, Error> {
        let mut users = each!(self, backend => backend.list().await)?;
        users.retain(|user| realm.is_none_or(|realm| realm == user.realm));
        users.sort();
        Ok(users)
    }

    /// Everything else.
    pub async fn facts(&self) -> Result<Facts, Error> {
        each!(self, backend => backend.facts().await)
    }

    /// Adds a record, or changes the one of the same name. Tells whether it is new.
    pub async fn add(&self, record: &Record) -> Result<bool, Error> {
        let is_new = each!(self, backend => backend.add(record).await)?;
        self.announce(RECORDS).await;
        Ok(is_new)
    }

    /// Takes a record out; of a key, an origin or an option only the name counts. `false`: there was none.
    pub async fn take_out(&self, record: &Record) -> Result<bool, Error> {
        let was_there = each!(self, backend => backend.take_out(record).await)?;
        self.announce(RECORDS).await;
        Ok(was_there)
    }

    /// Makes what is missing: coturn's tables, room for our keys, and the USERHASH of each user who has none.
    pub async fn prepare(&self) -> Result<(), Error> {
        each!(self, backend => backend.prepare().await)
    }

    /// Tells running servers, where the database can.
    async fn announce(&self, what: &str) {
        each!(self, backend => backend.announce(what).await);
    }

    /// Watches for changes.
    pub fn watch(&self) -> Watch {
        Watch { users: self.clone(), listener: None }
    }
}

/// Waits for changes: told by the database where it can, and looking from time to time in any case.
pub struct Watch {
    users: TurnUsers,
    listener: Option<Listener>,
}

enum Listener {
    Postgres(Box<sqlx::postgres::PgListener>),
    Redis(Box<::redis::aio::PubSub>),
}

impl Watch {
    /// The next change.
    pub async fn next(&mut self) -> Heard {
        let patience = match &self.users.0 {
            Backend::Sql(sql) if sql.is_file() => FILE_PATIENCE,
            _ => PATIENCE,
        };
        if self.listener.is_none() {
            self.listener = match &self.users.0 {
                Backend::Sql(sql) => sql.listen().await.map(|listener| Listener::Postgres(Box::new(listener))),
                Backend::Redis(redis) => redis.listen().await.map(|listener| Listener::Redis(Box::new(listener))),
                #[cfg(feature = "mongodb")]
                Backend::Mongo(_) => None,
            };
        }
        let told = async {
            match &mut self.listener {
                Some(Listener::Postgres(listener)) => {
                    listener.try_recv().await.ok().flatten().map(|told| told.payload().to_owned())
                }
                Some(Listener::Redis(listener)) => redis::told(listener).await,
                None => std::future::pending().await,
            }
        };
        match tokio::time::timeout(patience, told).await {
            Ok(Some(told)) => match told.strip_prefix(USER) {
                Some(name) => Heard::User(name.to_owned()),
                None => Heard::Records,
            },
            Ok(None) => {
                // The connection is lost: whatever was said meanwhile was not heard.
                self.listener = None;
                tokio::time::sleep(RETRY).await;
                Heard::Perhaps
            }
            Err(_) => Heard::Perhaps,
        }
    }
}

/// Channel of announcements, where a database has such.
const CHANNEL: &str = "tandem_turn";
const USER: &str = "user ";
const RECORDS: &str = "records";
/// How often a server is asked what has changed.
const PATIENCE: Duration = Duration::from_secs(30);
/// And a file, which costs next to nothing.
const FILE_PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(2);
/// A question that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
