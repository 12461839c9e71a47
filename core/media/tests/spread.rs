//! One room over several planes: who gets what of whom, what crosses for that, and what does not.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use tandem_media::allocate::Kind;
use tandem_media::{
    Command, Crossing, EndpointId, Event, GroupId, Layer, Payload, Publication, Shard, SlotId, StreamSpec, TrackId,
};
use tandem_rtp::ext;
use tandem_rtp::header::Header;
use tandem_rtp::rtcp::{Recorder, SenderInfo};
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use world::*;

/// Planes, each with its own peers, and the way between them.
struct House {
    planes: Vec<World>,
    /// What is lost between them.
    loses: Box<dyn FnMut(&Crossing) -> bool>,
    /// What has crossed: from where, to where.
    crossed: Vec<(usize, usize, Crossing)>,
}

impl House {
    /// With these peers at each plane; all have joined one group, and have its lanes.
    fn of(peers: &[&[u64]]) -> Self {
        let mut planes: Vec<World> = peers.iter().map(|_| World::new()).collect();
        let now = planes[0].now;
        for (world, peers) in planes.iter_mut().zip(peers) {
            world.now = now;
            world.ids.set(ext::Kind::AudioLevel, 7);
            peers.iter().for_each(|peer| world.join(*peer));
        }
        let mut house = Self { planes, loses: Box::new(|_| false), crossed: Vec::new() };
        house.run_ms(1_000);
        for (world, peers) in house.planes.iter_mut().zip(peers) {
            for peer in *peers {
                assert!(world.peer(*peer).connected);
                world.join_group(*peer, 1);
                world.open_channel(*peer, "reliable");
                world.open_channel(*peer, "lossy");
            }
        }
        house.spread();
        house.run_ms(200);
        house
    }

    /// All planes know of each other; the first one hears.
    fn spread(&mut self) {
        let count = self.planes.len();
        for (at, world) in self.planes.iter_mut().enumerate() {
            let others = (0..count).filter(|other| *other != at).map(Shard).collect();
            let ear = (at != 0).then_some(Shard(0));
            world.tell(Command::Spread { group: GroupId(1), others, ear });
        }
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(5) {
            self.planes.iter_mut().for_each(|world| world.run_ms(5));
            self.exchange();
        }
    }

    fn exchange(&mut self) {
        for round in 0.. {
            assert!(round < 100, "planes never fall silent");
            let mut crossing = Vec::new();
            for (from, world) in self.planes.iter_mut().enumerate() {
                let told = std::iter::from_fn(|| world.plane.poll_crossing());
                crossing.extend(told.map(|(Shard(to), it)| (from, to, it)));
            }
            if crossing.is_empty() {
                return;
            }
            for (from, to, it) in crossing {
                if (self.loses)(&it) {
                    assert!(it.may_be_lost());
                    if let Some(missed) = it.missed() {
                        self.give(from, to, missed);
                    }
                    continue;
                }
                self.crossed.push((from, to, it.clone()));
                self.give(from, to, it);
            }
        }
    }

    fn give(&mut self, from: usize, to: usize, crossing: Crossing) {
        let Some(world) = self.planes.get_mut(to) else { return };
        world.plane.handle_crossing(world.now, Shard(from), crossing, &mut world.out);
        world.deliver();
    }

    /// A peer of a plane is shown a track of another one.
    fn show(&mut self, (at, peer): (usize, u64), (home, track): (usize, u64), publication: &Publication) {
        let payload = publication.payloads[0];
        self.planes[at].open(peer, track, payload);
        self.want((at, peer), track, top(2));
        self.show_again((at, peer), (home, track), publication);
    }

    fn show_again(&mut self, (at, peer): (usize, u64), (home, track): (usize, u64), publication: &Publication) {
        let (publication, home, id) = (publication.clone(), Shard(home), TrackId(track));
        let (endpoint, slot) = (EndpointId(peer), number(track));
        if Shard(at) != home {
            self.planes[at].tell(Command::Import { track: id, home, publication });
        }
        self.planes[at].tell(Command::Show { endpoint, slot, track: Some(id) });
        self.run_ms(ALLOCATED);
    }

    fn hide(&mut self, (at, peer): (usize, u64), track: u64) {
        self.planes[at].tell(Command::Show { endpoint: EndpointId(peer), slot: number(track), track: None });
    }

    fn want(&mut self, (at, peer): (usize, u64), track: u64, layer: Option<Layer>) {
        let (endpoint, slot) = (EndpointId(peer), number(track));
        self.planes[at].tell(Command::Want { endpoint, slot, want: wish(layer) });
    }

    /// The next pictures of cameras of peers of the first plane.
    fn frames(&mut self, cameras: &mut [Camera], count: usize) {
        for _ in 0..count {
            cameras.iter_mut().for_each(|camera| camera.frame(&mut self.planes[0], false));
            self.run_ms(30);
        }
    }

    fn key(&mut self, cameras: &mut [Camera]) {
        cameras.iter_mut().for_each(|camera| camera.frame(&mut self.planes[0], true));
        self.run_ms(30);
    }

    fn got(&self, (at, peer): (usize, u64)) -> usize {
        self.planes[at].peer(peer).got.len()
    }

    fn pictures(&self, peer: (usize, u64)) -> Vec<u16> {
        let got = self.planes[peer.0].peer(peer.1).got.iter();
        got.filter(|got| got.header.payload_type.value() == 96).map(|got| got.header.sequence).collect()
    }

    /// Packets that have crossed.
    fn carried(&self) -> u64 {
        self.planes.iter().map(|world| world.plane.counters().carried).sum()
    }

    fn ignored(&self) -> u64 {
        self.planes.iter().map(|world| world.plane.counters().ignored).sum()
    }

    fn asked(&self, peer: u64) -> usize {
        self.planes[0].peer(peer).heard("PLI")
    }

    fn watched(&self) -> Vec<u8> {
        let events = self.planes.iter().flat_map(|world| &world.events);
        events
            .filter_map(|event| if let Event::Watched { streams, .. } = event { Some(*streams) } else { None })
            .collect()
    }
}

fn publication(track: u64, payload: Payload, rids: &[&str]) -> Publication {
    let kind = if payload.codec.is_video() { Kind::Camera } else { Kind::Audio };
    let named = rids.iter().map(|rid| StreamSpec { rid: Some((*rid).to_owned()), ..StreamSpec::default() });
    let streams = if rids.is_empty() { vec![StreamSpec::default()] } else { named.collect() };
    Publication { mid: track.to_string(), kind, payloads: vec![payload], streams }
}

/// Peer 1 at the first plane has a camera (track 1) that peers of the second one are shown.
fn cinema(rids: &[&'static str], planes: &[&[u64]]) -> (House, Vec<Camera>, Publication) {
    let mut house = House::of(planes);
    house.planes[0].publish(1, 1, VP8, rids);
    let shown = publication(1, VP8, rids);
    for (at, peers) in planes.iter().enumerate().skip(1) {
        peers.iter().for_each(|peer| house.show((at, *peer), (0, 1), &shown));
    }
    let cameras = match rids {
        [] => vec![Camera::new(1, 1, None)],
        rids => rids.iter().map(|rid| Camera::new(1, 1, Some(rid))).collect(),
    };
    (house, cameras, shown)
}

fn is_gapless(numbers: &[u16]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1))
}

/// Sound of a peer, so loud.
fn speak(world: &mut World, (peer, track): (u64, u64), sequence: u16, level: u8) {
    let header = Header {
        marker: false,
        payload_type: PayloadType::from_wire(111),
        sequence,
        timestamp: Timestamp(u32::from(sequence) * 960),
        ssrc: Ssrc(u32::try_from(track).expect("small") + 900),
    };
    let mid = track.to_string();
    world.send(peer, header, &[(4, mid.as_bytes()), (7, &[level])], &[0xfc, 1, 2, 3]);
}

#[test]
fn sound_and_pictures_reach_the_other_plane_and_each_packet_crosses_once() {
    let (mut house, mut camera, _) = cinema(&[], &[&[1], &[11, 12, 13]]);
    house.planes[0].publish(1, 2, OPUS, &[]);
    house.show((1, 11), (0, 2), &publication(2, OPUS, &[]));
    house.frames(&mut camera, 2);
    assert_eq!((house.asked(1), house.got((1, 11))), (1, 0), "nothing can be seen before a keyframe: one is asked for");
    house.key(&mut camera);
    for round in 0..20 {
        speak(&mut house.planes[0], (1, 2), round, 30);
        house.frames(&mut camera, 1);
    }
    for peer in 11..=13 {
        let pictures = house.pictures((1, peer));
        assert_eq!(pictures.len(), 63);
        assert!(is_gapless(&pictures));
    }
    assert_eq!(house.got((1, 11)), 63 + 20);
    assert_eq!(house.carried(), 6 + 63 + 20, "once for three");
    assert_eq!((house.asked(1), house.ignored()), (1, 0));
    assert_eq!((house.planes[1].plane.imports(), house.planes[1].plane.census().1), (2, 0));
    let flows = house.planes[1].events.iter().any(|event| matches!(event, Event::Flows(_) | Event::Watched { .. }));
    assert!(!flows, "the home tells of its tracks");
}

#[test]
fn each_of_three_planes_gets_one_copy() {
    let (mut house, mut camera, shown) = cinema(&[], &[&[1, 2], &[11, 12], &[21]]);
    house.show((0, 2), (0, 1), &shown);
    house.key(&mut camera);
    house.frames(&mut camera, 10);
    for peer in [(0, 2), (1, 11), (1, 12), (2, 21)] {
        assert_eq!(house.pictures(peer).len(), 33, "{peer:?}");
    }
    assert_eq!(house.carried(), 66);
}

#[test]
fn what_a_subscriber_loses_its_own_plane_repeats() {
    let (mut house, mut camera, _) = cinema(&[], &[&[1], &[11, 12]]);
    house.key(&mut camera);
    house.frames(&mut camera, 10);
    let (carried, lost) = (house.carried(), house.pictures((1, 11))[7]);
    house.planes[1].control(11, |writer| writer.nack(Ssrc(7), Ssrc(10_011), [lost]).expect("room"));
    house.run_ms(50);
    let counters = house.planes[1].plane.counters();
    assert_eq!((counters.retransmitted, counters.gone, house.carried()), (1, 0, carried));
    let again = house.planes[1].peer(11).got.last().expect("it").clone();
    assert_eq!((again.header.ssrc, &again.payload[..2]), (Ssrc(1_010_011), &lost.to_be_bytes()[..]));
}

#[test]
fn what_is_lost_between_planes_is_a_gap_and_a_keyframe_is_asked_for_once() {
    let (mut house, mut camera, shown) = cinema(&[], &[&[1, 2], &[11]]);
    house.show((0, 2), (0, 1), &shown);
    house.key(&mut camera);
    house.frames(&mut camera, 10);
    let asked = house.asked(1);
    let mut left = 4;
    house.loses = Box::new(move |it| {
        left -= i32::from(it.bytes() > 100);
        it.bytes() > 100 && left >= 0
    });
    house.frames(&mut camera, 5);
    assert_eq!(house.asked(1), asked + 1);
    house.key(&mut camera);
    house.frames(&mut camera, 40);
    assert_eq!(house.asked(1), asked + 1, "it has come");
    assert_eq!((house.got((0, 2)), house.got((1, 11))), (57 * 3, 57 * 3 - 4), "those at home have lost nothing");
}

#[test]
fn the_publishers_loss_is_repaired_for_all() {
    let (mut house, mut camera, _) = cinema(&[], &[&[1], &[11]]);
    house.key(&mut camera);
    house.frames(&mut camera, 3);
    // A packet is overtaken by those after it.
    camera[0].frame(&mut house.planes[0], false);
    let mut wire = house.planes[0].take_wire();
    let late = wire.remove(1);
    for (path, mut bytes) in wire.into_iter().chain([late]) {
        let world = &mut house.planes[0];
        world.plane.handle_datagram(world.now, path, &mut bytes, &mut world.out);
    }
    house.run_ms(30);
    house.frames(&mut camera, 3);
    let mut pictures = house.pictures((1, 11));
    assert_eq!((pictures.len(), is_gapless(&pictures)), (24, false));
    pictures.sort_unstable();
    assert!(is_gapless(&pictures));
}

#[test]
fn layers_cross_as_far_as_somebody_wants_them_and_the_publisher_hears_of_the_most() {
    let (mut house, mut cameras, shown) = cinema(&["q", "h", "f"], &[&[1, 2], &[11]]);
    house.want((1, 11), 1, top(0));
    house.run_ms(5_000);
    house.key(&mut cameras);
    let before = house.carried();
    house.frames(&mut cameras, 20);
    assert_eq!(house.carried() - before, 60, "one of three");
    assert_eq!(house.watched().last(), Some(&1));
    // Somebody at home wants the middle one: nothing more crosses.
    house.show((0, 2), (0, 1), &shown);
    house.want((0, 2), 1, top(1));
    house.frames(&mut cameras, 100);
    let before = house.carried();
    house.frames(&mut cameras, 20);
    assert_eq!((house.watched().last(), house.carried() - before), (Some(&2), 60));
    // And over there the largest, once the way is known to take it.
    house.planes[1].peers.get_mut(&11).expect(PEERS_ARE).recorder = Some(Recorder::new());
    house.want((1, 11), 1, top(2));
    house.frames(&mut cameras, 150);
    house.key(&mut cameras);
    let (carried, got) = (house.carried(), house.got((1, 11)));
    house.frames(&mut cameras, 30);
    assert_eq!((house.watched().last(), house.carried() - carried), (Some(&3), 270));
    assert_eq!(house.got((1, 11)) - got, 90);
    assert!(is_gapless(&house.pictures((1, 11))));
    let newest = house.planes[1].events.iter().rev().find_map(|event| match event {
        Event::Layer { layer, .. } => Some(*layer),
        _ => None,
    });
    assert_eq!(newest.flatten().map(|layer| layer.stream), Some(2));
    // Nobody looks there any more: what is left is what is wanted at home.
    house.want((1, 11), 1, None);
    house.frames(&mut cameras, 200);
    let carried = house.carried();
    house.frames(&mut cameras, 20);
    assert_eq!((house.watched().last(), house.carried()), (Some(&2), carried));
}

#[test]
fn nothing_crosses_that_nobody_is_shown_and_nothing_is_kept_of_it() {
    let (mut house, mut camera, shown) = cinema(&[], &[&[1], &[11]]);
    house.planes[0].publish(1, 2, OPUS, &[]);
    house.show((1, 11), (0, 2), &publication(2, OPUS, &[]));
    house.key(&mut camera);
    house.hide((1, 11), 2);
    house.run_ms(5);
    let carried = house.carried();
    (0..5).for_each(|round| speak(&mut house.planes[0], (1, 2), round, 30));
    house.run_ms(30);
    assert_eq!(house.carried(), carried, "sound ends at once");
    house.hide((1, 11), 1);
    house.frames(&mut camera, 200);
    let carried = house.carried();
    house.frames(&mut camera, 20);
    assert_eq!((house.carried(), house.planes[1].plane.imports()), (carried, 0));
    assert_eq!(house.watched().last(), Some(&0));
    assert_eq!(house.planes[1].plane.poll_timeout().map(|at| at > house.planes[1].now), Some(true));
    // Shown again, it begins again.
    house.show_again((1, 11), (0, 1), &shown);
    let before = house.got((1, 11));
    house.frames(&mut camera, 2);
    house.key(&mut camera);
    house.frames(&mut camera, 10);
    assert_eq!((house.got((1, 11)) - before, house.ignored()), (33, 0));
}

#[test]
fn who_is_stopped_is_stopped_everywhere_and_begins_with_a_keyframe() {
    let (mut house, mut camera, _) = cinema(&[], &[&[1], &[11]]);
    house.key(&mut camera);
    house.frames(&mut camera, 10);
    let (got, carried, asked) = (house.got((1, 11)), house.carried(), house.asked(1));
    house.planes[0].tell(Command::Mute { track: TrackId(1), muted: true });
    house.frames(&mut camera, 100);
    assert_eq!((house.got((1, 11)), house.carried(), house.asked(1)), (got, carried, asked));
    // Whoever looks for the first time hears that it is stopped.
    house.hide((1, 11), 1);
    house.run_ms(4_000);
    assert_eq!(house.planes[1].plane.imports(), 0);
    house.show_again((1, 11), (0, 1), &publication(1, VP8, &[]));
    house.frames(&mut camera, 10);
    assert_eq!(house.carried(), carried);
    house.planes[0].tell(Command::Mute { track: TrackId(1), muted: false });
    house.frames(&mut camera, 10);
    assert_eq!(house.asked(1), asked + 1);
    house.key(&mut camera);
    house.frames(&mut camera, 50);
    assert_eq!((house.got((1, 11)) - got, house.asked(1)), (153, asked + 1));
    assert!(is_gapless(&house.pictures((1, 11))));
}

#[test]
fn a_publisher_that_goes_or_begins_anew_does_so_everywhere() {
    let (mut house, mut camera, shown) = cinema(&[], &[&[1, 2], &[11]]);
    house.key(&mut camera);
    house.frames(&mut camera, 10);
    // Another SSRC: other numbers, far from those before.
    let mut other = vec![Camera::new(1, 1, None)];
    (other[0].ssrc, other[0].sequence) = (Ssrc(77), 500);
    house.frames(&mut other, 5);
    house.key(&mut other);
    house.frames(&mut other, 10);
    assert_eq!(house.pictures((1, 11)).len(), 33 + 33);
    assert!(is_gapless(&house.pictures((1, 11))));
    house.planes[0].tell(Command::Unpublish { track: TrackId(1) });
    house.run_ms(10);
    assert_eq!((house.planes[1].plane.imports(), house.planes[1].plane.census()), (0, (1, 0, 0)));
    // What was on its way is late.
    let (ignored, late) = (house.ignored(), house.crossed.last().expect("something").2.clone());
    house.give(0, 1, late);
    assert_eq!(house.ignored(), ignored + 1);
    // Told of after its end: it is as if it had never been.
    house.show_again((1, 11), (0, 1), &shown);
    assert_eq!(house.planes[1].plane.imports(), 0);
    // And with the peer goes what it sends.
    house.planes[0].publish(2, 5, VP8, &[]);
    house.show((1, 11), (0, 5), &publication(5, VP8, &[]));
    house.planes[0].remove(2);
    house.run_ms(10);
    assert_eq!(house.planes[1].plane.imports(), 0);
}

#[test]
fn clocks_cross_with_what_they_belong_to() {
    let (mut house, mut camera, _) = cinema(&[], &[&[1], &[11]]);
    house.key(&mut camera);
    house.frames(&mut camera, 3);
    let info = SenderInfo { ntp: 5 << 32, rtp: Timestamp(camera[0].timestamp), packets: 1, octets: 1 };
    let ssrc = camera[0].ssrc;
    house.planes[0].control(1, |writer| writer.sender_report(ssrc, &info, &[]).expect("room"));
    house.run_ms(20);
    assert_eq!(house.planes[1].peer(11).heard("SR"), 1);
}

#[test]
fn a_plane_that_has_lost_everything_leaves_nothing_behind() {
    // The one that gets.
    let (mut house, mut camera, _) = cinema(&[], &[&[1, 2], &[11]]);
    house.key(&mut camera);
    house.give(1, 0, Crossing::lost());
    let carried = house.carried();
    house.frames(&mut camera, 100);
    assert_eq!((house.carried(), house.watched().last()), (carried, Some(&0)));
    // The one that gives.
    let (mut house, mut camera, _) = cinema(&[], &[&[1, 2], &[11]]);
    house.key(&mut camera);
    house.frames(&mut camera, 10);
    house.give(0, 1, Crossing::lost());
    assert_eq!((house.planes[1].plane.imports(), house.planes[1].plane.census()), (0, (1, 0, 0)));
    let (got, ignored) = (house.got((1, 11)), house.planes[1].plane.counters().ignored);
    house.frames(&mut camera, 10);
    assert_eq!(house.got((1, 11)), got);
    assert_eq!(house.planes[1].plane.counters().ignored, ignored + 30, "late values");
    assert!(house.planes[1].plane.poll_timeout().is_none_or(|at| at > house.planes[1].now));
}

#[test]
fn one_plane_tells_who_speaks_wherever_that_is() {
    let mut house = House::of(&[&[1, 2], &[11, 12], &[21]]);
    let voices = [(0, 1, 101), (0, 2, 102), (1, 11, 111), (1, 12, 112), (2, 21, 121)];
    voices.iter().for_each(|&(at, peer, track)| house.planes[at].publish(peer, track, OPUS, &[]));
    let mut sequence = 0;
    let mut talk = |house: &mut House, loud: &[u64]| {
        for _ in 0..150 {
            sequence += 1;
            for &(at, peer, track) in &voices {
                if house.planes[at].peers.contains_key(&peer) {
                    let level = if loud.contains(&peer) { 0x80 | 20 } else { 90 };
                    speak(&mut house.planes[at], (peer, track), sequence, level);
                }
            }
            house.run_ms(20);
        }
    };
    let told = |house: &House, at: usize| -> Vec<Vec<u64>> {
        let spoken = house.planes[at].events.iter().filter_map(|event| match event {
            Event::Speaking { recent, .. } => Some(recent.iter().map(|track| track.0).collect()),
            _ => None,
        });
        spoken.collect()
    };
    talk(&mut house, &[1]);
    talk(&mut house, &[12]);
    talk(&mut house, &[21]);
    // One after the other, each heard beside the one before at first.
    let all = [vec![101], vec![101, 112], vec![112, 101], vec![112, 121, 101], vec![121, 112, 101]];
    assert_eq!(told(&house, 0), all);
    assert!(told(&house, 1).is_empty() && told(&house, 2).is_empty());
    // Who goes is taken out; and so is a plane.
    house.planes[1].tell(Command::Unpublish { track: TrackId(112) });
    house.run_ms(10);
    assert_eq!(told(&house, 0).last(), Some(&vec![121, 101]));
    house.give(2, 0, Crossing::lost());
    house.run_ms(10);
    assert_eq!(told(&house, 0).last(), Some(&vec![101]));
    // Another one hears from here on.
    let spread = |others: &[usize], ear: Option<usize>| Command::Spread {
        group: GroupId(1),
        others: others.iter().map(|it| Shard(*it)).collect(),
        ear: ear.map(Shard),
    };
    house.planes[0].tell(spread(&[1], Some(1)));
    house.planes[1].tell(spread(&[0], None));
    let before = told(&house, 0).len();
    talk(&mut house, &[2]);
    assert_eq!((told(&house, 0).len(), told(&house, 1)), (before, vec![vec![102]]));
    // What crosses is no media.
    assert_eq!(house.carried(), 0);
}

#[test]
fn lanes_reach_all_or_one_wherever_they_are() {
    let mut house = House::of(&[&[1, 2], &[11, 12], &[21]]);
    let to = |member: u32, text: &str| [&member.to_be_bytes(), text.as_bytes()].concat();
    house.planes[0].say(1, "reliable", &to(0, "hello all"));
    house.planes[1].say(11, "lossy", &to(21, "only you"));
    house.planes[1].say(11, "reliable", &to(12, "and you"));
    house.planes[2].say(21, "reliable", &to(77, "nobody"));
    house.run_ms(100);
    let heard = |house: &House, (at, peer): (usize, u64)| -> Vec<(String, Vec<u8>)> {
        let mut messages = house.planes[at].peer(peer).messages.clone();
        messages.sort();
        messages
    };
    let hello = ("reliable".to_owned(), to(1, "hello all"));
    assert!(heard(&house, (0, 1)).is_empty());
    assert_eq!(heard(&house, (0, 2)), std::slice::from_ref(&hello));
    assert_eq!(heard(&house, (1, 11)), std::slice::from_ref(&hello));
    assert_eq!(heard(&house, (1, 12)), [hello.clone(), ("reliable".to_owned(), to(11, "and you"))]);
    assert_eq!(heard(&house, (2, 21)), [("lossy".to_owned(), to(11, "only you")), hello]);
    // What finds no room is missing in silence on the lossy lane only.
    house.loses = Box::new(|it| it.bytes() > 0);
    house.planes[0].say(1, "lossy", &to(0, "lost"));
    house.run_ms(100);
    assert!(house.planes[1].peer(11).channels.contains_key("reliable"));
    house.planes[0].say(1, "reliable", &to(0, "lost, too"));
    house.run_ms(100);
    assert!(!house.planes[1].peer(11).channels.contains_key("reliable"), "it knows");
    assert!(house.planes[1].peer(11).channels.contains_key("lossy"));
    assert_eq!(heard(&house, (0, 2)).len(), 3, "those at home have heard both");
}

#[test]
fn values_that_come_twice_late_or_to_the_wrong_plane_do_no_harm() {
    let (mut house, mut cameras, _) = cinema(&["q", "h", "f"], &[&[1, 2], &[11], &[21]]);
    house.planes[0].publish(1, 2, OPUS, &[]);
    house.show((1, 11), (0, 2), &publication(2, OPUS, &[]));
    house.key(&mut cameras);
    for round in 0..20 {
        speak(&mut house.planes[0], (1, 2), round, 0x80 | 20);
        house.frames(&mut cameras, 1);
    }
    house.planes[0].say(1, "reliable", &[0, 0, 0, 0, 1]);
    house.run_ms(50);
    let values: Vec<_> = house.crossed.iter().map(|(.., it)| it.clone()).collect();
    assert!(values.len() > 200);
    for (at, it) in values.iter().enumerate() {
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (9, 0)] {
            house.give(from, to, values[at * 7 % values.len()].clone());
            house.give(from, to, it.clone());
        }
        if at % 50 == 0 {
            house.give(9, at % 3, Crossing::lost());
            house.run_ms(100);
        }
    }
    assert!(house.ignored() > 1_000);
    house.planes[0].remove(1);
    house.run_ms(4_000);
    values.into_iter().for_each(|it| house.give(0, 1, it));
    house.run_ms(4_000);
    assert_eq!(house.planes.iter().map(|world| world.plane.imports()).sum::<usize>(), 0);
    assert_eq!(house.planes[0].plane.census().1, 0);
    assert!(house.planes.iter().all(|world| world.peers.values().all(|peer| peer.connected)));
    // A track that is published here is none of another plane's.
    house.planes[0].publish(2, 5, VP8, &[]);
    let (home, shown) = (Shard(1), publication(5, VP8, &[]));
    house.planes[0].tell_in_vain(Command::Import { track: TrackId(5), home, publication: shown });
    house.planes[1].tell(Command::Import { track: TrackId(5), home: Shard(0), publication: publication(5, VP8, &[]) });
    house.planes[1].tell_in_vain(Command::Unpublish { track: TrackId(5) });
    house.planes[1].tell_in_vain(Command::Mute { track: TrackId(5), muted: true });
    house.planes[1].tell_in_vain(Command::Spread { group: GroupId(99), others: Vec::new(), ear: None });
    assert_eq!(house.planes[0].plane.tally(EndpointId(2), SlotId(1)), None);
}
