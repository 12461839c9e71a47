//! What waits for one URL: in order, and of each room one at a time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Told;

/// Filled under the engine's lock, emptied by workers.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Notify,
    most: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Told>>,
    /// Rooms something of which is on its way.
    busy: BTreeSet<String>,
}

/// Something on its way: until it is dropped, nothing else of its room is.
pub(super) struct Taken {
    queue: Arc<Queue>,
    pub told: Arc<Told>,
}

impl Queue {
    pub fn new(most: usize) -> Self {
        Self { state: Mutex::default(), wake: Notify::new(), most }
    }

    /// What had to give way is given back.
    pub fn push(&self, told: Arc<Told>) -> Option<Arc<Told>> {
        let mut state = self.lock();
        let oldest = if state.waiting.len() >= self.most { state.waiting.pop_front() } else { None };
        state.waiting.push_back(told);
        drop(state);
        self.wake.notify_one();
        oldest
    }

    /// The first that may go, as soon as there is one.
    pub async fn next(self: &Arc<Self>) -> Taken {
        loop {
            if let Some(told) = self.take() {
                return Taken { queue: Arc::clone(self), told };
            }
            self.wake.notified().await;
        }
    }

    fn take(&self) -> Option<Arc<Told>> {
        let mut state = self.lock();
        let index = state.waiting.iter().position(|told| !state.busy.contains(&told.hook.room.name))?;
        let told = state.waiting.remove(index)?;
        state.busy.insert(told.hook.room.name.clone());
        if !state.waiting.is_empty() {
            // For another worker.
            self.wake.notify_one();
        }
        Some(told)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.queue.lock().busy.remove(&self.told.hook.room.name);
        self.queue.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::tests::hook;
    use super::*;

    fn told(room: &str, serial: u64) -> Arc<Told> {
        Arc::new(Told { hook: hook(room), serial })
    }

    #[tokio::test]
    async fn of_one_room_one_goes_after_the_other_and_others_do_not_wait_for_it() {
        let queue = Arc::new(Queue::new(10));
        for (room, serial) in [("a", 1), ("a", 2), ("b", 3)] {
            assert!(queue.push(told(room, serial)).is_none());
        }
        let first = queue.next().await;
        let other = queue.next().await;
        assert_eq!((first.told.serial, other.told.serial), (1, 3));
        assert!(queue.take().is_none(), "a second one of the first room waits");
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.next().await.told.serial }
        });
        drop(first);
        assert_eq!(waiting.await.expect("it ends"), 2);
    }

    #[test]
    fn when_it_is_full_the_oldest_gives_way() {
        let queue = Queue::new(2);
        assert!(queue.push(told("a", 1)).is_none() && queue.push(told("a", 2)).is_none());
        assert_eq!(queue.push(told("a", 3)).map(|told| told.serial), Some(1));
        assert_eq!(queue.take().map(|told| told.serial), Some(2));
    }
}
