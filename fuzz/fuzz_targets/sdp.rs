//! Any bytes as a description: read, printed, answered, and taken for an answer.

#![no_main]

#[path = "../../core/sdp/tests/bodies/mod.rs"]
mod bodies;
#[path = "../../core/sdp/tests/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::sdp(bytes));
