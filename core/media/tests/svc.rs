//! Streams of several spatial and temporal layers: what is left of them for each subscriber can be decoded, ends where it ends,
//! and is numbered without a seam.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod layered;
mod world;

use layered::{AV1, Bench, DESCRIPTOR, L3T3, Scheme, Seen, seen_av1, seen_vp9};
use tandem_media::{Event, Layer};
use tandem_rtp::header::Header;
use tandem_rtp::rtcp::Recorder;
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use world::{Camera, Link, VP8, top};

const fn layer(spatial: u8, temporal: u8) -> Option<Layer> {
    Some(Layer { stream: 0, spatial, temporal })
}

/// The layers of each picture from the `from`th on: the highest spatial one, and the temporal one.
fn layers(seen: &[Seen], from: usize) -> Vec<(u8, u8)> {
    seen.iter().skip(from).map(|picture| (picture.spatial, picture.temporal)).collect()
}

#[test]
fn vp9_with_keyframe_dependencies_is_cut_to_any_of_its_layers() {
    for scheme in [Scheme::Vp9 { flexible: false }, Scheme::Vp9 { flexible: true }] {
        for (spatial, temporal) in [(0, 0), (0, 2), (1, 1), (2, 0), (2, 2)] {
            let mut bench = Bench::new(scheme, 3, layer(spatial, temporal));
            bench.pictures(17, &[0]);
            let seen = seen_vp9(&bench.world.peer(2).got, L3T3);
            let expected = [0, 2, 1, 2].into_iter().cycle().take(17).filter(|t| *t <= temporal);
            assert_eq!(layers(&seen, 0), expected.map(|t| (spatial, t)).collect::<Vec<_>>(), "{scheme:?}");
        }
    }
}

#[test]
fn vp9_of_one_spatial_layer_goes_up_where_its_encoder_lets_it() {
    for flexible in [false, true] {
        let mut bench = Bench::new(Scheme::Vp9 { flexible }, 1, layer(0, 0));
        bench.pictures(8, &[0]);
        bench.world.want(2, 1, layer(0, 2));
        bench.pictures(8, &[]);
        bench.world.want(2, 1, layer(0, 1));
        bench.pictures(8, &[]);
        let seen = seen_vp9(&bench.world.peer(2).got, L3T3);
        let temporal: Vec<u8> = seen.iter().map(|picture| picture.temporal).collect();
        // The second picture of each four would need nothing that is missing, but does not say so.
        assert_eq!(temporal, [0, 0, 0, 2, 1, 2, 0, 2, 1, 2, 0, 1, 0, 1]);
        assert_eq!(bench.keyframes_asked(), 0);
    }
}

#[test]
fn a_spatial_layer_comes_with_the_next_keyframe_and_goes_with_the_next_picture() {
    let mut bench = Bench::new(Scheme::Vp9 { flexible: false }, 3, layer(0, 2));
    bench.pictures(4, &[0]);
    bench.world.want(2, 1, layer(2, 2));
    bench.pictures(4, &[]);
    assert_eq!(bench.keyframes_asked(), 1, "its upper layers need one");
    bench.pictures(4, &[0]);
    bench.world.want(2, 1, layer(1, 2));
    bench.pictures(4, &[]);
    let seen = seen_vp9(&bench.world.peer(2).got, L3T3);
    let spatial: Vec<u8> = seen.iter().map(|picture| picture.spatial).collect();
    assert_eq!(spatial, [0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 1, 1, 1, 1]);
    let told = bench.world.events.iter().filter_map(|event| {
        if let Event::Layer { layer: Some(layer), .. } = event { Some(layer.spatial) } else { None }
    });
    assert_eq!(told.collect::<Vec<_>>(), [0, 2, 1]);
}

#[test]
fn a_subscriber_of_less_and_one_of_more_do_not_disturb_each_other() {
    let mut bench = Bench::new(Scheme::Av1, 3, layer(2, 2));
    bench.world.subscribe(3, 1, AV1, layer(0, 0));
    bench.pictures(16, &[0]);
    let (more, less) = (seen_av1(&bench.world.peer(2).got), seen_av1(&bench.world.peer(3).got));
    assert_eq!(layers(&more, 0), [(2, 0), (2, 2), (2, 1), (2, 2)].repeat(4));
    assert_eq!(layers(&less, 0), [(0, 0)].repeat(4));
    let bytes = |peer| bench.world.peer(peer).got.iter().map(|got| got.payload.len()).sum::<usize>();
    assert!(bytes(3) * 6 < bytes(2), "{} of {}", bytes(3), bytes(2));
}

#[test]
fn av1_goes_up_in_time_at_a_switch_and_in_space_only_where_nothing_is_missing() {
    let mut bench = Bench::new(Scheme::Av1, 3, layer(0, 0));
    bench.pictures(5, &[0]);
    // The next picture is one of the highest temporal layer, no switch; the one after it is one.
    bench.world.want(2, 1, layer(0, 2));
    bench.pictures(7, &[]);
    let seen = seen_av1(&bench.world.peer(2).got);
    assert_eq!(layers(&seen, 0), [(0, 0), (0, 0), (0, 1), (0, 2), (0, 0), (0, 2), (0, 1), (0, 2)]);
    // Its upper layers need what was not sent, whatever switch they are.
    bench.world.want(2, 1, layer(2, 2));
    bench.pictures(4, &[]);
    assert_eq!(layers(&seen_av1(&bench.world.peer(2).got), 8), [(0, 0), (0, 2), (0, 1), (0, 2)]);
    // Not even at a picture whose upper layers need nothing but what is below them: that has been ended when they come.
    bench.layered.renews = true;
    bench.pictures(4, &[]);
    assert_eq!(layers(&seen_av1(&bench.world.peer(2).got), 12), [(0, 0), (0, 2), (0, 1), (0, 2)]);
    assert_eq!(bench.keyframes_asked(), 2, "and once more, for none has come");
    bench.pictures(4, &[0]);
    assert_eq!(layers(&seen_av1(&bench.world.peer(2).got), 16), [(2, 0), (2, 2), (2, 1), (2, 2)]);
}

#[test]
fn layers_that_the_publisher_stops_are_not_waited_for() {
    let mut bench = Bench::new(Scheme::Av1, 3, layer(2, 2));
    bench.pictures(40, &[0]);
    let asked = bench.keyframes_asked();
    // Only the targets of the two lower spatial layers are sent from here on.
    bench.layered.active = Some(0b11_1111);
    bench.pictures(40, &[]);
    let seen = seen_av1(&bench.world.peer(2).got);
    assert!(layers(&seen, 40).iter().all(|(spatial, _)| *spatial == 1), "{:?}", layers(&seen, 40));
    assert_eq!(bench.keyframes_asked(), asked);
    bench.layered.active = Some(0b1_1111_1111);
    bench.layered.renews = true;
    bench.pictures(8, &[]);
    assert_eq!(layers(&seen_av1(&bench.world.peer(2).got), 80), [(2, 0), (2, 2), (2, 1), (2, 2)].repeat(2));
}

#[test]
fn how_many_layers_come_is_up_to_what_the_way_carries() {
    for scheme in [Scheme::Vp9 { flexible: false }, Scheme::Av1] {
        let mut bench = Bench::new(scheme, 3, layer(3, 7));
        bench.layered.sizes = [300, 600, 1_000];
        let peer = bench.world.peers.get_mut(&2).expect("a peer");
        (peer.link, peer.recorder) = (Some(Link::of(400)), Some(Recorder::new()));
        bench.layered.picture(&mut bench.world, true);
        bench.heedful_pictures(300);
        let from = bench.world.peer(2).got.len();
        bench.heedful_pictures(60);
        let bits = 8 * bench.world.peer(2).got[from..].iter().map(|got| got.payload.len()).sum::<usize>();
        assert!((100_000..400_000).contains(&(bits / 2)), "of 912,000 bits a second {} come in {scheme:?}", bits / 2);
        let dropped = |bench: &Bench| bench.world.peer(2).link.as_ref().expect("one").dropped;
        let before = dropped(&bench);
        bench.world.peers.get_mut(&2).expect("a peer").link.as_mut().expect("one").kbps = 4_000;
        bench.heedful_pictures(600);
        let from = bench.world.peer(2).got.len();
        bench.heedful_pictures(60);
        assert_eq!(bench.world.peer(2).got.len() - from, 60 * 6, "all of it in {scheme:?}");
        assert_eq!(dropped(&bench), before);
    }
}

#[test]
fn what_is_lost_of_a_layer_comes_again_as_that_layer() {
    let mut bench = Bench::new(Scheme::Vp9 { flexible: false }, 3, layer(1, 1));
    bench.pictures(4, &[0]);
    let first = bench.world.peer(2).got[0].header.sequence;
    bench.world.peers.get_mut(&2).expect("a peer").lose =
        |got| got.header.sequence % 3 == 0 && got.header.ssrc == Ssrc(10_002);
    bench.pictures(8, &[]);
    let last = bench.world.peer(2).got.last().expect("some").header.sequence;
    bench.world.peers.get_mut(&2).expect("a peer").lose = |_| false;
    let got: Vec<u16> = bench.world.peer(2).got.iter().map(|got| got.header.sequence).collect();
    let missing: Vec<u16> = (first..last).filter(|number| !got.contains(number)).collect();
    assert!(missing.len() > 4, "{missing:?}");
    bench.world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(10_002), missing.clone()).expect("room"));
    bench.world.run_ms(50);
    let mut all: Vec<_> = bench.world.peer(2).got.iter().map(layered::original).collect();
    all.sort_by_key(|got| got.header.sequence);
    let seen = seen_vp9(&all, L3T3);
    assert!(layers(&seen, 0).iter().all(|(spatial, temporal)| *spatial == 1 && *temporal <= 1));
    assert_eq!(bench.world.plane.counters().gone, 0);
}

#[test]
fn frames_whose_structure_is_lost_are_left_out_and_a_keyframe_is_asked_for() {
    let mut bench = Bench::new(Scheme::Av1, 3, layer(2, 2));
    bench.pictures(4, &[0]);
    bench.layered.offset = 20;
    bench.layered.lose_structure = true;
    let (asked, before) = (bench.keyframes_asked(), bench.world.peer(2).got.len());
    bench.pictures(8, &[0]);
    assert_eq!(bench.world.peer(2).got.len(), before, "nobody can tell what layer it is of");
    assert!(bench.keyframes_asked() > asked);
    bench.pictures(4, &[0]);
    let got = &bench.world.peer(2).got;
    assert_eq!(layers(&seen_av1(&got[before..]), 0), [(2, 0), (2, 2), (2, 1), (2, 2)]);
    let step = got[before].header.sequence.wrapping_sub(got[before - 1].header.sequence);
    assert_eq!(step, 2, "what was lost leaves a gap, and what was left out none");
}

#[test]
fn layers_that_make_no_sense_are_bounded_and_touch_nobody_else() {
    let mut bench = Bench::new(Scheme::Vp9 { flexible: true }, 3, layer(1, 1));
    bench.pictures(4, &[0]);
    bench.world.publish(3, 7, VP8, &[]);
    bench.world.subscribe(2, 7, VP8, top(0));
    let mut camera = Camera::new(3, 7, None);
    camera.frame(&mut bench.world, true);
    let before = bench.world.peer(2).got.len();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    for round in 0..2_000_u16 {
        let [a, b, c, d, e, f, g, h] = random();
        let header = Header {
            marker: a & 1 != 0,
            payload_type: PayloadType::from_wire(98),
            sequence: 20_000_u16.wrapping_add(round).wrapping_add(u16::from(b & 7)),
            timestamp: Timestamp(u32::from(round / 4) * 3_000),
            ssrc: Ssrc(4_242),
        };
        // Any layer, any picture, any structure; and now and then a dependency descriptor of nothing.
        let descriptor = [a, b, c, d | 0x80, e, f, g, h, a, b, c, d, e];
        let extensions: &[(u8, &[u8])] =
            if g & 3 == 0 { &[(4, b"1"), (DESCRIPTOR, &descriptor)] } else { &[(4, b"1")] };
        bench.world.send(1, header, extensions, &[0xa0 | a, 0x80 | b, c, d, e, f, g, h, a, b, c, d, e, f, 1, 2, 3]);
        if round % 50 == 0 {
            camera.frame(&mut bench.world, false);
            bench.world.run_ms(5);
        }
    }
    bench.world.run_ms(100);
    let of = |ssrc| bench.world.peer(2).got[before..].iter().filter(|got| got.header.ssrc == ssrc).count();
    assert_eq!(of(Ssrc(70_002)), 3 * 41, "the other camera");
    assert!(of(Ssrc(10_002)) <= 2_000);
    assert!(bench.keyframes_asked() < 10, "{}", bench.keyframes_asked());
}
