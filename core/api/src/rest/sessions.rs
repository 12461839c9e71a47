//! Sessions: what took place in a room from the first one in to the last one out.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// In this room.
    pub room: Option<String>,
    /// Started then or later, in Unix milliseconds.
    pub from: Option<u64>,
    /// Started before, in Unix milliseconds.
    pub to: Option<u64>,
    /// Whose media took this way.
    #[param(inline)]
    pub mode: Option<SessionMode>,
    /// `true`: those that are over; `false`: those that are not.
    pub ended: Option<bool>,
    /// Sessions after this point, as `next` of the page before said.
    pub after: Option<String>,
    /// How many at most; 1 to 200, 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

/// Which way the media took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionMode {
    /// From browser to browser, all of it.
    P2p,
    /// Some of it through a relay.
    Relay,
}

/// A page of sessions, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<SessionState>,
    /// For `after`, when there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionState {
    /// Its identity.
    pub id: String,
    /// Where it took place.
    #[schema(example = "blue-otter")]
    pub room: String,
    /// When the first one entered.
    pub started_at: u64,
    /// When it was over; absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    /// Why it was over: `left`, `lost`, `removed` or `ended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "left")]
    pub end_reason: Option<String>,
    /// Which way the media took; absent while no browser has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SessionMode>,
    /// How many stays there were in all.
    pub participants: u64,
}

/// A session and everyone who was in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionWithStays {
    /// The session.
    #[serde(flatten)]
    pub session: SessionState,
    /// In the order of arrival.
    pub stays: Vec<Stay>,
}

/// From somebody's joining to its leaving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stay {
    /// Identity within the room.
    #[schema(example = "p2")]
    pub participant: String,
    /// As the others saw it.
    pub name: String,
    /// What it spoke: `web` or `classic`.
    #[schema(example = "web")]
    pub client: String,
    /// When it entered.
    pub joined_at: u64,
    /// When it was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<u64>,
    /// Why: `left`, `lost`, `removed`, `declined`, `ended` or `too_slow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "left")]
    pub leave_reason: Option<String>,
}
