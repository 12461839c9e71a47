//! The relay's second tier: bound channels of UDP clients are relayed inside the kernel, by an XDP program.
//!
//! ```text
//!   Kernel::load ─► program on the interfaces ─► Kernel::table, one per shard
//!                        │ reads: flows, ends, rates        ▲ grant, withdraw, spend
//!                        ▼ writes: counts                   │
//!                   shared memory ─────────────────► harvest, poll_settled
//! ```
//!
//! Decides nothing: the relay's machine grants each channel, with its end and its rate. The program is `bpf/relay.c`.
//! Nothing is pinned: program, tables and their entries end with the process.

mod interfaces;
mod kernel;
mod layout;
mod memory;
mod table;

pub use kernel::{Interfaces, Kernel, Mode, Refused};
pub use table::{Counts, Grant, Rate, Reach, Table, Traffic};

#[cfg(test)]
mod tests;
