//! `tandem turn user`: users of the relay with passwords of their own. Works beside a running server.
//!
//! The keys are kept, the passwords are not: RFC 8489 §9.2.2 makes both from user name, realm and password.

use std::io::BufRead as _;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Subcommand;
use tandem_store::{Store, TurnUser};
use tandem_stun::credential::parse_username;
use tandem_stun::turn::{Account, Secret, userhash};

use super::key::date;
use super::{Options, bench, note, peer, say};
use crate::data_dir::DataDir;
use crate::relay::REALM;
use crate::{serve, unix_ms};

/// What to do with the relay.
#[derive(Subcommand)]
pub enum Command {
    /// Users with passwords of their own.
    #[command(subcommand)]
    User(User),
    Bench(Box<bench::Command>),
    Peer(peer::Command),
    /// Applications that hand out credentials of the relay.
    #[command(subcommand)]
    App(super::turn_app::Command),
}

/// What to do with users.
#[derive(Subcommand)]
pub enum User {
    /// Add a user, or give it another password. Without `--password-stdin` one is made up and printed.
    #[command(after_help = EXAMPLES)]
    Add {
        /// What the client calls itself.
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Remove a user: it is refused within a minute. What it relays already goes on until it ends it.
    Remove {
        /// As `tandem turn user list` shows it.
        name: String,
        #[command(flatten)]
        options: Options,
    },
    /// List all users.
    List {
        #[command(flatten)]
        options: Options,
    },
}

const EXAMPLES: &str = "Examples:
  tandem turn user add alice                                prints a password
  pass turn/alice | tandem turn user add alice --password-stdin
  turnutils_uclient -u alice -w PASSWORD -y 127.0.0.1       try it";

/// RFC 8489 §14.3 and §14.9 bound both to fewer than 509 and 128 bytes of text.
const MOST_NAME: usize = 508;
const MOST_PASSWORD: usize = 1000;

/// Runs it.
pub fn run(command: User) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let options = match &command {
            User::Add { options, .. } | User::Remove { options, .. } | User::List { options } => options,
        };
        let settings = options.load()?.settings;
        if !settings.relay.stored_users {
            note("relay.stored-users is off: the server does not look at these users.");
        }
        let data = DataDir::open(&settings.data_dir)?;
        let store = Store::open(&serve::database(&data)).await?;
        let outcome = act(&command, &store).await;
        store.close().await;
        outcome
    })
}

async fn act(command: &User, store: &Store) -> anyhow::Result<()> {
    match command {
        User::Add { name, password_stdin, .. } => add(store, name, *password_stdin).await,
        User::Remove { name, .. } => match store.remove_turn_user(REALM, name).await? {
            true => {
                say(&format!("{name} is removed"));
                Ok(())
            }
            false => bail!("there is no user {name}: tandem turn user list shows them all"),
        },
        User::List { .. } => {
            let users = store.list_turn_users().await?;
            if users.is_empty() {
                note("There are no users yet: tandem turn user add NAME");
            }
            for user in users {
                say(&format!("{}  realm {}  changed {}", user.name, user.realm, date(user.changed_at)));
            }
            Ok(())
        }
    }
}

async fn add(store: &Store, name: &str, from_stdin: bool) -> anyhow::Result<()> {
    let password = if from_stdin { read_password()? } else { made_up()? };
    let user = user(REALM, name, &password)?;
    let is_new = store.put_turn_user(&user, userhash(&user.name, REALM), unix_ms()).await?;
    if !from_stdin {
        // The password alone on standard output, so that a script can take it.
        say(&password);
        note("This is shown once.");
    }
    let done =
        if is_new { "is added" } else { "has another password, which a running server believes within a minute" };
    note(&format!("{} {done} (realm {REALM}).", user.name));
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

fn read_password() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("the password cannot be read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// 128 random bits.
fn made_up() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
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
