//! The relay's commands: users added by `tandem turn user` beside a running server are let in by their password; `tandem
//! stun` tells how a server sees us.

mod running;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use running::Running;

/// `tandem turn user …` on this data directory.
fn turn_user(home: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["turn", "user"])
        .args(arguments)
        .arg("--data-dir")
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("read");
    child.wait_with_output().expect("it ends")
}

/// Whether coturn's client is let in with this password.
async fn lets_in(server: &Running, name: &'static str, password: &str) -> bool {
    let port = server.server.relay_port().expect("a relay").to_string();
    let password = password.to_owned();
    let client = tokio::task::spawn_blocking(move || {
        let arguments = ["-u", name, "-w", &password, "-p", &port, "-n", "5", "-z", "5", "-y", "-c", "127.0.0.1"];
        Command::new("turnutils_uclient").args(arguments).output().expect("the Debian package coturn")
    });
    client.await.expect("it ends").status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_added_beside_a_running_server_is_let_in_by_its_password_and_no_other() {
    let server = Running::start_with(|settings| {
        settings.relay.enabled = true;
        settings.relay.port = 0;
        settings.relay.tls_port = 0;
    })
    .await;
    let home = server.home.path();
    let added = turn_user(home, &["add", "alice", "--password-stdin"], "in wonderland\n");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    assert!(added.stdout.is_empty(), "the password is not repeated");
    assert!(lets_in(&server, "alice", "in wonderland").await);
    assert!(!lets_in(&server, "alice", "behind the looking glass").await);
    assert!(!lets_in(&server, "nobody", "in wonderland").await);

    let made = turn_user(home, &["add", "bob"], "");
    let password = String::from_utf8(made.stdout).expect("text");
    assert!(lets_in(&server, "bob", password.trim()).await, "a password that was made up");
    let listed = String::from_utf8(turn_user(home, &["list"], "").stdout).expect("text");
    assert_eq!(listed.lines().map(|line| line.split("  ").next()).collect::<Vec<_>>(), [Some("alice"), Some("bob")]);
    assert!(turn_user(home, &["remove", "bob"], "").status.success());
    assert!(!turn_user(home, &["remove", "bob"], "").status.success(), "it is gone");
    server.stop().await;
}

/// What `tandem stun` says of this server: its exit code and its answer.
fn stun(server: &str) -> (bool, String) {
    stun_with(&[server])
}

fn stun_with(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem")).arg("stun").args(arguments).output().expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn stun_tells_the_address_that_the_relay_and_coturn_see() {
    let server = Running::start_with(|settings| {
        settings.relay.enabled = true;
        settings.relay.port = 0;
        settings.relay.tls_port = 0;
    })
    .await;
    let ours = format!("127.0.0.1:{}", server.server.relay_port().expect("a relay"));
    let (found, text) = stun(&ours);
    assert!(found && text.starts_with("127.0.0.1:") && text.contains("no NAT"), "{text}");
    server.stop().await;
    let (found, text) = stun(&ours);
    assert!(!found && text.contains("nobody listens"), "{text}");
    let (found, text) = stun_with(&["nat", &ours]);
    assert!(!found && text.contains("nobody listens"), "{text}");

    let port = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let mut coturn = Command::new("turnserver")
        .args(["-n", "-L", "127.0.0.1", "-p", &port.to_string(), "--no-auth", "--no-tls", "--no-dtls", "--no-cli"])
        .args(["--pidfile", "", "--log-file", "stdout"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the Debian package coturn");
    let told = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let (found, text) = stun(&format!("127.0.0.1:{port}"));
        found && text.starts_with("127.0.0.1:")
    });
    coturn.kill().expect("it was there");
    coturn.wait().expect("it ended");
    assert!(told, "coturn has not answered");
}
