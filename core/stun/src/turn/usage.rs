//! Who has used how much: plain counters at each allocation, added up by user when somebody asks.
//!
//! ```text
//!   packet ─► Meter of its allocation ──first since the last asking──► Ledger: touched
//!   allocation ends ─► what its Meter has not told yet ─────────────► Ledger: by user
//!   take_usage ─► visits the touched ones, empties the Ledger
//! ```
//!
//! Asking costs as much as has happened since the last time, not as much as there is. Each byte is told once: the sum of
//! everything ever taken is what [`super::Counters`] says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Server;
use super::allocation::Owner;
use super::config::RelayId;

/// What passed one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets relayed.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_add(other.packets), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_sub(other.packets), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client.
    Up,
    /// To the client.
    Down,
}

/// What one user has used since it was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Without the expiry; `<key>/<tag>` where a credential service has issued it, see
    /// [`crate::credential::key_and_tag`].
    pub user: String,
    /// The realm it came in by.
    pub realm: String,
    /// From its clients.
    pub up: Traffic,
    /// To its clients.
    pub down: Traffic,
    /// Allocations made.
    pub begun: u64,
    /// Allocations ended.
    pub ended: u64,
    /// Whole seconds that its allocations have lived, each for itself; those of silent ones are told when they speak or end.
    pub seconds: u64,
}

impl Usage {
    /// Adds what the same user has used besides.
    pub fn add(&mut self, other: &Self) {
        self.up = self.up.plus(other.up);
        self.down = self.down.plus(other.down);
        self.begun = self.begun.saturating_add(other.begun);
        self.ended = self.ended.saturating_add(other.ended);
        self.seconds = self.seconds.saturating_add(other.seconds);
    }
}

/// Of one allocation.
pub(super) struct Meter {
    pub(super) started: Instant,
    pub(super) up: Traffic,
    pub(super) down: Traffic,
    told: Told,
    touched: bool,
}

/// What has been told of it already.
#[derive(Clone, Copy, Default)]
struct Told {
    up: Traffic,
    down: Traffic,
    seconds: u64,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, up: Traffic::default(), down: Traffic::default(), told: Told::default(), touched: false }
    }

    /// Of an allocation that has lived so long elsewhere, where all of it has been told.
    pub(super) fn going_on(now: Instant, lived: Duration) -> Self {
        let started = now.checked_sub(lived).unwrap_or(now);
        let seconds = now.saturating_duration_since(started).as_secs();
        Self { started, told: Told { seconds, ..Told::default() }, ..Self::new(now) }
    }

    /// Counts. `true`: for the first time since the last telling.
    fn count(&mut self, direction: Direction, traffic: Traffic) -> bool {
        match direction {
            Direction::Up => self.up = self.up.plus(traffic),
            Direction::Down => self.down = self.down.plus(traffic),
        }
        !std::mem::replace(&mut self.touched, true)
    }

    /// What has not been told yet.
    fn tell(&mut self, now: Instant) -> Usage {
        let seconds = now.saturating_duration_since(self.started).as_secs();
        let told = std::mem::replace(&mut self.told, Told { up: self.up, down: self.down, seconds });
        self.touched = false;
        Usage {
            up: self.up.minus(told.up),
            down: self.down.minus(told.down),
            seconds: seconds.saturating_sub(told.seconds),
            ..Usage::default()
        }
    }
}

/// What is to be told.
#[derive(Default)]
pub(super) struct Ledger {
    /// Allocations that have relayed something; some may have ended since.
    touched: Vec<RelayId>,
    /// By realm and user.
    by_user: BTreeMap<(String, String), Usage>,
}

impl Ledger {
    pub(super) fn add(&mut self, owner: &Owner, usage: &Usage) {
        self.by_user.entry((owner.realm.clone(), owner.user.clone())).or_default().add(usage);
    }
}

impl Server {
    /// Counts a packet that is relayed, at its allocation and at all.
    pub(super) fn count_relayed(&mut self, slot: u32, direction: Direction, payload: &[u8]) {
        let bytes = u64::try_from(payload.len()).unwrap_or_default();
        self.count_traffic(slot, direction, Traffic { packets: 1, bytes });
    }

    pub(super) fn count_traffic(&mut self, slot: u32, direction: Direction, traffic: Traffic) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        self.counters.packets = self.counters.packets.saturating_add(traffic.packets);
        self.counters.bytes = self.counters.bytes.saturating_add(traffic.bytes);
        if allocation.meter.count(direction, traffic) {
            self.ledger.touched.push(RelayId { slot, generation: allocation.generation });
        }
    }

    /// Counts what has been relayed past this machine for an allocation of it. `false`: it has ended.
    pub fn handle_relayed_elsewhere(&mut self, relay: RelayId, up: Traffic, down: Traffic) -> bool {
        let Some(slot) = self.table.by_id(relay) else { return false };
        for (direction, traffic) in [(Direction::Up, up), (Direction::Down, down)] {
            if traffic != Traffic::default() {
                self.count_traffic(slot, direction, traffic);
            }
        }
        true
    }

    /// What each user has used since the last call, by realm and user. Visits what has been used or has ended, nothing else.
    pub fn take_usage(&mut self, now: Instant) -> Vec<Usage> {
        for relay in std::mem::take(&mut self.ledger.touched) {
            let Some(slot) = self.table.by_id(relay) else { continue };
            if let Some(allocation) = self.table.get_mut(slot) {
                let usage = allocation.meter.tell(now);
                self.ledger.add(&allocation.owner, &usage);
            }
        }
        let by_user = std::mem::take(&mut self.ledger.by_user);
        by_user.into_iter().map(|((realm, user), usage)| Usage { user, realm, ..usage }).collect()
    }

    /// The last words of a machine that is given up: what was used, with all allocations ended. Walks them all.
    pub fn take_last_usage(&mut self, now: Instant) -> Vec<Usage> {
        for slot in self.table.slots() {
            self.release(now, slot);
        }
        self.take_usage(now)
    }

    /// Whether [`Server::take_usage`] would tell something.
    pub fn has_usage(&self) -> bool {
        !self.ledger.touched.is_empty() || !self.ledger.by_user.is_empty()
    }
}

/// An allocation has been made: it counts from here on.
pub(super) fn begin(ledger: &mut Ledger, owner: &Owner, meter: &mut Meter, now: Instant) {
    meter.started = now;
    ledger.add(owner, &Usage { begun: 1, ..Usage::default() });
}

/// An allocation has ended.
pub(super) fn end(ledger: &mut Ledger, owner: &Owner, meter: &mut Meter, now: Instant) {
    ledger.add(owner, &Usage { ended: 1, ..meter.tell(now) });
}
