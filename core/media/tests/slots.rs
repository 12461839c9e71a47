//! Slots: one track after another, without a seam.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use tandem_media::{Command, EndpointId, Event, Mark, SlotId, TrackId};
use tandem_rtp::header::Header;
use tandem_rtp::payload::vp8;
use tandem_rtp::rtcp::{self, SenderInfo};
use tandem_rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use world::*;

/// The numbers a peer has seen, as they would not wrap.
fn numbers(world: &World, peer: u64) -> Vec<u64> {
    let mut newest: Option<SeqNo> = None;
    let extend = |wire: u16| {
        let number = newest.map_or(SeqNo::first(wire), |newest| newest.near(wire));
        newest = Some(number);
        number.0
    };
    world.peer(peer).got.iter().map(|got| got.header.sequence).map(extend).collect()
}

fn is_gapless(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

fn frames(world: &mut World, camera: &mut Camera, count: usize) {
    for _ in 0..count {
        camera.frame(world, false);
        world.run_ms(30);
    }
}

#[test]
fn a_slot_shows_one_track_after_another_without_a_seam() {
    let mut world = World::with(3);
    world.publish(1, 1, VP8, &[]);
    world.publish(3, 2, VP8, &[]);
    world.open(2, 7, VP8);
    world.show(2, 7, Some(1));
    let (mut first, mut second) = (Camera::new(1, 1, None), Camera::new(3, 2, None));
    (second.sequence, second.timestamp, second.picture, second.tl0) = (65_000, 7, 5, 200);
    first.frame(&mut world, true);
    second.frame(&mut world, true);
    frames(&mut world, &mut first, 10);
    world.show(2, 7, Some(2));
    frames(&mut world, &mut second, 3);
    assert_eq!(world.peer(2).got.len(), 3 * 11, "nothing of another track before its keyframe");
    assert_eq!(world.peer(3).heard("PLI"), 1, "which is asked for");
    second.frame(&mut world, true);
    frames(&mut world, &mut second, 5);
    // Nothing for a while, and the same once more.
    world.show(2, 7, None);
    frames(&mut world, &mut second, 3);
    world.show(2, 7, Some(2));
    second.frame(&mut world, true);
    frames(&mut world, &mut second, 2);
    let got = &world.peer(2).got;
    assert_eq!(got.len(), 3 * (11 + 6 + 3));
    assert!(is_gapless(&numbers(&world, 2)));
    assert!(got.iter().all(|got| got.header.ssrc == Ssrc(70_002)));
    let starts: Vec<_> = got.chunks(3).map(|frame| &frame[0]).collect();
    assert!(vp8::starts_key_frame(&starts[11].payload) && vp8::starts_key_frame(&starts[17].payload));
    for pair in starts.windows(2) {
        let ticks = pair[1].header.timestamp.since(pair[0].header.timestamp);
        assert!((1..=60_000).contains(&ticks), "{ticks}");
        let read = |got: &Got| vp8::Descriptor::parse(&got.payload).expect("one");
        let (before, after) = (read(pair[0]), read(pair[1]));
        assert_eq!(after.picture.map(|it| it.value()), before.picture.map(|it| (it.value() + 1) & 0x7fff));
        assert_eq!(after.tl0_picture, before.tl0_picture.map(|tl0| tl0.wrapping_add(1)));
    }
    // What was lost of the track before is still to be had.
    let early = got[4].header.sequence;
    world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(70_002), [early]).expect("room"));
    world.run_ms(10);
    assert_eq!(world.peer(2).got.last().expect("one").payload[..2], early.to_be_bytes());
    assert_eq!(world.plane.counters().retransmitted, 1);
}

#[test]
fn a_report_after_a_change_is_of_what_is_shown() {
    let mut world = World::with(3);
    world.publish(1, 1, VP8, &[]);
    world.publish(3, 2, VP8, &[]);
    world.open(2, 7, VP8);
    world.show(2, 7, Some(1));
    let (mut first, mut second) = (Camera::new(1, 1, None), Camera::new(3, 2, None));
    second.timestamp = 9_000_000;
    first.frame(&mut world, true);
    world.run_ms(33);
    world.show(2, 7, Some(2));
    second.frame(&mut world, true);
    world.run_ms(5);
    let newest = world.peer(2).got.last().expect("a packet").header.timestamp;
    for (peer, camera) in [(1, &first), (3, &second)] {
        let info = SenderInfo { ntp: peer, rtp: Timestamp(camera.timestamp), packets: 1, octets: 1 };
        world.control(peer, |writer| writer.sender_report(camera.ssrc, &info, &[]).expect("room"));
    }
    world.run_ms(5);
    let compounds = world.peer(2).control.iter().flat_map(|compound| rtcp::Packets::new(compound));
    let told: Vec<_> = compounds
        .filter_map(|packet| if let Ok(rtcp::Packet::SenderReport(it)) = packet { Some(it.info) } else { None })
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].ntp, told[0].rtp), (3, newest.plus(3_000)));
}

#[test]
fn a_slot_outlives_its_track_and_its_numbers_outlive_the_slot() {
    let mut world = World::with(2);
    world.publish(1, 1, OPUS, &[]);
    world.subscribe(2, 1, OPUS, top(0));
    let speak = |world: &mut World, mid: &[u8], ssrc, count| {
        for i in 0..count {
            let header = Header {
                marker: false,
                payload_type: PayloadType::from_wire(111),
                sequence: i,
                timestamp: Timestamp(960 * u32::from(i)),
                ssrc: Ssrc(ssrc),
            };
            world.send(1, header, &[(4, mid)], &[0xfc, 1, 2, 3]);
            world.run_ms(20);
        }
    };
    speak(&mut world, b"1", 77, 5);
    world.tell(Command::Unpublish { track: TrackId(1) });
    world.publish(1, 2, OPUS, &[]);
    world.show(2, 1, Some(2));
    speak(&mut world, b"2", 78, 5);
    assert!(is_gapless(&numbers(&world, 2)));
    // The same m-line agreed on anew: the same key, so no number may come again.
    world.tell(Command::CloseSlot { endpoint: EndpointId(2), slot: SlotId(1) });
    world.open(2, 1, OPUS);
    world.show(2, 1, Some(2));
    speak(&mut world, b"2", 79, 5);
    assert_eq!(world.peer(2).got.len(), 15);
    assert!(is_gapless(&numbers(&world, 2)), "{:?}", numbers(&world, 2));
}

#[test]
fn nobody_gets_a_track_that_is_muted() {
    let mut world = World::with(3);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    let mut camera = Camera::new(1, 1, None);
    camera.frame(&mut world, true);
    world.run_ms(30);
    world.tell(Command::Mute { track: TrackId(1), muted: true });
    world.subscribe(3, 1, VP8, top(0));
    camera.frame(&mut world, true);
    frames(&mut world, &mut camera, 5);
    assert_eq!((world.peer(2).got.len(), world.peer(3).got.len()), (3, 0));
    world.tell(Command::Mute { track: TrackId(1), muted: false });
    world.run_ms(ALLOCATED);
    camera.frame(&mut world, true);
    frames(&mut world, &mut camera, 1);
    assert_eq!((world.peer(2).got.len(), world.peer(3).got.len()), (9, 6));
    assert!(is_gapless(&numbers(&world, 2)));
    let layers = world.events.iter().filter_map(|event| {
        if let Event::Layer { endpoint: EndpointId(2), layer, .. } = event { Some(layer.is_some()) } else { None }
    });
    assert_eq!(layers.collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn networks_are_told_what_is_sound_and_what_is_pictures() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    world.publish(1, 2, OPUS, &[]);
    world.subscribe(2, 1, VP8, top(0));
    world.subscribe(2, 2, OPUS, top(0));
    world.out.marks.clear();
    Camera::new(1, 1, None).frame(&mut world, true);
    let header = Header {
        marker: false,
        payload_type: PayloadType::from_wire(111),
        sequence: 1,
        timestamp: Timestamp(0),
        ssrc: Ssrc(77),
    };
    world.send(1, header, &[(4, b"2")], &[0xfc, 1, 2, 3]);
    world.deliver();
    let count = |mark| world.out.marks.iter().filter(|it| **it == mark).count();
    assert_eq!((count(Mark::Video), count(Mark::Audio)), (3, 1));
}
