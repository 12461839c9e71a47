//! `/tokens`: tokens for rooms, signed with the key that asks.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use tandem_api::rest::{NewToken, Problem, Token, TokenSource};
use tandem_api::signal::Media;

use super::access::AskedWith;
use super::body;
use super::{Api, Refusal};
use crate::http::asked::Asked;
use crate::tokens::{USUAL, Wanted, link};
use crate::unix_ms;

/// Make a token for a room
///
/// Signed with the key that asks; it is good as long as that key is. Whoever has the key can sign tokens without asking, too:
/// see the guide on tokens.
#[utoipa::path(post, path = "/tokens", operation_id = "create_token", tag = "tokens", request_body = NewToken, security(("key" = [])), responses(
    (status = 201, description = "The token, and a link with it", body = Token),
    (status = 400, description = "The body cannot be read, or asks for what cannot be", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "No valid key", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "Asked with a token, or without a key", body = Problem, content_type = "application/problem+json"),
))]
pub async fn create(
    State(api): State<Api>,
    key: Option<Extension<AskedWith>>,
    asked: Asked,
    content: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Token>), Refusal> {
    let Some(Extension(AskedWith(key))) = key else {
        return Err(Refusal::forbidden("this needs an API key (`tk_…`): the token is signed with it"));
    };
    let new: NewToken = body(content)?;
    let signer = api.store.signer(&key.id).await.map_err(|error| Refusal::of_store(&error))?;
    let signer = signer.ok_or_else(|| Refusal::unauthorized("the key is unknown or revoked"))?;
    let minted = wanted(new).and_then(|wanted| {
        let minted = wanted.mint(&signer, unix_ms() / 1000)?;
        Ok((minted, wanted.room))
    });
    let (minted, room) = minted.map_err(Refusal::malformed)?;
    let base = api.public_url.unwrap_or_else(|| match asked.reached.port {
        Some(port) => format!("https://{}:{port}", asked.reached.host),
        None => format!("https://{}", asked.reached.host),
    });
    let link = link(&base, &room, &minted.token);
    let expires_at = minted.expires_at.saturating_mul(1000);
    Ok((StatusCode::CREATED, Json(Token { token: minted.token, link, expires_at })))
}

fn wanted(new: NewToken) -> Result<Wanted, String> {
    let NewToken { room, identity, name, metadata, ttl, publish, subscribe, data, admin } = new;
    let publish = publish.map_or(Media::ALL, |sources| {
        let has = |source| sources.contains(&source);
        Media { audio: has(TokenSource::Microphone), video: has(TokenSource::Camera), screen: has(TokenSource::Screen) }
    });
    Ok(Wanted {
        room: room.ok_or("room: expected the name of the room that the token is for")?,
        identity: identity.ok_or("identity: expected whom the token is for")?,
        name,
        metadata,
        ttl: ttl.map_or(USUAL, Duration::from_secs),
        publish,
        subscribe: subscribe.unwrap_or(true),
        data: data.unwrap_or(true),
        admin: admin.unwrap_or(false),
    })
}
