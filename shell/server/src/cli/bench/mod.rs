//! `tandem turn bench`: clients at a relay, ours or any other, that call each other or a peer and count what comes back.

mod link;
mod meter;
mod report;
mod secure;
mod session;
#[cfg(feature = "bench-sfu")]
pub mod sfu;
mod traffic;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use tandem_stun::client::{Carrier, Login};
use tandem_stun::credential::credential;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::resolve::{Families, resolve};
use super::{Options, note, say};
use crate::unix_ms;
use link::Transport;
use meter::{LEAST, Meter, Spread};
use report::{Outcome, Summary};
use session::{By, Target};
use traffic::{Call, Load, Progress};

/// Measure a relay, this one or any other: loss, round trip, jitter.
///
/// Callers allocate, send numbered messages at a steady pace, and count what comes back from each other or from a peer that echoes (`tandem turn peer`).
/// Without a server's address, and without credentials, it is the server of these settings on this machine.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Name or address of the server, with or without a port.
    #[arg(value_name = "SERVER[:PORT]")]
    server: Option<String>,
    #[command(flatten)]
    families: Families,
    /// How clients reach the server. Its certificate is taken as it is.
    #[arg(long, short, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    /// How messages travel.
    #[arg(long, value_enum, default_value_t = By::Channel)]
    by: By,
    /// An echo outside, such as `tandem turn peer`; without it clients call each other through the relay.
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer: Option<String>,
    /// Clients that call; each has another one, or the peer, that answers.
    #[arg(long, short = 'm', value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    credentials: Credentials,
    /// More loss than this many percent is a failure.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    max_loss: f64,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// What callers send.
#[derive(Args)]
struct Pace {
    /// Messages of each caller.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 250, conflicts_with = "time")]
    messages: u64,
    /// Go on for this many seconds instead.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    time: Option<u64>,
    /// Bytes of a message.
    #[arg(long, short, value_name = "BYTES", default_value_t = 160, value_parser = clap::value_parser!(u16).range(20..=60_000))]
    size: u16,
    /// Messages per second of each caller.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
}

/// Who the clients are.
#[derive(Args)]
struct Credentials {
    /// Name of a user; with `--secret` a part of the names made with it.
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,
    /// Its password; better given by the environment, which others do not see.
    #[arg(
        long,
        short = 'w',
        env = "TANDEM_TURN_PASSWORD",
        hide_env_values = true,
        requires = "user",
        conflicts_with = "secret"
    )]
    password: Option<String>,
    /// Secret that makes credentials (`relay.secret`, coturn's `static-auth-secret`): each client gets a name of its own.
    #[arg(long, env = "TANDEM_TURN_SECRET", hide_env_values = true)]
    secret: Option<String>,
}

const EXAMPLES: &str = "Examples:
  tandem turn bench                                    the server on this machine, with its own secret
  TANDEM_TURN_SECRET=... tandem turn bench turn.example.org --transport tls -m 100 --time 60
  tandem turn bench turn.example.org -u alice -w PASSWORD --peer 198.51.100.7:3480
  tandem turn bench 192.0.2.1 -u alice -w PASSWORD -t tcp --by connection
  tandem turn bench 192.0.2.1:5349 -u alice -w PASSWORD -t dtls --by send
Exit code 0: every client could relay, and no more was lost than --max-loss allows. Ctrl-C ends it early, with the figures so far.";

/// Runs it.
pub fn run(command: &Command) -> anyhow::Result<()> {
    let settings = command.options.load()?.settings;
    let datagrams = command.transport.carrier() == Carrier::Datagrams;
    if command.by == By::Connection && datagrams {
        bail!("--by connection needs --transport tcp or tls (RFC 6062 §4.1)");
    }
    if command.transport == Transport::Dtls && command.pace.size > LARGEST_OF_DTLS {
        bail!("--size over DTLS is at most {LARGEST_OF_DTLS} bytes: what fits a record (RFC 6347 §4.1)");
    }
    let (server, peer) = command.addresses(&settings)?;
    let target = Target {
        server,
        transport: command.transport,
        by: command.by,
        size: usize::from(command.pace.size).max(LEAST),
    };
    let identities = command.identities(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(measure(command, (target, peer), identities))?;
    let (failed, callers) = (outcome.failed, outcome.callers);
    let summary = Summary::new(target, peer, outcome);
    for error in &summary.errors {
        note(error);
    }
    say(&if command.json { serde_json::to_string_pretty(&summary)? } else { summary.text() });
    if failed > 0 {
        if failed == callers && command.server.is_none() {
            note(
                "Is it where a server runs? Ports are those of these settings: --relay.port, --relay.tls-port, --config.",
            );
        }
        bail!("{failed} of {callers} callers failed");
    }
    if summary.messages.lost_percent > command.max_loss {
        bail!("{:.2} % are lost, more than {} %", summary.messages.lost_percent, command.max_loss);
    }
    Ok(())
}

/// Who the clients say they are.
enum Identities {
    User(Login),
    Secret { secret: String, prefix: String, expiry: u64 },
}

impl Identities {
    fn login(&self, client: u32) -> anyhow::Result<Login> {
        match self {
            Self::User(login) => Ok(login.clone()),
            Self::Secret { secret, prefix, expiry } => {
                let made = credential(secret.as_bytes(), *expiry, &format!("{prefix}-{client}"));
                Login::new(&made.username, &made.password).context("a name with control characters")
            }
        }
    }
}

impl Command {
    fn addresses(&self, settings: &crate::config::Settings) -> anyhow::Result<(SocketAddr, Option<SocketAddr>)> {
        let port = match (&self.server, self.transport) {
            (None, Transport::Udp | Transport::Tcp) => settings.relay.port,
            (None, Transport::Tls | Transport::Dtls) => settings.relay.tls_port,
            // RFC 8656 §3.1; RFC 7350 §3.
            (Some(_), Transport::Udp | Transport::Tcp) => 3478,
            (Some(_), Transport::Tls | Transport::Dtls) => 5349,
        };
        let server = match &self.server {
            Some(server) => resolve(server, port, self.families)?,
            None => {
                let here: IpAddr =
                    if self.families.v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
                (here, port).into()
            }
        };
        let peer = self.peer.as_ref().map(|peer| resolve(peer, super::peer::PORT, self.families)).transpose()?;
        Ok((server, peer))
    }

    fn identities(&self, settings: &crate::config::Settings) -> anyhow::Result<Identities> {
        let Credentials { user, password, secret } = &self.credentials;
        if let (Some(user), Some(password), None) = (user, password, secret) {
            let login = Login::new(user, password);
            return login.map(Identities::User).context("expected a name and a password without control characters");
        }
        let secret = match (secret, &settings.relay.secret) {
            (Some(secret), _) => secret.clone(),
            (None, _) if user.is_some() || self.server.is_some() => {
                bail!("expected --user and --password (TANDEM_TURN_PASSWORD), or --secret (TANDEM_TURN_SECRET)")
            }
            (None, Some(secret)) => secret.0.clone(),
            (None, None) => {
                let path = settings.data_dir.join("relay-secret");
                let text = std::fs::read_to_string(&path).with_context(|| {
                    format!("expected --user or --secret, or the secret of a server in {}", path.display())
                })?;
                text.trim().to_owned()
            }
        };
        let prefix = user.clone().unwrap_or_else(|| "bench".to_owned());
        Ok(Identities::Secret { secret, prefix, expiry: unix_ms() / 1000 + 86_400 })
    }
}

impl Pace {
    fn load(&self) -> Load {
        let messages = self.time.is_none().then_some(self.messages);
        let every = Duration::from_secs(1) / self.rate;
        Load { messages, time: self.time.map(Duration::from_secs), every }
    }
}

async fn measure(
    command: &Command,
    (target, peer): (Target, Option<SocketAddr>),
    identities: Identities,
) -> anyhow::Result<Outcome> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            // Whoever does not listen has ended.
            let _ = stop.send(true);
        }
        std::future::pending::<()>().await;
    });
    let mut errors = Errors::default();
    let mut set_up = Spread::default();
    let calls = set_up_all(command.callers, (target, peer), &identities, (&mut errors, stopped.clone())).await?;
    calls.iter().for_each(|(_, call)| set_up.add(call.took));
    let start = Instant::now();
    let progress = Arc::new(Progress::default());
    let watcher = tokio::spawn(report::watch(Arc::clone(&progress), start));
    let mut running = JoinSet::new();
    for (number, call) in calls {
        running.spawn(call.run(number, (target, command.pace.load()), Arc::clone(&progress), stopped.clone()));
    }
    let mut meter = Meter::default();
    while let Some(ended) = running.join_next().await {
        match ended.context("a caller has broken down")? {
            Ok(measured) => meter.merge(&measured),
            Err(error) => errors.add(&error),
        }
    }
    watcher.abort();
    report::clear();
    let callers = usize::try_from(command.callers).unwrap_or(usize::MAX);
    Ok(Outcome { callers, failed: errors.count, errors: errors.texts, set_up, meter, took: start.elapsed() })
}

/// Reasons, each once.
#[derive(Default)]
struct Errors {
    count: usize,
    texts: Vec<String>,
}

impl Errors {
    fn add(&mut self, error: &anyhow::Error) {
        self.count += 1;
        let text = format!("{error:#}");
        if !self.texts.contains(&text) && self.texts.len() < MOST_REASONS {
            self.texts.push(text);
        }
    }
}

/// Makes all callers ready, not too many at once: what is measured begins afterwards.
async fn set_up_all(
    callers: u32,
    (target, peer): (Target, Option<SocketAddr>),
    identities: &Identities,
    (errors, mut stopped): (&mut Errors, watch::Receiver<bool>),
) -> anyhow::Result<Vec<(u32, Call)>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut setting_up = JoinSet::new();
    for number in 0..callers {
        let logins = [identities.login(number * 2)?, identities.login(number * 2 + 1)?];
        let places = Arc::clone(&places);
        setting_up.spawn(async move {
            let _place = places.acquire_owned().await;
            Call::set_up(target, peer, logins).await.map(|call| (number, call))
        });
    }
    let mut ready = Vec::new();
    loop {
        tokio::select! {
            ended = setting_up.join_next() => match ended {
                None => return Ok(ready),
                Some(ended) => match ended.context("a caller has broken down")? {
                    Ok(call) => ready.push(call),
                    Err(error) => errors.add(&error),
                },
            },
            _ = stopped.changed() => bail!("stopped while the callers were set up"),
        }
    }
}

/// With a Send indication's head and padding it is a record's 2^14 bytes.
const LARGEST_OF_DTLS: u16 = 16_300;
const AT_ONCE: usize = 64;
const MOST_REASONS: usize = 10;
