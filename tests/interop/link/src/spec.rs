//! What a direction is asked to be: `rate=300k loss=5 burst=3 delay=100ms jitter=10ms queue=50KiB`.

use std::fmt;
use std::time::Duration;

/// A direction as it is wanted. The default does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// Bits per second, IP headers counted.
    pub rate: Option<u64>,
    /// Bytes that may wait for the rate.
    pub queue: usize,
    pub delay: Duration,
    /// The delay is up to this much more or less.
    pub jitter: Duration,
    /// From 0 to 1.
    pub loss: f64,
    /// How many packets in a row are lost, in the mean.
    pub burst: f64,
}

impl Default for Spec {
    fn default() -> Self {
        Self { rate: None, queue: 64 << 10, delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0, burst: 1.0 }
    }
}

impl Spec {
    /// This one with some of it changed; `clear` is the default.
    pub fn changed(mut self, text: &str) -> Result<Self, String> {
        for word in text.split_whitespace() {
            if word == "clear" {
                self = Self::default();
                continue;
            }
            let (name, value) = word.split_once('=').ok_or_else(|| format!("expected name=value or clear, got {word}"))?;
            match name {
                "rate" if value == "off" => self.rate = None,
                "rate" => self.rate = Some(rate(value)?),
                "queue" => self.queue = bytes(value)?,
                "delay" => self.delay = duration(value)?,
                "jitter" => self.jitter = duration(value)?,
                "loss" => self.loss = percent(value)?,
                "burst" => self.burst = number(value, 1.0, 1e6)?,
                other => return Err(format!("expected rate, queue, delay, jitter, loss or burst, got {other}")),
            }
        }
        Ok(self)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(formatter, "rate={rate}")?,
            None => write!(formatter, "rate=off")?,
        }
        let Self { queue, delay, jitter, loss, burst, .. } = self;
        let (delay, jitter) = (delay.as_secs_f64() * 1e3, jitter.as_secs_f64() * 1e3);
        write!(formatter, " queue={queue} delay={delay}ms jitter={jitter}ms loss={} burst={burst}", loss * 100.0)
    }
}

fn rate(text: &str) -> Result<u64, String> {
    let rate = scaled(text, &[("k", 1e3), ("M", 1e6), ("G", 1e9), ("", 1.0)], 1e12)? as u64;
    if rate == 0 { Err("expected a rate above zero: loss=100 cuts the link".to_owned()) } else { Ok(rate) }
}

fn bytes(text: &str) -> Result<usize, String> {
    let units = [("KiB", 1024.0), ("MiB", 1024.0 * 1024.0), ("KB", 1e3), ("MB", 1e6), ("", 1.0)];
    Ok(scaled(text, &units, 1e9)? as usize)
}

fn duration(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_secs_f64(scaled(text, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)], 60.0)?))
}

fn percent(text: &str) -> Result<f64, String> {
    Ok(number(text.strip_suffix('%').unwrap_or(text), 0.0, 100.0)? / 100.0)
}

/// A number with the first unit that fits.
fn scaled(text: &str, units: &[(&str, f64)], most: f64) -> Result<f64, String> {
    let (digits, unit) = units
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits, *unit)))
        .ok_or_else(|| format!("expected a number with one of {:?}, got {text}", units.map_names()))?;
    Ok(number(digits, 0.0, most / unit)? * unit)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("expected a number, got {text:?}"))?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("expected {least} to {most}, got {number}")) }
}

trait Names {
    fn map_names(&self) -> Vec<&str>;
}

impl Names for [(&str, f64)] {
    fn map_names(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let first = Spec::default().changed("rate=1.5M queue=50KiB delay=100ms jitter=0.5s loss=5% burst=3").expect("good");
        let wanted = Spec {
            rate: Some(1_500_000),
            queue: 51_200,
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(500),
            loss: 0.05,
            burst: 3.0,
        };
        assert_eq!(first, wanted);
        assert_eq!(first.changed("rate=off loss=0.5"), Ok(Spec { rate: None, loss: 0.005, ..wanted }));
        assert_eq!(first.changed("clear queue=10"), Ok(Spec { queue: 10, ..Spec::default() }));
        assert_eq!(Spec::default().changed(&first.to_string()), Ok(first));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["rate=0", "rate=-1k", "rate", "loss=101", "loss=NaN", "delay=5", "delay=61s", "speed=1", "burst=0", "queue=1e12", "rate=x"] {
            assert!(Spec::default().changed(text).is_err(), "{text}");
        }
    }
}
