//! Sound that repeats itself (RED, RFC 2198): as it is for those who have agreed on it, its own payload for the others.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use tandem_media::terms::{self, Terms};
use tandem_media::{Credentials, Payload, Publication, Subscription};
use tandem_rtp::header::Header;
use tandem_rtp::red::{self, Block};
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use tandem_sdp::{Agreed, Line};
use world::{Got, OPUS, World, top};

/// The publisher's, and the numbers of a subscriber whose are others.
const REDUNDANT: Payload = Payload { red: Some(PayloadType::from_wire(63)), ..OPUS };
const ELSEWHERE: Payload =
    Payload { number: PayloadType::from_wire(109), red: Some(PayloadType::from_wire(120)), ..OPUS };

/// One publishes; the second gets it as it is under other numbers, the third without.
fn house(publishes: Payload) -> World {
    let mut world = World::with(3);
    world.publish(1, 1, publishes, &[]);
    world.subscribe(2, 1, ELSEWHERE, top(0));
    world.subscribe(3, 1, OPUS, top(0));
    world
}

fn send(world: &mut World, payload_type: u8, sequence: u16, payload: &[u8]) {
    let timestamp = Timestamp(960 * u32::from(sequence));
    let payload_type = PayloadType::from_wire(payload_type);
    let header = Header { marker: false, payload_type, sequence, timestamp, ssrc: Ssrc(77) };
    world.send(1, header, &[(4, b"1")], payload);
    world.deliver();
}

/// What was said at a time.
fn said(sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    vec![0xfc, high, low, 0x80 | low]
}

/// With the two before it.
fn redundant(sequence: u16, number: u8) -> Vec<u8> {
    let payloads = [2, 1, 0].map(|back| said(sequence - back));
    let block = |at: usize| Block {
        payload_type: PayloadType::from_wire(number),
        timestamp: Timestamp(960 * (u32::from(sequence) - 2 + u32::try_from(at).expect("small"))),
        payload: &payloads[at],
    };
    let mut buffer = [0; 100];
    let length = red::write(&block(2), &[block(0), block(1)], &mut buffer).expect("room");
    buffer[..length].to_vec()
}

fn numbered(got: &Got) -> (u8, &[u8]) {
    (got.header.payload_type.value(), &got.payload)
}

#[test]
fn each_subscriber_gets_what_it_has_agreed_on() {
    let mut world = house(REDUNDANT);
    for sequence in 10..20 {
        send(&mut world, 63, sequence, &redundant(sequence, 111));
    }
    for (at, sequence) in (10..20).enumerate() {
        assert_eq!(numbered(&world.peer(2).got[at]), (120, &redundant(sequence, 109)[..]), "with its own numbers");
        assert_eq!(numbered(&world.peer(3).got[at]), (111, &said(sequence)[..]));
    }
    // A publisher may go on without.
    send(&mut world, 111, 20, &said(20));
    assert_eq!(numbered(&world.peer(2).got[10]), (109, &said(20)[..]));
    assert_eq!(numbered(&world.peer(3).got[10]), (111, &said(20)[..]));
    for peer in [2, 3] {
        let numbers = world.peer(peer).got.windows(2).map(|pair| pair[1].header.sequence - pair[0].header.sequence);
        assert!(numbers.into_iter().all(|step| step == 1));
    }
}

#[test]
fn who_has_agreed_on_more_than_is_sent_gets_what_is_sent() {
    let mut world = house(OPUS);
    send(&mut world, 111, 10, &said(10));
    assert_eq!(numbered(&world.peer(2).got[0]), (109, &said(10)[..]));
    assert_eq!(numbered(&world.peer(3).got[0]), (111, &said(10)[..]));
    // It was not agreed on with the publisher.
    send(&mut world, 63, 11, &redundant(11, 111));
    assert_eq!((world.peer(2).got.len(), world.peer(3).got.len()), (1, 1));
}

#[test]
fn what_repeats_something_else_or_less_than_it_says_goes_nowhere() {
    let mut world = house(REDUNDANT);
    send(&mut world, 63, 10, &redundant(10, 111));
    let before = world.plane.counters().refused;
    let whole = redundant(11, 111);
    let bad = [redundant(11, 96), whole[..9].to_vec(), vec![0xff; 60], vec![0x80 | 111, 0, 0], vec![96, 1, 2]];
    for (sequence, payload) in (11..).zip(&bad) {
        send(&mut world, 63, sequence, payload);
    }
    assert_eq!(world.plane.counters().refused - before, 5);
    // Filling of the publisher's link is a number and no more.
    send(&mut world, 63, 16, &[]);
    send(&mut world, 63, 17, &redundant(17, 111));
    assert_eq!((world.peer(2).got.len(), world.peer(3).got.len()), (2, 2));
}

#[test]
fn what_is_sent_again_is_what_was_sent() {
    let mut world = World::with(3);
    let again = |payload: Payload| Payload { rtx: Some(PayloadType::from_wire(50)), ..payload };
    world.publish(1, 1, REDUNDANT, &[]);
    world.subscribe(2, 1, again(ELSEWHERE), top(0));
    world.subscribe(3, 1, again(OPUS), top(0));
    send(&mut world, 63, 10, &redundant(10, 111));
    for (peer, ssrc) in [(2, 10_002), (3, 10_003)] {
        let missed = world.peer(peer).got[0].header.sequence;
        world.control(peer, |writer| writer.nack(Ssrc(7), Ssrc(ssrc), [missed]).expect("room"));
    }
    world.deliver();
    assert_eq!(world.peer(2).got[1].payload[2..], redundant(10, 109));
    assert_eq!(world.peer(3).got[1].payload[2..], said(10));
}

// --- agreeing on it ---

/// Audio as Chromium offers it, with these codecs first.
fn agreed(formats: &str, way: &str) -> Agreed {
    let offer = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF {formats} 9 0 8\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:{}\r\n\
         a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:0\r\na={way}\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
         a=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\n\
         a=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n",
        "p".repeat(24),
        ["AB"; 32].join(":"),
    );
    let offer = tandem_sdp::parse(&offer).expect("an offer");
    let terms = Terms::new([7; 32], Vec::new());
    let lines = offer.sections().map(|section| match way {
        "sendonly" => Some(terms::receiving(section)),
        _ => terms::sending(tandem_sdp::Kind::Audio, (Ssrc(5), None), "a", "b"),
    });
    let ours = terms.ours(1, &Credentials::new([5; 24]), lines.collect()).expect("ours");
    tandem_sdp::negotiate(&offer, None, &ours).expect("agreed")
}

fn opus(payloads: &[Payload]) -> Payload {
    *payloads.iter().find(|payload| payload.codec == OPUS.codec).expect("Opus")
}

#[test]
fn it_is_agreed_on_as_chromium_offers_it_and_first_where_the_offer_has_it_first() {
    let published = |formats: &str| -> (Publication, String) {
        let agreed = agreed(formats, "sendonly");
        let line = agreed.lines.iter().find_map(Line::media).expect("a line");
        (terms::publication(line, tandem_media::allocate::Kind::Audio).expect("one"), agreed.local.to_string())
    };
    for (formats, answered) in [("111 63", "SAVPF 111 63 9 0 8"), ("63 111", "SAVPF 63 111 9 0 8")] {
        let (publication, answer) = published(formats);
        assert_eq!(opus(&publication.payloads), REDUNDANT);
        assert!(answer.contains(answered) && answer.contains("a=fmtp:63 111/111"), "{answer}");
    }
    let (publication, answer) = published("111");
    assert_eq!(opus(&publication.payloads), OPUS);
    assert!(!answer.contains("red/48000"), "{answer}");
    let agreed = agreed("111 63", "recvonly");
    let line = agreed.lines.iter().find_map(Line::media).expect("a line");
    let Subscription { payloads, .. } = terms::subscription(line, Ssrc(5), None);
    assert_eq!(opus(&payloads), REDUNDANT);
}
