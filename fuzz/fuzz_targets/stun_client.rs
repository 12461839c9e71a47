//! Bytes as what a server, or somebody who pretends to be one, answers to our STUN and TURN clients.

#![no_main]

#[path = "../../core/stun/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::stun_client(bytes));
