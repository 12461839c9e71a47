//! What an idle participant costs: bytes that the engine still holds, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tandem_api::signal::{ClientFrame, ClientKind, Entry, Hello, Join, Media};
use tandem_engine::{Config, Engine, Input, Now, Origin, Relay, TransportId};

const PARTICIPANTS: u64 = 5000;
const BYTES_EACH: usize = 1024;

#[test]
fn an_idle_participant_takes_less_than_a_kibibyte() {
    for in_each_room in [2, 20] {
        let before = HELD.load(Ordering::Relaxed);
        let engine = full_house(in_each_room);
        let each = (HELD.load(Ordering::Relaxed) - before) / usize::try_from(PARTICIPANTS).expect("fits");
        assert_eq!(engine.stats().participants, 5000);
        assert!(each < BYTES_EACH, "{each} bytes for each of {PARTICIPANTS}, {in_each_room} in a room");
    }
}

#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
fn full_house(in_each_room: u64) -> Engine {
    let mut engine = Engine::new(config(), [1; 32]);
    let now = Now { instant: Instant::now(), unix_ms: 1_800_000_000_000 };
    let mut feed = |input| {
        engine.handle_input(now, input);
        while engine.poll_output().is_some() {}
    };
    for n in 0..PARTICIPANTS {
        let origin = Origin {
            address: [192, 0, 2, 1].into(),
            host: "meet.example.org".into(),
            port: Some(443),
            client: ClientKind::Web,
        };
        let join = Join {
            room: format!("tovu-rabi-keno-{}", n / in_each_room),
            name: format!("Somebody {n}"),
            hide_address: false,
            media: Media::default(),
            entry: Entry::Open,
            encrypted: false,
            token: None,
        };
        feed(Input::Hello { transport: TransportId(n), origin, hello: Hello::Join(join), grants: None });
        // Each one acknowledges what it has got so far: `joined`, and two events for each who came later.
        let first = n - n % in_each_room;
        for earlier in first..=n {
            feed(Input::Frame {
                transport: TransportId(earlier),
                frame: ClientFrame::Ack { n: 1 + 2 * (n - earlier) },
            });
        }
    }
    engine
}

fn config() -> Config {
    Config {
        resume: Duration::from_secs(30),
        max_rooms: 10_000,
        max_participants: 50,
        mesh: 4,
        relay_only: false,
        tokens: false,
        hooks: false,
        sdp_bytes: 65_536,
        chat_chars: 1000,
        frame_bytes: 65_536,
        backlog_events: 1000,
        backlog_bytes: 262_144,
        requests_per_second: 50,
        requests_burst: 200,
        relay: Some(Relay {
            secret: vec![1; 32],
            ttl: Duration::from_secs(43_200),
            port: 3478,
            tls_port: Some(5349),
            shares_https_port: false,
            host: None,
        }),
        extra_ice_servers: Vec::new(),
        planes: Vec::new(),
    }
}

static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
