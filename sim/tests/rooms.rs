//! Whole-room stories.

use std::time::Duration;

use tandem_api::signal::{ClientFrame, Entry, LeaveReason, Media, Presence, Reason};
use tandem_engine::Record;
use tandem_sim::{Browser, BrowserId, Phase, World};

const SEEDS: std::ops::Range<u64> = 0..30;

#[test]
fn offers_that_cross_end_in_one_agreed_connection_for_each_pair() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        let all: Vec<_> = ["Ann", "Bo", "Cy", "Di"].iter().map(|name| world.join("tovu", name)).collect();
        world.settle();
        world.check();
        assert!(all.iter().all(|id| world.browser(*id).phase == Phase::Live), "seed {seed}");
        leave_all(&mut world);
    }
}

#[test]
fn of_two_who_press_join_at_once_exactly_one_is_host_and_both_are_told_the_same() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        let (ann, bo) = (world.join("tovu", "Ann"), world.join("tovu", "Bo"));
        world.settle();
        world.check();
        assert_eq!(world.browser(ann).room, world.browser(bo).room, "seed {seed}");
        let hosts = [ann, bo].iter().filter(|id| is_host(&world, **id)).count();
        assert_eq!(hosts, 1, "seed {seed}");
        leave_all(&mut world);
    }
}

#[test]
fn sockets_lost_in_the_middle_of_a_burst_lose_double_and_reorder_nothing() {
    for seed in 0..80 {
        let mut world = World::new(seed);
        let (ann, bo, cy) = (world.join("tovu", "Ann"), world.join("tovu", "Bo"), world.join("tovu", "Cy"));
        world.settle();
        for n in 0..60 {
            world.say(ann, &format!("a{n}"));
            world.say(bo, &format!("b{n}"));
            if world.chance.one_in(8) {
                let who = [ann, bo, cy][world.chance.below(3)];
                if world.chance.one_in(2) { world.cut(who) } else { world.switch(who) }
            }
            let pause = world.chance.milliseconds(0, 300);
            world.run(pause);
        }
        world.settle();
        world.check();
        let expected = |letter: &str| (0..60).map(|n| format!("{letter}{n}")).collect::<Vec<_>>();
        for (listener, speaker, letter) in [(cy, ann, "a"), (cy, bo, "b"), (bo, ann, "a"), (ann, bo, "b")] {
            let speaker = world.me(speaker);
            let heard = world.browser(listener).heard.iter().filter(|(from, _)| *from == speaker);
            let heard: Vec<String> = heard.map(|(_, text)| text.clone()).collect();
            assert_eq!(heard, expected(letter), "seed {seed}");
        }
        leave_all(&mut world);
    }
}

#[test]
fn a_restart_of_the_server_in_mid_call_leaves_identities_epochs_and_connections_as_they_were() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        let all: Vec<_> = ["Ann", "Bo", "Cy"].iter().map(|name| world.join("tovu", name)).collect();
        world.settle();
        world.ask(all[0], |id| ClientFrame::Lock { id, locked: true });
        world.settle();
        let before = world.show("tovu").expect("it is there");
        let connections: Vec<_> = all.iter().map(|id| world.browser(*id).peers.len()).collect();
        world.restart();
        if world.chance.one_in(2) {
            // Twice in a row, before all are back.
            let pause = world.chance.milliseconds(0, 2000);
            world.run(pause);
            world.restart();
        }
        world.settle();
        world.check();
        let after = world.show("tovu").expect("it is there");
        assert_eq!(after, before, "seed {seed}");
        assert_eq!(connections, all.iter().map(|id| world.browser(*id).peers.len()).collect::<Vec<_>>());
        assert!(all.iter().all(|id| world.browser(*id).phase == Phase::Live), "seed {seed}");
        leave_all(&mut world);
    }
}

#[test]
fn a_restart_while_lines_are_being_said_loses_nobody() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        let (ann, bo) = (world.join("tovu", "Ann"), world.join("tovu", "Bo"));
        world.settle();
        for n in 0..20 {
            world.say(ann, &format!("{n}"));
            let pause = world.chance.milliseconds(0, 100);
            world.run(pause);
            if n == 10 {
                world.restart();
            }
        }
        world.settle();
        world.check();
        // What was under way when the process ended may be lost or come twice; what was said after it may not.
        let heard: Vec<u32> = world.browser(bo).heard.iter().filter_map(|(_, text)| text.parse().ok()).collect();
        assert!(heard.ends_with(&(11..20).collect::<Vec<_>>()), "seed {seed}: {heard:?}");
        leave_all(&mut world);
    }
}

#[test]
fn those_who_do_not_come_back_after_a_restart_are_lost_after_thirty_seconds() {
    let mut world = World::new(1);
    let (ann, bo) = ann_and_bo(&mut world);
    world.vanish(ann);
    world.restart();
    world.settle();
    assert_eq!(state_of(&mut world, "p1"), Some(Presence::Away));
    world.run(Duration::from_secs(31));
    world.settle();
    assert_eq!(state_of(&mut world, "p1"), None);
    assert!(is_host(&world, bo), "the host did not come back: the next one is");
    world.check();
    leave_all(&mut world);
}

#[test]
fn a_reloaded_page_keeps_its_place_and_its_connections_are_made_anew() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        let all: Vec<_> = ["Ann", "Bo", "Cy"].iter().map(|name| world.join("tovu", name)).collect();
        world.settle();
        let me = world.me(all[1]);
        world.reload(all[1]);
        if world.chance.one_in(2) {
            // Again, perhaps before the answer came.
            let pause = world.chance.milliseconds(0, 400);
            world.run(pause);
            world.reload(all[1]);
        }
        world.settle();
        world.check();
        assert_eq!(world.me(all[1]), me, "seed {seed}");
        let epoch = world.browser(all[0]).roster[&me].epoch;
        assert!((2..=3).contains(&epoch), "seed {seed}: {epoch}");
        leave_all(&mut world);
    }
}

#[test]
fn one_who_is_away_for_thirty_seconds_is_lost_and_one_who_comes_back_before_is_not() {
    let mut world = World::new(3);
    let (ann, bo) = ann_and_bo(&mut world);
    world.vanish(ann);
    world.settle();
    assert_eq!(state_of(&mut world, "p1"), Some(Presence::Away));
    world.run(Duration::from_secs(29));
    assert_eq!(state_of(&mut world, "p1"), Some(Presence::Away));
    world.run(Duration::from_secs(2));
    assert_eq!(state_of(&mut world, "p1"), None);
    world.settle();
    assert!(is_host(&world, bo));
    let lost = world.records.iter().any(|r| matches!(r, Record::Left { reason: LeaveReason::Lost, .. }));
    assert!(lost);
    assert_eq!(world.revoked.len(), 1, "its relaying ends, too");
    leave_all(&mut world);
}

#[test]
fn a_newcomer_rings_and_nothing_passes_until_the_host_accepts() {
    for seed in SEEDS {
        let mut world = World::new(seed);
        let ann = world.join_with(Browser::new("tovu", "Ann", Entry::Ring));
        world.settle();
        let bo = world.join("tovu", "Bo");
        world.settle();
        world.check();
        assert_eq!(world.browser(bo).state(), Some(Presence::Ringing));
        assert_eq!(world.browser(ann).roster["p2"].state, Presence::Ringing, "nobody is hidden");
        world.say(ann, "a secret");
        world.say(bo, "hello?");
        world.ask(bo, |id| ClientFrame::Offer { id, to: "p1".into(), epoch: 1, sdp: "v=0".into() });
        world.ask(ann, |id| ClientFrame::Offer { id, to: "p2".into(), epoch: 1, sdp: "v=0".into() });
        world.ask(bo, |id| ClientFrame::Accept { id, participant: "p2".into() });
        world.settle();
        assert_eq!(reasons(&world, bo), [Reason::NotAccepted, Reason::NotAccepted, Reason::NotHost]);
        assert_eq!(reasons(&world, ann), [Reason::NotAccepted]);
        assert!(world.browser(bo).heard.is_empty() && world.browser(bo).peers.is_empty());
        world.restart();
        world.settle();
        assert_eq!(world.browser(bo).state(), Some(Presence::Ringing), "a restart lets nobody in");
        world.ask(ann, |id| ClientFrame::Accept { id, participant: "p2".into() });
        world.settle();
        world.check();
        assert_eq!(world.browser(bo).state(), Some(Presence::Here));
        leave_all(&mut world);
    }
}

#[test]
fn one_who_is_declined_is_out_and_leaves_no_trace_in_the_history() {
    let mut world = World::new(5);
    let ann = world.join_with(Browser::new("tovu", "Ann", Entry::Ring));
    world.settle();
    let bo = world.join("tovu", "Bo");
    world.settle();
    world.ask(ann, |id| ClientFrame::Decline { id, participant: "p2".into() });
    world.settle();
    assert_eq!(world.browser(bo).phase, Phase::Out(LeaveReason::Declined));
    world.check();
    assert!(!world.records.iter().any(|r| matches!(r, Record::Joined { participant, .. } if participant == "p2")));
    leave_all(&mut world);
}

#[test]
fn those_who_ring_do_not_inherit_the_room_when_the_host_goes() {
    let mut world = World::new(6);
    let ann = world.join_with(Browser::new("tovu", "Ann", Entry::Ring));
    world.settle();
    let bo = world.join("tovu", "Bo");
    world.settle();
    world.ask(ann, |id| ClientFrame::Leave { id });
    world.settle();
    assert_eq!(world.browser(ann).phase, Phase::Out(LeaveReason::Left));
    assert_eq!(world.browser(bo).phase, Phase::Out(LeaveReason::Ended));
    world.check_empty();
}

#[test]
fn a_locked_room_refuses_newcomers_and_only_the_host_locks() {
    let mut world = World::new(7);
    let (ann, bo) = ann_and_bo(&mut world);
    let (host, guest) = (ann, bo);
    world.ask(guest, |id| ClientFrame::Lock { id, locked: true });
    world.settle();
    assert_eq!(reasons(&world, guest), [Reason::NotHost]);
    world.ask(host, |id| ClientFrame::Lock { id, locked: true });
    world.settle();
    let cy = world.join("tovu", "Cy");
    world.settle();
    assert_eq!(world.browser(cy).phase, Phase::Refused(Reason::RoomLocked));
    world.cut(guest);
    world.settle();
    assert_eq!(world.browser(guest).phase, Phase::Live, "a lock keeps nobody from coming back");
    world.ask(host, |id| ClientFrame::Lock { id, locked: false });
    world.settle();
    let di = world.join("tovu", "Di");
    world.settle();
    assert_eq!(world.browser(di).phase, Phase::Live);
    world.check();
    leave_all(&mut world);
}

#[test]
fn one_who_is_removed_cannot_come_back_by_the_resume_token_and_its_relaying_ends() {
    let mut world = World::new(8);
    let ann = world.join("tovu", "Ann");
    world.settle();
    let bo = world.join("tovu", "Bo");
    world.settle();
    world.cut(bo);
    world.ask(ann, |id| ClientFrame::Remove { id, participant: "p2".into() });
    world.settle();
    assert_eq!(world.browser(bo).phase, Phase::Refused(Reason::ResumeExpired));
    let session = world.show("tovu").and_then(|view| view.session).expect("it runs");
    assert_eq!(world.revoked, [format!("{session}.p2")]);
    world.check();
    leave_all(&mut world);
}

#[test]
fn the_host_hands_over_ends_for_all_and_is_followed_when_it_leaves() {
    let mut world = World::new(9);
    let ann = world.join("tovu", "Ann");
    world.settle();
    let (bo, cy) = (world.join("tovu", "Bo"), world.join("tovu", "Cy"));
    world.settle();
    let (second, third) = if world.me(bo) == "p2" { (bo, cy) } else { (cy, bo) };
    world.ask(ann, |id| ClientFrame::HandOver { id, to: "p3".into() });
    world.settle();
    world.check();
    assert!(is_host(&world, third));
    world.ask(third, |id| ClientFrame::Leave { id });
    world.settle();
    world.check();
    assert!(is_host(&world, ann), "the one who came first of those who are left");
    world.ask(second, |id| ClientFrame::End { id });
    world.settle();
    assert_eq!(reasons(&world, second), [Reason::NotHost]);
    world.ask(ann, |id| ClientFrame::End { id });
    world.settle();
    assert_eq!(world.browser(ann).phase, Phase::Out(LeaveReason::Ended));
    assert_eq!(world.browser(second).phase, Phase::Out(LeaveReason::Ended));
    world.check_empty();
}

#[test]
fn a_client_that_never_reads_is_put_out_and_the_others_go_on() {
    let mut world = World::new(10);
    let (ann, bo) = ann_and_bo(&mut world);
    world.browser_mut(bo).reads = false;
    for n in 0..1200 {
        world.say(ann, &format!("{n}"));
        world.run(Duration::from_millis(11));
    }
    world.settle();
    let slow = |r: &Record| matches!(r, Record::Left { reason: LeaveReason::TooSlow, .. });
    assert_eq!(world.records.iter().filter(|r| slow(r)).count(), 1);
    assert_eq!(world.show("tovu").expect("it is there").participants.len(), 1);
    assert!(reasons(&world, ann).is_empty());
    world.check();
    leave_all(&mut world);
}

#[test]
fn a_server_that_goes_down_says_so_refuses_newcomers_and_its_successor_gives_back_the_places() {
    let mut world = World::new(11);
    let (ann, bo) = ann_and_bo(&mut world);
    world.drain();
    let cy = world.join("other", "Cy");
    world.run(Duration::from_millis(500));
    assert!(world.browser(ann).draining && world.browser(bo).draining);
    assert_eq!(reasons(&world, cy).first(), Some(&Reason::Draining));
    world.restart();
    world.settle();
    assert!(!world.browser(ann).draining);
    assert_eq!(world.browser(cy).phase, Phase::Live, "it has tried again");
    world.check();
    leave_all(&mut world);
}

#[test]
fn what_cannot_be_understood_is_refused_by_name_and_disturbs_nobody() {
    let mut world = World::new(12);
    let (ann, bo) = ann_and_bo(&mut world);
    for text in [
        "",
        "{",
        "[1]",
        r#"{"type":"shout"}"#,
        r#"{"type":"chat","id":"1"}"#,
        r#"{"type":"chat","id":9000,"text":"x"}"#,
    ] {
        world.shout(ann, text);
    }
    world.settle();
    use Reason::{Malformed, OutOfOrder, UnknownType};
    assert_eq!(reasons(&world, ann), [Malformed, Malformed, Malformed, UnknownType, Malformed, OutOfOrder]);
    world.say(ann, "still here");
    world.settle();
    assert_eq!(world.browser(bo).heard.last().map(|(_, text)| text.as_str()), Some("still here"));
    world.check();
    leave_all(&mut world);
}

#[test]
fn one_who_floods_is_held_to_its_pace_and_cut_off_but_neither_it_nor_anybody_else_loses_the_place() {
    let mut world = World::new(13);
    let (ann, bo) = ann_and_bo(&mut world);
    for n in 0..5000 {
        world.say(bo, &format!("{n}"));
    }
    world.say(ann, "excuse me");
    world.settle();
    let too_many = reasons(&world, bo).iter().filter(|reason| **reason == Reason::TooMany).count();
    let heard = world.browser(ann).heard.len();
    // Each cut is told by a note besides the reply, unless the transport was gone before it came.
    let cuts = usize::try_from(world.engine.stats().resumes).expect("fits");
    assert!(cuts > 0, "it was cut off at least once");
    assert_eq!(heard + too_many, 5000 + cuts, "each line is passed on or refused, once");
    assert!(heard < 3000, "{heard} were passed on");
    assert_eq!(world.browser(bo).heard.len(), 1);
    world.check();
    leave_all(&mut world);
}

#[test]
fn whatever_happens_at_random_everyone_sees_the_same_room_and_nothing_is_left_behind() {
    for seed in 0..80 {
        let mut world = World::new(seed);
        for _ in 0..80 {
            something_happens(&mut world);
            let pause = world.chance.milliseconds(0, 800);
            world.run(pause);
            if world.chance.one_in(20) {
                world.settle();
                world.check();
            }
        }
        world.settle();
        world.check();
        leave_all(&mut world);
    }
}

fn something_happens(world: &mut World) {
    let room = ["tovu", "rabi"][world.chance.below(2)];
    let inside: Vec<BrowserId> =
        (0..world.browsers.len()).map(BrowserId).filter(|id| !world.browser(*id).is_out()).collect();
    if inside.len() < 2 || (inside.len() < 9 && world.chance.one_in(6)) {
        let entry = if world.chance.one_in(3) { Entry::Ring } else { Entry::Open };
        world.join_with(Browser::new(room, "Somebody", entry));
        return;
    }
    let who = inside[world.chance.below(inside.len())];
    let other = format!("p{}", world.chance.below(6) + 1);
    let flag = world.chance.one_in(2);
    match world.chance.below(16) {
        0..=2 => world.say(who, "hello"),
        3 => world.cut(who),
        4 => world.switch(who),
        5 => world.reload(who),
        6 => world.ask(who, |id| ClientFrame::Lock { id, locked: flag }),
        7 => world.ask(who, |id| ClientFrame::Remove { id, participant: other }),
        8 | 9 => world.ask(who, |id| ClientFrame::Accept { id, participant: other }),
        10 => world.ask(who, |id| ClientFrame::HandOver { id, to: other }),
        11 | 12 => {
            let media = Media { audio: flag, video: !flag, screen: world.chance.one_in(5) };
            world.ask(who, |id| ClientFrame::Media { id, media });
        }
        13 => world.ask(who, |id| ClientFrame::Leave { id }),
        14 if world.chance.one_in(4) => world.restart(),
        15 if world.chance.one_in(4) => world.vanish(who),
        _ => world.ask(who, |id| ClientFrame::Rename { id, name: format!("Name {other}") }),
    }
}

fn leave_all(world: &mut World) {
    for id in (0..world.browsers.len()).map(BrowserId) {
        if !world.browser(id).is_out() {
            world.ask(id, |id| ClientFrame::Leave { id });
        }
    }
    world.settle();
    world.run(Duration::from_secs(60));
    world.settle();
    world.check_empty();
}

/// One after the other: Ann is `p1` and host.
fn ann_and_bo(world: &mut World) -> (BrowserId, BrowserId) {
    let ann = world.join("tovu", "Ann");
    world.settle();
    let bo = world.join("tovu", "Bo");
    world.settle();
    (ann, bo)
}

fn is_host(world: &World, id: BrowserId) -> bool {
    let browser = world.browser(id);
    browser.room.as_ref().is_some_and(|room| room.host == browser.me)
}

fn state_of(world: &mut World, who: &str) -> Option<Presence> {
    let view = world.show("tovu")?;
    view.participants.into_iter().find(|p| p.id == who).map(|p| p.state)
}

fn reasons(world: &World, id: BrowserId) -> Vec<Reason> {
    world.browser(id).refusals.iter().map(|(reason, _)| *reason).collect()
}
