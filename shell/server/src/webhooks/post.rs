//! One POST over HTTP/1.1, on a connection of its own. Redirects are not followed: they are answers like others.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where to.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    secure: bool,
    authority: Authority,
    path: PathAndQuery,
}

impl Target {
    /// Host and port. What stands behind them may be a secret.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a URL such as https://example.org/hook, got \"{text}\"");
        let parts = text.parse::<Uri>().map_err(|_| wrong())?.into_parts();
        let secure = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTPS => true,
            Some(scheme) if scheme == Scheme::HTTP => false,
            _ => return Err(wrong()),
        };
        let authority = parts.authority.filter(|authority| !authority.host().is_empty()).ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err(format!("{}: expected no user or password in it: what is sent is signed", authority.host()));
        }
        Ok(Target { secure, authority, path: parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")) })
    }
}

/// Asks others.
#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
    timeout: Duration,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Client {
    /// Believes the public authorities.
    pub fn new(timeout: Duration) -> anyhow::Result<Self> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config).into(), timeout })
    }

    /// The status of the answer; its body is not read.
    pub async fn post(&self, to: &Target, authorization: &str, body: Bytes) -> Result<StatusCode, String> {
        match tokio::time::timeout(self.timeout, self.try_post(to, authorization, body)).await {
            Ok(answer) => answer.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis())),
        }
    }

    async fn try_post(&self, to: &Target, authorization: &str, body: Bytes) -> anyhow::Result<StatusCode> {
        let request = Request::post(to.path.as_str())
            .header(header::HOST, to.authority.as_str())
            .header(header::CONTENT_TYPE, "application/webhook+json")
            .header(header::AUTHORIZATION, authorization)
            .header(header::USER_AGENT, concat!("tandem/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .body(Full::new(body))?;
        let stream = TcpStream::connect((to.host(), to.port())).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let io: Box<dyn Io> = if to.secure {
            let name = ServerName::try_from(to.host().to_owned())?;
            Box::new(self.tls.connect(name, stream).await.context("TLS")?)
        } else {
            Box::new(stream)
        };
        let (mut sender, connection) = handshake(TokioIo::new(io)).await?;
        // Ends with the sender.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_without_a_user() {
        for (text, secure, host, port, path) in [
            ("https://a.example", true, "a.example", 443, "/"),
            ("http://127.0.0.1:3000/hook?x=1", false, "127.0.0.1", 3000, "/hook?x=1"),
            ("https://[2001:db8::1]/h", true, "2001:db8::1", 443, "/h"),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!((target.secure, target.host(), target.port()), (secure, host, port));
            assert_eq!(target.path.as_str(), path);
        }
        for wrong in ["", "a.example", "/hook", "ftp://a.example", "https://", "https://u:p@a.example/", "https://a b"]
        {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
