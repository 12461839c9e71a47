//! Text of a transport.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tandem_sim::fuzz::signal_frame(bytes));
