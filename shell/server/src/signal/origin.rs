//! Where a request comes from: its address, the host it asked for, and the page that sent it.
//!
//! A browser names the page in `Origin` (RFC 6454 §7) and sends it with WebSocket requests, too, which no same-origin
//! policy holds back: a page of another host gets nothing here unless the operator allows it. Scripts send no `Origin`
//! and are let in; they have no visitor's cookies to misuse, nor do we use any.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST, ORIGIN, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tandem_api::signal::{ClientKind, Reason};

use super::Shared;
use super::session::Refusal;

/// The client's address as far as it is known; the server, which knows about proxies, leaves it with the request.
pub(super) fn address(parts: &Parts) -> IpAddr {
    match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => peer.ip(),
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// All the engine wants to know.
pub(super) fn of_request(parts: &Parts, client: ClientKind) -> tandem_engine::Origin {
    let authority = authority(&parts.headers, &parts.uri).unwrap_or_default();
    let (host, port) = (host_of(authority).to_owned(), port_of(authority));
    tandem_engine::Origin { address: address(parts), host, port, client }
}

/// Refuses requests of foreign pages; lets those of allowed ones read the answers.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let host = authority(request.headers(), request.uri()).unwrap_or_default();
    match judge(&origin, host, &shared.config.allowed_origins) {
        Page::Own => next.run(request).await,
        Page::Allowed => {
            let preflight = request.method() == Method::OPTIONS;
            let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
            allow(response.headers_mut(), origin);
            response
        }
        Page::Foreign => {
            let detail = "pages of this origin may not connect here";
            Refusal::new(StatusCode::FORBIDDEN, Reason::Forbidden, detail).into_response()
        }
    }
}

/// Whether a page of this origin may ask a host.
pub(crate) fn is_welcome(origin: &HeaderValue, host: &str, allowed: &[String]) -> bool {
    judge(origin, host, allowed) != Page::Foreign
}

#[derive(Debug, PartialEq, Eq)]
enum Page {
    Own,
    Allowed,
    Foreign,
}

fn judge(origin: &HeaderValue, host: &str, allowed: &[String]) -> Page {
    let Ok(origin) = origin.to_str() else { return Page::Foreign };
    let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && authority.eq_ignore_ascii_case(host)
    });
    if own {
        Page::Own
    } else if allowed.iter().any(|entry| entry == "*" || entry.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        Page::Allowed
    } else {
        Page::Foreign
    }
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.append(VARY, HeaderValue::from_static("origin"));
}

/// `Host` of HTTP/1.1, `:authority` of HTTP/2.
fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))
}

/// Without the port; an IPv6 address keeps its brackets off.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Of HTTPS, if none is named.
fn port_of(authority: &str) -> Option<u16> {
    let behind_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    behind_host.rsplit_once(':').map_or(Some(443), |(_, port)| port.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_loses_its_port_and_an_ipv6_address_its_brackets() {
        for (authority, host, port) in [
            ("localhost:8443", "localhost", Some(8443)),
            ("a.example", "a.example", Some(443)),
            ("[::1]:8443", "::1", Some(8443)),
            ("[::1]", "::1", Some(443)),
            ("a.example:https", "a.example", None),
            ("a.example:65536", "a.example", None),
        ] {
            assert_eq!((host_of(authority), port_of(authority)), (host, port));
        }
    }

    #[test]
    fn only_pages_of_the_same_host_and_port_are_our_own() {
        let allowed = ["https://friend.example".to_owned()];
        for (origin, page) in [
            ("https://a.example:8443", Page::Own),
            ("https://A.Example:8443", Page::Own),
            ("https://a.example", Page::Foreign),
            ("https://a.example:8443.evil.example", Page::Foreign),
            ("null", Page::Foreign),
            ("file://", Page::Foreign),
            ("https://friend.example", Page::Allowed),
            ("http://friend.example", Page::Foreign),
        ] {
            assert_eq!(judge(&HeaderValue::from_static(origin), "a.example:8443", &allowed), page, "{origin}");
        }
    }
}
