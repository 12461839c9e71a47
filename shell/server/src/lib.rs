//! The server behind the binary `tandem`: sockets, threads, HTTP, settings, metrics, commands.
//!
//! Touches the world and decides nothing: rooms are decided by `tandem-engine`, relaying by `tandem-stun`.
