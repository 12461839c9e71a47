//! Any bytes as an RTP packet, its extensions and payloads, and as a stream through the jitter buffer.

#![no_main]

#[path = "../../core/rtp/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::rtp(bytes));
