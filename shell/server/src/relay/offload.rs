//! Channels that the kernel relays by itself (tandem-offload), as the machine grants them.
//!
//! Off unless it is wanted; where it cannot be had, the sockets relay everything, and that is said once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tandem_offload::{Counts, Grant, Interfaces, Kernel, Mode, Rate, Reach, Table};
use tandem_stun::turn::{self, Beyond, Offload, Offloaded, RelayId, Server};

/// Loads the program for so many channels, if that is wanted and possible.
pub(super) fn load(wanted: Option<&Interfaces>, channels: usize) -> Option<Arc<Kernel>> {
    let channels = u32::try_from(channels).unwrap_or(u32::MAX).clamp(MIN_CHANNELS, MAX_CHANNELS);
    match Kernel::load(wanted?, channels) {
        Ok(kernel) => {
            let interfaces = kernel.interfaces().join(", ");
            match kernel.mode() {
                Mode::Native => tracing::info!(interfaces, channels, "channels are relayed inside the kernel"),
                Mode::Generic => tracing::warn!(
                    interfaces,
                    channels,
                    "channels are relayed inside the kernel, but not by the drivers: one of them cannot, or is asked for more \
                     than it can (XDP in generic mode)"
                ),
            }
            Some(Arc::new(kernel))
        }
        Err(error) => {
            tracing::warn!(%error, "relay.offload has no effect: all channels are relayed by sockets");
            None
        }
    }
}

/// What the kernel relays for one shard.
pub(super) struct Offloads {
    /// `None`: nothing.
    table: Option<Table<RelayId>>,
    harvested: Instant,
}

impl Offloads {
    pub(super) fn new(now: Instant, table: Option<Table<RelayId>>) -> Self {
        Self { table, harvested: now }
    }

    pub(super) fn grant(&mut self, now: Instant, machine: &mut Server, offload: &Offload) {
        if let Some(table) = &mut self.table {
            // No room, or no kernel: the sockets go on relaying it.
            table.grant(now, &to_grant(offload));
        }
        self.settle(now, machine);
    }

    pub(super) fn withdraw(&mut self, now: Instant, machine: &mut Server, relay: RelayId) {
        if let Some(table) = &mut self.table {
            table.withdraw_all(relay);
        }
        self.settle(now, machine);
        machine.handle_onloaded(relay);
    }

    pub(super) fn spend(&mut self, now: Instant, relay: RelayId, bytes: u64) {
        if let Some(table) = &mut self.table {
            table.spend(now, relay, bytes);
        }
    }

    /// Finds out what has been relayed.
    pub(super) fn harvest(&mut self, now: Instant, machine: &mut Server) {
        self.harvested = now;
        if let Some(table) = &mut self.table {
            table.harvest(now);
        }
        self.settle(now, machine);
    }

    /// The shard ends, and what the kernel relays for it.
    pub(super) fn last(&mut self, now: Instant, machine: &mut Server) {
        // After a panic its state may be torn; what cannot be told must not keep the shard from starting again.
        self.table.iter_mut().for_each(Table::clear);
        let told = catch_unwind(AssertUnwindSafe(|| self.settle(now, machine)));
        if told.is_err() {
            tracing::error!("what the kernel has relayed cannot be counted");
        }
    }

    /// When to do so next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.table.as_ref()?.poll_timeout(self.harvested)
    }

    /// How many channels are granted.
    pub(super) fn len(&self) -> usize {
        self.table.as_ref().map_or(0, Table::len)
    }

    fn settle(&mut self, now: Instant, machine: &mut Server) {
        while let Some((relay, _, counts)) = self.table.as_mut().and_then(Table::poll_settled) {
            machine.handle_offloaded(now, relay, to_offloaded(counts));
        }
    }
}

fn to_grant(offload: &Offload) -> Grant<RelayId> {
    let Offload { relay, channel, client, server, relayed, peer, beyond, up_until, down_until, budget } = *offload;
    let reach = match beyond {
        Beyond::Outside => Reach::Outside,
        Beyond::Inside => Reach::Inside,
    };
    let rate = Rate { per_second: budget.per_second, burst: budget.burst, left: budget.left };
    Grant { allocation: relay, channel, client, server, relayed, peer, reach, up_until, down_until, rate }
}

fn to_offloaded(counts: Counts) -> Offloaded {
    Offloaded {
        up: turn::Traffic { packets: counts.up.packets, bytes: counts.up.bytes },
        down: turn::Traffic { packets: counts.down.packets, bytes: counts.down.bytes },
        dropped: counts.dropped,
    }
}

const MIN_CHANNELS: u32 = 1_024;
/// About 300 bytes of kernel memory each.
const MAX_CHANNELS: u32 = 131_072;
/// Most clients have one peer; some have a few.
pub(super) const CHANNELS_PER_ALLOCATION: usize = 4;
