//! What an operator may decide, as pure functions.
