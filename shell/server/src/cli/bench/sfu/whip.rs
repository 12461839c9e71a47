//! WHIP (RFC 9725) and WHEP, the client's side.

use anyhow::{Context as _, bail};
use axum::http::{Method, StatusCode, header};

use super::http::Connection;
use super::join::Session;
use crate::http::rest::encoded;

/// A room of a server.
pub struct Whip {
    pub room: String,
}

impl Whip {
    pub async fn publish(&self, at: &mut Connection, number: u16, offer: String) -> anyhow::Result<(String, Session)> {
        self.exchange(at, &format!("/whip/{}?name=publisher-{number}", encoded(&self.room)), offer).await
    }

    pub async fn watch(&self, at: &mut Connection, number: u32, offer: String) -> anyhow::Result<(String, Session)> {
        self.exchange(at, &format!("/whep/{}?name=subscriber-{number}", encoded(&self.room)), offer).await
    }

    async fn exchange(&self, at: &mut Connection, path: &str, offer: String) -> anyhow::Result<(String, Session)> {
        let answer = at.ask(Method::POST, path, ("application/sdp", offer)).await?;
        if answer.status != StatusCode::CREATED {
            let reason: String = answer.text.chars().filter(|c| !c.is_control()).take(200).collect();
            bail!("{path}: expected 201, got {}: {reason}", answer.status);
        }
        let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.context("an answer without Location (RFC 9725 §4.2)")?;
        Ok((answer.text, Session::Whip(path_of(location).to_owned())))
    }

    pub async fn end(at: &mut Connection, location: &str) -> anyhow::Result<()> {
        let answer = at.ask(Method::DELETE, location, ("", String::new())).await?;
        if !answer.status.is_success() {
            bail!("{location}: expected it to be over, got {}", answer.status);
        }
        Ok(())
    }
}

/// A location may name the server, too (RFC 9110 §10.2.2).
fn path_of(location: &str) -> &str {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => location,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_taken_with_and_without_the_server() {
        for location in ["/whip/room/1?x=y", "https://talk.example.org:8443/whip/room/1?x=y"] {
            assert_eq!(path_of(location), "/whip/room/1?x=y");
        }
        assert_eq!(path_of("https://talk.example.org"), "/");
    }
}
