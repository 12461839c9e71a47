//! Who asks for credentials, and where it reached us.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::credentials::Reached;

/// What every dialect needs of a request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The client's address as far as it is known.
    pub client: IpAddr,
    /// The host it asked for.
    pub reached: Reached,
    /// The page of another site that asks, if one does (RFC 6454 §7).
    pub origin: Option<String>,
    authorization: Option<String>,
}

impl Asked {
    /// RFC 6750 §2.1.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, text) = self.authorization.as_deref()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
    }

    /// RFC 7617: user and password.
    pub fn basic(&self) -> Option<(String, String)> {
        let (scheme, text) = self.authorization.as_deref()?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(text.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let text = String::from_utf8(bytes).ok()?;
        text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let text = |name| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
        // `Host` of HTTP/1.1, `:authority` of HTTP/2.
        let host = text(HOST).and_then(|host| host.parse().ok()).or_else(|| parts.uri.authority().cloned());
        let is_own = |origin: &String| {
            let page = origin.split_once("://").map(|(_, page)| page);
            host.as_ref().is_some_and(|host| page.is_some_and(|page| page.eq_ignore_ascii_case(host.as_str())))
        };
        let origin = text(ORIGIN).filter(|origin| !is_own(origin));
        let reached =
            host.as_ref().map(|host: &Authority| Reached { host: host.host().to_owned(), port: host.port_u16() });
        Ok(Asked {
            client: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip()),
            reached: reached.unwrap_or_default(),
            origin,
            authorization: text(AUTHORIZATION),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn asked(name: &str, value: &str) -> Asked {
        let request = Request::get("/").header(name, value).body(()).expect("a request");
        let Ok(asked) = Asked::from_request_parts(&mut request.into_parts().0, &()).await;
        asked
    }

    #[tokio::test]
    async fn keys_are_read_in_both_ways_and_hosts_with_and_without_a_port() {
        // printf user:pass:word | base64
        let basic = asked("authorization", "basic dXNlcjpwYXNzOndvcmQ=").await;
        assert_eq!(basic.basic(), Some(("user".into(), "pass:word".into())));
        assert_eq!(basic.bearer(), None);
        assert_eq!(asked("authorization", "Bearer ta_a_b").await.bearer(), Some("ta_a_b"));
        for wrong in ["Basic ***", "Basic dXNlcg==", "Basic", "Bearer dXNlcjpwYXNzOndvcmQ="] {
            assert_eq!(asked("authorization", wrong).await.basic(), None, "{wrong}");
        }
        for (host, name, port) in [
            ("a.example", "a.example", None),
            ("a.example:8443", "a.example", Some(8443)),
            ("[::1]:443", "[::1]", Some(443)),
        ] {
            assert_eq!(asked("host", host).await.reached, Reached { host: name.into(), port });
        }
    }

    #[tokio::test]
    async fn a_page_of_our_own_is_none_of_another_site() {
        for (origin, foreign) in [
            ("https://a.example:8443", None),
            ("https://A.example:8443", None),
            ("https://a.example", Some("https://a.example")),
            ("https://a.example:8443.evil.example", Some("https://a.example:8443.evil.example")),
            ("null", Some("null")),
        ] {
            let request = Request::get("/").header("host", "a.example:8443").header("origin", origin);
            let request = request.body(()).expect("a request");
            let Ok(asked) = Asked::from_request_parts(&mut request.into_parts().0, &()).await;
            assert_eq!(asked.origin.as_deref(), foreign);
        }
    }
}
