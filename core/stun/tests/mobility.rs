//! RFC 8016: clients that change their address and keep their allocation, on one shard and across two.

mod world;

use std::time::Duration;

use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use stun_types::message::{Message, Method};
use tandem_stun::turn::{Filter, FiveTuple, Forward, Note, Transport, Whom};
use turn_types::AddressFamily;
use turn_types::attribute::{AdditionalAddressFamily, Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};
use world::*;

const TICKET: AttributeType = AttributeType::new(0x8030);
const PEER: &str = "8.8.8.8:9000";

fn ticket_of(message: &[u8]) -> Vec<u8> {
    let parsed = Message::from_bytes(message).expect("a message");
    parsed.raw_attribute(TICKET).expect("a ticket").value.to_vec()
}

fn success(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Success(message) => message,
        refused => panic!("no success: {refused:?}"),
    }
}

/// Asks for a mobile allocation with a bound channel; the ticket.
fn mobile(world: &mut World, client: &Client) -> Vec<u8> {
    let (udp, ask) = (RequestedTransport::new(17), RawAttribute::new(TICKET, &[]));
    let message = success(world.request(client, ALLOCATE, &[&udp, &ask]));
    assert!(is_success(&world.bind(client, 0x4000, address(PEER))));
    ticket_of(&message)
}

/// The same user at another place, which has been given a nonce.
fn moved(world: &mut World, client: &Client, at: &str) -> Client {
    let tuple = FiveTuple { client: address(at), ..client.tuple };
    let mut moved = Client { tuple, ..client.clone() };
    world.challenge(&mut moved);
    moved
}

fn resume(world: &mut World, client: &Client, ticket: &[u8], seconds: u32) -> Answer {
    world.request(client, REFRESH, &[&Lifetime::new(seconds), &RawAttribute::new(TICKET, ticket)])
}

/// Where a packet of the peer is delivered.
fn delivered(world: &mut World) -> FiveTuple {
    let relay = *world.open.keys().next().expect("a relay socket");
    match world.relay.handle_peer(world.now, relay, address(PEER), b"hello") {
        Forward::ToClient { client, .. } => client,
        other => panic!("not delivered: {other:?}"),
    }
}

#[test]
fn a_client_goes_on_elsewhere_and_the_old_place_serves_until_it_speaks() {
    let mut world = World::new();
    let old = world.client("alice", "1.2.3.4:1000");
    let ticket = mobile(&mut world, &old);
    let new = moved(&mut world, &old, "5.6.7.8:2000");
    let second = ticket_of(&success(resume(&mut world, &new, &ticket, 600)));
    assert_ne!(second, ticket);
    assert_eq!(delivered(&mut world), old.tuple);
    assert!(is_success(&world.permit(&old, "8.8.4.4:1")), "the old place is good as long as the new one is silent");
    let sent = channel_data(0x4000, b"hello");
    assert!(matches!(world.packet(new.tuple, &sent), Forward::ToPeer { payload: b"hello", .. }));
    assert_eq!((delivered(&mut world), world.moved.as_slice()), (new.tuple, &[(old.tuple, new.tuple)][..]));
    assert!(matches!(world.packet(old.tuple, &sent), Forward::Dropped(_)));
    assert_eq!(world.permit(&old, "8.8.4.4:1"), Answer::Error(437));
    assert_eq!((world.open.len(), world.relay.counters().allocations), (1, 1));
}

#[test]
fn a_ticket_is_good_once_and_its_refresh_may_be_repeated() {
    let mut world = World::new();
    let old = world.client("alice", "1.2.3.4:1000");
    let ticket = mobile(&mut world, &old);
    let new = moved(&mut world, &old, "5.6.7.8:2000");
    let transaction = world.transaction();
    let attributes: [&dyn AttributeWrite; 2] = [&Lifetime::new(600), &RawAttribute::new(TICKET, &ticket)];
    let bytes = new.sign(REFRESH, transaction, &attributes);
    let second = ticket_of(&success(world.ask(new.tuple, &bytes)));
    assert_eq!(ticket_of(&success(world.ask(new.tuple, &bytes))), second, "a retransmission learns the same ticket");
    assert_eq!(delivered(&mut world), old.tuple, "and is no sign that the answer has arrived");
    let third = moved(&mut world, &old, "5.6.7.8:3000");
    assert_eq!(resume(&mut world, &third, &ticket, 600), Answer::Error(437), "the first one is used up");
    success(resume(&mut world, &third, &second, 600));
    // One is awaited at a time: the second place is nobody's again.
    assert_eq!(world.permit(&new, PEER), Answer::Error(437));
    assert!(is_success(&world.permit(&third, PEER)));
    assert_eq!(delivered(&mut world), third.tuple);
}

#[test]
fn a_ticket_is_worth_nothing_to_another_user_nor_with_a_changed_byte() {
    let mut world = World::new();
    let old = world.client("alice", "1.2.3.4:1000");
    let ticket = mobile(&mut world, &old);
    let thief = world.client("mallory", "5.6.7.8:2000");
    assert_eq!(resume(&mut world, &thief, &ticket, 600), Answer::Error(441));
    let new = moved(&mut world, &old, "5.6.7.8:3000");
    for index in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[index] ^= 1;
        let answer = resume(&mut world, &new, &changed, 600);
        assert_eq!(answer, Answer::Error(437), "byte {index}");
    }
    for short in [&ticket[..19], &[], &[0; 60]] {
        assert_eq!(resume(&mut world, &new, short, 600), Answer::Error(437));
    }
    assert_eq!(delivered(&mut world), old.tuple);
}

#[test]
fn an_allocation_that_did_not_ask_is_not_mobile_and_a_full_ticket_in_an_allocate_is_refused() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let (udp, full) = (RequestedTransport::new(17), RawAttribute::new(TICKET, &[1; 20]));
    assert_eq!(world.request(&client, ALLOCATE, &[&udp, &full]), Answer::Error(400));
    let message = success(world.request(&client, ALLOCATE, &[&udp]));
    assert!(!Message::from_bytes(&message).expect("a message").has_attribute(TICKET));
}

#[test]
fn the_quota_is_held_while_a_client_may_come_back_and_zero_ends_it_from_anywhere() {
    let mut world = World::with(|config| config.limits.allocations_per_user = 1);
    let old = world.client_over(Transport::Tcp, "alice", "1.2.3.4:1000", "192.168.1.5:3478");
    let ticket = mobile(&mut world, &old);
    world.relay.handle_closed(world.now, old.tuple);
    world.drain();
    let new = moved(&mut world, &old, "5.6.7.8:2000");
    assert_eq!(world.request(&new, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(486));
    let second = ticket_of(&success(resume(&mut world, &new, &ticket, 1_200)));
    let third = moved(&mut world, &old, "5.6.7.8:3000");
    assert_eq!(lifetime(&resume(&mut world, &third, &second, 0)), 0);
    assert!(world.open.is_empty());
    world.allocate(&new);
}

#[test]
fn the_end_of_the_old_stream_moves_the_client_and_nobody_coming_back_lets_it_expire() {
    let mut world = World::new();
    let old = world.client_over(Transport::Tls, "alice", "1.2.3.4:1000", "192.168.1.5:5349");
    let ticket = mobile(&mut world, &old);
    let new = moved(&mut world, &old, "5.6.7.8:2000");
    success(resume(&mut world, &new, &ticket, 600));
    world.relay.handle_closed(world.now, old.tuple);
    world.drain();
    assert_eq!(delivered(&mut world), new.tuple);
    world.relay.handle_closed(world.now, new.tuple);
    world.drain();
    assert_eq!(world.open.len(), 1);
    world.wait(Duration::from_secs(600));
    assert_eq!((world.open.len(), world.relay.poll_timeout()), (0, None));
}

#[test]
fn both_families_move_together() {
    let mut world = World::new();
    let old = world.client("alice", "1.2.3.4:1000");
    let (udp, both) = (RequestedTransport::new(17), AdditionalAddressFamily::new(AddressFamily::IPV6));
    let ask = RawAttribute::new(TICKET, &[]);
    let ticket = ticket_of(&success(world.request(&old, ALLOCATE, &[&udp, &both, &ask])));
    let new = moved(&mut world, &old, "5.6.7.8:2000");
    success(resume(&mut world, &new, &ticket, 600));
    for peer in ["8.8.8.8:1", "[2a00:1450::1]:1"] {
        assert!(is_success(&world.permit(&new, peer)));
    }
    assert_eq!(world.permit(&old, "8.8.8.8:1"), Answer::Error(437));
    assert_eq!(lifetime(&world.refresh(&new, 0)), 0);
    assert!(world.open.is_empty());
}

#[test]
fn a_revoked_client_on_the_move_is_out_everywhere() {
    let mut world = World::new();
    let old = world.client("alice", "1.2.3.4:1000");
    let ticket = mobile(&mut world, &old);
    let new = moved(&mut world, &old, "5.6.7.8:2000");
    success(resume(&mut world, &new, &ticket, 600));
    world.relay.revoke(world.now, &Whom::User("alice".into()));
    world.drain();
    assert!(world.open.is_empty());
    for client in [&old, &new] {
        assert_eq!(world.refresh(client, 600), Answer::Error(401));
    }
}

#[test]
fn what_a_client_uses_is_told_once_wherever_it_has_moved() {
    let mut world = World::new();
    let old = world.client("alice", "1.2.3.4:1000");
    let ticket = mobile(&mut world, &old);
    world.bind(&old, 0x4000, address("8.8.8.8:9000"));
    let up = channel_data(0x4000, b"hello");
    assert!(matches!(world.packet(old.tuple, &up), Forward::ToPeer { .. }));
    let used = world.relay.take_usage(world.now);
    assert_eq!(used.iter().map(|usage| (usage.begun, usage.up.packets)).collect::<Vec<_>>(), [(1, 1)]);
    let new = moved(&mut world, &old, "5.6.7.8:2000");
    success(resume(&mut world, &new, &ticket, 600));
    assert!(matches!(world.packet(new.tuple, &up), Forward::ToPeer { .. }));
    let sessions = world.relay.sessions(&Filter::default(), None, 10);
    let shown: Vec<_> = sessions.iter().map(|session| (session.client, session.up.packets)).collect();
    assert_eq!(shown, [(new.tuple, 2)], "one session, at the place it has moved to");
    world.refresh(&new, 0);
    let used = world.relay.take_usage(world.now);
    let told: Vec<_> = used.iter().map(|usage| (usage.begun, usage.ended, usage.up.packets, usage.up.bytes)).collect();
    assert_eq!(told, [(0, 1, 1, 5)]);
}

/// Two shards: the client's new place reaches `host`, its allocation is at `keeper`.
struct Shards {
    keeper: World,
    host: World,
}

impl Shards {
    fn new() -> Self {
        let shard = |number| World::with(move |config| (config.ports.shard, config.ports.shards) = (number, 2));
        Self { keeper: shard(0), host: shard(1) }
    }

    /// A packet at the host: what becomes of it, wherever it is passed on to.
    fn at_host<'p>(&mut self, from: FiveTuple, bytes: &'p [u8]) -> Forward<'p> {
        self.keeper.sent.clear();
        let forward = match self.host.packet(from, bytes) {
            Forward::ToKeeper { shard: 0, from, bytes } => {
                let forward = self.keeper.relay.handle_guest(self.keeper.now, 1, from, bytes);
                self.keeper.drain();
                forward
            }
            other => other,
        };
        for (shard, note) in std::mem::take(&mut self.keeper.told) {
            assert_eq!(shard, 1);
            self.host.hear(note);
        }
        forward
    }

    /// A request at the host that the keeper answers.
    fn request(&mut self, client: &Client, method: Method, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
        let transaction = self.host.transaction();
        let bytes = client.sign(method, transaction, attributes);
        assert_eq!(self.at_host(client.tuple, &bytes), Forward::Nothing);
        let (to, message) = self.keeper.sent.pop().expect("the keeper's answer");
        assert_eq!(to, client.tuple);
        message
    }
}

#[test]
fn a_client_whose_new_place_reaches_another_shard_is_passed_on_until_it_ends() {
    let mut shards = Shards::new();
    let old = shards.keeper.client("alice", "1.2.3.4:1000");
    let ticket = mobile(&mut shards.keeper, &old);
    let new = moved(&mut shards.host, &old, "5.6.7.8:2000");
    let sent = channel_data(0x4000, b"hello");
    assert!(matches!(shards.at_host(new.tuple, &sent), Forward::Dropped(_)), "nothing is passed on before");
    let message = shards.request(&new, REFRESH, &[&Lifetime::new(600), &RawAttribute::new(TICKET, &ticket)]);
    ticket_of(&message);
    assert!(matches!(shards.at_host(new.tuple, &sent), Forward::ToPeer { payload: b"hello", .. }));
    assert_eq!(delivered(&mut shards.keeper), new.tuple);
    shards.request(&new, REFRESH, &[&Lifetime::new(0)]);
    assert!(shards.keeper.open.is_empty());
    assert!(matches!(shards.at_host(new.tuple, &sent), Forward::Dropped(_)), "nor afterwards");
    let anew = new;
    shards.host.allocate(&anew);
}

#[test]
fn a_stream_that_reaches_another_shard_goes_to_the_one_that_has_its_allocation() {
    let mut shards = Shards::new();
    let old = shards.keeper.client_over(Transport::Tls, "alice", "1.2.3.4:1000", "192.168.1.5:5349");
    let ticket = mobile(&mut shards.keeper, &old);
    shards.keeper.relay.handle_closed(shards.keeper.now, old.tuple);
    let new = moved(&mut shards.host, &old, "5.6.7.8:2000");
    let (transaction, ask) = (shards.host.transaction(), RawAttribute::new(TICKET, &ticket));
    let bytes = new.sign(REFRESH, transaction, &[&ask]);
    assert_eq!(shards.host.packet(new.tuple, &bytes), Forward::HandOver { shard: 0 });
    success(shards.keeper.ask(new.tuple, &bytes));
    assert!(matches!(shards.keeper.packet(new.tuple, &channel_data(0x4000, b"hello")), Forward::ToPeer { .. }));
    // A stream that relays stays, whatever ticket it shows; so does one with a ticket of a shard there is none of.
    let third = shards.host.client_over(Transport::Tls, "bob", "5.6.7.8:3000", "192.168.1.5:5349");
    shards.host.allocate(&third);
    assert!(is_success(&shards.host.request(&third, REFRESH, &[&ask])));
    let mut alone = World::new();
    let fourth = alone.client_over(Transport::Tls, "alice", "5.6.7.8:4000", "192.168.1.5:5349");
    assert_eq!(alone.request(&fourth, REFRESH, &[&ask]), Answer::Error(437));
}

#[test]
fn a_false_ticket_of_another_shard_is_refused_by_it_and_makes_no_guest() {
    let mut shards = Shards::new();
    let old = shards.keeper.client("alice", "1.2.3.4:1000");
    let mut ticket = mobile(&mut shards.keeper, &old);
    ticket[19] ^= 1;
    let new = moved(&mut shards.host, &old, "5.6.7.8:2000");
    let message = shards.request(&new, REFRESH, &[&RawAttribute::new(TICKET, &ticket)]);
    let code = Message::from_bytes(&message).expect("a message").attribute::<stun_types::attribute::ErrorCode>();
    assert_eq!(code.expect("a code").code(), 437);
    shards.host.allocate(&new);
    assert!(is_success(&shards.host.permit(&new, PEER)));
    let none: Vec<(u16, Note)> = Vec::new();
    assert_eq!(shards.keeper.told, none);
}
