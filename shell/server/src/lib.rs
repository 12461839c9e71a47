//! The server behind the binary `tandem`: sockets, threads, HTTP, settings, metrics, commands.
//!
//! Touches the world and decides nothing: rooms are decided by `tandem-engine`, relaying by `tandem-stun`.

pub mod cli;
pub mod config;
pub mod credentials;
pub mod data_dir;
pub mod engine;
pub mod http;
pub mod media;
pub mod metrics;
pub mod proxy_protocol;
pub mod relay;
pub mod serve;
pub mod signal;
pub mod tls;
pub mod tokens;
pub mod webhooks;

mod banner;
mod local;
mod log;
mod net;

/// The wall clock.
pub(crate) fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
