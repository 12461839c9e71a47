//! Who relays at the moment, and ending it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::{IntoParams, ToSchema};

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TurnSessionQuery {
    /// Of this user: the user name without the expiry of an ephemeral one.
    pub user: Option<String>,
    /// Of this application; or, where there is none of this identity, of users whose names begin with this and a slash.
    pub key: Option<String>,
    /// With this label of the application; without one, of users whose names have this behind the first slash.
    pub tag: Option<String>,
    /// In this realm.
    pub realm: Option<String>,
    /// Sessions after this one, as `next` of the page before said.
    pub after: Option<String>,
    /// How many at most; 1 to 200, 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

/// A page of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnSessionList {
    /// The sessions.
    pub sessions: Vec<TurnSession>,
    /// For `after`, when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub next: Option<String>,
}

/// Whose sessions are to end: one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndTurnSessions {
    /// The session of this identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0-17-42")]
    pub session: Option<String>,
    /// All of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// All of this application; or all whose names begin with this and a slash.
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

/// Somebody who relays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnSession {
    /// Its identity.
    #[schema(example = "0-17-42")]
    pub id: String,
    /// The application that handed out its credential; absent for this server's own calls and users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub key: Option<String>,
    /// The application's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub tag: Option<String>,
    /// Its name at the relay.
    pub user: String,
    /// How it reaches the relay.
    pub transport: TurnTransport,
    /// Its address.
    #[schema(example = "198.51.100.7:50412")]
    pub client: String,
    /// Where its peers see it.
    pub relayed: Vec<String>,
    /// When it began.
    pub started_at: u64,
    /// When it ends unless it is refreshed.
    pub expires_at: u64,
    /// From it.
    pub up: TurnFlow,
    /// To it.
    pub down: TurnFlow,
}

/// How a client reaches the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum TurnTransport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// Datagrams inside DTLS.
    Dtls,
}

/// What passed one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnFlow {
    /// Packets.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
}
