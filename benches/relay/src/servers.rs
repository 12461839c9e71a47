//! Starting the servers under test, each alone on its processor.

use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use tandem_stun::credential;

use crate::os;
use crate::place::Place;
use crate::turn::Login;

/// Whether ours relays inside the kernel, which takes a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offload {
    None,
    Kernel,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    Tandem,
    Coturn,
    /// No TURN at all: what forwarding costs.
    Floor,
}

impl Server {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tandem => "tandem",
            Self::Coturn => "coturn",
            Self::Floor => "floor",
        }
    }
}

/// Where the programs are and how they run.
pub struct Programs {
    pub tandem: PathBuf,
    pub coturn: PathBuf,
    pub realtime: bool,
    /// For certificates, databases and logs.
    pub folder: PathBuf,
}

/// A server that answers. Dropping it ends it.
pub struct Running<'a> {
    pub kind: Server,
    pub place: &'a Place,
    pub plain: SocketAddrV4,
    pub tls: SocketAddrV4,
    pub login: Login,
    child: Child,
}

impl Running<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Programs {
    /// Starts a server and waits until it answers.
    pub fn start<'a>(&self, kind: Server, place: &'a Place, offload: Offload) -> anyhow::Result<Running<'a>> {
        let (plain, tls) = (free_port()?, free_port()?);
        std::fs::create_dir_all(&self.folder)?;
        let (mut command, login) = match kind {
            Server::Tandem => self.tandem(place, (plain, tls), offload)?,
            Server::Coturn => (self.coturn(place, (plain, tls))?, login("bench", PASSWORD)),
            Server::Floor => (floor(plain)?, login("", "")),
        };
        let log = std::fs::File::create(self.folder.join(format!("{}.log", kind.name())))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let realtime = self.realtime;
        // SAFETY: between fork and exec only system calls are made.
        unsafe {
            command.pre_exec(move || {
                os::pin(SERVER_PROCESSOR)?;
                if realtime { os::set_realtime() } else { Ok(()) }
            });
        }
        let child = command.spawn().with_context(|| format!("{} does not start", kind.name()))?;
        let address = |port| SocketAddrV4::new(place.server(), port);
        let running = Running { kind, place, plain: address(plain), tls: address(tls), login, child };
        wait(&running).with_context(|| format!("see {}", self.folder.display()))?;
        Ok(running)
    }

    fn tandem(&self, place: &Place, (plain, tls): (u16, u16), offload: Offload) -> anyhow::Result<(Command, Login)> {
        let data = self.folder.join("data");
        let mut command = place.command(&self.tandem);
        command.arg("serve").env("TANDEM_DATA_DIR", &data).current_dir(&self.folder);
        let settings = [
            ("HTTP_ADDRESS", place.server().to_string()),
            ("HTTP_PORT", "0".to_owned()),
            ("HTTP_REDIRECT_PORT", "0".to_owned()),
            ("RELAY_PORT", plain.to_string()),
            ("RELAY_TLS_PORT", tls.to_string()),
            ("RELAY_ALLOW_LOOPBACK", "true".to_owned()),
            ("RELAY_ALLOW_PEERS", "10.78.0.0/16".to_owned()),
            ("RELAY_OFFLOAD", if offload == Offload::Kernel { "near" } else { "" }.to_owned()),
            ("RELAY_SECRET", PASSWORD.to_owned()),
            ("RELAY_ALLOCATIONS", "16000".to_owned()),
            ("RELAY_ALLOCATIONS_PER_USER", "16000".to_owned()),
        ];
        for (name, value) in settings {
            command.env(format!("TANDEM_{name}"), value);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let made = credential::credential(PASSWORD.as_bytes(), now + 3_600, "bench");
        Ok((command, login(&made.username, &made.password)))
    }

    /// Debian's coturn with one relay thread.
    fn coturn(&self, place: &Place, (plain, tls): (u16, u16)) -> anyhow::Result<Command> {
        let (certificate, key) = (self.folder.join("cert.pem"), self.folder.join("key.pem"));
        if !certificate.exists() {
            make_certificate(&certificate, &key)?;
        }
        let mut command = place.command(&self.coturn);
        command.args(["-n", "-m", "1", "--lt-cred-mech"]);
        command.arg(format!("--listening-ip={0}", place.server())).arg(format!("--relay-ip={0}", place.server()));
        command.args(["--realm=tandem", "--fingerprint", "--allow-loopback-peers", "--no-cli", "--log-file=stdout"]);
        command.args(["--min-port=49152", "--max-port=65535", "--simple-log"]);
        command.arg(format!("--user=bench:{PASSWORD}"));
        command.arg(format!("--listening-port={plain}")).arg(format!("--tls-listening-port={tls}"));
        command.arg(format!("--pidfile={}", self.folder.join("coturn.pid").display()));
        command.arg(format!("--userdb={}", self.folder.join("coturn.db").display()));
        command.arg(format!("--cert={}", certificate.display())).arg(format!("--pkey={}", key.display()));
        Ok(command)
    }
}

fn login(username: &str, password: &str) -> Login {
    Login { username: username.to_owned(), password: password.to_owned(), realm: "tandem".to_owned() }
}

fn floor(port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", &port.to_string()]);
    Ok(command)
}

/// Of the kind `tandem` makes for itself.
fn make_certificate(certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=localhost", "-out"])
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output()
        .context("openssl")?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A port free over UDP and TCP, at least for the moment; below the ports that are relayed on.
fn free_port() -> anyhow::Result<u16> {
    let seed = u64::from(std::process::id()) ^ u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos());
    for step in 0..1_000 {
        let port = u16::try_from(10_000 + (seed + step * 7) % 20_000)?;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

/// Asks by Binding until there is an answer.
fn wait(server: &Running<'_>) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((server.place.client(0), 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let end = Instant::now() + Duration::from_secs(20);
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    while Instant::now() < end {
        let _ = socket.send_to(&request, server.plain);
        if socket.recv(&mut [0; 256]).is_ok() {
            // What a start leaves to do is done then.
            std::thread::sleep(Duration::from_millis(500));
            return Ok(());
        }
    }
    bail!("{} does not answer", server.kind.name())
}

/// The processor the server has for itself.
const SERVER_PROCESSOR: usize = 0;
/// And the load.
pub const CLIENT_PROCESSOR: usize = 1;
const PASSWORD: &str = "a secret of the bench";
