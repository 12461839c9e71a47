//! Channels that the shell relays past the machine: what is granted, until when, and that nothing is lost of the counts.

mod world;

use std::net::IpAddr;
use std::time::Duration;

use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use stun_types::message::Message;
use tandem_stun::turn::{
    Beyond, Budget, Config, DropReason, FiveTuple, Forward, Offload, Offloaded, Traffic, Transport, Whom,
};
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};
use world::*;

const PEER: &str = "8.8.8.8:9000";
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);

fn world() -> World {
    World::with(|config| config.offload = true)
}

/// A client with a channel to a peer, and what was granted for it.
fn bound(world: &mut World, user: &str, at: &str) -> (Client, Offload) {
    let client = world.client(user, at);
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    let offload = *world.offloads.values().last().expect("a grant");
    (client, offload)
}

fn payload(length: usize) -> Vec<u8> {
    channel_data(0x4000, &vec![1; length])
}

#[test]
fn a_bound_channel_is_granted_with_its_addresses_ends_and_budget() {
    let mut world = world();
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    assert!(world.offloads.is_empty(), "without a channel there is nothing to grant");
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    let relay = world.relay_of(relayed);
    let expected = Offload {
        relay,
        channel: 0x4000,
        client: address("1.2.3.4:1000"),
        server: address("192.168.1.5:3478"),
        relayed,
        peer: address(PEER),
        beyond: Beyond::Outside,
        up_until: world.now + CHANNEL,
        down_until: world.now + PERMISSION,
        budget: Budget { per_second: 4_000_000, burst: 8_000_000, left: 8_000_000 },
    };
    assert_eq!(world.offloads.values().collect::<Vec<_>>(), [&expected]);
}

#[test]
fn nothing_is_granted_where_it_is_off_or_the_client_has_a_stream() {
    let mut off = World::new();
    let client = off.client("alice", "1.2.3.4:1000");
    off.allocate(&client);
    assert!(is_success(&off.bind(&client, 0x4000, address(PEER))));
    assert!(off.offloads.is_empty());
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut world = world();
        let client = world.client_over(transport, "alice", "1.2.3.4:1000", "192.168.1.5:3478");
        world.allocate(&client);
        assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
        assert!(world.offloads.is_empty(), "{transport:?}");
    }
}

#[test]
fn permission_and_channel_are_prolonged_each_by_its_own_refresh() {
    let mut world = world();
    let (client, first) = bound(&mut world, "alice", "1.2.3.4:1000");
    world.wait(Duration::from_secs(200));
    assert!(is_success(&world.permit(&client, PEER)));
    let permitted = *world.offloads.values().next().expect("a grant");
    assert_eq!((permitted.up_until, permitted.down_until), (first.up_until, world.now + PERMISSION));
    world.wait(Duration::from_secs(200));
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    let refreshed = *world.offloads.values().next().expect("a grant");
    assert_eq!((refreshed.up_until, refreshed.down_until), (world.now + CHANNEL, world.now + PERMISSION));
    assert!(is_success(&world.permit(&client, "8.8.4.4:1")));
    assert_eq!(world.offloads.values().collect::<Vec<_>>(), [&refreshed], "another peer's permission changes nothing");
}

#[test]
fn a_channel_that_expires_before_its_permission_ends_both_ways() {
    let mut world = world();
    let (client, first) = bound(&mut world, "alice", "1.2.3.4:1000");
    world.wait(Duration::from_secs(299));
    assert!(is_success(&world.permit(&client, PEER)));
    world.wait(Duration::from_secs(200));
    assert!(is_success(&world.permit(&client, PEER)));
    let last = *world.offloads.values().next().expect("a grant");
    assert_eq!((last.up_until, last.down_until), (first.up_until, first.up_until));
}

#[test]
fn whatever_ends_an_allocation_takes_the_grant_back() {
    type Ending = fn(&mut World, &Client);
    let endings: [(&str, Ending); 3] = [
        ("its client", |world, client| drop(world.refresh(client, 0))),
        ("its time", |world, _| world.wait(Duration::from_secs(601))),
        ("an operator", |world, _| {
            world.relay.revoke(world.now, &Whom::User("alice".into()));
        }),
    ];
    for (what, end) in endings {
        let mut world = world();
        let (client, offload) = bound(&mut world, "alice", "1.2.3.4:1000");
        end(&mut world, &client);
        world.drain();
        assert_eq!((world.onloads.as_slice(), world.offloads.len()), (&[offload.relay][..], 0), "{what}");
    }
}

#[test]
fn a_client_that_moves_is_granted_its_channels_from_there() {
    let mut world = world();
    let old = world.client("alice", "1.2.3.4:1000");
    let ticket = AttributeType::new(0x8030);
    let (udp, ask) = (RequestedTransport::new(17), RawAttribute::new(ticket, &[]));
    let Answer::Success(message) = world.request(&old, ALLOCATE, &[&udp, &ask]) else { panic!("no allocation") };
    let shown =
        Message::from_bytes(&message).expect("a message").raw_attribute(ticket).expect("a ticket").value.to_vec();
    assert!(is_success(&world.bind(&old, 0x4000, address(PEER))));
    let before = *world.offloads.values().next().expect("a grant");
    let tuple = FiveTuple { client: address("5.6.7.8:2000"), ..old.tuple };
    let mut new = Client { tuple, ..old.clone() };
    world.challenge(&mut new);
    let attributes: [&dyn AttributeWrite; 2] = [&Lifetime::new(600), &RawAttribute::new(ticket, &shown)];
    assert!(is_success(&world.request(&new, REFRESH, &attributes)));
    assert!(world.onloads.is_empty(), "the old place is good until the new one speaks");
    assert!(matches!(world.packet(new.tuple, &payload(9)), Forward::ToPeer { .. }));
    assert_eq!(world.onloads, [before.relay]);
    let expected = Offload { client: new.tuple.client, ..before };
    assert_eq!(world.offloads.values().collect::<Vec<_>>(), [&expected]);
}

#[test]
fn between_clients_of_ours_the_grant_leads_inside_and_names_what_clients_are_told() {
    let mut world = World::with(|config| {
        config.offload = true;
        config.addresses.external = IpAddr::from([203, 0, 113, 7]).into();
    });
    let (alice, bob) = (world.client("alice", "1.2.3.4:1000"), world.client("bob", "1.2.3.5:1000"));
    let (at_alice, at_bob) = (world.allocate(&alice), world.allocate(&bob));
    assert!(is_success(&world.bind(&alice, 0x4000, at_bob)));
    let offload = *world.offloads.values().next().expect("a grant");
    assert_eq!((offload.beyond, offload.relayed, offload.peer), (Beyond::Inside, at_alice, at_bob));
    assert_eq!(at_alice.ip(), ip("203.0.113.7"));
    assert!(is_success(&world.bind(&alice, 0x4001, address(PEER))));
    let outside = world.offloads.values().find(|offload| offload.channel == 0x4001).expect("a grant");
    assert_eq!(outside.relayed.ip(), ip("192.168.1.5"), "a peer's packets reach this host by its own address");
}

#[test]
fn what_else_listens_on_this_host_is_left_to_the_sockets() {
    let mut world = World::with(|config| {
        config.offload = true;
        config.peers.allow_loopback = true;
    });
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address("192.168.1.5:9000"))));
    assert!(world.offloads.is_empty());
}

fn traffic(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

fn slow(config: &mut Config) {
    config.offload = true;
    (config.limits.bytes_per_second, config.limits.burst_bytes) = (1_000, 10_000);
}

#[test]
fn what_passed_elsewhere_counts_and_uses_up_the_budget() {
    let mut world = World::with(slow);
    let (client, offload) = bound(&mut world, "alice", "1.2.3.4:1000");
    let passed = Offloaded { up: traffic(3, 4_000), down: traffic(2, 5_500), dropped: 7 };
    world.relay.handle_offloaded(world.now, offload.relay, passed);
    let counters = world.relay.counters();
    assert_eq!((counters.packets, counters.bytes, counters.dropped, counters.offloaded), (5, 9_500, 7, 5));
    assert_eq!(world.packet(client.tuple, &payload(501)), Forward::Dropped(DropReason::Rate));
    assert!(matches!(world.packet(client.tuple, &payload(500)), Forward::ToPeer { .. }));
    assert_eq!(world.spent[&offload.relay], 500, "what passed here is told, what was dropped is not");
}

#[test]
fn a_budget_that_was_overdrawn_is_paid_back_first() {
    let mut world = World::with(slow);
    let (client, offload) = bound(&mut world, "alice", "1.2.3.4:1000");
    let passed = Offloaded { down: traffic(10, 12_000), ..Offloaded::default() };
    world.relay.handle_offloaded(world.now, offload.relay, passed);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.packet(client.tuple, &payload(1)), Forward::Dropped(DropReason::Rate));
    world.wait(Duration::from_secs(1));
    assert_eq!(world.packet(client.tuple, &payload(1_001)), Forward::Dropped(DropReason::Rate));
    assert!(matches!(world.packet(client.tuple, &payload(1_000)), Forward::ToPeer { .. }));
}

#[test]
fn whoever_has_had_too_many_packets_is_relayed_here_until_the_next_refresh() {
    let mut world = World::with(|config| {
        config.offload = true;
        config.limits.packets_per_second = 100;
    });
    let (client, offload) = bound(&mut world, "alice", "1.2.3.4:1000");
    let passed = |packets| Offloaded { up: traffic(packets, 100), ..Offloaded::default() };
    world.relay.handle_offloaded(world.now, offload.relay, passed(200));
    world.drain();
    assert!(world.onloads.is_empty(), "two seconds' worth is allowed at once");
    world.relay.handle_offloaded(world.now, offload.relay, passed(50));
    world.drain();
    assert_eq!((world.onloads.as_slice(), world.offloads.len()), (&[offload.relay][..], 0));
    assert_eq!(world.packet(client.tuple, &payload(9)), Forward::Dropped(DropReason::Rate));
    world.wait(Duration::from_secs(1));
    assert!(matches!(world.packet(client.tuple, &payload(9)), Forward::ToPeer { .. }));
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    assert_eq!(world.offloads.len(), 1);
}

#[test]
fn the_last_packets_count_after_the_end() {
    let mut world = world();
    let (client, offload) = bound(&mut world, "alice", "1.2.3.4:1000");
    assert!(is_success(&world.refresh(&client, 0)));
    let passed = Offloaded { up: traffic(1, 100), down: traffic(2, 50), ..Offloaded::default() };
    world.relay.handle_offloaded(world.now, offload.relay, passed);
    let usage = world.relay.take_usage(world.now);
    assert_eq!(
        usage.iter().map(|usage| (&*usage.user, usage.up, usage.down)).collect::<Vec<_>>(),
        [("alice", passed.up, passed.down)]
    );
    world.relay.handle_onloaded(offload.relay);
    assert_eq!((world.relay.counters().packets, world.relay.counters().bytes), (3, 150));
}

#[test]
fn an_allocation_without_channels_says_nothing_of_what_it_spends() {
    let mut world = world();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert!(is_success(&world.permit(&client, PEER)));
    assert!(matches!(world.packet(client.tuple, &send_indication(address(PEER), b"hello")), Forward::ToPeer { .. }));
    assert!(world.spent.is_empty());
}
