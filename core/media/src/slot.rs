//! A room for one track at a subscriber: an m-line by which it gets whatever is shown in it, without a seam.

use std::time::Instant;

use tandem_rtp::header::Header;
use tandem_rtp::payload::{Codec, vp8, vp9};
use tandem_rtp::{PayloadType, SeqNo, Ssrc, red};

use crate::numbers::{Again, Known, Numbers};
use crate::redundancy::Body;
use crate::selection::{Layer, Selection, Verdict};
use crate::shape::Read;
use crate::{SlotId, Want};

/// Under which numbers a codec goes between us and one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is.
    pub codec: Codec,
    /// Its payload type.
    pub number: PayloadType,
    /// That of its retransmissions (RFC 4588), where they were agreed on.
    pub rtx: Option<PayloadType>,
    /// That of packets that repeat earlier ones beside their own (RED, RFC 2198), where they were agreed on.
    pub red: Option<PayloadType>,
}

/// How a subscriber gets what a slot shows, as agreed on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The stream.
    pub ssrc: Ssrc,
    /// Its retransmissions.
    pub rtx: Option<Ssrc>,
    /// What the subscriber takes.
    pub payloads: Vec<Payload>,
}

pub(crate) struct Slot {
    pub(crate) endpoint: usize,
    pub(crate) id: SlotId,
    pub(crate) spec: Subscription,
    /// The track that is shown.
    pub(crate) shows: Option<usize>,
    pub(crate) want: Want,
    pub(crate) selection: Selection,
    pub(crate) numbers: Numbers,
    /// Our last sender report: the middle of its NTP time, and when it left.
    pub(crate) reported: Option<(u32, Instant)>,
    pub(crate) tally: Tally,
    /// What the subscriber's side has been told that it gets.
    pub(crate) told: Option<Layer>,
    /// So many streams of what is shown are wanted, the smallest first.
    pub(crate) demand: u8,
}

/// What a subscriber has got by a slot.
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

/// A packet as the subscriber is to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) header: Header,
    /// The picture's number, and the one of the lowest layer.
    pub(crate) picture: Option<(u16, u8)>,
    /// The frame's number in its dependency descriptor.
    pub(crate) frame: Option<u16>,
    /// What the subscriber calls the codec.
    pub(crate) payload: Payload,
    /// It repeats earlier ones beside its own.
    pub(crate) repeats: bool,
}

/// A packet that has come.
pub(crate) struct Arrived<'a> {
    pub(crate) now: Instant,
    /// Of which track it is: its serial number and its place.
    pub(crate) track: (u32, usize),
    pub(crate) stream: u8,
    pub(crate) codec: Codec,
    pub(crate) seq: SeqNo,
    pub(crate) header: Header,
    pub(crate) read: &'a Read,
    pub(crate) body: Body<'a>,
}

impl Slot {
    /// `first`: the first number is the next one.
    pub(crate) fn new(endpoint: usize, id: SlotId, spec: Subscription, first: u16) -> Self {
        let is_video = spec.payloads.iter().any(|payload| payload.codec.is_video());
        Self {
            endpoint,
            id,
            spec,
            shows: None,
            want: WHOLE,
            selection: Selection::default(),
            numbers: Numbers::new(first, is_video),
            reported: None,
            tally: Tally::default(),
            told: None,
            demand: 0,
        }
    }

    /// Something else is shown from here on.
    pub(crate) fn show(&mut self, track: Option<usize>) {
        self.shows = track;
        self.selection.want(None);
    }

    /// Whether the subscriber takes any of these.
    pub(crate) fn takes(&self, payloads: &[Payload]) -> bool {
        self.spec.payloads.iter().any(|ours| payloads.iter().any(|theirs| theirs.codec == ours.codec))
    }

    /// How a packet goes on, and whether another stream begins with it. `None`: it does not.
    pub(crate) fn pass(&mut self, arrived: &Arrived<'_>) -> Option<(Rewritten, Began)> {
        let payload = *self.spec.payloads.iter().find(|payload| payload.codec == arrived.codec)?;
        let (began, marks) = match self.selection.judge(arrived.stream, &arrived.read.shape) {
            Verdict::Pass { switched: true, marks } => (Began::Anew, marks),
            Verdict::Pass { switched: false, marks } => (Began::Before, marks),
            Verdict::Skip => {
                self.numbers.skip(arrived);
                return None;
            }
            Verdict::Other => return None,
        };
        if began == Began::Anew {
            self.numbers.switch(arrived);
        }
        let is_video = arrived.codec.is_video();
        // RFC 3551 §4.1: sound that begins anew is marked, too.
        let marker = arrived.header.marker || if is_video { marks } else { began == Began::Anew };
        let payload_type = arrived.body.number_for(&payload);
        let known = Known { payload_type, marker };
        let (number, timestamp, (picture, frame)) = self.numbers.pass(arrived, known)?;
        let header = Header { marker, payload_type, sequence: number.wire(), timestamp, ssrc: self.spec.ssrc };
        let repeats = payload.red == Some(payload_type);
        Some((Rewritten { header, picture, frame, payload, repeats }, began))
    }

    /// What the subscriber has missed under a number, and how it goes once more: in the stream of retransmissions.
    pub(crate) fn again(&mut self, wire: u16) -> Option<(Again, Rewritten)> {
        let again = self.numbers.find(wire)?;
        let payload = *self.spec.payloads.iter().find(|payload| payload.has(again.known.payload_type))?;
        let (ssrc, payload_type) = (self.spec.rtx?, payload.rtx?);
        let sequence = self.numbers.next_rtx();
        let header = Header { marker: again.known.marker, payload_type, sequence, timestamp: again.timestamp, ssrc };
        let (picture, frame) = again.pictures;
        let repeats = payload.red == Some(again.known.payload_type);
        Some((again, Rewritten { header, picture, frame, payload, repeats }))
    }

    /// The next packet that carries nothing, among the retransmissions. `None`: there are none, or nothing was sent yet.
    pub(crate) fn filling(&mut self) -> Option<Header> {
        let (ssrc, payload_type) = (self.spec.rtx?, self.spec.payloads.iter().find_map(|payload| payload.rtx)?);
        let (sequence, timestamp) = (self.numbers.next_rtx(), self.numbers.newest());
        Some(Header { marker: false, payload_type, sequence, timestamp, ssrc })
    }

    /// Whether padding can be sent in its stream of retransmissions.
    pub(crate) fn can_fill(&self) -> bool {
        self.spec.rtx.is_some() && self.spec.payloads.iter().any(|payload| payload.rtx.is_some())
    }

    /// Whether packets of this stream go on at the moment.
    pub(crate) fn passes(&self, stream: u8) -> bool {
        self.selection.current().is_some_and(|current| current.stream == stream)
    }
}

/// Whether another stream than before begins with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Began {
    Before,
    Anew,
}

impl Payload {
    /// Whether packets of this number are of the codec.
    pub(crate) fn has(&self, number: PayloadType) -> bool {
        self.number == number || self.red == Some(number)
    }
}

impl Rewritten {
    /// Writes the subscriber's numbers over those of a payload: of its picture, of what it repeats.
    pub(crate) fn rewrite(&self, codec: Codec, payload: &mut [u8]) {
        if self.repeats {
            red::renumber(payload, self.payload.number);
        }
        match (codec, self.picture) {
            (Codec::Vp8, Some((picture, tl0))) => drop(vp8::rewrite(payload, picture, tl0)),
            (Codec::Vp9, Some((picture, tl0))) => drop(vp9::rewrite(payload, picture, tl0)),
            _ => {}
        }
    }
}

/// Until it is said how much is wanted: all there is.
const WHOLE: Want = Want { height: u16::MAX, priority: 0, most: None };
