//! Subscribers behind narrow links: what they get, and what others notice.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_media::{Command, EndpointId, Event, Layer, SlotId, TrackId, Want};
use tandem_rtp::header::Header;
use tandem_rtp::rtcp::{self, Recorder};
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use world::*;

/// A camera in three sizes, and a microphone.
struct Publisher {
    cameras: [Camera; 3],
    asked: BTreeMap<Ssrc, usize>,
    sound: u16,
    /// Only so many of its sizes are sent.
    sizes: usize,
}

impl Publisher {
    fn new(world: &mut World) -> Self {
        world.publish(1, 1, VP8, &["q", "h", "f"]);
        world.publish(1, 2, OPUS, &[]);
        let mut cameras = ["q", "h", "f"].map(|rid| Camera::new(1, 1, Some(rid)));
        // 120, 400 and 1,400 kb/s.
        for (camera, (packets, size)) in cameras.iter_mut().zip([(1, 450), (2, 760), (6, 900)]) {
            (camera.packets, camera.size) = (packets, size);
        }
        Self { cameras, asked: BTreeMap::new(), sound: 0, sizes: 3 }
    }

    /// Thirty pictures and fifty packets of sound a second.
    fn run(&mut self, world: &mut World, seconds: u64) {
        for ms in (0..seconds * 1_000).step_by(10) {
            if ms % 20 == 0 {
                self.sound = self.sound.wrapping_add(1);
                say(world, (77, 2), self.sound);
            }
            if ms % 30 == 0 {
                for camera in self.cameras.iter_mut().take(self.sizes) {
                    let asked = plis(world, camera.ssrc);
                    let is_key = self.asked.insert(camera.ssrc, asked).unwrap_or(0) < asked;
                    camera.frame(world, is_key);
                }
            }
            world.run_ms(10);
            // What is read is forgotten, or it would be read again and again.
        }
    }
}

/// A packet of sound, in an m-line of less than ten.
fn say(world: &mut World, (ssrc, mid): (u32, u8), sequence: u16) {
    let (timestamp, payload_type) = (Timestamp(960 * u32::from(sequence)), PayloadType::from_wire(111));
    let header = Header { marker: false, payload_type, sequence, timestamp, ssrc: Ssrc(ssrc) };
    world.send(1, header, &[(4, &[b'0' + mid])], &[0xfc; 80]);
}

fn plis(world: &World, ssrc: Ssrc) -> usize {
    let packets = world.peer(1).control.iter().flat_map(|compound| rtcp::Packets::new(compound));
    packets.filter(|packet| matches!(packet, Ok(rtcp::Packet::Pli { media, .. }) if *media == ssrc)).count()
}

fn watch(world: &mut World, peer: u64, kbps: u64) {
    let it = world.peers.get_mut(&peer).expect("a peer");
    (it.link, it.recorder) = (Some(Link::of(kbps)), Some(Recorder::new()));
    world.open(peer, 1, VP8);
    world.open(peer, 2, OPUS);
    let want = Want { height: 720, priority: 0, most: None };
    world.tell(Command::Want { endpoint: EndpointId(peer), slot: SlotId(1), want });
    world.show(peer, 1, Some(1));
    world.show(peer, 2, Some(2));
}

/// What a peer gets at the moment, as it was told.
fn stream(world: &World, peer: u64) -> Option<u8> {
    let told = world.events.iter().rev().find_map(|event| match event {
        Event::Layer { endpoint, slot: SlotId(1), layer } if endpoint.0 == peer => Some(*layer),
        _ => None,
    });
    told.flatten().map(|layer: Layer| layer.stream)
}

fn sound(world: &World, peer: u64) -> usize {
    world.peer(peer).got.iter().filter(|got| got.header.payload_type.value() == 111).count()
}

#[test]
fn everybody_gets_what_its_link_carries_and_sound_never_breaks() {
    let mut world = World::with(3);
    let mut publisher = Publisher::new(&mut world);
    watch(&mut world, 2, 800);
    watch(&mut world, 3, 10_000);
    publisher.run(&mut world, 12);
    assert_eq!((stream(&world, 2), stream(&world, 3)), (Some(1), Some(2)));
    let dropped = |world: &World, peer: u64| world.peer(peer).link.as_ref().map_or(0, |link| link.dropped);
    // The link becomes far too narrow for any picture.
    let before = sound(&world, 2);
    world.peers.get_mut(&2).expect("a peer").link.as_mut().expect("one").kbps = 100;
    publisher.run(&mut world, 8);
    assert_eq!(stream(&world, 2), None, "no picture fits");
    let heard = sound(&world, 2) - before;
    assert!(heard > 320, "{heard} of 400, while it was found out");
    let before = sound(&world, 2);
    publisher.run(&mut world, 10);
    let heard = sound(&world, 2) - before;
    assert!(heard > 495, "and then all of it: {heard} of 500");
    assert_eq!(stream(&world, 3), Some(2), "others notice nothing");
    assert_eq!(dropped(&world, 3), 0);
    // And wide again.
    world.peers.get_mut(&2).expect("a peer").link.as_mut().expect("one").kbps = 5_000;
    publisher.run(&mut world, 30);
    assert_eq!(stream(&world, 2), Some(2));
    assert_eq!(world.plane.counters().late, 0, "nothing waited for too long");
}

#[test]
fn publishers_are_told_what_nobody_watches() {
    let mut world = World::with(3);
    let mut publisher = Publisher::new(&mut world);
    let told = |world: &World| -> Vec<u8> {
        let told = world.events.iter().filter_map(|event| match event {
            Event::Watched { track: TrackId(1), streams } => Some(*streams),
            _ => None,
        });
        told.collect()
    };
    publisher.run(&mut world, 3);
    assert_eq!(told(&world), [0], "nobody");
    publisher.sizes = 0;
    publisher.run(&mut world, 4);
    watch(&mut world, 2, 20_000);
    // It begins with the smallest that was asked for, and sends what it is told to.
    let first = *told(&world).last().expect("asked for at once");
    assert!(first > 0);
    publisher.sizes = usize::from(first);
    for _ in 0..8 {
        publisher.run(&mut world, 1);
        publisher.sizes = usize::from(*told(&world).last().expect("told"));
    }
    assert_eq!((publisher.sizes, stream(&world, 2)), (3, Some(2)));
    // Small on the screen: less is enough, after a while.
    let want = Want { height: 150, priority: 0, most: None };
    world.tell(Command::Want { endpoint: EndpointId(2), slot: SlotId(1), want });
    publisher.run(&mut world, 1);
    assert_eq!(stream(&world, 2), Some(0));
    assert_eq!(told(&world).last(), Some(&3));
    publisher.run(&mut world, 2);
    assert_eq!(told(&world).last(), Some(&1));
}

#[test]
fn a_picture_of_one_size_that_is_more_than_the_first_guess_is_found_to_fit() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    let mut camera = Camera::new(1, 1, None);
    (camera.packets, camera.size) = (4, 910);
    watch_pictures(&mut world, 2, 20_000);
    let (mut asked, mut shown) = (0, 0);
    for _ in 0..300 {
        let now = plis(&world, camera.ssrc);
        camera.frame(&mut world, std::mem::replace(&mut asked, now) < now);
        world.run_ms(33);
        shown += u32::from(stream(&world, 2).is_some());
    }
    assert!(shown > 285, "{shown} of 300");
}

fn watch_pictures(world: &mut World, peer: u64, kbps: u64) {
    let it = world.peers.get_mut(&peer).expect("a peer");
    (it.link, it.recorder) = (Some(Link::of(kbps)), Some(Recorder::new()));
    world.open(peer, 1, VP8);
    world.show(peer, 1, Some(1));
}

#[test]
fn a_first_picture_that_comes_late_is_not_held_against_its_way() {
    let mut world = World::with(2);
    world.publish(1, 1, VP8, &[]);
    watch_pictures(&mut world, 2, 20_000);
    let mut camera = Camera::new(1, 1, None);
    (camera.packets, camera.size) = (3, 1_150);
    // Keyframes come every two seconds, whatever is asked for; the first one was too early.
    camera.frame(&mut world, true);
    let before = world.peer(2).got.len();
    for step in 1..500 {
        camera.frame(&mut world, step % 100 == 0);
        world.run_ms(20);
    }
    let got = world.peer(2).got.len() - before;
    assert!(got >= 400 * 3, "{got}");
}

#[test]
fn whoever_is_busy_for_moments_keeps_the_pictures_that_its_way_carries() {
    let mut world = World::with(2);
    let mut cameras: Vec<Camera> = (1..=8).map(|track| Camera::new(1, track, None)).collect();
    let link = Link::of(20_000).busy_for(Duration::from_millis(300));
    let it = world.peers.get_mut(&2).expect("a peer");
    (it.link, it.recorder) = (Some(link), Some(Recorder::new()));
    for (track, camera) in (1..).zip(&mut cameras) {
        // Two pictures a second, 26 kb/s.
        (camera.packets, camera.size) = (2, 800);
        world.publish(1, track, VP8, &[]);
        world.open(2, track, VP8);
        let want = Want { height: 180, priority: 0, most: None };
        world.tell(Command::Want { endpoint: EndpointId(2), slot: number(track), want });
        world.show(2, track, Some(track));
    }
    world.publish(1, 9, OPUS, &[]);
    world.open(2, 9, OPUS);
    world.show(2, 9, Some(9));
    let mut asked: BTreeMap<Ssrc, usize> = BTreeMap::new();
    for tick in 0..3_000 {
        if tick % 2 == 0 {
            say(&mut world, (77, 9), u16::try_from(tick / 2).expect("small"));
        }
        if let Some(camera) = cameras.get_mut(tick % 50) {
            let now = plis(&world, camera.ssrc);
            camera.frame(&mut world, asked.insert(camera.ssrc, now).unwrap_or(0) < now);
        }
        world.run_ms(10);
    }
    let paused = |event: &&Event| matches!(event, Event::Layer { endpoint: EndpointId(2), layer: None, .. });
    assert_eq!(world.events.iter().filter(paused).count(), 0);
    let shown: BTreeSet<Ssrc> = world.peer(2).got.iter().map(|got| got.header.ssrc).collect();
    assert_eq!(shown.len(), 9);
}
