//! Xirsys, version 3: `PUT /_turn/{channel}` for credentials, `_ns` for channels, `_acc` for accounts below the own, `_stats`
//! for what was relayed. Basic with account and key.
//!
//! A channel is a label: nothing need be made before it is used. An account below another comes as `above#below` with its own
//! key, or with that of the account above behind a `!`. Every answer is `{"v": …, "s": "ok"}` or `{"v": why, "s": "error"}`.

mod accounts;
mod stats;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tandem_store::Application;

use crate::credentials::{Issued, Refused, Scope, Service};
use crate::http::asked::Asked;
use crate::unix_ms;

pub(super) fn routes() -> Router<Service> {
    let accounts = get(accounts::list).put(accounts::create).post(accounts::create).delete(accounts::remove);
    Router::new()
        .route("/_turn/{*channel}", put(credentials).post(credentials))
        .route("/_ns", get(channels))
        .route("/_ns/", get(channels))
        .route("/_ns/{*channel}", put(make_channel).delete(remove_channel))
        .route("/_acc/accounts", accounts)
        .route("/_stats", get(stats::of_all))
        .route("/_stats/", get(stats::of_all))
        .route("/_stats/{*channel}", get(stats::of_channel))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    format: Option<String>,
    expire: Option<Expire>,
}

/// Libraries send it either way.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expire {
    Number(u64),
    Text(String),
}

async fn credentials(
    State(service): State<Service>,
    Path(channel): Path<String>,
    asked: Asked,
    content: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failed> {
    let application = admit(&service, &asked).await?;
    let wanted: Wanted = body(content)?;
    let most = service.most_ttl();
    let ttl = match wanted.expire {
        None => service.usual_ttl(),
        Some(Expire::Number(seconds)) => seconds,
        Some(Expire::Text(text)) => text.parse().map_err(|_| Refused::Ttl { most, got: text })?,
    };
    let issued = service.issue(&application, ttl, &channel, &asked.reached).await?;
    let Issued { credential, stun, turn, .. } = issued;
    let (username, password) = (credential.username, credential.password);
    let servers = if wanted.format.as_deref() == Some("urls") {
        let urls = [stun, turn].concat();
        json!({ "username": username, "urls": urls, "credential": password })
    } else {
        let stun = stun.into_iter().map(|url| json!({ "url": url }));
        let turn = turn.into_iter().map(|url| json!({ "username": username, "url": url, "credential": password }));
        stun.chain(turn).collect()
    };
    Ok(done(json!({ "iceServers": servers })))
}

/// The most recent ones: nobody has made them, so those are told that were used.
async fn channels(State(service): State<Service>, asked: Asked) -> Result<Json<Value>, Failed> {
    const MONTH_MINUTES: u64 = 30 * 1440;
    let application = admit(&service, &asked).await?;
    let from = (unix_ms() / 60_000).saturating_sub(MONTH_MINUTES);
    let used = service.store().used_tags(&application.id, from, 1000).await.map_err(Refused::from)?;
    Ok(done(json!(used.into_iter().filter(|tag| !tag.is_empty()).collect::<Vec<_>>())))
}

/// Any channel is there as soon as it is used; whether it can be one is said here.
async fn make_channel(
    State(service): State<Service>,
    Path(channel): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failed> {
    admit(&service, &asked).await?;
    crate::credentials::check_tag(&channel)?;
    Ok(done(json!(channel)))
}

/// Whoever is on it has to go.
async fn remove_channel(
    State(service): State<Service>,
    Path(channel): Path<String>,
    asked: Asked,
) -> Result<Json<Value>, Failed> {
    let application = admit(&service, &asked).await?;
    let ended = service.revoke(&application, Scope::Tag(channel)).await?;
    Ok(done(json!(ended)))
}

/// Whose account it is that asks.
async fn admit(service: &Service, asked: &Asked) -> Result<Application, Refused> {
    let (user, key) = asked.basic().ok_or(Refused::Unauthorized)?;
    let (above, below) = user.split_once('#').map_or((user.as_str(), None), |(above, below)| (above, Some(below)));
    let application = match (below, key.strip_prefix('!')) {
        (None, _) => own(service, asked, above, &key).await?,
        (Some(below), Some(key)) => {
            let application = own(service, asked, above, key).await?;
            service.below(&application, below).await.map_err(hidden)?
        }
        (Some(below), None) => {
            let application = service.authenticate(asked.client, &key).await?;
            let is_it =
                application.parent.as_deref() == Some(above) && (application.id == below || application.name == below);
            if !is_it {
                return Err(Refused::Unauthorized);
            }
            application
        }
    };
    service.check_origin(&application, asked.origin.as_deref())?;
    Ok(application)
}

async fn own(service: &Service, asked: &Asked, id: &str, key: &str) -> Result<Application, Refused> {
    let application = service.authenticate(asked.client, key).await?;
    if application.id == id { Ok(application) } else { Err(Refused::Unauthorized) }
}

fn hidden(refused: Refused) -> Refused {
    if matches!(refused, Refused::NotYours) { Refused::Unauthorized } else { refused }
}

fn body<T: DeserializeOwned + Default>(content: Result<Bytes, BytesRejection>) -> Result<T, Refused> {
    let content = content.map_err(|error| Refused::Malformed(error.body_text()))?;
    if content.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&content).map_err(|error| Refused::Malformed(error.to_string()))
}

fn done(value: Value) -> Json<Value> {
    Json(json!({ "v": value, "s": "ok" }))
}

/// As the original says what went wrong, and with a status besides.
struct Failed(Refused);

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        Failed(refused)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let (status, why) = match &self.0 {
            Refused::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized".to_owned()),
            Refused::Disabled => (StatusCode::FORBIDDEN, "inactive".to_owned()),
            Refused::Origin => (StatusCode::FORBIDDEN, "origin_not_allowed".to_owned()),
            Refused::NotYours | Refused::NotIssued => (StatusCode::NOT_FOUND, "not_found".to_owned()),
            Refused::Blocked { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited".to_owned()),
            Refused::OverQuota { .. } => (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded".to_owned()),
            Refused::Ttl { .. } | Refused::Tag { .. } | Refused::Malformed(_) => {
                (StatusCode::BAD_REQUEST, self.0.to_string())
            }
            Refused::Off | Refused::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable".to_owned()),
        };
        (status, Json(json!({ "v": why, "s": "error" }))).into_response()
    }
}
