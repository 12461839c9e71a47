//! Stories of the engine and a media plane together: who comes, who gets what, and what is left of those who lie, flood or stay
//! silent.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a broken expectation is what a story looks for")]

mod studio;

use std::net::SocketAddr;

use studio::Studio;
use tandem_api::signal::Reason;
use tandem_engine::Way;
use tandem_rtp::Ssrc;
use tandem_rtp::rtcp::ReportBlock;

/// One who publishes and so many who watch, all of them connected.
fn webinar(places: u32, viewers: usize) -> (Studio, u16, Vec<u16>) {
    on_stage(Studio::new(places), viewers)
}

fn on_stage(mut studio: Studio, viewers: usize) -> (Studio, u16, Vec<u16>) {
    let publisher = studio.come("stage", Way::Whip).expect("there is room");
    let viewers: Vec<u16> = (0..viewers).map(|_| studio.come("stage", Way::Whep).expect("there is room")).collect();
    studio.run_ms(1_000);
    assert!(studio.guests.values().all(|guest| guest.connected), "not all are connected");
    (studio, publisher, viewers)
}

/// A picture that all of them can begin with, and so many more.
fn pictures(studio: &mut Studio, publisher: u16, more: usize) {
    studio.picture(publisher, true);
    (0..more).for_each(|_| studio.picture(publisher, false));
}

fn are_whole(studio: &Studio, viewers: &[u16], pictures: usize) -> bool {
    viewers.iter().all(|viewer| studio.guest(*viewer).has_whole(pictures))
}

fn end(mut studio: Studio) {
    let ids: Vec<u16> = studio.guests.keys().copied().collect();
    ids.into_iter().for_each(|id| studio.leave(id));
    studio.run_ms(60_000);
    studio.check_empty();
}

#[test]
fn a_webinar_of_five_hundred_from_one_office_comes_in_at_once_and_sees_everything() {
    let (mut studio, publisher, viewers) = webinar(501, 500);
    assert_eq!(studio.come("stage", Way::Whep), Err(Reason::RoomFull));
    pictures(&mut studio, publisher, 9);
    assert!(are_whole(&studio, &viewers, 10));
    assert!(studio.guest(publisher).asked <= 2, "once for all, not once for each: {}", studio.guest(publisher).asked);
    let stats = studio.engine.stats();
    assert_eq!((stats.legs, stats.tracks, studio.census()), (501, 1, (501, 1, 500)));
    // Another one takes the stage: all see it by the same m-line.
    studio.leave(publisher);
    let next = studio.come("stage", Way::Whip).expect("there is room again");
    studio.run_ms(1_000);
    pictures(&mut studio, next, 4);
    assert!(are_whole(&studio, &viewers, 15));
    end(studio);
}

#[test]
fn a_webinar_over_three_planes_sees_everything_and_outlives_one_of_them() {
    let (mut studio, publisher, viewers) = on_stage(Studio::over(3, 100), 60);
    pictures(&mut studio, publisher, 9);
    assert!(are_whole(&studio, &viewers, 10));
    assert!(studio.guest(publisher).asked <= 2, "once for all: {}", studio.guest(publisher).asked);
    assert_eq!(studio.census(), (61, 1, 60));
    let counts: Vec<usize> = studio.planes.iter().map(|plane| plane.census().0).collect();
    assert!(counts.iter().all(|count| (18..=24).contains(count)), "{counts:?}");
    let counters = |studio: &Studio| -> (u64, u64) {
        let each = || studio.planes.iter().map(|plane| plane.counters());
        (each().map(|it| it.received).sum(), each().map(|it| it.carried).sum())
    };
    let (received, carried) = counters(&studio);
    assert!(carried <= 2 * received && carried >= 2 * 28, "one copy for each other plane: {carried} of {received}");
    // Another one takes the stage, from another plane: all see it by the same m-line.
    let home = studio.places[&publisher];
    studio.leave(publisher);
    let next = studio.come("stage", Way::Whip).expect("there is room again");
    assert_ne!(studio.places[&next], home);
    studio.run_ms(1_000);
    pictures(&mut studio, next, 4);
    assert!(are_whole(&studio, &viewers, 15));
    // The plane at home dies: whoever was at the others goes on, and whoever comes back sees it, too.
    studio.lose(home);
    let rest: Vec<u16> = viewers.iter().copied().filter(|viewer| studio.places[viewer] != home).collect();
    assert_eq!(studio.engine.stats().legs, rest.len() + 1);
    let back = studio.come("stage", Way::Whep).expect("there is room");
    assert_eq!(studio.places[&back], home);
    studio.run_ms(1_000);
    pictures(&mut studio, next, 4);
    assert!(are_whole(&studio, &rest, 20) && are_whole(&studio, &[back], 5));
    end(studio);
}

#[test]
fn a_publisher_that_is_gone_in_the_middle_of_a_keyframe_leaves_viewers_who_see_the_next_one() {
    let (mut studio, publisher, viewers) = webinar(20, 3);
    pictures(&mut studio, publisher, 3);
    let first = studio.guest_mut(publisher).picture(true).swap_remove(0);
    studio.from(publisher, first);
    studio.leave(publisher);
    studio.run_ms(500);
    assert_eq!(studio.census(), (3, 0, 0));
    let next = studio.come("stage", Way::Whip).expect("there is room");
    studio.run_ms(1_000);
    pictures(&mut studio, next, 5);
    for viewer in viewers {
        let got = &studio.guest(viewer).got;
        assert_eq!(got.len(), 3 * 4 + 1 + 3 * 6);
        assert!(got.windows(2).all(|pair| pair[1].0.sequence.wrapping_sub(pair[0].0.sequence) == 1), "without a seam");
        assert!(got.windows(2).all(|pair| pair[1].0.ssrc == pair[0].0.ssrc));
    }
    end(studio);
}

#[test]
fn who_loses_three_of_ten_gets_them_again_and_the_others_notice_nothing() {
    let (mut studio, publisher, viewers) = webinar(20, 3);
    let loser = viewers[0];
    studio.picture(publisher, true);
    let (ssrc, begin) = (studio.guest(loser).ssrc(), studio.guest(loser).got[0].0.sequence);
    studio.guest_mut(loser).loses = |number| number % 10 < 3;
    let mut asked = begin + 3;
    for _ in 0..60 {
        studio.picture(publisher, false);
        let newest = studio.guest(loser).got.last().expect("some").0.sequence;
        let missing: Vec<u16> = (asked..newest).filter(|number| number % 10 < 3).collect();
        asked = newest;
        if !missing.is_empty() {
            studio.control(loser, |writer| writer.nack(Ssrc(7), ssrc, missing).expect("room"));
        }
    }
    studio.run_ms(200);
    let guest = studio.guest(loser);
    let mut all: Vec<u16> = guest.got.iter().map(|(header, _)| header.sequence).chain(guest.again.clone()).collect();
    all.sort_unstable();
    all.dedup();
    assert!(guest.again.len() > 40, "{}", guest.again.len());
    assert_eq!(all, (begin..=asked).collect::<Vec<_>>());
    assert!(are_whole(&studio, &viewers[1..], 61));
    end(studio);
}

#[test]
fn lies_about_what_was_received_harm_nobody_but_the_liar() {
    let (mut studio, publisher, viewers) = webinar(20, 3);
    pictures(&mut studio, publisher, 5);
    let (liar, own, other) = (viewers[0], studio.guest(viewers[0]).ssrc(), studio.guest(viewers[1]).ssrc());
    let asked = studio.guest(publisher).asked;
    for round in 0..100_u32 {
        let block = |ssrc: Ssrc| ReportBlock {
            ssrc: ssrc.0,
            fraction_lost: 255,
            cumulative_lost: -1,
            highest: round,
            jitter: u32::MAX,
            last_sender_report: round,
            delay: u32::MAX,
        };
        studio.control(liar, |writer| {
            writer.receiver_report(Ssrc(7), &[block(own), block(other), block(Ssrc(1))]).expect("room");
        });
        studio.control(liar, |writer| writer.nack(Ssrc(7), other, 0..200).expect("room"));
        studio.control(liar, |writer| writer.pli(Ssrc(7), own).expect("room"));
        studio.control(liar, |writer| writer.remb(Ssrc(7), 0, &[own, other]).expect("room"));
        studio.picture(publisher, false);
    }
    assert!(are_whole(&studio, &viewers[1..], 106));
    // Three and a half seconds of pleading that no keyframe answers: less and less often.
    assert!(studio.guest(publisher).asked - asked <= 6, "{}", studio.guest(publisher).asked - asked);
    end(studio);
}

#[test]
fn who_never_finishes_dtls_is_out_after_a_while_and_in_nobodys_way() {
    let (mut studio, publisher, viewers) = webinar(50, 3);
    for _ in 0..40 {
        let silent = studio.come_from([192, 0, 2, 1].into(), "stage", Way::Whep).expect("there is room");
        studio.guest_mut(silent).mute_dtls = true;
    }
    pictures(&mut studio, publisher, 20);
    assert!(are_whole(&studio, &viewers, 21));
    assert_eq!(studio.engine.stats().participants, 44);
    studio.run_ms(15_000);
    let stats = studio.engine.stats();
    assert_eq!((stats.participants, stats.legs, studio.census().0), (4, 4, 4), "a path is no connection");
    studio.guests.retain(|_, guest| !guest.mute_dtls);
    end(studio);
}

#[test]
fn ten_thousand_checks_from_made_up_addresses_change_nothing() {
    let (mut studio, publisher, viewers) = webinar(20, 3);
    let before = (studio.engine.stats(), studio.census());
    for n in 0..10_000_u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let remote = SocketAddr::new([100 + a, b, c, d].into(), 1_024 + u16::from(d));
        studio.throw(remote, check(n));
    }
    studio.run_ms(50);
    assert_eq!((studio.engine.stats(), studio.census()), before);
    assert!(studio.stray <= 10_000, "no more than one answer each: {}", studio.stray);
    pictures(&mut studio, publisher, 20);
    assert!(are_whole(&studio, &viewers, 21));
    end(studio);
}

/// A binding request of somebody who knows nobody, with an integrity that is none (RFC 8489 §14).
fn check(n: u32) -> Vec<u8> {
    let mut check = vec![0, 1, 0, 44, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0];
    check.extend(n.to_be_bytes());
    check.extend([0, 6, 0, 13]);
    check.extend(b"nobody:nobody\0\0\0");
    check.extend([0, 8, 0, 20]);
    check.extend([7; 20]);
    check
}
