//! The HTTP API, `/api/v1`: rooms as they stand, sessions as they were, the relay as a service, for whoever has a key.
//!
//! Translates between HTTP and the engine's commands or the store's queries, and decides nothing.

mod access;
mod members;
mod problem;
mod relay;
mod rooms;
mod sessions;
mod tokens;
mod turn;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tandem_engine::{Command, Reply};
use tandem_store::Store;
use utoipa::OpenApi;

use crate::credentials::Service;
use crate::http::headers::never_keep;
use crate::relay::Handle;
use crate::serve::Reload;

pub use access::{Keys, bearer};
pub use problem::Refusal;
pub use rooms::encoded;

/// Asks the engine; `None`: it has stopped.
pub type AskEngine = Arc<dyn Fn(Command) -> BoxFuture<'static, Option<Reply>> + Send + Sync>;

/// What the routes need.
#[derive(Clone)]
pub struct Api {
    /// Who may ask.
    pub keys: Keys,
    /// Where people find this server, if the operator has said so.
    pub public_url: Option<String>,
    /// Sessions.
    pub store: Store,
    /// Rooms.
    pub engine: AskEngine,
    /// Credentials of the relay.
    pub credentials: Service,
    /// The relay itself, where there is one.
    pub relay: Option<Arc<Handle>>,
    /// The settings.
    pub reload: Arc<Reload>,
    /// Largest body.
    pub body_bytes: usize,
}

/// The document of this API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tandem",
        version = "1",
        description = "Rooms as they stand, sessions as they were, the relay as a service. Make a key with `tandem key create --name NAME` and send it \
                       as `Authorization: Bearer tk_…`. Below `/rooms` a token that such a key has signed is taken as well, for what \
                       it grants. Times are Unix milliseconds.",
        license(name = "MIT OR Apache-2.0"),
    ),
    servers((url = "/api/v1")),
    paths(
        rooms::list, rooms::show, rooms::create, rooms::delete, rooms::change, rooms::tell, members::show,
        members::change, members::change_track, members::send, members::remove, tokens::create, sessions::list, sessions::show,
        turn::credentials::create, turn::sessions::revoke, turn::keys::list, turn::keys::create, turn::keys::show,
        turn::keys::change, turn::keys::remove, turn::keys::renew, turn::sessions::list, turn::sessions::end, turn::sessions::end_all,
        turn::usage::list, relay::show, relay::reload,
    ),
    tags(
        (name = "rooms", description = "Rooms as they stand"),
        (name = "tokens", description = "Tokens for rooms"),
        (name = "sessions", description = "What took place"),
        (name = "turn", description = "The relay as a service"),
        (name = "relay", description = "The relay for whoever runs it"),
    ),
    modifiers(&BearerKey),
)]
struct Document;

struct BearerKey;

impl utoipa::Modify for BearerKey {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tk_…").build();
        document.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document, as it is served and as it stands in `docs/reference/openapi.json`.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// What an operator may ask.
fn operators(api: &Api) -> Router {
    Router::new()
        .route("/rooms", get(rooms::list).post(rooms::create))
        .route("/rooms/{name}", get(rooms::show).patch(rooms::change).delete(rooms::delete))
        .route("/rooms/{name}/messages", post(rooms::tell))
        .route("/rooms/{name}/participants/{id}", get(members::show).patch(members::change).delete(members::remove))
        .route("/rooms/{name}/participants/{id}/move", post(members::send))
        .route("/rooms/{name}/participants/{id}/tracks/{track}", patch(members::change_track))
        .route("/tokens", post(tokens::create))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::show))
        .merge(turn::guarded())
        .merge(relay::routes())
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(DefaultBodyLimit::max(api.body_bytes))
        .with_state(api.clone())
}

/// The routes below `/api/v1` for whoever may open the control socket: an operator without a key.
pub fn control(api: &Api) -> Router {
    let all = operators(api).fallback(|| async { Refusal::not_found("there is no such address below /api/v1") });
    Router::new().nest("/api/v1", all)
}

/// The routes below `/api/v1`.
pub fn routes(api: Api) -> Router {
    let keys = api.keys.clone();
    let guarded = operators(&api).layer(from_fn_with_state(keys, access::guard));
    let own_keys = turn::open(api.credentials.clone())
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(DefaultBodyLimit::max(api.body_bytes))
        .with_state(api);
    let open = Router::new().route("/openapi.json", get(openapi)).with_state(Arc::new(document()));
    let all = open
        .merge(guarded)
        .merge(own_keys)
        .fallback(|| async { Refusal::not_found("there is no such address below /api/v1") });
    Router::new().nest("/api/v1", all.layer(from_fn(never_keep)))
}

/// The body of a request. Nothing at all stands for an object without fields; a list is not taken for one.
fn body<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large("expected a shorter body (`limits.api_body`)"),
        _ => Refusal::malformed(error.body_text()),
    })?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::malformed("expected a JSON object"));
    }
    serde_json::from_slice(text).map_err(|error| Refusal::malformed(error.to_string()))
}

async fn openapi(State(document): State<Arc<utoipa::openapi::OpenApi>>) -> Json<Arc<utoipa::openapi::OpenApi>> {
    Json(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_operations_have_the_same_identity() {
        let document = serde_json::to_value(document()).expect("a document");
        let paths = document["paths"].as_object().expect("paths");
        let operations = paths.values().flat_map(|path| path.as_object().expect("methods").values());
        let mut all: Vec<_> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "OpenAPI asks for different ones: {all:?}");
        assert!(count > 15, "{all:?}");
    }
}
