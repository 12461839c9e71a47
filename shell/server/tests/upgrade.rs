//! The binary becomes another one while it relays: clients over UDP and TCP notice nothing.

mod relay_client;

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relay_client::{Client, SECRET, until};

const BINARY: &str = env!("CARGO_BIN_EXE_tandem");

struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    err: std::sync::mpsc::Receiver<String>,
    relay: SocketAddr,
    https: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

impl Running {
    fn start(binary: &Path, home: &Path) -> Self {
        let (relay, https) = (free_port(), free_port());
        let mut child = Command::new(binary)
            .current_dir(home)
            .env_remove("TANDEM_CONFIG")
            .args(["serve", "--http.address", "127.0.0.1", "--http.redirect-port", "0", "--relay.tls-port", "0"])
            .args(["--http.port", &https.to_string(), "--relay.port", &relay.to_string(), "--http.drain-timeout", "2s"])
            .args(["--relay.secret", std::str::from_utf8(SECRET).expect("text"), "--relay.allow-loopback=true"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let lines = BufReader::new(child.stderr.take().expect("its log"));
        let (sender, err) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut running = Self { child, out, err, relay: at(relay), https: at(https) };
        running.wait_for_banner();
        running
    }

    fn wait_for_banner(&mut self) {
        let mut banner = String::new();
        while !banner.contains("Ctrl-C") {
            assert_ne!(self.out.read_line(&mut banner).expect("a line"), 0, "ended after: {banner}");
        }
    }

    fn upgrade(&self) {
        let sent = Command::new("kill").args(["-USR2", &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// The next line of the log with this in it.
    fn logged(&self, what: &str) -> String {
        loop {
            let line =
                self.err.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("never logged: {what}"));
            if line.contains(what) {
                return line;
            }
        }
    }
}

/// A peer that counts what it hears and sends it back.
fn echo() -> (SocketAddr, Arc<AtomicBool>, std::thread::JoinHandle<usize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let (at, stop) = (socket.local_addr().expect("an address"), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let (mut bytes, mut heard) = ([0; 100], 0);
        loop {
            match socket.recv_from(&mut bytes) {
                Ok((length, from)) => {
                    heard += 1;
                    socket.send_to(&bytes[..length], from).expect("sent");
                }
                Err(_) if stopped.load(Ordering::Relaxed) => return heard,
                Err(_) => {}
            }
        }
    });
    (at, stop, thread)
}

#[test]
fn what_is_relayed_goes_on_while_the_program_becomes_another() {
    let home = tempfile::tempdir().expect("a directory");
    let mut running = Running::start(Path::new(BINARY), home.path());
    let process = running.child.id();
    for transport in ["udp", "tcp"] {
        let (peer, stop, thread) = echo();
        let mut client =
            if transport == "udp" { Client::udp(running.relay, "alice") } else { Client::tcp(running.relay, "bob") };
        client.allocate().expect("an allocation");
        client.bind(0x4000, peer).expect("a channel");
        running.upgrade();
        // 3 s, within which the program has changed: it waits no longer for anybody. So many fit into the client's socket.
        let mut sent = 0;
        for number in 0..200_u16 {
            client.say(0x4000, &number.to_be_bytes());
            sent += 1;
            std::thread::sleep(Duration::from_millis(15));
        }
        running.logged("another program takes over");
        running.wait_for_banner();
        std::thread::sleep(Duration::from_millis(300));
        let mut back = 0;
        client.say(0x4000, b"the last");
        while client.hear().1 != b"the last" {
            back += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let heard = thread.join().expect("the echo ends") - 1;
        assert!(heard >= sent - 3 && back >= sent - 3, "{transport}: {heard} and {back} of {sent}");
        client.refresh().expect("a refresh, with the nonce of before");
    }
    assert_eq!(running.child.id(), process);
    assert!(running.child.try_wait().expect("its state").is_none(), "the process is the same");
    // What has come in since is a relay and a server like any other.
    let mut newcomer = Client::udp(running.relay, "carol");
    newcomer.allocate().expect("an allocation");
    let url = format!("https://{}/readyz", running.https);
    let output = Command::new("curl").args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", &url]).output();
    assert_eq!(String::from_utf8_lossy(&output.expect("curl is installed").stdout), "200");
}

#[test]
fn a_program_of_another_form_is_refused_and_the_old_one_goes_on() {
    let home = tempfile::tempdir().expect("a directory");
    let binary = home.path().join("tandem");
    std::fs::copy(BINARY, &binary).expect("copied");
    let running = Running::start(&binary, home.path());
    let mut client = Client::udp(running.relay, "alice");
    client.allocate().expect("an allocation");
    for (script, reason) in [
        ("echo the form of what is handed over: 999", "expected the form of what is handed over"),
        ("echo broken >&2; exit 78", "the program would not start: broken"),
    ] {
        let other = home.path().join("other");
        std::fs::write(&other, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        std::fs::rename(&other, &binary).expect("put in its place");
        running.upgrade();
        let line = running.logged("no other program takes over");
        assert!(line.contains(reason), "{line}");
        client.refresh().expect("the old one answers");
    }
    until("it is still there", || std::net::TcpStream::connect(running.https).is_ok());
}
