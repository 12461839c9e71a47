//! What costs nothing: memory for a packet that is passed on, and time in a room where nothing is said.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use tandem_media::{EndpointId, MAX_DATAGRAM, Mark, Outbox, Path};
use tandem_rtp::header::Header;
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use world::*;

/// Counts what it is given, and forgets it.
struct Sink {
    room: Vec<u8>,
    datagrams: usize,
}

impl Outbox for Sink {
    fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    fn commit(&mut self, _: Path, _: usize, _: Mark) {
        self.datagrams += 1;
    }
}

#[test]
fn a_packet_that_is_passed_on_allocates_nothing() {
    let mut world = World::with(6);
    world.publish(1, 1, VP8, &[]);
    world.publish(1, 2, OPUS, &[]);
    for peer in 2..=6 {
        world.subscribe(peer, 1, VP8, top(0));
        world.subscribe(peer, 2, OPUS, top(0));
    }
    let mut camera = Camera::new(1, 1, None);
    let mut sink = Sink { room: vec![0; MAX_DATAGRAM], datagrams: 0 };
    let mut counted = (0, 0);
    for round in 0..300_u16 {
        camera.frame(&mut world, round == 0);
        let timestamp = Timestamp(960 * u32::from(round));
        let payload_type = PayloadType::from_wire(111);
        let header = Header { marker: false, payload_type, sequence: round, timestamp, ssrc: Ssrc(77) };
        world.send(1, header, &[(4, b"2")], &[0xfc; 80]);
        let mut datagrams = world.take_wire();
        let before = sink.datagrams;
        let (plane, now) = (&mut world.plane, world.now);
        let allocated = allocations(|| {
            for (path, datagram) in &mut datagrams {
                plane.handle_datagram(now, *path, datagram, &mut sink);
            }
        });
        // By then there is room for whatever is remembered.
        if round >= 150 {
            counted = (counted.0 + allocated, counted.1 + sink.datagrams - before);
        }
        world.now += Duration::from_millis(20);
        plane_timeouts(&mut world, &mut sink);
    }
    assert_eq!(counted, (0, 150 * 4 * 5), "allocations, and packets that went on");
}

fn plane_timeouts(world: &mut World, sink: &mut Sink) {
    if world.plane.poll_timeout().is_some_and(|at| at <= world.now) {
        world.plane.handle_timeout(world.now, sink);
    }
    while world.plane.poll_event().is_some() {}
}

#[test]
fn a_silent_room_is_woken_for_nothing_but_what_keeps_paths_alive() {
    let mut world = World::with(4);
    for peer in 1..=4 {
        world.join_group(peer, 1);
        world.publish(peer, peer, VP8, &["q", "h"]);
        world.publish(peer, 10 + peer, OPUS, &[]);
    }
    for peer in 1..=4_u64 {
        for other in (1..=4).filter(|other| *other != peer) {
            world.subscribe(peer, other, VP8, top(1));
            world.subscribe(peer, 10 + other, OPUS, top(0));
        }
    }
    let mut camera = Camera::new(1, 1, Some("q"));
    for round in 0..60 {
        camera.frame(&mut world, round == 0);
        world.run_ms(33);
    }
    world.run_ms(20_000);
    // Nobody says anything for a minute. What is due then is each peer's consent (RFC 7675), seen from here: none has sent
    // anything for so long.
    let (end, mut woken) = (world.now + Duration::from_secs(60), 0);
    while let Some(at) = world.plane.poll_timeout().filter(|at| *at < end) {
        world.plane.handle_timeout(at, &mut world.out);
        while world.plane.poll_event().is_some() {}
        woken += 1;
    }
    assert!(woken <= 4 * 40, "woken {woken} times in a minute for four peers");
    assert!(world.plane.tally(EndpointId(2), number(1)).is_some());
}

thread_local! {
    static COUNTED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How often memory is asked for meanwhile, by this thread.
fn allocations(act: impl FnOnce()) -> usize {
    COUNTED.set(Some(0));
    act();
    COUNTED.take().unwrap_or_default()
}

struct Counting;

#[allow(unsafe_code, reason = "an allocator is unsafe; this one counts and hands on")]
// SAFETY: everything is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNTED.try_with(|counted| counted.set(counted.get().map(|count| count + 1)));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
