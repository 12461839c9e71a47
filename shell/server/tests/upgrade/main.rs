//! The binary becomes another one while it relays: clients over UDP and TCP notice nothing, others come back.

mod connections;
mod kernel;
#[path = "../namespaces/mod.rs"]
mod namespaces;
#[path = "../relay_client/mod.rs"]
mod relay_client;
mod running;
mod secure;
mod settings;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use relay_client::{Client, until};
use running::{BINARY, Running, echo};

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
        running.signal("USR2");
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
        running.signal("USR2");
        let line = running.logged("no other program takes over");
        assert!(line.contains(reason), "{line}");
        client.refresh().expect("the old one answers");
    }
    until("it is still there", || std::net::TcpStream::connect(running.https).is_ok());
}
