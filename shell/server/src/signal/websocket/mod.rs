//! The WebSocket transport, RFC 6455: `GET /signal`, subprotocol `tandem.v1`, one frame of the session protocol in each
//! text message.
//!
//! One task for each connection. What waits in the outbox is written in one system call; what was read in one is handled
//! before more is read. An idle connection holds neither a read nor a write buffer.

mod codec;
mod link;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};
use tandem_api::signal::{ClientKind, Reason, SUBPROTOCOL};

use super::session::{Refusal, Session};
use super::{Shared, origin};
use link::Link;

/// `GET /signal`.
pub(super) async fn upgrade(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    let key = match handshake_key(&parts) {
        Ok(key) => key,
        Err(detail) => return bad_handshake(detail),
    };
    let Some(upgrade) = parts.extensions.remove::<hyper::upgrade::OnUpgrade>() else {
        return bad_handshake("expected a connection that can be upgraded");
    };
    let pass = match shared.gate.enter(origin::address(&parts)) {
        Ok(pass) => pass,
        Err(shut) => return Refusal::from(shut).into_response(),
    };
    let origin = origin::of_request(&parts, ClientKind::Web);
    let protocol = offers(&parts.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    drop(parts);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(io) => {
                let session = Session::new(Arc::clone(&shared), origin, pass);
                let io = hyper_util::rt::TokioIo::new(io);
                Link::new(io, session, &shared.config).run().await;
            }
            Err(error) => tracing::debug!(%error, "a WebSocket went away during its handshake"),
        }
    });
    accepted(&key, protocol)
}

/// What RFC 6455 §4.2.1 asks of the client's handshake.
fn handshake_key(parts: &Parts) -> Result<HeaderValue, &'static str> {
    if !offers(&parts.headers, &UPGRADE, "websocket") || !offers(&parts.headers, &CONNECTION, "upgrade") {
        return Err("expected a WebSocket handshake: `Connection: Upgrade`, `Upgrade: websocket`");
    }
    if parts.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("expected `Sec-WebSocket-Version: 13`");
    }
    parts.headers.get(SEC_WEBSOCKET_KEY).cloned().ok_or("expected a `Sec-WebSocket-Key`")
}

fn bad_handshake(detail: &str) -> Response {
    let mut response = Refusal::new(StatusCode::BAD_REQUEST, Reason::Malformed, detail).into_response();
    // RFC 6455 §4.4: say which version would do.
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// RFC 6455 §4.2.2.
fn accepted(key: &HeaderValue, protocol: bool) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    BASE64_STANDARD.encode(digest)
}

/// Whether a comma-separated header names this token.
fn offers(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|offered| offered.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_of_rfc_6455_section_1_3_comes_out() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_token_is_found_in_any_list_and_case() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        assert!(offers(&headers, &CONNECTION, "upgrade"));
        assert!(!offers(&headers, &CONNECTION, "up"));
    }
}
