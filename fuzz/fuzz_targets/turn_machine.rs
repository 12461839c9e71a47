//! Bytes as a sequence of what clients, peers, sockets and time do to one relay machine.

#![no_main]

#[path = "../../core/stun/tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::turn_machine(bytes));
