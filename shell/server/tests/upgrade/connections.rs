//! Connections with peers (RFC 6062): torn off, and nobody takes what it has got for the whole.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use crate::relay_client::Client;
use crate::running::{BINARY, Running};

#[test]
fn connections_with_peers_are_torn_off_at_both_ends_and_can_be_made_again() {
    let home = tempfile::tempdir().expect("a directory");
    let mut running = Running::start(Path::new(BINARY), home.path());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a peer");
    let at = listener.local_addr().expect("an address");
    let join = |running: &Running| {
        let mut control = Client::tcp(running.relay, "alice");
        control.allocate_tcp().expect("an allocation");
        control.permit(at).expect("a permission");
        let number = control.connect(at).expect("a connection");
        let (mut peer, _) = listener.accept().expect("the relay's connection");
        let mut data = Client::tcp(running.relay, "alice");
        data.bind_connection(number).expect("joined");
        data.send(b"half of a");
        let mut bytes = [0; 9];
        peer.read_exact(&mut bytes).expect("bytes in time");
        assert_eq!(&bytes, b"half of a");
        peer.write_all(b"yes").expect("sent");
        assert_eq!(data.read(3), b"yes");
        (control, data, peer)
    };
    let (mut control, mut data, mut peer) = join(&running);

    running.become_another();

    assert_eq!(peer.read(&mut [0; 10]).map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    assert!(data.is_torn());
    assert!(control.is_closed());
    drop(join(&running));
}
