//! `tandem turn origin`: which pages' clients are asked for which realm.

use anyhow::bail;
use clap::Subcommand;
use tandem_store::Record;
use tandem_stun::turn::canonical_origin;

use super::{InRealm, on_database};
use crate::cli::{Options, note, say};

/// What to do with origins.
#[derive(Subcommand)]
pub enum Command {
    /// Have clients of pages from an origin asked for a realm.
    #[command(after_help = EXAMPLES)]
    Add {
        /// Scheme, host and, if it is another than usual, port.
        #[arg(value_parser = origin)]
        origin: String,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// Have them asked for the default realm again.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// As `tandem turn origin list` shows it.
        #[arg(value_parser = origin)]
        origin: String,
        #[command(flatten)]
        options: Options,
    },
    /// List all origins, or those of a realm.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
}

pub(super) const EXAMPLES: &str = "Examples:
  tandem turn origin add https://talk.example.org --realm north.example.org";

const REMOVE_EXAMPLES: &str = "Examples:
  tandem turn origin remove https://talk.example.org";

const LIST_EXAMPLES: &str = "Examples:
  tandem turn origin list";

/// As coturn writes it, too.
fn origin(text: &str) -> Result<String, String> {
    canonical_origin(text).ok_or_else(|| "expected scheme and host, such as https://talk.example.org".to_owned())
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { origin, realm, options } => on_database(&options, async |users, settings| {
            let realm = realm.or_default(settings).to_owned();
            let done = format!("{origin} is asked for realm {realm}");
            users.add(&Record::Origin { origin, realm }).await?;
            say(&done);
            Ok(())
        }),
        Command::Remove { origin, options } => on_database(&options, async |users, _| {
            if !users.take_out(&Record::Origin { origin: origin.clone(), realm: String::new() }).await? {
                bail!("there is no origin {origin}: tandem turn origin list shows them all");
            }
            say(&format!("{origin} is removed"));
            Ok(())
        }),
        Command::List { realm, options } => on_database(&options, async |users, _| {
            let mut none = true;
            for record in users.facts().await?.records {
                if let Record::Origin { origin, realm: of } = record
                    && realm.realm.as_ref().is_none_or(|realm| *realm == of)
                {
                    none = false;
                    say(&format!("{origin}  realm {of}"));
                }
            }
            if none {
                note("There are no origins yet: tandem turn origin add ORIGIN --realm REALM");
            }
            Ok(())
        }),
    }
}
