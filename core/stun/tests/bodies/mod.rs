//! The bodies of the fuzz targets `stun_parse`, `turn_machine` and `stun_client`; `corpus.rs` replays their corpora on every test run.

#![allow(dead_code, reason = "each fuzz target uses its part")]

mod client;
#[path = "../world/mod.rs"]
mod world;

use std::time::Duration;

pub use client::stun_client;
use stun_types::attribute::{AttributeWrite, RawAttribute};
use stun_types::message::Method;
use tandem_stun::turn::{Carried, Forward, OpenRefused, Transport, Usage, Whom};
use tandem_stun::wire::{self, Frame, Packet};
use turn_types::attribute::{RequestedTransport, XorPeerAddress};
use world::{Client, World, config, some_instant};

/// Any bytes through the parsers.
pub fn stun_parse(bytes: &[u8]) {
    if let Ok(Packet::Stun(stun) | Packet::Classic(stun)) = wire::parse(bytes) {
        let transaction = stun.transaction();
        for (_, value) in stun.attributes() {
            let _ = wire::read_xor_address(value, &transaction);
        }
    }
    let mut rest = bytes;
    while let Ok(Frame::Whole { length, padded }) = wire::frame(rest) {
        assert!(length <= padded && padded <= rest.len() && padded >= 4);
        let _ = wire::parse(&rest[..length]);
        rest = &rest[padded..];
    }
    // The machine must bear the same bytes from somebody unknown.
    let mut world = World::new();
    let place = Client::anonymous("1.2.3.4:1000");
    assert!(matches!(world.packet(place, bytes), Forward::Nothing | Forward::Dropped(_)));
    assert_eq!(world.relay.counters().allocations, 0);
}

/// Bytes as a sequence of what clients, peers, shell and time do to one machine.
pub fn turn_machine(bytes: &[u8]) {
    let mut world = World::with(|config| {
        config.limits.answers_burst = u32::MAX;
        config.limits.permissions = 4;
        config.limits.channels = 4;
        config.limits.allocations_per_user = 2;
        config.limits.connections_per_allocation = 2;
        config.ports.last = config.ports.first + 3;
        config.peers.allow_loopback = bytes.len().is_multiple_of(2);
    });
    let places = [(Transport::Udp, "alice"), (Transport::Tcp, "alice"), (Transport::Tls, "bob"), (Transport::Udp, "")];
    let clients: Vec<Client> = (1_000..)
        .zip(places)
        .map(|(port, (transport, user))| {
            world.client_over(transport, user, &format!("1.2.3.4:{port}"), "192.168.1.5:3478")
        })
        .collect();
    let mut script = Script { rest: bytes };
    let mut used = Usage::default();
    for _ in 0..MAX_STEPS {
        let Some(step) = script.byte() else { break };
        let Some(client) = clients.get(usize::from(step >> 6)) else { break };
        match step & 0x20 {
            0 => play(&mut world, client, step & 0x0f, &mut script),
            _ => play_tcp(&mut world, client, step & 0x0f, &mut script),
        }
        check(&world);
        if step & 0x10 != 0 {
            world.relay.take_usage(world.now).iter().for_each(|usage| used.add(usage));
        }
    }
    world.wait(Duration::from_secs(4_000));
    world.relay.take_usage(world.now).iter().for_each(|usage| used.add(usage));
    let counters = world.relay.counters();
    assert_eq!(used.up.packets + used.down.packets, counters.packets, "each packet is told once");
    assert_eq!(used.up.bytes + used.down.bytes, counters.bytes, "each byte is told once");
    assert_eq!((used.begun, used.ended), (counters.allocated, counters.allocated));
    assert_eq!((world.open.len(), world.relay.counters().allocations), (0, 0), "everything expires");
    assert_eq!(world.relay.poll_timeout(), None, "nothing is left to wait for");
}

fn play(world: &mut World, client: &Client, step: u8, script: &mut Script<'_>) {
    match step {
        0 => {
            let bytes = script.bytes().to_vec();
            world.packet(client.tuple, &bytes);
        }
        1 => {
            world.request(client, turn_types::message::ALLOCATE, &[&RequestedTransport::new(17)]);
        }
        2 | 3 => {
            let method = Method::new(u16::from(script.byte().unwrap_or(3) & 0x0f));
            let values: Vec<(u16, &[u8])> = (0..script.byte().unwrap_or(0) & 3).map(|_| script.attribute()).collect();
            let raw: Vec<_> = values.iter().map(|&(kind, value)| RawAttribute::new(kind.into(), value)).collect();
            let attributes: Vec<_> = raw.iter().map(|raw| raw as &dyn AttributeWrite).collect();
            let transaction = world.transaction();
            let signed = client.sign(method, transaction, &attributes);
            world.packet(client.tuple, &signed);
        }
        4 => {
            let peer = script.peer(world);
            world.permit(client, &peer.to_string());
        }
        5 => {
            let number = 0x3fff + u16::from(script.byte().unwrap_or(0));
            let peer = script.peer(world);
            world.bind(client, number, peer);
        }
        6 => {
            let peer = script.peer(world);
            let sent = world::send_indication(peer, script.bytes());
            follow(world, client, &sent);
        }
        7 => {
            let number = 0x3fff + u16::from(script.byte().unwrap_or(0));
            let sent = world::channel_data(number, script.bytes());
            follow(world, client, &sent);
        }
        8 => {
            let peer = script.peer(world);
            let relay = world.open.keys().next().copied();
            if let Some(relay) = relay {
                let _ = world.relay.handle_peer(world.now, relay, peer, script.bytes());
            }
        }
        9 => world.wait(Duration::from_secs(u64::from(script.byte().unwrap_or(0)) * 5)),
        10 => {
            world.relay.revoke(world.now, &Whom::User("alice".into()));
            world.drain();
        }
        11 => {
            world.relay.handle_closed(world.now, client.tuple);
            world.drain();
        }
        12 => {
            let (from, to) = (script.peer(world), script.peer(world));
            let _ = world.relay.handle_hairpin(world.now, from, to, script.bytes());
        }
        13 => world.refusals.push(OpenRefused::Taken),
        14 => world.refusals.push(OpenRefused::Quota),
        _ => {
            let seconds = u32::from(script.byte().unwrap_or(0)) * 100;
            world.refresh(client, seconds);
        }
    }
}

/// The same with connections (RFC 6062).
fn play_tcp(world: &mut World, client: &Client, step: u8, script: &mut Script<'_>) {
    match step {
        0 | 1 => {
            let tcp = RequestedTransport::new(RequestedTransport::TCP);
            world.request(client, turn_types::message::ALLOCATE, &[&tcp]);
        }
        2..=4 => {
            let (transaction, peer) = (world.transaction(), script.peer(world));
            let attribute = XorPeerAddress::new(peer, transaction);
            let signed = client.sign(turn_types::message::CONNECT, transaction, &[&attribute]);
            world.packet(client.tuple, &signed);
            if let Some(peer) = world.connecting.values().next_back() {
                assert!(!(peer.ip().is_loopback() && peer.port() == 3_478), "{peer}");
            }
        }
        5 | 6 => {
            if let Some((connection, _)) = world.connecting.pop_first() {
                world.relay.handle_connected(world.now, connection);
                world.established.push(connection);
            }
        }
        7 | 8 => {
            let relay = world.open.keys().nth(usize::from(script.byte().unwrap_or(0) & 3)).copied();
            if let Some(relay) = relay {
                let peer = script.peer(world);
                world.established.extend(world.relay.handle_incoming(world.now, relay, peer));
            }
        }
        9..=11 => {
            let index = usize::from(script.byte().unwrap_or(0));
            let number = world.established.get(index % world.established.len().max(1)).map(|id| id.bits());
            let data = world.beside(client, 5_000 + u16::from(script.byte().unwrap_or(0) & 3));
            let number = turn_types::attribute::ConnectionId::new(number.unwrap_or(7));
            world.request(&data, turn_types::message::CONNECTION_BIND, &[&number]);
        }
        12 | 13 => {
            if let Some(connection) = world.established.pop() {
                world.relay.handle_disconnected(connection);
                world.joined.remove(&connection);
            }
        }
        _ => {
            if let Some(&connection) = world.established.last() {
                let bytes = u64::from(script.byte().unwrap_or(0)) << 17;
                world.relay.handle_carried(world.now, connection, Carried { up: bytes, down: bytes });
            }
        }
    }
    world.drain();
}

/// A packet that leaves must leave by an open socket, and never for a listener of ours.
fn follow(world: &mut World, client: &Client, bytes: &[u8]) {
    if let Forward::ToPeer { relay, peer, .. } = world.packet(client.tuple, bytes) {
        assert!(world.open.contains_key(&relay));
        assert!(!(peer.ip().is_loopback() && peer.port() == 3_478), "{peer}");
    }
}

fn check(world: &World) {
    let counters = world.relay.counters();
    assert_eq!(usize::try_from(counters.allocations).ok(), Some(world.open.len()));
    assert!(counters.allocations == 0 || world.relay.poll_timeout().is_some());
    assert!(counters.allocations <= 4);
    let joined = u64::try_from(world.joined.len()).unwrap_or(u64::MAX);
    assert!(joined <= counters.connections && counters.connections <= 2 * counters.allocations);
}

/// The rest of the input.
struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        bytes
    }

    fn attribute(&mut self) -> (u16, &'a [u8]) {
        const KINDS: [u16; 14] = [
            0x000c, 0x000d, 0x0012, 0x0013, 0x0016, 0x0017, 0x0018, 0x0019, 0x001a, 0x0022, 0x8022, 0x7abc, 0x8000,
            0x8030,
        ];
        let kind = KINDS.get(usize::from(self.byte().unwrap_or(0)) % KINDS.len()).copied().unwrap_or(0x000d);
        let value = self.bytes();
        (kind, value.get(..40).unwrap_or(value))
    }

    fn peer(&mut self, world: &World) -> std::net::SocketAddr {
        const PEERS: [&str; 7] = [
            "8.8.8.8:9000",
            "8.8.8.9:9000",
            "127.0.0.1:3478",
            "127.0.0.1:22",
            "10.0.0.1:9",
            "[2a00::1]:9",
            "0.0.0.0:9",
        ];
        let choice = usize::from(self.byte().unwrap_or(0));
        let fixed = PEERS.get(choice % 8).map(|text| world::address(text));
        let live = || world.open.values().nth(choice / 8 % 4).copied();
        fixed.or_else(live).unwrap_or_else(|| world::address("8.8.4.4:9"))
    }
}

const MAX_STEPS: usize = 200;

/// Any bytes as what another process has left behind: refused, or a machine that works, and leaves the same behind again.
pub fn snapshot(bytes: &[u8]) {
    use tandem_stun::turn::Server;
    let now = some_instant();
    let Ok(mut relay) = Server::go_on(config(now), [1; 32], now, bytes) else { return };
    let again = relay.snapshot(now);
    assert!(Server::go_on(config(now), [1; 32], now, &again).is_ok(), "what it leaves behind is understood");
    for end in std::iter::from_fn(|| {
        let end = relay.poll_timeout()?;
        relay.handle_timeout(end);
        while relay.poll_output().is_some() {}
        Some(end)
    }) {
        assert!(end <= now + std::time::Duration::from_secs(3_600), "nothing lives longer than it may");
    }
    assert!(relay.relays().is_empty(), "everything ends");
}
