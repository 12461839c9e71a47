//! Wrong keys: only so many from one address per minute, whatever they were wrong for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::gate::subscriber;

/// Counts them. Cheap to clone: all clones count together.
#[derive(Clone)]
pub struct Attempts(Arc<Mutex<Failures>>);

impl Attempts {
    /// With so many per minute and address.
    pub fn new(per_minute: u32) -> Attempts {
        Attempts(Arc::new(Mutex::new(Failures::new(per_minute))))
    }

    /// How many seconds this address has to wait, if it has to.
    pub fn blocked(&self, client: IpAddr) -> Option<u64> {
        let wait = self.lock().wait(subscriber(client), Instant::now())?;
        Some(wait.as_secs().max(1))
    }

    /// One more from there.
    pub fn count(&self, client: IpAddr) {
        self.lock().count(subscriber(client), Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wrong keys of the running minute, by address.
struct Failures {
    most: u32,
    by_address: HashMap<IpAddr, (Instant, u32)>,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Whoever has more addresses than this to try from is let try: the keys have 256 random bits.
const MOST_ADDRESSES: usize = 10_000;

impl Failures {
    fn new(most: u32) -> Failures {
        Failures { most, by_address: HashMap::new() }
    }

    fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let (since, count) = self.by_address.get(&address)?;
        let left = MINUTE.checked_sub(now.saturating_duration_since(*since))?;
        (*count >= self.most).then_some(left)
    }

    fn count(&mut self, address: IpAddr, now: Instant) {
        let is_over = |since: &Instant| now.saturating_duration_since(*since) >= MINUTE;
        if self.by_address.len() >= MOST_ADDRESSES {
            self.by_address.retain(|_, (since, _)| !is_over(since));
        }
        if self.by_address.len() >= MOST_ADDRESSES && !self.by_address.contains_key(&address) {
            return;
        }
        let entry = self.by_address.entry(address).or_insert((now, 0));
        if is_over(&entry.0) {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_too_many_wrong_keys_an_address_waits_for_the_rest_of_the_minute() {
        let mut failures = Failures::new(2);
        let (address, start) = ("192.0.2.1".parse().expect("an address"), Instant::now());
        failures.count(address, start);
        assert_eq!(failures.wait(address, start), None);
        failures.count(address, start + Duration::from_secs(10));
        assert_eq!(failures.wait(address, start + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(failures.wait("192.0.2.2".parse().expect("an address"), start), None);
        assert_eq!(failures.wait(address, start + Duration::from_secs(61)), None);
        failures.count(address, start + Duration::from_secs(61));
        assert_eq!(failures.wait(address, start + Duration::from_secs(61)), None);
    }

    #[test]
    fn the_table_of_failures_does_not_grow_without_bound() {
        let mut failures = Failures::new(1);
        let start = Instant::now();
        for i in 0..2 * u32::try_from(MOST_ADDRESSES).expect("small") {
            failures.count(IpAddr::V4(i.into()), start);
        }
        assert_eq!(failures.by_address.len(), MOST_ADDRESSES);
        failures.count(IpAddr::V4(u32::MAX.into()), start + MINUTE);
        assert_eq!(failures.by_address.len(), 1);
    }
}
