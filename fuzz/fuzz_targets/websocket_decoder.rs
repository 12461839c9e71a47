//! Any bytes as the WebSocket frames of a client.

#![no_main]

#[path = "../../shell/server/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::websocket_decoder(bytes));
