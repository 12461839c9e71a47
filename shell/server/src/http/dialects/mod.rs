//! The credential service in the words of others, so that an application changes its base URL and nothing else.
//!
//! Each dialect is a file: addresses, bodies, status codes and errors as the original has them, and nothing decided here.
//! Pages may ask where the key names their origin; the originals are mostly for servers, and so is this.

mod cloudflare;
mod twilio;
mod uberti;
mod xirsys;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::credentials::Service;
use crate::http::cors;
use crate::http::headers::never_keep;

const BODY_BYTES: usize = 16 << 10;

/// All of them.
pub fn routes(service: Service) -> Router {
    Router::new()
        .merge(cloudflare::routes())
        .merge(twilio::routes())
        .merge(xirsys::routes())
        .merge(uberti::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn_with_state(service.clone(), cors::answer))
        .layer(from_fn(never_keep))
        .with_state(service)
}
