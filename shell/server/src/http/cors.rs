//! Pages of other sites (Fetch §3.2): those whose origin stands with an application may ask with its key and read the answer.
//!
//! A preflight carries no key, so it is answered for every origin that stands with any application; whether it stands with
//! the one whose key comes is looked at then.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    HeaderValue, ORIGIN, VARY,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::credentials::Service;

/// Middleware.
pub async fn answer(State(service): State<Service>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let preflight = request.method() == Method::OPTIONS;
    let answer = if preflight { None } else { Some(next.run(request).await) };
    // Afterwards: an application made a moment ago is known as soon as it has asked.
    let is_listed = service.lists_origin(origin.to_str().unwrap_or_default());
    let usual = if is_listed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    let mut response = answer.unwrap_or_else(|| usual.into_response());
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if is_listed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if is_listed && preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}
