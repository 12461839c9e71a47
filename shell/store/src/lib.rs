//! What outlives the process: sessions, keys of the HTTP API, rooms as they stand, users of the relay,
//! applications that hand out its credentials, and what they use.
//!
//! ```text
//!  engine's records ─► queue ─► writer (batches) ─► SQLite ◄─ keys, history (readers)
//! ```
//!
//! All SQL of the project is in this crate. Times are handed in, in Unix milliseconds.

mod applications;
mod database;
mod history;
mod kept;
mod keys;
mod revoked;
mod turn_users;
mod usage;
mod writer;

pub use applications::{Application, ApplicationChange, Bounds, MadeApplication, NewApplication};
pub use database::{Error, Store};
pub use history::{Filter, Mode, Page, Participation, Position, Session, SessionDetail};
pub use kept::Restored;
pub use keys::{Key, MadeKey, Signer};
pub use revoked::{Kind, Revoked};
pub use turn_users::{
    Facts, Heard, ListedTurnUser, OauthKey, PeerRule, RealmOption, Record, TurnUser, TurnUsers, Watch,
};
pub use usage::{Relayed, Split, Step, Usage, UsageFilter, UsageLine, month};
pub use writer::{Change, Outcome};
