//! Getting in and holding an allocation: credentials, nonces, retransmissions, refusals, lifetimes, revocation.

mod world;

use std::net::IpAddr;
use std::time::Duration;

use stun_types::attribute::{AlternateServer, ErrorCode, Fingerprint, RawAttribute};
use stun_types::attribute::{Attribute, AttributeStaticType, AttributeWrite};
use stun_types::message::{BINDING, Message, MessageWrite, MessageWriteExt};
use tandem_stun::credential;
use tandem_stun::turn::{OpenRefused, Transport, Whom};
use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, ReservationToken,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};
use world::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_valid_credential_gets_a_relayed_address_for_ten_minutes() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    assert_eq!(relayed.ip(), ip("192.168.1.5"));
    assert!((50_000..50_100).contains(&relayed.port()));
    assert_eq!(world.relay.poll_timeout(), Some(world.now + 10 * MINUTE));
    assert_eq!(world.open.len(), 1);
    world.wait(10 * MINUTE);
    assert_eq!((world.open.len(), world.relay.counters().allocations), (0, 0));
    assert_eq!(world.relay.poll_timeout(), None);
}

#[test]
fn nothing_is_kept_for_a_hundred_thousand_sources_without_credential() {
    let mut world = World::new();
    for source in 0..100_000_u32 {
        let mut tuple = world::Client::anonymous("1.2.3.4:1000");
        tuple.client.set_ip(std::net::IpAddr::V4((0x0800_0000 + source).into()));
        let transaction = world.transaction();
        let answer = world.ask(tuple, &request(ALLOCATE, transaction, &[&RequestedTransport::new(17)]));
        assert_eq!(answer, Answer::Error(401));
    }
    assert_eq!((world.relay.counters().allocations, world.relay.poll_timeout()), (0, None));
}

#[test]
fn one_source_without_credential_is_answered_at_a_limited_rate() {
    let mut world = World::with(|config| {
        config.limits.answers_burst = 10;
        config.limits.answers_per_second = 5;
    });
    let tuple = world::Client::anonymous("1.2.3.4:1000");
    let answered = |world: &mut World| {
        (0..50)
            .filter(|_| {
                let transaction = world.transaction();
                world.ask(tuple, &request(BINDING, transaction, &[])) != Answer::Silence
            })
            .count()
    };
    assert_eq!(answered(&mut world), 10);
    world.wait(Duration::from_secs(1));
    assert_eq!(answered(&mut world), 5);
    assert_eq!(world.relay.counters().limited, 85);
}

#[test]
fn an_unauthenticated_answer_is_not_much_longer_than_its_request() {
    let mut world = World::new();
    let tuple = world::Client::anonymous("1.2.3.4:1000");
    let transaction = world.transaction();
    let asked = request(ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
    world.packet(tuple, &asked);
    let headers = 28; // IPv4 and UDP
    let answered = world.sent.first().expect("an answer").1.len();
    assert!(answered + headers <= 2 * (asked.len() + headers), "{} -> {answered}", asked.len());
}

#[test]
fn a_wrong_password_an_expired_credential_and_a_foreign_nonce_stay_out() {
    let mut world = World::new();
    let good = world.client("alice", "1.2.3.4:1000");
    let transport = RequestedTransport::new(17);
    let expired = credential::credential(SECRET, UNIX, "alice");
    let guessed = credential::Credential { username: good.username.clone(), password: "guess".into() };
    let nameless = credential::credential(SECRET, UNIX + 600, "");
    for login in [expired, guessed, nameless] {
        let bad = Client { key: key(&login), username: login.username, ..good.clone() };
        assert_eq!(world.request(&bad, ALLOCATE, &[&transport]), Answer::Error(401), "{}", bad.username);
    }
    let other = world.client("alice", "1.2.3.4:1001");
    let foreign = Client { nonce: other.nonce, ..good.clone() };
    assert_eq!(world.request(&foreign, ALLOCATE, &[&transport]), Answer::Error(438));
    assert_eq!(world.relay.counters().allocations, 0);
    assert!(is_success(&world.request(&good, ALLOCATE, &[&transport])));
}

#[test]
fn a_nonce_goes_stale_after_an_hour_and_the_new_one_is_good() {
    let mut world = World::new();
    let mut client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    for _ in 0..6 {
        world.wait(9 * MINUTE);
        assert_eq!(lifetime(&world.refresh(&client, 600)), 600);
    }
    world.wait(7 * MINUTE);
    assert_eq!(world.refresh(&client, 600), Answer::Error(438));
    world.challenge(&mut client);
    // The credential has expired meanwhile; it still is the one that made the allocation.
    assert_eq!(lifetime(&world.refresh(&client, 600)), 600);
}

#[test]
fn integrity_without_its_attributes_is_a_bad_request() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let transaction = world.transaction();
    let mut message =
        builder(stun_types::message::MessageClass::Request, ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
    message.add_message_integrity_with_key(&client.key, stun_types::message::IntegrityAlgorithm::Sha1).expect("room");
    assert_eq!(world.ask(client.tuple, &message.finish()), Answer::Error(400));
}

#[test]
fn a_retransmitted_allocate_gets_the_same_answer_and_another_one_437() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let transaction = world.transaction();
    let asked = client.sign(ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
    let first = world.ask(client.tuple, &asked);
    assert!(is_success(&first));
    assert_eq!(world.ask(client.tuple, &asked), first);
    assert_eq!(world.request(&client, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(437));
    assert_eq!(world.relay.counters().allocated, 1);
}

#[test]
fn another_user_cannot_touch_an_allocation() {
    let mut world = World::new();
    let owner = world.client("alice", "1.2.3.4:1000");
    world.allocate(&owner);
    let login = credential::credential(SECRET, UNIX + 600, "mallory");
    let other = Client { key: key(&login), username: login.username, ..owner.clone() };
    assert_eq!(world.refresh(&other, 0), Answer::Error(441));
    assert_eq!(world.relay.counters().allocations, 1);
}

#[test]
fn refresh_sets_the_lifetime_within_bounds_and_zero_frees_the_port() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert_eq!(lifetime(&world.refresh(&client, 1)), 600);
    assert_eq!(lifetime(&world.refresh(&client, 1_800)), 1_800);
    assert_eq!(lifetime(&world.refresh(&client, u32::MAX)), 3_600);
    assert_eq!(world.relay.poll_timeout(), Some(world.now + 60 * MINUTE));
    let wrong = RequestedAddressFamily::new(AddressFamily::IPV6);
    assert_eq!(world.request(&client, REFRESH, &[&Lifetime::new(0), &wrong]), Answer::Error(443));
    assert_eq!(lifetime(&world.refresh(&client, 0)), 0);
    assert!(world.open.is_empty());
    assert_eq!(world.refresh(&client, 0), Answer::Error(437));
    world.allocate(&client);
}

#[test]
fn requests_without_allocation_are_answered_437() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    for method in [REFRESH, CREATE_PERMISSION, CHANNEL_BIND] {
        assert_eq!(world.request(&client, method, &[]), Answer::Error(437));
    }
}

#[test]
fn what_an_allocate_may_not_ask_for_is_refused_by_its_number() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    let udp = RequestedTransport::new(17);
    let unknown = RawAttribute::new(0x7abc.into(), &[]);
    let (token, v4, v6) =
        (ReservationToken::new(5), RequestedAddressFamily::new(AddressFamily::IPV4), AddressFamily::IPV6);
    let both = AdditionalAddressFamily::new(v6);
    let cases: [(&[&dyn AttributeWrite], u16); 11] = [
        (&[], 400),
        (&[&RequestedTransport::new(6)], 400),
        (&[&RequestedTransport::new(132)], 442),
        (&[&udp, &unknown], 420),
        (&[&udp, &token], 508),
        (&[&udp, &token, &EvenPort::new(false)], 400),
        (&[&udp, &token, &v4], 400),
        (&[&udp, &token, &both], 400),
        (&[&udp, &v4, &both], 400),
        (&[&udp, &both, &EvenPort::new(true)], 400),
        (&[&udp, &RawAttribute::new(AdditionalAddressFamily::TYPE, &[1, 0, 0, 0])], 400),
    ];
    for (attributes, code) in cases {
        assert_eq!(world.request(&client, ALLOCATE, attributes), Answer::Error(code));
    }
    assert!(world.open.is_empty());
}

#[test]
fn an_even_port_is_even_and_its_sibling_stays_free() {
    let mut world = World::with(|config| config.ports.last = 50_003);
    for number in 0..4 {
        let client = world.client("alice", &format!("1.2.3.4:{}", 1_000 + number));
        let udp = RequestedTransport::new(17);
        let even = EvenPort::new(false);
        let attributes: &[&dyn AttributeWrite] = if number < 2 { &[&udp, &even] } else { &[&udp] };
        let Answer::Success(message) = world.request(&client, ALLOCATE, attributes) else { panic!("no port {number}") };
        assert!(number >= 2 || relayed(&message).port().is_multiple_of(2));
    }
    let one_more = world.client("alice", "1.2.3.4:2000");
    assert_eq!(world.request(&one_more, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(508));
}

#[test]
fn the_address_family_asked_for_is_given_or_refused() {
    let mut world = World::new();
    let udp = RequestedTransport::new(17);
    let v6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    let client = world.client("alice", "1.2.3.4:1000");
    let Answer::Success(message) = world.request(&client, ALLOCATE, &[&udp, &v6]) else { panic!("no address") };
    assert_eq!(relayed(&message).ip(), ip("2a00::5"));
    let mut v4_only = World::with(|config| config.addresses.own.retain(std::net::IpAddr::is_ipv4));
    let client = v4_only.client("alice", "1.2.3.4:1000");
    assert_eq!(v4_only.request(&client, ALLOCATE, &[&udp, &v6]), Answer::Error(440));
}

#[test]
fn a_user_has_a_quota_and_the_relay_has_one() {
    let mut world = World::with(|config| {
        config.limits.allocations_per_user = 2;
        config.limits.allocations = 3;
    });
    let allocate = |world: &mut World, user: &str, port: u16| {
        let client = world.client(user, &format!("1.2.3.4:{port}"));
        world.request(&client, ALLOCATE, &[&RequestedTransport::new(17)])
    };
    assert!(is_success(&allocate(&mut world, "alice", 1)) && is_success(&allocate(&mut world, "alice", 2)));
    assert_eq!(allocate(&mut world, "alice", 3), Answer::Error(486));
    assert!(is_success(&allocate(&mut world, "bob", 4)));
    assert_eq!(allocate(&mut world, "carol", 5), Answer::Error(508));
}

#[test]
fn a_full_relay_names_another_one_of_the_clients_family_to_who_has_a_credential() {
    let alternates = ["198.51.100.7:3478", "198.51.100.8:3479", "[2001:db8::7]:3478"].map(address);
    let mut world = World::with(|config| {
        config.limits.allocations = 0;
        config.addresses.alternates = alternates.to_vec();
    });
    let mut named = std::collections::BTreeSet::new();
    for (user, at) in (0..40).map(|number| (format!("user{number}"), format!("1.2.3.4:{}", 1_000 + number))) {
        let client = world.client(&user, &at);
        let transaction = world.transaction();
        let asked = client.sign(ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
        let (code, alternate) = world
            .ask_raw(client.tuple, &asked, |answer| {
                let code = answer.attribute::<ErrorCode>().expect("a code").code();
                (code, answer.attribute::<AlternateServer>().expect("another relay").server())
            })
            .expect("an answer");
        assert_eq!(code, 300);
        named.insert(alternate);
    }
    assert_eq!(named.into_iter().collect::<Vec<_>>(), alternates[..2], "all of the family, and no other");
    let mut alone = World::with(|config| {
        config.limits.allocations = 0;
        config.addresses.alternates = alternates[2..].to_vec();
    });
    let client = alone.client("alice", "1.2.3.4:1000");
    assert_eq!(alone.request(&client, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(508));
}

#[test]
fn a_port_another_process_has_is_tried_over_and_a_refusal_frees_everything() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.refusals = vec![OpenRefused::Taken; 3];
    world.allocate(&client);
    assert!(is_success(&world.refresh(&client, 0)));
    for (refusals, code) in [
        (vec![OpenRefused::Taken; 8], 508),
        (vec![OpenRefused::Exhausted], 508),
        (vec![OpenRefused::Quota, OpenRefused::Taken], 486),
    ] {
        world.refusals = refusals;
        assert_eq!(world.request(&client, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(code));
        assert_eq!((world.refusals.len(), world.relay.counters().allocations), (0, 0));
    }
    // No port has been lost on the way.
    for number in 0..100 {
        let client = world.client(&format!("user{number}"), &format!("1.2.3.4:{}", 2_000 + number));
        world.allocate(&client);
    }
}

#[test]
fn a_client_behind_a_nat_of_ours_is_told_the_external_address() {
    let mut world = World::with(|config| config.addresses.external = IpAddr::from([5, 6, 7, 8]).into());
    let client = world.client("alice", "1.2.3.4:1000");
    let relayed = world.allocate(&client);
    assert_eq!(relayed.ip(), ip("5.6.7.8"));
    assert_eq!(world.open.values().next().expect("a socket").ip(), ip("192.168.1.5"));
    let near = world.client_over(Transport::Udp, "bob", "127.0.0.1:1000", "127.0.0.1:3478");
    assert_eq!(world.allocate(&near).ip(), ip("127.0.0.1"));
}

#[test]
fn the_end_of_a_stream_is_the_end_of_its_allocation() {
    let mut world = World::new();
    let client = world.client_over(Transport::Tcp, "alice", "1.2.3.4:1000", "192.168.1.5:3478");
    world.allocate(&client);
    world.relay.handle_closed(world.now, client.tuple);
    world.drain();
    assert!(world.open.is_empty());
}

#[test]
fn a_revoked_user_loses_everything_and_comes_back_only_with_a_later_credential() {
    let mut world = World::new();
    let old = world.client("alice", "1.2.3.4:1000");
    let stream = world.client_over(Transport::Tls, "alice", "1.2.3.4:1001", "192.168.1.5:5349");
    let other = world.client("bob", "1.2.3.4:1002");
    for client in [&old, &stream, &other] {
        world.allocate(client);
    }
    world.relay.revoke(world.now, &Whom::User("alice".into()));
    world.drain();
    assert_eq!((world.open.len(), world.disconnected.as_slice()), (1, &[stream.tuple][..]));
    assert!(is_success(&world.refresh(&other, 600)));
    assert_eq!(world.request(&old, ALLOCATE, &[&RequestedTransport::new(17)]), Answer::Error(401));
    world.wait(MINUTE);
    let login = credential::credential(SECRET, UNIX + 60 + 3_600, "alice");
    let anew = Client { key: key(&login), username: login.username, ..old };
    world.allocate(&anew);
}

#[test]
fn a_fingerprint_is_answered_with_a_fingerprint() {
    let mut world = World::new();
    let tuple = world::Client::anonymous("1.2.3.4:1000");
    for with in [true, false] {
        let transaction = world.transaction();
        let mut message = builder(stun_types::message::MessageClass::Request, BINDING, transaction, &[]);
        if with {
            message.add_fingerprint().expect("room");
        }
        let has = world.ask_raw(tuple, &message.finish(), |answer| answer.has_attribute(Fingerprint::TYPE));
        assert_eq!(has, Some(with));
    }
}

#[test]
fn attributes_after_the_integrity_do_not_count() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    let transaction = world.transaction();
    let mut bytes = client.sign(REFRESH, transaction, &[]);
    // LIFETIME 0, smuggled in behind MESSAGE-INTEGRITY.
    bytes.extend([0x00, 0x0d, 0, 4, 0, 0, 0, 0]);
    let length = u16::try_from(bytes.len() - 20).expect("short").to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    assert_eq!(lifetime(&world.ask(client.tuple, &bytes)), 600);
    assert_eq!(world.relay.counters().allocations, 1);
}

#[test]
fn bytes_after_the_declared_length_void_the_message() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    let transaction = world.transaction();
    let mut bytes = client.sign(REFRESH, transaction, &[]);
    bytes.extend([0x00, 0x0d, 0, 4, 0, 0, 0, 0]);
    assert_eq!(world.ask(client.tuple, &bytes), Answer::Silence);
    assert_eq!(world.relay.counters().malformed, 1);
}

#[test]
fn a_classic_binding_request_is_answered_in_its_own_form() {
    let mut world = World::new();
    let tuple = world::Client::anonymous("1.2.3.4:1000");
    let mut asked = vec![0, 1, 0, 0];
    asked.extend(1..=16);
    world.packet(tuple, &asked);
    let mut expected = vec![1, 1, 0, 12];
    expected.extend(1..=16);
    expected.extend([0, 1, 0, 8, 0, 1, 0x03, 0xe8, 1, 2, 3, 4]);
    assert_eq!(world.sent, [(tuple, expected)]);
}

#[test]
fn a_classic_request_for_another_address_is_refused() {
    let mut world = World::new();
    let tuple = world::Client::anonymous("1.2.3.4:1000");
    let mut asked = vec![0, 1, 0, 8];
    asked.extend(1..=16);
    asked.extend([0, 3, 0, 4, 0, 0, 0, 6]);
    world.packet(tuple, &asked);
    let (_, answer) = world.sent.first().expect("an answer");
    assert_eq!(answer.get(..2), Some(&[1, 0x11][..]));
    assert_eq!(answer.get(20..28), Some(&[0, 9, 0, 4, 0, 0, 4, 20][..]));
}

#[test]
fn a_binding_request_is_answered_with_the_address_it_came_from() {
    let mut world = World::new();
    for from in ["1.2.3.4:1000", "[2a00::9]:1000"] {
        let tuple = world::Client::anonymous(from);
        let transaction = world.transaction();
        let mapped = world.ask_raw(tuple, &request(BINDING, transaction, &[]), |answer: &Message<'_>| {
            let mapped = answer.attribute::<stun_types::attribute::XorMappedAddress>().expect("an address");
            assert_eq!(mapped.get_type().value(), 0x20);
            mapped.addr(transaction)
        });
        assert_eq!(mapped, Some(address(from)));
    }
}
