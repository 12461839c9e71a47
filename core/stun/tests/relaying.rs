//! Packets: Send and ChannelData up, Data and ChannelData down, inside the process and across shards, and what stops them.

mod world;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stun_types::attribute::RawAttribute;
use stun_types::message::{Message, MessageClass, MessageWrite};
use tandem_stun::turn::{DropReason, FiveTuple, Forward, Fragmentation, Transport};
use tandem_stun::wire::{self, Frame, Packet};
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::message::{CREATE_PERMISSION, SEND};
use world::*;

const PEER: &str = "8.8.8.8:9000";

/// The bytes a client gets, written out.
fn written(forward: Forward<'_>) -> (FiveTuple, Vec<u8>) {
    let Forward::ToClient { client, head, payload, padded } = forward else { panic!("not to a client: {forward:?}") };
    let mut bytes = [head.as_bytes(), payload].concat();
    if padded {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    (client, bytes)
}

/// Peer and payload of a Data indication.
fn indication(bytes: &[u8]) -> (SocketAddr, Vec<u8>) {
    let message = Message::from_bytes(bytes).expect("a Data indication is a message");
    let peer = message.attribute::<XorPeerAddress>().expect("a peer").addr(message.transaction_id());
    (peer, message.attribute::<Data>().expect("data").data().to_vec())
}

#[test]
fn a_permitted_peer_is_reached_by_send_and_answers_by_data() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    let relay = world.relay_of(relayed);
    let up = send_indication(address(PEER), b"hello");
    assert_eq!(world.packet(client.tuple, &up), Forward::Dropped(DropReason::NoPermission));
    assert!(is_success(&world.permit(&client, PEER)));
    let expected =
        Forward::ToPeer { relay, peer: address(PEER), payload: b"hello", fragmentation: Fragmentation::Allowed };
    assert_eq!(world.packet(client.tuple, &up), expected);
    let (to, bytes) = written(world.relay.handle_peer(world.now, relay, address("8.8.8.8:1"), b"hi"));
    assert_eq!((to, indication(&bytes)), (client.tuple, (address("8.8.8.8:1"), b"hi".to_vec())));
    let stranger = world.relay.handle_peer(world.now, relay, address("8.8.8.9:1"), b"hi");
    assert_eq!(stranger, Forward::Dropped(DropReason::NoPermission));
}

#[test]
fn of_this_host_only_what_is_there_for_everybody_is_reached() {
    let own = "192.168.1.5";
    let mut world = World::with(|config| config.addresses.services = vec![address("192.168.1.5:5004")]);
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    let relay = world.relay_of(relayed);
    assert!(is_success(&world.permit(&client, &format!("{own}:1"))));
    let media = send_indication(address("192.168.1.5:5004"), b"hello");
    assert!(matches!(world.packet(client.tuple, &media), Forward::ToPeer { .. }));
    for port in [22, 5005, 3478] {
        let other = send_indication(SocketAddr::new(own.parse().expect("an address"), port), b"hello");
        assert!(matches!(world.packet(client.tuple, &other), Forward::Dropped(_)), "{port}");
    }
    let (to, _) = written(world.relay.handle_peer(world.now, relay, address("192.168.1.5:5004"), b"hi"));
    assert_eq!(to, client.tuple);
}

#[test]
fn a_bound_channel_carries_both_ways_and_pads_on_streams_only() {
    for (transport, padding) in [(Transport::Udp, 0), (Transport::Tcp, 3), (Transport::Tls, 3)] {
        let mut world = World::new();
        let client = world.client_over(transport, "alice", "1.2.3.4:1000", "192.168.1.5:3478");
        let relayed = world.allocate(&client);
        let relay = world.relay_of(relayed);
        assert!(is_success(&world.bind(&client, 0x4001, address(PEER))));
        let up = channel_data(0x4001, b"hello");
        let expected =
            Forward::ToPeer { relay, peer: address(PEER), payload: b"hello", fragmentation: Fragmentation::Allowed };
        assert_eq!(world.packet(client.tuple, &up), expected);
        let (_, bytes) = written(world.relay.handle_peer(world.now, relay, address(PEER), b"hello"));
        assert_eq!(bytes.len(), 9 + padding);
        assert_eq!(wire::parse(&bytes), Ok(Packet::Channel { number: 0x4001, payload: b"hello" }));
        let unbound = channel_data(0x4002, b"hello");
        assert_eq!(world.packet(client.tuple, &unbound), Forward::Dropped(DropReason::NoChannel));
    }
}

#[test]
fn padding_after_channel_data_is_tolerated_over_udp() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    world.bind(&client, 0x4001, address(PEER));
    let mut up = channel_data(0x4001, b"hello");
    up.extend([0; 3]);
    assert!(matches!(world.packet(client.tuple, &up), Forward::ToPeer { payload: b"hello", .. }));
    let too_long = [0x40, 0x01, 0, 9, 1, 2, 3];
    assert_eq!(world.packet(client.tuple, &too_long), Forward::Nothing);
    assert_eq!(world.relay.counters().malformed, 1);
}

#[test]
fn a_channel_stays_with_its_peer_and_its_number_in_range() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    assert!(is_success(&world.bind(&client, 0x7ffe, address("8.8.8.8:9001"))));
    let refused = [
        (0x4000, "8.8.8.8:9002"),
        (0x4001, PEER),
        (0x3fff, "8.8.8.8:9003"),
        (0x7fff, "8.8.8.8:9003"),
        (0x4003, "8.8.8.8:0"),
    ];
    for (number, peer) in refused {
        assert_eq!(world.bind(&client, number, address(peer)), Answer::Error(400), "{number:#x} {peer}");
    }
}

#[test]
fn permissions_end_after_five_minutes_and_channels_after_ten() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    let relay = world.relay_of(relayed);
    world.bind(&client, 0x4001, address(PEER));
    let up = channel_data(0x4001, b"x");
    world.wait(Duration::from_secs(299));
    assert!(matches!(world.relay.handle_peer(world.now, relay, address(PEER), b"x"), Forward::ToClient { .. }));
    world.wait(Duration::from_secs(1));
    let down = world.relay.handle_peer(world.now, relay, address(PEER), b"x");
    assert_eq!(down, Forward::Dropped(DropReason::NoPermission));
    assert!(matches!(world.packet(client.tuple, &up), Forward::ToPeer { .. }));
    world.refresh(&client, 3_600);
    world.wait(Duration::from_secs(300));
    assert_eq!(world.packet(client.tuple, &up), Forward::Dropped(DropReason::NoChannel));
}

#[test]
fn private_peers_are_forbidden_in_every_form_unless_allowed() {
    let forms = ["10.0.0.1:9", "127.0.0.2:9", "169.254.169.254:80", "0.0.0.0:9", "192.168.1.9:9"];
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    for peer in forms {
        assert_eq!(world.permit(&client, peer), Answer::Error(403), "{peer}");
        assert_eq!(world.bind(&client, 0x4000, address(peer)), Answer::Error(403), "{peer}");
    }
    let v6 = world.client_over(Transport::Udp, "alice", "[2a00::9]:1", "[2a00::5]:3478");
    world.allocate(&v6);
    for peer in ["[::ffff:127.0.0.1]:9", "[64:ff9b::7f00:1]:9", "[2002:a00:1::]:9", "[fd00::1]:9", "[::]:9"] {
        assert_eq!(world.permit(&v6, peer), Answer::Error(403), "{peer}");
    }
    let mut open = World::with(|config| config.peers.allow = vec!["10.0.0.0/8".parse().expect("a range")]);
    let client = open.client("alice", "1.2.3.4:1000");
    open.allocate(&client);
    assert!(is_success(&open.permit(&client, "10.0.0.1:9")));
    assert_eq!(open.permit(&client, "192.168.1.9:9"), Answer::Error(403));
}

#[test]
fn a_peer_of_the_other_family_is_refused_with_443() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert_eq!(world.permit(&client, "[2a00:1::1]:9"), Answer::Error(443));
    assert_eq!(world.bind(&client, 0x4000, address("[2a00:1::1]:9")), Answer::Error(443));
}

#[test]
fn permissions_are_granted_all_or_none_and_no_more_than_the_limit() {
    let mut world = World::with(|config| config.limits.permissions = 3);
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    let ask = |world: &mut World, peers: &[&str]| {
        let transaction = world.transaction();
        let peers: Vec<_> = peers.iter().map(|peer| XorPeerAddress::new(address(peer), transaction)).collect();
        let attributes: Vec<_> = peers.iter().map(|peer| peer as &dyn stun_types::attribute::AttributeWrite).collect();
        let bytes = client.sign(CREATE_PERMISSION, transaction, &attributes);
        world.ask(client.tuple, &bytes)
    };
    assert_eq!(ask(&mut world, &[]), Answer::Error(400));
    assert_eq!(ask(&mut world, &["8.8.8.1:1", "10.0.0.1:1"]), Answer::Error(403));
    let unpermitted = send_indication(address("8.8.8.1:1"), b"x");
    assert_eq!(world.packet(client.tuple, &unpermitted), Forward::Dropped(DropReason::NoPermission));
    assert!(is_success(&ask(&mut world, &["8.8.8.1:1", "8.8.8.2:1", "8.8.8.3:1"])));
    assert!(is_success(&ask(&mut world, &["8.8.8.3:1"])));
    assert_eq!(ask(&mut world, &["8.8.8.4:1"]), Answer::Error(508));
    assert_eq!(world.bind(&client, 0x4000, address("8.8.8.4:1")), Answer::Error(508));
}

#[test]
fn channels_have_a_limit() {
    let mut world = World::with(|config| config.limits.channels = 1);
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert!(is_success(&world.bind(&client, 0x4000, address(PEER))));
    assert_eq!(world.bind(&client, 0x4001, address("8.8.8.8:2")), Answer::Error(508));
}

#[test]
fn two_allocations_meet_inside_although_their_address_is_private() {
    let mut world = World::new();
    let alice = world.client("alice", "1.2.3.4:1000");
    let bob = world.client_over(Transport::Tcp, "bob", "1.2.3.4:1001", "127.0.0.1:3478");
    let (at_alice, at_bob) = (world.allocate(&alice), world.allocate(&bob));
    assert!(is_success(&world.permit(&alice, &at_bob.to_string())));
    let up = send_indication(at_bob, b"hello");
    // Bob has not permitted alice yet.
    assert_eq!(world.packet(alice.tuple, &up), Forward::Dropped(DropReason::NoPermission));
    assert!(is_success(&world.bind(&bob, 0x4005, at_alice)));
    let (to, bytes) = written(world.packet(alice.tuple, &up));
    assert_eq!(to, bob.tuple);
    assert_eq!(wire::parse(&bytes), Ok(Packet::Channel { number: 0x4005, payload: b"hello" }));
    let down = channel_data(0x4005, b"back");
    let (to, bytes) = written(world.packet(bob.tuple, &down));
    assert_eq!((to, indication(&bytes)), (alice.tuple, (at_bob, b"back".to_vec())));
}

#[test]
fn our_own_address_leads_nowhere_but_to_live_allocations() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let own = world.allocate(&client);
    assert!(is_success(&world.permit(&client, "192.168.1.5:1")));
    assert!(is_success(&world.permit(&client, "127.0.0.1:1")));
    let free = if own.port() == 50_000 { 50_001 } else { 50_000 };
    for port in [22, 80, 3_478, 5_432, free, 65_535] {
        for host in ["192.168.1.5", "127.0.0.1"] {
            let up = send_indication(SocketAddr::new(ip(host), port), b"x");
            assert_eq!(world.packet(client.tuple, &up), Forward::Dropped(DropReason::Forbidden), "{host}:{port}");
        }
    }
    assert!(is_success(&world.bind(&client, 0x4000, address("127.0.0.1:80"))));
    let up = channel_data(0x4000, b"x");
    assert_eq!(world.packet(client.tuple, &up), Forward::Dropped(DropReason::Forbidden));
}

#[test]
fn allowing_loopback_opens_this_host_except_our_listeners() {
    let mut world = World::with(|config| config.peers.allow_loopback = true);
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert!(is_success(&world.permit(&client, "127.0.0.1:1")));
    let outside = send_indication(address("127.0.0.1:9000"), b"x");
    assert!(matches!(world.packet(client.tuple, &outside), Forward::ToPeer { .. }));
    let listener = send_indication(address("127.0.0.1:3478"), b"x");
    assert_eq!(world.packet(client.tuple, &listener), Forward::Dropped(DropReason::Forbidden));
}

#[test]
fn two_shards_meet_and_their_ports_do_not_overlap() {
    let shard = |index| {
        World::with(|config| {
            config.ports.shard = index;
            config.ports.shards = 2;
        })
    };
    let (mut first, mut second) = (shard(0), shard(1));
    let alice = first.client("alice", "1.2.3.4:1000");
    let bob = second.client("bob", "1.2.3.4:1001");
    let (at_alice, at_bob) = (first.allocate(&alice), second.allocate(&bob));
    assert_ne!((at_alice.port() / 2) % 2, (at_bob.port() / 2) % 2);
    first.bind(&alice, 0x4000, at_bob);
    second.bind(&bob, 0x4000, at_alice);
    let up = channel_data(0x4000, b"hello");
    let forward = first.packet(alice.tuple, &up);
    assert_eq!(forward, Forward::ToShard { shard: 1, from: at_alice, to: at_bob, payload: b"hello" });
    let (to, bytes) = written(second.relay.handle_hairpin(second.now, at_alice, at_bob, b"hello"));
    assert_eq!((to, bytes), (bob.tuple, up));
    let nobody = second.relay.handle_hairpin(second.now, at_alice, address("192.168.1.5:22"), b"hello");
    assert_eq!(nobody, Forward::Dropped(DropReason::NoAllocation));
    let forged = second.relay.handle_hairpin(second.now, address("8.8.8.8:50000"), at_bob, b"hello");
    assert_eq!(forged, Forward::Dropped(DropReason::NoPermission));
}

#[test]
fn behind_a_nat_two_allocations_meet_by_their_external_address() {
    let mut world = World::with(|config| config.addresses.external = IpAddr::from([5, 6, 7, 8]).into());
    let (alice, bob) = (world.client("alice", "1.2.3.4:1000"), world.client("bob", "1.2.3.4:1001"));
    let (at_alice, at_bob) = (world.allocate(&alice), world.allocate(&bob));
    assert!(is_success(&world.bind(&alice, 0x4000, at_bob)));
    assert!(is_success(&world.bind(&bob, 0x4000, at_alice)));
    let up = channel_data(0x4000, b"hello");
    assert_eq!(written(world.packet(alice.tuple, &up)), (bob.tuple, up.clone()));
}

#[test]
fn more_bytes_than_allowed_are_dropped_until_time_has_passed() {
    let mut world = World::with(|config| {
        config.limits.bytes_per_second = 1_000;
        config.limits.burst_bytes = 2_000;
    });
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    let relay = world.relay_of(relayed);
    world.bind(&client, 0x4000, address(PEER));
    let up = channel_data(0x4000, &[0; 1_000]);
    assert!(matches!(world.packet(client.tuple, &up), Forward::ToPeer { .. }));
    assert!(matches!(world.relay.handle_peer(world.now, relay, address(PEER), &[0; 1_000]), Forward::ToClient { .. }));
    assert_eq!(world.packet(client.tuple, &up), Forward::Dropped(DropReason::Rate));
    world.wait(Duration::from_secs(1));
    assert!(matches!(world.packet(client.tuple, &up), Forward::ToPeer { .. }));
    assert_eq!(world.packet(client.tuple, &up), Forward::Dropped(DropReason::Rate));
    assert_eq!((world.relay.counters().packets, world.relay.counters().bytes), (3, 3_000));
}

#[test]
fn the_first_peer_of_a_send_indication_counts_and_the_unknown_voids_it() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    world.permit(&client, PEER);
    let transaction = world.transaction();
    let first = XorPeerAddress::new(address(PEER), transaction);
    let second = XorPeerAddress::new(address("127.0.0.1:22"), transaction);
    let data = Data::new(b"x");
    let twice = builder(MessageClass::Indication, SEND, transaction, &[&first, &second, &data]).finish();
    assert!(matches!(world.packet(client.tuple, &twice), Forward::ToPeer { peer, .. } if peer == address(PEER)));
    let unknown = RawAttribute::new(0x7abc.into(), &[]);
    let void = builder(MessageClass::Indication, SEND, transaction, &[&first, &unknown, &data]).finish();
    assert_eq!(world.packet(client.tuple, &void), Forward::Dropped(DropReason::Malformed));
    let optional = RawAttribute::new(0x8abc.into(), b"odd");
    let fine = builder(MessageClass::Indication, SEND, transaction, &[&optional, &first, &data]).finish();
    assert!(matches!(world.packet(client.tuple, &fine), Forward::ToPeer { .. }));
    let empty = builder(MessageClass::Indication, SEND, transaction, &[&first]).finish();
    assert_eq!(world.packet(client.tuple, &empty), Forward::Dropped(DropReason::Malformed));
}

#[test]
fn the_largest_payloads_are_relayed_or_dropped_but_never_miscounted() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    let relay = world.relay_of(relayed);
    world.permit(&client, PEER);
    for (size, fits) in [(65_507, true), (65_516, true), (65_517, false), (65_535, false), (65_536, false)] {
        let payload = vec![7; size];
        match world.relay.handle_peer(world.now, relay, address(PEER), &payload) {
            forward @ Forward::ToClient { .. } => {
                assert!(fits, "{size}");
                assert_eq!(indication(&written(forward).1).1.len(), size);
            }
            dropped => assert!(!fits, "{size}: {dropped:?}"),
        }
    }
}

#[test]
fn a_socket_number_used_again_does_not_reach_the_former_owner() {
    let mut world = World::new();
    let alice = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&alice);
    let former = world.relay_of(relayed);
    world.refresh(&alice, 0);
    let bob = world.client("bob", "1.2.3.4:1001");
    world.allocate(&bob);
    world.permit(&bob, PEER);
    let late = world.relay.handle_peer(world.now, former, address(PEER), b"late");
    assert_eq!(late, Forward::Dropped(DropReason::NoAllocation));
}

#[test]
fn a_stream_is_cut_into_frames_wherever_it_is_broken() {
    let channel = {
        let mut bytes = channel_data(0x4000, b"hello");
        bytes.resize(12, 0);
        bytes
    };
    let binding = request(stun_types::message::BINDING, 5.into(), &[]);
    let whole = [channel.as_slice(), binding.as_slice(), channel.as_slice()].concat();
    for cut in 0..whole.len() {
        let (mut lengths, mut inbox) = (Vec::new(), Vec::new());
        for part in [&whole[..cut], &whole[cut..]] {
            inbox.extend_from_slice(part);
            while let Ok(Frame::Whole { length, padded }) = wire::frame(&inbox) {
                lengths.push(length);
                inbox.drain(..padded);
            }
        }
        assert_eq!(lengths, [9, 20, 9], "cut at {cut}");
    }
    for first in [0x80, 0xc0, 0xff] {
        assert!(wire::frame(&[first]).is_err());
    }
}
