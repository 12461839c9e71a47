//! What the relay has relayed, for whom: added up by minute, and by month for quotas.
//!
//! Lines of a minute are added to, in one transaction per batch, so that what is stored is exact however often it is
//! reported. Questions are answered by minute, hour or day.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::database::{Error, Store, signed, unsigned};

/// Amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Sessions that began.
    pub sessions: u64,
    /// Seconds that sessions lasted, all together.
    pub seconds: u64,
    /// Packets from clients.
    pub up_packets: u64,
    /// Their payload.
    pub up_bytes: u64,
    /// Packets to clients.
    pub down_packets: u64,
    /// Their payload.
    pub down_bytes: u64,
}

/// What was relayed for one label of an application in a minute, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// Unix time, in minutes.
    pub minute: u64,
    /// Whose; empty: this server's own calls and users.
    pub application: String,
    /// Its label.
    pub tag: String,
    /// How much.
    pub relayed: Relayed,
}

/// Which usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Of these applications, or all.
    pub applications: Option<Vec<String>>,
    /// With this label.
    pub tag: Option<String>,
    /// From this minute on.
    pub from: u64,
    /// Before this minute.
    pub to: u64,
}

/// How long what is added up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// As it is stored.
    Minute,
    /// Sixty of them.
    Hour,
    /// A calendar day (UTC).
    Day,
    /// All of it.
    All,
}

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Nothing.
    None,
    /// Applications.
    Application,
    /// Applications and their labels.
    Tag,
}

/// One sum, and the bytes of its minutes in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// When it begins, in minutes of Unix time.
    pub minute: u64,
    /// Whose, where that is told apart.
    pub application: Option<String>,
    /// Its label, where that is told apart.
    pub tag: Option<String>,
    /// The sum.
    pub relayed: Relayed,
    /// Fewest bytes, both ways, that one line of a minute had.
    pub least_bytes: u64,
    /// Most of them.
    pub most_bytes: u64,
    /// How many lines there were.
    pub lines: u64,
}

/// The month, as quotas count it: those since year 0.
pub fn month(unix_ms: u64) -> u64 {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let date = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let year = u64::try_from(date.year()).unwrap_or(0);
    year.saturating_mul(12).saturating_add(u64::from(u8::from(date.month())) - 1)
}

impl Relayed {
    /// Both together.
    pub fn plus(self, other: Relayed) -> Relayed {
        Relayed {
            sessions: self.sessions.saturating_add(other.sessions),
            seconds: self.seconds.saturating_add(other.seconds),
            up_packets: self.up_packets.saturating_add(other.up_packets),
            up_bytes: self.up_bytes.saturating_add(other.up_bytes),
            down_packets: self.down_packets.saturating_add(other.down_packets),
            down_bytes: self.down_bytes.saturating_add(other.down_bytes),
        }
    }

    /// Both ways.
    pub fn bytes(self) -> u64 {
        self.up_bytes.saturating_add(self.down_bytes)
    }
}

const ADD: &str = "
    INSERT INTO relay_usage (minute, application, tag, sessions, seconds, up_packets, up_bytes, down_packets, down_bytes)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (application, tag, minute) DO UPDATE SET
        sessions = sessions + ?4, seconds = seconds + ?5, up_packets = up_packets + ?6, up_bytes = up_bytes + ?7,
        down_packets = down_packets + ?8, down_bytes = down_bytes + ?9";

const ADD_MONTH: &str = "
    INSERT INTO relay_months (application, month, bytes) VALUES (?1, ?2, ?3)
    ON CONFLICT (application, month) DO UPDATE SET bytes = bytes + ?3";

/// `?5`: minutes of a step; `?6`, `?7`: whether applications and labels are told apart.
const SUMS: &str = "
    SELECT CASE WHEN ?5 = 0 THEN ?3 ELSE minute / ?5 * ?5 END AS step,
           CASE WHEN ?6 THEN application END AS application, CASE WHEN ?7 THEN tag END AS tag,
           sum(sessions) AS sessions, sum(seconds) AS seconds, sum(up_packets) AS up_packets, sum(up_bytes) AS up_bytes,
           sum(down_packets) AS down_packets, sum(down_bytes) AS down_bytes,
           min(up_bytes + down_bytes) AS least, max(up_bytes + down_bytes) AS most, count(*) AS lines
    FROM relay_usage
    WHERE (?1 IS NULL OR application IN (SELECT value FROM json_each(?1))) AND (?2 IS NULL OR tag = ?2)
      AND minute >= ?3 AND minute < ?4
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT ?8";

impl Store {
    /// Adds all of it, or nothing.
    pub async fn add_usage(&self, lines: &[UsageLine]) -> Result<(), Error> {
        let mut all = self.pool.begin().await?;
        for line in lines {
            let relayed = &line.relayed;
            sqlx::query(ADD)
                .bind(signed(line.minute))
                .bind(&line.application)
                .bind(&line.tag)
                .bind(signed(relayed.sessions))
                .bind(signed(relayed.seconds))
                .bind(signed(relayed.up_packets))
                .bind(signed(relayed.up_bytes))
                .bind(signed(relayed.down_packets))
                .bind(signed(relayed.down_bytes))
                .execute(&mut *all)
                .await?;
            sqlx::query(ADD_MONTH)
                .bind(&line.application)
                .bind(signed(month(line.minute.saturating_mul(60_000))))
                .bind(signed(relayed.bytes()))
                .execute(&mut *all)
                .await?;
        }
        Ok(all.commit().await?)
    }

    /// Sums, in order of time; at most so many.
    pub async fn usage(&self, filter: &UsageFilter, step: Step, split: Split, limit: u32) -> Result<Vec<Usage>, Error> {
        let ids = filter.applications.as_ref().map(serde_json::to_string).transpose();
        let ids = ids.map_err(|error| Error::Misuse(error.to_string()))?;
        let minutes: i64 = match step {
            Step::Minute => 1,
            Step::Hour => 60,
            Step::Day => 1440,
            Step::All => 0,
        };
        let rows = sqlx::query(SUMS)
            .bind(ids)
            .bind(filter.tag.as_deref())
            .bind(signed(filter.from))
            .bind(signed(filter.to))
            .bind(minutes)
            .bind(split != Split::None)
            .bind(split == Split::Tag)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Bytes of this month, of each application that had any.
    pub async fn month_bytes(&self, month: u64) -> Result<Vec<(String, u64)>, Error> {
        let rows = sqlx::query("SELECT application, bytes FROM relay_months WHERE month = ?")
            .bind(signed(month))
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &SqliteRow| Ok((row.try_get("application")?, unsigned(row.try_get("bytes")?)));
        Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Labels an application has used since a minute, by name; at most so many.
    pub async fn used_tags(&self, application: &str, from: u64, limit: u32) -> Result<Vec<String>, Error> {
        let sql = "SELECT DISTINCT tag FROM relay_usage WHERE application = ? AND minute >= ? ORDER BY tag LIMIT ?";
        let rows =
            sqlx::query(sql).bind(application).bind(signed(from)).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| row.try_get("tag")).collect::<Result<_, _>>()?)
    }

    /// Deletes the minutes before this one; returns how many lines.
    pub async fn forget_usage(&self, before: u64) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM relay_usage WHERE minute < ?").bind(signed(before));
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}

fn read(row: &SqliteRow) -> Result<Usage, sqlx::Error> {
    let count = |name| Ok::<_, sqlx::Error>(unsigned(row.try_get(name)?));
    Ok(Usage {
        minute: count("step")?,
        application: row.try_get("application")?,
        tag: row.try_get("tag")?,
        relayed: Relayed {
            sessions: count("sessions")?,
            seconds: count("seconds")?,
            up_packets: count("up_packets")?,
            up_bytes: count("up_bytes")?,
            down_packets: count("down_packets")?,
            down_bytes: count("down_bytes")?,
        },
        least_bytes: count("least")?,
        most_bytes: count("most")?,
        lines: count("lines")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        let of = |text: &str| {
            let format = &time::format_description::well_known::Rfc3339;
            let at = time::OffsetDateTime::parse(text, format).expect("a time").unix_timestamp();
            month(u64::try_from(at).expect("after 1970") * 1000)
        };
        assert_eq!(of("2026-11-30T23:59:59Z") + 1, of("2026-12-01T00:00:00Z"));
        assert_eq!(of("2026-12-31T23:59:59Z") + 1, of("2027-01-01T00:00:00Z"));
        assert_eq!(of("2026-11-01T00:00:00Z"), of("2026-11-30T23:59:59Z"));
    }
}
