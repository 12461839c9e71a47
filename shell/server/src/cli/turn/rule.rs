//! `tandem turn denied` and `tandem turn allowed`: peers of a realm, or of every realm.

use anyhow::bail;
use clap::Subcommand;
use tandem_store::{PeerRule, Record};

use super::{InRealm, on_database};
use crate::cli::import::networks;
use crate::cli::{Options, note, say};

/// What to do with rules on peers.
#[derive(Subcommand)]
pub enum Command {
    /// Add addresses.
    #[command(after_help = EXAMPLES)]
    Add {
        /// An address, a network, or two addresses with a hyphen between.
        #[arg(value_parser = range)]
        range: String,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// Remove addresses.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// As the list shows them.
        range: String,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// List all.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        options: Options,
    },
}

const EXAMPLES: &str = "Without --realm the rule is every realm's. Examples:
  tandem turn denied add 198.51.100.0/24
  tandem turn allowed add 10.0.0.5-10.0.0.9 --realm north.example.org";

const REMOVE_EXAMPLES: &str = "Examples:
  tandem turn denied remove 198.51.100.0/24";

const LIST_EXAMPLES: &str = "Examples:
  tandem turn denied list";

fn range(text: &str) -> Result<String, String> {
    networks(text).map(|_| text.to_owned())
}

pub(super) fn run(rule: PeerRule, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { range, realm, options } => on_database(&options, async |users, _| {
            let done = format!("{range} is {rule}{}", of(realm.realm.as_deref()));
            users.add(&Record::Peer { rule, realm: realm.realm.unwrap_or_default(), range }).await?;
            say(&done);
            Ok(())
        }),
        Command::Remove { range, realm, options } => on_database(&options, async |users, _| {
            let (of, realm) = (of(realm.realm.as_deref()), realm.realm.unwrap_or_default());
            if !users.take_out(&Record::Peer { rule, realm, range: range.clone() }).await? {
                bail!("{range} is not {rule}{of}: tandem turn {rule} list shows them all");
            }
            say(&format!("{range} is no longer {rule}{of}"));
            Ok(())
        }),
        Command::List { options } => on_database(&options, async |users, _| {
            let mut none = true;
            for record in users.facts().await?.records {
                if let Record::Peer { rule: which, realm, range } = record
                    && which == rule
                {
                    none = false;
                    say(&format!("{range}{}", of(Some(&realm).filter(|realm| !realm.is_empty()).map(String::as_str))));
                }
            }
            if none {
                note(&format!("Nothing is {rule} in the database: tandem turn {rule} add RANGE"));
            }
            Ok(())
        }),
    }
}

fn of(realm: Option<&str>) -> String {
    realm.map_or_else(String::new, |realm| format!("  realm {realm}"))
}
