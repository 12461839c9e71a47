//! How well a stream comes in: loss and jitter as receiver reports tell them (RFC 3550 §6.4.1, A.3, A.8).

use std::time::{Duration, Instant};

use tandem_rtp::{Extended, SeqNo, Timestamp};

/// Of one stream.
#[derive(Debug)]
pub(crate) struct Reception {
    clock: u32,
    extended: Extended,
    first: Option<SeqNo>,
    received: u64,
    /// Interarrival jitter in ticks, times 16 (A.8).
    jitter: u64,
    /// When the last packet came, and its time.
    last: Option<(Instant, Timestamp)>,
    /// As of the last report: how many were expected and how many had come.
    reported: (u64, u64),
    /// The last sender report: the middle of its NTP time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

/// What one report block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quality {
    /// Of the packets since the last report, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Since the beginning; 24 bits, and never below zero here.
    pub(crate) lost: u32,
    /// The highest number that has come, with the count of its wraps above it.
    pub(crate) highest: u32,
    /// In ticks.
    pub(crate) jitter: u32,
    /// The middle 32 bits of the NTP time of the last sender report, or zero.
    pub(crate) last_report: u32,
    /// Since then, in 65536ths of a second.
    pub(crate) delay: u32,
}

impl Reception {
    pub(crate) fn new(clock: u32) -> Self {
        Self {
            clock,
            extended: Extended::default(),
            first: None,
            received: 0,
            jitter: 0,
            last: None,
            reported: (0, 0),
            sender_report: None,
        }
    }

    /// A packet has come. Its number, extended.
    pub(crate) fn on_packet(&mut self, now: Instant, wire: u16, timestamp: Timestamp) -> SeqNo {
        let before = self.extended.highest();
        let seq = self.extended.extend(wire);
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
        self.received += 1;
        // What was overtaken or sent again says nothing about the way.
        if before.is_none_or(|before| seq > before) {
            if let Some((came, last)) = self.last {
                let ticks = ticks(now.saturating_duration_since(came), self.clock);
                let apart = ticks.abs_diff(i64::from(timestamp.since(last)));
                // A.8: J += (|D| - J) / 16, in sixteenths.
                let apart = apart.min(u64::from(u32::MAX >> 4));
                self.jitter = self.jitter + apart - ((self.jitter + 8) >> 4);
            }
            self.last = Some((now, timestamp));
        }
        seq
    }

    /// The sender has told its time.
    pub(crate) fn on_sender_report(&mut self, now: Instant, ntp_middle: u32) {
        self.sender_report = Some((ntp_middle, now));
    }

    /// What to report; another call counts from here. `None`: nothing has come yet.
    pub(crate) fn report(&mut self, now: Instant) -> Option<Quality> {
        let (first, highest) = (self.first?, self.extended.highest()?);
        let expected = highest.0 - first.0 + 1;
        let (expected_before, received_before) = std::mem::replace(&mut self.reported, (expected, self.received));
        let (expected_since, received_since) =
            (expected - expected_before.min(expected), self.received - received_before);
        // Packets that came twice can make this negative: then nothing is lost.
        let lost_since = expected_since.saturating_sub(received_since);
        let fraction = (lost_since << 8).checked_div(expected_since).unwrap_or(0);
        let (last_report, delay) = self.sender_report.map_or((0, 0), |(middle, came)| {
            let since = now.saturating_duration_since(came).as_micros() * 65_536 / 1_000_000;
            (middle, u32::try_from(since).unwrap_or(u32::MAX))
        });
        Some(Quality {
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: u32::try_from(expected.saturating_sub(self.received)).unwrap_or(u32::MAX).min(0x7f_ffff),
            // One turn is added to every number, so that what came before the first has a place.
            highest: u32::try_from((highest.0 - 0x1_0000.min(highest.0)) & 0xffff_ffff).unwrap_or_default(),
            jitter: u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX),
            last_report,
            delay,
        })
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

fn ticks(time: Duration, clock: u32) -> i64 {
    i64::try_from(time.as_micros() * u128::from(clock) / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
    fn some_instant() -> Instant {
        Instant::now()
    }

    const CLOCK: u32 = 48_000;

    /// Each number 20 ms after the one before.
    fn feed(reception: &mut Reception, now: Instant, numbers: impl IntoIterator<Item = u16>) {
        for number in numbers {
            let at = now + Duration::from_millis(20 * u64::from(number));
            reception.on_packet(at, number, Timestamp(960 * u32::from(number)));
        }
    }

    #[test]
    fn loss_is_told_in_256ths_since_the_last_report() {
        let (mut reception, now) = (Reception::new(CLOCK), some_instant());
        assert_eq!(reception.report(now), None);
        feed(&mut reception, now, (0..100).filter(|number| number % 4 != 1));
        let quality = reception.report(now).expect("one");
        assert_eq!((quality.fraction_lost, quality.lost, quality.highest), (64, 25, 99));
        feed(&mut reception, now, 100..200);
        let quality = reception.report(now).expect("one");
        assert_eq!((quality.fraction_lost, quality.lost, quality.highest), (0, 25, 199));
    }

    #[test]
    fn packets_that_come_twice_are_no_negative_loss() {
        let (mut reception, now) = (Reception::new(CLOCK), some_instant());
        feed(&mut reception, now, [0, 1, 1, 1, 2]);
        let quality = reception.report(now).expect("one");
        assert_eq!((quality.fraction_lost, quality.lost), (0, 0));
    }

    #[test]
    fn an_even_stream_has_no_jitter_and_an_uneven_one_has_its_own() {
        let (mut reception, now) = (Reception::new(CLOCK), some_instant());
        feed(&mut reception, now, 0..200);
        assert_eq!(reception.report(now).expect("one").jitter, 0);
        for number in 200..1_000_u16 {
            let late = if number % 2 == 0 { 10 } else { 0 };
            let at = now + Duration::from_millis(20 * u64::from(number) + late);
            reception.on_packet(at, number, Timestamp(960 * u32::from(number)));
        }
        // 10 ms are 480 ticks, to and fro.
        let jitter = reception.report(now).expect("one").jitter;
        assert!((460..=480).contains(&jitter), "{jitter}");
    }

    #[test]
    fn numbers_that_wrap_count_on() {
        let (mut reception, now) = (Reception::new(CLOCK), some_instant());
        for number in (65_500..=65_535).chain(0..10) {
            reception.on_packet(now, number, Timestamp(0));
        }
        assert_eq!(reception.report(now).expect("one").highest, 0x1_0009);
    }

    #[test]
    fn the_time_since_a_sender_report_is_told() {
        let (mut reception, now) = (Reception::new(CLOCK), some_instant());
        reception.on_packet(now, 1, Timestamp(0));
        reception.on_sender_report(now, 0x1234_5678);
        let quality = reception.report(now + Duration::from_millis(500)).expect("one");
        assert_eq!((quality.last_report, quality.delay), (0x1234_5678, 32_768));
    }

    #[test]
    fn times_that_lie_do_no_harm() {
        let (mut reception, now) = (Reception::new(CLOCK), some_instant());
        for number in 0..1_000_u16 {
            reception.on_packet(now, number.wrapping_mul(12_345), Timestamp(u32::from(number) << 21));
        }
        assert!(reception.report(now).is_some());
    }
}
