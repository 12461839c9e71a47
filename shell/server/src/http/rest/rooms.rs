//! `/rooms`: asked of the engine.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use tandem_api::rest::{
    ChangeRoom, MOST_LISTED, NewRoom, Problem, RoomList, RoomMessage, RoomQuery, RoomState, USUALLY_LISTED,
};
use tandem_engine::{Command, CreateRoom, Reply, RoomChange, RoomView};

use super::Api;
use super::problem::Refusal;

/// Rooms with somebody in them, and those made beforehand
#[utoipa::path(get, path = "/rooms", operation_id = "list_rooms", tag = "rooms", params(RoomQuery), security(("key" = [])), responses(
    (status = 200, description = "A page of rooms, by name", body = RoomList),
    (status = 400, description = "The query cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(
    State(api): State<Api>,
    query: Result<Query<RoomQuery>, QueryRejection>,
) -> Result<Json<RoomList>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::malformed(error.body_text()))?;
    let limit = page_size(query.limit)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match ask(&api, Command::ListRooms { after: query.after, limit }).await? {
        Reply::Rooms { rooms, more } => {
            let next = rooms.last().filter(|_| more).map(|last| last.room.name.clone());
            Ok(Json(RoomList { rooms: rooms.into_iter().map(state).collect(), next }))
        }
        other => Err(unexpected(other)),
    }
}

/// One room
#[utoipa::path(get, path = "/rooms/{name}", operation_id = "show_room", tag = "rooms", security(("key" = [])),
    params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The room and everyone in it", body = RoomState),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<RoomState>, Refusal> {
    let Path(name) = name.map_err(|error| Refusal::malformed(error.body_text()))?;
    match ask(&api, Command::ShowRoom { name }).await? {
        Reply::Room(view) => Ok(Json(state(view))),
        other => Err(unexpected(other)),
    }
}

/// Make a room before anyone enters
#[utoipa::path(post, path = "/rooms", operation_id = "create_room", tag = "rooms", request_body = NewRoom, security(("key" = [])), responses(
    (status = 201, description = "The room; its link is `/r/{name}`", body = RoomState),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The name is taken or breaks the rules", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The server is full or going down", body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(State(api): State<Api>, body: Result<Bytes, BytesRejection>) -> Result<Response, Refusal> {
    let NewRoom { name, entry, relay_only, max_participants, tokens, watch_only, metadata } = super::body(body)?;
    let entry = entry.into();
    let command =
        Command::CreateRoom(CreateRoom { name, entry, relay_only, max_participants, tokens, watch_only, metadata });
    match ask(&api, command).await? {
        Reply::Room(view) => {
            let location = format!("/api/v1/rooms/{}", encoded(&view.room.name));
            Ok((StatusCode::CREATED, [(LOCATION, location)], Json(state(view))).into_response())
        }
        other => Err(unexpected(other)),
    }
}

/// End the session and forget the room
#[utoipa::path(delete, path = "/rooms/{name}", operation_id = "delete_room", tag = "rooms", security(("key" = [])),
    params(("name" = String, Path, description = "Its name")), responses(
    (status = 204, description = "Done"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room", body = Problem, content_type = "application/problem+json"),
))]
pub async fn delete(State(api): State<Api>, name: Result<Path<String>, PathRejection>) -> Result<StatusCode, Refusal> {
    let Path(name) = name.map_err(|error| Refusal::malformed(error.body_text()))?;
    done(ask(&api, Command::DeleteRoom { name }).await?)
}

/// Change a room
#[utoipa::path(patch, path = "/rooms/{name}", operation_id = "change_room", tag = "rooms", request_body = ChangeRoom, security(("key" = [])),
    params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "As it is from here on", body = RoomState),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<RoomState>, Refusal> {
    let Path(room) = name.map_err(|error| Refusal::malformed(error.body_text()))?;
    let ChangeRoom { locked, entry, tokens, watch_only, max_participants, metadata } = super::body(body)?;
    let entry = entry.map(Into::into);
    let change = RoomChange { locked, entry, tokens, watch_only, max_participants, metadata };
    match ask(&api, Command::ChangeRoom { room, change }).await? {
        Reply::Room(view) => Ok(Json(state(view))),
        other => Err(unexpected(other)),
    }
}

/// Tell those in a room something
#[utoipa::path(post, path = "/rooms/{name}/messages", operation_id = "tell_room", tag = "rooms", request_body = RoomMessage, security(("key" = [])),
    params(("name" = String, Path, description = "Its name")), responses(
    (status = 204, description = "Done"),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room, or nobody with that identity", body = Problem, content_type = "application/problem+json"),
))]
pub async fn tell(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let Path(room) = name.map_err(|error| Refusal::malformed(error.body_text()))?;
    let RoomMessage { to, data } = super::body(body)?;
    done(ask(&api, Command::Tell { room, to, data }).await?)
}

/// How many entries a page has.
pub fn page_size(limit: Option<u32>) -> Result<u32, Refusal> {
    match limit.unwrap_or(USUALLY_LISTED) {
        limit @ 1..=MOST_LISTED => Ok(limit),
        got => Err(Refusal::malformed(format!("limit: expected 1 to {MOST_LISTED}, got {got}"))),
    }
}

pub async fn ask(api: &Api, command: Command) -> Result<Reply, Refusal> {
    (api.engine)(command).await.ok_or_else(|| Refusal::unavailable("the server is going down"))
}

pub fn done(reply: Reply) -> Result<StatusCode, Refusal> {
    match reply {
        Reply::Done => Ok(StatusCode::NO_CONTENT),
        other => Err(unexpected(other)),
    }
}

pub fn unexpected(reply: Reply) -> Refusal {
    match reply {
        Reply::NotFound => Refusal::not_found("no such room, or nobody with that identity in it"),
        Reply::Refused { reason, detail } => Refusal::of_engine(reason, detail),
        Reply::Rooms { .. }
        | Reply::Room(_)
        | Reply::Participant(_)
        | Reply::Done
        | Reply::Connected { .. }
        | Reply::Restarted { .. }
        | Reply::Outdated => {
            tracing::error!("the engine answered another question");
            Refusal::unavailable("the engine answered another question")
        }
    }
}

fn state(view: RoomView) -> RoomState {
    RoomState::new(view.room, view.session, view.participants)
}

/// RFC 3986 §2.3: all but the unreserved characters.
pub fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_location_is_ascii() {
        assert_eq!(encoded("blue-otter"), "blue-otter");
        assert_eq!(encoded("grün/x"), "gr%C3%BCn%2Fx");
    }

    #[test]
    fn a_page_has_one_to_two_hundred_entries() {
        assert_eq!(page_size(None).ok(), Some(50));
        assert_eq!(page_size(Some(200)).ok(), Some(200));
        assert!(page_size(Some(0)).is_err());
        assert!(page_size(Some(201)).is_err());
    }
}
