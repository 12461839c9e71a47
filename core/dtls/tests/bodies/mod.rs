//! Bodies of the fuzz targets of this crate.

use std::time::{Duration, Instant};

use tandem_dtls::{Config, Hello, Identity, Key, Limits, Outputs, Path, Server};

/// Bytes as a sequence of what strangers send to the front, cookies among it that are right, and of time passing.
///
/// Each step is `[kind and path, length, bytes]`.
pub fn dtls_front(bytes: &[u8]) {
    let mut now = start();
    let identity = Identity::new(b"a certificate", Key::Pkcs8(&key())).expect("an identity");
    let limits = Limits { total: 3, per_address: 2, handshake: Duration::from_secs(10), idle: Duration::from_secs(60) };
    let mut server = Server::new(now, Config { identity, limits }, [7; 32]).expect("a server");
    let (mut out, mut rest) = (Outputs::default(), bytes);
    let mut cookies = [None; PATHS];
    while let Some(([kind, length], after)) = rest.split_first_chunk() {
        let (piece, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let place = usize::from(kind >> 4) % PATHS;
        let path = path(place);
        let before = server.len();
        match kind & 3 {
            0 => server.handle_datagram(now, path, piece, &mut out),
            1 => server.handle_datagram(now, path, &hello(place, 0, &[], piece), &mut out),
            2 => {
                let cookie: &[u8] = cookies[place].as_ref().map_or(piece, |cookie: &[u8; 32]| cookie);
                server.handle_datagram(now, path, &hello(place, 1, cookie, piece), &mut out);
            }
            _ => {
                now += Duration::from_millis(u64::from(*length) * 40);
                server.handle_timeout(now, &mut out);
            }
        }
        assert!(server.len() <= 3, "more associations than there may be");
        assert!(kind & 3 == 2 || server.len() <= before, "kept without a cookie");
        for (_, answer) in out.challenges.iter() {
            assert!(kind & 3 != 0 || answer.len() < piece.len(), "an answer longer than what came");
            cookies[place] = answer.last_chunk().copied().filter(|_| answer.len() == 60);
        }
        out.clear();
    }
    now += Duration::from_secs(200);
    server.handle_timeout(now, &mut out);
    server.handle_timeout(now + Duration::from_secs(200), &mut out);
    assert!(server.is_empty() && server.poll_timeout().is_none(), "something stays for ever");
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
