#![no_main]

#[path = "../../core/stun/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::turn_machine(bytes));
