//! Rooms as an earlier process left them.
//!
//! A process says every few seconds that it is alive. When it comes back soon enough after the last time, every room
//! goes on; when it was away for longer, nobody waits any more: only rooms made through the API remain, empty.

use std::collections::BTreeSet;

use sqlx::{Row as _, Sqlite, Transaction};
use tandem_api::signal::Counts;
use tandem_engine::RoomKept;

use crate::database::{Error, Store, signed, unsigned};

/// What an earlier process left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// For the engine.
    pub rooms: Vec<RoomKept>,
    /// Sessions that were running and cannot go on; they are closed.
    pub sessions_closed: u64,
}

impl Store {
    /// Rooms for the engine, with everyone in them when the last process was alive less than `window` milliseconds ago.
    pub async fn restore(&self, now: u64, window: u64) -> Result<Restored, Error> {
        let mut all = self.pool.begin().await?;
        let alive: Option<i64> =
            sqlx::query("SELECT alive_at FROM process").fetch_optional(&mut *all).await?.map(|row| row.get(0));
        let alive_at = alive.map_or(now, unsigned);
        let is_recent = now.saturating_sub(alive_at) <= window;
        let rooms = rooms(&mut all, is_recent).await?;
        let running: BTreeSet<&str> = rooms.iter().map(|room| room.session.as_str()).collect();
        let sessions_closed = close_others(&mut all, &running, alive_at.min(now)).await?;
        all.commit().await?;
        Ok(Restored { rooms, sessions_closed })
    }
}

async fn rooms(all: &mut Transaction<'static, Sqlite>, is_recent: bool) -> Result<Vec<RoomKept>, Error> {
    let mut rooms = Vec::new();
    let rows = sqlx::query("SELECT name, state FROM kept_rooms ORDER BY name").fetch_all(&mut **all).await?;
    for row in rows {
        let (name, state): (String, String) = (row.try_get("name")?, row.try_get("state")?);
        let kept = serde_json::from_str::<RoomKept>(&state).ok();
        if kept.is_none() {
            tracing::warn!("a kept room cannot be read and is forgotten");
        }
        match kept {
            Some(kept) if is_recent => rooms.push(kept),
            Some(kept) if kept.created => {
                let kept = emptied(kept);
                let state = serde_json::to_string(&kept).map_err(|error| Error::Misuse(error.to_string()))?;
                let update = sqlx::query("UPDATE kept_rooms SET state = ? WHERE name = ?").bind(state).bind(&name);
                update.execute(&mut **all).await?;
                rooms.push(kept);
            }
            _ => {
                sqlx::query("DELETE FROM kept_rooms WHERE name = ?").bind(&name).execute(&mut **all).await?;
            }
        }
    }
    Ok(rooms)
}

fn emptied(mut kept: RoomKept) -> RoomKept {
    kept.session = String::new();
    kept.participants = Vec::new();
    kept.room.host = String::new();
    kept.room.locked = false;
    kept.room.counts = Counts::default();
    kept
}

/// Nobody was there to note their end: it was when the process was last alive.
async fn close_others(all: &mut Transaction<'static, Sqlite>, running: &BTreeSet<&str>, at: u64) -> Result<u64, Error> {
    let rows = sqlx::query("SELECT id FROM sessions WHERE ended_at IS NULL").fetch_all(&mut **all).await?;
    let mut closed = 0;
    for row in rows {
        let id: String = row.try_get("id")?;
        if running.contains(id.as_str()) {
            continue;
        }
        sqlx::query("UPDATE participations SET left_at = max(joined_at, ?2), leave_reason = 'lost' WHERE session = ?1 AND left_at IS NULL")
            .bind(&id)
            .bind(signed(at))
            .execute(&mut **all)
            .await?;
        sqlx::query("UPDATE sessions SET ended_at = max(started_at, ?2), end_reason = 'lost' WHERE id = ?1")
            .bind(&id)
            .bind(signed(at))
            .execute(&mut **all)
            .await?;
        closed += 1;
    }
    Ok(closed)
}
