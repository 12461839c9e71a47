//! Realms: which there are beside the default one, which pages ask for which, and the shared secrets of each.
//!
//! What is known of them is one value, replaced as a whole while the machine runs ([`Server::handle_realms`]). Where it
//! comes from is the shell's business.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Server;

/// All realms that clients may name, beside the default one. Has no `Debug`: it holds secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Realms {
    /// By the ORIGIN (scheme, host and port) of the pages whose clients are asked for a realm.
    origins: BTreeMap<String, String>,
    known: BTreeMap<String, RealmFacts>,
}

/// What is known of one realm.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RealmFacts {
    /// HMAC keys of this realm's ephemeral credentials, beside those that are good everywhere: each is good, while one is
    /// being replaced.
    pub secrets: Vec<Vec<u8>>,
}

impl Realms {
    /// There is this realm; what is known of it may be filled in. The default realm may be named as well.
    pub fn add(&mut self, realm: &str) -> &mut RealmFacts {
        self.known.entry(realm.to_owned()).or_default()
    }

    /// Clients of pages from this origin are asked for that realm.
    pub fn add_origin(&mut self, origin: &str, realm: &str) {
        self.add(realm);
        self.origins.insert(origin.to_owned(), realm.to_owned());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn has(&self, realm: &str) -> bool {
        self.known.contains_key(realm)
    }

    pub(super) fn of_origin(&self, origin: &str) -> Option<&str> {
        self.origins.get(origin).map(String::as_str)
    }

    /// The first few: each costs an unknown client's request some work of ours.
    pub(super) fn secrets(&self, realm: &str) -> &[Vec<u8>] {
        let all = self.known.get(realm).map_or(&[][..], |facts| &facts.secrets);
        all.get(..MAX_SECRETS).unwrap_or(all)
    }
}

impl Server {
    /// Other realms, origins and secrets than before: the next request is checked by them. Allocations stay.
    pub fn handle_realms(&mut self, realms: Arc<Realms>) {
        self.gate.set_realms(realms);
    }
}

/// Secrets of one realm that are tried.
const MAX_SECRETS: usize = 16;
