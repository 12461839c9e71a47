//! Ours beside `rtc-rtp` and `rtc-rtcp`: headers, control packets and payloads that either writes the other reads alike.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use proptest::prelude::*;
use rtc_rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::SourceDescription;
use rtc_rtcp::transport_feedbacks::transport_layer_cc::{SymbolTypeTcc, TransportLayerCc};
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc_rtp::codec::{av1, h264, vp8, vp9};
use rtc_rtp::packetizer::{Depacketizer, Payloader};
use rtc_shared::marshal::{Marshal as _, Unmarshal as _};
use tandem_rtp::header::{Header, Writer};
use tandem_rtp::payload::{Assembler, Codec, Frame, Packetizer};
use tandem_rtp::rtcp::{self, Packets, Recorder, ReportBlock, SenderInfo, Status};
use tandem_rtp::{Packet, PayloadType, Ssrc, Timestamp};

fn header() -> impl Strategy<Value = Header> {
    (any::<bool>(), 0_u8..128, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
        |(marker, payload_type, sequence, timestamp, ssrc)| Header {
            marker,
            payload_type: PayloadType::new(payload_type).unwrap(),
            sequence,
            timestamp: Timestamp(timestamp),
            ssrc: Ssrc(ssrc),
        },
    )
}

/// Ids that differ, each with a value: of sizes for the one-byte form, or of any.
fn elements(any_size: bool) -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let sizes = if any_size { 0..40_usize } else { 1..17 };
    let ids = if any_size { 1..=255_u8 } else { 1..=14 };
    prop::collection::btree_map(ids, prop::collection::vec(any::<u8>(), sizes), 0..8)
        .prop_map(|map| map.into_iter().collect())
}

fn block() -> impl Strategy<Value = ReportBlock> {
    (any::<[u32; 5]>(), any::<u8>(), 0_i32..0x7f_ffff).prop_map(
        |([ssrc, highest, jitter, last_sender_report, delay], fraction_lost, cumulative_lost)| ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost,
            highest,
            jitter,
            last_sender_report,
            delay,
        },
    )
}

fn written(write: impl FnOnce(&mut rtcp::Writer<'_>)) -> Bytes {
    let mut buffer = vec![0; 4_000];
    let mut writer = rtcp::Writer::new(&mut buffer);
    write(&mut writer);
    let length = writer.finish();
    buffer.truncate(length);
    buffer.into()
}

fn only(bytes: &[u8]) -> rtcp::Packet<'_> {
    let mut packets = Packets::new(bytes);
    let packet = packets.next().expect("a packet").expect("a whole one");
    assert_eq!(packets.next(), None);
    packet
}

proptest! {
    #[test]
    fn rtp_headers(
        header in header(),
        csrcs in prop::collection::vec(any::<u32>(), 0..15),
        elements in any::<bool>().prop_flat_map(elements),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut buffer = vec![0; 2_000];
        let sources: Vec<Ssrc> = csrcs.iter().map(|&csrc| Ssrc(csrc)).collect();
        let mut writer = Writer::new(&mut buffer, &header, &sources).unwrap();
        elements.iter().for_each(|(id, value)| writer.extension(*id, value).unwrap());
        let length = writer.payload(&payload).unwrap();
        let ours = Packet::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(Header::of(&ours), header);
        prop_assert_eq!(ours.csrcs().collect::<Vec<_>>(), sources);
        let found: Vec<_> = ours.extensions().map(|(id, value)| (id, value.to_vec())).collect();
        prop_assert_eq!(&found, &elements);
        prop_assert_eq!(ours.payload(), &payload);

        let theirs = rtc_rtp::Packet::unmarshal(&mut Bytes::copy_from_slice(&buffer[..length])).unwrap();
        prop_assert_eq!(theirs.header.marker, header.marker);
        prop_assert_eq!(theirs.header.payload_type, header.payload_type.value());
        prop_assert_eq!(theirs.header.sequence_number, header.sequence);
        prop_assert_eq!((theirs.header.timestamp, theirs.header.ssrc), (header.timestamp.0, header.ssrc.0));
        prop_assert_eq!(&theirs.header.csrc, &csrcs);
        let found: Vec<_> = theirs.header.extensions.iter().map(|one| (one.id, one.payload.to_vec())).collect();
        prop_assert_eq!(&found, &elements);
        prop_assert_eq!(&theirs.payload[..], &payload[..]);

        let again = theirs.marshal().unwrap();
        let again = Packet::parse(&again).unwrap();
        prop_assert_eq!((Header::of(&again), again.payload()), (header, payload.as_slice()));
        let found: Vec<_> = again.extensions().map(|(id, value)| (id, value.to_vec())).collect();
        prop_assert_eq!(found, elements);
    }

    #[test]
    fn reports(
        [sender, packets, octets, rtp] in any::<[u32; 4]>(),
        ntp in any::<u64>(),
        blocks in prop::collection::vec(block(), 0..31),
    ) {
        let info = SenderInfo { ntp, rtp: Timestamp(rtp), packets, octets };
        let ours = written(|writer| writer.sender_report(Ssrc(sender), &info, &blocks).unwrap());
        let theirs = SenderReport::unmarshal(&mut ours.clone()).unwrap();
        prop_assert_eq!((theirs.ssrc, theirs.ntp_time, theirs.rtp_time), (sender, ntp, rtp));
        prop_assert_eq!((theirs.packet_count, theirs.octet_count), (packets, octets));
        for (theirs, ours) in theirs.reports.iter().zip(&blocks) {
            prop_assert_eq!((theirs.ssrc, theirs.fraction_lost), (ours.ssrc, ours.fraction_lost));
            prop_assert_eq!(theirs.total_lost, u32::try_from(ours.cumulative_lost).unwrap());
            prop_assert_eq!((theirs.last_sequence_number, theirs.jitter), (ours.highest, ours.jitter));
            prop_assert_eq!((theirs.last_sender_report, theirs.delay), (ours.last_sender_report, ours.delay));
        }
        prop_assert_eq!(theirs.marshal().unwrap(), &ours);

        let ours = written(|writer| writer.receiver_report(Ssrc(sender), &blocks).unwrap());
        let theirs = ReceiverReport::unmarshal(&mut ours.clone()).unwrap();
        prop_assert_eq!(theirs.marshal().unwrap(), &ours);
        let rtcp::Packet::ReceiverReport(report) = only(&ours) else { panic!("another packet") };
        prop_assert_eq!(report.blocks().collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn demands([sender, media] in any::<[u32; 2]>(), number: u8, missing in prop::collection::btree_set(0_u16..3_000, 1..60)) {
        let (sender, media) = (Ssrc(sender), Ssrc(media));
        let ours = written(|writer| writer.nack(sender, media, missing.iter().copied()).unwrap());
        let theirs = TransportLayerNack::unmarshal(&mut ours.clone()).unwrap();
        let found: Vec<u16> = theirs.nacks.iter().flat_map(NackPair::packet_list).collect();
        prop_assert_eq!(found, missing.into_iter().collect::<Vec<_>>());
        prop_assert_eq!((theirs.sender_ssrc, theirs.media_ssrc), (sender.0, media.0));

        let ours = written(|writer| writer.pli(sender, media).unwrap());
        let theirs = PictureLossIndication::unmarshal(&mut ours.clone()).unwrap();
        prop_assert_eq!((theirs.sender_ssrc, theirs.media_ssrc), (sender.0, media.0));

        let ours = written(|writer| writer.fir(sender, &[(media, number)]).unwrap());
        let theirs = FullIntraRequest::unmarshal(&mut ours.clone()).unwrap();
        prop_assert_eq!(theirs.fir, [FirEntry { ssrc: media.0, sequence_number: number }]);
    }

    #[test]
    fn estimates(sender: u32, bitrate in 0_u64..1 << 40, ssrcs in prop::collection::vec(any::<u32>(), 0..9)) {
        let streams: Vec<Ssrc> = ssrcs.iter().map(|&ssrc| Ssrc(ssrc)).collect();
        let ours = written(|writer| writer.remb(Ssrc(sender), bitrate, &streams).unwrap());
        let theirs = ReceiverEstimatedMaximumBitrate::unmarshal(&mut ours.clone()).unwrap();
        prop_assert_eq!((theirs.sender_ssrc, &theirs.ssrcs), (sender, &ssrcs));
        let rtcp::Packet::Remb(remb) = only(&ours) else { panic!("another packet") };
        prop_assert!(remb.bitrate <= bitrate && bitrate - remb.bitrate <= bitrate >> 17);
        #[allow(clippy::cast_precision_loss, reason = "theirs is a float of 24 bits, ours has 18")]
        let same = theirs.bitrate == remb.bitrate as f32;
        prop_assert!(same, "{} and {}", theirs.bitrate, remb.bitrate);
    }

    #[test]
    fn names(ssrc: u32, name in "[ -~]{0,60}") {
        let ours = written(|writer| writer.cname(Ssrc(ssrc), &name).unwrap());
        let theirs = SourceDescription::unmarshal(&mut ours.clone()).unwrap();
        prop_assert_eq!((theirs.chunks.len(), theirs.chunks[0].source), (1, ssrc));
        prop_assert_eq!(&theirs.chunks[0].items[0].text[..], name.as_bytes());
        // Theirs ends in a byte that counts the padding, though it does not say that there is any.
        let theirs = theirs.marshal().unwrap();
        for packet in [only(&ours), only(&theirs)] {
            let rtcp::Packet::SourceDescription(told) = packet else { panic!("another packet") };
            prop_assert_eq!(told.cname(), Some((Ssrc(ssrc), name.as_bytes())));
        }
    }

    /// Arrivals with holes, jumps in time, and out of order.
    #[test]
    fn arrival_times(
        start: u16,
        steps in prop::collection::vec((1_u16..40, prop_oneof![8 => 0_i64..40_000, 1 => -30_000_i64..3_000_000]), 1..200),
    ) {
        let mut recorder = Recorder::new();
        let (mut sequence, mut at) = (start, 5_000_000);
        let mut expected = Vec::new();
        for (step, later) in steps {
            (sequence, at) = (sequence.wrapping_add(step), at + later);
            recorder.on_packet(sequence, at);
            expected.push((sequence, at.div_euclid(250) * 250));
        }
        let (mut found, mut next) = (Vec::new(), None);
        while recorder.waiting() > 0 {
            let ours = written(|writer| assert_eq!(recorder.write(writer, Ssrc(1), Ssrc(2)), Ok(true)));
            let rtcp::Packet::TransportFeedback(feedback) = only(&ours) else { panic!("another packet") };
            prop_assert!(next.is_none_or(|next| next == feedback.first), "feedback goes on where it ended");
            next = Some(feedback.first.wrapping_add(feedback.statuses));
            let told: Vec<_> = feedback.iter().collect();
            let theirs = TransportLayerCc::unmarshal(&mut ours.clone()).unwrap();
            prop_assert_eq!((theirs.base_sequence_number, theirs.packet_status_count), (feedback.first, feedback.statuses));
            let received: Vec<(u16, i64)> = told
                .iter()
                .filter_map(|status| if let Status::Received { sequence, at } = *status { Some((sequence, at)) } else { None })
                .collect();
            let mut time = i64::from(theirs.reference_time) * 64_000;
            let times: Vec<i64> = theirs.recv_deltas.iter().map(|delta| { time += delta.delta; time }).collect();
            prop_assert_eq!(times, received.iter().map(|&(_, at)| at).collect::<Vec<_>>());
            prop_assert!(theirs.recv_deltas.iter().all(|delta| delta.type_tcc_packet != SymbolTypeTcc::PacketNotReceived));
            let lost: u64 = told.iter().map(|one| if let Status::Lost { count, .. } = one { u64::from(*count) } else { 0 }).sum();
            prop_assert_eq!(lost + u64::try_from(received.len()).unwrap(), u64::from(feedback.statuses));
            found.extend(received);
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn payloads(key: bool, sizes in prop::collection::vec(128_usize..3_000, 1..5), limit in 100_usize..1_300) {
        for (codec, frame) in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1].map(|codec| (codec, frame(codec, key, &sizes))) {
            let mut theirs = depacketizer(codec);
            let mut whole = Vec::new();
            let mut ours = Packetizer::new(codec, limit, 5);
            let read = |payload: &[u8], _| {
                // Theirs of VP9 adds the differences of each packet to those of the packets before.
                if codec == Codec::Vp9 {
                    theirs = depacketizer(codec);
                }
                whole.extend(theirs.depacketize(&Bytes::copy_from_slice(payload)).unwrap());
            };
            ours.packetize(&frame, read).unwrap();
            prop_assert_eq!(&whole, &frame.data, "{:?}: they read what we write", codec);

            let mut ours = Assembler::new(codec, 1 << 20);
            let payloads = payloader(codec).payload(limit, &Bytes::from(frame.data.clone())).unwrap();
            payloads.iter().for_each(|payload| ours.push(payload).unwrap());
            prop_assert_eq!(ours.finish(frame.timestamp).unwrap().data, frame.data, "{:?}: we read what they write", codec);
        }
    }
}

fn frame(codec: Codec, key: bool, sizes: &[usize]) -> Frame {
    let mut data = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        match codec {
            Codec::H264 => data.extend([0, 0, 0, 1, if key { 0x65 } else { 0x41 }, 0x88 >> index.min(1)]),
            // Two bytes of size, which is what these sizes take.
            Codec::Av1 => {
                data.extend([0x32, u8::try_from(size & 127).unwrap() | 128, u8::try_from(size >> 7).unwrap()]);
            }
            _ => data.push(u8::from(!key)),
        }
        data.extend((0..size).map(|place| u8::try_from(1 + place % 250).unwrap()));
    }
    Frame { timestamp: Timestamp(9), key, data }
}

fn depacketizer(codec: Codec) -> Box<dyn Depacketizer> {
    match codec {
        Codec::Vp8 => Box::new(vp8::Vp8Packet::default()),
        Codec::Vp9 => Box::new(vp9::Vp9Packet::default()),
        Codec::H264 => Box::new(h264::H264Packet::default()),
        _ => Box::new(av1::Av1Depacketizer::new()),
    }
}

fn payloader(codec: Codec) -> Box<dyn Payloader> {
    match codec {
        Codec::Vp8 => Box::new(vp8::Vp8Payloader::default()),
        Codec::Vp9 => Box::new(vp9::Vp9Payloader::default()),
        Codec::H264 => Box::new(h264::H264Payloader::default()),
        _ => Box::new(av1::Av1Payloader::default()),
    }
}
