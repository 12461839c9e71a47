//! What outlives the process: sessions, keys of the HTTP API, rooms as they stand, users of the relay.
//!
//! ```text
//!  engine's records ─► queue ─► writer (batches) ─► SQLite ◄─ keys, history (readers)
//! ```
//!
//! All SQL of the project is in this crate. Times are handed in, in Unix milliseconds.

mod database;
mod history;
mod kept;
mod keys;
mod turn_users;
mod writer;

pub use database::{Error, Store};
pub use history::{Filter, Mode, Page, Participation, Position, Session, SessionDetail};
pub use kept::Restored;
pub use keys::{Key, MadeKey};
pub use turn_users::{ListedTurnUser, TurnUser};
pub use writer::{Change, Outcome};
