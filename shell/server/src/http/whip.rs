//! WHIP (RFC 9725) and WHEP: publish into a room, or watch it, by one POST of an offer.
//!
//! ```text
//! POST   /whip/{room}          application/sdp               201, the answer, Location, ETag, Link (ICE servers)
//! POST   /whep/{room}          application/sdp               the same, to watch
//! PATCH  …/{room}/{session}    application/trickle-ice-sdpfrag   204, or 200 with our credentials when ICE begins anew
//! DELETE …/{room}/{session}    200: it is over
//! ```
//!
//! A POST may bring a token (RFC 9725 §4.6: `Authorization: Bearer`); without one the room decides. Afterwards the address of a
//! session is its secret. Whoever has come is on the room's roster like everybody else.

use std::net::IpAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, ETAG, HOST, IF_MATCH, LINK, LOCATION, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, patch, post};
use serde::Deserialize;
use tandem_engine::{Command, Grants, Guest, Reply, Way};

use super::asked::Asked;
use super::ice::IceServers;
use super::rest::{AskEngine, Refusal, bearer};
use crate::signal::is_welcome;
use crate::tokens::{Verifier, is_token};

/// What the routes need.
#[derive(Clone)]
pub struct Whip {
    /// Rooms.
    pub engine: AskEngine,
    /// Largest description.
    pub sdp_bytes: usize,
    /// Pages of other sites that may ask; see `http.allowed_origins`.
    pub allowed_origins: Vec<String>,
    /// Checks what is brought.
    pub tokens: Verifier,
    /// Told to whoever has come.
    pub ice: IceServers,
}

/// The routes.
pub fn routes(whip: Whip) -> Router {
    let sessions = || -> MethodRouter<Whip> { patch(trickle).delete(end) };
    Router::new()
        .route("/whip/{room}", post(publish))
        .route("/whep/{room}", post(watch))
        .route("/whip/{room}/{session}", sessions())
        .route("/whep/{room}/{session}", sessions())
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(DefaultBodyLimit::max(whip.sdp_bytes))
        .layer(from_fn_with_state(whip.clone(), cross_origin))
        .with_state(whip)
}

/// What may stand behind the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wishes {
    /// What the others see.
    name: Option<String>,
}

async fn publish(
    state: State<Whip>,
    path: Path<String>,
    wishes: Query<Wishes>,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    connect((state, path, wishes, asked), (Way::Whip, "whip", "Encoder"), request).await
}

async fn watch(
    state: State<Whip>,
    path: Path<String>,
    wishes: Query<Wishes>,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    connect((state, path, wishes, asked), (Way::Whep, "whep", "Viewer"), request).await
}

async fn connect(
    (State(whip), Path(room), Query(wishes), asked): (State<Whip>, Path<String>, Query<Wishes>, Asked),
    (way, prefix, usual): (Way, &str, &str),
    request: Request,
) -> Result<Response, Refusal> {
    let address = asked.client;
    expect_type(request.headers(), SDP)?;
    let grants = grants(&whip, address, request.headers()).await?;
    let sdp = text(body(&whip, request).await?)?;
    let name = wishes.name.unwrap_or_else(|| usual.to_owned());
    let guest = Guest { room: room.clone(), name, address, way, sdp, grants };
    match ask(&whip, Command::Connect(Box::new(guest))).await? {
        Reply::Connected { token, answer, version, user, .. } => {
            let location = format!("/{prefix}/{}/{token}", super::rest::encoded(&room));
            let headers = [(CONTENT_TYPE, SDP.to_owned()), (LOCATION, location), (ETAG, tag(version))];
            let patchable = [(ACCEPT_PATCH, FRAGMENT)];
            let mut response = (StatusCode::CREATED, headers, patchable, answer).into_response();
            for server in whip.ice.links(&user, &asked.reached) {
                response.headers_mut().append(LINK, server);
            }
            Ok(response)
        }
        other => Err(refusal(other)),
    }
}

/// What the token grants, if one is brought.
async fn grants(whip: &Whip, client: IpAddr, headers: &HeaderMap) -> Result<Option<Box<Grants>>, Refusal> {
    match bearer(headers) {
        None => Ok(None),
        Some(token) if is_token(token) => {
            let claims = whip.tokens.verify(client, token).await?;
            claims.grants().map(|grants| Some(grants.into())).map_err(Refusal::bad_token)
        }
        Some(_) => {
            let detail =
                "expected a token for a room (`tandem token create`) after `Authorization: Bearer`, or no such header";
            Err(Refusal::bad_token(detail))
        }
    }
}

async fn trickle(
    State(whip): State<Whip>,
    Path((_, token)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    expect_type(request.headers(), FRAGMENT)?;
    let version = match request.headers().get(IF_MATCH).map(|value| value.to_str().unwrap_or_default()) {
        None | Some("*") => None,
        // One that is none of ours fits no state.
        Some(other) => Some(other.trim().trim_matches('"').parse().unwrap_or(0)),
    };
    let fragment = text(body(&whip, request).await?)?;
    match ask(&whip, Command::Trickle { token, fragment, version }).await? {
        Reply::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        Reply::Restarted { fragment, version } => {
            Ok(([(CONTENT_TYPE, FRAGMENT.to_owned()), (ETAG, tag(version))], fragment).into_response())
        }
        Reply::Outdated => Err(Refusal::outdated("the session has gone on since: its ETag is another one")),
        other => Err(refusal(other)),
    }
}

async fn end(State(whip): State<Whip>, Path((_, token)): Path<(String, String)>) -> Result<StatusCode, Refusal> {
    match ask(&whip, Command::Disconnect { token }).await? {
        Reply::Done => Ok(StatusCode::OK),
        other => Err(refusal(other)),
    }
}

async fn ask(whip: &Whip, command: Command) -> Result<Reply, Refusal> {
    (whip.engine)(command).await.ok_or_else(|| Refusal::unavailable("the server is going down"))
}

async fn body(whip: &Whip, request: Request) -> Result<Bytes, Refusal> {
    use axum::extract::FromRequest as _;
    Bytes::from_request(request, &()).await.map_err(|error: BytesRejection| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large(format!("expected at most {} bytes", whip.sdp_bytes)),
        _ => Refusal::malformed(error.body_text()),
    })
}

fn text(body: Bytes) -> Result<String, Refusal> {
    String::from_utf8(body.into()).map_err(|_| Refusal::malformed("expected UTF-8"))
}

fn expect_type(headers: &HeaderMap, expected: &str) -> Result<(), Refusal> {
    let got = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = got.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let got: String = got.chars().take(80).filter(|c| !c.is_control()).collect();
    Err(Refusal::wrong_type(format!("expected Content-Type {expected}, got `{got}`")))
}

fn tag(version: u32) -> String {
    format!("\"{version}\"")
}

fn refusal(reply: Reply) -> Refusal {
    match reply {
        Reply::NotFound => Refusal::not_found("there is no such session (any more)"),
        Reply::Refused { reason, detail } => Refusal::of_engine(reason, detail),
        _ => Refusal::unavailable("the engine answered another question"),
    }
}

/// Pages of our own, and of sites the operator allows, may ask and read the answer.
async fn cross_origin(State(whip): State<Whip>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(ORIGIN).cloned() else { return next.run(request).await };
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str)).unwrap_or_default();
    if !is_welcome(&origin, host, &whip.allowed_origins) {
        return Refusal::forbidden("pages of this origin may not ask here (http.allowed_origins)").into_response();
    }
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("location, etag, link, accept-patch"));
    if preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, PATCH, DELETE"));
        let allowed = "authorization, content-type, if-match";
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    response
}

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
