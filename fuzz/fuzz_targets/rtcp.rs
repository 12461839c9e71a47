//! Any bytes as a compound control packet, and as arrivals that feedback is written about.

#![no_main]

#[path = "../../core/rtp/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::rtcp(bytes));
