//! One publisher, many subscribers that tell what arrives (transport-wide feedback, every 50 ms), everything on: store,
//! selection, new numbers, times and pictures, transport-wide numbers, estimate, pacer, allocation, GCM-128. Measured is the
//! CPU time of calls of the plane; what peers do in between is not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tandem_media::{Command, EndpointId, Event, TrackId, Want};
use tandem_rtp::Ssrc;
use tandem_rtp::rtcp::Recorder;

mod spread;
#[path = "../../../core/media/tests/world/mod.rs"]
mod world;

use world::{Camera, VP8, World, number};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(6);
    println!("| subscribers | m-lines | forwarded | µs per packet: media | with feedback and timers | kB per subscriber | ms CPU to connect |");
    println!("|---|---|---|---|---|---|---|");
    for subscribers in [20, 200] {
        for lines in [1, 40] {
            row(subscribers, lines, seconds);
        }
    }
    println!("\n| subscribers | planes | forwarded | carried | µs per packet: home | far planes | with feedback and timers |");
    println!("|---|---|---|---|---|---|---|");
    for subscribers in [20, 200] {
        for planes in [1, 2] {
            spread::row(subscribers, planes, seconds);
        }
    }
}

/// Packets of 1,150 B; about 1.4 Mb/s for one m-line, 3.7 for forty.
fn row(subscribers: u64, lines: u64, seconds: u64) {
    let mut world = World::new();
    let (mut connect, mut media, mut rest) = (Spent::default(), Spent::default(), Spent::default());
    for peer in 1..=subscribers + 1 {
        world.join(peer);
        settle(&mut world, &mut connect);
    }
    let peers = Peers::of(&world);
    for line in 1..=lines {
        world.publish(1, line, VP8, &[]);
    }
    for peer in 2..=subscribers + 1 {
        world.peers.get_mut(&peer).expect("joined").recorder = Some(Recorder::new());
        for line in 1..=lines {
            world.open(peer, line, VP8);
            let (endpoint, slot) = (EndpointId(peer), number(line));
            let want = Want { height: 720, priority: 0, most: None };
            world.plane.handle_command(world.now, Command::Want { endpoint, slot, want }, &mut world.out);
            let track = Some(TrackId(line));
            world.plane.handle_command(world.now, Command::Show { endpoint, slot, track }, &mut world.out);
        }
    }
    let mut cameras: Vec<_> = (1..=lines).map(|line| Camera::new(1, line, None)).collect();
    let mut keys = vec![true; cameras.len()];
    for camera in &mut cameras {
        (camera.packets, camera.size) = (if lines == 1 { 3 } else { 1 }, 1_150);
    }
    let steps = seconds * 50;
    let mut counted = 0;
    for step in 0..steps {
        // By then estimates have settled.
        if step == steps / 3 {
            (media, rest, counted) = (Spent::default(), Spent::default(), world.plane.counters().forwarded);
        }
        for (at, camera) in cameras.iter_mut().enumerate() {
            let is_due = lines == 1 || (step + at as u64) % 5 == 0;
            if is_due {
                camera.frame(&mut world, std::mem::take(&mut keys[at]) || step % 100 == at as u64 % 100);
            }
        }
        for (path, mut datagram) in world.take_wire() {
            media.time(|| world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out));
        }
        peers.receive(&mut world);
        for _ in 0..20 {
            world.now += Duration::from_millis(1);
            if world.plane.poll_timeout().is_some_and(|at| at <= world.now) {
                rest.time(|| world.plane.handle_timeout(world.now, &mut world.out));
                peers.receive(&mut world);
            }
        }
        while let Some(event) = world.plane.poll_event() {
            assert!(!matches!(event, Event::Ended(..)), "{event:?}");
        }
        if step % 3 == 0 {
            for peer in 2..=subscribers + 1 {
                tell(&mut world, peer);
            }
            for (path, mut datagram) in world.take_wire() {
                rest.time(|| world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out));
            }
        }
    }
    let forwarded = world.plane.counters().forwarded - counted;
    // What each peer's own side holds is taken off by taking the peers away.
    world.out.datagrams = Default::default();
    world.out.marks = Default::default();
    world.events = Default::default();
    world.peers.clear();
    let plane = ALLOCATED.load(Ordering::Relaxed);
    for peer in 2..=subscribers + 1 {
        world.plane.handle_command(world.now, Command::Remove { endpoint: EndpointId(peer) }, &mut world.out);
    }
    world.out.datagrams = Default::default();
    while world.plane.poll_event().is_some() {}
    let without = ALLOCATED.load(Ordering::Relaxed);
    let each = |spent: &Spent| spent.nanos as f64 / forwarded as f64 / 1_000.0;
    println!(
        "| {subscribers} | {lines} | {forwarded} | {:.2} | {:.2} | {} | {:.2} |",
        each(&media),
        each(&media) + each(&rest),
        plane.saturating_sub(without) as u64 / subscribers / 1_000,
        connect.nanos as f64 / (subscribers + 1) as f64 / 1e6,
    );
}

fn tell(world: &mut World, peer: u64) {
    let recorder = world.peers.get_mut(&peer).and_then(|peer| peer.recorder.take_if(|it| it.waiting() > 0));
    let Some(mut recorder) = recorder else { return };
    world.control(peer, |writer| {
        recorder.write(writer, Ssrc(7), Ssrc(9)).expect("room");
    });
    world.peers.get_mut(&peer).expect("joined").recorder = Some(recorder);
}

/// Until the newest peer is connected; only the plane's share is counted.
fn settle(world: &mut World, spent: &mut Spent) {
    for _ in 0..400 {
        world.poll_peers();
        for (path, mut datagram) in world.take_wire() {
            spent.time(|| world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out));
        }
        let peers = Peers::of(world);
        peers.receive(world);
        world.now += Duration::from_millis(5);
        spent.time(|| {
            if world.plane.poll_timeout().is_some_and(|at| at <= world.now) {
                world.plane.handle_timeout(world.now, &mut world.out);
            }
        });
        peers.receive(world);
        while world.plane.poll_event().is_some() {}
        if world.peers.values().all(|peer| peer.connected) {
            return;
        }
        world.tick_peers();
    }
    panic!("they never connect");
}

/// Which peer is where.
struct Peers(std::collections::HashMap<std::net::SocketAddr, u64>);

impl Peers {
    fn of(world: &World) -> Self {
        Self(world.peers.iter().map(|(id, peer)| (peer.address, *id)).collect())
    }

    fn receive(&self, world: &mut World) {
        while let Some((path, mut datagram)) = world.out.datagrams.pop_front() {
            let peer = self.0.get(&path.remote).and_then(|id| world.peers.get_mut(id));
            if let Some(peer) = peer {
                peer.receive(world.now, &mut datagram, &world.ids);
                peer.got.clear();
                peer.numbers.clear();
                peer.control.clear();
            }
        }
        world.out.marks.clear();
    }
}

#[derive(Default)]
struct Spent {
    nanos: u64,
}

impl Spent {
    fn time(&mut self, act: impl FnOnce()) {
        let before = cpu();
        act();
        self.nanos += cpu() - before;
    }
}

/// Of this thread, in nanoseconds.
fn cpu() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it fills in what it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
