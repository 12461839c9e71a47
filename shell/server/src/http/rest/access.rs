//! Who may ask: bearers of an API key (RFC 6750 §2.1), and only so many wrong ones from one address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tandem_store::Store;

use super::problem::Refusal;
use crate::http::gate::subscriber;
use crate::metrics::API_KEYS_REFUSED_TOTAL;
use crate::unix_ms;

/// Checks keys.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    failures: Arc<Mutex<Failures>>,
}

impl Keys {
    /// With so many wrong keys per minute and address.
    pub fn new(store: Store, failures_per_minute: u32) -> Keys {
        Keys { store, failures: Arc::new(Mutex::new(Failures::new(failures_per_minute))) }
    }

    /// Lets a request with a valid key pass.
    pub async fn admit(&self, client: IpAddr, headers: &HeaderMap) -> Result<(), Refusal> {
        let client = subscriber(client);
        if let Some(wait) = self.failures().wait(client, Instant::now()) {
            API_KEYS_REFUSED_TOTAL.add_labelled("blocked", 1);
            return Err(Refusal::too_many(wait.as_secs().max(1)));
        }
        let Some(text) = bearer(headers) else {
            API_KEYS_REFUSED_TOTAL.add_labelled("missing", 1);
            return Err(Refusal::unauthorized("expected `Authorization: Bearer tk_…`"));
        };
        match self.store.authenticate(text, unix_ms()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                API_KEYS_REFUSED_TOTAL.add_labelled("wrong", 1);
                self.failures().count(client, Instant::now());
                Err(Refusal::unauthorized("the key is unknown or revoked"))
            }
            Err(error) => Err(Refusal::of_store(&error)),
        }
    }

    /// Is this text a valid key? For those who bring it another way than in a header.
    pub async fn is_valid(&self, text: &str) -> bool {
        match self.store.authenticate(text, unix_ms()).await {
            Ok(key) => key.is_some(),
            Err(error) => {
                tracing::error!(%error, "a key cannot be checked");
                false
            }
        }
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Middleware.
pub async fn guard(
    State(keys): State<Keys>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match keys.admit(client.ip(), request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(text.trim())
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

    #[test]
    fn a_bearer_is_found_whatever_the_case_of_the_scheme() {
        let headers = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))]);
        assert_eq!(bearer(&headers("bearer tk_a_b")), Some("tk_a_b"));
        assert_eq!(bearer(&headers("Basic dGtfYV9i")), None);
        assert_eq!(bearer(&headers("tk_a_b")), None);
    }
}
