//! What an operator sees and ends: live sessions, who has used how much, and revocation.

mod world;

use std::time::Duration;

use tandem_stun::credential;
use tandem_stun::turn::{Filter, Forward, SessionId, Traffic, Transport, Usage, Whom};
use turn_types::AddressFamily;
use turn_types::attribute::{AdditionalAddressFamily, RequestedTransport};
use turn_types::message::ALLOCATE;
use world::*;

const PEER: &str = "8.8.8.8:9000";

fn all(world: &World) -> Vec<String> {
    world.relay.sessions(&Filter::default(), None, 100).into_iter().map(|session| session.user).collect()
}

fn by_key(key: &str) -> Filter {
    Filter { key: Some(key.into()), ..Filter::default() }
}

/// Everything that has been used, by user.
fn used(world: &mut World) -> Vec<Usage> {
    world.relay.take_usage(world.now)
}

fn traffic(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

#[test]
fn a_session_shows_who_relays_where_and_how_much() {
    let mut world = World::new();
    let client = world.client("k1/alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    world.bind(&client, 0x4000, address(PEER));
    world.permit(&client, "8.8.4.4:1");
    let started = world.now;
    world.wait(Duration::from_secs(7));
    world.packet(client.tuple, &channel_data(0x4000, b"hello"));
    let relay = world.relay_of(relayed);
    assert!(matches!(world.relay.handle_peer(world.now, relay, address(PEER), b"hi"), Forward::ToClient { .. }));
    let sessions = world.relay.sessions(&Filter::default(), None, 100);
    let [session] = sessions.as_slice() else { panic!("one session, got {sessions:?}") };
    assert_eq!((session.user.as_str(), session.realm.as_str()), ("k1/alice", "tandem"));
    assert_eq!((session.client, session.relayed.as_slice()), (client.tuple, &[relayed][..]));
    assert_eq!((session.started, session.expires), (started, started + Duration::from_secs(600)));
    assert_eq!((session.up, session.down), (traffic(1, 5), traffic(1, 2)));
    assert_eq!((session.permissions, session.channels), (2, 1));
}

#[test]
fn an_allocation_of_both_families_is_one_session() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let both = AdditionalAddressFamily::new(AddressFamily::IPV6);
    assert!(is_success(&world.request(&client, ALLOCATE, &[&RequestedTransport::new(17), &both])));
    let sessions = world.relay.sessions(&Filter::default(), None, 100);
    assert_eq!(sessions.iter().map(|session| session.relayed.len()).collect::<Vec<_>>(), [2]);
    assert_eq!(world.relay.end(world.now, &Whom::Session(sessions[0].id)), 1);
    world.drain();
    assert!(world.open.is_empty());
}

#[test]
fn sessions_come_in_pages_and_by_user_key_tag_and_realm() {
    let mut world = World::new();
    for (port, user) in (1_000..).zip(["k1/alice", "k1/bob", "k2/alice", "carol"]) {
        let client = world.client(user, &format!("1.2.3.4:{port}"));
        world.allocate(&client);
    }
    let ask = |filter: Filter| -> Vec<String> {
        world.relay.sessions(&filter, None, 100).into_iter().map(|session| session.user).collect()
    };
    assert_eq!(ask(by_key("k1")), ["k1/alice", "k1/bob"]);
    assert_eq!(ask(Filter { tag: Some("alice".into()), ..Filter::default() }), ["k1/alice", "k2/alice"]);
    assert_eq!(ask(Filter { tag: Some("alice".into()), ..by_key("k2") }), ["k2/alice"]);
    assert_eq!(ask(Filter { user: Some("carol".into()), ..Filter::default() }), ["carol"]);
    assert_eq!(ask(Filter { realm: Some("tandem".into()), ..Filter::default() }).len(), 4);
    assert!(ask(Filter { realm: Some("elsewhere".into()), ..Filter::default() }).is_empty());
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = world.relay.sessions(&Filter::default(), after, 3);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        pages.push(page.len());
    }
    assert_eq!(pages, [3, 1]);
}

#[test]
fn ending_reaches_those_who_are_meant_and_closes_their_streams() {
    let users = ["k1/alice", "k1/bob", "k2/alice", "carol"];
    let cases = [
        (Whom::User("k1/alice".into()), 1),
        (Whom::Key("k1".into()), 2),
        (Whom::Tag("alice".into()), 2),
        (Whom::Realm("tandem".into()), 4),
        (Whom::Realm("elsewhere".into()), 0),
        (Whom::Key("alice".into()), 0),
    ];
    for (whom, expected) in cases {
        let mut world = World::new();
        for (port, user) in (1_000..).zip(users) {
            let client = world.client_over(Transport::Tls, user, &format!("1.2.3.4:{port}"), "192.168.1.5:5349");
            world.allocate(&client);
        }
        assert_eq!(world.relay.end(world.now, &whom), expected, "{whom:?}");
        world.drain();
        assert_eq!((world.open.len(), world.disconnected.len()), (4 - expected, expected), "{whom:?}");
    }
}

#[test]
fn a_client_whose_session_was_ended_learns_it_and_may_begin_anew() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    let id = world.relay.sessions(&Filter::default(), None, 1)[0].id;
    assert_eq!(world.relay.revoke(world.now, &Whom::Session(id)), 1);
    world.drain();
    assert_eq!(world.refresh(&client, 600), Answer::Error(437));
    world.allocate(&client);
    assert_eq!(world.relay.end(world.now, &Whom::Session(id)), 0, "a name is not used twice");
    let anew = world.relay.sessions(&Filter::default(), None, 1)[0].id.to_string();
    let elsewhere: SessionId = anew.replacen('0', "1", 1).parse().expect("the same of another shard");
    assert_eq!(world.relay.end(world.now, &Whom::Session(elsewhere)), 0);
    assert_eq!(all(&world), ["alice"]);
}

#[test]
fn a_revoked_key_or_tag_is_out_until_it_is_issued_another_credential() {
    for whom in [Whom::Key("k1".into()), Whom::Tag("alice".into())] {
        let mut world = World::new();
        let old = world.client("k1/alice", "1.2.3.4:1000");
        world.allocate(&old);
        assert_eq!(world.relay.revoke(world.now, &whom), 1);
        world.drain();
        assert_eq!(world.request(&old, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(401));
        let other = world.client("k2/bob", "1.2.3.4:1001");
        world.allocate(&other);
        world.wait(Duration::from_secs(60));
        let login = credential::credential(SECRET, UNIX + 60 + 3_600, "k1/alice");
        let anew = Client { key: key(&login), username: login.username, ..old };
        world.allocate(&anew);
    }
}

#[test]
fn usage_is_told_once_by_user_and_adds_up() {
    let mut world = World::new();
    let (alice, bob) = (world.client("k1/alice", "1.2.3.4:1000"), world.client("bob", "1.2.3.4:1001"));
    let relayed = world.allocate(&alice);
    world.allocate(&bob);
    for client in [&alice, &bob] {
        world.bind(client, 0x4000, address(PEER));
    }
    let begun = |user: &str| Usage { user: user.into(), realm: "tandem".into(), begun: 1, ..Usage::default() };
    assert_eq!(used(&mut world), [begun("bob"), begun("k1/alice")]);
    assert_eq!((used(&mut world), world.relay.has_usage()), (Vec::new(), false), "nothing has happened since");
    world.wait(Duration::from_millis(2_500));
    world.packet(alice.tuple, &channel_data(0x4000, b"hello"));
    let relay = world.relay_of(relayed);
    for payload in [&b"a"[..], b"bc"] {
        let _ = world.relay.handle_peer(world.now, relay, address(PEER), payload);
    }
    assert!(world.relay.has_usage());
    let told = used(&mut world);
    let expected = Usage { up: traffic(1, 5), down: traffic(2, 3), seconds: 2, begun: 0, ..begun("k1/alice") };
    assert_eq!(told, [expected], "bob was silent");
    world.wait(Duration::from_millis(1_500));
    world.refresh(&alice, 0);
    world.refresh(&bob, 0);
    let ended = |user: &str, seconds| Usage { begun: 0, ended: 1, seconds, ..begun(user) };
    assert_eq!(used(&mut world), [ended("bob", 4), ended("k1/alice", 2)], "four seconds each in all");
}

#[test]
fn what_one_client_sends_another_inside_counts_up_for_one_and_down_for_the_other() {
    let mut world = World::new();
    let (alice, bob) = (world.client("alice", "1.2.3.4:1000"), world.client("bob", "1.2.3.4:1001"));
    let (at_alice, at_bob) = (world.allocate(&alice), world.allocate(&bob));
    world.bind(&alice, 0x4000, at_bob);
    used(&mut world);
    // Bob has not permitted her: she has used the relay, he has not.
    world.packet(alice.tuple, &channel_data(0x4000, b"hello"));
    let told = used(&mut world);
    assert_eq!(
        told.iter().map(|usage| (usage.user.as_str(), usage.up)).collect::<Vec<_>>(),
        [("alice", traffic(1, 5))]
    );
    world.bind(&bob, 0x4000, at_alice);
    assert!(matches!(world.packet(alice.tuple, &channel_data(0x4000, b"hello")), Forward::ToClient { .. }));
    let told = used(&mut world);
    let expected = [("alice", traffic(1, 5), Traffic::default()), ("bob", Traffic::default(), traffic(1, 5))];
    assert_eq!(told.iter().map(|usage| (usage.user.as_str(), usage.up, usage.down)).collect::<Vec<_>>(), expected);
    assert_eq!((world.relay.counters().packets, world.relay.counters().bytes), (3, 15));
}

#[test]
fn what_was_relayed_past_the_machine_counts_as_well_and_the_last_words_tell_everything() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    let relay = world.relay_of(relayed);
    assert!(world.relay.handle_relayed_elsewhere(relay, traffic(10, 1_000), traffic(20, 2_000)));
    let last = world.relay.take_last_usage(world.now + Duration::from_secs(3));
    world.drain();
    let expected = Usage {
        user: "alice".into(),
        realm: "tandem".into(),
        up: traffic(10, 1_000),
        down: traffic(20, 2_000),
        begun: 1,
        ended: 1,
        seconds: 3,
    };
    assert_eq!(last, [expected]);
    assert_eq!((world.relay.counters().packets, world.relay.counters().bytes), (30, 3_000));
    assert!(!world.relay.handle_relayed_elsewhere(relay, traffic(1, 1), traffic(1, 1)), "it has ended");
}

#[test]
fn what_was_handed_out_below_a_name_is_taken_back_together_and_its_neighbours_are_left_alone() {
    let mut world = World::new();
    let users = ["k1/ann/1", "k1/ann/2", "k1/ann~1/3", "k1/anna/4", "k2/ann/5"];
    let clients: Vec<_> =
        (1_000..).zip(users).map(|(port, user)| world.client(user, &format!("1.2.3.4:{port}"))).collect();
    for client in &clients {
        world.allocate(client);
    }
    assert_eq!(world.relay.sessions(&Filter { tag: Some("ann".into()), ..Filter::default() }, None, 100).len(), 3);
    assert_eq!(world.relay.revoke(world.now, &Whom::Below("k1/ann".into())), 2);
    assert_eq!(all(&world), ["k1/ann~1/3", "k1/anna/4", "k2/ann/5"]);
    world.drain();
    for (client, user) in clients.iter().zip(users) {
        let comes_in = is_success(&world.request(client, ALLOCATE, &[&RequestedTransport::new(17)]));
        assert!(!comes_in, "{user} is shut out, or has its allocation already");
    }
    assert_eq!(world.relay.revoke(world.now, &Whom::User("k1/anna/4".into())), 1);
    assert_eq!(all(&world), ["k1/ann~1/3", "k2/ann/5"]);
}
