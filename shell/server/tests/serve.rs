//! The binary itself: banner, signals, exit codes, and what it says when it cannot start.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_tandem");

fn tandem(home: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(home).env_remove("TANDEM_CONFIG").stdin(Stdio::null());
    command
}

fn serve(home: &Path) -> Command {
    let mut command = tandem(home);
    command.args(["serve", "--http.address", "127.0.0.1", "--http.redirect-port", "0", "--relay.enabled=false"]);
    command
}

struct Served {
    child: Child,
    banner: String,
    rest: BufReader<std::process::ChildStdout>,
}

/// Starts it and reads what it prints until it is up.
fn start(home: &Path) -> Served {
    let mut command = serve(home);
    let mut child =
        command.args(["--http.port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
    let mut rest = BufReader::new(child.stdout.take().expect("its output"));
    let mut banner = String::new();
    while !banner.contains("Ctrl-C") {
        assert_ne!(rest.read_line(&mut banner).expect("a line"), 0, "ended after: {banner}");
    }
    Served { child, banner, rest }
}

impl Served {
    fn port(&self) -> String {
        let link =
            self.banner.split("https://localhost:").nth(1).or_else(|| self.banner.split("https://127.0.0.1:").nth(1));
        link.and_then(|rest| rest.split('/').next()).expect("a link with a port").to_owned()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.rest.read_to_string(&mut text).expect("the rest");
        (self.child.wait().expect("its end").code(), text)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn it_prints_where_to_go_and_ends_well_on_a_signal() {
    for signal in ["-INT", "-TERM"] {
        let home = tempfile::tempdir().expect("a directory");
        let served = start(home.path());
        assert!(served.banner.contains("https://"), "{}", served.banner);
        assert!(served.banner.contains("not private"), "{}", served.banner);
        assert!(!served.banner.contains('\x1b'), "plain where it is no terminal");
        served.signal(signal);
        assert_eq!(served.end().0, Some(0), "{signal}");
        assert!(home.path().join("data/tandem.db").exists());
    }
}

#[test]
fn health_tells_a_running_server_from_none() {
    let home = tempfile::tempdir().expect("a directory");
    let served = start(home.path());
    let port = served.port();
    let ask = || {
        tandem(home.path())
            .args(["health", "--http.address", "127.0.0.1", "--http.port", &port])
            .output()
            .expect("an answer")
    };
    let well = ask();
    assert!(well.status.success(), "{}", text(&well));
    served.signal("-TERM");
    assert_eq!(served.end().0, Some(0));
    let gone = ask();
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone).contains("is it running"), "{}", text(&gone));
}

#[test]
fn a_port_in_use_and_a_data_directory_in_use_are_explained() {
    let home = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let output = serve(home.path()).args(["--http.port", &port]).output().expect("an end");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("in use by another program"), "{}", text(&output));
    assert!(text(&output).contains("--http.port"), "{}", text(&output));

    let served = start(home.path());
    let output = serve(home.path()).args(["--http.port", "0"]).output().expect("an end");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("another tandem"), "{}", text(&output));
    served.signal("-TERM");
    assert_eq!(served.end().0, Some(0));
}

#[test]
fn wrong_settings_have_an_exit_code_of_their_own() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join("tandem.toml"), "[http]\nprot = 1\n").expect("a file");
    for arguments in [["serve"].as_slice(), &["config", "check"], &["config", "show"], &["key", "list"]] {
        let output = tandem(home.path()).args(arguments).output().expect("an end");
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains("did you mean `http.port`?"), "{}", text(&output));
    }
    std::fs::write(home.path().join("tandem.toml"), "[http]\nport = 1\n").expect("a file");
    let output = tandem(home.path()).args(["config", "check"]).output().expect("an end");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let home = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| tandem(home.path()).args(arguments).output().expect("an end");
    let made = run(&["key", "create", "--name", "billing"]);
    let key = String::from_utf8(made.stdout).expect("text").trim().to_owned();
    assert!(key.starts_with("tk_"), "{key}");
    let listed = text(&run(&["key", "list"]));
    assert!(listed.contains("billing") && listed.contains("never used"), "{listed}");
    assert!(!listed.contains(&key), "{listed}");
    let id = key.split('_').nth(1).expect("an identity").to_owned();
    assert!(run(&["key", "revoke", &id]).status.success());
    assert!(!run(&["key", "revoke", &id]).status.success());
    assert!(text(&run(&["key", "list"])).contains("revoked"));
}
