//! Takes what the relay tells of its users, and keeps it by application, label and minute.
//!
//! ```text
//!   relay's threads ──bounded queue──► pending, added up ──one transaction──► store
//!                                                          └──► quotas: who is over is ended
//! ```
//!
//! What the database does not take waits and goes with the next batch. Each thread tells about every ten seconds, so a quota
//! is noticed up to [`EVERY`] and that later.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_store::{Relayed, UsageLine, month};
use tandem_stun::turn::Usage;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

use super::{Refused, Service, parse_name};
use crate::metrics::TURN_USAGE_LOST_TOTAL;
use crate::unix_ms;

/// Runs beside the relay.
pub struct Collector {
    service: Service,
    keep: Duration,
    pending: BTreeMap<Place, Relayed>,
    restarts: u64,
    forgot: u64,
}

/// Minute, application, label.
type Place = (u64, String, String);

/// Batches that may wait: each holds what one thread has gathered.
const QUEUE: usize = 256;
/// Lines that may wait for a database that does not take them.
const MOST_PENDING: usize = 200_000;
/// How often changes in the database are looked for.
const EVERY: Duration = Duration::from_secs(3);
const HOUR_MS: u64 = 3_600_000;

/// Between the relay and its collector.
pub fn queue() -> (Sender<Vec<Usage>>, Receiver<Vec<Usage>>) {
    channel(QUEUE)
}

impl Collector {
    /// Minutes are kept so long.
    pub fn new(service: Service, keep: Duration) -> Collector {
        Collector { service, keep, pending: BTreeMap::new(), restarts: 0, forgot: 0 }
    }

    /// Reads what was before, and tells the relay.
    pub async fn start(&self) -> Result<(), Refused> {
        self.turn_month(month(unix_ms())).await?;
        self.service.reconcile().await?;
        self.service.remind().await
    }

    /// Works until the relay has ended and everything is written.
    pub async fn run(mut self, mut queue: Receiver<Vec<Usage>>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = queue.recv() => {
                    let Some(batch) = batch else { break };
                    self.take(batch);
                    while let Ok(more) = queue.try_recv() {
                        self.take(more);
                    }
                    self.write().await;
                }
                _ = ticks.tick() => {
                    self.write().await;
                    self.look_after().await;
                }
            }
        }
        self.write().await;
        lose(self.pending.len());
    }

    fn take(&mut self, batch: Vec<Usage>) {
        let minute = unix_ms() / 60_000;
        for usage in batch {
            let (id, tag) = parse_name(&usage.user).map_or_else(Default::default, |(id, tag)| (id.to_owned(), tag));
            let place = (minute, id, tag);
            if self.pending.len() >= MOST_PENDING && !self.pending.contains_key(&place) {
                lose(1);
                continue;
            }
            let sum = self.pending.entry(place).or_default();
            *sum = sum.plus(relayed(&usage));
        }
    }

    async fn write(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let line = |((minute, application, tag), relayed): (&Place, &Relayed)| UsageLine {
            minute: *minute,
            application: application.clone(),
            tag: tag.clone(),
            relayed: *relayed,
        };
        let lines: Vec<UsageLine> = self.pending.iter().map(line).collect();
        match self.service.store().add_usage(&lines).await {
            Ok(()) => {
                self.pending.clear();
                self.charge(&lines).await;
            }
            Err(error) => tracing::error!(%error, "the database does not take what the relay has relayed; it waits"),
        }
    }

    /// Counts for the quotas.
    async fn charge(&self, lines: &[UsageLine]) {
        let this = month(unix_ms());
        let turned = self.service.book().month() != this;
        let done = if turned {
            self.turn_month(this).await
        } else {
            let mut book = self.service.book();
            lines.iter().for_each(|line| book.add(&line.application, line.relayed.bytes()));
            Ok(())
        };
        if let Err(error) = done.and(self.service.reconcile().await) {
            tracing::error!(%error, "quotas cannot be looked after");
        }
    }

    async fn turn_month(&self, month: u64) -> Result<(), Refused> {
        let bytes = self.service.store().month_bytes(month).await?;
        self.service.book().set_month(month, bytes);
        Ok(())
    }

    /// `tandem turn app` works beside us, months turn without traffic, threads of the relay start anew, and minutes get old.
    async fn look_after(&mut self) {
        if self.service.book().month() != month(unix_ms())
            && let Err(error) = self.turn_month(month(unix_ms())).await
        {
            tracing::error!(%error, "the bytes of this month cannot be read");
        }
        let done = self.service.reconcile().await;
        let restarts = self.service.restarts();
        let knows = restarts == self.restarts && !self.service.book().is_doubtful();
        let reminded = if knows { Ok(()) } else { self.service.remind().await };
        match done.and(reminded) {
            Ok(()) => self.restarts = restarts,
            Err(error) => tracing::error!(%error, "the relay cannot be told what applications may do"),
        }
        let now = unix_ms();
        if now.saturating_sub(self.forgot) >= HOUR_MS {
            self.forgot = now;
            self.forget(now).await;
        }
    }

    async fn forget(&self, now: u64) {
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        match self.service.store().forget_usage(now.saturating_sub(keep) / 60_000).await {
            Ok(0) => {}
            Ok(lines) => tracing::info!(lines, "old usage of the relay is deleted"),
            Err(error) => tracing::error!(%error, "old usage of the relay cannot be deleted"),
        }
    }
}

fn relayed(usage: &Usage) -> Relayed {
    Relayed {
        sessions: usage.begun,
        seconds: usage.seconds,
        up_packets: usage.up.packets,
        up_bytes: usage.up.bytes,
        down_packets: usage.down.packets,
        down_bytes: usage.down.bytes,
    }
}

fn lose(lines: usize) {
    if lines > 0 {
        TURN_USAGE_LOST_TOTAL.add(u64::try_from(lines).unwrap_or(u64::MAX));
        tracing::error!(lines, "what users of the relay have used cannot be stored and is lost");
    }
}
