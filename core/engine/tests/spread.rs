//! A room of many is spread over several shards: who is put where, and what each of them is told.

mod house;

use std::collections::BTreeMap;

use house::offers::{self, M};
use house::{House, config};
use tandem_api::signal::{ClientFrame, Event, Outcome, Slot, Source};
use tandem_engine::{Config, Guest, Output, Reply, Way};
use tandem_media::terms::Terms;
use tandem_media::{Command, Shard};

/// With fewer connections a room stays where it is.
const FEW: u64 = 24;
/// Where the first room is at home.
const HOME: usize = 1;

/// Three shards.
fn house() -> House {
    let planes = (0..3).map(|_| Terms::new([7; 32], Vec::new())).collect();
    let (backlog_events, backlog_bytes) = (10_000, 10 << 20);
    House::with(Config { planes, mesh: 2, max_participants: 100, backlog_events, backlog_bytes, ..config() })
}

const SPEAKER: [M; 2] = [M::Sends("0", Source::Microphone), M::Receives("1", "video")];
const VIEWER: [M; 2] = [M::Receives("0", "audio"), M::Receives("1", "video")];

fn connect(house: &mut House, who: u64, lines: &[M]) {
    let session = u32::try_from(who).expect("few");
    assert_eq!(offers::offer(house, who, (session, "abcd"), lines), Outcome::Ok);
}

/// So many who speak, in one room.
fn meeting(speakers: u64) -> House {
    let mut house = house();
    for who in 1..=speakers {
        house.join(who, "a", "Ann");
        connect(&mut house, who, &SPEAKER);
    }
    house
}

/// Commands since the last time, and to which shard each is.
fn told(house: &mut House) -> Vec<(usize, Command)> {
    let outputs = std::mem::take(&mut house.all).into_iter();
    outputs
        .filter_map(|it| if let Output::Media { shard, command } = it { Some((shard, *command)) } else { None })
        .collect()
}

/// How many have been put where.
fn added(told: &[(usize, Command)]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for (shard, _) in told.iter().filter(|(_, it)| matches!(it, Command::Add { .. })) {
        *counts.entry(*shard).or_default() += 1;
    }
    counts
}

/// Which shards have been told of which others, and who hears.
fn spread(told: &[(usize, Command)]) -> Vec<(usize, Vec<usize>, Option<usize>)> {
    let read = |(shard, command): &(usize, Command)| match command {
        Command::Spread { others, ear, .. } => {
            Some((*shard, others.iter().map(|it| it.0).collect(), ear.map(|it| it.0)))
        }
        _ => None,
    };
    told.iter().filter_map(read).collect()
}

#[test]
fn a_small_room_stays_at_home_and_newcomers_to_a_large_one_go_where_there_is_least_to_do() {
    let mut house = meeting(FEW);
    let before = told(&mut house);
    assert_eq!(added(&before), BTreeMap::from([(HOME, 24)]));
    assert_eq!(spread(&before), []);
    for who in FEW + 1..=FEW + 10 {
        house.join(who, "a", "Bo");
        connect(&mut house, who, &VIEWER);
    }
    let after = told(&mut house);
    assert_eq!(added(&after), BTreeMap::from([(0, 5), (2, 5)]));
    let first = [(0, vec![1], Some(1)), (1, vec![0], None)];
    let second = [(0, vec![1, 2], Some(1)), (1, vec![0, 2], None), (2, vec![0, 1], Some(1))];
    assert_eq!(spread(&after), [&first[..], &second[..]].concat());
    // A plane is told of others once it knows the group.
    let at = |found: fn(&Command) -> bool| after.iter().position(|(shard, it)| *shard == 0 && found(it));
    assert!(at(|it| matches!(it, Command::Join { .. })) < at(|it| matches!(it, Command::Spread { .. })));
    // Another room is at its own home, whatever goes on there.
    house.join(100, "b", "Cy");
    connect(&mut house, 100, &SPEAKER);
    assert_eq!(added(&told(&mut house)), BTreeMap::from([(2, 1)]));
}

#[test]
fn who_is_shown_a_track_of_another_shard_is_told_where_it_comes_from_first() {
    let mut house = meeting(FEW);
    house.join(50, "a", "Bo");
    connect(&mut house, 50, &VIEWER);
    told(&mut house);
    let slots = vec![Slot { mid: "0".into(), track: Some("t3".into()), height: 0, priority: 0 }];
    assert_eq!(house.ask(50, |id| ClientFrame::Watch { id, slots }), Outcome::Ok);
    let commands = told(&mut house);
    assert_eq!(commands.len(), 3);
    assert!(commands.iter().all(|(shard, _)| *shard == 0));
    let Command::Import { track: imported, home: Shard(HOME), publication } = &commands[0].1 else {
        panic!("{commands:?}")
    };
    assert_eq!(publication.mid, "0");
    assert!(matches!(&commands[2].1, Command::Show { track: Some(track), .. } if track == imported));
    // Who stops somebody stops them where they are.
    house.ask(1, |id| ClientFrame::Mute { id, participant: "p3".into(), source: Source::Microphone });
    let muted: Vec<_> =
        told(&mut house).into_iter().filter(|(_, command)| matches!(command, Command::Mute { .. })).collect();
    assert_eq!(muted, [(HOME, Command::Mute { track: *imported, muted: true })]);
}

#[test]
fn guests_are_spread_like_everybody_else() {
    let mut house = meeting(FEW);
    told(&mut house);
    let address = [192, 0, 2, 9].into();
    let sdp = offers::sdp(5, "abcd", &VIEWER);
    let guest = Guest { room: "a".into(), name: "Screen".into(), address, way: Way::Whep, sdp, grants: None };
    let reply = house.command(tandem_engine::Command::Connect(Box::new(guest)));
    assert!(matches!(reply, Reply::Connected { .. }));
    let commands = told(&mut house);
    assert_eq!(added(&commands), BTreeMap::from([(0, 1)]));
    let imports = commands.iter().filter(|(shard, it)| *shard == 0 && matches!(it, Command::Import { .. }));
    assert_eq!(imports.count(), 1, "it is shown one voice, and there is no picture");
}

#[test]
fn a_shard_that_is_lost_takes_its_own_connections_and_no_others() {
    let mut house = meeting(FEW + 4);
    told(&mut house);
    let ended = |house: &House| {
        (1..=FEW + 4)
            .filter(|who| house.events(*who).iter().any(|event| matches!(event, Event::MediaEnded { .. })))
            .collect::<Vec<_>>()
    };
    house.engine.handle_media_lost(house.now, 0);
    house.drain();
    assert_eq!(ended(&house), [FEW + 1, FEW + 3]);
    assert_eq!((house.engine.stats().legs, house.engine.stats().tracks), (26, 26));
    let rest = [(1, vec![2], None), (2, vec![1], Some(1))];
    assert_eq!(spread(&told(&mut house)), rest);
    // The home goes: another one hears.
    house.engine.handle_media_lost(house.now, HOME);
    house.drain();
    assert_eq!(spread(&told(&mut house)).last(), Some(&(2, vec![], None)));
    assert_eq!(house.engine.stats().legs, 2);
    // Few are left: whoever comes goes home.
    connect(&mut house, 1, &SPEAKER);
    let commands = told(&mut house);
    assert_eq!(added(&commands), BTreeMap::from([(HOME, 1)]));
    assert_eq!(spread(&commands), [(1, vec![2], Some(2)), (2, vec![1], None)], "who hears goes on hearing");
    // And all of it ends.
    (1..=FEW + 4).for_each(|who| drop(house.try_ask(who, |id| ClientFrame::Leave { id })));
    assert_eq!((house.engine.stats().legs, house.engine.stats().tracks), (0, 0));
}
