//! PostgreSQL.

use std::fmt::Write as _;
use std::str::FromStr as _;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::sql::Pool;
use super::{ANSWER_WITHIN, CHANNEL};
use crate::database::Error;

pub(super) fn open(url: &str) -> Result<Pool, Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("tandem");
    let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(ANSWER_WITHIN);
    Ok(Pool::Postgres(pool.connect_lazy_with(options)))
}

/// Hears what is announced; `None`: not at the moment.
pub(super) async fn listen(pool: &PgPool) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(pool).await.ok()?;
    // A lost connection is to be seen: what was said meanwhile was not heard.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await.ok()?;
    Some(listener)
}

/// With `$1` in place of the first `?`, and so on.
pub(super) fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1..).zip(parts) {
        let _ = write!(numbered, "${number}{part}");
    }
    numbered
}

#[cfg(test)]
mod tests {
    #[test]
    fn parameters_are_numbered() {
        assert_eq!(super::numbered("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(super::numbered("a"), "a");
    }
}
