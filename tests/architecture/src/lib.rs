//! Nothing to run: the rules of the house are this crate's tests (`tests/dependencies.rs`, `tests/sizes.rs`).
