//! What a connected peer says by ICE, DTLS and data channels.

#![no_main]

#[path = "../../core/media/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::webrtc(bytes));
