//! Certificates: which one is shown to whom, for HTTPS and TURN over TLS alike, and for DTLS as far as it can.
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
mod shown;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_acme::is_tls_alpn_challenge;
use tandem_dtls::Identity;

pub use probe::{anyone, probe};

use crate::config::settings::Tls;
use crate::data_dir::DataDir;
use crate::http::health::Condition;
use acme::Acme;

/// What is shown to clients.
#[derive(Debug)]
pub struct Certificates {
    kind: Kind,
    current: ArcSwap<CertifiedKey>,
    /// The one that DTLS shows.
    for_dtls: ArcSwapOption<Identity>,
    /// Where the one made here is kept, for what no other will do.
    own: PathBuf,
    acme: Option<Acme>,
    /// Why files that changed are not in use.
    problem: Mutex<Option<String>>,
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
        let (kind, own) = (kind(settings, data)?, data.directory("tls")?);
        let current = load(&kind)?;
        let acme = match &kind {
            Kind::Acme { domains, .. } => Some(Acme::start(settings, domains, data)?),
            Kind::SelfSigned { .. } | Kind::Files { .. } => None,
        };
        let (current, for_dtls, problem) = (ArcSwap::new(current), ArcSwapOption::empty(), Mutex::default());
        let certificates = Arc::new(Certificates { kind, current, for_dtls, own, acme, problem });
        certificates.refresh_for_dtls();
        tokio::spawn(watch(Arc::downgrade(&certificates)));
        Ok(certificates)
    }

    /// Reads the files again; makes the self-signed one again where it will not do any more. On failure the one in use
    /// stays in use.
    pub fn refresh(&self) -> anyhow::Result<()> {
        let loaded = load(&self.kind);
        let problem = loaded.as_ref().err().map(|error| format!("the certificate stays as it was: {error:#}"));
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        let loaded = loaded?;
        self.refresh_for_dtls();
        if loaded.cert != self.current.load().cert {
            self.current.store(loaded);
            tracing::info!("another certificate is in use");
        }
        Ok(())
    }

    /// Whether browsers can be served with it. `now` is in seconds since 1970.
    pub fn condition(&self, now: i64) -> Condition {
        let Some(acme) = &self.acme else {
            let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return judge(shown::end_of(&self.current_der()), problem, now, SOON);
        };
        let course = acme.course();
        let problem = match (course.ends, course.problem) {
            (None, None) => Some("the certificate authority has not answered yet".to_owned()),
            (None, Some(problem)) => Some(format!("no certificate from the authority, browsers warn: {problem}")),
            (Some(_), problem) => problem.map(|problem| format!("the certificate cannot be renewed: {problem}")),
        };
        // It is renewed when a third of its time is left, and says so when it is not.
        judge(course.ends, problem, now, 0)
    }

    /// Will browsers believe it? (HSTS makes sense only then.)
    pub fn is_trusted(&self) -> bool {
        !matches!(self.kind, Kind::SelfSigned { .. })
    }

    /// The certificate for DTLS: the one of the files where its key is ECDSA, otherwise the self-signed one.
    pub fn for_dtls(&self) -> Option<Identity> {
        self.for_dtls.load().as_deref().cloned()
    }

    fn refresh_for_dtls(&self) {
        match self.files_for_dtls().map_or_else(|| self_signed::ensure_for_dtls(&self.own), Ok) {
            Ok(identity) => self.for_dtls.store(Some(Arc::new(identity))),
            Err(error) => tracing::error!(error = format!("{error:#}"), "no other certificate for DTLS"),
        }
    }

    /// Whether DTLS shows another certificate than TLS.
    pub fn is_dtls_different(&self) -> bool {
        match self.kind {
            Kind::SelfSigned { .. } => false,
            Kind::Files { .. } => self.files_for_dtls().is_none(),
            Kind::Acme { .. } => true,
        }
    }

    fn files_for_dtls(&self) -> Option<Identity> {
        let Kind::Files { certificate, key } = &self.kind else { return None };
        files::load_for_dtls(certificate, key)
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
            return acme.resolver.resolve(hello);
        }
        let Kind::Acme { domains, .. } = &self.kind else { return Some(self.current.load_full()) };
        let is_ours =
            hello.server_name().is_some_and(|name| domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)));
        let ordered = if is_ours { acme.resolver.resolve(hello) } else { None };
        ordered.or_else(|| Some(self.current.load_full()))
    }
}

/// A certificate that has ended serves nobody; one that is about to end should have been replaced.
fn judge(ends: Option<i64>, problem: Option<String>, now: i64, soon: i64) -> Condition {
    match (ends, problem) {
        (Some(ends), _) if ends <= now => Condition::Failed("the certificate has expired".to_owned()),
        (_, Some(problem)) => Condition::Degraded(problem),
        (Some(ends), None) if ends <= now.saturating_add(soon) => {
            Condition::Degraded(format!("the certificate ends in {} hours", ends.saturating_sub(now) / 3600))
        }
        (_, None) => Condition::Ok,
    }
}

/// Three days, in seconds: time to replace a file.
const SOON: i64 = 3 * 86_400;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_expired_certificate_keeps_calls_away() {
        let now = 1_000_000_000;
        assert_eq!(judge(Some(now + 30 * 86_400), None, now, SOON), Condition::Ok);
        assert!(matches!(judge(Some(now + 86_400), None, now, SOON), Condition::Degraded(_)));
        assert!(matches!(
            judge(Some(now + 30 * 86_400), Some("no answer".to_owned()), now, SOON),
            Condition::Degraded(_)
        ));
        assert!(matches!(judge(None, Some("no answer".to_owned()), now, SOON), Condition::Degraded(_)));
        assert!(matches!(judge(Some(now), Some("no answer".to_owned()), now, SOON), Condition::Failed(_)));
    }
}
