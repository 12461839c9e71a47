//! Any sequence of commands, media, control and time at the media plane.

#![no_main]

#[path = "../../core/media/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::plane(bytes));
