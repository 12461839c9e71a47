//! Several addresses of this host: which one relays, and what clients and peers know it by.

mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;

use stun_types::message::Message;
use tandem_stun::turn::{Changes, External, Forward, Mapping, Transport};
use turn_types::AddressFamily;
use turn_types::attribute::{AdditionalAddressFamily, RequestedTransport, XorRelayedAddress};
use turn_types::message::ALLOCATE;
use world::*;

fn mapped(public: &str, private: &str) -> Mapping {
    Mapping { public: ip(public), private: Some(ip(private)) }
}

/// Relays from two addresses, each behind one of a NAT's.
fn two() -> World {
    World::with(|config| {
        config.addresses.relay = vec![ip("192.168.1.5"), ip("192.168.1.6")];
        config.addresses.external =
            External::new(vec![mapped("5.6.7.8", "192.168.1.5"), mapped("5.6.7.9", "192.168.1.6")]);
    })
}

#[test]
fn the_address_that_the_client_has_reached_relays_for_it_if_it_is_among_those_that_relay() {
    let mut world = two();
    for (server, outside) in [("192.168.1.5:3478", "5.6.7.8"), ("192.168.1.6:3478", "5.6.7.9")] {
        for number in 0..8 {
            let at = format!("1.2.3.4:{}", 1_000 + number);
            let client = world.client_over(Transport::Udp, &format!("u{number}"), &at, server);
            assert_eq!(world.allocate(&client).ip(), ip(outside));
        }
    }
}

#[test]
fn clients_that_reach_another_address_spread_over_those_that_relay() {
    let mut world = World::with(|config| config.addresses.relay = vec![ip("192.168.1.6"), ip("192.168.1.7")]);
    let mut seen = BTreeSet::new();
    for number in 0..32 {
        let client = world.client(&format!("user{number}"), &format!("1.2.3.4:{}", 1_000 + number));
        seen.insert(world.allocate(&client).ip());
    }
    assert_eq!(seen, BTreeSet::from([ip("192.168.1.6"), ip("192.168.1.7")]));
}

#[test]
fn when_one_address_has_no_port_left_the_other_one_relays() {
    let mut world = World::with(|config| {
        config.addresses.relay = vec![ip("192.168.1.5"), ip("192.168.1.6")];
        config.ports.last = config.ports.first + 1;
    });
    let mut relayed = Vec::new();
    for number in 0..4 {
        let client = world.client(&format!("user{number}"), &format!("1.2.3.4:{}", 1_000 + number));
        relayed.push(world.allocate(&client).ip());
    }
    assert_eq!(relayed, ["192.168.1.5", "192.168.1.5", "192.168.1.6", "192.168.1.6"].map(ip));
    let late = world.client("late", "1.2.3.4:2000");
    assert_eq!(world.request(&late, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(508));
}

#[test]
fn a_family_without_an_address_of_its_own_to_relay_from_goes_on_as_before() {
    let mut world = World::with(|config| config.addresses.relay = vec![ip("192.168.1.6")]);
    let client = world.client("alice", "1.2.3.4:1000");
    let both = [&RequestedTransport::new(17) as _, &AdditionalAddressFamily::new(AddressFamily::IPV6) as _];
    let Answer::Success(message) = world.request(&client, ALLOCATE, &both) else { panic!("no allocation") };
    let parsed = Message::from_bytes(&message).expect("a message");
    let relayed = parsed.iter_attributes().filter_map(|(_, raw)| XorRelayedAddress::try_from(&raw).ok());
    let relayed: BTreeSet<IpAddr> = relayed.map(|relayed| relayed.addr(parsed.transaction_id()).ip()).collect();
    assert!(relayed.contains(&ip("192.168.1.6")) && relayed.iter().any(IpAddr::is_ipv6), "{relayed:?}");
}

#[test]
fn two_clients_of_different_addresses_meet_by_what_they_are_told() {
    let mut world = two();
    let alice = world.client_over(Transport::Udp, "alice", "1.2.3.4:1000", "192.168.1.5:3478");
    let bob = world.client_over(Transport::Udp, "bob", "1.2.3.5:1000", "192.168.1.6:3478");
    let (of_alice, of_bob) = (world.allocate(&alice), world.allocate(&bob));
    assert!(is_success(&world.bind(&alice, 0x4000, of_bob)));
    assert!(is_success(&world.bind(&bob, 0x4000, of_alice)));
    let up = channel_data(0x4000, b"hello");
    match world.packet(alice.tuple, &up) {
        Forward::ToClient { client, .. } => assert_eq!(client, bob.tuple),
        other => panic!("not inside: {other:?}"),
    }
}

#[test]
fn addresses_change_while_it_runs_and_what_is_allocated_keeps_its_own() {
    let mut world = two();
    let before = world.client("alice", "1.2.3.4:1000");
    assert_eq!(world.allocate(&before).ip(), ip("5.6.7.8"));
    let mut changes = Changes::of(&config(world.now));
    changes.relay = vec![ip("192.168.1.7")];
    changes.external = External::new(vec![mapped("5.6.7.10", "192.168.1.7")]);
    world.relay.handle_changes(world.now, &changes);
    let after = world.client("bob", "1.2.3.4:2000");
    assert_eq!(world.allocate(&after).ip(), ip("5.6.7.10"));
    assert!(is_success(&world.refresh(&before, 600)));
    assert!(world.open.values().any(|at| at.ip() == ip("192.168.1.5")));
}
