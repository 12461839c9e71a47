//! Realms: which there are beside the default one, which pages ask for which, and the shared secrets of each.
//!
//! What is known of them is one value, replaced as a whole while the machine runs ([`Server::handle_realms`]). Where it
//! comes from is the shell's business.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Server;
use crate::Cidr;

/// All realms that clients may name, beside the default one. Has no `Debug`: it holds secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Realms {
    /// By the ORIGIN (scheme, host and port) of the pages whose clients are asked for a realm.
    origins: BTreeMap<String, String>,
    known: BTreeMap<String, RealmFacts>,
    /// Peers of every realm.
    pub peers: RealmPeers,
}

/// Rules on peers beside those of the configuration, which these cannot open: as in coturn, what is allowed is not denied.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RealmPeers {
    /// May be relayed to although private, special, or denied below.
    pub allow: Vec<Cidr>,
    /// May not.
    pub deny: Vec<Cidr>,
}

/// What rules of realms say of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Denied,
    /// Nothing.
    Unsaid,
}

/// What is known of one realm.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RealmFacts {
    /// HMAC keys of this realm's ephemeral credentials, beside those that are good everywhere: each is good, while one is
    /// being replaced.
    pub secrets: Vec<Vec<u8>>,
    /// Peers of this realm.
    pub peers: RealmPeers,
    /// Payload bytes per second of one allocation, both directions together, instead of the general bound.
    pub bytes_per_second: Option<u64>,
    /// Allocations of all its users together, on all shards; beside the general bound.
    pub allocations: Option<usize>,
    /// Allocations of one of its users, on all shards; instead of the general bound.
    pub allocations_per_user: Option<usize>,
}

impl Realms {
    /// There is this realm; what is known of it may be filled in. The default realm may be named as well.
    pub fn add(&mut self, realm: &str) -> &mut RealmFacts {
        self.known.entry(realm.to_owned()).or_default()
    }

    /// Clients of pages from this origin are asked for that realm.
    pub fn add_origin(&mut self, origin: &str, realm: &str) {
        self.add(realm);
        self.origins.insert(canonical_origin(origin).unwrap_or_else(|| origin.to_owned()), realm.to_owned());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Each realm that is known, and what is known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RealmFacts)> {
        self.known.iter().map(|(realm, facts)| (realm.as_str(), facts))
    }

    pub(super) fn has(&self, realm: &str) -> bool {
        self.known.contains_key(realm)
    }

    pub(super) fn of_origin(&self, origin: &str) -> Option<&str> {
        if self.origins.is_empty() {
            return None;
        }
        self.origins.get(&canonical_origin(origin)?).map(String::as_str)
    }

    pub(super) fn bytes_per_second(&self, realm: &str) -> Option<u64> {
        self.known.get(realm)?.bytes_per_second
    }

    /// Rules of the realm and of all; of an IPv4 address in an IPv6 one, both are judged.
    pub(super) fn verdict(&self, realm: &str, peer: IpAddr, embedded: Option<IpAddr>) -> Verdict {
        let rules = || [Some(&self.peers), self.known.get(realm).map(|facts| &facts.peers)].into_iter().flatten();
        let matches = |ranges: &[Cidr]| {
            ranges.iter().any(|range| range.contains(peer) || embedded.is_some_and(|inner| range.contains(inner)))
        };
        if rules().any(|rules| matches(&rules.allow)) {
            return Verdict::Allowed;
        }
        if rules().any(|rules| matches(&rules.deny)) { Verdict::Denied } else { Verdict::Unsaid }
    }

    /// The first few: each costs an unknown client's request some work of ours.
    pub(super) fn secrets(&self, realm: &str) -> &[Vec<u8>] {
        let all = self.known.get(realm).map_or(&[][..], |facts| &facts.secrets);
        all.get(..MAX_SECRETS).unwrap_or(all)
    }
}

impl Server {
    /// Other realms, origins, secrets and bounds than before: the next request is checked by them. Allocations stay; what
    /// relays to peers that are refused now ends. Walks over allocations.
    pub fn handle_realms(&mut self, realms: Arc<Realms>) {
        self.gate.set_realms(realms);
        self.judge_again();
    }
}

/// Scheme and host in small letters, and the port also where it goes without saying: one text for each origin.
/// `None`: it is none.
pub fn canonical_origin(origin: &str) -> Option<String> {
    let (scheme, rest) = origin.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let fits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '@');
    if !fits(scheme) || !fits(authority) {
        return None;
    }
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    // Behind the bracket of an IPv6 address, if there is one.
    let has_port = authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    Some(match (has_port, scheme.as_str()) {
        (false, "http") => format!("{scheme}://{authority}:80"),
        (false, "https") => format!("{scheme}://{authority}:443"),
        _ => format!("{scheme}://{authority}"),
    })
}

/// Secrets of one realm that are tried.
const MAX_SECRETS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_known_however_it_is_written() {
        let mut realms = Realms::default();
        realms.add_origin("https://bligh.edu:443", "crinna.org");
        for origin in ["https://bligh.edu", "HTTPS://Bligh.EDU/", "https://bligh.edu:443/page?x#y"] {
            assert_eq!(realms.of_origin(origin), Some("crinna.org"), "{origin}");
        }
        for origin in ["http://bligh.edu", "https://bligh.edu:444", "bligh.edu", "https://", "https://a@bligh.edu", ""]
        {
            assert_eq!(realms.of_origin(origin), None, "{origin}");
        }
        assert_eq!(canonical_origin("http://[::1]").as_deref(), Some("http://[::1]:80"));
        assert_eq!(canonical_origin("file://x").as_deref(), Some("file://x"));
    }
}
