//! `/turn/keys`: applications and their keys.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use tandem_api::rest::{ChangeTurnKey, MadeTurnKey, NewTurnKey, Problem, TurnKey, TurnKeyList, TurnLimits};
use tandem_store::{Application, ApplicationChange, Bounds, MadeApplication, NewApplication};

use super::super::Refusal;
use crate::credentials::Service;
use crate::http::rest::body;

/// All applications, the oldest first
#[utoipa::path(get, path = "/turn/keys", operation_id = "list_turn_keys", tag = "turn", security(("key" = [])), responses(
    (status = 200, description = "The applications, without their secrets", body = TurnKeyList),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn list(State(service): State<Service>) -> Result<Json<TurnKeyList>, Refusal> {
    let all = service.store().applications().await.map_err(refusal)?;
    let keys = all.into_iter().map(|application| shown(&service, application)).collect();
    Ok(Json(TurnKeyList { keys }))
}

/// Make an application
#[utoipa::path(post, path = "/turn/keys", operation_id = "create_turn_key", tag = "turn", request_body = NewTurnKey, security(("key" = [])), responses(
    (status = 201, description = "The application; its secret is shown this once", body = MadeTurnKey),
    (status = 400, description = "The body cannot be read, a bound cannot be, or the name is taken", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(service): State<Service>,
    content: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let wanted: NewTurnKey = body(content)?;
    let new = NewApplication {
        name: wanted.name,
        parent: wanted.parent,
        bounds: bounds(wanted.limits),
        origins: wanted.origins,
    };
    let made = service.create(&new).await?;
    let location = format!("/api/v1/turn/keys/{}", made.application.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(shown_once(&service, made))).into_response())
}

/// One application
#[utoipa::path(get, path = "/turn/keys/{id}", operation_id = "show_turn_key", tag = "turn", security(("key" = [])),
    params(("id" = String, Path, description = "Its identity")), responses(
    (status = 200, description = "The application, without its secret", body = TurnKey),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<TurnKey>, Refusal> {
    let found = service.store().application(&self::id(id)?).await.map_err(refusal)?;
    Ok(Json(shown(&service, found.ok_or_else(nobody)?)))
}

/// Change an application
#[utoipa::path(patch, path = "/turn/keys/{id}", operation_id = "change_turn_key", tag = "turn", request_body = ChangeTurnKey, security(("key" = [])),
    params(("id" = String, Path, description = "Its identity")), responses(
    (status = 200, description = "As it is from here on", body = TurnKey),
    (status = 400, description = "The body cannot be read, or a bound cannot be", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
    content: Result<Bytes, BytesRejection>,
) -> Result<Json<TurnKey>, Refusal> {
    let ChangeTurnKey { name, enabled, limits, origins } = body(content)?;
    let to = ApplicationChange { name, enabled, bounds: limits.map(bounds), origins };
    let after = service.change(&self::id(id)?, &to).await?.ok_or_else(nobody)?;
    Ok(Json(shown(&service, after)))
}

/// Give an application another secret; the one before is of no use from then on
#[utoipa::path(post, path = "/turn/keys/{id}/secret", operation_id = "renew_turn_key", tag = "turn", security(("key" = [])),
    params(("id" = String, Path, description = "Its identity")), responses(
    (status = 200, description = "The application; its secret is shown this once", body = MadeTurnKey),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
))]
pub async fn renew(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<MadeTurnKey>, Refusal> {
    let made = service.store().renew_application(&self::id(id)?).await.map_err(refusal)?;
    Ok(Json(shown_once(&service, made.ok_or_else(nobody)?)))
}

/// Remove an application and those below it; their live sessions end, and what was handed out is of no use
#[utoipa::path(delete, path = "/turn/keys/{id}", operation_id = "remove_turn_key", tag = "turn", security(("key" = [])),
    params(("id" = String, Path, description = "Its identity")), responses(
    (status = 204, description = "Done"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
))]
pub async fn remove(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    if service.remove(&self::id(id)?).await? { Ok(StatusCode::NO_CONTENT) } else { Err(nobody()) }
}

fn id(from: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    from.map(|Path(id)| id).map_err(|error| Refusal::malformed(error.body_text()))
}

fn nobody() -> Refusal {
    Refusal::not_found("no such application")
}

fn refusal(error: tandem_store::Error) -> Refusal {
    Refusal::of_store(&error)
}

fn bounds(from: TurnLimits) -> Bounds {
    let TurnLimits { sessions, bytes_per_month, bytes_per_second } = from;
    Bounds { sessions, bytes_per_month, bytes_per_second }
}

fn shown_once(service: &Service, made: MadeApplication) -> MadeTurnKey {
    MadeTurnKey { key: shown(service, made.application), secret: made.text }
}

fn limits(from: Bounds) -> TurnLimits {
    let Bounds { sessions, bytes_per_month, bytes_per_second } = from;
    TurnLimits { sessions, bytes_per_month, bytes_per_second }
}

fn shown(service: &Service, from: Application) -> TurnKey {
    TurnKey {
        month_bytes: service.month_bytes(&from.id),
        id: from.id,
        parent: from.parent,
        name: from.name,
        created_at: from.created_at,
        enabled: from.enabled,
        limits: limits(from.bounds),
        origins: from.origins,
    }
}
