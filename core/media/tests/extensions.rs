//! Header extensions that tell of the media: they go along, each under the subscriber's number, if they are what they should be.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod world;

use tandem_media::terms::{self, Terms};
use tandem_media::{Command, Credentials, EndpointId};
use tandem_rtp::ext::{self, Ids};
use tandem_rtp::header::Header;
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use world::{VP8, World, payload, top};

const H264: tandem_media::Payload = payload(tandem_rtp::payload::Codec::H264, 102, Some(103));

/// What a camera's last packet of a picture may carry: kind, the publisher's number, the subscriber's, the value.
const CARRIED: [(ext::Kind, u8, u8, &[u8]); 5] = [
    (ext::Kind::Orientation, 13, 1, &[0x0b]),
    (ext::Kind::PlayoutDelay, 12, 2, &[0, 0x10, 0x02]),
    (ext::Kind::AbsCaptureTime, 9, 5, &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1]),
    (ext::Kind::VideoContentType, 8, 6, &[1]),
    (ext::Kind::ColorSpace, 7, 14, &[1, 13, 1, 0x10]),
];

/// A publisher, a subscriber with other numbers, and one that has agreed on nothing.
fn house() -> World {
    let mut world = World::with(3);
    let mut theirs = world.ids;
    for (kind, from, to, _) in CARRIED {
        world.ids.set(kind, from);
        theirs.set(kind, to);
    }
    world.tell(Command::Extensions { endpoint: EndpointId(1), ids: world.ids });
    world.tell(Command::Extensions { endpoint: EndpointId(2), ids: theirs });
    world.publish(1, 1, VP8, &[]);
    world.subscribe(2, 1, VP8, top(0));
    world.subscribe(3, 1, VP8, top(0));
    world
}

fn send(world: &mut World, sequence: u16, extensions: &[(u8, &[u8])]) {
    let ssrc = Ssrc(4_242);
    let timestamp = Timestamp(3_000 * u32::from(sequence));
    let header = Header { marker: true, payload_type: PayloadType::from_wire(96), sequence, timestamp, ssrc };
    let all: Vec<_> = [(4, &b"1"[..])].into_iter().chain(extensions.iter().copied()).collect();
    // A key frame of VP8 in one packet.
    world.send(1, header, &all, &[0x90, 0x80, 1, 0, 0, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2]);
    world.deliver();
}

fn others(world: &World, peer: u64) -> Vec<(u8, Vec<u8>)> {
    let got = world.peer(peer).got.last().expect("a packet");
    got.extensions.iter().filter(|(id, _)| *id != 3).cloned().collect()
}

#[test]
fn what_tells_of_a_picture_goes_along_and_comes_again_with_a_retransmission() {
    let mut world = house();
    let sent: Vec<(u8, &[u8])> = CARRIED.iter().map(|(_, from, _, value)| (*from, *value)).collect();
    send(&mut world, 1, &sent);
    let mut expected: Vec<_> = CARRIED.iter().map(|(_, _, to, value)| (*to, value.to_vec())).collect();
    let mut got = others(&world, 2);
    got.sort();
    expected.sort();
    assert_eq!((got, others(&world, 3)), (expected.clone(), vec![]));
    let missed = world.peer(2).got[0].header.sequence;
    world.control(2, |writer| writer.nack(Ssrc(7), Ssrc(10_002), [missed]).expect("room"));
    world.deliver();
    let mut again = others(&world, 2);
    again.sort();
    assert_eq!((world.peer(2).got.len(), again), (2, expected));
}

#[test]
fn values_of_no_such_length_are_left_out_and_the_packet_goes_on() {
    let mut world = house();
    let long = [7; 200];
    for (at, (_, from, _, value)) in (1_u16..).zip(CARRIED) {
        send(&mut world, 2 * at, &[(from, &long)]);
        assert_eq!(others(&world, 2), []);
        // One that is good, and one that is too short where that can be.
        let (_, other, to, good) = CARRIED[usize::from(at) % CARRIED.len()];
        send(&mut world, 2 * at + 1, &[(from, &value[..value.len() - 1]), (other, good)]);
        assert_eq!(others(&world, 2), [(to, good.to_vec())]);
    }
    assert_eq!(world.peer(2).got.len(), 2 * CARRIED.len());
}

#[test]
fn a_dependency_descriptor_that_is_none_does_not_harm_codecs_that_do_without() {
    let mut world = house();
    world.ids.set(ext::Kind::DependencyDescriptor, 11);
    for peer in [1, 2] {
        world.tell(Command::Extensions { endpoint: EndpointId(peer), ids: world.ids });
    }
    send(&mut world, 1, &[(11, &[0xff; 90])]);
    assert_eq!(world.peer(2).got.len(), 1);
    // Where only it could tell layers apart, what it does not tell is left out.
    world.publish(1, 5, H264, &[]);
    world.subscribe(3, 5, H264, top(0));
    let (payload_type, ssrc) = (PayloadType::from_wire(102), Ssrc(5_555));
    let header = Header { marker: true, payload_type, sequence: 1, timestamp: Timestamp(1), ssrc };
    let before = world.peer(3).got.len();
    world.send(1, header, &[(4, b"5"), (11, &[0xff; 90])], &[0x67, 0x42, 0xe0, 0x1f]);
    world.deliver();
    assert_eq!(world.peer(3).got.len(), before);
}

/// One m-line as Chromium offers it, with the numbers that it gives.
fn agreed(mixed: bool) -> Ids {
    let mixed = if mixed { "a=extmap-allow-mixed\r\n" } else { "" };
    let extensions = ext::Kind::ALL.iter().zip(1..).map(|(kind, id)| format!("a=extmap:{id} {}\r\n", kind.uri()));
    let offer = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n{mixed}\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:{}\r\n\
         a=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:0\r\n{}a=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n",
        "p".repeat(24),
        ["AB"; 32].join(":"),
        extensions.collect::<String>()
    );
    let terms = Terms::new([7; 32], Vec::new());
    let offer = tandem_sdp::parse(&offer).expect("an offer");
    let lines = offer.sections().map(|section| Some(terms::receiving(section))).collect();
    let ours = terms.ours(1, &Credentials::new([5; 24]), lines).expect("ours");
    terms::extensions(&tandem_sdp::negotiate(&offer, None, &ours).expect("agreed"))
}

#[test]
fn all_that_goes_along_is_agreed_on_and_descriptors_only_with_room_for_them() {
    let (with, without) = (agreed(true), agreed(false));
    for (kind, ..) in CARRIED {
        assert!(with.id(kind).is_some() && without.id(kind).is_some(), "{kind:?}");
    }
    let descriptor = ext::Kind::DependencyDescriptor;
    assert_eq!((with.id(descriptor).is_some(), without.id(descriptor)), (true, None));
}
