//! What a publisher sends: pictures of VP8 and frames of Opus that only look like such, paced as a browser paces them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::stamp::{Kind, STAMP_BYTES, Stamp};

/// What all publishers send.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    /// Bits per second of the largest picture.
    pub video: Option<u64>,
    pub audio: bool,
    /// Three sizes at once, each a fourth of the one above.
    pub simulcast: bool,
}

/// The restriction identifiers of a simulcast's layers (RFC 8851), the largest last.
pub const RIDS: [&str; 3] = ["q", "h", "f"];

/// A packet to be sent.
pub struct Packet {
    pub track: Track,
    pub frame: u32,
    /// RTP time.
    pub time: u32,
    /// The last one of its frame.
    pub marker: bool,
    pub payload: Vec<u8>,
}

/// Where a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    Audio,
    /// Which layer, the smallest being the first.
    Video(usize),
}

/// One publisher's media.
pub struct Source {
    number: u16,
    audio: Option<Ticks>,
    video: Option<Ticks>,
    layers: Vec<Layer>,
}

/// Something that comes at equal distances.
struct Ticks {
    next: Instant,
    count: u32,
    every: Duration,
}

struct Layer {
    bits: u64,
    size: (u16, u16),
    is_key_wanted: bool,
    /// What of the frame has to wait, and until when.
    waiting: VecDeque<(Instant, Stamp)>,
    budget_bytes: usize,
}

impl Source {
    pub fn new(number: u16, media: Media, now: Instant) -> Self {
        let layer = |bits, size| Layer {
            bits,
            size,
            is_key_wanted: true,
            waiting: VecDeque::new(),
            budget_bytes: usize::try_from(bits * PACE_FACTOR.0 / PACE_FACTOR.1 / 8 / STEPS_PER_SECOND)
                .unwrap_or(usize::MAX),
        };
        let layers = match media.video {
            None => Vec::new(),
            Some(bits) if media.simulcast => {
                vec![layer(bits / 16, (320, 180)), layer(bits / 4, (640, 360)), layer(bits, (1280, 720))]
            }
            Some(bits) => vec![layer(bits, (1280, 720))],
        };
        // Publishers do not all send at the same moment.
        let start = now + FRAME / 16 * u32::from(number % 16);
        let ticks = |every| Ticks { next: start, count: 0, every };
        Self {
            number,
            audio: media.audio.then(|| ticks(AUDIO_FRAME)),
            video: media.video.map(|_| ticks(FRAME)),
            layers,
        }
    }

    /// Somebody cannot decode a layer; `None`: which one is not known.
    pub fn want_key(&mut self, layer: Option<usize>) {
        for (number, each) in self.layers.iter_mut().enumerate() {
            each.is_key_wanted |= layer.is_none_or(|layer| layer == number);
        }
    }

    /// The frame that is begun is the last one.
    pub fn stop(&mut self) {
        (self.audio, self.video) = (None, None);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let ticks = [&self.audio, &self.video].into_iter().flatten().map(|ticks| ticks.next);
        let waiting = self.layers.iter().filter_map(|layer| layer.waiting.front()).map(|(due, _)| *due);
        ticks.chain(waiting).min()
    }

    /// The next packet that is due; `unix` is the clock at `now`.
    pub fn poll_output(&mut self, now: Instant, unix: Duration) -> Option<Packet> {
        if let Some(count) = self.audio.as_mut().and_then(|ticks| ticks.pass(now)) {
            return Some(self.audio_packet(count, unix));
        }
        if let Some(count) = self.video.as_mut().and_then(|ticks| ticks.pass(now)) {
            let number = self.number;
            self.layers.iter_mut().for_each(|layer| layer.begin(now, number, count));
        }
        let number = self.layers.iter().position(|layer| layer.waiting.front().is_some_and(|(due, _)| *due <= now))?;
        self.layers.get_mut(number)?.packet(number, unix)
    }

    fn audio_packet(&self, count: u32, unix: Duration) -> Packet {
        // A head of Opus: SILK and CELT, 20 ms, one frame (RFC 6716 §3.1).
        let mut payload = vec![0x78];
        stamp(self.number, Kind::Audio, count, (1, 0), unix).write(&mut payload);
        payload.resize(AUDIO_BYTES, 0);
        Packet { track: Track::Audio, frame: count, time: count.wrapping_mul(960), marker: count == 0, payload }
    }
}

impl Ticks {
    /// Its number, if one is due.
    fn pass(&mut self, now: Instant) -> Option<u32> {
        if self.next > now {
            return None;
        }
        let count = self.count;
        self.count = self.count.wrapping_add(1);
        self.next += self.every;
        Some(count)
    }
}

impl Layer {
    /// The next frame: its packets leave in steps, faster than the rate by what browsers allow themselves.
    fn begin(&mut self, now: Instant, publisher: u16, frame: u32) {
        let bytes = usize::try_from(self.bits / 8 / FRAMES_PER_SECOND).unwrap_or(usize::MAX);
        let packets = bytes.div_ceil(PACKET_BYTES).clamp(1, 255);
        let is_key = std::mem::take(&mut self.is_key_wanted) || frame.is_multiple_of(KEY_EVERY);
        let size = self.packet_bytes();
        for packet in 0..packets {
            let step = packet * size / self.budget_bytes.max(size);
            let due = now + STEP * u32::try_from(step).unwrap_or(u32::MAX);
            let of = (u8::try_from(packets).unwrap_or(u8::MAX), u8::try_from(packet).unwrap_or(u8::MAX));
            self.waiting.push_back((due, stamp(publisher, Kind::Video { is_key }, frame, of, Duration::ZERO)));
        }
    }

    fn packet_bytes(&self) -> usize {
        let bytes = usize::try_from(self.bits / 8 / FRAMES_PER_SECOND).unwrap_or(usize::MAX);
        (bytes / bytes.div_ceil(PACKET_BYTES).clamp(1, 255)).clamp(LEAST_BYTES, PACKET_BYTES)
    }

    fn packet(&mut self, number: usize, unix: Duration) -> Option<Packet> {
        let (_, mut stamp) = self.waiting.pop_front()?;
        stamp.sent = unix;
        let first = stamp.packet == 0;
        // RFC 7741 §4.2: extended, S on the first packet, a picture's number of 15 bits, TL0PICIDX.
        let [high, low] = u16::try_from(stamp.frame & 0x7fff).unwrap_or(0).to_be_bytes();
        let tl0 = u8::try_from(stamp.frame & 0xff).unwrap_or(0);
        let mut payload = vec![if first { 0x90 } else { 0x80 }, 0xc0, 0x80 | high, low, tl0];
        if first {
            let is_key = stamp.kind == Kind::Video { is_key: true };
            // RFC 6386 §9.1: a frame tag, shown; a key frame has a start code and its size.
            payload.extend_from_slice(&[if is_key { 0x10 } else { 0x11 }, 0, 0]);
            if is_key {
                payload.extend_from_slice(&[0x9d, 0x01, 0x2a]);
                payload.extend_from_slice(&self.size.0.to_le_bytes());
                payload.extend_from_slice(&self.size.1.to_le_bytes());
            }
        }
        stamp.write(&mut payload);
        payload.resize(self.packet_bytes(), 0);
        let marker = stamp.packet + 1 == stamp.packets;
        let time = stamp.frame.wrapping_mul(3_000);
        Some(Packet { track: Track::Video(number), frame: stamp.frame, time, marker, payload })
    }
}

fn stamp(publisher: u16, kind: Kind, frame: u32, (packets, packet): (u8, u8), sent: Duration) -> Stamp {
    Stamp { publisher, kind, packets, packet, frame, sent }
}

const FRAMES_PER_SECOND: u64 = 30;
/// 1/30 s.
const FRAME: Duration = Duration::from_nanos(33_333_333);
const AUDIO_FRAME: Duration = Duration::from_millis(20);
/// 32 kbit/s.
const AUDIO_BYTES: usize = 80;
/// Of VP8 in a packet, at the most.
const PACKET_BYTES: usize = 1_100;
/// A keyframe's head and the stamp.
const LEAST_BYTES: usize = 15 + STAMP_BYTES;
/// A keyframe at the latest; browsers send one when asked only, other encoders every few seconds.
const KEY_EVERY: u32 = 300;
/// libwebrtc sends up to 2.5 times the rate, in steps of 5 ms.
const PACE_FACTOR: (u64, u64) = (5, 2);
const STEP: Duration = Duration::from_millis(5);
const STEPS_PER_SECOND: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What it sends in this time, and when.
    fn all(media: Media, time: Duration) -> Vec<(Duration, Packet)> {
        let start = Instant::now();
        let mut source = Source::new(0, media, start);
        let mut sent = Vec::new();
        while let Some(now) = source.poll_timeout().filter(|due| *due < start + time) {
            while let Some(packet) = source.poll_output(now, now - start) {
                sent.push((now - start, packet));
            }
        }
        sent
    }

    #[test]
    fn a_second_is_thirty_pictures_of_the_rate_and_fifty_sounds() {
        let sent = all(Media { video: Some(1_500_000), audio: true, simulcast: false }, 990 * MS);
        let (sounds, pictures): (Vec<_>, Vec<_>) = sent.iter().partition(|(_, packet)| packet.track == Track::Audio);
        assert_eq!(sounds.len(), 50);
        let bytes: usize = pictures.iter().map(|(_, packet)| packet.payload.len()).sum();
        assert!((187_500 - 3_000..=187_500).contains(&bytes), "{bytes}");
        assert_eq!(pictures.iter().filter(|(_, packet)| packet.marker).count(), 30);
        // 2343 bytes every 5 ms; a packet that is begun within them is sent.
        let first: Vec<_> =
            pictures.iter().take(6).map(|(at, packet)| (*at, packet.time, packet.payload.len())).collect();
        assert_eq!(first, [0, 0, 0, 5, 5, 10].map(|at| (at * MS, 0, 1041)));
        for (at, packet) in &sent {
            assert_eq!(Stamp::find(&packet.payload).expect("a stamp").sent, *at);
        }
    }

    #[test]
    fn a_keyframe_comes_first_and_when_it_is_asked_for() {
        let start = Instant::now();
        let mut source = Source::new(0, Media { video: Some(64_000), audio: false, simulcast: true }, start);
        let mut keys = Vec::new();
        while let Some(now) = source.poll_timeout().filter(|due| *due < start + FRAME * 20) {
            while let Some(packet) = source.poll_output(now, Duration::ZERO) {
                let stamp = Stamp::find(&packet.payload).expect("a stamp");
                if stamp.kind == (Kind::Video { is_key: true }) {
                    assert_eq!((packet.payload[5] & 1, &packet.payload[8..11]), (0, &[0x9d, 0x01, 0x2a][..]));
                    keys.push((packet.track, stamp.frame));
                }
                if (packet.track, stamp.frame) == (Track::Video(2), 9) {
                    source.want_key(Some(1));
                }
            }
        }
        assert_eq!(keys, [(0, 0), (1, 0), (2, 0), (1, 10)].map(|(layer, frame)| (Track::Video(layer), frame)));
    }
}
