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

/// How a part of the process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Works.
    Ok,
    /// Something does not, in these words; calls go on.
    Degraded(String),
    /// Without it no call could be served.
    Failed(String),
}

/// What is known about the process's well-being, part by part; `/readyz` shows it.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    draining: bool,
    reported: BTreeMap<&'static str, Condition>,
    asked: BTreeMap<&'static str, Check>,
}

type Check = Arc<dyn Fn() -> Condition + Send + Sync>;

/// What `/readyz` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `ready`, `degraded`, `failed` or `draining`.
    status: &'static str,
    parts: BTreeMap<&'static str, Part>,
}

/// One part of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Part {
    /// `ok`, `degraded` or `failed`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Health {
    /// Part `part` says by itself how it does.
    pub fn report(&self, part: &'static str, condition: Condition) {
        self.lock().reported.insert(part, condition);
    }

    /// Part `part` is asked each time somebody wants to know.
    pub fn ask(&self, part: &'static str, check: impl Fn() -> Condition + Send + Sync + 'static) {
        self.lock().asked.insert(part, Arc::new(check));
    }

    /// The process is going down.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    fn read(&self) -> (StatusCode, Report) {
        let (draining, mut conditions, asked) = {
            let known = self.lock();
            (known.draining, known.reported.clone(), known.asked.clone())
        };
        conditions.extend(asked.into_iter().map(|(part, check)| (part, check())));
        let failed = conditions.values().any(|condition| matches!(condition, Condition::Failed(_)));
        let (code, status) = if draining {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else if failed {
            (StatusCode::SERVICE_UNAVAILABLE, "failed")
        } else if conditions.values().any(|condition| *condition != Condition::Ok) {
            (StatusCode::OK, "degraded")
        } else {
            (StatusCode::OK, "ready")
        };
        (
            code,
            Report {
                status,
                parts: conditions.into_iter().map(|(name, condition)| (name, condition.into())).collect(),
            },
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Condition> for Part {
    fn from(condition: Condition) -> Part {
        match condition {
            Condition::Ok => Part { status: "ok", problem: None },
            Condition::Degraded(problem) => Part { status: "degraded", problem: Some(problem) },
            Condition::Failed(problem) => Part { status: "failed", problem: Some(problem) },
        }
    }
}

/// `GET /healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 503 while it drains, and when no call could be served; `degraded` means that calls work and something
/// else does not.
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
    fn a_problem_degrades_a_failure_and_draining_keep_new_calls_away() {
        let health = Health::default();
        assert_eq!(health.read().1.status, "ready");
        health.report("store", Condition::Degraded("disk full".to_owned()));
        let (code, report) = health.read();
        assert_eq!((code, report.status), (StatusCode::OK, "degraded"));
        assert_eq!(report.parts["store"], Part { status: "degraded", problem: Some("disk full".to_owned()) });
        health.report("store", Condition::Ok);
        assert_eq!(health.read().1.status, "ready");
        health.ask("relay", || Condition::Failed("gone".to_owned()));
        assert_eq!((health.read().0, health.read().1.status), (StatusCode::SERVICE_UNAVAILABLE, "failed"));
        health.drain();
        assert_eq!((health.read().0, health.read().1.status), (StatusCode::SERVICE_UNAVAILABLE, "draining"));
    }
}
