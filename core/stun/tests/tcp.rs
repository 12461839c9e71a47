//! RFC 6062: connections between relayed addresses and peers.

mod world;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use stun_types::attribute::{AttributeType, AttributeWrite, ErrorCode, RawAttribute};
use stun_types::message::{Message, MessageClass};
use tandem_stun::turn::{Carried, Changes, ConnectionId, Destination, Forward, Realms, Transport, Whom};
use turn_types::AddressFamily;
use turn_types::attribute::{
    ConnectionId as ConnectionIdAttribute, DontFragment, EvenPort, RequestedAddressFamily, RequestedTransport,
    ReservationToken, XorPeerAddress,
};
use turn_types::message::{ALLOCATE, CONNECT, CONNECTION_ATTEMPT, CONNECTION_BIND};
use world::*;

const PEER: &str = "8.8.8.8:9000";
const WAIT: Duration = Duration::from_secs(30);

fn up(bytes: u64) -> Carried {
    Carried { up: bytes, down: 0 }
}

fn tcp() -> RequestedTransport {
    RequestedTransport::new(RequestedTransport::TCP)
}

fn control(world: &mut World, user: &str, at: &str) -> Client {
    world.client_over(Transport::Tcp, user, at, "192.168.1.5:3478")
}

/// A client over TCP with a TCP allocation.
fn allocated(world: &mut World) -> Client {
    let client = control(world, "alice", "1.2.3.4:1000");
    assert!(is_success(&world.request(&client, ALLOCATE, &[&tcp()])));
    client
}

fn connect(world: &mut World, client: &Client, peer: &str) -> Answer {
    let transaction = world.transaction();
    let peer = XorPeerAddress::new(address(peer), transaction);
    let bytes = client.sign(CONNECT, transaction, &[&peer]);
    world.ask(client.tuple, &bytes)
}

/// The connection that is being established to this peer.
fn connecting(world: &World, peer: &str) -> ConnectionId {
    let peer = address(peer);
    *world.connecting.iter().find(|&(_, &to)| to == peer).expect("a connection to this peer").0
}

/// What the shell says when the connection stands; the client learns its number.
fn established(world: &mut World, client: &Client, peer: &str) -> ConnectionId {
    let id = connecting(world, peer);
    world.sent.clear();
    world.relay.handle_connected(world.now, id);
    world.drain();
    world.connecting.remove(&id);
    let (to, message) = world.sent.pop().expect("an answer");
    let parsed = Message::from_bytes(&message).expect("a message");
    assert_eq!((to, parsed.method(), parsed.class()), (client.tuple, CONNECT, MessageClass::Success));
    assert!(parsed.validate_integrity_with_key(&client.key).is_ok());
    assert_eq!(number_of(&message), id.bits());
    id
}

fn number_of(message: &[u8]) -> u32 {
    let parsed = Message::from_bytes(message).expect("a message");
    parsed.attribute::<ConnectionIdAttribute>().expect("a number").id()
}

fn bind_request(world: &mut World, client: &Client, number: u32) -> Answer {
    world.request(client, CONNECTION_BIND, &[&ConnectionIdAttribute::new(number)])
}

fn bind_from(world: &mut World, client: &Client, port: u16, number: u32) -> Answer {
    let data = world.beside(client, port);
    bind_request(world, &data, number)
}

/// A peer connects in; the number in the indication.
fn incoming(world: &mut World, client: &Client, peer: &str) -> Option<ConnectionId> {
    let relay = *world.open.keys().next().expect("a relayed address");
    world.sent.clear();
    let id = world.relay.handle_incoming(world.now, relay, address(peer));
    world.drain();
    assert_eq!(id.is_some(), world.sent.len() == 1, "the client is told of what is accepted, and of nothing else");
    let (to, message) = world.sent.pop()?;
    let parsed = Message::from_bytes(&message).expect("a message");
    assert_eq!((to, parsed.method(), parsed.class()), (client.tuple, CONNECTION_ATTEMPT, MessageClass::Indication));
    let told = parsed.attribute::<XorPeerAddress>().expect("a peer").addr(parsed.transaction_id());
    assert_eq!((told, Some(number_of(&message))), (address(peer), id.map(ConnectionId::bits)));
    id
}

fn code_sent(world: &World) -> Option<u16> {
    let (_, message) = world.sent.last()?;
    let parsed = Message::from_bytes(message).expect("a message");
    Some(parsed.attribute::<ErrorCode>().expect("a code").code())
}

#[test]
fn a_client_connects_binds_and_the_bytes_are_the_shells() {
    let mut world = World::new();
    let client = allocated(&mut world);
    assert_eq!(connect(&mut world, &client, PEER), Answer::Silence, "answered when it stands");
    let id = established(&mut world, &client, PEER);
    let stream = world.beside(&client, 1_001);
    assert!(is_success(&bind_request(&mut world, &stream, id.bits())));
    assert_eq!(world.joined.get(&id), Some(&stream.tuple));
    assert_eq!(world.relay.handle_carried(world.now, id, up(1_000)), None);
    let counters = world.relay.counters();
    assert_eq!((counters.connections, counters.connected), (1, 1));
    assert_eq!((counters.bytes, counters.packets), (1_000, 0));
    world.relay.handle_disconnected(id);
    assert_eq!(world.relay.counters().connections, 0);
    assert!(is_success(&world.refresh(&client, 600)), "the allocation goes on");
}

#[test]
fn a_permitted_peer_connects_in_and_others_are_turned_away() {
    let mut world = World::new();
    let client = allocated(&mut world);
    assert_eq!(incoming(&mut world, &client, PEER), None, "without permission");
    assert!(is_success(&world.permit(&client, PEER)));
    let id = incoming(&mut world, &client, "8.8.8.8:1").expect("a permission is for all ports of an address");
    assert_eq!(incoming(&mut world, &client, "8.8.4.4:1"), None);
    assert!(is_success(&bind_from(&mut world, &client, 1_001, id.bits())));
    world.wait(Duration::from_secs(299));
    assert!(incoming(&mut world, &client, "8.8.8.8:2").is_some());
    world.wait(Duration::from_secs(1));
    assert_eq!(incoming(&mut world, &client, "8.8.8.8:3"), None, "the permission has expired");
    assert!(world.joined.contains_key(&id), "what has been bound goes on");
    assert_eq!(world.relay.counters().dropped, 3);
}

#[test]
fn only_clients_over_streams_may_have_connections_relayed() {
    let mut world = World::new();
    let udp = world.client("alice", "1.2.3.4:1000");
    assert_eq!(world.request(&udp, ALLOCATE, &[&tcp()]), Answer::Error(400));
    for transport in [Transport::Tcp, Transport::Tls] {
        let client = world.client_over(transport, "alice", "1.2.3.4:1000", "192.168.1.5:3478");
        let token = ReservationToken::new(7);
        let contradictions: [&dyn AttributeWrite; 3] = [&EvenPort::new(false), &token, &DontFragment::new()];
        for attribute in contradictions {
            assert_eq!(world.request(&client, ALLOCATE, &[&tcp(), attribute]), Answer::Error(400));
        }
        assert_eq!(world.request(&client, ALLOCATE, &[&RequestedTransport::new(132)]), Answer::Error(442));
        assert!(is_success(&world.request(&client, ALLOCATE, &[&tcp()])));
    }
}

#[test]
fn no_datagram_goes_through_a_tcp_allocation() {
    let mut world = World::new();
    let client = allocated(&mut world);
    assert!(is_success(&world.permit(&client, PEER)));
    assert_eq!(world.bind(&client, 0x4000, address(PEER)), Answer::Error(400));
    assert!(matches!(world.packet(client.tuple, &send_indication(address(PEER), b"x")), Forward::Dropped(_)));
    assert!(matches!(world.packet(client.tuple, &channel_data(0x4000, b"x")), Forward::Dropped(_)));
    let (relay, at) = world.open.iter().next().map(|(&relay, &at)| (relay, at)).expect("a relayed address");
    assert!(matches!(world.relay.handle_peer(world.now, relay, address(PEER), b"x"), Forward::Dropped(_)));
    // Nor from another allocation of ours.
    let other = world.client("bob", "1.2.3.5:1000");
    world.allocate(&other);
    assert!(is_success(&world.permit(&other, &at.to_string())));
    assert!(matches!(world.packet(other.tuple, &send_indication(at, b"x")), Forward::Dropped(_)));
}

#[test]
fn peers_that_may_not_be_relayed_to_may_not_be_connected_to() {
    let mut world = World::new();
    let client = allocated(&mut world);
    let own_relayed = world.open.values().next().map(SocketAddr::to_string).expect("a relayed address");
    let refused = ["127.0.0.1:80", "10.0.0.1:80", "0.0.0.0:80", "169.254.169.254:80", "192.168.1.5:3478", &own_relayed];
    for peer in refused {
        assert_eq!(connect(&mut world, &client, peer), Answer::Error(403), "{peer}");
    }
    assert_eq!(connect(&mut world, &client, "[2a00:1450::1]:80"), Answer::Error(443));
    assert_eq!(connect(&mut world, &client, "8.8.8.8:0"), Answer::Error(400));
    assert_eq!(world.request(&client, CONNECT, &[]), Answer::Error(400));
    assert!(world.connecting.is_empty());
}

#[test]
fn of_this_host_only_what_is_relayed_may_be_connected_to() {
    let mut world = World::with(|config| config.addresses.external = IpAddr::from([203, 0, 113, 9]).into());
    let client = allocated(&mut world);
    for (peer, answer) in [
        ("192.168.1.5:50007", Answer::Silence),
        ("203.0.113.9:50007", Answer::Silence),
        ("203.0.113.9:22", Answer::Error(403)),
        ("192.168.1.5:5432", Answer::Error(403)),
    ] {
        assert_eq!(connect(&mut world, &client, peer), answer, "{peer}");
    }
    assert!(world.destinations.iter().all(|&(_, whom)| whom == Destination::Relayed));
    connect(&mut world, &client, PEER);
    assert_eq!(world.destinations.last(), Some(&(address(PEER), Destination::Anyone)));
}

#[test]
fn nobody_connects_to_itself() {
    for loopback in [false, true] {
        let mut world = World::with(|config| config.peers.allow_loopback = loopback);
        let client = allocated(&mut world);
        let own = world.open.values().next().map(SocketAddr::to_string).expect("a relayed address");
        assert_eq!(connect(&mut world, &client, &own), Answer::Error(403));
    }
}

#[test]
fn where_loopback_is_open_our_listeners_are_not() {
    let mut world = World::with(|config| config.peers.allow_loopback = true);
    let client = allocated(&mut world);
    assert_eq!(connect(&mut world, &client, "127.0.0.1:3478"), Answer::Error(403));
    assert_eq!(connect(&mut world, &client, "127.0.0.1:80"), Answer::Silence);
}

#[test]
fn an_allocation_of_ipv6_connects_to_ipv6_only() {
    let mut world = World::new();
    let client = control(&mut world, "alice", "1.2.3.4:1000");
    let family = RequestedAddressFamily::new(AddressFamily::IPV6);
    assert!(is_success(&world.request(&client, ALLOCATE, &[&tcp(), &family])));
    assert_eq!(connect(&mut world, &client, PEER), Answer::Error(443));
    assert_eq!(connect(&mut world, &client, "[2a00:1450::1]:80"), Answer::Silence);
}

#[test]
fn connect_needs_a_tcp_allocation() {
    let mut world = World::new();
    let client = control(&mut world, "alice", "1.2.3.4:1000");
    assert_eq!(connect(&mut world, &client, PEER), Answer::Error(437));
    world.allocate(&client);
    assert_eq!(connect(&mut world, &client, PEER), Answer::Error(437));
}

#[test]
fn one_peer_has_one_connection_whatever_its_state() {
    let mut world = World::new();
    let client = allocated(&mut world);
    connect(&mut world, &client, PEER);
    assert_eq!(connect(&mut world, &client, PEER), Answer::Error(446), "being established");
    let id = established(&mut world, &client, PEER);
    assert_eq!(connect(&mut world, &client, PEER), Answer::Error(446), "waiting");
    bind_from(&mut world, &client, 1_001, id.bits());
    assert_eq!(connect(&mut world, &client, PEER), Answer::Error(446), "bound");
    assert_eq!(connect(&mut world, &client, "8.8.8.8:9001"), Answer::Silence, "another port is another peer");
    world.relay.handle_disconnected(id);
    assert_eq!(connect(&mut world, &client, PEER), Answer::Silence);
}

#[test]
fn a_peer_that_refuses_or_never_answers_is_447() {
    let mut world = World::new();
    let client = allocated(&mut world);
    connect(&mut world, &client, PEER);
    let id = connecting(&world, PEER);
    world.connecting.clear();
    world.sent.clear();
    world.relay.handle_disconnected(id);
    world.drain();
    assert_eq!(code_sent(&world), Some(447));
    assert!(world.hung_up.is_empty(), "the shell knows");
    connect(&mut world, &client, PEER);
    let id = connecting(&world, PEER);
    assert_eq!(world.relay.poll_timeout(), Some(world.now + WAIT));
    world.sent.clear();
    world.wait(WAIT - Duration::from_millis(1));
    assert_eq!((world.sent.len(), world.hung_up.len()), (0, 0));
    world.wait(Duration::from_millis(1));
    assert_eq!((code_sent(&world), world.hung_up.as_slice()), (Some(447), &[id][..]));
    world.relay.handle_connected(world.now, id);
    assert_eq!(world.relay.poll_output(), None, "too late");
}

#[test]
fn what_nobody_binds_within_thirty_seconds_is_closed() {
    let mut world = World::new();
    let client = allocated(&mut world);
    world.permit(&client, PEER);
    connect(&mut world, &client, PEER);
    world.wait(Duration::from_secs(20));
    let made = established(&mut world, &client, PEER);
    let came = incoming(&mut world, &client, "8.8.8.8:1").expect("accepted");
    let bound = incoming(&mut world, &client, "8.8.8.8:2").expect("accepted");
    bind_from(&mut world, &client, 1_001, bound.bits());
    world.sent.clear();
    world.wait(WAIT - Duration::from_millis(1));
    assert!(world.hung_up.is_empty());
    world.wait(Duration::from_millis(1));
    let mut ended = world.hung_up.clone();
    ended.sort();
    let mut expected = vec![made, came];
    expected.sort();
    assert_eq!((ended, world.sent.len()), (expected, 0));
    assert_eq!(bind_from(&mut world, &client, 1_002, made.bits()), Answer::Error(400));
    assert!(world.joined.contains_key(&bound));
}

#[test]
fn connection_bind_takes_what_waits_of_the_same_user_once_by_another_stream() {
    let mut world = World::new();
    let client = allocated(&mut world);
    connect(&mut world, &client, PEER);
    let number = connecting(&world, PEER).bits();
    assert_eq!(bind_from(&mut world, &client, 1_001, number), Answer::Error(400), "not established");
    let id = established(&mut world, &client, PEER);
    assert_eq!(id.bits(), number);
    assert_eq!(bind_request(&mut world, &client, number), Answer::Error(437), "the control connection stays one");
    let thief = control(&mut world, "mallory", "1.2.3.4:2000");
    assert_eq!(bind_request(&mut world, &thief, number), Answer::Error(441));
    let udp = world.client("alice", "1.2.3.4:3000");
    let udp = Client { username: client.username.clone(), key: client.key.clone(), ..udp };
    assert_eq!(bind_request(&mut world, &udp, number), Answer::Error(400));
    assert_eq!(bind_from(&mut world, &client, 1_001, number ^ 1), Answer::Error(400));
    let stream = world.beside(&client, 1_001);
    assert_eq!(world.request(&stream, CONNECTION_BIND, &[]), Answer::Error(400));
    let transaction = world.transaction();
    let unsigned = request(CONNECTION_BIND, transaction, &[&ConnectionIdAttribute::new(number)]);
    assert_eq!(world.ask(stream.tuple, &unsigned), Answer::Error(401));
    assert!(world.joined.is_empty());
    assert!(is_success(&bind_from(&mut world, &client, 1_001, number)));
    assert_eq!(bind_from(&mut world, &client, 1_002, number), Answer::Error(400));
    assert_eq!(world.joined.len(), 1);
}

/// An allocation with a connection in each state.
fn busy(world: &mut World) -> Client {
    let client = allocated(world);
    world.permit(&client, PEER);
    connect(world, &client, PEER);
    connect(world, &client, "8.8.8.8:1");
    established(world, &client, "8.8.8.8:1");
    let bound = incoming(world, &client, "8.8.8.8:2").expect("accepted");
    bind_from(world, &client, 1_001, bound.bits());
    assert_eq!(world.relay.counters().connections, 3);
    client
}

#[test]
fn with_the_allocation_end_its_connections_however_it_ends() {
    let ends: [fn(&mut World, &Client); 4] = [
        |world, client| assert_eq!(lifetime(&world.refresh(client, 0)), 0),
        |world, client| {
            world.relay.handle_closed(world.now, client.tuple);
            world.drain();
        },
        |world, _| {
            world.relay.revoke(world.now, &Whom::User("alice".into()));
            world.drain();
        },
        |world, _| world.wait(Duration::from_secs(600)),
    ];
    for end in ends {
        let mut world = World::new();
        let client = busy(&mut world);
        end(&mut world, &client);
        assert_eq!(world.hung_up.len(), 3);
        assert!(world.joined.is_empty() && world.open.is_empty());
        assert_eq!((world.relay.counters().connections, world.relay.poll_timeout()), (0, None));
    }
}

#[test]
fn connections_to_a_peer_that_becomes_denied_end_and_others_stay() {
    const DENIED: &str = "8.8.0.0/16";
    let ways: [fn(&mut World); 2] = [
        |world| {
            let mut changes = Changes::of(&config(world.now));
            changes.peers.deny = vec![DENIED.parse().expect("a range")];
            world.relay.handle_changes(world.now, &changes);
        },
        |world| {
            let mut realms = Realms::default();
            realms.add("tandem").peers.deny = vec![DENIED.parse().expect("a range")];
            world.relay.handle_realms(Arc::new(realms));
        },
    ];
    for deny in ways {
        let mut world = World::new();
        let client = busy(&mut world);
        connect(&mut world, &client, "9.9.9.9:1");
        let other = established(&mut world, &client, "9.9.9.9:1");
        world.sent.clear();
        deny(&mut world);
        world.drain();
        assert_eq!(code_sent(&world), Some(403), "who waits for Connect is told");
        assert_eq!((world.hung_up.len(), world.relay.counters().connections), (3, 1));
        assert!(!world.hung_up.contains(&other));
        assert!(is_success(&bind_from(&mut world, &client, 1_002, other.bits())));
        assert_eq!(incoming(&mut world, &client, "8.8.8.8:3"), None, "its permission is gone as well");
    }
}

#[test]
fn connections_have_a_limit_per_allocation_and_one_for_all() {
    let mut world = World::with(|config| {
        (config.limits.connections, config.limits.connections_per_allocation) = (3, 2);
    });
    let client = allocated(&mut world);
    world.permit(&client, PEER);
    connect(&mut world, &client, "8.8.8.8:1");
    assert!(incoming(&mut world, &client, "8.8.8.8:2").is_some());
    assert_eq!(connect(&mut world, &client, "8.8.8.8:3"), Answer::Error(508));
    assert_eq!(incoming(&mut world, &client, "8.8.8.8:4"), None);
    let other = control(&mut world, "bob", "1.2.3.5:1000");
    assert!(is_success(&world.request(&other, ALLOCATE, &[&tcp()])));
    assert_eq!(connect(&mut world, &other, "8.8.8.8:1"), Answer::Silence);
    assert_eq!(connect(&mut world, &other, "8.8.8.8:2"), Answer::Error(508));
    world.relay.handle_closed(world.now, client.tuple);
    world.drain();
    assert_eq!(connect(&mut world, &other, "8.8.8.8:2"), Answer::Silence);
}

#[test]
fn nobody_looks_for_open_ports_at_speed() {
    let mut world = World::new();
    let client = allocated(&mut world);
    let look = |world: &mut World, ports: std::ops::Range<u16>| {
        let mut begun = 0;
        for port in ports {
            if connect(world, &client, &format!("8.8.8.8:{port}")) == Answer::Silence {
                begun += 1;
                let (connection, _) = world.connecting.pop_first().expect("a connection");
                world.relay.handle_disconnected(connection);
                world.drain();
            }
        }
        begun
    };
    assert_eq!(look(&mut world, 1..300), 128);
    world.wait(Duration::from_secs(1));
    assert_eq!(look(&mut world, 300..600), 64);
}

#[test]
fn connections_share_the_bytes_of_their_allocation_and_rest_when_they_are_spent() {
    let mut world = World::with(|config| {
        (config.limits.bytes_per_second, config.limits.burst_bytes) = (1_000, 2_000);
    });
    let client = allocated(&mut world);
    world.permit(&client, PEER);
    let ids = [1, 2].map(|port| incoming(&mut world, &client, &format!("8.8.8.8:{port}")).expect("accepted"));
    assert_eq!(world.relay.handle_carried(world.now, ids[0], up(2_000)), None);
    let rested = world.now + Duration::from_millis(500);
    assert_eq!(world.relay.handle_carried(world.now, ids[1], Carried { up: 200, down: 300 }), Some(rested));
    assert_eq!(world.relay.handle_carried(rested + Duration::from_secs(1), ids[0], up(1_000)), None);
    assert_eq!(world.relay.counters().bytes, 3_500);
}

#[test]
fn a_tcp_allocation_is_not_mobile() {
    let mut world = World::new();
    let client = control(&mut world, "alice", "1.2.3.4:1000");
    let ticket = AttributeType::new(0x8030);
    let answer = world.request(&client, ALLOCATE, &[&tcp(), &RawAttribute::new(ticket, &[])]);
    let Answer::Success(message) = answer else { panic!("no allocation: {answer:?}") };
    assert!(!Message::from_bytes(&message).expect("a message").has_attribute(ticket));
    world.relay.handle_closed(world.now, client.tuple);
    world.drain();
    assert!(world.open.is_empty());
}

#[test]
fn a_stream_that_binds_at_another_shard_is_handed_over_and_others_are_not() {
    let shard = |number| World::with(move |config| (config.ports.shard, config.ports.shards) = (number, 2));
    let (mut owner, mut host) = (shard(1), shard(0));
    let client = allocated(&mut owner);
    connect(&mut owner, &client, PEER);
    let id = established(&mut owner, &client, PEER);
    let stream = owner.beside(&client, 1_001);
    let transaction = owner.transaction();
    let bytes = stream.sign(CONNECTION_BIND, transaction, &[&ConnectionIdAttribute::new(id.bits())]);
    assert_eq!(host.packet(stream.tuple, &bytes), Forward::HandOver { shard: 1 });
    assert!(host.sent.is_empty());
    assert!(is_success(&owner.ask(stream.tuple, &bytes)));
    assert_eq!(owner.joined.get(&id), Some(&stream.tuple));
    // Not a client with an allocation, nor anything over UDP.
    let settled = allocated(&mut host);
    assert_eq!(host.packet(settled.tuple, &bytes), Forward::Nothing);
    assert_eq!(host.packet(Client::anonymous("1.2.3.4:5"), &bytes), Forward::Nothing);
}
