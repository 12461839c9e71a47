//! `/sessions`: asked of the store.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use tandem_api::rest::{Problem, SessionList, SessionMode, SessionQuery, SessionState, SessionWithStays, Stay};
use tandem_store::{Filter, Mode, Participation, Position, Session};

use super::Api;
use super::problem::Refusal;
use super::rooms::page_size;

/// Sessions, the latest first
#[utoipa::path(get, path = "/sessions", operation_id = "list_sessions", tag = "sessions", params(SessionQuery), security(("key" = [])), responses(
    (status = 200, description = "A page of sessions", body = SessionList),
    (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(api): State<Api>,
    query: Result<Query<SessionQuery>, QueryRejection>,
) -> Result<Json<SessionList>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::malformed(error.body_text()))?;
    let limit = page_size(query.limit)?;
    let after = query.after.as_deref().map(parse_position).transpose()?;
    let filter = Filter {
        room: query.room,
        from: query.from,
        to: query.to,
        mode: query.mode.map(|mode| match mode {
            SessionMode::P2p => Mode::P2p,
            SessionMode::Relay => Mode::Relay,
        }),
        ended: query.ended,
    };
    let page = api.store.sessions(&filter, after.as_ref(), limit).await.map_err(|error| Refusal::of_store(&error))?;
    let next = page.next.as_ref().map(write_position);
    Ok(Json(SessionList { sessions: page.sessions.into_iter().map(state).collect(), next }))
}

/// One session and everyone who was in it
#[utoipa::path(get, path = "/sessions/{id}", operation_id = "show_session", tag = "sessions", security(("key" = [])),
    params(("id" = String, Path, description = "Its identity")), responses(
    (status = 200, description = "The session", body = SessionWithStays),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such session", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<SessionWithStays>, Refusal> {
    let Path(id) = id.map_err(|error| Refusal::malformed(error.body_text()))?;
    let detail = api.store.session(&id).await.map_err(|error| Refusal::of_store(&error))?;
    let detail = detail.ok_or_else(|| Refusal::not_found("no such session"))?;
    let stays = detail.participations.into_iter().map(stay).collect();
    Ok(Json(SessionWithStays { session: state(detail.session), stays }))
}

fn state(session: Session) -> SessionState {
    SessionState {
        id: session.id,
        room: session.room,
        started_at: session.started_at,
        ended_at: session.ended_at,
        end_reason: session.end_reason,
        mode: session.mode.map(|mode| match mode {
            Mode::P2p => SessionMode::P2p,
            Mode::Relay => SessionMode::Relay,
        }),
        participants: session.participants,
    }
}

fn stay(from: Participation) -> Stay {
    Stay {
        participant: from.participant,
        name: from.name,
        client: from.client,
        joined_at: from.joined_at,
        left_at: from.left_at,
        leave_reason: from.leave_reason,
    }
}

fn write_position(position: &Position) -> String {
    format!("{}.{}", position.started_at, position.id)
}

fn parse_position(text: &str) -> Result<Position, Refusal> {
    let wrong = || Refusal::malformed("after: expected `next` of the page before");
    let (started_at, id) = text.split_once('.').ok_or_else(wrong)?;
    Ok(Position { started_at: started_at.parse().map_err(|_| wrong())?, id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let position = Position { started_at: 17, id: "a.b".into() };
        assert_eq!(parse_position(&write_position(&position)).expect("a position"), position);
        assert!(parse_position("x").is_err());
        assert!(parse_position("x.y").is_err());
    }
}
