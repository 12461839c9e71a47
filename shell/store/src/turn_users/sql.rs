//! The three databases that speak SQL: the statements are the same, all values are text, and `?` stands for each of them.

use std::collections::BTreeSet;

use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool};
use tokio::sync::OnceCell;

use super::records::{read_md5, read_sha256, userhash, write_sha256};
use super::{CHANNEL, Facts, ListedTurnUser, OauthKey, PeerRule, Record, TurnUser, postgres};
use crate::database::Error;

/// Connections of one kind.
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    Mysql(MySqlPool),
}

/// A database with coturn's tables.
pub(super) struct Sql {
    pool: Pool,
    /// Our own file, which only we write.
    own: bool,
    columns: OnceCell<Columns>,
}

/// What there is beside coturn's columns of `turnusers_lt`.
#[derive(Clone, Copy)]
struct Columns {
    /// `hmackey_sha256` and `userhash`.
    keys: bool,
    /// `changed_at`.
    date: bool,
}

type Rows = Vec<Vec<String>>;

macro_rules! fetch {
    ($pool:expr, $sql:expr, $values:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql));
        for value in $values {
            query = query.bind((*value).to_owned());
        }
        let rows = query.fetch_all($pool).await?;
        // Unchecked: types of text differ, and some tables were made by hand.
        let read = |row: &_| (0..row_len(row)).map(|index| get(row, index)).collect::<Result<Vec<String>, _>>();
        rows.iter().map(read).collect::<Result<Rows, sqlx::Error>>()
    }};
}

fn row_len<R: sqlx::Row>(row: &R) -> usize {
    row.len()
}

fn get<'r, R: sqlx::Row>(row: &'r R, index: usize) -> Result<String, sqlx::Error>
where
    usize: sqlx::ColumnIndex<R>,
    String: sqlx::Decode<'r, R::Database>,
{
    row.try_get_unchecked::<String, _>(index)
}

macro_rules! execute {
    ($pool:expr, $statements:expr, $spell:expr) => {{
        let mut transaction = $pool.begin().await?;
        let mut changed = 0;
        for (sql, values) in $statements {
            let mut query = sqlx::query(AssertSqlSafe($spell(sql)));
            for value in *values {
                query = query.bind((*value).to_owned());
            }
            changed = query.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(changed)
    }};
}

impl Pool {
    async fn rows(&self, sql: &str, values: &[&str]) -> Result<Rows, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => fetch!(pool, sql.to_owned(), values),
            Self::Postgres(pool) => fetch!(pool, postgres::numbered(sql), values),
            Self::Mysql(pool) => fetch!(pool, sql.to_owned(), values),
        }
    }

    /// All or none; how many rows the last one has changed.
    async fn execute(&self, statements: &[(&str, &[&str])]) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => execute!(pool, statements, str::to_owned),
            Self::Postgres(pool) => execute!(pool, statements, postgres::numbered),
            Self::Mysql(pool) => execute!(pool, statements, str::to_owned),
        }
    }
}

impl Sql {
    pub(super) fn new(pool: Pool, own: bool) -> Self {
        Self { pool, own, columns: OnceCell::new() }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => "SQLite",
            Pool::Postgres(_) => "PostgreSQL",
            Pool::Mysql(_) => "MySQL",
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.pool, Pool::Sqlite(_))
    }

    pub(super) async fn listen(&self) -> Option<PgListener> {
        match &self.pool {
            Pool::Postgres(pool) => postgres::listen(pool).await,
            Pool::Sqlite(_) | Pool::Mysql(_) => None,
        }
    }

    pub(super) async fn announce(&self, what: &str) {
        if let Pool::Postgres(_) = self.pool
            && let Err(error) =
                self.pool.rows("SELECT COALESCE(CAST(pg_notify(?, ?) AS text), '')", &[CHANNEL, what]).await
        {
            tracing::debug!(%error, "a change could not be announced; it is seen within a minute");
        }
    }

    async fn columns(&self) -> Result<Columns, Error> {
        let look = || async {
            if !self.has("realm, name, hmackey").await? {
                let problem = "there is no table turnusers_lt: `tandem turn database prepare` makes coturn's tables";
                return Err(Error::Misuse(problem.to_owned()));
            }
            Ok(Columns { keys: self.has("hmackey_sha256, userhash").await?, date: self.has("changed_at").await? })
        };
        self.columns.get_or_try_init(look).await.copied()
    }

    /// Whether `turnusers_lt` has these columns.
    async fn has(&self, columns: &str) -> Result<bool, Error> {
        match self.pool.rows(&format!("SELECT {columns} FROM turnusers_lt WHERE 1 = 0"), &[]).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn find(&self, realm: &str, name: &str) -> Result<Option<TurnUser>, Error> {
        let found = self.users("realm = ? AND name = ?", &[realm, name]).await?;
        Ok(found.into_iter().find(|user| user.realm == realm && user.name == name))
    }

    pub(super) async fn find_by_hash(&self, realm: &str, hash: &str) -> Result<Option<TurnUser>, Error> {
        if !self.columns().await?.keys {
            return Ok(None);
        }
        let found = self.users("userhash = ? AND realm = ?", &[hash, realm]).await?;
        Ok(found.into_iter().find(|user| user.realm == realm && userhash(realm, &user.name) == hash))
    }

    async fn users(&self, which: &str, values: &[&str]) -> Result<Vec<TurnUser>, Error> {
        let sha256 = if self.columns().await?.keys { "COALESCE(hmackey_sha256, '')" } else { "''" };
        let sql = format!("SELECT realm, name, COALESCE(hmackey, ''), {sha256} FROM turnusers_lt WHERE {which}");
        let rows = self.pool.rows(&sql, values).await?;
        let read = |row: Vec<String>| {
            let [realm, name, md5, sha256] = columns(row)?;
            let md5 = read_md5(&realm, &name, &md5)?;
            Ok(TurnUser { sha256: read_sha256(&sha256, &md5, self.own), md5, realm, name })
        };
        rows.into_iter().map(read).collect()
    }

    pub(super) async fn all_hashed(&self) -> Result<bool, Error> {
        let without = "SELECT name FROM turnusers_lt WHERE userhash IS NULL LIMIT 1";
        Ok(self.columns().await?.keys && self.pool.rows(without, &[]).await?.is_empty())
    }

    pub(super) async fn put(&self, user: &TurnUser, hash: &str, now: u64) -> Result<(), Error> {
        let has = self.columns().await?;
        let (md5, now) = (crate::database::hex(&user.md5), now.to_string());
        let sha256 = write_sha256(user).unwrap_or_default();
        let (mut names, mut places) = ("realm, name, hmackey".to_owned(), "?, ?, ?".to_owned());
        let mut values = vec![user.realm.as_str(), &user.name, &md5];
        if has.keys {
            names.push_str(", hmackey_sha256, userhash");
            places.push_str(", ?, ?");
            values.extend([sha256.as_str(), hash]);
        }
        if has.date {
            names.push_str(", changed_at");
            places.push_str(", CAST(? AS DECIMAL(20))");
            values.push(&now);
        }
        let insert = format!("INSERT INTO turnusers_lt ({names}) VALUES ({places})");
        self.pool.execute(&[(REMOVE_USER, &[&user.realm, &user.name]), (&insert, &values)]).await?;
        Ok(())
    }

    pub(super) async fn remove(&self, realm: &str, name: &str) -> Result<bool, Error> {
        Ok(self.pool.execute(&[(REMOVE_USER, &[realm, name])]).await? > 0)
    }

    pub(super) async fn list(&self) -> Result<Vec<ListedTurnUser>, Error> {
        let date = if self.columns().await?.date { "COALESCE(CAST(changed_at AS CHAR(20)), '')" } else { "''" };
        let rows = self.pool.rows(&format!("SELECT COALESCE(realm, ''), name, {date} FROM turnusers_lt"), &[]).await?;
        let read = |row: Vec<String>| {
            let [realm, name, date] = columns(row)?;
            Ok(ListedTurnUser { realm, name, changed_at: date.trim().parse().ok() })
        };
        rows.into_iter().map(read).collect()
    }

    pub(super) async fn facts(&self) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        for [realm] in self.table("SELECT DISTINCT COALESCE(realm, '') FROM turnusers_lt").await? {
            facts.realms.insert(realm);
        }
        let records = &mut facts.records;
        for [realm, value] in self.table("SELECT COALESCE(realm, ''), value FROM turn_secret").await? {
            records.insert(Record::Secret { realm, value });
        }
        for [origin, realm] in self.table("SELECT origin, COALESCE(realm, '') FROM turn_origin_to_realm").await? {
            records.insert(Record::Origin { origin, realm });
        }
        let options = "SELECT COALESCE(realm, ''), opt, COALESCE(value, '') FROM turn_realm_option";
        for [realm, name, value] in self.table(options).await? {
            // Others are none of coturn's, either.
            if let (Ok(option), Ok(value)) = (name.parse(), value.trim().parse()) {
                records.insert(Record::Option { realm, option, value });
            }
        }
        self.peers(PeerRule::Allowed, records).await?;
        self.peers(PeerRule::Denied, records).await?;
        for [kid, ikm_key, timestamp, lifetime, as_rs_alg, realm] in self.table(KEYS).await? {
            let (timestamp, lifetime) = (number(&timestamp), number(&lifetime));
            let lifetime = u32::try_from(lifetime).unwrap_or(u32::MAX);
            records.insert(Record::Key(OauthKey { kid, ikm_key, timestamp, lifetime, as_rs_alg, realm }));
        }
        Ok(facts)
    }

    async fn peers(&self, rule: PeerRule, records: &mut BTreeSet<Record>) -> Result<(), Error> {
        let sql = format!("SELECT COALESCE(realm, ''), ip_range FROM {rule}_peer_ip");
        for [realm, range] in self.table(&sql).await? {
            records.insert(Record::Peer { rule, realm, range });
        }
        Ok(())
    }

    /// A table that is not there has no rows: older schemata have fewer.
    async fn table<const N: usize>(&self, sql: &str) -> Result<Vec<[String; N]>, Error> {
        match self.pool.rows(sql, &[]).await {
            Ok(rows) => rows.into_iter().map(columns).collect(),
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn add(&self, record: &Record) -> Result<bool, Error> {
        let (remove, key) = removal(record);
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let (insert, values) = insertion(record);
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let was_there = self.pool.execute(&[(&remove, &key)]).await?;
        self.pool.execute(&[(&remove, &key), (&insert, &values)]).await?;
        Ok(was_there == 0)
    }

    pub(super) async fn take_out(&self, record: &Record) -> Result<bool, Error> {
        let (remove, key) = removal(record);
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        Ok(self.pool.execute(&[(&remove, &key)]).await? > 0)
    }

    pub(super) async fn prepare(&self) -> Result<(), Error> {
        for table in TABLES {
            self.pool.execute(&[(table, &[])]).await?;
        }
        if !self.has("hmackey_sha256, userhash").await? {
            for change in ROOM_FOR_KEYS {
                self.pool.execute(&[(change, &[])]).await?;
            }
        }
        let without = "SELECT COALESCE(realm, ''), name FROM turnusers_lt WHERE userhash IS NULL";
        for [realm, name] in self.table(without).await? {
            let hash = userhash(&realm, &name);
            let fill = "UPDATE turnusers_lt SET userhash = ? WHERE realm = ? AND name = ?";
            self.pool.execute(&[(fill, &[&hash, &realm, &name])]).await?;
        }
        Ok(())
    }
}

/// What takes a record out, and its name.
fn removal(record: &Record) -> (String, Vec<String>) {
    let (table, key, values) = match record {
        Record::Secret { realm, value } => ("turn_secret", "realm = ? AND value = ?", vec![realm, value]),
        Record::Origin { origin, .. } => ("turn_origin_to_realm", "origin = ?", vec![origin]),
        Record::Option { realm, option, .. } => {
            let values = vec![realm.clone(), option.name().to_owned()];
            return ("DELETE FROM turn_realm_option WHERE realm = ? AND opt = ?".to_owned(), values);
        }
        Record::Peer { rule: PeerRule::Allowed, realm, range } => {
            ("allowed_peer_ip", "realm = ? AND ip_range = ?", vec![realm, range])
        }
        Record::Peer { rule: PeerRule::Denied, realm, range } => {
            ("denied_peer_ip", "realm = ? AND ip_range = ?", vec![realm, range])
        }
        Record::Key(key) => ("oauth_key", "kid = ?", vec![&key.kid]),
    };
    (format!("DELETE FROM {table} WHERE {key}"), values.into_iter().cloned().collect())
}

/// What puts a record in, and its values.
fn insertion(record: &Record) -> (String, Vec<String>) {
    let (sql, values) = match record {
        Record::Secret { realm, value } => ("turn_secret (realm, value) VALUES (?, ?)", vec![realm, value]),
        Record::Origin { origin, realm } => ("turn_origin_to_realm (origin, realm) VALUES (?, ?)", vec![origin, realm]),
        Record::Option { realm, option, value } => {
            let values = vec![realm.clone(), option.name().to_owned(), value.to_string()];
            return ("INSERT INTO turn_realm_option (realm, opt, value) VALUES (?, ?, ?)".to_owned(), values);
        }
        Record::Peer { rule, realm, range } => {
            let sql = format!("INSERT INTO {rule}_peer_ip (realm, ip_range) VALUES (?, ?)");
            return (sql, vec![realm.clone(), range.clone()]);
        }
        Record::Key(key) => {
            let (timestamp, lifetime) = (key.timestamp.to_string(), key.lifetime.to_string());
            let values = [&key.kid, &key.ikm_key, &timestamp, &lifetime, &key.as_rs_alg, &key.realm];
            return (INSERT_KEY.to_owned(), values.into_iter().cloned().collect());
        }
    };
    (format!("INSERT INTO {sql}"), values.into_iter().cloned().collect())
}

fn columns<const N: usize>(row: Vec<String>) -> Result<[String; N], Error> {
    row.try_into().map_err(|_| Error::Misuse(format!("expected {N} columns")))
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// There is no such table or column.
fn is_missing(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match error.code().as_deref() {
        // PostgreSQL: undefined_table, undefined_column; MySQL: the same two.
        Some("42P01" | "42703" | "42S02" | "42S22") => true,
        _ => error.message().starts_with("no such table") || error.message().starts_with("no such column"),
    }
}

const REMOVE_USER: &str = "DELETE FROM turnusers_lt WHERE realm = ? AND name = ?";

const KEYS: &str = "SELECT k.kid, COALESCE(k.ikm_key, ''), COALESCE(CAST(k.timestamp AS CHAR(20)), ''), \
                    COALESCE(CAST(k.lifetime AS CHAR(20)), ''), COALESCE(k.as_rs_alg, ''), COALESCE(k.realm, '') \
                    FROM oauth_key k";

const INSERT_KEY: &str = "INSERT INTO oauth_key (kid, ikm_key, timestamp, lifetime, as_rs_alg, realm) \
                          VALUES (?, ?, CAST(? AS DECIMAL(20)), CAST(? AS DECIMAL(20)), ?, ?)";

/// coturn's.
const TABLES: [&str; 7] = [
    "CREATE TABLE IF NOT EXISTS turnusers_lt (realm varchar(127) DEFAULT '', name varchar(512), hmackey char(128), \
     PRIMARY KEY (realm, name))",
    "CREATE TABLE IF NOT EXISTS turn_secret (realm varchar(127) DEFAULT '', value varchar(256), PRIMARY KEY (realm, value))",
    "CREATE TABLE IF NOT EXISTS allowed_peer_ip (realm varchar(127) DEFAULT '', ip_range varchar(256), \
     PRIMARY KEY (realm, ip_range))",
    "CREATE TABLE IF NOT EXISTS denied_peer_ip (realm varchar(127) DEFAULT '', ip_range varchar(256), \
     PRIMARY KEY (realm, ip_range))",
    "CREATE TABLE IF NOT EXISTS turn_origin_to_realm (origin varchar(127), realm varchar(127), PRIMARY KEY (origin))",
    "CREATE TABLE IF NOT EXISTS turn_realm_option (realm varchar(127) DEFAULT '', opt varchar(32), value varchar(128), \
     PRIMARY KEY (realm, opt))",
    "CREATE TABLE IF NOT EXISTS oauth_key (kid varchar(128), ikm_key varchar(256), timestamp bigint DEFAULT 0, \
     lifetime integer DEFAULT 0, as_rs_alg varchar(64) DEFAULT '', realm varchar(127), PRIMARY KEY (kid))",
];

/// Ours. coturn names its columns and does not see these.
const ROOM_FOR_KEYS: [&str; 3] = [
    "ALTER TABLE turnusers_lt ADD COLUMN hmackey_sha256 char(128)",
    "ALTER TABLE turnusers_lt ADD COLUMN userhash char(64)",
    "CREATE INDEX turnusers_by_hash ON turnusers_lt (userhash)",
];
