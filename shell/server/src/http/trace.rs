//! A number for each request, a line at `debug`, and the counters.
//!
//! The address asked for may be the link to a room, which is a secret: the log has the route's pattern instead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::header::HeaderName;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use crate::metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware.
pub async fn request(request: Request, next: Next) -> Response {
    let id = next_id();
    let route = request.extensions().get::<MatchedPath>().map_or("(web)", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id, method = %request.method(), route);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), started.elapsed());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), ?took, "answered"));
    metrics::HTTP_REQUESTS_TOTAL.add_labelled(class(status), 1);
    if !is_long(&route, status) {
        metrics::HTTP_REQUEST_SECONDS.observe(took);
    }
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from(id));
    response
}

/// Counts up from a random place, so that the numbers of two runs differ.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut id = NEXT.fetch_add(1, Ordering::Relaxed);
    if id == 0 {
        let mut bytes = [0; 4];
        // Without random numbers they begin at zero, which does no harm.
        let _ = getrandom::fill(&mut bytes);
        id = u64::from(u32::from_le_bytes(bytes)) << 20;
        NEXT.fetch_add(id, Ordering::Relaxed);
    }
    id
}

/// Waits on purpose.
fn is_long(route: &str, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || route.contains("poll") || route.contains("socket.io")
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
