//! How many relay sockets each user, and each key, has on all shards together. Asked once per allocation, never per packet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_stun::credential::key_and_tag;

/// What all users of one key may have together; what is left out is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Allocations at the same time.
    pub allocations: Option<usize>,
}

/// Shared by all shards.
pub(super) struct Quota {
    inside: Mutex<Inside>,
}

struct Inside {
    per_user: usize,
    keys: HashMap<String, KeyLimits>,
    /// Of each shard.
    used: Vec<Used>,
}

/// What one shard has.
#[derive(Clone, Default)]
struct Used {
    users: HashMap<String, usize>,
    keys: HashMap<String, usize>,
}

impl Quota {
    pub(super) fn new(per_user: usize, shards: usize) -> Self {
        Self { inside: Mutex::new(Inside { per_user, keys: HashMap::new(), used: vec![Used::default(); shards] }) }
    }

    /// Takes one on a shard. `false`: the user, or the key that has issued its credential, has as many as it may.
    pub(super) fn take(&self, shard: usize, user: &str) -> bool {
        let mut inside = self.lock();
        let key = key_and_tag(user).map(|(key, _)| key);
        if !inside.admits(user, key) {
            return false;
        }
        let Some(used) = inside.used.get_mut(shard) else { return false };
        increment(&mut used.users, user);
        if let Some(key) = key {
            increment(&mut used.keys, key);
        }
        true
    }

    /// Gives one back.
    pub(super) fn release(&self, shard: usize, user: &str) {
        if let Some(used) = self.lock().used.get_mut(shard) {
            decrement(&mut used.users, user);
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

    /// Bounds a key from here on; what it has it keeps.
    pub(super) fn set_key_limit(&self, key: &str, limits: Option<KeyLimits>) {
        let keys = &mut self.lock().keys;
        match limits {
            Some(limits) => drop(keys.insert(key.to_owned(), limits)),
            None => drop(keys.remove(key)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn admits(&self, user: &str, key: Option<&str>) -> bool {
        let of_user: usize = self.used.iter().filter_map(|used| used.users.get(user)).sum();
        let limit = key.and_then(|key| Some((key, self.keys.get(key)?.allocations?)));
        of_user < self.per_user
            && limit
                .is_none_or(|(key, most)| self.used.iter().filter_map(|used| used.keys.get(key)).sum::<usize>() < most)
    }
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

    #[test]
    fn a_user_gets_what_it_may_on_all_shards_and_gets_it_again_after_giving_back() {
        let quota = Quota::new(2, 2);
        assert!(quota.take(0, "alice") && quota.take(1, "alice") && !quota.take(0, "alice"));
        assert!(quota.take(0, "bob"));
        quota.release(0, "alice");
        assert!(quota.take(1, "alice") && !quota.take(0, "alice"));
        for (shard, user) in [(1, "alice"), (1, "alice"), (0, "bob")] {
            quota.release(shard, user);
        }
        assert!(quota.lock().used.iter().all(|used| used.users.is_empty() && used.keys.is_empty()));
    }

    #[test]
    fn a_key_bounds_its_users_together_and_may_be_given_other_bounds_at_any_time() {
        let quota = Quota::new(2, 2);
        assert!(quota.take(0, "k1/alice"), "counted before there is a bound");
        quota.set_key_limit("k1", Some(KeyLimits { allocations: Some(2) }));
        assert!(quota.take(1, "k1/bob") && !quota.take(0, "k1/carol"));
        assert!(quota.take(0, "k2/carol") && quota.take(0, "k1"), "others are not bounded by it");
        quota.release(0, "k1/alice");
        assert!(quota.take(0, "k1/carol") && !quota.take(0, "k1/alice"));
        quota.set_key_limit("k1", Some(KeyLimits::default()));
        assert!(quota.take(0, "k1/alice"));
        quota.set_key_limit("k1", Some(KeyLimits { allocations: Some(0) }));
        assert!(!quota.take(0, "k1/dave"));
        quota.set_key_limit("k1", None);
        assert!(quota.take(0, "k1/dave"));
        for (shard, user) in
            [(1, "k1/bob"), (0, "k1/carol"), (0, "k1/alice"), (0, "k1/dave"), (0, "k2/carol"), (0, "k1")]
        {
            quota.release(shard, user);
        }
        assert!(quota.lock().used.iter().all(|used| used.users.is_empty() && used.keys.is_empty()));
    }

    #[test]
    fn what_a_shard_had_can_be_had_again_when_it_is_lost() {
        let quota = Quota::new(2, 2);
        assert!(quota.take(0, "alice") && quota.take(1, "alice"));
        quota.forget(0);
        assert!(quota.take(1, "alice") && !quota.take(1, "alice"));
    }
}
