//! What other relays have stumbled over and no other test file is about: see docs/reference/relay-pitfalls.md.

mod world;

use std::time::Duration;

use stun_types::attribute::RawAttribute;
use tandem_stun::wire::{self, COOKIE, Frame, Malformed, Packet};
use turn_types::attribute::RequestedTransport;
use turn_types::message::ALLOCATE;
use world::*;

#[test]
fn attributes_of_odd_length_are_padded_and_the_next_one_is_found() {
    let mut world = World::new();
    let client = world.client("alice", "1.2.3.4:1000");
    for length in 1..8 {
        let software = vec![b'x'; length];
        let odd = RawAttribute::new(0x8022.into(), &software);
        let transaction = world.transaction();
        let signed = client.sign(ALLOCATE, transaction, &[&odd, &RequestedTransport::new(17)]);
        let Ok(Packet::Stun(stun)) = wire::parse(&signed) else { panic!("a message") };
        let kinds: Vec<u16> = stun.attributes().map(|(kind, _)| kind).take(2).collect();
        assert_eq!(kinds, [0x8022, 0x0019], "SOFTWARE of {length} bytes");
        assert!(is_success(&world.ask(client.tuple, &signed)), "SOFTWARE of {length} bytes");
        assert!(is_success(&world.refresh(&client, 0)));
    }
}

#[test]
fn lengths_near_the_largest_number_neither_overflow_nor_wait_for_what_cannot_come() {
    for length in [0xfff0_u16, 0xfffc, 0xfffd, 0xffff] {
        let header = [&[0, 3][..], &length.to_be_bytes(), &COOKIE, &[7; 12]].concat();
        let said = usize::from(length) + 20;
        assert_eq!(wire::parse(&header), Err(Malformed::Length { said, got: 20 }));
        assert_eq!(wire::frame(&header), Ok(Frame::Partial));
        let channel = [&[0x40, 0][..], &length.to_be_bytes(), &[1; 16]].concat();
        assert_eq!(wire::parse(&channel), Err(Malformed::Length { said: usize::from(length) + 4, got: 20 }));
        let mut whole = channel.clone();
        whole.resize(usize::from(length) + 7, 1);
        let padded = (usize::from(length) + 4).next_multiple_of(4);
        let expected = if whole.len() < padded {
            Frame::Partial
        } else {
            Frame::Whole { length: usize::from(length) + 4, padded }
        };
        assert_eq!(wire::frame(&whole), Ok(expected));
        // An attribute that claims as much inside a short message.
        let lying = [&[0, 3, 0, 4][..], &COOKIE, &[7; 12], &[0x80, 0x22], &length.to_be_bytes()].concat();
        assert_eq!(wire::parse(&lying), Err(Malformed::Attribute { at: 20 }));
    }
}

#[test]
fn a_small_pool_of_ports_goes_round_for_ever() {
    let mut world = World::with(|config| config.ports.last = config.ports.first + 3);
    let client = world.client("alice", "1.2.3.4:1000");
    for round in 0..1_000 {
        world.allocate(&client);
        assert!(is_success(&world.refresh(&client, 0)), "round {round}");
    }
    assert!(world.open.is_empty());
    world.wait(Duration::from_secs(60));
    assert_eq!(world.relay.poll_timeout(), None);
}

#[test]
fn a_name_of_quotes_percent_signs_and_braces_is_a_name_like_any_other() {
    let name = "'; DROP TABLE users; -- %s%n{}{0}\\";
    let mut world = World::new();
    let client = world.client(name, "1.2.3.4:1000");
    world.allocate(&client);
    let usage = world.relay.take_usage(world.now);
    assert_eq!(usage.iter().map(|usage| usage.user.as_str()).collect::<Vec<_>>(), [name]);
}
