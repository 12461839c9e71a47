//! The binary, as a process that becomes another, and peers for its clients.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::relay_client::SECRET;

pub const BINARY: &str = env!("CARGO_BIN_EXE_tandem");

/// The process.
pub struct Running {
    pub child: Child,
    out: BufReader<std::process::ChildStdout>,
    err: std::sync::mpsc::Receiver<String>,
    pub relay: SocketAddr,
    pub secure: SocketAddr,
    pub https: SocketAddr,
    home: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port(ip: IpAddr) -> u16 {
    loop {
        let udp = UdpSocket::bind((ip, 0)).expect("a socket");
        let port = udp.local_addr().expect("an address").port();
        if TcpListener::bind((ip, port)).is_ok() {
            return port;
        }
    }
}

impl Running {
    /// On loopback, with a data directory that tests of one process share with nobody.
    pub fn start(binary: &Path, home: &Path) -> Self {
        let secret = std::str::from_utf8(SECRET).expect("text");
        Self::start_with(
            binary,
            home,
            Ipv4Addr::LOCALHOST.into(),
            &["--relay.secret", secret, "--relay.allow-loopback=true"],
        )
    }

    /// At an address, with more flags.
    pub fn start_with(binary: &Path, home: &Path, ip: IpAddr, flags: &[&str]) -> Self {
        let (relay, secure, https) = (free_port(ip), free_port(ip), free_port(ip));
        let mut child = Command::new(binary)
            .current_dir(home)
            .env_remove("TANDEM_CONFIG")
            .args(["serve", "--http.address", &ip.to_string(), "--http.redirect-port", "0"])
            .args(["--http.port", &https.to_string(), "--http.drain-timeout", "2s"])
            .args(["--relay.port", &relay.to_string(), "--relay.tls-port", &secure.to_string()])
            .args(flags)
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
        let at = |port| SocketAddr::from((ip, port));
        let home = home.to_owned();
        let mut running = Self { child, out, err, relay: at(relay), secure: at(secure), https: at(https), home };
        running.wait_for_banner();
        running
    }

    pub fn wait_for_banner(&mut self) {
        let mut banner = String::new();
        while !banner.contains("Ctrl-C") {
            assert_ne!(self.out.read_line(&mut banner).expect("a line"), 0, "ended after: {banner}");
        }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Becomes another program, and waits until that serves.
    pub fn become_another(&mut self) {
        self.signal("USR2");
        self.logged("another program takes over");
        self.wait_for_banner();
    }

    /// The next line of the log with this in it.
    pub fn logged(&self, what: &str) -> String {
        loop {
            let line =
                self.err.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("never logged: {what}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Runs a command of the binary's beside it.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(BINARY)
            .current_dir(&self.home)
            .env_remove("TANDEM_CONFIG")
            .args(arguments)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

/// A peer that counts what it hears and sends it back.
pub fn echo() -> (SocketAddr, Arc<AtomicBool>, std::thread::JoinHandle<usize>) {
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
