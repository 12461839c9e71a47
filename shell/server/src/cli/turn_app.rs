//! `tandem turn app`: applications that hand out credentials of the relay. Works beside a running server, which notices
//! within seconds.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use tandem_store::{Application, Bounds, NewApplication, Store};

use super::key::date;
use super::{Options, note, say};
use crate::config::types::Size;
use crate::data_dir::DataDir;
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
        #[arg(long)]
        sessions: Option<u64>,
        /// Most bytes relayed in a calendar month, such as `500GiB`.
        #[arg(long, value_name = "SIZE")]
        monthly: Option<String>,
        /// Web origin whose pages may ask with this key (`https://app.example.org`); may be given several times.
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// List all applications, without their secrets.
    List {
        #[command(flatten)]
        options: Options,
    },
    /// Remove an application and those below it: live sessions end, and what was handed out is of no use.
    Remove {
        /// Its identity, as `tandem turn app list` shows it.
        id: String,
        #[command(flatten)]
        options: Options,
    },
}

const EXAMPLES: &str = "Examples:
  tandem turn app add shop                                  prints its key
  tandem turn app add shop --sessions 200 --monthly 500GiB
  curl -X POST https://talk.example.org/api/v1/turn/credentials -H \"Authorization: Bearer $KEY\" \\
       -d '{\"ttl\": 3600, \"tag\": \"alice\"}'                  a credential for one of its users";

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let options = match &command {
            Command::Add { options, .. } | Command::List { options } | Command::Remove { options, .. } => options,
        };
        let data = DataDir::open(&options.load()?.settings.data_dir)?;
        let store = Store::open(&serve::database(&data)).await?;
        let outcome = act(command, &store).await;
        store.close().await;
        outcome
    })
}

async fn act(command: Command, store: &Store) -> anyhow::Result<()> {
    match command {
        Command::Add { name, below, sessions, monthly, origins, .. } => {
            let monthly: Option<Size> = monthly.map(|size| size.parse()).transpose()?;
            let bounds = Bounds { sessions, bytes_per_month: monthly.map(|size| size.0) };
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
        Command::Remove { id, .. } => {
            let gone = credentials::remove(store, &id, unix_ms()).await?;
            if gone.is_empty() {
                bail!("there is no application {id}: tandem turn app list shows them all");
            }
            gone.iter().for_each(|application| say(&format!("{} ({}) is removed", application.id, application.name)));
        }
    }
    Ok(())
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
            bounds: Bounds { sessions: Some(5), bytes_per_month: Some(500 << 30) },
            origins: Vec::new(),
        };
        let wanted = "3fa94c10b2de  shop  made 1970-01-02 00:00Z  below a1  sessions 5  monthly 500GiB  disabled";
        assert_eq!(line(&application), wanted);
    }
}
