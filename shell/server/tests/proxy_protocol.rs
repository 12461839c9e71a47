//! Behind a load balancer that passes TCP on: who the client is says the PROXY header, on every TCP port.

mod relay_client;
mod running;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use relay_client::{Client, SECRET, start, until};
use running::Running;
use socket2::{Domain, Socket, Type};
use stun_types::attribute::XorMappedAddress;
use stun_types::message::Message;
use tandem_server::config::types::{Period, Secret};
use tandem_server::proxy_protocol::OWN;
use tandem_stun::Cidr;

/// Where balancers are; Linux has all of 127.0.0.0/8.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

/// A connection from an address of this host.
fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("an address of ours");
    socket.connect(&to.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.set_nodelay(true).expect("an option");
    stream
}

fn binding() -> Vec<u8> {
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    request
}

/// As what the server sees who asks. `None`: it closes.
fn seen(stream: &mut TcpStream) -> Option<SocketAddr> {
    let (mut head, mut body) = ([0; 20], Vec::new());
    stream.read_exact(&mut head).ok()?;
    body.resize(usize::from(u16::from_be_bytes([head[2], head[3]])), 0);
    stream.read_exact(&mut body).ok()?;
    let bytes = [&head[..], &body].concat();
    let message = Message::from_bytes(&bytes).expect("a message");
    Some(message.attribute::<XorMappedAddress>().expect("an address").addr(message.transaction_id()))
}

/// Rather than silent until the read times out.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn balanced() -> tandem_server::relay::Handle {
    start(|config| {
        config.proxies = vec![Cidr::new(BALANCER.into(), 32).expect("a network")];
        config.streams.handshake = Duration::from_millis(500);
        config.streams.per_address = 2;
        config.shards = std::num::NonZeroU16::new(1);
    })
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n";

#[test]
fn the_relay_believes_its_balancer_in_whatever_pieces_the_header_comes() {
    let relay = balanced();
    let to: SocketAddr = (Ipv4Addr::LOCALHOST, relay.port()).into();
    let all = [LINE, &binding()].concat();
    for piece in [1, 7, all.len()] {
        let mut stream = connect(BALANCER, to);
        for part in all.chunks(piece) {
            stream.write_all(part).expect("sent");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(seen(&mut stream), Some("192.0.2.1:5000".parse().expect("an address")), "{piece}");
        drop(stream);
        until("it is gone", || relay.stats().streams == 0);
    }
    let mut own = connect(BALANCER, to);
    let address = own.local_addr().expect("an address");
    own.write_all(&[&OWN[..], &binding()].concat()).expect("sent");
    assert_eq!(seen(&mut own), Some(address), "the balancer itself");
}

#[test]
fn a_header_is_taken_from_nobody_else_and_nothing_from_a_balancer_without_one() {
    let relay = balanced();
    let to: SocketAddr = (Ipv4Addr::LOCALHOST, relay.port()).into();
    for (from, bytes) in [(CLIENT, [LINE, &binding()].concat()), (CLIENT, OWN.to_vec()), (BALANCER, binding())] {
        let mut stream = connect(from, to);
        stream.write_all(&bytes).expect("sent");
        assert!(is_closed(&mut stream), "{from}");
    }
    let mut direct = connect(CLIENT, to);
    direct.write_all(&binding()).expect("sent");
    assert_eq!(seen(&mut direct), direct.local_addr().ok());
    let silent = connect(BALANCER, to);
    until("the silent one is closed", || relay.stats().streams == 1);
    drop(silent);
}

#[test]
fn limits_of_the_relay_hold_for_each_client_behind_a_balancer_and_not_for_the_balancer() {
    let relay = balanced();
    let to: SocketAddr = (Ipv4Addr::LOCALHOST, relay.port()).into();
    let ask = |client: u8, port: u16| {
        let mut stream = connect(BALANCER, to);
        stream.write_all(format!("PROXY TCP4 192.0.2.{client} 198.51.100.1 {port} 443\r\n").as_bytes()).expect("sent");
        stream.write_all(&binding()).expect("sent");
        let seen = seen(&mut stream);
        (stream, seen)
    };
    let kept: Vec<_> = (1..=5).flat_map(|client| [ask(client, 5000), ask(client, 5001)]).collect();
    assert!(kept.iter().all(|(_, seen)| seen.is_some()));
    assert_eq!(ask(1, 5002).1, None, "the third of one client");
    until("it is counted", || relay.stats().streams_refused == 1);
    drop(kept);
    until("all are gone", || relay.stats().streams == 0);
    assert!(ask(1, 5002).1.is_some());
}

/// A server with a relay, which knows the balancer.
async fn serving() -> (Running, SocketAddr) {
    let running = Running::start_with(|settings| {
        settings.relay.enabled = true;
        settings.relay.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        settings.relay.tls_port = 0;
        settings.relay.secret = Some(Secret(String::from_utf8(SECRET.to_vec()).expect("text")));
        settings.http.handshake_timeout = Period(Duration::from_secs(2));
        settings.limits.connections_per_address = 1;
        settings.proxy_protocol.from = vec![format!("{BALANCER}/32").parse().expect("a network")];
    })
    .await;
    let at = running.server.address();
    (running, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_https_believes_its_balancer_and_nobody_else() {
    let (running, to) = serving().await;
    tokio::task::spawn_blocking(move || {
        for (from, first, expected) in [
            (BALANCER, LINE, Some("192.0.2.1:5000")),
            (CLIENT, LINE, None),
            (BALANCER, &b""[..], None),
            (BALANCER, &b"PROXY TCP4 nonsense\r\n"[..], None),
        ] {
            let mut stream = connect(from, to);
            for byte in [first, &binding()].concat() {
                // One by one, until it is closed.
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(seen(&mut stream), expected, "{from} {first:?}");
        }
        // One place for each client: the first keeps its own, whatever the balancer brings.
        let introduce = |line: &str| {
            let mut stream = connect(BALANCER, to);
            stream.write_all(line.as_bytes()).expect("sent");
            stream
        };
        let _first = introduce("PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n");
        let _other = introduce("PROXY TCP4 192.0.2.8 198.51.100.1 5000 443\r\n");
        std::thread::sleep(Duration::from_millis(100));
        let mut second = introduce("PROXY TCP4 192.0.2.7 198.51.100.1 5001 443\r\n");
        second.set_read_timeout(Some(Duration::from_millis(1_000))).expect("a timeout");
        assert!(is_closed(&mut second), "closed at once, not after the time for a handshake");
    })
    .await
    .expect("no panic");
    assert_eq!(running.get("/healthz").await.status(), 200);
    running.stop().await;
}

/// HAProxy (Debian package `haproxy`), ended when dropped.
struct Haproxy {
    child: Child,
    port: u16,
    _home: tempfile::TempDir,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Haproxy {
    fn start(to: SocketAddr, options: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let file = home.path().join("haproxy.cfg");
        let text = format!(
            "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             listen front\n  bind 127.0.0.1:{port}\n  server tandem {to} {options} source {BALANCER}\n"
        );
        std::fs::write(&file, text).expect("written");
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .spawn()
            .expect("haproxy is installed");
        until("haproxy listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { child, port, _home: home }
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_brings_clients_with_headers_of_both_versions() {
    let (running, to) = serving().await;
    tokio::task::spawn_blocking(move || {
        for options in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
            let haproxy = Haproxy::start(to, options);
            let mut stream = connect(CLIENT, haproxy.address());
            let address = stream.local_addr().expect("an address");
            stream.write_all(&binding()).expect("sent");
            assert_eq!(seen(&mut stream), Some(address), "{options}");
            assert_eq!(address.ip(), IpAddr::from(CLIENT));
            // Through it and over TLS, an allocation and a page.
            Client::tls(haproxy.address(), "alice", b"stun.turn").allocate().expect("an allocation");
            let url = format!("https://{}/healthz", haproxy.address());
            let output = Command::new("curl").args(["-sk", &url]).output().expect("curl is installed");
            assert!(output.status.success() && !output.stdout.is_empty(), "{options}");
        }
    })
    .await
    .expect("no panic");
    running.stop().await;
}
