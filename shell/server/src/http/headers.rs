//! Security headers on every answer.
//!
//! The content security policy allows what the web client brings itself and nothing else: no inline script or style, no
//! foreign host, no `eval`, and scripts may be made from strings only by the named Trusted Types policies.

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// The policies the web client creates: for markup, and for the one worker it starts; nothing else may turn a string into
/// script or markup.
const TRUSTED_TYPES: &str = "svelte-trusted-html tandem-worker";

/// For pages and what they load.
fn policy() -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
         font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types {TRUSTED_TYPES}"
    )
}

const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), autoplay=(self), \
    picture-in-picture=(self), screen-wake-lock=(self), speaker-selection=(self), clipboard-write=(self), \
    accelerometer=(), geolocation=(), gyroscope=(), magnetometer=(), midi=(), payment=(), serial=(), usb=(), hid=(), \
    browsing-topics=()";

/// Middleware for what is true only at the moment, or for whoever asked: nobody keeps it (RFC 9111 §5.2.2.5).
pub async fn never_keep(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The headers that are the same on every answer.
#[derive(Clone, Debug)]
pub struct Headers {
    fixed: Vec<(HeaderName, HeaderValue)>,
}

impl Headers {
    /// With HSTS only where the certificate is one browsers believe: elsewhere it would lock people out.
    pub fn new(certificate_is_trusted: bool) -> Headers {
        let mut fixed = vec![
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS)),
            (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
            (HeaderName::from_static("x-dns-prefetch-control"), HeaderValue::from_static("off")),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        ];
        if let Ok(policy) = HeaderValue::try_from(policy()) {
            fixed.push((header::CONTENT_SECURITY_POLICY, policy));
        }
        if certificate_is_trusted {
            fixed.push((header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=15552000")));
        }
        Headers { fixed }
    }
}

/// A page that another site's page opens must keep its opener only where that is the point: click-to-call.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Middleware: adds them.
pub async fn add(State(headers): State<Headers>, request: Request, next: Next) -> Response {
    let is_click_to_call = request.uri().path().starts_with("/call/");
    let mut response = next.run(request).await;
    let to = response.headers_mut();
    for (name, value) in headers.fixed {
        to.entry(name).or_insert(value);
    }
    let opener = if is_click_to_call { "unsafe-none" } else { "same-origin" };
    to.insert(OPENER_POLICY, HeaderValue::from_static(opener));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_a_valid_header_and_allows_nothing_inline() {
        let policy = policy();
        assert!(HeaderValue::try_from(policy.as_str()).is_ok());
        for word in ["unsafe-inline", "unsafe-eval", "http:", "https:", "*"] {
            assert!(!policy.contains(word), "{word}");
        }
    }

    #[test]
    fn hsts_comes_with_trusted_certificates_only() {
        let has =
            |trusted| Headers::new(trusted).fixed.iter().any(|(name, _)| name == header::STRICT_TRANSPORT_SECURITY);
        assert!(has(true));
        assert!(!has(false));
    }
}
