//! `tandem turn app`: applications that hand out credentials of the relay. Works beside a running server, which notices
//! within seconds.

use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use tandem_store::{Application, ApplicationChange, Bounds, NewApplication, Store};

use super::key::date;
use super::{Options, note, open_data, say};
use crate::config::types::Size;
use crate::{credentials, serve, unix_ms};

/// What to do with applications.
#[derive(Subcommand)]
pub enum Command {
    /// Add an application and print its key: this once, and never again.
    #[command(after_help = EXAMPLES)]
    Add {
        /// What to call it.
        name: String,
        /// Identity of the application it stands below, which may act for it.
        #[arg(long, value_name = "ID")]
        below: Option<String>,
        /// Most allocations at the same time.
        #[arg(long, value_name = "NUMBER")]
        sessions: Option<u64>,
        /// Most bytes relayed in a calendar month, such as `500GiB`.
        #[arg(long, value_name = "SIZE")]
        monthly: Option<Size>,
        /// Most bytes relayed per second by all of its sessions together, both ways, such as `2MiB`.
        #[arg(long, value_name = "SIZE")]
        per_second: Option<Size>,
        /// Web origin whose pages may ask with this key (`https://app.example.org`); may be given several times.
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// List all applications, without their secrets.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        options: Options,
    },
    /// Change an application; what is not named stays.
    #[command(after_help = CHANGE_EXAMPLES)]
    Change {
        /// Its identity, as `tandem turn app list` shows it.
        id: String,
        #[command(flatten)]
        to: Changes,
        #[command(flatten)]
        options: Options,
    },
    /// Remove an application and those below it: live sessions end, and what was handed out is of no use.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// Its identity, as `tandem turn app list` shows it.
        id: String,
        #[command(flatten)]
        options: Options,
    },
}

/// What is to change.
#[derive(clap::Args)]
pub struct Changes {
    /// What to call it from here on.
    #[arg(long)]
    name: Option<String>,
    /// Most allocations at the same time.
    #[arg(long, value_name = "NUMBER|none", value_parser = bound::<u64>)]
    sessions: Option<Bound<u64>>,
    /// Most bytes relayed in a calendar month.
    #[arg(long, value_name = "SIZE|none", value_parser = bound::<Size>)]
    monthly: Option<Bound<Size>>,
    /// Most bytes relayed per second.
    #[arg(long, value_name = "SIZE|none", value_parser = bound::<Size>)]
    per_second: Option<Bound<Size>>,
    /// Web origins instead of those it has; may be given several times.
    #[arg(long = "origin", value_name = "ORIGIN|none")]
    origins: Vec<String>,
    /// Let it get credentials again.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// End its live sessions, and let none begin until it is enabled again.
    #[arg(long)]
    disable: bool,
}

/// `None`: from here on there is no bound.
#[derive(Clone, Copy)]
struct Bound<T>(Option<T>);

fn bound<T: FromStr<Err: Display>>(text: &str) -> Result<Bound<T>, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    text.parse().map(|most| Bound(Some(most))).map_err(|error| format!("{error}; or none"))
}

const LIST_EXAMPLES: &str = "Examples:
  tandem turn app list";

const REMOVE_EXAMPLES: &str = "Examples:
  tandem turn app remove 3fa94c10b2de                       for ever
  tandem turn app change 3fa94c10b2de --disable             until it is enabled again";

const CHANGE_EXAMPLES: &str = "Examples:
  tandem turn app change 3fa94c10b2de --sessions 500 --per-second 10MiB
  tandem turn app change 3fa94c10b2de --monthly none --origin https://app.example.org
  tandem turn app change 3fa94c10b2de --disable";

pub(super) const EXAMPLES: &str = "Examples:
  tandem turn app add shop                                  prints its key
  tandem turn app add shop --sessions 200 --monthly 500GiB --per-second 5MiB
  curl -X POST https://talk.example.org/api/v1/turn/credentials -H \"Authorization: Bearer $KEY\" \\
       -d '{\"ttl\": 3600, \"tag\": \"alice\"}'                  a credential for one of its users";

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let options = match &command {
            Command::Add { options, .. }
            | Command::List { options }
            | Command::Change { options, .. }
            | Command::Remove { options, .. } => options,
        };
        let data = open_data(&options.load()?.settings.data_dir)?;
        let store = Store::open(&serve::database(&data)).await?;
        let outcome = act(command, &store).await;
        store.close().await;
        outcome
    })
}

async fn act(command: Command, store: &Store) -> anyhow::Result<()> {
    match command {
        Command::Add { name, below, sessions, monthly, per_second, origins, .. } => {
            let (bytes_per_month, bytes_per_second) = (monthly.map(|size| size.0), per_second.map(|size| size.0));
            let bounds = Bounds { sessions, bytes_per_month, bytes_per_second };
            let new = NewApplication { name, parent: below, bounds, origins };
            let made = store.create_application(&new, unix_ms()).await?;
            // The key alone on standard output, so that a script can take it.
            say(&made.text);
            note(&format!("This is shown once. Remove it with: tandem turn app remove {}", made.application.id));
        }
        Command::List { .. } => {
            let all = store.applications().await?;
            if all.is_empty() {
                note("There are no applications yet: tandem turn app add NAME");
            }
            all.iter().for_each(|application| say(&line(application)));
        }
        Command::Change { id, to, .. } => {
            if to.is_nothing() {
                bail!(
                    "expected what is to change: --name, --sessions, --monthly, --per-second, --origin, --enable or --disable"
                );
            }
            let before = store.application(&id).await?.with_context(|| unknown(&id))?;
            let after = store.change_application(&id, &to.change(before.bounds)).await?;
            say(&line(&after.with_context(|| unknown(&id))?));
        }
        Command::Remove { id, .. } => {
            let gone = credentials::remove(store, &id, unix_ms()).await?;
            if gone.is_empty() {
                bail!(unknown(&id));
            }
            gone.iter().for_each(|application| say(&format!("{} ({}) is removed", application.id, application.name)));
        }
    }
    Ok(())
}

fn unknown(id: &str) -> String {
    format!("there is no application {id}: tandem turn app list shows them all")
}

impl Changes {
    fn is_nothing(&self) -> bool {
        let Changes { name, sessions, monthly, per_second, origins, enable, disable } = self;
        let bounds = sessions.is_none() && monthly.is_none() && per_second.is_none();
        bounds && name.is_none() && origins.is_empty() && !enable && !disable
    }

    fn change(self, before: Bounds) -> ApplicationChange {
        let bytes = |to: Option<Bound<Size>>, was| to.map_or(was, |Bound(most)| most.map(|size| size.0));
        let bounds = Bounds {
            sessions: self.sessions.map_or(before.sessions, |Bound(most)| most),
            bytes_per_month: bytes(self.monthly, before.bytes_per_month),
            bytes_per_second: bytes(self.per_second, before.bytes_per_second),
        };
        let origins = match self.origins.as_slice() {
            [] => None,
            [only] if only == "none" => Some(Vec::new()),
            _ => Some(self.origins),
        };
        let enabled = (self.enable || self.disable).then_some(self.enable);
        ApplicationChange { name: self.name, enabled, bounds: Some(bounds), origins }
    }
}

fn line(application: &Application) -> String {
    let mut line = format!("{}  {}  made {}", application.id, application.name, date(application.created_at));
    if let Some(parent) = &application.parent {
        line.push_str(&format!("  below {parent}"));
    }
    if let Some(sessions) = application.bounds.sessions {
        line.push_str(&format!("  sessions {sessions}"));
    }
    if let Some(bytes) = application.bounds.bytes_per_month {
        line.push_str(&format!("  monthly {}", Size(bytes)));
    }
    if let Some(bytes) = application.bounds.bytes_per_second {
        line.push_str(&format!("  per second {}", Size(bytes)));
    }
    if !application.origins.is_empty() {
        line.push_str(&format!("  origins {}", application.origins.join(" ")));
    }
    if !application.enabled {
        line.push_str("  disabled");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_listed_on_one_line() {
        let application = Application {
            id: "3fa94c10b2de".into(),
            parent: Some("a1".into()),
            name: "shop".into(),
            created_at: 86_400_000,
            enabled: false,
            generation: 0,
            bounds: Bounds { sessions: Some(5), bytes_per_month: Some(500 << 30), bytes_per_second: Some(2 << 20) },
            origins: vec!["https://a.example".into(), "https://b.example".into()],
        };
        let wanted = "3fa94c10b2de  shop  made 1970-01-02 00:00Z  below a1  sessions 5  monthly 500GiB  per second 2MiB  \
                      origins https://a.example https://b.example  disabled";
        assert_eq!(line(&application), wanted);
    }
}
