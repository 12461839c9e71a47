//! The numbers and times of one stream to a subscriber, whatever is shown in it: they go on without a seam.

use std::time::{Duration, Instant};

use tandem_rtp::payload::Codec;
use tandem_rtp::{PayloadType, SeqNo, Timestamp};

use crate::renumber::{Renumber, Retime, Sent};
use crate::slot::Arrived;

pub(crate) struct Numbers {
    renumber: Renumber<Kept>,
    pictures: Renumber<()>,
    retime: Retime,
    tl0: Tl0,
    frames: Frames,
    rtx_sequence: u16,
    /// When the last packet that went on had come.
    came: Option<Instant>,
    /// Of which track packets are, and how many there were before it.
    track: (u32, u32),
    shown: u8,
    /// When the first place of what is remembered was taken.
    turned: Option<Instant>,
    /// The tracks before it, the newest last.
    earlier: Vec<(u32, u32)>,
}

/// Under which number and at which time a packet goes on.
pub(crate) type Numbered = (SeqNo, Timestamp, Pictures);

/// Of a picture: its number and the one of the lowest layer, and the number of its frame.
pub(crate) type Pictures = (Option<(u16, u8)>, Option<u16>);

/// What is known of a packet once it has been numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) payload_type: PayloadType,
    pub(crate) marker: bool,
}

/// What a packet's retransmission has to say once more, in few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    timestamp: Timestamp,
    picture: u16,
    frame: u16,
    tl0: u8,
    payload_type: PayloadType,
    /// Which of the tracks that have been shown.
    shown: u8,
    /// [`MARKED`], [`HAS_PICTURE`], [`HAS_FRAME`].
    flags: u8,
}

/// A packet that is to go once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// Serial number and place of its track.
    pub(crate) track: (u32, usize),
    pub(crate) stream: u8,
    pub(crate) seq: SeqNo,
    /// As the subscriber knows it.
    pub(crate) number: u16,
    pub(crate) timestamp: Timestamp,
    pub(crate) known: Known,
    pub(crate) pictures: Pictures,
}

/// Counts frames as dependency descriptors do, across streams.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    offset: u16,
    last: Option<u16>,
}

/// Counts pictures of the lowest temporal layer across streams.
#[derive(Clone, Copy, Debug, Default)]
struct Tl0 {
    offset: u8,
    last: Option<u8>,
}

impl Numbers {
    /// `first`: the first number is the next one.
    pub(crate) fn new(first: u16, is_video: bool) -> Self {
        let packets = if is_video { FEW } else { OF_SOUND };
        Self {
            renumber: Renumber::new(first, packets),
            pictures: Renumber::new(first >> 1, 0),
            retime: Retime::default(),
            tl0: Tl0::default(),
            frames: Frames::default(),
            rtx_sequence: first,
            came: None,
            track: (0, 0),
            shown: 0,
            turned: None,
            earlier: Vec::new(),
        }
    }

    /// From here on packets are those of another stream, of which this is the first.
    pub(crate) fn switch(&mut self, arrived: &Arrived<'_>) {
        self.renumber.leave();
        self.pictures.leave();
        if let Some(came) = self.came {
            let later = arrived.now.saturating_duration_since(came);
            self.retime.switch(arrived.header.timestamp, later, arrived.codec.clock_rate());
            self.tl0.switch(arrived.read.picture.map_or(0, |(_, tl0)| tl0));
            arrived.read.frame.into_iter().for_each(|first| self.frames.switch(first));
        }
    }

    /// A packet goes on: under that number, at that time, with these numbers of its picture.
    pub(crate) fn pass(&mut self, arrived: &Arrived<'_>, known: Known) -> Option<Numbered> {
        let picture = match arrived.read.picture {
            Some((picture, tl0)) => {
                let number = self.pictures.pass(arrived.stream, picture, ())?;
                Some((number.wire() & 0x7fff, self.tl0.pass(tl0)))
            }
            None => None,
        };
        let timestamp = self.retime.pass(arrived.header.timestamp);
        let (serial, place) = arrived.track;
        self.follow((serial, u32::try_from(place).unwrap_or(u32::MAX)));
        let pictures = (picture, arrived.read.frame.map(|frame| self.frames.pass(frame)));
        self.remember_more(arrived.now);
        let kept = Kept::new(timestamp, known, pictures, self.shown);
        let number = self.renumber.pass(arrived.stream, arrived.seq, kept)?;
        self.came = Some(arrived.now);
        Some((number, timestamp, pictures))
    }

    /// A packet is left out, and those after it close up.
    pub(crate) fn skip(&mut self, arrived: &Arrived<'_>) {
        self.renumber.skip(arrived.stream, arrived.seq);
        // Those of VP9 say by their numbers which others they need, or which place of a group of pictures is theirs
        // (RFC 9628 §4.2): what is left out leaves a gap.
        if let Some((picture, _)) = arrived.read.picture.filter(|_| arrived.codec == Codec::Vp8) {
            self.pictures.skip(arrived.stream, picture);
        }
    }

    /// What the subscriber got under a number.
    pub(crate) fn find(&self, wire: u16) -> Option<Again> {
        let Sent { stream, seq, kept } = self.renumber.find(wire)?;
        let (serial, place) = match self.shown.wrapping_sub(kept.shown) {
            0 => self.track,
            before => *self.earlier.get(self.earlier.len().checked_sub(usize::from(before))?)?,
        };
        let track = (serial, usize::try_from(place).ok()?);
        let (timestamp, known, pictures) = (kept.timestamp, kept.known(), kept.pictures());
        Some(Again { track, stream, seq, number: wire, timestamp, known, pictures })
    }

    /// Remembers more where what is remembered would not be old enough to be forgotten.
    fn remember_more(&mut self, now: Instant) {
        let (keeps, turns) = self.renumber.turn();
        if turns {
            let before = self.turned.replace(now);
            let is_young = before.is_some_and(|at| now.saturating_duration_since(at) < LONG_ENOUGH);
            if is_young && (FEW..MANY).contains(&keeps) {
                self.renumber.keep_more();
            }
        }
    }

    /// Packets are of this track from here on.
    fn follow(&mut self, track: (u32, u32)) {
        if track == self.track {
            return;
        }
        if self.earlier.len() == TRACKS {
            self.earlier.remove(0);
        }
        self.earlier.push(std::mem::replace(&mut self.track, track));
        self.shown = self.shown.wrapping_add(1);
    }

    pub(crate) fn next_rtx(&mut self) -> u16 {
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        self.rtx_sequence
    }

    /// The last number of the stream, and of its retransmissions.
    pub(crate) fn last(&self) -> (u16, u16) {
        (self.renumber.highest().wire(), self.rtx_sequence)
    }

    /// The stream of retransmissions has got so far before.
    pub(crate) fn go_on(&mut self, rtx_sequence: u16) {
        self.rtx_sequence = rtx_sequence;
    }

    /// The newest time that was given.
    pub(crate) fn newest(&self) -> Timestamp {
        self.retime.newest()
    }

    /// What a time of the stream that is passed on is to the subscriber.
    pub(crate) fn time(&self, timestamp: Timestamp) -> Timestamp {
        self.retime.of(timestamp)
    }
}

impl Kept {
    fn new(timestamp: Timestamp, known: Known, (picture, frame): Pictures, shown: u8) -> Self {
        let flags = [(known.marker, MARKED), (picture.is_some(), HAS_PICTURE), (frame.is_some(), HAS_FRAME)];
        let flags = flags.into_iter().filter(|(is, _)| *is).fold(0, |flags, (_, flag)| flags | flag);
        let (picture, tl0) = picture.unwrap_or_default();
        let (frame, payload_type) = (frame.unwrap_or_default(), known.payload_type);
        Self { timestamp, picture, frame, tl0, payload_type, shown, flags }
    }

    fn known(self) -> Known {
        Known { payload_type: self.payload_type, marker: self.flags & MARKED != 0 }
    }

    fn pictures(self) -> Pictures {
        let picture = (self.flags & HAS_PICTURE != 0).then_some((self.picture, self.tl0));
        (picture, (self.flags & HAS_FRAME != 0).then_some(self.frame))
    }
}

impl Frames {
    fn pass(&mut self, frame: u16) -> u16 {
        let out = frame.wrapping_add(self.offset);
        let is_newer = self.last.is_none_or(|last| out.wrapping_sub(last).cast_signed() > 0);
        if is_newer {
            self.last = Some(out);
        }
        out
    }

    fn switch(&mut self, first: u16) {
        if let Some(last) = self.last {
            self.offset = last.wrapping_add(1).wrapping_sub(first);
        }
    }
}

impl Tl0 {
    fn pass(&mut self, tl0: u8) -> u8 {
        let out = tl0.wrapping_add(self.offset);
        self.last = Some(out);
        out
    }

    /// From here on the numbers are another stream's, of which this is the first.
    fn switch(&mut self, first: u8) {
        if let Some(last) = self.last {
            self.offset = last.wrapping_add(1).wrapping_sub(first);
        }
    }
}

const MARKED: u8 = 1;
const HAS_PICTURE: u8 = 2;
const HAS_FRAME: u8 = 4;
/// Packets of pictures that are remembered at first, and at most.
const FEW: usize = 128;
const MANY: usize = 4_096;
/// Packets of sound: what is lost of it is of no use later.
const OF_SOUND: usize = 32;
/// What is older comes too late to be shown.
const LONG_ENOUGH: Duration = Duration::from_secs(1);
/// So many earlier tracks are remembered: packets of those before them are not sent again.
const TRACKS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_small_and_comes_out_as_it_went_in() {
        assert!(size_of::<Kept>() <= 12, "{}", size_of::<Kept>());
        for marker in [false, true] {
            for pictures in [(None, None), (Some((0x7fff, 255)), None), (None, Some(0)), (Some((0, 0)), Some(65_535))] {
                let known = Known { payload_type: PayloadType::from_wire(127), marker };
                let kept = Kept::new(Timestamp(7), known, pictures, 255);
                assert_eq!((kept.timestamp, kept.known(), kept.pictures()), (Timestamp(7), known, pictures));
            }
        }
    }

    #[test]
    fn as_much_is_remembered_as_is_sent_while_somebody_may_ask() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let start = Instant::now();
        for (per_second, is_video, expected) in
            [(60, true, 128), (400, true, 512), (50_000, true, MANY), (900, false, 32)]
        {
            let mut numbers = Numbers::new(7, is_video);
            let known = Known { payload_type: PayloadType::from_wire(96), marker: false };
            let kept = Kept::new(Timestamp(0), known, (None, None), 0);
            for at in 0..20_000_u32 {
                numbers.remember_more(start + Duration::from_secs(1) * at / per_second);
                numbers.renumber.pass(0, SeqNo(u64::from(at) + 100_000), kept).expect("a number");
            }
            assert_eq!(numbers.renumber.turn().0, expected, "{per_second} a second");
        }
    }

    #[test]
    fn the_tracks_shown_before_are_known_as_far_as_they_are_remembered() {
        let mut numbers = Numbers::new(0, true);
        for track in 1..=300 {
            numbers.follow((track, 0));
            numbers.follow((track, 0));
        }
        assert_eq!((numbers.track, numbers.earlier.len()), ((300, 0), TRACKS));
        assert_eq!(numbers.earlier.last(), Some(&(299, 0)));
    }
}
