//! What `/readyz` asks of each part.

use std::sync::{Arc, Weak};

use super::calls::Calls;
use super::relay::Relay;
use crate::config::Settings;
use crate::http::health::{Condition, Health};
use crate::tls::Certificates;
use crate::unix_ms;

/// Every part says how it does from here on. A part that is turned off is not named.
pub fn watch(
    health: &Health,
    settings: &Settings,
    calls: &Calls,
    relay: Option<&Relay>,
    certificates: &Arc<Certificates>,
) {
    health.report("store", Condition::Ok);
    let engine = calls.engine.clone();
    health.ask("signalling", move || {
        if engine.is_running() { Condition::Ok } else { Condition::Failed("the engine has stopped".to_owned()) }
    });
    if let Some(relay) = relay {
        // Whoever asks must not keep alive what is to end.
        let (handle, relay_only) = (Arc::downgrade(&relay.handle), settings.rooms.relay_only);
        health.ask("relay", move || shards(handle.upgrade().map_or((0, 0), |handle| handle.running()), relay_only));
        if let Some(users) = relay.users.clone() {
            health.ask("relay-users", move || users.condition());
        }
    }
    if !settings.http.behind_proxy {
        let certificates = Arc::downgrade(certificates);
        health.ask("certificate", move || {
            let now = i64::try_from(unix_ms() / 1000).unwrap_or(i64::MAX);
            Weak::upgrade(&certificates).map_or(Condition::Ok, |certificates| certificates.condition(now))
        });
    }
}

/// Without a relay most calls find a direct way; where none is allowed, none can be served.
fn shards((running, all): (usize, usize), relay_only: bool) -> Condition {
    let problem = format!("{running} of {all} relay threads run");
    match (running, relay_only) {
        (0, true) => Condition::Failed(problem),
        _ if running < all || all == 0 => Condition::Degraded(problem),
        _ => Condition::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_relay_thread_degrades_and_a_missing_relay_fails_where_it_is_the_only_way() {
        assert_eq!(shards((2, 2), true), Condition::Ok);
        assert!(matches!(shards((1, 2), true), Condition::Degraded(_)));
        assert!(matches!(shards((0, 2), false), Condition::Degraded(_)));
        assert!(matches!(shards((0, 2), true), Condition::Failed(_)));
    }
}
