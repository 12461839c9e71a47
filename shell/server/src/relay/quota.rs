//! How many relay sockets each user has on all shards together. Asked once per allocation, never per packet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all shards.
pub(super) struct Quota {
    limit: usize,
    used: Mutex<HashMap<String, usize>>,
}

impl Quota {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::default() }
    }

    /// Takes one. `false`: the user has as many as it may.
    pub(super) fn take(&self, user: &str) -> bool {
        let mut used = self.lock();
        match used.get_mut(user) {
            Some(count) if *count >= self.limit => false,
            Some(count) => {
                *count += 1;
                true
            }
            None if self.limit == 0 => false,
            None => {
                used.insert(user.to_owned(), 1);
                true
            }
        }
    }

    /// Gives one back.
    pub(super) fn release(&self, user: &str) {
        let mut used = self.lock();
        if let Some(count) = used.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                used.remove(user);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_gets_what_it_may_and_gets_it_again_after_giving_back() {
        let quota = Quota::new(2);
        assert!(quota.take("alice") && quota.take("alice") && !quota.take("alice"));
        assert!(quota.take("bob"));
        quota.release("alice");
        assert!(quota.take("alice") && !quota.take("alice"));
        for user in ["alice", "alice", "bob"] {
            quota.release(user);
        }
        assert!(quota.lock().is_empty());
    }
}
