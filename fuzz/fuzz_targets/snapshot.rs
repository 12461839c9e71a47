//! Any bytes as the relay machine that another process has left behind.

#![no_main]

#[path = "../../core/stun/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::snapshot(bytes));
