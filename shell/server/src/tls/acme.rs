//! Certificates by ACME (RFC 8555) with the TLS-ALPN-01 challenge (RFC 8737), renewed by itself.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, ResolvesServerCertAcme};

use crate::config::settings::Tls;
use crate::data_dir::DataDir;

/// Starts to order and renew; what it gets is shown by the resolver it returns.
pub fn start(settings: &Tls, domains: &[String], data: &DataDir) -> anyhow::Result<Arc<ResolvesServerCertAcme>> {
    let directory = data.directory("acme").context("place for ACME certificates")?;
    let contact = settings.acme_email.iter().map(|address| format!("mailto:{address}"));
    let config = AcmeConfig::new(domains).contact(contact).cache(DirCache::new(directory));
    let config = match &settings.acme_directory {
        Some(url) => config.directory(url),
        None => config.directory_lets_encrypt(!settings.acme_staging),
    };
    let mut state = config.state();
    let resolver = state.resolver();
    tokio::spawn(async move {
        while let Some(event) = state.next().await {
            match event {
                Ok(event) => tracing::info!(?event, "ACME"),
                Err(error) => tracing::error!(%error, "ACME: no certificate; it is tried again"),
            }
        }
    });
    Ok(resolver)
}
