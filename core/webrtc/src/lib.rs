//! One WebRTC peer's transport: ICE (RFC 8445), DTLS (RFC 8261, RFC 5764) and data channels (RFC 8831, RFC 8832).
//!
//! ```text
//!  datagram ──► STUN ──► ice ── a path that has been proved ──►┐
//!          └──► DTLS ──► dtls ── keys for SRTP ────────────────┼─► poll_output: datagrams, keys, messages
//!                          └── SCTP ─► channels ───────────────┘
//! ```
//!
//! What is media (RTP, RTCP) is not handed in here. Who the peer is, what was described to it, and which socket a datagram
//! belongs to are the caller's business. This crate alone names the libraries of ICE and SCTP.

mod channels;
mod dcep;
mod ice;
mod transport;

pub use channels::{BUFFERED, Channel, ChannelId, Message, NotSent, Reliability};
pub use ice::{Credentials, Mode, NotACandidate, Path, Protocol, addressee};
pub use tandem_dtls::{
    Breadth, Ended, Fingerprint, Identity, Key, Local, NotAFingerprint, Role, SrtpKeys, SrtpProfile,
};
pub use transport::{Config, Output, Remote, Transport};
