//! The rate that loss allows. Some links lose packets whatever is sent; others lose what is too much for them. Which of the
//! two it is shows in how loss went with the rate: each candidate for the link's bandwidth is given the inherent loss that
//! explains the last observations best, and the most likely pair wins.
//!
//! ```text
//!   loss(rate) = inherent + (1 - inherent) × max(0, 1 - bandwidth / rate)
//! ```
//!
//! The idea is that of libwebrtc's second loss-based estimator.

use std::time::Duration;

use super::history::{Fate, Sent};
use super::{Bitrate, LEAST, MOST};

/// What loss has to say.
#[derive(Debug)]
pub(super) struct Loss {
    observations: [Observation; WINDOW],
    newest: usize,
    open: Open,
    /// Only while loss says less than delay does.
    limit: Option<Bitrate>,
    fraction: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    /// As numbers of packets.
    received: f64,
    lost: f64,
    /// In kb/s.
    rate: f64,
}

/// The observation being made.
#[derive(Debug, Default)]
struct Open {
    received: u32,
    lost: u32,
    bytes: u64,
    from: Option<u64>,
    to: u64,
}

impl Loss {
    pub(super) fn new() -> Self {
        Self {
            observations: [Observation::default(); WINDOW],
            newest: 0,
            open: Open::default(),
            limit: None,
            fraction: 0.0,
        }
    }

    /// The share of packets lost lately.
    pub(super) fn fraction(&self) -> f64 {
        self.fraction
    }

    /// What loss allows, if that is less than what delay allows.
    pub(super) fn limit(&self) -> Option<Bitrate> {
        self.limit
    }

    pub(super) fn add(&mut self, sent: Sent) {
        match sent.fate {
            Fate::Received => self.open.received = self.open.received.saturating_add(1),
            Fate::Lost => self.open.lost = self.open.lost.saturating_add(1),
            Fate::Late => {
                if self.open.lost > 0 {
                    self.open.lost -= 1;
                    self.open.received = self.open.received.saturating_add(1);
                }
                return;
            }
        }
        self.open.bytes = self.open.bytes.saturating_add(sent.size);
        self.open.from = Some(self.open.from.map_or(sent.at, |from| from.min(sent.at)));
        self.open.to = self.open.to.max(sent.at);
    }

    /// Draws the conclusion if enough has been observed. `ceiling` is what delay allows, `arriving` what comes in.
    pub(super) fn update(&mut self, ceiling: Bitrate, arriving: Option<Bitrate>) {
        if let Some(observation) = self.open.close() {
            self.newest = (self.newest + 1) % WINDOW;
            if let Some(slot) = self.observations.get_mut(self.newest) {
                *slot = observation;
            }
            let total = observation.received + observation.lost;
            self.fraction += FRACTION_WEIGHT * (observation.lost / total - self.fraction);
            self.conclude(ceiling, arriving);
        }
        if self.limit.is_some_and(|limit| limit >= ceiling) {
            self.limit = None;
        }
    }

    /// A probe has shown that the link carries so much, loss or no loss.
    pub(super) fn on_probe(&mut self, shown: Bitrate) {
        self.limit = self.limit.map(|limit| limit.max(shown));
    }

    fn conclude(&mut self, ceiling: Bitrate, arriving: Option<Bitrate>) {
        let (lost, total) = self.weighted().fold((0.0, 0.0), |(lost, total), (weight, seen)| {
            (lost + weight * seen.lost, total + weight * (seen.lost + seen.received))
        });
        let mean = if total > 0.0 { lost / total } else { 0.0 };
        let current = self.limit.unwrap_or(ceiling).min(ceiling);
        // Step by step: what arrives of what was sent is a better guess at the link than any formula.
        let step = arriving.unwrap_or_default().scale(STEP);
        let most = self.ceiling_by_mean(mean).max(step).min(ceiling);
        if lost == 0.0 {
            self.raise(current, most);
            return;
        }
        let factors = FACTORS.iter().map(|factor| current.scale(*factor));
        let best = factors
            .chain(arriving.map(|rate| rate.scale(ARRIVING)).filter(|rate| *rate < current))
            .chain(Some(ceiling))
            .map(|rate| rate.clamp(LEAST, MOST))
            .map(|rate| (rate, self.likelihood(rate.as_f64() / 1_000.0, mean)))
            .fold(None, |best: Option<(Bitrate, f64)>, next| match best {
                Some(best) if best.1 >= next.1 => Some(best),
                Some(_) | None => Some(next),
            })
            .map_or(current, |best| best.0);
        let chosen = best.min(most).max(LEAST);
        if chosen > current {
            self.raise(current, chosen);
        } else {
            self.limit = Some(chosen);
        }
    }

    /// Upwards only by degrees: the window still remembers the loss.
    fn raise(&mut self, current: Bitrate, to: Bitrate) {
        self.limit = self.limit.map(|_| current.scale(RAISE).min(to).max(LEAST));
    }

    /// However well inherent loss explains it: nobody keeps sending much into heavy loss.
    fn ceiling_by_mean(&self, mean: f64) -> Bitrate {
        if mean <= INHERENT { MOST } else { Bitrate::from_f64(BALANCE * 1_000.0 / (mean - INHERENT)) }
    }

    /// How likely the observations are on a link of this bandwidth in kb/s, with the inherent loss that suits it best.
    fn likelihood(&self, bandwidth: f64, mean: f64) -> f64 {
        let inherent = self.inherent(bandwidth);
        let preference = preference(mean);
        let bias = preference * (BIAS * bandwidth + BIAS_LOG * bandwidth.ln_1p());
        self.weighted()
            .map(|(weight, seen)| {
                let loss = (inherent + (1.0 - inherent) * excess(bandwidth, seen.rate)).clamp(TINY, 1.0 - TINY);
                let total = seen.lost + seen.received;
                weight * (seen.lost * loss.ln() + seen.received * (1.0 - loss).ln() + bias * total)
            })
            .sum()
    }

    /// The likelihood is concave in the inherent loss, so its derivative is halved in on.
    fn inherent(&self, bandwidth: f64) -> f64 {
        let (mut low, mut high) = (TINY, (INHERENT + BALANCE / bandwidth).min(0.5));
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            let slope: f64 = self
                .weighted()
                .map(|(weight, seen)| {
                    let excess = excess(bandwidth, seen.rate);
                    let loss = (excess + (1.0 - excess) * middle).max(TINY);
                    weight * (seen.lost * (1.0 - excess) / loss - seen.received / (1.0 - middle))
                })
                .sum();
            if slope > 0.0 { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }

    /// The observations, newest first, with their weights.
    fn weighted(&self) -> impl Iterator<Item = (f64, &Observation)> {
        let (newer, older) = self.observations.split_at((self.newest + 1).min(WINDOW));
        let mut weight = 1.0 / FADE;
        newer.iter().rev().chain(older.iter().rev()).map(move |seen| {
            weight *= FADE;
            (weight, seen)
        })
    }
}

impl Open {
    fn close(&mut self) -> Option<Observation> {
        let span = self.to.saturating_sub(self.from?);
        let packets = self.received.saturating_add(self.lost);
        if span < SHORTEST || packets < FEWEST {
            return None;
        }
        let open = std::mem::take(self);
        let rate = Bitrate::of(open.bytes, Duration::from_micros(span))?.as_f64() / 1_000.0;
        Some(Observation { received: f64::from(open.received), lost: f64::from(open.lost), rate })
    }
}

/// The share of what is sent at `rate` that does not fit through `bandwidth`.
fn excess(bandwidth: f64, rate: f64) -> f64 {
    if rate > bandwidth { 1.0 - bandwidth / rate } else { 0.0 }
}

/// Among explanations equally good the higher bandwidth, while loss is bearable.
fn preference(mean: f64) -> f64 {
    let below = HEAVY - mean;
    (below / (SOFTNESS + below.abs())).max(0.0)
}

const WINDOW: usize = 20;
/// In microseconds of sending.
const SHORTEST: u64 = 250_000;
const FEWEST: u32 = 10;
const FADE: f64 = 0.9;
const FRACTION_WEIGHT: f64 = 0.3;
const FACTORS: [f64; 5] = [1.02, 1.0, 0.95, 0.85, 0.7];
const ARRIVING: f64 = 0.95;
const STEP: f64 = 0.85;
const RAISE: f64 = 1.03;
/// Loss that any link may have, with `BALANCE / bandwidth` more (kb/s) on thin ones.
const INHERENT: f64 = 0.06;
const BALANCE: f64 = 40.0;
const HEAVY: f64 = 0.15;
const SOFTNESS: f64 = 0.002;
const BIAS: f64 = 0.000_2;
const BIAS_LOG: f64 = 0.02;
const HALVINGS: usize = 10;
const TINY: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at `rate` kb/s for an observation, of which `lost` in a thousand are lost.
    fn observe(loss: &mut Loss, at: &mut u64, rate: u64, lost: u64, ceiling: u64) {
        let gap = 1_000 * 8_000 / rate;
        let mut debt = 0;
        for _ in 0..(300_000 / gap).max(12) {
            *at += gap;
            debt += lost;
            let fate = if debt >= 1_000 { Fate::Lost } else { Fate::Received };
            debt %= 1_000;
            loss.add(Sent { at: *at, size: 1_000, probe: None, fate });
        }
        let arriving = Bitrate::from_kbps(rate * (1_000 - lost) / 1_000);
        loss.update(Bitrate::from_kbps(ceiling), Some(arriving));
    }

    #[test]
    fn without_loss_there_is_no_limit() {
        let (mut loss, mut at) = (Loss::new(), 0);
        for _ in 0..40 {
            observe(&mut loss, &mut at, 2_000, 0, 3_000);
        }
        assert_eq!(loss.limit(), None);
        assert!(loss.fraction() == 0.0);
    }

    #[test]
    fn five_percent_at_any_rate_is_the_links_own() {
        let (mut loss, mut at) = (Loss::new(), 0);
        for step in 0..60 {
            observe(&mut loss, &mut at, 2_000 + step * 50, 50, 2_500 + step * 60);
        }
        assert_eq!(loss.limit(), None, "loss seen: {}", loss.fraction());
        assert!((loss.fraction() - 0.05).abs() < 0.02);
    }

    #[test]
    fn loss_that_comes_with_the_rate_shows_the_bandwidth() {
        let (mut loss, mut at) = (Loss::new(), 0);
        for _ in 0..10 {
            observe(&mut loss, &mut at, 900, 0, 3_000);
        }
        for _ in 0..10 {
            observe(&mut loss, &mut at, 1_500, 333, 3_000);
        }
        let limit = loss.limit().unwrap().bps() / 1_000;
        assert!((800..=1_150).contains(&limit), "{limit} kb/s for a link of 1,000");
    }

    #[test]
    fn half_of_everything_lost_leads_far_down() {
        let (mut loss, mut at) = (Loss::new(), 0);
        for _ in 0..40 {
            let rate = loss.limit().map_or(2_000, |limit| (limit.bps() / 1_000).max(50));
            observe(&mut loss, &mut at, rate, 500, 2_000);
        }
        assert!(loss.limit().unwrap() < Bitrate::from_kbps(300), "{:?}", loss.limit());
    }

    #[test]
    fn after_the_loss_the_limit_goes_away() {
        let (mut loss, mut at) = (Loss::new(), 0);
        for _ in 0..10 {
            observe(&mut loss, &mut at, 1_500, 333, 3_000);
        }
        assert!(loss.limit().is_some());
        for _ in 0..100 {
            observe(&mut loss, &mut at, 1_000, 0, 3_000);
        }
        assert_eq!(loss.limit(), None);
    }
}
