//! How many relay sockets each user has on all shards together. Asked once per allocation, never per packet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all shards.
pub(super) struct Quota {
    limit: usize,
    /// Of each shard.
    used: Mutex<Vec<HashMap<String, usize>>>,
}

impl Quota {
    pub(super) fn new(limit: usize, shards: usize) -> Self {
        Self { limit, used: Mutex::new(vec![HashMap::new(); shards]) }
    }

    /// Takes one on a shard. `false`: the user has as many as it may.
    pub(super) fn take(&self, shard: usize, user: &str) -> bool {
        let mut used = self.lock();
        let total: usize = used.iter().filter_map(|users| users.get(user)).sum();
        if total >= self.limit {
            return false;
        }
        let Some(users) = used.get_mut(shard) else { return false };
        match users.get_mut(user) {
            Some(count) => *count += 1,
            None => drop(users.insert(user.to_owned(), 1)),
        }
        true
    }

    /// Gives one back.
    pub(super) fn release(&self, shard: usize, user: &str) {
        let mut used = self.lock();
        let Some(users) = used.get_mut(shard) else { return };
        if let Some(count) = users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                users.remove(user);
            }
        }
    }

    /// A shard has lost all it had.
    pub(super) fn forget(&self, shard: usize) {
        if let Some(users) = self.lock().get_mut(shard) {
            *users = HashMap::new();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<HashMap<String, usize>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(quota.lock().iter().all(HashMap::is_empty));
    }

    #[test]
    fn what_a_shard_had_can_be_had_again_when_it_is_lost() {
        let quota = Quota::new(2, 2);
        assert!(quota.take(0, "alice") && quota.take(1, "alice"));
        quota.forget(0);
        assert!(quota.take(1, "alice") && !quota.take(1, "alice"));
    }
}
