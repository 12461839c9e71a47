//! Who has used how much, handed by each shard to whoever keeps it.
//!
//! Every ten seconds, and when a shard ends or has panicked, what was used since goes out as one batch. A batch that is not
//! taken is kept and goes with the next: nothing is counted twice, and nothing is lost before too many users have
//! gathered.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_stun::turn::{Server, Usage};

use crate::metrics::TURN_USAGE_LOST_TOTAL;

/// Takes what users have used, one entry each, or gives it back when there is no room. Called by threads that must not
/// wait: put it into a bounded queue.
pub type TakeUsage = Arc<dyn Fn(Vec<Usage>) -> Result<(), Vec<Usage>> + Send + Sync>;

/// Of one shard.
pub(super) struct Tally {
    take: Option<TakeUsage>,
    /// Not taken yet, by realm and user.
    kept: BTreeMap<(String, String), Usage>,
    told: Instant,
}

impl Tally {
    pub(super) fn new(now: Instant, take: Option<TakeUsage>) -> Self {
        Self { take, kept: BTreeMap::new(), told: now }
    }

    /// When to tell next; `None`: there is nothing.
    pub(super) fn due(&self, machine: &Server) -> Option<Instant> {
        (machine.has_usage() || !self.kept.is_empty()).then_some(self.told + EVERY)
    }

    /// Tells what is there, if it is time.
    pub(super) fn handle_timeout(&mut self, now: Instant, machine: &mut Server) {
        if self.due(machine).is_some_and(|at| at <= now) {
            self.told = now;
            self.tell(machine.take_usage(now));
        }
    }

    /// The shard ends: so do its allocations.
    pub(super) fn last(&mut self, now: Instant, machine: &mut Server) {
        // After a panic its state may be torn; what cannot be told must not keep the shard from starting again.
        let used = catch_unwind(AssertUnwindSafe(|| machine.take_last_usage(now)));
        self.tell(used.unwrap_or_default());
        lose(self.kept.len());
        self.kept.clear();
    }

    fn tell(&mut self, used: Vec<Usage>) {
        let Some(take) = &self.take else { return };
        for usage in used {
            let name = (usage.realm.clone(), usage.user.clone());
            let is_full = self.kept.len() >= MOST_KEPT;
            match self.kept.get_mut(&name) {
                Some(kept) => kept.add(&usage),
                None if is_full => lose(1),
                None => drop(self.kept.insert(name, usage)),
            }
        }
        if self.kept.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.kept).into_values().collect();
        if let Err(refused) = take(batch) {
            self.kept = refused.into_iter().map(|usage| ((usage.realm.clone(), usage.user.clone()), usage)).collect();
        }
    }
}

fn lose(entries: usize) {
    if entries > 0 {
        TURN_USAGE_LOST_TOTAL.add(u64::try_from(entries).unwrap_or(u64::MAX));
        tracing::error!(entries, "what users of the relay have used could not be handed over and is lost");
    }
}

const EVERY: Duration = Duration::from_secs(10);
/// Users whose usage waits for somebody to take it.
const MOST_KEPT: usize = 100_000;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tandem_stun::turn::Traffic;

    use super::*;

    #[test]
    fn a_batch_that_is_not_taken_goes_with_the_next_one() {
        let (full, taken) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
        let take: TakeUsage = {
            let (full, taken) = (Arc::clone(&full), Arc::clone(&taken));
            Arc::new(move |batch| match full.load(Ordering::Relaxed) {
                true => Err(batch),
                false => {
                    taken.lock().expect("whole").extend(batch);
                    Ok(())
                }
            })
        };
        let usage = |user: &str| Usage {
            user: user.into(),
            realm: "tandem".into(),
            up: Traffic { packets: 1, bytes: 10 },
            ..Usage::default()
        };
        let mut tally = Tally::new(Instant::now(), Some(take));
        tally.tell(vec![usage("alice"), usage("bob")]);
        tally.tell(vec![usage("alice")]);
        full.store(false, Ordering::Relaxed);
        tally.tell(Vec::new());
        let twice = Usage { up: Traffic { packets: 2, bytes: 20 }, ..usage("alice") };
        assert_eq!(*taken.lock().expect("whole"), [twice, usage("bob")]);
        tally.tell(Vec::new());
        assert_eq!(taken.lock().expect("whole").len(), 2, "nothing is told twice");
    }
}
