//! RTP, RTCP and SRTP: packets seen where they lie, headers rewritten in the caller's buffer, payload formats, frames.
//!
//! Sans-IO: no socket, clock, randomness or thread. Who gets which packet and when it leaves is the router's business.
//!
//! RFC 3550 (RTP, RTCP), RFC 8285 (header extensions), RFC 3711, 6188 and 7714 (SRTP), RFC 4585, 5104 and 3611 (RTCP),
//! RFC 4588 (retransmission), RFC 2198 (redundant audio), RFC 7741, 9628, 6184 and 7587 and AOM's "RTP Payload Format for
//! AV1" (payload formats).

pub mod ext;
pub mod header;
pub mod jitter;
pub mod nack;
pub mod payload;
pub mod reception;
pub mod red;
pub mod rtcp;
pub mod rtx;
pub mod srtp;

mod leb128;
mod numbers;
mod packet;

pub use numbers::{Extended, PayloadType, SeqNo, Ssrc, Timestamp};
pub use packet::{Malformed, Packet};
