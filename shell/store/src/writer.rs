//! Writes what the engine decides: in batches, one transaction each, from a bounded queue.
//!
//! The engine never waits for the disk. A batch that fails is tried again for a while; then it is given up, counted, and
//! the next one gets its chance.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::{Sqlite, Transaction};
use tandem_engine::{Record, RoomKept};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::database::{Error, Store, signed};
use crate::history::Mode;

/// Something to be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A line of history.
    Record(Record),
    /// How a room stands, in place of what was stored for it; `None`: it is gone.
    Keep {
        /// Name of the room.
        room: String,
        /// Its state.
        kept: Option<RoomKept>,
    },
}

/// What became of a batch.
#[derive(Debug)]
pub enum Outcome {
    /// So many changes are stored.
    Written(usize),
    /// So many are lost.
    Lost(usize, Error),
}

const BATCH: usize = 256;
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How often the process says that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

impl Store {
    /// Writes until the queue is closed and empty. `now` is the wall clock in Unix milliseconds; `report` hears of every
    /// batch.
    pub async fn write<T: Into<Change>>(
        &self,
        mut queue: mpsc::Receiver<T>,
        now: impl Fn() -> u64,
        report: impl Fn(Outcome),
    ) {
        let mut alive = interval_at(Instant::now() + ALIVE_EVERY, ALIVE_EVERY);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        self.say_alive(now(), &report).await;
        loop {
            tokio::select! {
                count = queue.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    let changes: Vec<Change> = batch.drain(..).map(Into::into).collect();
                    report(self.write_patiently(&changes).await);
                }
                _ = alive.tick() => self.say_alive(now(), &report).await,
            }
        }
        self.say_alive(now(), &report).await;
    }

    async fn write_patiently(&self, changes: &[Change]) -> Outcome {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            if self.write_batch(changes).await.is_ok() {
                return Outcome::Written(changes.len());
            }
            tokio::time::sleep(pause).await;
            pause *= 4;
        }
        match self.write_batch(changes).await {
            Ok(()) => Outcome::Written(changes.len()),
            Err(error) => Outcome::Lost(changes.len(), error),
        }
    }

    async fn write_batch(&self, changes: &[Change]) -> Result<(), Error> {
        let mut all = self.pool.begin().await?;
        // Only the latest state of a room counts.
        let mut rooms = BTreeMap::new();
        for change in changes {
            match change {
                Change::Record(record) => write_record(&mut all, record).await?,
                Change::Keep { room, kept } => {
                    rooms.insert(room, kept);
                }
            }
        }
        for (room, kept) in rooms {
            write_room(&mut all, room, kept.as_ref()).await?;
        }
        Ok(all.commit().await?)
    }

    async fn say_alive(&self, now: u64, report: &impl Fn(Outcome)) {
        const ALIVE: &str = "INSERT INTO process (number, alive_at) VALUES (1, ?1) \
            ON CONFLICT (number) DO UPDATE SET alive_at = ?1";
        if let Err(error) = sqlx::query(ALIVE).bind(signed(now)).execute(&self.pool).await {
            report(Outcome::Lost(0, error.into()));
        }
    }
}

async fn write_room(all: &mut Transaction<'static, Sqlite>, room: &str, kept: Option<&RoomKept>) -> Result<(), Error> {
    let Some(kept) = kept else {
        sqlx::query("DELETE FROM kept_rooms WHERE name = ?").bind(room).execute(&mut **all).await?;
        return Ok(());
    };
    let state = serde_json::to_string(kept).map_err(|error| Error::Misuse(error.to_string()))?;
    sqlx::query("INSERT INTO kept_rooms (name, state) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET state = ?2")
        .bind(room)
        .bind(state)
        .execute(&mut **all)
        .await?;
    Ok(())
}

async fn write_record(all: &mut Transaction<'static, Sqlite>, record: &Record) -> Result<(), Error> {
    let query = match record {
        Record::SessionStarted { session, room, at } => {
            sqlx::query("INSERT INTO sessions (id, room, started_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING")
                .bind(session)
                .bind(room)
                .bind(signed(*at))
        }
        // `SELECT … FROM sessions`: where the start was lost, the rest has nothing to belong to.
        Record::Joined { session, participant, name, client, at } => sqlx::query(
            "INSERT INTO participations (session, participant, name, client, joined_at) \
             SELECT id, ?2, ?3, ?4, ?5 FROM sessions WHERE id = ?1",
        )
        .bind(session)
        .bind(participant)
        .bind(name)
        .bind(word(client))
        .bind(signed(*at)),
        Record::Left { session, participant, reason, at } => sqlx::query(
            "UPDATE participations SET left_at = ?3, leave_reason = ?4 \
             WHERE session = ?1 AND participant = ?2 AND left_at IS NULL",
        )
        .bind(session)
        .bind(participant)
        .bind(signed(*at))
        .bind(word(reason)),
        Record::Path { session, path, .. } => {
            let mode = match path {
                tandem_api::signal::PathKind::P2p => Mode::P2p,
                tandem_api::signal::PathKind::Relay => Mode::Relay,
            };
            // Once relayed, always relayed.
            sqlx::query("UPDATE sessions SET mode = ?2 WHERE id = ?1 AND mode IS NOT 'relay'")
                .bind(session)
                .bind(mode.name())
        }
        Record::SessionEnded { session, reason, at } => {
            sqlx::query("UPDATE sessions SET ended_at = ?2, end_reason = ?3 WHERE id = ?1")
                .bind(session)
                .bind(signed(*at))
                .bind(word(reason))
        }
    };
    query.execute(&mut **all).await?;
    Ok(())
}

/// The word of the protocol for it.
fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}
