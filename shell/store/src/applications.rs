//! Applications: programs that hand out credentials of the relay to their users, with a key each: `ta_<id>_<secret>`, of
//! which only the SHA-256 of the secret is stored.
//!
//! An application may have others below it, one level deep: they have keys and bounds of their own, and the one above may
//! act for them.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use subtle::ConstantTimeEq as _;

use crate::database::{Error, Store, signed, unsigned};
use crate::keys::{hash, named, random, secret_text};

/// An application as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Part of its key.
    pub id: String,
    /// The one above it.
    pub parent: Option<String>,
    /// What the operator calls it; below one parent no two have the same.
    pub name: String,
    /// When it was made.
    pub created_at: u64,
    /// Whether it is served.
    pub enabled: bool,
    /// How often all that was issued to it has been taken back.
    pub generation: u32,
    /// Its bounds.
    pub bounds: Bounds,
    /// Web origins whose pages may ask with this key.
    pub origins: Vec<String>,
}

/// What one application may use. `None`: as much as anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Sessions at once.
    pub sessions: Option<u64>,
    /// Relayed bytes per calendar month (UTC).
    pub bytes_per_month: Option<u64>,
    /// Relayed bytes per second of all sessions together.
    pub bytes_per_second: Option<u64>,
}

/// An application to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewApplication {
    /// What to call it.
    pub name: String,
    /// The one above it.
    pub parent: Option<String>,
    /// Its bounds.
    pub bounds: Bounds,
    /// Web origins whose pages may ask with its key.
    pub origins: Vec<String>,
}

/// What is to change; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationChange {
    /// What to call it.
    pub name: Option<String>,
    /// Whether it is served.
    pub enabled: Option<bool>,
    /// All of its bounds.
    pub bounds: Option<Bounds>,
    /// All of its origins.
    pub origins: Option<Vec<String>>,
}

/// An application and its key, which is shown once.
pub struct MadeApplication {
    /// As it is stored.
    pub application: Application,
    /// Shown once, and never again.
    pub text: String,
}

const PREFIX: &str = "ta_";
const ID_BYTES: usize = 6;
/// More than anybody makes by hand, and few enough for one page.
const MOST_APPLICATIONS: i64 = 10_000;
const MOST_ORIGINS: usize = 32;

impl Store {
    /// Makes an application. `Misuse`: a name or origin that cannot be, a parent that is none, a name that is taken.
    pub async fn create_application(&self, new: &NewApplication, now: u64) -> Result<MadeApplication, Error> {
        let (name, origins) = (named(&new.name)?, origins_text(&new.origins)?);
        check_bounds(new.bounds)?;
        self.check_place(&name, new.parent.as_deref()).await?;
        let (id, secret) = (crate::database::hex(&random::<ID_BYTES>()?), secret_text()?);
        let sql = "INSERT INTO applications (id, parent, name, hash, created_at, enabled, generation, sessions, bytes_per_month, \
                   bytes_per_second, origins) VALUES (?, ?, ?, ?, ?, 1, 0, ?, ?, ?, ?) RETURNING *";
        let row = sqlx::query(sql)
            .bind(&id)
            .bind(new.parent.as_deref())
            .bind(&name)
            .bind(hash(&secret))
            .bind(signed(now))
            .bind(new.bounds.sessions.map(signed))
            .bind(new.bounds.bytes_per_month.map(signed))
            .bind(new.bounds.bytes_per_second.map(signed))
            .bind(origins)
            .fetch_one(&self.pool)
            .await
            .map_err(taken)?;
        Ok(MadeApplication { application: read(&row)?, text: format!("{PREFIX}{id}_{secret}") })
    }

    async fn check_place(&self, name: &str, parent: Option<&str>) -> Result<(), Error> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM applications").fetch_one(&self.pool).await?;
        if count >= MOST_APPLICATIONS {
            return Err(Error::Misuse(format!("there are {MOST_APPLICATIONS} applications, which is the most")));
        }
        let Some(parent) = parent else { return Ok(()) };
        match self.application(parent).await? {
            Some(found) if found.parent.is_none() => {}
            Some(_) => return Err(Error::Misuse(format!("{parent} stands below another application itself"))),
            None => return Err(Error::Misuse(format!("there is no application {parent}"))),
        }
        let taken = self.application_below(parent, name).await?.is_some();
        if taken { Err(Error::Misuse(format!("{parent} has an application called {name} already"))) } else { Ok(()) }
    }

    /// All of them, the oldest first.
    pub async fn applications(&self) -> Result<Vec<Application>, Error> {
        let rows = sqlx::query("SELECT * FROM applications ORDER BY created_at, id").fetch_all(&self.pool).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// One of them.
    pub async fn application(&self, id: &str) -> Result<Option<Application>, Error> {
        let row = sqlx::query("SELECT * FROM applications WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// The one of this name, or identity, below another.
    pub async fn application_below(&self, parent: &str, name: &str) -> Result<Option<Application>, Error> {
        let sql =
            "SELECT * FROM applications WHERE parent = ?1 AND (name = ?2 OR id = ?2) ORDER BY id = ?2 DESC LIMIT 1";
        let row = sqlx::query(sql).bind(parent).bind(name).fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// The application this key belongs to, if it is one. Whether it is served is the caller's question.
    pub async fn authenticate_application(&self, text: &str) -> Result<Option<Application>, Error> {
        let Some((id, secret)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
            return Ok(None);
        };
        if id.len() != 2 * ID_BYTES || secret.len() > 100 {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM applications WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let stored: Vec<u8> = row.try_get("hash")?;
        let is_right = bool::from(stored.as_slice().ct_eq(&hash(secret)));
        Ok(if is_right { Some(read(&row)?) } else { None })
    }

    /// Changes it; as it is afterwards. `None`: there is none.
    pub async fn change_application(&self, id: &str, to: &ApplicationChange) -> Result<Option<Application>, Error> {
        let Some(mut now) = self.application(id).await? else { return Ok(None) };
        if let Some(name) = &to.name {
            now.name = named(name)?;
        }
        now.enabled = to.enabled.unwrap_or(now.enabled);
        now.bounds = to.bounds.unwrap_or(now.bounds);
        check_bounds(now.bounds)?;
        let origins = origins_text(to.origins.as_ref().unwrap_or(&now.origins))?;
        let sql = "UPDATE applications SET name = ?2, enabled = ?3, sessions = ?4, bytes_per_month = ?5, \
                   bytes_per_second = ?6, origins = ?7 \
                   WHERE id = ?1 RETURNING *";
        let row = sqlx::query(sql)
            .bind(id)
            .bind(&now.name)
            .bind(now.enabled)
            .bind(now.bounds.sessions.map(signed))
            .bind(now.bounds.bytes_per_month.map(signed))
            .bind(now.bounds.bytes_per_second.map(signed))
            .bind(origins)
            .fetch_optional(&self.pool)
            .await
            .map_err(taken)?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    /// Gives it another key in place of the one it has; the text. `None`: there is none.
    pub async fn renew_application(&self, id: &str) -> Result<Option<MadeApplication>, Error> {
        let secret = secret_text()?;
        let row = sqlx::query("UPDATE applications SET hash = ?2 WHERE id = ?1 RETURNING *")
            .bind(id)
            .bind(hash(&secret))
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(MadeApplication { application: read(&row)?, text: format!("{PREFIX}{id}_{secret}") }))
    }

    /// Counts its generation up: what was issued before belongs to the one before, which is returned.
    pub async fn next_generation(&self, id: &str) -> Result<Option<Application>, Error> {
        let row = sqlx::query("UPDATE applications SET generation = generation + 1 WHERE id = ? RETURNING *")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        let read = row.as_ref().map(read).transpose()?;
        Ok(read.map(|after| Application { generation: after.generation.saturating_sub(1), ..after }))
    }

    /// Removes it and those below it; all that are gone.
    pub async fn remove_application(&self, id: &str) -> Result<Vec<Application>, Error> {
        let mut all = self.pool.begin().await?;
        let mut rows = Vec::new();
        // What a foreign key takes along is not returned.
        for sql in [
            "DELETE FROM applications WHERE parent = ? RETURNING *",
            "DELETE FROM applications WHERE id = ? RETURNING *",
        ] {
            rows.extend(sqlx::query(sql).bind(id).fetch_all(&mut *all).await?);
        }
        all.commit().await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

fn read(row: &SqliteRow) -> Result<Application, sqlx::Error> {
    let count = |name| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(name)?.map(unsigned));
    Ok(Application {
        id: row.try_get("id")?,
        parent: row.try_get("parent")?,
        name: row.try_get("name")?,
        created_at: unsigned(row.try_get("created_at")?),
        enabled: row.try_get("enabled")?,
        generation: u32::try_from(row.try_get::<i64, _>("generation")?).unwrap_or(u32::MAX),
        bounds: Bounds {
            sessions: count("sessions")?,
            bytes_per_month: count("bytes_per_month")?,
            bytes_per_second: count("bytes_per_second")?,
        },
        origins: row.try_get::<String, _>("origins")?.lines().map(str::to_owned).collect(),
    })
}

/// The relay takes no bytes per second for no bound, and whoever writes it means the opposite.
fn check_bounds(bounds: Bounds) -> Result<(), Error> {
    match bounds.bytes_per_second {
        Some(0) => Err(Error::Misuse(
            "bytes per second: expected at least 1, got 0; to let nobody relay, allow 0 sessions".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Two at once may want the same name.
fn taken(error: sqlx::Error) -> Error {
    match error.as_database_error() {
        Some(told) if told.is_unique_violation() => Error::Misuse("this name is taken".to_owned()),
        _ => error.into(),
    }
}

/// RFC 6454 §6.2: scheme, host and perhaps a port, as browsers send them.
fn origins_text(origins: &[String]) -> Result<String, Error> {
    let is_origin = |origin: &&String| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'))
    };
    if origins.len() > MOST_ORIGINS {
        return Err(Error::Misuse(format!("expected at most {MOST_ORIGINS} origins, got {}", origins.len())));
    }
    match origins.iter().find(|origin| !is_origin(origin) || origin.len() > 300) {
        Some(wrong) => Err(Error::Misuse(format!(
            "expected origins such as https://app.example.org, without a path, got `{}`",
            wrong.chars().take(100).collect::<String>()
        ))),
        None => Ok(origins.iter().map(|origin| origin.to_ascii_lowercase()).collect::<Vec<_>>().join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_and_host_and_nothing_more() {
        let of = |origin: &str| origins_text(&[origin.to_owned()]);
        assert_eq!(of("https://App.example.org:8443").expect("an origin"), "https://app.example.org:8443");
        for wrong in
            ["app.example.org", "https://", "https://a/b", "https://a b", "ftp://a", "*", "https://a\nhttps://b"]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(origins_text(&vec!["https://a".to_owned(); 33]).is_err());
    }
}
