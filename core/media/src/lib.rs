//! The media plane: who gets which packet of whom, how much of it, and when.
//!
//! Knows no room, no user and no signalling.

pub mod allocate;
pub mod bitrate;
pub mod estimate;
pub mod pace;
pub mod speaker;
