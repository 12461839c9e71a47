//! Frames taken apart and put together again, whatever their sizes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use tandem_rtp::Timestamp;
use tandem_rtp::payload::{Assembler, Codec, Frame, Packetizer, vp8, vp9};

fn frame(key: bool, data: Vec<u8>) -> Frame {
    Frame { timestamp: Timestamp(3_000), key, data }
}

fn packets(packetizer: &mut Packetizer, frame: &Frame) -> Vec<(Vec<u8>, bool)> {
    let mut all = Vec::new();
    packetizer.packetize(frame, |payload, last| all.push((payload.to_vec(), last))).unwrap();
    all
}

fn there_and_back(codec: Codec, limit: usize, frame: &Frame) -> Frame {
    let all = packets(&mut Packetizer::new(codec, limit, 0), frame);
    assert!(
        all.iter().all(|(payload, _)| payload.len() <= limit || !codec.is_video()),
        "{codec:?}: no payload is too large"
    );
    let ends: Vec<bool> = all.iter().map(|&(_, last)| last).collect();
    assert!(
        ends.last() == Some(&true) && ends.iter().filter(|&&last| last).count() == 1,
        "{codec:?}: the last one ends it"
    );
    assert!(all.iter().skip(1).all(|(payload, _)| codec.starts_frame(payload) != Some(true)));
    assert_ne!(codec.starts_frame(&all[0].0), Some(false));
    let mut assembler = Assembler::new(codec, 1 << 20);
    all.iter().for_each(|(payload, _)| assembler.push(payload).unwrap());
    assembler.finish(frame.timestamp).unwrap()
}

/// A VP8 frame's first bit says whether it is a key frame.
fn vp8_data(key: bool, mut data: Vec<u8>) -> Vec<u8> {
    data.insert(0, u8::from(!key));
    data
}

/// NAL units without start codes in them.
fn h264_data(key: bool, sizes: &[usize]) -> Vec<u8> {
    let mut data = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let header = if key && index == 0 {
            0x67
        } else if key {
            0x65
        } else {
            0x41
        };
        data.extend([0, 0, 0, 1, header]);
        // The first macroblock of the picture is in the first slice.
        data.extend(
            (0..*size)
                .map(|place| if place == 0 { 0x88 >> index.min(1) } else { u8::try_from(1 + place % 250).unwrap() }),
        );
    }
    data
}

/// OBUs with sizes.
fn av1_data(sizes: &[usize]) -> Vec<u8> {
    let mut data = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        let extended = index % 2 == 1;
        data.extend(if extended { &[0x36, 0x08][..] } else { &[0x0a] });
        let (mut rest, mut more) = (size, true);
        while more {
            more = rest > 127;
            data.push(u8::try_from(rest & 127).unwrap() | if more { 128 } else { 0 });
            rest >>= 7;
        }
        data.extend((0..size).map(|place| u8::try_from(place % 251).unwrap()));
    }
    data
}

#[test]
fn audio_is_one_packet() {
    for codec in [Codec::Opus, Codec::Pcmu, Codec::Pcma, Codec::G722] {
        let sound = frame(true, vec![7; 2_000]);
        assert_eq!(packets(&mut Packetizer::new(codec, 1_200, 0), &sound), [(vec![7; 2_000], true)]);
        assert_eq!(there_and_back(codec, 1_200, &sound), sound);
    }
}

#[test]
fn pictures_are_counted() {
    for codec in [Codec::Vp8, Codec::Vp9] {
        let mut packetizer = Packetizer::new(codec, 1_200, 0x7fff);
        for expected in [0x7fff, 0, 1] {
            for (payload, _) in packets(&mut packetizer, &frame(false, vec![1; 3_000])) {
                let picture = match codec {
                    Codec::Vp8 => vp8::Descriptor::parse(&payload).unwrap().picture,
                    _ => vp9::Descriptor::parse(&payload).unwrap().picture,
                };
                assert_eq!(picture.map(vp8::PictureId::value), Some(expected));
            }
        }
    }
}

#[test]
fn what_is_no_stream_of_units_is_refused() {
    let bare = frame(true, vec![0x65, 1, 2]);
    assert!(Packetizer::new(Codec::H264, 1_200, 0).packetize(&bare, |_, _| {}).is_err(), "no start code");
    let broken = frame(true, vec![0x0a, 200, 1]);
    assert!(Packetizer::new(Codec::Av1, 1_200, 0).packetize(&broken, |_, _| {}).is_err());
}

proptest! {
    #[test]
    fn vp8_and_vp9_come_back(key: bool, data in prop::collection::vec(any::<u8>(), 1..6_000), limit in 64_usize..1_400) {
        let eight = frame(key, vp8_data(key, data.clone()));
        prop_assert_eq!(there_and_back(Codec::Vp8, limit, &eight), eight);
        let nine = frame(key, data);
        prop_assert_eq!(there_and_back(Codec::Vp9, limit, &nine), nine);
    }

    #[test]
    fn h264_comes_back(key: bool, sizes in prop::collection::vec(0_usize..3_000, 1..8), limit in 64_usize..1_400) {
        let picture = frame(key, h264_data(key, &sizes));
        prop_assert_eq!(there_and_back(Codec::H264, limit, &picture), picture);
    }

    #[test]
    fn av1_comes_back(key: bool, sizes in prop::collection::vec(0_usize..3_000, 1..8), limit in 64_usize..1_400) {
        let picture = frame(key, av1_data(&sizes));
        prop_assert_eq!(there_and_back(Codec::Av1, limit, &picture), picture);
    }

    #[test]
    fn any_payloads_make_no_more_than_they_are(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8)) {
        for codec in Codec::ALL {
            let mut assembler = Assembler::new(codec, 200);
            for payload in &payloads {
                let _ = (assembler.push(payload), codec.starts_key_frame(payload), codec.starts_frame(payload));
            }
            if let Ok(made) = assembler.finish(Timestamp(0)) {
                prop_assert!(made.data.len() <= 200);
                let _ = Packetizer::new(codec, 64, 0).packetize(&made, |_, _| {});
            }
        }
    }
}
