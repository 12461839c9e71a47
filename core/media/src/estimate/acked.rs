//! How much arrives: the rate at which acknowledged packets were sent, and the rate at which they came in.

use std::collections::VecDeque;
use std::time::Duration;

use super::Bitrate;

/// The packets that arrived last, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    packets: VecDeque<Packet>,
}

/// Both ends of the same packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throughput {
    pub(super) sent: Bitrate,
    pub(super) received: Bitrate,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    sent: u64,
    arrival: i64,
    size: u64,
}

impl Throughput {
    /// A queue let go at once arrives faster than the link is; what was sent slowly says nothing of the link.
    pub(super) fn lower(self) -> Bitrate {
        self.sent.min(self.received)
    }

    /// Less came out than went in: the link was the limit, whatever the sender's wishes.
    pub(super) fn limited_by_link(self) -> bool {
        self.received < self.sent.scale(DELIVERED)
    }
}

impl Acknowledged {
    pub(super) fn add(&mut self, sent: u64, arrival: i64, size: u64) {
        if self.packets.back().is_some_and(|last| last.arrival.abs_diff(arrival) > FORGET) {
            self.packets.clear();
        }
        let mut index = self.packets.len();
        // Reordering is short; a peer that turns everything round is not followed for long.
        for _ in 0..REORDERED {
            match index.checked_sub(1).and_then(|before| self.packets.get(before)) {
                Some(before) if before.arrival > arrival => index -= 1,
                Some(_) | None => break,
            }
        }
        self.packets.insert(index, Packet { sent, arrival, size });
        while self.too_many() {
            self.packets.pop_front();
        }
    }

    pub(super) fn throughput(&self) -> Option<Throughput> {
        let (first, last) = (self.packets.front()?, self.packets.back()?);
        if self.packets.len() < FEWEST {
            return None;
        }
        let size: u64 = self.packets.iter().map(|packet| packet.size).sum();
        let (mut from, mut to, mut largest, mut second, mut before) = (u64::MAX, 0, 0, 0, first.arrival);
        for packet in &self.packets {
            from = from.min(packet.sent);
            to = to.max(packet.sent);
            let gap = packet.arrival.saturating_sub(before);
            before = packet.arrival;
            if gap > largest {
                second = largest;
                largest = gap;
            } else {
                second = second.max(gap);
            }
        }
        // An outage is no low rate: its gap counts like the next longest.
        let span = last.arrival.saturating_sub(first.arrival).saturating_sub(largest).saturating_add(second);
        let received = Bitrate::of(size.saturating_sub(first.size), Duration::from_micros(u64::try_from(span).ok()?))?;
        let sent = Bitrate::of(size.saturating_sub(last.size), Duration::from_micros(to.saturating_sub(from)))?;
        Some(Throughput { sent, received })
    }

    fn too_many(&self) -> bool {
        let (Some(first), Some(last)) = (self.packets.front(), self.packets.back()) else { return false };
        let span = last.arrival.abs_diff(first.arrival);
        let count = self.packets.len();
        count > MOST || span > LONGEST || (count > ENOUGH && span > WINDOW)
    }
}

const FEWEST: usize = 10;
const ENOUGH: usize = 20;
const MOST: usize = 512;
const WINDOW: u64 = 500_000;
const LONGEST: u64 = 2_000_000;
const FORGET: u64 = 5_000_000;
const REORDERED: usize = 32;
const DELIVERED: f64 = 0.92;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabit_sent_and_half_of_it_received() {
        let mut acked = Acknowledged::default();
        for n in 0..400_u64 {
            acked.add(n * 8_000, i64::try_from(n).unwrap() * 16_000, 1_000);
        }
        let seen = acked.throughput().unwrap();
        assert_eq!(seen.sent, Bitrate::from_kbps(1_000));
        assert_eq!(seen.received, Bitrate::from_kbps(500));
        assert!(seen.limited_by_link());
    }

    #[test]
    fn what_an_outage_held_back_and_let_go_is_not_faster_than_it_was_sent() {
        let mut acked = Acknowledged::default();
        for n in 0..100_u64 {
            acked.add(n * 10_000, 5_000_000 + i64::try_from(n).unwrap() * 100, 1_250);
        }
        assert_eq!(acked.throughput().unwrap().lower(), Bitrate::from_kbps(1_000));
    }

    #[test]
    fn nonsense_is_bounded() {
        let mut acked = Acknowledged::default();
        for n in 0..10_000_u64 {
            let arrival = if n % 2 == 0 { i64::MAX } else { i64::MIN };
            acked.add(u64::MAX - n, arrival, u64::from(u16::MAX));
            acked.add(n, 0 - i64::try_from(n).unwrap(), 0);
            acked.throughput();
        }
        assert!(acked.packets.len() <= MOST);
    }
}
