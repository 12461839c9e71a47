//! What an Allocate may ask for beside a port: an even one, its neighbour for later, both families. What comes of it.

mod world;

use std::time::Duration;

use stun_types::attribute::{Attribute as _, AttributeStaticType, AttributeWrite, RawAttribute};
use stun_types::message::{Message, TransactionId};
use tandem_stun::turn::{DropReason, Forward, Fragmentation, IcmpError, Note, OpenRefused, Transport};
use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, AddressErrorCode, DontFragment, EvenPort, Icmp, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CREATE_PERMISSION, REFRESH};
use world::*;

const HALF_MINUTE: Duration = Duration::from_secs(30);

fn udp() -> RequestedTransport {
    RequestedTransport::new(17)
}

fn success(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Success(message) => message,
        refused => panic!("no success: {refused:?}"),
    }
}

fn token(message: &[u8]) -> ReservationToken {
    Message::from_bytes(message).expect("a message").attribute::<ReservationToken>().expect("a token")
}

/// Every XOR-RELAYED-ADDRESS.
fn all_relayed(message: &[u8]) -> Vec<std::net::SocketAddr> {
    let parsed = Message::from_bytes(message).expect("a message");
    let all = parsed.iter_attributes().filter(|(_, raw)| raw.get_type() == XorRelayedAddress::TYPE);
    all.map(|(_, raw)| XorRelayedAddress::try_from(&raw).expect("an address").addr(parsed.transaction_id())).collect()
}

/// A world of two ports, and a client that has allocated the first and keeps the second.
fn pair(users: usize) -> (World, Client, u16, ReservationToken) {
    let mut world = World::with(|config| {
        config.ports.last = config.ports.first + 1;
        config.limits.allocations_per_user = users;
    });
    let client = world.client("alice", "1.2.3.4:1000");
    let message = success(world.request(&client, ALLOCATE, &[&udp(), &EvenPort::new(true)]));
    let (port, token) = (relayed(&message).port(), token(&message));
    assert!(port.is_multiple_of(2));
    (world, client, port, token)
}

#[test]
fn the_port_above_an_even_one_is_kept_for_whoever_of_the_user_brings_the_token() {
    let (mut world, _, port, token) = pair(8);
    let other = world.client("bob", "1.2.3.4:2000");
    assert_eq!(world.request(&other, ALLOCATE, &[&udp()]), Answer::Error(508), "it is not free");
    assert_eq!(world.request(&other, ALLOCATE, &[&udp(), &token]), Answer::Error(508), "it is not bob's");
    let second = world.client("alice", "1.2.3.4:1001");
    let message = success(world.request(&second, ALLOCATE, &[&udp(), &token]));
    assert_eq!(relayed(&message).port(), port + 1);
    let third = world.client("alice", "1.2.3.4:1002");
    assert_eq!(world.request(&third, ALLOCATE, &[&udp(), &token]), Answer::Error(508), "a token is good once");
    world.refresh(&second, 0);
    world.allocate(&other);
}

#[test]
fn a_kept_port_is_free_after_thirty_seconds_and_its_retransmitted_answer_has_the_same_token() {
    let (mut world, client, port, _) = pair(8);
    let second = world.client("alice", "1.2.3.4:1001");
    assert_eq!(world.relay.poll_timeout(), Some(world.now + HALF_MINUTE));
    world.wait(HALF_MINUTE - Duration::from_secs(1));
    assert_eq!(world.request(&second, ALLOCATE, &[&udp()]), Answer::Error(508));
    world.wait(Duration::from_secs(1));
    assert_eq!(world.allocate(&second).port(), port + 1);
    world.refresh(&client, 0);
    world.refresh(&second, 0);
    let transaction = world.transaction();
    let asked = client.sign(ALLOCATE, transaction, &[&udp(), &EvenPort::new(true)]);
    let first = success(world.ask(client.tuple, &asked));
    assert_eq!(success(world.ask(client.tuple, &asked)), first);
}

#[test]
fn the_end_of_the_allocation_does_not_end_the_reservation() {
    let (mut world, client, port, token) = pair(8);
    world.refresh(&client, 0);
    let second = world.client("alice", "1.2.3.4:1001");
    assert_eq!(relayed(&success(world.request(&second, ALLOCATE, &[&udp(), &token]))).port(), port + 1);
}

#[test]
fn kept_ports_count_as_the_users_until_they_are_used_or_free() {
    let (mut world, client, _, token) = pair(2);
    world.refresh(&client, 0);
    let even = EvenPort::new(true);
    assert!(is_success(&world.request(&client, ALLOCATE, &[&udp()])));
    let second = world.client("alice", "1.2.3.4:1001");
    assert_eq!(world.request(&second, ALLOCATE, &[&udp(), &even]), Answer::Error(486));
    assert!(is_success(&world.request(&second, ALLOCATE, &[&udp(), &token])));
}

#[test]
fn a_pair_whose_socket_cannot_be_opened_is_free_again() {
    let mut world = World::with(|config| config.ports.last = config.ports.first + 3);
    let client = world.client("alice", "1.2.3.4:1000");
    world.refusals = vec![OpenRefused::Taken];
    success(world.request(&client, ALLOCATE, &[&udp(), &EvenPort::new(true)]));
    world.refusals = vec![OpenRefused::Exhausted];
    let second = world.client("alice", "1.2.3.4:1001");
    assert_eq!(world.request(&second, ALLOCATE, &[&udp(), &EvenPort::new(true)]), Answer::Error(508));
    success(world.request(&second, ALLOCATE, &[&udp(), &EvenPort::new(true)]));
}

/// Two shards of one relay.
fn shards() -> (World, World) {
    let shard = |number| {
        World::with(move |config| {
            (config.ports.shard, config.ports.shards) = (number, 2);
            config.ports.last = config.ports.first + 3;
        })
    };
    (shard(0), shard(1))
}

/// Carries notes to and fro until nobody has any.
fn carry(first: &mut World, second: &mut World) {
    while !(first.told.is_empty() && second.told.is_empty()) {
        for (shard, note) in std::mem::take(&mut first.told) {
            assert_eq!(shard, 1);
            second.hear(note);
        }
        for (shard, note) in std::mem::take(&mut second.told) {
            assert_eq!(shard, 0);
            first.hear(note);
        }
    }
}

#[test]
fn a_token_is_good_at_another_shard_and_the_port_goes_home_afterwards() {
    let (mut keeper, mut borrower) = shards();
    let client = keeper.client("alice", "1.2.3.4:1000");
    let message = success(keeper.request(&client, ALLOCATE, &[&udp(), &EvenPort::new(true)]));
    let second = borrower.client("alice", "1.2.3.4:1001");
    assert_eq!(borrower.request(&second, ALLOCATE, &[&udp(), &token(&message)]), Answer::Silence);
    borrower.sent.clear();
    carry(&mut keeper, &mut borrower);
    let (to, answer) = borrower.sent.pop().expect("an answer");
    assert_eq!((to, relayed(&answer).port()), (second.tuple, relayed(&message).port() + 1));

    // From inside, it is reached through its keeper.
    assert!(is_success(&borrower.permit(&second, "8.8.8.8:1")));
    let (from, at) = (address("8.8.8.8:9"), relayed(&answer));
    let passed = keeper.relay.handle_hairpin(keeper.now, from, at, b"hello");
    assert_eq!(passed, Forward::ToShard { shard: 1, from, to: at, payload: b"hello" });
    let delivered = borrower.relay.handle_hairpin(borrower.now, from, at, b"hello");
    assert!(matches!(delivered, Forward::ToClient { client, .. } if client == second.tuple));

    borrower.refresh(&second, 0);
    carry(&mut keeper, &mut borrower);
    let dropped = keeper.relay.handle_hairpin(keeper.now, from, at, b"hello");
    assert_eq!(dropped, Forward::Dropped(DropReason::NoAllocation));
    let third = keeper.client("carol", "1.2.3.4:1002");
    assert_eq!(keeper.allocate(&third).port(), at.port());
}

#[test]
fn a_lent_port_that_nobody_uses_goes_home_and_a_false_token_is_refused_by_its_keeper() {
    let (mut keeper, mut borrower) = shards();
    let client = keeper.client("alice", "1.2.3.4:1000");
    let message = success(keeper.request(&client, ALLOCATE, &[&udp(), &EvenPort::new(true)]));
    let mallory = borrower.client("mallory", "1.2.3.4:1001");
    assert_eq!(borrower.request(&mallory, ALLOCATE, &[&udp(), &token(&message)]), Answer::Silence);
    borrower.sent.clear();
    carry(&mut keeper, &mut borrower);
    let (_, answer) = borrower.sent.pop().expect("an answer");
    let code = Message::from_bytes(&answer).expect("a message").attribute::<stun_types::attribute::ErrorCode>();
    assert_eq!(code.expect("a code").code(), 508);

    // The client gives up while the port is on its way.
    let second = borrower.client("alice", "1.2.3.4:1002");
    assert_eq!(borrower.request(&second, ALLOCATE, &[&udp(), &token(&message)]), Answer::Silence);
    borrower.wait(Duration::from_secs(6));
    carry(&mut keeper, &mut borrower);
    borrower.wait(HALF_MINUTE);
    assert!(matches!(borrower.told.as_slice(), [(0, Note::Returned { .. })]), "{:?}", borrower.told);
    carry(&mut keeper, &mut borrower);
    assert_eq!((borrower.relay.poll_timeout(), borrower.open.len()), (None, 0));
}

#[test]
fn one_allocation_relays_to_both_families() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let both = AdditionalAddressFamily::new(AddressFamily::IPV6);
    let transaction = world.transaction();
    let asked = client.sign(ALLOCATE, transaction, &[&udp(), &both]);
    let message = success(world.ask(client.tuple, &asked));
    let relayed = all_relayed(&message);
    assert_eq!(relayed.iter().map(|at| at.ip()).collect::<Vec<_>>(), [ip("192.168.1.5"), ip("2a00::5")]);
    assert_eq!(success(world.ask(client.tuple, &asked)), message);
    let (v4, v6) = (address("8.8.8.8:9"), address("[2a00:1450::1]:9"));
    for (number, peer) in [(0x4000, v4), (0x4001, v6)] {
        assert!(is_success(&world.bind(&client, number, peer)));
        let sent = channel_data(number, b"hello");
        let Forward::ToPeer { relay, peer: to, .. } = world.packet(client.tuple, &sent) else { panic!("not sent") };
        assert_eq!((to, world.open[&relay].is_ipv4()), (peer, peer.is_ipv4()));
        let back = world.relay.handle_peer(world.now, relay, peer, b"back");
        assert!(matches!(back, Forward::ToClient { client: to, .. } if to == client.tuple));
    }
    assert_eq!(world.bind(&client, 0x4000, v6), Answer::Error(400), "a number means one peer");
    assert_eq!(world.relay.counters().allocations, 2);
}

#[test]
fn permissions_of_both_families_are_all_installed_or_none() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    success(world.request(&client, ALLOCATE, &[&udp(), &AdditionalAddressFamily::new(AddressFamily::IPV6)]));
    let ask = |world: &mut World, peers: [&str; 2]| {
        let transaction: TransactionId = world.transaction();
        let [first, second] = peers.map(|peer| XorPeerAddress::new(address(peer), transaction));
        let bytes = client.sign(CREATE_PERMISSION, transaction, &[&first, &second]);
        world.ask(client.tuple, &bytes)
    };
    assert_eq!(ask(&mut world, ["8.8.8.8:1", "[fc00::1]:1"]), Answer::Error(403));
    let sent = send_indication(address("8.8.8.8:1"), b"hello");
    assert_eq!(world.packet(client.tuple, &sent), Forward::Dropped(DropReason::NoPermission));
    assert!(is_success(&ask(&mut world, ["8.8.8.8:1", "[2a00:1450::1]:1"])));
    for peer in ["8.8.8.8:1", "[2a00:1450::1]:1"] {
        let sent = send_indication(address(peer), b"hello");
        assert!(matches!(world.packet(client.tuple, &sent), Forward::ToPeer { .. }), "{peer}");
    }
}

#[test]
fn refresh_reaches_one_family_if_it_names_it_else_both() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let both = AdditionalAddressFamily::new(AddressFamily::IPV6);
    success(world.request(&client, ALLOCATE, &[&udp(), &both]));
    let v4 = RequestedAddressFamily::new(AddressFamily::IPV4);
    assert_eq!(lifetime(&world.request(&client, REFRESH, &[&Lifetime::new(0), &v4])), 0);
    assert!(world.open.values().all(|at| at.is_ipv6()) && world.open.len() == 1);
    assert_eq!(world.request(&client, REFRESH, &[&Lifetime::new(0), &v4]), Answer::Error(443));
    assert_eq!(lifetime(&world.refresh(&client, 1_200)), 1_200);
    assert_eq!(world.permit(&client, "8.8.8.8:1"), Answer::Error(443));
    assert!(is_success(&world.permit(&client, "[2a00:1450::1]:1")));
    assert_eq!(lifetime(&world.refresh(&client, 0)), 0);
    success(world.request(&client, ALLOCATE, &[&udp(), &both]));
    assert_eq!(lifetime(&world.refresh(&client, 0)), 0);
    assert!(world.open.is_empty());
}

#[test]
fn a_family_that_cannot_be_had_is_named_in_the_success() {
    let both = AdditionalAddressFamily::new(AddressFamily::IPV6);
    let lacking = |world: &mut World, client: &Client| {
        let message = success(world.request(client, ALLOCATE, &[&udp(), &both]));
        assert_eq!(all_relayed(&message).len(), 1);
        let parsed = Message::from_bytes(&message).expect("a message");
        let lacks = parsed.attribute::<AddressErrorCode>().expect("an ADDRESS-ERROR-CODE");
        (lacks.family(), lacks.error().code())
    };
    let mut v4_only = World::with(|config| config.addresses.own.retain(std::net::IpAddr::is_ipv4));
    let client = v4_only.client("alice", "1.2.3.4:1000");
    assert_eq!(lacking(&mut v4_only, &client), (AddressFamily::IPV6, 440));

    // The sockets are opened in order: refusals are taken from the end.
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.refusals = vec![OpenRefused::Exhausted];
    assert_eq!(lacking(&mut world, &client), (AddressFamily::IPV4, 508));
    world.refresh(&client, 0);
    world.refusals = vec![OpenRefused::Exhausted; 2];
    assert_eq!(world.request(&client, ALLOCATE, &[&udp(), &both]), Answer::Error(508));
    assert_eq!((world.open.len(), world.relay.counters().allocations), (0, 0));

    let mut one_each = World::with(|config| config.limits.allocations_per_user = 1);
    let client = one_each.client("alice", "1.2.3.4:1000");
    assert_eq!(lacking(&mut one_each, &client), (AddressFamily::IPV6, 508));
}

#[test]
fn dont_fragment_is_granted_and_holds_for_one_packet() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    success(world.request(&client, ALLOCATE, &[&udp(), &DontFragment::new()]));
    let peer = address("8.8.8.8:9");
    assert!(is_success(&world.bind(&client, 0x4000, peer)));
    let plain = send_indication(peer, b"hello");
    let mut probe = plain.clone();
    probe.extend([0x00, 0x1a, 0, 0]);
    let length = u16::try_from(probe.len() - 20).expect("short").to_be_bytes();
    probe[2..4].copy_from_slice(&length);
    let how = |world: &mut World, bytes: &[u8]| match world.packet(client.tuple, bytes) {
        Forward::ToPeer { fragmentation, .. } => fragmentation,
        other => panic!("not sent: {other:?}"),
    };
    assert_eq!(how(&mut world, &probe), Fragmentation::Forbidden);
    assert_eq!(how(&mut world, &plain), Fragmentation::Allowed);
    assert_eq!(how(&mut world, &channel_data(0x4000, b"hello")), Fragmentation::Allowed);
}

#[test]
fn icmp_errors_of_permitted_peers_reach_the_client() {
    let mut world = World::new();
    let client = world.client_over(Transport::Tcp, "alice", "1.2.3.4:1000", "192.168.1.5:3478");
    let relayed = world.allocate(&client);
    let relay = world.relay_of(relayed);
    assert!(is_success(&world.permit(&client, "8.8.8.8:1")));
    let error = |peer: &str, kind, code| IcmpError { peer: address(peer), kind, code, mtu: 1_280 };
    let tell = |world: &mut World, error| {
        world.sent.clear();
        world.relay.handle_icmp(world.now, relay, error);
        world.drain();
        world.sent.pop()
    };
    let (to, message) = tell(&mut world, error("8.8.8.8:9", 3, 4)).expect("an indication");
    let parsed = Message::from_bytes(&message).expect("a message");
    let icmp = parsed.attribute::<Icmp>().expect("an ICMP attribute");
    assert_eq!((icmp.icmp_type(), icmp.code(), icmp.data()), (3, 4, 1_280));
    let peer = parsed.attribute::<XorPeerAddress>().expect("a peer").addr(parsed.transaction_id());
    assert_eq!((to, peer), (client.tuple, address("8.8.8.8:9")));
    assert_eq!(tell(&mut world, error("8.8.4.4:9", 3, 4)), None, "nobody has permitted it");
    assert_eq!(tell(&mut world, error("8.8.8.8:9", 8, 0)), None, "an echo request is no error");
}

#[test]
fn both_families_may_be_asked_for_by_the_number_of_the_draft() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let both = RawAttribute::new(0x8032.into(), &[2, 0, 0, 0]);
    let message = success(world.request(&client, ALLOCATE, &[&udp(), &EvenPort::new(false), &both]));
    assert_eq!(all_relayed(&message).len(), 2);
}

#[test]
fn a_truncated_or_foreign_token_opens_nothing() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    for value in [&[0_u8; 7][..], &[0; 9], &[]] {
        let raw = RawAttribute::new(ReservationToken::TYPE, value);
        let attributes: [&dyn AttributeWrite; 2] = [&udp(), &raw];
        assert_eq!(world.request(&client, ALLOCATE, &attributes), Answer::Error(400));
    }
    // Of a shard there is none of.
    assert_eq!(world.request(&client, ALLOCATE, &[&udp(), &ReservationToken::new(u64::MAX)]), Answer::Error(508));
    assert!(world.told.is_empty());
}
