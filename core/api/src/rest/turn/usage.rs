//! What was relayed, for whom.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::{IntoParams, ToSchema};

use super::sessions::TurnFlow;

/// Which usage, and how it is added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TurnUsageQuery {
    /// Of this application and those below it; empty: of this server's own calls and users.
    pub key: Option<String>,
    /// With this label.
    pub tag: Option<String>,
    /// From then on, in Unix milliseconds; a day ago if left out.
    pub from: Option<u64>,
    /// Before then, in Unix milliseconds; up to the present if left out.
    pub to: Option<u64>,
    /// How long what is added up is; an hour if left out.
    #[param(inline)]
    pub step: Option<TurnStep>,
    /// What is told apart; nothing if left out.
    #[param(inline)]
    pub split: Option<TurnSplit>,
}

/// How long what is added up is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum TurnStep {
    /// As it is stored.
    Minute,
    /// Sixty minutes.
    #[default]
    Hour,
    /// A calendar day (UTC).
    Day,
    /// The whole time asked for.
    All,
}

/// What is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
#[serde(rename_all = "snake_case")]
pub enum TurnSplit {
    /// Nothing.
    #[default]
    None,
    /// Applications.
    Key,
    /// Applications and their labels.
    Tag,
}

/// Usage, in order of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnUsageList {
    /// At most 10000; steps in which nothing was relayed are left out.
    pub usage: Vec<TurnUsage>,
    /// There are more than are shown: ask for less time, or longer steps.
    pub more: bool,
}

/// What was relayed in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, TS)]
pub struct TurnUsage {
    /// When the step begins.
    pub at: u64,
    /// The application, where they are told apart; empty: this server's own calls and users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub key: Option<String>,
    /// Its label, where these are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub tag: Option<String>,
    /// Sessions that began.
    pub sessions: u64,
    /// Seconds that sessions lasted, all together.
    pub seconds: u64,
    /// From clients.
    pub up: TurnFlow,
    /// To clients.
    pub down: TurnFlow,
    /// Fewest bytes, both ways, of one label in one minute.
    pub min_bytes: u64,
    /// Most of them.
    pub max_bytes: u64,
    /// How many minutes there were something in, each label for itself.
    pub count: u64,
}
