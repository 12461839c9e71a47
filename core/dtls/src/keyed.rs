//! A hash that nobody outside can steer, the same in every run with the same seed.

use std::hash::{BuildHasher, DefaultHasher, Hasher as _};

/// Makes hashers that have begun with a secret.
#[derive(Clone, Copy)]
pub(crate) struct Keyed(pub(crate) u128);

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.0);
        hasher
    }
}
