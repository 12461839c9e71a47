//! Breakout rooms: opened, gone to, left, closed, and what remains of them.

mod house;

use std::time::Duration;

use house::{House, config, grants, join};
use tandem_api::signal::{
    ClientFrame, Door, Event, Hello, Join, LeaveReason, Look, Note, Outcome, Permissions, Reason,
};
use tandem_engine::{Command, Config, Grants, Input, Reply};

fn house_of(names: &[&str]) -> House {
    let mut house = House::with(Config { requests_burst: 1_000, ..config() });
    for (transport, name) in (1..).zip(names) {
        house.join(transport, "main", name);
    }
    house
}

/// Where somebody was sent, the last time.
fn sent(house: &House, transport: u64) -> (String, String) {
    let sent = house.events(transport).into_iter().rev().find_map(|event| match event {
        Event::Moved { room, pass } => Some((room, pass)),
        _ => None,
    });
    sent.expect("it was sent")
}

/// Follows, by another transport.
fn follow(house: &mut House, from: u64, to: u64, name: &str) -> String {
    let (room, pass) = sent(house, from);
    house.hello(to, Hello::Join(Join { token: Some(pass), ..join(&room, name) }));
    let joined = house.joined(to);
    assert_eq!(joined.room.name, room);
    joined.you
}

fn open(house: &mut House, rooms: u8, assign: bool) -> Outcome {
    house.ask(1, |id| ClientFrame::BreakoutOpen { id, rooms, assign })
}

fn to(id: u64, who: &str, room: &str) -> ClientFrame {
    ClientFrame::Move { id, participant: who.into(), from: None, to: room.into() }
}

/// Who is where, as the host's family hears it last.
fn seen(house: &House, transport: u64) -> Vec<(String, Vec<String>)> {
    let room = house.events(transport).into_iter().rev().find_map(|event| match event {
        Event::RoomChanged { room } => Some(room),
        Event::Joined(joined) => Some(joined.room),
        _ => None,
    });
    let breakouts = room.expect("a room").breakouts.into_iter();
    breakouts.map(|it| (it.name, it.participants.into_iter().map(|member| member.name).collect())).collect()
}

fn names(house: &mut House, room: &str) -> Option<Vec<String>> {
    match house.command(Command::ShowRoom { name: room.into() }) {
        Reply::Room(view) => Some(view.participants.into_iter().map(|it| it.name).collect()),
        _ => None,
    }
}

#[test]
fn everybody_else_is_spread_over_the_rooms_and_called_back() {
    let mut house = house_of(&["Ann", "Bo", "Cy", "Di"]);
    assert_eq!(open(&mut house, 2, true), Outcome::Ok);
    for transport in [2, 3, 4] {
        assert!(house.events(transport).contains(&Event::Out { reason: LeaveReason::Moved }));
    }
    follow(&mut house, 2, 12, "Bo");
    follow(&mut house, 3, 13, "Cy");
    follow(&mut house, 4, 14, "Di");
    let all = [("main-1".to_owned(), vec!["Bo".to_owned(), "Di".to_owned()]), ("main-2".into(), vec!["Cy".to_owned()])];
    assert_eq!(seen(&house, 1), all, "the host sees who is where");
    assert_eq!(seen(&house, 12), all, "and so do those who went");
    assert_eq!(house.joined(12).room.parent.as_deref(), Some("main"));
    house.clear();
    assert_eq!(house.ask(1, |id| ClientFrame::BreakoutClose { id }), Outcome::Ok);
    follow(&mut house, 12, 22, "Bo");
    follow(&mut house, 13, 23, "Cy");
    follow(&mut house, 14, 24, "Di");
    assert_eq!(names(&mut house, "main").expect("it is there"), ["Ann", "Bo", "Cy", "Di"]);
    assert_eq!((names(&mut house, "main-1"), names(&mut house, "main-2")), (None, None));
    assert!(seen(&house, 1).is_empty());
}

#[test]
fn nobody_but_the_host_opens_and_only_rooms_of_the_family_are_gone_to() {
    let mut house = house_of(&["Ann", "Bo"]);
    assert_eq!(house.reason(2, |id| ClientFrame::BreakoutOpen { id, rooms: 2, assign: true }), Reason::NotHost);
    assert_eq!(house.reason(1, |id| ClientFrame::BreakoutClose { id }), Reason::Forbidden);
    for rooms in [0, 21] {
        assert_eq!(house.reason(1, |id| ClientFrame::BreakoutOpen { id, rooms, assign: false }), Reason::Malformed);
    }
    assert_eq!(house.reason(2, |id| to(id, "p2", "main-1")), Reason::BadName, "there are none yet");
    open(&mut house, 2, false);
    assert_eq!(house.reason(1, |id| ClientFrame::BreakoutOpen { id, rooms: 2, assign: false }), Reason::Forbidden);
    house.join(9, "elsewhere", "Eve");
    assert_eq!(house.reason(2, |id| to(id, "p2", "elsewhere")), Reason::BadName);
    assert_eq!(house.reason(2, |id| to(id, "p1", "main-1")), Reason::NotHost, "others are the host's to send");
    assert_eq!(house.reason(1, |id| to(id, "p7", "main-1")), Reason::NoSuchParticipant);
    assert_eq!(house.ask(2, |id| to(id, "p2", "main-1")), Outcome::Ok, "oneself one may");
    follow(&mut house, 2, 12, "Bo");
    house.ask(1, |id| to(id, "p1", "main-1"));
    follow(&mut house, 1, 11, "Ann");
    assert_eq!(house.reason(11, |id| ClientFrame::BreakoutOpen { id, rooms: 2, assign: false }), Reason::Forbidden);
}

#[test]
fn a_breakout_room_is_entered_by_a_pass_alone_and_a_pass_is_good_once() {
    let mut house = house_of(&["Ann", "Bo"]);
    open(&mut house, 1, true);
    house.hello(5, Hello::Join(join("main-1", "Eve")));
    assert_eq!(house.refused(5).0, Reason::Forbidden);
    house.enter(6, "main-1", "Eve", Grants { may: Permissions { admin: true, ..Permissions::USUAL }, ..grants("eve") });
    assert_eq!(house.refused(6).0, Reason::Forbidden, "not by a token either");
    house.hello(7, Hello::Look(Look { room: "main-1".into() }));
    assert!(matches!(house.notes(7).pop(), Some(Note::Seen(seen)) if seen.door == Door::Breakout));
    let (room, pass) = sent(&house, 2);
    let with = |room: &str| Hello::Join(Join { token: Some(pass.clone()), ..join(room, "Bo") });
    house.hello(8, with("main"));
    assert_eq!(house.refused(8).0, Reason::BadToken, "it is for the other room");
    house.hello(9, with(&room));
    house.joined(9);
    house.hello(10, with(&room));
    assert_eq!(house.refused(10).0, Reason::BadToken, "it was used");
    house.hello(11, Hello::Join(Join { token: Some("guess".into()), ..join("main", "Eve") }));
    assert_eq!(house.refused(11).0, Reason::BadToken);
}

#[test]
fn the_host_visits_decides_there_and_is_the_host_again_at_home() {
    let mut house = house_of(&["Ann", "Bo", "Cy"]);
    open(&mut house, 2, true);
    follow(&mut house, 2, 12, "Bo");
    follow(&mut house, 3, 13, "Cy");
    house.ask(1, |id| to(id, "p1", "main-1"));
    let you = follow(&mut house, 1, 11, "Ann");
    assert_eq!(names(&mut house, "main"), Some(vec![]), "nobody is there, and it stays");
    assert_eq!(house.joined(11).room.host, "p2", "Bo was the first in it, and decides nothing");
    let cy = ClientFrame::Move { id: 1, participant: "p1".into(), from: Some("main-2".into()), to: "main-1".into() };
    assert_eq!(house.ask(11, |_| cy), Outcome::Ok, "she sends others, from anywhere");
    follow(&mut house, 13, 23, "Cy");
    house.ask(11, |id| to(id, &you, "main"));
    follow(&mut house, 11, 21, "Ann");
    let joined = house.joined(21);
    assert_eq!((joined.room.host.as_str(), joined.you.as_str()), ("p1", "p1"));
    assert_eq!(joined.participants[0].may, Permissions::USUAL, "as before");
    assert_eq!(house.ask(21, |id| ClientFrame::BreakoutClose { id }), Outcome::Ok);
}

#[test]
fn whoever_is_first_in_a_breakout_room_decides_nothing_there() {
    let mut house = house_of(&["Ann", "Bo", "Cy"]);
    house.ask(1, |id| ClientFrame::Newcomers { id, watch_only: true });
    house.join(4, "main", "Di");
    open(&mut house, 2, false);
    house.ask(2, |id| to(id, "p2", "main-1"));
    follow(&mut house, 2, 12, "Bo");
    house.ask(4, |id| to(id, "p4", "main-1"));
    follow(&mut house, 4, 14, "Di");
    assert_eq!(house.joined(12).room.host, "p1");
    assert_eq!(house.reason(12, |id| ClientFrame::BreakoutClose { id }), Reason::NotHost);
    assert_eq!(house.reason(12, |id| to(id, "p2", "main-2")), Reason::NotHost);
    let cy = |id| ClientFrame::Move { id, participant: "p3".into(), from: Some("main".into()), to: "main-1".into() };
    assert_eq!(house.reason(12, cy), Reason::NotHost);
    assert_eq!(house.reason(12, |id| ClientFrame::Remove { id, participant: "p2".into() }), Reason::NotHost);
    house.ask(12, |id| to(id, "p1", "main"));
    let left = house.events(14).into_iter().rev().find_map(|event| match event {
        Event::RoomChanged { room } => Some(room.host),
        _ => None,
    });
    assert_eq!(left.as_deref(), Some("p2"), "somebody is the host, in name");
    let may = match house.command(Command::ShowRoom { name: "main-1".into() }) {
        Reply::Room(view) => view.participants[0].may,
        other => panic!("{other:?}"),
    };
    assert!(!may.publish.audio, "and may no more than before");
}

#[test]
fn the_host_is_the_host_again_when_others_are_back_before() {
    let mut house = house_of(&["Ann", "Bo"]);
    open(&mut house, 1, true);
    follow(&mut house, 2, 12, "Bo");
    house.ask(1, |id| to(id, "p1", "main-1"));
    follow(&mut house, 1, 11, "Ann");
    house.ask(12, |id| to(id, "p1", "main"));
    follow(&mut house, 12, 22, "Bo");
    assert_eq!(house.joined(22).room.host, "p1", "somebody has to be");
    house.ask(11, |id| to(id, "p2", "main"));
    follow(&mut house, 11, 21, "Ann");
    assert_eq!(house.joined(21).room.host, house.joined(21).you);
}

#[test]
fn with_nobody_left_in_any_of_them_nothing_is_left() {
    let mut house = house_of(&["Ann", "Bo"]);
    open(&mut house, 3, true);
    follow(&mut house, 2, 12, "Bo");
    house.ask(1, |id| ClientFrame::Leave { id });
    assert!(names(&mut house, "main").is_some(), "Bo may come back");
    house.ask(12, |id| ClientFrame::Leave { id });
    assert_eq!(house.engine.stats().rooms, 0);
}

#[test]
fn a_room_waits_for_those_who_were_sent_and_not_for_ever() {
    let mut house = house_of(&["Ann", "Bo"]);
    open(&mut house, 1, true);
    house.ask(1, |id| to(id, "p1", "main-1"));
    assert!(names(&mut house, "main-1").is_some(), "nobody is anywhere at this moment");
    house.pass(Duration::from_secs(61));
    assert_eq!(house.engine.stats().rooms, 0);
    assert_eq!(house.engine.stats().timers, 0);
}

#[test]
fn when_the_session_is_ended_it_ends_everywhere() {
    let mut house = house_of(&["Ann", "Bo"]);
    open(&mut house, 2, true);
    follow(&mut house, 2, 12, "Bo");
    house.ask(1, |id| ClientFrame::End { id });
    assert!(house.events(12).contains(&Event::Out { reason: LeaveReason::Ended }));
    assert_eq!(house.engine.stats().rooms, 0);
}

#[test]
fn a_family_is_the_same_after_a_restart() {
    let mut house = house_of(&["Ann", "Bo"]);
    open(&mut house, 2, true);
    follow(&mut house, 2, 12, "Bo");
    let kept: Vec<_> = ["main", "main-1", "main-2"].iter().filter_map(|name| house.kept(name)).collect();
    assert_eq!(kept.len(), 3);
    let (ann, bo) = (house.joined(1).resume_token, house.joined(12).resume_token);
    let mut later = House::new();
    later.input(Input::Restore(kept));
    for (transport, token) in [(1, ann), (2, bo)] {
        let resume = tandem_api::signal::Resume { token, last: Some(1), media: Default::default() };
        later.hello(transport, Hello::Resume(resume));
    }
    assert_eq!(later.ask(1, |id| ClientFrame::BreakoutClose { id }), Outcome::Ok);
    follow(&mut later, 2, 3, "Bo");
    assert_eq!(names(&mut later, "main"), Some(vec!["Ann".to_owned(), "Bo".to_owned()]));
    assert_eq!(later.engine.stats().rooms, 1);
}

#[test]
fn one_whose_family_was_not_kept_is_let_go() {
    let mut house = house_of(&["Ann", "Bo"]);
    open(&mut house, 1, true);
    follow(&mut house, 2, 12, "Bo");
    let kept = house.kept("main-1").expect("it is stored");
    let mut later = House::new();
    later.input(Input::Restore(vec![kept]));
    assert_eq!(later.engine.stats().rooms, 0);
}

#[test]
fn a_third_party_sends_somebody_to_any_room_that_is_there() {
    let mut house = house_of(&["Ann", "Bo"]);
    house.join(5, "lounge", "Lou");
    let send = |to: &str| Command::MoveParticipant { room: "main".into(), participant: "p2".into(), to: to.into() };
    assert!(matches!(house.command(send("nowhere")), Reply::Refused { reason: Reason::BadName, .. }));
    assert_eq!(house.command(send("lounge")), Reply::Done);
    follow(&mut house, 2, 12, "Bo");
    assert_eq!(names(&mut house, "lounge").expect("it is there"), ["Lou", "Bo"]);
}
