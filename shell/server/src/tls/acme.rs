//! Certificates by ACME (RFC 8555) with the TLS-ALPN-01 challenge (RFC 8737), renewed by itself.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use rustls::RootCertStore;
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, EventOk, ResolvesServerCertAcme};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::shown;
use crate::config::settings::Tls;
use crate::data_dir::DataDir;

/// Certificates that come by themselves.
#[derive(Debug)]
pub struct Acme {
    /// Shows the certificate there is, and answers challenges.
    pub resolver: Arc<ResolvesServerCertAcme>,
    course: Arc<Mutex<Course>>,
}

/// How it goes.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// End of the certificate there is, in seconds since 1970.
    pub ends: Option<i64>,
    /// Why there is no other one yet.
    pub problem: Option<String>,
}

impl Acme {
    /// Starts to order and renew. Must be called within a tokio runtime.
    pub fn start(settings: &Tls, domains: &[String], data: &DataDir) -> anyhow::Result<Acme> {
        let directory = data.directory("acme").context("place for ACME certificates")?;
        let contact = settings.acme_email.iter().map(|address| format!("mailto:{address}"));
        let config = match &settings.acme_ca {
            Some(file) => AcmeConfig::new_with_client_config(domains, believing(file)?),
            None => AcmeConfig::new(domains),
        };
        let config = config.contact(contact).cache(DirCache::new(directory));
        let config = match &settings.acme_directory {
            Some(url) => config.directory(url),
            None => config.directory_lets_encrypt(!settings.acme_staging),
        };
        let mut state = config.state();
        let acme = Acme { resolver: state.resolver(), course: Arc::default() };
        let (resolver, course) = (acme.resolver.clone(), acme.course.clone());
        let name = domains.first().cloned().unwrap_or_default();
        tokio::spawn(async move {
            while let Some(event) = state.next().await {
                note(event, &course, || shown::end_of_shown(resolver.clone(), &name));
            }
        });
        Ok(acme)
    }

    /// How it goes.
    pub fn course(&self) -> Course {
        lock(&self.course).clone()
    }
}

fn note<E: std::fmt::Display>(event: Result<EventOk, E>, course: &Mutex<Course>, end: impl Fn() -> Option<i64>) {
    match event {
        Ok(EventOk::DeployedCachedCert) => {
            *lock(course) = Course { ends: end(), problem: None };
            tracing::info!("ACME: the kept certificate is in use");
        }
        Ok(EventOk::DeployedNewCert) => {
            *lock(course) = Course { ends: end(), problem: None };
            tracing::info!("ACME: a certificate has come and is in use");
        }
        Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
        Err(error) => {
            let mut course = lock(course);
            course.problem = Some(error.to_string());
            let meanwhile = if course.ends.is_some() { "the one there is" } else { "the self-signed one" };
            tracing::error!(%error, "ACME: no certificate has come; {meanwhile} is shown, and it is tried again");
        }
    }
}

/// An operator's own certificate authority has an ACME server that only its own root vouches for.
fn believing(file: &Path) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let unusable = || format!("tls.acme_ca: {} cannot be used", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).with_context(unusable)? {
        roots.add(certificate.with_context(unusable)?).with_context(unusable)?;
    }
    anyhow::ensure!(!roots.is_empty(), "{} contains no certificate: expected PEM", file.display());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(config.context("TLS versions")?.with_root_certificates(roots).with_no_client_auth()))
}

fn lock(course: &Mutex<Course>) -> MutexGuard<'_, Course> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}
