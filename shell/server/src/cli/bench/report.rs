//! What `tandem turn bench` says: a line while it goes on, and the figures at the end.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::link::Transport;
use super::meter::{Meter, Spread};
use super::session::{By, Target};
use super::traffic::Progress;

/// The figures.
#[derive(Serialize)]
pub struct Summary {
    server: SocketAddr,
    transport: Transport,
    by: By,
    /// `None`: clients call each other.
    peer: Option<SocketAddr>,
    callers: usize,
    failed: usize,
    message_bytes: usize,
    seconds: f64,
    set_up_ms: Figures,
    pub messages: Messages,
    round_trip_ms: Figures,
    jitter_ms: f64,
    messages_per_second: f64,
    megabits_per_second: f64,
    /// Why clients have failed, each reason once.
    pub errors: Vec<String>,
}

/// What has become of the messages.
#[derive(Serialize)]
pub struct Messages {
    sent: u64,
    received: u64,
    lost: u64,
    pub lost_percent: f64,
    twice: u64,
}

/// Milliseconds.
#[derive(Serialize)]
struct Figures {
    min: f64,
    avg: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

/// What is known at the end.
pub struct Outcome {
    pub callers: usize,
    pub failed: usize,
    pub errors: Vec<String>,
    pub set_up: Spread,
    pub meter: Meter,
    /// From the first message on.
    pub took: Duration,
}

impl Summary {
    pub fn new(target: Target, peer: Option<SocketAddr>, outcome: Outcome) -> Self {
        let Outcome { callers, failed, errors, set_up, meter, took } = outcome;
        let seconds = took.as_secs_f64();
        let per_second = if seconds > 0.0 { float(meter.received) / seconds } else { 0.0 };
        let bits = f64::from(u32::try_from(target.size).unwrap_or(u32::MAX)) * 8.0;
        Self {
            server: target.server,
            transport: target.transport,
            by: target.by,
            peer,
            callers,
            failed,
            message_bytes: target.size,
            seconds,
            set_up_ms: figures(&set_up),
            messages: Messages {
                sent: meter.sent,
                received: meter.received,
                lost: meter.lost(),
                lost_percent: float(meter.lost()) * 100.0 / float(meter.sent.max(1)),
                twice: meter.twice,
            },
            round_trip_ms: figures(&meter.round_trips),
            jitter_ms: milliseconds(meter.mean_jitter()),
            messages_per_second: per_second,
            megabits_per_second: per_second * bits / 1e6,
            errors,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let by = match self.by {
            By::Channel => "channels",
            By::Send => "Send indications",
            By::Connection => "connections",
        };
        let whom = self.peer.map_or_else(|| "each other's relayed address".to_owned(), |peer| format!("peer {peer}"));
        let Messages { sent, received, lost, lost_percent, twice } = &self.messages;
        let callers = if self.callers == 1 { "1 caller".to_owned() } else { format!("{} callers", self.callers) };
        if *sent == 0 {
            return format!("{callers} at {} over {}: nothing was sent", self.server, self.transport);
        }
        let line = |name: &str, figures: &Figures| {
            format!(
                "{name:<12}min {:.2}  avg {:.2}  p50 {:.2}  p95 {:.2}  p99 {:.2}  max {:.2} ms",
                figures.min, figures.avg, figures.p50, figures.p95, figures.p99, figures.max
            )
        };
        [
            format!(
                "{callers} at {} over {}, {} bytes by {by} to {whom} and back",
                self.server, self.transport, self.message_bytes
            ),
            line("set-up", &self.set_up_ms),
            match received {
                0 => format!("{:<12}nothing came back", "round trip"),
                _ => format!("{}\n{:<12}{:.2} ms", line("round trip", &self.round_trip_ms), "jitter", self.jitter_ms),
            },
            format!(
                "{:<12}{sent} sent, {received} came back, {lost} lost ({lost_percent:.2} %), {twice} twice",
                "messages"
            ),
            format!(
                "{:<12}{:.0} messages/s and {:.2} Mbit/s each way, for {:.1} s",
                "rate", self.messages_per_second, self.megabits_per_second, self.seconds
            ),
        ]
        .join("\n")
    }
}

/// Tells how it goes until it is dropped: one line that changes on a terminal, a line now and then elsewhere.
pub async fn watch(progress: Arc<Progress>, start: Instant) {
    let live = std::io::stderr().is_terminal();
    let mut ticks = tokio::time::interval(if live { LIVE_EVERY } else { PLAIN_EVERY });
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (sent, received) = (progress.sent.load(Ordering::Relaxed), progress.received.load(Ordering::Relaxed));
        let text = format!("{:>4.0} s  {sent} sent, {received} came back", start.elapsed().as_secs_f64());
        let mut terminal = std::io::stderr();
        // Nobody needs it: a terminal that has gone away is no reason to stop.
        let _ = if live { write!(terminal, "\r{text}\x1b[K") } else { writeln!(terminal, "{text}") };
    }
}

/// Takes the live line away.
pub fn clear() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

fn figures(spread: &Spread) -> Figures {
    Figures {
        min: milliseconds(spread.min()),
        avg: milliseconds(spread.mean()),
        p50: milliseconds(spread.percentile(50)),
        p95: milliseconds(spread.percentile(95)),
        p99: milliseconds(spread.percentile(99)),
        max: milliseconds(spread.max()),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Counts stay far below what a double holds exactly.
#[allow(clippy::cast_precision_loss, reason = "for display")]
fn float(count: u64) -> f64 {
    count as f64
}

const LIVE_EVERY: Duration = Duration::from_millis(200);
const PLAIN_EVERY: Duration = Duration::from_secs(5);
