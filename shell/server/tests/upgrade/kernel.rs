//! Channels that the kernel relays: by the sockets while the program changes, and then by the kernel again.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::namespaces::{Checksums, Net};
use crate::relay_client::{Client, SECRET, until};
use crate::running::{BINARY, Running};

fn bind(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip.parse::<IpAddr>().expect("an address"), 0)).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket
}

/// A figure of the server's, as a process inside its network sees it.
fn figure(net: &Net, running: &Running, name: &str) -> u64 {
    let url = format!("https://{}/metrics", running.https);
    let output = net.relay(|| Command::new("curl").args(["-sk", &url]).output().expect("curl is installed"));
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

#[test]
fn channels_in_the_kernel_go_on_by_the_sockets_and_are_in_the_next_programs_kernel_without_a_refresh() {
    let Some(net) = Net::new(Checksums::InSoftware) else { return };
    let home = tempfile::tempdir().expect("a directory");
    let secret = std::str::from_utf8(SECRET).expect("text");
    let flags = ["--relay.secret", secret, "--relay.allow-peers", "10.77.0.0/16", "--relay.offload", "near,far"];
    let flags = [&flags[..], &["--metrics.access", "open"]].concat();
    let ip = "10.77.1.1".parse().expect("an address");
    let mut running = net.relay(|| Running::start_with(Path::new(BINARY), home.path(), ip, &flags));
    assert!(net.has_program());
    let (relay, peer) = (running.relay, net.peer(|| bind("10.77.2.2")));
    let mut client = Client::by(net.client(|| bind("10.77.1.2")), relay, "alice");
    let relayed = client.allocate().expect("an allocation");
    client.bind(0x4000, peer.local_addr().expect("an address")).expect("a channel");
    exchange(&mut client, &peer, relayed, 10);
    until("the kernel relays", || figure(&net, &running, "turn_offloaded_packets_total") >= 15);

    running.signal("USR2");
    // While the program changes, nothing is lost: what comes before the next one listens waits in the sockets.
    exchange(&mut client, &peer, relayed, 400);
    running.logged("another program takes over");
    running.wait_for_banner();

    assert!(net.has_program());
    assert_eq!(figure(&net, &running, "turn_offloaded_channels"), 1, "granted without a refresh");
    let before = figure(&net, &running, "turn_offloaded_packets_total");
    exchange(&mut client, &peer, relayed, 10);
    until("the kernel relays", || figure(&net, &running, "turn_offloaded_packets_total") >= before + 19);
    client.refresh().expect("a refresh");
    drop(running);
    until("the program is gone", || !net.has_program());
}

/// Each way, one after the other, 10 ms apart.
fn exchange(client: &mut Client, peer: &UdpSocket, relayed: SocketAddr, times: u16) {
    let mut bytes = [0; 1_000];
    for number in 0..times {
        let payload = [&number.to_be_bytes()[..], &[7; 60]].concat();
        client.say(0x4000, &payload);
        let (length, from) = peer.recv_from(&mut bytes).expect("a datagram in time");
        assert_eq!((&bytes[..length], from), (&payload[..], relayed));
        peer.send_to(&payload, relayed).expect("sent");
        assert_eq!(client.hear(), (0x4000, payload));
        std::thread::sleep(Duration::from_millis(10));
    }
}
