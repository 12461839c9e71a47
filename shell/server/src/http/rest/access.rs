//! Who may ask: bearers of an API key (RFC 6750 §2.1), and only so many wrong ones from one address.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tandem_store::Store;

use super::problem::Refusal;
use crate::http::attempts::Attempts;
use crate::metrics::API_KEYS_REFUSED_TOTAL;
use crate::unix_ms;

/// Checks keys.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    attempts: Attempts,
}

impl Keys {
    /// Wrong keys count there.
    pub fn new(store: Store, attempts: Attempts) -> Keys {
        Keys { store, attempts }
    }

    /// Lets a request with a valid key pass.
    pub async fn admit(&self, client: IpAddr, headers: &HeaderMap) -> Result<(), Refusal> {
        self.admit_text(client, bearer(headers)).await
    }

    /// The same for the key alone.
    pub async fn admit_text(&self, client: IpAddr, key: Option<&str>) -> Result<(), Refusal> {
        if let Some(seconds) = self.attempts.blocked(client) {
            API_KEYS_REFUSED_TOTAL.add_labelled("blocked", 1);
            return Err(Refusal::too_many(seconds));
        }
        let Some(text) = key else {
            API_KEYS_REFUSED_TOTAL.add_labelled("missing", 1);
            return Err(Refusal::unauthorized("expected `Authorization: Bearer tk_…`"));
        };
        match self.store.authenticate(text, unix_ms()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                API_KEYS_REFUSED_TOTAL.add_labelled("wrong", 1);
                self.attempts.count(client);
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

/// RFC 6750 §2.1.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_found_whatever_the_case_of_the_scheme() {
        let headers = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))]);
        assert_eq!(bearer(&headers("bearer tk_a_b")), Some("tk_a_b"));
        assert_eq!(bearer(&headers("Basic dGtfYV9i")), None);
        assert_eq!(bearer(&headers("tk_a_b")), None);
    }
}
