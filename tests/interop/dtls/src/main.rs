//! One end of ours and one of OpenSSL's, over UDP on this machine.

use std::error::Error;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tandem_dtls::{Breadth, Ended, Fingerprint, Identity, Key, Local, Peer, PeerEvent, Role, SrtpKeys, SrtpProfile};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Of OpenSSL.
    certificate: &'static str,
    breadth: Breadth,
    /// Ours.
    role: Role,
    profiles: &'static str,
    trouble: Trouble,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// A quarter of the datagrams is lost, both ways.
    Loss,
    /// OpenSSL cuts its messages into small fragments.
    SmallDatagrams,
    /// As OpenSSL was before 1.1.0.
    NoExtendedMasterSecret,
}

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("tandem-interop-dtls-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = make_certificates(&folder).and_then(|()| run_all(&folder));
    std::fs::remove_dir_all(&folder)?;
    result
}

fn run_all(folder: &Path) -> Result<()> {
    let local = Local::new(Identity::new(
        &std::fs::read(folder.join("ours.der"))?,
        Key::Pkcs8(&std::fs::read(folder.join("ours.pkcs8"))?),
    )?)?;
    let tries: Vec<_> = cases()
        .into_iter()
        .map(|case| {
            let (folder, local) = (folder.to_path_buf(), local.clone());
            (case, thread::spawn(move || try_case(&folder, &local, case).map_err(|error| error.to_string())))
        })
        .collect();
    let mut failed = 0;
    for (case, done) in tries {
        match done.join().map_err(|_| "a thread has panicked")? {
            Ok(profile) => println!("ok  {case:?}: {profile:?}"),
            Err(error) => {
                failed += 1;
                eprintln!("FAILED  {case:?}: {error}");
            }
        }
    }
    if failed > 0 { Err(format!("{failed} have failed").into()) } else { Ok(()) }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for role in [Role::Client, Role::Server] {
        for certificate in ["rsa-2048", "rsa-4096", "p-256", "p-384"] {
            let trouble = Trouble::None;
            cases.push(Case { certificate, breadth: Breadth::Everybody, role, profiles: ALL, trouble });
        }
        for profiles in ["SRTP_AES128_CM_SHA1_80", "SRTP_AEAD_AES_256_GCM"] {
            let (certificate, trouble) = ("rsa-2048", Trouble::None);
            cases.push(Case { certificate, breadth: Breadth::Everybody, role, profiles, trouble });
        }
        for trouble in [Trouble::Loss, Trouble::SmallDatagrams, Trouble::NoExtendedMasterSecret] {
            cases.push(Case { certificate: "rsa-2048", breadth: Breadth::Everybody, role, profiles: ALL, trouble });
        }
        for trouble in [Trouble::None, Trouble::Loss] {
            cases.push(Case { certificate: "p-256", breadth: Breadth::Browsers, role, profiles: ALL, trouble });
        }
    }
    cases
}

fn make_certificates(folder: &Path) -> Result<()> {
    let kinds: [(&str, &[&str]); 5] = [
        ("ours", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("rsa-2048", &["rsa:2048"]),
        ("rsa-4096", &["rsa:4096"]),
        ("p-256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("p-384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ];
    for (name, kind) in kinds {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let openssl = |arguments: &[&str]| -> Result<()> {
            let output = Command::new("openssl").args(arguments).current_dir(folder).output()?;
            output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into())
        };
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let (key, certificate) = (text(file("key")), text(file("pem")));
        let request = ["req", "-x509", "-nodes", "-subj", "/CN=peer", "-keyout", &key, "-out", &certificate, "-newkey"];
        openssl(&[&request[..], kind].concat())?;
        openssl(&["x509", "-in", &certificate, "-outform", "DER", "-out", &text(file("der"))])?;
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-outform", "DER", "-out", &text(file("pkcs8"))])?;
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &certificate])
            .output()?;
        std::fs::write(file("fingerprint"), output.stdout)?;
    }
    std::fs::write(
        folder.join("old.cnf"),
        "openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nsystem_default = set\n[set]\nOptions = -ExtendedMasterSecret\n",
    )?;
    Ok(())
}

/// The keys agree, both speak, and who says good-bye is heard. Which cipher of SRTP it was.
fn try_case(folder: &Path, local: &Local, case: Case) -> Result<SrtpProfile> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut foreign = Foreign::start(folder, case, &socket)?;
    let fingerprint = std::fs::read_to_string(folder.join(format!("{}.fingerprint", case.certificate)))?;
    let digits = fingerprint.trim().split_once('=').ok_or("no fingerprint")?.1;
    let expected = vec![Fingerprint::parse(&format!("sha-256 {digits}"))?];
    let peer = Peer::new(Instant::now(), local, case.role, expected, case.breadth);
    let mut ours = Ours {
        peer,
        socket,
        case,
        dice: 0x9E37_79B9_7F4A_7C15,
        lost_in: false,
        lost_out: false,
        keys: None,
        connected: false,
        received: Vec::new(),
        ended: None,
    };
    let result = exchange(&mut ours, &mut foreign);
    let _ = foreign.child.kill();
    let _ = foreign.child.wait();
    result.map_err(|error| format!("{error}; OpenSSL said:\n{}", foreign.said()).into())
}

fn exchange(ours: &mut Ours, foreign: &mut Foreign) -> Result<SrtpProfile> {
    ours.until("a connection", |ours| ours.connected && foreign.said().contains("Keying material: "))?;
    let keys = ours.keys.take().ok_or("connected without keys")?;
    if ours.case.trouble == Trouble::NoExtendedMasterSecret && ours.case.role == Role::Server {
        // `s_server` does not tell.
        ours.until("word that there is none", |_| foreign.said().contains("Extended master secret: no"))?;
    }
    let exported = foreign.keying_material()?;
    if !exported.starts_with(&material(&keys, ours.case.role)) {
        return Err("the keys differ".into());
    }
    // Whatever is sealed may be lost for good; both say it until it is heard.
    ours.until("a greeting here and there", |ours| {
        let _ = foreign.stdin(b"greetings from afar\n");
        let heard = foreign.said().contains("greetings from here");
        let hears = ours.received.windows(19).any(|words| words == b"greetings from afar");
        !ours.peer.send(b"greetings from here\n") || heard && hears
    })?;
    if ours.case.trouble == Trouble::Loss {
        return Ok(keys.profile);
    }
    // `s_server` closes its socket before it could say good-bye.
    if ours.case.role == Role::Server {
        ours.until("its good-bye", |ours| {
            // Only the first letter of what it reads at once counts.
            let _ = foreign.stdin(b"Q\n");
            ours.ended == Some(Ended::Closed)
        })?;
    }
    ours.peer.close();
    ours.until("that it goes", |_| foreign.child.try_wait().is_ok_and(|status| status.is_some()))?;
    Ok(keys.profile)
}

/// RFC 5764 §4.2.
fn material(keys: &SrtpKeys, role: Role) -> Vec<u8> {
    let (client, server) = if role == Role::Client { (&keys.ours, &keys.theirs) } else { (&keys.theirs, &keys.ours) };
    [&client.0[..], &server.0, &client.1, &server.1].concat()
}

struct Ours {
    peer: Peer,
    socket: UdpSocket,
    case: Case,
    dice: u64,
    /// Whether the last datagram was lost.
    lost_in: bool,
    lost_out: bool,
    keys: Option<SrtpKeys>,
    connected: bool,
    received: Vec<u8>,
    ended: Option<Ended>,
}

impl Ours {
    /// Goes on until it is so, or has been too long for any handshake.
    fn until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) -> Result<()> {
        let begin = Instant::now();
        self.socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let mut buffer = [0; 4_096];
        while begin.elapsed() < Duration::from_secs(60) {
            self.drain()?;
            if so(self) {
                return self.drain();
            }
            // Refused: OpenSSL does not listen yet, or any more.
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                if self.case.role == Role::Server {
                    self.socket.connect(from)?;
                }
                if self.passes(Direction::In) {
                    self.peer.handle_datagram(Instant::now(), &buffer[..length]);
                }
            }
            self.drain()?;
            self.peer.handle_timeout(Instant::now());
        }
        Err(format!("waited in vain for {what}, ended: {:?}", self.ended).into())
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            let sent = match self.peer.poll_output() {
                PeerEvent::Send(datagram) => Some(datagram.to_vec()),
                PeerEvent::Received(data) => {
                    self.received.extend_from_slice(data);
                    None
                }
                PeerEvent::Keys(keys) => {
                    self.keys = Some(keys);
                    None
                }
                PeerEvent::Connected => {
                    self.connected = true;
                    None
                }
                PeerEvent::Ended(why) => {
                    self.ended = Some(why);
                    None
                }
                PeerEvent::Wait(_) => return Ok(()),
            };
            if let Some(datagram) = sent.filter(|_| self.passes(Direction::Out)) {
                let _ = self.socket.send(&datagram);
            }
        }
    }

    fn passes(&mut self, direction: Direction) -> bool {
        // xorshift64: in no rhythm that would fit that of retransmissions.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let before = match direction {
            Direction::In => &mut self.lost_in,
            Direction::Out => &mut self.lost_out,
        };
        // Never two after one another, since after a few attempts OpenSSL waits for longer than a handshake may take.
        *before = self.case.trouble == Trouble::Loss && !*before && self.dice.is_multiple_of(3);
        !*before
    }
}

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

struct Foreign {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Foreign {
    fn start(folder: &Path, case: Case, socket: &UdpSocket) -> Result<Self> {
        let mut command = Command::new("openssl");
        if case.role == Role::Client {
            // A port that was free a moment ago.
            let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
            socket.connect(("127.0.0.1", port))?;
            command.args(["s_server", "-naccept", "1", "-Verify", "1", "-accept", &format!("127.0.0.1:{port}")]);
        } else {
            command.args(["s_client", "-connect", &socket.local_addr()?.to_string()]);
        }
        command
            .args(["-dtls1_2", "-use_srtp", case.profiles, "-cert"])
            .arg(folder.join(format!("{}.pem", case.certificate)))
            .arg("-key")
            .arg(folder.join(format!("{}.key", case.certificate)))
            .args(["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", &EXPORTED.to_string()]);
        match (case.breadth, case.trouble) {
            (Breadth::Everybody, Trouble::SmallDatagrams) => command.args(["-mtu", "300"]),
            // By itself it cuts into 256 bytes, and after a loss elsewhere than before. `dimpl` 0.9 never makes a message of such
            // fragments; those that browsers send are whole.
            (Breadth::Browsers, _) => command.args(["-mtu", "1200"]),
            (Breadth::Everybody, _) => &mut command,
        };
        if case.trouble == Trouble::NoExtendedMasterSecret {
            command.env("OPENSSL_CONF", folder.join("old.cnf"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let said = Arc::new(Mutex::new(Vec::new()));
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        for mut pipe in pipes.into_iter().flatten() {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                    said.lock().expect("no panic while it is held").extend_from_slice(&buffer[..length]);
                }
            });
        }
        Ok(Self { child, said })
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no panic while it is held")).into_owned()
    }

    fn stdin(&mut self, words: &[u8]) -> Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or("no standard input")?;
        stdin.write_all(words)?;
        Ok(stdin.flush()?)
    }

    fn keying_material(&self) -> Result<Vec<u8>> {
        let said = self.said();
        let (_, rest) = said.split_once("Keying material: ").ok_or("no keying material")?;
        let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16))
            .collect::<std::result::Result<_, _>>()?;
        if bytes.len() == EXPORTED {
            Ok(bytes)
        } else {
            Err(format!("{} bytes of keying material", bytes.len()).into())
        }
    }
}

const ALL: &str = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM";
/// What the longest of the ciphers wants: two keys of 32 bytes, two salts of 12.
const EXPORTED: usize = 88;
