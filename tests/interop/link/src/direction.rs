//! One direction of a link: a bottleneck with a bounded queue, then the way, on which packets are late or lost.
//!
//! ```text
//!  handle_packet ──► waiting (at most `queue` bytes) ──► line (`rate`) ──► lost? ──► flight (`delay` ± `jitter`) ──► poll_output
//!                        └─ full: dropped
//! ```
//!
//! Packets keep their order. The clock is the caller's, so that a test needs no time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::spec::Spec;

/// The state of one direction.
pub struct Direction {
    pub counters: Counters,
    spec: Spec,
    random: Random,
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
    /// What is being sent, and when its last bit has left.
    line: Option<(Packet, Instant)>,
    line_free: Option<Instant>,
    flight: VecDeque<(Instant, Vec<u8>)>,
    flight_bytes: usize,
    /// In a burst of losses.
    losing: bool,
}

struct Packet {
    came: Instant,
    bytes: Vec<u8>,
}

/// What has become of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub came: Traffic,
    pub delivered: Traffic,
    /// By chance, as `loss` wants it.
    pub lost: Traffic,
    /// Because the queue was full.
    pub dropped: Traffic,
    /// The most bytes that have waited at once.
    pub most_waiting: usize,
}

/// Packets, and bytes from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, packet: &[u8]) {
        self.packets += 1;
        self.bytes += packet.len() as u64;
    }
}

impl Direction {
    pub fn new(spec: Spec, seed: u64) -> Self {
        Self {
            counters: Counters::default(),
            spec,
            random: Random(seed),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            line: None,
            line_free: None,
            flight: VecDeque::new(),
            flight_bytes: 0,
            losing: false,
        }
    }

    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// Holds for what leaves the queue from here on; what is on its way stays as it was.
    pub fn set_spec(&mut self, now: Instant, spec: Spec) {
        self.advance(now);
        self.spec = spec;
    }

    /// Packets that are neither delivered nor given up.
    pub fn under_way(&self) -> usize {
        self.waiting.len() + usize::from(self.line.is_some()) + self.flight.len()
    }

    pub fn handle_packet(&mut self, now: Instant, bytes: Vec<u8>) {
        self.counters.came.add(&bytes);
        self.advance(now);
        if self.waiting_bytes + bytes.len() > self.spec.queue || self.flight_bytes > MOST_IN_FLIGHT {
            // An idle line takes anything: no queue is needed for it.
            if self.line.is_some() || self.flight_bytes > MOST_IN_FLIGHT {
                self.counters.dropped.add(&bytes);
                return;
            }
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(Packet { came: now, bytes });
        self.advance(now);
        self.counters.most_waiting = self.counters.most_waiting.max(self.waiting_bytes);
    }

    pub fn poll_output(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.advance(now);
        let (_, bytes) = self.flight.pop_front_if(|(due, _)| *due <= now)?;
        self.flight_bytes -= bytes.len();
        self.counters.delivered.add(&bytes);
        Some(bytes)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let line = self.line.as_ref().map(|(_, done)| *done);
        let flight = self.flight.front().map(|(due, _)| *due);
        [line, flight].into_iter().flatten().min()
    }

    /// Sends what can have been sent by now.
    fn advance(&mut self, now: Instant) {
        loop {
            if let Some((packet, done)) = self.line.take_if(|(_, done)| *done <= now) {
                self.line_free = Some(done);
                self.launch(done, packet.bytes);
            }
            if self.line.is_some() {
                return;
            }
            let Some(packet) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= packet.bytes.len();
            let start = self.line_free.map_or(packet.came, |free| free.max(packet.came));
            let done = start + self.spec.time_on_line(packet.bytes.len());
            self.line = Some((packet, done));
        }
    }

    fn launch(&mut self, at: Instant, bytes: Vec<u8>) {
        if self.is_lost() {
            self.counters.lost.add(&bytes);
            return;
        }
        let late = (self.spec.delay + self.spec.jitter.mul_f64(2.0 * self.random.unit())).saturating_sub(self.spec.jitter);
        let due = self.flight.back().map_or(at + late, |(last, _)| (at + late).max(*last));
        self.flight_bytes += bytes.len();
        self.flight.push_back((due, bytes));
    }

    /// Gilbert's model: bursts of `burst` packets in the mean, and over all the share `loss`.
    fn is_lost(&mut self) -> bool {
        let (loss, burst) = (self.spec.loss, self.spec.burst);
        if loss <= 0.0 || loss >= 1.0 {
            self.losing = false;
            return loss >= 1.0;
        }
        let chance = match (burst <= 1.0, self.losing) {
            (true, _) => loss,
            (false, true) => 1.0 - 1.0 / burst,
            (false, false) => loss / (burst * (1.0 - loss)),
        };
        self.losing = self.random.unit() < chance;
        self.losing
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Spec {
    fn time_on_line(&self, bytes: usize) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64))
    }
}

/// Far more than a fast and long way holds; what comes beyond it is dropped.
const MOST_IN_FLIGHT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn spec(text: &str) -> Spec {
        Spec::default().changed(text).expect("a specification")
    }

    /// When each of the packets, which come at these times, arrives.
    fn arrivals(direction: &mut Direction, start: Instant, came: impl Iterator<Item = Duration>, size: usize) -> Vec<Duration> {
        let mut arrived = Vec::new();
        let mut take = |direction: &mut Direction, until: Option<Instant>| {
            while let Some(due) = direction.poll_timeout().filter(|due| until.is_none_or(|until| *due < until)) {
                while direction.poll_output(due).is_some() {
                    arrived.push(due - start);
                }
            }
        };
        for at in came {
            take(direction, Some(start + at));
            direction.handle_packet(start + at, vec![0; size]);
        }
        take(direction, None);
        arrived
    }

    #[test]
    fn nothing_asked_for_means_nothing_done() {
        let (start, mut direction) = (Instant::now(), Direction::new(Spec::default(), 1));
        direction.handle_packet(start, vec![7; 3]);
        assert_eq!(direction.poll_timeout(), Some(start));
        assert_eq!(direction.poll_output(start), Some(vec![7; 3]));
        assert_eq!((direction.poll_output(start), direction.poll_timeout()), (None, None));
    }

    #[test]
    fn a_rate_spreads_packets_and_a_full_queue_drops_them() {
        let (start, mut direction) = (Instant::now(), Direction::new(spec("rate=80k queue=3000 delay=100ms"), 1));
        // Ten at once, 1000 bytes each: one on the line for 100 ms, three wait.
        let arrived = arrivals(&mut direction, start, (0..10).map(|_| Duration::ZERO), 1000);
        assert_eq!(arrived, [200 * MS, 300 * MS, 400 * MS, 500 * MS]);
        let Counters { came, delivered, dropped, most_waiting, .. } = direction.counters;
        assert_eq!((came.packets, delivered.packets, dropped.packets, most_waiting), (10, 4, 6, 3000));
    }

    #[test]
    fn a_rate_that_changes_holds_for_what_waits() {
        let (start, mut direction) = (Instant::now(), Direction::new(spec("rate=80k queue=3000"), 1));
        (0..3).for_each(|_| direction.handle_packet(start, vec![0; 1000]));
        direction.set_spec(start + 50 * MS, spec("rate=800k"));
        // The one on the line was begun at the old rate.
        let arrived = arrivals(&mut direction, start, std::iter::empty(), 0);
        assert_eq!(arrived, [100 * MS, 110 * MS, 120 * MS]);
    }

    #[test]
    fn an_idle_line_takes_a_packet_larger_than_the_queue() {
        let (start, mut direction) = (Instant::now(), Direction::new(spec("rate=80k queue=500"), 1));
        assert_eq!(arrivals(&mut direction, start, [0, 50, 200].into_iter().map(|at| at * MS), 1000), [100 * MS, 300 * MS]);
    }

    #[test]
    fn jitter_stays_in_its_bounds_is_used_and_keeps_the_order() {
        let (start, mut direction) = (Instant::now(), Direction::new(spec("delay=50ms jitter=20ms"), 7));
        let arrived = arrivals(&mut direction, start, (0..1000).map(|n| n * 100 * MS), 100);
        let late: Vec<Duration> = arrived.iter().zip(0..).map(|(at, n)| *at - n * 100 * MS).collect();
        let (min, max) = (late.iter().min().expect("some"), late.iter().max().expect("some"));
        assert!(*min >= 30 * MS && *min < 31 * MS && *max <= 70 * MS && *max > 69 * MS, "{min:?} {max:?}");
        // Nearer to each other than the jitter, they do not overtake.
        let mut direction = Direction::new(spec("delay=50ms jitter=20ms"), 7);
        assert!(arrivals(&mut direction, start, (0..1000).map(|n| n * MS), 100).is_sorted());
    }

    #[test]
    fn loss_is_the_share_asked_for_and_comes_in_bursts_of_the_length_asked_for() {
        for (text, mean) in [("loss=5", 1.0 / 0.95), ("loss=5 burst=4", 4.0), ("loss=30% burst=2", 2.0)] {
            let (start, mut direction) = (Instant::now(), Direction::new(spec(text), 3));
            let (mut lost, mut bursts, mut losing) = (0_u32, 0_u32, false);
            for _ in 0..200_000 {
                direction.handle_packet(start, vec![0; 10]);
                let is_lost = direction.poll_output(start).is_none();
                lost += u32::from(is_lost);
                bursts += u32::from(is_lost && !losing);
                losing = is_lost;
            }
            let (share, length) = (f64::from(lost) / 200_000.0, f64::from(lost) / f64::from(bursts));
            assert!((share / direction.spec().loss - 1.0).abs() < 0.05, "{text}: {share}");
            assert!((length / mean - 1.0).abs() < 0.05, "{text}: {length}");
            assert_eq!(direction.counters.lost.packets, u64::from(lost));
        }
    }

    #[test]
    fn a_cut_link_loses_everything_and_a_mended_one_nothing() {
        let (start, mut direction) = (Instant::now(), Direction::new(spec("loss=100"), 3));
        (0..10).for_each(|_| direction.handle_packet(start, vec![0; 10]));
        direction.set_spec(start, spec("loss=0"));
        (0..10).for_each(|_| direction.handle_packet(start, vec![0; 10]));
        let Counters { lost, .. } = direction.counters;
        assert_eq!((lost.packets, direction.under_way()), (10, 10));
    }
}
