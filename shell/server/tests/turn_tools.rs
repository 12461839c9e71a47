//! `tandem turn bench` and `tandem turn peer`: against our relay, against coturn, and with coturn's client.

mod running;

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use running::Running;
use serde_json::Value;

fn tandem(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(["turn"]).args(arguments).env_remove("TANDEM_CONFIG");
    command
}

/// `tandem turn bench` with few, quick messages.
fn bench(arguments: &[&str]) -> Output {
    let few = ["bench", "--json", "-m", "2", "-n", "20", "--rate", "100"];
    tandem(&[&few, arguments].concat()).output().expect("it runs")
}

/// Expects that all came back; the figures.
fn all_came_back(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no figures: {said}"));
    assert!(output.status.success(), "{said} {figures}");
    let messages = &figures["messages"];
    assert_eq!((&messages["sent"], &messages["received"], &messages["lost"]), (&40.into(), &40.into(), &0.into()));
    assert!(figures["round_trip_ms"]["avg"].as_f64() > Some(0.0), "{figures}");
    figures
}

/// A port that is free for UDP.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// Ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `tandem turn peer`, and what it says.
fn peer() -> (Ended, BufReader<ChildStdout>, String) {
    let mut child = tandem(&["peer", "--listen", "127.0.0.1", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut said = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    let address = line.split([' ', ',']).find(|word| word.starts_with("127.0.0.1:")).expect("its address").to_owned();
    (Ended(child), said, address)
}

fn coturn() -> (Ended, String) {
    coturn_with(&["--no-tls", "--no-dtls"])
}

fn coturn_with(more: &[&str]) -> (Ended, String) {
    let port = free_port().to_string();
    let child = Command::new("turnserver")
        .args(["-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", &port, "--no-cli"])
        .args(more)
        .args(["--allow-loopback-peers", "-a", "-u", "alice:in wonderland", "-r", "example.org"])
        .args(["--pidfile", "", "--log-file", "stdout"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the Debian package coturn");
    let child = Ended(child);
    let server = format!("127.0.0.1:{port}");
    let listens = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        std::net::TcpStream::connect(&server).is_ok()
    });
    assert!(listens, "coturn does not listen");
    (child, server)
}

async fn relay() -> (Running, Vec<String>) {
    let tls_port = free_port();
    let server = Running::start_with(|settings| {
        settings.relay.enabled = true;
        settings.relay.port = 0;
        settings.relay.tls_port = tls_port;
    })
    .await;
    let port = server.server.relay_port().expect("a relay");
    let home = server.home.path().display().to_string();
    let here =
        vec![format!("--relay.port={port}"), format!("--relay.tls-port={tls_port}"), "--data-dir".to_owned(), home];
    (server, here)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_server_on_this_machine_call_each_other_over_every_transport() {
    let (server, here) = relay().await;
    let outcome = tokio::task::spawn_blocking(move || {
        let here: Vec<&str> = here.iter().map(String::as_str).collect();
        for transport in ["udp", "tcp", "tls", "dtls"] {
            let connections = ["tcp", "tls"].contains(&transport).then_some("connection");
            for by in ["channel", "send"].into_iter().chain(connections) {
                let figures = all_came_back(&bench(&[&here, &["-t", transport, "--by", by][..]].concat()));
                assert_eq!((&figures["transport"], &figures["by"]), (&transport.into(), &by.into()));
            }
        }
        let timed = tandem(&["bench", "--json", "-m", "1", "--time", "1", "--rate", "20"]).args(&here).output();
        let figures: Value = serde_json::from_slice(&timed.expect("it runs").stdout).expect("figures");
        assert!(figures["messages"]["sent"].as_u64().is_some_and(|sent| (15..=21).contains(&sent)), "{figures}");
        let wrong = bench(&[&here, &["--secret", "guess"][..]].concat());
        let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(!wrong.status.success() && said.contains("401") && said.contains("2 of 2 callers"), "{said}");
    });
    outcome.await.expect("it holds");
    server.stop().await;
}

#[test]
fn clients_of_coturn_reach_each_other_and_a_peer_by_datagrams_and_connections() {
    let (_coturn, server) = coturn();
    let (_peer, _, peer) = peer();
    for (transport, by) in [("udp", "channel"), ("udp", "send"), ("tcp", "channel"), ("tcp", "connection")] {
        let way = [&server, "-u", "alice", "-w", "in wonderland", "-t", transport, "--by", by];
        all_came_back(&bench(&way));
        all_came_back(&bench(&[&way[..], &["--peer", &peer]].concat()));
    }
}

/// coturn with TLS and DTLS on its port, and a certificate whose key is of this kind (`openssl req -newkey`).
fn secure_coturn(home: &Path, key: &[&str]) -> (Ended, String) {
    let [certificate, private] = ["cert.pem", "key.pem"].map(|name| home.join(name).display().to_string());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=turn.example.org"])
        .args(key)
        .args(["-out", &certificate, "-keyout", &private])
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("the Debian package openssl").success());
    coturn_with(&["--cert", &certificate, "--pkey", &private])
}

#[test]
fn clients_of_coturn_reach_each_other_and_a_peer_inside_dtls_and_tls() {
    let home = tempfile::tempdir().expect("a directory");
    let (_coturn, server) = secure_coturn(home.path(), &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let (_peer, _, peer) = peer();
    for (transport, by) in [("dtls", "channel"), ("dtls", "send"), ("tls", "send"), ("tls", "connection")] {
        let way = [&server, "-u", "alice", "-w", "in wonderland", "-t", transport, "--by", by, "--size", "171"];
        all_came_back(&bench(&way));
        all_came_back(&bench(&[&way[..], &["--peer", &peer]].concat()));
    }
}

#[test]
fn a_server_whose_key_dtls_cannot_use_here_is_told_from_one_that_is_not_there() {
    let home = tempfile::tempdir().expect("a directory");
    let (_coturn, server) = secure_coturn(home.path(), &["-newkey", "rsa:2048"]);
    let output = bench(&[&server, "-u", "alice", "-w", "in wonderland", "-t", "dtls"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("ECDSA") && said.contains("alert 40"), "{said}");

    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let at = nobody.local_addr().expect("an address").to_string();
    let output = bench(&[&at, "-u", "alice", "-w", "in wonderland", "-t", "dtls"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("does it speak DTLS"), "{said}");

    for impossible in [&["-t", "dtls", "--by", "connection"], &["-t", "dtls", "--size", "16301"]] {
        let output = bench(&[&[&server, "-u", "alice", "-w", "x"], &impossible[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("RFC 6"), "{said}");
    }
}

#[test]
fn what_is_lost_is_told_and_fails() {
    let (_coturn, server) = coturn();
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let silent_at = silent.local_addr().expect("an address").to_string();
    let output = bench(&[&server, "-u", "alice", "-w", "in wonderland", "--peer", &silent_at]);
    let figures: Value = serde_json::from_slice(&output.stdout).expect("figures");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("100.00 % are lost"), "{said}");
    assert_eq!((&figures["messages"]["sent"], &figures["messages"]["lost"]), (&40.into(), &40.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn coturns_client_reaches_our_peer_through_our_relay_and_the_peer_counts() {
    use tandem_server::relay::{self, Config, PeerRules, Users};
    let fixed = vec![("alice".into(), "in wonderland".into())];
    let users = Users { fixed, ..Users::default() };
    let handle = relay::start(Config {
        listen: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        port: 0,
        secret: b"of no use here".to_vec(),
        users,
        peers: PeerRules { allow_loopback: true, ..PeerRules::default() },
        ..Config::default()
    })
    .expect("the relay starts");
    let (mut child, mut said, address) = peer();
    let (host, port) = address.split_once(':').expect("address and port");
    let output = Command::new("turnutils_uclient")
        .args(["-u", "alice", "-w", "in wonderland", "-p", &handle.port().to_string(), "-n", "5", "-z", "5", "-c"])
        .args(["-m", "2", "-e", host, "-r", port, "127.0.0.1"])
        .output()
        .expect("the Debian package coturn");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Total lost packets 0"), "{text}");
    let interrupted = Command::new("kill").args(["-INT", &child.0.id().to_string()]).status();
    assert!(interrupted.expect("kill runs").success());
    let mut line = String::new();
    said.read_line(&mut line).expect("its last word");
    let datagrams: Option<u32> = line.split(' ').next().and_then(|number| number.parse().ok());
    assert!(datagrams >= Some(10), "{line}");
    assert!(child.0.wait().expect("it ends").success());
}
