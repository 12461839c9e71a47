//! What `tandem bench sfu` says: a line while it goes on, and the figures at the end.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::meter::Spread;
use super::Load;
use super::client::Progress;
use super::process::Usage;
use super::sink::Figures;
use super::worker::Measured;

/// The figures.
#[derive(Serialize)]
pub struct Summary {
    publishers: u16,
    subscribers: u32,
    video_bits: u64,
    audio_on: bool,
    simulcast: bool,
    seconds: f64,
    pub joins: Joins,
    pub packets: Packets,
    video: Option<Kind>,
    audio: Option<Kind>,
    server: Option<Server>,
    generator: Generator,
}

/// Who has come in.
#[derive(Serialize)]
pub struct Joins {
    pub clients: u32,
    pub failed: u32,
    /// Of subscribers, from the first question to the last connection.
    per_second: f64,
    #[serde(skip)]
    took: Duration,
    connect_ms: Times,
    /// Until the first whole frame, from the same beginning.
    first_frame_ms: Times,
    /// Why clients have failed, each reason once.
    pub errors: Vec<String>,
}

#[derive(Serialize)]
pub struct Packets {
    sent: u64,
    pub received: u64,
    per_second: f64,
    /// Of payload that has arrived.
    megabits_per_second: f64,
    delay_ms: Times,
}

/// What has become of frames.
#[derive(Serialize)]
struct Kind {
    frames: u64,
    lost: u64,
    lost_percent: f64,
    delay_ms: Times,
    freezes: u64,
    frozen_seconds: f64,
}

/// What the server has used.
#[derive(Serialize)]
struct Server {
    cores: f64,
    /// Processor time of each packet that has arrived at a subscriber.
    us_per_packet: f64,
    /// Processor time of each subscriber's coming in, forwarding meanwhile included.
    join_ms: f64,
    kib_per_subscriber: f64,
    resident_mib: f64,
}

/// Whether the generator itself can be believed.
#[derive(Serialize)]
struct Generator {
    late_ms: Times,
    refused: u64,
}

/// Milliseconds.
#[derive(Serialize)]
struct Times {
    p50: f64,
    p99: f64,
    max: f64,
}

/// When things were, and what the server had used: with publishers, with subscribers, and around the measurement.
pub struct Window {
    pub took: Duration,
    pub joining: Duration,
    pub sent: u64,
    pub usage: [Option<Usage>; 4],
}

impl Joins {
    pub fn new(
        (clients, failed): (u32, u32),
        (connecting, starting): (Spread, Spread),
        took: Duration,
        errors: Vec<String>,
    ) -> Self {
        let (connect_ms, first_frame_ms) = (Times::of(&connecting), Times::of(&starting));
        Self { clients, failed, per_second: 0.0, took, connect_ms, first_frame_ms, errors }
    }
}

impl Summary {
    pub fn new(load: &Load, mut joins: Joins, window: &Window, (measured, progress): (&Measured, &Progress)) -> Self {
        let Measured { audio, video, late } = measured;
        joins.per_second = ratio(f64::from(load.subscribers), joins.took.as_secs_f64());
        let (seconds, received) = (window.took.as_secs_f64(), audio.packets + video.packets);
        let mut delays = audio.packet_delays.clone();
        delays.merge(&video.packet_delays);
        let packets = Packets {
            sent: window.sent,
            received,
            per_second: ratio(float(received), seconds),
            megabits_per_second: ratio(float(audio.bytes + video.bytes) * 8e-6, seconds),
            delay_ms: Times::of(&delays),
        };
        let generator = Generator { late_ms: Times::of(late), refused: progress.refused.load(Ordering::Relaxed) };
        Self {
            publishers: load.publishers,
            subscribers: load.subscribers,
            video_bits: load.video,
            audio_on: load.audio,
            simulcast: load.simulcast,
            seconds,
            server: Server::new(load, window, received),
            joins,
            packets,
            video: (load.video > 0).then(|| Kind::of(video)),
            audio: load.audio.then(|| Kind::of(audio)),
            generator,
        }
    }

    /// Of all frames.
    pub fn lost_percent(&self) -> f64 {
        let kinds = || [&self.video, &self.audio].into_iter().flatten();
        let lost: u64 = kinds().map(|kind| kind.lost).sum();
        ratio(float(lost), float(lost + kinds().map(|kind| kind.frames).sum::<u64>())) * 100.0
    }

    /// For people.
    pub fn text(&self) -> String {
        let Joins { clients, failed, per_second, connect_ms, first_frame_ms, .. } = &self.joins;
        let what = match (&self.video, &self.audio) {
            (Some(_), Some(_)) => "video and audio",
            (Some(_), None) => "video",
            (None, _) => "audio",
        };
        let mut lines = vec![
            format!(
                "{} of {what}, {}, {:.1} s",
                many(self.publishers.into(), "publisher"),
                many(self.subscribers, "subscriber"),
                self.seconds
            ),
            format!(
                "{:<12}{} of {clients}, {per_second:.1} joins/s, connected {connect_ms}",
                "clients",
                clients - failed
            ),
            format!("{:<12}after {first_frame_ms}", if self.video.is_some() { "picture" } else { "sound" }),
            self.packets.text(),
        ];
        lines.extend(self.video.as_ref().map(|kind| kind.text("video")));
        lines.extend(self.audio.as_ref().map(|kind| kind.text("audio")));
        lines.extend(self.server.as_ref().map(Server::text));
        let Generator { late_ms, refused } = &self.generator;
        lines.push(format!("{:<12}late {late_ms}, {refused} datagrams not taken by the system", "generator"));
        lines.join("\n")
    }
}

impl Packets {
    fn text(&self) -> String {
        let Self { sent, received, per_second, megabits_per_second, delay_ms } = self;
        format!(
            "{:<12}{sent} sent, {received} received ({per_second:.0}/s, {megabits_per_second:.1} Mbit/s), delay {delay_ms}",
            "packets"
        )
    }
}

impl Kind {
    fn of(figures: &Figures) -> Self {
        Self {
            frames: figures.frames,
            lost: figures.lost_frames,
            lost_percent: ratio(float(figures.lost_frames), float(figures.lost_frames + figures.frames)) * 100.0,
            delay_ms: Times::of(&figures.delays),
            freezes: figures.freezes,
            frozen_seconds: figures.frozen.as_secs_f64(),
        }
    }

    fn text(&self, name: &str) -> String {
        let Self { frames, lost, lost_percent, delay_ms, freezes, frozen_seconds } = self;
        format!(
            "{name:<12}{frames} frames, {lost} lost ({lost_percent:.2} %), delay {delay_ms}, {freezes} freezes ({frozen_seconds:.1} s)"
        )
    }
}

impl Server {
    fn new(load: &Load, window: &Window, received: u64) -> Option<Self> {
        let [alone, together, begun, ended] = window.usage;
        let (alone, together, begun, ended) = (alone?, together?, begun?, ended?);
        let used = ended.processor.saturating_sub(begun.processor).as_secs_f64();
        let subscribers = f64::from(load.subscribers);
        let grown = ended.resident_bytes.saturating_sub(alone.resident_bytes);
        Some(Self {
            cores: ratio(used, window.took.as_secs_f64()),
            us_per_packet: ratio(used * 1e6, float(received)),
            join_ms: together.processor.saturating_sub(alone.processor).as_secs_f64() * 1e3 / subscribers,
            kib_per_subscriber: float(grown) / 1024.0 / subscribers,
            resident_mib: float(ended.resident_bytes) / 1024.0 / 1024.0,
        })
    }

    fn text(&self) -> String {
        let Self { cores, us_per_packet, join_ms, kib_per_subscriber, resident_mib } = self;
        format!(
            "{:<12}{cores:.2} cores, {us_per_packet:.1} us a packet, {join_ms:.1} ms a join, {kib_per_subscriber:.0} KiB a subscriber of {resident_mib:.0} MiB",
            "server"
        )
    }
}

impl Times {
    fn of(spread: &Spread) -> Self {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self { p50: ms(spread.percentile(50)), p99: ms(spread.percentile(99)), max: ms(spread.max()) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "p50 {:.1}  p99 {:.1}  max {:.1} ms", self.p50, self.p99, self.max)
    }
}

/// One line that changes on a terminal, a line now and then elsewhere.
pub struct Line {
    is_live: bool,
    start: Instant,
    shown: Option<Instant>,
    received: u64,
}

impl Line {
    pub fn new() -> Self {
        Self { is_live: std::io::stderr().is_terminal(), start: Instant::now(), shown: None, received: 0 }
    }

    pub fn show(&mut self, progress: &Progress, (connected, asked): (u32, u32)) {
        let now = Instant::now();
        let every = if self.is_live { LIVE_EVERY } else { PLAIN_EVERY };
        let since = now.saturating_duration_since(*self.shown.get_or_insert(self.start));
        if since < every {
            return;
        }
        self.shown = Some(now);
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let received = read(&progress.received);
        let rate =
            float(received.saturating_sub(std::mem::replace(&mut self.received, received))) / since.as_secs_f64();
        let (frames, lost, freezes) = (read(&progress.frames), read(&progress.lost_frames), read(&progress.freezes));
        let seconds = now.saturating_duration_since(self.start).as_secs_f64();
        let text = format!(
            "{seconds:>4.0} s  {connected} of {asked} connected, {rate:.0} packets/s, {frames} frames, {lost} lost, {freezes} freezes"
        );
        let mut terminal = std::io::stderr();
        // Nobody needs it: a terminal that has gone away is no reason to stop.
        let _ = if self.is_live { write!(terminal, "\r{text}\x1b[K") } else { writeln!(terminal, "{text}") };
    }

    /// Takes the live line away.
    pub fn clear(&self) {
        if self.is_live {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn many(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn ratio(count: f64, of: f64) -> f64 {
    if of > 0.0 { count / of } else { 0.0 }
}

/// Counts stay far below what a double holds exactly.
#[allow(clippy::cast_precision_loss, reason = "for display")]
fn float(count: u64) -> f64 {
    count as f64
}

const LIVE_EVERY: Duration = Duration::from_millis(200);
const PLAIN_EVERY: Duration = Duration::from_secs(5);
