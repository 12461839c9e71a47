//! Who comes in: RFC 8489's SHA-256, USERHASH and password algorithms; users who have to be asked for; realms.

mod world;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use stun_types::attribute::{
    AttributeStaticType, AttributeWrite, Nonce, PasswordAlgorithm, PasswordAlgorithmValue, PasswordAlgorithms,
    RawAttribute, Realm, Userhash, Username,
};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageWrite, MessageWriteExt, TransactionId,
};
use tandem_stun::integrity::{self, Algorithm, Integrity, Key};
use tandem_stun::turn::{self, Account, Accounts, FiveTuple, Forward, Name, Realms, Secret, UserKey, Whom};
use tandem_stun::wire::{self, Packet, Stun};
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};
use world::*;

/// How a client of RFC 8489 protects a request.
#[derive(Clone)]
struct Modern {
    realm: String,
    hashed: bool,
    /// PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM.
    algorithms: Option<(Vec<u8>, u8)>,
    integrity: Integrity,
}

const OFFERED: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

impl Modern {
    fn new() -> Self {
        let algorithms = Some((OFFERED.to_vec(), 2));
        Self { realm: "tandem".into(), hashed: true, algorithms, integrity: Integrity::Sha256 }
    }

    fn key(&self, user: &str, password: &str) -> Key {
        let algorithm = match &self.algorithms {
            Some((_, 2)) => Algorithm::Sha256,
            _ => Algorithm::Md5,
        };
        Key::long_term(algorithm, user, &self.realm, password)
    }

    fn sign(
        &self,
        (user, password, nonce): (&str, &str, &str),
        method: stun_types::message::Method,
        transaction: TransactionId,
        attributes: &[&dyn AttributeWrite],
    ) -> Vec<u8> {
        let mut message = builder(MessageClass::Request, method, transaction, attributes);
        match self.hashed {
            true => message.add_attribute(&Userhash::new(Userhash::compute(user, &self.realm))).expect("room"),
            false => message.add_attribute(&Username::new(user).expect("a name")).expect("room"),
        }
        message.add_attribute(&Realm::new(&self.realm).expect("a realm")).expect("room");
        message.add_attribute(&Nonce::new(nonce).expect("a nonce")).expect("room");
        if let Some((offered, chosen)) = &self.algorithms {
            message.add_attribute(&RawAttribute::new(PasswordAlgorithms::TYPE, offered)).expect("room");
            message.add_attribute(&RawAttribute::new(PasswordAlgorithm::TYPE, &[0, *chosen, 0, 0])).expect("room");
        }
        integrity::protect(message.finish(), self.integrity, &self.key(user, password)).expect("room")
    }
}

fn stun(bytes: &[u8]) -> Stun<'_> {
    match wire::parse(bytes) {
        Ok(Packet::Stun(stun)) => stun,
        other => panic!("expected a STUN message, got {other:?}"),
    }
}

fn with_alice() -> World {
    World::with(|config| config.accounts.fixed = vec![("alice".into(), "wonderland".into())])
}

fn asking() -> World {
    World::with(|config| config.accounts = Accounts { ask: true, ..Accounts::default() })
}

fn nonce(world: &mut World) -> String {
    world.client("whoever", "1.2.3.4:1000").nonce
}

fn at() -> turn::FiveTuple {
    Client::anonymous("1.2.3.4:1000")
}

fn allocate(world: &mut World, how: &Modern, login: (&str, &str, &str)) -> Answer {
    let transaction = world.transaction();
    let bytes = how.sign(login, ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
    world.ask(at(), &bytes)
}

#[test]
fn the_challenge_offers_both_algorithms_and_says_so_in_its_nonce() {
    let mut world = with_alice();
    let asked = request(ALLOCATE, 9.into(), &[&RequestedTransport::new(17)]);
    let (offered, nonce) = world
        .ask_raw(at(), &asked, |answer| {
            let offered = answer.attribute::<PasswordAlgorithms>().expect("algorithms").algorithms().to_vec();
            (offered, answer.attribute::<Nonce>().expect("a nonce").nonce().to_owned())
        })
        .expect("an answer");
    assert_eq!(offered, [PasswordAlgorithmValue::SHA256, PasswordAlgorithmValue::MD5]);
    assert!(nonce.starts_with("obMatJos2AAAD"), "{nonce}: both features");
    let mut ephemeral = World::new();
    let nonce = ephemeral.client("alice", "1.2.3.4:1000").nonce;
    assert!(nonce.starts_with("obMatJos2AAAB"), "{nonce}: nobody can be found by a hash");
}

#[test]
fn a_user_comes_in_by_hash_and_sha_256_and_the_answers_are_protected_alike() {
    let mut world = with_alice();
    let nonce = nonce(&mut world);
    let ways = [
        Modern::new(),
        Modern { hashed: false, ..Modern::new() },
        Modern { algorithms: Some((OFFERED.to_vec(), 1)), ..Modern::new() },
        Modern { algorithms: None, ..Modern::new() },
        Modern { algorithms: None, integrity: Integrity::Sha1, hashed: false, ..Modern::new() },
    ];
    for how in ways {
        let login = ("alice", "wonderland", nonce.as_str());
        let Answer::Success(message) = allocate(&mut world, &how, login) else { panic!("not let in") };
        assert_eq!(Integrity::of(stun(&message)), Some(how.integrity));
        assert!(integrity::verify(stun(&message), how.integrity, &how.key("alice", "wonderland")));
        let transaction = world.transaction();
        let refresh = how.sign(login, REFRESH, transaction, &[&Lifetime::new(0)]);
        assert_eq!(lifetime(&world.ask(at(), &refresh)), 0);
    }
}

#[test]
fn an_independent_library_verifies_our_sha_256() {
    let mut world = with_alice();
    let nonce = nonce(&mut world);
    let Answer::Success(message) = allocate(&mut world, &Modern::new(), ("alice", "wonderland", &nonce)) else {
        panic!("not let in")
    };
    let credentials = LongTermKeyCredentials::new("alice".into(), "wonderland".into(), "tandem".into());
    let verified = Message::from_bytes(&message).expect("a message").validate_integrity(&credentials.into());
    assert_eq!(verified.ok(), Some(IntegrityAlgorithm::Sha256));
}

#[test]
fn a_tampered_choice_of_algorithms_is_a_bad_request() {
    let mut world = with_alice();
    let nonce = nonce(&mut world);
    let md5_only = Some((vec![0, 1, 0, 0], 1));
    let unknown = Some((OFFERED.to_vec(), 3));
    for algorithms in [md5_only, unknown, Some((OFFERED[..4].to_vec(), 2)), Some((Vec::new(), 2))] {
        let how = Modern { algorithms, ..Modern::new() };
        assert_eq!(allocate(&mut world, &how, ("alice", "wonderland", &nonce)), Answer::Error(400));
    }
    // One of the two alone.
    let transaction = world.transaction();
    let alone = RawAttribute::new(PasswordAlgorithm::TYPE, &[0, 2, 0, 0]);
    let how = Modern { algorithms: None, ..Modern::new() };
    let bytes = how.sign(("alice", "wonderland", &nonce), ALLOCATE, transaction, &[&alone]);
    assert_eq!(world.ask(at(), &bytes), Answer::Error(400));
}

#[test]
fn a_nonce_whose_features_were_changed_is_stale() {
    let mut world = with_alice();
    let nonce = nonce(&mut world).replacen("AAAD", "AAAA", 1);
    assert_eq!(allocate(&mut world, &Modern::new(), ("alice", "wonderland", &nonce)), Answer::Error(438));
}

#[test]
fn wrong_passwords_unknown_hashes_and_truncated_protection_stay_out() {
    let mut world = with_alice();
    let nonce = nonce(&mut world);
    assert_eq!(allocate(&mut world, &Modern::new(), ("alice", "looking glass", &nonce)), Answer::Error(401));
    assert_eq!(allocate(&mut world, &Modern::new(), ("bob", "wonderland", &nonce)), Answer::Error(401));
    let transaction = world.transaction();
    let mut bytes = Modern::new().sign(("alice", "wonderland", &nonce), ALLOCATE, transaction, &[]);
    // Twelve bytes of the HMAC instead of at least sixteen.
    let at_value = bytes.len() - 32;
    bytes.truncate(at_value + 12);
    bytes[at_value - 2..at_value].copy_from_slice(&[0, 12]);
    let length = u16::try_from(bytes.len() - 20).expect("short").to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    assert!(matches!(world.ask(at(), &bytes), Answer::Error(401) | Answer::Silence));
    assert_eq!(world.relay.counters().allocations, 0);
}

/// The one question there is.
fn question(world: &mut World) -> (turn::QueryId, UserKey) {
    assert_eq!(world.asked.len(), 1, "{:?}", world.asked);
    world.asked.remove(0)
}

fn answer(world: &mut World, id: turn::QueryId, answer: turn::Answer) -> Vec<u16> {
    world.sent.clear();
    world.relay.handle_answer(world.now, id, answer);
    world.drain();
    let code =
        |message: &Message<'_>| message.attribute::<stun_types::attribute::ErrorCode>().map_or(0, |code| code.code());
    world.sent.iter().map(|(_, message)| code(&Message::from_bytes(message).expect("a message"))).collect()
}

fn known(password: &str) -> turn::Answer {
    turn::Answer::Known(Account { username: "dora".into(), secret: Secret::Passwords(vec![password.into()]) })
}

#[test]
fn a_user_who_must_be_asked_for_waits_and_comes_in() {
    let mut world = asking();
    let nonce = nonce(&mut world);
    let login = ("dora", "explorer", nonce.as_str());
    let transaction = world.transaction();
    let bytes = Modern::new().sign(login, ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
    for _ in 0..3 {
        assert_eq!(world.ask(at(), &bytes), Answer::Silence);
    }
    let (id, user) = question(&mut world);
    let hash = Userhash::compute("dora", "tandem");
    assert_eq!(user, UserKey { realm: "tandem".into(), name: Name::Hash(hash) });
    assert_eq!(answer(&mut world, id, known("explorer")), [0], "one answer to three of the same");
    assert_eq!((world.relay.counters().allocations, world.relay.counters().queries), (1, 1));
    assert_eq!(answer(&mut world, id, known("explorer")), [0; 0], "an answer is good once");
    // The holder is not asked for again, nor is the same user elsewhere for a while.
    let refresh = Modern::new().sign(login, REFRESH, 77.into(), &[&Lifetime::new(0)]);
    assert_eq!(lifetime(&world.ask(at(), &refresh)), 0);
    assert!(is_success(&allocate(&mut world, &Modern::new(), login)) && world.asked.is_empty());
}

#[test]
fn a_database_that_keeps_keys_only_lets_in_by_the_keys_it_has() {
    let mut world = asking();
    let nonce = nonce(&mut world);
    let classic = Modern { hashed: false, algorithms: None, integrity: Integrity::Sha1, ..Modern::new() };
    let login = ("dora", "explorer", nonce.as_str());
    assert_eq!(allocate(&mut world, &classic, login), Answer::Silence);
    let (id, user) = question(&mut world);
    assert_eq!(user.name, Name::Plain("dora".into()));
    let md5 = <md5::Md5 as md5::Digest>::digest(b"dora:tandem:explorer").into();
    let secret = Secret::Keys { md5: Some(md5), sha256: None };
    let account = turn::Answer::Known(Account { username: "dora".into(), secret });
    assert_eq!(answer(&mut world, id, account), [0]);
    let sha256 = Modern { hashed: false, ..Modern::new() };
    let transaction = world.transaction();
    let bytes = sha256.sign(login, REFRESH, transaction, &[]);
    assert_eq!(world.ask(at(), &bytes), Answer::Error(401));
}

#[test]
fn nobody_unknown_comes_in_and_is_not_asked_for_all_the_time() {
    let mut world = asking();
    let nonce = nonce(&mut world);
    let login = ("dora", "explorer", nonce.as_str());
    assert_eq!(allocate(&mut world, &Modern::new(), login), Answer::Silence);
    let (id, _) = question(&mut world);
    assert_eq!(answer(&mut world, id, turn::Answer::Unknown), [401]);
    assert_eq!(allocate(&mut world, &Modern::new(), login), Answer::Error(401));
    world.wait(Duration::from_secs(5));
    assert_eq!(allocate(&mut world, &Modern::new(), login), Answer::Silence);
    let (id, _) = question(&mut world);
    assert_eq!(answer(&mut world, id, known("wrong")), [401]);
}

#[test]
fn a_changed_password_counts_at_once_and_an_old_one_while_both_are_told() {
    let mut world = asking();
    let nonce = nonce(&mut world);
    let (old, new) = (("dora", "old", nonce.as_str()), ("dora", "new", nonce.as_str()));
    assert_eq!(allocate(&mut world, &Modern::new(), new), Answer::Silence);
    let (id, _) = question(&mut world);
    let secret = Secret::Passwords(vec!["old".into(), "new".into()]);
    let both = turn::Answer::Known(Account { username: "dora".into(), secret });
    assert_eq!(answer(&mut world, id, both), [0]);
    world.relay.handle_user_changed("dora");
    let elsewhere = Client::anonymous("1.2.3.4:1001");
    let bytes = Modern::new().sign(old, ALLOCATE, 5.into(), &[]);
    assert_eq!(world.ask(elsewhere, &bytes), Answer::Error(438), "the nonce is another client's");
    let transaction = world.transaction();
    world.relay.handle_closed(world.now, at());
    world.drain();
    let bytes = Modern::new().sign(old, ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
    assert_eq!(world.ask(at(), &bytes), Answer::Silence, "asked anew");
    let (id, _) = question(&mut world);
    assert_eq!(answer(&mut world, id, known("new")), [401]);
}

#[test]
fn questions_are_bounded_and_forgotten_when_nobody_answers() {
    let mut world = World::with(|config| {
        config.accounts.ask = true;
        config.limits.answers_burst = u32::MAX;
    });
    let nonce = nonce(&mut world);
    for number in 0..3_000 {
        let user = format!("user{number}");
        assert_eq!(allocate(&mut world, &Modern::new(), (&user, "x", &nonce)), Answer::Silence);
    }
    assert_eq!(world.asked.len(), 1_024);
    world.wait(Duration::from_secs(5));
    assert_eq!(world.relay.poll_timeout(), None);
    world.asked.clear();
    assert_eq!(allocate(&mut world, &Modern::new(), ("user0", "x", &nonce)), Answer::Silence);
    let (id, _) = question(&mut world);
    assert_eq!(answer(&mut world, id, turn::Answer::Unavailable), [0; 0]);
    assert_eq!(allocate(&mut world, &Modern::new(), ("user0", "x", &nonce)), Answer::Silence);
    question(&mut world);
}

#[test]
fn a_page_from_elsewhere_has_its_own_realm_and_its_users_are_others() {
    let mut world = World::with(|config| {
        let mut realms = Realms::default();
        realms.add_origin("https://example.org", "example.org");
        config.realms = Arc::new(realms);
        config.accounts.fixed = vec![("alice".into(), "wonderland".into())];
        config.limits.allocations_per_user = 1;
    });
    let origin = RawAttribute::new(0x802f.into(), b"https://example.org");
    let outer = RawAttribute::new(0x802f.into(), b"https://elsewhere.example");
    let asked = request(ALLOCATE, 9.into(), &[&RequestedTransport::new(17), &outer, &origin]);
    let (realm, nonce) = world
        .ask_raw(at(), &asked, |answer| {
            let realm = answer.attribute::<Realm>().expect("a realm").realm().to_owned();
            (realm, answer.attribute::<Nonce>().expect("a nonce").nonce().to_owned())
        })
        .expect("an answer");
    assert_eq!(realm, "example.org");
    let there = Modern { realm, ..Modern::new() };
    assert!(is_success(&allocate(&mut world, &there, ("alice", "wonderland", &nonce))));
    let elsewhere = Modern { realm: "example.com".into(), ..Modern::new() };
    let here = world.client("x", "1.2.3.4:1001");
    let sign = |how: &Modern| {
        how.sign(("alice", "wonderland", &here.nonce), ALLOCATE, 5.into(), &[&RequestedTransport::new(17)])
    };
    assert_eq!(world.ask(here.tuple, &sign(&elsewhere)), Answer::Error(401));
    assert!(is_success(&world.ask(here.tuple, &sign(&Modern::new()))), "another alice, another quota");
}

#[test]
fn while_a_shared_secret_is_replaced_both_are_good() {
    let mut world = World::with(|config| config.secrets.insert(0, b"the next one".to_vec()));
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    let login = tandem_stun::credential::credential(b"the next one", UNIX + 600, "bob");
    let bob = world.client("bob", "1.2.3.4:1001");
    let bob = Client { key: key(&login), username: login.username, ..bob };
    world.allocate(&bob);
}

#[test]
fn what_is_sent_to_a_forged_address_is_hardly_more_than_what_came_from_it() {
    let mut world =
        World::with(|config| (config.limits.answers_per_second, config.limits.answers_burst) = (1 << 20, 1 << 20));
    let allocate = request(ALLOCATE, 7.into(), &[&RequestedTransport::new(17)]);
    let (mut heard, mut sent) = (0, 0);
    for port in 1_000..21_000_u16 {
        let victim = Client::anonymous(&format!("203.0.113.9:{port}"));
        world.sent.clear();
        world.packet(victim, &allocate);
        heard += allocate.len() + 28;
        sent += world.sent.iter().map(|(_, message)| message.len() + 28).sum::<usize>();
    }
    assert!(sent * 100 < heard * 134, "{sent} bytes for {heard}");
    assert!(world.relay.counters().limited > 0);
    // Whoever has an answer and uses it is no victim.
    let mut honest = world.client("alice", "198.51.100.9:9");
    for _ in 0..2_000 {
        world.challenge(&mut honest);
        assert!(!matches!(world.request(&honest, REFRESH, &[]), Answer::Silence));
    }
}

/// Realms, each with one secret.
fn realms(of: &[(&str, &[u8])]) -> Arc<Realms> {
    let mut realms = Realms::default();
    for (realm, secret) in of {
        realms.add(realm).secrets.push(secret.to_vec());
    }
    Arc::new(realms)
}

/// Bob asks for an allocation by a secret of this realm.
fn knock(world: &mut World, realm: &str, secret: &[u8], port: u16) -> Answer {
    let how = Modern { realm: realm.into(), hashed: false, ..Modern::new() };
    let login = tandem_stun::credential::credential(secret, UNIX + 600, "bob");
    let from = FiveTuple { client: (Ipv4Addr::new(1, 2, 3, 4), port).into(), ..at() };
    let nonce = world.client("x", &from.client.to_string()).nonce;
    let user = (login.username.as_str(), login.password.as_str(), nonce.as_str());
    world.ask(from, &how.sign(user, ALLOCATE, 5.into(), &[&RequestedTransport::new(17)]))
}

#[test]
fn a_realm_has_secrets_of_its_own_which_are_good_there_alone_and_change_while_it_runs() {
    let mut world = World::with(|config| config.realms = realms(&[("north", b"logen"), ("south", b"bayaz")]));
    assert!(is_success(&knock(&mut world, "north", b"logen", 1_001)));
    assert_eq!(knock(&mut world, "south", b"logen", 1_002), Answer::Error(401), "another realm's secret");
    assert_eq!(knock(&mut world, "tandem", b"logen", 1_002), Answer::Error(401), "not good everywhere");
    assert!(is_success(&knock(&mut world, "south", SECRET, 1_002)), "the one that is good everywhere");
    assert_eq!(knock(&mut world, "west", SECRET, 1_003), Answer::Error(401), "there is no such realm");
    world.relay.handle_realms(realms(&[("north", b"ninefingers"), ("tandem", b"here")]));
    assert_eq!(knock(&mut world, "north", b"logen", 1_003), Answer::Error(401), "it was taken back");
    assert!(is_success(&knock(&mut world, "north", b"ninefingers", 1_003)));
    assert!(is_success(&knock(&mut world, "tandem", b"here", 1_004)), "the default realm may have some, too");
    assert_eq!(knock(&mut world, "south", b"bayaz", 1_005), Answer::Error(401), "the realm is gone");
}

#[test]
fn a_name_in_another_realm_is_somebody_else_for_quotas_and_revocations() {
    let mut world = World::with(|config| {
        config.realms = realms(&[("north", b"logen")]);
        config.limits.allocations_per_user = 1;
    });
    let here = world.client("bob", "1.2.3.4:1000");
    world.allocate(&here);
    assert!(is_success(&knock(&mut world, "north", b"logen", 1_001)), "a quota of its own");
    world.relay.revoke(world.now, &Whom::User("bob".into()));
    assert_eq!(knock(&mut world, "north", b"logen", 1_002), Answer::Error(486), "bob of the north is still there");
    world.relay.revoke(world.now, &Whom::User("bob@north".into()));
    assert_eq!(knock(&mut world, "north", b"logen", 1_002), Answer::Error(401));
}

#[test]
fn what_a_realm_denies_and_allows_holds_for_its_users_and_opens_nothing_of_this_host() {
    let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a range")).collect::<Vec<_>>();
    let mut facts = Realms::default();
    facts.peers.deny = ranges(&["8.8.0.0/16"]);
    facts.add("tandem").peers.allow = ranges(&["10.0.0.0/8", "8.8.4.0/24", "127.0.0.0/8"]);
    facts.add("tandem").peers.deny = ranges(&["9.9.9.9/32", "10.9.0.0/16"]);
    facts.add("north").peers.deny = ranges(&["1.1.1.1/32"]);
    let mut world = World::with(|config| config.realms = Arc::new(facts));
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    for (peer, allowed) in [
        ("8.8.8.8:9", false),
        ("[64:ff9b::808:808]:9", false),
        ("8.8.4.4:9", true),
        ("9.9.9.9:9", false),
        ("10.1.1.1:9", true),
        ("10.9.1.1:9", true),
        ("192.168.9.9:9", false),
        ("1.1.1.1:9", true),
        ("127.0.0.2:9", false),
    ] {
        let answer = world.permit(&client, peer);
        let expected = if peer.starts_with('[') { Answer::Error(443) } else { Answer::Error(403) };
        assert_eq!(is_success(&answer), allowed, "{peer}: {answer:?}");
        assert!(allowed || answer == expected, "{peer}: {answer:?}");
    }
}

#[test]
fn a_realm_has_a_bound_on_bytes_of_its_own() {
    let mut facts = Realms::default();
    facts.add("tandem").bytes_per_second = Some(1_000);
    let mut world = World::with(|config| config.realms = Arc::new(facts));
    let client = world.client("alice", "1.2.3.4:1000");
    world.allocate(&client);
    assert!(is_success(&world.permit(&client, "9.9.9.9:9")));
    let mut passed = 0;
    for _ in 0..100 {
        let packet = send_indication(address("9.9.9.9:9"), &[0; 100]);
        passed += usize::from(matches!(world.packet(client.tuple, &packet), Forward::ToPeer { .. }));
    }
    assert_eq!(passed, 20, "two seconds' worth at once");
}

#[test]
fn a_client_is_asked_again_for_the_realm_that_it_names() {
    let mut world = World::with(|config| config.realms = realms(&[("north", b"logen")]));
    let client = world.client("x", "1.2.3.4:1000");
    for (named, asked) in [("north", "north"), ("nowhere", "tandem"), ("tandem", "tandem")] {
        let how = Modern { realm: named.into(), hashed: false, ..Modern::new() };
        let message = how.sign(("x", "y", &client.nonce), ALLOCATE, 5.into(), &[&RequestedTransport::new(17)]);
        let realm = world
            .ask_raw(client.tuple, &message, |answer| answer.attribute::<Realm>().expect("a realm").realm().to_owned());
        assert_eq!(realm.as_deref(), Some(asked));
    }
}

#[test]
fn where_users_cannot_be_found_by_hash_clients_are_not_told_to_hide_their_names() {
    // RFC 8489 §9.2: the features stand in the first characters of the nonce, behind the cookie.
    let features = |unhashed| {
        let mut world = World::with(|config| config.accounts = Accounts { ask: true, unhashed, ..Accounts::default() });
        world.client("x", "1.2.3.4:1000").nonce.get(9..13).map(str::to_owned)
    };
    assert_ne!(features(true), features(false));
}
