//! `tandem turn`: what the relay knows of users and realms, in whatever database `relay.database` names. Works beside a
//! running server, and beside coturn. Each kind of thing is one file.

mod key;
mod origin;
mod realm;
mod rule;
mod secret;
mod user;

use std::io::BufRead as _;

use anyhow::Context as _;
use clap::Subcommand;
use tandem_store::{PeerRule, Store, TurnUsers};

use super::{Options, bench, note, open_data, peer, say, turn_sessions};
use crate::config::Settings;
use crate::serve;

/// What to do with the relay.
#[derive(Subcommand)]
pub enum Command {
    /// Users with passwords of their own.
    #[command(subcommand, after_help = user::EXAMPLES)]
    User(user::Command),
    /// Shared secrets of ephemeral credentials: one realm may have several, while one is being replaced.
    #[command(subcommand, after_help = secret::EXAMPLES)]
    Secret(secret::Command),
    /// Keys shared with authorisation servers (OAuth, RFC 7635).
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::Command),
    /// What a realm may use.
    #[command(subcommand, after_help = realm::EXAMPLES)]
    Realm(realm::Command),
    /// Which pages' clients are asked for which realm.
    #[command(subcommand, after_help = origin::EXAMPLES)]
    Origin(origin::Command),
    /// Peers nobody of a realm may relay to.
    #[command(subcommand)]
    Denied(rule::Command),
    /// Peers that may be relayed to although they are denied or private.
    #[command(subcommand)]
    Allowed(rule::Command),
    Bench(Box<bench::Command>),
    Peer(peer::Command),
    /// Applications that hand out credentials of the relay.
    #[command(subcommand, after_help = super::turn_app::EXAMPLES)]
    App(super::turn_app::Command),
    Sessions(Box<turn_sessions::Sessions>),
    Kick(Box<turn_sessions::Kick>),
    /// Make what is missing in the database of `relay.database`: coturn's tables, and room for SHA-256 keys and hidden names
    /// (RFC 8489). coturn does not see the difference.
    #[command(after_help = PREPARE_EXAMPLES)]
    Prepare {
        #[command(flatten)]
        options: Options,
    },
}

pub(super) const EXAMPLES: &str = "Examples:
  tandem turn user add alice             a user with a password of its own
  tandem turn app add shop               a key for an application that hands out credentials
  tandem turn sessions                   who relays at the moment?
  tandem turn kick --user alice          end it
  tandem turn bench                      does the relay of this machine work, and how well?
Beside a running server; it notices by itself.";

const PREPARE_EXAMPLES: &str = "Examples:
  tandem turn prepare --relay.database postgres://turn:PASSWORD@db.example.org/coturn
  tandem turn prepare --config /etc/tandem.toml       again, when turnadmin has added users since";

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::User(command) => user::run(command),
        Command::Secret(command) => secret::run(command),
        Command::Key(command) => key::run(command),
        Command::Realm(command) => realm::run(command),
        Command::Origin(command) => origin::run(command),
        Command::Denied(command) => rule::run(PeerRule::Denied, command),
        Command::Allowed(command) => rule::run(PeerRule::Allowed, command),
        Command::Bench(command) => bench::run(&command),
        Command::Peer(command) => peer::run(&command),
        Command::App(command) => super::turn_app::run(command),
        Command::Sessions(command) => turn_sessions::sessions(&command),
        Command::Kick(command) => turn_sessions::kick(&command),
        Command::Prepare { options } => on_database(&options, async |users, _| {
            users.prepare().await?;
            say(&format!("{} is ready", users.kind()));
            Ok(())
        }),
    }
}

/// Does something with the database that the settings name.
fn on_database(
    options: &Options,
    act: impl AsyncFnOnce(&TurnUsers, &Settings) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let settings = options.load()?.settings;
        if !settings.relay.stored_users {
            note("relay.stored_users is off: the server does not look at the database.");
        }
        if settings.relay.database.is_some() {
            let users = serve::database_of(&settings).await?;
            return act(&users, &settings).await.with_context(|| format!("relay.database, {}", users.kind()));
        }
        let data = open_data(&settings.data_dir)?;
        let store = Store::open(&serve::database(&data)).await?;
        let outcome = act(&store.turn_users(), &settings).await;
        store.close().await;
        outcome
    })
}

/// The realm that was named, or the default one.
#[derive(clap::Args)]
pub(in crate::cli) struct InRealm {
    /// Instead of `relay.realm`.
    #[arg(long, value_parser = realm_name)]
    realm: Option<String>,
}

impl InRealm {
    fn or_default<'r>(&'r self, settings: &'r Settings) -> &'r str {
        self.realm.as_deref().unwrap_or(&settings.relay.realm)
    }
}

/// coturn's columns end there, and so does REALM (RFC 8489 §14.9).
fn realm_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 127 && !text.chars().any(char::is_control) && !text.contains('/');
    if fits { Ok(text.to_owned()) } else { Err("expected 1 to 127 characters without slashes".to_owned()) }
}

/// A secret of some kind from standard input.
fn read_line(what: &str) -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .with_context(|| format!("{what} cannot be read from standard input"))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(bytes)
}

/// Enough to tell two apart by.
fn beginning(secret: &str) -> String {
    let shown: String = secret.chars().take(4).collect();
    if secret.chars().count() > 8 { format!("{shown}…") } else { "…".to_owned() }
}
