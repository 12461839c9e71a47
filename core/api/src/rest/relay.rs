//! The relay for whoever runs it: everyone on it, whoever handed out their credentials; ending them; settings read again.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RelaySessionQuery {
    /// Of this user: the user name without the expiry of an ephemeral one.
    pub user: Option<String>,
    /// Of users whose names begin with this and a slash.
    pub key: Option<String>,
    /// Of users whose names have this behind the first slash.
    pub tag: Option<String>,
    /// In this realm.
    pub realm: Option<String>,
    /// Sessions after this one, as `next` of the page before said.
    pub after: Option<String>,
    /// How many at most; 1 to 200, 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

/// Whose sessions are to end: one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndRelay {
    /// The session of this identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0-17-42")]
    pub session: Option<String>,
    /// All of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// All whose names begin with this and a slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// All whose names have this behind the first slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// All in this realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Refuse the credentials handed out so far to a user, key or tag as well.
    pub revoke: bool,
}

/// What the relay does, and has done since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayFigures {
    /// Threads that work.
    pub running: u64,
    /// Threads there should be.
    pub threads: u64,
    /// Live allocations.
    pub allocations: u64,
    /// Live connections over TCP and TLS.
    pub streams: u64,
    /// Allocations made.
    pub allocated: u64,
    /// Packets relayed.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
    /// Packets not relayed.
    pub dropped: u64,
}

/// Settings that had changed, by their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// In force from here on.
    pub applied: Vec<String>,
    /// These wait for the next start.
    pub restart: Vec<String>,
}
