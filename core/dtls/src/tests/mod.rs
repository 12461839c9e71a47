//! The server against a client of `dimpl`, over a wire that the tests hold in their hands.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::crypto::Dtls12CipherSuite as Suite;
use dimpl::{Dtls, Output};

use crate::hello::tests::client_hello;
use crate::provider::{provider, write_nonces};
use crate::{Config, Event, Failed, Identity, Key, Limits, Outputs, Path, Server};

const LIMITS: Limits =
    Limits { total: 8, per_address: 4, handshake: Duration::from_secs(10), idle: Duration::from_secs(60) };

fn identity() -> Identity {
    static MADE: OnceLock<Identity> = OnceLock::new();
    let make = || {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["relay.example".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity")
    };
    MADE.get_or_init(make).clone()
}

#[expect(clippy::disallowed_methods, reason = "an instant has to come from somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn path(client: &str) -> Path {
    Path { client: client.parse().expect("an address"), server: "198.51.100.1:5349".parse().expect("an address") }
}

/// A server, what it has put out, and the time.
struct World {
    server: Server,
    out: Outputs,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let now = start();
        let server = Server::new(now, Config { identity: identity(), limits }, [7; 32]).expect("a server");
        Self { server, out: Outputs::default(), now }
    }

    fn hear(&mut self, path: Path, datagram: &[u8]) {
        self.server.handle_datagram(self.now, path, datagram, &mut self.out);
        self.settle();
    }

    /// Does what is due at once.
    fn settle(&mut self) {
        while self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now, &mut self.out);
        }
    }

    fn say(&mut self, path: Path, message: &[u8]) -> bool {
        self.server.send(path, [&[], message], &mut self.out)
    }

    /// Lets so much time pass, with all that is due in it.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.server.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now, &mut self.out);
        }
        self.now = end;
    }

    /// Takes the datagrams for a path.
    fn sent(&mut self, path: Path) -> Vec<Vec<u8>> {
        let all = self.out.challenges.iter().chain(self.out.sealed.iter());
        let mine = all.filter(|(to, _)| *to == path).map(|(_, datagram)| datagram.to_vec()).collect();
        self.out.challenges.clear();
        self.out.sealed.clear();
        mine
    }

    fn heard(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let all = self.out.plain.iter().map(|(path, message)| (path.client, message.to_vec())).collect();
        self.out.plain.clear();
        all
    }

    /// The client's handshake, to its end.
    fn open(&mut self, client: &mut Client) {
        for _ in 0..10 {
            client.exchange(self);
        }
        assert!(client.connected, "no connection");
    }
}

/// A client, and what it has seen.
struct Client {
    path: Path,
    suite: Suite,
    dtls: Dtls,
    connected: bool,
    closed: bool,
    heard: Vec<Vec<u8>>,
}

impl Client {
    fn new(at: &str, now: Instant) -> Self {
        Self::with(at, now, Suite::ECDHE_ECDSA_AES128_GCM_SHA256)
    }

    fn with(at: &str, now: Instant, suite: Suite) -> Self {
        let builder = dimpl::Config::builder().with_crypto_provider(provider()).dtls12_cipher_suites(&[suite]);
        let config = builder.build().expect("settings");
        let mut dtls = Dtls::new_12(Arc::new(config), identity().0, now);
        dtls.set_active(true);
        Self { path: path(at), suite, dtls, connected: false, closed: false, heard: Vec::new() }
    }

    /// What it wants to send.
    fn take(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let (mut sent, mut buffer) = (Vec::new(), vec![0; 1 << 15]);
        self.dtls.handle_timeout(now).expect("time passes");
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => {
                    let mut packet = packet.to_vec();
                    // Its cipher is ours.
                    if self.suite == Suite::ECDHE_ECDSA_AES128_GCM_SHA256 {
                        write_nonces(&mut packet);
                    }
                    sent.push(packet);
                }
                Output::Connected => self.connected = true,
                Output::ApplicationData(data) => self.heard.push(data.to_vec()),
                Output::CloseNotify => self.closed = true,
                Output::Timeout(_) => return sent,
                _ => {}
            }
        }
    }

    /// One round: its datagrams there, the answers back.
    fn exchange(&mut self, world: &mut World) {
        for datagram in self.take(world.now) {
            world.hear(self.path, &datagram);
        }
        for datagram in world.sent(self.path) {
            self.dtls.handle_packet(&datagram).expect("an answer it understands");
        }
        let rest = self.take(world.now);
        rest.iter().for_each(|datagram| world.hear(self.path, datagram));
    }
}

#[test]
fn a_client_comes_talks_and_goes() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut client);
    assert_eq!((world.server.len(), world.server.counters().opened), (1, 1));

    client.dtls.send_application_data(b"a question").expect("sent");
    client.exchange(&mut world);
    assert_eq!(world.heard(), [(client.path.client, b"a question".to_vec())]);
    assert!(world.say(client.path, b"an answer"));
    assert!(world.say(client.path, b"another"));
    client.exchange(&mut world);
    assert_eq!(client.heard, [b"an answer".to_vec(), b"another".to_vec()]);

    client.dtls.close().expect("closed");
    client.exchange(&mut world);
    assert!(world.server.is_empty());
    assert_eq!(world.out.closed, [client.path]);
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a_message_that_fits_no_record_is_dropped_and_the_client_stays() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut client);
    for length in [16_385, 20_000, 65_535] {
        assert!(!world.say(client.path, &vec![7; length]), "{length}");
    }
    for length in [16_384, 1] {
        assert!(world.say(client.path, &vec![7; length]));
        client.exchange(&mut world);
        assert_eq!(client.heard.pop(), Some(vec![7; length]));
    }
    assert_eq!(world.server.len(), 1);
}

#[test]
fn the_client_for_tools_speaks_with_the_server() {
    let mut world = World::new();
    let here = path("192.0.2.1:4000");
    let mut client = crate::Client::new(world.now).expect("a client");
    let (mut connected, mut heard, mut closed) = (false, Vec::new(), false);
    for round in 0..10 {
        let mut to_server = Vec::new();
        loop {
            match client.poll_output() {
                Event::Send(datagram) => to_server.push(datagram.to_vec()),
                Event::Received(message) => heard.push(message.to_vec()),
                Event::Connected => connected = true,
                Event::Closed => closed = true,
                Event::Wait(_) => break,
            }
        }
        to_server.iter().for_each(|datagram| world.hear(here, datagram));
        for datagram in world.sent(here) {
            client.handle_datagram(world.now, &datagram).expect("understood");
        }
        match round {
            4 => client.send(b"a question").expect("sent"),
            5 => assert!(world.say(here, b"an answer")),
            6 => world.server.close(here, &mut world.out),
            _ => {}
        }
    }
    assert!(connected && closed);
    assert_eq!((world.heard(), heard), (vec![(here.client, b"a question".to_vec())], vec![b"an answer".to_vec()]));
}

#[test]
fn the_client_for_tools_says_why_it_has_failed() {
    let mut world = World::new();
    let mut client = crate::Client::new(world.now).expect("a client");
    // RFC 5246 §7.2: a fatal handshake_failure, as of a server whose certificate has an RSA key.
    let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40];
    while !matches!(client.poll_output(), Event::Wait(_)) {}
    assert_eq!(client.handle_datagram(world.now, &alert), Err(Failed::Refused { alert: 40 }));

    let mut client = crate::Client::new(world.now).expect("a client");
    let mut outcome = Ok(());
    for _ in 0..60 {
        while !matches!(client.poll_output(), Event::Wait(_)) {}
        world.now += Duration::from_secs(1);
        outcome = outcome.and_then(|()| client.handle_timeout(world.now));
    }
    assert_eq!(outcome, Err(Failed::Silent));

    // Whatever comes, it does not panic, and a message that fits no record is refused.
    let mut client = crate::Client::new(world.now).expect("a client");
    for length in 0..64 {
        let _ = client.handle_datagram(world.now, &alert.repeat(5)[..length]);
    }
    assert_eq!(client.send(&[0; 16_385]), Err(Failed::TooLong { length: 16_385 }));
}

#[test]
fn either_suite_is_spoken_and_a_client_with_neither_costs_nothing() {
    let mut world = World::new();
    for suite in [Suite::ECDHE_ECDSA_AES128_GCM_SHA256, Suite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256] {
        let mut client = Client::with("192.0.2.1:4000", world.now, suite);
        world.open(&mut client);
        assert!(world.say(client.path, b"an answer"));
        client.exchange(&mut world);
        assert_eq!(client.heard, [b"an answer".to_vec()]);
    }
    let mut hello = client_hello(5, 0, 3, &[]);
    let suite = 13 + 12 + 2 + 32 + 2 + 2;
    hello[suite..suite + 2].copy_from_slice(&[0xC0, 0x2C]);
    world.hear(path("192.0.2.1:4001"), &hello);
    assert_eq!(world.sent(path("192.0.2.1:4001")), [refusal(40)]);
    assert_eq!((world.server.len(), world.server.counters().refused), (1, 1));
}

#[test]
fn a_client_of_dtls_1_0_is_told_so_that_it_can_try_another() {
    let mut world = World::new();
    let here = path("192.0.2.1:4000");
    let mut hello = client_hello(5, 0, 3, &[]);
    hello[13 + 12 + 1] = 255;
    world.hear(here, &hello);
    assert_eq!(world.sent(here), [refusal(70)]);
    assert!(world.server.is_empty());
}

/// A fatal alert in record 5.
fn refusal(description: u8) -> Vec<u8> {
    vec![21, 254, 255, 0, 0, 0, 0, 0, 0, 0, 5, 0, 2, 2, description]
}

#[test]
fn no_nonce_of_ours_comes_twice() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut client);
    world.out.sealed.clear();
    (0..100).for_each(|_| assert!(world.say(client.path, b"an answer")));
    // Behind the header of each: its own number (RFC 5288 §3).
    let sent = world.sent(client.path);
    assert!(sent.iter().all(|datagram| datagram[3..11] == datagram[13..21]));
    let different: std::collections::BTreeSet<_> = sent.iter().map(|datagram| &datagram[13..21]).collect();
    assert_eq!(different.len(), 100);
}

#[test]
fn a_client_that_is_dismissed_is_told() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut client);
    world.server.close(client.path, &mut world.out);
    client.exchange(&mut world);
    assert!(client.closed && world.server.is_empty());
}

#[test]
fn first_hellos_leave_nothing_behind_and_are_answered_with_less() {
    let mut world = World::new();
    for number in 0..20_000_u32 {
        let hello = client_hello(0, 0, 3, &[]);
        let [_, _, high, low] = number.to_be_bytes();
        world.hear(path(&format!("10.1.{high}.{low}:4000")), &hello);
        let (_, challenge) = world.out.challenges.iter().next().expect("an answer");
        assert!(challenge.len() < hello.len());
        assert!(world.out.sealed.is_empty());
        world.out.challenges.clear();
    }
    assert!(world.server.is_empty());
    assert_eq!(world.server.poll_timeout(), None);
    assert_eq!(world.server.counters().challenged, 20_000);
}

/// The hello with which a client answers the challenge.
fn second_hello(world: &mut World, client: &mut Client) -> Vec<u8> {
    client.take(world.now).iter().for_each(|datagram| world.hear(client.path, datagram));
    let challenge = world.sent(client.path);
    client.dtls.handle_packet(&challenge[0]).expect("a challenge");
    client.take(world.now).remove(0)
}

#[test]
fn a_wrong_cookie_an_old_one_and_one_of_another_address_are_asked_for_again() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    let hello = second_hello(&mut world, &mut client);

    world.hear(path("192.0.2.2:4000"), &hello);
    world.hear(path("192.0.2.1:4001"), &hello);
    let mut wrong = hello.clone();
    wrong[13 + 12 + 2 + 32 + 1 + 1] ^= 1;
    world.hear(client.path, &wrong);
    assert_eq!((world.server.len(), world.out.challenges.len()), (0, 3));

    world.out.challenges.clear();
    world.pass(Duration::from_secs(61));
    world.hear(client.path, &hello);
    assert_eq!((world.server.len(), world.out.challenges.len()), (0, 1));
    // Asked again, it gets through all the same.
    let challenge = world.sent(client.path).remove(0);
    client.dtls.handle_packet(&challenge).expect("a challenge");
}

#[test]
fn a_cookie_that_is_right_begins_a_handshake_and_its_repetition_no_other() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    let hello = second_hello(&mut world, &mut client);
    world.hear(client.path, &hello);
    world.hear(client.path, &hello);
    assert_eq!(world.server.len(), 1);
    assert!(world.out.challenges.is_empty());
}

#[test]
fn plain_records_go_on_from_the_clients_numbers() {
    let mut world = World::new();
    let here = path("192.0.2.1:4000");
    world.hear(here, &client_hello(5, 0, 3, &[]));
    let challenge = world.sent(here).remove(0);
    assert_eq!(challenge[5..11], [0, 0, 0, 0, 0, 5]);
    world.hear(here, &client_hello(6, 1, 3, &challenge[28..]));
    let flight = world.sent(here).remove(0);
    // A ServerHello, message 1, in record 6.
    assert_eq!((flight[13], &flight[17..19], &flight[5..11]), (2, &[0, 1][..], &[0, 0, 0, 0, 0, 6][..]));
}

#[test]
fn a_client_whose_cookie_became_too_old_is_served_with_the_next() {
    let mut world = World::new();
    let here = path("192.0.2.1:4000");
    world.hear(here, &client_hello(0, 0, 3, &[]));
    let old = world.sent(here).remove(0);
    world.pass(Duration::from_secs(61));
    world.hear(here, &client_hello(1, 1, 3, &old[28..]));
    let fresh = world.sent(here).remove(0);
    assert_eq!(fresh[17..19], [0, 1], "its second HelloVerifyRequest is message 1");
    world.hear(here, &client_hello(2, 2, 3, &fresh[28..]));
    let flight = world.sent(here).remove(0);
    assert_eq!((flight[13], &flight[17..19]), (2, &[0, 2][..]));
}

#[test]
fn a_hello_in_pieces_is_refused_and_nothing_kept() {
    let mut world = World::new();
    let mut piece = client_hello(0, 0, 3, &[]);
    piece[13 + 11] -= 4;
    piece.truncate(piece.len() - 4);
    piece[12] -= 4;
    world.hear(path("192.0.2.1:4000"), &piece);
    assert!(world.server.is_empty() && world.out.challenges.is_empty());
    assert_eq!(world.server.counters().refused, 1);
}

#[test]
fn garbage_from_strangers_is_not_answered_and_from_clients_not_minded() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut client);
    let garbage: [&[u8]; 6] = [
        &[20],
        &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 3, 1, 2, 3],
        &[23, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 1, 2, 3],
        &[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40],
        &[63; 200],
    ];
    for datagram in garbage.into_iter().cycle().take(600) {
        world.hear(path("192.0.2.9:4000"), datagram);
        world.hear(client.path, datagram);
    }
    assert!(world.out.challenges.is_empty() && world.out.plain.is_empty());
    client.dtls.send_application_data(b"still here").expect("sent");
    client.exchange(&mut world);
    assert_eq!(world.heard(), [(client.path.client, b"still here".to_vec())]);
}

#[test]
fn what_is_lost_is_sent_again_and_a_handshake_that_takes_too_long_is_given_up() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    let hello = second_hello(&mut world, &mut client);
    world.hear(client.path, &hello);
    let flight = world.sent(client.path);
    assert!(!flight.is_empty());
    world.pass(Duration::from_secs(2));
    assert!(!world.sent(client.path).is_empty(), "the flight is not repeated");
    world.pass(Duration::from_secs(8));
    assert!(world.server.is_empty());
    assert_eq!(world.out.closed, [client.path]);
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn many_deadlines_at_once_are_dealt_with_one_after_the_other() {
    let mut world = World::with(Limits { total: 1_000, per_address: 1_000, ..LIMITS });
    for port in 0..100 {
        let mut client = Client::new(&format!("192.0.2.1:{}", 4_000 + port), world.now);
        let hello = second_hello(&mut world, &mut client);
        world.hear(client.path, &hello);
    }
    world.now += LIMITS.handshake;
    world.server.handle_timeout(world.now, &mut world.out);
    assert_eq!(world.server.len(), 36);
    assert!(world.server.poll_timeout().is_some_and(|at| at <= world.now));
    world.settle();
    assert!(world.server.is_empty());
}

#[test]
fn clients_are_bounded_each_address_and_all_together() {
    let mut world = World::new();
    let mut admitted = |address: &str| {
        let mut client = Client::new(address, world.now);
        let hello = second_hello(&mut world, &mut client);
        let before = world.server.len();
        world.hear(client.path, &hello);
        world.server.len() > before
    };
    let of_one = (0..10).filter(|port| admitted(&format!("192.0.2.1:{}", 4000 + port))).count();
    let of_a_network = (0..10).filter(|host| admitted(&format!("[2001:db8::{host}]:4000"))).count();
    assert_eq!((of_one, of_a_network), (4, 4));
    assert!(!admitted("192.0.2.2:4000"));
    assert!(world.server.counters().refused > 0);
}

#[test]
fn a_flood_of_handshakes_waits_and_nobody_who_talks_waits_for_it() {
    let mut world = World::with(Limits { total: 1_000, per_address: 1_000, ..LIMITS });
    let mut talking = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut talking);
    let other = path("192.0.2.2:4000");
    // A hundred of one network; then one of another.
    let flood = (0..100).map(|port| path(&format!("192.0.2.66:{}", 4_000 + port)));
    let hellos: Vec<(Path, Vec<u8>)> = flood
        .chain([other])
        .map(|from| (from, second_hello(&mut world, &mut Client::new(&from.client.to_string(), start()))))
        .collect();
    for (from, hello) in &hellos {
        world.server.handle_datagram(world.now, *from, hello, &mut world.out);
    }
    assert_eq!((world.server.len(), world.server.counters().shed), (1, 36), "none is begun, and so many may wait");
    assert_eq!(world.server.poll_timeout(), Some(world.now));
    talking.dtls.send_application_data(b"a question").expect("sent");
    for datagram in talking.take(world.now) {
        world.server.handle_datagram(world.now, talking.path, &datagram, &mut world.out);
    }
    assert_eq!(world.heard(), [(talking.path.client, b"a question".to_vec())]);

    world.server.handle_timeout(world.now, &mut world.out);
    assert_eq!(world.server.len(), 1 + 4, "a few at a time");
    assert!(!world.sent(other).is_empty(), "each network has its turn");
    world.settle();
    assert_eq!(world.server.len(), 1 + 64 + 1);
    assert!(world.server.poll_timeout().is_some_and(|at| at > world.now));
}

#[test]
fn what_follows_in_handshakes_waits_too() {
    let mut world = World::with(Limits { total: 100, per_address: 100, ..LIMITS });
    let mut clients: Vec<Client> =
        (0..10).map(|port| Client::new(&format!("192.0.2.1:{}", 4_000 + port), world.now)).collect();
    for client in &mut clients {
        let hello = second_hello(&mut world, client);
        world.hear(client.path, &hello);
        world.sent(client.path).iter().for_each(|datagram| client.dtls.handle_packet(datagram).expect("a flight"));
    }
    for client in &mut clients {
        for datagram in client.take(world.now) {
            world.server.handle_datagram(world.now, client.path, &datagram, &mut world.out);
        }
    }
    assert_eq!(world.server.counters().opened, 0);
    world.server.handle_timeout(world.now, &mut world.out);
    assert!((1..=4).contains(&world.server.counters().opened), "{:?}", world.server.counters());
    world.settle();
    assert_eq!(world.server.counters().opened, 10);
}

#[test]
fn a_silent_client_is_let_go_unless_it_relays() {
    let mut world = World::new();
    let mut idle = Client::new("192.0.2.1:4000", world.now);
    let mut relaying = Client::new("192.0.2.1:4001", world.now);
    world.open(&mut idle);
    world.open(&mut relaying);
    world.server.set_allocated(world.now, relaying.path, true);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.server.len(), 2);
    world.pass(Duration::from_secs(2));
    assert_eq!((world.server.len(), world.out.closed.as_slice()), (1, &[idle.path][..]));
    idle.exchange(&mut world);
    assert!(idle.closed);
    world.server.set_allocated(world.now, relaying.path, false);
    world.pass(Duration::from_secs(121));
    assert!(world.server.is_empty());
}

#[test]
fn a_client_that_begins_anew_at_the_same_address_takes_its_place() {
    let mut world = World::new();
    let mut first = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut first);
    let mut again = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut again);
    assert_eq!((world.server.len(), world.out.closed.as_slice()), (1, &[first.path][..]));
    assert!(world.say(again.path, b"welcome"));
    again.exchange(&mut world);
    assert_eq!(again.heard, [b"welcome".to_vec()]);
}

#[test]
fn a_strangers_hello_does_not_disturb_the_client_of_that_path() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.1:4000", world.now);
    world.open(&mut client);
    world.hear(client.path, &client_hello(0, 0, 3, &[]));
    world.hear(client.path, &client_hello(1, 1, 3, &[9; 32]));
    assert_eq!((world.server.len(), world.out.challenges.len()), (1, 2));
    assert!(world.out.closed.is_empty());
    world.out.challenges.clear();
    assert!(world.say(client.path, b"still here"));
    client.exchange(&mut world);
    assert_eq!(client.heard, [b"still here".to_vec()]);
}
