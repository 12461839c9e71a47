//! A jitter buffer between a network that loses, repeats and reorders, and a decoder that wants whole frames in order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tandem_rtp::header::{Header, Writer};
use tandem_rtp::jitter::{Buffer, Config, Output};
use tandem_rtp::payload::{Codec, Frame, Packetizer};
use tandem_rtp::{Packet, PayloadType, Ssrc, Timestamp};

const MS: Duration = Duration::from_millis(1);

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let payload_type = PayloadType::new(96).unwrap();
    let header = Header { marker, payload_type, sequence, timestamp: Timestamp(timestamp), ssrc: Ssrc(1) };
    let mut buffer = vec![0; payload.len() + 12];
    Writer::new(&mut buffer, &header, &[]).unwrap().payload(payload).unwrap();
    buffer
}

/// Frames of these sizes and their packets, from this sequence number on.
fn stream(codec: Codec, sizes: &[usize], mut sequence: u16) -> (Vec<Frame>, Vec<Vec<u8>>) {
    let mut packetizer = Packetizer::new(codec, 200, 0);
    let (mut frames, mut packets) = (Vec::new(), Vec::new());
    for (index, &size) in sizes.iter().enumerate() {
        let timestamp = u32::try_from(index).unwrap() * 3_000;
        let mut data = vec![u8::try_from(index % 200).unwrap() + 1; size];
        let key = match codec {
            Codec::Vp8 => {
                data.insert(0, u8::from(index != 0));
                index == 0
            }
            Codec::H264 => {
                data.splice(0..0, [0, 0, 0, 1, if index == 0 { 0x65 } else { 0x41 }, 0x88]);
                index == 0
            }
            _ => !codec.is_video(),
        };
        let frame = Frame { timestamp: Timestamp(timestamp), key, data };
        packetizer
            .packetize(&frame, |payload, last| {
                packets.push(packet(sequence, timestamp, last && codec.is_video(), payload));
                sequence = sequence.wrapping_add(1);
            })
            .unwrap();
        frames.push(frame);
    }
    (frames, packets)
}

fn handle(buffer: &mut Buffer, now: Instant, packet: &[u8]) -> Vec<Output> {
    buffer.handle_packet(now, &Packet::parse(packet).unwrap());
    drain(buffer)
}

fn drain(buffer: &mut Buffer) -> Vec<Output> {
    std::iter::from_fn(|| buffer.poll_output()).collect()
}

fn config() -> Config {
    Config { wait: 100 * MS, max_packets: 64, max_bytes: 20_000 }
}

#[test]
fn frames_come_out_as_soon_as_they_are_whole() {
    for codec in [Codec::Vp8, Codec::H264, Codec::Opus] {
        let (frames, packets) = stream(codec, &[1_000, 10, 500], 65_534);
        let (mut buffer, now) = (Buffer::new(codec, config()), Instant::now());
        let out: Vec<Output> = packets.iter().flat_map(|packet| handle(&mut buffer, now, packet)).collect();
        assert_eq!(out, frames.into_iter().map(Output::Frame).collect::<Vec<_>>(), "{codec:?}");
        assert_eq!((buffer.held(), buffer.poll_timeout()), ((0, 0), None));
    }
}

#[test]
fn a_hole_is_waited_for_and_then_skipped() {
    let (frames, packets) = stream(Codec::Vp8, &[500, 500, 500, 10], 100);
    let (mut buffer, now) = (Buffer::new(Codec::Vp8, config()), Instant::now());
    // Three packets a frame; the middle one of the second is lost.
    let lost = 4;
    let mut out = Vec::new();
    for (index, packet) in packets.iter().enumerate().filter(|&(index, _)| index != lost) {
        out.extend(handle(&mut buffer, now + u32::try_from(index).unwrap() * MS, packet));
    }
    assert_eq!(out, [Output::Frame(frames[0].clone())]);
    assert_eq!(buffer.poll_timeout(), Some(now + 105 * MS), "a hundred after the first behind the hole");
    buffer.handle_timeout(now + 104 * MS);
    assert_eq!(drain(&mut buffer), []);
    buffer.handle_timeout(now + 105 * MS);
    let rest = [Output::Lost { packets: 3 }, Output::Frame(frames[2].clone()), Output::Frame(frames[3].clone())];
    assert_eq!(drain(&mut buffer), rest, "the whole frame is lost, and no other");
    assert_eq!(handle(&mut buffer, now, &packets[lost]), [], "its turn is over");
}

#[test]
fn a_retransmission_in_time_fills_the_hole() {
    let (frames, packets) = stream(Codec::H264, &[500, 500], 100);
    let (mut buffer, now) = (Buffer::new(Codec::H264, config()), Instant::now());
    let mut out = Vec::new();
    for packet in [&packets[..1], &packets[2..], &packets[1..2], &packets[1..]].concat() {
        out.extend(handle(&mut buffer, now, &packet));
    }
    assert_eq!(out, frames.into_iter().map(Output::Frame).collect::<Vec<_>>());
}

#[test]
fn a_stream_that_is_met_in_the_middle_begins_with_the_next_frame() {
    for codec in [Codec::Vp8, Codec::H264] {
        let (frames, packets) = stream(codec, &[500, 500], 100);
        let (mut buffer, now) = (Buffer::new(codec, config()), Instant::now());
        let out: Vec<Output> = packets.iter().skip(1).flat_map(|packet| handle(&mut buffer, now, packet)).collect();
        let lost = u64::try_from(packets.len() / 2 - 1).unwrap();
        // Each packet is told of as it is dropped; a reader in between may see several losses.
        let told: u64 = out.iter().map(|one| if let Output::Lost { packets } = one { *packets } else { 0 }).sum();
        assert_eq!((told, out.last()), (lost, Some(&Output::Frame(frames[1].clone()))), "{codec:?}");
    }
}

#[test]
fn a_first_packet_that_was_overtaken_is_waited_for() {
    let (frames, packets) = stream(Codec::Vp8, &[900, 10], 65_535);
    let (mut buffer, now) = (Buffer::new(Codec::Vp8, config()), Instant::now());
    let mut out = Vec::new();
    for index in [2, 1, 4, 0, 3, 5] {
        out.extend(handle(&mut buffer, now, &packets[index]));
    }
    assert_eq!(out, frames.into_iter().map(Output::Frame).collect::<Vec<_>>());
    // But not for ever.
    let mut buffer = Buffer::new(Codec::Vp8, config());
    assert_eq!(handle(&mut buffer, now, &packets[2]), []);
    assert_eq!(buffer.poll_timeout(), Some(now + 100 * MS));
    buffer.handle_timeout(now + 100 * MS);
    assert_eq!((drain(&mut buffer), buffer.poll_timeout()), (vec![Output::Lost { packets: 1 }], None));
    assert_eq!(handle(&mut buffer, now, &packets[0]), [], "its turn is over");
}

#[test]
fn lost_audio_is_told_and_the_rest_goes_on() {
    let (frames, packets) = stream(Codec::Opus, &[50; 4], 100);
    let (mut buffer, now) = (Buffer::new(Codec::Opus, config()), Instant::now());
    handle(&mut buffer, now, &packets[0]);
    assert_eq!(handle(&mut buffer, now, &packets[3]), []);
    buffer.handle_timeout(now + 100 * MS);
    assert_eq!(drain(&mut buffer), [Output::Lost { packets: 2 }, Output::Frame(frames[3].clone())]);
}

#[test]
fn frames_without_a_marker_end_where_the_next_begins() {
    let (mut buffer, now) = (Buffer::new(Codec::Vp8, config()), Instant::now());
    handle(&mut buffer, now, &packet(1, 0, false, &[0x10, 1, 2]));
    handle(&mut buffer, now, &packet(2, 0, false, &[0x00, 3]));
    let out = handle(&mut buffer, now, &packet(3, 3_000, false, &[0x10, 1]));
    assert_eq!(out, [Output::Frame(Frame { timestamp: Timestamp(0), key: false, data: vec![1, 2, 3] })]);
}

#[test]
fn packets_that_fill_the_link_leave_no_trace() {
    let (frames, packets) = stream(Codec::H264, &[300, 300], 100);
    let (mut buffer, now) = (Buffer::new(Codec::H264, config()), Instant::now());
    let mut out = Vec::new();
    for (index, original) in packets.iter().enumerate() {
        let seen = Packet::parse(original).unwrap();
        let sequence = 100 + 2 * u16::try_from(index).unwrap();
        let (time, marker) = (seen.timestamp().0, seen.marker());
        out.extend(handle(&mut buffer, now, &packet(sequence, time, marker, seen.payload())));
        out.extend(handle(&mut buffer, now, &packet(sequence + 1, time, false, &[])));
    }
    assert_eq!(out, frames.into_iter().map(Output::Frame).collect::<Vec<_>>());
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let (mut buffer, now) = (Buffer::new(Codec::Vp8, config()), Instant::now());
    // One frame that never ends.
    for sequence in 0..1_000 {
        handle(&mut buffer, now, &packet(sequence, 0, false, &[if sequence == 0 { 0x10 } else { 0 }; 900]));
        let (packets, bytes) = buffer.held();
        assert!(packets <= 64 && bytes <= 20_000);
    }
    // Holes everywhere.
    for sequence in (0..60_000_u16).step_by(2) {
        handle(&mut buffer, now, &packet(sequence.wrapping_mul(7), 9, false, &[0x10; 100]));
        let (packets, bytes) = buffer.held();
        assert!(packets <= 64 && bytes <= 20_000);
    }
}

#[test]
fn a_sender_that_begins_anew_is_followed() {
    let (mut buffer, now) = (Buffer::new(Codec::Opus, config()), Instant::now());
    handle(&mut buffer, now, &packet(30_000, 0, false, &[1]));
    let out: Vec<Output> =
        (0..200).flat_map(|sequence| handle(&mut buffer, now, &packet(sequence, 0, false, &[2]))).collect();
    assert_eq!(out.iter().filter(|one| matches!(one, Output::Frame(_))).count(), 101);
}

proptest! {
    /// Whatever order packets come in, and whichever are missing: frames come out in order, each once, each as it was.
    #[test]
    fn only_whole_frames_come_out_and_in_order(
        sizes in prop::collection::vec(0_usize..700, 1..12),
        order in prop::collection::vec((0_usize..60, 0_u64..40), 0..120),
        pick in 0..3_usize,
    ) {
        let codec = [Codec::Vp8, Codec::H264, Codec::Opus][pick];
        let (frames, packets) = stream(codec, &sizes, 65_530);
        let (mut buffer, mut now) = (Buffer::new(codec, config()), Instant::now());
        let mut out = Vec::new();
        for (index, wait) in order {
            now += Duration::from_millis(wait);
            buffer.handle_timeout(now);
            if let Some(packet) = packets.get(index) {
                buffer.handle_packet(now, &Packet::parse(packet).unwrap());
            }
            out.extend(drain(&mut buffer));
        }
        buffer.handle_timeout(now + Duration::from_secs(9));
        out.extend(drain(&mut buffer));
        let mut last = None;
        for frame in out.into_iter().filter_map(|one| if let Output::Frame(frame) = one { Some(frame) } else { None }) {
            let index = frames.iter().position(|known| *known == frame);
            prop_assert!(index.is_some(), "a frame that was never sent");
            prop_assert!(index > last, "out of order");
            last = index;
        }
        prop_assert_eq!(buffer.poll_timeout(), None);
    }
}
