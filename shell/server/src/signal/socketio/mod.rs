//! Socket.IO v4 (`socket.io-client` 3 and 4) over WebSocket and polling, by `socketioxide`, as a transport only.
//!
//! `socketioxide` runs `async` handlers as tasks of their own, out of order. So every handler here is a plain closure
//! that puts the event into its socket's queue and returns `ready(())`; the closures' bodies do run in order. One task
//! for each socket takes from the queue. Handlers are registered in the middleware, before the client can know that it
//! is connected, so that no event comes too early.
//!
//! MessagePack is off (its parser was remotely exhaustible more than once); so is everything that spans nodes.

mod channel;
mod classic;
mod lobby;
mod mailbox;
mod tandem;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::{SocketIo, extract::SocketRef};

use super::session::Refusal;
use super::{KeyVerifier, Pass, Shared, origin};
use classic::Classic;

/// Path of all Socket.IO requests, and the clients' default.
const PATH: &str = "/socket.io";
/// Largest message, both ways of carrying it.
const PAYLOAD: usize = 256 << 10;
/// What is read from a client at once. Held for each connection as long as it lives.
const READ: usize = 1 << 10;
/// Packets that wait for one client beyond its outbox.
const PACKETS: usize = 512;

/// The route of Socket.IO.
pub(super) fn routes(shared: &Arc<Shared>, verify_key: KeyVerifier) -> Router {
    let (service, io) = SocketIo::builder()
        .req_path(PATH)
        .ping_interval(Duration::from_secs(10))
        .ping_timeout(Duration::from_secs(10))
        .connect_timeout(shared.config.hello_timeout)
        .max_payload(PAYLOAD as u64)
        .ws_max_message_size(PAYLOAD)
        .ws_max_frame_size(PAYLOAD)
        .max_buffer_size(PACKETS)
        .ws_read_buffer_size(READ)
        .build_svc();
    own_vocabulary(&io, shared);
    classic_vocabulary(&io, &Classic::new(Arc::clone(shared), io.clone(), verify_key));
    Router::new()
        .route_service("/socket.io/", service.clone())
        .route_service("/socket.io", service)
        .layer(from_fn_with_state(Arc::clone(shared), admit))
}

fn own_vocabulary(io: &SocketIo, shared: &Arc<Shared>) {
    let to_start = Arc::clone(shared);
    let prepare = move |socket: SocketRef| ready(tandem::prepare(&socket));
    let start = move |socket: SocketRef| {
        tandem::start(socket, &to_start);
        ready(())
    };
    io.ns("/tandem", start.with(prepare));
}

fn classic_vocabulary(io: &SocketIo, classic: &Arc<Classic>) {
    let to_start = Arc::clone(classic);
    let to_prepare = Arc::clone(classic);
    let prepare = move |socket: SocketRef| ready(lobby::prepare(&socket, &to_prepare));
    let start = move |socket: SocketRef| {
        lobby::start(socket, &to_start);
        ready(())
    };
    io.ns("/", start.with(prepare));

    let to_start = Arc::clone(classic);
    let to_prepare = Arc::clone(classic);
    let prepare = move |socket: SocketRef| channel::prepare(socket, Arc::clone(&to_prepare));
    let start = move |socket: SocketRef| {
        channel::start(socket, &to_start);
        ready(())
    };
    if let Err(error) = io.dyn_ns("/{channel}", start.with(prepare)) {
        tracing::error!(%error, "the classic vocabulary is not served");
    }
}

/// A handshake (a request without `sid`) needs a pass, which then lives as long as its connection.
async fn admit(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let handshake = !query.split('&').any(|pair| pair.starts_with("sid=") && pair.len() > "sid=".len());
    if handshake && request.method() != Method::OPTIONS {
        let (mut parts, body) = request.into_parts();
        match shared.gate.enter(origin::address(&parts)) {
            Ok(pass) => parts.extensions.insert(Arc::<Pass>::new(pass)),
            Err(shut) => return Refusal::from(shut).into_response(),
        };
        slim(&mut parts);
        request = Request::from_parts(parts, body);
    }
    next.run(request).await
}

/// A socket keeps its handshake for as long as it lives. Headers and URI point into the buffer they were read into, which
/// is a hundred times as large: copies of those that are needed let it go.
fn slim(parts: &mut Parts) {
    let needed = [HOST, CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, CONTENT_TYPE, CONTENT_LENGTH];
    let mut headers = HeaderMap::with_capacity(needed.len());
    for name in needed {
        for value in parts.headers.get_all(&name) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(&name, copy);
            }
        }
    }
    parts.headers = headers;
    if let Ok(copy) = parts.uri.to_string().parse() {
        parts.uri = copy;
    }
}
