//! A certificate of our own, for all names and addresses of this machine: made at first start, kept in the data
//! directory, made again when a name or address is missing from it or when it is about to end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tandem_dtls::Identity;
use time::{Duration, OffsetDateTime};

use crate::data_dir::write_private;
use crate::{local, tls::files};

const CERTIFICATE: &str = "self-signed.pem";
const KEY: &str = "self-signed.key";
const ABOUT: &str = "self-signed.json";

/// Browsers refuse longer ones.
const VALID: Duration = Duration::days(397);
/// Made again this long before it ends.
const MARGIN: Duration = Duration::days(30);

/// What is in the certificate, so that nobody has to parse it.
#[derive(Serialize, Deserialize)]
struct About {
    names: BTreeSet<String>,
    ends: i64,
}

/// The kept one, or another where that will not do.
pub fn ensure(directory: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let (names, now) = (local::names(), OffsetDateTime::now_utc());
    if !is_usable(directory, &names, now) {
        make(directory, &names, now).context("a self-signed certificate cannot be made")?;
    }
    files::load(&directory.join(CERTIFICATE), &directory.join(KEY))
}

/// The kept one for DTLS, made where there is none.
pub fn ensure_for_dtls(directory: &Path) -> anyhow::Result<Identity> {
    ensure(directory)?;
    files::load_for_dtls(&directory.join(CERTIFICATE), &directory.join(KEY)).context("its key is not ECDSA")
}

fn is_usable(directory: &Path, names: &BTreeSet<String>, now: OffsetDateTime) -> bool {
    let about = std::fs::read(directory.join(ABOUT)).ok();
    let about = about.and_then(|bytes| serde_json::from_slice::<About>(&bytes).ok());
    let current = about
        .is_some_and(|about| names.is_subset(&about.names) && about.ends > now.saturating_add(MARGIN).unix_timestamp());
    current && files::load(&directory.join(CERTIFICATE), &directory.join(KEY)).is_ok()
}

fn make(directory: &Path, names: &BTreeSet<String>, now: OffsetDateTime) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "Tandem, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = now.saturating_sub(Duration::days(1));
    params.not_after = now.saturating_add(VALID);
    let about = About { names: names.clone(), ends: params.not_after.unix_timestamp() };
    let certificate = params.self_signed(&key)?;
    // The description goes last: with an older one left over, everything is simply made again.
    write_private(&directory.join(KEY), key.serialize_pem().as_bytes())?;
    write_private(&directory.join(CERTIFICATE), certificate.pem().as_bytes())?;
    write_private(&directory.join(ABOUT), &serde_json::to_vec_pretty(&about)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn it_is_kept_while_it_covers_all_names_and_is_made_again_when_one_is_missing_or_it_nears_its_end() {
        let home = tempfile::tempdir().expect("a directory");
        let now = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));
        let few = names(&["localhost", "192.0.2.7"]);
        assert!(!is_usable(home.path(), &few, now));
        make(home.path(), &few, now).expect("made");
        assert!(is_usable(home.path(), &few, now));
        assert!(is_usable(home.path(), &names(&["localhost"]), now));
        assert!(!is_usable(home.path(), &names(&["localhost", "192.0.2.8"]), now));
        assert!(is_usable(home.path(), &few, now + Duration::days(366)));
        assert!(!is_usable(home.path(), &few, now + Duration::days(368)));
    }

    #[test]
    fn a_key_that_does_not_fit_is_noticed() {
        let home = tempfile::tempdir().expect("a directory");
        let now = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));
        make(home.path(), &names(&["localhost"]), now).expect("made");
        let other = KeyPair::generate().expect("a key");
        std::fs::write(home.path().join(KEY), other.serialize_pem()).expect("written");
        assert!(!is_usable(home.path(), &names(&["localhost"]), now));
    }
}
