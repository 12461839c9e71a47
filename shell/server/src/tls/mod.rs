//! Certificates: which one is shown to whom, for HTTPS and TURN over TLS alike.
//!
//! ```text
//!  files (tls.certificate)  ─┐
//!  ACME (tls.acme_domains)  ─┼─► Certificates ──► HTTPS, TURN over TLS
//!  self-signed (data dir)   ─┘
//! ```
//!
//! Until ACME has its first certificate, and for names it has none for, the self-signed one is shown.

mod acme;
mod files;
mod probe;
mod self_signed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_acme::{ResolvesServerCertAcme, is_tls_alpn_challenge};

pub use probe::probe;

use crate::config::settings::Tls;
use crate::data_dir::DataDir;

/// What is shown to clients.
#[derive(Debug)]
pub struct Certificates {
    kind: Kind,
    current: ArcSwap<CertifiedKey>,
    acme: Option<Arc<ResolvesServerCertAcme>>,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Made here: browsers warn.
    SelfSigned {
        /// Kept in this directory.
        directory: PathBuf,
    },
    /// The operator's files.
    Files {
        /// PEM.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
    /// From a certificate authority, by itself.
    Acme {
        /// For these names.
        domains: Vec<String>,
        /// Shown until the first certificate is there.
        directory: PathBuf,
    },
}

impl Certificates {
    /// Loads what there is or makes it, and starts to watch it. Must be called within a tokio runtime.
    pub fn start(settings: &Tls, data: &DataDir) -> anyhow::Result<Arc<Certificates>> {
        let kind = kind(settings, data)?;
        let current = load(&kind)?;
        let acme = match &kind {
            Kind::Acme { domains, .. } => Some(acme::start(settings, domains, data)?),
            Kind::SelfSigned { .. } | Kind::Files { .. } => None,
        };
        let certificates = Arc::new(Certificates { kind, current: ArcSwap::new(current), acme });
        tokio::spawn(watch(Arc::downgrade(&certificates)));
        Ok(certificates)
    }

    /// Reads the files again; makes the self-signed one again where it will not do any more. On failure the one in use
    /// stays in use.
    pub fn refresh(&self) -> anyhow::Result<()> {
        let loaded = load(&self.kind)?;
        if loaded.cert != self.current.load().cert {
            self.current.store(loaded);
            tracing::info!("another certificate is in use");
        }
        Ok(())
    }

    /// Will browsers believe it? (HSTS makes sense only then.)
    pub fn is_trusted(&self) -> bool {
        !matches!(self.kind, Kind::SelfSigned { .. })
    }

    /// Where they come from.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The certificate shown to a client that asks for nothing special, DER.
    pub fn current_der(&self) -> Vec<u8> {
        self.current.load().end_entity_cert().map(|der| der.to_vec()).unwrap_or_default()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(acme) = &self.acme else { return Some(self.current.load_full()) };
        if is_tls_alpn_challenge(&hello) {
            return acme.resolve(hello);
        }
        acme.resolve(hello).or_else(|| Some(self.current.load_full()))
    }
}

/// TLS 1.2 and 1.3 with the given protocols above it.
pub fn server_config(certificates: Arc<Certificates>, alpn: &[&[u8]]) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn kind(settings: &Tls, data: &DataDir) -> anyhow::Result<Kind> {
    if let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) {
        return Ok(Kind::Files { certificate: certificate.clone(), key: key.clone() });
    }
    let directory = data.directory("tls")?;
    if settings.acme_domains.is_empty() {
        Ok(Kind::SelfSigned { directory })
    } else {
        Ok(Kind::Acme { domains: settings.acme_domains.clone(), directory })
    }
}

fn load(kind: &Kind) -> anyhow::Result<Arc<CertifiedKey>> {
    match kind {
        Kind::SelfSigned { directory } | Kind::Acme { directory, .. } => self_signed::ensure(directory),
        Kind::Files { certificate, key } => files::load(certificate, key),
    }
}

/// How often the files are looked at; self-signed ones need it when the machine's addresses change.
const LOOK_EVERY: Duration = Duration::from_secs(10);

async fn watch(certificates: std::sync::Weak<Certificates>) {
    let mut seen = certificates.upgrade().and_then(|all| stamp(&all.kind));
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(all) = certificates.upgrade() else { return };
        let stamp = stamp(&all.kind);
        let is_own = !matches!(all.kind, Kind::Files { .. });
        if stamp == seen && !is_own {
            continue;
        }
        seen = stamp;
        match tokio::task::spawn_blocking(move || all.refresh()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "the certificate stays as it was"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}

/// Changes when the files change.
fn stamp(kind: &Kind) -> Option<[(std::time::SystemTime, u64); 2]> {
    let Kind::Files { certificate, key } = kind else { return None };
    let of = |path: &PathBuf| std::fs::metadata(path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
    Some([of(certificate)?, of(key)?])
}
