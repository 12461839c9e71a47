//! Wire types: what browsers, scripts and third parties exchange with Tandem.
//!
//! `signal` is the session protocol under WebSocket, long polling and Socket.IO; `rest` is the HTTP API.
//! TypeScript (`ts-rs`) and OpenAPI (`utoipa`) are derived from these structs and from nothing else.
//! This crate parses and prints; what a message *means* is decided by the engine.

pub mod rest;
pub mod signal;
