//! The plain HTTP port: sends browsers to HTTPS with the same path, and does nothing else.

use axum::Router;
use axum::extract::State;
use axum::http::header::{HOST, HeaderValue, LOCATION};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::config::types::PublicUrl;

/// Where to send people.
#[derive(Clone, Debug)]
pub struct Target {
    /// Wherever they asked for, unless this is set.
    pub public_url: Option<PublicUrl>,
    /// The HTTPS port.
    pub port: u16,
}

/// Answers everything with 308, so that the method stays.
pub fn router(target: Target) -> Router {
    Router::new().fallback(redirect).with_state(target)
}

async fn redirect(State(target): State<Target>, headers: HeaderMap, uri: Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let Some(origin) = origin(&target, headers.get(HOST)) else {
        return (StatusCode::BAD_REQUEST, "The Host header is missing or names no host.\n").into_response();
    };
    // A path such as `//evil.example` is a path behind our origin, never another origin: the origin is always written.
    match HeaderValue::try_from(format!("{origin}{path}")) {
        Ok(location) if path.starts_with('/') => {
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response()
        }
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn origin(target: &Target, host: Option<&HeaderValue>) -> Option<String> {
    if let Some(url) = &target.public_url {
        return Some(url.to_string());
    }
    let authority: Authority = host?.to_str().ok()?.parse().ok()?;
    let host = authority.host();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_name = !host.is_empty() && host.len() <= 253 && host.chars().all(plain);
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    if authority.as_str().contains('@') || !(is_name || is_ipv6) {
        return None;
    }
    Some(if target.port == 443 { format!("https://{host}") } else { format!("https://{host}:{}", target.port) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_to(host: &str) -> Option<String> {
        let target = Target { public_url: None, port: 8443 };
        origin(&target, Some(&HeaderValue::from_str(host).expect("a header")))
    }

    #[test]
    fn the_port_is_replaced_and_ipv6_keeps_its_brackets() {
        assert_eq!(sent_to("talk.example.org:8080").as_deref(), Some("https://talk.example.org:8443"));
        assert_eq!(sent_to("[2001:db8::1]:8080").as_deref(), Some("https://[2001:db8::1]:8443"));
        assert_eq!(sent_to("192.0.2.1").as_deref(), Some("https://192.0.2.1:8443"));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for host in ["", "a@b", "a/b", "a b", "x:y:z", "[::1", "<script>", "[evil]"] {
            assert_eq!(sent_to(host), None, "{host}");
        }
    }

    #[test]
    fn a_public_url_wins_over_the_host_header() {
        let url = "https://talk.example.org".parse().expect("a URL");
        let target = Target { public_url: Some(url), port: 8443 };
        assert_eq!(origin(&target, None).as_deref(), Some("https://talk.example.org"));
    }
}
