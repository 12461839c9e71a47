//! What is known of each application without asking the database: its place, its bounds, its bytes of this month; and
//! what the relay has been told about it.

use std::collections::BTreeMap;

use tandem_store::{Application, Bounds};

use super::KeyName;
use crate::relay::KeyLimits;

/// All of it.
#[derive(Default)]
pub(super) struct Book {
    month: u64,
    bytes: BTreeMap<String, u64>,
    applications: BTreeMap<String, Application>,
    /// By the name of the key at the relay. `None`: it may not have arrived.
    told: BTreeMap<String, Option<Told>>,
    doubtful: bool,
}

/// What the relay knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    served: bool,
    sessions: Option<u64>,
    bytes_per_second: Option<u64>,
}

impl Told {
    /// What a key may that has no bounds, and what one that is new to the relay may.
    const ANYTHING: Told = Told { served: true, sessions: None, bytes_per_second: None };

    fn limits(self) -> KeyLimits {
        let sessions = if self.served { self.sessions } else { Some(0) };
        let allocations = sessions.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        KeyLimits { allocations, bytes_per_second: self.bytes_per_second }
    }
}

/// What the relay is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Bounds of a key from here on.
    Bound(String, KeyLimits),
    /// Its sessions end; it is bounded to none.
    End(String),
    /// It is gone for good: what it handed out is refused.
    Forget(String),
}

impl Book {
    /// The month whose bytes these are.
    pub(super) fn month(&self) -> u64 {
        self.month
    }

    /// Another month begins, or this one was counted before.
    pub(super) fn set_month(&mut self, month: u64, bytes: Vec<(String, u64)>) {
        self.month = month;
        self.bytes = bytes.into_iter().collect();
    }

    /// Counts.
    pub(super) fn add(&mut self, id: &str, bytes: u64) {
        match self.bytes.get_mut(id) {
            Some(sum) => *sum = sum.saturating_add(bytes),
            None => drop(self.bytes.insert(id.to_owned(), bytes)),
        }
    }

    /// Bytes of this month, those of applications below included.
    pub(super) fn month_bytes(&self, id: &str) -> u64 {
        let own = self.bytes.get(id).copied().unwrap_or(0);
        let is_below = |of: &&Application| of.parent.as_deref() == Some(id);
        let below = self.applications.values().filter(is_below).filter_map(|below| self.bytes.get(&below.id));
        below.fold(own, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Whether it has been read from the database.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.applications.contains_key(id)
    }

    /// Whether any application that is enabled lists this origin.
    pub(super) fn lists_origin(&self, origin: &str) -> bool {
        let enabled = self.applications.values().filter(|application| application.enabled);
        enabled.flat_map(|application| &application.origins).any(|listed| listed.eq_ignore_ascii_case(origin))
    }

    /// Bytes used and the bound, where an application or the one above it has reached its bound.
    pub(super) fn over(&self, id: &str) -> Option<(u64, u64)> {
        let application = self.applications.get(id)?;
        let reached = |of: &Application| {
            let (used, most) = (self.month_bytes(&of.id), of.bounds.bytes_per_month?);
            (used >= most).then_some((used, most))
        };
        let parent = application.parent.as_ref().and_then(|parent| self.applications.get(parent));
        reached(application).or_else(|| parent.and_then(reached))
    }

    /// Not everything has arrived at the relay: it is told all of it again.
    pub(super) fn doubt(&mut self) {
        self.told.values_mut().for_each(|told| *told = None);
        self.doubtful = true;
    }

    /// It is being told what was taken back.
    pub(super) fn begin_reminder(&mut self) {
        self.doubtful = false;
    }

    /// Whether it may not know what was taken back.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// These are the applications; what the relay must hear.
    pub(super) fn set_applications(&mut self, all: Vec<Application>) -> Vec<Order> {
        self.applications = all.into_iter().map(|application| (application.id.clone(), application)).collect();
        let mut orders = Vec::new();
        let mut told = BTreeMap::new();
        for application in self.applications.values() {
            let key = KeyName { id: &application.id, generation: application.generation }.text();
            let Bounds { sessions, bytes_per_second, .. } = application.bounds;
            let wanted = Told { served: self.is_served(application), sessions, bytes_per_second };
            let before = self.told.remove(&key).unwrap_or(Some(Told::ANYTHING));
            if before != Some(wanted) {
                orders.push(Order::Bound(key.clone(), wanted.limits()));
            }
            if !wanted.served && before.is_none_or(|before| before.served) {
                orders.push(Order::End(key.clone()));
            }
            told.insert(key, Some(wanted));
        }
        orders.extend(std::mem::replace(&mut self.told, told).into_keys().map(Order::Forget));
        orders
    }

    fn is_served(&self, application: &Application) -> bool {
        let parent = application.parent.as_ref().and_then(|parent| self.applications.get(parent));
        application.enabled && parent.is_none_or(|parent| parent.enabled) && self.over(&application.id).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(id: &str, parent: Option<&str>, bounds: Bounds) -> Application {
        Application {
            id: id.into(),
            parent: parent.map(str::to_owned),
            name: id.into(),
            created_at: 0,
            enabled: true,
            generation: 0,
            bounds,
            origins: Vec::new(),
        }
    }

    fn monthly(bytes: u64) -> Bounds {
        Bounds { bytes_per_month: Some(bytes), ..Bounds::default() }
    }

    fn none(key: &str) -> [Order; 2] {
        [Order::Bound(key.into(), KeyLimits { allocations: Some(0), ..KeyLimits::default() }), Order::End(key.into())]
    }

    #[test]
    fn the_relay_is_told_what_changes_and_nothing_twice() {
        let mut book = Book::default();
        let plain = application("a", None, Bounds::default());
        assert_eq!(book.set_applications(vec![plain.clone()]), []);
        let bounded = Application { bounds: Bounds { sessions: Some(5), ..Bounds::default() }, ..plain.clone() };
        let five = Order::Bound("a".into(), KeyLimits { allocations: Some(5), ..KeyLimits::default() });
        let orders = book.set_applications(vec![bounded.clone()]);
        assert_eq!(orders, std::slice::from_ref(&five));
        assert_eq!(book.set_applications(vec![bounded.clone()]), []);
        let off = Application { enabled: false, ..bounded.clone() };
        assert_eq!(book.set_applications(vec![off.clone()]), none("a"));
        assert_eq!(book.set_applications(vec![off]), []);
        let orders = book.set_applications(vec![bounded.clone()]);
        assert_eq!(orders, std::slice::from_ref(&five));
        let next = Application { generation: 1, ..bounded };
        let wanted = [
            Order::Bound("a-1".into(), KeyLimits { allocations: Some(5), ..KeyLimits::default() }),
            Order::Forget("a".into()),
        ];
        assert_eq!(book.set_applications(vec![next]), wanted);
        assert_eq!(book.set_applications(Vec::new()), [Order::Forget("a-1".into())]);
    }

    #[test]
    fn bytes_per_second_are_told_when_they_are_set_changed_and_lifted() {
        let mut book = Book::default();
        let rate = |bytes_per_second| {
            let bounds = Bounds { bytes_per_second, ..Bounds::default() };
            vec![application("a", None, bounds)]
        };
        let told = |bytes_per_second| {
            let limits = KeyLimits { allocations: None, bytes_per_second };
            [Order::Bound("a".into(), limits)]
        };
        assert_eq!(book.set_applications(rate(Some(1_000))), told(Some(1_000)));
        assert_eq!(book.set_applications(rate(Some(1_000))), []);
        assert_eq!(book.set_applications(rate(Some(2_000))), told(Some(2_000)));
        // A relay that may have missed it.
        book.doubt();
        assert_eq!(book.set_applications(rate(Some(2_000))), told(Some(2_000)));
        assert_eq!(book.set_applications(rate(None)), told(None));
        book.doubt();
        assert_eq!(book.set_applications(rate(None)), told(None), "that it was lifted may not have arrived");
    }

    #[test]
    fn who_has_used_up_the_month_ends_with_all_below_until_there_is_more() {
        let mut book = Book::default();
        let all = vec![application("a", None, monthly(100)), application("b", Some("a"), monthly(50))];
        assert_eq!(book.set_applications(all.clone()), []);
        book.add("b", 49);
        book.add("a", 10);
        assert_eq!((book.month_bytes("a"), book.month_bytes("b"), book.over("b")), (59, 49, None));
        book.add("b", 1);
        assert_eq!((book.over("b"), book.over("a")), (Some((50, 50)), None));
        assert_eq!(book.set_applications(all.clone()), none("b"));
        book.add("a", 40);
        assert_eq!(book.over("a"), Some((100, 100)));
        assert_eq!(book.set_applications(all.clone()), none("a"));
        book.set_month(book.month() + 1, Vec::new());
        let free = |key: &str| Order::Bound(key.into(), KeyLimits::default());
        assert_eq!(book.set_applications(all), [free("a"), free("b")]);
    }
}
