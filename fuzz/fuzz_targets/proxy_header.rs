//! Any bytes as the first ones of a load balancer's connection.

#![no_main]

#[path = "../../shell/server/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::proxy_header(bytes));
