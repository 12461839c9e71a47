//! Refusals as problem details (RFC 9457).

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use tandem_api::rest::Problem;
use tandem_api::signal::Reason;

use crate::tokens;

/// A request that was not done, and why.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: Option<String>,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: Option<String>) -> Refusal {
        Refusal { status, kind, title, detail, retry_after: None }
    }

    /// The request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be read", Some(detail.into()))
    }

    /// It is larger than allowed.
    pub fn too_large(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is too large", Some(detail.into()))
    }

    /// No such thing.
    pub fn not_found(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing", Some(detail.into()))
    }

    /// The address exists, the method does not.
    pub fn method_not_allowed() -> Refusal {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not know that method", None)
    }

    /// No key, or none that is valid.
    pub fn unauthorized(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid API key is needed", Some(detail.into()))
    }

    /// Nobody enters here without a token (RFC 6750 §3.1).
    pub fn token_needed(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::UNAUTHORIZED, "token_needed", "A token is needed", Some(detail.into()))
    }

    /// The token is not taken.
    pub fn bad_token(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::UNAUTHORIZED, BAD_TOKEN, "A valid token is needed", Some(detail.into()))
    }

    /// The key is valid, and yet.
    pub fn forbidden(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed", Some(detail.into()))
    }

    /// A body of another kind.
    pub fn wrong_type(detail: impl Into<String>) -> Refusal {
        let (status, title) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another kind");
        Self::new(status, "wrong_type", title, Some(detail.into()))
    }

    /// The thing has changed since.
    pub fn outdated(detail: impl Into<String>) -> Refusal {
        let (status, title) = (StatusCode::PRECONDITION_FAILED, "It has changed since");
        Self::new(status, "outdated", title, Some(detail.into()))
    }

    /// What it may use is used up.
    pub fn over_quota(detail: impl Into<String>) -> Refusal {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "over_quota", "The quota is used up", Some(detail.into()))
    }

    /// Too many wrong keys.
    pub fn too_many(seconds: u64) -> Refusal {
        let detail = Some(format!("too many requests with a wrong key; try again in {seconds} s"));
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", "Too many attempts", detail);
        Refusal { retry_after: Some(seconds), ..refusal }
    }

    /// Part of the server does not answer.
    pub fn unavailable(detail: impl Into<String>) -> Refusal {
        let refusal = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The server cannot answer this at the moment",
            Some(detail.into()),
        );
        Refusal { retry_after: Some(2), ..refusal }
    }

    /// What the engine does not do.
    pub fn of_engine(reason: Reason, detail: String) -> Refusal {
        match reason {
            Reason::BadName => Self::new(StatusCode::CONFLICT, "bad_name", "This name cannot be used", Some(detail)),
            Reason::ServerFull => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_full", "The server is full", Some(detail))
            }
            Reason::Draining => Self::unavailable(detail),
            Reason::Malformed | Reason::BadSdp | Reason::BadCandidate => Self::malformed(detail),
            Reason::TooLarge => Self::too_large(detail),
            Reason::Forbidden | Reason::NotPermitted => Self::forbidden(detail),
            Reason::TokenNeeded => Self::token_needed(detail),
            Reason::BadToken => Self::bad_token(detail),
            Reason::NoSuchParticipant => Self::not_found(detail),
            Reason::TooMany => Self::over_quota(detail),
            Reason::UnknownType
            | Reason::OutOfOrder
            | Reason::NotJoined
            | Reason::AlreadyJoined
            | Reason::RoomLocked
            | Reason::RoomFull
            | Reason::ResumeExpired
            | Reason::NotHost
            | Reason::NotAccepted
            | Reason::AddressHidden
            | Reason::StaleEpoch => Self::new(StatusCode::CONFLICT, "refused", "This cannot be done", Some(detail)),
        }
    }

    /// The database does not answer; what it said is for the log.
    pub fn of_store(error: &tandem_store::Error) -> Refusal {
        tracing::error!(%error, "the database does not answer");
        Self::unavailable("the database does not answer")
    }
}

impl From<tokens::Refused> for Refusal {
    fn from(refused: tokens::Refused) -> Refusal {
        let detail = refused.to_string();
        match refused {
            tokens::Refused::Blocked { seconds } => Self::too_many(seconds),
            tokens::Refused::Forged(_) | tokens::Refused::Bad(_) => Self::bad_token(detail),
            tokens::Refused::Unavailable => Self::unavailable(detail),
        }
    }
}

const BAD_TOKEN: &str = "bad_token";

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: self.kind.to_owned(),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3: what was brought and is wrong is called so.
            let challenge = match self.kind {
                BAD_TOKEN => "Bearer realm=\"tandem\", error=\"invalid_token\"",
                _ => "Bearer realm=\"tandem\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
