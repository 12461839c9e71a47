//! Ended and running sessions, for reading.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::database::{Error, Store, signed, unsigned};

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its identity.
    pub id: String,
    /// The room it took place in.
    pub room: String,
    /// When the first one entered.
    pub started_at: u64,
    /// When it was over; `None`: it goes on.
    pub ended_at: Option<u64>,
    /// Why it was over, in the words of the protocol.
    pub end_reason: Option<String>,
    /// Which way the media took; `None` while nobody has said.
    pub mode: Option<Mode>,
    /// How many places were taken in all, those counted anew who came again.
    pub participants: u64,
}

/// Which way the media of a session took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From browser to browser, all of it.
    P2p,
    /// Some of it through a relay.
    Relay,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::P2p => "p2p",
            Mode::Relay => "relay",
        }
    }

    fn parse(name: &str) -> Option<Mode> {
        [Mode::P2p, Mode::Relay].into_iter().find(|mode| mode.name() == name)
    }
}

/// A session with everyone who was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDetail {
    /// The session.
    pub session: Session,
    /// In the order of arrival.
    pub participations: Vec<Participation>,
}

/// Somebody's stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participation {
    /// Identity within the room.
    pub participant: String,
    /// As the others saw it.
    pub name: String,
    /// What it spoke, in the words of the protocol.
    pub client: String,
    /// When it entered.
    pub joined_at: u64,
    /// When it was gone.
    pub left_at: Option<u64>,
    /// Why, in the words of the protocol.
    pub leave_reason: Option<String>,
}

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this room.
    pub room: Option<String>,
    /// Started then or later.
    pub from: Option<u64>,
    /// Started before.
    pub to: Option<u64>,
    /// Whose media took this way.
    pub mode: Option<Mode>,
    /// That are over, or that are not.
    pub ended: Option<bool>,
}

/// The latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most as many as were asked for.
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

/// After this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its start.
    pub started_at: u64,
    /// Its identity.
    pub id: String,
}

const LIST: &str = "
    SELECT sessions.*, (SELECT count(*) FROM participations WHERE session = sessions.id) AS participants
    FROM sessions
    WHERE (?1 IS NULL OR room = ?1)
      AND (?2 IS NULL OR started_at >= ?2)
      AND (?3 IS NULL OR started_at < ?3)
      AND (?4 IS NULL OR mode = ?4)
      AND (?5 IS NULL OR (ended_at IS NOT NULL) = ?5)
      AND (?6 IS NULL OR (started_at, id) < (?6, ?7))
    ORDER BY started_at DESC, id DESC
    LIMIT ?8";

const ONE: &str = "
    SELECT sessions.*, (SELECT count(*) FROM participations WHERE session = sessions.id) AS participants
    FROM sessions WHERE id = ?1";

impl Store {
    /// Sessions that pass the filter, the latest first, after a position.
    pub async fn sessions(&self, filter: &Filter, after: Option<&Position>, limit: u32) -> Result<Page, Error> {
        let rows = sqlx::query(LIST)
            .bind(filter.room.as_deref())
            .bind(filter.from.map(signed))
            .bind(filter.to.map(signed))
            .bind(filter.mode.map(Mode::name))
            .bind(filter.ended)
            .bind(after.map(|position| signed(position.started_at)))
            .bind(after.map(|position| position.id.as_str()))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await?;
        let mut sessions: Vec<Session> = rows.iter().map(read_session).collect::<Result<_, _>>()?;
        let more = sessions.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            sessions.pop();
        }
        let last = sessions.last().filter(|_| more);
        let next = last.map(|last| Position { started_at: last.started_at, id: last.id.clone() });
        Ok(Page { sessions, next })
    }

    /// One session and everyone who was in it.
    pub async fn session(&self, id: &str) -> Result<Option<SessionDetail>, Error> {
        let row = sqlx::query(ONE).bind(id).fetch_optional(&self.pool).await?;
        let Some(session) = row.as_ref().map(read_session).transpose()? else { return Ok(None) };
        let rows = sqlx::query("SELECT * FROM participations WHERE session = ? ORDER BY joined_at, number")
            .bind(id)
            .fetch_all(&self.pool)
            .await?;
        let participations = rows.iter().map(read_participation).collect::<Result<_, _>>()?;
        Ok(Some(SessionDetail { session, participations }))
    }

    /// Deletes sessions that ended before; returns how many.
    pub async fn forget_sessions(&self, ended_before: u64) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM sessions WHERE ended_at < ?").bind(signed(ended_before));
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}

fn read_session(row: &SqliteRow) -> Result<Session, sqlx::Error> {
    Ok(Session {
        id: row.try_get("id")?,
        room: row.try_get("room")?,
        started_at: unsigned(row.try_get("started_at")?),
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(unsigned),
        end_reason: row.try_get("end_reason")?,
        mode: row.try_get::<Option<String>, _>("mode")?.as_deref().and_then(Mode::parse),
        participants: unsigned(row.try_get("participants")?),
    })
}

fn read_participation(row: &SqliteRow) -> Result<Participation, sqlx::Error> {
    Ok(Participation {
        participant: row.try_get("participant")?,
        name: row.try_get("name")?,
        client: row.try_get("client")?,
        joined_at: unsigned(row.try_get("joined_at")?),
        left_at: row.try_get::<Option<i64>, _>("left_at")?.map(unsigned),
        leave_reason: row.try_get("leave_reason")?,
    })
}
