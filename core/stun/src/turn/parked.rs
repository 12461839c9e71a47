//! Requests that wait for a fact somebody else knows: another shard, or a database. A packet never waits for it.
//!
//! The request is kept as it came and handled once more when the fact is there. One question is asked for all who wait
//! for the same fact; a retransmission of what waits already is not kept twice; when too much waits, what comes is
//! dropped, and the client repeats it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::config::FiveTuple;

/// Requests by the fact they wait for.
pub(super) struct Parked<K> {
    waiting: BTreeMap<K, Vec<Waiting>>,
    deadlines: VecDeque<(Instant, K)>,
    count: usize,
}

/// A request that waits.
pub(super) struct Waiting {
    pub(super) from: FiveTuple,
    pub(super) bytes: Vec<u8>,
}

/// What parking has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parking {
    /// The first to wait for this fact: ask.
    Ask,
    /// The question has been asked, or the request waits already.
    Joined,
    /// Too much waits.
    Full,
}

impl<K: Ord + Clone> Parked<K> {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new(), deadlines: VecDeque::new(), count: 0 }
    }

    /// Keeps a request, verified or not: hence the bounds.
    pub(super) fn park(&mut self, now: Instant, fact: K, from: FiveTuple, bytes: &[u8]) -> Parking {
        let waiting = self.waiting.get_mut(&fact);
        let transaction = |bytes: &[u8]| bytes.get(8..20).map(<[u8]>::to_vec);
        let is_known = |waiting: &Waiting| waiting.from == from && transaction(&waiting.bytes) == transaction(bytes);
        if waiting.as_ref().is_some_and(|waiting| waiting.iter().any(is_known)) {
            return Parking::Joined;
        }
        if self.count >= MAX_WAITING || waiting.as_ref().is_some_and(|waiting| waiting.len() >= MAX_PER_FACT) {
            return Parking::Full;
        }
        self.count += 1;
        let request = Waiting { from, bytes: bytes.to_vec() };
        if let Some(waiting) = waiting {
            waiting.push(request);
            return Parking::Joined;
        }
        self.deadlines.push_back((now + PATIENCE, fact.clone()));
        self.waiting.insert(fact, vec![request]);
        Parking::Ask
    }

    /// The fact is there: whoever waited for it.
    pub(super) fn take(&mut self, fact: &K) -> Vec<Waiting> {
        let waiting = self.waiting.remove(fact).unwrap_or_default();
        self.count = self.count.saturating_sub(waiting.len());
        self.deadlines.retain(|(_, known)| known != fact);
        waiting
    }

    /// Forgets a fact nobody has supplied in time: who still wants it repeats its request.
    pub(super) fn expire(&mut self, now: Instant) -> Option<K> {
        let (_, fact) = self.deadlines.front().filter(|&&(at, _)| at <= now)?;
        let fact = fact.clone();
        self.take(&fact);
        Some(fact)
    }

    /// How many requests wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|&(at, _)| at)
    }
}

/// Requests of one shard that wait.
const MAX_WAITING: usize = 1_024;
/// Requests that wait for one fact.
const MAX_PER_FACT: usize = 8;
/// A client gives up after 39.5 s (RFC 8489 §6.2.1); nobody needs an answer older than a few of its repetitions.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::Transport;

    fn from(port: u16) -> FiveTuple {
        let at = |port| std::net::SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), port);
        FiveTuple { transport: Transport::Udp, client: at(port), server: at(3_478) }
    }

    #[test]
    fn one_question_is_asked_for_all_who_wait_and_a_repetition_waits_once() {
        let now = crate::turn::some_instant();
        let mut parked = Parked::new();
        assert_eq!(parked.park(now, 'a', from(1), &[1; 20]), Parking::Ask);
        assert_eq!(parked.park(now, 'a', from(1), &[1; 20]), Parking::Joined);
        assert_eq!(parked.park(now, 'a', from(2), &[1; 20]), Parking::Joined);
        assert_eq!(parked.take(&'a').len(), 2);
        assert_eq!((parked.count, parked.next_deadline()), (0, None));
        assert_eq!(parked.park(now, 'a', from(1), &[1; 20]), Parking::Ask);
    }

    #[test]
    fn what_waits_is_bounded_by_number_and_by_time() {
        let now = crate::turn::some_instant();
        let mut parked = Parked::new();
        for port in 0..100 {
            parked.park(now, 0, from(port), &[1; 20]);
        }
        assert_eq!(parked.count, MAX_PER_FACT);
        for fact in 1..2_000 {
            parked.park(now, fact, from(1), &[1; 20]);
        }
        assert_eq!(parked.count, MAX_WAITING);
        assert_eq!(parked.park(now, 5_000, from(1), &[1; 20]), Parking::Full);
        while parked.expire(now + PATIENCE).is_some() {}
        assert_eq!((parked.count, parked.next_deadline()), (0, None));
    }
}
