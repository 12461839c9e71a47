//! Asking the link for more than is sent: when to probe, how fast, and what the answer was.
//!
//! ```text
//!   start ── 3 × ── 6 × ──► Waiting ──due, and more is needed──► running ──answer──► target, and at once again
//!                              ▲                                    └──no more there──┐
//!                              └─────────────── later and later, up to 15 s ──────────┘
//! ```
//!
//! A probe is a short burst at a given rate, made of media as far as there is some and of padding for the rest. It is only
//! asked for while the application could use more than the target.

use std::num::NonZeroU8;
use std::time::Duration;

use super::Bitrate;
use super::aimd::Demand;

/// Which probe a packet belongs to. Identities come round again after 255 probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProbeId(NonZeroU8);

/// What is to be sent, from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) id: ProbeId,
    pub(super) rate: Bitrate,
    pub(super) bytes: u64,
    pub(super) packets: u32,
    /// In microseconds.
    pub(super) until: u64,
}

/// What a probe has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) rate: Bitrate,
    /// It came in slower than it was sent: this is what the link carries, not only what was asked of it.
    pub(super) saturated: bool,
}

/// The controller, with the one probe that may be under way.
#[derive(Debug)]
pub(super) struct Probing {
    last: ProbeId,
    running: Option<Running>,
    start: Start,
    next_at: u64,
    interval: Duration,
    needed: Option<Bitrate>,
    /// The target before it fell steeply, to be tried again.
    fallen_from: Option<Bitrate>,
    ended: Option<Ended>,
    /// When the target last fell, and what it was before.
    fell: Option<(u64, Bitrate)>,
}

/// The probe before.
#[derive(Debug, Clone, Copy)]
struct Ended {
    at: u64,
    shown: Option<Shown>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    First,
    Second,
    Done,
}

#[derive(Debug)]
struct Running {
    plan: Plan,
    sent_bytes: u64,
    sent_packets: u32,
    got: Got,
}

/// What of it has arrived.
#[derive(Debug, Default)]
struct Got {
    bytes: u64,
    packets: u32,
    sent: Option<(Edge, Edge)>,
    arrived: Option<(Edge, Edge)>,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    at: i64,
    size: u64,
}

impl Probing {
    pub(super) fn new() -> Self {
        Self {
            last: ProbeId(NonZeroU8::MAX),
            running: None,
            start: Start::First,
            next_at: 0,
            interval: INTERVAL,
            needed: None,
            fallen_from: None,
            ended: None,
            fell: None,
        }
    }

    /// The probe to send, if one is due and more than `target` is needed.
    pub(super) fn poll(&mut self, now: u64, target: Bitrate, needed: Bitrate, start: Bitrate) -> Option<Plan> {
        self.needed = Some(needed);
        if self.running.is_some() || now < self.next_at || needed <= target {
            return None;
        }
        let rate = match self.start {
            Start::First => start.scale(3.0),
            Start::Second => start.scale(6.0).max(target.scale(2.0)),
            Start::Done => {
                let again = self.fallen_from.take().map(|before| before.scale(0.85));
                again.filter(|rate| *rate > target).unwrap_or(Bitrate::MAX).min(target.scale(2.0))
            }
        };
        self.start = match self.start {
            Start::First => Start::Second,
            Start::Second | Start::Done => Start::Done,
        };
        let rate = rate.min(needed.scale(1.1)).max(target.scale(1.1));
        let bytes = rate.bytes_in(DURATION).max(BYTES_LEAST);
        self.last = self.last.next();
        let until = now.saturating_add(micros(rate.time_for(bytes) * 2 + GRACE));
        let plan = Plan { id: self.last, rate, bytes, packets: PACKETS_LEAST, until };
        self.running = Some(Running { plan, sent_bytes: 0, sent_packets: 0, got: Got::default() });
        Some(plan)
    }

    /// When the probe under way is given up, or when it is worth asking again as far as time alone decides.
    pub(super) fn due(&self, target: Bitrate, rtt: Duration) -> Option<u64> {
        match &self.running {
            Some(running) => Some(running.given_up_at(rtt)),
            None => (self.needed? > target).then_some(self.next_at),
        }
    }

    /// The caller has been woken for `due`, and need not be again before it has asked.
    pub(super) fn told(&mut self, now: u64) {
        if self.next_at <= now {
            self.needed = None;
        }
    }

    pub(super) fn on_sent(&mut self, id: ProbeId, size: u64) {
        if let Some(running) = self.running.as_mut().filter(|running| running.plan.id == id) {
            running.sent_bytes = running.sent_bytes.saturating_add(size);
            running.sent_packets = running.sent_packets.saturating_add(1);
        }
    }

    pub(super) fn on_arrival(&mut self, id: ProbeId, sent: u64, arrival: i64, size: u64) {
        if let Some(running) = self.running.as_mut().filter(|running| running.plan.id == id) {
            let got = &mut running.got;
            got.bytes = got.bytes.saturating_add(size);
            got.packets = got.packets.saturating_add(1);
            let sent = Edge { at: i64::try_from(sent).unwrap_or(i64::MAX), size };
            got.sent = Some(widen(got.sent, sent));
            got.arrived = Some(widen(got.arrived, Edge { at: arrival, size }));
        }
    }

    /// Whether a queue that is seen growing may be the work of a probe.
    pub(super) fn disturbs(&self, now: u64, rtt: Duration) -> bool {
        self.running.as_ref().is_some_and(|running| running.sent_packets > 0) || self.lately(now, rtt).is_some()
    }

    /// What arrived lately of a probe that was more than the link could take.
    pub(super) fn saturated(&self, now: u64, rtt: Duration) -> Option<Bitrate> {
        let shown = self.lately(now, rtt)?.shown?;
        shown.saturated.then_some(shown.rate)
    }

    fn lately(&self, now: u64, rtt: Duration) -> Option<Ended> {
        self.ended.filter(|ended| now < ended.at.saturating_add(micros(rtt + DISTURBANCE)))
    }

    /// What the probe under way has shown, if enough of it has arrived; gives up on it when it is too late.
    pub(super) fn conclude(&mut self, now: u64, rtt: Duration, demand: Demand) -> Option<Shown> {
        let running = self.running.as_ref()?;
        if running.complete() {
            let (shown, asked) = (running.got.rate(), running.plan.rate);
            self.end(now, shown);
            match shown {
                Some(shown) if shown.rate >= asked.scale(WORTH_GOING_ON) => self.on_success(now),
                Some(_) | None => self.on_failure(now, demand),
            }
            return shown;
        }
        if now >= running.given_up_at(rtt) {
            self.end(now, None);
            self.on_failure(now, demand);
        }
        None
    }

    fn end(&mut self, now: u64, shown: Option<Shown>) {
        self.running = None;
        self.ended = Some(Ended { at: now, shown });
    }

    /// The target fell from `before` to `after`.
    pub(super) fn on_drop(&mut self, now: u64, rtt: Duration, before: Bitrate, after: Bitrate) {
        self.start = Start::Done;
        // Several steps in a row are one fall.
        let earlier = self.fell.filter(|(at, _)| now < at.saturating_add(micros(SETTLE)));
        let before = earlier.map_or(before, |(_, earlier)| before.max(earlier));
        self.fell = Some((now, before));
        let settled = now.saturating_add(micros(SETTLE));
        if after < before.scale(STEEP) {
            self.fallen_from = Some(before.max(self.fallen_from.unwrap_or_default()));
            self.interval = INTERVAL_LEAST;
            self.next_at = settled;
        } else if self.disturbs(now, rtt) {
            self.next_at = self.next_at.max(settled);
        } else {
            // It was not us: what takes the room now may give it back.
            self.interval = self.interval.min(INTERVAL);
            self.next_at = self.next_at.clamp(settled, settled.saturating_add(micros(self.interval)));
        }
    }

    fn on_success(&mut self, now: u64) {
        self.interval = INTERVAL;
        self.next_at = now;
    }

    fn on_failure(&mut self, now: u64, demand: Demand) {
        let pause = match demand {
            // The target is being used: it finds its way up by itself.
            Demand::Full => self.interval.max(INTERVAL * 2),
            Demand::Little => self.interval,
        };
        self.next_at = self.next_at.max(now.saturating_add(micros(pause)));
        self.interval = (self.interval * 3 / 2).min(INTERVAL_MOST);
    }
}

impl Running {
    fn given_up_at(&self, rtt: Duration) -> u64 {
        self.plan.until.saturating_add(micros(rtt * 2 + ANSWER))
    }

    fn complete(&self) -> bool {
        let all_sent = self.sent_bytes >= self.plan.bytes && self.sent_packets >= self.plan.packets;
        let arrived = self.got.bytes >= self.sent_bytes / 5 * 4
            && u64::from(self.got.packets) * 5 >= u64::from(self.sent_packets) * 4;
        all_sent && arrived
    }
}

impl Got {
    fn rate(&self) -> Option<Shown> {
        let ((first_sent, last_sent), (first, last)) = (self.sent?, self.arrived?);
        let sending = between(first_sent.at, last_sent.at)?;
        let arriving = between(first.at, last.at)?;
        let sent = Bitrate::of(self.bytes.saturating_sub(last_sent.size), sending)?;
        let received = Bitrate::of(self.bytes.saturating_sub(first.size), arriving)?;
        if received > sent.scale(TOO_FAST) {
            return None;
        }
        let saturated = received < sent.scale(CAME_SLOWER);
        let rate = if saturated { received.scale(UTILISED) } else { sent.min(received) };
        Some(Shown { rate, saturated })
    }
}

impl ProbeId {
    fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(NonZeroU8::MIN))
    }
}

fn widen(edges: Option<(Edge, Edge)>, edge: Edge) -> (Edge, Edge) {
    let (first, last) = edges.unwrap_or((edge, edge));
    (if edge.at < first.at { edge } else { first }, if edge.at >= last.at { edge } else { last })
}

fn between(from: i64, to: i64) -> Option<Duration> {
    let time = Duration::from_micros(u64::try_from(to.checked_sub(from)?).ok()?);
    (time > Duration::ZERO && time <= LONGEST).then_some(time)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const DURATION: Duration = Duration::from_millis(20);
const BYTES_LEAST: u64 = 5_000;
const PACKETS_LEAST: u32 = 5;
/// A burst that takes longer than planned is still a probe.
const GRACE: Duration = Duration::from_millis(200);
/// How long beyond its end an answer is waited for, besides the round trip.
const ANSWER: Duration = Duration::from_secs(1);
/// What a probe has put into a queue is gone so long after its answer.
const DISTURBANCE: Duration = Duration::from_millis(300);
const LONGEST: Duration = Duration::from_secs(1);
const WORTH_GOING_ON: f64 = 0.7;
const TOO_FAST: f64 = 2.0;
const CAME_SLOWER: f64 = 0.9;
const UTILISED: f64 = 0.95;
const STEEP: f64 = 0.66;
/// A queue drains before the next probe.
const SETTLE: Duration = Duration::from_secs(2);
const INTERVAL_LEAST: Duration = Duration::from_secs(3);
const INTERVAL: Duration = Duration::from_secs(5);
const INTERVAL_MOST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn kbps(kbps: u64) -> Bitrate {
        Bitrate::from_kbps(kbps)
    }

    /// Sends the probe and lets it through at `carried`; what has been shown.
    fn answer(probing: &mut Probing, plan: Plan, from: u64, carried: Bitrate) -> Option<Shown> {
        let (mut sent, mut arrival) = (from, from);
        let mut bytes = 0;
        while bytes < plan.bytes {
            probing.on_sent(plan.id, 1_000);
            bytes += 1_000;
            arrival = arrival.max(sent) + micros(carried.time_for(1_000));
            probing.on_arrival(plan.id, sent, i64::try_from(arrival).unwrap() - 9_000_000, 1_000);
            sent += micros(plan.rate.time_for(1_000));
        }
        probing.conclude(arrival + 50_000, RTT, Demand::Little)
    }

    #[test]
    fn nothing_is_asked_of_the_link_that_nobody_needs() {
        let mut probing = Probing::new();
        assert!(probing.poll(0, kbps(300), kbps(300), kbps(300)).is_none());
        assert_eq!(probing.due(kbps(300), RTT), None);
    }

    #[test]
    fn three_times_then_six_times_the_start() {
        let mut probing = Probing::new();
        let plan = probing.poll(0, kbps(300), kbps(9_000), kbps(300)).unwrap();
        assert_eq!(plan.rate, kbps(900));
        assert!(probing.poll(1, kbps(300), kbps(9_000), kbps(300)).is_none(), "one at a time");
        let shown = answer(&mut probing, plan, 0, kbps(50_000)).unwrap();
        assert!(!shown.saturated && shown.rate.bps() / 1_000 == 900, "{shown:?}");
        let plan = probing.poll(500_000, shown.rate, kbps(9_000), kbps(300)).unwrap();
        assert!(plan.rate >= kbps(1_760), "{plan:?}");
    }

    #[test]
    fn a_link_that_carries_less_shows_what_it_carries() {
        let mut probing = Probing::new();
        let plan = probing.poll(0, kbps(500), kbps(9_000), kbps(500)).unwrap();
        let shown = answer(&mut probing, plan, 0, kbps(600)).unwrap();
        assert!(shown.saturated);
        assert_eq!(shown.rate.bps() / 1_000, 570);
        assert!(probing.poll(400_000, kbps(570), kbps(9_000), kbps(500)).is_none(), "not at once again");
        assert!(probing.poll(6_000_000, kbps(570), kbps(9_000), kbps(500)).is_some());
    }

    #[test]
    fn a_probe_without_an_answer_is_given_up() {
        let mut probing = Probing::new();
        let plan = probing.poll(0, kbps(500), kbps(9_000), kbps(500)).unwrap();
        probing.on_sent(plan.id, 1_000);
        let due = probing.due(kbps(500), RTT).unwrap();
        assert!(due > plan.until);
        assert_eq!(probing.conclude(due, RTT, Demand::Little), None);
        assert!(probing.running.is_none());
        assert!(probing.due(kbps(500), RTT).unwrap() > due);
    }

    #[test]
    fn after_a_steep_fall_it_tries_again_soon() {
        let mut probing = Probing::new();
        probing.on_drop(0, RTT, kbps(2_000), kbps(300));
        assert!(probing.poll(1_000_000, kbps(300), kbps(9_000), kbps(300)).is_none());
        let plan = probing.poll(2_000_000, kbps(300), kbps(9_000), kbps(300)).unwrap();
        assert_eq!(plan.rate, kbps(600));
    }

    #[test]
    fn identities_come_round() {
        let mut id = ProbeId(NonZeroU8::MIN);
        for _ in 0..255 {
            id = id.next();
        }
        assert_eq!(id, ProbeId(NonZeroU8::MIN));
    }
}
