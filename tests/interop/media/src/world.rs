//! The plane, the clients, and links between them that take 15 ms each way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_media::{Command, Config, EndpointId, Event, MAX_DATAGRAM, Mark, Outbox, Plane};
use tandem_rtp::ext::{self, Ids};
use tandem_webrtc::{Breadth, Credentials, Identity, Key, Local, Mode, Path, Protocol, Remote, Role};

use crate::client::Client;

pub struct World {
    pub now: Instant,
    pub plane: Plane,
    pub clients: Vec<Client>,
    pub events: Vec<Event>,
    pub connected: usize,
    pub out: Sent,
    local: Local,
    /// When, to the client of this index or to the plane, and what.
    wire: VecDeque<(Instant, Option<usize>, Path, Vec<u8>)>,
    /// Datagrams of each client's link.
    counted: Vec<(usize, fn(usize) -> bool)>,
}

#[derive(Default)]
pub struct Sent {
    room: Vec<u8>,
    datagrams: VecDeque<(Path, Vec<u8>)>,
}

impl Outbox for Sent {
    fn room(&mut self) -> &mut [u8] {
        self.room.resize(MAX_DATAGRAM, 0);
        &mut self.room
    }

    fn commit(&mut self, path: Path, length: usize, _: Mark) {
        self.datagrams.push_back((path, self.room[..length].to_vec()));
    }
}

impl World {
    pub fn new() -> Self {
        let now = Instant::now();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
        let identity = Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity");
        let local = Local::new(identity).expect("usable");
        let transports = Arc::new(tandem_webrtc::Config {
            local: local.clone(),
            breadth: Breadth::Browsers,
            ice: Mode::Lite,
            max_message: 256 << 10,
        });
        let listens = vec![(Protocol::Udp, server())];
        let plane = Plane::new(Config { transports, foreign: None, listens, clock: (now, 0) }, [1, 2, 3, 4]);
        let (clients, events, counted) = (Vec::new(), Vec::new(), Vec::new());
        Self { now, plane, clients, events, connected: 0, out: Sent::default(), local, wire: VecDeque::new(), counted }
    }

    pub fn join(&mut self, index: usize, lose: fn(usize) -> bool) {
        let address = SocketAddr::from(([10, 0, 0, index as u8 + 1], 5_000));
        let ours = Credentials::new([index as u8 + 7; 24]);
        let mut client = Client::new(self.now, address, index);
        client.meet(&ours, &self.local.fingerprint().to_string(), server());
        let id = EndpointId(index as u64);
        self.tell(Command::Add { endpoint: id, credentials: ours, ids: ids(), breadth: Breadth::Browsers });
        let (credentials, fingerprint) = client.describe();
        let remote = Remote { credentials, fingerprints: vec![fingerprint], role: Role::Server, channels: Some(0) };
        self.tell(Command::Remote { endpoint: id, remote });
        self.clients.push(client);
        self.counted.push((0, lose));
    }

    pub fn tell(&mut self, command: Command) {
        self.plane.handle_command(self.now, command, &mut self.out);
        assert_eq!(self.plane.counters().ignored, 0);
    }

    pub fn run_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..20_000 {
            if holds(self) {
                return;
            }
            self.run_ms(1);
        }
        panic!("never came true: {what}");
    }

    pub fn run_ms(&mut self, ms: u32) {
        for _ in 0..ms {
            self.now += Duration::from_millis(1);
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, to, path, mut datagram)) = self.wire.pop_front() else { return };
                match to {
                    None => self.plane.handle_datagram(self.now, path, &mut datagram, &mut self.out),
                    Some(index) => self.clients[index].receive(self.now, server(), &datagram),
                }
            }
            if self.plane.poll_timeout().is_some_and(|at| at <= self.now) {
                self.plane.handle_timeout(self.now, &mut self.out);
            }
            while let Some(event) = self.plane.poll_event() {
                self.connected += usize::from(matches!(event, Event::Connected(_)));
                assert!(!matches!(event, Event::Ended(..) | Event::Lost(_)), "{event:?}");
                self.events.push(event);
            }
            self.carry();
        }
    }

    fn carry(&mut self) {
        let at = self.now + Duration::from_millis(15);
        let mut put = |counted: &mut (usize, fn(usize) -> bool), to, path, datagram| {
            counted.0 += 1;
            if !(counted.1)(counted.0) {
                self.wire.push_back((at, to, path, datagram));
            }
        };
        while let Some((path, datagram)) = self.out.datagrams.pop_front() {
            let to = self.clients.iter().position(|client| client.address == path.remote).expect("a client's address");
            put(&mut self.counted[to], Some(to), path, datagram);
        }
        for index in 0..self.clients.len() {
            for datagram in self.clients[index].poll(self.now) {
                let path = Path { protocol: Protocol::Udp, local: server(), remote: self.clients[index].address };
                put(&mut self.counted[index], None, path, datagram);
            }
        }
    }
}

fn server() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 9_000))
}

/// As str0m numbers them.
fn ids() -> Ids {
    let mut ids = Ids::default();
    ids.set(ext::Kind::TransportSequence, 3);
    ids.set(ext::Kind::Mid, 4);
    ids.set(ext::Kind::Rid, 10);
    ids.set(ext::Kind::RepairedRid, 11);
    ids
}
