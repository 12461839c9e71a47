//! HTTPS as a browser sees it.

mod running;

use std::time::Duration;

use reqwest::StatusCode;
use running::Running;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn it_is_alive_and_ready_over_http_1_and_2() {
    let running = Running::start().await;
    let two = running.get("/healthz").await;
    assert_eq!(two.version(), reqwest::Version::HTTP_2);
    assert_eq!(two.text().await.expect("a body"), "ok\n");
    let root = reqwest::Certificate::from_der(&running.server.certificate()).expect("a certificate");
    let one = reqwest::Client::builder().add_root_certificate(root).http1_only().build().expect("a client");
    let ready = one.get(running.url("/readyz")).send().await.expect("an answer");
    assert_eq!((ready.version(), ready.status()), (reqwest::Version::HTTP_11, StatusCode::OK));
    let report: serde_json::Value = ready.json().await.expect("a body");
    let ok = serde_json::json!({ "status": "ok" });
    let parts = serde_json::json!({ "certificate": ok, "signalling": ok, "store": ok });
    assert_eq!(report, serde_json::json!({ "status": "ready", "parts": parts }));
    running.stop().await;
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_only_click_to_call_keeps_its_opener() {
    let running = Running::start().await;
    for (path, opener) in
        [("/", "same-origin"), ("/r/x", "same-origin"), ("/call/x", "unsafe-none"), ("/nowhere", "same-origin")]
    {
        let answer = running.get(path).await;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(header("cross-origin-opener-policy"), opener, "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(header("permissions-policy").contains("camera=(self)"), "{path}");
        let policy = header("content-security-policy");
        for part in
            ["default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("strict-transport-security"), "", "a self-signed certificate must not pin anything");
    }
    running.stop().await;
}

#[tokio::test]
async fn addresses_that_do_not_exist_and_methods_that_do_not_fit_are_refused() {
    let running = Running::start().await;
    assert_eq!(running.get("/nowhere").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(running.get("/assets/../../Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(running.get("/assets/%2e%2e/%2e%2e/Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    let posted = running.client.post(running.url("/")).send().await.expect("an answer");
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    running.stop().await;
}

#[tokio::test]
async fn metrics_are_shown_to_this_machine_and_to_nobody_behind_a_proxy() {
    let running = Running::start().await;
    let page = running.get("/metrics").await.text().await.expect("a body");
    assert!(page.contains("# TYPE http_requests_total counter"), "{page}");
    running.stop().await;

    let proxied = Running::start_with(|settings| settings.http.behind_proxy = true).await;
    let url = format!("http://{}/metrics", proxied.server.address());
    let asked = |client: &'static str| proxied.client.get(&url).header("x-forwarded-for", client).send();
    assert_eq!(asked("198.51.100.1").await.expect("an answer").status(), StatusCode::FORBIDDEN);
    assert_eq!(asked("127.0.0.1").await.expect("an answer").status(), StatusCode::OK);
    proxied.stop().await;
}

#[tokio::test]
async fn metrics_can_need_a_key_or_be_off() {
    use tandem_server::config::types::Access;
    let running = Running::start_with(|settings| settings.metrics.access = Access::Key).await;
    assert_eq!(running.get("/metrics").await.status(), StatusCode::UNAUTHORIZED);
    let key = running.key().await;
    let answer = running.client.get(running.url("/metrics")).bearer_auth(key).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    running.stop().await;

    let off = Running::start_with(|settings| settings.metrics.enabled = false).await;
    assert_eq!(off.get("/metrics").await.status(), StatusCode::NOT_FOUND);
    off.stop().await;
}

#[tokio::test]
async fn the_plain_port_only_redirects_and_keeps_method_and_path() {
    let running = Running::start_with(|settings| {
        settings.http.redirect_port = free_port();
        settings.http.port = 0;
    })
    .await;
    let plain = running.server.redirect_address().expect("a redirect port");
    let answer = running.client.post(format!("http://{plain}/r/blue?x=1")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
    let expected = format!("https://127.0.0.1:{}/r/blue?x=1", running.server.address().port());
    assert_eq!(location, Some(expected.as_str()));
    let said = raw(plain, "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    running.stop().await;
}

#[tokio::test]
async fn one_address_gets_only_its_share_of_connections_before_any_handshake() {
    let running = Running::start_with(|settings| settings.limits.connections_per_address = 2).await;
    let address = running.server.address();
    let held = [TcpStream::connect(address).await.expect("one"), TcpStream::connect(address).await.expect("two")];
    // The third is closed at once; the two before are not.
    let mut third = TcpStream::connect(address).await.expect("a socket");
    let read = third.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    drop(held);
    running.stop().await;
}

#[tokio::test]
async fn who_never_finishes_a_handshake_or_a_request_is_cut_off() {
    use tandem_server::config::types::Period;
    let running = Running::start_with(|settings| {
        settings.http.handshake_timeout = Period(Duration::from_millis(50));
        settings.http.header_timeout = Period(Duration::from_millis(50));
        settings.http.redirect_port = free_port();
    })
    .await;
    let mut silent = TcpStream::connect(running.server.address()).await.expect("a socket");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let plain = running.server.redirect_address().expect("a redirect port");
    let said = raw(plain, "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    assert!(!said.contains("308"), "{said}");
    running.stop().await;
}

#[tokio::test]
async fn a_request_with_too_many_headers_is_refused() {
    let running = Running::start_with(|settings| settings.http.redirect_port = free_port()).await;
    let plain = running.server.redirect_address().expect("a redirect port");
    let many: String = (0..200).map(|i| format!("x-{i}: y\r\n")).collect();
    let said = raw(plain, &format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    running.stop().await;
}

#[tokio::test]
async fn a_file_of_the_web_client_is_compressed_for_those_who_ask_and_known_by_its_etag() {
    let dist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/dist");
    if !dist.join("index.html").exists() {
        // Built without npm: then every page says so.
        let running = Running::start().await;
        let answer = running.get("/").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.text().await.expect("a page").contains("Node"));
        running.stop().await;
        return;
    }
    let running = Running::start().await;
    let page = running.get("/").await;
    assert_eq!(page.headers().get("cache-control").and_then(|value| value.to_str().ok()), Some("no-cache"));
    let etag = page.headers().get("etag").cloned().expect("an etag");
    let again = running.client.get(running.url("/")).header("if-none-match", etag).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let text = page.text().await.expect("a page");
    let asset = text.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js")).expect("a script");
    let script = running.client.get(running.url(asset)).header("accept-encoding", "br").send().await.expect("a script");
    let header = |name: &str| script.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(header("cache-control").contains("immutable"));
    assert_eq!(header("content-type"), "text/javascript; charset=utf-8");
    let is_compressed = dist.join(format!("{}.br", asset.trim_start_matches('/'))).exists();
    assert_eq!(header("content-encoding") == "br", is_compressed);
    running.stop().await;
}

async fn raw(address: std::net::SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("a socket");
    socket.write_all(request.as_bytes()).await.expect("written");
    let mut said = vec![0; 4096];
    let count = socket.read(&mut said).await.unwrap_or(0);
    said.truncate(count);
    String::from_utf8_lossy(&said).into_owned()
}

/// The setting 0 means "off" here, so the test must choose one.
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address").port()
}
