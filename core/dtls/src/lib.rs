//! DTLS 1.2 (RFC 6347): for a server with many clients behind one socket, and for one end of a WebRTC connection ([`Peer`]).
//!
//! ```text
//!  datagram ──► hello: a ClientHello? ──no cookie──► challenge (HelloVerifyRequest), nothing kept
//!                  │                  ──its cookie─► waits ─► association (dimpl) ──► plaintext, sealed answers
//!                  └─ of a known path ───────────► its association, at once when it is open
//! ```
//!
//! The record layer and the handshake are `dimpl`'s, which this crate alone names; the cryptography is `ring`'s. What is
//! ours: that nothing is kept of a client before it has shown that it receives at its address, and the bounds after that.
//! Who may have how many answers per second, and what the plaintext means, is left to the caller.

mod association;
mod client;
mod cookie;
mod hello;
mod identity;
mod keyed;
mod peer;
mod provider;
mod server;
#[cfg(test)]
mod tests;
mod waiting;

pub use client::{Client, Event, Failed};
pub use hello::{Hello, Malformed};
pub use identity::{Identity, Key, Unsupported};
pub use peer::{Breadth, Ended, Fingerprint, Local, NotAFingerprint, Peer, PeerEvent, Role, SrtpKeys, SrtpProfile};
pub use server::{Batch, Config, Counters, Limits, Outputs, Path, Server, Unusable, is_dtls};
