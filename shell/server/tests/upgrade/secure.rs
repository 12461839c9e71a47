//! Clients whose keys stay behind: TLS and DTLS. They are told, and come back.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use crate::relay_client::Client;
use crate::running::{BINARY, Running};

fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket")
}

#[test]
fn clients_over_dtls_are_told_and_go_on_with_their_ticket_or_begin_anew_at_the_same_port() {
    let home = tempfile::tempdir().expect("a directory");
    let mut running = Running::start(Path::new(BINARY), home.path());
    let (peer, first) = (socket(), socket());
    peer.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a timeout");
    let at = peer.local_addr().expect("an address");
    let again = first.try_clone().expect("the same port");
    let second = socket();
    let same = second.try_clone().expect("the same port");
    let mut mobile = Client::dtls(second, running.secure, "alice");
    let ticket = mobile.allocate_mobile().expect("a mobile allocation");
    mobile.bind(0x4000, at).expect("a channel");
    let mut plain = Client::dtls(first, running.relay, "bob");
    let before = plain.allocate().expect("an allocation");
    // One that only asks is told as well.
    let mut idle = Client::dtls(socket(), running.relay, "carol");

    running.become_another();

    assert!(mobile.is_closed() && plain.is_closed() && idle.is_closed(), "all are told");
    let sessions = running.command(&["turn", "sessions", "--json"]);
    assert!(sessions.contains("alice") && !sessions.contains("bob"), "{sessions}");
    let mut mobile = Client::dtls(same, running.secure, "alice");
    mobile.resume(&ticket).expect("the allocation is there");
    mobile.say(0x4000, b"as before");
    let mut bytes = [0; 100];
    let (length, relayed) = peer.recv_from(&mut bytes).expect("a datagram in time");
    assert_eq!(&bytes[..length], b"as before");
    peer.send_to(b"and back", relayed).expect("sent");
    assert_eq!(mobile.hear(), (0x4000, b"and back".to_vec()));
    // The others begin anew, also from where they were.
    let mut plain = Client::dtls(again, running.relay, "bob");
    let after = plain.allocate().expect("another allocation");
    assert_ne!(before, after);
}

#[test]
fn clients_over_tls_are_told_and_come_back() {
    let home = tempfile::tempdir().expect("a directory");
    let mut running = Running::start(Path::new(BINARY), home.path());
    let mut mobile = Client::tls(running.secure, "alice", b"stun.turn");
    let ticket = mobile.allocate_mobile().expect("a mobile allocation");
    let mut plain = Client::tls(running.https, "bob", b"stun.turn");
    plain.allocate().expect("an allocation");

    running.become_another();

    assert!(mobile.is_closed() && plain.is_closed(), "both are told");
    let sessions = running.command(&["turn", "sessions", "--json"]);
    assert!(sessions.contains("alice") && !sessions.contains("bob"), "{sessions}");
    let mut mobile = Client::tls(running.secure, "alice", b"stun.turn");
    mobile.resume(&ticket).expect("the allocation is there");
    Client::tls(running.https, "bob", b"stun.turn").allocate().expect("another allocation");
}
