//! Cloudflare Realtime TURN: `rtc.live.cloudflare.com/v1/turn/keys/{id}/credentials/…`, a bearer token beside the key's identity.
//!
//! `customIdentifier` is the label. A user name in an address may come encoded or as it is.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tandem_store::Application;

use crate::credentials::{Issued, Refused, Scope, Service};
use crate::http::asked::Asked;

pub(super) fn routes() -> Router<Service> {
    Router::new()
        .route("/v1/turn/keys/{id}/credentials/generate", post(generate))
        .route("/v1/turn/keys/{id}/credentials/generate-ice-servers", post(generate_ice_servers))
        .route("/v1/turn/keys/{id}/credentials/{*revoke}", post(revoke))
}

/// The original ignores what it does not know.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wanted {
    ttl: Option<u64>,
    custom_identifier: Option<String>,
}

/// One server with all URLs.
async fn generate(
    State(service): State<Service>,
    Path(id): Path<String>,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Failed> {
    let Issued { credential, stun, turn, .. } = issue(&service, &id, &asked, body).await?;
    let urls = [stun, turn].concat();
    let server = json!({
        "urls": urls, "username": credential.username, "credential": credential.password,
    });
    Ok((StatusCode::CREATED, Json(json!({ "iceServers": server }))))
}

/// A list, as `RTCPeerConnection` takes it.
async fn generate_ice_servers(
    State(service): State<Service>,
    Path(id): Path<String>,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Failed> {
    let Issued { credential, stun, turn, .. } = issue(&service, &id, &asked, body).await?;
    let turn = json!({ "urls": turn, "username": credential.username, "credential": credential.password });
    Ok((StatusCode::CREATED, Json(json!({ "iceServers": [{ "urls": stun }, turn] }))))
}

async fn issue(
    service: &Service,
    id: &str,
    asked: &Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<Issued, Refused> {
    let application = admit(service, id, asked).await?;
    let body = body.map_err(|error| Refused::Malformed(error.body_text()))?;
    let wanted: Wanted = if body.is_empty() {
        Wanted::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| Refused::Malformed(error.to_string()))?
    };
    let ttl = wanted.ttl.unwrap_or_else(|| service.usual_ttl());
    service.issue(&application, ttl, wanted.custom_identifier.as_deref().unwrap_or_default(), &asked.reached).await
}

async fn revoke(
    State(service): State<Service>,
    Path((id, rest)): Path<(String, String)>,
    asked: Asked,
) -> Result<StatusCode, Failed> {
    let application = admit(&service, &id, &asked).await?;
    let username = rest.strip_suffix("/revoke").ok_or(Refused::NotIssued)?;
    service.revoke(&application, Scope::Credential(username.to_owned())).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn admit(service: &Service, id: &str, asked: &Asked) -> Result<Application, Refused> {
    let application = service.authenticate_for(asked.client, id, asked.bearer().unwrap_or_default()).await?;
    service.check_origin(&application, asked.origin.as_deref())?;
    Ok(application)
}

/// As the original's API says what went wrong.
struct Failed(Refused);

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        Failed(refused)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let (status, code) = match &self.0 {
            Refused::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Refused::Disabled | Refused::Origin => (StatusCode::FORBIDDEN, "forbidden"),
            Refused::NotYours | Refused::NotIssued => (StatusCode::NOT_FOUND, "not_found"),
            Refused::Blocked { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Refused::OverQuota { .. } => (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded"),
            Refused::Ttl { .. } | Refused::Tag { .. } | Refused::Malformed(_) => {
                (StatusCode::BAD_REQUEST, "invalid_request")
            }
            Refused::Off | Refused::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        (status, Json(json!({ "errorCode": code, "errorDescription": self.0.to_string() }))).into_response()
    }
}
