//! The client's side: a Binding transaction, what a NAT in between does, and a relayed address with its
//! permissions, channels and connections.
//!
//! For programs of ours that measure and test; RFC 8489 §6.2 and §9.2.5, RFC 5780, RFC 8656, RFC 6062. Sockets, and the bytes of
//! streams before [`crate::wire::frame`] has found the messages in them, are left to the shell.

mod binding;
mod login;
mod nat;
mod patience;
mod relayed;
mod request;

pub use binding::{Binding, Outcome};
pub use login::Login;
pub use nat::{Behaviour, Dependence, Discoverer, Probe, Side, Undiscovered};
pub use patience::Carrier;
pub use relayed::{Allocated, Client, Failure, Output, Payload, Received};
pub use request::{Family, Relay, Request};
