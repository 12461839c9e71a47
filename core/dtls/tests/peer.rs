//! Two ends of a WebRTC connection, back to back: keys agree, certificates are checked, loss is borne. Each by both libraries, and
//! by one against the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tandem_dtls::{Breadth, Ended, Fingerprint, Identity, Key, Local, Peer, PeerEvent, Role, SrtpKeys, SrtpProfile};

/// What the client is made with, and the server.
const WAYS: [[Breadth; 2]; 4] = [
    [Breadth::Browsers, Breadth::Browsers],
    [Breadth::Browsers, Breadth::Everybody],
    [Breadth::Everybody, Breadth::Browsers],
    [Breadth::Everybody, Breadth::Everybody],
];

fn local() -> Local {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
    let identity = Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity");
    Local::new(identity).expect("usable")
}

#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock; tests go on from it by hand")]
fn some_instant() -> Instant {
    Instant::now()
}

/// One end, and what it has told.
struct End {
    peer: Peer,
    keys: Option<SrtpKeys>,
    connected: bool,
    received: Vec<Vec<u8>>,
    ended: Option<Ended>,
    wakes: Option<Instant>,
}

struct Pair {
    now: Instant,
    ends: [End; 2],
    /// To which end, and what.
    wire: VecDeque<(usize, Vec<u8>)>,
    sent: usize,
    lose: fn(usize) -> bool,
    /// Of those on the way, which one arrives next.
    pick: fn(usize) -> usize,
}

impl Pair {
    fn new(way: [Breadth; 2], expected: impl Fn(&[Local; 2]) -> [Fingerprint; 2]) -> Self {
        let now = some_instant();
        let locals = [local(), local()];
        let [first, second] = expected(&locals);
        let end = |local: &Local, role, expected, breadth| End {
            peer: Peer::new(now, local, role, vec![expected], breadth),
            keys: None,
            connected: false,
            received: Vec::new(),
            ended: None,
            wakes: None,
        };
        let ends = [end(&locals[0], Role::Client, first, way[0]), end(&locals[1], Role::Server, second, way[1])];
        Self { now, ends, wire: VecDeque::new(), sent: 0, lose: |_| false, pick: |_| 0 }
    }

    fn agreeing(way: [Breadth; 2]) -> Self {
        Self::new(way, |[one, other]| [other.fingerprint(), one.fingerprint()])
    }

    fn drain(&mut self) {
        for at in 0..2 {
            let end = &mut self.ends[at];
            loop {
                match end.peer.poll_output() {
                    PeerEvent::Send(datagram) => {
                        self.sent += 1;
                        if !(self.lose)(self.sent) {
                            self.wire.push_back((1 - at, datagram.to_vec()));
                        }
                    }
                    PeerEvent::Received(data) => end.received.push(data.to_vec()),
                    PeerEvent::Keys(keys) => end.keys = Some(keys),
                    PeerEvent::Connected => end.connected = true,
                    PeerEvent::Ended(why) => end.ended = Some(why),
                    PeerEvent::Wait(at) => {
                        end.wakes = at;
                        break;
                    }
                }
            }
        }
    }

    /// Until nothing is on the way; then until the next timer, for so long.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.drain();
            let next = (self.pick)(self.wire.len()).min(self.wire.len().saturating_sub(1));
            if let Some((to, datagram)) = self.wire.remove(next) {
                self.ends[to].peer.handle_datagram(self.now, &datagram);
                continue;
            }
            let next = self.ends.iter().filter_map(|end| end.wakes).min();
            match next.filter(|&at| at <= until) {
                Some(at) => {
                    self.now = self.now.max(at) + Duration::from_millis(1);
                    self.ends.iter_mut().for_each(|end| end.peer.handle_timeout(self.now));
                }
                None => return,
            }
        }
    }
}

#[test]
fn both_ends_get_the_same_keys_crosswise_and_speak() {
    for way in WAYS {
        let mut pair = Pair::agreeing(way);
        pair.run(Duration::from_secs(1));
        let [client, server] = &mut pair.ends;
        assert!(client.connected && server.connected, "{way:?}: {:?} {:?}", client.ended, server.ended);
        let (ours, theirs) = (client.keys.as_ref().expect("keys"), server.keys.as_ref().expect("keys"));
        assert_eq!(ours.profile, theirs.profile, "{way:?}");
        assert!(way != [Breadth::Everybody; 2] || ours.profile == SrtpProfile::AeadAes128Gcm, "{:?}", ours.profile);
        assert!(ours.ours == theirs.theirs && ours.theirs == theirs.ours && ours.ours != ours.theirs, "{way:?}");
        assert!(client.peer.send(b"hello") && server.peer.send(b"and good day"));
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.ends[0].received, [b"and good day".to_vec()], "{way:?}");
        assert_eq!(pair.ends[1].received, [b"hello".to_vec()], "{way:?}");
    }
}

#[test]
fn good_bye_is_heard_by_the_other_end_and_nothing_is_said_after_it() {
    for way in WAYS {
        for at in 0..2 {
            let mut pair = Pair::agreeing(way);
            pair.run(Duration::from_secs(1));
            pair.ends[at].peer.close();
            pair.run(Duration::from_secs(1));
            assert_eq!(pair.ends[1 - at].ended, Some(Ended::Closed), "{way:?}");
            assert!(!pair.ends[1 - at].peer.send(b"hello") && pair.ends[1 - at].peer.is_over());
        }
    }
}

#[test]
fn another_certificate_than_the_one_told_of_gets_no_keys_on_either_side() {
    let stranger = local().fingerprint();
    for (way, wrong) in WAYS.into_iter().flat_map(|way| [(way, 0), (way, 1)]) {
        let mut pair = Pair::new(way, |[one, other]| {
            let mut expected = [other.fingerprint(), one.fingerprint()];
            expected[wrong] = stranger.clone();
            expected
        });
        pair.run(Duration::from_secs(40));
        assert_eq!(pair.ends[wrong].ended, Some(Ended::WrongCertificate), "{way:?}");
        assert!(pair.ends[wrong].keys.is_none() && !pair.ends[wrong].connected, "{way:?}");
        assert!(!pair.ends[wrong].peer.send(b"hello"));
    }
}

#[test]
fn a_third_of_the_datagrams_may_be_lost() {
    let losses: [fn(usize) -> bool; 3] = [|number| number % 3 == 0, |number| number % 3 == 1, |number| number % 3 == 2];
    for (way, lose) in WAYS.into_iter().flat_map(|way| losses.map(|lose| (way, lose))) {
        let mut pair = Pair::agreeing(way);
        pair.lose = lose;
        pair.run(Duration::from_secs(29));
        assert!(
            pair.ends.iter().all(|end| end.connected),
            "{way:?}: {:?} after {}",
            pair.ends.each_ref().map(|end| (end.connected, end.ended)),
            pair.sent
        );
    }
}

#[test]
fn each_single_datagram_of_a_handshake_may_be_lost() {
    // Which one: the `fn` can know nothing else.
    thread_local!(static LOST: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    for (way, lost) in WAYS.into_iter().flat_map(|way| (1..=12).map(move |lost| (way, lost))) {
        LOST.set(lost);
        let mut pair = Pair::agreeing(way);
        pair.lose = |number| number == LOST.get();
        pair.run(Duration::from_secs(4));
        assert!(pair.ends.iter().all(|end| end.connected), "{way:?} without {lost}");
    }
}

#[test]
fn datagrams_may_overtake_each_other() {
    for way in WAYS {
        let mut pair = Pair::agreeing(way);
        // The last first, always.
        pair.pick = |waiting| waiting.saturating_sub(1);
        pair.run(Duration::from_secs(29));
        assert!(pair.ends.iter().all(|end| end.connected), "{way:?}");
    }
}

#[test]
fn nobody_answers_and_it_is_over() {
    for way in WAYS {
        let mut pair = Pair::agreeing(way);
        pair.lose = |_| true;
        pair.run(Duration::from_secs(3_600));
        assert_eq!(pair.ends[0].ended, Some(Ended::Failed), "{way:?}");
        // More often would be a nuisance to whoever does not want us.
        assert!((4..12).contains(&pair.sent), "{way:?}: {}", pair.sent);
    }
}

#[test]
fn noise_neither_panics_nor_ends_a_connection() {
    for way in WAYS {
        let mut pair = Pair::agreeing(way);
        pair.run(Duration::from_secs(1));
        for length in 0..200_u8 {
            let noise: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37) ^ length).collect();
            for end in &mut pair.ends {
                end.peer.handle_datagram(pair.now, &noise);
                for (kind, epoch) in [(20, 0), (21, 0), (22, 0), (23, 0), (20, 1), (21, 1), (22, 1), (23, 1), (22, 2)] {
                    let header = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, length, 0, length];
                    end.peer.handle_datagram(pair.now, &[&header, &noise[..]].concat());
                }
                // A fatal alert, in plain: anybody can say that.
                end.peer.handle_datagram(pair.now, &[21, 254, 253, 0, 0, 0, 0, 0, 0, 1, length, 0, 2, 2, 40]);
            }
            pair.run(Duration::ZERO);
        }
        assert!(pair.ends[0].peer.send(b"still here"), "{way:?}");
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.ends[1].received, [b"still here".to_vec()], "{way:?}");
    }
}

#[test]
fn what_fits_into_no_datagram_is_refused_and_all_else_arrives() {
    for way in WAYS {
        let mut pair = Pair::agreeing(way);
        pair.run(Duration::from_secs(1));
        assert!(!pair.ends[0].peer.send(&[7; 4_060]), "{way:?}");
        assert!(pair.ends[0].peer.send(&[7; 4_059]), "{way:?}");
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.ends[1].received, [vec![7; 4_059]], "{way:?}");
    }
}

#[test]
fn a_record_is_taken_once() {
    for way in WAYS {
        let mut pair = Pair::agreeing(way);
        pair.run(Duration::from_secs(1));
        assert!(pair.ends[0].peer.send(b"once"));
        pair.drain();
        let again = pair.wire.clone();
        pair.wire.extend(again);
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.ends[1].received, [b"once".to_vec()], "{way:?}");
    }
}

#[test]
fn nonces_are_the_numbers_of_records() {
    for way in WAYS {
        let mut pair = Pair::agreeing(way);
        pair.run(Duration::from_secs(1));
        for _ in 0..3 {
            assert!(pair.ends[0].peer.send(b"hello") && pair.ends[1].peer.send(b"hello"));
            pair.drain();
        }
        assert_eq!(pair.wire.len(), 6);
        for (_, datagram) in &pair.wire {
            assert_eq!(datagram[3..11], datagram[13..21], "{way:?}");
        }
    }
}

#[test]
fn fingerprints_are_read_and_written_as_rfc_8122_has_them() {
    let own = local().fingerprint();
    assert_eq!(Fingerprint::parse(&own.to_string()), Ok(own.clone()));
    assert_eq!(Fingerprint::parse(&own.to_string().to_lowercase()), Ok(own));
    for bad in
        ["", "sha-256", "sha-256 ", "sha-256 AB:CD", "sha-1 AB", "md5 00", "sha-256 zz:zz", &"sha-256 AB:".repeat(40)]
    {
        assert!(Fingerprint::parse(bad).is_err(), "{bad}");
    }
}
