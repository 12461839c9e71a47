//! One track on its way to one subscriber: what goes on, under which numbers and times.

use std::time::Instant;

use tandem_rtp::header::Header;
use tandem_rtp::payload::{Codec, vp8, vp9};
use tandem_rtp::{PayloadType, SeqNo, Ssrc, Timestamp};

use crate::Want;
use crate::renumber::{Renumber, Retime, Sent};
use crate::selection::{Selection, Verdict};
use crate::shape::Read;

/// Under which numbers a codec goes between us and one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is.
    pub codec: Codec,
    /// Its payload type.
    pub number: PayloadType,
    /// That of its retransmissions (RFC 4588), where they were agreed on.
    pub rtx: Option<PayloadType>,
}

/// How a subscriber gets a track, as agreed on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The stream.
    pub ssrc: Ssrc,
    /// Its retransmissions.
    pub rtx: Option<Ssrc>,
    /// What the subscriber takes.
    pub payloads: Vec<Payload>,
}

pub(crate) struct Forward {
    pub(crate) endpoint: usize,
    pub(crate) track: usize,
    pub(crate) spec: Subscription,
    pub(crate) selection: Selection,
    /// Of a slot.
    pub(crate) want: Option<Want>,
    /// Counts the tracks it has shown.
    generation: u8,
    renumber: Renumber<Kept>,
    pictures: Renumber<()>,
    retime: Retime,
    tl0: Tl0,
    rtx_sequence: u16,
    /// When the last packet that went on had come.
    came: Option<Instant>,
    /// Our last sender report: the middle of its NTP time, and when it left.
    pub(crate) reported: Option<(u32, Instant)>,
    pub(crate) tally: Tally,
}

/// What a subscriber has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets, without those that were sent again.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Packets that were sent again.
    pub retransmitted: u64,
    /// Of what was sent lately, how much was lost; in 256ths.
    pub fraction_lost: u8,
}

/// What a packet's retransmission has to say once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    timestamp: Timestamp,
    payload_type: PayloadType,
    rtx: Option<PayloadType>,
    marker: bool,
    picture: Option<(u16, u8)>,
}

/// A packet as the subscriber is to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) header: Header,
    /// The picture's number, and the one of the lowest layer.
    pub(crate) picture: Option<(u16, u8)>,
}

/// Counts pictures of the lowest temporal layer across streams.
#[derive(Clone, Copy, Debug, Default)]
struct Tl0 {
    offset: u8,
    last: Option<u8>,
}

/// A packet that has come.
pub(crate) struct Arrived<'a> {
    pub(crate) now: Instant,
    pub(crate) stream: u8,
    pub(crate) codec: Codec,
    pub(crate) seq: SeqNo,
    pub(crate) header: Header,
    pub(crate) read: &'a Read,
}

impl Forward {
    /// `first`: the first number is the next one.
    pub(crate) fn new((endpoint, track): (usize, usize), spec: Subscription, first: u16, is_video: bool) -> Self {
        let keeps = if is_video { 512 } else { 32 };
        Self {
            endpoint,
            track,
            spec,
            selection: Selection::default(),
            want: None,
            generation: 0,
            renumber: Renumber::new(first, keeps),
            pictures: Renumber::new(first >> 1, if is_video { 64 } else { 1 }),
            retime: Retime::default(),
            tl0: Tl0::default(),
            rtx_sequence: first,
            came: None,
            reported: None,
            tally: Tally::default(),
        }
    }

    /// Another track is shown: numbers and times go on, layers and what can be repeated begin anew.
    pub(crate) fn retarget(&mut self) {
        self.generation = self.generation.wrapping_add(1) & GENERATIONS;
        self.selection = Selection::default();
    }

    /// A stream of this track, apart from those of the tracks before.
    fn key(&self, stream: u8) -> u8 {
        self.generation << 2 | (stream & 3)
    }

    /// How a packet goes on. `None`: it does not.
    pub(crate) fn pass(&mut self, arrived: &Arrived<'_>) -> Option<Rewritten> {
        let payload = *self.spec.payloads.iter().find(|payload| payload.codec == arrived.codec)?;
        let Arrived { now, stream, codec, seq, header, read } = *arrived;
        let key = self.key(stream);
        let (switched, marks) = match self.selection.judge(stream, &read.shape) {
            Verdict::Pass { switched, marks } => (switched, marks),
            Verdict::Skip => {
                self.renumber.skip(key, seq);
                if let Some((picture, _)) = read.picture {
                    self.pictures.skip(key, picture);
                }
                return None;
            }
            Verdict::Other => return None,
        };
        if switched && let Some(came) = self.came {
            self.retime.switch(header.timestamp, now.saturating_duration_since(came), codec.clock_rate());
            self.tl0.switch(read.picture.map_or(0, |(_, tl0)| tl0));
        }
        let picture = match read.picture {
            Some((picture, tl0)) => {
                let number = self.pictures.pass(key, picture, ())?;
                Some((number.wire() & 0x7fff, self.tl0.pass(tl0)))
            }
            None => None,
        };
        let marker = header.marker || codec.is_video() && marks;
        let timestamp = self.retime.pass(header.timestamp);
        let (payload_type, rtx) = (payload.number, payload.rtx);
        let number = self.renumber.pass(key, seq, Kept { timestamp, payload_type, rtx, marker, picture })?;
        self.came = Some(now);
        let header = Header { marker, payload_type, sequence: number.wire(), timestamp, ssrc: self.spec.ssrc };
        Some(Rewritten { header, picture })
    }

    /// A packet that nobody needs.
    pub(crate) fn skip(&mut self, stream: u8, seq: SeqNo) {
        self.renumber.skip(self.key(stream), seq);
    }

    /// What the subscriber has missed under a number, and how it goes once more: in the stream of retransmissions.
    pub(crate) fn again(&mut self, wire: u16) -> Option<(Again, Rewritten)> {
        let Sent { stream: key, seq, kept } = self.renumber.find(wire)?;
        // What another track has sent is not here any more.
        let stream = (key >> 2 == self.generation).then_some(key & 3)?;
        let (ssrc, payload_type) = (self.spec.rtx?, kept.rtx?);
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        let Kept { timestamp, marker, picture, .. } = kept;
        let header = Header { marker, payload_type, sequence: self.rtx_sequence, timestamp, ssrc };
        Some((Again { stream, seq, number: wire }, Rewritten { header, picture }))
    }

    /// What a time of the stream that is passed on is to the subscriber.
    pub(crate) fn time(&self, timestamp: Timestamp) -> Timestamp {
        self.retime.of(timestamp)
    }

    /// Whether packets of this stream go on at the moment.
    pub(crate) fn passes(&self, stream: u8) -> bool {
        self.selection.current().is_some_and(|current| current.stream == stream)
    }
}

/// A packet that is to go once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    pub(crate) stream: u8,
    pub(crate) seq: SeqNo,
    /// As the subscriber knows it.
    pub(crate) number: u16,
}

impl Rewritten {
    /// Writes the picture's numbers over those of a payload.
    pub(crate) fn rewrite(&self, codec: Codec, payload: &mut [u8]) {
        match (codec, self.picture) {
            (Codec::Vp8, Some((picture, tl0))) => drop(vp8::rewrite(payload, picture, tl0)),
            (Codec::Vp9, Some((picture, tl0))) => drop(vp9::rewrite(payload, picture, tl0)),
            _ => {}
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

/// Where a slot's track would be.
pub(crate) const NOWHERE: usize = usize::MAX;
/// With two bits for the stream, a byte.
const GENERATIONS: u8 = 0x3f;
