//! Two ends of a WebRTC connection, back to back: keys agree, certificates are checked, loss is borne.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tandem_dtls::{Ended, Fingerprint, Identity, Key, Local, Peer, PeerEvent, Role, SrtpKeys};

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
}

impl Pair {
    fn new(expected: impl Fn(&[Local; 2]) -> [Fingerprint; 2]) -> Self {
        let now = some_instant();
        let locals = [local(), local()];
        let [first, second] = expected(&locals);
        let end = |local: &Local, role, expected| End {
            peer: Peer::new(now, local, role, vec![expected]),
            keys: None,
            connected: false,
            received: Vec::new(),
            ended: None,
            wakes: None,
        };
        let ends = [end(&locals[0], Role::Client, first), end(&locals[1], Role::Server, second)];
        Self { now, ends, wire: VecDeque::new(), sent: 0, lose: |_| false }
    }

    fn agreeing() -> Self {
        Self::new(|[one, other]| [other.fingerprint(), one.fingerprint()])
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
            if let Some((to, datagram)) = self.wire.pop_front() {
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
    let mut pair = Pair::agreeing();
    pair.run(Duration::from_secs(1));
    let [client, server] = &mut pair.ends;
    assert!(client.connected && server.connected, "{:?} {:?}", client.ended, server.ended);
    let (ours, theirs) = (client.keys.as_ref().expect("keys"), server.keys.as_ref().expect("keys"));
    assert_eq!(ours.profile, theirs.profile);
    assert!(ours.ours == theirs.theirs && ours.theirs == theirs.ours && ours.ours != ours.theirs);
    assert!(client.peer.send(b"hello") && server.peer.send(b"and good day"));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends[0].received, [b"and good day".to_vec()]);
    assert_eq!(pair.ends[1].received, [b"hello".to_vec()]);
    pair.ends[0].peer.close();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends[1].ended, Some(Ended::Closed));
}

#[test]
fn another_certificate_than_the_one_told_of_gets_no_keys_on_either_side() {
    let stranger = local().fingerprint();
    for wrong in 0..2 {
        let mut pair = Pair::new(|[one, other]| {
            let mut expected = [other.fingerprint(), one.fingerprint()];
            expected[wrong] = stranger.clone();
            expected
        });
        pair.run(Duration::from_secs(40));
        assert_eq!(pair.ends[wrong].ended, Some(Ended::WrongCertificate));
        assert!(pair.ends[wrong].keys.is_none() && !pair.ends[wrong].connected);
        assert!(!pair.ends[wrong].peer.send(b"hello"));
    }
}

#[test]
fn a_third_of_the_datagrams_may_be_lost() {
    let mut pair = Pair::agreeing();
    pair.lose = |number| number % 3 == 1;
    pair.run(Duration::from_secs(29));
    assert!(pair.ends.iter().all(|end| end.connected), "{:?}", pair.ends.each_ref().map(|end| end.ended));
}

#[test]
fn nobody_answers_and_it_is_over() {
    let mut pair = Pair::agreeing();
    pair.lose = |_| true;
    pair.run(Duration::from_secs(3_600));
    assert_eq!(pair.ends[0].ended, Some(Ended::Failed));
}

#[test]
fn noise_neither_panics_nor_ends_a_connection() {
    let mut pair = Pair::agreeing();
    pair.run(Duration::from_secs(1));
    for length in 0..200_u8 {
        let noise: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37) ^ length).collect();
        for end in &mut pair.ends {
            end.peer.handle_datagram(pair.now, &noise);
            end.peer.handle_datagram(
                pair.now,
                &[&[22, 254, 253, 0, 1, 0, 0, 0, 0, 0, length, 0, length], &noise[..]].concat(),
            );
        }
        pair.run(Duration::ZERO);
    }
    assert!(pair.ends[0].peer.send(b"still here"));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends[1].received, [b"still here".to_vec()]);
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
