//! `tandem token`: tokens for rooms, signed with an API key.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Subcommand};
use tandem_api::signal::Media;
use tandem_store::{Signer, Store};

use super::{Options, note, open_data, say};
use crate::config::types::Period;
use crate::tokens::{self, Claims, Wanted};
use crate::{serve, unix_ms};

/// What to do with tokens.
#[derive(Subcommand)]
pub enum Command {
    /// Make a token and print it, or a link with it.
    #[command(after_help = EXAMPLES)]
    Create(Box<Create>),
    /// Say what is in a token, and whether this server would take it.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// The token, or a link with one.
        token: String,
        #[command(flatten)]
        options: Options,
    },
}

/// A token that is wanted.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("signer").required(true).args(["key", "key_id"]))]
pub struct Create {
    /// The API key to sign with (`tk_…`): no server has to be here.
    #[arg(long)]
    key: Option<String>,
    /// Or its identity, as `tandem key list` shows it: then what it signs with is read from the data directory.
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Name of the room it is for.
    #[arg(long)]
    room: String,
    /// Whom it is for, in your own words. Two with the same are never in a room at the same time.
    #[arg(long)]
    identity: String,
    /// What the others see; whoever enters says it if left out.
    #[arg(long)]
    name: Option<String>,
    /// How long it is good for.
    #[arg(long, value_name = "TIME", default_value = "6h")]
    ttl: Period,
    /// What may be sent: `microphone`, `camera`, `screen`, with commas, or `none`.
    #[arg(long, value_name = "WHAT", default_value = "microphone,camera,screen", value_parser = publish)]
    publish: Media,
    /// It does not get what the others send.
    #[arg(long)]
    no_subscribe: bool,
    /// It may not chat.
    #[arg(long)]
    no_data: bool,
    /// It may do whatever the host may, and what the API can in that room.
    #[arg(long)]
    admin: bool,
    /// Whatever you want to keep with it; everyone in the room can read it.
    #[arg(long, value_name = "TEXT")]
    metadata: Option<String>,
    /// Print a link to the room on this server instead (`https://talk.example.org`).
    #[arg(long, value_name = "URL")]
    link: Option<String>,
    #[command(flatten)]
    options: Options,
}

pub(super) const EXAMPLES: &str = "Examples:
  tandem token create --key-id 3fa94c10b2de --room blue-otter --identity user-42 --name Ann
  tandem token create --key tk_3fa94c10b2de_… --room blue-otter --identity user-42 --link https://talk.example.org
  tandem token create --key-id 3fa94c10b2de --room lecture --identity seat-7 --publish none --ttl 90m
  tandem token create --key-id 3fa94c10b2de --room lecture --identity chair --admin --ttl 1d";

const SHOW_EXAMPLES: &str = "Examples:
  tandem token show eyJ0eXAi…
  tandem token show 'https://talk.example.org/r/blue-otter#token=eyJ0eXAi…'";

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => run_create(*create),
        Command::Show { token, options } => {
            let token = token.split_once("#token=").map_or(token.as_str(), |(_, token)| token).trim().to_owned();
            let claims = tokens::look(&token)?;
            lines(&claims).iter().for_each(|line| say(line));
            on_store(&options, async |store| {
                let taken = tokens::check(store, &token, unix_ms()).await?;
                taken.grants().map_err(anyhow::Error::msg)?;
                say("This server takes it.");
                Ok(())
            })
        }
    }
}

fn run_create(create: Create) -> anyhow::Result<()> {
    let signer = match (&create.key, &create.key_id) {
        (Some(text), _) => Signer::of_key(text).context("--key: expected an API key, `tk_…`")?,
        (None, Some(id)) => on_store(&create.options, async |store| signer(store, id).await)?,
        (None, None) => bail!("expected --key or --key-id"),
    };
    let Create { room, identity, name, ttl, publish, no_subscribe, no_data, admin, metadata, link, .. } = create;
    let (subscribe, data) = (!no_subscribe, !no_data);
    let wanted = Wanted { room, identity, name, metadata, ttl: ttl.0, publish, subscribe, data, admin };
    let minted = wanted.mint(&signer, unix_ms() / 1000).map_err(anyhow::Error::msg)?;
    // Alone on standard output, so that a script can take it.
    match link {
        None => say(&minted.token),
        Some(base) if base.starts_with("https://") || base.starts_with("http://") => {
            say(&tokens::link(&base, &wanted.room, &minted.token));
        }
        Some(other) => bail!("--link: expected the URL of a server, such as https://talk.example.org, got {other}"),
    }
    note(&format!("Good until {}.", tokens::date(minted.expires_at)));
    Ok(())
}

/// What a key of this server signs with.
pub(super) async fn signer(store: &Store, id: &str) -> anyhow::Result<Signer> {
    let signer = store.signer(id).await?;
    signer.with_context(|| format!("there is no valid key {id}: tandem key list shows them all"))
}

fn on_store<T>(options: &Options, act: impl AsyncFnOnce(&Store) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let settings = options.load()?.settings;
        let data = open_data(&settings.data_dir)?;
        let store = Store::open(&serve::database(&data)).await?;
        let outcome = act(&store).await;
        store.close().await;
        outcome
    })
}

fn publish(text: &str) -> Result<Media, String> {
    let mut media = Media { audio: false, video: false, screen: false };
    if text == "none" {
        return Ok(media);
    }
    for word in text.split(',').map(str::trim) {
        match word {
            "microphone" => media.audio = true,
            "camera" => media.video = true,
            "screen" => media.screen = true,
            _ => return Err(format!("expected microphone, camera, screen, or none, got `{word}`")),
        }
    }
    Ok(media)
}

/// For people.
fn lines(claims: &Claims) -> Vec<String> {
    let video = claims.video.clone().unwrap_or_default();
    let may = video.permissions();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let sends = [(may.publish.audio, "microphone"), (may.publish.video, "camera"), (may.publish.screen, "screen")];
    let sends: Vec<_> = sends.iter().filter(|(may, _)| *may).map(|(_, word)| *word).collect();
    let acts = [
        (video.room_join, "enter"),
        (video.room_join && may.subscribe, "get what others send"),
        (video.room_join && may.data, "chat"),
        (video.room_admin, "act as host"),
        (video.room_create, "make rooms"),
        (video.room_list, "list rooms"),
    ];
    let acts: Vec<_> = acts.iter().filter(|(may, _)| *may).map(|(_, word)| *word).collect();
    let room = video.room.clone().filter(|room| !room.is_empty()).unwrap_or_else(|| "any".to_owned());
    let mut all = vec![
        ("key", claims.iss.clone()),
        ("identity", text(&claims.sub)),
        ("name", text(&claims.name)),
        ("room", room),
        ("may", acts.join(", ")),
        ("sends", if video.room_join { sends.join(", ") } else { String::new() }),
        ("metadata", text(&claims.metadata)),
        ("good from", claims.nbf.map(tokens::date).unwrap_or_default()),
        ("good until", format!("{}{}", tokens::date(claims.exp), left(claims.exp))),
    ];
    all.retain(|(_, value)| !value.is_empty());
    let clean = |value: &str| value.chars().filter(|c| !c.is_control()).collect::<String>();
    all.iter().map(|(name, value)| format!("{name:<10}  {}", clean(value))).collect()
}

/// How long from here on.
fn left(exp: u64) -> String {
    match exp.checked_sub(unix_ms() / 1000) {
        Some(seconds) if seconds < 365 * 86_400 => format!(" (in {})", Period(Duration::from_secs(seconds))),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_is_named_or_nothing() {
        assert_eq!(publish("microphone, screen"), Ok(Media { audio: true, video: false, screen: true }));
        assert_eq!(publish("none"), Ok(Media { audio: false, video: false, screen: false }));
        assert!(publish("mic").is_err_and(|said| said.contains("`mic`")));
        assert!(publish("").is_err());
    }

    #[test]
    fn what_a_token_says_is_shown_without_what_a_terminal_would_obey() {
        let claims = Claims {
            iss: "0123456789ab".into(),
            sub: Some("ann\u{1b}[2J".into()),
            exp: 100,
            video: Some(tokens::Video { room_join: true, can_publish: Some(false), ..Default::default() }),
            ..Claims::default()
        };
        let wanted = [
            "key         0123456789ab",
            "identity    ann[2J",
            "room        any",
            "may         enter, get what others send, chat",
            "good until  1970-01-01 00:01:40 UTC",
        ];
        assert_eq!(lines(&claims), wanted);
    }
}
