//! The binary in a process of its own, and what the system and its own metrics say of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// Connections that are not the attacker's: two people here, two there, and who reads the metrics.
pub const OTHERS: usize = 5;
/// Files SQLite may open in addition.
pub const DATABASE: usize = 12;
/// Far beyond what anything here takes: a test that waits so long hangs for good.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Process {
    child: Child,
    pub port: u16,
    pub certificate: CertificateDer<'static>,
    metrics: reqwest::Client,
    _home: tempfile::TempDir,
}

#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    pub all: usize,
    pub sockets: usize,
}

/// What became of the attacker's connections.
pub struct Counted {
    pub refused: usize,
    pub most_open: usize,
}

impl Process {
    pub fn start(per_address: usize) -> Process {
        let home = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .current_dir(home.path())
            .args(["serve", "--http.address", "127.0.0.1", "--http.port", "0", "--http.redirect-port", "0"])
            .args(["--relay.enabled=false", "--log.level", "warn"])
            // Whoever is in stays in while it is counted.
            .args(["--http.handshake-timeout", "10m", "--http.header-timeout", "10m"])
            .args(["--limits.requests-per-second", "100000", "--limits.requests-burst", "100000"])
            .args(["--limits.connections-per-address", &per_address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C") {
            assert_ne!(said.read_line(&mut banner).unwrap(), 0, "ended after: {banner}");
        }
        let link = banner.split("https://").nth(1).unwrap();
        let port = link.split([':', '/']).nth(1).unwrap().parse().unwrap();
        let certificate = CertificateDer::from_pem_file(home.path().join("data/tls/self-signed.pem")).unwrap();
        let metrics = reqwest::Client::builder()
            .add_root_certificate(reqwest::Certificate::from_der(&certificate).unwrap())
            .local_address(Some([127, 0, 0, 4].into()))
            .resolve("localhost", ([127, 0, 0, 1], 0).into())
            .build()
            .unwrap();
        Process { child, port, certificate, metrics, _home: home }
    }

    /// Bytes of memory it has.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most it ever had.
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
    }

    pub fn descriptors(&self) -> Descriptors {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets: Vec<_> = folder.map(|entry| std::fs::read_link(entry.unwrap().path())).collect();
        let is_socket = |target: &&std::io::Result<std::path::PathBuf>| {
            target.as_ref().is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        };
        Descriptors { all: targets.len(), sockets: targets.iter().filter(is_socket).count() }
    }

    /// Waits until all these connections have been accepted or refused.
    pub async fn judged(&self, connections: usize) -> Counted {
        let mut most_open = 0;
        let counted = async {
            loop {
                let page = self.metrics().await;
                let number = |name: &str| {
                    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
                    line.trim().parse::<usize>().unwrap()
                };
                most_open = most_open.max(number("http_connections_open "));
                let refused = number("http_connections_refused_total{limit=\"address\"} ");
                if number("http_connections_total ") + refused >= connections + OTHERS - 2 {
                    return refused;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let refused = tokio::time::timeout(PATIENCE, counted).await.expect("all connections were judged");
        Counted { refused, most_open }
    }

    async fn metrics(&self) -> String {
        let url = format!("https://localhost:{}/metrics", self.port);
        self.metrics.get(url).send().await.unwrap().text().await.unwrap()
    }

    pub async fn until(&mut self, is_so: impl Fn(&Process) -> bool) {
        let waited = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        assert!(waited.is_ok(), "still {:?}", self.descriptors());
    }

    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As far as the system lets us; how many there may be.
#[allow(unsafe_code, reason = "the standard library has no word for it")]
pub fn raise_descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write the one struct they are given.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}
