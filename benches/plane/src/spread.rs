//! The same room on one plane and over two: what a packet costs that goes on, and what of that is carrying it across.

use std::time::Duration;

use tandem_media::{Command, EndpointId, Publication, Shard, StreamSpec, TrackId, Want, allocate::Kind};
use tandem_rtp::rtcp::Recorder;

use crate::world::{Camera, VP8, World, number};
use crate::{Peers, Spent, settle, tell};

/// One publisher at the first plane; subscribers are dealt out.
pub fn row(subscribers: u64, planes: usize, seconds: u64) {
    let mut worlds: Vec<World> = (0..planes).map(|_| World::new()).collect();
    let dealt = |peer: u64| usize::try_from(peer).expect("small") % planes;
    for peer in 2..=subscribers + 1 {
        worlds[dealt(peer)].join(peer);
        settle(&mut worlds[dealt(peer)], &mut Spent::default());
    }
    worlds[0].join(1);
    settle(&mut worlds[0], &mut Spent::default());
    // One clock from here on: that of whoever has taken longest.
    let latest = worlds.iter().map(|world| world.now).max().expect("some");
    worlds.iter_mut().for_each(|world| world.now = latest);
    let peers: Vec<Peers> = worlds.iter().map(Peers::of).collect();
    worlds[0].publish(1, 1, VP8, &[]);
    for peer in 2..=subscribers + 1 {
        let (at, endpoint, slot) = (dealt(peer), EndpointId(peer), number(1));
        let world = &mut worlds[at];
        world.peers.get_mut(&peer).expect("joined").recorder = Some(Recorder::new());
        world.open(peer, 1, VP8);
        if at != 0 {
            let streams = vec![StreamSpec::default()];
            let publication = Publication { mid: "1".to_owned(), kind: Kind::Camera, payloads: vec![VP8], streams };
            world.tell(Command::Import { track: TrackId(1), home: Shard(0), publication });
        }
        world.tell(Command::Want { endpoint, slot, want: Want { height: 720, priority: 0, most: None } });
        world.tell(Command::Show { endpoint, slot, track: Some(TrackId(1)) });
    }
    let mut camera = Camera::new(1, 1, None);
    (camera.packets, camera.size) = (3, 1_150);
    let (mut media, mut across, mut rest) = (Spent::default(), Spent::default(), Spent::default());
    let (mut forwarded, mut carried) = (0, 0);
    let steps = seconds * 50;
    for step in 0..steps {
        if step == steps / 3 {
            (media, across, rest) = Default::default();
            (forwarded, carried) = counted(&worlds);
        }
        camera.frame(&mut worlds[0], step % 100 == 0);
        let world = &mut worlds[0];
        for (path, mut datagram) in world.take_wire() {
            media.time(|| world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out));
        }
        exchange(&mut worlds, &mut across);
        for _ in 0..20 {
            for (world, peers) in worlds.iter_mut().zip(&peers) {
                peers.receive(world);
                world.now += Duration::from_millis(1);
                if world.plane.poll_timeout().is_some_and(|at| at <= world.now) {
                    rest.time(|| world.plane.handle_timeout(world.now, &mut world.out));
                }
                while world.plane.poll_event().is_some() {}
            }
            exchange(&mut worlds, &mut across);
        }
        if step % 3 == 0 {
            (2..=subscribers + 1).for_each(|peer| tell(&mut worlds[dealt(peer)], peer));
            for world in &mut worlds {
                for (path, mut datagram) in world.take_wire() {
                    rest.time(|| world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out));
                }
            }
        }
    }
    let after = counted(&worlds);
    let (forwarded, carried) = (after.0 - forwarded, after.1 - carried);
    let each = |spent: &Spent| spent.nanos as f64 / forwarded as f64 / 1_000.0;
    let (media, across, rest) = (each(&media), each(&across), each(&rest));
    println!(
        "| {subscribers} | {planes} | {forwarded} | {carried} | {media:.2} | {across:.2} | {:.2} |",
        media + across + rest
    );
}

fn counted(worlds: &[World]) -> (u64, u64) {
    let counters = || worlds.iter().map(|world| world.plane.counters());
    (counters().map(|it| it.forwarded).sum(), counters().map(|it| it.carried).sum())
}

/// What planes tell each other arrives. What a far plane does with a packet, sending included, is counted here.
fn exchange(worlds: &mut [World], across: &mut Spent) {
    for from in 0..worlds.len() {
        while let Some((Shard(to), told)) = worlds[from].plane.poll_crossing() {
            let world = &mut worlds[to];
            across.time(|| world.plane.handle_crossing(world.now, Shard(from), told, &mut world.out));
        }
    }
}
