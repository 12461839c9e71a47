//! Any sequence of inputs of the engine.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tandem_sim::fuzz::engine_sequence(bytes));
