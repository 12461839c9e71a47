//! `tandem turn secret`: shared secrets of ephemeral credentials.

use anyhow::bail;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Subcommand;
use tandem_store::Record;

use super::{InRealm, beginning, on_database, random, read_line};
use crate::cli::{Options, note, say};

/// What to do with secrets.
#[derive(Subcommand)]
pub enum Command {
    /// Add a secret to a realm; those it has stay good. Without `--stdin` one is made up and printed.
    #[command(after_help = EXAMPLES)]
    Add {
        /// Read the secret from the first line of standard input.
        #[arg(long)]
        stdin: bool,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// Remove a secret, named by how it begins: credentials made with it are refused within a minute.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// As `tandem turn secret list` shows it, or more of it.
        #[arg(required_unless_present = "all")]
        beginning: Option<String>,
        /// All secrets of the realm.
        #[arg(long, conflicts_with = "beginning")]
        all: bool,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// List the secrets of all realms, or of one, by how they begin.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Print them whole.
        #[arg(long)]
        show: bool,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
}

pub(super) const EXAMPLES: &str = "Examples:
  tandem turn secret add                                    prints a secret
  pass turn/secret | tandem turn secret add --stdin --realm north.example.org
To replace a secret: add the next one, give it to your application, remove the old one when the last credential made with
it has expired.";

const REMOVE_EXAMPLES: &str = "Examples:
  tandem turn secret remove logen
  tandem turn secret remove --all --realm north.example.org";

const LIST_EXAMPLES: &str = "Examples:
  tandem turn secret list
  tandem turn secret list --show --realm north.example.org";

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { stdin, realm, options } => on_database(&options, async |users, settings| {
            let realm = realm.or_default(settings).to_owned();
            let value = match stdin {
                true => read_line("the secret")?,
                // 256 bits.
                false => BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?),
            };
            if value.len() < 4 || value.len() > 256 {
                bail!("expected a secret of 4 to 256 characters");
            }
            let note_of = format!("realm {realm}");
            let is_new = users.add(&Record::Secret { realm, value: value.clone() }).await?;
            if !stdin {
                say(&value);
            }
            note(&format!("The secret {} ({note_of}).", if is_new { "is added" } else { "was there already" }));
            Ok(())
        }),
        Command::Remove { beginning, all, realm, options } => on_database(&options, async |users, settings| {
            let in_realm = realm.or_default(settings);
            let starts =
                |value: &str| all || beginning.as_deref().is_some_and(|beginning| value.starts_with(beginning));
            let is_it = |record: &Record| matches!(record, Record::Secret { realm, value } if realm == in_realm && starts(value));
            let found: Vec<Record> = users.facts().await?.records.into_iter().filter(is_it).collect();
            match found.len() {
                0 => bail!("there is no such secret in realm {in_realm}: tandem turn secret list shows them all"),
                2.. if !all => bail!("{} secrets of realm {in_realm} begin so: give more of it", found.len()),
                count => {
                    for record in &found {
                        users.take_out(record).await?;
                    }
                    say(&format!("{count} removed from realm {in_realm}"));
                }
            }
            Ok(())
        }),
        Command::List { show, realm, options } => on_database(&options, async |users, _| {
            let mut none = true;
            for record in users.facts().await?.records {
                if let Record::Secret { realm: of, value } = record
                    && realm.realm.as_ref().is_none_or(|realm| *realm == of)
                {
                    none = false;
                    say(&format!("{}  realm {of}", if show { value } else { beginning(&value) }));
                }
            }
            if none {
                note("There are no secrets in the database: tandem turn secret add");
            }
            Ok(())
        }),
    }
}
