//! The `Engine`: every room, everyone in it, and the session each of them holds with us.
//!
//! A sans-IO machine. The shell feeds it what came from a transport (already parsed by `tandem-api`), a command from the
//! HTTP API, or the passing of time; then drains what is to be sent, stored and closed.
//!
//! ```text
//!  Input ──► Engine ──► Rooms ──► Room ──► Participant ──► Session (numbers, replay, resume)
//!                 └──► Output: Send, Close, Reply, Record, Keep, Revoke, Media
//! ```

mod awaited;
mod commands;
mod context;
mod engine;
mod family;
mod forwarding;
mod guests;
mod hooks;
mod ice_servers;
mod interface;
mod keep;
mod leg;
mod participant;
mod passes;
mod planes;
mod presence;
mod relaying;
mod requests;
mod rights;
mod room;
mod rooms;
mod session;
mod timers;
mod tokens;

pub use context::Stats;
pub use engine::Engine;
pub use interface::*;
