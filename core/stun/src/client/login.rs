//! Long-term credentials at the client, RFC 8489 §9.2.3 and §9.2.5: what a challenge says, and requests signed with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stun_types::attribute::{
    AttributeStaticType as _, AttributeWrite, Nonce, PasswordAlgorithm, PasswordAlgorithms, RawAttribute, Realm,
    Username,
};
use stun_types::message::{Message, Method};

use super::request::write;
use crate::integrity::{self, Algorithm, Integrity, Key};
use crate::opaque::opaque;
use crate::wire::Stun;

/// A name, its password, and what the server has asked for. Has no `Debug`.
#[derive(Clone)]
pub struct Login {
    username: String,
    password: String,
    challenge: Option<Challenge>,
}

/// What a 401 or 438 asks for.
#[derive(Clone)]
struct Challenge {
    realm: String,
    nonce: String,
    /// PASSWORD-ALGORITHMS as it came, and the one chosen.
    algorithms: Option<(Vec<u8>, Algorithm)>,
    key: Key,
}

/// The challenge cannot be met, or is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unmet;

impl Login {
    /// Prepares both as OpaqueString. `None`: one of them is empty or has control characters.
    pub fn new(username: &str, password: &str) -> Option<Self> {
        Some(Self { username: opaque(username)?, password: opaque(password)?, challenge: None })
    }

    /// Takes the challenge of an error answer.
    pub(super) fn meet(&mut self, answer: &Message<'_>) -> Result<(), Unmet> {
        let realm = answer.attribute::<Realm>().map_err(|_| Unmet)?.realm().to_owned();
        let nonce = answer.attribute::<Nonce>().map_err(|_| Unmet)?.nonce().to_owned();
        let offered = answer.raw_attribute(PasswordAlgorithms::TYPE).map(|raw| raw.value.to_vec());
        // RFC 8489 §9.2.5: a nonce that promises algorithms without their list has been tampered with.
        if promises_algorithms(&nonce) && offered.is_none() {
            return Err(Unmet);
        }
        let algorithms = match offered {
            Some(offered) => {
                let chosen = choose(&offered).ok_or(Unmet)?;
                Some((offered, chosen))
            }
            None => None,
        };
        let algorithm = algorithms.as_ref().map_or(Algorithm::Md5, |&(_, chosen)| chosen);
        let prepared = opaque(&realm).ok_or(Unmet)?;
        let key = Key::long_term(algorithm, &self.username, &prepared, &self.password);
        self.challenge = Some(Challenge { realm, nonce, algorithms, key });
        Ok(())
    }

    /// A request with these attributes, signed once there has been a challenge. `None`: it does not fit a message.
    pub(super) fn sign(
        &self,
        method: Method,
        transaction: [u8; 12],
        attributes: &[&dyn AttributeWrite],
    ) -> Option<Vec<u8>> {
        let Some(challenge) = &self.challenge else { return write(method, transaction, attributes) };
        // Deviation: USERNAME where RFC 8489 §9.2.3.2 would have USERHASH if the server says it can read one; the name of
        // an ephemeral credential is in no server's list.
        let username = Username::new(&self.username).ok()?;
        let realm = Realm::new(&challenge.realm).ok()?;
        let nonce = Nonce::new(&challenge.nonce).ok()?;
        let mut all = attributes.to_vec();
        all.extend([&username as &dyn AttributeWrite, &realm, &nonce]);
        let algorithms = challenge.algorithms.as_ref().map(|(offered, chosen)| {
            let offered = RawAttribute::new(PasswordAlgorithms::TYPE, offered);
            (offered, RawAttribute::new(PasswordAlgorithm::TYPE, number(*chosen)))
        });
        if let Some((offered, chosen)) = &algorithms {
            all.extend([offered as &dyn AttributeWrite, chosen]);
        }
        let message = write(method, transaction, &all)?;
        integrity::protect(message, challenge.integrity(), &challenge.key)
    }

    /// Whether an answer to a signed request is from somebody who knows the password.
    pub(super) fn verifies(&self, answer: Stun<'_>) -> bool {
        let Some(challenge) = &self.challenge else { return true };
        integrity::verify(answer, challenge.integrity(), &challenge.key)
    }
}

impl Challenge {
    /// RFC 8489 §9.2.5: a server that lists algorithms reads MESSAGE-INTEGRITY-SHA256; one that does not may not.
    fn integrity(&self) -> Integrity {
        if self.algorithms.is_some() { Integrity::Sha256 } else { Integrity::Sha1 }
    }
}

/// RFC 8489 §9.2: the cookie and the first of the security features, which is that of §18.1.
fn promises_algorithms(nonce: &str) -> bool {
    let features = nonce.strip_prefix("obMatJos2").and_then(|rest| rest.get(..4));
    let bits = features.and_then(|text| STANDARD.decode(text).ok());
    // Bits are counted from the left of the 24 in the registry of 2020, from the right by what is deployed: either counts.
    bits.is_some_and(|bits| matches!(bits.as_slice(), &[first, _, last] if first & 0x80 != 0 || last & 1 != 0))
}

/// SHA-256 if it is on the list, else MD5.
fn choose(offered: &[u8]) -> Option<Algorithm> {
    let mut rest = offered;
    let mut best = None;
    while let Some((&[n0, n1, l0, l1], after)) = rest.split_first_chunk() {
        let parameters = usize::from(u16::from_be_bytes([l0, l1]));
        let found = match (u16::from_be_bytes([n0, n1]), parameters) {
            (1, 0) => Some(Algorithm::Md5),
            (2, 0) => Some(Algorithm::Sha256),
            _ => None,
        };
        best = best.max(found);
        rest = after.get(parameters.next_multiple_of(4)..)?;
    }
    best
}

/// PASSWORD-ALGORITHM, RFC 8489 §14.12.
fn number(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Md5 => &[0, 1, 0, 0],
        Algorithm::Sha256 => &[0, 2, 0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_algorithm_on_the_list_is_chosen() {
        assert_eq!(choose(&[0, 1, 0, 0, 0, 2, 0, 0]), Some(Algorithm::Sha256));
        assert_eq!(choose(&[0, 1, 0, 0]), Some(Algorithm::Md5));
        assert_eq!(choose(&[0, 9, 0, 3, 7, 7, 7, 0, 0, 1, 0, 0]), Some(Algorithm::Md5), "after one with parameters");
        assert_eq!((choose(&[]), choose(&[0, 9, 0, 0]), choose(&[0, 1, 0, 9])), (None, None, None));
    }

    #[test]
    fn the_nonce_tells_what_the_server_can_do() {
        for (nonce, promised) in
            [("obMatJos2AAABrest", true), ("obMatJos2gAAArest", true), ("obMatJos2AAACrest", false)]
        {
            assert_eq!(promises_algorithms(nonce), promised, "{nonce}");
        }
        for nonce in ["", "obMatJos2", "obMatJos2AA", "b4f1e2", "obMatJos2****"] {
            assert!(!promises_algorithms(nonce), "{nonce}");
        }
    }
}
