//! The plane with peers that speak WebRTC to it: who gets what, in which numbers, and what it costs others.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use std::collections::BTreeSet;

use tandem_media::{Command, EndpointId, Event, GroupId, Layer, SlotId, TrackId};
use tandem_rtp::ext;
use tandem_rtp::header::Header;
use tandem_rtp::payload::vp8;
use tandem_rtp::rtcp::{self, SenderInfo};
use tandem_rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use tandem_webrtc::{Path, Protocol};
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

fn again_count(world: &World) -> usize {
    usize::try_from(world.plane.counters().retransmitted).expect("small")
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
fn a_camera_reaches_whoever_has_subscribed_and_nobody_else() {
    let mut world = World::with(4);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    world.subscribe(3, 1, VP8, None);
    let mut camera = Camera::new(1, 1, None);
    frames(&mut world, &mut camera, 3);
    assert!(world.peer(2).got.is_empty(), "nothing can be seen before a keyframe");
    assert_eq!(world.peer(1).heard("PLI"), 1, "so one is asked for");
    camera.frame(&mut world, true);
    frames(&mut world, &mut camera, 20);
    let got = &world.peer(2).got;
    assert_eq!(got.len(), 63);
    assert!(is_gapless(&numbers(&world, 2)));
    assert!(got.iter().all(|got| got.header.ssrc == Ssrc(10_002) && got.header.payload_type.value() == 96));
    assert!(
        got.chunks(3)
            .all(|frame| [false, false, true]
                == [frame[0].header.marker, frame[1].header.marker, frame[2].header.marker])
    );
    assert!(world.peer(3).got.is_empty() && world.peer(4).got.is_empty() && world.peer(1).got.is_empty());
    assert!(world.events.iter().any(|event| matches!(event, Event::Flows(TrackId(1)))));
    // Each packet to a peer has the next number of its transport.
    assert!(world.peer(2).numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!(world.plane.tally(EndpointId(2), SlotId(1)).expect("it gets it").packets, 63);
}

#[test]
fn who_comes_later_gets_a_keyframe_asked_for_and_the_others_go_on() {
    let mut world = World::with(3);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    let mut camera = Camera::new(1, 1, None);
    camera.frame(&mut world, true);
    frames(&mut world, &mut camera, 20);
    let asked = world.peer(1).heard("PLI");
    world.subscribe(3, 1, VP8, top(0));
    frames(&mut world, &mut camera, 2);
    assert_eq!(world.peer(1).heard("PLI"), asked + 1);
    camera.frame(&mut world, true);
    frames(&mut world, &mut camera, 5);
    assert_eq!((world.peer(2).got.len(), world.peer(3).got.len()), (3 * 29, 3 * 6));
    assert!(is_gapless(&numbers(&world, 2)) && is_gapless(&numbers(&world, 3)));
}

#[test]
fn simulcast_switches_at_keyframes_without_a_seam() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &["q", "h", "f"]);
    world.subscribe(2, 1, VP8, top(0));
    let mut cameras = ["q", "h", "f"].map(|rid| Camera::new(1, 1, Some(rid)));
    cameras[2].sequence = 65_530;
    cameras[2].timestamp = 4_294_960_000;
    cameras[2].picture = 0x7ffe;
    cameras.iter_mut().for_each(|camera| camera.frame(&mut world, true));
    let mut keyed = [true, false, false];
    for round in 0..60 {
        if round == 20 {
            world.want(2, 1, top(2));
        }
        if round == 40 {
            world.want(2, 1, top(1));
        }
        for (i, camera) in cameras.iter_mut().enumerate() {
            // Encoders answer after a while.
            let key = (round == 23 && i == 2) || (round == 44 && i == 1);
            keyed[i] |= key;
            camera.frame(&mut world, key);
        }
        world.run_ms(33);
    }
    let got = &world.peer(2).got;
    assert!(is_gapless(&numbers(&world, 2)), "{:?}", numbers(&world, 2));
    // One picture of each moment, whichever size; where it goes up, that moment in both.
    assert_eq!(got.len(), 62 * 3);
    // Times and pictures go on.
    for pair in got.chunks(3).map(|frame| &frame[0]).collect::<Vec<_>>().windows(2) {
        let ticks = pair[1].header.timestamp.since(pair[0].header.timestamp);
        assert!((1..=9_000).contains(&ticks), "{ticks}");
        let picture = |got: &Got| vp8::Descriptor::parse(&got.payload).and_then(|it| it.picture).expect("one").value();
        assert_eq!(picture(pair[1]), (picture(pair[0]) + 1) & 0x7fff);
    }
    let asked = world.peer(1).control.iter().flat_map(|compound| rtcp::Packets::new(compound));
    let asked: BTreeSet<_> = asked
        .filter_map(|packet| if let Ok(rtcp::Packet::Pli { media, .. }) = packet { Some(media) } else { None })
        .collect();
    assert!(asked.contains(&cameras[2].ssrc) && asked.contains(&cameras[1].ssrc), "each size is asked by its own name");
}

#[test]
fn temporal_layers_that_are_left_out_leave_no_gap() {
    let mut world = World::with(3);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, Some(Layer { stream: 0, spatial: 0, temporal: 0 }));
    world.subscribe(3, 1, VP8, top(0));
    let mut camera = Camera { temporal: true, ..Camera::new(1, 1, None) };
    camera.frame(&mut world, true);
    frames(&mut world, &mut camera, 40);
    assert_eq!((world.peer(2).got.len(), world.peer(3).got.len()), (33, 123));
    assert!(is_gapless(&numbers(&world, 2)) && is_gapless(&numbers(&world, 3)));
    let pictures: Vec<_> = world
        .peer(2)
        .got
        .iter()
        .filter_map(|got| vp8::Descriptor::parse(&got.payload)?.picture)
        .map(|id| id.value())
        .collect();
    assert!(pictures.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == (pair[0] + 1) & 0x7fff), "{pictures:?}");
}

#[test]
fn what_a_subscriber_misses_it_gets_again_from_the_store() {
    let mut world = World::with(3);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    let mut camera = Camera::new(1, 1, None);
    camera.frame(&mut world, true);
    world.peers.get_mut(&2).expect("a peer").lose = |got| got.header.sequence % 5 == 0;
    frames(&mut world, &mut camera, 20);
    let seen = numbers(&world, 2);
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    let missing: Vec<u16> =
        (first..last).filter(|number| !seen.contains(number)).map(|number| SeqNo(number).wire()).collect();
    assert!(missing.len() > 8, "{missing:?}");
    world.peers.get_mut(&2).expect("a peer").lose = |_| false;
    let before = world.peer(2).got.len();
    let wanted = missing.clone();
    world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(10_002), wanted).expect("room"));
    world.run_ms(20);
    let again = &world.peer(2).got[before..];
    assert_eq!(again.len(), missing.len());
    for (got, number) in again.iter().zip(&missing) {
        assert_eq!((got.header.ssrc, got.header.payload_type.value()), (Ssrc(1_010_002), 97));
        assert_eq!(got.payload[..2], number.to_be_bytes(), "RFC 4588: its own number first");
        assert!(vp8::Descriptor::parse(&got.payload[2..]).is_some());
    }
    // What never was is not there.
    world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(10_002), [SeqNo(last + 500).wire()]).expect("room"));
    world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(99), missing).expect("room"));
    world.run_ms(20);
    assert_eq!(world.plane.counters().gone, 1);
    assert_eq!(world.peer(2).got.len(), before + again_count(&world));
}

#[test]
fn what_the_plane_misses_it_asks_for_and_fills_in() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    let mut camera = Camera::new(1, 1, None);
    camera.frame(&mut world, true);
    world.run_ms(30);
    // Two packets are lost on the way in.
    let lost = [camera.sequence, camera.sequence + 1];
    camera.sequence += 2;
    camera.frame(&mut world, false);
    world.run_ms(40);
    let asked: Vec<u16> = world
        .peer(1)
        .control
        .iter()
        .flat_map(|compound| rtcp::Packets::new(compound))
        .filter_map(|packet| {
            if let Ok(rtcp::Packet::Nack(nack)) = packet { Some(nack.sequences().collect::<Vec<_>>()) } else { None }
        })
        .flatten()
        .collect();
    assert_eq!(asked[..2], lost);
    // The publisher sends them again, in a stream that nobody has named before.
    for (i, number) in lost.into_iter().enumerate() {
        let mut payload = number.to_be_bytes().to_vec();
        payload.extend([0x90, 0xe0, 0x81, 0x2e, 11, 0x20, 1, 7, 7, 7]);
        let header = Header {
            marker: false,
            payload_type: PayloadType::from_wire(97),
            sequence: 1 + u16::try_from(i).expect("small"),
            timestamp: Timestamp(53_000),
            ssrc: Ssrc(555),
        };
        world.send(1, header, &[(4, b"1")], &payload);
    }
    world.run_ms(500);
    let mut seen = numbers(&world, 2);
    assert_eq!(seen.len(), 8);
    seen.sort_unstable();
    assert!(is_gapless(&seen), "the places were kept: {seen:?}");
    assert_eq!(world.peer(1).heard("NACK"), 1, "it is content");
}

#[test]
fn publishers_are_told_what_has_come_and_when() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    let mut camera = Camera::new(1, 1, None);
    frames(&mut world, &mut camera, 70);
    let reports: Vec<_> = world
        .peer(1)
        .control
        .iter()
        .flat_map(|compound| rtcp::Packets::new(compound))
        .map(|packet| packet.expect("well made"))
        .collect();
    let blocks: Vec<_> = reports
        .iter()
        .filter_map(
            |packet| if let rtcp::Packet::ReceiverReport(report) = packet { report.blocks().next() } else { None },
        )
        .collect();
    assert!((2..=3).contains(&blocks.len()), "{}", blocks.len());
    assert!(blocks.iter().all(|block| block.ssrc == camera.ssrc.0 && block.fraction_lost == 0));
    let arrived = reports.iter().filter_map(|packet| {
        if let rtcp::Packet::TransportFeedback(feedback) = packet { Some(feedback) } else { None }
    });
    let arrived: usize = arrived
        .map(|feedback| feedback.iter().filter(|status| matches!(status, rtcp::Status::Received { .. })).count())
        .sum();
    assert!(arrived >= 200, "{arrived} of 210");
}

#[test]
fn the_publishers_clock_is_the_subscribers_clock() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &["q", "f"]);
    world.subscribe(2, 1, VP8, top(0));
    let mut cameras = ["q", "f"].map(|rid| Camera::new(1, 1, Some(rid)));
    cameras[1].timestamp = 9_000_000;
    for round in 0..30 {
        cameras.iter_mut().for_each(|camera| camera.frame(&mut world, round == 0));
        world.run_ms(33);
    }
    world.want(2, 1, top(1));
    cameras[1].frame(&mut world, true);
    world.run_ms(5);
    let newest = world.peer(2).got.last().expect("a packet").header.timestamp;
    let info = SenderInfo { ntp: 0x1111_2222_3333_4444, rtp: Timestamp(cameras[1].timestamp), packets: 1, octets: 1 };
    let (small, large) = (cameras[0].ssrc, cameras[1].ssrc);
    world.control(1, |writer| writer.sender_report(small, &info, &[]).expect("room"));
    world.control(1, |writer| writer.sender_report(large, &info, &[]).expect("room"));
    world.run_ms(5);
    let told: Vec<_> = world
        .peer(2)
        .control
        .iter()
        .flat_map(|compound| rtcp::Packets::new(compound))
        .filter_map(|packet| {
            if let Ok(rtcp::Packet::SenderReport(report)) = packet { Some((report.sender, report.info)) } else { None }
        })
        .collect();
    // The one of the stream that is passed on; the picture after the newest one is 3000 ticks later.
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0, told[0].1.ntp, told[0].1.rtp), (Ssrc(10_002), info.ntp, newest.plus(3_000)));
    assert_eq!(told[0].1.packets, 93);
}

#[test]
fn sound_goes_on_from_its_first_packet() {
    let mut world = World::with(2);
    world.publish(1, 1, OPUS, &[]);
    world.subscribe(2, 1, OPUS, top(0));
    for i in 0..50_u16 {
        let header = Header {
            marker: i == 0,
            payload_type: PayloadType::from_wire(111),
            sequence: i,
            timestamp: Timestamp(960 * u32::from(i)),
            ssrc: Ssrc(77),
        };
        world.send(1, header, &[], &[0xfc, 1, 2, 3]);
        world.run_ms(20);
    }
    assert_eq!(world.peer(2).got.len(), 50);
    assert!(is_gapless(&numbers(&world, 2)));
    assert_eq!(world.peer(2).got.iter().filter(|got| got.header.marker).count(), 1);
    assert_eq!(world.peer(1).heard("PLI"), 0);
}

#[test]
fn a_silent_room_costs_nothing_but_what_keeps_paths_alive() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, None);
    let mut camera = Camera::new(1, 1, None);
    frames(&mut world, &mut camera, 10);
    world.run_ms(3_000);
    let before = (world.peer(1).control.len(), world.peer(2).control.len());
    world.run_ms(20_000);
    assert_eq!(before.1, world.peer(2).control.len());
    assert!(world.peer(1).control.len() - before.0 <= 21, "reports go on for who has published");
}

#[test]
fn whoever_leaves_takes_its_tracks_along_and_nothing_is_left() {
    let mut world = World::with(3);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    world.subscribe(3, 1, VP8, top(0));
    assert_eq!(world.plane.census(), (3, 1, 2));
    world.remove(2);
    assert_eq!(world.plane.census(), (2, 1, 1));
    world.remove(1);
    assert_eq!(world.plane.census(), (1, 0, 0));
    world.tell_in_vain(Command::Unpublish { track: TrackId(1) });
    world.tell_in_vain(Command::Show { endpoint: EndpointId(3), slot: SlotId(1), track: Some(TrackId(1)) });
    world.tell_in_vain(Command::CloseSlot { endpoint: EndpointId(2), slot: SlotId(1) });
    world.remove(3);
    assert_eq!((world.plane.census(), world.plane.poll_timeout()), ((0, 0, 0), None));
}

#[test]
fn a_group_is_told_who_speaks() {
    let mut world = World::with(3);
    world.ids.set(ext::Kind::AudioLevel, 7);
    for peer in 1..=3 {
        let endpoint = EndpointId(peer);
        world.tell(Command::Extensions { endpoint, ids: world.ids });
        world.tell(Command::Join { endpoint, group: GroupId(5), member: u32::try_from(peer).expect("small") });
        world.publish(peer, peer, OPUS, &[]);
    }
    let talk = |world: &mut World, loud: u64, from: u16| {
        for i in from..from + 100 {
            for peer in 1..=3_u64 {
                let header = Header {
                    marker: false,
                    payload_type: PayloadType::from_wire(111),
                    sequence: i,
                    timestamp: Timestamp(960 * u32::from(i)),
                    ssrc: Ssrc(u32::try_from(peer).expect("small")),
                };
                let level = if peer == loud { [0x80 | 20] } else { [90] };
                let mid = peer.to_string();
                world.send(peer, header, &[(4, mid.as_bytes()), (7, &level)], &[0xfc, 1, 2, 3]);
            }
            world.run_ms(20);
        }
    };
    let spoke = |world: &World| -> Vec<Vec<u64>> {
        let told = world.events.iter().filter_map(|event| {
            if let Event::Speaking { group: GroupId(5), recent } = event { Some(recent) } else { None }
        });
        told.map(|recent| recent.iter().map(|track| track.0).collect()).collect()
    };
    talk(&mut world, 2, 0);
    assert_eq!(spoke(&world), [[2]]);
    talk(&mut world, 3, 100);
    assert_eq!(spoke(&world).last(), Some(&vec![3, 2]));
    // Whoever is muted or has gone is not heard.
    world.tell(Command::Mute { track: TrackId(1), muted: true });
    talk(&mut world, 1, 200);
    world.remove(3);
    world.deliver();
    assert_eq!(spoke(&world).last(), Some(&vec![2]));
}

#[test]
fn extensions_that_tell_of_the_media_go_along_under_the_subscribers_numbers() {
    let mut world = World::with(3);
    let mut theirs = world.ids;
    world.ids.set(ext::Kind::AbsCaptureTime, 5);
    world.ids.set(ext::Kind::PlayoutDelay, 6);
    world.ids.set(ext::Kind::AudioLevel, 7);
    // One has agreed on some, under other numbers; the other on none.
    theirs.set(ext::Kind::AbsCaptureTime, 9);
    theirs.set(ext::Kind::AudioLevel, 2);
    world.tell(Command::Extensions { endpoint: EndpointId(1), ids: world.ids });
    world.tell(Command::Extensions { endpoint: EndpointId(2), ids: theirs });
    world.publish(1, 1, OPUS, &[]);
    world.subscribe(2, 1, OPUS, top(0));
    world.subscribe(3, 1, OPUS, top(0));
    let header = Header {
        marker: false,
        payload_type: PayloadType::from_wire(111),
        sequence: 1,
        timestamp: Timestamp(0),
        ssrc: Ssrc(77),
    };
    let (time, delay, level) = ([1, 2, 3, 4, 5, 6, 7, 8], [0, 0x10, 0x02], [0x80 | 30]);
    // What it says is encrypted end to end: nobody looks.
    world.send(1, header, &[(4, b"1"), (5, &time), (6, &delay), (7, &level)], &[0xee; 60]);
    world.deliver();
    let others = |peer| -> Vec<(u8, Vec<u8>)> {
        let got: &Got = world.peer(peer).got.last().expect("a packet");
        assert_eq!(got.payload, [0xee; 60]);
        got.extensions.iter().filter(|(id, _)| *id != 3).cloned().collect()
    };
    assert_eq!(others(2), [(2, level.to_vec()), (9, time.to_vec())]);
    assert_eq!(others(3), []);
}

#[test]
fn packets_that_are_forged_replayed_or_nobodys_are_refused_and_counted() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    let path = |text| Path { protocol: Protocol::Udp, local: at(SERVER), remote: at(text) };
    let mut junk = vec![0x80; 100];
    world.plane.handle_datagram(world.now, path("10.9.9.9:1"), &mut junk, &mut world.out);
    assert_eq!(world.plane.counters().strangers, 1);
    let from = Path { protocol: Protocol::Udp, local: at(SERVER), remote: world.peer(1).address };
    let mut forged = vec![0x80; 100];
    world.plane.handle_datagram(world.now, from, &mut forged, &mut world.out);
    assert_eq!(world.plane.counters().refused, 1);
    // Authentic, but of no m-line that was agreed on.
    let header = Header {
        marker: true,
        payload_type: PayloadType::from_wire(35),
        sequence: 1,
        timestamp: Timestamp(0),
        ssrc: Ssrc(4_242),
    };
    world.send(1, header, &[(4, b"nowhere")], &[1, 2, 3]);
    world.deliver();
    assert_eq!((world.plane.counters().refused, world.plane.counters().received), (2, 0));
}
