//! Bits per second, and the two sums done with them: how many bytes in a time, how much time for some bytes.

use std::fmt;
use std::iter::Sum;
use std::time::Duration;

/// A rate in bits per second. All arithmetic saturates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);
    /// More than any link carries.
    pub const MAX: Self = Self(u64::MAX);

    /// So many bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// So many thousand bits per second.
    #[must_use]
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps.saturating_mul(1_000))
    }

    /// The rate of `bytes` in `time`; none if no time has passed.
    #[must_use]
    pub fn of(bytes: u64, time: Duration) -> Option<Self> {
        let nanos = time.as_nanos();
        let bits = u128::from(bytes) * 8 * u128::from(NANOS);
        Some(Self(u64::try_from(bits.checked_div(nanos)?).unwrap_or(u64::MAX)))
    }

    /// In bits per second.
    #[must_use]
    pub const fn bps(self) -> u64 {
        self.0
    }

    /// This rate times a factor. A factor below zero, or not a number, gives nothing.
    #[must_use]
    pub fn scale(self, factor: f64) -> Self {
        Self::from_f64(self.as_f64() * factor)
    }

    /// How many bytes pass in `time`.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> u64 {
        let bits = u128::from(self.0).saturating_mul(time.as_nanos()) / u128::from(NANOS);
        u64::try_from(bits / 8).unwrap_or(u64::MAX)
    }

    /// How long `bytes` take. At no rate at all: an hour, which is longer than anybody waits.
    #[must_use]
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = bytes.saturating_mul(8).saturating_mul(NANOS).checked_div(self.0);
        Duration::from_nanos(nanos.unwrap_or(u64::MAX)).min(LONGEST)
    }

    /// The sum.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; nothing if `other` is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub(crate) fn as_f64(self) -> f64 {
        // A rate above 2^53 loses its last digits, which nobody misses.
        self.0 as f64
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` from a float saturates, and takes what is no number for 0"
    )]
    pub(crate) fn from_f64(bps: f64) -> Self {
        Self(bps as u64)
    }
}

impl Sum for Bitrate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kb/s", self.0 / 1_000)
    }
}

const NANOS: u64 = 1_000_000_000;
const LONGEST: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabit_is_125_000_bytes_in_a_second() {
        let rate = Bitrate::from_kbps(1_000);
        assert_eq!(rate.bytes_in(Duration::from_secs(1)), 125_000);
        assert_eq!(rate.time_for(125_000), Duration::from_secs(1));
        assert_eq!(Bitrate::of(125_000, Duration::from_secs(1)), Some(rate));
    }

    #[test]
    fn the_ends_of_the_scale_do_no_harm() {
        assert_eq!(Bitrate::of(1, Duration::ZERO), None);
        assert_eq!(Bitrate::ZERO.time_for(1), Duration::from_secs(3_600));
        assert_eq!(Bitrate::MAX.time_for(u64::MAX), Duration::from_nanos(1));
        assert_eq!(Bitrate::MAX.bytes_in(Duration::MAX), u64::MAX);
        assert_eq!(Bitrate::MAX.scale(2.0), Bitrate::MAX);
        assert_eq!(Bitrate::from_kbps(1).scale(f64::NAN), Bitrate::ZERO);
        assert_eq!(Bitrate::from_kbps(1).scale(-1.0), Bitrate::ZERO);
    }
}
