//! Until when the certificate is good that a resolver shows.
//!
//! The ACME library keeps its certificate to itself, so it is asked the way a browser would: by a handshake, in memory.

use std::sync::Arc;

use rustls::server::ResolvesServerCert;
use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use super::probe;

/// Flights of a handshake, with some to spare.
const FLIGHTS: usize = 4;

/// The end of a certificate's validity in seconds since 1970; `None` where it is no certificate we can read.
pub fn end_of(der: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The same, of the certificate shown to whoever asks for this name.
pub fn end_of_shown(resolver: Arc<dyn ResolvesServerCert>, name: &str) -> Option<i64> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_no_client_auth().with_cert_resolver(resolver);
    let mut server = Connection::from(ServerConnection::new(Arc::new(config)).ok()?);
    let name = ServerName::try_from(name.to_owned()).ok()?;
    let mut client = Connection::from(ClientConnection::new(probe::anyone().ok()?, name).ok()?);
    for _ in 0..FLIGHTS {
        pass(&mut client, &mut server)?;
        pass(&mut server, &mut client)?;
        if let Some(shown) = client.peer_certificates().and_then(|chain| chain.first()) {
            return end_of(shown);
        }
    }
    None
}

/// What one has to say reaches the other.
fn pass(from: &mut Connection, to: &mut Connection) -> Option<()> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).ok()?;
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).ok()?;
        to.process_new_packets().ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use rustls::server::ClientHello;
    use rustls::sign::CertifiedKey;

    use super::*;

    #[derive(Debug)]
    struct Shows(Option<Arc<CertifiedKey>>);

    impl ResolvesServerCert for Shows {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            self.0.clone()
        }
    }

    #[test]
    fn the_end_of_what_is_shown_is_found_and_of_nothing_there_is_none() {
        let ends = time::OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::days(40_000));
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["talk.example".to_owned()]).expect("a name");
        params.not_after = ends;
        let certificate = params.self_signed(&key).expect("a certificate");
        let private = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let signing = rustls::crypto::ring::sign::any_supported_type(&private).expect("a key");
        let shown = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing));
        assert_eq!(end_of_shown(Arc::new(Shows(Some(shown))), "talk.example"), Some(ends.unix_timestamp()));
        assert_eq!(end_of_shown(Arc::new(Shows(None)), "talk.example"), None);
        assert_eq!(end_of(b"nothing"), None);
    }
}
