//! The database file: opened, brought up to date, closed.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, the disk, or another program that holds it.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The same of Redis.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// The same of MongoDB.
    #[cfg(feature = "mongodb")]
    #[error("MongoDB: {0}")]
    Mongo(#[from] mongodb::error::Error),
    /// The file is of a later version, or was changed by hand.
    #[error("the database cannot be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The system has no random numbers for a key.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// Something that was written by others cannot be read; the rest can.
    #[error("{0}")]
    Unreadable(String),
    /// The caller gave something that cannot be.
    #[error("{0}")]
    Misuse(String),
}

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// A writer waits so long for another (`tandem key` beside a running server).
const PATIENCE: Duration = Duration::from_secs(5);

impl Store {
    /// Opens the file, makes it where there is none, and brings it up to date.
    pub async fn open(path: &Path) -> Result<Store, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With a write-ahead log this loses at most the last moments on a power cut, and never the file.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        MIGRATIONS.run(&pool).await?;
        Ok(Store { pool })
    }

    /// Writes everything to the file and closes it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Does it answer?
    pub async fn check(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

impl Error {
    /// Whether we have closed the database ourselves.
    pub fn is_closed(&self) -> bool {
        matches!(self, Error::Database(sqlx::Error::PoolClosed))
    }
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SQLite counts with a sign.
pub(crate) fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// What we stored was not negative.
pub(crate) fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
