//! What members of a group say to each other by data channels.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use tandem_media::{Command, EndpointId, Event, Message};
use world::*;

/// To somebody: everybody if it is 0.
fn to(member: u32, text: &str) -> Vec<u8> {
    [&member.to_be_bytes(), text.as_bytes()].concat()
}

fn heard(world: &World, peer: u64) -> Vec<(&str, u32, &str)> {
    let messages = world.peer(peer).messages.iter();
    let read = |(label, bytes)| -> (&str, u32, &str) {
        let (label, bytes): (&String, &Vec<u8>) = (label, bytes);
        let (from, text) = bytes.split_first_chunk().expect("a number");
        (label, u32::from_be_bytes(*from), std::str::from_utf8(text).expect("text"))
    };
    messages.map(|(label, bytes)| read((label, bytes))).collect()
}

fn meeting(peers: u64) -> World {
    let mut world = World::with(peers);
    for peer in 1..=peers {
        world.join_group(peer, 1);
        world.open_channel(peer, "reliable");
        world.open_channel(peer, "lossy");
    }
    world.run_ms(200);
    world
}

#[test]
fn what_is_said_to_all_or_to_one_reaches_them_and_tells_from_whom() {
    let mut world = meeting(4);
    world.join_group(4, 2);
    world.say(1, "reliable", &to(0, "hello all"));
    world.say(2, "lossy", &to(3, "only you"));
    world.say(4, "reliable", &to(1, "from another room"));
    world.run_ms(100);
    assert_eq!(heard(&world, 2), [("reliable", 1, "hello all")]);
    assert_eq!(heard(&world, 3), [("reliable", 1, "hello all"), ("lossy", 2, "only you")]);
    assert!(heard(&world, 1).is_empty() && heard(&world, 4).is_empty());
    assert_eq!(world.plane.counters().misspoken, 1);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Message(..))));
}

#[test]
fn text_and_what_names_nobody_is_refused_and_other_channels_are_the_callers() {
    let mut world = meeting(2);
    world.open_channel(1, "chat");
    world.run_ms(50);
    world.say(1, "chat", b"for the caller");
    world.say(1, "reliable", &to(77, "nobody"));
    world.say(1, "reliable", &[0, 0]);
    let (now, id) = (world.now, world.peer(1).channels["lossy"]);
    world.peers.get_mut(&1).expect("a peer").transport.send(now, id, true, b"text!").expect("room");
    world.run_ms(50);
    assert_eq!(world.plane.counters().misspoken, 3);
    let told = world
        .events
        .iter()
        .filter_map(|event| if let Event::Message(from, it) = event { Some((from, it)) } else { None });
    let told: Vec<_> = told.map(|(from, message)| (*from, message.bytes.clone())).collect();
    assert_eq!(told, [(EndpointId(1), b"for the caller".to_vec())]);
    // And answers.
    let message = Message { channel: world.peer(1).channels["chat"], is_text: false, bytes: b"an answer".to_vec() };
    world.tell(Command::Send { endpoint: EndpointId(1), message });
    world.run_ms(50);
    assert_eq!(world.peer(1).messages, [("chat".to_owned(), b"an answer".to_vec())]);
}

#[test]
fn who_does_not_read_loses_the_lane_and_the_others_hear_everything() {
    let mut world = meeting(3);
    world.peers.get_mut(&3).expect("a peer").deaf = true;
    let long = "x".repeat(10_000);
    for round in 0..150 {
        world.say(1, "reliable", &to(0, &format!("{round} {long}")));
        world.say(1, "lossy", &to(0, &format!("{round} {long}")));
        world.run_ms(20);
    }
    world.run_ms(500);
    assert_eq!(heard(&world, 2).len(), 300);
    let closed = world.events.iter().filter(|event| matches!(event, Event::Closed(EndpointId(3), _))).count();
    assert_eq!(closed, 1, "the reliable lane, and once");
    let unsaid = world.plane.counters().unsaid;
    assert!((100..150).contains(&unsaid), "{unsaid} of the lossy lane, and one of the other");
}

#[test]
fn what_a_hushed_member_says_reaches_nobody_and_it_hears_all_the_same() {
    let mut world = meeting(2);
    world.tell(Command::Hush { endpoint: EndpointId(1), hushed: true });
    world.say(1, "reliable", &to(0, "not for you"));
    world.say(2, "reliable", &to(0, "for you"));
    world.run_ms(50);
    assert!(heard(&world, 2).is_empty());
    assert_eq!(heard(&world, 1), [("reliable", 2, "for you")]);
    assert_eq!(world.plane.counters().misspoken, 1);
    world.tell(Command::Hush { endpoint: EndpointId(1), hushed: false });
    world.say(1, "reliable", &to(0, "again"));
    world.run_ms(50);
    assert_eq!(heard(&world, 2), [("reliable", 1, "again")]);
}
