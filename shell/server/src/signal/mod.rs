//! Signalling transports: how frames of the session protocol (`tandem_api::signal`) come in and go out.
//!
//! ```text
//!  GET /signal            WebSocket, subprotocol tandem.v1   ┐
//!  /signal/poll           long polling                       ├─► Session ─► EngineHandle
//!  /socket.io, /tandem    Socket.IO v4, the same frames      │
//!  /socket.io, / , /<ch>  Socket.IO v4, classic vocabulary   ┘
//! ```
//!
//! A transport reads, bounds, parses and writes. Rooms, numbers, resume and rates are the engine's. Limits of each
//! address and of the whole are kept in [`Gate`].

mod gate;
mod origin;
mod polling;
mod session;
mod socketio;
mod websocket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use tandem_api::signal::Reason;
use tandem_engine::Grants;

pub use gate::{Gate, GateLimits, Pass};
pub(crate) use origin::is_welcome;

use crate::engine::EngineHandle;

/// How the transports behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest frame from a client; the engine announces the same figure.
    pub frame_bytes: usize,
    /// Connections.
    pub gate: GateLimits,
    /// Web origins, other than our own host, whose pages may connect: `https://example.org`. `*` allows all.
    pub allowed_origins: Vec<String>,
    /// Within this time a new connection says `join` or `resume`.
    pub hello_timeout: Duration,
    /// A connection that was silent so long is asked for a sign of life; after twice that it is closed.
    pub ping_interval: Duration,
    /// A write that does not get through for so long ends the connection.
    pub write_timeout: Duration,
    /// How long a polling request waits for something to happen.
    pub poll_wait: Duration,
    /// A polling client that stays away for so long is gone.
    pub poll_idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            frame_bytes: 64 << 10,
            gate: GateLimits::default(),
            allowed_origins: Vec::new(),
            hello_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(5),
            write_timeout: Duration::from_secs(15),
            poll_wait: Duration::from_secs(25),
            poll_idle: Duration::from_secs(15),
        }
    }
}

/// Says whether a text is a valid operator's API key.
pub type KeyVerifier = Arc<dyn Fn(String) -> BoxFuture<'static, bool> + Send + Sync>;

/// Says what the token that came from this address grants, or why it is not taken.
pub type TokenVerifier =
    Arc<dyn Fn(IpAddr, String) -> BoxFuture<'static, Result<Grants, (Reason, String)>> + Send + Sync>;

/// Who knows what is genuine.
#[derive(Clone)]
pub struct Verifiers {
    /// API keys.
    pub key: KeyVerifier,
    /// Tokens for rooms.
    pub token: TokenVerifier,
}

/// What every transport needs.
pub(crate) struct Shared {
    engine: EngineHandle,
    config: Config,
    gate: Arc<Gate>,
    verify_token: TokenVerifier,
}

/// The routes of all transports. Call it within the runtime.
///
/// The server leaves the client's address as `ConnectInfo<SocketAddr>` in each request's extensions.
pub fn routes(engine: EngineHandle, config: Config, verifiers: Verifiers) -> Router {
    let gate = Gate::new(config.gate);
    let Verifiers { key: verify_key, token: verify_token } = verifiers;
    let shared = Arc::new(Shared { engine, config, gate, verify_token });
    let polling = polling::Sessions::new(Arc::clone(&shared));
    let own = Router::new().route("/signal", get(websocket::upgrade)).with_state(Arc::clone(&shared)).merge(
        Router::new()
            .route("/signal/poll", post(polling::open))
            .route("/signal/poll/{id}", get(polling::receive).post(polling::send).delete(polling::close))
            .with_state(polling),
    );
    own.merge(socketio::routes(&shared, verify_key)).layer(from_fn_with_state(shared, origin::guard))
}
