//! `tandem turn realm`: what a realm may use.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Subcommand;
use tandem_store::{RealmOption, Record};

use super::{on_database, realm_name};
use crate::cli::{Options, note, say};

/// What to do with realms.
#[derive(Subcommand)]
pub enum Command {
    /// Set what a realm may use; 0 takes a limit away. What is not named stays as it is.
    #[command(after_help = EXAMPLES)]
    Set {
        /// The realm.
        #[arg(value_parser = realm_name)]
        name: String,
        /// Bytes per second of one allocation.
        #[arg(long)]
        max_bps: Option<u64>,
        /// Allocations of all users together, at the same time; `relay.allocations` bounds those of all realms.
        #[arg(long)]
        total_quota: Option<u64>,
        /// Allocations of one user, at the same time, instead of `relay.allocations_per_user`.
        #[arg(long)]
        user_quota: Option<u64>,
        #[command(flatten)]
        options: Options,
    },
    /// List the realms that have users, secrets, origins or limits.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        options: Options,
    },
    /// Take all limits of a realm away. Its users, secrets and origins stay.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// The realm.
        name: String,
        #[command(flatten)]
        options: Options,
    },
}

pub(super) const EXAMPLES: &str = "Examples:
  tandem turn realm set north.example.org --max-bps 500000
  tandem turn realm set north.example.org --max-bps 0       without a limit again";

const LIST_EXAMPLES: &str = "Examples:
  tandem turn realm list";

const REMOVE_EXAMPLES: &str = "Examples:
  tandem turn realm remove north.example.org";

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Set { name, max_bps, total_quota, user_quota, options } => {
            let all = [
                (RealmOption::MaxBps, max_bps),
                (RealmOption::TotalQuota, total_quota),
                (RealmOption::UserQuota, user_quota),
            ];
            if all.iter().all(|(_, value)| value.is_none()) {
                bail!("expected --max-bps, --total-quota or --user-quota");
            }
            on_database(&options, async |users, _| {
                for (option, value) in all {
                    let Some(value) = value else { continue };
                    let record = Record::Option { realm: name.clone(), option, value };
                    if value == 0 {
                        users.take_out(&record).await?
                    } else {
                        users.add(&record).await?
                    };
                }
                say(&format!("realm {name} is changed"));
                Ok(())
            })
        }
        Command::List { options } => on_database(&options, async |users, _| {
            let facts = users.facts().await?;
            let mut realms: BTreeMap<String, String> =
                facts.realms.into_iter().map(|realm| (realm, String::new())).collect();
            for record in facts.records {
                match record {
                    Record::Option { realm, option, value } => {
                        realms.entry(realm).or_default().push_str(&format!("  {} {value}", option.name()));
                    }
                    Record::Secret { realm, .. } | Record::Origin { realm, .. } => {
                        realms.entry(realm).or_default();
                    }
                    Record::Peer { .. } | Record::Key(_) => {}
                }
            }
            if realms.is_empty() {
                note("There are no realms in the database yet: tandem turn user add NAME --realm REALM");
            }
            realms.iter().for_each(|(realm, limits)| say(&format!("{realm}{limits}")));
            Ok(())
        }),
        Command::Remove { name, options } => on_database(&options, async |users, _| {
            let mut was_there = false;
            for option in RealmOption::ALL {
                was_there |= users.take_out(&Record::Option { realm: name.clone(), option, value: 0 }).await?;
            }
            if !was_there {
                bail!("realm {name} has no limits: tandem turn realm list shows them all");
            }
            say(&format!("realm {name} has no limits of its own"));
            Ok(())
        }),
    }
}
