//! One packet to many subscribers, each with keys of its own: new header, transport-wide number, copy, encryption. Beside it
//! the cipher alone over as many bytes, which is what nobody can do without. All rows take turns, so that a busy machine is
//! busy for all of them; the figure is the best round, in brackets the median.

use std::hint::black_box;
use std::time::Instant;

use ring::aead;
use tandem_rtp::header::{Header, Writer};
use tandem_rtp::srtp::{Master, Receiver, Sender, Suite};
use tandem_rtp::{Packet, PayloadType, Ssrc, Timestamp};

const SUBSCRIBERS: usize = 64;
const PACKETS: u16 = 400;

fn main() {
    let rounds = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(15);
    println!("| what, ns for each packet | 1,150 B | beside GCM-128 | 120 B | beside GCM-128 |\n|---|---|---|---|---|");
    let mut table: Vec<(String, Vec<Vec<f64>>)> = Vec::new();
    for round in 0..rounds {
        for (column, payload) in [1_150, 120].into_iter().enumerate() {
            for (row, (name, nanos)) in measure(payload).into_iter().enumerate() {
                if round == 0 && column == 0 {
                    table.push((name, vec![Vec::new(), Vec::new()]));
                }
                table[row].1[column].push(nanos);
            }
        }
    }
    let floors: Vec<f64> = table[0].1.iter().map(|column| best(column)).collect();
    for (name, columns) in &table {
        let cells: Vec<String> = columns
            .iter()
            .zip(&floors)
            .map(|(column, floor)| format!("{:.0} ({:.0}) | {:.2}", best(column), median(column), best(column) / floor))
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn best(column: &[f64]) -> f64 {
    column.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(column: &[f64]) -> f64 {
    let mut sorted = column.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn measure(payload: usize) -> Vec<(String, f64)> {
    let mut rows = vec![("AES-128-GCM alone (ring), encrypt".to_owned(), floor(payload))];
    rows.push(("header, number and copy, no encryption".to_owned(), forward(payload, None)));
    for suite in [Suite::AeadAes128Gcm, Suite::AeadAes256Gcm, Suite::Aes128CmSha1_80] {
        rows.push((format!("forward: the same and {}", suite.name()), forward(payload, Some(suite))));
    }
    for suite in [Suite::AeadAes128Gcm, Suite::Aes128CmSha1_80] {
        rows.push((format!("receive: {} and parse", suite.name()), receive(payload, suite)));
    }
    rows
}

/// Keys and buffers as many as subscribers, as in the other rows.
fn floor(payload: usize) -> f64 {
    let keys: Vec<aead::LessSafeKey> = (0..SUBSCRIBERS)
        .map(|index| aead::UnboundKey::new(&aead::AES_128_GCM, &[index as u8; 16]).expect("16 bytes"))
        .map(aead::LessSafeKey::new)
        .collect();
    let mut buffers = vec![[7_u8; 1_500]; SUBSCRIBERS];
    let aad = [0; 20];
    timed(|sequence| {
        for (key, buffer) in keys.iter().zip(&mut buffers) {
            let mut nonce = [0; 12];
            nonce[10..].copy_from_slice(&sequence.to_be_bytes());
            let nonce = aead::Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(&aad), &mut buffer[..payload]);
            let _: aead::Tag = black_box(tag.expect("a packet is not too long"));
        }
    })
}

fn master(suite: Suite, index: usize) -> Master {
    let material = vec![index as u8; suite.key_length() + suite.salt_length()];
    Master::new(suite, &material).expect("as long as the suite says")
}

fn packet(payload: usize, sequence: u16, buffer: &mut [u8]) -> usize {
    let header = Header {
        marker: false,
        payload_type: PayloadType::from_wire(96),
        sequence,
        timestamp: Timestamp(9),
        ssrc: Ssrc(1),
    };
    let mut writer = Writer::new(buffer, &header, &[]).expect("room");
    writer.extension(3, &[0; 2]).expect("room");
    writer.payload(&vec![7; payload]).expect("room")
}

fn forward(payload: usize, suite: Option<Suite>) -> f64 {
    let mut senders: Vec<Option<Sender>> =
        (0..SUBSCRIBERS).map(|index| suite.map(|suite| Sender::new(&master(suite, index), 100))).collect();
    let mut buffers = vec![[0_u8; 1_500]; SUBSCRIBERS];
    let mut incoming = [0; 1_500];
    let length = packet(payload, 0, &mut incoming);
    timed(|sequence| {
        let packet = Packet::parse(black_box(&incoming[..length])).expect("a packet");
        for ((sender, buffer), place) in senders.iter_mut().zip(&mut buffers).zip(0..) {
            let header = Header { sequence, ssrc: Ssrc(place), ..Header::of(&packet) };
            let mut writer = Writer::new(buffer, &header, &[]).expect("room");
            writer.extension(5, &sequence.to_be_bytes()).expect("room");
            let length = writer.payload(packet.payload()).expect("room");
            let length = sender.as_mut().map_or(length, |sender| sender.protect_rtp(buffer, length).expect("room"));
            black_box(&buffer[..length]);
        }
    })
}

fn receive(payload: usize, suite: Suite) -> f64 {
    let mut sender = Sender::new(&master(suite, 1), 1);
    let mut sent: Vec<([u8; 1_500], usize)> = (0..PACKETS)
        .map(|sequence| {
            let mut buffer = [0; 1_500];
            let length = packet(payload, sequence, &mut buffer);
            let length = sender.protect_rtp(&mut buffer, length).expect("room");
            (buffer, length)
        })
        .collect();
    let mut receiver = Receiver::new(&master(suite, 1), 1);
    let begun = Instant::now();
    for (buffer, length) in &mut sent {
        let length = receiver.unprotect_rtp(&mut buffer[..*length]).expect("authentic");
        black_box(Packet::parse(&buffer[..length]).expect("a packet").sequence());
    }
    begun.elapsed().as_nanos() as f64 / f64::from(PACKETS)
}

/// Nanoseconds for each packet and subscriber.
fn timed(mut each: impl FnMut(u16)) -> f64 {
    // Keys and buffers into the caches, streams into the tables.
    (0..20).for_each(&mut each);
    let begun = Instant::now();
    (20..PACKETS).for_each(&mut each);
    begun.elapsed().as_nanos() as f64 / f64::from(PACKETS - 20) / SUBSCRIBERS as f64
}
