//! Any bytes through the STUN and ChannelData parsers, and from a stranger into the relay machine.

#![no_main]

#[path = "../../core/stun/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::stun_parse(bytes));
