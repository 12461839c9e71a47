//! A stranger's bytes to an SRTP receiver, and a network that repeats, reorders and changes packets.

#![no_main]

#[path = "../../core/rtp/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::srtp(bytes));
