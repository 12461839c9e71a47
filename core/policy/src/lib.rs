//! What an operator may decide, as pure functions.
//!
//! Which names are accepted, which addresses may be shown to others, how long a line and how fast a client may be.
//! Nothing here keeps state; the engine asks and obeys.

pub mod candidates;
pub mod names;
pub mod rate;
pub mod text;
pub mod topology;
