//! `/relay` and `/reload`: the relay for whoever runs it, and the settings.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use tandem_api::rest::{EndRelay, Problem, RelayFigures, RelaySessionQuery, Reloaded, TurnEnded, TurnSessionList};

use super::rooms::page_size;
use super::turn::{self, sessions};
use super::{Api, Refusal};
use crate::relay::{Filter, Handle, Unreachable, Whom};

/// For holders of an operator's key, and on the control socket.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/relay", get(show))
        .route("/relay/sessions", get(list))
        .route("/relay/end", post(end))
        .route("/reload", post(reload))
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

/// Everyone who relays at the moment, whoever has handed out the credentials
#[utoipa::path(get, path = "/relay/sessions", operation_id = "list_relay_sessions", tag = "relay", params(RelaySessionQuery), security(("key" = [])), responses(
    (status = 200, description = "A page of sessions; `DELETE /turn/sessions/{id}` ends one", body = TurnSessionList),
    (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The relay is turned off", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(api): State<Api>,
    query: Result<Query<RelaySessionQuery>, QueryRejection>,
) -> Result<Json<TurnSessionList>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::malformed(error.body_text()))?;
    let limit = usize::try_from(page_size(query.limit)?).unwrap_or(usize::MAX);
    let after = query.after.as_deref().map(sessions::session_id).transpose()?;
    let filter = Filter { user: query.user, key: query.key, tag: query.tag, realm: query.realm };
    let page = ask(relay(&api)?, move |relay| relay.sessions(&filter, after, limit)).await?;
    let sessions = page.sessions.into_iter().map(sessions::shown).collect();
    Ok(Json(TurnSessionList { sessions, next: page.next.map(|next| next.to_string()) }))
}

/// End live sessions
#[utoipa::path(post, path = "/relay/end", operation_id = "end_relay_sessions", tag = "relay", request_body = EndRelay, security(("key" = [])), responses(
    (status = 200, description = "How many live sessions have ended", body = TurnEnded),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The relay is turned off", body = Problem, content_type = "application/problem+json"),
))]
pub async fn end(State(api): State<Api>, content: Result<Bytes, BytesRejection>) -> Result<Json<TurnEnded>, Refusal> {
    let (whom, revoke) = whom(turn::body(content)?)?;
    let ended = ask(relay(&api)?, move |relay| if revoke { relay.end_and_revoke(&whom) } else { relay.end(&whom) });
    Ok(Json(TurnEnded { ended: u64::try_from(ended.await?).unwrap_or(u64::MAX) }))
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

/// Exactly one of them.
fn whom(wanted: EndRelay) -> Result<(Whom, bool), Refusal> {
    let EndRelay { session, user, key, tag, realm, revoke } = wanted;
    let session = session.as_deref().map(sessions::session_id).transpose()?.map(Whom::Session);
    let others = [user.map(Whom::User), key.map(Whom::Key), tag.map(Whom::Tag), realm.map(Whom::Realm)];
    let mut all = [session].into_iter().chain(others).flatten();
    match (all.next(), all.next()) {
        (Some(Whom::Session(_) | Whom::Realm(_)), None) if revoke => {
            Err(Refusal::malformed("revoke: expected a user, a key or a tag beside it"))
        }
        (Some(whom), None) => Ok((whom, revoke)),
        _ => Err(Refusal::malformed("expected one of session, user, key, tag and realm")),
    }
}

fn relay(api: &Api) -> Result<Arc<Handle>, Refusal> {
    api.relay.clone().ok_or_else(|| Refusal::unavailable("the relay is turned off (relay.enabled)"))
}

/// Its threads are asked on one that may wait for them.
async fn ask<T: Send + 'static>(
    relay: Arc<Handle>,
    question: impl FnOnce(&Handle) -> Result<T, Unreachable> + Send + 'static,
) -> Result<T, Refusal> {
    let answer = tokio::task::spawn_blocking(move || question(&relay)).await;
    answer.ok().and_then(Result::ok).ok_or_else(|| Refusal::unavailable("a thread of the relay does not answer"))
}
