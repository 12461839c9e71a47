//! Keeps a shard alive: a panic is a bug of ours, ends the allocations of one shard, and is loud, but the process and its
//! listeners stay, and clients find a relay again at once.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::mailbox::Mailbox;
use super::report::Stats;
use super::shard::{Legacy, Seed, Shard};

/// Starts the thread of a shard; returns once it is ready, or with the reason why it is not.
pub(super) fn spawn(seed: Seed) -> io::Result<JoinHandle<()>> {
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let name = format!("relay-{}", seed.index);
    let thread = std::thread::Builder::new().name(name).spawn(move || keep(seed, &ready))?;
    is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the relay shard ended at its start")))?;
    Ok(thread)
}

fn keep(mut seed: Seed, ready: &SyncSender<io::Result<()>>) {
    let remains = seed.remains.take();
    let seed = &seed;
    let mut shard = match Shard::new(seed, Stats::default()) {
        Ok(shard) => shard,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if let Some(remains) = remains {
        shard.go_on(Instant::now(), seed.config(), remains);
    }
    seed.shared.report.set_working(true);
    let _ = ready.send(Ok(()));
    // The state that a panic may have torn is dropped, but for counters, what has been published, and who is shut out.
    while catch_unwind(AssertUnwindSafe(|| shard.run())).is_err() {
        tracing::error!(shard = seed.index, "a relay shard has panicked; its allocations are lost, it starts again");
        seed.shared.report.set_working(false);
        let Some(next) = replace(seed, &shard.bequeath()) else { return };
        shard = next;
        seed.shared.report.set_working(true);
    }
    seed.shared.report.set_working(false);
}

/// Tries until there is one: without it the clients that the kernel assigns to this shard would wait for nothing. `None`:
/// it is not wanted any more.
fn replace(seed: &Seed, legacy: &Legacy) -> Option<Shard> {
    loop {
        match Shard::new(seed, legacy.stats) {
            Ok(mut shard) => {
                shard.inherit(legacy);
                return Some(shard);
            }
            Err(error) => tracing::error!(shard = seed.index, %error, "the relay shard cannot start again yet"),
        }
        if seed.shared.mailboxes.get(seed.index).is_none_or(Mailbox::holds_stop) {
            return None;
        }
        std::thread::sleep(PATIENCE);
    }
}

const PATIENCE: Duration = Duration::from_secs(1);
