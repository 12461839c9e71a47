//! Errors (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was not done; sent as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem, for programs: a stable word.
    #[serde(rename = "type")]
    #[schema(example = "not_found")]
    pub kind: String,
    /// The same for people.
    #[schema(example = "There is no such thing")]
    pub title: String,
    /// The HTTP status code.
    #[schema(example = 404)]
    pub status: u16,
    /// What was expected and what came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "no room `blue-otter`")]
    pub detail: Option<String>,
}
