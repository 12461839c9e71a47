//! Datagrams of handshakes that wait for their turn. Each costs as much as some dozens of packets that are relayed, so few are
//! dealt with at a time; and a network with many waits for itself, not others for it.
//!
//! ```text
//!   push ─► lane of its network ─┐
//!           lane of another     ─┼─ round and round, one datagram each ─► pop
//! ```

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::keyed::Keyed;
use crate::server::Path;

/// All that wait. Order is kept within a network.
pub(crate) struct Waiting {
    lanes: HashMap<u128, VecDeque<Step>, Keyed>,
    /// Networks with a lane, each once.
    round: VecDeque<u128>,
    len: usize,
    bytes: usize,
    since: Option<Instant>,
}

/// A datagram, and whose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) path: Path,
    pub(crate) datagram: Box<[u8]>,
    pub(crate) kind: Kind,
}

/// Where in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A ClientHello whose cookie was found to be right.
    Hello,
    /// What follows.
    Rest,
}

impl Waiting {
    pub(crate) fn new(hash: Keyed) -> Self {
        Self { lanes: HashMap::with_hasher(hash), round: VecDeque::new(), len: 0, bytes: 0, since: None }
    }

    /// `false`: there is no room.
    pub(crate) fn push(&mut self, now: Instant, network: u128, step: Step) -> bool {
        let bytes = self.bytes.saturating_add(step.datagram.len());
        let lane = self.lanes.get(&network).map_or(0, VecDeque::len);
        if self.len >= MOST || lane >= MOST_OF_ONE || bytes > MOST_BYTES {
            return false;
        }
        (self.bytes, self.len) = (bytes, self.len.saturating_add(1));
        self.since.get_or_insert(now);
        let lane = self.lanes.entry(network).or_default();
        if lane.is_empty() {
            self.round.push_back(network);
        }
        lane.push_back(step);
        true
    }

    /// The next: each network has one before any has another.
    pub(crate) fn pop(&mut self) -> Option<Step> {
        let network = self.round.pop_front()?;
        let lane = self.lanes.get_mut(&network)?;
        let step = lane.pop_front()?;
        if lane.is_empty() {
            self.lanes.remove(&network);
        } else {
            self.round.push_back(network);
        }
        (self.bytes, self.len) = (self.bytes.saturating_sub(step.datagram.len()), self.len.saturating_sub(1));
        if self.len == 0 {
            self.since = None;
        }
        Some(step)
    }

    /// Since when something waits, if anything does.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }
}

/// At some thousand steps per second, this is less than a client waits before it repeats itself (RFC 6347 §4.2.4.1).
const MOST: usize = 1_024;
/// So many people behind one NAT may come at once.
const MOST_OF_ONE: usize = 64;
const MOST_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(port: u16) -> Step {
        let path = Path { client: ([192, 0, 2, 1], port).into(), server: ([198, 51, 100, 1], 5349).into() };
        Step { path, datagram: vec![0; 300].into(), kind: Kind::Hello }
    }

    #[expect(clippy::disallowed_methods, reason = "an instant has to come from somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn networks_take_turns_and_each_keeps_its_order() {
        let (mut waiting, now) = (Waiting::new(Keyed(1)), start());
        for (network, port) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31)] {
            assert!(waiting.push(now, network, step(port)));
        }
        assert_eq!(waiting.since(), Some(now));
        let ports: Vec<u16> = std::iter::from_fn(|| waiting.pop()).map(|step| step.path.client.port()).collect();
        assert_eq!(ports, [10, 20, 30, 11, 31, 12]);
        assert_eq!((waiting.since(), waiting.bytes, waiting.len, waiting.lanes.len()), (None, 0, 0, 0));
    }

    #[test]
    fn one_network_and_all_together_are_bounded() {
        let (mut waiting, now) = (Waiting::new(Keyed(1)), start());
        let of_one = (0..200).filter(|&port| waiting.push(now, 0, step(port))).count();
        assert_eq!(of_one, MOST_OF_ONE);
        let of_all = (1..5_000).filter(|&network| waiting.push(now, network, step(1))).count();
        assert_eq!(of_all, MOST - MOST_OF_ONE);
        let mut large = Waiting::new(Keyed(1));
        let long = || Step { datagram: vec![0; 1 << 14].into(), ..step(1) };
        assert_eq!((1..200).filter(|&network| large.push(now, network, long())).count(), 64);
    }
}
