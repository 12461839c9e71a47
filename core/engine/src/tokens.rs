//! What must not be guessed: resume tokens, session identities, names of rooms. All from one seeded generator.
//!
//! Of a token only its SHA-256 is kept, so neither memory nor the store can be read for a way into a room.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tandem_media::Credentials;
use tandem_policy::names::RoomName;

use crate::context::Seat;

/// SHA-256 of a resume token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// As it was kept.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(Self(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }

    pub(crate) fn write(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Takes as long for a near miss as for a far one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The generator, and who holds which token.
pub(crate) struct Tokens {
    random: ChaCha20Rng,
    holders: BTreeMap<TokenHash, Seat>,
}

impl Tokens {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { random: ChaCha20Rng::from_seed(seed), holders: BTreeMap::new() }
    }

    /// A token of 256 bits for this seat.
    pub(crate) fn issue(&mut self, seat: Seat) -> (String, TokenHash) {
        let token = BASE64_URL_SAFE_NO_PAD.encode(self.bytes::<32>());
        let hash = TokenHash::of(token.as_bytes());
        self.holders.insert(hash, seat);
        (token, hash)
    }

    /// A pass of 192 bits.
    pub(crate) fn pass(&mut self) -> (String, TokenHash) {
        let pass = BASE64_URL_SAFE_NO_PAD.encode(self.bytes::<24>());
        let hash = TokenHash::of(pass.as_bytes());
        (pass, hash)
    }

    /// A token that was issued by an earlier process.
    pub(crate) fn restore(&mut self, hash: TokenHash, seat: Seat) {
        self.holders.insert(hash, seat);
    }

    pub(crate) fn is_held(&self, hash: &TokenHash) -> bool {
        self.holders.contains_key(hash)
    }

    pub(crate) fn forget(&mut self, hash: &TokenHash) {
        self.holders.remove(hash);
    }

    /// Whose token this is. The search is by hash: what its timing tells says nothing about any token.
    pub(crate) fn find(&self, token: &str) -> Option<(Seat, TokenHash)> {
        let hash = TokenHash::of(token.as_bytes());
        self.holders.get(&hash).map(|seat| (*seat, hash))
    }

    pub(crate) fn len(&self) -> usize {
        self.holders.len()
    }

    /// Identity of a session: a random UUID, RFC 9562 §5.4.
    pub(crate) fn session(&mut self) -> String {
        let mut bits = u128::from_be_bytes(self.bytes::<16>());
        bits = bits & !(0xf << 76) | (4 << 76);
        bits = bits & !(0b11 << 62) | (0b10 << 62);
        let hex = format!("{bits:032x}");
        let part = |from, to| hex.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// Names something that has no secret: a source of media, a description.
    pub(crate) fn word(&mut self) -> u32 {
        self.random.next_u32()
    }

    /// For connectivity checks.
    pub(crate) fn credentials(&mut self) -> Credentials {
        Credentials::new(self.bytes::<24>())
    }

    pub(crate) fn room_name(&mut self) -> RoomName {
        RoomName::pronounceable(self.bytes::<8>())
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::RoomKey;

    #[test]
    fn a_token_is_found_by_its_holder_only_and_only_until_forgotten() {
        let mut tokens = Tokens::new([7; 32]);
        let seat = Seat { room: RoomKey(1), number: 2 };
        let (token, hash) = tokens.issue(seat);
        assert_eq!(token.len(), 43, "256 bits");
        assert_eq!(tokens.find(&token), Some((seat, hash)));
        assert_eq!(tokens.find("guess"), None);
        assert_eq!(TokenHash::parse(&hash.write()), Some(hash));
        tokens.forget(&hash);
        assert_eq!(tokens.find(&token), None);
    }

    #[test]
    fn sessions_are_named_by_random_uuids() {
        let mut tokens = Tokens::new([7; 32]);
        let (one, two) = (tokens.session(), tokens.session());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes().get(14), Some(&b'4'), "{one}");
        assert!(matches!(one.as_bytes().get(19), Some(b'8' | b'9' | b'a' | b'b')), "{one}");
    }
}
