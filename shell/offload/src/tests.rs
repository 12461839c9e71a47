//! The program itself, frame by frame, as the kernel runs it (`BPF_PROG_TEST_RUN`); nothing is attached.

#![allow(clippy::cast_possible_truncation, reason = "test frames are short")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::kernel::tests::{OURS, run, unattached};
use crate::{Counts, Grant, Kernel, Rate, Reach, Table, Traffic};

const PASS: u32 = 2;
const DROP: u32 = 1;
const BACK: u32 = 3;
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 3];

/// A UDP packet in its frame; all that may be changed about it.
#[derive(Clone)]
struct Frame {
    from: [u8; 6],
    source: SocketAddr,
    target: SocketAddr,
    payload: Vec<u8>,
    checksum: Checksum,
    ttl: u8,
    class: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksum {
    Whole,
    Zero,
    /// As the kernel leaves it to hardware: the sum over the pseudo header.
    Partial,
}

fn frame(from: [u8; 6], source: SocketAddr, target: SocketAddr, payload: &[u8]) -> Frame {
    Frame { from, source, target, payload: payload.to_vec(), checksum: Checksum::Whole, ttl: 64, class: 0xB9 }
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let udp_length = (8 + self.payload.len()) as u16;
        let mut udp = [self.source.port().to_be_bytes(), self.target.port().to_be_bytes()].concat();
        udp.extend(udp_length.to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(&self.payload);
        let sum = match self.checksum {
            // RFC 768: zero would mean none.
            Checksum::Whole => match folded(&[pseudo(self.source, self.target, udp_length), udp.clone()].concat()) {
                0xFFFF => 0xFFFF,
                sum => !sum,
            },
            Checksum::Partial => folded(&pseudo(self.source, self.target, udp_length)),
            Checksum::Zero => 0,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = [OURS, self.from].concat();
        match (self.source.ip(), self.target.ip()) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let mut ip = vec![0x45, self.class];
                ip.extend((20 + udp_length).to_be_bytes());
                ip.extend([0x12, 0x34, 0x40, 0, self.ttl, 17, 0, 0]);
                ip.extend(source.octets());
                ip.extend(target.octets());
                let sum = !folded(&ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                bytes.extend([8, 0]);
                bytes.extend(ip);
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                bytes.extend([0x86, 0xDD]);
                bytes.extend((6 << 28 | u32::from(self.class) << 20 | 0xA_BCDE).to_be_bytes());
                bytes.extend(udp_length.to_be_bytes());
                bytes.extend([17, self.ttl]);
                bytes.extend(source.octets());
                bytes.extend(target.octets());
            }
            _ => panic!("one packet, one family"),
        }
        bytes.extend(udp);
        bytes
    }
}

fn pseudo(source: SocketAddr, target: SocketAddr, length: u16) -> Vec<u8> {
    let octets = |ip| match ip {
        IpAddr::V4(ip) => std::net::Ipv4Addr::octets(&ip).to_vec(),
        IpAddr::V6(ip) => std::net::Ipv6Addr::octets(&ip).to_vec(),
    };
    [octets(source.ip()), octets(target.ip()), vec![0, 17], length.to_be_bytes().to_vec()].concat()
}

fn folded(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xFFFF) + (sum >> 16);
    ((sum & 0xFFFF) + (sum >> 16)) as u16
}

/// What is in a frame that has left: the Ethernet receiver, and the packet; every checksum and length proved.
#[track_caller]
fn read(bytes: &[u8]) -> ([u8; 6], Frame) {
    assert_eq!(bytes[6..12], OURS, "it is we who send");
    let to = bytes[..6].try_into().expect("six");
    let (ip, is_v4) = (&bytes[14..], bytes[12..14] == [8, 0]);
    let (length, ttl, class, addresses) = if is_v4 {
        assert_eq!((ip[0], ip[9], folded(&ip[..20])), (0x45, 17, 0xFFFF));
        (usize::from(u16::from_be_bytes([ip[2], ip[3]])) - 20, ip[8], ip[1], &ip[12..20])
    } else {
        assert_eq!((bytes[12..14].to_vec(), ip[0] >> 4, ip[6]), (vec![0x86, 0xDD], 6, 17));
        (usize::from(u16::from_be_bytes([ip[4], ip[5]])), ip[7], ip[0] << 4 | ip[1] >> 4, &ip[8..40])
    };
    let half = addresses.len() / 2;
    let ip_of = |bytes: &[u8]| match <[u8; 4]>::try_from(bytes) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("sixteen")),
    };
    let udp = &ip[if is_v4 { 20 } else { 40 }..];
    assert_eq!((udp.len(), usize::from(u16::from_be_bytes([udp[4], udp[5]]))), (length, length));
    let source = SocketAddr::new(ip_of(&addresses[..half]), u16::from_be_bytes([udp[0], udp[1]]));
    let target = SocketAddr::new(ip_of(&addresses[half..]), u16::from_be_bytes([udp[2], udp[3]]));
    let checksum = match [udp[6], udp[7]] {
        [0, 0] => Checksum::Zero,
        _ => {
            assert_eq!(folded(&[pseudo(source, target, length as u16), udp.to_vec()].concat()), 0xFFFF);
            Checksum::Whole
        }
    };
    (to, Frame { from: OURS, source, target, payload: udp[8..].to_vec(), checksum, ttl, class })
}

fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &(payload.len() as u16).to_be_bytes(), payload].concat()
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const RATE: Rate = Rate { per_second: 1_000_000, burst: 1_000_000, left: 1_000_000 };

fn grant(client: &str, server: &str, relayed: &str, peer: &str) -> Grant<u32> {
    let until = Instant::now() + Duration::from_secs(60);
    let (client, server, relayed, peer) = (at(client), at(server), at(relayed), at(peer));
    let (up_until, down_until, reach) = (until, until, Reach::Outside);
    Grant { allocation: 7, channel: 0x4001, client, server, relayed, peer, reach, up_until, down_until, rate: RATE }
}

fn v4() -> Grant<u32> {
    grant("192.0.2.2:5000", "192.0.2.1:3478", "192.0.2.1:50000", "198.51.100.9:6000")
}

fn up(grant: &Grant<u32>, payload: &[u8]) -> Frame {
    frame(CLIENT, grant.client, grant.server, &channel_data(grant.channel, payload))
}

fn down(grant: &Grant<u32>, payload: &[u8]) -> Frame {
    frame(PEER, grant.peer, grant.relayed, payload)
}

/// A shard's table with one channel, both of whose ways are known.
fn granted(kernel: &Kernel, grant: &Grant<u32>) -> Table<u32> {
    let mut table = kernel.table(0, 1).expect("a table");
    assert!(table.grant(Instant::now(), grant));
    // The first packet goes up: where its answer would leave is not known.
    assert_eq!(run(kernel, &up(grant, &[1; 40]).bytes()), (PASS, up(grant, &[1; 40]).bytes()));
    let (verdict, _) = run(kernel, &down(grant, &[1; 40]).bytes());
    assert_eq!(verdict, BACK);
    table
}

fn counts(table: &mut Table<u32>) -> Counts {
    table.harvest(Instant::now());
    let mut sum = Counts::default();
    while let Some((_, _, counts)) = table.poll_settled() {
        for (sum, part) in [(&mut sum.up, counts.up), (&mut sum.down, counts.down)] {
            sum.packets += part.packets;
            sum.bytes += part.bytes;
        }
        sum.dropped += counts.dropped;
    }
    sum
}

fn traffic(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

#[test]
fn payload_crosses_unchanged_between_all_pairs_of_families_with_right_checksums() {
    let Some(kernel) = unattached(64) else { return };
    let clients = [("192.0.2.2:5000", "192.0.2.1:3478"), ("[2001:db8::2]:5000", "[2001:db8::1]:3478")];
    let peers = [("192.0.2.1:50000", "198.51.100.9:6000"), ("[2001:db8::1]:50000", "[2001:db8:9::9]:6000")];
    for (client, server) in clients {
        for (relayed, peer) in peers {
            let grant = grant(client, server, relayed, peer);
            let mut table = granted(&kernel, &grant);
            // Payloads of every remainder, and sums that come out as zero or all ones.
            for length in 32..300_u16 {
                let mut payload: Vec<u8> = (0..length).map(|byte| (byte.wrapping_mul(length) % 251) as u8).collect();
                let (verdict, out) = run(&kernel, &up(&grant, &payload).bytes());
                assert_eq!(verdict, BACK, "{grant:?} {length}");
                let (to, sent) = read(&out);
                assert_eq!((verdict, to, sent.source, sent.target), (BACK, PEER, grant.relayed, grant.peer));
                assert_eq!((sent.ttl, sent.class, &sent.payload), (63, 0xB9, &payload));
                payload.reverse();
                let (verdict, out) = run(&kernel, &down(&grant, &payload).bytes());
                let (to, sent) = read(&out);
                assert_eq!((verdict, to, sent.source, sent.target), (BACK, CLIENT, grant.server, grant.client));
                assert_eq!((sent.ttl, sent.class, sent.payload), (63, 0xB9, channel_data(0x4001, &payload)));
            }
            let bytes: u64 = (32..300).sum();
            let expected = Counts { up: traffic(268, bytes), down: traffic(269, bytes + 40), dropped: 0 };
            assert_eq!(counts(&mut table), expected);
            assert_eq!(counts(&mut table), Counts::default(), "told once");
        }
    }
}

#[test]
fn every_value_of_a_checksum_stays_right() {
    let Some(kernel) = unattached(64) else { return };
    let grant = Grant { rate: Rate { per_second: 1 << 40, burst: 1 << 40, left: 1 << 40 }, ..v4() };
    let _table = granted(&kernel, &grant);
    let mut payload = [0; 40];
    for word in 0..=u16::MAX {
        payload[..2].copy_from_slice(&word.to_be_bytes());
        let frame = down(&grant, &payload);
        match run(&kernel, &frame.bytes()) {
            (BACK, out) => assert_eq!(read(&out).1.checksum, Checksum::Whole),
            // One of them is what a packet without a checksum of its own would have.
            (verdict, _) => assert_eq!(
                (
                    verdict,
                    frame.bytes()[40..42] == Frame { checksum: Checksum::Partial, ..frame.clone() }.bytes()[40..42]
                ),
                (PASS, true)
            ),
        }
    }
}

#[test]
fn no_checksum_stays_none_over_ipv4_and_is_left_to_the_sockets_where_there_must_be_one() {
    let Some(kernel) = unattached(64) else { return };
    let grant = v4();
    let table = granted(&kernel, &grant);
    let (verdict, out) = run(&kernel, &Frame { checksum: Checksum::Zero, ..up(&grant, &[5; 40]) }.bytes());
    assert_eq!((verdict, read(&out).1.checksum == Checksum::Zero), (BACK, true));
    drop(table);
    let grant = self::grant("192.0.2.2:5000", "192.0.2.1:3478", "[2001:db8::1]:50000", "[2001:db8:9::9]:6000");
    let _table = granted(&kernel, &grant);
    assert_eq!(run(&kernel, &Frame { checksum: Checksum::Zero, ..up(&grant, &[5; 40]) }.bytes()).0, PASS);
    assert_eq!(run(&kernel, &Frame { checksum: Checksum::Zero, ..down(&grant, &[5; 40]) }.bytes()).0, PASS);
}

#[test]
fn whatever_is_unusual_goes_up_as_it_came() {
    let Some(kernel) = unattached(64) else { return };
    let grant = v4();
    let mut table = granted(&kernel, &grant);
    counts(&mut table);
    let usual = up(&grant, &[9; 40]);
    let edited = |edit: fn(&mut Vec<u8>)| {
        let mut bytes = usual.bytes();
        edit(&mut bytes);
        let sum = {
            bytes[24..26].fill(0);
            !folded(&bytes[14..34])
        };
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let unusual = [
        ("a VLAN tag", edited(|bytes| drop(bytes.splice(12..12, [0x81, 0, 0, 5])))),
        ("more fragments", edited(|bytes| bytes[20] |= 0x20)),
        ("a later fragment", edited(|bytes| bytes[21] = 9)),
        ("a header with options", edited(|bytes| bytes[14] = 0x46)),
        ("an IP packet longer than its UDP datagram", edited(|bytes| bytes[17] += 1)),
        ("a frame that ends too early", edited(|bytes| bytes.truncate(80))),
        ("the last hop", Frame { ttl: 1, ..usual.clone() }.bytes()),
        ("a wrong IP checksum", {
            let mut bytes = usual.bytes();
            bytes[24] ^= 1;
            bytes
        }),
        ("a checksum left to hardware", Frame { checksum: Checksum::Partial, ..usual.clone() }.bytes()),
        ("another client", Frame { source: at("192.0.2.2:5001"), ..usual.clone() }.bytes()),
        ("another address of ours", Frame { target: at("192.0.2.3:3478"), ..usual.clone() }.bytes()),
        ("another channel", Frame { payload: channel_data(0x4002, &[9; 40]), ..usual.clone() }.bytes()),
        ("padding", Frame { payload: [channel_data(0x4001, &[9; 41]), vec![0; 3]].concat(), ..usual.clone() }.bytes()),
        (
            "a length that lies",
            Frame { payload: [channel_data(0x4001, &[9; 40]), vec![0; 8]].concat(), ..usual.clone() }.bytes(),
        ),
        ("a STUN message", Frame { payload: [vec![0, 1, 0, 40], vec![0x21; 56]].concat(), ..usual.clone() }.bytes()),
        ("a payload as short as nothing", up(&grant, &[9; 10]).bytes()),
        ("a payload as long as a frame", up(&grant, &[9; 1_300]).bytes()),
        ("somebody else's frame", Frame { from: [2, 0, 0, 0, 9, 9], ..usual.clone() }.bytes()),
        ("another peer", Frame { source: at("198.51.100.9:6001"), ..down(&grant, &[9; 40]) }.bytes()),
        ("another port of ours", Frame { target: at("192.0.2.1:50001"), ..down(&grant, &[9; 40]) }.bytes()),
    ];
    for (what, bytes) in unusual {
        assert_eq!(run(&kernel, &bytes), (PASS, bytes.clone()), "{what}");
    }
    assert_eq!(counts(&mut table), Counts::default());
    assert_eq!(run(&kernel, &usual.bytes()).0, BACK, "the usual one passes");
}

#[test]
fn a_direction_ends_at_its_time_and_goes_on_when_granted_again() {
    let Some(kernel) = unattached(64) else { return };
    let grant = v4();
    let mut table = granted(&kernel, &grant);
    let now = Instant::now();
    assert!(table.grant(now, &Grant { down_until: now, ..grant }));
    assert_eq!(run(&kernel, &down(&grant, &[1; 40]).bytes()).0, PASS, "the permission is over");
    assert_eq!(run(&kernel, &up(&grant, &[1; 40]).bytes()).0, BACK, "the channel is not");
    assert!(table.grant(now, &grant));
    assert_eq!(run(&kernel, &down(&grant, &[1; 40]).bytes()).0, BACK, "refreshed");
    assert_eq!(counts(&mut table).down.packets, 2, "what was counted before a refresh stays counted");
    let end = grant.up_until;
    assert_eq!(table.poll_timeout(end - Duration::from_millis(1)), Some(end));
    table.harvest(end);
    assert!(table.is_empty());
    assert_eq!(run(&kernel, &up(&grant, &[1; 40]).bytes()).0, PASS);
}

#[test]
fn what_is_withdrawn_goes_up_and_its_last_packets_are_told() {
    let Some(kernel) = unattached(64) else { return };
    let grant = v4();
    let mut table = granted(&kernel, &grant);
    table.withdraw_all(grant.allocation);
    assert_eq!(table.poll_settled(), Some((7, 0x4001, Counts { down: traffic(1, 40), ..Counts::default() })));
    assert_eq!(table.poll_settled(), None);
    assert_eq!(run(&kernel, &up(&grant, &[1; 40]).bytes()).0, PASS);
    assert_eq!(run(&kernel, &down(&grant, &[1; 40]).bytes()).0, PASS);
    drop(granted(&kernel, &grant));
    assert_eq!(run(&kernel, &up(&grant, &[1; 40]).bytes()).0, PASS, "a table that ends takes its channels along");
}

#[test]
fn an_allocation_has_one_bucket_for_its_channels_both_directions_and_the_sockets() {
    let Some(kernel) = unattached(64) else { return };
    // So slow that nothing comes in while the test runs.
    let rate = Rate { per_second: 1, burst: 1_000, left: 1_000 };
    let one = Grant { rate, ..v4() };
    let mut table = granted(&kernel, &one);
    let two = Grant { channel: 0x4002, peer: at("198.51.100.10:6000"), ..one };
    assert!(table.grant(Instant::now(), &two));
    run(&kernel, &up(&two, &[1; 32]).bytes());
    table.spend(Instant::now(), 7, 360);
    assert_eq!(run(&kernel, &down(&two, &[1; 200]).bytes()).0, BACK);
    assert_eq!(run(&kernel, &up(&one, &[1; 200]).bytes()).0, BACK);
    assert_eq!(run(&kernel, &up(&two, &[1; 200]).bytes()).0, BACK, "40 + 360 + 3 * 200");
    assert_eq!(run(&kernel, &down(&one, &[1; 33]).bytes()).0, DROP);
    let all = counts(&mut table);
    assert_eq!((all.up, all.down, all.dropped), (traffic(2, 400), traffic(2, 240), 1));
    // A rate that has changed counts from the next packet on.
    let faster = Rate { per_second: 1 << 40, burst: 1 << 40, left: 0 };
    assert!(table.grant(Instant::now(), &Grant { rate: faster, ..one }));
    assert!((0..100).any(|_| run(&kernel, &down(&one, &[1; 33]).bytes()).0 == BACK));
}

#[test]
fn a_peer_that_is_a_relayed_address_is_reached_inside_and_both_sides_count() {
    let Some(kernel) = unattached(64) else { return };
    let alice = Grant {
        reach: Reach::Inside,
        ..grant("192.0.2.2:5000", "192.0.2.1:3478", "192.0.2.1:50000", "192.0.2.1:50002")
    };
    let bob = Grant {
        allocation: 8,
        channel: 0x4005,
        reach: Reach::Inside,
        ..grant("198.51.100.9:6000", "192.0.2.1:3478", "192.0.2.1:50002", "192.0.2.1:50000")
    };
    let mut table = kernel.table(0, 1).expect("a table");
    assert!(table.grant(Instant::now(), &alice));
    let from_alice = up(&alice, &[1; 40]);
    let from_bob = |payload: &[u8]| Frame { from: PEER, ..up(&bob, payload) };
    assert_eq!(run(&kernel, &from_alice.bytes()).0, PASS, "the other side has no channel");
    assert!(table.grant(Instant::now(), &bob));
    assert_eq!(run(&kernel, &from_alice.bytes()).0, PASS, "where the other client is, is not known");
    let (verdict, out) = run(&kernel, &from_bob(&[2; 50]).bytes());
    let (to, sent) = read(&out);
    assert_eq!((verdict, to, sent.source, sent.target), (BACK, CLIENT, alice.server, alice.client));
    assert_eq!(sent.payload, channel_data(0x4001, &[2; 50]));
    assert_eq!(read(&run(&kernel, &from_alice.bytes()).1).1.payload, channel_data(0x4005, &[1; 40]));
    table.harvest(Instant::now());
    let told: Vec<_> = std::iter::from_fn(|| table.poll_settled()).collect();
    let each = |up, down| Counts { up, down, dropped: 0 };
    assert_eq!(
        told,
        [(7, 0x4001, each(traffic(1, 40), traffic(1, 50))), (8, 0x4005, each(traffic(1, 50), traffic(1, 40)))]
    );
}

#[test]
fn a_table_that_is_full_says_no_and_has_room_again_afterwards() {
    let Some(kernel) = unattached(64) else { return };
    let mut table = kernel.table(0, 1).expect("a table");
    let nth = |number: u16| Grant {
        channel: 0x4000 + number,
        peer: SocketAddr::new([198, 51, 100, 9].into(), number + 1),
        ..v4()
    };
    for number in 0..64 {
        assert!(table.grant(Instant::now(), &nth(number)), "{number}");
    }
    assert!(!table.grant(Instant::now(), &nth(64)));
    assert!(table.grant(Instant::now(), &nth(63)), "what is in can be refreshed");
    table.withdraw(7, 0x4000);
    assert!(table.grant(Instant::now(), &nth(64)));
    assert_eq!(table.len(), 64);
}

#[test]
fn shards_have_parts_of_their_own() {
    let Some(kernel) = unattached(128) else { return };
    let (one, two) = (v4(), grant("192.0.2.2:7000", "192.0.2.1:3478", "192.0.2.1:50010", "198.51.100.9:7000"));
    let (mut first, mut second) = (kernel.table(0, 2).expect("a table"), kernel.table(1, 2).expect("a table"));
    for (table, grant) in [(&mut first, &one), (&mut second, &two)] {
        assert!(table.grant(Instant::now(), grant));
        run(&kernel, &up(grant, &[1; 40]).bytes());
        assert_eq!(run(&kernel, &down(grant, &[1; 40]).bytes()).0, BACK);
    }
    assert_eq!(counts(&mut first).down, traffic(1, 40));
    drop(first);
    assert_eq!(run(&kernel, &down(&two, &[1; 60]).bytes()).0, BACK);
    assert_eq!(counts(&mut second).down, traffic(2, 100));
}
