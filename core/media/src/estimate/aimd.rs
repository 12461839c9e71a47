//! The rate that delay allows: up by degrees while queues are still, down to what arrives when one grows
//! (draft-ietf-rmcat-gcc-02 §5.5, §5.6).
//!
//! ```text
//!            ┌──overuse: × 0.85 of what arrives──┐
//!            ▼                                   │
//!          Hold ──normal──► Increase ────────────┘
//!            ▲ └─underuse─┘     │  far from the known capacity: 8 % a second
//!            └────underuse──────┘  near it: a packet for each response time
//! ```

use std::time::Duration;

use super::acked::Throughput;
use super::trend::Usage;
use super::{Bitrate, LEAST, MOST};

/// The rate controller.
#[derive(Debug)]
pub(super) struct Aimd {
    target: Bitrate,
    state: State,
    capacity: Capacity,
    changed: Option<u64>,
    reduced: Option<u64>,
}

/// What is known when a feedback has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signals {
    /// In microseconds.
    pub(super) now: u64,
    pub(super) usage: Usage,
    pub(super) throughput: Option<Throughput>,
    pub(super) demand: Demand,
    pub(super) rtt: Duration,
    /// What arrived of a probe that was more than the link could take.
    pub(super) saturated: Option<Bitrate>,
    pub(super) cause: Cause,
}

/// Does the application send what it may?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// It uses the target.
    Full,
    /// It has less to send: neither success nor failure says much about the link.
    Little,
}

/// What a queue that grows is owed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Traffic,
    /// A probe of ours is or was under way; that its packets met the limit of the link says nothing of the rest.
    Probe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

/// Where overuse has been met lately, as a mean and a deviation, in kb/s.
#[derive(Debug, Default)]
struct Capacity {
    mean: Option<f64>,
    deviation: f64,
}

impl Aimd {
    pub(super) fn new(start: Bitrate) -> Self {
        Self { target: start, state: State::Hold, capacity: Capacity::default(), changed: None, reduced: None }
    }

    pub(super) fn target(&self) -> Bitrate {
        self.target
    }

    pub(super) fn update(&mut self, signals: &Signals) {
        match signals.usage {
            Usage::Over => self.on_overuse(signals),
            Usage::Under => self.state = State::Hold,
            Usage::Normal if self.state == State::Hold => {
                self.state = State::Increase;
                self.changed = Some(signals.now);
            }
            Usage::Normal => self.increase(signals),
        }
    }

    /// A probe has shown what the link carries.
    pub(super) fn on_probe(&mut self, now: u64, shown: Bitrate) {
        self.set(now, shown);
        self.capacity.learn(shown, PROBE_WEIGHT);
    }

    fn on_overuse(&mut self, signals: &Signals) {
        self.state = State::Hold;
        if !self.may_reduce(signals) {
            return;
        }
        let next = match signals.throughput {
            // Nothing is known of the link but that it is too little.
            None if signals.demand == Demand::Full => self.target.scale(0.5),
            None => self.target.scale(DOWN),
            // What is sent is not what fills the queue: one step, and again if that does not help. Once the target is as low
            // as what is sent, this is no longer little.
            Some(seen) if signals.demand == Demand::Little => self.target.scale(DOWN).max(seen.lower().scale(DOWN)),
            Some(seen) => self.below(seen.lower().max(signals.saturated.unwrap_or_default())),
        };
        self.set(signals.now, next.min(self.target));
        self.reduced = Some(signals.now);
    }

    /// Below what arrives, so that the queue can drain.
    fn below(&mut self, arriving: Bitrate) -> Bitrate {
        let mut next = arriving.scale(DOWN);
        if next > self.target {
            // More arrives than the target: an older, higher rate is still coming in.
            next = self.capacity.mean_rate().map_or(self.target, |mean| mean.scale(DOWN));
        }
        if self.capacity.lower().is_some_and(|lower| arriving < lower) {
            self.capacity = Capacity::default();
        }
        self.capacity.learn(arriving, OVERUSE_WEIGHT);
        next
    }

    fn may_reduce(&self, signals: &Signals) -> bool {
        let pause = match (signals.demand, signals.cause) {
            (Demand::Full, _) => signals.rtt.clamp(PAUSE_LEAST, PAUSE_MOST),
            (Demand::Little, Cause::Traffic) => PAUSE_LITTLE,
            (Demand::Little, Cause::Probe) => PAUSE_PROBE,
        };
        let due = self.reduced.is_none_or(|at| since(at, signals.now) >= pause);
        let far = |seen: Throughput| seen.limited_by_link() && seen.lower() < self.target.scale(0.5);
        due || signals.demand == Demand::Full && signals.throughput.is_some_and(far)
    }

    fn increase(&mut self, signals: &Signals) {
        let time = self.changed.replace(signals.now).map_or(Duration::ZERO, |at| since(at, signals.now));
        let Some(seen) = signals.throughput else { return };
        if signals.demand == Demand::Little {
            return;
        }
        let arriving = seen.lower();
        if self.capacity.upper().is_some_and(|upper| arriving > upper) {
            self.capacity = Capacity::default();
        }
        let limit = arriving.scale(AHEAD).saturating_add(AHEAD_AT_LEAST);
        if self.target >= limit {
            return;
        }
        let seconds = time.as_secs_f64().min(1.0);
        let next = if self.capacity.mean.is_some() {
            self.target.saturating_add(self.additive(signals.rtt).scale(seconds))
        } else {
            let grown = self.target.scale(GROWTH.powf(seconds));
            grown.max(self.target.saturating_add(Bitrate::from_kbps(1).scale(seconds)))
        };
        self.set(signals.now, next.min(limit));
    }

    /// About one packet more for each time it takes to see its effect, as a rate per second.
    fn additive(&self, rtt: Duration) -> Bitrate {
        let frame = self.target.as_f64() / FRAMES;
        let packets = (frame / PACKET).ceil().max(1.0);
        let response = (rtt + RESPONSE).as_secs_f64();
        Bitrate::from_f64(frame / packets / response).max(ADDITIVE_LEAST)
    }

    fn set(&mut self, now: u64, rate: Bitrate) {
        self.target = rate.clamp(LEAST, MOST);
        self.changed = Some(now);
    }
}

impl Capacity {
    fn learn(&mut self, seen: Bitrate, weight: f64) {
        let sample = seen.as_f64() / 1_000.0;
        let mean = self.mean.map_or(sample, |mean| mean + weight * (sample - mean));
        self.mean = Some(mean);
        let error = mean - sample;
        let normalised = error * error / mean.max(1.0);
        self.deviation = ((1.0 - weight) * self.deviation + weight * normalised).clamp(0.4, 2.5);
    }

    fn mean_rate(&self) -> Option<Bitrate> {
        self.mean.map(|mean| Bitrate::from_f64(mean * 1_000.0))
    }

    fn upper(&self) -> Option<Bitrate> {
        self.mean.map(|mean| Bitrate::from_f64((mean + self.three_deviations(mean)) * 1_000.0))
    }

    fn lower(&self) -> Option<Bitrate> {
        self.mean.map(|mean| Bitrate::from_f64((mean - self.three_deviations(mean)) * 1_000.0))
    }

    fn three_deviations(&self, mean: f64) -> f64 {
        3.0 * (self.deviation * mean).sqrt()
    }
}

fn since(at: u64, now: u64) -> Duration {
    Duration::from_micros(now.saturating_sub(at))
}

const DOWN: f64 = 0.85;
const GROWTH: f64 = 1.08;
const OVERUSE_WEIGHT: f64 = 0.05;
const PROBE_WEIGHT: f64 = 0.5;
/// The target may be this much ahead of what has been seen to arrive.
const AHEAD: f64 = 1.5;
const AHEAD_AT_LEAST: Bitrate = Bitrate::from_kbps(10);
const ADDITIVE_LEAST: Bitrate = Bitrate::from_kbps(4);
const FRAMES: f64 = 30.0;
/// Bits of a packet as video sends it.
const PACKET: f64 = 9_600.0;
const RESPONSE: Duration = Duration::from_millis(100);
const PAUSE_LEAST: Duration = Duration::from_millis(10);
const PAUSE_MOST: Duration = Duration::from_millis(200);
const PAUSE_LITTLE: Duration = Duration::from_millis(500);
const PAUSE_PROBE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(now: u64, usage: Usage, sent: u64, received: u64, demand: Demand) -> Signals {
        let throughput = Some(Throughput { sent: Bitrate::from_kbps(sent), received: Bitrate::from_kbps(received) });
        let (rtt, cause) = (Duration::from_millis(50), Cause::Traffic);
        Signals { now: now * 1_000, usage, throughput, demand, rtt, saturated: None, cause }
    }

    #[test]
    fn far_from_any_known_limit_it_grows_by_eight_percent_a_second() {
        let mut aimd = Aimd::new(Bitrate::from_kbps(1_000));
        for step in 0..=10 {
            aimd.update(&signals(step * 100, Usage::Normal, 1_000, 1_000, Demand::Full));
        }
        assert_eq!(aimd.target().bps() / 1_000, 1_079);
    }

    #[test]
    fn overuse_falls_to_85_percent_of_what_arrives() {
        let mut aimd = Aimd::new(Bitrate::from_kbps(1_000));
        aimd.update(&signals(0, Usage::Over, 1_000, 800, Demand::Full));
        assert_eq!(aimd.target(), Bitrate::from_kbps(680));
    }

    #[test]
    fn near_the_known_limit_it_grows_by_packets() {
        let mut aimd = Aimd::new(Bitrate::from_kbps(1_000));
        aimd.update(&signals(0, Usage::Over, 1_000, 1_000, Demand::Full));
        for step in 1..=11 {
            aimd.update(&signals(step * 100, Usage::Normal, 850, 850, Demand::Full));
        }
        let grown = aimd.target().bps() / 1_000 - 850;
        assert!((40..80).contains(&grown), "{grown} kb/s in a second");
    }

    #[test]
    fn a_little_that_is_all_delivered_is_no_reason_to_fall_to_it() {
        let mut aimd = Aimd::new(Bitrate::from_kbps(2_000));
        aimd.update(&signals(0, Usage::Over, 50, 50, Demand::Little));
        assert_eq!(aimd.target(), Bitrate::from_kbps(1_700));
        aimd.update(&signals(500, Usage::Normal, 50, 50, Demand::Little));
        aimd.update(&signals(60_000, Usage::Normal, 50, 50, Demand::Little));
        assert_eq!(aimd.target(), Bitrate::from_kbps(1_700));
    }
}
