//! Channels that the kernel relays by itself: the real program on the interfaces of network namespaces made for it.
//!
//! ```text
//!   client: near ──── near: relay: far ──── far: peer          10.77.1.0/24, fd77:1::/64 and 10.77.2.0/24, fd77:2::/64
//! ```
//!
//! Takes root, and says so where it is not.

mod namespaces;
mod relay_client;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use namespaces::{Checksums, Net};
use relay_client::{Client, start, until};
use tandem_server::relay::{Config, Handle, Interfaces, Stats};
use tandem_stun::Cidr;
use tandem_stun::turn::{Traffic, Usage};

/// A relay that offloads on both of its interfaces.
fn relay(net: &Net, change: impl FnOnce(&mut Config) + Send) -> Handle {
    net.relay(|| {
        start(|config| {
            config.listen = vec!["10.77.1.1".parse().expect("an address"), "fd77:1::1".parse().expect("an address")];
            config.offload = Some(Interfaces::Named(vec!["near".to_owned(), "far".to_owned()]));
            config.peers.allow = ["10.77.0.0/16", "fd77::/16"].map(network).to_vec();
            config.shards = NonZeroU16::new(2);
            change(config);
        })
    })
}

fn network(text: &str) -> Cidr {
    let (ip, prefix) = text.split_once('/').expect("a network");
    Cidr::new(ip.parse().expect("an address"), prefix.parse().expect("a prefix")).expect("a network")
}

fn bind(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip.parse::<IpAddr>().expect("an address"), 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket
}

fn client(net: &Net, relay: &Handle, ip: &str, user: &str) -> Client {
    let server = if ip.contains(':') { "fd77:1::1" } else { "10.77.1.1" };
    let server = SocketAddr::new(server.parse().expect("an address"), relay.port());
    Client::by(net.client(|| bind(ip)), server, user)
}

/// Bound, with one packet each way, by which the kernel learns where to send to.
fn bound(net: &Net, relay: &Handle, ip: &str, peer: &UdpSocket) -> (Client, SocketAddr) {
    let mut client = client(net, relay, ip, "alice");
    let relayed = client.allocate().expect("an allocation");
    client.bind(0x4000, peer.local_addr().expect("an address")).expect("a channel");
    client.say(0x4000, &[1; 50]);
    assert_eq!(hear(peer), (vec![1; 50], relayed));
    peer.send_to(&[2; 50], relayed).expect("sent");
    assert_eq!(client.hear(), (0x4000, vec![2; 50]));
    (client, relayed)
}

fn hear(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 2_000];
    let (length, from) = peer.recv_from(&mut bytes).expect("a datagram in time");
    (bytes[..length].to_vec(), from)
}

/// Figures that have come to rest at so many packets.
#[track_caller]
fn at_rest(relay: &Handle, packets: u64) -> Stats {
    until("all packets are counted", || relay.stats().turn.packets >= packets);
    let stats = relay.stats();
    assert_eq!(stats.turn.packets, packets, "{stats:?}");
    stats
}

fn payload(number: u16) -> Vec<u8> {
    (0..40 + number % 500).map(|byte| byte.wrapping_mul(number).to_be_bytes()[1]).collect()
}

#[test]
fn payload_crosses_the_kernel_unchanged_both_ways_and_every_packet_counts() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    for (near, far) in [("10.77.1.2", "10.77.2.2"), ("fd77:1::2", "fd77:2::2")] {
        let relay = relay(&net, |_| {});
        let peer = net.peer(|| bind(far));
        let (mut client, relayed) = bound(&net, &relay, near, &peer);
        let mut bytes = 100;
        for number in 0..500 {
            let payload = payload(number);
            bytes += 2 * payload.len() as u64;
            client.say(0x4000, &payload);
            assert_eq!(hear(&peer), (payload.clone(), relayed));
            peer.send_to(&payload, relayed).expect("sent");
            assert_eq!(client.hear(), (0x4000, payload));
        }
        let stats = at_rest(&relay, 1_002);
        // All but the first, whose way was not known.
        assert_eq!((stats.turn.bytes, stats.turn.offloaded, stats.offloads), (bytes, 1_001, 1), "{near}");
        assert_eq!(stats.turn.dropped, 0);
        relay.shutdown();
        assert!(!net.has_program(), "a relay that has ended leaves nothing on the interfaces");
    }
}

#[test]
fn a_peer_behind_the_same_interface_is_reached_and_long_packets_are_left_to_the_sockets() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    let relay = relay(&net, |_| {});
    let peer = net.client(|| bind("10.77.1.3"));
    let (mut client, relayed) = bound(&net, &relay, "10.77.1.2", &peer);
    client.say(0x4000, &[3; 60]);
    assert_eq!(hear(&peer), (vec![3; 60], relayed));
    assert_eq!(at_rest(&relay, 3).turn.offloaded, 2);
    // More than fits an IPv6 path everywhere is the sockets' business.
    client.say(0x4000, &[4; 1_400]);
    assert_eq!(hear(&peer), (vec![4; 1_400], relayed));
    assert_eq!(at_rest(&relay, 4).turn.offloaded, 2);
}

#[test]
fn two_clients_of_ours_meet_inside_the_kernel() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    let relay = relay(&net, |_| {});
    let (mut alice, mut bob) = (client(&net, &relay, "10.77.1.2", "alice"), client(&net, &relay, "10.77.1.3", "bob"));
    let (at_alice, at_bob) = (alice.allocate().expect("an allocation"), bob.allocate().expect("an allocation"));
    alice.bind(0x4000, at_bob).expect("a channel");
    bob.bind(0x4001, at_alice).expect("a channel");
    for number in 0..200 {
        alice.say(0x4000, &payload(number));
        assert_eq!(bob.hear(), (0x4001, payload(number)));
        bob.say(0x4001, &payload(number));
        assert_eq!(alice.hear(), (0x4000, payload(number)));
    }
    // Each packet counts at both allocations, as it does inside the process.
    assert_eq!(at_rest(&relay, 800).turn.offloaded, 798);
}

#[test]
fn a_neighbour_that_leaves_checksums_to_hardware_is_relayed_by_the_sockets() {
    let Some(net) = Net::new(Checksums::InHardware) else { return };
    let relay = relay(&net, |_| {});
    let peer = net.peer(|| bind("10.77.2.2"));
    let (mut client, relayed) = bound(&net, &relay, "10.77.1.2", &peer);
    for number in 0..20 {
        client.say(0x4000, &payload(number));
        assert_eq!(hear(&peer), (payload(number), relayed));
    }
    assert_eq!(at_rest(&relay, 22).turn.offloaded, 0);
}

#[test]
fn more_than_the_allowed_rate_is_dropped_in_the_kernel_and_each_packet_is_accounted_for() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    let relay = relay(&net, |config| {
        (config.limits.bytes_per_second, config.limits.burst_bytes) = (1, 50_000);
    });
    let peer = net.peer(|| bind("10.77.2.2"));
    let (mut client, _) = bound(&net, &relay, "10.77.1.2", &peer);
    for _ in 0..150 {
        client.say(0x4000, &[5; 1_000]);
    }
    // 100 bytes were used by the first two.
    until("all are accounted for", || relay.stats().turn.packets + relay.stats().turn.dropped == 152);
    let stats = relay.stats().turn;
    assert_eq!((stats.packets, stats.bytes, stats.dropped), (51, 49_100, 101));
    for _ in 0..49 {
        assert_eq!(hear(&peer).0, [5; 1_000]);
    }
    peer.set_nonblocking(true).expect("a mode");
    assert_eq!(peer.recv(&mut [0; 10]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

#[test]
fn a_client_that_is_shut_out_is_shut_out_of_the_kernel() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    let used = Arc::new(Mutex::new(Usage::default()));
    let total = Arc::clone(&used);
    let relay = relay(&net, |config| {
        config.usage = Some(Arc::new(move |batch| {
            batch.iter().for_each(|usage| total.lock().expect("whole").add(usage));
            Ok(())
        }));
    });
    let peer = net.peer(|| bind("10.77.2.2"));
    let (mut client, relayed) = bound(&net, &relay, "10.77.1.2", &peer);
    client.say(0x4000, &[3; 60]);
    assert_eq!(hear(&peer).0, [3; 60]);
    relay.revoke("alice");
    until("the allocation ends", || relay.stats().turn.allocations == 0);
    client.say(0x4000, &[4; 60]);
    peer.send_to(&[4; 60], relayed).expect("sent");
    until("its packet is dropped", || relay.stats().turn.dropped >= 1);
    let stats = relay.stats();
    assert_eq!((stats.turn.packets, stats.turn.offloaded, stats.turn.bytes, stats.offloads), (3, 2, 160, 0));
    relay.shutdown();
    let used = used.lock().expect("whole").clone();
    assert_eq!((used.up, used.down), (Traffic { packets: 2, bytes: 110 }, Traffic { packets: 1, bytes: 50 }));
    peer.set_nonblocking(true).expect("a mode");
    assert_eq!(peer.recv(&mut [0; 10]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

#[test]
fn whoever_the_kernel_does_not_know_is_dealt_with_by_the_sockets() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    let relay = relay(&net, |_| {});
    let (peer, other) = (net.peer(|| bind("10.77.2.2")), net.peer(|| bind("10.77.2.2")));
    let (mut client, relayed) = bound(&net, &relay, "10.77.1.2", &peer);
    client.say(0x4009, &[1; 60]);
    until("an unknown channel is dropped", || relay.stats().turn.dropped == 1);
    // Another port of a permitted address: no channel, but welcome.
    other.send_to(&[7; 60], relayed).expect("sent");
    let indication = client.receive();
    assert_eq!(indication.first_chunk(), Some(&[0, 0x17]), "a Data indication");
    assert_eq!(at_rest(&relay, 3).turn.offloaded, 1);
}

#[test]
fn a_server_that_is_killed_leaves_nothing_behind() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    let data = tempfile::tempdir().expect("a directory");
    let mut server = net.relay(|| {
        std::process::Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["serve", "--data-dir"])
            .arg(data.path())
            .args(["--http.port", "0", "--http.redirect-port", "0", "--relay.port", "3478", "--relay.tls-port", "0"])
            .args(["--relay.offload", "near"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("a server")
    });
    until("the program is attached", || net.has_program());
    server.kill().expect("killed");
    server.wait().expect("ended");
    until("the program is gone", || !net.has_program());
}

#[test]
fn without_such_an_interface_the_sockets_relay() {
    let relay = start(|config| {
        config.offload = Some(Interfaces::Named(vec!["no-such".to_owned()]));
        config.peers.allow_loopback = true;
    });
    let at = SocketAddr::new([127, 0, 0, 1].into(), relay.port());
    let (mut client, peer) = (Client::udp(at, "alice"), bind("127.0.0.1"));
    client.allocate().expect("an allocation");
    client.bind(0x4000, peer.local_addr().expect("an address")).expect("a channel");
    client.say(0x4000, b"hello");
    assert_eq!(hear(&peer).0, b"hello");
    assert_eq!(relay.running().0, relay.running().1);
}
