//! `tandem turn sessions` and `tandem turn kick`: who relays at the moment, and ending it. Asks the running server.

use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use super::control::{NotRunning, ask, encoded};
use super::{Options, note, say};
use crate::config::Settings;

/// Show who relays at the moment.
#[derive(clap::Args)]
#[command(after_help = SESSIONS_EXAMPLES)]
pub struct Sessions {
    /// Of this user: the user name without the expiry of an ephemeral one.
    #[arg(long)]
    user: Option<String>,
    /// Of this application (`tandem turn app list`); or of users whose names begin with this and a slash.
    #[arg(long)]
    key: Option<String>,
    /// With this label of the application; without --key, of users whose names have this behind the first slash.
    #[arg(long)]
    tag: Option<String>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// End live sessions: one by its identity, or all of a user, key, tag or realm.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("whom").required(true), after_help = KICK_EXAMPLES)]
pub struct Kick {
    /// As `tandem turn sessions` shows it.
    #[arg(group = "whom")]
    id: Option<String>,
    /// All of this user.
    #[arg(long, group = "whom")]
    user: Option<String>,
    /// All of this application; or all whose names begin with this and a slash.
    #[arg(long, group = "whom")]
    key: Option<String>,
    /// All whose names have this behind the first slash.
    #[arg(long, group = "whom")]
    tag: Option<String>,
    /// All in this realm.
    #[arg(long, group = "whom")]
    realm: Option<String>,
    /// Refuse the credentials handed out so far to the user, key or tag, too: otherwise it may come back at once.
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    options: Options,
}

const SESSIONS_EXAMPLES: &str = "Examples:
  tandem turn sessions
  tandem turn sessions --key 3fa94c10b2de --tag alice       of an application (tandem turn app list) and its label
  tandem turn sessions --json | jq .relayed";

const KICK_EXAMPLES: &str = "Examples:
  tandem turn kick 0-17-42                        one, as tandem turn sessions shows it; it may come again
  tandem turn kick --user alice --revoke          and what was handed out to alice is refused
  tandem turn kick --key 3fa94c10b2de             all of an application";

/// Shows them.
pub fn sessions(command: &Sessions) -> anyhow::Result<()> {
    let data = command.options.load()?.settings.data_dir;
    let filters = [("user", &command.user), ("key", &command.key), ("tag", &command.tag)];
    let wanted: String =
        filters.iter().filter_map(|(name, value)| Some(format!("&{name}={}", encoded(value.as_deref()?)))).collect();
    let (mut after, mut seen) = (String::new(), 0_usize);
    loop {
        let page = ask(&data, "GET", &format!("/turn/sessions?limit=200{wanted}{after}"), None)?;
        for session in page.get("sessions").and_then(Value::as_array).into_iter().flatten() {
            seen += 1;
            say(&if command.json { session.to_string() } else { line(session) });
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={}", encoded(next)),
            None => break,
        }
    }
    if seen == 0 && !command.json {
        note("Nobody relays.");
    }
    Ok(())
}

fn line(session: &Value) -> String {
    let text = |name: &str| session.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
    let bytes = |way: &str| session.pointer(&format!("/{way}/bytes")).and_then(Value::as_u64).unwrap_or(0);
    let relayed: Vec<&str> =
        session.get("relayed").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    format!(
        "{}  {}  {} {}  relayed at {}  up {} B  down {} B",
        text("id"),
        text("user"),
        text("transport"),
        text("client"),
        relayed.join(", "),
        bytes("up"),
        bytes("down"),
    )
}

/// Ends them.
pub fn kick(command: &Kick) -> anyhow::Result<()> {
    let data = command.options.load()?.settings.data_dir;
    let Kick { id, user, key, tag, realm, revoke, .. } = command;
    let mut wanted = json!({ "revoke": revoke });
    let named = [("session", id), ("user", user), ("key", key), ("tag", tag), ("realm", realm)];
    for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        wanted[name] = json!(value);
    }
    match end(&data, &wanted)? {
        0 if id.is_some() => bail!("there is no such session: tandem turn sessions shows them all"),
        ended => say(&format!("{ended} {}", if ended == 1 { "session has ended" } else { "sessions have ended" })),
    }
    Ok(())
}

/// How many have ended.
pub fn end(data: &Path, wanted: &Value) -> anyhow::Result<u64> {
    let answer = ask(data, "POST", "/turn/sessions/end", Some(wanted))?;
    Ok(answer.get("ended").and_then(Value::as_u64).unwrap_or(0))
}

/// A server that runs forgets the user at once, and what it relays ends.
pub fn end_of_user(settings: &Settings, realm: &str, name: &str) -> anyhow::Result<()> {
    // As the relay calls it.
    let user = if realm == settings.relay.realm { name.to_owned() } else { format!("{name}@{realm}") };
    match end(&settings.data_dir, &json!({ "user": user, "revoke": true })) {
        Ok(0) => {}
        Ok(ended) => note(&format!("Live sessions that have ended: {ended}.")),
        // Then there is nobody who knows the user.
        Err(error) if error.is::<NotRunning>() => {}
        Err(error) => return Err(error.context("it is removed, but its live sessions go on")),
    }
    Ok(())
}

/// `tandem reload`.
pub fn reload(options: &Options) -> anyhow::Result<()> {
    let data = options.load()?.settings.data_dir;
    let answer = ask(&data, "POST", "/reload", None)?;
    let keys = |name: &str| -> Vec<String> {
        let all = answer.get(name).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (applied, restart) = (keys("applied"), keys("restart"));
    if applied.is_empty() && restart.is_empty() {
        say("the settings are what they were");
    }
    if !applied.is_empty() {
        say(&format!("in force: {}", applied.join(", ")));
    }
    if !restart.is_empty() {
        say(&format!("at the next start: {}", restart.join(", ")));
    }
    Ok(())
}
