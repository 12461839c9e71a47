//! `tandem key`: keys of the HTTP API.
