//! Signalling over real sockets: the routes served on port 0, clients that are not ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod abuse;
mod harness;
mod origins;
mod polling;
mod tokens;
mod websocket;
