//! MySQL and MariaDB. They compare text without regard to case and to spaces at the end: what is found is compared again.

use std::str::FromStr as _;

use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

use super::ANSWER_WITHIN;
use super::sql::Pool;
use crate::database::Error;

pub(super) fn open(url: &str) -> Result<Pool, Error> {
    let url = url.strip_prefix("mariadb:").map_or_else(|| url.to_owned(), |rest| format!("mysql:{rest}"));
    let options = MySqlConnectOptions::from_str(&url)?;
    let pool = MySqlPoolOptions::new().max_connections(4).acquire_timeout(ANSWER_WITHIN);
    Ok(Pool::Mysql(pool.connect_lazy_with(options)))
}
