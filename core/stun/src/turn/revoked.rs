//! Who is shut out: by user, by beginning of the name, by key, by tag, and until when. Credentials that expire no later were issued before.

use std::collections::{BTreeMap, BTreeSet};

use super::sessions::Whom;
use crate::credential::key_and_tag;

/// Revocations by kind.
#[derive(Default)]
pub(super) struct Revoked {
    users: Names,
    below: Names,
    keys: Names,
    tags: Names,
}

/// Revoked names of one kind. Too many push out the one that would be over first.
#[derive(Default)]
struct Names {
    until: BTreeMap<String, u64>,
    order: BTreeSet<(u64, String)>,
}

impl Revoked {
    /// All of them, with when they end.
    pub(super) fn keep_for_later(&self) -> Vec<(Whom, u64)> {
        let users = self.users.until.iter().map(|(name, &until)| (Whom::User(name.clone()), until));
        let keys = self.keys.until.iter().map(|(name, &until)| (Whom::Key(name.clone()), until));
        let tags = self.tags.until.iter().map(|(name, &until)| (Whom::Tag(name.clone()), until));
        let below = self.below.until.iter().map(|(name, &until)| (Whom::Below(name.clone()), until));
        users.chain(below).chain(keys).chain(tags).collect()
    }

    /// Shuts somebody out. `false`: a session and a realm have no credentials of their own.
    pub(super) fn add(&mut self, whom: &Whom, unix: u64, until: u64) -> bool {
        let (of, name) = match whom {
            Whom::User(user) => (&mut self.users, user),
            Whom::Below(name) => (&mut self.below, name),
            Whom::Key(key) => (&mut self.keys, key),
            Whom::Tag(tag) => (&mut self.tags, tag),
            Whom::Session(_) | Whom::Realm(_) => return false,
        };
        of.add(name, unix, until);
        true
    }

    /// Whether a credential of this user that expires then has been revoked.
    pub(super) fn includes(&self, user: &str, expiry: u64) -> bool {
        let has = |of: &Names, name: &str| of.until.get(name).is_some_and(|&until| expiry <= until);
        has(&self.users, user)
            || beginnings(user).any(|name| has(&self.below, name))
            || key_and_tag(user).is_some_and(|(key, tag)| has(&self.keys, key) || has(&self.tags, tag))
    }
}

/// A name up to each of its slashes, and all of it. A user name has at most 508 bytes (RFC 8489 §14.3).
fn beginnings(user: &str) -> impl Iterator<Item = &str> {
    let slashes = user.match_indices('/').map(|(at, _)| at);
    slashes.chain([user.len()]).filter_map(|end| user.get(..end))
}

impl Names {
    fn add(&mut self, name: &str, unix: u64, until: u64) {
        if let Some(before) = self.until.insert(name.to_owned(), until) {
            self.order.remove(&(before, name.to_owned()));
        }
        self.order.insert((until, name.to_owned()));
        while self.order.first().is_some_and(|(until, _)| *until <= unix || self.order.len() > MOST) {
            if let Some((_, name)) = self.order.pop_first() {
                self.until.remove(&name);
            }
        }
    }
}

/// Of one kind.
const MOST: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_holds_for_user_key_or_tag_and_for_what_was_issued_before() {
        let mut revoked = Revoked::default();
        assert!(revoked.add(&Whom::User("alice".into()), 100, 200));
        assert!(revoked.add(&Whom::Key("k1".into()), 100, 200));
        assert!(revoked.add(&Whom::Tag("bob".into()), 100, 200));
        assert!(revoked.add(&Whom::Below("k3/eve~1".into()), 100, 200));
        assert!(!revoked.add(&Whom::Realm("tandem".into()), 100, 200));
        assert_eq!(revoked.keep_for_later().len(), 4, "all kinds are kept");
        for user in ["alice", "k1/x", "k1/", "k2/bob", "k2/bob/7", "k3/eve~1", "k3/eve~1/7", "k3/eve~1/7/8"] {
            assert!(revoked.includes(user, 200), "{user}");
            assert!(!revoked.includes(user, 201), "{user}");
        }
        for user in ["bob", "k1", "k2/alice", "k2/k1", "k3", "k3/eve", "k3/eve~10/7", "eve~1"] {
            assert!(!revoked.includes(user, 200), "{user}");
        }
    }

    #[test]
    fn revocations_are_bounded_and_forgotten_when_nothing_issued_before_is_good_any_more() {
        let mut revoked = Revoked::default();
        for number in 0..70_000 {
            revoked.add(&Whom::User(format!("user {number}")), 100, 200);
        }
        assert_eq!(revoked.users.until.len(), MOST);
        revoked.add(&Whom::User("alice".into()), 150, 250);
        revoked.add(&Whom::User("alice".into()), 200, 300);
        assert_eq!((revoked.users.until.len(), revoked.users.order.len()), (1, 1));
        assert!(revoked.includes("alice", 300));
    }
}
