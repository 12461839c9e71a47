//! Who may ask: bearers of an API key (RFC 6750 §2.1), and only so many wrong ones from one address; below `/rooms` bearers of a
//! token, too, as far as it goes.

use std::net::{IpAddr, SocketAddr};

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, MatchedPath, RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tandem_store::{Key, Store};

use super::problem::Refusal;
use crate::http::attempts::Attempts;
use crate::metrics::API_KEYS_REFUSED_TOTAL;
use crate::tokens::{Claims, Verifier, is_token};
use crate::unix_ms;

/// Checks keys.
#[derive(Clone)]
pub struct Keys {
    store: Store,
    attempts: Attempts,
    tokens: Verifier,
}

/// The key a request was made with; absent with tokens, and where no key is needed.
#[derive(Clone)]
pub struct AskedWith(pub Key);

impl Keys {
    /// Wrong keys count there.
    pub fn new(store: Store, attempts: Attempts) -> Keys {
        let tokens = Verifier::new(store.clone(), attempts.clone());
        Keys { store, attempts, tokens }
    }

    /// Checks what they have signed.
    pub fn tokens(&self) -> &Verifier {
        &self.tokens
    }

    /// Lets a request with a valid key pass.
    pub async fn admit(&self, client: IpAddr, headers: &HeaderMap) -> Result<Key, Refusal> {
        self.admit_text(client, bearer(headers)).await
    }

    /// The same for the key alone.
    pub async fn admit_text(&self, client: IpAddr, key: Option<&str>) -> Result<Key, Refusal> {
        if let Some(seconds) = self.attempts.blocked(client) {
            API_KEYS_REFUSED_TOTAL.add_labelled("blocked", 1);
            return Err(Refusal::too_many(seconds));
        }
        let Some(text) = key else {
            API_KEYS_REFUSED_TOTAL.add_labelled("missing", 1);
            return Err(Refusal::unauthorized("expected `Authorization: Bearer tk_…`"));
        };
        match self.store.authenticate(text, unix_ms()).await {
            Ok(Some(key)) => Ok(key),
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
    path: Option<MatchedPath>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let admitted = match bearer(request.headers()).filter(|text| is_token(text)) {
        None => keys.admit(client.ip(), request.headers()).await.map(Some),
        Some(token) => {
            let route = path.as_ref().map(MatchedPath::as_str).unwrap_or_default();
            let room =
                params.as_ref().ok().into_iter().flatten().find(|(name, _)| *name == "name").map(|(_, room)| room);
            let needs = Needs::of(request.method(), route, room);
            keys.tokens.verify(client.ip(), token).await.map_err(Refusal::from).and_then(|claims| {
                needs.check(&claims)?;
                Ok(None)
            })
        }
    };
    match admitted {
        Ok(key) => {
            if let Some(key) = key {
                request.extensions_mut().insert(AskedWith(key));
            }
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// What a token must grant.
#[derive(Debug, PartialEq, Eq)]
enum Needs<'a> {
    /// `roomList`
    List,
    /// `roomCreate`
    Create,
    /// `roomAdmin` for this room.
    Admin(&'a str),
    /// The same, or `roomCreate`.
    AdminOrCreate(&'a str),
    /// No token will do.
    Key,
}

impl<'a> Needs<'a> {
    fn of(method: &Method, route: &str, room: Option<&'a str>) -> Needs<'a> {
        let route = route.strip_prefix("/api/v1").unwrap_or(route);
        match (route, room) {
            ("/rooms", _) if *method == Method::GET || *method == Method::HEAD => Needs::List,
            ("/rooms", _) if *method == Method::POST => Needs::Create,
            ("/rooms/{name}", Some(room)) if *method == Method::DELETE => Needs::AdminOrCreate(room),
            // Another room is none of this one's business.
            (below, _) if below.ends_with("/move") => Needs::Key,
            (below, Some(room)) if below == "/rooms/{name}" || below.starts_with("/rooms/{name}/") => {
                Needs::Admin(room)
            }
            _ => Needs::Key,
        }
    }

    fn check(&self, claims: &Claims) -> Result<(), Refusal> {
        let video = claims.video.clone().unwrap_or_default();
        let is_admin = |room: &str| video.room_admin && video.is_for(room);
        let (granted, expected) = match *self {
            Needs::List => (video.room_list, "a token with `roomList`".to_owned()),
            Needs::Create => (video.room_create, "a token with `roomCreate`".to_owned()),
            Needs::Admin(room) => (is_admin(room), format!("a token with `roomAdmin` for the room `{room}`")),
            Needs::AdminOrCreate(room) => (
                video.room_create || is_admin(room),
                format!("a token with `roomCreate`, or with `roomAdmin` for the room `{room}`"),
            ),
            Needs::Key => (false, "an API key (`tk_…`), no token".to_owned()),
        };
        if granted { Ok(()) } else { Err(Refusal::forbidden(format!("this needs {expected}"))) }
    }
}

/// RFC 6750 §2.1.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Video;

    #[test]
    fn a_bearer_is_found_whatever_the_case_of_the_scheme() {
        let headers = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))]);
        assert_eq!(bearer(&headers("bearer tk_a_b")), Some("tk_a_b"));
        assert_eq!(bearer(&headers("Basic dGtfYV9i")), None);
        assert_eq!(bearer(&headers("tk_a_b")), None);
    }

    #[test]
    fn a_token_opens_what_it_grants_and_nothing_else() {
        let admin = Video { room: Some("a".into()), room_admin: true, ..Video::default() };
        let anywhere = Video { room_admin: true, ..Video::default() };
        let maker = Video { room_create: true, ..Video::default() };
        let lister = Video { room_list: true, ..Video::default() };
        let may = |video: &Video, method: Method, route: &str, room| {
            let claims = Claims { video: Some(video.clone()), ..Claims::default() };
            Needs::of(&method, &format!("/api/v1{route}"), room).check(&claims).is_ok()
        };
        let (room, person) = ("/rooms/{name}", "/rooms/{name}/participants/{id}");
        for (video, method, route, name, allowed) in [
            (&admin, Method::GET, room, Some("a"), true),
            (&admin, Method::PATCH, room, Some("a"), true),
            (&admin, Method::DELETE, room, Some("a"), true),
            (&admin, Method::DELETE, person, Some("a"), true),
            (&admin, Method::GET, room, Some("b"), false),
            (&admin, Method::GET, "/rooms", None, false),
            (&admin, Method::POST, "/rooms", None, false),
            (&admin, Method::POST, "/rooms/{name}/participants/{id}/move", Some("a"), false),
            (&admin, Method::GET, "/sessions", None, false),
            (&admin, Method::POST, "/tokens", None, false),
            (&anywhere, Method::GET, room, Some("a"), false),
            (&maker, Method::POST, "/rooms", None, true),
            (&maker, Method::DELETE, room, Some("a"), true),
            (&maker, Method::GET, room, Some("a"), false),
            (&maker, Method::DELETE, person, Some("a"), false),
            (&lister, Method::GET, "/rooms", None, true),
            (&lister, Method::POST, "/rooms", None, false),
            (&lister, Method::GET, "/turn/keys", None, false),
        ] {
            assert_eq!(may(video, method.clone(), route, name), allowed, "{method} {route} {name:?} by {video:?}");
        }
    }
}
