//! The bodies of the fuzz targets `rtp`, `rtcp` and `srtp`; `corpus.rs` replays their corpora on every test run.

#![allow(dead_code, clippy::unwrap_used, reason = "each fuzz target uses its part; a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tandem_rtp::ext::{
    self, AbsCaptureTime, AudioLevel, DependencyDescriptor, Orientation, PlayoutDelay, TransportSequence, VideoLayers,
};
use tandem_rtp::header::{Header, Writer};
use tandem_rtp::jitter::{self, Output};
use tandem_rtp::nack::{self, Generator};
use tandem_rtp::payload::{Assembler, Codec, Packetizer, audio, h264, vp8, vp9};
use tandem_rtp::reception::Reception;
use tandem_rtp::rtcp::{self, Block, Packets, Recorder, Status};
use tandem_rtp::srtp::{Master, Receiver, Refused, Sender, Suite};
use tandem_rtp::{Packet, PayloadType, Ssrc, Timestamp, red, rtx};

/// Any bytes as a packet, as each kind of extension and payload, and as a stream of packets.
pub fn rtp(bytes: &[u8]) {
    if let Ok(packet) = Packet::parse(bytes) {
        read_and_write(&packet);
    }
    extensions(bytes);
    payloads(bytes);
    stream(bytes);
    if let Some(blocks) = red::Blocks::parse(bytes, Timestamp(1)) {
        let length: usize = blocks.map(|block| block.payload.len()).sum();
        assert!(length < bytes.len(), "no byte is told twice");
    }
}

/// What is read, written and read again is the same.
fn read_and_write(packet: &Packet<'_>) {
    let (range, padding) = (packet.payload_range(), packet.padding());
    assert_eq!(range.end + padding, packet.bytes().len());
    assert_eq!(packet.payload(), &packet.bytes()[range]);
    let mut buffer = vec![0; packet.bytes().len() + 300];
    let csrcs: Vec<Ssrc> = packet.csrcs().collect();
    let mut writer = Writer::new(&mut buffer, &Header::of(packet), &csrcs).unwrap();
    let elements: Vec<_> = packet.extensions().collect();
    // Too many one-byte elements beside a large one: the writer may refuse, but nothing else.
    if elements.iter().any(|&(id, value)| writer.extension(id, value).is_err()) {
        return;
    }
    let Ok(length) = writer.payload(packet.payload()) else { return };
    let again = Packet::parse(&buffer[..length]).unwrap();
    assert_eq!((Header::of(&again), again.payload()), (Header::of(packet), packet.payload()));
    assert_eq!(again.extensions().collect::<Vec<_>>(), elements);
    if let Some(&(id, value)) = elements.first() {
        let value = value.to_vec();
        assert_eq!(ext::value_mut(&mut buffer[..length], id).unwrap(), value);
    }
    let mut copy = packet.bytes().to_vec();
    let found = rtx::unwrap(&mut copy, Ssrc(1), PayloadType::from_wire(96)).unwrap();
    assert_eq!(found.is_some(), packet.payload().len() >= 2);
    if let Some(found) = found {
        assert_eq!(Packet::parse(found).unwrap().payload(), &packet.payload()[2..]);
    }
}

fn extensions(bytes: &[u8]) {
    let _ = (AudioLevel::parse(bytes), Orientation::parse(bytes), TransportSequence::parse(bytes), ext::text(bytes));
    if let Some(time) = AbsCaptureTime::parse(bytes) {
        assert_eq!(&time.bytes()[..], bytes);
    }
    if let Some(delay) = PlayoutDelay::parse(bytes) {
        assert_eq!(delay.bytes(), bytes);
    }
    if let Some(layers) = VideoLayers::parse(bytes) {
        let mut again = Vec::new();
        layers.write(&mut again);
        let read = VideoLayers::parse(&again).unwrap();
        // Nothing is sent, whatever the stream is called.
        assert!(read == layers || layers.layers.is_empty(), "{layers:?} {read:?}");
    }
    // A key frame's descriptor, and one after it.
    let at = bytes.first().map_or(0, |&first| usize::from(first)).min(bytes.len());
    let (first, second) = bytes.split_at(at);
    let Some(key) = DependencyDescriptor::parse(first.get(1..).unwrap_or_default(), None) else { return };
    descriptor(&key, None);
    let structure = key.structure.as_deref().unwrap();
    if let Some(later) = DependencyDescriptor::parse(second, Some(structure)) {
        descriptor(&later, Some(structure));
    }
}

fn descriptor(read: &DependencyDescriptor, known: Option<&ext::Structure>) {
    let mut bytes = Vec::new();
    assert!(read.write(known, &mut bytes));
    let again = DependencyDescriptor::parse(&bytes, known).unwrap();
    assert_eq!(&again, read);
}

fn payloads(bytes: &[u8]) {
    let mut copy = bytes.to_vec();
    if vp8::rewrite(&mut copy, 0x1234, 5) {
        let (old, new) = (vp8::Descriptor::parse(bytes).unwrap(), vp8::Descriptor::parse(&copy).unwrap());
        assert_eq!((old.length, &bytes[old.length..]), (new.length, &copy[new.length..]));
        assert!(new.picture.is_none_or(|picture| matches!(picture.value(), 0x1234 | 0x34)));
        assert!(new.tl0_picture.is_none_or(|tl0| tl0 == 5));
    }
    let mut copy = bytes.to_vec();
    if vp9::rewrite(&mut copy, 0x1234, 5) {
        let (old, new) = (vp9::Descriptor::parse(bytes).unwrap(), vp9::Descriptor::parse(&copy).unwrap());
        assert_eq!((old.length, &bytes[old.length..]), (new.length, &copy[new.length..]));
        assert!(new.layer.and_then(|layer| layer.tl0_picture).is_none_or(|tl0| tl0 == 5));
        assert_eq!(old.structure.map(|one| one.group().count()), new.structure.map(|one| one.group().count()));
    }
    let _ = (vp8::resolution(bytes), h264::nal_types(bytes).map(Iterator::count), h264::annex_b(bytes).count());
    for codec in Codec::ALL {
        let _ = audio::duration(codec, bytes);
        let mut assembler = Assembler::new(codec, 4_096);
        for payload in pieces(bytes) {
            let _ = (assembler.push(payload), codec.starts_key_frame(payload), codec.starts_frame(payload));
        }
        let Ok(frame) = assembler.finish(Timestamp(3)) else { continue };
        let mut whole = true;
        let taken_apart = Packetizer::new(codec, 100, 7).packetize(&frame, |payload, _| {
            assert!(payload.len() <= 100 || !codec.is_video());
            whole &= assembler.push(payload).is_ok();
        });
        // What has been put together can be taken apart. Of H.264 delimiters are left out, and a start code where none may be
        // is one more unit, or none.
        assert!(taken_apart.is_ok() || codec == Codec::H264);
        if let Ok(again) = assembler.finish(Timestamp(3))
            && whole
            && codec != Codec::H264
        {
            assert_eq!(again.data, frame.data, "{codec:?}");
        }
    }
}

/// Pieces with a size before each.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&size, rest) = bytes.split_first()?;
        let (piece, rest) = rest.split_at(usize::from(size).min(rest.len()));
        bytes = rest;
        Some(piece)
    })
}

/// Packets of a stream, and time between them: through a jitter buffer and a NACK generator.
fn stream(bytes: &[u8]) {
    let Some((&codec, script)) = bytes.split_first() else { return };
    let codec = Codec::ALL[usize::from(codec) % Codec::ALL.len()];
    let config = jitter::Config { wait: Duration::from_millis(50), max_packets: 20, max_bytes: 2_000 };
    let (mut buffer, mut now) = (jitter::Buffer::new(codec, config), some_instant());
    let mut generator = Generator::new(nack::Config { max_missing: 30, ..nack::Config::default() });
    let mut reception = Reception::new(codec.clock_rate());
    let mut packet = vec![0; 300];
    let mut asked = Vec::new();
    for piece in pieces(script) {
        let (&[wait, s0, s1, time, marker], payload) = piece.split_first_chunk().unwrap_or((&[0; 5], &[]));
        now += Duration::from_millis(u64::from(wait));
        buffer.handle_timeout(now);
        assert!(buffer.poll_timeout().is_none_or(|due| due > now), "what is due has been dealt with");
        let header = Header {
            marker: marker & 1 != 0,
            payload_type: PayloadType::from_wire(96),
            // Mostly near each other, so that frames come about.
            sequence: u16::from_be_bytes([if marker & 2 != 0 { s0 } else { 0 }, s1]),
            timestamp: Timestamp(u32::from(time)),
            ssrc: Ssrc(1),
        };
        let length = Writer::new(&mut packet, &header, &[]).unwrap().payload(payload).unwrap();
        buffer.handle_packet(now, &Packet::parse(&packet[..length]).unwrap());
        let (packets, held) = buffer.held();
        assert!(packets <= 20 && held <= 2_000);
        while let Some(output) = buffer.poll_output() {
            if let Output::Frame(frame) = output {
                assert!(frame.data.len() <= 2_000);
            }
        }
        reception.handle_packet(now, header.sequence, header.timestamp);
        assert!(reception.report(now, Ssrc(1)).is_some());
        generator.handle_packet(now, header.sequence);
        assert!(generator.missing() <= 30);
        asked.clear();
        generator.take_due(now, Duration::from_millis(20), &mut asked);
        assert!(asked.len() <= 30 && generator.poll_timeout().is_none_or(|due| due > now));
    }
    let end = now + Duration::from_secs(1);
    buffer.handle_timeout(end);
    assert_eq!(buffer.poll_timeout(), None);
}

#[allow(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn some_instant() -> Instant {
    Instant::now()
}

/// Any bytes as control packets; what is understood is written, and understood again.
pub fn rtcp(bytes: &[u8]) {
    let mut buffer = vec![0; bytes.len() + 64];
    for packet in Packets::new(bytes).filter_map(Result::ok) {
        let mut writer = rtcp::Writer::new(&mut buffer);
        if write_again(&packet, &mut writer, bytes.len()) {
            let length = writer.finish();
            assert_eq!(Packets::new(&buffer[..length]).next(), Some(Ok(packet)));
        }
    }
    arrivals(bytes);
}

/// Whether there is a way to write it; what is read is counted on the way.
fn write_again(packet: &rtcp::Packet<'_>, writer: &mut rtcp::Writer<'_>, size: usize) -> bool {
    use rtcp::Packet::*;
    match packet {
        SenderReport(report) => {
            writer.sender_report(report.sender, &report.info, &report.blocks().collect::<Vec<_>>()).unwrap();
        }
        ReceiverReport(report) => {
            writer.receiver_report(report.sender, &report.blocks().collect::<Vec<_>>()).unwrap();
        }
        App(app) => writer.app(app.subtype, app.ssrc, app.name, app.data).unwrap(),
        Pli { sender, media } => writer.pli(*sender, *media).unwrap(),
        SourceDescription(told) => {
            let items: usize = told.chunks().map(|chunk| chunk.items().count()).sum();
            assert!(items <= size / 2);
            return false;
        }
        Goodbye(bye) => {
            let sources: Vec<Ssrc> = bye.sources().collect();
            let Ok(reason) = std::str::from_utf8(bye.reason) else { return false };
            writer.goodbye(&sources, reason).unwrap();
        }
        Nack(nack) => {
            assert!(nack.sequences().count() <= 17 * nack.pairs().len());
            return false;
        }
        Fir(fir) => return fir.entries().len() > size,
        Remb(remb) => return remb.ssrcs().len() > size,
        TransportFeedback(feedback) => {
            let mut told = 0;
            for (index, status) in feedback.iter().enumerate() {
                assert!(index <= 8 * size, "no more than there are bytes for");
                told += match status {
                    Status::Lost { count, .. } => u32::from(count),
                    Status::Received { .. } => 1,
                };
            }
            assert_eq!(told, u32::from(feedback.statuses));
            return false;
        }
        ExtendedReports(reports) => {
            for block in reports.blocks() {
                if let Block::DelaySinceLast(delays) = block {
                    assert!(delays.entries().len() <= size / 12);
                }
            }
            return false;
        }
        Unknown(raw) => return raw.body.len() > size,
    }
    true
}

/// Arrivals of packets, told and read back: nothing is told of that has not arrived, and what waits gets less each time.
fn arrivals(bytes: &[u8]) {
    let mut recorder = Recorder::new();
    let (mut at, mut number) = (1_000_000_i64, 0_u16);
    let mut recorded = BTreeSet::new();
    for &[step, high, low] in bytes.as_chunks().0 {
        number = number.wrapping_add(u16::from(step).wrapping_sub(3));
        at += i64::from(i16::from_be_bytes([high, low])) * 100;
        recorder.on_packet(number, at);
        recorded.insert(number);
        if low % 8 == 0 {
            tell(&mut recorder, &recorded);
        }
    }
    while recorder.waiting() > 0 {
        tell(&mut recorder, &recorded);
    }
}

fn tell(recorder: &mut Recorder, recorded: &BTreeSet<u16>) {
    let (mut buffer, waiting) = ([0; 400], recorder.waiting());
    let mut writer = rtcp::Writer::new(&mut buffer);
    if !recorder.write(&mut writer, Ssrc(1), Ssrc(2)).unwrap() {
        assert_eq!(waiting, 0);
        return;
    }
    let length = writer.finish();
    let Some(Ok(rtcp::Packet::TransportFeedback(feedback))) = Packets::new(&buffer[..length]).next() else {
        panic!("no feedback in {:?}", &buffer[..length])
    };
    let mut told = 0;
    for status in &feedback {
        if let Status::Received { sequence, .. } = status {
            assert!(recorded.contains(&sequence));
            told += 1;
        }
    }
    assert!(told > 0 && recorder.waiting() == waiting - told);
}

/// Any bytes to a receiver, and a stream of packets that a network repeats, reorders and changes.
pub fn srtp(bytes: &[u8]) {
    let Some((&suite, script)) = bytes.split_first() else { return };
    let suite = Suite::ALL[usize::from(suite) % Suite::ALL.len()];
    let master = Master::new(suite, &vec![7; suite.key_length() + suite.salt_length()]).unwrap();
    let (mut sender, mut receiver) = (Sender::new(&master, 3), Receiver::new(&master, 3));
    // A stranger.
    assert!(
        receiver.unprotect_rtp(&mut script.to_vec()).is_err() && receiver.unprotect_rtcp(&mut script.to_vec()).is_err()
    );
    assert_eq!(receiver.streams(), (0, 0));
    // Any packet there and back.
    let mut buffer = [script, &[0; 20]].concat();
    if let Ok(length) = sender.protect_rtp(&mut buffer, script.len()) {
        assert_eq!(receiver.unprotect_rtp(&mut buffer[..length]), Ok(script.len()));
        assert_eq!(&buffer[..script.len()], script);
    }
    let mut buffer = [script, &[0; 20]].concat();
    if let Ok(length) = sender.protect_rtcp(&mut buffer, script.len()) {
        assert_eq!(receiver.unprotect_rtcp(&mut buffer[..length]), Ok(script.len()));
        assert_eq!(&buffer[..script.len()], script);
    }
    network(&mut Sender::new(&master, 3), &mut Receiver::new(&master, 3), script);
}

fn network(sender: &mut Sender, receiver: &mut Receiver, script: &[u8]) {
    let mut sent: Vec<(Vec<u8>, bool)> = Vec::new();
    let mut sequence = 65_000_u16;
    for &[what, value] in script.as_chunks().0 {
        match what % 4 {
            0 | 1 => {
                sequence = sequence.wrapping_add(u16::from(value) * if what % 4 == 0 { 1 } else { 60 });
                let mut packet = vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, value, 9];
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                packet.extend([0; 16]);
                match sender.protect_rtp(&mut packet, 14) {
                    Ok(length) => packet.truncate(length),
                    Err(refused) => {
                        assert_eq!(refused, Refused::Replayed, "only a number that has been is refused");
                        continue;
                    }
                }
                sent.push((packet, false));
            }
            2 => {
                let Some((packet, arrived)) = pick(&mut sent, value) else { continue };
                let (packet, arrived) = (packet.clone(), *arrived);
                let result = receiver.unprotect_rtp(&mut packet.clone());
                // After half a circle of losses a number is taken for one that has been (RFC 3711 §3.3.1).
                let has_been = || sent.iter().any(|(other, arrived)| *arrived && other[2..4] == packet[2..4]);
                match result {
                    Ok(length) => assert!(length == 14 && !arrived, "each passes once"),
                    // Too far back, or so far ahead that the rollover cannot be known.
                    Err(refused) => assert!(refused != Refused::Replayed || has_been(), "{refused:?}"),
                }
                if let (Ok(_), Some((_, arrived))) = (result, pick(&mut sent, value)) {
                    *arrived = true;
                }
            }
            _ => {
                let Some((packet, _)) = pick(&mut sent, value) else { continue };
                let mut changed = packet.clone();
                let place = usize::from(value) % changed.len();
                changed[place] ^= 1 << (value % 8);
                assert!(receiver.unprotect_rtp(&mut changed).is_err());
            }
        }
    }
    assert!(receiver.streams().0 <= 1);
}

fn pick(sent: &mut [(Vec<u8>, bool)], back: u8) -> Option<&mut (Vec<u8>, bool)> {
    let place = sent.len().checked_sub(1 + usize::from(back))?;
    sent.get_mut(place)
}
