//! `/api/v1/turn`: the relay as a service. Applications and their keys, credentials, live sessions, usage.

mod credentials;
mod keys;
mod sessions;
mod usage;

pub use credentials::{NewTurnCredential, RevokeTurn, TurnCredential, TurnEnded, TurnIceServer};
pub use keys::{ChangeTurnKey, MadeTurnKey, NewTurnKey, TurnKey, TurnKeyList, TurnLimits};
pub use sessions::{EndTurnSessions, TurnFlow, TurnSession, TurnSessionList, TurnSessionQuery, TurnTransport};
pub use usage::{TurnSplit, TurnStep, TurnUsage, TurnUsageList, TurnUsageQuery};
