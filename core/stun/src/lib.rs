//! STUN and TURN: messages, the relay server machine, and the clients of both.
//!
//! Sans-IO: no socket, clock, randomness or thread. One [`turn::Server`] per shard decides what happens to each packet;
//! sockets, threads and the queue between shards belong to `tandem-server`.
//!
//! RFC 8489 (STUN), RFC 3489 (classic Binding), RFC 5780 (NAT behaviour), RFC 8656 and 5766 (TURN), RFC 6062 (TCP relaying),
//! RFC 7635 (third-party authorisation), RFC 8016 (mobility).

pub mod client;
pub mod credential;
pub mod integrity;
pub mod turn;
pub mod vectors;
pub mod wire;

mod binding;
mod cidr;
mod discovery;
mod opaque;

pub use cidr::{Cidr, CidrError};
pub use discovery::Discovery;
pub use opaque::opaque;
