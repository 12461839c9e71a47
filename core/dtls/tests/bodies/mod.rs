//! Bodies of the fuzz targets of this crate.

use std::time::{Duration, Instant};

use tandem_dtls::{Client, Config, Event, Hello, Identity, Key, Limits, Outputs, Path, Server};

/// Bytes as a sequence of what strangers send to the front, cookies among it that are right, of real clients whose datagrams
/// are disturbed on their way, and of time passing.
///
/// Each step is `[kind and path, length, bytes]`.
pub fn dtls_front(bytes: &[u8]) {
    let identity = Identity::new(b"a certificate", Key::Pkcs8(&key())).expect("an identity");
    let limits = Limits { total: 3, per_address: 2, handshake: Duration::from_secs(10), idle: Duration::from_secs(60) };
    let now = start();
    let server = Server::new(now, Config { identity, limits }, [7; 32]).expect("a server");
    let mut front = Front { now, server, out: Outputs::default(), clients: Default::default(), begun: 0, offered: 0 };
    let (mut rest, mut cookies) = (bytes, [None; PATHS]);
    while let Some(([kind, length], after)) = rest.split_first_chunk() {
        let (piece, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let place = usize::from(kind >> 4) % PATHS;
        match (kind & 12, kind & 3) {
            (12, step) => front.play(place, step, piece),
            (_, 0) => front.hear(place, piece),
            (_, 1) => front.hear(place, &hello(place, 0, &[], piece)),
            (_, 2) => {
                let cookie: &[u8] = cookies[place].as_ref().map_or(piece, |cookie: &[u8; 32]| cookie);
                front.offered += 1;
                front.hear(place, &hello(place, 1, cookie, piece));
            }
            _ => front.pass(Duration::from_millis(u64::from(*length) * 40)),
        }
        assert!(front.server.len() <= 3, "more associations than there may be");
        assert!(front.server.len() <= front.offered, "kept without a cookie");
        for (to, answer) in front.out.challenges.iter() {
            assert!(kind & 15 != 0 || answer.len() < piece.len(), "an answer longer than what came");
            let known = (0..PATHS).find(|place| path(*place) == to).expect("a path of ours");
            cookies[known] = answer.last_chunk().copied().filter(|_| answer.len() == 60);
        }
        front.tell_clients();
    }
    front.pass(Duration::from_secs(200));
    front.pass(Duration::from_secs(200));
    assert!(front.server.is_empty() && front.server.poll_timeout().is_none(), "something stays for ever");
}

/// The server, and who speaks with it.
struct Front {
    now: Instant,
    server: Server,
    out: Outputs,
    clients: [Option<Client>; PATHS],
    /// Real clients so far. Each takes time.
    begun: usize,
    /// Hellos that may have been right.
    offered: usize,
}

impl Front {
    fn hear(&mut self, place: usize, datagram: &[u8]) {
        let before = self.server.len();
        self.server.handle_datagram(self.now, path(place), datagram, &mut self.out);
        assert!(self.server.len() <= before, "a handshake did not wait for its turn");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let (opened, waits) = (self.server.counters().opened, at <= self.now);
            self.server.handle_timeout(self.now, &mut self.out);
            assert!(self.server.counters().opened <= opened + 4, "more at a time than may be");
            assert!(waits, "nothing is early");
        }
        self.now = end;
    }

    /// What a real client does, and what the server does to it.
    fn play(&mut self, place: usize, step: u8, piece: &[u8]) {
        match step {
            0 if self.begun < MOST_CLIENTS => {
                self.begun += 1;
                self.clients[place] = Client::new(self.now).ok();
            }
            0 | 1 => self.deliver(place, piece),
            2 => {
                self.server.set_allocated(self.now, path(place), piece.len().is_multiple_of(2));
                self.server.send(path(place), [&[1], piece], &mut self.out);
                if piece.first() == Some(&0) {
                    self.server.close(path(place), &mut self.out);
                }
            }
            _ => {
                if let Some(client) = &mut self.clients[place] {
                    let _ = client.send(piece);
                }
            }
        }
    }

    /// Takes what a client has to send to the server, the first datagram changed as `piece` says, and the rest as it is.
    fn deliver(&mut self, place: usize, piece: &[u8]) {
        let Some(client) = &mut self.clients[place] else { return };
        let mut sent = Vec::new();
        loop {
            match client.poll_output() {
                Event::Send(datagram) => sent.push(datagram.to_vec()),
                Event::Received(_) | Event::Connected => {}
                Event::Closed | Event::Wait(_) => break,
            }
        }
        if let (Some(datagram), [at, change, ..]) = (sent.first_mut(), piece) {
            let at = usize::from(*at) % datagram.len();
            datagram[at] ^= change;
        }
        for datagram in sent {
            self.offered += 1;
            self.hear(place, &datagram);
        }
        self.pass(Duration::ZERO);
    }

    fn tell_clients(&mut self) {
        for (to, datagram) in self.out.challenges.iter().chain(self.out.sealed.iter()) {
            let place = (0..PATHS).find(|place| path(*place) == to).expect("a path of ours");
            if let Some(client) = &mut self.clients[place]
                && client.handle_datagram(self.now, datagram).is_err()
            {
                self.clients[place] = None;
            }
        }
        self.out.clear();
    }
}

/// A ClientHello with suites and extensions from outside, or sensible ones.
fn hello(place: usize, message_seq: u8, cookie: &[u8], piece: &[u8]) -> Vec<u8> {
    let cookie = &cookie[..cookie.len().min(32)];
    let random = [u8::try_from(place).expect("few"); 32];
    let sensible = [0, 2, 0xC0, 0x2B, 1, 0, 0, 20, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 23, 0, 0];
    let after = if piece.len() > 4 { piece } else { &sensible };
    let cookie_length = u8::try_from(cookie.len()).expect("short");
    let body = [&[254, 253], random.as_slice(), &[0, cookie_length], cookie, after].concat();
    let [b0, b1] = u16::try_from(body.len()).expect("short").to_be_bytes();
    let [r0, r1] = u16::try_from(body.len() + 12).expect("short").to_be_bytes();
    let record = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, message_seq, r0, r1];
    let datagram = [&record, [1, 0, b0, b1, 0, message_seq, 0, 0, 0, 0, b0, b1].as_slice(), &body].concat();
    if let Ok(read) = Hello::parse(&datagram) {
        assert_eq!((read.random, read.cookie), (&random, cookie));
    }
    datagram
}

fn path(place: usize) -> Path {
    let client = format!("192.0.2.{}:4000", place / 2).parse().expect("an address");
    Path { client, server: ([198, 51, 100, 1], u16::try_from(place).expect("few")).into() }
}

#[allow(clippy::disallowed_methods, reason = "an instant has to come from somewhere")]
fn start() -> Instant {
    Instant::now()
}

const PATHS: usize = 6;
const MOST_CLIENTS: usize = 2;

/// Made for this, and used nowhere else.
fn key() -> Vec<u8> {
    let digits = concat!(
        "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420b6338b77d58b0281c2979d3f",
        "2d58e26c768108b7b7c5960df24f1f5cb72f0451a1440342000434318d7153668ad5b4b25f2079ac44dd9ee6775f5bce",
        "8d81b47a44f3c9511131abb0793f44e20be3fd3981cd68ddb93738df2c322bc0bc808e3341f7db58e3c2",
    );
    let nibble =
        |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).expect("a digit");
    digits.as_bytes().chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}
