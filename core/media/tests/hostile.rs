//! Peers that lie, leave, lose and flood: each is bounded, and the others notice nothing.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use std::time::Duration;

use tandem_media::{Command, EndpointId, Event, SlotId};
use tandem_rtp::header::Header;
use tandem_rtp::rtcp::ReportBlock;
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use tandem_webrtc::{Path, Protocol};
use world::*;

/// Three who watch one camera; the second of them is up to something.
fn house() -> (World, Camera) {
    let mut world = World::with(4);
    world.publish(1, 1, VP8, &[]);
    for peer in 2..=4 {
        world.subscribe(peer, 1, VP8, top(0));
    }
    let mut camera = Camera::new(1, 1, None);
    camera.frame(&mut world, true);
    (world, camera)
}

fn frames(world: &mut World, camera: &mut Camera, count: usize) {
    for _ in 0..count {
        camera.frame(world, false);
        world.run_ms(30);
    }
}

/// All of them, in order, each once.
fn is_whole(world: &World, peer: u64, packets: usize) -> bool {
    let got = &world.peer(peer).got;
    let steps = got.windows(2).map(|pair| pair[1].header.sequence.wrapping_sub(pair[0].header.sequence));
    got.len() == packets && steps.into_iter().all(|step| step == 1)
}

fn from(world: &World, peer: u64) -> Path {
    Path { protocol: Protocol::Udp, local: at(SERVER), remote: world.peer(peer).address }
}

#[test]
fn a_publisher_that_leaves_in_the_middle_of_a_keyframe_leaves_nothing_behind() {
    let (mut world, mut camera) = house();
    frames(&mut world, &mut camera, 3);
    camera.frame(&mut world, true);
    let wire = world.take_wire();
    // The first packet of three arrives.
    let (path, mut datagram) = wire[0].clone();
    world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out);
    world.remove(1);
    world.run_ms(500);
    assert_eq!(world.plane.census(), (3, 0, 0));
    let layers: Vec<_> =
        world.events.iter().filter(|event| matches!(event, Event::Layer { layer: None, .. })).collect();
    assert_eq!(layers.len(), 3, "each subscriber's side is told that nothing comes");
    // The slots go on with somebody else.
    world.publish(2, 2, VP8, &[]);
    world.show(3, 1, Some(2));
    let before = world.peer(3).got.len();
    let mut other = Camera::new(2, 2, None);
    other.frame(&mut world, true);
    frames(&mut world, &mut other, 3);
    assert!(is_whole(&world, 3, before + 12));
}

#[test]
fn who_loses_a_third_of_everything_gets_it_again_and_the_others_notice_nothing() {
    let (mut world, mut camera) = house();
    world.run_ms(30);
    world.peers.get_mut(&2).expect("a peer").lose =
        |got| got.header.ssrc == Ssrc(10_002) && got.header.sequence % 10 < 3;
    let first = world.peer(2).got[0].header.sequence;
    let mut asked = first;
    for _ in 0..60 {
        camera.frame(&mut world, false);
        world.run_ms(30);
        let newest =
            world.peer(2).got.iter().filter(|got| got.header.ssrc == Ssrc(10_002)).map(|got| got.header.sequence).max();
        let missing: Vec<u16> = (asked..newest.unwrap_or(asked)).filter(|number| number % 10 < 3).collect();
        asked = newest.unwrap_or(asked);
        if !missing.is_empty() {
            world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(10_002), missing).expect("room"));
        }
    }
    world.run_ms(500);
    let got = &world.peer(2).got;
    let mut all: Vec<u16> = got
        .iter()
        .map(|got| match got.header.ssrc {
            Ssrc(10_002) => got.header.sequence,
            _ => u16::from_be_bytes([got.payload[0], got.payload[1]]),
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    let missing = usize::from(all[all.len() - 1] - all[0]) + 1 - all.len();
    assert_eq!(missing, 0, "of {}", all.len());
    assert!(is_whole(&world, 3, 183) && is_whole(&world, 4, 183));
}

#[test]
fn lies_about_what_was_received_are_bounded_and_touch_nobody_else() {
    let (mut world, mut camera) = house();
    frames(&mut world, &mut camera, 10);
    let keyframes = world.plane.counters().keyframes;
    for round in 0..200_u32 {
        // Everything lost; clocks that cannot be; of streams that are not its own.
        let block = |ssrc| ReportBlock {
            ssrc,
            fraction_lost: 255,
            cumulative_lost: -1,
            highest: round,
            jitter: u32::MAX,
            last_sender_report: round,
            delay: u32::MAX,
        };
        let blocks: Vec<_> = [10_002, 10_003, 10_004, 0].map(block).to_vec();
        world.control(2, |writer| writer.receiver_report(Ssrc(7), &blocks).expect("room"));
        // Thousands that never were, and those of others.
        let numbers = (0..300_u16).map(|number| number.wrapping_mul(97));
        world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(10_002), numbers.clone()).expect("room"));
        world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(10_003), 0..256).expect("room"));
        world.control(2, |writer| writer.pli(Ssrc(7), Ssrc(10_002)).expect("room"));
        world.control(2, |writer| writer.fir(Ssrc(7), &[(Ssrc(10_003), 1), (Ssrc(10_002), 1)]).expect("room"));
        world.control(2, |writer| writer.remb(Ssrc(7), u64::MAX, &[Ssrc(10_003)]).expect("room"));
        // Feedback on packets that were never sent, at times that jump.
        let [.., r0, r1] = round.wrapping_mul(40_503).to_be_bytes();
        let feedback =
            [0xaf, 205, 0, 5, 0, 0, 0, 7, 0, 0, 0, 9, r0, r1, 0xff, 0xff, r1, r0, 0, 1, 0x3f, 0xff, 0x3f, 0xff];
        world.control_bytes(2, &feedback);
        world.deliver();
    }
    let asked = world.plane.counters().keyframes - keyframes;
    assert!(asked <= 1, "the publisher was asked {asked} times at one moment");
    frames(&mut world, &mut camera, 30);
    assert!(
        is_whole(&world, 3, 123) && is_whole(&world, 4, 123),
        "{} {}",
        world.peer(3).got.len(),
        world.peer(4).got.len()
    );
}

#[test]
fn numbers_and_times_that_wrap_are_passed_on_as_if_they_did_not() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    let mut camera =
        Camera { sequence: 65_000, timestamp: u32::MAX - 90_000, picture: 0x7ff0, tl0: 250, ..Camera::new(1, 1, None) };
    camera.frame(&mut world, true);
    frames(&mut world, &mut camera, 600);
    assert!(is_whole(&world, 2, 1_803));
    let times = world.peer(2).got.chunks(3).map(|frame| frame[0].header.timestamp).collect::<Vec<_>>();
    assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) == 3_000));
    assert_eq!(world.plane.counters().refused, 0);
}

#[test]
fn two_publishers_under_one_ssrc_are_two() {
    let mut world = World::with(3);
    for peer in 1..=2 {
        world.publish(peer, peer, OPUS, &[]);
        world.subscribe(3, peer, OPUS, top(0));
    }
    for i in 0..50_u16 {
        for peer in 1..=2_u64 {
            let header = Header {
                marker: false,
                payload_type: PayloadType::from_wire(111),
                sequence: i,
                timestamp: Timestamp(960 * u32::from(i)),
                ssrc: Ssrc(4_242),
            };
            world.send(peer, header, &[(4, peer.to_string().as_bytes())], &[0xfc, u8::try_from(peer).expect("small")]);
        }
        world.run_ms(20);
    }
    for (ssrc, payload) in [(10_003, 1), (20_003, 2)] {
        let got: Vec<_> = world.peer(3).got.iter().filter(|got| got.header.ssrc == Ssrc(ssrc)).collect();
        assert!(got.len() == 50 && got.iter().all(|got| got.payload == [0xfc, payload]));
    }
}

#[test]
fn a_peer_that_never_finishes_dtls_gets_no_media_and_goes() {
    let (mut world, mut camera) = house();
    // It answers checks, and nothing else: what it gets of DTLS is lost.
    world.join(9);
    let its = world.peers.get_mut(&9).expect("a peer");
    its.deaf = true;
    world.run_ms(200);
    world.open(9, 1, VP8);
    world.show(9, 1, Some(1));
    frames(&mut world, &mut camera, 30);
    let sent_to_it = world.out.marks.len();
    world.run_ms(60_000);
    assert!(world.out.marks.len() - sent_to_it < 4_000, "{}", world.out.marks.len() - sent_to_it);
    assert!(world.peer(9).got.is_empty());
    assert!(is_whole(&world, 3, 93));
    world.remove(9);
    assert_eq!(world.plane.census().0, 4);
}

#[test]
fn ten_thousand_checks_from_everywhere_are_strangers() {
    let (mut world, mut camera) = house();
    // A binding request, well made but for its password, in the name of the second peer and of nobody.
    let check = |user: &str, n: u32| {
        let mut username = user.as_bytes().to_vec();
        let length = u16::try_from(username.len()).expect("short");
        username.resize(username.len().next_multiple_of(4), 0);
        let body = 4 + username.len() + 24;
        let mut check = vec![0, 1];
        check.extend(u16::try_from(body).expect("short").to_be_bytes());
        check.extend([0x21, 0x12, 0xa4, 0x42]);
        check.extend([0; 8]);
        check.extend(n.to_be_bytes());
        check.extend([0, 6]);
        check.extend(length.to_be_bytes());
        check.extend(username);
        check.extend([0, 8, 0, 20]);
        check.extend([7; 20]);
        check
    };
    let ours = world.peer(2).credentials.ufrag.clone();
    let out = world.out.datagrams.len();
    for n in 0..10_000_u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let remote = std::net::SocketAddr::new([100 + a, b, c, d].into(), 1_024 + u16::from(d));
        let path = Path { protocol: Protocol::Udp, local: at(SERVER), remote };
        let user = if n % 2 == 0 { format!("nobody:{ours}") } else { format!("{ours}:{ours}") };
        let mut datagram = check(&user, n);
        world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out);
    }
    assert!(world.out.datagrams.len() - out <= 10_000, "no more than one answer each");
    assert!(world.plane.counters().strangers >= 5_000);
    frames(&mut world, &mut camera, 10);
    assert!(is_whole(&world, 2, 33) && is_whole(&world, 3, 33));
}

#[test]
fn five_hundred_who_watch_one_are_served_each_and_asked_for_once() {
    let mut world = World::new();
    (1..=501).for_each(|id| world.join(id));
    world.run_ms(300);
    assert!(world.peers.values().all(|peer| peer.connected));
    world.publish(1, 1, VP8, &[]);
    for peer in 2..=501 {
        world.open(peer, 1, VP8);
        let show = Command::Show { endpoint: EndpointId(peer), slot: SlotId(1), track: Some(tandem_media::TrackId(1)) };
        world.tell(show);
    }
    let mut camera = Camera::new(1, 1, None);
    world.run_ms(10);
    camera.frame(&mut world, false);
    world.run_ms(10);
    assert_eq!(world.peer(1).heard("PLI"), 1, "once for all");
    camera.frame(&mut world, true);
    for _ in 0..5 {
        camera.frame(&mut world, false);
        world.run_ms(30);
    }
    assert!((2..=501).all(|peer| is_whole(&world, peer, 18)));
    world.remove(1);
    assert_eq!(world.plane.census(), (500, 0, 0));
}

#[test]
fn a_flood_of_streams_that_nobody_has_agreed_on_takes_no_memory() {
    let (mut world, mut camera) = house();
    for n in 0..400_u32 {
        let header = Header {
            marker: false,
            payload_type: PayloadType::from_wire(96),
            sequence: 1,
            timestamp: Timestamp(0),
            ssrc: Ssrc(1_000_000 + n),
        };
        world.send(1, header, &[(4, b"nowhere")], &[0x90, 0, 0]);
        world.deliver();
    }
    assert!(world.plane.counters().refused > 390);
    frames(&mut world, &mut camera, 10);
    assert!(is_whole(&world, 3, 33));
    // And from its own address what is not its own at all.
    let path = from(&world, 1);
    for length in 0..200 {
        let mut junk = vec![0x90; length];
        world.plane.handle_datagram(world.now, path, &mut junk, &mut world.out);
    }
    world.now += Duration::from_millis(1);
    frames(&mut world, &mut camera, 5);
    assert!(is_whole(&world, 3, 48));
}
