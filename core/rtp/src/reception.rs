//! How a stream arrives: what a receiver reports of it (RFC 3550 §6.4.1, §A.1, §A.3, §A.8), and what a sender learns from that.

use std::time::{Duration, Instant};

use crate::numbers::{SeqNo, Ssrc, Timestamp};
use crate::rtcp::ReportBlock;

/// Follows one stream.
#[derive(Clone, Debug)]
pub struct Reception {
    clock_rate: u32,
    run: Option<Run>,
    /// The number that a sender which has begun anew would use next.
    suspect: Option<u16>,
    last_sender_report: Option<(u32, Instant)>,
}

/// Since the sender began.
#[derive(Clone, Debug)]
struct Run {
    since: Instant,
    first: SeqNo,
    highest: SeqNo,
    received: u64,
    /// Expected and received at the last report.
    reported: (u64, u64),
    /// Of the last packet: arrival minus timestamp, in ticks.
    transit: u32,
    /// Sixteen times the jitter.
    jitter: u64,
}

impl Reception {
    /// Of a stream with so many ticks a second.
    pub const fn new(clock_rate: u32) -> Self {
        Self { clock_rate, run: None, suspect: None, last_sender_report: None }
    }

    /// A packet has come, retransmissions left aside; says whether it is one of the stream and not, as it may be, one of a
    /// sender that has begun anew: the second in order of those is.
    pub fn handle_packet(&mut self, now: Instant, sequence: u16, timestamp: Timestamp) -> bool {
        let Some(run) = &mut self.run else {
            self.begin(now, sequence, timestamp);
            return true;
        };
        let step = sequence.wrapping_sub(run.highest.wire());
        if (MAX_DROPOUT..=u16::MAX - MAX_MISORDER).contains(&step) {
            // §A.1: a very large jump.
            let is_second = self.suspect == Some(sequence);
            self.suspect = Some(sequence.wrapping_add(1));
            if is_second {
                self.begin(now, sequence, timestamp);
            }
            return is_second;
        }
        self.suspect = None;
        run.received += 1;
        run.highest = run.highest.max(run.highest.near(sequence));
        // §A.8: in packets of one time, only the first would tell something; all are counted, as the RFC has it.
        let transit = ticks(now.saturating_duration_since(run.since), self.clock_rate).wrapping_sub(timestamp.0);
        let difference = u64::from(transit.wrapping_sub(run.transit).cast_signed().unsigned_abs());
        run.transit = transit;
        run.jitter = (run.jitter + difference).saturating_sub((run.jitter + 8) >> 4);
        true
    }

    /// A sender report has come; the next reports echo the middle of its time.
    pub const fn handle_sender_report(&mut self, now: Instant, ntp: u64) {
        self.last_sender_report = Some((middle(ntp), now));
    }

    /// What is to be reported; nothing before the first packet. The next report tells of losses from here on.
    pub fn report(&mut self, now: Instant, ssrc: Ssrc) -> Option<ReportBlock> {
        let run = self.run.as_mut()?;
        let expected = run.highest.0 - run.first.0 + 1;
        let (newly_expected, newly_received) = (expected - run.reported.0, run.received - run.reported.1);
        run.reported = (expected, run.received);
        let newly_lost = newly_expected.saturating_sub(newly_received);
        let fraction = (newly_lost << 8).checked_div(newly_expected).unwrap_or(0);
        let lost = i64::try_from(expected).unwrap_or(i64::MAX) - i64::try_from(run.received).unwrap_or(i64::MAX);
        let (last_sender_report, delay) = self.last_sender_report.map_or((0, 0), |(middle, at)| {
            (middle, u32::try_from(short(now.saturating_duration_since(at))).unwrap_or(u32::MAX))
        });
        Some(ReportBlock {
            ssrc: ssrc.0,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: i32::try_from(lost.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0),
            // The first wrap is counted as one, whatever `SeqNo` leaves room for.
            highest: low_32(run.highest.0 - SeqNo::first(0).0),
            jitter: low_32(run.jitter >> 4),
            last_sender_report,
            delay,
        })
    }

    /// Packets that have come since the sender began.
    pub fn received(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.received)
    }

    fn begin(&mut self, now: Instant, sequence: u16, timestamp: Timestamp) {
        let first = SeqNo::first(sequence);
        self.suspect = None;
        self.run = Some(Run {
            since: now,
            first,
            highest: first,
            received: 1,
            reported: (0, 0),
            transit: 0_u32.wrapping_sub(timestamp.0),
            jitter: 0,
        });
    }
}

/// A time since 1970 as an NTP timestamp: seconds since 1900 in 32.32 fixed point (RFC 3550 §4).
pub fn ntp(since_1970: Duration) -> u64 {
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    since_1970.as_secs().wrapping_add(SECONDS_TO_1970) << 32 | fraction
}

/// The middle 32 bits of an NTP timestamp, which are what is echoed.
pub const fn middle(ntp: u64) -> u32 {
    let [_, _, a, b, c, d, _, _] = ntp.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The time there and back (RFC 3550 §6.4.1): from the middle of the time at which the echo came, what it echoes, and how
/// long the other end kept it; the same fields are in DLRR blocks (RFC 3611 §4.5). Nothing if there was nothing to echo, or
/// the clocks make it negative or longer than a minute.
pub fn round_trip(now: u32, echoed: u32, delay: u32) -> Option<Duration> {
    if echoed == 0 {
        return None;
    }
    let units = now.wrapping_sub(echoed).wrapping_sub(delay);
    let nanos = (u64::from(units) * 1_000_000_000) >> 16;
    Some(Duration::from_nanos(nanos)).filter(|&time| time <= LONGEST)
}

fn ticks(time: Duration, rate: u32) -> u32 {
    let whole = u128::from(rate) * time.as_nanos() / 1_000_000_000;
    // Timestamps wrap.
    u32::try_from(whole & u128::from(u32::MAX)).unwrap_or(0)
}

/// In 1/65,536 s.
const fn short(time: Duration) -> u128 {
    (time.as_nanos() << 16) / 1_000_000_000
}

fn low_32(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// From 1900 to 1970.
const SECONDS_TO_1970: u64 = 2_208_988_800;
const LONGEST: Duration = Duration::from_secs(60);
/// §A.1: so many packets may be lost in a row.
const MAX_DROPOUT: u16 = 3_000;
/// §A.1: so many may be overtaken by one.
const MAX_MISORDER: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SSRC: Ssrc = Ssrc(7);

    #[allow(clippy::disallowed_methods, reason = "some instant to begin with")]
    fn begin() -> (Reception, Instant) {
        (Reception::new(8_000), Instant::now())
    }

    #[test]
    fn losses_are_told_since_the_last_report_and_in_all() {
        let (mut reception, now) = begin();
        assert_eq!(reception.report(now, SSRC), None);
        for sequence in [65_530, 65_531, 65_533, 65_535, 0, 1] {
            assert!(reception.handle_packet(now, sequence, Timestamp(0)));
        }
        let report = reception.report(now, SSRC).unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost, report.highest), (64, 2, 0x1_0001));
        assert!(reception.handle_packet(now, 65_532, Timestamp(0)), "late");
        let report = reception.report(now, SSRC).unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 1));
        (0..3).for_each(|_| assert!(reception.handle_packet(now, 1, Timestamp(0))));
        assert_eq!(reception.report(now, SSRC).unwrap().cumulative_lost, -2, "repeated");
    }

    /// §A.8: each packet 10 ms later than its timestamp says than the one before was, by turns.
    #[test]
    fn jitter_nears_the_mean_difference() {
        let (mut reception, now) = begin();
        for step in 0..200_u16 {
            let late = if step % 2 == 0 { 0 } else { 10 };
            let at = now + (u32::from(step) * 20 + late) * MS;
            reception.handle_packet(at, step, Timestamp(u32::MAX - 500).plus(u32::from(step) * 160));
        }
        let jitter = reception.report(now, SSRC).unwrap().jitter;
        assert!((78..=80).contains(&jitter), "10 ms are 80 ticks: {jitter}");
    }

    #[test]
    fn a_sender_that_begins_anew_is_followed_at_its_second_packet() {
        let (mut reception, now) = begin();
        reception.handle_packet(now, 10_000, Timestamp(0));
        assert!(!reception.handle_packet(now, 50, Timestamp(0)));
        assert!(reception.handle_packet(now, 10_001, Timestamp(0)), "a stray packet changes nothing");
        assert!(!reception.handle_packet(now, 51, Timestamp(0)) && !reception.handle_packet(now, 60, Timestamp(0)));
        assert!(reception.handle_packet(now, 61, Timestamp(0)));
        assert_eq!(reception.report(now, SSRC).map(|report| (report.highest, report.cumulative_lost)), Some((61, 0)));
        assert_eq!(reception.received(), 1);
    }

    /// RFC 3550 §6.4.1, figure 2: 6.125 s there and back.
    #[test]
    fn the_echo_of_a_report_gives_the_round_trip() {
        let (sent, now) = (0xb44d_b705_2000_0000, 0xb710_8000);
        assert_eq!(middle(sent), 0xb705_2000);
        assert_eq!(round_trip(now, middle(sent), 0x0005_4000), Some(Duration::from_millis(6_125)));
        assert_eq!((round_trip(now, 0, 0), round_trip(now, now, 1)), (None, None));
        let (mut reception, now) = begin();
        reception.handle_packet(now, 1, Timestamp(0));
        reception.handle_sender_report(now, sent);
        let report = reception.report(now + 5_250 * MS, SSRC).unwrap();
        assert_eq!((report.last_sender_report, report.delay), (0xb705_2000, 0x0005_4000));
    }

    #[test]
    fn ntp_counts_from_1900_in_halves_and_quarters() {
        assert_eq!(ntp(Duration::from_millis(1_500)), (2_208_988_801 << 32) + (1 << 31));
    }
}
