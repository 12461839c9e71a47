//! `/turn/credentials`: handed out to applications, and for an operator's own tests.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use tandem_api::rest::{NewTurnCredential, Problem, TurnCredential, TurnIceServer};
use tandem_store::Application;

use super::super::{Api, Refusal};
use crate::credentials::{Issued, Refused, Service};
use crate::http::asked::Asked;
use crate::http::rest::body;

/// Get a credential of the relay
///
/// With an application's key (`ta_…`); with an operator's (`tk_…`) for any application, or for none to try the relay.
#[utoipa::path(post, path = "/turn/credentials", operation_id = "create_turn_credential", tag = "turn", request_body = NewTurnCredential, security(("key" = [])), responses(
    (status = 201, description = "The credential, with every way to the relay", body = TurnCredential),
    (status = 400, description = "The body cannot be read, or the time is too long", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The application is disabled", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such application below the one that asks", body = Problem, content_type = "application/problem+json"),
    (status = 429, description = "Too many wrong keys, or the month's bytes are used up", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The relay is turned off", body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(api): State<Api>,
    asked: Asked,
    content: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<TurnCredential>), Refusal> {
    let caller = caller(&api, &asked).await?;
    let wanted: NewTurnCredential = body(content)?;
    let service = &api.credentials;
    let ttl = wanted.ttl.unwrap_or_else(|| service.usual_ttl());
    let issued = match target(service, caller, wanted.key.as_deref()).await? {
        Some(application) => {
            service.issue(&application, ttl, wanted.tag.as_deref().unwrap_or_default(), &asked.reached).await?
        }
        None => service.issue_to_operator(ttl, &asked.reached)?,
    };
    Ok((StatusCode::CREATED, Json(shown(issued))))
}

/// Who has shown a valid key.
pub enum Caller {
    /// Somebody who runs this server.
    Operator,
    /// An application.
    Application(Application),
}

/// Finds out.
pub async fn caller(api: &Api, asked: &Asked) -> Result<Caller, Refusal> {
    let key = asked.bearer().unwrap_or_default();
    if key.starts_with("tk_") {
        api.keys.admit_text(asked.client, Some(key)).await?;
        return Ok(Caller::Operator);
    }
    let application = api.credentials.authenticate(asked.client, key).await?;
    api.credentials.check_origin(&application, asked.origin.as_deref())?;
    Ok(Caller::Application(application))
}

/// For whom it is asked. `None`: for nobody but the operator.
pub async fn target(service: &Service, caller: Caller, id: Option<&str>) -> Result<Option<Application>, Refused> {
    match (caller, id) {
        (Caller::Application(application), Some(id)) => service.below(&application, id).await.map(Some),
        (Caller::Application(application), None) => Ok(Some(application)),
        (Caller::Operator, Some(id)) => match service.store().application(id).await? {
            Some(found) if found.enabled => Ok(Some(found)),
            Some(_) => Err(Refused::Disabled),
            None => Err(Refused::NotYours),
        },
        (Caller::Operator, None) => Ok(None),
    }
}

fn shown(issued: Issued) -> TurnCredential {
    let Issued { credential, stun, turn, ttl, expiry } = issued;
    TurnCredential {
        ice_servers: vec![
            TurnIceServer { urls: stun, username: None, credential: None },
            TurnIceServer {
                urls: turn,
                username: Some(credential.username.clone()),
                credential: Some(credential.password),
            },
        ],
        username: credential.username,
        expires_at: expiry.saturating_mul(1000),
        ttl,
    }
}
