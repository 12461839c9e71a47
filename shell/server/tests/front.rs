//! One port for everything: pages, signalling, and TURN over TLS and TCP (RFC 7443).

mod relay_client;
mod running;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relay_client::{Client, SECRET};
use running::Running;
use tandem_server::config::Settings;
use tandem_server::config::types::{Period, Secret};
use tandem_stun::credential;

/// With a relay on ports that nothing else has.
fn with_relay(settings: &mut Settings) {
    settings.relay.enabled = true;
    settings.relay.port = free_port();
    settings.relay.tls_port = 0;
    settings.relay.secret = Some(Secret(String::from_utf8(SECRET.to_vec()).expect("text")));
}

fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let port = udp.local_addr().expect("an address").port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

async fn start(change: impl FnOnce(&mut Settings)) -> Running {
    Running::start_with(|settings| {
        with_relay(settings);
        change(settings);
    })
    .await
}

fn at(running: &Running) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, running.server.address().port()).into()
}

/// What waits for the network goes on a thread of its own: the server lives on the test's.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn turn_comes_in_beside_pages_over_tcp_and_tls_with_and_without_its_name() {
    let running = start(|_| {}).await;
    let to = at(&running);
    aside(move || {
        let mut hub = Client::tcp(to, "hub");
        let hub_at = hub.allocate().expect("an allocation");
        let clients = [
            Client::tcp(to, "a"),
            Client::tls(to, "b", b""),
            Client::tls(to, "c", b"stun.turn"),
            Client::tls(to, "d", b"http/1.1"),
        ];
        for (mut client, number) in clients.into_iter().zip(0x4000..) {
            let client_at = client.allocate().expect("an allocation");
            hub.bind(number, client_at).expect("a channel");
            client.bind(0x4000, hub_at).expect("a channel");
            client.say(0x4000, b"hello");
            assert_eq!(hub.hear(), (number, b"hello".to_vec()));
            hub.say(number, b"back");
            assert_eq!(client.hear(), (0x4000, b"back".to_vec()));
        }
    })
    .await;
    assert_eq!(running.get("/healthz").await.status(), 200);
    let metrics = running.get("/metrics").await.text().await.expect("text");
    let counted = metrics.lines().find_map(|line| line.strip_prefix("http_connections_to_relay_total "));
    assert!(counted.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= 5), "{metrics}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_for_both_families_shows_the_relay_ipv4_clients_as_they_are() {
    let running = start(|settings| settings.http.address = "::".parse().expect("an address")).await;
    let to = at(&running);
    let relayed = aside(move || Client::tls(to, "alice", b"stun.turn").allocate()).await.expect("an allocation");
    assert_eq!(relayed.ip(), to.ip());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_come_singly_and_bytes_that_come_early_are_both_heard() {
    let running = start(|_| {}).await;
    let to = at(&running);
    aside(move || {
        let mut slow = TcpStream::connect(to).expect("a connection");
        slow.set_nodelay(true).expect("an option");
        for byte in binding() {
            slow.write_all(&[byte]).expect("sent");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(binding_answers(&mut slow), 1);
        let mut eager = TcpStream::connect(to).expect("a connection");
        eager.write_all(&binding().repeat(5)).expect("sent");
        assert_eq!(binding_answers(&mut eager), 5);
    })
    .await;
    running.stop().await;
}

/// Of RFC 8489.
fn binding() -> Vec<u8> {
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    request
}

/// How many come before silence.
fn binding_answers(socket: &mut TcpStream) -> usize {
    let (mut bytes, mut part) = (Vec::new(), [0; 4_096]);
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    while let Ok(count) = socket.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        if count == 0 {
            break;
        }
    }
    bytes.windows(8).filter(|bytes| bytes.starts_with(&[1, 1]) && bytes.ends_with(&[0x21, 0x12, 0xA4, 0x42])).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_a_relayed_client_at_the_gate_is_free_again() {
    let running = start(|settings| settings.limits.connections_per_address = 1).await;
    let to = at(&running);
    let clients = aside(move || {
        // An answer says that the relay has counted the client: then there is room for the next one.
        ["a", "b"].map(|user| {
            let mut client = Client::tcp(to, user);
            client.allocate().expect("an allocation");
            client
        })
    });
    let first = clients.await;
    assert_eq!(running.get("/healthz").await.status(), 200);
    drop(first);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_closed_before_tls_and_behind_it() {
    let running = start(|settings| settings.http.handshake_timeout = Period(Duration::from_millis(300))).await;
    let to = at(&running);
    aside(move || {
        assert!(Client::tcp(to, "silent").is_closed());
        assert!(Client::tls(to, "silent", b"").is_closed());
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_not_shared_knows_no_turn() {
    let running = start(|settings| settings.relay.share_http_port = false).await;
    let to = at(&running);
    aside(move || {
        let mut plain = Client::tcp(to, "alice");
        plain.send(&binding());
        assert!(plain.is_closed());
        assert!(openssl(to, &["-alpn", "stun.turn"], "").contains("No ALPN negotiated"));
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_curl_get_what_they_name() {
    let running = start(|_| {}).await;
    let to = at(&running);
    aside(move || {
        let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert!(openssl(to, &["-alpn", "stun.turn"], "").contains("ALPN protocol: stun.turn"));
        assert!(openssl(to, &["-alpn", "stun.nat-discovery"], "").contains("ALPN protocol: stun.nat-discovery"));
        assert!(openssl(to, &["-alpn", "http/1.1"], get).contains("HTTP/1.1 200"));
        assert!(openssl(to, &[], get).contains("HTTP/1.1 200"));
        for options in [&[][..], &["--http1.1"], &["--no-alpn"]] {
            let url = format!("https://{to}/healthz");
            let arguments = [&["-sk", "-o", "/dev/null", "-w", "%{http_code}", &url], options].concat();
            let output = Command::new("curl").args(arguments).output().expect("curl is installed");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "200", "{options:?}");
        }
    })
    .await;
    running.stop().await;
}

/// What `openssl s_client` prints.
fn openssl(to: SocketAddr, options: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect", &to.to_string()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("written");
    if input.is_empty() {
        // What is neither STUN nor HTTP ends the connection once it is negotiated.
        stdin.write_all(&[0xFF; 32]).expect("written");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_coturn_reach_each_other_over_the_port_of_https() {
    let running = start(|_| {}).await;
    let port = at(&running).port().to_string();
    aside(move || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let login = credential::credential(SECRET, now + 600, "interop");
        for transport in [&["-t"][..], &["-t", "-S"]] {
            let user = ["-u", &login.username, "-w", &login.password, "-p", &port];
            let arguments = [&user[..], &["-n", "5", "-z", "5", "-y", "-c", "-m", "4"], transport, &["127.0.0.1"]];
            let output = Command::new("turnutils_uclient").args(arguments.concat()).output().expect("coturn is there");
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("Total lost packets 0"), "{transport:?}: {text}");
        }
    })
    .await;
    running.stop().await;
}
