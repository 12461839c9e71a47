//! `/turn/sessions`: who relays, and ending it; and taking back what was handed out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use tandem_api::rest::{
    EndTurnSessions, Problem, RevokeTurn, TurnEnded, TurnFlow, TurnSession, TurnSessionList, TurnSessionQuery,
    TurnTransport,
};

use super::super::rooms::page_size;
use super::super::{Api, Refusal};
use super::credentials::{caller, target};
use crate::credentials::{Scope, Service, parse_name};
use crate::http::asked::Asked;
use crate::http::rest::body;
use crate::relay::{Filter, SessionId, SessionView, Traffic, Transport, Whom};

/// Everyone who relays at the moment, whoever has handed out the credential
#[utoipa::path(get, path = "/turn/sessions", operation_id = "list_turn_sessions", tag = "turn", params(TurnSessionQuery), security(("key" = [])), responses(
    (status = 200, description = "A page of sessions", body = TurnSessionList),
    (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The relay is turned off", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(service): State<Service>,
    query: Result<Query<TurnSessionQuery>, QueryRejection>,
) -> Result<Json<TurnSessionList>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::malformed(error.body_text()))?;
    let limit = usize::try_from(page_size(query.limit)?).unwrap_or(usize::MAX);
    let after = query.after.as_deref().map(session_id).transpose()?;
    let filter = Filter { user: query.user, key: query.key, tag: query.tag, realm: query.realm };
    let page = service.sessions(filter, after, limit).await?;
    let sessions = page.sessions.into_iter().map(shown).collect();
    Ok(Json(TurnSessionList { sessions, next: page.next.map(|next| next.to_string()) }))
}

/// End a live session; its credential stays good
#[utoipa::path(delete, path = "/turn/sessions/{id}", operation_id = "end_turn_session", tag = "turn", security(("key" = [])),
    params(("id" = String, Path, description = "Its identity")), responses(
    (status = 204, description = "Done"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such session", body = Problem, content_type = "application/problem+json"),
))]
pub async fn end(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path(id) = id.map_err(|error| Refusal::malformed(error.body_text()))?;
    let ended = service.end(Whom::Session(session_id(&id)?)).await?;
    if ended > 0 { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::not_found("no such session")) }
}

/// End live sessions: one, or all of a user, application, label or realm
///
/// With `revoke` the credentials handed out so far are refused, too; what an application hands out afterwards is good.
#[utoipa::path(post, path = "/turn/sessions/end", operation_id = "end_turn_sessions", tag = "turn", request_body = EndTurnSessions, security(("key" = [])), responses(
    (status = 200, description = "How many live sessions have ended", body = TurnEnded),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The relay is turned off", body = Problem, content_type = "application/problem+json"),
))]
pub async fn end_all(
    State(service): State<Service>,
    content: Result<Bytes, BytesRejection>,
) -> Result<Json<TurnEnded>, Refusal> {
    let (whom, revoke) = whom(body(content)?)?;
    let ended = if revoke { service.end_and_revoke(whom).await? } else { service.end(whom).await? };
    Ok(Json(TurnEnded { ended: u64::try_from(ended).unwrap_or(u64::MAX) }))
}

/// Exactly one of them.
fn whom(wanted: EndTurnSessions) -> Result<(Whom, bool), Refusal> {
    let EndTurnSessions { session, user, key, tag, realm, revoke } = wanted;
    let session = session.as_deref().map(session_id).transpose()?.map(Whom::Session);
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

/// Take back credentials: one, all of a label, or all of an application. Live sessions with them end
///
/// With an application's key, or an operator's, which names the application by `key`. What is handed out afterwards is good.
#[utoipa::path(post, path = "/turn/credentials/revoke", operation_id = "revoke_turn_credentials", tag = "turn", request_body = RevokeTurn, security(("key" = [])), responses(
    (status = 200, description = "How many live sessions have ended", body = TurnEnded),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such application below the one that asks, or the user name is none of its", body = Problem, content_type = "application/problem+json"),
))]
pub async fn revoke(
    State(api): State<Api>,
    asked: Asked,
    content: Result<Bytes, BytesRejection>,
) -> Result<Json<TurnEnded>, Refusal> {
    let caller = caller(&api, &asked).await?;
    let wanted: RevokeTurn = body(content)?;
    let application = target(&api.credentials, caller, wanted.key.as_deref()).await?;
    let application = application.ok_or_else(|| Refusal::malformed("key: expected the application whose they are"))?;
    let scope = match (wanted.username, wanted.tag) {
        (Some(_), Some(_)) => return Err(Refusal::malformed("expected username or tag, not both")),
        (Some(username), None) => Scope::Credential(username),
        (None, Some(tag)) => Scope::Tag(tag),
        (None, None) => Scope::Key,
    };
    let ended = api.credentials.revoke(&application, scope).await?;
    Ok(Json(TurnEnded { ended: u64::try_from(ended).unwrap_or(u64::MAX) }))
}

/// Reads one.
pub fn session_id(text: &str) -> Result<SessionId, Refusal> {
    text.parse().map_err(|error: tandem_stun::turn::NoSessionId| Refusal::malformed(error.to_string()))
}

/// As it is told.
pub fn shown(from: SessionView) -> TurnSession {
    let (key, tag) = parse_name(&from.user).map(|(key, tag)| (key.to_owned(), tag)).unzip();
    TurnSession {
        id: from.id.to_string(),
        key,
        tag: tag.filter(|tag| !tag.is_empty()),
        user: from.user,
        transport: match from.transport {
            Transport::Udp => TurnTransport::Udp,
            Transport::Tcp => TurnTransport::Tcp,
            Transport::Tls => TurnTransport::Tls,
            Transport::Dtls => TurnTransport::Dtls,
        },
        client: from.client.to_string(),
        relayed: from.relayed.iter().map(ToString::to_string).collect(),
        started_at: from.started,
        expires_at: from.expires,
        up: flow(from.up),
        down: flow(from.down),
    }
}

fn flow(from: Traffic) -> TurnFlow {
    TurnFlow { packets: from.packets, bytes: from.bytes }
}
