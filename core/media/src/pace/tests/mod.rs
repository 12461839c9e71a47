//! The pacer through its public verbs, on a clock advanced by hand.

use super::*;
use crate::estimate::Estimator;

const SIZE: usize = 1_000;
const CAMERA: SlotId = SlotId(1);
const SCREEN: SlotId = SlotId(2);
const MICROPHONE: SlotId = SlotId(3);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    Instant::now()
}

/// Eight packets of a thousand bytes in eight milliseconds.
fn pacer(now: Instant) -> Pacer<u32> {
    Pacer::new(now, Config { factor: 1.0, ..Config::default() }, Bitrate::from_kbps(8_000))
}

fn fill(pacer: &mut Pacer<u32>, now: Instant, track: SlotId, packets: std::ops::Range<u32>) {
    for packet in packets {
        pacer.push(now, track, Class::Video, SIZE, packet);
    }
}

/// All that leaves until nothing is left to wait for, with the time of each.
fn drain(pacer: &mut Pacer<u32>, from: Instant) -> Vec<(u128, Output<u32>)> {
    let mut all = Vec::new();
    while let Some(now) = pacer.poll_timeout() {
        let now = now.max(from);
        while let Some(output) = pacer.poll(now) {
            all.push((now.duration_since(from).as_millis(), output));
        }
    }
    all
}

#[test]
fn below_the_rate_everything_passes_at_once() {
    let mut now = start();
    let mut pacer = pacer(now);
    for packet in 0..1_000 {
        assert_eq!(pacer.push(now, CAMERA, Class::Video, SIZE, packet), Pushed::Pass(packet, None));
        assert_eq!(pacer.poll_timeout(), None);
        now += Duration::from_millis(1);
    }
    assert_eq!(pacer.counts(), Counts { passed: 1_000, ..Counts::default() });
}

#[test]
fn a_burst_is_spread_over_its_time() {
    let now = start();
    let mut pacer = pacer(now);
    fill(&mut pacer, now, CAMERA, 0..30);
    assert_eq!(pacer.counts().passed, 6, "five milliseconds ahead, and one on the edge");
    let sent = drain(&mut pacer, now);
    let times: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, (1..=24).collect::<Vec<_>>());
}

#[test]
fn audio_passes_where_video_waits() {
    let now = start();
    let mut pacer = pacer(now);
    fill(&mut pacer, now, CAMERA, 0..30);
    assert_eq!(pacer.push(now, MICROPHONE, Class::Audio, 100, 99), Pushed::Pass(99, None));
}

#[test]
fn a_flood_of_audio_waits_too() {
    let now = start();
    let mut pacer = pacer(now);
    let passed = (0..500)
        .filter(|packet| matches!(pacer.push(now, MICROPHONE, Class::Audio, SIZE, *packet), Pushed::Pass(..)))
        .count();
    assert_eq!(passed, 101);
}

#[test]
fn retransmissions_overtake_video_and_tracks_take_turns() {
    let now = start();
    let mut pacer = pacer(now);
    fill(&mut pacer, now, CAMERA, 0..6);
    fill(&mut pacer, now, CAMERA, 10..13);
    fill(&mut pacer, now, SCREEN, 20..22);
    pacer.push(now, CAMERA, Class::Retransmission, SIZE, 30);
    let order: Vec<_> = drain(&mut pacer, now).into_iter().map(|(_, output)| output).collect();
    let expected = [30, 10, 20, 11, 21, 12].map(|packet| Output::Send(packet, None));
    assert_eq!(order, expected);
}

#[test]
fn a_full_queue_drops_the_oldest_of_the_longest_line_and_counts_it() {
    let now = start();
    let config = Config { factor: 1.0, packets: 4, ..Config::default() };
    let mut pacer = Pacer::new(now, config, Bitrate::from_kbps(8_000));
    fill(&mut pacer, now, CAMERA, 0..6);
    fill(&mut pacer, now, CAMERA, 10..13);
    fill(&mut pacer, now, SCREEN, 20..21);
    assert_eq!(pacer.push(now, SCREEN, Class::Video, SIZE, 21), Pushed::Dropped(10));
    assert_eq!(pacer.push(now, CAMERA, Class::Retransmission, SIZE, 30), Pushed::Dropped(20));
    assert_eq!((pacer.waiting(), pacer.counts().overflowed), (4, 2));
}

#[test]
fn what_is_more_important_is_never_dropped_for_what_is_less() {
    let now = start();
    let config = Config { factor: 1.0, packets: 2, ..Config::default() };
    let mut pacer = Pacer::new(now, config, Bitrate::from_kbps(8_000));
    fill(&mut pacer, now, CAMERA, 0..6);
    pacer.push(now, CAMERA, Class::Retransmission, SIZE, 30);
    pacer.push(now, CAMERA, Class::Retransmission, SIZE, 31);
    assert_eq!(pacer.push(now, CAMERA, Class::Video, SIZE, 40), Pushed::Dropped(40));
}

#[test]
fn what_has_waited_too_long_is_handed_back() {
    let now = start();
    let mut pacer = pacer(now);
    fill(&mut pacer, now, CAMERA, 0..8);
    let later = now + Duration::from_secs(2);
    assert_eq!(pacer.poll(later), Some(Output::Late(6)));
    assert_eq!(pacer.poll(later), Some(Output::Late(7)));
    assert_eq!((pacer.poll(later), pacer.counts().late), (None, 2));
}

#[test]
fn a_lower_target_slows_what_waits_already() {
    let now = start();
    let mut pacer = pacer(now);
    fill(&mut pacer, now, CAMERA, 0..8);
    pacer.set_target(now, Bitrate::from_kbps(800));
    let times: Vec<_> = drain(&mut pacer, now).into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [55, 65], "sixty milliseconds in the bucket, less five ahead");
}

#[test]
fn a_probe_is_made_of_media_first_and_of_padding_then() {
    let now = start();
    let mut pacer = pacer(now);
    let mut estimator = Estimator::new(now, Bitrate::from_kbps(2_000));
    let probe = estimator.poll_probe(now, Bitrate::from_kbps(50_000)).unwrap();
    pacer.start_probe(now, probe);
    assert_eq!(pacer.push(now, CAMERA, Class::Video, SIZE, 1), Pushed::Pass(1, Some(probe.id)));
    assert_eq!(pacer.push(now, CAMERA, Class::Video, SIZE, 2), Pushed::Queued);
    let sent = drain(&mut pacer, now);
    assert_eq!(sent.first().map(|(_, output)| output), Some(&Output::Send(2, Some(probe.id))));
    assert!(sent[1..].iter().all(|(_, output)| *output == Output::Pad(1_000, probe.id)), "{sent:?}");
    assert_eq!(u64::try_from(sent.len()).unwrap() + 1, probe.bytes.div_ceil(1_000));
    let last = sent.last().unwrap().0;
    assert!((17..=20).contains(&last), "20 ms of 6 Mb/s took {last} ms");
}

#[test]
fn a_probe_nobody_can_pad_is_abandoned() {
    let now = start();
    let mut pacer = pacer(now);
    let mut estimator = Estimator::new(now, Bitrate::from_kbps(2_000));
    pacer.start_probe(now, estimator.poll_probe(now, Bitrate::from_kbps(50_000)).unwrap());
    assert!(matches!(pacer.poll(now), Some(Output::Pad(..))));
    pacer.abandon_probe();
    assert_eq!((pacer.poll(now), pacer.poll_timeout()), (None, None));
}

#[test]
fn a_probe_ends_when_its_time_is_over() {
    let now = start();
    let mut pacer = pacer(now);
    let mut estimator = Estimator::new(now, Bitrate::from_kbps(2_000));
    let probe = estimator.poll_probe(now, Bitrate::from_kbps(50_000)).unwrap();
    pacer.start_probe(now, probe);
    assert_eq!(pacer.poll(probe.until), None);
    assert_eq!(pacer.poll_timeout(), None);
}

#[test]
fn a_track_that_goes_leaves_nothing_behind() {
    let now = start();
    let mut pacer = pacer(now);
    fill(&mut pacer, now, CAMERA, 0..10);
    fill(&mut pacer, now, SCREEN, 20..22);
    pacer.remove_track(CAMERA);
    let left: Vec<_> = drain(&mut pacer, now).into_iter().map(|(_, output)| output).collect();
    assert_eq!(left, [Output::Send(20, None), Output::Send(21, None)]);
}
