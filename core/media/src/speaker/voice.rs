//! One voice: how loud it is above its own noise, remembered for a short, a middle and a long time.

use std::time::{Duration, Instant};

use super::Activity;

/// What is remembered of one voice.
#[derive(Debug)]
pub(super) struct Voice {
    /// Loudness without speech, in dB above silence.
    noise: f32,
    heard: Option<Instant>,
    detector: Detector,
    memory: Memory,
}

/// Whether the sender has a detector of its own.
#[derive(Debug, PartialEq, Eq)]
enum Detector {
    Unknown,
    Seen,
}

/// Each from 0 (silent all the time) to 1.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    short: f32,
    middle: f32,
    long: f32,
}

impl Voice {
    pub(super) fn new() -> Self {
        Self { noise: NOISE_FIRST, heard: None, detector: Detector::Unknown, memory: Memory::default() }
    }

    pub(super) fn hear(&mut self, now: Instant, level: u8, activity: Activity) {
        let passed = self.heard.map_or(PACKET, |at| now.saturating_duration_since(at));
        self.heard = Some(self.heard.map_or(now, |at| at.max(now)));
        let time = passed.min(PACKET_LONGEST);
        // A sender that is silent may send nothing at all.
        self.memory = self.memory.after(0.0, passed.saturating_sub(time));
        let speech = self.speech(level, activity, time);
        self.memory = self.memory.after(speech, time);
    }

    /// Long enough to be more than a cough.
    pub(super) fn speaks(&self) -> bool {
        self.memory.short > SPEAKS_SHORT && self.memory.middle > SPEAKS_MIDDLE && self.memory.long > SPEAKS_LONG
    }

    pub(super) fn leads(&self, now: Instant, other: &Self) -> bool {
        let (mine, theirs) = (self.memory, other.faded(now));
        mine.short > LEAD_SHORT * theirs.short && mine.middle > LEAD_MIDDLE * theirs.middle && mine.long > theirs.long
    }

    fn faded(&self, now: Instant) -> Memory {
        let passed = self.heard.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.memory.after(0.0, passed.saturating_sub(PACKET_LONGEST))
    }

    fn speech(&mut self, level: u8, activity: Activity, time: Duration) -> f32 {
        let loudness = f32::from(SILENCE.saturating_sub(level));
        let speech = ((loudness - self.noise.max(QUIET) - ABOVE_NOISE) / FULL).clamp(0.0, 1.0);
        self.noise = if loudness < self.noise {
            self.noise + (loudness - self.noise) * NOISE_FALLS
        } else {
            (self.noise + NOISE_RISES * time.as_secs_f32()).min(loudness).min(NOISE_MOST)
        };
        match (activity, &self.detector) {
            (Activity::Speech, _) => {
                self.detector = Detector::Seen;
                speech
            }
            (Activity::Unknown, Detector::Unknown) => speech,
            (Activity::Unknown, Detector::Seen) => speech * DOUBTED,
        }
    }
}

impl Memory {
    /// After so much time of so much speech.
    fn after(self, speech: f32, time: Duration) -> Self {
        let time = time.as_secs_f32();
        let blend = |before: f32, constant: f32| before + (speech - before) * (time / (time + constant));
        Self { short: blend(self.short, SHORT), middle: blend(self.middle, MIDDLE), long: blend(self.long, LONG) }
    }
}

const SILENCE: u8 = 127;
/// Seconds.
const SHORT: f32 = 0.1;
const MIDDLE: f32 = 0.4;
const LONG: f32 = 1.5;
const PACKET: Duration = Duration::from_millis(20);
/// A pause that is longer is silence.
const PACKET_LONGEST: Duration = Duration::from_millis(120);
/// -67 dBov: below it nothing is speech.
const QUIET: f32 = 60.0;
const NOISE_FIRST: f32 = 50.0;
const NOISE_MOST: f32 = 85.0;
/// In dB per second: speech has pauses, a fan has none.
const NOISE_RISES: f32 = 2.0;
/// The share of the difference, for each packet.
const NOISE_FALLS: f32 = 0.3;
/// Speech begins so many dB above noise, and counts in full so many above that.
const ABOVE_NOISE: f32 = 6.0;
const FULL: f32 = 15.0;
/// What counts of a packet in which the sender's detector hears no speech.
const DOUBTED: f32 = 0.2;
const SPEAKS_SHORT: f32 = 0.3;
const SPEAKS_MIDDLE: f32 = 0.3;
const SPEAKS_LONG: f32 = 0.12;
const LEAD_SHORT: f32 = 1.5;
const LEAD_MIDDLE: f32 = 1.25;
