//! `tandem turn user`: users with passwords of their own.
//!
//! The keys are kept, the passwords are not: RFC 8489 §9.2.2 makes both from user name, realm and password.

use anyhow::bail;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Subcommand;
use tandem_store::{TurnUser, TurnUsers};
use tandem_stun::credential::parse_username;
use tandem_stun::turn::{Account, Secret};

use super::{InRealm, on_database, random, read_line};
use crate::cli::key::date;
use crate::cli::{Options, note, say, turn_sessions};
use crate::unix_ms;

/// What to do with users.
#[derive(Subcommand)]
pub enum Command {
    /// Add a user, or give it another password. Without `--password-stdin` one is made up and printed.
    #[command(after_help = EXAMPLES)]
    Add {
        /// What the client calls itself.
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// Remove a user, and end what it relays where a server runs.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// As `tandem turn user list` shows it.
        name: String,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// List the users of all realms, or of one.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
    /// Print the keys of a user, read from a password on standard input, without adding it.
    #[command(after_help = KEY_EXAMPLES)]
    Key {
        /// What the client calls itself.
        name: String,
        #[command(flatten)]
        realm: InRealm,
        #[command(flatten)]
        options: Options,
    },
}

pub(super) const EXAMPLES: &str = "Examples:
  tandem turn user add alice                                prints a password
  tandem turn user add alice --realm north.example.org      in another realm
  pass turn/alice | tandem turn user add alice --password-stdin
  turnutils_uclient -u alice -w PASSWORD -y 127.0.0.1       try it";

const REMOVE_EXAMPLES: &str = "Examples:
  tandem turn user remove alice
  tandem turn user remove alice --realm north.example.org";

const LIST_EXAMPLES: &str = "Examples:
  tandem turn user list
  tandem turn user list --relay.database sqlite:/var/lib/turn/turndb      coturn's";

const KEY_EXAMPLES: &str = "Examples:
  pass turn/alice | tandem turn user key alice              as turnadmin -k does";

/// RFC 8489 §14.3 and §14.9 bound both to fewer than 509 and 128 bytes of text.
const MOST_NAME: usize = 508;
const MOST_PASSWORD: usize = 1000;

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { name, password_stdin, realm, options } => on_database(&options, async |users, settings| {
            add(users, realm.or_default(settings), &name, password_stdin).await
        }),
        Command::Remove { name, realm, options } => on_database(&options, async |users, settings| {
            let realm = realm.or_default(settings);
            if !users.remove(realm, &name).await? {
                bail!("there is no user {name} in realm {realm}: tandem turn user list shows them all");
            }
            say(&format!("{name} is removed from realm {realm}"));
            turn_sessions::end_of_user(settings, realm, &name)
        }),
        Command::List { realm, options } => on_database(&options, async |users, _| {
            let users = users.list(realm.realm.as_deref()).await?;
            if users.is_empty() {
                note("There are no users yet: tandem turn user add NAME");
            }
            for user in users {
                let changed = user.changed_at.map_or_else(String::new, |at| format!("  changed {}", date(at)));
                say(&format!("{}  realm {}{changed}", user.name, user.realm));
            }
            Ok(())
        }),
        Command::Key { name, realm, options } => {
            let settings = options.load()?.settings;
            let user = user(realm.or_default(&settings), &name, &read_line("the password")?)?;
            let hex = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            say(&format!("md5     0x{}", hex(&user.md5)));
            if let Some(key) = user.sha256 {
                say(&format!("sha256  0x{}", hex(&key)));
            }
            Ok(())
        }
    }
}

async fn add(users: &TurnUsers, realm: &str, name: &str, from_stdin: bool) -> anyhow::Result<()> {
    let password = match from_stdin {
        true => read_line("the password")?,
        // 128 bits.
        false => BASE64_URL_SAFE_NO_PAD.encode(random::<16>()?),
    };
    let user = user(realm, name, &password)?;
    let is_new = users.put(&user, unix_ms()).await?;
    if !from_stdin {
        // The password alone on standard output, so that a script can take it.
        say(&password);
        note("This is shown once.");
    }
    let done =
        if is_new { "is added" } else { "has another password, which a running server believes within a minute" };
    note(&format!("{} {done} (realm {realm}).", user.name));
    Ok(())
}

fn user(realm: &str, name: &str, password: &str) -> anyhow::Result<TurnUser> {
    if name.len() > MOST_NAME || password.len() > MOST_PASSWORD {
        bail!("expected a name of at most {MOST_NAME} bytes and a password of at most {MOST_PASSWORD}");
    }
    if parse_username(name).is_some() {
        bail!("expected another name than digits, a colon and more: `{name}` reads as an ephemeral credential");
    }
    let account = Account::with_password(name, realm, password);
    match account.map(|account| (account.username, account.secret)) {
        Some((name, Secret::Keys { md5: Some(md5), sha256 })) => {
            Ok(TurnUser { realm: realm.to_owned(), name, md5, sha256 })
        }
        _ => bail!("expected a name and a password that are not empty and have no control characters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_rfc_8489_and_what_cannot_be_a_user_is_refused() {
        let user = user("realm", "alice", "secret").map_err(|error| error.to_string());
        // echo -n alice:realm:secret | md5sum
        let hex: String = user.map(|user| user.md5.iter().map(|byte| format!("{byte:02x}")).collect()).unwrap();
        assert_eq!(hex, MD5);
        for (name, password) in [("", "x"), ("a", ""), ("a\u{7}", "x"), ("1234:alice", "x")] {
            assert!(super::user("realm", name, password).is_err(), "{name:?}");
        }
    }

    const MD5: &str = "e16233c09b685e3dd5e17671513db3df";
}
