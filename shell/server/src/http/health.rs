//! Is the process alive, is it ready for more, and what does it count?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use crate::config::types::Access;
use crate::metrics;

/// What is known about the process's well-being. Parts report to it, `/readyz` shows it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State_>>);

#[derive(Debug, Default)]
struct State_ {
    draining: bool,
    problems: BTreeMap<&'static str, String>,
}

/// What `/readyz` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    status: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    problems: BTreeMap<&'static str, String>,
}

impl Health {
    /// Part `part` does not work as it should; calls may go on.
    pub fn report(&self, part: &'static str, problem: String) {
        self.lock().problems.insert(part, problem);
    }

    /// Part `part` works.
    pub fn clear(&self, part: &'static str) {
        self.lock().problems.remove(part);
    }

    /// The process is going down.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    fn read(&self) -> (StatusCode, Report) {
        let state = self.lock();
        let (code, status) = match (state.draining, state.problems.is_empty()) {
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            (false, false) => (StatusCode::OK, "degraded"),
            (false, true) => (StatusCode::OK, "ready"),
        };
        (code, Report { status, problems: state.problems.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 503 while it drains; `degraded` means that calls work and something else does not.
pub async fn ready(State(app): State<App>) -> Response {
    let (code, report) = app.health.read();
    (code, Json(report)).into_response()
}

/// `GET /metrics`.
pub async fn metrics(
    State(app): State<App>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let Some(prometheus) = &app.prometheus else { return StatusCode::NOT_FOUND.into_response() };
    match app.metrics_access {
        Access::Open => {}
        Access::Loopback if client.ip().to_canonical().is_loopback() => {}
        Access::Loopback => {
            return (StatusCode::FORBIDDEN, "Only this machine may read this: metrics.access.\n").into_response();
        }
        Access::Key => {
            if let Err(refusal) = app.keys.admit(client.ip(), &headers).await {
                return refusal.into_response();
            }
        }
    }
    metrics::HTTP_CONNECTIONS_OPEN.set(u64::try_from(app.gate.open()).unwrap_or(u64::MAX));
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], prometheus.render()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_degrades_and_draining_stops_new_traffic() {
        let health = Health::default();
        assert_eq!(health.read().1.status, "ready");
        health.report("store", "disk full".to_owned());
        assert_eq!((health.read().0, health.read().1.status), (StatusCode::OK, "degraded"));
        health.clear("store");
        assert_eq!(health.read().1.status, "ready");
        health.drain();
        assert_eq!(health.read().0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
