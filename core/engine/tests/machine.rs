//! The engine through its verbs, with time moved by hand.

mod house;

use std::time::Duration;

use house::{House, START_MS, config, join, offer, origin, trickle, wanted};
use tandem_api::signal::{
    ClientFrame, ClientKind, Door, Entry, Event, Hello, Join, LeaveReason, Look, Media, Note, Outcome, PathKind,
    Presence, Reason, Resume, Seen,
};
use tandem_engine::{Command, Config, CreateRoom, Input, Origin, Output, Record, Relay, Reply, TransportId};

// --- names and rooms ---

#[test]
fn a_name_that_breaks_a_rule_is_refused_with_the_rule() {
    let mut house = House::new();
    house.hello(1, Hello::Join(join("ro\u{202e}om", "Ann")));
    let (reason, detail) = house.refused(1);
    assert_eq!(reason, Reason::BadName);
    assert!(detail.contains("name of the room") && detail.contains("U+202E"), "{detail}");
    house.hello(2, Hello::Join(join("room", "\u{200b}")));
    assert_eq!(house.refused(2).0, Reason::BadName);
    assert_eq!(house.engine.stats().rooms, 0);
}

#[test]
fn different_spellings_of_a_name_lead_into_the_same_room() {
    let mut house = House::new();
    house.join(1, "Café", "Ann");
    let joined = house.join(2, "CAFE\u{301}", "Bo");
    assert_eq!(joined.room.name, "café");
    assert_eq!(joined.participants.len(), 2);
}

#[test]
fn a_full_room_and_a_full_server_refuse() {
    let mut house = House::with(Config { max_rooms: 1, max_participants: 2, ..config() });
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    house.hello(3, Hello::Join(join("a", "Cy")));
    assert_eq!(house.refused(3).0, Reason::RoomFull);
    house.hello(4, Hello::Join(join("b", "Di")));
    assert_eq!(house.refused(4).0, Reason::ServerFull);
}

#[test]
fn how_newcomers_enter_is_decided_by_the_one_who_opens_the_room_only() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.hello(2, Hello::Join(Join { entry: Entry::Ring, ..join("a", "Bo") }));
    let joined = house.joined(2);
    assert_eq!(joined.room.entry, Entry::Open);
    assert!(joined.participants.iter().all(|p| p.state == Presence::Here));
}

#[test]
fn one_who_rang_joined_when_the_host_accepted_and_not_when_the_bell_was_pressed() {
    let mut house = House::new();
    house.hello(1, Hello::Join(Join { entry: Entry::Ring, ..join("a", "Ann") }));
    house.hello(2, Hello::Join(join("a", "Bo")));
    house.pass(Duration::from_secs(7));
    house.ask(1, |id| ClientFrame::Accept { id, participant: "p2".into() });
    let accepted = house.events(1).into_iter().rev().find_map(|event| match event {
        Event::ParticipantChanged { participant } => Some(participant),
        _ => None,
    });
    assert_eq!(accepted.map(|bo| (bo.state, bo.joined_at)), Some((Presence::Here, START_MS + 7_000)));
}

fn look(house: &mut House, transport: u64, room: &str) -> Seen {
    house.hello(transport, Hello::Look(Look { room: room.into() }));
    assert!(house.all.contains(&Output::Close { transport: TransportId(transport) }), "it was closed");
    match house.notes(transport).pop() {
        Some(Note::Seen(seen)) => seen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_looks_sees_the_first_few_and_how_many_and_leaves_no_trace() {
    let mut house = House::new();
    let nobody = Seen { door: Door::Empty, participants: 0, names: Vec::new() };
    assert_eq!(look(&mut house, 1, "Kitchen"), nobody);
    assert_eq!(house.engine.stats().rooms, 0, "looking makes no room");
    for (transport, name) in (2..).zip(["Ann", "Bo", "Cy", "Di", "Ed", "Flo"]) {
        house.join(transport, "kitchen", name);
    }
    house.clear();
    let seen = look(&mut house, 8, "KITCHEN");
    assert_eq!((seen.door, seen.participants), (Door::Open, 6));
    assert_eq!(seen.names, ["Ann", "Bo", "Cy", "Di", "Ed"]);
    assert_eq!(house.events(2), [], "nobody is told");
    let stats = house.engine.stats();
    assert_eq!((stats.participants, stats.transports), (6, 6));
    house.hello(9, Hello::Look(Look { room: "ro\u{202e}om".into() }));
    assert_eq!(house.refused(9).0, Reason::BadName);
}

#[test]
fn a_locked_room_and_one_where_newcomers_ring_tell_nothing_of_those_within() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.ask(1, |id| ClientFrame::Lock { id, locked: true });
    assert_eq!(look(&mut house, 2, "a"), Seen { door: Door::Locked, participants: 0, names: Vec::new() });
    house.hello(3, Hello::Join(Join { entry: Entry::Ring, ..join("b", "Bo") }));
    assert_eq!(look(&mut house, 4, "b"), Seen { door: Door::Ring, participants: 0, names: Vec::new() });
}

#[test]
fn a_second_join_on_the_same_connection_is_refused_and_the_first_goes_on() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.hello(1, Hello::Join(join("b", "Ann")));
    assert!(matches!(house.notes(1)[..], [Note::Refused { reason: Reason::AlreadyJoined, fatal: false, .. }]));
    assert_eq!(house.ask(1, |id| ClientFrame::Lock { id, locked: true }), Outcome::Ok);
}

#[test]
fn a_frame_before_any_join_is_refused_and_closes() {
    let mut house = House::new();
    house.frame(1, ClientFrame::Ping {});
    assert_eq!(house.refused(1).0, Reason::NotJoined);
}

// --- addresses ---

#[test]
fn one_who_hides_its_address_shows_the_others_relays_only() {
    let mut house = House::new();
    house.hello(1, Hello::Join(Join { hide_address: true, ..join("a", "Ann") }));
    house.join(2, "a", "Bo");
    house.clear();
    let host = "candidate:1 1 udp 1 192.0.2.7 5 typ host";
    let relay = "candidate:1 1 udp 1 203.0.113.9 5 typ relay raddr 192.0.2.7 rport 6";
    assert_eq!(house.reason(1, |id| trickle(id, "p2", host)), Reason::AddressHidden);
    assert_eq!(house.reason(1, |id| trickle(id, "p2", "nonsense")), Reason::BadCandidate);
    assert_eq!(house.ask(1, |id| trickle(id, "p2", relay)), Outcome::Ok);
    assert_eq!(house.ask(1, |id| trickle(id, "p2", "")), Outcome::Ok);
    let sdp = format!("v=0\r\nc=IN IP4 192.0.2.7\r\na={host}\r\na={relay}\r\n");
    assert_eq!(house.ask(1, |id| offer(id, "p2", 1, &sdp)), Outcome::Ok);
    let told = format!("{:?}", house.events(2));
    assert!(!told.contains("192.0.2.7") && told.contains("203.0.113.9 5 typ relay raddr 0.0.0.0 rport 0"), "{told}");
    assert_eq!(house.ask(2, |id| trickle(id, "p1", host)), Outcome::Ok, "the other one hides nothing");
}

#[test]
fn in_a_relay_only_room_nobody_shows_an_address_and_everyone_is_told() {
    let mut house = House::new();
    house.command(Command::CreateRoom(CreateRoom { relay_only: true, ..wanted(Some("a")) }));
    assert!(house.join(1, "a", "Ann").room.relay_only);
    house.join(2, "a", "Bo");
    let host = "candidate:1 1 udp 1 192.0.2.7 5 typ host";
    assert_eq!(house.reason(2, |id| trickle(id, "p1", host)), Reason::AddressHidden);
}

#[test]
fn a_description_that_is_too_large_or_none_is_refused() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    let large = format!("v=0\r\n{}", "a=x\r\n".repeat(200_000));
    assert_eq!(house.reason(1, |id| offer(id, "p2", 1, &large)), Reason::BadSdp);
    assert_eq!(house.reason(1, |id| offer(id, "p2", 1, "hello")), Reason::BadSdp);
    assert!(house.events(2).iter().all(|event| !matches!(event, Event::Offer { .. })));
}

#[test]
fn what_was_meant_for_an_earlier_life_of_a_page_is_refused() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    let token = house.join(2, "a", "Bo").resume_token;
    house.hello(3, Hello::Resume(Resume { token, last: None, media: Media::default() }));
    assert_eq!(house.reason(1, |id| offer(id, "p2", 1, "v=0")), Reason::StaleEpoch);
    assert_eq!(house.ask(1, |id| offer(id, "p2", 2, "v=0")), Outcome::Ok);
    assert_eq!(house.reason(1, |id| offer(id, "p9", 1, "v=0")), Reason::NoSuchParticipant);
    assert_eq!(house.reason(1, |id| offer(id, "p1", 1, "v=0")), Reason::NoSuchParticipant);
}

// --- relay credentials ---

#[test]
fn each_participant_gets_credentials_of_its_own_and_leaving_ends_what_they_relay() {
    let mut house = House::new();
    let joined = house.join(1, "a", "Ann");
    let servers = &joined.ice_servers;
    assert_eq!(servers[0].urls, ["stun:[2001:db8::1]:3478"]);
    assert_eq!(
        servers[1].urls,
        [
            "turn:[2001:db8::1]:3478?transport=udp",
            "turn:[2001:db8::1]:3478?transport=tcp",
            "turns:[2001:db8::1]:5349?transport=tcp"
        ]
    );
    let username = servers[1].username.clone().expect("a user name");
    let (expiry, user) = username.split_once(':').expect("expiry:user");
    assert_eq!(expiry, (START_MS / 1000 + 3600).to_string());
    assert!(user.ends_with(".p1"));
    assert_eq!(servers[2].urls, ["stun:stun.example"]);
    house.clear();
    house.ask(1, |id| ClientFrame::Leave { id });
    assert!(house.all.contains(&Output::Revoke { user: user.to_owned() }));
}

#[test]
fn a_relay_on_the_port_of_https_is_announced_there_and_nowhere_else_over_tls() {
    let mut config = config();
    if let Some(relay) = &mut config.relay {
        relay.shares_https_port = true;
    }
    let mut house = House::with(config);
    let joined = house.join(1, "a", "Ann");
    let tls: Vec<_> = joined.ice_servers[1].urls.iter().filter(|url| url.starts_with("turns:")).collect();
    assert_eq!(tls, ["turns:[2001:db8::1]:8443?transport=tcp"]);
}

#[test]
fn credentials_are_renewed_before_they_end_and_when_asked_for() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.clear();
    assert_eq!(house.engine.poll_timeout(), Some(house.now.instant + Duration::from_secs(2700)));
    house.pass(Duration::from_secs(2700));
    assert!(matches!(house.events(1)[..], [Event::IceServers { .. }]));
    house.clear();
    assert_eq!(house.ask(1, |id| ClientFrame::IceServers { id }), Outcome::Ok);
    assert!(matches!(house.events(1)[..], [Event::IceServers { .. }, Event::Reply { .. }]));
    assert_eq!(house.engine.stats().timers, 1, "one renewal at a time");
}

#[test]
fn settings_that_make_no_sense_stop_nothing() {
    for time in [Duration::ZERO, Duration::MAX] {
        let relay = config().relay.map(|relay| Relay { ttl: time, ..relay });
        let mut house = House::with(Config { relay, resume: time, backlog_events: 0, requests_burst: 0, ..config() });
        house.join(1, "a", "Ann");
        house.closed(1);
        house.pass(Duration::from_secs(1));
        assert_eq!(house.state("a", "p1").is_some(), time == Duration::MAX);
    }
}

// --- numbers, pace, backlog ---

#[test]
fn a_request_that_was_processed_is_not_processed_again_and_a_gap_is_named() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    house.clear();
    let chat = |id| ClientFrame::Chat { id, text: "hello".into(), to: None };
    house.frame(1, chat(1));
    house.frame(1, chat(1));
    house.frame(1, chat(3));
    assert_eq!(house.events(2).len(), 1);
    assert_eq!(house.events(1).len(), 1, "one reply");
    let [Note::Refused { reason: Reason::OutOfOrder, detail, fatal: false }] = &house.notes(1)[..] else { panic!() };
    assert_eq!(detail, "expected request 2, got 3");
    house.frame(1, ClientFrame::Ack { n: 1000 });
    assert_eq!(house.notes(1).len(), 2, "an event that was never sent");
}

#[test]
fn who_asks_too_fast_is_refused_then_cut_off_and_keeps_its_place() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    house.clear();
    let mut outcomes = Vec::new();
    while !house.all.contains(&Output::Close { transport: TransportId(1) }) {
        outcomes.extend(house.try_ask(1, |id| ClientFrame::Chat { id, text: "x".into(), to: None }));
    }
    let ok = outcomes.iter().filter(|outcome| **outcome == Outcome::Ok).count();
    assert_eq!(ok, 20, "the burst");
    assert_eq!(outcomes.len(), 41, "as many are refused, one by one, and the last one ends it");
    assert_eq!(house.refused(1).0, Reason::TooMany);
    assert_eq!(house.state("a", "p1"), Some(Presence::Away));
    assert_eq!(house.state("a", "p2"), Some(Presence::Here));
}

#[test]
fn pings_are_answered_and_bounded() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.clear();
    for _ in 0..30 {
        house.frame(1, ClientFrame::Ping {});
    }
    assert_eq!(house.notes(1).iter().filter(|note| matches!(note, Note::Pong {})).count(), 20);
}

#[test]
fn one_who_acknowledges_nothing_is_put_out_when_too_much_waits_be_it_lines_or_bytes() {
    for text in ["x".to_owned(), "x".repeat(4000)] {
        let mut house = House::with(Config { requests_burst: 10_000, chat_chars: 4000, ..config() });
        house.join(1, "a", "Ann");
        house.join(2, "a", "Bo");
        house.clear();
        for n in 0..300 {
            house.frame(1, ClientFrame::Chat { id: n + 1, text: text.clone(), to: None });
            let sent = u64::try_from(house.events(1).len()).expect("fits") + 3;
            house.frame(1, ClientFrame::Ack { n: sent });
        }
        assert!(house.events(2).contains(&Event::Out { reason: LeaveReason::TooSlow }));
        assert!(house.all.contains(&Output::Close { transport: TransportId(2) }));
        assert_eq!(house.state("a", "p1"), Some(Presence::Here));
        assert_eq!(house.engine.stats().too_slow, 1);
        assert!(house.events(2).len() < 110, "{}", house.events(2).len());
    }
}

// --- coming back ---

#[test]
fn what_was_missed_is_told_again_in_order_on_another_transport() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    let token = house.join(2, "a", "Bo").resume_token;
    house.frame(2, ClientFrame::Ack { n: 1 });
    house.closed(2);
    house.ask(1, |id| ClientFrame::Chat { id, text: "one".into(), to: None });
    house.ask(1, |id| ClientFrame::Chat { id, text: "two".into(), to: Some("p2".into()) });
    house.clear();
    house.hello(3, Hello::Resume(Resume { token, last: Some(1), media: Media::default() }));
    assert_eq!(house.notes(3), [Note::Resumed { received: 0 }]);
    let events = house.events(3);
    assert!(matches!(&events[0], Event::Chat { text, private: false, .. } if text == "one"));
    assert!(matches!(&events[1], Event::Chat { text, private: true, .. } if text == "two"));
    assert_eq!(house.state("a", "p2"), Some(Presence::Here));
}

#[test]
fn a_newer_transport_takes_the_place_of_the_older_which_is_told_so() {
    let mut house = House::new();
    let token = house.join(1, "a", "Ann").resume_token;
    house.clear();
    house.hello(2, Hello::Resume(Resume { token, last: Some(1), media: Media::default() }));
    assert_eq!(house.refused(1).0, Reason::AlreadyJoined);
    assert_eq!(house.notes(2), [Note::Resumed { received: 0 }]);
    house.closed(1);
    assert_eq!(house.state("a", "p1"), Some(Presence::Here), "the end of the older one means nothing");
}

#[test]
fn the_place_is_kept_for_the_announced_time_to_the_millisecond() {
    let mut house = House::new();
    let joined = house.join(1, "a", "Ann");
    assert_eq!(joined.resume_ms, 30_000);
    house.closed(1);
    assert_eq!(house.engine.poll_timeout(), Some(house.now.instant + Duration::from_secs(30)));
    house.pass(Duration::from_millis(29_999));
    assert_eq!(house.state("a", "p1"), Some(Presence::Away));
    house.pass(Duration::from_millis(1));
    assert_eq!(house.state("a", "p1"), None);
    house.hello(2, Hello::Resume(Resume { token: joined.resume_token, last: Some(1), media: Media::default() }));
    assert_eq!(house.refused(2).0, Reason::ResumeExpired);
    assert_eq!(house.engine.stats().rooms, 0);
}

#[test]
fn a_classic_client_has_no_way_back_and_no_peer_connection() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.input(Input::Hello {
        transport: TransportId(2),
        origin: Origin { client: ClientKind::Classic, ..origin() },
        hello: Hello::Join(join("a", "Bo")),
        grants: None,
    });
    assert_eq!(house.reason(1, |id| offer(id, "p2", 1, "v=0")), Reason::Forbidden);
    assert_eq!(house.reason(1, |id| ClientFrame::HandOver { id, to: "p2".into() }), Reason::Forbidden);
    house.closed(2);
    assert_eq!(house.state("a", "p2"), None, "gone at once");
}

#[test]
fn while_going_down_a_resume_is_put_off_and_the_place_is_kept() {
    let mut house = House::new();
    let token = house.join(1, "a", "Ann").resume_token;
    house.input(Input::Drain { reconnect: Duration::from_millis(700) });
    assert_eq!(house.notes(1), [Note::Draining { reconnect_ms: 700 }]);
    house.closed(1);
    house.hello(2, Hello::Resume(Resume { token, last: Some(1), media: Media::default() }));
    assert_eq!(house.notes(2), [Note::Draining { reconnect_ms: 700 }]);
    assert!(house.kept("a").is_some_and(|kept| kept.participants.len() == 1));
    let created = house.command(Command::CreateRoom(wanted(Some("b"))));
    assert!(matches!(created, Reply::Refused { reason: Reason::Draining, .. }));
}

// --- a restart ---

#[test]
fn nothing_secret_is_kept_and_what_is_kept_brings_everyone_back() {
    let mut house = House::new();
    let token = house.join(1, "a", "Ann").resume_token;
    house.hello(2, Hello::Join(Join { hide_address: true, encrypted: true, ..join("a", "Bo") }));
    house.ask(1, |id| ClientFrame::Lock { id, locked: true });
    let kept = house.kept("a").expect("it is kept");
    assert!(!format!("{kept:?}").contains(&token), "the token itself is not stored");
    let mut later = House::new();
    later.input(Input::Restore(vec![kept.clone()]));
    assert_eq!(later.kept("a"), None, "as it stands in the store already");
    later.hello(9, Hello::Resume(Resume { token, last: Some(7), media: Media::default() }));
    let joined = later.joined(9);
    assert_eq!((joined.you.as_str(), joined.room.host.as_str(), joined.room.locked), ("p1", "p1", true));
    assert_eq!(joined.participants.iter().map(|p| p.epoch).collect::<Vec<_>>(), [1, 1]);
    let bo = &joined.participants[1];
    assert!(bo.hide_address && bo.encrypted);
    later.hello(10, Hello::Join(join("a", "Cy")));
    assert_eq!(later.refused(10).0, Reason::RoomLocked);
    later.pass(Duration::from_secs(30));
    assert!(later.all.iter().any(|o| matches!(o, Output::Record(Record::Left { reason: LeaveReason::Lost, .. }))));
}

#[test]
fn a_kept_room_that_cannot_be_read_is_dropped_and_the_others_come_back() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    let good = house.kept("a").expect("it is kept");
    let mut bad_name = good.clone();
    bad_name.room.name = "a b".into();
    let mut bad_people = good.clone();
    bad_people.room.name = "c".into();
    bad_people.participants[0].resume_hash = "short".into();
    let mut later = House::new();
    later.input(Input::Restore(vec![bad_name, bad_people, good]));
    assert!(later.all.contains(&Output::Keep { room: "a b".into(), kept: None }));
    assert!(later.all.contains(&Output::Keep { room: "c".into(), kept: None }));
    assert_eq!((later.engine.stats().rooms, later.engine.stats().participants), (1, 1));
}

// --- history ---

#[test]
fn the_history_of_a_session_is_written_once_and_paths_when_they_change() {
    let mut house = House::new();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    for path in [PathKind::P2p, PathKind::P2p, PathKind::Relay] {
        house.ask(1, |id| ClientFrame::Path { id, peer: "p2".into(), path });
    }
    house.ask(2, |id| ClientFrame::Leave { id });
    house.ask(1, |id| ClientFrame::End { id });
    let kinds: Vec<&str> = house
        .all
        .iter()
        .filter_map(|output| match output {
            Output::Record(Record::SessionStarted { .. }) => Some("started"),
            Output::Record(Record::Joined { .. }) => Some("joined"),
            Output::Record(Record::Path { path: PathKind::P2p, .. }) => Some("p2p"),
            Output::Record(Record::Path { path: PathKind::Relay, .. }) => Some("relay"),
            Output::Record(Record::Left { reason: LeaveReason::Left, .. }) => Some("left"),
            Output::Record(Record::Left { reason: LeaveReason::Ended, .. }) => Some("out"),
            Output::Record(Record::SessionEnded { reason: LeaveReason::Ended, .. }) => Some("ended"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["started", "joined", "joined", "p2p", "relay", "left", "out", "ended"]);
}

// --- commands ---

#[test]
fn a_room_made_beforehand_stays_when_empty_and_goes_when_deleted() {
    let mut house = House::new();
    let Reply::Room(view) = house.command(Command::CreateRoom(wanted(None))) else { panic!() };
    let name = view.room.name;
    assert_eq!(name.len(), 24, "{name}");
    assert_eq!(view.session, None);
    let exists = house.command(Command::CreateRoom(wanted(Some(&name))));
    assert!(matches!(exists, Reply::Refused { reason: Reason::BadName, .. }));
    house.join(1, &name, "Ann");
    house.ask(1, |id| ClientFrame::Lock { id, locked: true });
    house.ask(1, |id| ClientFrame::Leave { id });
    let Reply::Room(view) = house.command(Command::ShowRoom { name: name.clone() }) else { panic!() };
    assert!(!view.room.locked, "a lock ends with its session");
    assert!(house.kept(&name).is_some_and(|kept| kept.created && kept.session.is_empty()));
    house.join(2, &name, "Bo");
    assert_eq!(house.command(Command::DeleteRoom { name: name.clone() }), Reply::Done);
    assert!(house.events(2).contains(&Event::Out { reason: LeaveReason::Ended }));
    assert_eq!(house.command(Command::ShowRoom { name: name.clone() }), Reply::NotFound);
    assert_eq!(house.kept(&name), None);
}

#[test]
fn rooms_are_listed_by_name_page_by_page() {
    let mut house = House::new();
    for name in ["d", "b", "a", "c"] {
        house.command(Command::CreateRoom(wanted(Some(name))));
    }
    let mut page = |after: Option<&str>| {
        let command = Command::ListRooms { after: after.map(str::to_owned), limit: 3 };
        let Reply::Rooms { rooms, more } = house.command(command) else { panic!() };
        (rooms.into_iter().map(|view| view.room.name).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(None), (vec!["a".into(), "b".into(), "c".into()], true));
    assert_eq!(page(Some("c")), (vec!["d".into()], false));
}

#[test]
fn an_operator_removes_somebody_and_sets_how_many_fit() {
    let mut house = House::new();
    house.command(Command::CreateRoom(CreateRoom { max_participants: Some(1), ..wanted(Some("a")) }));
    assert_eq!(house.join(1, "a", "Ann").limits.participants, 1);
    house.hello(2, Hello::Join(join("a", "Bo")));
    assert_eq!(house.refused(2).0, Reason::RoomFull);
    let remove = |who: &str| Command::RemoveParticipant { room: "a".into(), participant: who.into() };
    assert_eq!(house.command(remove("p7")), Reply::NotFound);
    assert_eq!(house.command(remove("p1")), Reply::Done);
    assert!(house.events(1).contains(&Event::Out { reason: LeaveReason::Removed }));
}
