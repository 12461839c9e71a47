//! Asking a server over HTTP/1.1: one connection that is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::uri::{Scheme, Uri};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cli::resolve::{Families, resolve};
use crate::tls::anyone;

/// Where the server is, and how it is spoken to.
#[derive(Clone)]
pub struct Site {
    pub address: SocketAddr,
    authority: String,
    /// Before each path.
    base: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    bearer: Option<String>,
}

/// Whose certificates are believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    Authorities,
    Anyone,
}

/// One connection; it is made when it is needed.
pub struct Connection {
    pub site: Site,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Site {
    pub fn new(url: &str, trust: Trust, bearer: Option<String>, families: Families) -> anyhow::Result<Self> {
        let uri: Uri =
            url.parse().with_context(|| format!("expected a URL like https://talk.example.org, got {url}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            bail!("expected a URL like https://talk.example.org, got {url}");
        };
        let secure = *scheme == Scheme::HTTPS;
        if !secure && *scheme != Scheme::HTTP {
            bail!("expected https or http, got {scheme}");
        }
        let address = resolve(authority.as_str(), if secure { 443 } else { 80 }, families)?;
        let name = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = if secure { Some((connector(trust)?, ServerName::try_from(name)?)) } else { None };
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { address, authority: authority.to_string(), base, tls, bearer })
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream =
            TcpStream::connect(self.address).await.with_context(|| format!("no connection to {}", self.address))?;
        stream.set_nodelay(true)?;
        let io: Box<dyn Io> = match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await.context(
                "the server's certificate is not believed, or it speaks no TLS there (--insecure believes any)",
            )?),
        };
        let (sender, connection) = handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Connection {
    pub fn new(site: Site) -> Self {
        Self { site, sender: None }
    }

    /// Asks for a path of this server. A connection that was closed meanwhile is made again, once.
    pub async fn ask(&mut self, method: Method, path: &str, (kind, body): (&str, String)) -> anyhow::Result<Answer> {
        let body = Bytes::from(body);
        let was_open = self.sender.is_some();
        match self.try_ask(&method, path, (kind, body.clone())).await {
            Err(_) if was_open => self.try_ask(&method, path, (kind, body)).await,
            other => other,
        }
    }

    async fn try_ask(&mut self, method: &Method, path: &str, (kind, body): (&str, Bytes)) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.site.base))
            .header(header::HOST, &self.site.authority);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(bearer) = &self.site.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let request = request.body(Full::new(body))?;
        let mut sender = match self.sender.take() {
            Some(sender) => sender,
            None => self.site.connect().await?,
        };
        let exchange = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            let text = String::from_utf8(body.to_bytes().into()).context("an answer that is no text")?;
            Ok::<_, anyhow::Error>(Answer { status: parts.status, headers: parts.headers, text })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await.context("the server does not answer")??;
        self.sender = Some(sender);
        Ok(answer)
    }
}

fn connector(trust: Trust) -> anyhow::Result<TlsConnector> {
    if trust == Trust::Anyone {
        return Ok(anyone()?.into());
    }
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

const PATIENCE: Duration = Duration::from_secs(40);
/// Of an answer.
const LARGEST: usize = 1 << 20;
