//! Users of the relay from the database: added by `tandem turn user` beside a running server, let in by their password.

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
