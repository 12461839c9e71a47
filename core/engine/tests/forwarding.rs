//! Rooms through the media plane: offers, tracks, slots, who is stopped, and which way a room goes.

mod house;

use std::time::Duration;

use house::offers::{M, commands, offer, sdp};
use house::{House, config};
use tandem_api::signal::{
    ClientFrame, ClientKind, Event, Hello, Media, Note, Outcome, Reason, Resume, Sends, Sent, Slot, Source, Topology,
    Track,
};
use tandem_engine::{Config, Guest, Input, Reply, Way};
use tandem_media::terms::Terms;
use tandem_media::{self as media, Command, EndpointId, TrackId};

fn house() -> House {
    House::with(house_config())
}

fn house_config() -> Config {
    Config { planes: vec![Terms::new([7; 32], Vec::new())], mesh: 2, ..config() }
}

fn topology(house: &House, who: u64) -> Option<Topology> {
    house.events(who).into_iter().rev().find_map(|event| match event {
        Event::RoomChanged { room } => Some(room.topology),
        _ => None,
    })
}

fn always(house: &House, who: u64) -> Option<bool> {
    house.events(who).into_iter().rev().find_map(|event| match event {
        Event::RoomChanged { room } => Some(room.always_sfu),
        _ => None,
    })
}

fn tracks(house: &House, told: u64, of: &str) -> Vec<Track> {
    let found = house.events(told).into_iter().rev().find_map(|event| match event {
        Event::ParticipantChanged { participant } if participant.id == of => Some(participant.tracks),
        _ => None,
    });
    found.unwrap_or_default()
}

fn slot(mid: &str, track: Option<&str>, height: u16) -> Slot {
    Slot { mid: mid.into(), track: track.map(str::to_owned), height, priority: 0 }
}

fn watch(house: &mut House, who: u64, slots: Vec<Slot>) -> Outcome {
    house.ask(who, |id| ClientFrame::Watch { id, slots })
}

fn reason(outcome: Outcome) -> Reason {
    match outcome {
        Outcome::Refused { reason, .. } => reason,
        Outcome::Ok => panic!("it was not refused"),
    }
}

const CAMERA: [M; 3] = [M::Data("0"), M::Sends("1", Source::Microphone), M::Sends("2", Source::Camera)];
const VIEWER: [M; 2] = [M::Receives("0", "audio"), M::Receives("1", "video")];

#[test]
fn the_third_takes_the_room_to_the_server_and_a_minute_of_two_takes_it_back() {
    let mut house = house();
    assert!(house.join(1, "a", "Ann").limits.sfu);
    assert_eq!(house.join(2, "a", "Bo").room.topology, Topology::P2p);
    assert_eq!(topology(&house, 1), Some(Topology::P2p));
    house.join(3, "a", "Cy");
    assert_eq!(topology(&house, 1), Some(Topology::Sfu));
    assert_eq!(topology(&house, 3), Some(Topology::Sfu), "who has just come is told too");
    house.ask(3, |id| ClientFrame::Leave { id });
    house.pass(Duration::from_secs(59));
    assert_eq!(topology(&house, 1), Some(Topology::Sfu));
    // Somebody comes back in the last moment: it begins anew.
    house.join(4, "a", "Cy");
    house.pass(Duration::from_secs(30));
    house.ask(4, |id| ClientFrame::Leave { id });
    house.pass(Duration::from_secs(59));
    assert_eq!(topology(&house, 1), Some(Topology::Sfu));
    house.pass(Duration::from_secs(1));
    assert_eq!(topology(&house, 1), Some(Topology::P2p));
    // What runs to an end leaves no timer.
    house.ask(1, |id| ClientFrame::End { id });
    house.pass(Duration::from_secs(3_600));
    assert_eq!(house.engine.stats().timers, 0);
}

#[test]
fn the_host_may_want_it_through_the_server_and_nobody_else() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    assert_eq!(house.reason(2, |id| ClientFrame::Topology { id, sfu: true }), Reason::NotHost);
    assert_eq!(house.ask(1, |id| ClientFrame::Topology { id, sfu: true }), Outcome::Ok);
    assert_eq!(topology(&house, 2), Some(Topology::Sfu));
    assert_eq!(always(&house, 2), Some(true));
    house.ask(1, |id| ClientFrame::Topology { id, sfu: false });
    assert_eq!(always(&house, 2), Some(false), "told at once, though the way changes later");
    assert_eq!(topology(&house, 2), Some(Topology::Sfu));
    house.pass(Duration::from_secs(60));
    assert_eq!(topology(&house, 2), Some(Topology::P2p));
}

#[test]
fn a_server_without_a_plane_says_so_and_stays_out_of_it() {
    let mut house = House::new();
    assert!(!house.join(1, "a", "Ann").limits.sfu);
    for (transport, name) in (2..7).zip(["Bo", "Cy", "Di", "Ed", "Flo"]) {
        house.join(transport, "a", name);
    }
    assert_ne!(topology(&house, 1), Some(Topology::Sfu));
    assert_eq!(reason(offer(&mut house, 1, (1, "aaaa"), &CAMERA)), Reason::Forbidden);
    assert_eq!(house.reason(1, |id| ClientFrame::Topology { id, sfu: true }), Reason::Forbidden);
}

#[test]
fn what_one_offers_is_published_and_what_others_watch_is_shown_to_them() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    house.clear();
    assert_eq!(offer(&mut house, 1, (1, "aaaa"), &CAMERA), Outcome::Ok);
    let told = commands(&house);
    let endpoint = EndpointId(1);
    assert!(matches!(told[0], Command::Add { endpoint: EndpointId(1), .. }), "{told:?}");
    assert!(matches!(told[1], Command::Join { group: media::GroupId(1), member: 1, .. }));
    assert!(
        matches!(&told[2], Command::Remote { remote, .. } if remote.channels.is_some() && remote.fingerprints.len() == 1)
    );
    let published = |command: &Command| match command {
        Command::Publish { track, publication, .. } => Some((track.0, publication.streams.len())),
        _ => None,
    };
    assert_eq!(
        told.iter().filter_map(published).collect::<Vec<_>>(),
        [(2, 1), (3, 2)],
        "sound, and two sizes of a picture"
    );
    let answer = house.events(1).into_iter().find_map(|event| match event {
        Event::MediaAnswer { to: 1, sdp, tracks } => Some((sdp, tracks)),
        _ => None,
    });
    let (answer, sent) = answer.expect("an answer");
    assert!(answer.contains("a=ice-lite") && answer.contains("a=simulcast:recv q;f"), "{answer}");
    assert_eq!(sent, [("1", "t1"), ("2", "t2")].map(|(mid, track)| Sent { mid: mid.into(), track: track.into() }));
    let expected = [("t1", Source::Microphone), ("t2", Source::Camera)];
    assert_eq!(tracks(&house, 2, "p1"), expected.map(|(id, source)| Track { id: id.into(), source, stopped: false }));

    house.clear();
    offer(&mut house, 2, (2, "bbbb"), &VIEWER);
    let opened = commands(&house).iter().filter(|it| matches!(it, Command::OpenSlot { .. })).count();
    assert_eq!(opened, 2);
    house.clear();
    let slots = vec![slot("0", Some("t1"), 0), slot("1", Some("t2"), 360)];
    assert_eq!(watch(&mut house, 2, slots), Outcome::Ok);
    let shown = |command: &Command| match command {
        Command::Show { slot, track, .. } => Some((slot.0, *track)),
        _ => None,
    };
    let shown: Vec<_> = commands(&house).iter().filter_map(shown).collect();
    assert_eq!(shown, [(1, Some(TrackId(2))), (2, Some(TrackId(3)))]);
    assert!(commands(&house).iter().any(|it| matches!(it, Command::Want { want, .. } if want.height == 360)));

    // The camera is turned off: its m-line is idle from here on.
    house.clear();
    offer(&mut house, 1, (1, "aaaa"), &[M::Data("0"), M::Sends("1", Source::Microphone), M::Idle("2", "video")]);
    let told = commands(&house);
    assert!(told.contains(&Command::Unpublish { track: TrackId(3) }), "{told:?}");
    assert!(
        !told.iter().any(|it| matches!(it, Command::Publish { .. } | Command::Add { .. } | Command::Restart { .. }))
    );
    assert_eq!(tracks(&house, 2, "p1").len(), 1);
    // And on again: another track.
    house.clear();
    offer(&mut house, 1, (1, "aaaa"), &CAMERA);
    assert_eq!(tracks(&house, 2, "p1").iter().map(|track| track.id.as_str()).collect::<Vec<_>>(), ["t1", "t3"]);

    house.clear();
    house.ask(1, |id| ClientFrame::Leave { id });
    assert_eq!(commands(&house), [Command::Remove { endpoint }]);
    assert_eq!((house.engine.stats().legs, house.engine.stats().tracks), (1, 0));
    house.ask(2, |id| ClientFrame::MediaClose { id });
    assert_eq!(house.engine.stats().legs, 0);
}

#[test]
fn a_restart_of_ice_keeps_the_connection_and_another_connection_takes_its_place() {
    let mut house = house();
    house.join(1, "a", "Ann");
    offer(&mut house, 1, (1, "aaaa"), &CAMERA);
    house.clear();
    offer(&mut house, 1, (1, "cccc"), &CAMERA);
    let told = commands(&house);
    assert!(told.iter().any(|it| matches!(it, Command::Restart { endpoint: EndpointId(1), .. })), "{told:?}");
    assert!(!told.iter().any(|it| matches!(it, Command::Publish { .. } | Command::Remove { .. })));
    house.clear();
    offer(&mut house, 1, (9, "dddd"), &CAMERA);
    let told = commands(&house);
    assert_eq!(told[0], Command::Remove { endpoint: EndpointId(1) });
    assert!(matches!(told[1], Command::Add { .. }));
    assert_eq!(house.engine.stats().tracks, 2);
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason_and_changes_nothing() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    assert_eq!(reason(watch(&mut house, 2, vec![slot("0", None, 0)])), Reason::NotJoined);
    let nothing = |id| ClientFrame::MediaOffer { id, sdp: "v=1".into(), sends: Vec::new() };
    assert_eq!(house.reason(1, nothing), Reason::BadSdp);
    let plain = sdp(1, "aaaa", &CAMERA).replace("a=fingerprint", "a=fingerpaint");
    assert_eq!(house.reason(1, |id| ClientFrame::MediaOffer { id, sdp: plain, sends: Vec::new() }), Reason::BadSdp);
    let long = "x".repeat(100_001);
    assert_eq!(house.reason(1, |id| ClientFrame::MediaOffer { id, sdp: long, sends: Vec::new() }), Reason::TooLarge);
    let many = (0..17).map(|mid| Sends { mid: mid.to_string(), source: Source::Camera }).collect();
    assert_eq!(
        house.reason(1, |id| ClientFrame::MediaOffer { id, sdp: String::new(), sends: many }),
        Reason::Malformed
    );
    assert_eq!(house.engine.stats().legs, 0);

    offer(&mut house, 1, (1, "aaaa"), &CAMERA);
    offer(&mut house, 2, (2, "bbbb"), &VIEWER);
    house.clear();
    for (mid, track) in [("7", "t1"), ("0", "t2"), ("1", "t1")] {
        assert_eq!(reason(watch(&mut house, 2, vec![slot(mid, Some(track), 0)])), Reason::Malformed, "{mid} {track}");
    }
    assert!(commands(&house).is_empty());
    // Tracks that are gone, or one's own, are nothing.
    for track in ["t99", "x", ""] {
        house.clear();
        assert_eq!(watch(&mut house, 2, vec![slot("1", Some(track), 0)]), Outcome::Ok);
        assert!(commands(&house).iter().any(|it| matches!(it, Command::Show { track: None, .. })));
    }
    // One who rings gets nothing of it.
    let mut ring = house::join("b", "Ann");
    ring.entry = tandem_api::signal::Entry::Ring;
    house.hello(5, tandem_api::signal::Hello::Join(ring));
    house.join(6, "b", "Bo");
    assert_eq!(reason(offer(&mut house, 6, (1, "eeee"), &CAMERA)), Reason::NotAccepted);
}

#[test]
fn whom_the_host_stops_nobody_gets_until_it_turns_on_again_itself() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    let on = Media { audio: true, video: true, screen: false };
    house.ask(2, |id| ClientFrame::Media { id, media: on });
    offer(&mut house, 2, (2, "bbbb"), &CAMERA);
    let mute = |id| ClientFrame::Mute { id, participant: "p2".into(), source: Source::Microphone };
    assert_eq!(house.reason(2, mute), Reason::NotHost);
    house.clear();
    assert_eq!(house.ask(1, mute), Outcome::Ok);
    assert_eq!(commands(&house), [Command::Mute { track: TrackId(2), muted: true }]);
    assert!(house.events(2).contains(&Event::Muted { by: "p1".into(), source: Source::Microphone }));
    assert!(tracks(&house, 1, "p2")[0].stopped);
    house.clear();
    house.ask(2, |id| ClientFrame::Media { id, media: Media { audio: false, ..on } });
    assert!(commands(&house).is_empty(), "off is off");
    house.ask(2, |id| ClientFrame::Media { id, media: on });
    assert_eq!(commands(&house), [Command::Mute { track: TrackId(2), muted: false }]);
    assert!(!tracks(&house, 1, "p2")[0].stopped);
}

#[test]
fn hands_are_seen_in_the_order_they_were_raised_and_lowered_by_their_owner_or_the_host() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    house.ask(2, |id| ClientFrame::Hand { id, raised: true });
    let hand = |house: &House| {
        house.events(1).into_iter().rev().find_map(|event| match event {
            Event::ParticipantChanged { participant } => Some(participant.hand),
            _ => None,
        })
    };
    assert_eq!(hand(&house), Some(Some(house::START_MS)));
    assert_eq!(house.kept("a").expect("kept").participants[1].participant.hand, Some(house::START_MS));
    assert_eq!(house.reason(2, |id| ClientFrame::LowerHand { id, participant: "p2".into() }), Reason::NotHost);
    house.ask(1, |id| ClientFrame::LowerHand { id, participant: "p2".into() });
    assert_eq!(hand(&house), Some(None));
}

#[test]
fn what_the_plane_tells_reaches_whom_it_concerns() {
    let mut house = house();
    house.join(1, "a", "Ann");
    house.join(2, "a", "Bo");
    offer(&mut house, 1, (1, "aaaa"), &CAMERA);
    offer(&mut house, 2, (2, "bbbb"), &VIEWER);
    house.clear();
    tell(&mut house, media::Event::Speaking { group: media::GroupId(1), recent: vec![TrackId(2), TrackId(99)] });
    let speakers = Note::Speakers { participants: vec!["p1".into()] };
    assert!(house.notes(1).contains(&speakers) && house.notes(2).contains(&speakers));
    tell(&mut house, media::Event::Watched { track: TrackId(3), streams: 1 });
    assert!(house.events(1).contains(&Event::Watched { track: "t2".into(), layers: 1 }));
    let layer = media::Layer { stream: 1, spatial: 0, temporal: 2 };
    tell(&mut house, media::Event::Layer { endpoint: EndpointId(4), slot: media::SlotId(2), layer: Some(layer) });
    assert!(matches!(house.notes(2).last(), Some(Note::Layers { slots }) if slots[0].mid == "1"));
    tell(&mut house, media::Event::Ended(EndpointId(1), media::Ended::Closed));
    assert!(house.events(1).iter().any(|event| matches!(event, Event::MediaEnded { .. })));
    assert!(tracks(&house, 2, "p1").is_empty());
    // The rest goes down with the shard.
    house.engine.handle_media_lost(house.now, 0);
    house.drain();
    assert!(house.events(2).iter().any(|event| matches!(event, Event::MediaEnded { .. })));
    assert_eq!((house.engine.stats().legs, house.engine.stats().tracks), (0, 0));
}

// --- WHIP and WHEP ---

fn guest(way: Way, lines: &[M]) -> Guest {
    let address = [192, 0, 2, 9].into();
    Guest { room: "a".into(), name: "Encoder".into(), address, way, sdp: sdp(5, "gggg", lines), grants: None }
}

const PUBLISHER: [M; 2] = [M::Sends("0", Source::Microphone), M::Sends("1", Source::Camera)];

/// Its token and the answer.
fn connect(house: &mut House, way: Way, lines: &[M]) -> (String, String) {
    match house.command(tandem_engine::Command::Connect(Box::new(guest(way, lines)))) {
        Reply::Connected { token, answer, version: 1, .. } => (token, answer),
        other => panic!("{other:?}"),
    }
}

fn refused(house: &mut House, way: Way, lines: &[M]) -> Reason {
    match house.command(tandem_engine::Command::Connect(Box::new(guest(way, lines)))) {
        Reply::Refused { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn tell(house: &mut House, event: media::Event) {
    house.engine.handle_media(house.now, event);
    house.drain();
}

#[test]
fn a_publisher_by_whip_is_on_the_roster_and_a_viewer_by_whep_is_shown_what_it_sends() {
    let mut house = house();
    let (token, answer) = connect(&mut house, Way::Whip, &PUBLISHER);
    assert!(answer.contains("a=ice-lite"), "{answer}");
    let joined = house.join(1, "a", "Ann");
    let encoder = &joined.participants[0];
    assert_eq!((encoder.client, encoder.tracks.len(), encoder.hide_address), (ClientKind::Whip, 2, true));
    assert_eq!(joined.room.host, "p2", "an encoder decides nothing");
    assert_eq!(joined.room.topology, Topology::Sfu, "it cannot do otherwise");
    house.clear();
    let (viewer, _) = connect(&mut house, Way::Whep, &VIEWER);
    let shown = |command: &Command| match command {
        Command::Show { track, .. } => *track,
        _ => None,
    };
    let shown: Vec<TrackId> = commands(&house).iter().filter_map(shown).collect();
    assert_eq!(shown, [TrackId(2), TrackId(3)]);
    // Another camera comes; nobody speaks yet: nothing changes for the viewer. Then its owner speaks, with the camera off.
    offer(&mut house, 1, (1, "aaaa"), &CAMERA);
    house.clear();
    let speaking = || media::Event::Speaking { group: media::GroupId(1), recent: vec![TrackId(6)] };
    tell(&mut house, speaking());
    assert!(!commands(&house).iter().any(|it| matches!(it, Command::Show { track: Some(TrackId(7)), .. })));
    let on = Media { audio: true, video: true, screen: false };
    house.ask(1, |id| ClientFrame::Media { id, media: on });
    assert!(commands(&house).iter().any(|it| matches!(it, Command::Show { track: Some(TrackId(7)), .. })));
    house.clear();
    house.ask(1, |id| ClientFrame::Media { id, media: Media::default() });
    assert!(commands(&house).iter().any(|it| matches!(it, Command::Show { track: Some(TrackId(3)), .. })));
    house.clear();
    for token in [&token, &viewer] {
        assert_eq!(house.command(tandem_engine::Command::Disconnect { token: token.clone() }), Reply::Done);
        assert_eq!(house.command(tandem_engine::Command::Disconnect { token: token.clone() }), Reply::NotFound);
    }
    assert_eq!(house.engine.stats().participants, 1);
}

#[test]
fn whoever_does_not_connect_or_does_not_come_back_is_gone_after_a_while() {
    let mut house = house();
    connect(&mut house, Way::Whip, &PUBLISHER);
    house.pass(Duration::from_secs(30));
    assert_eq!((house.engine.stats().rooms, house.engine.stats().timers, house.engine.stats().tokens), (0, 0, 0));
    let path = media::Path {
        protocol: media::Protocol::Udp,
        local: ([192, 0, 2, 1], 1).into(),
        remote: ([192, 0, 2, 9], 2).into(),
    };
    // A path to it is no connection.
    connect(&mut house, Way::Whip, &PUBLISHER);
    tell(&mut house, media::Event::Found(EndpointId(4), path));
    house.pass(Duration::from_secs(15));
    assert_eq!((house.engine.stats().rooms, house.engine.stats().timers, house.engine.stats().tokens), (0, 0, 0));
    connect(&mut house, Way::Whip, &PUBLISHER);
    let endpoint = EndpointId(7);
    tell(&mut house, media::Event::Connected(endpoint));
    house.pass(Duration::from_secs(3_600));
    assert_eq!(house.engine.stats().participants, 1);
    tell(&mut house, media::Event::Lost(endpoint));
    house.pass(Duration::from_secs(29));
    tell(&mut house, media::Event::Found(endpoint, path));
    house.pass(Duration::from_secs(3_600));
    tell(&mut house, media::Event::Ended(endpoint, media::Ended::Closed));
    assert_eq!((house.engine.stats().participants, house.engine.stats().timers), (0, 0));
}

fn try_connect_from(house: &mut House, address: [u8; 4], room: &str) -> Result<(), Reason> {
    let guest = Guest { room: room.into(), address: address.into(), ..guest(Way::Whep, &VIEWER) };
    match house.command(tandem_engine::Command::Connect(Box::new(guest))) {
        Reply::Connected { .. } => Ok(()),
        Reply::Refused { reason, .. } => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn five_hundred_behind_one_address_come_in_at_once() {
    let mut house = House::with(Config {
        max_participants: 501,
        backlog_events: 10_000,
        backlog_bytes: 16 << 20,
        ..house_config()
    });
    house.join(1, "a", "Ann");
    for viewer in 0..500 {
        assert_eq!(try_connect_from(&mut house, [192, 0, 2, 9], "a"), Ok(()), "{viewer}");
    }
    // There is no more room for that address; whoever does not show up is not awaited for long.
    assert_eq!(try_connect_from(&mut house, [192, 0, 2, 9], "a"), Err(Reason::RoomFull));
    house.pass(Duration::from_secs(15));
    assert_eq!(house.engine.stats().participants, 1);
    assert_eq!(try_connect_from(&mut house, [192, 0, 2, 9], "a"), Ok(()));
}

#[test]
fn a_flood_from_one_address_fills_a_room_for_nobody_else() {
    let mut house = House::with(Config { max_participants: 20, backlog_events: 10_000, ..house_config() });
    house.join(1, "a", "Ann");
    let flood = |house: &mut House| (0..40).filter(|_| try_connect_from(house, [192, 0, 2, 9], "a").is_ok()).count();
    assert_eq!(flood(&mut house), 19);
    for viewer in 0..5 {
        assert_eq!(try_connect_from(&mut house, [198, 51, 100, viewer], "a"), Ok(()));
    }
    house.join(2, "a", "Ben");
    assert_eq!((house.engine.stats().participants, flood(&mut house)), (20, 0));
    assert_eq!(house.joined(2).participants.iter().filter(|it| it.client == ClientKind::Whep).count(), 19);
    let (left, stay) = (house.events(1), house.joined(2));
    let left: Vec<_> = left
        .iter()
        .filter_map(
            |event| if let Event::ParticipantLeft { participant, .. } = event { Some(participant) } else { None },
        )
        .collect();
    assert_eq!(left, ["p2", "p3", "p4", "p5", "p6", "p7"]);
    assert!(stay.participants.iter().all(|it| it.id != "p2"), "the first of the flood have given way");
}

#[test]
fn a_flood_over_many_rooms_is_bounded_and_keeps_nobody_else_out() {
    let mut house = House::with(Config { max_participants: 2_000, backlog_events: 10, ..house_config() });
    let flood = |house: &mut House, count: usize| {
        let room = |at: usize| format!("room-{}", at % 8);
        (0..count).filter(|at| try_connect_from(house, [192, 0, 2, 9], &room(*at)).is_ok()).count()
    };
    assert_eq!(flood(&mut house, 1_200), 1_024);
    assert_eq!(try_connect_from(&mut house, [192, 0, 2, 9], "elsewhere"), Err(Reason::TooMany));
    for viewer in 0..100 {
        assert_eq!(try_connect_from(&mut house, [198, 51, 100, viewer], "a"), Ok(()));
    }
    assert_eq!((house.engine.stats().participants, flood(&mut house, 10)), (1_024, 0));
    house.pass(Duration::from_secs(15));
    assert_eq!((house.engine.stats().participants, house.engine.stats().timers), (0, 0));
}

#[test]
fn an_offer_that_is_not_for_this_is_refused_and_leaves_nothing_behind() {
    let mut house = house();
    assert_eq!(refused(&mut house, Way::Whip, &VIEWER), Reason::BadSdp);
    assert_eq!(refused(&mut house, Way::Whip, &[M::Data("0")]), Reason::BadSdp);
    assert_eq!(refused(&mut house, Way::Whep, &PUBLISHER), Reason::BadSdp);
    let mut wrong = guest(Way::Whip, &PUBLISHER);
    wrong.sdp = wrong.sdp.replace("a=fingerprint", "a=fingerpaint");
    assert!(matches!(house.command(tandem_engine::Command::Connect(Box::new(wrong))), Reply::Refused { .. }));
    let stats = house.engine.stats();
    assert_eq!(
        (stats.rooms, stats.participants, stats.timers, stats.tokens, stats.legs, stats.tracks),
        (0, 0, 0, 0, 0, 0)
    );
    for _ in 0..100 {
        assert_eq!(refused(&mut house, Way::Whep, &PUBLISHER), Reason::BadSdp, "nothing is counted twice or left");
    }
}

#[test]
fn candidates_are_taken_note_of_and_other_credentials_restart_ice() {
    let mut house = house();
    let (token, _) = connect(&mut house, Way::Whip, &PUBLISHER);
    let trickle = |house: &mut House, text: &str, version| {
        let (token, fragment) = (token.clone(), text.to_owned());
        house.command(tandem_engine::Command::Trickle { token, fragment, version })
    };
    let same = "a=ice-ufrag:gggg\r\na=ice-pwd:0123456789abcdefghijkl\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 5000 typ host\r\n";
    assert_eq!(trickle(&mut house, same, Some(1)), Reply::Done);
    assert!(matches!(trickle(&mut house, "nonsense", None), Reply::Refused { reason: Reason::BadSdp, .. }));
    house.clear();
    let new = same.replace("gggg", "hhhh");
    assert_eq!(trickle(&mut house, &new, Some(7)), Reply::Outdated);
    let Reply::Restarted { fragment, version: 2 } = trickle(&mut house, &new, Some(1)) else { panic!("no restart") };
    assert!(fragment.starts_with("a=ice-ufrag:"), "{fragment}");
    assert!(commands(&house).iter().any(|it| matches!(it, Command::Restart { .. })));
    assert!(!commands(&house).iter().any(|it| matches!(it, Command::Publish { .. } | Command::Unpublish { .. })));
}

#[test]
fn three_who_come_back_after_a_restart_go_through_the_server_again() {
    let mut house = house();
    let tokens = [(1, "Ann"), (2, "Bo"), (3, "Cy")].map(|(who, name)| house.join(who, "a", name).resume_token);
    assert_eq!(topology(&house, 1), Some(Topology::Sfu));
    let kept = house.kept("a").expect("it is stored");
    let mut later = self::house();
    later.input(Input::Restore(vec![kept]));
    for (who, token) in (11..).zip(tokens) {
        later.hello(who, Hello::Resume(Resume { token, last: Some(1), media: Media::default() }));
        assert_eq!(later.joined(who).room.topology, Topology::Sfu, "{who}");
    }
}

#[test]
fn what_the_host_wanted_for_the_way_holds_over_a_restart() {
    let mut house = house();
    let tokens = [(1, "Ann"), (2, "Bo")].map(|(who, name)| house.join(who, "a", name).resume_token);
    house.ask(1, |id| ClientFrame::Topology { id, sfu: true });
    let kept = house.kept("a").expect("it is stored");
    let mut later = self::house();
    later.input(Input::Restore(vec![kept]));
    for (who, token) in (11..).zip(tokens) {
        later.hello(who, Hello::Resume(Resume { token, last: Some(1), media: Media::default() }));
        let room = later.joined(who).room;
        assert_eq!((room.always_sfu, room.topology), (true, Topology::Sfu), "{who}");
    }
}
