//! The client and the relay machine back to back: challenges, upkeep over hours, data both ways, answers of strangers.

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use tandem_stun::client::{Allocated, Carrier, Client, Failure, Login, Output, Payload, Received, Relay, Request};
use tandem_stun::credential;
use tandem_stun::integrity::{self, Algorithm, Integrity, Key};
use tandem_stun::turn::{FiveTuple, Forward, Transport};
use tandem_stun::wire::{self, COOKIE, Packet, Stun};
use world::{SECRET, UNIX, World, address};

/// A client at 1.2.3.4:1000 and what came of its requests.
struct Pair {
    world: World,
    client: Client,
    place: FiveTuple,
    /// What the client has said to the server.
    said: Vec<Vec<u8>>,
    news: Vec<Output>,
}

const ALLOCATE: Request = Request::Allocate { relay: Relay::Udp, family: None, lifetime: None };

fn login(password: Option<&str>) -> Login {
    let made = credential::credential(SECRET, UNIX + 600, "alice");
    Login::new(&made.username, password.unwrap_or(&made.password)).expect("texts")
}

impl Pair {
    fn new(carrier: Carrier, login: Login) -> Self {
        let transport = if carrier == Carrier::Stream { Transport::Tcp } else { Transport::Udp };
        let place = FiveTuple { transport, client: address("1.2.3.4:1000"), server: address("192.168.1.5:3478") };
        let client = Client::new(login, carrier, [3; 32]);
        Self { world: World::new(), client, place, said: Vec::new(), news: Vec::new() }
    }

    fn ask(&mut self, request: Request) {
        self.client.ask(self.world.now, request);
        self.pump();
    }

    /// Carries messages to and fro until both are silent.
    fn pump(&mut self) {
        while let Some(output) = self.client.poll_output() {
            let Output::Send(bytes) = output else {
                self.news.push(output);
                continue;
            };
            self.world.sent.clear();
            self.world.packet(self.place, &bytes);
            self.said.push(bytes);
            for (_, answer) in std::mem::take(&mut self.world.sent) {
                assert_eq!(self.client.handle_packet(self.world.now, &answer), None);
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.world.now + time;
        while let Some(at) = self.client.poll_timeout().filter(|&at| at <= end) {
            self.world.wait(at - self.world.now);
            self.client.handle_timeout(at);
            self.pump();
        }
        self.world.wait(end - self.world.now);
    }

    fn allocate(&mut self) -> SocketAddr {
        self.ask(ALLOCATE);
        match self.news.pop() {
            Some(Output::Allocated(Allocated { relayed, mapped, lifetime })) => {
                assert_eq!((mapped, lifetime), (Some(self.place.client), Duration::from_secs(600)));
                relayed
            }
            other => panic!("no allocation: {other:?}"),
        }
    }
}

fn stun(bytes: &[u8]) -> Stun<'_> {
    match wire::parse(bytes) {
        Ok(Packet::Stun(stun)) => stun,
        other => panic!("expected a STUN message, got {other:?}"),
    }
}

fn peer() -> SocketAddr {
    address("8.8.8.8:9000")
}

#[test]
fn a_client_meets_the_challenge_by_sha_256_and_data_goes_both_ways_by_channel() {
    let mut pair = Pair::new(Carrier::Datagrams, login(None));
    let relayed = pair.allocate();
    assert_eq!(pair.said.len(), 2);
    assert_eq!(Integrity::of(stun(&pair.said[0])), None);
    assert_eq!(Integrity::of(stun(&pair.said[1])), Some(Integrity::Sha256));
    let bind = Request::ChannelBind { number: 0x4000, peer: peer() };
    pair.ask(bind.clone());
    assert_eq!(pair.news.pop(), Some(Output::Done(bind)));
    let mut up = Vec::new();
    assert!(pair.client.write_payload(Payload::Channel(0x4000), b"hello", &mut up));
    assert_eq!(up.len(), 9, "no padding over datagrams");
    let forward = pair.world.packet(pair.place, &up);
    assert!(matches!(forward, Forward::ToPeer { peer: to, payload: b"hello", .. } if to == peer()), "{forward:?}");
    let relay = pair.world.relay_of(relayed);
    let Forward::ToClient { head, payload, .. } = pair.world.relay.handle_peer(pair.world.now, relay, peer(), b"you")
    else {
        panic!("nothing came back")
    };
    let down = [head.as_bytes(), payload].concat();
    let received = pair.client.handle_packet(pair.world.now, &down);
    assert_eq!(received, Some(Received { by: Payload::Channel(0x4000), payload: b"you" }));
}

#[test]
fn data_goes_both_ways_by_indications_and_is_padded() {
    for carrier in [Carrier::Datagrams, Carrier::Stream] {
        let mut pair = Pair::new(carrier, login(None));
        let relayed = pair.allocate();
        pair.ask(Request::CreatePermission { peer: peer() });
        assert!(matches!(pair.news.pop(), Some(Output::Done(_))));
        let mut up = Vec::new();
        assert!(pair.client.write_payload(Payload::Indication(peer()), b"hello", &mut up));
        assert!(up.len().is_multiple_of(4));
        let forward = pair.world.packet(pair.place, &up);
        assert!(matches!(forward, Forward::ToPeer { payload: b"hello", .. }), "{forward:?}");
        let relay = pair.world.relay_of(relayed);
        let down = match pair.world.relay.handle_peer(pair.world.now, relay, peer(), b"four") {
            Forward::ToClient { head, payload, .. } => [head.as_bytes(), payload].concat(),
            other => panic!("nothing came back: {other:?}"),
        };
        let received = pair.client.handle_packet(pair.world.now, &down);
        assert_eq!(received, Some(Received { by: Payload::Indication(peer()), payload: b"four" }));
    }
}

#[test]
fn an_allocation_its_channel_and_its_permission_outlive_their_times_and_the_nonce() {
    let mut pair = Pair::new(Carrier::Datagrams, login(None));
    pair.allocate();
    pair.ask(Request::ChannelBind { number: 0x4000, peer: peer() });
    // The credential ends after ten minutes, the nonce after an hour.
    pair.wait(Duration::from_secs(3 * 3_600));
    assert!(pair.news.iter().all(|news| matches!(news, Output::Done(_))), "{:?}", pair.news);
    let mut up = Vec::new();
    pair.client.write_payload(Payload::Channel(0x4000), b"still here", &mut up);
    assert!(matches!(pair.world.packet(pair.place, &up), Forward::ToPeer { .. }));
    pair.ask(Request::Refresh { lifetime: Duration::ZERO });
    assert_eq!(pair.world.relay.counters().allocations, 0);
    assert_eq!(pair.client.poll_timeout(), None, "what has ended is not kept alive");
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    let mut pair = Pair::new(Carrier::Datagrams, login(Some("guess")));
    pair.ask(ALLOCATE);
    let why = Failure::Refused { code: 401, reason: "Unauthorized".into(), alternate: None };
    assert_eq!(pair.news.pop(), Some(Output::Failed { request: ALLOCATE, why }));
    assert_eq!((pair.said.len(), pair.client.poll_timeout()), (2, None));
}

#[test]
fn a_silent_server_is_asked_seven_times_over_datagrams_and_once_over_a_stream() {
    for (carrier, times) in [(Carrier::Datagrams, 7), (Carrier::Stream, 1)] {
        let mut client = Client::new(login(None), carrier, [3; 32]);
        let start = world::some_instant();
        let (mut now, mut sent, mut news) = (start, 0, Vec::new());
        client.ask(now, ALLOCATE);
        loop {
            while let Some(output) = client.poll_output() {
                match output {
                    Output::Send(_) => sent += 1,
                    other => news.push(other),
                }
            }
            let Some(at) = client.poll_timeout() else { break };
            now = at;
            client.handle_timeout(now);
        }
        assert_eq!((sent, (now - start).as_millis()), (times, 39_500));
        let why = Failure::NoAnswer { requests: times };
        assert_eq!(news, [Output::Failed { request: ALLOCATE, why }]);
    }
}

/// An error answer with realm, nonce and what else is given.
fn challenge(request: &[u8], nonce: &str, more: &[u8]) -> Vec<u8> {
    let mut body = vec![0x00, 0x09, 0x00, 0x04, 0, 0, 4, 1];
    for (kind, text) in [(0x0014_u16, "old"), (0x0015, nonce)] {
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(text.len()).expect("a short text").to_be_bytes());
        body.extend(text.as_bytes());
        body.resize(body.len().next_multiple_of(4), 0);
    }
    body.extend(more);
    let length = u16::try_from(body.len()).expect("a short body").to_be_bytes();
    [&[0x01, 0x13][..], &length, &COOKIE, &stun(request).transaction(), &body].concat()
}

fn sent(client: &mut Client) -> Option<Vec<u8>> {
    match client.poll_output()? {
        Output::Send(bytes) => Some(bytes),
        other => panic!("expected a request, got {other:?}"),
    }
}

#[test]
fn a_server_of_old_is_answered_by_md5_and_sha_1() {
    let now = world::some_instant();
    let mut client = Client::new(Login::new("alice", "secret").expect("texts"), Carrier::Datagrams, [3; 32]);
    client.ask(now, ALLOCATE);
    let first = sent(&mut client).expect("a request");
    client.handle_packet(now, &challenge(&first, "5a3e", &[]));
    let second = sent(&mut client).expect("a signed request");
    let key = Key::long_term(Algorithm::Md5, "alice", "old", "secret");
    assert_eq!(Integrity::of(stun(&second)), Some(Integrity::Sha1));
    assert!(integrity::verify(stun(&second), Integrity::Sha1, &key));
    assert!(!stun(&second).attributes().any(|(kind, _)| matches!(kind, 0x001d | 0x8002)));
}

#[test]
fn a_challenge_whose_list_of_algorithms_was_taken_out_is_as_if_it_had_never_come() {
    let now = world::some_instant();
    let mut client = Client::new(login(None), Carrier::Datagrams, [3; 32]);
    client.ask(now, ALLOCATE);
    let first = sent(&mut client).expect("a request");
    client.handle_packet(now, &challenge(&first, "obMatJos2AAABxyz", &[]));
    assert_eq!(sent(&mut client), None);
    let offered = [0x80, 0x02, 0, 8, 0, 2, 0, 0, 0, 1, 0, 0];
    client.handle_packet(now, &challenge(&first, "obMatJos2AAABxyz", &offered));
    let second = sent(&mut client).expect("a signed request");
    assert_eq!(Integrity::of(stun(&second)), Some(Integrity::Sha256));
}

#[test]
fn an_answer_of_somebody_who_does_not_know_the_password_is_as_if_it_had_never_come() {
    let now = world::some_instant();
    let mut client = Client::new(Login::new("alice", "secret").expect("texts"), Carrier::Datagrams, [3; 32]);
    client.ask(now, ALLOCATE);
    let first = sent(&mut client).expect("a request");
    client.handle_packet(now, &challenge(&first, "5a3e", &[]));
    let second = sent(&mut client).expect("a signed request");
    let body =
        [0x00, 0x16, 0x00, 0x08, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x0d, 0x00, 0x04, 0, 0, 2, 0x58];
    let bare = [&[0x01, 0x03, 0, 20][..], &COOKIE, &stun(&second).transaction(), &body].concat();
    let key = |password| Key::long_term(Algorithm::Md5, "alice", "old", password);
    let forged = integrity::protect(bare.clone(), Integrity::Sha1, &key("guess")).expect("room");
    let true_one = integrity::protect(bare.clone(), Integrity::Sha1, &key("secret")).expect("room");
    for answer in [&bare, &forged] {
        client.handle_packet(now, answer);
        assert_eq!(client.poll_output(), None);
    }
    client.handle_packet(now, &true_one);
    let (relayed, lifetime) = (address("192.0.2.1:32853"), Duration::from_secs(600));
    assert_eq!(client.poll_output(), Some(Output::Allocated(Allocated { relayed, mapped: None, lifetime })));
    client.handle_packet(now, &true_one);
    assert_eq!(client.poll_output(), None, "an answer counts once");
}
