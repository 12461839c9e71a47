//! What a client may use: bytes and packets per second, peers, quotas; credentials that end sessions; and settings that
//! change while the machine runs.

mod world;

use std::net::IpAddr;
use std::time::Duration;

use tandem_stun::credential;
use tandem_stun::turn::{Changes, DropReason, Forward, Group, Limit, OpenRefused, Share};
use turn_types::attribute::RequestedTransport;
use turn_types::message::ALLOCATE;
use world::*;

const PEER: &str = "8.8.8.8:9000";
const SECOND: Duration = Duration::from_secs(1);

fn met(world: &World, limit: Limit) -> u64 {
    world.relay.counters().met.get(limit)
}

/// A client with a channel to [`PEER`].
fn relaying(world: &mut World, user: &str, at: &str) -> Client {
    let client = world.client(user, at);
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    client
}

/// How many of so many packets of 100 bytes leave.
fn leave(world: &mut World, client: &Client, packets: usize) -> usize {
    let packet = channel_data(0x4000, &[7; 100]);
    (0..packets).filter(|_| matches!(world.packet(client.tuple, &packet), Forward::ToPeer { .. })).count()
}

#[test]
fn packets_per_second_of_one_session_are_bounded_whatever_their_size() {
    let mut world = World::with(|config| config.limits.packets_per_second = 10);
    let (alice, bob) = (relaying(&mut world, "alice", "1.2.3.4:1"), relaying(&mut world, "alice", "1.2.3.4:2"));
    assert_eq!(leave(&mut world, &alice, 100), 20);
    assert_eq!(met(&world, Limit::SessionPackets), 80);
    assert_eq!(leave(&mut world, &bob, 20), 20, "others do not notice");
    world.wait(SECOND);
    assert_eq!(leave(&mut world, &alice, 100), 10);
    let packet = channel_data(0x4000, b"");
    assert_eq!(world.packet(alice.tuple, &packet), Forward::Dropped(DropReason::Rate));
}

#[test]
fn a_user_shares_its_bytes_among_its_sessions_and_the_server_among_all() {
    let mut world = World::with(|config| config.limits.bytes_per_second_per_user = 1_000);
    let (one, two) = (relaying(&mut world, "alice", "1.2.3.4:1"), relaying(&mut world, "alice", "1.2.3.4:2"));
    let bob = relaying(&mut world, "bob", "1.2.3.4:3");
    assert_eq!(leave(&mut world, &one, 15) + leave(&mut world, &two, 15), 20);
    assert_eq!((met(&world, Limit::UserBytes), leave(&mut world, &bob, 20)), (10, 20));
    world.wait(SECOND);
    // Three of four sessions are on other shards.
    world.relay.handle_share(&Group::User("alice".into()), Share { here: 1, all: 4 });
    assert_eq!(leave(&mut world, &one, 100), 2, "of 250 bytes");
    world.wait(SECOND);
    assert_eq!(leave(&mut world, &two, 100), 3, "and of those that were left");

    let mut world = World::with(|config| config.limits.bytes_per_second_in_all = 1_000);
    let clients = [relaying(&mut world, "alice", "1.2.3.4:1"), relaying(&mut world, "bob", "1.2.3.4:2")];
    let left: usize = clients.iter().map(|client| leave(&mut world, client, 15)).sum();
    assert_eq!((left, met(&world, Limit::ServerBytes)), (20, 10));
    world.relay.handle_share(&Group::Server, Share { here: 1, all: 2 });
    world.wait(SECOND);
    assert_eq!(leave(&mut world, &clients[0], 100), 5);
}

#[test]
fn a_key_is_bounded_while_it_relays_and_set_free_again() {
    let mut world = World::new();
    let (alice, bob) = (relaying(&mut world, "k1/alice", "1.2.3.4:1"), relaying(&mut world, "k1/bob", "1.2.3.4:2"));
    let other = relaying(&mut world, "k2/alice", "1.2.3.4:3");
    assert_eq!(leave(&mut world, &alice, 50), 50);
    world.relay.handle_key_limit(world.now, "k1", Some(1_000));
    assert_eq!(leave(&mut world, &alice, 15) + leave(&mut world, &bob, 15), 20);
    assert_eq!((met(&world, Limit::KeyBytes), leave(&mut world, &other, 50)), (10, 50));
    let later = relaying(&mut world, "k1/carol", "1.2.3.4:4");
    assert_eq!(leave(&mut world, &later, 10), 0, "whoever comes later shares it");
    world.relay.handle_key_limit(world.now, "k1", None);
    assert_eq!(leave(&mut world, &alice, 50), 50);
}

#[test]
fn new_peers_come_as_fast_as_they_may_and_old_ones_are_refreshed_at_any_rate() {
    let mut world = World::with(|config| {
        config.limits.permissions = 10;
        config.limits.peers_per_second = 5;
    });
    let client = world.client("alice", "1.2.3.4:1");
    world.allocate(&client);
    let peers: Vec<String> = (1..=10).map(|low| format!("8.8.8.{low}:1")).collect();
    assert!(peers.iter().all(|peer| is_success(&world.permit(&client, peer))), "all that fit, at once");
    assert!(peers.iter().all(|peer| is_success(&world.permit(&client, peer))), "refreshed");
    assert_eq!(world.permit(&client, "8.8.4.4:1"), Answer::Error(508));
    assert_eq!((met(&world, Limit::Permissions), met(&world, Limit::NewPeers)), (1, 0));
    for third in 1..=3 {
        // Permissions end after five minutes; their places are taken by others.
        assert_eq!(lifetime(&world.refresh(&client, 600)), 600);
        world.wait(Duration::from_secs(300));
        let taken = (1..=10).filter(|low| is_success(&world.permit(&client, &format!("8.9.{third}.{low}:1")))).count();
        assert_eq!((taken, met(&world, Limit::NewPeers)), (10, 0));
    }
}

#[test]
fn a_scan_of_many_peers_is_slowed_down() {
    let mut world = World::with(|config| {
        config.limits.permissions = 8;
        config.limits.channels = 1_000;
        config.limits.peers_per_second = 2;
    });
    let mut clients = Vec::new();
    for port in 1..=2 {
        let client = world.client("alice", &format!("1.2.3.4:{port}"));
        world.allocate(&client);
        clients.push(client);
    }
    for low in 1..=8 {
        assert!(is_success(&world.bind(&clients[0], 0x4000 + low, address(&format!("8.8.8.{low}:1")))));
    }
    let changes = Changes {
        limits: tandem_stun::turn::Limits { permissions: 100, peers_per_second: 2, ..Default::default() },
        ..changes()
    };
    world.relay.handle_changes(world.now, &changes);
    assert_eq!(world.permit(&clients[0], "8.8.9.1:1"), Answer::Error(508));
    assert_eq!(met(&world, Limit::NewPeers), 1);
    assert!(is_success(&world.permit(&clients[0], "8.8.8.1:1")), "an old one");
    world.wait(SECOND);
    let passed = (1..=10).filter(|low| is_success(&world.permit(&clients[0], &format!("8.8.9.{low}:1")))).count();
    assert_eq!(passed, 2);
    assert!(is_success(&world.permit(&clients[1], "8.8.9.9:1")), "others do not notice");
}

/// As a [`World`] begins.
fn changes() -> Changes {
    Changes::of(&config(some_instant()))
}

#[test]
fn each_refusal_is_counted_by_its_bound() {
    let mut world = World::with(|config| {
        config.limits.channels = 1;
        config.limits.allocations = 3;
        config.limits.allocations_per_user = 1;
    });
    let client = relaying(&mut world, "alice", "1.2.3.4:1");
    assert_eq!(world.bind(&client, 0x4001, address("8.8.8.9:1")), Answer::Error(508));
    assert_eq!(world.permit(&client, "10.0.0.1:1"), Answer::Error(403));
    let again = world.client("alice", "1.2.3.4:2");
    assert_eq!(world.request(&again, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(486));
    world.refusals.push(OpenRefused::Quota);
    let bob = world.client("bob", "1.2.3.4:3");
    assert_eq!(world.request(&bob, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(486));
    for (port, user) in (10..).zip(["bob", "carol"]) {
        let client = world.client(user, &format!("1.2.3.4:{port}"));
        world.allocate(&client);
    }
    let last = world.client("dave", "1.2.3.4:20");
    assert_eq!(world.request(&last, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(508));
    let expected = [(Limit::Channels, 1), (Limit::ForbiddenPeer, 1), (Limit::Quota, 2), (Limit::Allocations, 1)];
    for (limit, count) in expected {
        assert_eq!(met(&world, limit), count, "{limit:?}");
    }
}

#[test]
fn an_allocation_ends_with_its_credential_where_that_is_wanted() {
    for (end_on_expiry, granted) in [(true, 120), (false, 600)] {
        let mut world = World::with(|config| config.end_on_expiry = end_on_expiry);
        let mut client = world.client("alice", "1.2.3.4:1");
        let login = credential::credential(SECRET, UNIX + 120, "alice");
        (client.key, client.username) = (key(&login), login.username);
        world.allocate(&client);
        world.wait(SECOND);
        assert_eq!(lifetime(&world.refresh(&client, 600)), granted - u32::from(end_on_expiry));
        world.wait(Duration::from_secs(119));
        assert_eq!(world.open.len(), usize::from(!end_on_expiry));
        // RFC 8656 §5: otherwise refreshing goes on.
        let after = world.refresh(&client, 600);
        assert_eq!(after == Answer::Error(401), end_on_expiry, "{after:?}");
        assert_eq!(is_success(&after), !end_on_expiry);
    }
}

#[test]
fn wanting_credentials_to_end_sessions_reaches_those_that_live_already() {
    let mut world = World::new();
    let client = relaying(&mut world, "alice", "1.2.3.4:1");
    world.wait(Duration::from_secs(300));
    world.refresh(&client, 3_600);
    world.relay.handle_changes(world.now, &Changes { end_on_expiry: true, ..changes() });
    world.wait(Duration::from_secs(299));
    assert_eq!(world.open.len(), 1);
    world.wait(SECOND);
    assert_eq!(world.open.len(), 0, "the credential was good for ten minutes");
}

#[test]
fn another_secret_is_believed_at_once_and_the_former_one_as_long_as_it_is_named() {
    let mut world = World::new();
    let old = relaying(&mut world, "alice", "1.2.3.4:1");
    let mut new = world.client("bob", "1.2.3.4:2");
    let login = credential::credential(b"another secret", UNIX + 600, "bob");
    (new.key, new.username) = (key(&login), login.username);
    let allocate = |world: &mut World, client: &Client| {
        is_success(&world.request(client, ALLOCATE, &[&RequestedTransport::new(17)]))
    };
    assert!(!allocate(&mut world, &new));
    let secrets = vec![b"another secret".to_vec(), SECRET.to_vec()];
    world.relay.handle_changes(world.now, &Changes { secrets, ..changes() });
    assert!(allocate(&mut world, &new));
    let late = world.client("carol", "1.2.3.4:3");
    assert!(allocate(&mut world, &late), "the former one, for a while");
    world.relay.handle_changes(world.now, &Changes { secrets: vec![b"another secret".to_vec()], ..changes() });
    let later = world.client("dave", "1.2.3.4:4");
    assert!(!allocate(&mut world, &later));
    assert!(is_success(&world.refresh(&old, 600)), "what lives goes on");
}

#[test]
fn a_peer_that_becomes_denied_loses_its_permission_and_its_channel_at_once() {
    let mut world = World::new();
    let client = relaying(&mut world, "alice", "1.2.3.4:1");
    assert!(is_success(&world.bind(&client, 0x4001, address("9.9.9.9:1"))));
    let relay = *world.open.keys().next().expect("a relay socket");
    let mut denied = changes();
    denied.peers.deny = vec!["8.8.0.0/16".parse().expect("a range")];
    world.relay.handle_changes(world.now, &denied);
    assert_eq!(leave(&mut world, &client, 1), 0);
    let down = world.relay.handle_peer(world.now, relay, address(PEER), b"x");
    assert_eq!(down, Forward::Dropped(DropReason::NoPermission));
    assert_eq!(world.bind(&client, 0x4000, address(PEER)), Answer::Error(403));
    let other = channel_data(0x4001, b"x");
    assert!(matches!(world.packet(client.tuple, &other), Forward::ToPeer { .. }), "the other peer stays");
    assert!(is_success(&world.bind(&client, 0x4000, address("9.9.9.8:1"))), "the number is free");
    world.relay.handle_changes(world.now, &changes());
    assert!(is_success(&world.bind(&client, 0x4002, address(PEER))), "allowed again");
}

#[test]
fn other_addresses_users_and_bounds_count_from_the_next_request_on() {
    let mut world = World::new();
    let old = relaying(&mut world, "alice", "1.2.3.4:1");
    let mut changed = changes();
    changed.external = IpAddr::from([5, 6, 7, 8]).into();
    changed.limits.allocations_per_user = 1;
    changed.limits.packets_per_second = 1;
    changed.alternates = vec![address("7.7.7.7:3478")];
    world.relay.handle_changes(world.now, &changed);
    let bob = world.client("bob", "1.2.3.4:2");
    assert_eq!(world.allocate(&bob).ip(), ip("5.6.7.8"));
    let again = world.client("alice", "1.2.3.4:3");
    assert_eq!(world.request(&again, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(486));
    assert_eq!(leave(&mut world, &old, 100), 2);
    assert!(is_success(&world.permit(&old, &world.allocated(&bob).to_string())), "what is inside is reached");
    changed.limits.allocations = 2;
    world.relay.handle_changes(world.now, &changed);
    let last = world.client("carol", "1.2.3.4:4");
    assert_eq!(world.request(&last, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(300));
}
