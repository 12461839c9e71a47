//! The engine, media planes, and guests who publish and watch through both: what a server does, without its sockets and
//! threads, on one clock.

mod guest;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_api::signal::Reason;
use tandem_engine::{Command, CommandId, Engine, Input, Now, Output, Reply, Way};
use tandem_media::terms::Terms;
use tandem_media::{Command as Order, Config, Crossing, MAX_DATAGRAM, Mark, Outbox, Plane, Shard};
use tandem_sdp::{Candidate, CandidateTransport};
use tandem_webrtc::{Breadth, Identity, Key, Local, Mode, Path, Protocol};

pub use guest::Guest;

pub const SERVER: &str = "203.0.113.1:9000";
/// An office behind one address.
pub const OFFICE: [u8; 4] = [198, 51, 100, 1];
const STEP: Duration = Duration::from_millis(5);

/// What the plane wants to be sent.
#[derive(Default)]
struct Wire {
    room: Vec<u8>,
    datagrams: VecDeque<(Path, Vec<u8>)>,
}

impl Outbox for Wire {
    fn room(&mut self) -> &mut [u8] {
        self.room.resize(MAX_DATAGRAM, 0);
        &mut self.room
    }

    fn commit(&mut self, path: Path, length: usize, _: Mark) {
        self.datagrams.push_back((path, self.room[..length].to_vec()));
    }
}

pub struct Studio {
    pub engine: Engine,
    pub planes: Vec<Plane>,
    pub guests: BTreeMap<u16, Guest>,
    /// At which plane each is, as the engine has put it.
    pub places: BTreeMap<u16, usize>,
    /// Datagrams that the plane has wanted to be sent to nobody who is there.
    pub stray: usize,
    now: Instant,
    start: Instant,
    wire: Wire,
    ours: Arc<tandem_webrtc::Config>,
    /// Where the newest connection was put.
    newest: usize,
    /// Certificates of guests cost more than all else: they share one.
    theirs: Arc<tandem_webrtc::Config>,
    last_guest: u16,
    last_command: u64,
    replies: BTreeMap<CommandId, Reply>,
}

impl Studio {
    /// A server whose rooms have so many places.
    pub fn new(places: u32) -> Self {
        Self::over(1, places)
    }

    /// With so many planes; a way to each of them begins at the same address.
    pub fn over(planes: usize, places: u32) -> Self {
        let now = Instant::now();
        let ours = transports(Mode::Lite, Breadth::Everybody);
        let at: SocketAddr = SERVER.parse().expect("an address");
        let terms = Terms::new(digest(&ours), vec![Candidate::host(CandidateTransport::Udp, at, 0)]);
        let config = tandem_engine::Config {
            planes: vec![terms; planes],
            max_participants: places,
            backlog_events: 10_000,
            backlog_bytes: 64 << 20,
            ..tandem_sim::config()
        };
        let mut studio = Self {
            engine: Engine::new(config, [7; 32]),
            planes: Vec::new(),
            guests: BTreeMap::new(),
            places: BTreeMap::new(),
            stray: 0,
            now,
            start: now,
            wire: Wire::default(),
            ours,
            newest: 0,
            theirs: transports(Mode::Full { is_controlling: true }, Breadth::Browsers),
            last_guest: 0,
            last_command: 0,
            replies: BTreeMap::new(),
        };
        studio.planes = (0..planes).map(|_| studio.plane()).collect();
        studio
    }

    fn plane(&self) -> Plane {
        let listens = vec![(Protocol::Udp, SERVER.parse().expect("an address"))];
        let config = Config { transports: Arc::clone(&self.ours), foreign: None, listens, clock: (self.start, 0) };
        Plane::new(config, [1, 2, 3, 4])
    }

    // --- what a story does ---

    /// Somebody in the office comes to publish or to watch; its connection is not there yet.
    pub fn come(&mut self, room: &str, way: Way) -> Result<u16, Reason> {
        self.come_from(OFFICE.into(), room, way)
    }

    pub fn come_from(&mut self, address: IpAddr, room: &str, way: Way) -> Result<u16, Reason> {
        self.last_guest += 1;
        let id = self.last_guest;
        let mut guest = Guest::new(self.now, id, (way, SocketAddr::new(address, 10_000 + id)), &self.theirs);
        let asks = tandem_engine::Guest {
            room: room.to_owned(),
            name: format!("Guest {id}"),
            address,
            way,
            sdp: guest.offer(),
            grants: None,
        };
        match self.command(Command::Connect(Box::new(asks))) {
            Reply::Connected { token, answer, .. } => {
                guest.accept(self.now, token, &answer);
                self.places.insert(id, self.newest);
                self.guests.insert(id, guest);
                Ok(id)
            }
            Reply::Refused { reason, .. } => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    /// Says good-bye.
    pub fn leave(&mut self, id: u16) {
        let guest = self.guests.remove(&id).expect("it is here");
        assert_eq!(self.command(Command::Disconnect { token: guest.token }), Reply::Done);
    }

    /// A plane loses everything and begins anew; those who were there are gone.
    pub fn lose(&mut self, shard: usize) {
        self.planes[shard] = self.plane();
        for (_, plane) in self.planes.iter_mut().enumerate().filter(|(other, _)| *other != shard) {
            plane.handle_crossing(self.now, Shard(shard), Crossing::lost(), &mut self.wire);
        }
        let now = self.reading();
        self.engine.handle_media_lost(now, shard);
        self.guests.retain(|id, _| self.places.get(id) != Some(&shard));
        self.settle();
    }

    /// Peers, tracks and ways of all planes.
    pub fn census(&self) -> (usize, usize, usize) {
        let each = self.planes.iter().map(Plane::census);
        each.fold((0, 0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1, sum.2 + it.2))
    }

    pub fn guest(&self, id: u16) -> &Guest {
        &self.guests[&id]
    }

    pub fn guest_mut(&mut self, id: u16) -> &mut Guest {
        self.guests.get_mut(&id).expect("it is here")
    }

    pub fn command(&mut self, command: Command) -> Reply {
        self.last_command += 1;
        let id = CommandId(self.last_command);
        self.engine.handle_input(self.reading(), Input::Command { id, command });
        self.settle();
        self.replies.remove(&id).expect("each command has one reply")
    }

    /// A datagram from anywhere.
    pub fn throw(&mut self, remote: SocketAddr, mut datagram: Vec<u8>) {
        let path = Path { protocol: Protocol::Udp, local: SERVER.parse().expect("an address"), remote };
        let id = remote.port().wrapping_sub(10_000);
        let is_here = self.guests.get(&id).is_some_and(|guest| guest.address == remote);
        let place = self.places.get(&id).copied().filter(|_| is_here).unwrap_or(0);
        self.planes[place].handle_datagram(self.now, path, &mut datagram, &mut self.wire);
    }

    /// A picture of a publisher, and the time until the next one.
    pub fn picture(&mut self, publisher: u16, is_keyframe: bool) {
        for datagram in self.guest_mut(publisher).picture(is_keyframe) {
            self.from(publisher, datagram);
        }
        self.run_ms(33);
    }

    /// The control packet that `write` makes, of a guest.
    pub fn control(&mut self, id: u16, write: impl FnOnce(&mut tandem_rtp::rtcp::Writer<'_>)) {
        let datagram = self.guest_mut(id).control(write);
        self.from(id, datagram);
    }

    pub fn from(&mut self, id: u16, datagram: Vec<u8>) {
        self.throw(self.guest(id).address, datagram);
    }

    // --- time ---

    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        self.settle();
        while self.now < end {
            self.now = (self.now + STEP).min(end);
            for plane in &mut self.planes {
                if plane.poll_timeout().is_some_and(|at| at <= self.now) {
                    plane.handle_timeout(self.now, &mut self.wire);
                }
            }
            if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
                self.engine.handle_timeout(self.reading());
            }
            self.guests.values_mut().for_each(|guest| guest.tick(self.now));
            self.settle();
        }
    }

    fn reading(&self) -> Now {
        let since = u64::try_from((self.now - self.start).as_millis()).expect("fits");
        Now { instant: self.now, unix_ms: 1_800_000_000_000 + since }
    }

    /// Until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut quiet = true;
            while let Some(output) = self.engine.poll_output() {
                quiet = false;
                match output {
                    Output::Media { shard, command } => {
                        if matches!(*command, Order::Add { .. }) {
                            self.newest = shard;
                        }
                        self.planes[shard].handle_command(self.now, *command, &mut self.wire);
                    }
                    Output::Reply { id, reply } => drop(self.replies.insert(id, reply)),
                    _ => {}
                }
            }
            let now = self.reading();
            for from in 0..self.planes.len() {
                while let Some(event) = self.planes[from].poll_event() {
                    quiet = false;
                    self.engine.handle_media(now, event);
                }
                while let Some((Shard(to), told)) = self.planes[from].poll_crossing() {
                    quiet = false;
                    self.planes[to].handle_crossing(self.now, Shard(from), told, &mut self.wire);
                }
            }
            while let Some((path, mut datagram)) = self.wire.datagrams.pop_front() {
                quiet = false;
                let id = path.remote.port().wrapping_sub(10_000);
                match self.guests.get_mut(&id).filter(|guest| guest.address == path.remote) {
                    Some(guest) => guest.receive(self.now, &mut datagram),
                    None => self.stray += 1,
                }
            }
            let said: Vec<_> = self.guests.values_mut().flat_map(Guest::poll).collect();
            quiet &= said.is_empty();
            said.into_iter().for_each(|(remote, datagram)| self.throw(remote, datagram));
            if quiet {
                return;
            }
        }
        panic!("they never fall silent");
    }

    /// Nothing is left of anybody: neither in the engine nor in the plane.
    pub fn check_empty(&self) {
        let stats = self.engine.stats();
        let held = [stats.rooms, stats.participants, stats.tokens, stats.timers, stats.legs, stats.tracks];
        assert_eq!(held, [0; 6], "rooms, participants, tokens, timers, legs, tracks");
        assert_eq!(self.census(), (0, 0, 0), "peers, tracks, ways");
        assert!(self.planes.iter().all(|plane| plane.imports() == 0), "tracks of other planes");
    }
}

fn transports(ice: Mode, breadth: Breadth) -> Arc<tandem_webrtc::Config> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
    let identity = Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity");
    let local = Local::new(identity).expect("usable");
    Arc::new(tandem_webrtc::Config { local, breadth, ice, max_message: 1 << 16 })
}

/// The SHA-256 of a certificate.
fn digest(config: &tandem_webrtc::Config) -> [u8; 32] {
    let text = config.local.fingerprint().to_string();
    let (_, hex) = text.split_once(' ').expect("a hash and its value");
    let bytes: Vec<u8> = hex.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
    bytes.try_into().expect("of SHA-256")
}
