//! A day at the relay: ten thousand clients come, relay, move, expire and lie at several shards, whose sockets fail and whose
//! notes are late; nothing may be left of them at its end. `TANDEM_RELAY_CLIENTS=1000000` makes it a long day.

mod relay;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use relay::{Person, World};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn day(seed: u64, clients: usize) -> World {
    let mut world = World::new(seed, Instant::now());
    let start = world.now;
    let mut agenda = BinaryHeap::new();
    let mut people: Vec<Option<Person>> = Vec::new();
    for number in 0..clients {
        let at = start + world.chance.milliseconds(0, 86_400_000);
        agenda.push(Reverse((at, number)));
        people.push(None);
    }
    let mut places = clients;
    let mut fresh = || {
        places += 1;
        places
    };
    let mut acts = 0_usize;
    while let Some(Reverse((at, number))) = agenda.pop() {
        world.advance(at);
        let mut person = people[number].take().unwrap_or_else(|| Person::new(&mut world, number));
        let (again, other) = person.act(&mut world, &mut fresh);
        if let Some(wait) = again {
            agenda.push(Reverse((at + wait, number)));
            people[number] = Some(person);
        }
        if let Some(other) = other {
            agenda.push(Reverse((at + Duration::from_secs(5), people.len())));
            people.push(Some(other));
        }
        acts += 1;
        if acts.is_multiple_of(500) {
            world.check();
        }
    }
    let end = world.now.max(start + DAY);
    world.advance(end);
    world.check();
    // The longest lifetime, and some.
    world.advance(end + Duration::from_secs(7_200));
    world.carry_notes();
    world.advance(end + Duration::from_secs(7_300));
    world.check_empty();
    world
}

fn seeds() -> [u64; 2] {
    [1, 20_261_125]
}

#[test]
fn nothing_is_left_of_a_day_with_ten_thousand_clients() {
    let clients = std::env::var("TANDEM_RELAY_CLIENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    for seed in seeds() {
        let told = day(seed, clients / seeds().len()).told;
        // A day on which something has not happened proves nothing about it.
        let happened = [
            told.allocated,
            told.expired,
            told.refused_sockets,
            told.over_quota,
            told.notes,
            told.moved,
            told.relayed,
            told.between_shards,
            told.lies,
            told.claimed,
        ];
        assert!(happened.iter().all(|&count| count > 0), "seed {seed}: {told:?}");
    }
}
