//! draft-uberti-behave-turn-rest-00 §2: `GET /turn?service=turn&username=…&key=…`, and by POST as later versions have it.
//!
//! `username` is the label. The key may also come as a bearer token, which keeps it out of the logs of proxies.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::credentials::{Issued, Refused, Service};
use crate::http::asked::Asked;
use crate::http::rest::Refusal;

pub(super) fn routes() -> Router<Service> {
    Router::new().route("/turn", get(answer).post(answer))
}

/// §2.1: others may come along, such as a version.
#[derive(Deserialize)]
struct Wanted {
    service: Option<String>,
    #[serde(default)]
    username: String,
    key: Option<String>,
    ttl: Option<u64>,
}

async fn answer(
    State(service): State<Service>,
    asked: Asked,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(wanted) = query.map_err(|error| Refused::Malformed(error.body_text()))?;
    let key = wanted.key.as_deref().or(asked.bearer()).unwrap_or_default();
    let application = service.authenticate(asked.client, key).await?;
    service.check_origin(&application, asked.origin.as_deref())?;
    if wanted.service.as_deref() != Some("turn") {
        return Err(Refused::Malformed("service: expected turn".to_owned()).into());
    }
    let ttl = wanted.ttl.unwrap_or_else(|| service.usual_ttl());
    let Issued { credential, turn, ttl, .. } =
        service.issue(&application, ttl, &wanted.username, &asked.reached).await?;
    // §2.2
    Ok(Json(json!({ "username": credential.username, "password": credential.password, "ttl": ttl, "uris": turn })))
}
