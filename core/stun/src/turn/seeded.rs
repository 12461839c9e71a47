//! A keyed hash for addresses: quick, the same in every run with the same seed, and not to be steered from outside.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// A hash map keyed by the machine's seed.
pub(super) type SeededMap<K, V> = HashMap<K, V, Seeded>;

/// Makes hashers with one key.
#[derive(Clone, Copy)]
pub(super) struct Seeded {
    key: (u64, u64),
}

impl Seeded {
    pub(super) fn new(key: (u64, u64)) -> Self {
        Self { key: (key.0, key.1 | 1) }
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { state: self.key.0, key: self.key.1 }
    }
}

/// Multiplies and folds the 128-bit product, eight bytes at a time.
pub(super) struct Folded {
    state: u64,
    key: u64,
}

impl Folded {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word ^ GOLDEN).wrapping_mul(u128::from(self.key));
        let folded = product ^ (product >> 64);
        self.state = u64::try_from(folded & u128::from(u64::MAX)).unwrap_or_default().rotate_left(23);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((word, after)) = rest.split_first_chunk::<8>() {
            self.mix(u64::from_le_bytes(*word));
            rest = after;
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            if let Some(place) = word.get_mut(..rest.len()) {
                place.copy_from_slice(rest);
            }
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.mix(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(u64::try_from(word).unwrap_or(u64::MAX));
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.state).wrapping_mul(u128::from(self.key ^ GOLDEN));
        u64::try_from((product ^ (product >> 64)) & u128::from(u64::MAX)).unwrap_or_default()
    }
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
