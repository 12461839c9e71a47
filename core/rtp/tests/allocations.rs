//! What is done to every packet allocates nothing: unprotect, read, write anew for a subscriber, protect.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tandem_rtp::ext::{self, AbsSendTime, Ids, Kind, TransportSequence};
use tandem_rtp::header::{self, Header, Writer};
use tandem_rtp::payload::{Codec, vp8};
use tandem_rtp::rtcp::{self, Packets, ReportBlock};
use tandem_rtp::srtp::{Master, Receiver, Sender, Suite};
use tandem_rtp::{Extended, Packet, PayloadType, Ssrc, Timestamp, red, rtx};

#[test]
fn forwarding_a_packet_allocates_nothing() {
    for suite in Suite::ALL {
        let material = vec![7; suite.key_length() + suite.salt_length()];
        let master = Master::new(suite, &material).unwrap();
        // The publisher's, ours at both sides, and the subscriber's.
        let (mut publisher, mut inbound) = (Sender::new(&master, 4), Receiver::new(&master, 4));
        let (mut outbound, mut subscriber) = (Sender::new(&master, 4), Receiver::new(&master, 4));
        let mut ids = Ids::default();
        [(Kind::AbsSendTime, 2), (Kind::TransportSequence, 3), (Kind::Mid, 4)]
            .into_iter()
            .for_each(|(kind, id)| ids.set(kind, id));
        let mut extended = Extended::default();
        let (mut incoming, mut outgoing) = ([0; 1_500], [0; 1_500]);
        let mut forward = |sequence: u16| {
            let length = publish(&mut incoming, sequence);
            let length = publisher.protect_rtp(&mut incoming, length).unwrap();
            let length = inbound.unprotect_rtp(&mut incoming[..length]).unwrap();
            let packet = Packet::parse(&incoming[..length]).unwrap();
            let number = extended.extend(packet.sequence());
            assert!(ids.value(&packet, Kind::Mid).and_then(ext::text).is_some());
            assert!(!Codec::Vp8.starts_key_frame(packet.payload()));
            let header = Header { ssrc: Ssrc(77), sequence: number.next().wire(), ..Header::of(&packet) };
            let mut writer = Writer::new(&mut outgoing, &header, &[]).unwrap();
            writer.extension(5, &TransportSequence { sequence, request: None }.bytes()).unwrap();
            writer.extension(6, &[0; 3]).unwrap();
            let length = writer.payload(packet.payload()).unwrap();
            let sent = AbsSendTime::of(std::time::Duration::from_millis(u64::from(sequence)));
            ext::value_mut(&mut outgoing[..length], 6).unwrap().copy_from_slice(&sent.bytes());
            let start = Packet::parse(&outgoing[..length]).unwrap().payload_range().start;
            assert!(vp8::rewrite(&mut outgoing[start..length], sequence, 9));
            header::rewrite(&mut outgoing, &header).unwrap();
            let length = outbound.protect_rtp(&mut outgoing, length).unwrap();
            assert!(subscriber.unprotect_rtp(&mut outgoing[..length]).is_ok());
        };
        // The first of a stream makes room for what is remembered of it.
        forward(1);
        assert_eq!(allocations(|| (2..200).for_each(&mut forward)), 0, "{suite:?}");
    }
}

#[test]
fn control_retransmission_and_redundancy_allocate_nothing() {
    let master = Master::new(Suite::AeadAes128Gcm, &[7; 28]).unwrap();
    let (mut sender, mut receiver) = (Sender::new(&master, 4), Receiver::new(&master, 4));
    let (mut buffer, mut again) = ([0; 1_500], [0; 1_500]);
    let mut exchange = |sequence: u16| {
        let mut writer = rtcp::Writer::new(&mut buffer);
        writer.receiver_report(Ssrc(1), &[ReportBlock::default(); 3]).unwrap();
        writer.nack(Ssrc(1), Ssrc(2), [1, 2, 3, 40]).unwrap();
        writer.remb(Ssrc(1), 1_000_000, &[Ssrc(2)]).unwrap();
        let length = writer.finish();
        let length = sender.protect_rtcp(&mut buffer, length).unwrap();
        let length = receiver.unprotect_rtcp(&mut buffer[..length]).unwrap();
        assert_eq!(Packets::new(&buffer[..length]).filter(Result::is_ok).count(), 3);

        let length = publish(&mut buffer, sequence);
        let original = Packet::parse(&buffer[..length]).unwrap();
        let header = Header { ssrc: Ssrc(9), ..Header::of(&original) };
        let length = rtx::wrap(Writer::new(&mut again, &header, &[]).unwrap(), &original).unwrap();
        assert!(rtx::unwrap(&mut again[..length], Ssrc(1), header.payload_type).unwrap().is_some());

        let block = red::Block { payload_type: header.payload_type, timestamp: Timestamp(9), payload: &[1; 60] };
        let earlier = red::Block { timestamp: Timestamp(1), ..block };
        let length = red::write(&block, &[earlier], &mut again).unwrap();
        assert_eq!(red::Blocks::parse(&again[..length], Timestamp(9)).unwrap().count(), 2);
    };
    exchange(1);
    assert_eq!(allocations(|| (2..200).for_each(&mut exchange)), 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(9)))), 1);
}

/// A packet of VP8 in the middle of a frame, with a mid.
fn publish(buffer: &mut [u8], sequence: u16) -> usize {
    let payload_type = PayloadType::new(96).unwrap();
    let header = Header { marker: false, payload_type, sequence, timestamp: Timestamp(3), ssrc: Ssrc(1) };
    let mut writer = Writer::new(buffer, &header, &[]).unwrap();
    writer.extension(4, b"0").unwrap();
    let mut payload = [5; 1_100];
    payload[..6].copy_from_slice(&[0x80, 0xe0, 0x80, 1, 1, 0x20]);
    writer.payload(&payload).unwrap()
}

fn allocations(what: impl FnOnce()) -> usize {
    let before = COUNT.get();
    what();
    COUNT.get() - before
}

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
