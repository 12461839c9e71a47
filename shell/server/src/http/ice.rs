//! ICE servers as `Link` headers, for clients of WHIP and WHEP (RFC 9725 §4.5).

use axum::http::HeaderValue;

use crate::config::types::ExtraServer;
use crate::credentials::{Reached, Service};

/// Those of ours and of others.
#[derive(Clone)]
pub struct IceServers {
    /// Hands out credentials of our relay.
    pub credentials: Service,
    /// See `ice.extra_servers`.
    pub extra: Vec<ExtraServer>,
}

impl IceServers {
    /// For one who is called so in its TURN user name, and has reached us there.
    pub fn links(&self, user: &str, reached: &Reached) -> Vec<HeaderValue> {
        let own = self.credentials.issue_to_participant(user, reached);
        let stun = own.iter().flat_map(|own| own.stun.iter().map(|url| link(url, None)));
        let turn = own.iter().flat_map(|own| {
            let secret = (own.credential.username.as_str(), own.credential.password.as_str());
            own.turn.iter().map(move |url| link(url, Some(secret)))
        });
        let extra = self.extra.iter().flat_map(|server| {
            let secret = server.username.as_deref().zip(server.credential.as_deref());
            server.urls.iter().map(move |url| link(url, secret))
        });
        // What cannot stand in a header is of no use to anybody.
        stun.chain(turn).chain(extra).filter_map(|text| HeaderValue::from_str(&text).ok()).collect()
    }
}

fn link(url: &str, secret: Option<(&str, &str)>) -> String {
    let url: String = url.chars().filter(|c| !"<> ".contains(*c)).collect();
    match secret {
        None => format!("<{url}>; rel=\"ice-server\""),
        Some((username, credential)) => format!(
            "<{url}>; rel=\"ice-server\"; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
            quoted(username),
            quoted(credential)
        ),
    }
}

/// RFC 9110 §5.6.4.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_link_and_its_secret_is_quoted() {
        assert_eq!(link("stun:a.example:3478", None), "<stun:a.example:3478>; rel=\"ice-server\"");
        let wanted = concat!(
            "<turn:a.example:3478?transport=udp>; rel=\"ice-server\"; username=\"1:x\"; ",
            "credential=\"a\\\"b\\\\c\"; credential-type=\"password\"",
        );
        assert_eq!(link("turn:a.example:3478?transport=udp", Some(("1:x", "a\"b\\c"))), wanted);
    }
}
