//! REST types, `/api/v1`: what third parties send and get.
//!
//! Times are Unix milliseconds. Lists come in pages; `next` of one page is `after` of the following. Errors are problem
//! details (RFC 9457). The routes themselves, and the OpenAPI document, are the server's.

mod members;
mod problem;
mod relay;
mod rooms;
mod sessions;
mod tokens;
mod turn;

pub use members::{
    ChangeMember, ChangeRoom, ChangeTrack, MoveMember, RoomClient, RoomMedia, RoomMember, RoomMessage, RoomPermissions,
    RoomPresence, RoomSource, RoomTrack,
};
pub use problem::Problem;
pub use relay::{RelayFigures, Reloaded};
pub use rooms::{NewRoom, RoomCounts, RoomEntry, RoomList, RoomQuery, RoomState};
pub use sessions::{SessionList, SessionMode, SessionQuery, SessionState, SessionWithStays, Stay};
pub use tokens::{NewToken, Token, TokenSource};
pub use turn::{
    ChangeTurnKey, EndTurnSessions, MadeTurnKey, NewTurnCredential, NewTurnKey, RevokeTurn, TurnCredential, TurnEnded,
    TurnFlow, TurnIceServer, TurnKey, TurnKeyList, TurnLimits, TurnSession, TurnSessionList, TurnSessionQuery,
    TurnSplit, TurnStep, TurnTransport, TurnUsage, TurnUsageList, TurnUsageQuery,
};

/// Most entries of one page.
pub const MOST_LISTED: u32 = 200;

/// Entries of one page when nothing else is asked for.
pub const USUALLY_LISTED: u32 = 50;
