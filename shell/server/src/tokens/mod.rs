//! Tokens: what a third party has signed with an API key for somebody (JWT, RFC 7519, HS256), in the words that users of LiveKit
//! know, so that its libraries make them.
//!
//! ```text
//!   signalling, WHIP, REST ──► Verifier ──► whose key? (store) ──► signature, times ──► Claims ──► Grants ──► engine
//!   tandem token, REST     ──► Wanted  ──► Claims ──► signature ──► token
//! ```
//!
//! What somebody may do with it in a room is the engine's business.

mod claims;
mod mint;
mod read;
mod verify;

use std::net::IpAddr;

use tandem_store::Store;
use time::OffsetDateTime;
use time::macros::format_description;

pub use claims::{Claims, Video};
pub use mint::{LONGEST, USUAL, Wanted, link};
pub use verify::sign;

use crate::http::attempts::Attempts;
use crate::metrics::TOKENS_REFUSED_TOTAL;
use crate::unix_ms;

/// Why a token is not taken, as a sentence for whoever has brought it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// After too many from there.
    #[error("too many wrong keys or tokens have come from your address: try again in {seconds} s")]
    Blocked {
        /// That long.
        seconds: u64,
    },
    /// Whoever has made it does not know the key.
    #[error("{0}")]
    Forged(String),
    /// It is genuine, and yet.
    #[error("{0}")]
    Bad(String),
    /// Whether it is good cannot be said.
    #[error("the database does not answer: try again in a moment")]
    Unavailable,
}

/// Whether a text is meant to be a token of this kind. Keys and passes have no dots.
pub fn is_token(text: &str) -> bool {
    text.contains('.')
}

/// Checks tokens. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    store: Store,
    attempts: Attempts,
}

impl Verifier {
    /// Forged ones count there, as wrong API keys do.
    pub fn new(store: Store, attempts: Attempts) -> Verifier {
        Verifier { store, attempts }
    }

    /// What the token says, if it is to be believed.
    pub async fn verify(&self, client: IpAddr, text: &str) -> Result<Claims, Refused> {
        let checked = match self.attempts.blocked(client) {
            Some(seconds) => Err(Refused::Blocked { seconds }),
            None => check(&self.store, text, unix_ms()).await,
        };
        match &checked {
            Ok(claims) => {
                if let Err(error) = self.store.note_signed(&claims.iss, unix_ms()).await {
                    tracing::warn!(%error, "when a key was used is not noted");
                }
            }
            Err(Refused::Blocked { .. }) => TOKENS_REFUSED_TOTAL.add_labelled("blocked", 1),
            Err(Refused::Forged(_)) => {
                TOKENS_REFUSED_TOTAL.add_labelled("forged", 1);
                self.attempts.count(client);
            }
            Err(Refused::Bad(_)) => TOKENS_REFUSED_TOTAL.add_labelled("bad", 1),
            Err(Refused::Unavailable) => TOKENS_REFUSED_TOTAL.add_labelled("unavailable", 1),
        }
        checked
    }
}

/// The same for whoever has the database at hand.
pub async fn check(store: &Store, text: &str, now_ms: u64) -> Result<Claims, Refused> {
    let issuer = verify::issuer(text)?;
    match store.signer(&issuer).await {
        Ok(Some(signer)) => verify::verify(text, &signer, now_ms / 1000),
        Ok(None) => Err(Refused::Forged(format!(
            "the token was made with the key `{issuer}`, which is unknown here or was revoked"
        ))),
        Err(error) => {
            tracing::error!(%error, "a token cannot be checked");
            Err(Refused::Unavailable)
        }
    }
}

/// What a token says, true or not.
pub fn look(text: &str) -> Result<Claims, Refused> {
    verify::look(text)
}

/// For people.
pub fn date(unix_seconds: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let at = i64::try_from(unix_seconds).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    at.and_then(|at| at.format(&format).ok()).unwrap_or_else(|| format!("{unix_seconds} s after 1970"))
}

/// What was written, short enough to be repeated to whoever has written it.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(MOST_REPEATED).collect();
    if text.chars().nth(MOST_REPEATED).is_some() {
        short.push('…');
    }
    short
}

const MOST_REPEATED: usize = 60;
