//! Tokens for rooms.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token that is wanted. Room and identity are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewToken {
    /// Name of the room it is for.
    #[schema(example = "blue-otter")]
    pub room: Option<String>,
    /// Whom it is for, in your own words: 1 to 128 characters. Two with the same are never in a room at the same time.
    #[schema(example = "user-42")]
    pub identity: Option<String>,
    /// What the others see; whoever enters says it if left out.
    #[schema(example = "Ann")]
    pub name: Option<String>,
    /// Whatever you want to keep with it, at most 4096 bytes; everyone in the room can read it.
    pub metadata: Option<String>,
    /// How many seconds it is good for: one second to 365 days; six hours if left out.
    #[schema(example = 3600)]
    pub ttl: Option<u64>,
    /// What may be sent; everything if left out, nothing if empty.
    pub publish: Option<Vec<TokenSource>>,
    /// It gets what the others send; `true` if left out.
    pub subscribe: Option<bool>,
    /// It may chat, and its application may say something; `true` if left out.
    pub data: Option<bool>,
    /// It may do whatever the host may, and what this API can in that room; `false` if left out.
    pub admin: Option<bool>,
}

/// What may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// Microphone.
    Microphone,
    /// Camera.
    Camera,
    /// A screen, with its sound.
    Screen,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The token (JWT).
    pub token: String,
    /// Where whoever has it goes; no server sees what stands behind the `#`.
    #[schema(example = "https://talk.example.org/r/blue-otter#token=eyJ…")]
    pub link: String,
    /// Until when one may enter with it. Who is in then stays in.
    pub expires_at: u64,
}
