//! One stream for a subscriber out of several of a publisher: numbers and times go on as if nothing had been left out.

use std::collections::VecDeque;
use std::time::Duration;

use tandem_rtp::{SeqNo, Timestamp};

use crate::store::low;

/// Which packet of which stream a subscriber knows under a number, and what else it was told with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent<T> {
    /// The stream's place among the track's.
    pub(crate) stream: u8,
    /// Its number there.
    pub(crate) seq: SeqNo,
    pub(crate) kept: T,
}

/// Gives packets the numbers a subscriber sees (RFC 3550 §5.1): without gaps for what is left out on purpose, with gaps for
/// what is lost. The pictures of VP8 and VP9 are numbered in the same way.
#[derive(Debug)]
pub(crate) struct Renumber<T> {
    /// The highest that was given.
    highest: SeqNo,
    /// Which stream is being passed on, and since which of its packets.
    span: Option<Span>,
    /// What was given lately, by the low bits of the number; so many of them.
    given: Vec<Given<T>>,
    keeps: usize,
}

/// As small as it can be: each slot of a subscriber has hundreds, and each packet comes upon one that no cache has.
#[derive(Clone, Copy, Debug)]
struct Given<T> {
    /// Its stream's number for it, and below that the stream's place.
    packet: u64,
    /// The low bits of the number it was given; there are far fewer of them at a time.
    number: u32,
    kept: T,
}

#[derive(Debug)]
struct Span {
    stream: u8,
    first: SeqNo,
    highest: SeqNo,
    /// Added to the stream's numbers, from these on.
    offset: (SeqNo, i64),
    /// Those before it; the oldest come first.
    earlier: VecDeque<(SeqNo, i64)>,
}

impl<T: Copy> Renumber<T> {
    /// `first` is the number before the first that will be given; so many are remembered.
    pub(crate) fn new(first: u16, keeps: usize) -> Self {
        Self { highest: SeqNo::first(first), span: None, given: Vec::new(), keeps }
    }

    /// The number under which a packet is passed on, always the same for the same packet. `None`: it belongs to a stream that
    /// is left already, or came too late to have one.
    pub(crate) fn pass(&mut self, stream: u8, seq: SeqNo, kept: T) -> Option<SeqNo> {
        let span = match &mut self.span {
            Some(span) if span.stream == stream => span,
            _ => {
                let offset = signed(self.highest.next()) - signed(seq);
                let (offset, earlier) = ((seq, offset), VecDeque::new());
                self.span.insert(Span { stream, first: seq, highest: seq, offset, earlier })
            }
        };
        if seq < span.first {
            return None;
        }
        let offset = span.offset_at(seq)?;
        let number = SeqNo(u64::try_from(signed(seq) + offset).ok()?);
        let given = Given { packet: pack(stream, seq), number: low(number.0), kept };
        if self.given.len() < self.keeps {
            self.given.resize(self.keeps, Given { packet: NONE, ..given });
        }
        // Written and not read: nobody waits for memory that no cache has.
        self.given.get_mut(slot(number, self.keeps)).into_iter().for_each(|place| *place = given);
        span.highest = span.highest.max(seq);
        self.highest = self.highest.max(number);
        Some(number)
    }

    /// From here on twice as many are remembered, those of now as well. Powers of two only.
    pub(crate) fn keep_more(&mut self) {
        self.keeps *= 2;
        let Some(&first) = self.given.first() else { return };
        let before = std::mem::replace(&mut self.given, vec![Given { packet: NONE, ..first }; self.keeps]);
        for given in before.into_iter().filter(|given| given.packet != NONE) {
            let slot = slot(SeqNo(given.number.into()), self.keeps);
            self.given.get_mut(slot).into_iter().for_each(|place| *place = given);
        }
    }

    /// So many are remembered, and whether what is remembered next takes the first place of them.
    pub(crate) fn turn(&self) -> (usize, bool) {
        (self.keeps, slot(self.highest.next(), self.keeps) == 0)
    }

    /// A packet of the current stream is left out on purpose: those after it close up.
    pub(crate) fn skip(&mut self, stream: u8, seq: SeqNo) {
        let Some(span) = self.span.as_mut().filter(|span| span.stream == stream && seq > span.highest) else { return };
        span.highest = seq;
        span.shift(seq.next(), -1);
    }

    /// What the subscriber got under a number.
    pub(crate) fn find(&self, wire: u16) -> Option<Sent<T>> {
        let number = self.highest.near(wire);
        let found = self.given.get(slot(number, self.keeps)).filter(|given| given.packet != NONE);
        let Given { packet, kept, .. } = *found.filter(|given| given.number == low(number.0))?;
        let [.., stream] = packet.to_be_bytes();
        Some(Sent { stream, seq: SeqNo(packet >> u8::BITS), kept })
    }

    /// The next packet begins anew: after the last number, whatever stream it is of.
    pub(crate) fn leave(&mut self) {
        self.span = None;
    }

    /// The highest number that was given.
    pub(crate) fn highest(&self) -> SeqNo {
        self.highest
    }
}

impl Span {
    /// Numbers from here on are so much higher.
    fn shift(&mut self, from: SeqNo, by: i64) {
        let last = self.offset;
        self.offset = (from, last.1 + by);
        // Otherwise nothing had it yet.
        if last.0.next() != from && last.0 != from {
            self.earlier.push_back(last);
        }
        if self.earlier.len() > OFFSETS {
            self.earlier.pop_front();
            self.first = self.earlier.front().map_or(self.first, |(from, _)| *from);
        }
    }

    /// `None`: it was left out, and its number went to the one after it.
    fn offset_at(&self, seq: SeqNo) -> Option<i64> {
        let mut later: Option<(SeqNo, i64)> = None;
        for &(from, offset) in std::iter::once(&self.offset).chain(self.earlier.iter().rev()) {
            if from <= seq {
                // Those that were left out come right before the numbers that are lower for it.
                let left_out = |(next, after): (SeqNo, i64)| signed(seq) + offset - after >= signed(next);
                return Some(offset).filter(|_| !later.is_some_and(left_out));
            }
            later = Some((from, offset));
        }
        None
    }
}

fn signed(seq: SeqNo) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// What `Given` calls a packet: there are no 2^56 in any stream.
fn pack(stream: u8, seq: SeqNo) -> u64 {
    seq.0 << u8::BITS | u64::from(stream)
}

fn slot(number: SeqNo, keeps: usize) -> usize {
    usize::try_from(number.0 % keeps.max(1) as u64).unwrap_or_default()
}

/// As often as something may be left out before packets that come later still find their place.
const OFFSETS: usize = 64;
/// No packet.
const NONE: u64 = u64::MAX;

/// Gives packets the times a subscriber sees.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retime {
    offset: u32,
    /// The newest that was given.
    last: Option<Timestamp>,
}

impl Retime {
    pub(crate) fn pass(&mut self, timestamp: Timestamp) -> Timestamp {
        let out = timestamp.plus(self.offset);
        if self.last.is_none_or(|last| out.is_after(last)) {
            self.last = Some(out);
        }
        out
    }

    pub(crate) fn newest(self) -> Timestamp {
        self.last.unwrap_or(Timestamp(0))
    }

    /// What a time of the current stream is to the subscriber.
    pub(crate) fn of(self, timestamp: Timestamp) -> Timestamp {
        timestamp.plus(self.offset)
    }

    /// From here on times are those of another stream, whose first packet was captured so long after the last one.
    pub(crate) fn switch(&mut self, first: Timestamp, later: Duration, clock: u32) {
        let Some(last) = self.last else { return };
        let ticks = later.as_nanos() * u128::from(clock) / 1_000_000_000;
        // Never the same as before, or before it: both would be one frame.
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX / 4).clamp(1, u32::MAX / 4);
        self.offset = last.plus(ticks).0.wrapping_sub(first.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(renumber: &mut Renumber<()>, layer: u8, seqs: &[u64]) -> Vec<Option<u64>> {
        seqs.iter().map(|&seq| renumber.pass(layer, SeqNo(seq), ()).map(|number| number.0 - 0x1_0000)).collect()
    }

    #[test]
    fn numbers_go_on_from_the_first_and_gaps_of_loss_stay() {
        let mut renumber = Renumber::new(99, 1_024);
        assert_eq!(numbers(&mut renumber, 0, &[500, 501, 504, 503]), [Some(100), Some(101), Some(104), Some(103)]);
        assert_eq!(renumber.find(103), Some(Sent { kept: (), stream: 0, seq: SeqNo(503) }));
        assert_eq!((renumber.find(102), renumber.find(105)), (None, None));
    }

    #[test]
    fn what_is_left_out_leaves_no_gap() {
        let mut renumber = Renumber::new(0, 1_024);
        assert_eq!(numbers(&mut renumber, 0, &[10, 11]), [Some(1), Some(2)]);
        renumber.skip(0, SeqNo(12));
        renumber.skip(0, SeqNo(13));
        assert_eq!(numbers(&mut renumber, 0, &[14]), [Some(3)]);
        renumber.skip(0, SeqNo(15));
        // 16 is lost and 17 comes first: 16 keeps its place.
        assert_eq!(numbers(&mut renumber, 0, &[17, 16]), [Some(5), Some(4)]);
    }

    #[test]
    fn what_comes_late_finds_the_place_it_would_have_had() {
        let mut renumber = Renumber::new(0, 1_024);
        assert_eq!(numbers(&mut renumber, 0, &[10]), [Some(1)]);
        // 11 is on its way, 12 is left out.
        renumber.skip(0, SeqNo(12));
        assert_eq!(numbers(&mut renumber, 0, &[13, 11]), [Some(3), Some(2)]);
        // 12 itself would take the place of another, and so would any of several.
        assert_eq!(numbers(&mut renumber, 0, &[12]), [None]);
        (14..=16).for_each(|seq| renumber.skip(0, SeqNo(seq)));
        assert_eq!(numbers(&mut renumber, 0, &[19]), [Some(6)]);
        assert_eq!(numbers(&mut renumber, 0, &[14, 15, 16, 17, 18]), [None, None, None, Some(4), Some(5)]);
        assert_eq!(numbers(&mut renumber, 0, &[10, 11, 13]), [Some(1), Some(2), Some(3)], "always the same");
    }

    #[test]
    fn another_layer_goes_on_where_the_last_one_ended() {
        let mut renumber = Renumber::new(0xfffe, 1_024);
        assert_eq!(numbers(&mut renumber, 0, &[10, 11]), [Some(0xffff), Some(0x1_0000)]);
        assert_eq!(numbers(&mut renumber, 2, &[70_000, 70_001]), [Some(0x1_0001), Some(0x1_0002)]);
        assert_eq!(renumber.find(1), Some(Sent { kept: (), stream: 2, seq: SeqNo(70_000) }));
        // Before the switch.
        assert_eq!(numbers(&mut renumber, 2, &[69_999]), [None]);
        assert_eq!(renumber.find(0xffff), Some(Sent { kept: (), stream: 0, seq: SeqNo(10) }));
    }

    #[test]
    fn a_stream_that_begins_anew_goes_on_after_the_last_number() {
        let mut renumber = Renumber::new(0, 1_024);
        assert_eq!(numbers(&mut renumber, 0, &[10, 11]), [Some(1), Some(2)]);
        renumber.leave();
        assert_eq!(numbers(&mut renumber, 0, &[900, 902, 899]), [Some(3), Some(5), None]);
        assert_eq!(renumber.find(2), Some(Sent { kept: (), stream: 0, seq: SeqNo(11) }));
    }

    #[test]
    fn who_comes_to_remember_more_forgets_nothing() {
        let mut renumber = Renumber::new(0xfff0, 16);
        let numbers = numbers(&mut renumber, 1, &(100..120).collect::<Vec<_>>());
        renumber.keep_more();
        renumber.keep_more();
        let found = |wire: u64| renumber.find(SeqNo(wire + 0x1_0000).wire()).map(|sent| sent.seq.0);
        let all: Vec<_> = numbers.into_iter().map(|number| found(number.expect("given"))).collect();
        assert_eq!(all[..4], [None; 4]);
        assert_eq!(all[4..], (104..120).map(Some).collect::<Vec<_>>());
        assert!(renumber.pass(1, SeqNo(160), ()).is_some());
        assert_eq!((renumber.given.len(), renumber.turn().0), (64, 64));
    }

    #[test]
    fn however_often_something_is_left_out_memory_stays() {
        let mut renumber = Renumber::new(0, 1_024);
        for seq in (1_000..100_000).step_by(2) {
            assert!(renumber.pass(0, SeqNo(seq), ()).is_some());
            renumber.skip(0, SeqNo(seq + 1));
        }
        assert!(renumber.span.expect("one").earlier.len() <= OFFSETS);
        assert_eq!(renumber.highest.0 - 0x1_0000, 49_500);
    }

    #[test]
    fn times_go_on_across_a_switch() {
        let mut retime = Retime::default();
        assert_eq!(retime.pass(Timestamp(1_000)), Timestamp(1_000));
        retime.switch(Timestamp(900_000), Duration::from_millis(100), 90_000);
        assert_eq!(retime.pass(Timestamp(900_000)), Timestamp(10_000));
        assert_eq!(retime.pass(Timestamp(903_000)), Timestamp(13_000));
        retime.switch(Timestamp(5), Duration::ZERO, 90_000);
        assert_eq!(retime.pass(Timestamp(5)), Timestamp(13_001));
    }

    #[test]
    fn times_wrap() {
        let mut retime = Retime::default();
        retime.pass(Timestamp(u32::MAX - 10));
        retime.switch(Timestamp(u32::MAX - 10), Duration::from_millis(1), 90_000);
        assert_eq!(retime.pass(Timestamp(u32::MAX - 10)), Timestamp(79));
    }
}
