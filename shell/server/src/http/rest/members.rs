//! `/rooms/{name}/participants`: asked of the engine.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tandem_api::rest::{ChangeMember, ChangeTrack, MoveMember, Problem, RoomMember};
use tandem_engine::{Command, ParticipantChange, Reply};

use super::Api;
use super::problem::Refusal;
use super::rooms::{ask, done, unexpected};

type Whom = Result<Path<(String, String)>, PathRejection>;

/// Somebody in a room
#[utoipa::path(get, path = "/rooms/{name}/participants/{id}", operation_id = "show_participant", tag = "rooms", security(("key" = [])),
    params(("name" = String, Path, description = "Name of the room"), ("id" = String, Path, description = "Identity within the room")),
    responses(
    (status = 200, description = "As everyone in the room sees it", body = RoomMember),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room, or nobody with that identity", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(State(api): State<Api>, path: Whom) -> Result<Json<RoomMember>, Refusal> {
    let (name, id) = whom(path)?;
    match ask(&api, Command::ShowRoom { name }).await? {
        Reply::Room(view) => {
            let found = view.participants.into_iter().find(|participant| participant.id == id);
            found.map(|found| Json(found.into())).ok_or_else(|| unexpected(Reply::NotFound))
        }
        other => Err(unexpected(other)),
    }
}

/// Change somebody: name, metadata, what it may do
#[utoipa::path(patch, path = "/rooms/{name}/participants/{id}", operation_id = "change_participant", tag = "rooms", request_body = ChangeMember,
    security(("key" = [])),
    params(("name" = String, Path, description = "Name of the room"), ("id" = String, Path, description = "Identity within the room")),
    responses(
    (status = 200, description = "As it is from here on", body = RoomMember),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room, or nobody with that identity", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The name breaks a rule", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(
    State(api): State<Api>,
    path: Whom,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<RoomMember>, Refusal> {
    let (room, participant) = whom(path)?;
    let ChangeMember { name, metadata, may } = super::body(body)?;
    let change = ParticipantChange { name, metadata, may: may.map(Into::into) };
    member(ask(&api, Command::ChangeParticipant { room, participant, change }).await?)
}

/// Stop what somebody sends, or let it through again
#[utoipa::path(patch, path = "/rooms/{name}/participants/{id}/tracks/{track}", operation_id = "change_track", tag = "rooms",
    request_body = ChangeTrack, security(("key" = [])),
    params(("name" = String, Path, description = "Name of the room"), ("id" = String, Path, description = "Identity within the room"),
        ("track" = String, Path, description = "The track, as `tracks` of the participant names it")),
    responses(
    (status = 200, description = "As it is from here on", body = RoomMember),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The participant may not send that", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room, participant or track", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change_track(
    State(api): State<Api>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<RoomMember>, Refusal> {
    let Path((room, participant, track)) = path.map_err(|error| Refusal::malformed(error.body_text()))?;
    let ChangeTrack { stopped } = super::body(body)?;
    member(ask(&api, Command::StopTrack { room, participant, track, stopped }).await?)
}

/// Send somebody to another room
#[utoipa::path(post, path = "/rooms/{name}/participants/{id}/move", operation_id = "move_participant", tag = "rooms", request_body = MoveMember,
    security(("key" = [])),
    params(("name" = String, Path, description = "Name of the room"), ("id" = String, Path, description = "Identity within the room")),
    responses(
    (status = 204, description = "It was told to go, and is out here"),
    (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "It has no page of ours that could go", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room, or nobody with that identity", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "There is no room of that name to go to", body = Problem, content_type = "application/problem+json"),
))]
pub async fn send(
    State(api): State<Api>,
    path: Whom,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let (room, participant) = whom(path)?;
    let MoveMember { to } = super::body(body)?;
    done(ask(&api, Command::MoveParticipant { room, participant, to }).await?)
}

/// Remove somebody
#[utoipa::path(delete, path = "/rooms/{name}/participants/{id}", operation_id = "remove_participant", tag = "rooms", security(("key" = [])),
    params(("name" = String, Path, description = "Name of the room"), ("id" = String, Path, description = "Identity within the room")),
    responses(
    (status = 204, description = "Done"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such room, or nobody with that identity", body = Problem, content_type = "application/problem+json"),
))]
pub async fn remove(State(api): State<Api>, path: Whom) -> Result<StatusCode, Refusal> {
    let (room, participant) = whom(path)?;
    done(ask(&api, Command::RemoveParticipant { room, participant }).await?)
}

fn whom(path: Whom) -> Result<(String, String), Refusal> {
    path.map(|Path(whom)| whom).map_err(|error| Refusal::malformed(error.body_text()))
}

fn member(reply: Reply) -> Result<Json<RoomMember>, Refusal> {
    match reply {
        Reply::Participant(participant) => Ok(Json((*participant).into())),
        other => Err(unexpected(other)),
    }
}
