//! Credentials of the relay that were taken back and have not expired yet: a relay that starts again must know them.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::database::{Error, Store, signed, unsigned};

/// What was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of an application.
    Key,
    /// All with one label.
    Tag,
    /// One credential.
    Credential,
}

/// Something taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Whose.
    pub application: String,
    /// What.
    pub kind: Kind,
    /// The label for [`Kind::Tag`]; otherwise as the relay is told.
    pub name: String,
    /// How often before, as far as it has not been forgotten: for [`Kind::Tag`].
    pub rounds: u32,
    /// When the last of it has expired.
    pub until: u64,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::Tag => "tag",
            Kind::Credential => "credential",
        }
    }
}

impl Store {
    /// Remembers that it is taken back until then. For a label: which round of it that was.
    pub async fn revoke_credentials(
        &self,
        application: &str,
        kind: Kind,
        name: &str,
        until: u64,
    ) -> Result<Revoked, Error> {
        let sql = "INSERT INTO revoked_credentials (application, kind, name, rounds, until) VALUES (?1, ?2, ?3, 1, ?4) \
                   ON CONFLICT (kind, application, name) DO UPDATE SET rounds = rounds + 1, until = max(until, ?4) RETURNING *";
        let row = sqlx::query(sql)
            .bind(application)
            .bind(kind.name())
            .bind(name)
            .bind(signed(until))
            .fetch_one(&self.pool)
            .await?;
        let mut revoked = read(&row)?;
        revoked.rounds = revoked.rounds.saturating_sub(1);
        Ok(revoked)
    }

    /// How often this label has been taken back, as far as that has not been forgotten.
    pub async fn rounds(&self, application: &str, tag: &str) -> Result<u32, Error> {
        let sql = "SELECT * FROM revoked_credentials WHERE kind = 'tag' AND application = ? AND name = ?";
        let row = sqlx::query(sql).bind(application).bind(tag).fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(read).transpose()?.map_or(0, |revoked| revoked.rounds))
    }

    /// All that must be refused, and forgets what has expired.
    pub async fn revoked_credentials(&self, now: u64) -> Result<Vec<Revoked>, Error> {
        sqlx::query("DELETE FROM revoked_credentials WHERE until < ?").bind(signed(now)).execute(&self.pool).await?;
        let rows = sqlx::query("SELECT * FROM revoked_credentials ORDER BY until").fetch_all(&self.pool).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

fn read(row: &SqliteRow) -> Result<Revoked, sqlx::Error> {
    let kind: String = row.try_get("kind")?;
    let known = [Kind::Key, Kind::Tag, Kind::Credential].into_iter().find(|known| known.name() == kind);
    Ok(Revoked {
        application: row.try_get("application")?,
        kind: known.ok_or_else(|| sqlx::Error::Decode(format!("unknown kind {kind}").into()))?,
        name: row.try_get("name")?,
        rounds: u32::try_from(row.try_get::<i64, _>("rounds")?).unwrap_or(u32::MAX),
        until: unsigned(row.try_get("until")?),
    })
}
