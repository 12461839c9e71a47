//! Is a queue growing on the way? The slope of the smoothed delay over the last groups, held against a threshold that
//! adapts itself (draft-ietf-rmcat-gcc-02 §5.4, §5.5, with the least-squares line that replaced its Kalman filter).

use super::groups::Variation;

/// How the link is used, as far as delay tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// Queues stay as they are.
    Normal,
    /// A queue is growing.
    Over,
    /// A queue is draining.
    Under,
}

/// The filter and the detector.
#[derive(Debug)]
pub(super) struct Trend {
    /// Arrival and smoothed delay in milliseconds, the newest at `newest`.
    points: [(f64, f64); WINDOW],
    newest: usize,
    seen: u32,
    first_arrival: Option<i64>,
    accumulated: f64,
    smoothed: f64,
    detector: Detector,
}

#[derive(Debug)]
struct Detector {
    threshold: f64,
    adapted: Option<f64>,
    /// How long the threshold has been exceeded, in milliseconds.
    exceeded: Option<f64>,
    times: u32,
    previous: f64,
    usage: Usage,
}

impl Trend {
    pub(super) fn new() -> Self {
        Self {
            points: [(0.0, 0.0); WINDOW],
            newest: 0,
            seen: 0,
            first_arrival: None,
            accumulated: 0.0,
            smoothed: 0.0,
            detector: Detector {
                threshold: THRESHOLD_FIRST,
                adapted: None,
                exceeded: None,
                times: 0,
                previous: 0.0,
                usage: Usage::Normal,
            },
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.detector.usage
    }

    pub(super) fn add(&mut self, variation: Variation) {
        let first = *self.first_arrival.get_or_insert(variation.at);
        let at = millis(variation.at.saturating_sub(first));
        let delay = millis(variation.arrived.saturating_sub(variation.sent));
        self.accumulated += delay.clamp(-FARTHEST, FARTHEST);
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.newest = (self.newest + 1) % WINDOW;
        if let Some(point) = self.points.get_mut(self.newest) {
            *point = (at, self.smoothed);
        }
        self.seen = self.seen.saturating_add(1);
        let slope = if usize::try_from(self.seen).is_ok_and(|seen| seen < WINDOW) {
            self.detector.previous
        } else {
            slope(&self.points).unwrap_or(self.detector.previous)
        };
        self.detector.judge(slope, self.seen, millis(variation.sent), at);
    }
}

impl Detector {
    fn judge(&mut self, slope: f64, seen: u32, sent: f64, at: f64) {
        let scaled = f64::from(seen.min(COUNTED)) * slope * GAIN;
        if scaled > self.threshold {
            let exceeded = self.exceeded.map_or(sent / 2.0, |time| time + sent);
            self.exceeded = Some(exceeded);
            self.times += 1;
            if exceeded > OVERUSE_TIME && self.times > 1 && slope >= self.previous {
                self.exceeded = Some(0.0);
                self.times = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.exceeded = None;
            self.times = 0;
            self.usage = if scaled < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.previous = slope;
        self.adapt(scaled.abs(), at);
    }

    /// The threshold follows the slope slowly up and faster down, so that a competing flow that fills queues does not
    /// starve this one.
    fn adapt(&mut self, scaled: f64, at: f64) {
        let before = self.adapted.replace(at).unwrap_or(at);
        if scaled > self.threshold + SPIKE {
            return;
        }
        let gain = if scaled < self.threshold { DOWN } else { UP };
        let time = (at - before).clamp(0.0, ADAPT_AT_MOST);
        self.threshold = (self.threshold + gain * (scaled - self.threshold) * time).clamp(LOWEST, HIGHEST);
    }
}

/// The slope of the least-squares line; none if all points have the same abscissa.
fn slope(points: &[(f64, f64); WINDOW]) -> Option<f64> {
    let count = f64::from(COUNT);
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
        let dx = x - mean_x;
        (over + dx * (y - mean_y), under + dx * dx)
    });
    (under > 0.0).then(|| over / under)
}

/// From microseconds. Beyond 2^53 of them precision is lost, and nothing else.
fn millis(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}

const WINDOW: usize = 20;
const COUNT: u32 = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
/// The slope counts as if it had been seen in no more groups than these.
const COUNTED: u32 = 60;
const THRESHOLD_FIRST: f64 = 12.5;
const LOWEST: f64 = 6.0;
const HIGHEST: f64 = 600.0;
const UP: f64 = 0.0087;
const DOWN: f64 = 0.039;
const SPIKE: f64 = 15.0;
const ADAPT_AT_MOST: f64 = 100.0;
const OVERUSE_TIME: f64 = 10.0;
/// No single group is believed to be off by more, in milliseconds.
const FARTHEST: f64 = 3_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(trend: &mut Trend, groups: i64, from: i64, stretch: i64) -> Vec<Usage> {
        (0..groups)
            .map(|n| {
                trend.add(Variation { sent: 20_000, arrived: 20_000 + stretch, at: from + n * (20_000 + stretch) });
                trend.usage()
            })
            .collect()
    }

    #[test]
    fn a_steady_delay_is_normal() {
        let mut trend = Trend::new();
        assert!(run(&mut trend, 500, 0, 0).iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn a_growing_queue_is_overuse_within_half_a_second() {
        let mut trend = Trend::new();
        run(&mut trend, 100, 0, 0);
        assert!(run(&mut trend, 25, 2_000_000, 4_000).contains(&Usage::Over));
    }

    #[test]
    fn a_draining_queue_is_underuse() {
        let mut trend = Trend::new();
        run(&mut trend, 100, 0, 0);
        run(&mut trend, 50, 2_000_000, 4_000);
        assert!(run(&mut trend, 60, 3_200_000, -6_000).contains(&Usage::Under));
    }

    #[test]
    fn arrivals_all_at_one_time_have_no_slope() {
        let mut trend = Trend::new();
        for _ in 0..100 {
            trend.add(Variation { sent: i64::MAX, arrived: 0, at: 5 });
        }
        assert!(trend.smoothed.is_finite());
        assert!(trend.detector.threshold.is_finite());
    }
}
