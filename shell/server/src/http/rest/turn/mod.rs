//! `/turn`: the relay as a service, in our own form.

pub mod credentials;
pub mod keys;
pub mod sessions;
pub mod usage;

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

use super::{Api, Refusal};
use crate::credentials::{Refused, Service};
use crate::http::cors;

impl FromRef<Api> for Service {
    fn from_ref(api: &Api) -> Service {
        api.credentials.clone()
    }
}

/// For holders of an operator's key.
pub fn guarded() -> Router<Api> {
    Router::new()
        .route("/turn/keys", get(keys::list).post(keys::create))
        .route("/turn/keys/{id}", get(keys::show).patch(keys::change).delete(keys::remove))
        .route("/turn/keys/{id}/secret", post(keys::renew))
        .route("/turn/sessions", get(sessions::list))
        .route("/turn/sessions/end", post(sessions::end_all))
        .route("/turn/sessions/{id}", delete(sessions::end))
        .route("/turn/usage", get(usage::list))
}

/// For applications, too: these look at the key themselves. Pages whose origin stands with an application may ask.
pub fn open(service: Service) -> Router<Api> {
    Router::new()
        .route("/turn/credentials", post(credentials::create))
        .route("/turn/credentials/revoke", post(sessions::revoke))
        .layer(from_fn_with_state(service, cors::answer))
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        let detail = refused.to_string();
        match refused {
            Refused::Unauthorized => Refusal::unauthorized(detail),
            Refused::Blocked { seconds } => Refusal::too_many(seconds),
            Refused::Disabled | Refused::Origin => Refusal::forbidden(detail),
            Refused::NotYours | Refused::NotIssued => Refusal::not_found(detail),
            Refused::OverQuota { .. } => Refusal::over_quota(detail),
            Refused::Ttl { .. } | Refused::Tag { .. } | Refused::Malformed(_) => Refusal::malformed(detail),
            Refused::Off | Refused::Unavailable(_) => Refusal::unavailable(detail),
        }
    }
}
