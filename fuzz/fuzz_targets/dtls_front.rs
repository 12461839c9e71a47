//! What strangers send to the DTLS front, and time passing.

#![no_main]

#[path = "../../core/dtls/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::dtls_front(bytes));
