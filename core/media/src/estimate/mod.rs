//! How much one connection can carry, seen from the sender: congestion control after draft-ietf-rmcat-gcc-02 on
//! transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! ```text
//!  on_sent ──► history ◄── on_feedback
//!                 │ what was sent and has arrived
//!      ┌──────────┼────────────┬─────────────┐
//!    groups     acked        loss          probe ──► poll_probe
//!      │ delay    │ what       │ what          │ what the link carries
//!    trend        │ comes in   │ is lost       │
//!      └─► aimd ◄─┴────────────┼───────────────┘
//!           └────── min ───────┴── silence, REMB ──► target
//! ```
//!
//! Deviation from the draft: delays that grow lower nothing as long as no queue stands (`standing`). Far ends that are busy for a
//! moment would be taken for narrow links otherwise, and lose their pictures.
//!
//! Peers that give no such feedback are judged by receiver reports and REMB. Parsing RTCP, and what to send within the
//! target, are the caller's business. Whatever a peer reports, it can only make its own target wrong.

mod acked;
mod aimd;
mod groups;
mod history;
mod limits;
mod loss;
mod probe;
mod standing;
mod trend;

use std::time::{Duration, Instant};

use self::acked::Acknowledged;
use self::aimd::{Aimd, Cause, Signals};
use self::groups::Groups;
use self::history::{Fate, History, Sent};
use self::limits::{Reports, Silence, Use};
use self::loss::Loss;
pub use self::probe::ProbeId;
use self::probe::{Probing, Shown};
use self::standing::Standing;
use self::trend::{Trend, Usage};
use crate::bitrate::Bitrate;

/// Estimates what one connection can carry.
#[derive(Debug)]
pub struct Estimator {
    origin: Instant,
    start: Bitrate,
    history: History,
    delay: Delay,
    loss: Loss,
    probing: Probing,
    used: Use,
    silence: Silence,
    reports: Reports,
    rtt: Rtt,
    /// Transport-wide feedback has come at least once.
    heard: bool,
}

/// A burst to send, to learn whether the link carries more.
///
/// From now until `until`, packets are to leave at `rate`: media as long as there is some, padding for the rest, until both
/// `bytes` and `packets` have been sent. Each is told to [`Estimator::on_sent`] with `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// What the packets of this burst are marked with.
    pub id: ProbeId,
    /// How fast they are to leave.
    pub rate: Bitrate,
    /// How many bytes at least.
    pub bytes: u64,
    /// How many packets at least.
    pub packets: u32,
    /// When to leave off in any case.
    pub until: Instant,
}

/// The parts that follow the delay.
#[derive(Debug)]
struct Delay {
    groups: Groups,
    trend: Trend,
    standing: Standing,
    acked: Acknowledged,
    rate: Aimd,
}

#[derive(Debug, Default)]
struct Rtt {
    smoothed: Option<Duration>,
}

impl Estimator {
    /// An estimator that believes in `start` until it knows better.
    #[must_use]
    pub fn new(now: Instant, start: Bitrate) -> Self {
        let start = start.clamp(LEAST, MOST);
        Self {
            origin: now,
            start,
            history: History::new(),
            delay: Delay {
                groups: Groups::default(),
                trend: Trend::new(),
                standing: Standing::new(),
                acked: Acknowledged::default(),
                rate: Aimd::new(start),
            },
            loss: Loss::new(),
            probing: Probing::new(),
            used: Use::new(start),
            silence: Silence::default(),
            reports: Reports::new(start),
            rtt: Rtt::default(),
            heard: false,
        }
    }

    /// A packet leaves with the transport-wide number `seq` (unwrapped, not the sixteen bits on the wire). `size` counts all
    /// that the packet takes on the wire. `probe` is the burst it belongs to.
    pub fn on_sent(&mut self, now: Instant, seq: u64, size: usize, probe: Option<ProbeId>) {
        let at = self.micros(now);
        self.history.record(at, seq, size, probe);
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        self.used.on_sent(at, size);
        self.silence.on_sent(at);
        if let Some(id) = probe {
            self.probing.on_sent(id, size);
        }
    }

    /// A packet leaves that carries no transport-wide number: it uses the link, and nobody will report it.
    pub fn on_sent_unnumbered(&mut self, now: Instant, size: usize) {
        let at = self.micros(now);
        self.used.on_sent(at, u64::try_from(size).unwrap_or(u64::MAX));
    }

    /// A feedback has come: for each number when it arrived on the receiver's clock, or that it did not. Numbers never sent,
    /// told twice or forgotten are passed over; of an overlong feedback the rest is not read.
    pub fn on_feedback(&mut self, now: Instant, arrivals: impl Iterator<Item = (u64, Option<Duration>)>) {
        let at = self.micros(now);
        let mut newest: Option<u64> = None;
        let mut settled = false;
        for (seq, arrival) in arrivals.take(self.history.worth_reading()) {
            let Some(sent) = self.history.settle(seq, arrival.is_some()) else { continue };
            settled = true;
            self.loss.add(sent);
            if let (Fate::Received | Fate::Late, Some(arrival)) = (sent.fate, arrival) {
                newest = newest.max(Some(sent.at));
                self.on_arrival(at, sent, arrival);
            }
        }
        if !settled {
            return;
        }
        self.heard = true;
        if let Some(newest) = newest {
            self.rtt.learn(Duration::from_micros(at.saturating_sub(newest)));
        }
        let before = self.target();
        self.conclude(at);
        self.silence.on_feedback(at, self.rtt(), self.delay.rate.target());
        self.on_change(at, before);
    }

    /// A receiver report has come (RFC 3550 §6.4.1): the share lost in 256ths, and the round trip if it tells. Only peers
    /// without transport-wide feedback are judged by its loss.
    pub fn on_report(&mut self, now: Instant, fraction_lost: u8, rtt: Option<Duration>) {
        let at = self.micros(now);
        if let Some(rtt) = rtt {
            self.rtt.learn(rtt);
        }
        let before = self.target();
        let demand = self.used.demand(at);
        self.reports.on_loss(at, f64::from(fraction_lost) / 256.0, self.rtt(), demand);
        self.on_change(at, before);
    }

    /// The receiver wants no more than this (REMB). Without transport-wide feedback it is also what the target climbs to.
    pub fn on_remb(&mut self, now: Instant, most: Bitrate) {
        let at = self.micros(now);
        let before = self.target();
        self.reports.on_remb(most);
        self.on_change(at, before);
    }

    /// The time [`Self::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let at = self.micros(now);
        let before = self.target();
        self.silence.handle_timeout(at, self.rtt(), before);
        let demand = self.used.demand(at);
        self.probing.conclude(at, self.rtt(), demand);
        self.probing.told(at);
        self.on_change(at, before);
    }

    /// When to call [`Self::handle_timeout`], and [`Self::poll_probe`] after it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let silence = self.silence.due(self.rtt());
        let probe = self.probing.due(self.target(), self.rtt());
        let due = [silence, probe].into_iter().flatten().min()?;
        self.origin.checked_add(Duration::from_micros(due))
    }

    /// What may be sent.
    #[must_use]
    pub fn target(&self) -> Bitrate {
        let rate = if self.heard {
            let delay = self.delay.rate.target();
            delay.min(self.loss.limit().unwrap_or(delay))
        } else {
            self.reports.target()
        };
        let rate = rate.min(self.silence.cap().unwrap_or(rate));
        rate.min(self.reports.remb().unwrap_or(rate))
    }

    /// The burst to send, if one is due. `needed` is what the application could use; below it nothing is probed for, nor
    /// while a queue is growing, packets are lost or the far end is silent.
    pub fn poll_probe(&mut self, now: Instant, needed: Bitrate) -> Option<Probe> {
        let at = self.micros(now);
        let capped = self.silence.cap().is_some() || self.reports.remb().is_some_and(|remb| remb <= self.target());
        if capped || self.usage() == Usage::Over || self.loss.fraction() > TOO_LOSSY {
            return None;
        }
        let plan = self.probing.poll(at, self.target(), needed, self.start)?;
        let until = self.origin.checked_add(Duration::from_micros(plan.until))?;
        Some(Probe { id: plan.id, rate: plan.rate, bytes: plan.bytes, packets: plan.packets, until })
    }

    /// The share of packets lost lately, between 0 and 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss.fraction()
    }

    /// The smoothed round trip, the far end's delay of feedback included; 100 ms as long as nobody knows.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.rtt.smoothed.unwrap_or(RTT_UNKNOWN)
    }

    fn on_arrival(&mut self, now: u64, sent: Sent, arrival: Duration) {
        let arrival = i64::try_from(arrival.as_micros()).unwrap_or(i64::MAX);
        self.delay.acked.add(sent.at, arrival, sent.size);
        if let Some(id) = sent.probe {
            self.probing.on_arrival(id, sent.at, arrival, sent.size);
        }
        let (now, at) = (signed(now), signed(sent.at));
        self.delay.standing.add(sent.at, arrival.saturating_sub(at));
        if let Some(variation) = self.delay.groups.add(now, at, arrival) {
            self.delay.trend.add(variation);
        }
    }

    fn conclude(&mut self, now: u64) {
        let demand = self.used.demand(now);
        let shown = self.probing.conclude(now, self.rtt(), demand);
        let usage = self.usage();
        let throughput = self.delay.acked.throughput();
        let rtt = self.rtt();
        let saturated = self.probing.saturated(now, rtt);
        let cause = if self.probing.disturbs(now, rtt) { Cause::Probe } else { Cause::Traffic };
        self.delay.rate.update(&Signals { now, usage, throughput, demand, rtt, saturated, cause });
        if let Some(shown) = shown {
            self.on_shown(now, shown);
        }
        let arriving = throughput.map(|seen| seen.lower());
        self.loss.update(self.delay.rate.target(), arriving);
    }

    /// A probe that came through raises the target; one that the link could not take tells where the link ends, which
    /// counts against a target that was never tried.
    fn on_shown(&mut self, now: u64, shown: Shown) {
        let target = self.delay.rate.target();
        let arriving = self.delay.acked.throughput().map(|seen| seen.lower()).unwrap_or_default();
        // One probe may have met another: it takes several to go far down.
        let least = if shown.saturated { arriving.max(target.scale(DOUBT)) } else { target };
        let shown_rate = shown.rate.max(least);
        let over = self.usage() == Usage::Over;
        if shown_rate != target && !(over && shown_rate > target) {
            self.delay.rate.on_probe(now, shown_rate);
            self.loss.on_probe(shown_rate);
        }
    }

    /// What delays tell of the link.
    fn usage(&self) -> Usage {
        match self.delay.trend.usage() {
            Usage::Over if self.delay.standing.queue() < STANDS => Usage::Normal,
            usage => usage,
        }
    }

    fn on_change(&mut self, now: u64, before: Bitrate) {
        let after = self.target();
        if after < before {
            self.probing.on_drop(now, self.rtt(), before, after);
        }
        if after != before {
            self.used.set_target(now, after);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Rtt {
    fn learn(&mut self, sample: Duration) {
        let sample = sample.min(RTT_MOST);
        self.smoothed = Some(self.smoothed.map_or(sample, |before| (before * 7 + sample) / 8));
    }
}

fn signed(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// No target is lower: a telephone call still fits.
pub const LEAST: Bitrate = Bitrate::from_kbps(30);
/// No target is higher.
pub const MOST: Bitrate = Bitrate::from_kbps(100_000);
const RTT_UNKNOWN: Duration = Duration::from_millis(100);
const RTT_MOST: Duration = Duration::from_secs(10);
const TOO_LOSSY: f64 = 0.2;
const DOUBT: f64 = 0.85;
/// A queue that never is shorter than this does not drain by itself.
const STANDS: Duration = Duration::from_millis(15);
