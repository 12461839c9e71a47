//! A jitter buffer: packets of one stream in any order in, whole frames in order out; what is lost is told.
//!
//! ```text
//!   … given out │ next … end │ hole │ waiting … │
//!                 one frame    ^ waited for until the first packet behind it has waited long enough
//! ```
//!
//! It holds a bounded number of packets and bytes. It does not pace: a frame comes out as soon as it is whole and its turn.
//! Whether a picture behind a loss can be shown is the decoder's business, and asking for a key frame the caller's.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::numbers::{SeqNo, Timestamp};
use crate::packet::Packet;
use crate::payload::{Assembler, Codec, Frame};

/// How much a buffer holds, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a packet waits for those before it.
    pub wait: Duration,
    /// At most so many packets wait.
    pub max_packets: usize,
    /// At most so many bytes of payload wait; a frame is not larger either.
    pub max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { wait: Duration::from_millis(200), max_packets: 2_048, max_bytes: 4 << 20 }
    }
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The next whole frame.
    Frame(Frame),
    /// Packets were lost, came too late, or made no frame; the next frame is not the one after the last.
    Lost {
        /// How many, as far as is known; those of a frame that is incomplete without them are among them.
        packets: u64,
    },
}

/// The packets of one stream.
#[derive(Debug)]
pub struct Buffer {
    codec: Codec,
    config: Config,
    assembler: Assembler,
    waiting: BTreeMap<SeqNo, Slot>,
    /// Of all payloads that wait.
    bytes: usize,
    place: Option<Place>,
    /// Packets in a row that came too late: a sender that has begun anew looks like this.
    late: u32,
    output: VecDeque<Output>,
}

#[derive(Debug)]
struct Slot {
    at: Instant,
    timestamp: Timestamp,
    marker: bool,
    payload: Vec<u8>,
}

/// How far the buffer is.
#[derive(Debug)]
struct Place {
    /// The first packet of the next frame.
    next: SeqNo,
    /// The first packet that is not there.
    end: SeqNo,
    /// Whether a frame begins at `next`; otherwise packets are dropped until one does.
    begun: bool,
    /// Whether that is certain to be the first: until then packets from before it may come, overtaken, and are welcome.
    settled: bool,
    /// Time and marker of the packet before `end`, if that has been.
    before: Option<(Timestamp, bool)>,
    /// Since when packets behind the hole at `end` wait.
    since: Option<Instant>,
}

impl Place {
    const fn at(number: SeqNo) -> Self {
        Self { next: number, end: number, begun: false, settled: false, before: None, since: None }
    }
}

impl Buffer {
    /// Of a stream that has not begun.
    pub const fn new(codec: Codec, config: Config) -> Self {
        Self {
            codec,
            config,
            assembler: Assembler::new(codec, config.max_bytes),
            waiting: BTreeMap::new(),
            bytes: 0,
            place: None,
            late: 0,
            output: VecDeque::new(),
        }
    }

    /// A packet has come; a retransmission as what it repeats.
    pub fn handle_packet(&mut self, now: Instant, packet: &Packet<'_>) {
        let Some(number) = self.number_of(packet.sequence()) else { return };
        if self.waiting.contains_key(&number) {
            return;
        }
        let (timestamp, marker) = (packet.timestamp(), packet.marker());
        let slot = Slot { at: now, timestamp, marker, payload: packet.payload().to_vec() };
        self.bytes += slot.payload.len();
        self.waiting.insert(number, slot);
        self.advance();
        while self.waiting.len() > self.config.max_packets || self.bytes > self.config.max_bytes {
            self.skip();
        }
    }

    /// Time has passed: holes that have been waited for are skipped.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.skip();
        }
    }

    /// The next frame or loss.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When the next hole is given up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.place.as_ref()?.since? + self.config.wait)
    }

    /// Packets and bytes that wait.
    pub fn held(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }

    /// The number of a packet, unless its turn is over.
    fn number_of(&mut self, wire: u16) -> Option<SeqNo> {
        if let Some(place) = &mut self.place {
            let number = place.end.near(wire);
            if !place.settled && number < place.next && place.next.0 - number.0 <= OVERTAKEN {
                *place = Place { since: place.since, ..Place::at(number) };
            }
            if number >= place.next {
                self.late = 0;
                return Some(number);
            }
            self.late += 1;
            if self.late < RESTART {
                return None;
            }
            let dropped = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
            self.waiting.clear();
            (self.bytes, self.late) = (0, 0);
            self.lose(dropped);
        }
        let first = SeqNo::first(wire);
        self.place = Some(Place::at(first));
        Some(first)
    }

    /// Goes on to the next hole and hands out the frames on the way.
    fn advance(&mut self) {
        let Some(mut place) = self.place.take() else { return };
        let from = place.end;
        while let Some(slot) = self.waiting.get(&place.end) {
            let (number, timestamp, marker) = (place.end, slot.timestamp, slot.marker);
            place.end = number.next();
            if slot.payload.is_empty() {
                // Sent to fill the link; only its number counts.
                if place.next == number {
                    self.take(number);
                    place.next = place.end;
                }
                continue;
            }
            let begins = place.begun || begins(self.codec, slot, place.before);
            if !begins && !place.settled {
                place.before = Some((timestamp, marker));
                continue;
            }
            if !place.begun && place.next < place.end {
                // What is here and begins no frame; the frame that begins stays.
                let dropped = if begins { place.next.0..number.0 } else { place.next.0..place.end.0 };
                place.next = SeqNo(dropped.end);
                self.drop_packets(dropped);
            }
            place.settled = true;
            if !begins {
                place.before = Some((timestamp, marker));
                continue;
            }
            // Where another time begins, a frame without a marker has ended.
            if place.begun && place.next < number && place.before.is_some_and(|(before, _)| before != timestamp) {
                self.give_out(place.next, number);
                place.next = number;
            }
            (place.begun, place.before) = (true, Some((timestamp, marker)));
            if marker || !self.codec.is_video() {
                self.give_out(place.next, place.end);
                place.next = place.end;
            }
        }
        let waits_from = if place.settled { place.end } else { place.next };
        let behind = self.waiting.range(waits_from..).next().map(|(_, slot)| slot.at);
        place.since = if place.end == from { place.since.into_iter().chain(behind).min() } else { behind };
        self.place = Some(place);
    }

    /// Gives up the hole and the frame it is in; without a hole, the frame that never ends.
    fn skip(&mut self) {
        let Some(place) = &mut self.place else { return };
        let (next, end) = (place.next, place.end);
        if !place.settled {
            *place = Place { settled: true, ..Place::at(next) };
            return self.advance();
        }
        let behind = self.waiting.range(end..).next().map(|(&number, _)| number);
        match behind {
            Some(behind) => *place = Place { settled: true, ..Place::at(behind) },
            None => (place.next, place.begun) = (end, false),
        }
        self.drop_packets(next.0..end.0);
        self.lose(behind.map_or(0, |behind| behind.0 - end.0));
        self.advance();
    }

    fn drop_packets(&mut self, numbers: Range<u64>) {
        self.lose(numbers.end - numbers.start);
        numbers.for_each(|number| drop(self.take(SeqNo(number))));
    }

    /// Puts the packets of a frame together.
    fn give_out(&mut self, from: SeqNo, to: SeqNo) {
        let (mut time, mut whole) = (None, Ok(()));
        for number in from.0..to.0 {
            let Some(slot) = self.take(SeqNo(number)).filter(|slot| !slot.payload.is_empty()) else { continue };
            time = Some(slot.timestamp);
            whole = whole.and_then(|()| self.assembler.push(&slot.payload));
        }
        let Some(time) = time else { return };
        let made = self.assembler.finish(time);
        match whole.and(made) {
            Ok(frame) => self.output.push_back(Output::Frame(frame)),
            Err(_) => self.lose(to.0 - from.0),
        }
    }

    fn take(&mut self, number: SeqNo) -> Option<Slot> {
        let slot = self.waiting.remove(&number)?;
        self.bytes -= slot.payload.len();
        Some(slot)
    }

    fn lose(&mut self, more: u64) {
        if more == 0 {
            return;
        }
        match self.output.back_mut() {
            Some(Output::Lost { packets }) => *packets += more,
            Some(Output::Frame(_)) | None => self.output.push_back(Output::Lost { packets: more }),
        }
    }
}

/// Whether a frame begins with this packet: by its payload, or by the end of the one before.
fn begins(codec: Codec, slot: &Slot, before: Option<(Timestamp, bool)>) -> bool {
    codec.starts_frame(&slot.payload).unwrap_or_else(|| {
        before.is_some_and(|(time, marker)| marker || time != slot.timestamp) || codec.starts_key_frame(&slot.payload)
    })
}

/// So many late packets in a row are a new beginning (compare RFC 3550 §A.1, which takes two in order).
const RESTART: u32 = 100;
/// So many packets may be overtaken by the first.
const OVERTAKEN: u64 = 100;
