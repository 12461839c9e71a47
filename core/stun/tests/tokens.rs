//! Third-party authorisation, RFC 7635: the token brings the key.

mod world;

use std::time::Duration;

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use stun_types::attribute::{AttributeWrite, Nonce as NonceAttribute, RawAttribute, Realm, Username};
use stun_types::message::{Message, MessageClass, MessageWrite, MessageWriteExt, Method};
use tandem_stun::integrity::{self, Integrity, Key};
use tandem_stun::turn::{self, Account, Name, Secret, ThirdParty, TokenAlgorithm, TokenKey, UserKey};
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};
use world::*;

const AS_RS_KEY: [u8; 32] = *b"01234567890123456789012345678901";
const SERVER: &str = "relay.example.org";
const AT: &str = "1.2.3.4:5000";

fn key(kid: &str) -> TokenKey {
    TokenKey::new(kid, TokenAlgorithm::A256Gcm, &AS_RS_KEY, None).unwrap_or_else(|error| panic!("{error}"))
}

fn world() -> World {
    World::with(|config| {
        config.accounts.third_party =
            Some(ThirdParty { server_name: SERVER.into(), keys: vec![key("north"), key("south")] });
    })
}

/// What an authorisation server gives a client.
struct Token {
    kid: &'static str,
    mac_key: [u8; 20],
    sealed: Vec<u8>,
}

fn token(kid: &'static str, mac: u8, lifetime: u32) -> Token {
    let mac_key = [mac; 20];
    let mut block = [&[0, 20][..], &mac_key, &(UNIX << 16).to_be_bytes(), &lifetime.to_be_bytes()].concat();
    let nonce = Nonce::from([mac; 12]);
    let tag = Aes256Gcm::new(&AS_RS_KEY.into()).encrypt_in_place_detached(&nonce, SERVER.as_bytes(), &mut block);
    let sealed = [&[0, 12][..], &[mac; 12], &block, &tag.expect("sealed")].concat();
    Token { kid, mac_key, sealed }
}

/// A request with a token, or protected by the key of one that was sent before.
fn signed(
    world: &mut World,
    nonce: &str,
    token: &Token,
    sends: bool,
    method: Method,
    with: &[&dyn AttributeWrite],
) -> Answer {
    let transaction = world.transaction();
    let mut message = builder(MessageClass::Request, method, transaction, with);
    let raw = RawAttribute::new(0x001B.into(), &token.sealed);
    if sends {
        message.add_attribute(&raw).expect("room");
    }
    message.add_attribute(&Username::new(token.kid).expect("a name")).expect("room");
    message.add_attribute(&Realm::new("tandem").expect("a realm")).expect("room");
    message.add_attribute(&NonceAttribute::new(nonce).expect("a nonce")).expect("room");
    let bytes = integrity::protect(message.finish(), Integrity::Sha1, &Key::from_bytes(&token.mac_key));
    let answer = world.ask(Client::anonymous(AT), &bytes.expect("room"));
    if let Answer::Success(bytes) = &answer {
        let Ok(tandem_stun::wire::Packet::Stun(stun)) = tandem_stun::wire::parse(bytes) else { panic!("no message") };
        assert!(
            integrity::verify(stun, Integrity::Sha1, &Key::from_bytes(&token.mac_key)),
            "sealed with the token's key"
        );
    }
    answer
}

fn allocate(world: &mut World, token: &Token) -> (String, Answer) {
    let nonce = challenged(world);
    let answer = signed(world, &nonce, token, true, ALLOCATE, &[&RequestedTransport::new(17)]);
    (nonce, answer)
}

fn challenged(world: &mut World) -> String {
    let bytes = request(ALLOCATE, world.transaction(), &[&RequestedTransport::new(17)]);
    let read = |message: &Message<'_>| {
        let named = message.raw_attribute(0x802E.into()).map(|raw| raw.value.to_vec());
        (named, message.attribute::<NonceAttribute>().expect("a nonce").nonce().to_owned())
    };
    let (named, nonce) = world.ask_raw(Client::anonymous(AT), &bytes, read).expect("an answer");
    assert_eq!(named.as_deref(), Some(SERVER.as_bytes()), "the client is told for whom to have a token made");
    nonce
}

#[test]
fn a_token_lets_in_for_no_longer_than_it_is_good() {
    let mut world = world();
    let token = token("north", 7, 100);
    let (nonce, answer) = allocate(&mut world, &token);
    assert_eq!(lifetime(&answer), 105, "the lifetime of the token, and what clocks may differ");
    assert!(is_success(&signed(&mut world, &nonce, &token, false, REFRESH, &[])), "the key is known from here on");
    world.wait(Duration::from_secs(104));
    assert_eq!(world.relay.counters().allocations, 1);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.relay.counters().allocations, 0);
    let (_, late) = allocate(&mut world, &token);
    assert_eq!(late, Answer::Error(401));
}

#[test]
fn a_session_goes_on_with_another_token_and_ends_without() {
    let mut world = world();
    let (first, second) = (token("north", 7, 100), token("south", 8, 1_000));
    let (nonce, answer) = allocate(&mut world, &first);
    assert!(is_success(&answer));
    assert_eq!(lifetime(&signed(&mut world, &nonce, &second, true, REFRESH, &[&Lifetime::new(3_000)])), 1_005);
    assert_eq!(signed(&mut world, &nonce, &first, false, REFRESH, &[]), Answer::Error(401), "the former key is over");
    world.wait(Duration::from_secs(200));
    assert!(is_success(&signed(&mut world, &nonce, &second, false, REFRESH, &[&Lifetime::new(0)])));
    assert_eq!(world.relay.counters().allocations, 0);
}

#[test]
fn tokens_that_cannot_be_opened_stay_out() {
    let mut world = world();
    let mut broken = token("north", 7, 100);
    broken.sealed[30] ^= 1;
    assert_eq!(allocate(&mut world, &broken).1, Answer::Error(401));
    let mut unknown = token("north", 7, 100);
    unknown.kid = "west";
    assert_eq!(allocate(&mut world, &unknown).1, Answer::Error(401));
    let mut wrong_key = token("north", 7, 100);
    wrong_key.mac_key = [8; 20];
    assert_eq!(allocate(&mut world, &wrong_key).1, Answer::Error(401));
    assert_eq!(world.relay.counters().allocations, 0);
}

#[test]
fn a_token_is_no_way_into_the_allocation_of_somebody_with_a_password() {
    let mut world = world();
    let alice = world.client("alice", AT);
    world.allocate(&alice);
    let answer = signed(&mut world, &alice.nonce, &token("north", 7, 100), true, REFRESH, &[&Lifetime::new(0)]);
    assert_eq!(answer, Answer::Error(441));
    assert_eq!(world.relay.counters().allocations, 1);
}

#[test]
fn a_key_that_is_not_known_is_asked_for() {
    let mut world = World::with(|config| {
        config.accounts.ask = true;
        config.accounts.third_party = Some(ThirdParty { server_name: SERVER.into(), keys: Vec::new() });
    });
    let token = token("north", 7, 100);
    assert_eq!(allocate(&mut world, &token).1, Answer::Silence);
    let (id, user) = world.asked.pop().expect("a question");
    assert_eq!(user, UserKey { realm: "tandem".into(), name: Name::Kid("north".into()) });
    let account = Account { username: "north".into(), secret: Secret::Token(key("north")) };
    world.relay.handle_answer(world.now, id, turn::Answer::Known(account));
    world.drain();
    assert_eq!(world.relay.counters().allocations, 1);
}
