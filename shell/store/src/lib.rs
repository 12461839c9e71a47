//! What outlives the process: sessions, keys.
