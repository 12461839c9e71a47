//! Twilio's Network Traversal Service: `api.twilio.com/2010-04-01/Accounts/{sid}/Tokens.json`, Basic with account and token.
//!
//! The account's SID is the application's identity, with or without `AC` before it: Twilio's own libraries insist on that.
//! As there, an account may ask for one below it by its own key.

use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::credentials::{Issued, Refused, Service};
use crate::http::asked::Asked;
use crate::unix_ms;

pub(super) fn routes() -> Router<Service> {
    Router::new().route("/2010-04-01/Accounts/{sid}/Tokens.json", post(create))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "Ttl")]
    ttl: Option<String>,
}

async fn create(
    State(service): State<Service>,
    Path(sid): Path<String>,
    asked: Asked,
    form: Result<Form<Wanted>, FormRejection>,
) -> Result<(StatusCode, Json<Value>), Failed> {
    let (user, key) = asked.basic().ok_or(Refused::Unauthorized)?;
    let application = service.authenticate(asked.client, &key).await?;
    if id(&user) != application.id {
        return Err(Refused::Unauthorized.into());
    }
    let target = service.below(&application, id(&sid)).await?;
    service.check_origin(&application, asked.origin.as_deref())?;
    let ttl = match form {
        Ok(Form(Wanted { ttl: Some(text) })) => {
            text.trim().parse().map_err(|_| Refused::Ttl { most: service.most_ttl(), got: text })?
        }
        Ok(Form(Wanted { ttl: None })) => service.usual_ttl(),
        // Without a body there is no content type either.
        Err(FormRejection::InvalidFormContentType(_)) => service.usual_ttl(),
        Err(error) => return Err(Refused::Malformed(error.body_text()).into()),
    };
    let issued = service.issue(&target, ttl, "", &asked.reached).await?;
    Ok((StatusCode::CREATED, Json(token(issued, &sid))))
}

fn id(sid: &str) -> &str {
    sid.strip_prefix("AC").unwrap_or(sid)
}

fn token(issued: Issued, sid: &str) -> Value {
    let Issued { credential, stun, turn, ttl, .. } = issued;
    let (username, password) = (credential.username, credential.password);
    let stun = stun.into_iter().map(|url| json!({ "url": url, "urls": url }));
    let turn =
        turn.into_iter().map(|url| json!({ "url": url, "urls": url, "username": username, "credential": password }));
    let date = date(unix_ms() / 1000);
    json!({
        "account_sid": sid,
        "date_created": date,
        "date_updated": date,
        "ice_servers": stun.chain(turn).collect::<Vec<_>>(),
        "password": password,
        "ttl": ttl.to_string(),
        "username": username,
    })
}

fn date(unix: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(i64::try_from(unix).unwrap_or(0));
    at.ok().and_then(|at| at.format(&Rfc2822).ok()).unwrap_or_default()
}

/// As the original says what went wrong.
struct Failed(Refused);

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Failed {
        Failed(refused)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let (status, code) = match &self.0 {
            Refused::Unauthorized => (StatusCode::UNAUTHORIZED, 20003),
            Refused::Disabled => (StatusCode::FORBIDDEN, 20005),
            Refused::Origin => (StatusCode::FORBIDDEN, 20003),
            Refused::NotYours | Refused::NotIssued => (StatusCode::NOT_FOUND, 20404),
            Refused::Blocked { .. } | Refused::OverQuota { .. } => (StatusCode::TOO_MANY_REQUESTS, 20429),
            Refused::Ttl { .. } | Refused::Tag { .. } | Refused::Malformed(_) => (StatusCode::BAD_REQUEST, 20001),
            Refused::Off | Refused::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, 20503),
        };
        let body = json!({
            "code": code,
            "message": self.0.to_string(),
            "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
            "status": status.as_u16(),
        });
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tandem\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_rfc_2822_and_sids_lose_their_prefix() {
        assert_eq!(date(1_588_297_377), "Fri, 01 May 2020 01:42:57 +0000");
        assert_eq!((id("AC3fa94c10b2de"), id("3fa94c10b2de")), ("3fa94c10b2de", "3fa94c10b2de"));
    }
}
