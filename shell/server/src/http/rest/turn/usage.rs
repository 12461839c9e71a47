//! `/turn/usage`: asked of the store.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use tandem_api::rest::{Problem, TurnFlow, TurnSplit, TurnStep, TurnUsage, TurnUsageList, TurnUsageQuery};
use tandem_store::{Split, Step, Usage, UsageFilter};

use super::super::Refusal;
use crate::credentials::{Refused, Service};
use crate::unix_ms;

const MOST: u32 = 10_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// What was relayed, for whom
///
/// Exact to the byte; up to twenty seconds late. Minutes are kept as long as `history.usage` says.
#[utoipa::path(get, path = "/turn/usage", operation_id = "list_turn_usage", tag = "turn", params(TurnUsageQuery), security(("key" = [])), responses(
    (status = 200, description = "Sums, in order of time", body = TurnUsageList),
    (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(service): State<Service>,
    query: Result<Query<TurnUsageQuery>, QueryRejection>,
) -> Result<Json<TurnUsageList>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::malformed(error.body_text()))?;
    let now = unix_ms();
    let (from, to) = (query.from.unwrap_or_else(|| now.saturating_sub(DAY_MS)), query.to.unwrap_or(now));
    if from > to {
        return Err(Refusal::malformed(format!("from: expected a time before to, got {from} and {to}")));
    }
    let store = service.store();
    let applications = match query.key {
        Some(id) => {
            let all = store.applications().await.map_err(Refused::from)?;
            let below = all.into_iter().filter(|application| application.parent.as_deref() == Some(&id));
            let below: Vec<String> = below.map(|application| application.id).collect();
            Some([vec![id], below].concat())
        }
        None => None,
    };
    let filter = UsageFilter { applications, tag: query.tag, from: from / MINUTE_MS, to: to.div_ceil(MINUTE_MS) };
    let step = match query.step.unwrap_or_default() {
        TurnStep::Minute => Step::Minute,
        TurnStep::Hour => Step::Hour,
        TurnStep::Day => Step::Day,
        TurnStep::All => Step::All,
    };
    let split = match query.split.unwrap_or_default() {
        TurnSplit::None => Split::None,
        TurnSplit::Key => Split::Application,
        TurnSplit::Tag => Split::Tag,
    };
    let mut found = store.usage(&filter, step, split, MOST + 1).await.map_err(Refused::from)?;
    let more = found.len() > MOST as usize;
    found.truncate(MOST as usize);
    Ok(Json(TurnUsageList { usage: found.into_iter().map(shown).collect(), more }))
}

fn shown(from: Usage) -> TurnUsage {
    let sum = from.relayed;
    TurnUsage {
        at: from.minute.saturating_mul(MINUTE_MS),
        key: from.application,
        tag: from.tag,
        sessions: sum.sessions,
        seconds: sum.seconds,
        up: TurnFlow { packets: sum.up_packets, bytes: sum.up_bytes },
        down: TurnFlow { packets: sum.down_packets, bytes: sum.down_bytes },
        min_bytes: from.least_bytes,
        max_bytes: from.most_bytes,
        count: from.lines,
    }
}
