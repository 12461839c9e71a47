//! `tandem bench sfu`: publishers and subscribers at a server that speaks WHIP and WHEP, ours or any other.

mod client;
mod http;
mod janus;
mod join;
mod process;
mod report;
mod run;
mod sink;
mod source;
mod stamp;
mod whip;
mod worker;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::super::resolve::Families;
use super::super::{note, say};
use http::{Site, Trust};
use source::Media;

/// Measure how a server forwards media: what arrives, how late, and what it costs.
///
/// Publishers come in by WHIP (RFC 9725) and send numbered, timed packets; subscribers come in by WHEP and count.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The server; the addresses asked are below it: /whip/ROOM and /whep/ROOM.
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443")]
    url: String,
    #[command(flatten)]
    families: Families,
    /// The room.
    #[arg(long, value_name = "NAME", default_value = "bench")]
    room: String,
    /// Sent as `Authorization: Bearer`.
    #[arg(long, value_name = "TOKEN", env = "TANDEM_BENCH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    load: Load,
    /// For how long to measure, from a second after everybody has a picture.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Believe any certificate.
    #[arg(long)]
    insecure: bool,
    /// Figures of a process on this machine, the server's, beside the others.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// More frames lost than this many percent is a failure.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    max_loss: f64,
    /// Write the figures there, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The URL of a Janus, which is asked for its videoroom instead.
    #[arg(long, value_name = "URL", hide = true)]
    janus: Option<String>,
}

/// Who comes and what is sent.
#[derive(Args)]
struct Load {
    /// Clients that publish.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    publishers: u16,
    /// Clients that watch; each asks for as much as all publishers send.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    subscribers: u32,
    /// Bits per second of each publisher's video, such as 500k or 1.5M; 0 is none.
    #[arg(long, value_name = "RATE", default_value = "1.5M", value_parser = rate)]
    video: u64,
    /// Publish audio as well: 50 packets per second.
    #[arg(long)]
    audio: bool,
    /// Publish the video in three sizes at once.
    #[arg(long)]
    simulcast: bool,
    /// Clients that come in at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    at_once: u16,
    /// Threads with clients; without it one for each core.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

const EXAMPLES: &str = "Examples:
  tandem bench sfu --insecure                                    one publisher, ten subscribers, the server on this machine
  tandem bench sfu --url https://talk.example.org --room load --publishers 4 --subscribers 40 --audio --simulcast
  tandem bench sfu --insecure --subscribers 200 --server-pid $(pidof tandem) --json figures.json
Exit code 0: everybody came in, and no more was lost than --max-loss allows. Ctrl-C ends it early, with the figures so far.";

/// Runs it.
pub fn run(command: &Command) -> anyhow::Result<()> {
    let media = Media {
        video: Some(command.load.video).filter(|rate| *rate > 0),
        audio: command.load.audio,
        simulcast: command.load.simulcast,
    };
    if media.video.is_none() && !media.audio {
        bail!("expected --video or --audio: nothing would be sent");
    }
    let trust = if command.insecure { Trust::Anyone } else { Trust::Authorities };
    let url = command.janus.as_ref().unwrap_or(&command.url);
    let site = Site::new(url, trust, command.token.clone(), command.families)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let summary = runtime.block_on(run::measure(command, media, site))?;
    for error in &summary.joins.errors {
        note(error);
    }
    say(&summary.text());
    if let Some(path) = &command.json {
        let text = serde_json::to_string_pretty(&summary)?;
        std::fs::write(path, text).with_context(|| format!("the figures cannot be written to {}", path.display()))?;
    }
    if summary.joins.failed > 0 {
        bail!("{} of {} clients failed", summary.joins.failed, summary.joins.clients);
    }
    let lost = summary.lost_percent();
    if lost > command.max_loss {
        bail!("{lost:.2} % of the frames are lost, more than {} %", command.max_loss);
    }
    if summary.packets.received == 0 {
        bail!("nothing has arrived");
    }
    Ok(())
}

/// Bits per second, with k or M.
fn rate(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1e3),
        Some(digits) => (digits, 1e6),
        None => (text, 1.0),
    };
    let number: f64 = digits.parse().map_err(|_| format!("expected a rate such as 1.5M, got {text}"))?;
    let bits = number * unit;
    if !(0.0..=MOST_BITS).contains(&bits) {
        return Err(format!("expected a rate up to 50M, got {text}"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 50 million")]
    Ok(bits as u64)
}

/// A frame has at most 255 packets.
const MOST_BITS: f64 = 50e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_with_a_unit() {
        let good = [("0", 0), ("64000", 64_000), ("500k", 500_000), ("1.5M", 1_500_000)];
        for (text, bits) in good {
            assert_eq!(rate(text), Ok(bits), "{text}");
        }
        for text in ["", "k", "-1", "1G", "51M", "NaN", "inf"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
