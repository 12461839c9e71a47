//! Transport-wide feedback, draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1: which packets arrived, and when.
//!
//! ```text
//!   | sender | media | first sequence | statuses | reference time, 64 ms | number |
//!   | chunk, 16 bits | …      0 SS run length                 one status for many packets
//!   |                | …      10 and 14 bits, or 11 and 7 pairs of them
//!   | delta | …               for each that arrived: 8 or 16 bits, 250 µs
//! ```
//!
//! A run of 8,191 lost packets takes two bytes: [`Statuses`] tells it as one, so that what comes out is never more than
//! what went in.

use std::collections::VecDeque;

use super::write::{Body, NoRoom, Writer};
use super::{RTPFB, TWCC, two_ssrcs};
use crate::numbers::{Extended, SeqNo, Ssrc};

/// One feedback packet; its chunks and deltas fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// Who received.
    pub sender: Ssrc,
    /// Any stream of the transport.
    pub media: Ssrc,
    /// The first packet it tells of.
    pub first: u16,
    /// How many packets it tells of.
    pub statuses: u16,
    /// In 64 ms, 24 bits: what arrival times count from. It wraps every twelve days.
    pub reference: u32,
    /// Counts feedback packets.
    pub number: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// What became of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A run of packets that have not arrived.
    Lost {
        /// The first of them.
        first: u16,
        /// How many in a row.
        count: u16,
    },
    /// One that has.
    Received {
        /// Which.
        sequence: u16,
        /// Microseconds by the receiver's clock: the reference time and all deltas.
        at: i64,
    },
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, media, control) = two_ssrcs(body)?;
        let (&[f0, f1, c0, c1, r0, r1, r2, number], rest) = control.split_first_chunk()?;
        let statuses = u16::from_be_bytes([c0, c1]);
        // How many chunks there are follows from what they say; how many deltas, too.
        let (mut walk, mut told, mut wanted) = (rest, 0, 0);
        while told < usize::from(statuses) {
            let (&chunk, behind) = walk.split_first_chunk()?;
            walk = behind;
            let chunk = SymbolChunk::of(chunk);
            let count = chunk.count().min(usize::from(statuses) - told);
            wanted += chunk.delta_bytes(count)?;
            told += count;
        }
        let chunks = rest.get(..rest.len() - walk.len())?;
        let deltas = walk.get(..wanted)?;
        Some(Self {
            sender,
            media,
            first: u16::from_be_bytes([f0, f1]),
            statuses,
            reference: u32::from_be_bytes([0, r0, r1, r2]),
            number,
            chunks,
            deltas,
        })
    }

    /// What became of each packet, in order.
    pub fn iter(&self) -> Statuses<'a> {
        Statuses {
            chunks: self.chunks,
            deltas: self.deltas,
            chunk: SymbolChunk::Run(Symbol::Lost, 0),
            next: self.first,
            left: usize::from(self.statuses),
            at: i64::from(self.reference) * REFERENCE,
        }
    }
}

impl<'a> IntoIterator for &TransportFeedback<'a> {
    type Item = Status;
    type IntoIter = Statuses<'a>;

    fn into_iter(self) -> Statuses<'a> {
        self.iter()
    }
}

/// Iterates over what became of packets.
#[derive(Clone, Debug)]
pub struct Statuses<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    /// What is left of the current chunk.
    chunk: SymbolChunk,
    next: u16,
    left: usize,
    at: i64,
}

impl Iterator for Statuses<'_> {
    type Item = Status;

    fn next(&mut self) -> Option<Status> {
        if self.left == 0 {
            return None;
        }
        while self.chunk.count() == 0 {
            let (&chunk, rest) = self.chunks.split_first_chunk()?;
            (self.chunk, self.chunks) = (SymbolChunk::of(chunk), rest);
        }
        let (symbol, count) = self.chunk.take();
        let count = count.min(self.left);
        let told = u16::try_from(count).unwrap_or(u16::MAX);
        let first = self.next;
        let delta = match symbol {
            Symbol::Lost => {
                (self.next, self.left) = (first.wrapping_add(told), self.left - count);
                return Some(Status::Lost { first, count: told });
            }
            Symbol::Small => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                i64::from(delta)
            }
            Symbol::Large => {
                let (&delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                i64::from(i16::from_be_bytes(delta))
            }
            Symbol::Reserved => return None,
        };
        (self.next, self.left) = (first.wrapping_add(1), self.left - 1);
        self.at += delta * DELTA;
        Some(Status::Received { sequence: first, at: self.at })
    }
}

/// Two bits (§3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    Lost,
    Small,
    Large,
    Reserved,
}

impl Symbol {
    const fn of(bits: u16) -> Self {
        match bits & 3 {
            0 => Self::Lost,
            1 => Self::Small,
            2 => Self::Large,
            _ => Self::Reserved,
        }
    }

    const fn bits(self) -> u16 {
        match self {
            Self::Lost => 0,
            Self::Small => 1,
            Self::Large => 2,
            Self::Reserved => 3,
        }
    }

    const fn delta_bytes(self) -> Option<usize> {
        match self {
            Self::Lost => Some(0),
            Self::Small => Some(1),
            Self::Large => Some(2),
            Self::Reserved => None,
        }
    }
}

/// What is left of a chunk (§3.1.3, §3.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SymbolChunk {
    /// One status, so many times.
    Run(Symbol, usize),
    /// Left-aligned bits, how many of them belong to each status, and how many statuses.
    Vector(u16, u16, usize),
}

impl SymbolChunk {
    const fn of(bytes: [u8; 2]) -> Self {
        let word = u16::from_be_bytes(bytes);
        match word >> 14 {
            0 | 1 => Self::Run(Symbol::of(word >> 13), (word & 0x1fff) as usize),
            2 => Self::Vector(word << 2, 1, 14),
            _ => Self::Vector(word << 2, 2, 7),
        }
    }

    const fn count(self) -> usize {
        match self {
            Self::Run(_, count) | Self::Vector(_, _, count) => count,
        }
    }

    /// The next status, and how many have it in a row; one is taken, or all of a run of lost ones.
    fn take(&mut self) -> (Symbol, usize) {
        match self {
            Self::Run(Symbol::Lost, count) => (Symbol::Lost, std::mem::take(count)),
            Self::Run(symbol, count) => {
                *count = count.saturating_sub(1);
                (*symbol, 1)
            }
            Self::Vector(bits, width, count) => {
                let symbol = Symbol::of(*bits >> (16 - *width));
                (*bits, *count) = (*bits << *width, count.saturating_sub(1));
                (symbol, 1)
            }
        }
    }

    /// Of the first so many statuses; nothing if one of them is reserved.
    fn delta_bytes(self, statuses: usize) -> Option<usize> {
        match self {
            Self::Run(symbol, _) => Some(symbol.delta_bytes()? * statuses),
            Self::Vector(..) => {
                let mut rest = self;
                (0..statuses).map(|_| rest.take().0.delta_bytes()).sum()
            }
        }
    }
}

/// Remembers arrivals and writes feedback about them. Time is handed in as microseconds since any moment.
///
/// What has been told of as lost and comes after all is told of again, with what followed it: so a sender learns that it was
/// overtaken only.
#[derive(Debug, Default)]
pub struct Recorder {
    extended: Extended,
    /// In order of their numbers; at most [`KEPT`]. Those below `next` have been told of.
    arrivals: VecDeque<(SeqNo, i64)>,
    /// Where the next feedback goes on.
    next: Option<SeqNo>,
    /// What is below has been forgotten.
    floor: Option<SeqNo>,
    number: u8,
}

impl Recorder {
    /// Without arrivals.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet with this transport sequence number has arrived. A second arrival, one that comes very late, and the oldest
    /// of too many are not told of.
    pub fn on_packet(&mut self, sequence: u16, at: i64) {
        let number = self.extended.extend(sequence);
        let place = self.place_of(number);
        let forgotten = self.floor.is_some_and(|floor| number < floor);
        if forgotten || self.arrivals.get(place).is_some_and(|&(known, _)| known == number) {
            return;
        }
        self.arrivals.insert(place, (number, at));
        self.next = self.next.map(|next| next.min(number));
        if self.arrivals.len() > KEPT {
            self.forget_first();
        }
    }

    /// How many arrivals are to be told of.
    pub fn waiting(&self) -> usize {
        self.arrivals.len() - self.told()
    }

    /// Appends one feedback packet about as many arrivals as fit; says whether there were any.
    pub fn write(&mut self, writer: &mut Writer<'_>, sender: Ssrc, media: Ssrc) -> Result<bool, NoRoom> {
        let told = self.told();
        let Some(&(earliest, base)) = self.arrivals.get(told) else { return Ok(false) };
        // What was lost behind the last feedback belongs to this one.
        let first = self.next.filter(|next| earliest.0 - next.0 < GAP).unwrap_or(earliest);
        let reference = base.div_euclid(REFERENCE);
        let batch = Batch::of(self.arrivals.range(told..), first, reference, writer.room());
        let Some(&(last, time)) = batch.arrivals.checked_sub(1).and_then(|last| self.arrivals.get(told + last)) else {
            return Err(NoRoom);
        };
        let number = self.number;
        writer.packet(RTPFB, TWCC, |body| {
            body.word(sender.0)?;
            body.word(media.0)?;
            body.put(&first.wire().to_be_bytes())?;
            body.put(&u16::try_from(batch.symbols.len()).map_err(|_| NoRoom)?.to_be_bytes())?;
            let [.., r0, r1, r2] = reference.to_be_bytes();
            body.put(&[r0, r1, r2, number])?;
            write_chunks(&batch.symbols, body)?;
            body.put(&batch.deltas)
        })?;
        self.next = Some(last.next());
        self.number = number.wrapping_add(1);
        while self.arrivals.front().is_some_and(|&(number, at)| number <= last && time.saturating_sub(at) > LATE) {
            self.forget_first();
        }
        Ok(true)
    }

    fn told(&self) -> usize {
        self.next.map_or(0, |next| self.place_of(next))
    }

    fn place_of(&self, number: SeqNo) -> usize {
        self.arrivals.partition_point(|&(known, _)| known < number)
    }

    fn forget_first(&mut self) {
        if let Some((number, _)) = self.arrivals.pop_front() {
            self.floor = Some(number.next());
            self.next = self.next.map(|next| next.max(number.next()));
        }
    }
}

/// What one feedback packet tells.
struct Batch {
    symbols: Vec<Symbol>,
    deltas: Vec<u8>,
    arrivals: usize,
}

impl Batch {
    /// As many arrivals from the front as fit so many bytes, and whose times and numbers are near enough to each other.
    fn of<'r>(arrivals: impl Iterator<Item = &'r (SeqNo, i64)>, first: SeqNo, reference: i64, room: usize) -> Self {
        let mut batch = Self { symbols: Vec::new(), deltas: Vec::new(), arrivals: 0 };
        let (mut expected, mut time) = (first, reference * (REFERENCE / DELTA));
        for &(number, at) in arrivals {
            let lost = number.0.saturating_sub(expected.0);
            let ticks = at.div_euclid(DELTA) - time;
            let Ok(delta) = i16::try_from(ticks) else { break };
            let statuses = batch.symbols.len() + usize::try_from(lost).unwrap_or(usize::MAX) + 1;
            let bytes = FIXED + 2 * statuses.div_ceil(7) + batch.deltas.len() + 2 + 3;
            if lost >= GAP || bytes > room {
                break;
            }
            batch.symbols.resize(statuses - 1, Symbol::Lost);
            match u8::try_from(delta) {
                Ok(small) => {
                    batch.symbols.push(Symbol::Small);
                    batch.deltas.push(small);
                }
                Err(_) => {
                    batch.symbols.push(Symbol::Large);
                    batch.deltas.extend(delta.to_be_bytes());
                }
            }
            batch.arrivals += 1;
            (expected, time) = (number.next(), time + ticks);
        }
        batch
    }
}

/// Never more than one chunk for seven statuses, unless a run says more.
fn write_chunks(mut symbols: &[Symbol], body: &mut Body<'_>) -> Result<(), NoRoom> {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take(0x1fff).take_while(|&&symbol| symbol == first).count();
        let short = symbols.get(..14.min(symbols.len())).unwrap_or_default();
        let (chunk, told) = if run >= 14 || run == symbols.len() {
            (first.bits() << 13 | u16::try_from(run).unwrap_or(0), run)
        } else if short.iter().all(|symbol| matches!(symbol, Symbol::Lost | Symbol::Small)) {
            (0x8000 | bits(short, 1, 14), short.len())
        } else if run >= 7 {
            (first.bits() << 13 | u16::try_from(run).unwrap_or(0), run)
        } else {
            let short = symbols.get(..7.min(symbols.len())).unwrap_or_default();
            (0xc000 | bits(short, 2, 7), short.len())
        };
        body.put(&chunk.to_be_bytes())?;
        symbols = symbols.get(told..).unwrap_or_default();
    }
    Ok(())
}

/// Statuses in a row of so many places; the last stay empty.
fn bits(symbols: &[Symbol], width: u16, places: usize) -> u16 {
    let filled = symbols.iter().fold(0, |bits, symbol| bits << width | symbol.bits());
    let empty = u16::try_from(places - symbols.len()).unwrap_or(0);
    filled << (width * empty)
}

/// Microseconds in a tick of a delta.
const DELTA: i64 = 250;
/// Microseconds in a tick of the reference time.
const REFERENCE: i64 = 64_000;
/// Header, the two SSRCs, and what stands before the chunks.
const FIXED: usize = 20;
/// A hole of so many packets begins a feedback packet of its own.
const GAP: u64 = 2_000;
const KEPT: usize = 4_096;
/// So many microseconds after it, an arrival that has been told of is forgotten; what comes from before it then is too late.
const LATE: i64 = 500_000;

#[cfg(test)]
mod tests {
    use super::super::{Packet, Packets};
    use super::*;

    fn feedback(statuses: u16, rest: &[u8]) -> Vec<u8> {
        let [c0, c1] = statuses.to_be_bytes();
        [&[0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, c0, c1, 0, 0, 2, 9], rest].concat()
    }

    fn statuses(statuses: u16, rest: &[u8]) -> Option<Vec<Status>> {
        TransportFeedback::parse(&feedback(statuses, rest)).map(|feedback| feedback.iter().collect())
    }

    #[test]
    fn runs_and_vectors_are_told_in_order() {
        // Two small, then of one-bit ones: lost, small; of two-bit ones: large, lost.
        let rest = [0x20, 0x02, 0x90, 0x00, 4, 8, 12];
        let at = |ticks: i64| 128_000 + ticks * 250;
        assert_eq!(
            statuses(5, &rest).unwrap(),
            [
                Status::Received { sequence: 0xfffe, at: at(4) },
                Status::Received { sequence: 0xffff, at: at(12) },
                Status::Lost { first: 0, count: 1 },
                Status::Received { sequence: 1, at: at(24) },
                Status::Lost { first: 2, count: 1 },
            ]
        );
        let rest = [0xe0, 0x00, 0xff, 0xff];
        assert_eq!(
            statuses(2, &rest).unwrap(),
            [Status::Received { sequence: 0xfffe, at: at(-1) }, Status::Lost { first: 0xffff, count: 1 }]
        );
    }

    #[test]
    fn what_promises_more_than_it_has_is_refused() {
        assert_eq!(statuses(3, &[0x20, 0x02, 1, 1]), None, "two statuses of three");
        assert_eq!(statuses(2, &[0x20, 0x02, 1]), None, "one delta of two");
        assert_eq!(statuses(2, &[0x40, 0x02, 1, 1, 1]), None, "large deltas are two bytes");
        assert_eq!(statuses(1, &[0x60, 0x01, 1]), None, "reserved");
        assert_eq!(statuses(1, &[0x00, 0x00]), None, "an empty run goes nowhere");
        assert_eq!(statuses(0, &[]), Some(vec![]));
        assert_eq!(
            statuses(2, &[0x3f, 0xff, 1, 1]).map(|all| all.len()),
            Some(2),
            "a run may say more than is told of"
        );
    }

    #[test]
    fn long_losses_are_one_status_each() {
        let rest = [0x1f, 0xff].repeat(8);
        assert_eq!(statuses(65_528, &rest).unwrap().len(), 8);
    }

    fn written(recorder: &mut Recorder, room: usize) -> Vec<(u16, u8, Vec<Status>)> {
        let mut all = Vec::new();
        let mut buffer = vec![0; room];
        loop {
            let mut writer = Writer::new(&mut buffer);
            if !recorder.write(&mut writer, Ssrc(1), Ssrc(2)).unwrap() {
                return all;
            }
            let length = writer.finish();
            let Some(Ok(Packet::TransportFeedback(feedback))) = Packets::new(&buffer[..length]).next() else {
                panic!("no feedback in {:?}", &buffer[..length])
            };
            all.push((feedback.first, feedback.number, feedback.iter().collect()));
        }
    }

    #[test]
    fn arrivals_are_told_as_they_were_recorded() {
        let mut recorder = Recorder::new();
        // Out of order, one twice, one lost, one much later.
        for (sequence, at) in [(65_534, 1_000_000), (0, 1_002_000), (65_535, 1_001_000), (0, 1_009_000), (2, 1_900_000)]
        {
            recorder.on_packet(sequence, at);
        }
        assert_eq!(
            written(&mut recorder, 1_200),
            [(
                65_534,
                0,
                vec![
                    Status::Received { sequence: 65_534, at: 1_000_000 },
                    Status::Received { sequence: 65_535, at: 1_001_000 },
                    Status::Received { sequence: 0, at: 1_002_000 },
                    Status::Lost { first: 1, count: 1 },
                    Status::Received { sequence: 2, at: 1_900_000 },
                ]
            )]
        );
        // What was lost in between belongs to the next.
        recorder.on_packet(5, 1_960_000);
        let lost = |first| Status::Lost { first, count: 1 };
        let received = |sequence, at| Status::Received { sequence, at };
        assert_eq!(written(&mut recorder, 1_200), [(3, 1, vec![lost(3), lost(4), received(5, 1_960_000)])]);
        // What comes after all is told of with what followed it; a second time, or far too late, it is not.
        recorder.on_packet(4, 1_970_000);
        recorder.on_packet(5, 1_980_000);
        recorder.on_packet(65_534, 1_980_000);
        let again = vec![received(4, 1_970_000), received(5, 1_960_000)];
        assert_eq!(written(&mut recorder, 1_200), [(4, 2, again)]);
    }

    #[test]
    fn times_and_numbers_far_apart_take_a_packet_each() {
        let mut recorder = Recorder::new();
        for (sequence, at) in [(1, 0), (2, 9_000_000), (3, 100), (3_000, 200), (3_001, 300)] {
            recorder.on_packet(sequence, at);
        }
        let firsts: Vec<_> = written(&mut recorder, 1_200).iter().map(|&(first, number, _)| (first, number)).collect();
        assert_eq!(firsts, [(1, 0), (2, 1), (3, 2), (3_000, 3)]);
    }

    #[test]
    fn as_many_are_told_as_fit() {
        let mut recorder = Recorder::new();
        let arrivals: Vec<(u16, i64)> = (0..1_000_u16).map(|step| (step, i64::from(step) * 90_000)).collect();
        arrivals.iter().for_each(|&(sequence, at)| recorder.on_packet(sequence, at));
        let told: Vec<_> = written(&mut recorder, 300).into_iter().flat_map(|(_, _, statuses)| statuses).collect();
        let expected: Vec<_> = arrivals.iter().map(|&(sequence, at)| Status::Received { sequence, at }).collect();
        assert_eq!(told, expected);
        recorder.on_packet(7_000, 0);
        assert_eq!(recorder.write(&mut Writer::new(&mut [0; 20]), Ssrc(1), Ssrc(2)), Err(NoRoom));
        assert_eq!(recorder.waiting(), 1);
    }

    #[test]
    fn only_so_many_arrivals_are_kept() {
        let mut recorder = Recorder::new();
        (0..60_000).for_each(|sequence| recorder.on_packet(sequence, 0));
        assert_eq!(recorder.waiting(), KEPT);
        assert_eq!(recorder.arrivals.front().map(|&(number, _)| number.wire()), Some(60_000 - 4_096));
    }
}
