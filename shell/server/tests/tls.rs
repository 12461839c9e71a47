//! Certificates: made, kept, read from files, and read again.

mod running;

use running::{Running, client, settings};
use tandem_server::config::settings::Tls;
use tandem_server::data_dir::DataDir;
use tandem_server::http::health::Condition;
use tandem_server::tls::Certificates;

fn write_certificate(home: &std::path::Path) -> Vec<u8> {
    write_certificate_until(home, time::OffsetDateTime::now_utc() + time::Duration::days(365))
}

fn write_certificate_until(home: &std::path::Path, end: time::OffsetDateTime) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_after = end;
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(home.join("cert.pem"), certificate.pem()).expect("written");
    std::fs::write(home.join("key.pem"), key.serialize_pem()).expect("written");
    certificate.der().to_vec()
}

fn files(home: &std::path::Path) -> Tls {
    Tls { certificate: Some(home.join("cert.pem")), key: Some(home.join("key.pem")), ..Tls::default() }
}

#[tokio::test]
async fn the_certificate_made_at_first_start_is_kept() {
    let running = Running::start().await;
    let first = running.server.certificate();
    let home = running.stop().await;
    let again = Running::start_in(home, |_| {}).await;
    assert_eq!(again.server.certificate(), first);
    again.stop().await;
}

#[tokio::test]
async fn a_certificate_from_files_is_shown_and_brings_hsts() {
    let home = tempfile::tempdir().expect("a directory");
    let shown = write_certificate(home.path());
    let running = Running::start_with(|settings| settings.tls = files(home.path())).await;
    let answer = client(&shown).get(running.url("/healthz")).send().await.expect("an answer");
    assert!(answer.headers().contains_key("strict-transport-security"));
    running.stop().await;
}

#[tokio::test]
async fn changed_files_are_used_and_broken_ones_are_not() {
    let home = tempfile::tempdir().expect("a directory");
    let data = DataDir::open(home.path()).expect("a data directory");
    let first = write_certificate(home.path());
    let certificates = Certificates::start(&files(home.path()), &data).expect("certificates");
    assert_eq!(certificates.current_der(), first);
    let second = write_certificate(home.path());
    certificates.refresh().expect("the second");
    assert_eq!(certificates.current_der(), second);
    std::fs::write(home.path().join("cert.pem"), "no certificate").expect("written");
    assert!(certificates.refresh().is_err());
    assert_eq!(certificates.current_der(), second);
}

#[tokio::test]
async fn a_key_that_does_not_fit_its_certificate_is_refused_at_the_start() {
    let home = tempfile::tempdir().expect("a directory");
    write_certificate(home.path());
    let other = rcgen::KeyPair::generate().expect("a key");
    std::fs::write(home.path().join("key.pem"), other.serialize_pem()).expect("written");
    let data = tempfile::tempdir().expect("a directory");
    let mut settings = settings(data.path());
    settings.tls = files(home.path());
    let error = tandem_server::serve::Server::start(settings).await.err().expect("a refusal");
    assert!(format!("{error:#}").contains("is not the key of"), "{error:#}");
}

#[tokio::test]
async fn an_expired_certificate_is_not_ready_and_one_that_ends_soon_is_degraded() {
    let home = tempfile::tempdir().expect("a directory");
    for (days, code, status) in [(-1, 503, "failed"), (1, 200, "degraded"), (30, 200, "ready")] {
        write_certificate_until(home.path(), time::OffsetDateTime::now_utc() + time::Duration::days(days));
        let running = Running::start_with(|settings| settings.tls = files(home.path())).await;
        let anyone = reqwest::Client::builder().danger_accept_invalid_certs(true).build().expect("a client");
        let answer = anyone.get(running.url("/readyz")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), code, "{days} days");
        let report: serde_json::Value = answer.json().await.expect("a body");
        assert_eq!(report["status"], status, "{report}");
        running.stop().await;
    }
}

#[tokio::test]
async fn files_that_broke_are_named_while_the_old_certificate_serves_on() {
    let home = tempfile::tempdir().expect("a directory");
    let data = DataDir::open(home.path()).expect("a data directory");
    write_certificate_until(home.path(), time::OffsetDateTime::now_utc() + time::Duration::days(30));
    let certificates = Certificates::start(&files(home.path()), &data).expect("certificates");
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    assert_eq!(certificates.condition(now), Condition::Ok);
    std::fs::write(home.path().join("cert.pem"), "no certificate").expect("written");
    assert!(certificates.refresh().is_err());
    let Condition::Degraded(problem) = certificates.condition(now) else { panic!("a problem was expected") };
    assert!(problem.contains("cert.pem"), "{problem}");
    write_certificate_until(home.path(), time::OffsetDateTime::now_utc() + time::Duration::days(30));
    certificates.refresh().expect("the second");
    assert_eq!(certificates.condition(now), Condition::Ok);
}
