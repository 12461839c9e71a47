//! Applications' keys.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// An application that may hand out credentials of the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnKey {
    /// Its identity, part of its key and of the credentials it hands out.
    #[schema(example = "3fa94c10b2de")]
    pub id: String,
    /// The application above it, which may act for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub parent: Option<String>,
    /// What the operator calls it.
    #[schema(example = "shop")]
    pub name: String,
    /// When it was made.
    pub created_at: u64,
    /// `false`: it gets no credentials, and those it got are of no use.
    pub enabled: bool,
    /// Its bounds.
    pub limits: TurnLimits,
    /// Web origins whose pages may ask with this key; empty: none.
    pub origins: Vec<String>,
    /// Bytes relayed this calendar month (UTC), those of applications below included.
    pub month_bytes: u64,
}

/// What one application may use; what is left out is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(default, deny_unknown_fields)]
#[ts(optional_fields)]
pub struct TurnLimits {
    /// Allocations at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// Bytes per calendar month (UTC), both ways together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_month: Option<u64>,
    /// Bytes per second, both ways and all its sessions together; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
}

/// Every application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnKeyList {
    /// The oldest first.
    pub keys: Vec<TurnKey>,
}

/// An application to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewTurnKey {
    /// What to call it.
    #[schema(example = "shop")]
    pub name: String,
    /// The application it stands below, which must not stand below one itself.
    #[serde(default)]
    #[ts(optional)]
    pub parent: Option<String>,
    /// Its bounds.
    #[serde(default)]
    #[ts(optional, as = "Option<TurnLimits>")]
    pub limits: TurnLimits,
    /// Web origins whose pages may ask with its key (`https://app.example.org`). Leave it empty when a server asks.
    #[serde(default)]
    #[ts(optional, as = "Option<Vec<String>>")]
    pub origins: Vec<String>,
}

/// An application with its key, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct MadeTurnKey {
    /// The application.
    pub key: TurnKey,
    /// The secret: bearer token, or password beside the identity.
    #[schema(example = "ta_3fa94c10b2de_…")]
    pub secret: String,
}

/// What is to change; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(default, deny_unknown_fields)]
#[ts(optional_fields)]
pub struct ChangeTurnKey {
    /// What to call it.
    pub name: Option<String>,
    /// `false` ends its live sessions and makes what it got useless; `true` lets it get credentials again.
    pub enabled: Option<bool>,
    /// All of its bounds.
    pub limits: Option<TurnLimits>,
    /// All of its origins.
    pub origins: Option<Vec<String>>,
}
