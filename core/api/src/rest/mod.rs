//! REST types, `/api/v1`.
