//! The few system calls the standard library has no words for: what relay and media plane send and receive by. All `unsafe`
//! of sockets is here, in `relay::splice` and in `relay::inherit`.

pub(crate) mod call;
pub(crate) mod epoll;
pub(crate) mod errors;
mod segments;
pub(crate) mod udp;
