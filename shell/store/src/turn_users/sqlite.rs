//! SQLite: coturn's `turndb` as it lies there, or our own file.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::ANSWER_WITHIN;
use super::sql::Pool;
use crate::database::Error;

/// A file that is there. Its journal stays as it is: coturn may use it at the same time.
pub(super) fn open(path: &str) -> Result<Pool, Error> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(Error::Misuse("expected sqlite:PATH, such as sqlite:/var/lib/turn/turndb".to_owned()));
    }
    let options = SqliteConnectOptions::new().filename(Path::new(path)).busy_timeout(ANSWER_WITHIN);
    let pool = SqlitePoolOptions::new().max_connections(4).acquire_timeout(ANSWER_WITHIN);
    Ok(Pool::Sqlite(pool.connect_lazy_with(options)))
}
