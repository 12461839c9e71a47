//! Settings that change beside a running server: the file is written, the process is told by SIGHUP, clients go on.

mod relay_client;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use relay_client::{Client, SECRET, until};

/// The real binary on a settings file.
struct Process {
    child: Child,
    file: PathBuf,
    lines: Receiver<String>,
    relay: SocketAddr,
    _home: tempfile::TempDir,
}

fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("an address").port()
}

impl Process {
    fn start(relay: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("tandem.toml");
        let port = free_port();
        write(&file, port, relay);
        let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["serve", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(home.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let (tell, lines) = channel();
        let output = BufReader::new(child.stderr.take().expect("its log"));
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let relay = (Ipv4Addr::LOCALHOST, port).into();
        let process = Self { child, file, lines, relay, _home: home };
        process.says("serving");
        process
    }

    /// Waits for a line of the log.
    fn says(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30)).expect("a line that says so");
            if line.contains(text) {
                return line;
            }
        }
    }

    fn rewrite(&self, relay: &str) {
        write(&self.file, self.relay.port(), relay);
        let told = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(told.expect("kill runs").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(file: &PathBuf, port: u16, relay: &str) {
    let http = "[http]\naddress = \"127.0.0.1\"\nport = 0\nredirect_port = 0\n";
    let text = format!("{http}[relay]\nport = {port}\ntls_port = 0\n{relay}\n");
    fs::write(file, text).expect("written");
}

#[test]
fn sighup_changes_what_can_be_changed_names_the_rest_and_disturbs_nobody() {
    let ours = format!("secret = \"{}\"\n", std::str::from_utf8(SECRET).expect("text"));
    let process = Process::start(&format!("{ours}allow_loopback = true"));
    let mut client = Client::udp(process.relay, "alice");
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let peer_at = peer.local_addr().expect("an address");
    client.allocate().expect("an allocation");
    client.bind(0x4000, peer_at).expect("a channel");
    client.say(0x4000, b"before");
    peer.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    assert_eq!(peer.recv(&mut [0; 10]).expect("a datagram"), 6);

    // Another secret, of which the former one stays good for a while; a smaller quota; and a port, which cannot change.
    process.rewrite("secret = \"another secret, long enough\"\nallow_loopback = true\nallocations_per_user = 1\nport_range = \"50000-60000\"");
    let line = process.says("changed settings are in force");
    assert!(line.contains("relay.secret") && line.contains("relay.allocations_per_user"), "{line}");
    assert!(!line.contains("another secret"), "{line}");
    let line = process.says("wait for the next start");
    assert!(line.contains("relay.port_range"), "{line}");
    client.refresh().expect("what lives goes on");
    assert_eq!(Client::udp(process.relay, "alice").allocate().err(), Some(486));
    Client::udp(process.relay, "bob").allocate().expect("the former secret is still good");

    // A broken file changes nothing.
    process.rewrite("alow_loopback = true");
    let line = process.says("the settings stay as they were");
    assert!(line.contains("ERROR"), "{line}");
    process.says("did you mean `relay.allow_loopback`?");
    client.say(0x4000, b"still");
    assert_eq!(peer.recv(&mut [0; 10]).expect("a datagram"), 5);

    // A peer that becomes denied is lost at once.
    process
        .rewrite("secret = \"another secret, long enough\"\nallow_loopback = true\ndenied_peers = [\"127.0.0.0/8\"]");
    process.says("relay.denied_peers");
    peer.set_read_timeout(Some(Duration::from_millis(10))).expect("a timeout");
    until("the peer hears nothing more", || {
        client.say(0x4000, b"after");
        peer.recv(&mut [0; 10]).is_err()
    });
    assert_eq!(client.bind(0x4000, peer_at), Err(403));
}
