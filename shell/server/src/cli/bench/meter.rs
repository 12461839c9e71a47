//! What one client measures: messages with a number and a time in them, and what comes back.
//!
//! ```text
//!   "tdb1" | caller, 4 bytes | number, 4 bytes | nanoseconds since the start, 8 bytes | zeros
//! ```

use std::time::{Duration, Instant};

/// Loss, round trips and jitter of one client, or of all together.
#[derive(Clone, Default)]
pub struct Meter {
    pub sent: u64,
    pub received: u64,
    /// The same message once more.
    pub twice: u64,
    pub round_trips: Spread,
    /// RFC 3550 §6.4.1, in nanoseconds, over the round trip.
    jitter: f64,
    /// Each client's jitter at its end.
    jitters: Vec<f64>,
    last: Option<Duration>,
    /// One bit per message that has come back.
    seen: Vec<u64>,
}

/// Durations by size: each bucket is at most 3 % wide.
#[derive(Clone, Default)]
pub struct Spread {
    buckets: Vec<u64>,
    count: u64,
    sum: Duration,
    min: Option<Duration>,
    max: Duration,
}

/// The smallest message.
pub const LEAST: usize = 20;
const MAGIC: &[u8; 4] = b"tdb1";

/// Writes a message of this size; `number` is the caller's.
pub fn write_message(payload: &mut Vec<u8>, size: usize, (caller, number): (u32, u32), since_start: Duration) {
    payload.clear();
    payload.extend_from_slice(MAGIC);
    payload.extend_from_slice(&caller.to_be_bytes());
    payload.extend_from_slice(&number.to_be_bytes());
    payload.extend_from_slice(&u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
    payload.resize(size.max(LEAST), 0);
}

/// Reads one: the caller, its number, when it was sent. `None`: not one of ours.
fn read_message(payload: &[u8]) -> Option<(u32, u32, Duration)> {
    let (caller, rest) = payload.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (nanos, _) = rest.split_first_chunk()?;
    let sent = Duration::from_nanos(u64::from_be_bytes(*nanos));
    Some((u32::from_be_bytes(*caller), u32::from_be_bytes(*number), sent))
}

impl Meter {
    /// A payload that has come back to this caller. What is not one of its messages counts for nothing.
    pub fn on_payload(&mut self, caller: u32, payload: &[u8], since_start: Duration) {
        let Some((_, number, sent)) = read_message(payload).filter(|&(from, ..)| from == caller) else { return };
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(usize::MAX), 1_u64 << (number % 64));
        if u64::from(number) >= self.sent {
            return;
        }
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let Some(seen) = self.seen.get_mut(word) else { return };
        if *seen & bit != 0 {
            self.twice += 1;
            return;
        }
        *seen |= bit;
        self.received += 1;
        let round_trip = since_start.saturating_sub(sent);
        self.round_trips.add(round_trip);
        if let Some(last) = self.last.replace(round_trip) {
            self.jitter += (round_trip.abs_diff(last).as_secs_f64() * 1e9 - self.jitter) / 16.0;
        }
    }

    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Takes in what another client has measured.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.twice += other.twice;
        self.round_trips.merge(&other.round_trips);
        self.jitters.push(other.jitter);
    }

    /// The mean of the clients' jitter.
    pub fn mean_jitter(&self) -> Duration {
        let count = u32::try_from(self.jitters.len().max(1)).unwrap_or(u32::MAX);
        Duration::from_secs_f64(self.jitters.iter().sum::<f64>() / f64::from(count) / 1e9)
    }
}

impl Spread {
    pub fn add(&mut self, duration: Duration) {
        let bucket = bucket(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum += duration;
        self.min = Some(self.min.map_or(duration, |min| min.min(duration)));
        self.max = self.max.max(duration);
    }

    /// Takes in another one.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.min = [self.min, other.min].into_iter().flatten().min();
        self.max = self.max.max(other.max);
    }

    pub fn min(&self) -> Duration {
        self.min.unwrap_or_default()
    }

    pub fn max(&self) -> Duration {
        self.max
    }

    pub fn mean(&self) -> Duration {
        u32::try_from(self.count.max(1)).map_or(Duration::ZERO, |count| self.sum / count)
    }

    /// The duration that `percent` of all do not exceed, to within a bucket.
    pub fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count * percent).div_ceil(100);
        let mut passed = 0;
        let found = self.buckets.iter().position(|count| {
            passed += count;
            passed >= wanted && passed > 0
        });
        found.map_or(Duration::ZERO, |bucket| Duration::from_micros(upper(bucket)).clamp(self.min(), self.max))
    }
}

/// Up to 64 µs one bucket each; then 32 for every doubling.
fn bucket(micros: u64) -> usize {
    let shift = u64::from(micros.checked_ilog2().unwrap_or(0).saturating_sub(5));
    usize::try_from(shift * 32 + (micros >> shift)).unwrap_or(usize::MAX)
}

/// The largest value in a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let shift = (bucket / 32).saturating_sub(1);
    ((bucket - shift * 32 + 1) << shift) - 1
}

/// The time since `start`.
pub fn since(start: Instant) -> Duration {
    Instant::now().saturating_duration_since(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn message(caller: u32, number: u32, sent: Duration) -> Vec<u8> {
        let mut payload = Vec::new();
        write_message(&mut payload, 100, (caller, number), sent);
        payload
    }

    #[test]
    fn what_comes_back_is_counted_once_and_what_was_never_sent_not_at_all() {
        let mut meter = Meter { sent: 3, ..Meter::default() };
        meter.on_payload(7, &message(7, 0, MS), 3 * MS);
        meter.on_payload(7, &message(7, 2, 2 * MS), 8 * MS);
        meter.on_payload(7, &message(7, 2, 2 * MS), 9 * MS);
        for noise in [message(8, 1, MS), message(7, 3, MS), b"tdb1".to_vec(), Vec::new()] {
            meter.on_payload(7, &noise, 9 * MS);
        }
        assert_eq!((meter.received, meter.twice, meter.lost()), (2, 1, 1));
        assert_eq!(
            (meter.round_trips.min(), meter.round_trips.mean(), meter.round_trips.max()),
            (2 * MS, 4 * MS, 6 * MS)
        );
        // One step of 4 ms: RFC 3550 takes a sixteenth of it.
        let mut all = Meter::default();
        all.merge(&meter);
        assert_eq!(all.mean_jitter(), MS / 4);
    }

    #[test]
    fn percentiles_are_within_three_percent() {
        let mut spread = Spread::default();
        assert_eq!(spread.percentile(95), Duration::ZERO);
        for micros in 1..=100_000 {
            spread.add(Duration::from_micros(micros));
        }
        for percent in [1, 50, 95, 99] {
            let (got, exact) = (spread.percentile(percent).as_micros(), u128::from(percent) * 1_000);
            assert!(got >= exact && got <= exact + exact / 30 + 1, "{percent}: {got}");
        }
        assert_eq!(spread.percentile(100), Duration::from_millis(100));
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let mut last = 0;
        for micros in 0..1_000_000 {
            let bucket = bucket(micros);
            assert!(bucket == last || bucket == last + 1, "{micros}");
            assert!(upper(bucket) >= micros, "{micros}");
            last = bucket;
        }
        assert!(bucket(u64::MAX) < 2_000);
    }
}
