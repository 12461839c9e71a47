//! Conversations, packet by packet.

use super::*;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    Instant::now()
}

const LOUD: u8 = 25;
const BREATH: u8 = 65;

struct Room {
    speakers: Speakers,
    now: Instant,
    people: Vec<SpeakerId>,
    changes: Vec<Changed>,
}

impl Room {
    fn of(people: usize) -> Self {
        let mut speakers = Speakers::new(4);
        let people = (0..people).map(|_| speakers.join()).collect();
        Self { speakers, now: start(), people, changes: Vec::new() }
    }

    /// All send a packet every 20 ms; those named speak, syllable by syllable.
    fn run(&mut self, millis: u64, speaking: &[usize]) {
        for step in 0..millis / 20 {
            self.now += Duration::from_millis(20);
            for (index, id) in self.people.iter().enumerate() {
                let loud = speaking.contains(&index) && step % 12 < 9;
                self.speakers.on_level(self.now, *id, if loud { LOUD } else { BREATH }, Activity::Unknown);
            }
            self.changes.extend(std::iter::from_fn(|| self.speakers.poll()));
        }
    }

    fn dominant(&self) -> Option<usize> {
        self.people.iter().position(|id| Some(*id) == self.speakers.dominant())
    }

    fn recent(&self) -> Vec<usize> {
        self.speakers.recent().filter_map(|id| self.people.iter().position(|other| *other == id)).collect()
    }

    fn switches(&self) -> usize {
        self.changes.iter().filter(|change| matches!(change, Changed::Dominant(_))).count()
    }
}

#[test]
fn the_first_to_speak_is_dominant_within_half_a_second() {
    let mut room = Room::of(3);
    room.run(5_000, &[]);
    assert_eq!(room.dominant(), None);
    room.run(500, &[1]);
    assert_eq!(room.dominant(), Some(1));
    assert_eq!(room.changes, [Changed::Dominant(Some(room.people[1])), Changed::Recent]);
}

#[test]
fn who_takes_the_turn_takes_over_within_two_seconds() {
    let mut room = Room::of(3);
    room.run(20_000, &[0]);
    room.run(2_000, &[2]);
    assert_eq!(room.dominant(), Some(2));
    assert_eq!(room.recent(), [2, 0]);
}

#[test]
fn a_cough_and_an_mhm_do_not_take_over() {
    let mut room = Room::of(3);
    room.run(10_000, &[0]);
    for _ in 0..20 {
        room.run(200, &[0, 1]);
        room.run(800, &[0]);
        room.run(480, &[1]);
        room.run(900, &[0]);
    }
    assert_eq!((room.dominant(), room.switches()), (Some(0), 1));
}

#[test]
fn two_who_speak_at_once_do_not_take_turns() {
    let mut room = Room::of(3);
    room.run(5_000, &[0]);
    room.run(60_000, &[0, 1]);
    assert_eq!((room.dominant(), room.switches()), (Some(0), 1));
    assert_eq!(room.recent(), [0, 1], "the second one is seen, too");
}

#[test]
fn who_spoke_last_stays_through_silence() {
    let mut room = Room::of(3);
    room.run(3_000, &[1]);
    room.run(60_000, &[]);
    assert_eq!((room.dominant(), room.switches()), (Some(1), 1));
}

#[test]
fn a_loud_fan_is_noise_and_speech_is_heard_above_it() {
    let mut room = Room::of(2);
    let fan = room.people[0];
    for _ in 0..3_000 {
        room.now += Duration::from_millis(20);
        room.speakers.on_level(room.now, fan, 50, Activity::Unknown);
    }
    room.run(2_000, &[1]);
    assert_eq!(room.dominant(), Some(1));
    for step in 0..400 {
        room.now += Duration::from_millis(20);
        let level = if step % 12 < 9 { LOUD } else { 50 };
        room.speakers.on_level(room.now, fan, level, Activity::Unknown);
    }
    assert_eq!(room.dominant(), Some(0));
}

#[test]
fn a_senders_detector_is_believed_once_it_has_been_seen() {
    let mut room = Room::of(2);
    let typing = room.people[0];
    room.speakers.on_level(room.now, typing, BREATH, Activity::Speech);
    for step in 0..500 {
        room.now += Duration::from_millis(20);
        let level = if step % 5 == 0 { LOUD } else { BREATH };
        room.speakers.on_level(room.now, typing, level, Activity::Unknown);
    }
    assert_eq!(room.dominant(), None);
}

#[test]
fn a_sender_that_stops_sending_has_stopped_speaking() {
    let mut room = Room::of(2);
    room.run(10_000, &[0]);
    let other = room.people[1];
    for _ in 0..100 {
        room.now += Duration::from_millis(20);
        room.speakers.on_level(room.now, other, LOUD, Activity::Unknown);
    }
    assert_eq!(room.dominant(), Some(1));
}

#[test]
fn a_flood_of_packets_in_no_time_gains_nothing() {
    let mut room = Room::of(2);
    room.run(5_000, &[0]);
    let flood = room.people[1];
    for _ in 0..100_000 {
        room.speakers.on_level(room.now, flood, 0, Activity::Speech);
    }
    assert_eq!(room.dominant(), Some(0));
}

#[test]
fn levels_that_do_not_exist_are_silence() {
    let mut room = Room::of(1);
    for level in 0..=u8::MAX {
        room.now += Duration::from_millis(20);
        room.speakers.on_level(room.now, room.people[0], level.max(128), Activity::Unknown);
    }
    assert_eq!(room.dominant(), None);
}

#[test]
fn who_leaves_is_forgotten_and_the_place_is_free() {
    let mut room = Room::of(3);
    room.run(3_000, &[0]);
    room.run(3_000, &[1]);
    let gone = room.people[1];
    room.speakers.leave(gone);
    assert_eq!(room.speakers.poll(), Some(Changed::Dominant(None)));
    assert_eq!(room.speakers.poll(), Some(Changed::Recent));
    assert_eq!(room.recent(), [0]);
    let next = room.speakers.join();
    assert_eq!((next.index, next == gone), (gone.index, false));
    for _ in 0..200 {
        room.now += Duration::from_millis(20);
        room.speakers.on_level(room.now, gone, 0, Activity::Speech);
    }
    assert_eq!(room.speakers.dominant(), None, "the old name means nobody");
    room.speakers.leave(gone);
    assert_eq!(room.speakers.slots.len(), 3);
}

#[test]
fn the_list_is_bounded_and_the_latest_come_first() {
    let mut room = Room::of(500);
    for person in 0..10 {
        room.run(4_000, &[person]);
    }
    assert_eq!(room.recent(), [9, 8, 7, 6]);
}
