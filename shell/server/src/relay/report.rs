//! The figures of one shard, written by its thread and read by anyone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tandem_stun::turn::{Counters, LIMITS, Limit, Met};

use crate::metrics as names;

/// What shards have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The machines' figures.
    pub turn: Counters,
    /// Packets the kernel, a mailbox or a slow stream did not take.
    pub lost: u64,
    /// Live TCP and TLS connections.
    pub streams: u64,
    /// Connections refused because there are too many.
    pub streams_refused: u64,
    /// Channels that the kernel may relay by itself.
    pub offloads: u64,
    /// Live DTLS associations.
    pub dtls: u64,
    /// DTLS clients refused: malformed, without a suite in common, or too many.
    pub dtls_refused: u64,
    /// DTLS clients asked for their cookie.
    pub dtls_challenges: u64,
    /// Datagrams of DTLS handshakes that found no room to wait.
    pub dtls_shed: u64,
    /// Shards started again after a panic.
    pub restarts: u64,
}

/// Figures in the order of [`Stats::values`].
pub(super) struct Report {
    values: [AtomicU64; FIGURES],
    working: AtomicBool,
}

impl Default for Report {
    fn default() -> Self {
        Self { values: std::array::from_fn(|_| AtomicU64::default()), working: AtomicBool::default() }
    }
}

impl Report {
    pub(super) fn read(&self) -> Stats {
        Stats::from_values(std::array::from_fn(|index| self.values.get(index).map_or(0, |value| value.load(Relaxed))))
    }

    /// Whether the shard works: not before it has started, nor while it cannot start again.
    pub(super) fn is_working(&self) -> bool {
        self.working.load(Relaxed)
    }

    pub(super) fn set_working(&self, working: bool) {
        self.working.store(working, Relaxed);
    }

    pub(super) fn write(&self, stats: &Stats) {
        for (place, value) in self.values.iter().zip(stats.values()) {
            place.store(value, Relaxed);
        }
    }
}

impl Stats {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        let (mine, others) = (self.values(), other.values());
        let mut sum = mine;
        for (place, value) in sum.iter_mut().zip(others) {
            *place = place.saturating_add(value);
        }
        Self::from_values(sum)
    }

    /// What remains when all that lived is gone.
    pub(super) fn without_life(self) -> Self {
        Self {
            turn: Counters { allocations: 0, connections: 0, ..self.turn },
            streams: 0,
            offloads: 0,
            dtls: 0,
            ..self
        }
    }

    fn values(&self) -> [u64; FIGURES] {
        let turn = &self.turn;
        let own = [
            turn.allocations,
            turn.allocated,
            turn.connections,
            turn.connected,
            turn.packets,
            turn.bytes,
            turn.dropped,
            turn.malformed,
            turn.bindings,
            turn.challenges,
            turn.unauthorized,
            turn.queries,
            turn.moved,
            turn.refused,
            turn.limited,
            turn.revoked,
            turn.offloaded,
            self.lost,
            self.streams,
            self.streams_refused,
            self.offloads,
            self.dtls,
            self.dtls_refused,
            self.dtls_challenges,
            self.dtls_shed,
            self.restarts,
        ];
        let mut values = [0; FIGURES];
        for (place, value) in values.iter_mut().zip(own.into_iter().chain(turn.met.0)) {
            *place = value;
        }
        values
    }

    fn from_values(values: [u64; FIGURES]) -> Self {
        let [
            allocations,
            allocated,
            connections,
            connected,
            packets,
            bytes,
            dropped,
            malformed,
            bindings,
            challenges,
            unauthorized,
            queries,
            moved,
            refused,
            limited,
            revoked,
            offloaded,
            lost,
            streams,
            streams_refused,
            offloads,
            dtls,
            dtls_refused,
            dtls_challenges,
            dtls_shed,
            restarts,
            met @ ..,
        ] = values;
        let turn = Counters {
            allocations,
            allocated,
            connections,
            connected,
            packets,
            bytes,
            dropped,
            malformed,
            bindings,
            challenges,
            unauthorized,
            queries,
            moved,
            refused,
            limited,
            revoked,
            offloaded,
            met: Met(met),
        };
        Self {
            turn,
            lost,
            streams,
            streams_refused,
            offloads,
            dtls,
            dtls_refused,
            dtls_challenges,
            dtls_shed,
            restarts,
        }
    }

    /// Adds what has happened since `before` to the process's metrics.
    pub(super) fn publish(&self, before: &Self) {
        let counters = [
            (names::TURN_ALLOCATED_TOTAL, self.turn.allocated, before.turn.allocated),
            (names::TURN_CONNECTED_TOTAL, self.turn.connected, before.turn.connected),
            (names::TURN_RELAYED_PACKETS_TOTAL, self.turn.packets, before.turn.packets),
            (names::TURN_RELAYED_BYTES_TOTAL, self.turn.bytes, before.turn.bytes),
            (names::TURN_OFFLOADED_PACKETS_TOTAL, self.turn.offloaded, before.turn.offloaded),
            (names::TURN_DROPPED_PACKETS_TOTAL, self.turn.dropped, before.turn.dropped),
            (names::TURN_LOST_PACKETS_TOTAL, self.lost, before.lost),
            (names::TURN_MALFORMED_TOTAL, self.turn.malformed, before.turn.malformed),
            (names::STUN_BINDINGS_TOTAL, self.turn.bindings, before.turn.bindings),
            (names::TURN_CHALLENGES_TOTAL, self.turn.challenges, before.turn.challenges),
            (names::TURN_UNAUTHORIZED_TOTAL, self.turn.unauthorized, before.turn.unauthorized),
            (names::TURN_MOVED_TOTAL, self.turn.moved, before.turn.moved),
            (names::TURN_REFUSED_TOTAL, self.turn.refused, before.turn.refused),
            (names::TURN_LIMITED_TOTAL, self.turn.limited, before.turn.limited),
            (names::TURN_STREAMS_REFUSED_TOTAL, self.streams_refused, before.streams_refused),
            (names::TURN_DTLS_REFUSED_TOTAL, self.dtls_refused, before.dtls_refused),
            (names::TURN_DTLS_CHALLENGES_TOTAL, self.dtls_challenges, before.dtls_challenges),
            (names::TURN_DTLS_SHED_TOTAL, self.dtls_shed, before.dtls_shed),
            (names::TURN_SHARD_RESTARTS_TOTAL, self.restarts, before.restarts),
        ];
        for (metric, now, then) in counters {
            if now > then {
                metric.add(now - then);
            }
        }
        for limit in Limit::ALL {
            let (now, then) = (self.turn.met.get(limit), before.turn.met.get(limit));
            if now > then {
                names::TURN_LIMITS_MET_TOTAL.add_labelled(limit.name(), now - then);
            }
        }
        let gauges = [
            (names::TURN_ALLOCATIONS, self.turn.allocations, before.turn.allocations),
            (names::TURN_CONNECTIONS, self.turn.connections, before.turn.connections),
            (names::TURN_STREAMS, self.streams, before.streams),
            (names::TURN_OFFLOADED_CHANNELS, self.offloads, before.offloads),
            (names::TURN_DTLS, self.dtls, before.dtls),
        ];
        for (metric, now, then) in gauges {
            let gauge = metrics::gauge!(metric.name);
            // Differences, because every shard adds its own.
            gauge.increment(f64::from(u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX)));
            gauge.decrement(f64::from(u32::try_from(then.saturating_sub(now)).unwrap_or(u32::MAX)));
        }
    }
}

const FIGURES: usize = 26 + LIMITS;
