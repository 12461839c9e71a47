//! The estimator and the pacer on links of all kinds, in virtual time. A test that fails prints the whole trajectory.
#![expect(clippy::cast_possible_truncation, reason = "the simulator counts small numbers")]

mod link;

use std::time::Duration;

use link::{Link, Source, World};
use tandem_media::bitrate::Bitrate;

const fn kbps(kbps: u64) -> Bitrate {
    Bitrate::from_kbps(kbps)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const GREEDY: Source = Source::Adaptive { most: kbps(20_000) };

#[test]
fn a_link_of_a_megabit_is_found_within_15_percent() {
    for seed in 1..=3 {
        let mut world = World::new(seed, Link::default());
        world.add(300, GREEDY);
        world.run(60.0);
        let reached = world.first(0, 0.0, |s| s.target > 700e3);
        world.check(reached < 5.0, &format!("700 kb/s after {reached} s"));
        let mean = world.mean(0, 10.0, 60.0, |s| s.target);
        world.check((850e3..=1_150e3).contains(&mean), &format!("mean target {mean}"));
        let queue = world.mean(0, 10.0, 60.0, |s| s.queue);
        world.check(queue < 100.0, &format!("mean queue {queue} ms"));
    }
}

#[test]
fn when_capacity_falls_it_backs_off_within_two_seconds_and_comes_back_when_it_rises() {
    for seed in 1..=3 {
        let mut world = World::new(seed, Link { capacity: kbps(2_000), ..Link::default() });
        world.add(300, GREEDY);
        world.run(20.0);
        let before = world.mean(0, 10.0, 20.0, |s| s.target);
        world.check(before > 1_500e3, &format!("{before} before the fall"));
        world.link.capacity = kbps(300);
        world.run(20.0);
        let down = world.first(0, 20.0, |s| s.target <= 330e3);
        world.check(down <= 2.0, &format!("down after {down} s"));
        let low = world.mean(0, 25.0, 40.0, |s| s.target);
        world.check((200e3..345e3).contains(&low), &format!("{low} while it is narrow"));
        world.link.capacity = kbps(2_000);
        world.run(40.0);
        let up = world.first(0, 40.0, |s| s.target >= 1_500e3);
        world.check(up <= 25.0, &format!("back after {up} s"));
    }
}

#[test]
fn five_percent_of_random_loss_on_a_wide_link_do_not_matter() {
    for seed in 1..=3 {
        let mut world = World::new(seed, Link { capacity: kbps(20_000), loss: 0.05, ..Link::default() });
        world.add(300, Source::Adaptive { most: kbps(4_000) });
        world.run(40.0);
        let mean = world.mean(0, 15.0, 40.0, |s| s.target);
        world.check(mean > 3_600e3, &format!("mean target {mean}"));
    }
}

#[test]
fn a_long_way_with_jitter_is_used_well() {
    for seed in 1..=3 {
        let link = Link { capacity: kbps(1_500), delay: millis(200), jitter: millis(30), ..Link::default() };
        let mut world = World::new(seed, link);
        world.add(300, GREEDY);
        world.run(90.0);
        let mean = world.mean(0, 20.0, 90.0, |s| s.target);
        world.check((1_000e3..1_725e3).contains(&mean), &format!("mean target {mean}"));
    }
}

#[test]
fn two_copies_share_a_link() {
    for seed in 1..=3 {
        let mut world = World::new(seed, Link { capacity: kbps(2_000), ..Link::default() });
        world.add(300, GREEDY);
        world.run(15.0);
        world.add(300, GREEDY);
        world.run(105.0);
        let shares = [0, 1].map(|sender| world.mean(sender, 60.0, 120.0, |s| s.received));
        world.check(shares.iter().all(|share| *share > 400e3), &format!("{shares:?}"));
        world.check(shares.iter().sum::<f64>() > 1_500e3, &format!("{shares:?} together"));
    }
}

#[test]
fn an_application_that_sends_little_keeps_its_target() {
    let mut world = World::new(1, Link { capacity: kbps(3_000), jitter: millis(15), ..Link::default() });
    world.add(300, Source::Adaptive { most: kbps(2_000) });
    world.run(20.0);
    let before = world.mean(0, 19.0, 20.0, |s| s.target);
    world.senders[0].source = Source::Fixed { rate: kbps(60), needed: kbps(60) };
    world.run(300.0);
    let after = world.mean(0, 310.0, 320.0, |s| s.target);
    world.check(before > 1_500e3 && after > before * 0.95, &format!("{before} became {after}"));
}

#[test]
fn bursts_of_others_do_not_press_a_quiet_application_down_to_what_it_sends() {
    let mut world = World::new(1, Link { capacity: kbps(3_000), ..Link::default() });
    world.add(300, Source::Adaptive { most: kbps(2_000) });
    world.run(20.0);
    world.senders[0].source = Source::Fixed { rate: kbps(60), needed: kbps(60) };
    for _ in 0..3 {
        world.run(10.0);
        world.link.cross = kbps(3_500);
        world.run(0.4);
        world.link.cross = Bitrate::ZERO;
    }
    world.run(5.0);
    let after = world.mean(0, 54.0, 56.0, |s| s.target);
    world.check(after > 600e3, &format!("{after} after three bursts"));
    let before = world.mean(0, 28.0, 29.0, |s| s.target);
    world.check(after < before, "the bursts have been seen");
}

#[test]
fn an_outage_of_three_seconds_is_survived() {
    let mut world = World::new(1, Link { capacity: kbps(2_000), ..Link::default() });
    world.add(300, GREEDY);
    world.run(20.0);
    world.link.loss = 1.0;
    world.run(3.0);
    let during = world.mean(0, 22.5, 23.0, |s| s.target);
    world.check(during < 300e3, &format!("{during} with nothing coming back"));
    world.link.loss = 0.0;
    world.run(17.0);
    let back = world.first(0, 23.0, |s| s.target > 1_400e3);
    world.check(back < 12.0, &format!("back after {back} s"));
}

#[test]
fn a_short_queue_is_used_without_much_loss() {
    let mut world = World::new(1, Link { capacity: kbps(1_000), queue: millis(60), ..Link::default() });
    world.add(300, GREEDY);
    world.run(60.0);
    let received = world.mean(0, 20.0, 60.0, |s| s.received);
    world.check(received > 800e3, &format!("{received} through a megabit"));
    let loss = world.mean(0, 20.0, 60.0, |s| s.loss);
    world.check(loss < 0.02, &format!("loss {loss}"));
}

#[test]
fn a_policer_is_known_by_its_loss() {
    for seed in 1..=3 {
        let link = Link { capacity: kbps(50_000), policed: Some(kbps(1_000)), ..Link::default() };
        let mut world = World::new(seed, link);
        world.add(300, GREEDY);
        world.run(60.0);
        let received = world.mean(0, 20.0, 60.0, |s| s.received);
        world.check(received > 750e3, &format!("{received} through a megabit"));
        let loss = world.mean(0, 20.0, 60.0, |s| s.loss);
        world.check(loss < 0.1, &format!("loss {loss}"));
    }
}

#[test]
fn with_layers_the_best_that_fits_is_kept_and_probes_do_no_harm() {
    let mut world = World::new(1, Link { capacity: kbps(1_000), ..Link::default() });
    world.add(300, Source::Layers(&[150, 500, 1_500]));
    world.run(90.0);
    let enough = world.mean(0, 15.0, 90.0, |s| f64::from(u8::from(s.target >= 500e3)));
    world.check(enough > 0.97, &format!("the middle layer fits {enough} of the time"));
    let high = world.mean(0, 15.0, 90.0, |s| f64::from(u8::from(s.target >= 1_500e3)));
    world.check(high < 0.01, &format!("the high layer is believed to fit {high} of the time"));
    let queue = world.mean(0, 15.0, 90.0, |s| s.queue);
    world.check(queue < 20.0, &format!("mean queue {queue} ms"));
}

#[test]
fn with_layers_that_leave_room_a_fall_is_followed_all_the_same() {
    for seed in 1..=3 {
        let mut world = World::new(seed, Link { capacity: kbps(4_000), ..Link::default() });
        world.add(300, Source::Layers(&[150, 500, 1_500, 5_000]));
        world.run(20.0);
        let before = world.mean(0, 15.0, 20.0, |s| s.target);
        world.check(before > 2_500e3, &format!("{before} before the fall"));
        world.link.capacity = kbps(400);
        world.run(10.0);
        let down = world.first(0, 20.0, |s| s.target <= 400e3);
        world.check(down <= 3.0, &format!("down after {down} s"));
        let low = world.mean(0, 25.0, 30.0, |s| s.queue);
        world.check(low < 100.0, &format!("mean queue {low} ms"));
    }
}

#[test]
fn with_layers_a_wide_link_is_found_by_probes_alone() {
    let mut world = World::new(1, Link { capacity: kbps(10_000), ..Link::default() });
    world.add(300, Source::Layers(&[150, 500, 1_500, 4_000]));
    world.run(20.0);
    let reached = world.first(0, 0.0, |s| s.target >= 4_000e3);
    world.check(reached < 4.0, &format!("the highest layer after {reached} s"));
}

#[test]
fn cross_traffic_is_given_way_and_its_room_taken_back() {
    let mut world = World::new(1, Link { capacity: kbps(2_000), ..Link::default() });
    world.add(300, GREEDY);
    world.run(20.0);
    world.link.cross = kbps(1_200);
    world.run(20.0);
    let beside = world.mean(0, 25.0, 40.0, |s| s.received);
    world.check((450e3..850e3).contains(&beside), &format!("{beside} beside 1,200 of 2,000 kb/s"));
    world.link.cross = Bitrate::ZERO;
    world.run(30.0);
    let back = world.first(0, 40.0, |s| s.target > 1_500e3);
    world.check(back < 25.0, &format!("back after {back} s"));
}

#[test]
fn two_subscribers_with_layers_on_one_link_both_get_a_layer() {
    // Joining at the same moment, they probe at the same moments, too.
    for (seed, apart) in [(1, 0.0), (2, 0.0), (3, 2.3)] {
        let mut world = World::new(seed, Link { capacity: kbps(1_400), ..Link::default() });
        for _ in 0..2 {
            world.add(300, Source::Layers(&[150, 500, 1_500]));
            world.run(apart);
        }
        world.run(60.0 - 2.0 * apart);
        for sender in 0..2 {
            let enough = world.mean(sender, 15.0, 60.0, |s| f64::from(u8::from(s.target >= 500e3)));
            world.check(enough > 0.8, &format!("{sender}: the middle layer fits {enough} of the time"));
        }
    }
}
