//! `/relay` and `/reload`: what the relay does, and the settings. Who is on it is [`super::turn::sessions`].

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use tandem_api::rest::{Problem, RelayFigures, Reloaded};

use super::{Api, Refusal};
use crate::relay::Handle;

/// For holders of an operator's key, and on the control socket.
pub fn routes() -> Router<Api> {
    Router::new().route("/relay", get(show)).route("/reload", post(reload))
}

/// What the relay does
#[utoipa::path(get, path = "/relay", operation_id = "show_relay", tag = "relay", security(("key" = [])), responses(
    (status = 200, description = "Its figures", body = RelayFigures),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The relay is turned off", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(State(api): State<Api>) -> Result<Json<RelayFigures>, Refusal> {
    let relay = relay(&api)?;
    let (stats, (running, threads)) = (relay.stats(), relay.running());
    let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(Json(RelayFigures {
        running: count(running),
        threads: count(threads),
        allocations: stats.turn.allocations,
        streams: stats.streams,
        allocated: stats.turn.allocated,
        packets: stats.turn.packets,
        bytes: stats.turn.bytes,
        dropped: stats.turn.dropped,
    }))
}

/// Read the settings again
#[utoipa::path(post, path = "/reload", operation_id = "reload_settings", tag = "relay", security(("key" = [])), responses(
    (status = 200, description = "What had changed", body = Reloaded),
    (status = 400, description = "The settings are wrong; all stays as it was", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn reload(State(api): State<Api>) -> Result<Json<Reloaded>, Refusal> {
    let reloaded = tokio::task::spawn_blocking(move || api.reload.reload()).await;
    match reloaded.map_err(|_| Refusal::unavailable("the settings could not be read"))? {
        Ok(reloaded) => Ok(Json(Reloaded { applied: reloaded.applied, restart: reloaded.restart })),
        Err(invalid) => Err(Refusal::malformed(invalid.to_string())),
    }
}

fn relay(api: &Api) -> Result<Arc<Handle>, Refusal> {
    api.relay.clone().ok_or_else(|| Refusal::unavailable("the relay is turned off (relay.enabled)"))
}
