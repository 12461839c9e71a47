//! RFC 5780: answers from another address and port, to another port, as long as the request; and nothing of it unasked.

mod world;

use std::net::SocketAddr;

use stun_types::attribute::{AttributeWrite, ErrorCode, RawAttribute, XorMappedAddress};
use stun_types::message::{BINDING, Message};
use tandem_stun::Discovery;
use tandem_stun::turn::{External, FiveTuple, Mapping, Transport};
use world::*;

const CHANGE_REQUEST: u16 = 0x0003;
const PADDING: u16 = 0x0026;
const RESPONSE_PORT: u16 = 0x0027;

fn discovering() -> World {
    World::with(|config| {
        config.discovery = Some(Discovery { addresses: [ip("192.168.1.5"), ip("192.168.1.6")], ports: [3_478, 3_479] });
    })
}

fn plain_address(message: &Message<'_>, kind: u16) -> SocketAddr {
    let value = message.raw_attribute(kind.into()).expect("the address").value.to_vec();
    let [0, 1, p0, p1, a, b, c, d] = value[..] else { panic!("no IPv4 address: {value:?}") };
    SocketAddr::from(([a, b, c, d], u16::from_be_bytes([p0, p1])))
}

/// What a request at this address of ours is answered with: to, RESPONSE-ORIGIN, OTHER-ADDRESS, length; or the error.
fn ask(
    world: &mut World,
    server: &str,
    attributes: &[&dyn AttributeWrite],
) -> Result<(FiveTuple, SocketAddr, SocketAddr, usize), u16> {
    let from = FiveTuple { server: address(server), ..Client::anonymous("1.2.3.4:1000") };
    let transaction = world.transaction();
    world.sent.clear();
    world.packet(from, &request(BINDING, transaction, attributes));
    let (to, message) = world.sent.pop().expect("an answer");
    let parsed = Message::from_bytes(&message).expect("a message");
    if let Ok(code) = parsed.attribute::<ErrorCode>() {
        assert_eq!(to, from, "errors go nowhere else");
        return Err(code.code());
    }
    assert_eq!(parsed.attribute::<XorMappedAddress>().expect("mapped").addr(transaction), from.client);
    Ok((to, plain_address(&parsed, 0x802b), plain_address(&parsed, 0x802c), message.len()))
}

fn change(flags: u8) -> Vec<u8> {
    vec![0, 0, 0, flags]
}

#[test]
fn the_answer_leaves_from_the_address_and_port_asked_for() {
    let mut world = discovering();
    let cases = [
        ("192.168.1.5:3478", 0x00, "192.168.1.5:3478", "192.168.1.6:3479"),
        ("192.168.1.5:3478", 0x06, "192.168.1.6:3479", "192.168.1.6:3479"),
        ("192.168.1.5:3478", 0x04, "192.168.1.6:3478", "192.168.1.6:3479"),
        ("192.168.1.5:3478", 0x02, "192.168.1.5:3479", "192.168.1.6:3479"),
        ("192.168.1.6:3479", 0x06, "192.168.1.5:3478", "192.168.1.5:3478"),
        ("192.168.1.6:3478", 0x02, "192.168.1.6:3479", "192.168.1.5:3479"),
    ];
    for (server, flags, origin, other) in cases {
        let value = change(flags);
        let (to, said, others, _) =
            ask(&mut world, server, &[&RawAttribute::new(CHANGE_REQUEST.into(), &value)]).expect("an answer");
        assert_eq!((to.server, said, others), (address(origin), address(origin), address(other)), "{server} {flags}");
        assert_eq!(to.client, address("1.2.3.4:1000"));
    }
}

#[test]
fn behind_a_nat_of_ours_the_public_addresses_are_told_and_the_local_ones_used() {
    let mut world = World::with(|config| {
        config.discovery = Some(Discovery { addresses: [ip("192.168.1.5"), ip("192.168.1.6")], ports: [3_478, 3_479] });
        let mapped = |public, private| Mapping { public: ip(public), private: Some(ip(private)) };
        let mappings = vec![mapped("5.6.7.8", "192.168.1.5"), mapped("5.6.7.9", "192.168.1.6")];
        config.addresses.external = External::new(mappings);
    });
    let value = change(0x06);
    let (to, said, others, _) =
        ask(&mut world, "192.168.1.5:3478", &[&RawAttribute::new(CHANGE_REQUEST.into(), &value)]).expect("an answer");
    let outside = address("5.6.7.9:3479");
    assert_eq!((to.server, said, others), (address("192.168.1.6:3479"), outside, outside));
}

#[test]
fn another_port_of_the_client_is_answered_but_never_another_address() {
    let mut world = discovering();
    let port = RawAttribute::new(RESPONSE_PORT.into(), &[0x13, 0x88]);
    let (to, ..) = ask(&mut world, "192.168.1.5:3478", &[&port]).expect("an answer");
    assert_eq!(to.client, address("1.2.3.4:5000"));
    for bad in [&[0_u8, 0][..], &[1], &[]] {
        let port = RawAttribute::new(RESPONSE_PORT.into(), bad);
        assert_eq!(ask(&mut world, "192.168.1.5:3478", &[&port]), Err(400));
    }
}

#[test]
fn padding_is_answered_with_no_more_than_came_and_not_elsewhere() {
    let mut world = discovering();
    for length in [0, 4, 72, 73, 500, 1_500, 20_000] {
        let zeros = vec![0; length];
        let padding = RawAttribute::new(PADDING.into(), &zeros);
        let asked = request(BINDING, 1.into(), &[&padding]).len();
        let (.., answered) = ask(&mut world, "192.168.1.5:3478", &[&padding]).expect("an answer");
        assert!(answered <= asked.max(64), "{asked} -> {answered}");
    }
    let (padding, port) =
        (RawAttribute::new(PADDING.into(), &[0; 100]), RawAttribute::new(RESPONSE_PORT.into(), &[0x13, 0x88]));
    assert_eq!(ask(&mut world, "192.168.1.5:3478", &[&padding, &port]), Err(400));
}

#[test]
fn streams_and_other_addresses_of_ours_are_answered_plainly_or_not_at_all() {
    let mut world = discovering();
    let value = change(0x06);
    let flags = RawAttribute::new(CHANGE_REQUEST.into(), &value);
    assert_eq!(ask(&mut world, "192.168.1.7:3478", &[&flags]), Err(400));
    let from = FiveTuple { transport: Transport::Tcp, ..Client::anonymous("1.2.3.4:1000") };
    let transaction = world.transaction();
    assert_eq!(world.ask(from, &request(BINDING, transaction, &[&flags])), Answer::Error(400));
    let other = FiveTuple { server: address("192.168.1.7:3478"), ..Client::anonymous("1.2.3.4:1000") };
    let transaction = world.transaction();
    assert!(is_success(&world.ask(other, &request(BINDING, transaction, &[]))));
}

#[test]
fn without_the_addresses_for_it_nothing_of_it_is_known() {
    let mut world = World::new();
    for kind in [CHANGE_REQUEST, PADDING, RESPONSE_PORT] {
        let value = change(0);
        let transaction = world.transaction();
        let asked = request(BINDING, transaction, &[&RawAttribute::new(kind.into(), &value)]);
        assert_eq!(world.ask(Client::anonymous("1.2.3.4:1000"), &asked), Answer::Error(420), "{kind:#06x}");
    }
}

#[test]
fn a_classic_client_discovers_too_but_sends_nobody_an_answer() {
    let mut world = discovering();
    let from = Client::anonymous("1.2.3.4:1000");
    let classic = |attribute: &[u8]| {
        let mut asked = vec![0, 1, 0, u8::try_from(attribute.len()).expect("short")];
        asked.extend(1..=16);
        asked.extend(attribute);
        asked
    };
    world.packet(from, &classic(&[0, 3, 0, 4, 0, 0, 0, 6]));
    let (to, message) = world.sent.pop().expect("an answer");
    assert_eq!(to.server, address("192.168.1.6:3479"));
    let mut expected = vec![1, 1, 0, 36];
    expected.extend(1..=16);
    expected.extend([0, 1, 0, 8, 0, 1, 0x03, 0xe8, 1, 2, 3, 4]);
    expected.extend([0, 4, 0, 8, 0, 1, 0x0d, 0x97, 192, 168, 1, 6]);
    expected.extend([0, 5, 0, 8, 0, 1, 0x0d, 0x97, 192, 168, 1, 6]);
    assert_eq!(message, expected);
    world.packet(from, &classic(&[0, 2, 0, 8, 0, 1, 0, 9, 9, 9, 9, 9]));
    let (to, message) = world.sent.pop().expect("an answer");
    assert_eq!((to, message.get(..2)), (from, Some(&[1, 0x11][..])));
}
