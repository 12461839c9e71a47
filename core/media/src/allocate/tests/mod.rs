//! Sharing out: stories, and what holds for any tracks at all.

use proptest::prelude::*;

use super::*;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    Instant::now()
}

const fn layer(spatial: u8, temporal: u8, height: u16, kbps: u64) -> Layer {
    Layer { spatial, temporal, height, rate: Bitrate::from_kbps(kbps) }
}

const SIMULCAST: [Layer; 6] = [
    layer(0, 0, 180, 90),
    layer(0, 1, 180, 150),
    layer(1, 0, 360, 300),
    layer(1, 1, 360, 500),
    layer(2, 0, 720, 900),
    layer(2, 1, 720, 1_500),
];
const SLIDES: [Layer; 4] =
    [layer(0, 0, 360, 100), layer(0, 1, 360, 180), layer(1, 0, 1_080, 500), layer(1, 1, 1_080, 1_200)];
const OPUS: [Layer; 1] = [layer(0, 0, 0, 40)];
const LARGE: u32 = 1_280 * 720;
const SMALL: u32 = 320 * 180;

fn camera(key: u32, pixels: u32) -> Track<'static> {
    Track { key: SlotId(key), kind: Kind::Camera, pixels, priority: 0, layers: &SIMULCAST }
}

fn audio(key: u32) -> Track<'static> {
    Track { key: SlotId(key), kind: Kind::Audio, pixels: 0, priority: 0, layers: &OPUS }
}

fn share(allocator: &mut Allocator, now: Instant, kbps: u64, tracks: &[Track<'_>]) -> Vec<u64> {
    let target = Bitrate::from_kbps(kbps);
    allocator.allocate(now, target, tracks.iter().copied()).iter().map(|a| a.choice.rate().bps() / 1_000).collect()
}

fn fresh(kbps: u64, tracks: &[Track<'_>]) -> Vec<u64> {
    share(&mut Allocator::new(), start(), kbps, tracks)
}

#[test]
fn audio_comes_first_even_when_it_is_too_much() {
    let tracks = [camera(1, LARGE), audio(2), audio(3)];
    assert_eq!(fresh(30, &tracks), [0, 40, 40]);
    assert_eq!(fresh(200, &tracks), [90, 40, 40]);
}

#[test]
fn what_is_not_shown_is_paused() {
    assert_eq!(fresh(10_000, &[camera(1, LARGE), camera(2, 0)]), [1_500, 0]);
}

#[test]
fn a_small_picture_gets_no_more_than_it_can_show() {
    assert_eq!(fresh(10_000, &[camera(1, SMALL), camera(2, LARGE)]), [150, 1_500]);
}

#[test]
fn a_size_of_which_one_layer_is_known_is_not_taken_for_a_slow_one() {
    let layers = [layer(0, 0, 180, 30), layer(0, 1, 180, 60), layer(0, 2, 180, 110), layer(1, 0, 360, 370)];
    let track = Track { layers: &layers, ..camera(1, 533 * 300) };
    let mut allocator = Allocator::new();
    assert_eq!(share(&mut allocator, start(), 900, &[track]), [370]);
    assert!(allocator.wanted() > Bitrate::from_kbps(370), "it is worth being probed for");
}

#[test]
fn the_large_picture_gets_more_and_the_small_ones_something() {
    let tracks = [camera(1, LARGE), camera(2, SMALL), camera(3, SMALL), camera(4, SMALL)];
    assert_eq!(fresh(400, &tracks), [90, 90, 90, 90]);
    let shared = fresh(1_500, &tracks);
    assert!(shared[0] >= 500 && shared[1..].iter().all(|small| *small >= 90), "{shared:?}");
}

#[test]
fn equals_are_treated_alike_within_a_step() {
    let tracks: Vec<_> = (0..4).map(|key| camera(key, LARGE)).collect();
    assert_eq!(fresh(2_400, &tracks), [500, 500, 500, 500]);
}

#[test]
fn when_not_all_can_have_something_the_important_ones_do() {
    let tracks = [camera(1, SMALL), Track { priority: 2, ..camera(2, SMALL) }, camera(3, LARGE)];
    assert_eq!(fresh(190, &tracks), [0, 90, 90]);
}

#[test]
fn a_screen_keeps_its_resolution_and_a_camera_does_not_need_to() {
    let screen = Track { key: SlotId(1), kind: Kind::Screen, pixels: 1_920 * 1_080, priority: 0, layers: &SLIDES };
    let mut allocator = Allocator::new();
    share(&mut allocator, start(), 700, &[screen]);
    assert_eq!(allocator.assignments()[0].choice, Choice::Layer(SLIDES[2]), "sharp at few frames");
}

#[test]
fn a_step_up_needs_room_to_spare_and_a_step_kept_does_not() {
    let (mut allocator, now) = (Allocator::new(), start());
    assert_eq!(share(&mut allocator, now, 540, &[camera(1, LARGE)]), [300]);
    assert_eq!(share(&mut allocator, now, 560, &[camera(1, LARGE)]), [500]);
    assert_eq!(share(&mut allocator, now, 505, &[camera(1, LARGE)]), [500]);
}

#[test]
fn who_had_to_step_down_stays_there_for_a_while() {
    let (mut allocator, now) = (Allocator::new(), start());
    assert_eq!(share(&mut allocator, now, 1_700, &[camera(1, LARGE)]), [1_500]);
    assert_eq!(share(&mut allocator, now, 600, &[camera(1, LARGE)]), [500]);
    assert_eq!(allocator.poll_timeout(), Some(now + HOLD));
    assert_eq!(share(&mut allocator, now + HOLD / 2, 1_700, &[camera(1, LARGE)]), [500]);
    assert_eq!(share(&mut allocator, now + HOLD, 1_700, &[camera(1, LARGE)]), [1_500]);
    assert_eq!(allocator.poll_timeout(), None);
}

#[test]
fn a_target_that_trembles_does_not_make_anything_flap() {
    let (mut allocator, mut now) = (Allocator::new(), start());
    let tracks = [camera(1, LARGE), camera(2, SMALL)];
    let mut switches = 0;
    let mut before = share(&mut allocator, now, 1_000, &tracks);
    for step in 0..600_u64 {
        now += Duration::from_millis(100);
        let after = share(&mut allocator, now, 1_000 + (step * 37) % 80, &tracks);
        switches += u64::from(after != before);
        before = after;
    }
    assert!(switches <= 2, "{switches} switches in a minute");
}

#[test]
fn one_that_shrinks_and_grows_again_is_not_held() {
    let (mut allocator, now) = (Allocator::new(), start());
    assert_eq!(share(&mut allocator, now, 5_000, &[camera(1, LARGE)]), [1_500]);
    assert_eq!(share(&mut allocator, now, 5_000, &[camera(1, SMALL)]), [150]);
    assert_eq!(share(&mut allocator, now, 5_000, &[camera(1, 0)]), [0]);
    assert_eq!(share(&mut allocator, now, 5_000, &[camera(1, LARGE)]), [1_500]);
}

#[test]
fn what_is_wanted_is_enough_to_get_it() {
    let tracks = [camera(1, LARGE), camera(2, SMALL), audio(3)];
    let mut allocator = Allocator::new();
    share(&mut allocator, start(), 300, &tracks);
    let wanted = allocator.wanted();
    allocator.allocate(start(), wanted, tracks.iter().copied());
    assert_eq!(allocator.total(), Bitrate::from_kbps(1_500 + 150 + 40));
}

#[test]
fn what_is_gone_is_forgotten() {
    let (mut allocator, now) = (Allocator::new(), start());
    for key in 0..1_000 {
        share(&mut allocator, now, 1_000, &[camera(key, LARGE)]);
    }
    assert_eq!(allocator.history.len(), 1);
}

type Drawn = (Kind, u32, u8, Vec<Layer>);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let kind = prop_oneof![1 => Just(Kind::Audio), 4 => Just(Kind::Camera), 1 => Just(Kind::Screen)];
    let pixels = prop_oneof![1 => Just(0), 1 => Just(SMALL), 1 => Just(LARGE), 2 => 1..3_000_000_u32];
    let layer = (0..3_u8, 0..4_u8, 0..1_200_u16, 0..3_000_u64).prop_map(|(s, t, h, kbps)| layer(s, t, h, kbps));
    proptest::collection::vec((kind, pixels, 0..3_u8, proptest::collection::vec(layer, 0..9)), 0..12)
}

/// A layer is named by its numbers: each pair occurs once.
fn tracks(drawn: &mut [Drawn]) -> Vec<Track<'_>> {
    let one = |(key, (kind, pixels, priority, layers)): (usize, &'_ mut Drawn)| {
        layers.sort_by_key(|layer| (layer.spatial, layer.temporal));
        layers.dedup_by_key(|layer| (layer.spatial, layer.temporal));
        (SlotId(u32::try_from(key).unwrap()), *kind, *pixels, *priority)
    };
    let heads: Vec<_> = drawn.iter_mut().enumerate().map(one).collect();
    heads
        .into_iter()
        .zip(drawn.iter())
        .map(|((key, kind, pixels, priority), (.., layers))| Track { key, kind, pixels, priority, layers })
        .collect()
}

fn audio_of(tracks: &[Track<'_>]) -> u64 {
    tracks.iter().filter(|t| t.kind == Kind::Audio).map(|t| loudest(t.layers).rate.bps() / 1_000).sum()
}

fn shown<'a>(tracks: &'a [Track<'a>]) -> impl Iterator<Item = &'a Track<'a>> {
    tracks.iter().filter(|t| t.kind != Kind::Audio && t.pixels > 0)
}

proptest! {
    #[test]
    fn the_budget_is_kept_unless_audio_alone_exceeds_it(mut drawn in drawn(), targets in proptest::collection::vec(0..8_000_u64, 1..8)) {
        let tracks = tracks(&mut drawn);
        let (mut allocator, mut now) = (Allocator::new(), start());
        for target in targets {
            let total: u64 = share(&mut allocator, now, target, &tracks).iter().sum();
            prop_assert!(total <= target.max(audio_of(&tracks)), "{total} of {target}");
            prop_assert_eq!(allocator.total(), Bitrate::from_kbps(total));
            now += Duration::from_millis(700);
        }
    }

    #[test]
    fn more_budget_is_never_less_in_all(mut drawn in drawn(), one in 0..8_000_u64, two in 0..8_000_u64) {
        let tracks = tracks(&mut drawn);
        let total = |target| fresh(target, &tracks).iter().sum::<u64>();
        prop_assert!(total(one.min(two)) <= total(one.max(two)));
    }

    #[test]
    fn nobody_who_is_shown_starves_when_there_is_enough_for_all(mut drawn in drawn(), more in 0..1_000_u64) {
        let tracks = tracks(&mut drawn);
        let lowest = |t: &Track<'_>| t.layers.iter().map(|l| l.rate.bps() / 1_000).filter(|rate| *rate > 0).min();
        let least: u64 = shown(&tracks).filter_map(lowest).sum();
        let shares = fresh(audio_of(&tracks) + least + more, &tracks);
        for (track, share) in tracks.iter().zip(shares) {
            let has_any = track.kind != Kind::Audio && track.pixels > 0 && lowest(track).is_some();
            prop_assert!(!has_any || share > 0);
        }
    }

    #[test]
    fn the_same_again_gives_the_same(mut drawn in drawn(), targets in proptest::collection::vec(0..8_000_u64, 1..6)) {
        let tracks = tracks(&mut drawn);
        let (mut allocator, now) = (Allocator::new(), start());
        for target in targets {
            let once = share(&mut allocator, now, target, &tracks);
            prop_assert_eq!(share(&mut allocator, now, target, &tracks), once);
        }
    }

    #[test]
    fn only_what_there_is_is_chosen_and_nothing_for_those_not_shown(mut drawn in drawn(), target in 0..8_000_u64) {
        let tracks = tracks(&mut drawn);
        let mut allocator = Allocator::new();
        share(&mut allocator, start(), target, &tracks);
        for (track, assigned) in tracks.iter().zip(allocator.assignments()) {
            prop_assert_eq!(track.key, assigned.key);
            match assigned.choice {
                Choice::Paused => prop_assert!(track.kind != Kind::Audio),
                Choice::Layer(layer) if track.kind == Kind::Audio && track.layers.is_empty() => {
                    prop_assert_eq!(layer, Layer::default());
                }
                Choice::Layer(layer) => {
                    prop_assert!(track.layers.contains(&layer));
                    prop_assert!(track.kind == Kind::Audio || track.pixels > 0);
                }
            }
        }
    }
}
