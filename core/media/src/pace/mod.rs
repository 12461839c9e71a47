//! When each packet of one connection leaves: bursts are spread, so that they do not fill the queues on the way.
//!
//! ```text
//!  push ──nothing waits, the bucket has room──────────────► Pass: send it at once
//!    └──► audio ──┐
//!    └──► again ──┼─ strictly in this order ──► poll: Send
//!    └──► video ──┘  between tracks in turn     (nothing there while a probe runs: Pad)
//! ```
//!
//! A leaky bucket that empties at a multiple of the target. Below that rate a packet passes through: no queue, no
//! allocation, no walk. What waits is bounded in number and in age; what is dropped is handed back and counted. Making the
//! packets, padding included, is the caller's business.

mod lines;

use std::time::{Duration, Instant};

use self::lines::Waiting;
use crate::SlotId;
use crate::bitrate::Bitrate;
use crate::estimate::{Probe, ProbeId};

/// What goes first, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Small, and of no use when late. Only a flood of it waits at all.
    Audio,
    /// Somebody waits for it already.
    Retransmission,
    /// All else.
    Video,
}

/// How much waits, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The bucket empties at so many times the target.
    pub factor: f64,
    /// How far ahead of the bucket a packet may leave.
    pub burst: Duration,
    /// So many packets wait at most.
    pub packets: usize,
    /// Audio that has waited longer is dropped.
    pub audio_age: Duration,
    /// All else that has waited longer is dropped.
    pub age: Duration,
}

/// Spreads the packets of one connection. `P` is whatever the caller calls a packet.
#[derive(Debug)]
pub struct Pacer<P> {
    config: Config,
    rate: Bitrate,
    /// When the bucket will be empty.
    empty_at: Instant,
    waiting: Waiting<P>,
    burst: Option<Burst>,
    counts: Counts,
}

/// What became of a packet handed in.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed<P> {
    /// Send it at once, as a part of the probe if there is one.
    Pass(P, Option<ProbeId>),
    /// It waits for [`Pacer::poll`].
    Queued,
    /// The queue is full and this one had to go: the packet handed in, or an older one in whose place it waits.
    Dropped(P),
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<P> {
    /// Send this packet, as a part of the probe if there is one.
    Send(P, Option<ProbeId>),
    /// Send about so many bytes of padding in one packet, as a part of this probe. Whoever has none to send calls
    /// [`Pacer::abandon_probe`].
    Pad(usize, ProbeId),
    /// This packet has waited too long and is not sent.
    Late(P),
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that went through at once.
    pub passed: u64,
    /// Packets that had to wait.
    pub queued: u64,
    /// Packets dropped because the queue was full.
    pub overflowed: u64,
    /// Packets dropped because they had waited too long.
    pub late: u64,
    /// Bytes of padding asked for.
    pub padding: u64,
}

/// A probe being sent.
#[derive(Debug)]
struct Burst {
    probe: Probe,
    next_at: Instant,
    bytes: u64,
    packets: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            factor: 2.5,
            burst: Duration::from_millis(5),
            packets: 512,
            audio_age: Duration::from_millis(250),
            age: Duration::from_secs(1),
        }
    }
}

impl<P> Pacer<P> {
    /// A pacer with nothing waiting.
    #[must_use]
    pub fn new(now: Instant, config: Config, target: Bitrate) -> Self {
        Self {
            config,
            rate: target.scale(config.factor),
            empty_at: now,
            waiting: Waiting::default(),
            burst: None,
            counts: Counts::default(),
        }
    }

    /// The estimate has changed.
    pub fn set_target(&mut self, now: Instant, target: Bitrate) {
        let rate = target.scale(self.config.factor);
        if rate != self.rate {
            // What is in the bucket stays in it.
            let inside = self.rate.bytes_in(self.empty_at.saturating_duration_since(now));
            self.empty_at = later(now, rate.time_for(inside));
            self.rate = rate;
        }
    }

    /// A packet of `size` bytes is to be sent.
    pub fn push(&mut self, now: Instant, track: SlotId, class: Class, size: usize, packet: P) -> Pushed<P> {
        if let Some(probe) = self.pass(now, class, size) {
            return Pushed::Pass(packet, probe);
        }
        let dropped = self.make_room(class);
        if let Room::None = dropped {
            self.counts.overflowed = self.counts.overflowed.saturating_add(1);
            return Pushed::Dropped(packet);
        }
        self.waiting.of(class).push(now, track, size, packet);
        self.counts.queued = self.counts.queued.saturating_add(1);
        match dropped {
            Room::Made(older) => {
                self.counts.overflowed = self.counts.overflowed.saturating_add(1);
                Pushed::Dropped(older)
            }
            Room::Enough | Room::None => Pushed::Queued,
        }
    }

    /// Whether a packet of about so many bytes may leave at once, and then as a part of which probe: whoever asks need not
    /// have made the packet yet. `None`: make it, and hand it to [`Pacer::push`].
    pub fn pass(&mut self, now: Instant, class: Class, size: usize) -> Option<Option<ProbeId>> {
        let passes = self.may_pass(now, class);
        self.counts.passed = self.counts.passed.saturating_add(u64::from(passes));
        passes.then(|| self.on_sent(now, size))
    }

    /// The next thing to do. Ask until there is none, after [`Self::poll_timeout`] has come.
    pub fn poll(&mut self, now: Instant) -> Option<Output<P>> {
        self.end_burst(now);
        if self.waiting.is_empty() && self.burst.is_none() || self.opens_at() > now {
            return None;
        }
        let Some((class, item)) = self.waiting.next() else { return self.pad(now) };
        let age = if class == Class::Audio { self.config.audio_age } else { self.config.age };
        if now.saturating_duration_since(item.since) > age {
            self.counts.late = self.counts.late.saturating_add(1);
            return Some(Output::Late(item.packet));
        }
        let probe = self.on_sent(now, item.size);
        Some(Output::Send(item.packet, probe))
    }

    /// When there will be something to do, if nothing is handed in before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.waiting.is_empty() && self.burst.is_none();
        (!idle).then(|| self.opens_at())
    }

    /// Begins a probe; one that is under way is left off.
    pub fn start_probe(&mut self, now: Instant, probe: Probe) {
        self.burst = Some(Burst { probe, next_at: now, bytes: 0, packets: 0 });
    }

    /// Leaves off the probe, if one is under way: there is no padding to be had.
    pub fn abandon_probe(&mut self) {
        self.burst = None;
    }

    /// Nothing more will come of this track; what waits of it is forgotten.
    pub fn remove_track(&mut self, track: SlotId) {
        self.waiting.remove(track);
    }

    /// How many packets wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn may_pass(&self, now: Instant, class: Class) -> bool {
        match class {
            Class::Audio => self.waiting.none_of(Class::Audio) && self.empty_at <= later(now, AUDIO_AHEAD),
            Class::Retransmission | Class::Video => self.waiting.is_empty() && self.opens_at() <= now,
        }
    }

    fn opens_at(&self) -> Instant {
        match &self.burst {
            Some(burst) => burst.next_at,
            None => self.empty_at.checked_sub(self.config.burst).unwrap_or(self.empty_at),
        }
    }

    fn on_sent(&mut self, now: Instant, size: usize) -> Option<ProbeId> {
        let size = bytes(size);
        self.empty_at = later(self.empty_at.max(now), self.rate.time_for(size));
        self.end_burst(now);
        let burst = self.burst.as_mut()?;
        burst.on_sent(now, size);
        Some(burst.probe.id)
    }

    fn pad(&mut self, now: Instant) -> Option<Output<P>> {
        let burst = self.burst.as_mut()?;
        burst.on_sent(now, bytes(PADDING));
        self.counts.padding = self.counts.padding.saturating_add(bytes(PADDING));
        Some(Output::Pad(PADDING, burst.probe.id))
    }

    fn end_burst(&mut self, now: Instant) {
        self.burst.take_if(|burst| burst.complete() || now >= burst.probe.until);
    }

    fn make_room(&mut self, class: Class) -> Room<P> {
        if self.waiting.len() < self.config.packets {
            return Room::Enough;
        }
        self.waiting.evict(class).map_or(Room::None, Room::Made)
    }
}

enum Room<P> {
    Enough,
    Made(P),
    None,
}

impl Burst {
    fn complete(&self) -> bool {
        self.bytes >= self.probe.bytes && self.packets >= self.probe.packets
    }

    /// A wake-up that comes late is made good, as far as it is not very late.
    fn on_sent(&mut self, now: Instant, size: u64) {
        let from = now.checked_sub(CATCH_UP).map_or(self.next_at, |earliest| self.next_at.max(earliest));
        self.next_at = later(from, self.probe.rate.time_for(size));
        self.bytes = self.bytes.saturating_add(size);
        self.packets = self.packets.saturating_add(1);
    }
}

fn later(instant: Instant, time: Duration) -> Instant {
    instant.checked_add(time).unwrap_or(instant)
}

fn bytes(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

/// Audio does not wait before the bucket is so far behind.
const AUDIO_AHEAD: Duration = Duration::from_millis(100);
/// A packet of padding.
const PADDING: usize = 1_000;
const CATCH_UP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
