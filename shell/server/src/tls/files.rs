//! A certificate from two PEM files.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tandem_dtls::{Identity, Key};

/// Reads both for DTLS. `None`: the key is of no kind that DTLS is spoken with here.
pub fn load_for_dtls(certificate: &Path, key: &Path) -> Option<Identity> {
    let chain = CertificateDer::pem_file_iter(certificate).ok()?.collect::<Result<Vec<_>, _>>().ok()?;
    let private = PrivateKeyDer::from_pem_file(key).ok()?;
    let key = match &private {
        PrivateKeyDer::Pkcs8(key) => Key::Pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(key) => Key::Sec1(key.secret_sec1_der()),
        _ => return None,
    };
    Identity::new(chain.first()?, key).ok()
}

/// Reads both and makes sure that they belong together.
pub fn load(certificate: &Path, key: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("the certificate {} cannot be read", certificate.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} contains no certificate: expected PEM", certificate.display());
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("the private key {} cannot be read", key.display()))?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&private)
        .with_context(|| format!("the private key {} is of no kind we know (RSA, ECDSA, Ed25519)", key.display()))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(error) => {
            Err(error).with_context(|| format!("{} is not the key of {}", key.display(), certificate.display()))
        }
    }
}
