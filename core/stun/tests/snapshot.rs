//! A machine that is taken down and goes on in another process: what clients notice, which is nothing.

mod world;

use std::time::Duration;

use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use stun_types::message::Message;
use tandem_stun::turn::{CannotGoOn, Config, Forward, SNAPSHOT_VERSION, Server, Transport, Whom};
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};
use world::*;

const PEER: &str = "8.8.8.8:9000";
const TICKET: AttributeType = AttributeType::new(0x8030);

/// Takes the machine down and lets another one go on, with the same settings and another seed.
fn hand_over(world: &mut World) {
    let bytes = world.relay.snapshot(world.now);
    let went_on = Server::go_on(config(world.now), [99; 32], world.now, &bytes);
    world.relay = went_on.unwrap_or_else(|error| panic!("{error}"));
    world.drain();
}

/// A mobile allocation; its ticket.
fn mobile(world: &mut World, client: &Client) -> Vec<u8> {
    let (udp, ask) = (RequestedTransport::new(17), RawAttribute::new(TICKET, &[]));
    let Answer::Success(message) = world.request(client, ALLOCATE, &[&udp, &ask]) else { panic!("no allocation") };
    Message::from_bytes(&message).expect("a message").raw_attribute(TICKET).expect("a ticket").value.to_vec()
}

fn relays_to_peer(world: &mut World, client: &Client) -> bool {
    let data = [&[0x40, 0, 0, 5][..], b"hello"].concat();
    let forward = world.relay.handle_client(world.now, client.tuple, &data);
    matches!(forward, Forward::ToPeer { peer, .. } if peer == address(PEER))
}

#[test]
fn an_allocation_goes_on_with_its_channel_its_nonce_and_the_rest_of_its_time() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:5000");
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    let relay = *world.open.keys().next().expect("a relay socket");
    let before = world.relay.poll_timeout();
    hand_over(&mut world);
    let relays: Vec<_> = world.relay.relays().into_iter().map(|(id, whose, _)| (id, whose.user)).collect();
    assert_eq!(relays, [(relay, "alice".to_owned())]);
    assert_eq!(world.relay.poll_timeout(), before, "its time is the same");
    assert!(relays_to_peer(&mut world, &client));
    assert!(matches!(
        world.relay.handle_peer(world.now, relay, address(PEER), b"back"),
        Forward::ToClient { client: to, .. } if to == client.tuple
    ));
    assert!(is_success(&world.request(&client, REFRESH, &[&Lifetime::new(600)])), "with the nonce of before");
    world.now += Duration::from_secs(601);
    assert!(!relays_to_peer(&mut world, &client), "the channel has ended as it would have");
}

#[test]
fn no_port_is_given_twice_and_slots_that_were_free_are_used_again() {
    let mut world = World::new();
    let clients: Vec<_> = (0..3).map(|n| world.client(&format!("user{n}"), &format!("1.2.3.4:500{n}"))).collect();
    for client in &clients {
        world.allocate(client);
    }
    assert!(is_success(&world.request(&clients[1], REFRESH, &[&Lifetime::new(0)])));
    hand_over(&mut world);
    for n in 3..40 {
        let client = world.client(&format!("user{n}"), &format!("1.2.3.4:50{n}"));
        world.allocate(&client);
    }
    let mut ports: Vec<_> = world.open.values().collect();
    ports.sort();
    ports.dedup();
    assert_eq!((ports.len(), world.open.len()), (39, 39));
}

#[test]
fn a_ticket_is_good_after_it_too() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:5000");
    let ticket = mobile(&mut world, &client);
    hand_over(&mut world);
    let mut moved = Client { ..client.clone() };
    moved.tuple.client = address("5.6.7.8:6000");
    world.challenge(&mut moved);
    let answer = world.request(&moved, REFRESH, &[&Lifetime::new(600), &RawAttribute::new(TICKET, &ticket)]);
    assert!(is_success(&answer), "{answer:?}");
}

#[test]
fn who_was_shut_out_stays_out() {
    let mut world = World::new();
    world.relay.revoke(world.now, &Whom::User("alice".into()));
    hand_over(&mut world);
    let client = world.client("alice", "1.2.3.4:5000");
    assert!(!is_success(&world.request(&client, ALLOCATE, &[&RequestedTransport::new(17)])));
    let other = world.client("bob", "1.2.3.4:5001");
    world.allocate(&other);
}

#[test]
fn what_is_no_longer_allowed_is_not_relayed_on() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:5000");
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    let bytes = world.relay.snapshot(world.now);
    let mut stricter = config(world.now);
    stricter.peers.deny.push("8.8.8.0/24".parse().expect("a network"));
    world.relay = Server::go_on(stricter, [99; 32], world.now, &bytes).unwrap_or_else(|error| panic!("{error}"));
    assert!(!relays_to_peer(&mut world, &client));
}

#[test]
fn a_session_over_dtls_ends_because_nobody_else_has_its_keys() {
    let mut world = World::new();
    let secure = world.client_over(Transport::Dtls, "alice", "1.2.3.4:5000", "192.168.1.5:5349");
    let plain = world.client("bob", "1.2.3.5:5000");
    world.allocate(&secure);
    world.allocate(&plain);
    world.relay.end_connections(world.now);
    world.drain();
    assert_eq!(world.disconnected, [secure.tuple]);
    hand_over(&mut world);
    assert_eq!(world.relay.counters().allocations, 1);
}

#[test]
fn a_session_over_dtls_with_a_ticket_is_there_when_its_client_comes_back() {
    let mut world = World::new();
    let secure = world.client_over(Transport::Dtls, "alice", "1.2.3.4:5000", "192.168.1.5:5349");
    let ticket = mobile(&mut world, &secure);
    assert!(is_success(&world.bind(&secure, 0x4000, address(PEER))));
    world.relay.end_connections(world.now);
    world.drain();
    assert_eq!(world.disconnected, [secure.tuple]);
    hand_over(&mut world);
    assert_eq!(world.relay.counters().allocations, 1);
    let mut again = Client { ..secure.clone() };
    again.tuple.client = address("1.2.3.4:5001");
    world.challenge(&mut again);
    let resume = [&Lifetime::new(600) as &dyn AttributeWrite, &RawAttribute::new(TICKET, &ticket)];
    assert!(is_success(&world.request(&again, REFRESH, &resume)));
    assert!(relays_to_peer(&mut world, &again), "with the channel it had");
}

#[test]
fn what_the_kernel_relayed_it_relays_again() {
    let mut world = World::with(|config| config.offload = true);
    let client = world.client("alice", "1.2.3.4:5000");
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    let before = std::mem::take(&mut world.offloads);
    assert_eq!(before.len(), 1);
    let bytes = world.relay.snapshot(world.now);
    let same = Config { offload: true, ..config(world.now) };
    world.relay = Server::go_on(same, [99; 32], world.now, &bytes).unwrap_or_else(|error| panic!("{error}"));
    world.drain();
    assert_eq!(world.offloads, before, "until the same times, and with a full budget");
}

#[test]
fn other_versions_other_shards_and_damaged_bytes_are_refused() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:5000");
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    let bytes = world.relay.snapshot(world.now);
    let go_on = |config: Config, bytes: &[u8]| Server::go_on(config, [1; 32], world.now, bytes).err();
    for length in 0..bytes.len() {
        assert!(matches!(go_on(config(world.now), &bytes[..length]), Some(CannotGoOn::Malformed(_))), "{length} bytes");
    }
    assert!(matches!(go_on(config(world.now), &[&bytes[..], &[0]].concat()), Some(CannotGoOn::Malformed(_))));
    let other = [&(SNAPSHOT_VERSION + 1).to_be_bytes()[..], &bytes[4..]].concat();
    assert_eq!(go_on(config(world.now), &other), Some(CannotGoOn::Version { got: SNAPSHOT_VERSION + 1 }));
    let mut two = config(world.now);
    two.ports.shards = 2;
    assert!(matches!(go_on(two, &bytes), Some(CannotGoOn::Shard { got_of: 1, shards: 2, .. })));
}
