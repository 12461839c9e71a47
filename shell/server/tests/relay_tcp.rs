//! RFC 6062 over real sockets: bytes between clients and peers, whatever shard either reaches.

mod relay_client;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use relay_client::{Client, self_signed, start, until};
use tandem_server::relay::{Config, Handle, Tls};

/// A relay that may reach this host, on several shards.
fn relay(change: impl FnOnce(&mut Config)) -> Handle {
    start(|config| {
        config.peers.allow_loopback = true;
        config.shards = NonZeroU16::new(3);
        config.tls = Some(Tls { port: 0, config: self_signed() });
        change(config);
    })
}

/// How clients come.
#[derive(Clone, Copy, Debug)]
enum Over {
    Tcp,
    Tls,
}

fn client(relay: &Handle, over: Over) -> Client {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match over {
        Over::Tcp => Client::tcp(at(relay.port()), "alice"),
        Over::Tls => Client::tls(at(relay.tls_port().expect("TLS")), "alice", b""),
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let at = listener.local_addr().expect("an address");
    (listener, at)
}

/// The next who connects.
fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, from) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    (stream, from)
}

/// A client's and a peer's connection, joined, and the client's other connection, which keeps them alive.
fn joined(relay: &Handle, over: Over) -> (Client, Client, TcpStream) {
    let mut control = client(relay, over);
    let relayed = control.allocate_tcp().expect("an allocation");
    let (listener, at) = listener();
    let number = control.connect(at).expect("a connection");
    let (peer, from) = accept(&listener);
    assert_eq!(from, relayed, "peers see the relayed address");
    let mut data = client(relay, over);
    data.bind_connection(number).expect("bound");
    (control, data, peer)
}

fn read(peer: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    peer.read_exact(&mut bytes).expect("bytes in time");
    bytes
}

/// Bytes that tell where they belong.
fn pattern(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_be_bytes).take(length).collect()
}

#[test]
fn bytes_go_through_both_ways_whatever_shards_the_two_connections_reach() {
    let relay = relay(|_| {});
    for over in [Over::Tcp, Over::Tls] {
        // The kernel spreads the connections: among eight pairs some are on different shards.
        let mut pairs: Vec<_> = (0..8).map(|_| joined(&relay, over)).collect();
        for (_, data, peer) in &mut pairs {
            data.send(b"hello");
            assert_eq!(read(peer, 5), b"hello");
            peer.write_all(b"back").expect("sent");
            assert_eq!(data.read(4), b"back");
        }
    }
    until("all are counted", || relay.stats().turn.connected == 16);
    until("what they carried is counted", || relay.stats().turn.bytes == 16 * 9);
    assert_eq!(relay.stats().turn.packets, 0);
}

#[test]
fn a_permitted_peer_connects_in_and_what_it_says_at_once_is_not_lost() {
    let relay = relay(|_| {});
    let mut control = client(&relay, Over::Tcp);
    let relayed = control.allocate_tcp().expect("an allocation");
    let mut stranger = TcpStream::connect(relayed).expect("accepted before it is judged");
    stranger.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    assert!(matches!(stranger.read(&mut [0; 1]), Ok(0) | Err(_)), "and closed");
    control.permit((Ipv4Addr::LOCALHOST, 1).into()).expect("a permission");
    let mut peer = TcpStream::connect(relayed).expect("a connection");
    peer.write_all(b"first words").expect("sent");
    let (from, number) = control.attempt();
    assert_eq!(from, peer.local_addr().expect("an address"));
    let mut data = client(&relay, Over::Tcp);
    data.bind_connection(number).expect("bound");
    assert_eq!(data.read(11), b"first words");
    data.send(b"answer");
    assert_eq!(read(&mut peer, 6), b"answer");
}

#[test]
fn two_clients_of_one_relay_reach_each_other_and_nothing_else_of_this_host() {
    // Loopback is closed: they are let through because they are relayed here.
    let relay = relay(|config| config.peers.allow_loopback = false);
    let (mut caller, mut called) = (client(&relay, Over::Tcp), client(&relay, Over::Tcp));
    let caller_at = caller.allocate_tcp().expect("an allocation");
    let called_at = called.allocate_tcp().expect("an allocation");
    called.permit(caller_at).expect("a permission");
    let number = caller.connect(called_at).expect("a connection");
    let (from, other) = called.attempt();
    assert_eq!(from, caller_at);
    let (mut left, mut right) = (client(&relay, Over::Tcp), client(&relay, Over::Tls));
    left.bind_connection(number).expect("bound");
    right.bind_connection(other).expect("bound");
    left.send(b"hello");
    assert_eq!(right.read(5), b"hello");
    right.send(b"back");
    assert_eq!(left.read(4), b"back");
    let (_listener, at) = listener();
    assert!(matches!(caller.connect(at), Err(403 | 447)));
    drop((called, left, right));
    until("it is gone", || relay.stats().turn.allocations == 1 && relay.stats().turn.connections == 0);
    assert_eq!(caller.connect(called_at), Err(447));
}

#[test]
fn each_direction_ends_on_its_own() {
    let relay = relay(|_| {});
    for over in [Over::Tcp, Over::Tls] {
        let (_control, mut data, mut peer) = joined(&relay, over);
        data.send(b"question");
        data.end();
        let mut question = Vec::new();
        peer.read_to_end(&mut question).expect("an end");
        assert_eq!(question, b"question");
        peer.write_all(b"answer").expect("sent");
        peer.shutdown(Shutdown::Write).expect("an end");
        assert_eq!(data.read(6), b"answer");
        assert!(data.is_closed());
        until("nothing is left of it", || relay.stats().turn.connections == 0);
    }
}

#[test]
fn a_slow_reader_holds_its_peer_up_and_misses_nothing() {
    let relay = relay(|config| {
        (config.limits.bytes_per_second, config.limits.burst_bytes) = (u64::MAX / 1_000_000, 1 << 40);
    });
    for over in [Over::Tcp, Over::Tls] {
        let (_control, mut data, mut peer) = joined(&relay, over);
        let all = pattern(1 << 20);
        peer.set_nonblocking(true).expect("a mode");
        let (mut sent, mut idle_since) = (0_usize, Instant::now());
        // Until nobody takes anything: the kernel's buffers and one reading of the relay's are full.
        while idle_since.elapsed() < Duration::from_secs(1) {
            match peer.write(&all[sent % all.len()..]) {
                Ok(count) => {
                    sent += count;
                    idle_since = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => panic!("{error}"),
            }
            assert!(sent < 256 << 20, "there is no end to what is taken");
        }
        let mut heard = 0;
        while heard < sent {
            let at = heard % all.len();
            let length = (sent - heard).min(all.len() - at).min(65_536);
            assert_eq!(data.read(length), all[at..at + length]);
            heard += length;
        }
        peer.write_all(b"still there").expect("there is room again");
        assert_eq!(data.read(11), b"still there");
    }
}

#[test]
fn much_data_both_ways_at_once_arrives_whole() {
    let relay = relay(|config| {
        (config.limits.bytes_per_second, config.limits.burst_bytes) = (u64::MAX / 1_000_000, 1 << 40);
    });
    for over in [Over::Tcp, Over::Tls] {
        let (_control, mut data, mut peer) = joined(&relay, over);
        let all = pattern(4 << 20);
        let mut echo = peer.try_clone().expect("a handle");
        let echoes = std::thread::spawn(move || std::io::copy(&mut echo, &mut peer));
        // Piece by piece, each as long as what the kernel keeps: one thread writes and reads.
        for piece in all.chunks(100_000) {
            data.send(piece);
            assert_eq!(data.read(piece.len()), piece);
        }
        data.end();
        echoes.join().expect("the echo ends").expect("without an error");
    }
}

#[test]
fn more_bytes_than_allowed_come_later_and_none_is_lost() {
    let relay = relay(|config| (config.limits.bytes_per_second, config.limits.burst_bytes) = (2_000_000, 10_000));
    let (_control, mut data, mut peer) = joined(&relay, Over::Tcp);
    let (all, begun) = (pattern(1_000_000), Instant::now());
    let copy = all.clone();
    let writes = std::thread::spawn(move || peer.write_all(&copy).map(|()| peer));
    assert_eq!(data.read(all.len()), all);
    let _peer = writes.join().expect("the writer ends").expect("without an error");
    // All but the burst and what one turn reads at most, 256 KiB, which is paid for afterwards.
    assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());
}

#[test]
fn bytes_behind_a_connection_bind_are_the_peers() {
    let relay = relay(|_| {});
    for _ in 0..6 {
        let mut control = client(&relay, Over::Tcp);
        control.allocate_tcp().expect("an allocation");
        let (listener, at) = listener();
        let number = control.connect(at).expect("a connection");
        let (mut peer, _) = accept(&listener);
        let mut data = client(&relay, Over::Tcp);
        data.bind_connection_and_say(number, &pattern(10_000));
        assert_eq!(read(&mut peer, 10_000), pattern(10_000));
    }
}

#[test]
fn a_peer_that_refuses_is_447_and_the_port_is_used_again() {
    let relay = relay(|_| {});
    let mut control = client(&relay, Over::Tcp);
    control.allocate_tcp().expect("an allocation");
    let (gone, at) = listener();
    drop(gone);
    assert_eq!(control.connect(at), Err(447));
    assert_eq!(control.connect((Ipv4Addr::LOCALHOST, relay.port()).into()), Err(403), "our own listener");
    assert_eq!(control.connect((Ipv4Addr::LOCALHOST, relay.tls_port().expect("TLS")).into()), Err(403));
    // Several at once from one relayed address.
    let listeners: Vec<_> = (0..3).map(|_| listener()).collect();
    for (_, at) in &listeners {
        control.connect(*at).expect("a connection");
        assert_eq!(control.connect(*at), Err(446));
    }
}

#[test]
fn the_end_of_the_control_connection_ends_all_others() {
    let relay = relay(|_| {});
    let (control, mut data, mut peer) = joined(&relay, Over::Tcp);
    drop(control);
    assert!(data.is_closed());
    assert!(matches!(peer.read(&mut [0; 1]), Ok(0) | Err(_)));
    until("nothing is left", || relay.stats().turn.connections == 0 && relay.stats().turn.allocations == 0);
}

#[test]
fn a_revoked_user_loses_its_connections() {
    let relay = relay(|_| {});
    let (mut control, mut data, mut peer) = joined(&relay, Over::Tls);
    relay.revoke("alice");
    assert!(control.is_closed() && data.is_closed());
    assert!(matches!(peer.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn one_side_torn_off_tears_off_the_other() {
    let relay = relay(|_| {});
    let (_control, mut data, peer) = joined(&relay, Over::Tcp);
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(peer);
    assert!(data.is_closed());
    until("nothing is left of it", || relay.stats().turn.connections == 0);
}

#[test]
fn a_client_has_so_many_connections_and_no_more() {
    let relay = relay(|config| config.limits.connections_per_allocation = 2);
    let mut control = client(&relay, Over::Tcp);
    let relayed = control.allocate_tcp().expect("an allocation");
    let listeners: Vec<_> = (0..3).map(|_| listener()).collect();
    let outcomes: Vec<_> = listeners.iter().map(|(_, at)| control.connect(*at).map(|_| ())).collect();
    assert_eq!(outcomes, [Ok(()), Ok(()), Err(508)]);
    control.permit((Ipv4Addr::LOCALHOST, 1).into()).expect("a permission");
    let mut peer = TcpStream::connect(relayed).expect("accepted before it is counted");
    assert!(matches!(peer.read(&mut [0; 1]), Ok(0) | Err(_)), "and closed");
}
