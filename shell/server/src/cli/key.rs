//! `tandem key`: keys of the HTTP API. Works beside a running server, which notices at once.

use anyhow::Context as _;
use clap::Subcommand;
use tandem_store::{Key, Signer, Store};
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Options, open_data, say};
use crate::{serve, unix_ms};

/// What to do with keys.
#[derive(Subcommand)]
pub enum Command {
    /// Make a key and print it: this once, and never again.
    Create {
        /// What to call it, for instance the program it is for.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        options: Options,
    },
    /// List all keys, without their secrets.
    List {
        #[command(flatten)]
        options: Options,
    },
    /// Print what a key signs with: the "API secret" of libraries that make tokens, whose "API key" is its identity.
    Secret {
        /// Its identity, as `tandem key list` shows it.
        id: String,
        #[command(flatten)]
        options: Options,
    },
    /// End a key: requests with it are refused from then on.
    Revoke {
        /// Its identity, as `tandem key list` shows it.
        id: String,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let options = match &command {
            Command::Create { options, .. }
            | Command::List { options }
            | Command::Secret { options, .. }
            | Command::Revoke { options, .. } => options,
        };
        let settings = options.load()?.settings;
        let data = open_data(&settings.data_dir)?;
        let store = Store::open(&serve::database(&data)).await?;
        let outcome = act(&command, &store).await;
        store.close().await;
        outcome
    })
}

async fn act(command: &Command, store: &Store) -> anyhow::Result<()> {
    match command {
        Command::Create { name, .. } => {
            let made = store.create_key(name, unix_ms()).await?;
            // The key alone on standard output, so that a script can take it.
            say(&made.text);
            super::note(&format!("This is shown once. Revoke it with: tandem key revoke {}", made.key.id));
            if let Some(signer) = Signer::of_key(&made.text) {
                let Signer { id, secret } = signer;
                super::note(&format!("For libraries that make tokens (JWT): API key {id}, API secret {secret}"));
            }
        }
        Command::List { .. } => {
            let keys = store.list_keys().await?;
            if keys.is_empty() {
                super::note("There are no keys yet: tandem key create --name NAME");
            }
            keys.iter().for_each(|key| say(&line(key)));
        }
        Command::Secret { id, .. } => say(&super::token::signer(store, id).await?.secret),
        Command::Revoke { id, .. } => match store.revoke_key(id, unix_ms()).await? {
            Some(key) => say(&format!("{} ({}) is revoked", key.id, key.name)),
            None => anyhow::bail!("there is no valid key {id}: tandem key list shows them all"),
        },
    }
    Ok(())
}

fn line(key: &Key) -> String {
    let used = key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", date(at)));
    let revoked = key.revoked_at.map_or_else(String::new, |at| format!("  revoked {}", date(at)));
    format!("{}  {}  made {}  {used}{revoked}", key.id, key.name, date(key.created_at))
}

pub(super) fn date(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]Z");
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_listed_on_one_line() {
        let key = Key {
            id: "a1".into(),
            name: "billing".into(),
            created_at: 86_400_000,
            last_used_at: None,
            revoked_at: Some(172_800_000),
        };
        assert_eq!(line(&key), "a1  billing  made 1970-01-02 00:00Z  never used  revoked 1970-01-03 00:00Z");
    }
}
