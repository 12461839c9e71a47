//! A second shell: a fake network, a clock that is moved by hand, and fake browsers that speak the real JSON.
//!
//! ```text
//!  Browser ──text──► Network (delay, loss of a transport) ──text──► parse ──► Engine
//!     ▲                                                                        │
//!     └──────────────────────────── text ◄── print ◄───────────────────────────┘
//! ```
//!
//! Everything follows from one seed: a story that fails is told again by its number. What a browser sees is checked as it
//! comes (no event is missing, doubled or out of order); what all of them see is compared by [`World::check`].

#![allow(missing_docs, reason = "not a library for others: the stories in `tests/` are its only user")]
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a broken expectation is what a story looks for")]

mod browser;
mod chance;
pub mod fuzz;
mod peer;
mod world;

pub use browser::{Browser, Phase};
pub use chance::Chance;
pub use world::{BrowserId, World, config};
