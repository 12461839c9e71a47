//! HTTP: who is let in, which route answers, which headers every answer has.
//!
//! ```text
//! listen (gate, TLS) ─► client (address) ─► log and count ─► headers ─► routes: health, metrics, REST, signalling, web
//! ```

pub mod asked;
pub mod attempts;
pub mod client;
mod cors;
pub mod dialects;
pub mod gate;
pub mod headers;
pub mod health;
pub mod ice;
pub mod listen;
pub mod opening;
pub mod proxied;
pub mod redirect;
pub mod rest;
mod trace;
mod web;
pub mod whip;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::types::Access;
use gate::Gate;
use headers::Headers;
use health::Health;
use rest::Keys;

/// What routes share.
#[derive(Clone)]
pub struct App {
    /// The process's well-being.
    pub health: Health,
    /// Connections.
    pub gate: Arc<Gate>,
    /// `None` when metrics are off.
    pub prometheus: Option<PrometheusHandle>,
    /// Who may read them.
    pub metrics_access: Access,
    /// API keys.
    pub keys: Keys,
}

/// All routes, those of the API and of the signalling included, with what goes around them.
pub fn router(app: App, others: Router, headers: Headers) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .with_state(app)
        .merge(others)
        .fallback(web::serve)
        .layer(from_fn_with_state(headers, headers::add))
        .layer(from_fn(trace::request))
}
