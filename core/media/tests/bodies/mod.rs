//! Bodies of the fuzz targets of the plane and of the transport below it.
//!
//! Each step is `[kind, who, length, bytes]`: what a peer sends once it is connected, authentic but for its contents, what
//! strangers send, what is commanded, and time passing.

#[path = "../world/mod.rs"]
mod world;

use tandem_media::Payload;
use tandem_media::{Command, EndpointId, Layer, SlotId, TrackId, Want};
use tandem_rtp::header::Header;
use tandem_rtp::payload::Codec;
use tandem_rtp::{PayloadType, Ssrc, Timestamp};
use tandem_webrtc::{Channel, ChannelId, Message, Path, Protocol, Reliability};
use world::{PEERS_ARE, World, at, payload};

/// Any sequence of commands, media, control and time.
pub fn plane(bytes: &[u8]) {
    let mut world = World::with(2);
    let mut rest = bytes;
    while let Some((&[kind, who, length], after)) = rest.split_first_chunk() {
        let (piece, after) = after.split_at(after.len().min(usize::from(length)));
        rest = after;
        step(&mut world, kind, who, piece);
    }
    world.run_ms(1_000);
    world.remove(1);
    world.remove(2);
    assert_eq!((world.plane.census(), world.plane.poll_timeout()), ((0, 0, 0), None), "something is left");
}

/// What a peer says by ICE, DTLS and data channels.
pub fn webrtc(bytes: &[u8]) {
    let mut world = World::with(1);
    let mut rest = bytes;
    while let Some((&[kind, who, length], after)) = rest.split_first_chunk() {
        let (piece, after) = after.split_at(after.len().min(usize::from(length)));
        rest = after;
        match kind % 6 {
            0 => raw(&mut world, 1, piece),
            1 => speak(&mut world, 1, who, piece),
            2 => {
                let label = String::from_utf8_lossy(piece).into_owned();
                let (now, ordered) = (world.now, who & 1 == 0);
                let reliability = [Reliability::Reliable, Reliability::Retransmits(0), Reliability::Lifetime(50)];
                let reliability = reliability[usize::from(who) % 3];
                let peer = world.peers.get_mut(&1).expect(PEERS_ARE);
                if let Some(id) = peer.transport.open(now, &label, "", ordered, reliability) {
                    peer.channels.insert(label, id);
                }
            }
            3 => {
                let line = String::from_utf8_lossy(piece).into_owned();
                command(&mut world, Command::Candidate { endpoint: EndpointId(1), line });
            }
            4 => {
                let (now, id) = (world.now, ChannelId(u16::from(who)));
                world.peers.get_mut(&1).expect(PEERS_ARE).transport.close_channel(now, id);
            }
            _ => world.run_ms(u64::from(who) * 5),
        }
        world.run_ms(5);
    }
    world.run_ms(200);
}

fn step(world: &mut World, kind: u8, who: u8, piece: &[u8]) {
    let number = |index: usize| piece.get(index).copied().unwrap_or_default();
    let peer = 1 + u64::from(who & 1);
    let (endpoint, track, slot) = (EndpointId(peer), TrackId(u64::from(who >> 1 & 7)), SlotId(u32::from(who >> 4)));
    match kind % 14 {
        0 => publish(world, peer, track.0, number(0)),
        1 => {
            let payloads = [codec(number(0)), codec(number(0) >> 3)];
            let ssrc = |of: u8| Ssrc(u32::from(of));
            let rtx = (number(1) & 1 == 0).then(|| ssrc(number(2)));
            let subscription = tandem_media::Subscription { ssrc: ssrc(number(1)), rtx, payloads: payloads.to_vec() };
            command(world, Command::OpenSlot { endpoint, slot, subscription });
        }
        2 => command(world, Command::Show { endpoint, slot, track: (number(0) & 1 == 0).then_some(track) }),
        3 => {
            let most = Layer { stream: number(2) & 3, spatial: number(2) >> 2 & 3, temporal: number(2) >> 4 };
            let most = (number(3) & 1 == 0).then_some(most);
            let want = Want { height: u16::from_be_bytes([number(0), number(1)]), priority: number(3), most };
            command(world, Command::Want { endpoint, slot, want });
        }
        4 => command(world, Command::Mute { track, muted: number(0) & 1 == 0 }),
        5 => command(world, Command::Unpublish { track }),
        6 => command(world, Command::CloseSlot { endpoint, slot }),
        7 => command(world, Command::Join { endpoint, group: tandem_media::GroupId(1), member: u32::from(number(0)) }),
        8..=10 => media(world, peer, track.0, piece),
        11 => world.control_bytes(peer, piece),
        12 => raw(world, peer, piece),
        _ => world.run_ms(u64::from(who)),
    }
    world.deliver();
}

fn publish(world: &mut World, peer: u64, track: u64, what: u8) {
    let streams = (0..1 + what % 4).map(|index| tandem_media::StreamSpec {
        rid: (what & 8 == 0).then(|| index.to_string()),
        ssrc: (what & 16 == 0).then(|| Ssrc(u32::from(what & 3) * 4 + u32::from(index))),
        rtx: None,
    });
    let first = codec(what >> 5);
    let kind = match (first.codec.is_video(), what & 1) {
        (false, _) => tandem_media::allocate::Kind::Audio,
        (true, 0) => tandem_media::allocate::Kind::Camera,
        (true, _) => tandem_media::allocate::Kind::Screen,
    };
    let publication = tandem_media::Publication {
        mid: track.to_string(),
        kind,
        payloads: vec![first, codec(what)],
        streams: streams.collect(),
    };
    command(world, Command::Publish { endpoint: EndpointId(peer), track: TrackId(track), publication });
}

/// A packet of a peer: `[flags and type, number, time, ssrc, extensions…, payload…]`.
fn media(world: &mut World, peer: u64, track: u64, piece: &[u8]) {
    let Some((&[flags, n0, n1, time, ssrc, extension, length], rest)) = piece.split_first_chunk() else { return };
    let header = Header {
        marker: flags & 0x80 != 0,
        payload_type: PayloadType::from_wire(96 + (flags & 15)),
        sequence: u16::from_be_bytes([n0, n1]),
        timestamp: Timestamp(u32::from(time) * 900),
        ssrc: Ssrc(u32::from(ssrc & 15)),
    };
    let (value, payload) = rest.split_at(rest.len().min(usize::from(length)));
    let (mid, transport) = (track.to_string(), [n0, n1]);
    let mut extensions: Vec<(u8, &[u8])> = vec![(3, &transport)];
    if flags & 0x40 != 0 {
        extensions.push((4, mid.as_bytes()));
    }
    if extension > 0 {
        extensions.push((extension, value));
    }
    world.send(peer, header, &extensions, payload);
}

fn raw(world: &mut World, peer: u64, piece: &[u8]) {
    let remote = world.peers.get(&peer).expect(PEERS_ARE).address;
    let path = Path { protocol: Protocol::Udp, local: at(world::SERVER), remote };
    let mut datagram = piece.to_vec();
    world.plane.handle_datagram(world.now, path, &mut datagram, &mut world.out);
}

/// By any of a peer's channels, whatever it is; and an answer by the same number.
fn speak(world: &mut World, peer: u64, who: u8, piece: &[u8]) {
    let now = world.now;
    let it = world.peers.get_mut(&peer).expect(PEERS_ARE);
    let channel = ChannelId(u16::from(who >> 1));
    // It may be closed, or full.
    let _ = it.transport.send(now, channel, who & 1 == 0, piece);
    let message = Message { channel, is_text: who & 1 == 0, bytes: piece.to_vec() };
    command(world, Command::Send { endpoint: EndpointId(peer), message });
    if who == 255 {
        let (label, protocol) = (String::from_utf8_lossy(piece).into_owned(), String::new());
        let channel = Channel { id: channel, label, protocol, ordered: true, reliability: Reliability::Reliable };
        command(world, Command::Open { endpoint: EndpointId(peer), channel });
    }
}

fn command(world: &mut World, command: Command) {
    world.plane.handle_command(world.now, command, &mut world.out);
}

fn codec(what: u8) -> Payload {
    let codec = Codec::ALL[usize::from(what & 7)];
    let number = 96 + (what & 7);
    // RED goes by the numbers that are rtx for pictures.
    let red = (!codec.is_video()).then(|| PayloadType::from_wire(number + 8));
    Payload { red, ..payload(codec, number, codec.is_video().then_some(number + 8)) }
}
