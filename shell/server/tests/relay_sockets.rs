//! The relay's shell over real sockets: where packets leave, what is bounded, what ends when.

mod relay_client;

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use relay_client::{Client, self_signed, start, until};
use stun_types::message::Message;
use tandem_server::relay::{Config, Handle, Tls};
use turn_types::attribute::{Icmp, XorPeerAddress};

fn at(relay: &Handle) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, relay.port()).into()
}

fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

fn allow_loopback(config: &mut Config) {
    config.peers.allow_loopback = true;
}

#[test]
fn packets_reach_a_peer_outside_and_come_back_over_udp_and_tcp() {
    let relay = start(allow_loopback);
    for mut client in [Client::udp(at(&relay), "alice"), Client::tcp(at(&relay), "alice")] {
        let (socket, address) = peer();
        let relayed = client.allocate().expect("an allocation");
        client.bind(0x4000, address).expect("a channel");
        client.say(0x4000, b"hello");
        let mut bytes = [0; 100];
        let (length, from) = socket.recv_from(&mut bytes).expect("a datagram in time");
        assert_eq!((&bytes[..length], from), (&b"hello"[..], relayed));
        socket.send_to(b"back", relayed).expect("sent");
        assert_eq!(client.hear(), (0x4000, b"back".to_vec()));
    }
}

#[test]
fn a_client_is_told_that_nobody_listens_and_other_peers_lose_nothing_by_it() {
    let relay = start(allow_loopback);
    let (socket, address) = peer();
    let (gone, gone_at) = peer();
    drop(gone);
    let mut client = Client::udp(at(&relay), "alice");
    client.allocate().expect("an allocation");
    client.bind(0x4000, address).expect("a channel");
    client.bind(0x4001, gone_at).expect("a channel");
    for round in 0..20_u8 {
        client.say(0x4001, b"is anybody there?");
        client.say(0x4000, &[round]);
        let mut bytes = [0; 100];
        let length = socket.recv(&mut bytes).expect("a datagram in time");
        assert_eq!(bytes[..length], [round]);
    }
    let told = client.receive();
    let parsed = Message::from_bytes(&told).expect("a message");
    let icmp = parsed.attribute::<Icmp>().expect("an ICMP attribute");
    assert_eq!((icmp.icmp_type(), icmp.code()), (3, 3), "port unreachable");
    let peer = parsed.attribute::<XorPeerAddress>().expect("a peer").addr(parsed.transaction_id());
    assert_eq!(peer, gone_at);
}

#[test]
fn without_permission_for_this_host_a_peer_on_it_hears_nothing() {
    let relay = start(|_| {});
    let (socket, address) = peer();
    let mut client = Client::udp(at(&relay), "alice");
    client.allocate().expect("an allocation");
    client.bind(0x4000, address).expect("the address is ours: only what is inside can be reached");
    client.say(0x4000, b"hello");
    until("the packet is dropped", || relay.stats().turn.dropped == 1);
    socket.set_nonblocking(true).expect("a mode");
    assert!(socket.recv(&mut [0; 10]).is_err());
}

#[test]
fn a_burst_arrives_whole_and_in_order() {
    let relay = start(allow_loopback);
    let (socket, address) = peer();
    let mut client = Client::udp(at(&relay), "alice");
    let relayed = client.allocate().expect("an allocation");
    client.bind(0x4000, address).expect("a channel");
    for round in 0..5_u16 {
        let sizes = |number: u16| if number % 7 == 6 { 90 } else { 120 };
        for number in 0..40_u16 {
            let mut payload = vec![0; sizes(number)];
            payload[..2].copy_from_slice(&number.to_be_bytes());
            client.say(0x4000, &payload);
        }
        for number in 0..40_u16 {
            let mut bytes = [0; 200];
            let length = socket.recv(&mut bytes).expect("a datagram in time");
            assert_eq!((length, &bytes[..2]), (sizes(number), &number.to_be_bytes()[..]), "round {round}");
            socket.send_to(&bytes[..length], relayed).expect("sent");
        }
        for number in 0..40_u16 {
            let (_, payload) = client.hear();
            assert_eq!((payload.len(), &payload[..2]), (sizes(number), &number.to_be_bytes()[..]), "round {round}");
        }
    }
}

#[test]
fn packets_of_several_clients_peers_and_sizes_each_stay_whole() {
    let relay = start(allow_loopback);
    let (first_peer, second_peer) = (peer(), peer());
    let mut clients: Vec<Client> = ["alice", "bob"].map(|user| Client::udp(at(&relay), user)).into();
    let mut relayed = Vec::new();
    for client in &mut clients {
        relayed.push(client.allocate().expect("an allocation"));
        client.bind(0x4000, first_peer.1).expect("a channel");
        client.bind(0x4001, second_peer.1).expect("a channel");
    }
    // Runs of equal and of different sizes, to both peers by turns: what may leave together must not be mixed.
    let payload = |who: u8, number: u8| vec![who.wrapping_mul(101) ^ number; 50 + usize::from(number % 5) * 37];
    for number in 0..60_u8 {
        for (who, client) in (0..).zip(&mut clients) {
            client.say(0x4000 + u16::from(number / 3 % 2), &payload(who, number));
        }
    }
    for (which, (socket, _)) in (0..).zip([&first_peer, &second_peer]) {
        let mut expected: Vec<Vec<u8>> = (0..60_u8)
            .filter(|number| number / 3 % 2 == which)
            .flat_map(|number| [payload(0, number), payload(1, number)])
            .collect();
        for _ in 0..expected.len() {
            let mut bytes = [0; 2_000];
            let (length, from) = socket.recv_from(&mut bytes).expect("a datagram in time");
            let got = &bytes[..length];
            let place = expected.iter().position(|payload| payload == got).expect("as it was sent, and once");
            expected.swap_remove(place);
            assert!(relayed.contains(&from));
            socket.send_to(got, from).expect("sent");
        }
    }
    for (who, client) in (0..).zip(&mut clients) {
        let mut expected: Vec<(u16, Vec<u8>)> =
            (0..60_u8).map(|number| (0x4000 + u16::from(number / 3 % 2), payload(who, number))).collect();
        for _ in 0..60 {
            let heard = client.hear();
            let place = expected.iter().position(|one| *one == heard).expect("as it was sent, and once");
            expected.swap_remove(place);
        }
    }
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let relay = start(|config| config.listen = vec![Ipv4Addr::UNSPECIFIED.into()]);
    // The client's socket is connected: an answer from another address would never arrive.
    let asked: SocketAddr = (Ipv4Addr::new(127, 0, 0, 7), relay.port()).into();
    let mut client = Client::udp(asked, "alice");
    assert_eq!(client.allocate().expect("an allocation").ip(), asked.ip());
}

#[test]
fn allocations_on_different_shards_and_addresses_reach_each_other() {
    let relay = start(|config| config.shards = NonZeroU16::new(4));
    let mut hub = Client::tcp(at(&relay), "hub");
    let hub_at = hub.allocate().expect("an allocation");
    // The kernel spreads the clients; among twelve some are on other shards.
    for number in 0x4000..0x400c {
        let mut client = Client::udp(at(&relay), &format!("user{number}"));
        let client_at = client.allocate().expect("an allocation");
        hub.bind(number, client_at).expect("a channel");
        client.bind(0x4000, hub_at).expect("a channel");
        client.say(0x4000, b"hello");
        assert_eq!(hub.hear(), (number, b"hello".to_vec()));
        hub.say(number, b"back");
        assert_eq!(client.hear(), (0x4000, b"back".to_vec()));
    }
}

#[test]
fn a_user_has_one_quota_on_all_shards() {
    let relay = start(|config| {
        config.shards = NonZeroU16::new(3);
        config.limits.allocations_per_user = 2;
    });
    let mut clients: Vec<_> = (0..8).map(|_| Client::udp(at(&relay), "alice")).collect();
    let granted: Vec<_> = clients.iter_mut().map(Client::allocate).collect();
    assert_eq!(granted.iter().filter(|outcome| outcome.is_ok()).count(), 2);
    assert!(granted.iter().all(|outcome| matches!(outcome, Ok(_) | Err(486))), "{granted:?}");
    assert!(Client::udp(at(&relay), "bob").allocate().is_ok());
}

#[test]
fn a_revoked_user_is_out_on_every_transport() {
    let relay = start(|_| {});
    let (mut udp, mut tcp) = (Client::udp(at(&relay), "alice"), Client::tcp(at(&relay), "alice"));
    let mut other = Client::udp(at(&relay), "bob");
    for client in [&mut udp, &mut tcp, &mut other] {
        client.allocate().expect("an allocation");
    }
    relay.revoke("alice");
    assert!(tcp.is_closed());
    until("the allocations end", || relay.stats().turn.allocations == 1);
    assert!(udp.allocate().is_err());
    other.refresh().expect("others are not touched");
}

#[test]
fn a_client_that_never_reads_loses_packets_and_disturbs_nobody() {
    let relay = start(|config| {
        allow_loopback(config);
        config.limits.bytes_per_second = u64::MAX / 2_000_000;
        config.limits.burst_bytes = u64::MAX / 2_000_000;
    });
    let (socket, address) = peer();
    let mut slow = Client::tcp(at(&relay), "slow");
    let slow_at = slow.allocate().expect("an allocation");
    slow.bind(0x4000, address).expect("a channel");
    until("packets are lost", || {
        for _ in 0..200 {
            let _ = socket.send_to(&[0; 1_200], slow_at);
        }
        relay.stats().lost > 0
    });
    let mut other = Client::udp(at(&relay), "other");
    let other_at = other.allocate().expect("an allocation");
    other.bind(0x4000, address).expect("a channel");
    socket.send_to(b"hello", other_at).expect("sent");
    assert_eq!(other.hear(), (0x4000, b"hello".to_vec()));
    // When it reads at last, it has lost the oldest, not the newest.
    for _ in 0..5 {
        socket.send_to(&[9; 1_200], slow_at).expect("sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    while slow.hear() != (0x4000, vec![9; 1_200]) {}
}

#[test]
fn a_stream_of_garbage_is_closed_and_so_is_its_allocation() {
    let relay = start(|_| {});
    let mut client = Client::tcp(at(&relay), "alice");
    client.allocate().expect("an allocation");
    until("it is counted", || relay.stats().turn.allocations == 1);
    client.send(b"GET / HTTP/1.1\r\n\xff\xff\xff\xff");
    client.send(&[0xff; 30_000]);
    assert!(client.is_closed());
    until("the allocation ends", || relay.stats().turn.allocations == 0 && relay.stats().streams == 0);
}

#[test]
fn connections_have_a_limit_per_address_and_silent_ones_end() {
    let relay = start(|config| {
        config.shards = NonZeroU16::new(1);
        config.streams.per_address = 3;
        config.streams.idle = Duration::from_millis(500);
    });
    let mut streams: Vec<_> = (0..4).map(|_| TcpStream::connect(at(&relay)).expect("a connection")).collect();
    until("one is refused", || relay.stats().streams_refused == 1);
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let ended = stream.read(&mut [0; 10]);
        assert!(matches!(ended, Ok(0)) || ended.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock));
    }
    until("all have ended", || relay.stats().streams == 0);
}

fn tls() -> Tls {
    Tls { port: 0, config: self_signed() }
}

#[test]
fn tls_of_both_versions_is_spoken_and_so_is_the_protocol_of_turn() {
    let relay = start(|config| config.tls = Some(tls()));
    let to: SocketAddr = (Ipv4Addr::LOCALHOST, relay.tls_port().expect("a port")).into();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert_eq!(negotiate(to, version, b"stun.turn").expect("agreement"), b"stun.turn");
        assert_eq!(negotiate(to, version, b"").expect("no need to agree"), b"");
        assert!(negotiate(to, version, b"h2").is_err(), "RFC 7443: this is no web server");
    }
}

/// The protocol agreed on when a client names this one (or none).
fn negotiate(
    to: SocketAddr,
    version: &'static rustls::SupportedProtocolVersion,
    protocol: &[u8],
) -> Result<Vec<u8>, std::io::Error> {
    let roots = rustls::RootCertStore::empty();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.dangerous().set_certificate_verifier(Arc::new(relay_client::Trusting));
    config.alpn_protocols = if protocol.is_empty() { Vec::new() } else { vec![protocol.to_vec()] };
    let name = "localhost".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    while client.is_handshaking() {
        client.complete_io(&mut socket)?;
    }
    assert_eq!(client.protocol_version(), Some(version.version));
    Ok(client.alpn_protocol().unwrap_or_default().to_vec())
}

#[test]
fn tls_that_never_negotiates_and_tls_that_is_none_are_closed() {
    let relay = start(|config| {
        config.tls = Some(tls());
        config.streams.handshake = Duration::from_millis(500);
    });
    let tls_at: SocketAddr = (Ipv4Addr::LOCALHOST, relay.tls_port().expect("a port")).into();
    let _silent = TcpStream::connect(tls_at).expect("a connection");
    let mut plain = Client::tcp(tls_at, "alice");
    plain.send(b"\x00\x01\x00\x00no TLS at all");
    assert!(plain.is_closed());
    until("the silent one ends", || relay.stats().streams == 0);
}

#[test]
fn a_stopped_relay_frees_its_ports() {
    let relay = start(|_| {});
    let port = relay.port();
    let mut client = Client::udp(at(&relay), "alice");
    let relayed = client.allocate().expect("an allocation");
    let (running, all) = relay.running();
    assert!(running == all && all > 0, "{running} of {all} shards run");
    relay.shutdown();
    assert_eq!(relay.running(), (0, all), "none is left");
    UdpSocket::bind(relayed).expect("the relay port is free");
    let again = start(|config| config.port = port);
    assert_eq!(again.port(), port);
}
