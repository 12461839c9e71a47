//! Offer and answer, RFC 3264, as RFC 9429 (JSEP) has them for browsers.
//!
//! ```text
//!   their offer ──► negotiate ──► our answer ┐
//!                                            ├──► agree ──► Agreed (what transports and media plane are told)
//!   our offer ◄──── offer     their answer ──┘
//!                              (accept)
//! ```
//!
//! Nothing here is changed by what it is given: an offer that is thrown away (RFC 9429 §4.1.8.2, rollback) leaves the
//! [`Agreed`] of before as it was.

mod agree;
mod agreed;
mod answer;
mod bundle;
mod history;
mod matching;
mod offer;
mod ours;
mod refused;
mod write;

pub use agreed::{
    Agreed, AgreedCodec, AgreedExtension, DataLine, IceRole, Incoming, Line, MediaLine, Numbers, Pace, RemoteIce,
    Security, Side, Transport, Why,
};
pub use answer::negotiate;
pub use offer::{accept, offer};
pub use ours::{
    Agent, OurCodec, OurData, OurDtls, OurIce, OurLine, OurSource, OurTransport, Ours, Plain, Retransmission,
};
pub use refused::{Misuse, Refused};
