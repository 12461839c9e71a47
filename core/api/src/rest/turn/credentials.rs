//! Credentials of the relay: handed out, and taken back.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// A credential that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(default, deny_unknown_fields)]
#[ts(optional_fields)]
pub struct NewTurnCredential {
    /// How many seconds it is good for: 1 to 172800 (48 hours), or fewer where the operator says so; a day if left out.
    #[schema(example = 3600)]
    pub ttl: Option<u64>,
    /// The application's own label for whoever gets it, of up to 64 characters: usage is told by it, and all its
    /// credentials can be taken back together.
    #[schema(example = "alice")]
    pub tag: Option<String>,
    /// The application it is for, if not the one that asks: one below it, or with an operator's key any.
    pub key: Option<String>,
}

/// A credential, and where it is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnCredential {
    /// For `new RTCPeerConnection({ iceServers })`.
    pub ice_servers: Vec<TurnIceServer>,
    /// The user name, which is also what to take back.
    #[schema(example = "1700003600:3fa94c10b2de/alice/k3x9qa")]
    pub username: String,
    /// Until when sessions may begin.
    pub expires_at: u64,
    /// In so many seconds.
    pub ttl: u64,
}

/// As W3C WebRTC's `RTCIceServer` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnIceServer {
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// For `turn:` and `turns:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub username: Option<String>,
    /// For `turn:` and `turns:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub credential: Option<String>,
}

/// What to take back: one credential, all of a label, or, with neither, all of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(default, deny_unknown_fields)]
#[ts(optional_fields)]
pub struct RevokeTurn {
    /// The user name of one credential.
    pub username: Option<String>,
    /// A label.
    pub tag: Option<String>,
    /// The application, if not the one that asks.
    pub key: Option<String>,
}

/// Live sessions that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnEnded {
    /// How many.
    pub ended: u64,
}
