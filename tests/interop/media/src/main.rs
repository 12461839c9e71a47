//! str0m's clients and our media plane: an implementation of everything that was written by others, at both ends of ours.
//!
//! One publishes pictures and sound, two play them; one of those over a link that loses one datagram in twenty, each way. All
//! must arrive, in order of their numbers, with the payload that was sent; who publishes is asked for a keyframe, and a data
//! channel carries messages both ways.

mod client;
mod world;

use std::collections::BTreeSet;

use client::Client;
use tandem_media::allocate::Kind;
use tandem_media::{Command, EndpointId, Event, Payload, Publication, SlotId, StreamSpec, Subscription, TrackId, Want};
use tandem_rtp::payload::Codec;
use tandem_rtp::{PayloadType, Ssrc};
use tandem_webrtc::{Message, Reliability};
use world::World;

const PICTURE: TrackId = TrackId(1);
const SOUND: TrackId = TrackId(2);
const LOSSY: usize = 2;

fn main() {
    let mut world = World::new();
    // Who publishes, who plays, and who plays over a bad link.
    let lose: [fn(usize) -> bool; 3] = [|_| false, |_| false, |datagram| datagram % 20 == 19];
    for (index, lose) in lose.into_iter().enumerate() {
        world.join(index, lose);
    }
    world.run_until("all are connected", |world| world.connected == 3);

    publish(&mut world);
    for player in [1, LOSSY] {
        subscribe(&mut world, player);
    }
    let sent = play(&mut world);
    for player in [1, LOSSY] {
        check(&world.clients[player], player, &sent);
    }
    let counters = world.plane.counters();
    assert!(counters.retransmitted > 20 && counters.refused == 0, "{counters:?}");
    assert!(world.clients[0].keyframes_asked > 0, "nobody asked for a keyframe");
    println!("{} pictures and {} pieces of sound reached both players whole; {counters:?}", sent.pictures, sent.sound);
    talk(&mut world);
}

/// How much was sent.
struct Sent {
    pictures: u32,
    sound: u32,
}

fn payload(codec: Codec, number: u8, rtx: Option<u8>) -> Payload {
    let number = PayloadType::new(number).expect("seven bits");
    Payload { codec, number, rtx: rtx.and_then(PayloadType::new), red: None }
}

fn payloads() -> [(TrackId, Payload); 2] {
    [(PICTURE, payload(Codec::Vp8, client::VP8, Some(client::RTX))), (SOUND, payload(Codec::Opus, client::OPUS, None))]
}

fn publish(world: &mut World) {
    for (track, payload) in payloads() {
        // Known by its m-line, not by its SSRC: as browsers with simulcast are.
        let (mid, streams) = (client::mid(track.0), vec![StreamSpec::default()]);
        let kind = if payload.codec.is_video() { Kind::Camera } else { Kind::Audio };
        let publication = Publication { mid, kind, payloads: vec![payload], streams };
        world.tell(Command::Publish { endpoint: EndpointId(0), track, publication });
    }
}

fn subscribe(world: &mut World, player: usize) {
    let id = EndpointId(player as u64);
    for (track, payload) in payloads() {
        let (ssrc, rtx) = client::ssrcs(track.0, player);
        let rtx = payload.rtx.map(|_| Ssrc(rtx));
        let subscription = Subscription { ssrc: Ssrc(ssrc), rtx, payloads: vec![payload] };
        let (endpoint, slot) = (id, SlotId(track.0 as u32));
        world.tell(Command::OpenSlot { endpoint, slot, subscription });
        world.tell(Command::Want { endpoint, slot, want: Want { height: 720, priority: 0, most: None } });
        world.tell(Command::Show { endpoint, slot, track: Some(track) });
    }
}

/// Ten seconds at 30 pictures and 50 pieces of sound per second.
fn play(world: &mut World) -> Sent {
    let mut sent = Sent { pictures: 0, sound: 0 };
    for ms in 0..10_000_u32 {
        if ms % 33 == 0 {
            // Nothing begins with a keyframe: it has to be asked for.
            let is_key = std::mem::take(&mut world.clients[0].keyframe_wanted);
            world.clients[0].send_picture(world.now, sent.pictures, is_key);
            sent.pictures += 1;
        }
        if ms % 20 == 0 {
            world.clients[0].send_sound(world.now, sent.sound);
            sent.sound += 1;
        }
        world.run_ms(1);
    }
    world.run_ms(3_000);
    sent
}

fn check(client: &Client, player: usize, sent: &Sent) {
    let packets: Vec<_> = client.got.iter().filter(|got| got.is_picture).collect();
    let numbers: BTreeSet<u64> = packets.iter().map(|got| got.number).collect();
    assert_eq!(numbers.len(), packets.len(), "player {player} has got a packet twice");
    let (first, last) = (numbers.first().expect("pictures"), numbers.last().expect("pictures"));
    assert_eq!(last - first + 1, numbers.len() as u64, "player {player} misses some of {first}..={last}");
    let whole: BTreeSet<u32> = packets.iter().map(|got| got.count).collect();
    // Whoever came before the first keyframe could go on has missed a few.
    assert!(whole.len() as u32 + 10 >= sent.pictures, "player {player} has {} of {}", whole.len(), sent.pictures);
    assert_eq!(packets.len(), whole.len() * client::PACKETS, "player {player} has parts of pictures");
    assert!(packets.iter().all(|got| got.is_sound_whole), "a payload has changed on the way");
    let sound = client.got.iter().filter(|got| !got.is_picture).count() as u32;
    let most_lost = if player == LOSSY { sent.sound / 10 } else { 2 };
    assert!(sound + most_lost >= sent.sound, "player {player} has {sound} of {} pieces of sound", sent.sound);
}

/// A data channel, opened by the client; what it says is said to all others.
fn talk(world: &mut World) {
    world.clients[1].open_channel("chat");
    world.run_until("the channel is open", |world| {
        world.events.iter().any(|event| matches!(event, Event::Opened(EndpointId(1), channel) if channel.label == "chat" && channel.reliability == Reliability::Reliable))
    });
    let channel = world
        .events
        .iter()
        .find_map(|event| if let Event::Opened(EndpointId(1), channel) = event { Some(channel.id) } else { None });
    let channel = channel.expect("it is open");
    world.run_until("the client knows", |world| world.clients[1].is_open());
    world.clients[1].say("hello from outside");
    world.run_until("it was heard", |world| {
        world.events.iter().any(|event| matches!(event, Event::Message(EndpointId(1), message) if message.is_text && message.bytes == b"hello from outside"))
    });
    let message = Message { channel, is_text: true, bytes: vec![b'x'; 40_000] };
    world.tell(Command::Send { endpoint: EndpointId(1), message });
    assert_eq!(world.plane.counters().unsaid, 0);
    world.run_until("the answer was heard", |world| world.clients[1].heard.iter().any(|text| text.len() == 40_000));
    println!("a data channel has carried messages both ways");
}
