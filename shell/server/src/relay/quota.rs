//! How many relay sockets each user, each key and each realm has on all shards together. Asked once per allocation, never
//! per packet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_stun::credential::key_and_tag;
use tandem_stun::turn::{Group, Limits, Realms, Share, Whose};

/// What all users of one key may have together; what is left out is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Allocations at the same time.
    pub allocations: Option<usize>,
    /// Payload bytes per second, both directions together.
    pub bytes_per_second: Option<u64>,
}

/// Shared by all shards.
pub(super) struct Quota {
    inside: Mutex<Inside>,
}

struct Inside {
    per_user: usize,
    /// Whether users have a bound of bytes, of which shards have shares.
    shares_users: bool,
    keys: HashMap<String, KeyLimits>,
    /// Of those that have bounds of their own.
    realms: HashMap<String, RealmLimits>,
    /// Of each shard.
    used: Vec<Used>,
}

/// What a realm's users may have at the same time.
#[derive(Clone, Copy)]
struct RealmLimits {
    /// All of them together.
    total: Option<usize>,
    /// Each, instead of the general bound.
    per_user: Option<usize>,
}

/// What one shard has.
#[derive(Clone, Default)]
struct Used {
    users: HashMap<String, usize>,
    keys: HashMap<String, usize>,
    realms: HashMap<String, usize>,
    total: usize,
}

impl Quota {
    pub(super) fn new(limits: &Limits, shards: usize) -> Self {
        let (per_user, shares_users) = (limits.allocations_per_user, limits.bytes_per_second_per_user > 0);
        let used = vec![Used::default(); shards];
        let (keys, realms) = (HashMap::new(), HashMap::new());
        Self { inside: Mutex::new(Inside { per_user, shares_users, keys, realms, used }) }
    }

    /// Other bounds from here on; what there is stays.
    pub(super) fn change(&self, limits: &Limits) {
        let mut inside = self.lock();
        inside.per_user = limits.allocations_per_user;
        inside.shares_users = limits.bytes_per_second_per_user > 0;
    }

    /// Takes one on a shard. `false`: the user, its realm, or the key that has issued its credential, has as many as it may.
    pub(super) fn take(&self, shard: usize, Whose { user, realm }: &Whose) -> bool {
        let mut inside = self.lock();
        let key = key_and_tag(user).map(|(key, _)| key);
        if !inside.admits(user, key, realm) {
            return false;
        }
        inside.count(shard, user, key, realm)
    }

    /// Counts one that goes on from the program before, whatever the bounds: it has been admitted there, and gives back
    /// like any other.
    pub(super) fn adopt(&self, shard: usize, Whose { user, realm }: &Whose) {
        let key = key_and_tag(user).map(|(key, _)| key);
        self.lock().count(shard, user, key, realm);
    }

    /// Gives one back.
    pub(super) fn release(&self, shard: usize, Whose { user, realm }: &Whose) {
        if let Some(used) = self.lock().used.get_mut(shard) {
            used.total = used.total.saturating_sub(1);
            decrement(&mut used.users, user);
            decrement(&mut used.realms, realm);
            if let Some((key, _)) = key_and_tag(user) {
                decrement(&mut used.keys, key);
            }
        }
    }

    /// A shard has lost all it had.
    pub(super) fn forget(&self, shard: usize) {
        if let Some(used) = self.lock().used.get_mut(shard) {
            *used = Used::default();
        }
    }

    /// Bounds realms from here on; what their users have they keep.
    pub(super) fn set_realms(&self, realms: &Realms) {
        let limits = realms.iter().filter_map(|(realm, facts)| {
            let (total, per_user) = (facts.allocations, facts.allocations_per_user);
            (total.is_some() || per_user.is_some()).then(|| (realm.to_owned(), RealmLimits { total, per_user }))
        });
        self.lock().realms = limits.collect();
    }

    /// Bounds a key from here on; what it has it keeps.
    pub(super) fn set_key_limit(&self, key: &str, limits: Option<KeyLimits>) {
        let keys = &mut self.lock().keys;
        match limits {
            Some(limits) => drop(keys.insert(key.to_owned(), limits)),
            None => drop(keys.remove(key)),
        }
    }

    /// The bytes per second of each key that has a bound of them.
    pub(super) fn key_rates(&self) -> Vec<(String, u64)> {
        let inside = self.lock();
        inside.keys.iter().filter_map(|(key, limits)| Some((key.clone(), limits.bytes_per_second?))).collect()
    }

    /// Which part each shard has of the bounds that this user shares in; of those that have any.
    pub(super) fn shares(&self, user: &str) -> Vec<(Group, usize, Share)> {
        let inside = self.lock();
        let key = key_and_tag(user).map(|(key, _)| key);
        let key = key.filter(|key| inside.keys.get(*key).is_some_and(|limits| limits.bytes_per_second.is_some()));
        let of_user = inside.shares_users.then(|| {
            let counts = inside.used.iter().map(|used| used.users.get(user).copied().unwrap_or(0));
            (Group::User(user.to_owned()), counts.collect::<Vec<_>>())
        });
        let of_key = key.map(|key| {
            let counts = inside.used.iter().map(|used| used.keys.get(key).copied().unwrap_or(0));
            (Group::Key(key.to_owned()), counts.collect::<Vec<_>>())
        });
        let parts = |(group, counts): (Group, Vec<usize>)| {
            let all = counts.iter().sum();
            let parts = counts.into_iter().enumerate().filter(|&(_, here)| here > 0);
            parts.map(move |(shard, here)| (group.clone(), shard, share(here, all))).collect::<Vec<_>>()
        };
        of_user.into_iter().chain(of_key).flat_map(parts).collect()
    }

    /// The part of this shard in what all share in.
    pub(super) fn share_of_all(&self, shard: usize) -> Share {
        let inside = self.lock();
        let here = inside.used.get(shard).map_or(0, |used| used.total);
        share(here, inside.used.iter().map(|used| used.total).sum())
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// `false`: there is no such shard.
    fn count(&mut self, shard: usize, user: &str, key: Option<&str>, realm: &str) -> bool {
        let Some(used) = self.used.get_mut(shard) else { return false };
        used.total += 1;
        increment(&mut used.users, user);
        increment(&mut used.realms, realm);
        if let Some(key) = key {
            increment(&mut used.keys, key);
        }
        true
    }

    fn admits(&self, user: &str, key: Option<&str>, realm: &str) -> bool {
        let has = |counts: fn(&Used) -> &HashMap<String, usize>, name: &str| -> usize {
            self.used.iter().filter_map(|used| counts(used).get(name)).sum()
        };
        let of_realm = self.realms.get(realm);
        let of_key = key.and_then(|key| Some((key, self.keys.get(key)?.allocations?)));
        has(|used| &used.users, user) < of_realm.and_then(|limits| limits.per_user).unwrap_or(self.per_user)
            && of_realm.and_then(|limits| limits.total).is_none_or(|most| has(|used| &used.realms, realm) < most)
            && of_key.is_none_or(|(key, most)| has(|used| &used.keys, key) < most)
    }
}

fn share(here: usize, all: usize) -> Share {
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Share { here: count(here), all: count(all) }
}

fn increment(counts: &mut HashMap<String, usize>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

fn decrement(counts: &mut HashMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(user: &str) -> Whose {
        Whose { user: user.to_owned(), realm: "default".to_owned() }
    }

    /// Two for each user, on two shards.
    /// Names that have nothing any more are forgotten.
    fn counts_nobody(quota: &Quota) -> bool {
        quota.lock().used.iter().all(|used| used.users.is_empty() && used.keys.is_empty() && used.realms.is_empty())
    }

    fn quota() -> Quota {
        Quota::new(&Limits { allocations_per_user: 2, ..Limits::default() }, 2)
    }

    #[test]
    fn a_user_gets_what_it_may_on_all_shards_and_gets_it_again_after_giving_back() {
        let quota = quota();
        assert!(quota.take(0, &of("alice")) && quota.take(1, &of("alice")) && !quota.take(0, &of("alice")));
        assert!(quota.take(0, &of("bob")));
        quota.release(0, &of("alice"));
        assert!(quota.take(1, &of("alice")) && !quota.take(0, &of("alice")));
        for (shard, user) in [(1, "alice"), (1, "alice"), (0, "bob")] {
            quota.release(shard, &of(user));
        }
        assert!(counts_nobody(&quota));
    }

    #[test]
    fn a_key_bounds_its_users_together_and_may_be_given_other_bounds_at_any_time() {
        let quota = quota();
        assert!(quota.take(0, &of("k1/alice")), "counted before there is a bound");
        quota.set_key_limit("k1", Some(KeyLimits { allocations: Some(2), ..KeyLimits::default() }));
        assert!(quota.take(1, &of("k1/bob")) && !quota.take(0, &of("k1/carol")));
        assert!(quota.take(0, &of("k2/carol")) && quota.take(0, &of("k1")), "others are not bounded by it");
        quota.release(0, &of("k1/alice"));
        assert!(quota.take(0, &of("k1/carol")) && !quota.take(0, &of("k1/alice")));
        quota.set_key_limit("k1", Some(KeyLimits::default()));
        assert!(quota.take(0, &of("k1/alice")));
        quota.set_key_limit("k1", Some(KeyLimits { allocations: Some(0), ..KeyLimits::default() }));
        assert!(!quota.take(0, &of("k1/dave")));
        quota.set_key_limit("k1", None);
        assert!(quota.take(0, &of("k1/dave")));
        for (shard, user) in
            [(1, "k1/bob"), (0, "k1/carol"), (0, "k1/alice"), (0, "k1/dave"), (0, "k2/carol"), (0, "k1")]
        {
            quota.release(shard, &of(user));
        }
        assert!(counts_nobody(&quota));
    }

    #[test]
    fn what_a_shard_had_can_be_had_again_when_it_is_lost() {
        let quota = quota();
        assert!(quota.take(0, &of("alice")) && quota.take(1, &of("alice")));
        quota.forget(0);
        assert!(quota.take(1, &of("alice")) && !quota.take(1, &of("alice")));
    }

    #[test]
    fn what_goes_on_beyond_a_bound_is_counted_and_given_back() {
        let quota = quota();
        for shard in [0, 0, 1] {
            quota.adopt(shard, &of("k1/alice"));
        }
        assert_eq!(quota.share_of_all(0), share(2, 3));
        quota.release(1, &of("k1/alice"));
        assert!(!quota.take(1, &of("k1/alice")), "two are left");
        quota.release(0, &of("k1/alice"));
        assert!(quota.take(1, &of("k1/alice")) && !quota.take(1, &of("k1/alice")));
    }

    #[test]
    fn shards_share_a_bound_as_they_have_allocations_and_only_where_there_is_a_bound() {
        let quota = Quota::new(&Limits { allocations_per_user: 10, ..Limits::default() }, 3);
        assert!(quota.take(0, &of("k1/alice")) && quota.take(2, &of("k1/alice")) && quota.take(2, &of("k1/bob")));
        assert!(quota.shares("k1/alice").is_empty());
        quota.set_key_limit("k1", Some(KeyLimits { bytes_per_second: Some(1_000), ..KeyLimits::default() }));
        assert_eq!(quota.key_rates(), [("k1".to_owned(), 1_000)]);
        let key = Group::Key("k1".into());
        let of_key = [(key.clone(), 0, Share { here: 1, all: 3 }), (key, 2, Share { here: 2, all: 3 })];
        assert_eq!(quota.shares("k1/alice"), of_key);
        quota.change(&Limits { bytes_per_second_per_user: 1_000, allocations_per_user: 1, ..Limits::default() });
        let bob = (Group::User("k1/bob".into()), 2, Share { here: 1, all: 1 });
        assert_eq!(quota.shares("k1/bob").first(), Some(&bob));
        assert!(!quota.take(0, &of("k1/bob")), "it has what it may from here on");
        assert_eq!((quota.share_of_all(2), quota.share_of_all(1)), (share(2, 3), share(0, 3)));
        quota.forget(2);
        assert_eq!(quota.share_of_all(0), share(1, 1));
    }

    #[test]
    fn a_realm_bounds_all_of_its_users_and_each_instead_of_the_general_bound() {
        let quota = quota();
        let of = |user: &str, realm: &str| Whose { user: format!("{user}@{realm}"), realm: realm.to_owned() };
        let mut realms = Realms::default();
        let facts = realms.add("north");
        (facts.allocations, facts.allocations_per_user) = (Some(4), Some(3));
        realms.add("south");
        quota.set_realms(&realms);
        for shard in [0, 1, 1] {
            assert!(quota.take(shard, &of("alice", "north")), "more than the general bound of two");
        }
        assert!(!quota.take(0, &of("alice", "north")), "as many as a user of north may have");
        assert!(quota.take(1, &of("bob", "north")) && !quota.take(1, &of("carol", "north")), "north is full");
        assert!(quota.take(0, &of("alice", "south")) && quota.take(1, &of("alice", "south")));
        assert!(!quota.take(0, &of("alice", "south")), "the general bound holds elsewhere");
        quota.release(0, &of("alice", "north"));
        assert!(quota.take(1, &of("carol", "north")) && !quota.take(1, &of("carol", "north")));
        quota.set_realms(&Realms::default());
        assert!(quota.take(1, &of("carol", "north")), "bounds are gone");
        quota.forget(1);
        quota.set_realms(&realms);
        assert!(quota.take(0, &of("dave", "north")), "what a shard has lost is not counted");
    }
}
