//! `tandem turn key`: keys shared with authorisation servers, RFC 7635 §4.1.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use tandem_store::{OauthKey, Record};

use super::{InRealm, beginning, on_database, random, read_line};
use crate::cli::key::date;
use crate::cli::{Options, note, say};
use crate::config::types::Period;
use crate::unix_ms;

/// What to do with keys.
#[derive(Subcommand)]
pub enum Command {
    /// Add a key, or change the one of this name. Without `--stdin` one is made up and printed.
    #[command(after_help = EXAMPLES)]
    Add {
        /// The key's name (`kid`), which clients show as their user name.
        kid: String,
        /// Read the key in base64 from the first line of standard input.
        #[arg(long)]
        stdin: bool,
        /// What tokens are encrypted with.
        #[arg(long, default_value = "A256GCM", value_parser = ["A256GCM", "A128GCM"])]
        algorithm: String,
        /// For how long the key is good, such as `90d`; without it for ever.
        #[arg(long)]
        lifetime: Option<Period>,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// Remove a key: tokens made with it are refused within a minute.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// As `tandem turn key list` shows it.
        kid: String,
        #[command(flatten)]
        options: Options,
    },
    /// List all keys.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Print the keys themselves as well.
        #[arg(long)]
        show: bool,
        #[command(flatten)]
        options: Options,
    },
}

pub(super) const EXAMPLES: &str = "Examples:
  tandem turn key add north                                 prints a key
  pass turn/key | tandem turn key add north --stdin --lifetime 90d --realm north.example.org";

const REMOVE_EXAMPLES: &str = "Examples:
  tandem turn key remove north";

const LIST_EXAMPLES: &str = "Examples:
  tandem turn key list --show";

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { kid, stdin, algorithm, lifetime, realm, options } => on_database(&options, async |users, _| {
            let key = OauthKey {
                ikm_key: key(stdin, &algorithm)?,
                kid,
                timestamp: if lifetime.is_some() { unix_ms() / 1000 } else { 0 },
                lifetime: lifetime.map_or(0, |period| u32::try_from(period.0.as_secs()).unwrap_or(u32::MAX)),
                as_rs_alg: algorithm,
                realm: realm.realm.unwrap_or_default(),
            };
            if key.kid.is_empty() || key.kid.len() > 128 {
                bail!("expected a name of 1 to 128 characters");
            }
            let is_new = users.add(&Record::Key(key.clone())).await?;
            if !stdin {
                say(&key.ikm_key);
            }
            note(&format!("The key {} {}.", key.kid, if is_new { "is added" } else { "is changed" }));
            Ok(())
        }),
        Command::Remove { kid, options } => on_database(&options, async |users, _| {
            let is_it = |record: &Record| matches!(record, Record::Key(key) if key.kid == kid);
            let Some(record) = users.facts().await?.records.into_iter().find(is_it) else {
                bail!("there is no key {kid}: tandem turn key list shows them all");
            };
            users.take_out(&record).await?;
            say(&format!("{kid} is removed"));
            Ok(())
        }),
        Command::List { show, options } => on_database(&options, async |users, _| {
            let facts = users.facts().await?;
            let keys: Vec<&OauthKey> = facts
                .records
                .iter()
                .filter_map(|record| if let Record::Key(key) = record { Some(key) } else { None })
                .collect();
            if keys.is_empty() {
                note("There are no keys yet: tandem turn key add KID");
            }
            keys.iter().for_each(|key| say(&line(key, show)));
            Ok(())
        }),
    }
}

/// In base64, of the length that the algorithm needs at least.
fn key(stdin: bool, algorithm: &str) -> anyhow::Result<String> {
    let least = if algorithm == "A128GCM" { 16 } else { 32 };
    if !stdin {
        return Ok(BASE64_STANDARD.encode(random::<32>()?.get(..least).unwrap_or_default()));
    }
    let text = read_line("the key")?;
    let bytes = BASE64_STANDARD.decode(&text).context("expected the key in base64")?;
    if bytes.len() < least {
        bail!("expected a key of at least {least} bytes for {algorithm}, got {}", bytes.len());
    }
    Ok(text)
}

fn line(key: &OauthKey, show: bool) -> String {
    let algorithm = if key.as_rs_alg.is_empty() { "A256GCM" } else { &key.as_rs_alg };
    let value = if show { key.ikm_key.clone() } else { beginning(&key.ikm_key) };
    let realm = if key.realm.is_empty() { String::new() } else { format!("  realm {}", key.realm) };
    let until = match key.lifetime {
        0 => "for ever".to_owned(),
        seconds => format!("until {}", date(key.timestamp.saturating_add(seconds.into()).saturating_mul(1000))),
    };
    format!("{}  {value}  {algorithm}  {until}{realm}", key.kid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_listed_on_one_line_and_shown_only_if_wanted() {
        let key = OauthKey {
            kid: "north".into(),
            ikm_key: "MTIzNDU2Nzg5MDEyMzQ1Ngo=".into(),
            timestamp: 86_400,
            lifetime: 86_400,
            as_rs_alg: String::new(),
            realm: "crinna.org".into(),
        };
        assert_eq!(line(&key, false), "north  MTIz…  A256GCM  until 1970-01-03 00:00Z  realm crinna.org");
        let key = OauthKey { lifetime: 0, realm: String::new(), as_rs_alg: "A128GCM".into(), ..key };
        assert_eq!(line(&key, true), "north  MTIzNDU2Nzg5MDEyMzQ1Ngo=  A128GCM  for ever");
    }
}
