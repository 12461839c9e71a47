//! Who may do what: by a token, by the host's word, and who only watches.

mod house;

use house::offers::{self, M};
use house::{House, config, grants, join, offer, wanted};
use tandem_api::signal::{
    ClientFrame, Door, Entry, Event, Hello, Join, LeaveReason, Look, Media, Note, Outcome, Participant, Permissions,
    Reason, Source, Topology, parse_frame,
};
use tandem_engine::{
    Command, Config, CreateRoom, Grants, Guest, Happening, Output, ParticipantChange, Reply, RoomChange, TransportId,
    Way,
};
use tandem_media as media;
use tandem_media::terms::Terms;

const NOTHING: Media = Media { audio: false, video: false, screen: false };
const AUDIO: Media = Media { audio: true, ..NOTHING };
const WATCH: Permissions = Permissions { publish: NOTHING, ..Permissions::USUAL };
const ADMIN: Permissions = Permissions { admin: true, ..Permissions::USUAL };

fn house() -> House {
    House::with(Config { planes: vec![Terms::new([7; 32], Vec::new())], mesh: 4, ..config() })
}

fn person(house: &mut House, room: &str, who: &str) -> Participant {
    match house.command(Command::ShowRoom { name: room.into() }) {
        Reply::Room(view) => view.participants.into_iter().find(|p| p.id == who).expect("it is there"),
        other => panic!("{other:?}"),
    }
}

fn with_media(room: &str, name: &str) -> Hello {
    Hello::Join(Join { media: Media::ALL, ..join(room, name) })
}

fn permit(id: u64, who: &str, may: Permissions) -> ClientFrame {
    ClientFrame::Permit { id, participant: who.into(), may }
}

// --- tokens ---

#[test]
fn where_tokens_are_needed_nobody_enters_without_and_no_room_comes_of_trying() {
    let mut house = House::with(Config { tokens: true, ..config() });
    house.hello(1, Hello::Join(join("a", "Ann")));
    assert_eq!(house.refused(1).0, Reason::TokenNeeded);
    assert_eq!(house.engine.stats().rooms, 0);
    house.hello(2, Hello::Look(Look { room: "a".into() }));
    assert!(matches!(house.notes(2).pop(), Some(Note::Seen(seen)) if seen.door == Door::Token));
    house.enter(3, "a", "Ann", grants("ann"));
    let joined = house.joined(3);
    assert!(joined.room.tokens);
    assert_eq!(joined.participants[0].identity.as_deref(), Some("ann"));
    house.hello(4, Hello::Join(join("a", "Bo")));
    assert_eq!(house.refused(4).0, Reason::TokenNeeded);
}

#[test]
fn one_room_alone_may_need_tokens() {
    let mut house = house();
    house.command(Command::CreateRoom(CreateRoom { tokens: true, ..wanted(Some("a")) }));
    house.hello(1, Hello::Join(join("a", "Ann")));
    assert_eq!(house.refused(1).0, Reason::TokenNeeded);
    house.join(2, "b", "Bo");
}

#[test]
fn a_token_is_for_its_room_in_whatever_spelling() {
    let mut house = house();
    house.enter(1, "CAFE\u{301}", "Ann", Grants { room: Some("café".into()), ..grants("ann") });
    assert_eq!(house.joined(1).room.name, "café");
    house.enter(2, "bar", "Bo", Grants { room: Some("café".into()), ..grants("bo") });
    let (reason, detail) = house.refused(2);
    assert_eq!(reason, Reason::BadToken);
    assert!(detail.contains("`café`") && detail.contains("`bar`"), "{detail}");
}

#[test]
fn the_name_in_a_token_counts_and_stays() {
    let mut house = house();
    house.enter(1, "a", "Mallory", Grants { name: Some("Ann".into()), metadata: Some("x".into()), ..grants("ann") });
    let me = house.joined(1).participants.remove(0);
    assert_eq!((me.name.as_str(), me.metadata.as_deref()), ("Ann", Some("x")));
    assert_eq!(house.reason(1, |id| ClientFrame::Rename { id, name: "Bo".into() }), Reason::NotPermitted);
    house.enter(2, "a", "Bo", grants("bo"));
    assert_eq!(house.ask(2, |id| ClientFrame::Rename { id, name: "Bob".into() }), Outcome::Ok, "this one had none");
}

#[test]
fn the_same_identity_is_in_once_and_the_newer_one_counts() {
    let mut house = house();
    house.enter(1, "a", "Ann", Grants { may: ADMIN, ..grants("ann") });
    house.enter(2, "a", "Ann again", Grants { may: ADMIN, ..grants("ann") });
    assert!(house.events(1).contains(&Event::Out { reason: LeaveReason::Replaced }));
    assert!(house.all.contains(&Output::Close { transport: TransportId(1) }));
    assert_eq!(house.engine.stats().sessions, 1, "the session goes on");
    let host = match house.command(Command::ShowRoom { name: "a".into() }) {
        Reply::Room(view) => view.room.host,
        other => panic!("{other:?}"),
    };
    assert_eq!(host, "p2");
}

#[test]
fn a_token_opens_a_door_where_others_ring_and_an_admins_a_locked_one() {
    let mut house = house();
    house.hello(1, Hello::Join(Join { entry: Entry::Ring, ..join("a", "Ann") }));
    house.enter(2, "a", "Bo", grants("bo"));
    assert_eq!(person(&mut house, "a", "p2").state, tandem_api::signal::Presence::Here);
    house.ask(1, |id| ClientFrame::Lock { id, locked: true });
    house.enter(3, "a", "Cy", grants("cy"));
    assert_eq!(house.refused(3).0, Reason::RoomLocked);
    house.enter(4, "a", "Di", Grants { may: ADMIN, ..grants("di") });
    house.joined(4);
}

#[test]
fn a_host_by_token_decides_only_if_the_token_says_so_and_the_first_who_may_becomes_it() {
    let mut house = house();
    house.enter(1, "a", "Ann", grants("ann"));
    assert_eq!(house.joined(1).room.host, "p1", "somebody is");
    assert_eq!(house.reason(1, |id| ClientFrame::Lock { id, locked: true }), Reason::NotHost);
    assert_eq!(house.reason(1, |id| ClientFrame::End { id }), Reason::NotHost);
    house.enter(2, "a", "Bo", Grants { may: ADMIN, ..grants("bo") });
    assert_eq!(house.joined(2).room.host, "p2");
    assert_eq!(house.ask(2, |id| ClientFrame::Lock { id, locked: true }), Outcome::Ok);
    assert_eq!(house.reason(2, |id| ClientFrame::HandOver { id, to: "p1".into() }), Reason::Forbidden);
}

#[test]
fn a_room_comes_back_after_a_restart_with_identities_and_rights() {
    let mut house = house();
    let given = Grants { name: Some("Ann".into()), metadata: Some("m".into()), may: WATCH, ..grants("ann") };
    house.enter(1, "a", "x", given);
    let kept = house.kept("a").expect("it is stored");
    let mut later = self::house();
    later.input(tandem_engine::Input::Restore(vec![kept]));
    let ann = person(&mut later, "a", "p1");
    assert_eq!((ann.identity.as_deref(), ann.metadata.as_deref(), ann.may), (Some("ann"), Some("m"), WATCH));
}

// --- the host's word ---

#[test]
fn newcomers_only_watch_once_the_host_says_so_and_whoever_is_in_already_goes_on() {
    let mut house = house();
    house.hello(1, with_media("a", "Ann"));
    house.hello(2, with_media("a", "Bo"));
    assert_eq!(house.reason(2, |id| ClientFrame::Newcomers { id, watch_only: true }), Reason::NotHost);
    house.ask(1, |id| ClientFrame::Newcomers { id, watch_only: true });
    house.hello(3, with_media("a", "Cy"));
    let joined = house.joined(3);
    assert!(joined.room.watch_only);
    let [ann, bo, cy] = &joined.participants[..] else { panic!("three") };
    assert_eq!((ann.may, bo.may, cy.may), (Permissions::USUAL, Permissions::USUAL, WATCH));
    assert_eq!((bo.media, cy.media), (Media::ALL, NOTHING));
    let way = house.events(3).into_iter().rev().find_map(|event| match event {
        Event::RoomChanged { room } => Some(room.topology),
        _ => None,
    });
    assert_eq!(way, Some(Topology::Sfu), "the server has to see to it");
    assert_eq!(house.reason(3, |id| ClientFrame::Media { id, media: AUDIO }), Reason::NotPermitted);
    assert_eq!(person(&mut house, "a", "p3").media, NOTHING);
    assert_eq!(house.reason(3, |id| offer(id, "p1", 1, "v=0")), Reason::NotPermitted, "not past the server either");
    assert_eq!(house.reason(1, |id| offer(id, "p3", 1, "v=0")), Reason::NotPermitted);
}

#[test]
fn the_floor_is_given_and_taken() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.ask(1, |id| ClientFrame::Newcomers { id, watch_only: true });
    house.join(2, "a", "Bo");
    house.ask(2, |id| ClientFrame::Hand { id, raised: true });
    assert_eq!(house.reason(2, |id| permit(id, "p2", Permissions::USUAL)), Reason::NotHost, "nobody takes it");
    assert_eq!(house.ask(1, |id| permit(id, "p2", Permissions { publish: AUDIO, ..WATCH })), Outcome::Ok);
    let bo = person(&mut house, "a", "p2");
    assert_eq!((bo.may.publish, bo.hand), (AUDIO, None), "it has got what it asked for");
    assert_eq!(house.reason(2, |id| ClientFrame::Media { id, media: Media::ALL }), Reason::NotPermitted);
    assert_eq!(person(&mut house, "a", "p2").media, AUDIO, "as much as it may");
    house.ask(1, |id| permit(id, "p2", WATCH));
    assert_eq!(person(&mut house, "a", "p2").media, NOTHING);
    house.ask(1, |id| permit(id, "p2", Permissions { data: false, ..Permissions::USUAL }));
    assert_eq!(house.reason(2, |id| ClientFrame::Chat { id, text: "hi".into(), to: None }), Reason::NotPermitted);
}

#[test]
fn a_co_host_decides_and_the_host_cannot_be_silenced_by_it() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    house.ask(1, |id| permit(id, "p2", ADMIN));
    assert_eq!(house.ask(2, |id| ClientFrame::Lock { id, locked: true }), Outcome::Ok);
    assert_eq!(house.reason(2, |id| permit(id, "p1", WATCH)), Reason::Forbidden);
    assert_eq!(house.ask(2, |id| permit(id, "p2", Permissions::USUAL)), Outcome::Ok, "it lays it down");
    assert_eq!(house.reason(2, |id| ClientFrame::Lock { id, locked: false }), Reason::NotHost);
}

#[test]
fn whoever_becomes_host_may_do_everything() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.ask(1, |id| ClientFrame::Newcomers { id, watch_only: true });
    house.join(2, "a", "Bo");
    house.ask(1, |id| ClientFrame::Leave { id });
    let bo = person(&mut house, "a", "p2");
    assert_eq!(bo.may, Permissions::USUAL);
    assert_eq!(house.ask(2, |id| ClientFrame::Newcomers { id, watch_only: false }), Outcome::Ok);
}

#[test]
fn captions_go_to_those_who_are_here_and_are_not_repeated() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    let say = |text: &str, language: &str| {
        let (text, language) = (text.to_owned(), language.to_owned());
        move |id| ClientFrame::Caption { id, line: 3, text, done: false, language }
    };
    assert_eq!(house.ask(1, say("Hello wor", "en-GB")), Outcome::Ok);
    let caption =
        Note::Caption { from: "p1".into(), line: 3, text: "Hello wor".into(), done: false, language: "en-GB".into() };
    assert!(house.notes(2).contains(&caption) && !house.notes(1).contains(&caption));
    assert_eq!(house.reason(1, say(&"x".repeat(1_001), "en")), Reason::TooLarge);
    assert_eq!(house.reason(1, say("x", "en_\u{202e}")), Reason::Malformed);
}

// --- third parties ---

#[test]
fn a_third_party_changes_a_room_and_those_in_it() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    let change = RoomChange { locked: Some(true), metadata: Some("m".into()), ..RoomChange::default() };
    let reply = house.command(Command::ChangeRoom { room: "a".into(), change });
    assert!(matches!(&reply, Reply::Room(view) if view.room.locked && view.room.metadata.as_deref() == Some("m")));
    let change = ParticipantChange { name: Some("Bob".into()), metadata: Some("n".into()), may: Some(WATCH) };
    let change = |participant: &str| Command::ChangeParticipant {
        room: "a".into(),
        participant: participant.into(),
        change: change.clone(),
    };
    assert!(matches!(house.command(change("p2")), Reply::Participant(bo) if bo.name == "Bob" && bo.may == WATCH));
    assert_eq!(house.command(change("p9")), Reply::NotFound);
    let large = RoomChange { metadata: Some("m".repeat(5_000)), ..RoomChange::default() };
    let reply = house.command(Command::ChangeRoom { room: "a".into(), change: large });
    assert!(matches!(reply, Reply::Refused { reason: Reason::TooLarge, .. }), "{reply:?}");
    let message = parse_frame(r#"{"type":"message","id":1,"data":{"n":1}}"#);
    let Ok(ClientFrame::Message { data, .. }) = message else { panic!("{message:?}") };
    let tell = |to: &[&str]| Command::Tell {
        room: "a".into(),
        to: to.iter().map(|it| (*it).to_owned()).collect(),
        data: data.clone(),
    };
    assert_eq!(house.command(tell(&["p1"])), Reply::Done);
    let told = |house: &House, who| house.events(who).iter().filter(|it| matches!(it, Event::Message { .. })).count();
    assert_eq!((told(&house, 1), told(&house, 2)), (1, 0));
    assert_eq!(house.command(tell(&[])), Reply::Done);
    assert_eq!((told(&house, 1), told(&house, 2)), (2, 1));
    assert!(matches!(house.command(tell(&["p9"])), Reply::Refused { reason: Reason::NoSuchParticipant, .. }));
}

#[test]
fn third_parties_hear_what_happens_in_order_and_nothing_where_they_do_not_listen() {
    let mut house = House::with(Config { hooks: true, ..config() });
    house.enter(1, "a", "Ann", grants("ann"));
    house.join(2, "a", "Bo");
    house.ask(2, |id| ClientFrame::Leave { id });
    house.ask(1, |id| ClientFrame::Leave { id });
    let names = house.all.iter().filter_map(|output| match output {
        Output::Hook(hook) => Some(match &hook.what {
            Happening::RoomStarted => "started".to_owned(),
            Happening::RoomFinished => "finished".to_owned(),
            Happening::ParticipantJoined { participant } => format!("{} joined", participant.name),
            Happening::ParticipantLeft { participant, reason } => format!("{} {reason:?}", participant.name),
            other => panic!("{other:?}"),
        }),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["started", "Ann joined", "Bo joined", "Bo Left", "Ann Left", "finished"]);
    let sessions: std::collections::BTreeSet<_> = house
        .all
        .iter()
        .filter_map(|output| if let Output::Hook(hook) = output { Some(hook.session.clone()) } else { None })
        .collect();
    assert_eq!(sessions.len(), 1, "all of one session: {sessions:?}");
    let mut quiet = House::with(Config { hooks: false, ..config() });
    quiet.join(1, "a", "Ann");
    assert!(!quiet.all.iter().any(|output| matches!(output, Output::Hook(_))));
}

// --- through the plane ---

const CAMERA: [M; 3] = [M::Data("0"), M::Sends("1", Source::Microphone), M::Sends("2", Source::Camera)];
const VIEWER: [M; 2] = [M::Receives("0", "audio"), M::Receives("1", "video")];

#[test]
fn what_may_not_be_sent_is_not_agreed_on_and_what_was_is_stopped() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.enter(2, "a", "Bo", Grants { may: Permissions { publish: AUDIO, ..WATCH }, ..grants("bo") });
    assert_eq!(offers::offer(&mut house, 2, (1, "uuuu"), &CAMERA), Outcome::Ok);
    let tracks = person(&mut house, "a", "p2").tracks;
    assert_eq!(tracks.iter().map(|track| track.source).collect::<Vec<_>>(), [Source::Microphone]);
    house.ask(2, |id| ClientFrame::Media { id, media: AUDIO });
    house.clear();
    house.ask(1, |id| permit(id, "p2", WATCH));
    assert!(person(&mut house, "a", "p2").tracks[0].stopped);
    let is_mute = |command: &media::Command| matches!(command, media::Command::Mute { muted: true, .. });
    assert!(offers::commands(&house).iter().any(is_mute));
    house.clear();
    house.ask(1, |id| permit(id, "p2", Permissions::USUAL));
    assert!(person(&mut house, "a", "p2").tracks[0].stopped, "its owner turns it on, and nobody else");
    house.ask(2, |id| ClientFrame::Media { id, media: AUDIO });
    assert!(!person(&mut house, "a", "p2").tracks[0].stopped);
}

#[test]
fn who_may_not_subscribe_gets_nothing_and_who_may_not_speak_is_hushed() {
    let mut house = house();
    house.join(1, "a", "Ann");
    offers::offer(&mut house, 1, (1, "aaaa"), &CAMERA);
    house.join(2, "a", "Bo");
    offers::offer(&mut house, 2, (2, "bbbb"), &VIEWER);
    house.clear();
    house.ask(1, |id| permit(id, "p2", Permissions { subscribe: false, data: false, ..Permissions::USUAL }));
    let told = offers::commands(&house);
    assert_eq!(told.iter().filter(|it| matches!(it, media::Command::Show { track: None, .. })).count(), 2);
    assert!(told.iter().any(|it| matches!(it, media::Command::Hush { hushed: true, .. })));
    assert_eq!(house.reason(2, |id| ClientFrame::Watch { id, slots: Vec::new() }), Reason::NotPermitted);
    house.enter(3, "a", "Cy", Grants { may: Permissions { data: false, ..Permissions::USUAL }, ..grants("cy") });
    house.clear();
    offers::offer(&mut house, 3, (3, "cccc"), &CAMERA);
    let hushed = offers::commands(&house).iter().any(|it| matches!(it, media::Command::Hush { hushed: true, .. }));
    assert!(hushed, "from the first on");
}

#[test]
fn whip_and_whep_take_a_token_for_what_it_grants() {
    let mut house = House::with(Config { tokens: true, planes: vec![Terms::new([7; 32], Vec::new())], ..config() });
    let publisher = [M::Sends("0", Source::Microphone), M::Sends("1", Source::Camera)];
    let mut connect = |way, lines: &[M], grants: Option<Grants>| {
        let (address, sdp) = ([192, 0, 2, 9].into(), offers::sdp(5, "gggg", lines));
        let grants = grants.map(Box::new);
        let guest = Guest { room: "a".into(), name: "Encoder".into(), address, way, sdp, grants };
        match house.command(Command::Connect(Box::new(guest))) {
            Reply::Connected { answer, .. } => Ok(answer),
            Reply::Refused { reason, .. } => Err(reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(connect(Way::Whip, &publisher, None), Err(Reason::TokenNeeded));
    let limited = Grants { may: Permissions { publish: AUDIO, subscribe: false, ..WATCH }, ..grants("obs") };
    assert_eq!(connect(Way::Whep, &VIEWER, Some(limited.clone())), Err(Reason::NotPermitted));
    assert_eq!(
        connect(Way::Whip, &publisher, Some(Grants { may: WATCH, ..limited.clone() })),
        Err(Reason::NotPermitted)
    );
    let answer = connect(Way::Whip, &publisher, Some(Grants { name: Some("Studio".into()), ..limited })).expect("in");
    let video = answer.split("m=video").nth(1).expect("an m-line");
    assert!(video.contains("a=inactive"), "{answer}");
    let studio = person(&mut house, "a", "p1");
    assert_eq!((studio.name.as_str(), studio.identity.as_deref()), ("Studio", Some("obs")));
    assert_eq!(studio.media, AUDIO);
}

#[test]
fn a_track_is_stopped_from_outside_and_third_parties_hear_of_tracks() {
    let mut house = House::with(Config { hooks: true, planes: vec![Terms::new([7; 32], Vec::new())], ..config() });
    house.join(1, "a", "Ann");
    offers::offer(&mut house, 1, (1, "aaaa"), &CAMERA);
    let stop = |track: &str, stopped| Command::StopTrack {
        room: "a".into(),
        participant: "p1".into(),
        track: track.into(),
        stopped,
    };
    assert_eq!(house.command(stop("t9", true)), Reply::NotFound);
    assert!(matches!(house.command(stop("t2", true)), Reply::Participant(ann) if ann.tracks[1].stopped));
    assert!(matches!(house.events(1).last(), Some(Event::Muted { by, source: Source::Camera }) if by.is_empty()));
    assert!(matches!(house.command(stop("t2", false)), Reply::Participant(ann) if !ann.tracks[1].stopped));
    house.ask(1, |id| ClientFrame::MediaClose { id });
    let tracks = house.all.iter().filter_map(|output| match output {
        Output::Hook(hook) => match &hook.what {
            Happening::TrackPublished { track, .. } => Some(format!("+{}", track.id)),
            Happening::TrackUnpublished { track, .. } => Some(format!("-{}", track.id)),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(tracks.collect::<Vec<_>>(), ["+t1", "+t2", "-t1", "-t2"]);
}
