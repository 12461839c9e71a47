//! An upgrade after settings were read again, and somebody was shut out: the next program knows all of it.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::relay_client::{Client, SECRET, until};
use crate::running::{BINARY, Running, echo};

fn write(home: &Path, secret: &[u8], more: &str) {
    let secret = std::str::from_utf8(secret).expect("text");
    let text = format!("[relay]\nsecret = \"{secret}\"\nallow_loopback = true\n{more}\n");
    std::fs::write(home.join("tandem.toml"), text).expect("written");
}

#[test]
fn the_next_program_has_the_reloaded_settings_the_former_secrets_and_who_was_shut_out() {
    let home = tempfile::tempdir().expect("a directory");
    write(home.path(), SECRET, "");
    let mut running =
        Running::start_with(Path::new(BINARY), home.path(), Ipv4Addr::LOCALHOST.into(), &["--config", "tandem.toml"]);
    let (peer, ..) = echo();
    let mut client = Client::udp(running.relay, "alice");
    client.allocate().expect("an allocation");
    client.bind(0x4000, peer).expect("a channel");
    // Twice, so that there is more than one former secret.
    for secret in [b"the second secret".as_slice(), b"the third secret"] {
        write(home.path(), secret, "denied_peers = [\"127.0.0.9\"]\nsession_packets_per_second = 5000");
        running.signal("HUP");
        running.logged("changed settings are in force");
    }
    running.command(&["turn", "kick", "--config", "tandem.toml", "--user", "mallory", "--revoke"]);

    running.become_another();

    client.say(0x4000, b"hello");
    assert_eq!(client.hear(), (0x4000, b"hello".to_vec()), "it goes on");
    assert_eq!(client.permit("127.0.0.9:9".parse().expect("an address")), Err(403));
    for secret in [SECRET, b"the second secret", b"the third secret"] {
        let allocated = Client::with_secret(running.relay, secret, "bob").allocate();
        assert!(allocated.is_ok(), "{}: {allocated:?}", String::from_utf8_lossy(secret));
        assert_eq!(Client::with_secret(running.relay, secret, "mallory").allocate(), Err(401));
    }
    assert_eq!(Client::with_secret(running.relay, b"never a secret", "bob").allocate(), Err(401));

    // And the one after it.
    running.become_another();
    Client::udp(running.relay, "bob").allocate().expect("an allocation with the first secret");
    assert_eq!(Client::udp(running.relay, "mallory").allocate(), Err(401));
}

#[test]
fn what_rules_of_realms_allow_goes_on() {
    let home = tempfile::tempdir().expect("a directory");
    let secret = std::str::from_utf8(SECRET).expect("text");
    let flags = ["--relay.secret", secret];
    let mut running = Running::start_with(Path::new(BINARY), home.path(), Ipv4Addr::LOCALHOST.into(), &flags);
    running.command(&["turn", "allowed", "add", "10.99.0.0/16"]);
    running.logged("the relay's realms have changed");
    let mut client = Client::udp(running.relay, "alice");
    client.allocate().expect("an allocation");
    let peer = "10.99.0.1:9".parse().expect("an address");
    until("the rule holds", || client.bind(0x4000, peer).is_ok());
    running.become_another();
    client.say(0x4000, b"hello");
    // It leaves for a network that is not there.
    until("the packet is relayed", || {
        let session = running.command(&["turn", "sessions", "--json"]);
        let session: serde_json::Value = serde_json::from_str(&session).expect("one session");
        session["up"]["packets"] == 1
    });
}

#[test]
fn what_goes_on_beyond_a_smaller_quota_still_counts() {
    let home = tempfile::tempdir().expect("a directory");
    let secret = std::str::from_utf8(SECRET).expect("text");
    let flags = ["--relay.secret", secret];
    let mut running = Running::start_with(Path::new(BINARY), home.path(), Ipv4Addr::LOCALHOST.into(), &flags);
    let mut clients: Vec<_> = (0..9).map(|user| Client::udp(running.relay, &format!("user{user}"))).collect();
    for client in &mut clients {
        client.allocate().expect("an allocation");
    }
    let mut carol = Client::udp(running.relay, "carol");
    running.command(&["turn", "realm", "set", "tandem", "--total-quota", "1"]);
    running.logged("the relay's realms have changed");
    until("the quota holds", || carol.allocate() == Err(486));

    running.become_another();

    let last = clients.pop();
    for mut client in clients {
        client.release().expect("what was beyond the quota went on");
        assert_eq!(carol.allocate(), Err(486), "others are left");
    }
    last.expect("one is left").release().expect("it went on, too");
    carol.allocate().expect("the realm has none");
}
