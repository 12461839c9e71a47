//! What a subscriber has got: frames, their delay, what is missing, and how long a picture has stood still.
//!
//! A picture can be shown when all before it could, or when it is a keyframe; a sound always.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::meter::Spread;
use super::source::Media;
use super::stamp::{Kind, Stamp};

/// Figures of one kind of media; of one subscriber, or of all together.
#[derive(Clone, Default)]
pub struct Figures {
    pub packets: u64,
    pub bytes: u64,
    /// Complete ones.
    pub frames: u64,
    pub lost_frames: u64,
    /// From the sending of a frame's last packet to its completeness.
    pub delays: Spread,
    pub packet_delays: Spread,
    pub freezes: u64,
    pub frozen: Duration,
}

/// What one subscriber gets.
#[derive(Default)]
pub struct Sink {
    streams: BTreeMap<(u16, Sort), Stream>,
    is_video_wanted: bool,
    pub audio: Figures,
    pub video: Figures,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Audio,
    Video,
}

/// What comes from one publisher.
#[derive(Default)]
struct Stream {
    /// The frame that is shown next.
    next: u32,
    frames: VecDeque<Frame>,
    /// Only a keyframe helps.
    is_stuck: bool,
    shown: Option<Instant>,
}

#[derive(Default)]
struct Frame {
    got: [u64; 4],
    missing: Option<u8>,
    sent: Duration,
}

impl Sink {
    pub fn new(media: Media) -> Self {
        Self { is_video_wanted: media.video.is_some(), ..Self::default() }
    }

    /// Whether there is something to be seen, or heard where nothing is to be seen.
    pub fn is_playing(&self) -> bool {
        if self.is_video_wanted { self.video.frames > 0 } else { self.audio.frames > 0 }
    }

    /// A packet of which the clock at `now` says `unix`. Says whether it was one of ours.
    pub fn on_packet(&mut self, now: Instant, unix: Duration, payload: &[u8]) -> bool {
        let Some(stamp) = Stamp::find(payload) else { return false };
        let (sort, figures) = match stamp.kind {
            Kind::Audio => (Sort::Audio, &mut self.audio),
            Kind::Video { .. } => (Sort::Video, &mut self.video),
        };
        let stream = self.streams.entry((stamp.publisher, sort)).or_default();
        figures.packets += 1;
        figures.bytes += u64::try_from(payload.len()).unwrap_or(u64::MAX);
        figures.packet_delays.add(unix.saturating_sub(stamp.sent));
        stream.on_packet(now, unix, stamp, figures);
        true
    }

    /// Frames, lost ones, and freezes, so far.
    pub fn counts(&self) -> [u64; 3] {
        let (audio, video) = (&self.audio, &self.video);
        [audio.frames + video.frames, audio.lost_frames + video.lost_frames, video.freezes]
    }

    /// Counts from here on only.
    pub fn begin(&mut self) {
        (self.audio, self.video) = (Figures::default(), Figures::default());
    }

    /// What is not there by now is lost, and what stands still stands still. `sent` says how many sounds and pictures a
    /// publisher has sent, if that is known.
    pub fn finish(&mut self, now: Instant, sent: impl Fn(u16) -> Option<[u32; 2]>) {
        for ((publisher, sort), stream) in &mut self.streams {
            let (figures, sent) = match sort {
                Sort::Audio => (&mut self.audio, sent(*publisher).map(|[audio, _]| audio)),
                Sort::Video => (&mut self.video, sent(*publisher).map(|[_, video]| video)),
            };
            let seen = stream.next.saturating_add(u32::try_from(stream.frames.len()).unwrap_or(u32::MAX));
            if stream.shown.is_some() {
                figures.lost_frames += u64::from(sent.map_or(0, |sent| sent.saturating_sub(seen)));
            }
            figures.lost_frames += stream.frames.iter().filter(|frame| !frame.is_complete()).map(|_| 1).sum::<u64>();
            stream.show(now, figures);
        }
        self.streams.clear();
    }
}

impl Stream {
    fn on_packet(&mut self, now: Instant, unix: Duration, stamp: Stamp, figures: &mut Figures) {
        let is_key = stamp.kind != (Kind::Video { is_key: false });
        if self.shown.is_none() {
            // Whoever comes in the middle of a frame, or has no keyframe yet, waits for one.
            if stamp.packet != 0 || !is_key {
                return;
            }
            (self.shown, self.next) = (Some(now), stamp.frame);
        }
        let Some(ahead) = stamp.frame.checked_sub(self.next) else { return };
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        if ahead >= MOST_FRAMES {
            figures.lost_frames += self.frames.iter().filter(|frame| !frame.is_complete()).map(|_| 1).sum::<u64>();
            self.frames.clear();
            (self.next, self.is_stuck) = (stamp.frame, true);
            return self.on_packet(now, unix, stamp, figures);
        }
        if self.frames.len() <= ahead {
            self.frames.resize_with(ahead + 1, Frame::default);
        }
        let Some(frame) = self.frames.get_mut(ahead) else { return };
        if !frame.add(stamp) {
            return;
        }
        figures.frames += 1;
        figures.delays.add(unix.saturating_sub(frame.sent));
        if is_key && ahead > 0 {
            figures.lost_frames += self.skip(ahead);
        }
        self.is_stuck &= !is_key;
        while !self.is_stuck && self.frames.front().is_some_and(Frame::is_complete) {
            self.frames.pop_front();
            self.next = self.next.wrapping_add(1);
            self.show(now, figures);
        }
    }

    /// Goes on at a keyframe; what has not come before it is lost.
    fn skip(&mut self, count: usize) -> u64 {
        self.next = self.next.wrapping_add(u32::try_from(count).unwrap_or(0));
        self.frames.drain(..count).filter(|frame| !frame.is_complete()).map(|_| 1).sum()
    }

    fn show(&mut self, now: Instant, figures: &mut Figures) {
        let Some(last) = self.shown.replace(now) else { return };
        let gap = now.saturating_duration_since(last);
        if gap > FREEZE {
            figures.freezes += 1;
            figures.frozen += gap;
        }
    }
}

impl Frame {
    /// Whether it is complete by this packet.
    fn add(&mut self, stamp: Stamp) -> bool {
        let (word, bit) = (usize::from(stamp.packet / 64), 1_u64 << (stamp.packet % 64));
        let missing = self.missing.get_or_insert(stamp.packets);
        let Some(got) = self.got.get_mut(word).filter(|got| **got & bit == 0) else { return false };
        *got |= bit;
        self.sent = self.sent.max(stamp.sent);
        *missing = missing.saturating_sub(1);
        *missing == 0
    }

    fn is_complete(&self) -> bool {
        self.missing == Some(0)
    }
}

impl Figures {
    pub fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.frames += other.frames;
        self.lost_frames += other.lost_frames;
        self.delays.merge(&other.delays);
        self.packet_delays.merge(&other.packet_delays);
        self.freezes += other.freezes;
        self.frozen += other.frozen;
    }
}

/// A picture that is older is a freeze.
const FREEZE: Duration = Duration::from_millis(200);
/// Twenty seconds of video: who is further behind begins anew.
const MOST_FRAMES: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Two packets a frame, 33 ms each, 10 ms on the way; `lost` takes packets away.
    fn watch(frames: u32, lost: impl Fn(u32, u8) -> bool, is_key: impl Fn(u32) -> bool) -> Sink {
        let (start, mut sink) = (Instant::now(), Sink::default());
        for frame in 0..frames {
            for packet in 0..2 {
                let sent = 33 * frame * MS;
                let kind = Kind::Video { is_key: is_key(frame) };
                let stamp = Stamp { publisher: 1, kind, packets: 2, packet, frame, sent };
                let mut payload = vec![0; 5];
                stamp.write(&mut payload);
                if !lost(frame, packet) {
                    assert!(sink.on_packet(start + sent + 10 * MS, sent + 10 * MS, &payload));
                }
            }
        }
        sink.finish(start + 33 * frames * MS, |_| Some([0, frames]));
        sink
    }

    #[test]
    fn whole_frames_are_counted_with_their_delay() {
        let Figures { packets, frames, lost_frames, delays, freezes, .. } = watch(100, |_, _| false, |f| f == 0).video;
        assert_eq!((packets, frames, lost_frames, freezes), (200, 100, 0, 0));
        assert_eq!((delays.min(), delays.max()), (10 * MS, 10 * MS));
    }

    #[test]
    fn a_packet_that_never_comes_costs_its_frame_and_stops_the_picture_until_a_keyframe() {
        let sink = watch(100, |frame, packet| (frame, packet) == (50, 1), |frame| frame == 0 || frame == 90);
        let Figures { packets, frames, lost_frames, freezes, frozen, .. } = sink.video;
        assert_eq!((packets, frames, lost_frames), (199, 99, 1));
        // From frame 49 to frame 90.
        assert_eq!((freezes, frozen), (1, 41 * 33 * MS));
    }

    #[test]
    fn a_picture_that_stands_still_at_the_end_is_frozen_and_its_missing_frames_are_lost() {
        let Figures { frames, lost_frames, freezes, .. } =
            watch(100, |f, packet| f >= 80 && (packet == 0 || f >= 90), |f| f == 0).video;
        assert_eq!((frames, lost_frames, freezes), (80, 20, 1));
    }

    #[test]
    fn whoever_comes_in_late_begins_at_a_keyframe() {
        let Figures { frames, lost_frames, freezes, .. } =
            watch(100, |f, packet| (f, packet) < (40, 1), |f| f % 40 == 0).video;
        assert_eq!((frames, lost_frames, freezes), (20, 0, 0));
    }

    #[test]
    fn the_same_packet_again_counts_for_nothing_and_one_far_ahead_begins_anew() {
        let (now, mut sink) = (Instant::now(), Sink::default());
        let mut on = |frame, is_key| {
            let stamp = Stamp {
                publisher: 0,
                kind: Kind::Video { is_key },
                packets: 1,
                packet: 0,
                frame,
                sent: Duration::ZERO,
            };
            let mut payload = Vec::new();
            stamp.write(&mut payload);
            sink.on_packet(now, Duration::ZERO, &payload);
        };
        on(0, true);
        on(0, true);
        on(2, false);
        on(u32::MAX, false);
        on(u32::MAX, true);
        sink.finish(now, |_| None);
        assert_eq!((sink.video.frames, sink.video.lost_frames), (3, 1));
        assert!(!sink.on_packet(now, Duration::ZERO, b"something else"));
    }
}
