//! What one peer sends: a track, as one stream or as several of different sizes (simulcast).

use std::time::{Duration, Instant};

use tandem_rtp::ext::Ids;
use tandem_rtp::header::Header;
use tandem_rtp::nack::{self, Arrival, Generator};
use tandem_rtp::payload::Codec;
use tandem_rtp::reception::Reception;
use tandem_rtp::{Packet, PayloadType, SeqNo, Ssrc};

use crate::TrackId;
use crate::allocate::{self, Kind};
use crate::bitrate::Bitrate;
use crate::carrier::{Carrier, Import, Origin};
use crate::keyframes::Keyframes;
use crate::rates::Rates;
use crate::selection::Layer;
use crate::shape::{Read, Reader};
use crate::slot::Payload;
use crate::speaker::SpeakerId;
use crate::store::{Bound, Store};
use crate::watch::Watch;

/// A track, as agreed on with its publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its m-line.
    pub mid: String,
    /// What it shows.
    pub kind: Kind,
    /// What it may be made of.
    pub payloads: Vec<Payload>,
    /// Its streams, the smallest picture first; at most [`MAX_STREAMS`].
    pub streams: Vec<StreamSpec>,
}

/// How a stream is known before its first packet; nothing at all if it is the only one of its m-line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSpec {
    /// `a=rid` (RFC 8851).
    pub rid: Option<String>,
    /// `a=ssrc`.
    pub ssrc: Option<Ssrc>,
    /// The second one of `a=ssrc-group:FID`.
    pub rtx: Option<Ssrc>,
}

pub(crate) struct Track {
    pub(crate) id: TrackId,
    /// Never given twice.
    pub(crate) serial: u32,
    pub(crate) origin: Origin,
    pub(crate) spec: Publication,
    pub(crate) streams: Vec<Stream>,
    /// Of its publisher's header extensions.
    pub(crate) ids: Ids,
    /// Nobody gets it for the time being.
    pub(crate) is_muted: bool,
    /// As its group knows it.
    pub(crate) voice: Option<SpeakerId>,
    pub(crate) watch: Watch,
    /// Where it is shown.
    pub(crate) slots: Vec<usize>,
    /// Other planes that have it, too.
    pub(crate) carriers: Vec<Carrier>,
}

pub(crate) struct Stream {
    pub(crate) ssrc: Option<Ssrc>,
    pub(crate) reception: Reception,
    pub(crate) missing: Generator,
    pub(crate) store: Store,
    pub(crate) keyframes: Keyframes,
    pub(crate) bytes: u64,
    pub(crate) rates: Rates,
    /// Of its pictures, in pixels, once one has told it.
    pub(crate) height: Option<u16>,
    reader: Reader,
    /// The newest packet whose layer nobody could tell.
    unknown: Option<SeqNo>,
    is_video: bool,
}

/// A packet that is new to its stream.
pub(crate) struct Taken {
    pub(crate) seq: SeqNo,
    pub(crate) codec: Codec,
    pub(crate) header: Header,
    pub(crate) read: Read,
    /// Nothing came of the stream before, or other layers of it.
    pub(crate) appears: bool,
}

impl Track {
    pub(crate) fn new(now: Instant, (id, serial): (TrackId, u32), origin: Origin, spec: Publication) -> Self {
        let codec = spec.payloads.first().map_or(Codec::Opus, |payload| payload.codec);
        let streams: Vec<_> =
            spec.streams.iter().take(MAX_STREAMS).map(|stream| Stream::new(stream.ssrc, codec)).collect();
        let watch = match &origin {
            Origin::Here(_) => Watch::new(now, streams.len()),
            Origin::There(_) => Watch::asleep(),
        };
        let (ids, slots, carriers) = (Ids::default(), Vec::new(), Vec::new());
        Self { id, serial, origin, spec, streams, ids, is_muted: false, voice: None, watch, slots, carriers }
    }

    /// The peer of this plane that sends it.
    pub(crate) fn publisher(&self) -> Option<usize> {
        match &self.origin {
            Origin::Here(endpoint) => Some(*endpoint),
            Origin::There(_) => None,
        }
    }

    /// How it comes from another plane, if it does.
    pub(crate) fn import(&self) -> Option<&Import> {
        match &self.origin {
            Origin::Here(_) => None,
            Origin::There(import) => Some(import),
        }
    }

    pub(crate) fn import_mut(&mut self) -> Option<&mut Import> {
        match &mut self.origin {
            Origin::Here(_) => None,
            Origin::There(import) => Some(import),
        }
    }

    pub(crate) fn is_video(&self) -> bool {
        self.spec.payloads.iter().any(|payload| payload.codec.is_video())
    }

    /// A stream goes on under another SSRC: nothing of it is as it was. `serial`: a new one of the track.
    pub(crate) fn begin_anew(&mut self, stream: usize, ssrc: Ssrc, serial: u32) {
        let codec = self.spec.payloads.first().map_or(Codec::Opus, |payload| payload.codec);
        if let Some(stream) = self.streams.get_mut(stream) {
            let height = stream.height;
            *stream = Stream { height, ..Stream::new(Some(ssrc), codec) };
            self.serial = serial;
        }
    }

    /// What can be had of it: of streams that come, and of those that would if they were asked for.
    pub(crate) fn candidates(&self, now: Instant, most: Option<Layer>, layers: &mut Vec<allocate::Layer>) {
        let most = most.unwrap_or(Layer { stream: u8::MAX, spatial: u8::MAX, temporal: u8::MAX });
        let begin = layers.len();
        let some_flow = self.streams.iter().any(|stream| stream.rates.flows());
        for (stream, index) in self.streams.iter().zip(0..=most.stream) {
            let height = self.height(index.into());
            let comes = stream.rates.flows() || !some_flow || self.watch.may_wake(now, index);
            if !comes {
                continue;
            }
            let start = layers.len();
            let top = stream.layers().map(|(spatial, ..)| spatial).max().unwrap_or(0);
            let measured = stream.layers().filter(|(s, t, _)| *s <= most.spatial && *t <= most.temporal);
            layers.extend(measured.map(|(spatial, temporal, rate)| allocate::Layer {
                spatial: index * STREAM + spatial,
                temporal,
                height: height >> (top - spatial),
                rate,
            }));
            if layers.len() == start {
                let is_lowest = layers.len() == begin;
                let rate = match (self.is_video(), is_lowest) {
                    (false, _) => SOUND,
                    // Whether it fits is seen when it comes.
                    (true, true) => usual(height).min(MODEST),
                    (true, false) => usual(height),
                };
                layers.push(allocate::Layer { spatial: index * STREAM, temporal: 0, height, rate });
            }
        }
    }

    /// How high the pictures of a stream are, as far as is known; otherwise as is usual, each half of the next larger one.
    pub(crate) fn height(&self, stream: usize) -> u16 {
        if let Some(height) = self.streams.get(stream).and_then(|stream| stream.height) {
            return height;
        }
        let largest: u16 = if self.spec.kind == Kind::Screen { 1_080 } else { 720 };
        let below = self.streams.len().saturating_sub(stream + 1);
        largest >> below.min(8)
    }

    /// What a payload type is here.
    pub(crate) fn codec(&self, number: PayloadType) -> Option<Codec> {
        self.spec.payloads.iter().find(|payload| payload.has(number)).map(|payload| payload.codec)
    }

    /// Whose retransmissions a payload type is.
    pub(crate) fn repaired(&self, number: PayloadType) -> Option<PayloadType> {
        self.spec.payloads.iter().find(|payload| payload.rtx == Some(number)).map(|payload| payload.number)
    }

    /// Which of its streams has that name; the only one needs none.
    pub(crate) fn stream_named(&self, rid: Option<&str>) -> Option<usize> {
        match (rid, self.spec.streams.as_slice()) {
            (Some(rid), streams) => streams.iter().position(|stream| stream.rid.as_deref() == Some(rid)),
            (None, [_]) => Some(0),
            (None, _) => None,
        }
    }
}

impl Stream {
    fn new(ssrc: Option<Ssrc>, codec: Codec) -> Self {
        let (is_video, clock) = (codec.is_video(), codec.clock_rate());
        let bound = match is_video {
            true => Bound { age: Duration::from_millis(1_500), bytes: 1 << 20 },
            false => Bound { age: Duration::from_millis(500), bytes: 32 << 10 },
        };
        Self {
            ssrc,
            reception: Reception::new(clock),
            missing: Generator::new(nack::Config::default()),
            store: Store::new(bound),
            keyframes: Keyframes::default(),
            bytes: 0,
            rates: Rates::default(),
            height: None,
            reader: Reader::default(),
            unknown: None,
            is_video,
        }
    }

    /// Takes in a packet; one that came by retransmission was not on the stream's own way. `None`: it has been here before,
    /// or is nothing of this codec.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        codec: Codec,
        ids: &Ids,
        (packet, is_again): (&Packet<'_>, bool),
    ) -> Option<Taken> {
        if !is_again {
            self.reception.handle_packet(now, packet.sequence(), packet.timestamp());
        }
        let seq = match self.missing.handle_packet(now, packet.sequence()) {
            Arrival::New(seq) | Arrival::Late(seq) => seq,
            Arrival::TooFar(seq) => {
                self.keyframes.want();
                seq
            }
            Arrival::Superfluous => return None,
        };
        // Padding that fills a link: a number and nothing else.
        let read = if packet.payload().is_empty() { Read::default() } else { self.reader.read(codec, ids, packet)? };
        if read.is_unknown {
            self.unknown = self.unknown.max(Some(seq));
            self.keyframes.want();
            return Some(Taken { seq, codec, header: Header::of(packet), read, appears: false });
        }
        if self.is_video && read.shape.is_keyframe && read.shape.starts {
            // One that comes late is of no use to those who did not get what came after it.
            if self.unknown.is_none_or(|unknown| unknown < seq) {
                self.keyframes.came();
            }
            self.missing.forget_before(seq);
        }
        self.bytes += packet.payload().len() as u64;
        let layer = (read.shape.spatial, read.shape.temporal);
        let appears = self.rates.on_packet(now, layer, packet.bytes().len() + ON_THE_WAY) || read.changes;
        if let Some(height) = read.height.filter(|_| read.shape.is_keyframe) {
            self.height = Some(height);
        }
        let header = Header::of(packet);
        self.store.put(now, seq, header, packet.bytes());
        Some(Taken { seq, codec, header, read, appears })
    }

    /// What is measured of its layers, as far as its publisher sends them: spatial, temporal, rate.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (u8, u8, Bitrate)> {
        let (top, fastest) = self.reader.active().unwrap_or((u8::MAX, u8::MAX));
        self.rates.layers().filter(move |(spatial, temporal, _)| *spatial <= top && *temporal <= fastest)
    }

    /// When it wants to ask for something.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let missing = if self.is_video { self.missing.poll_timeout() } else { None };
        // Of what does not come nothing is asked for: once it does, whoever waits asks anew.
        let keyframe = self.keyframes.poll_timeout(now).filter(|_| self.rates.flows());
        missing.into_iter().chain(keyframe).min()
    }
}

/// What a picture of this height takes, until it is measured.
fn usual(height: u16) -> Bitrate {
    let height = u64::from(height);
    Bitrate::from_bps(height * height * 16 / 9 * 8 / 5)
}

/// Of IP, UDP and protection.
const ON_THE_WAY: usize = 44;
/// What the smallest picture takes at most, until it is measured.
const MODEST: Bitrate = Bitrate::from_kbps(300);
/// What sound takes, until it is measured.
const SOUND: Bitrate = Bitrate::from_kbps(40);
/// Spatial layers of a stream; in allocations those of all streams are counted together.
pub(crate) const STREAM: u8 = 4;
/// Sizes of one picture.
pub const MAX_STREAMS: usize = 4;
