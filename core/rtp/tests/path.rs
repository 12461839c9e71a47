//! The whole way of a stream: packetized, numbered for the transport, encrypted, lost and overtaken on a network, asked for,
//! sent again, put in order, and told of. Time and chance are handed in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tandem_rtp::ext::TransportSequence;
use tandem_rtp::header::{Header, Writer};
use tandem_rtp::jitter::{self, Output};
use tandem_rtp::nack::{self, Generator};
use tandem_rtp::payload::{Codec, Frame, Packetizer};
use tandem_rtp::reception::Reception;
use tandem_rtp::rtcp::{self, Packets, Recorder, Status};
use tandem_rtp::srtp::{DtlsRole, Master, Receiver, Sender, Suite};
use tandem_rtp::{Packet, PayloadType, Ssrc, Timestamp, rtx};

const MEDIA: Ssrc = Ssrc(0x1111);
const AGAIN: Ssrc = Ssrc(0x2222);
const VIEWER: Ssrc = Ssrc(0x3333);
const NUMBER: u8 = 3;
const MS: Duration = Duration::from_millis(1);

#[test]
fn everything_arrives_though_a_tenth_is_lost() {
    for (seed, suite) in Suite::ALL.into_iter().enumerate() {
        let mut story = Story::new(suite, u64::try_from(seed).unwrap());
        let frames = story.run(300);
        let lost = story.network.lost;
        assert!(lost > 100, "the network loses: {lost}");
        let (sent, seen) = (&frames, &story.viewer.frames);
        // Of the last frame nobody can miss what comes last.
        let (sent, seen) = (&sent[..299], &seen[..story.viewer.frames.len().min(299)]);
        let different = sent.iter().zip(seen).position(|(sent, seen)| sent != seen);
        assert_eq!((different, seen.len(), story.viewer.lost), (None, sent.len(), 0), "{suite:?}");
        // What the viewer told of last, is what happened: an overtaken packet is not a lost one.
        let received = story.publisher.told.values().filter(|&&received| received).count();
        assert_eq!(received, story.network.delivered, "{suite:?}");
        let told_lost = u64::try_from(story.publisher.told.len() - received).unwrap();
        assert!(told_lost > 100 && told_lost <= lost, "{told_lost} of {lost}");
        let report = story.viewer.reception.report(story.now, MEDIA).unwrap();
        assert!(report.cumulative_lost > 50, "retransmissions aside: {report:?}");
    }
}

struct Story {
    now: Instant,
    network: Network,
    publisher: Publisher,
    viewer: Viewer,
}

/// Datagrams under way: when they arrive, and to whom.
struct Network {
    random: u64,
    under_way: BTreeMap<(Instant, u64), (To, Vec<u8>)>,
    count: u64,
    lost: u64,
    /// Packets of media that will arrive.
    delivered: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Viewer,
    Publisher,
}

struct Publisher {
    packetizer: Packetizer,
    srtp: (Sender, Receiver),
    /// Plain packets, for when they are asked for.
    sent: BTreeMap<u16, Vec<u8>>,
    /// Of the media, of the retransmissions, and of the transport.
    sequence: [u16; 3],
    /// Whether a packet of the transport has arrived, as the viewer told last.
    told: BTreeMap<u16, bool>,
}

struct Viewer {
    srtp: (Sender, Receiver),
    missing: Generator,
    recorder: Recorder,
    reception: Reception,
    buffer: jitter::Buffer,
    frames: Vec<Frame>,
    lost: u64,
}

impl Network {
    fn random(&mut self, below: u64) -> u64 {
        // The generator of MMIX (Knuth).
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// Media is lost and overtaken; control is late.
    fn send(&mut self, now: Instant, to: To, datagram: Vec<u8>) {
        self.count += 1;
        // Nobody can miss what came before the first packet.
        if to == To::Viewer && self.count > 20 && self.random(10) == 0 {
            self.lost += 1;
            return;
        }
        self.delivered += usize::from(to == To::Viewer);
        let at = now + 20 * MS + Duration::from_micros(self.random(6_000));
        self.under_way.insert((at, self.count), (to, datagram));
    }
}

impl Story {
    fn new(suite: Suite, seed: u64) -> Self {
        let exported: Vec<u8> = (0..).take(2 * (suite.key_length() + suite.salt_length())).collect();
        let ends = |role| {
            let (ours, theirs) = Master::from_dtls(suite, &exported, role).unwrap();
            (Sender::new(&ours, 4), Receiver::new(&theirs, 4))
        };
        let publisher = Publisher {
            packetizer: Packetizer::new(Codec::Vp8, 1_000, 0x7ff0),
            srtp: ends(DtlsRole::Client),
            sent: BTreeMap::new(),
            sequence: [65_000, 7, 65_400],
            told: BTreeMap::new(),
        };
        let viewer = Viewer {
            srtp: ends(DtlsRole::Server),
            missing: Generator::new(nack::Config::default()),
            recorder: Recorder::new(),
            reception: Reception::new(Codec::Vp8.clock_rate()),
            buffer: jitter::Buffer::new(Codec::Vp8, jitter::Config { wait: 2_000 * MS, ..jitter::Config::default() }),
            frames: Vec::new(),
            lost: 0,
        };
        let network = Network { random: seed, under_way: BTreeMap::new(), count: 0, lost: 0, delivered: 0 };
        Self { now: Instant::now(), network, publisher, viewer }
    }

    /// So many frames, one each 33 ms, and time for the last of them to arrive.
    fn run(&mut self, count: u32) -> Vec<Frame> {
        let mut frames = Vec::new();
        let begin = self.now;
        for step in 0..count * 33 + 3_000 {
            self.now = begin + step * MS;
            if step % 33 == 0 && step / 33 < count {
                let size = usize::try_from(self.network.random(8_000)).unwrap();
                let key = step == 0;
                let mut data = vec![step.to_le_bytes()[0]; size + 1];
                data[0] = u8::from(!key);
                let frame = Frame { timestamp: Timestamp(u32::MAX - 9_000).plus(step * 90), key, data };
                self.publisher.publish(self.now, &frame, &mut self.network);
                frames.push(frame);
            }
            while let Some(entry) = self.network.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (to, datagram) = entry.remove();
                match to {
                    To::Viewer => self.viewer.handle_datagram(self.now, datagram),
                    To::Publisher => self.publisher.handle_datagram(self.now, datagram, &mut self.network),
                }
            }
            self.viewer.handle_timeout(self.now, begin, step, &mut self.network);
        }
        frames
    }
}

impl Publisher {
    fn publish(&mut self, now: Instant, frame: &Frame, network: &mut Network) {
        let mut payloads = Vec::new();
        self.packetizer.packetize(frame, |payload, last| payloads.push((payload.to_vec(), last))).unwrap();
        for (payload, marker) in payloads {
            let [sequence, ..] = self.sequence;
            self.sequence[0] = sequence.wrapping_add(1);
            let payload_type = PayloadType::from_wire(96);
            let header = Header { marker, payload_type, sequence, timestamp: frame.timestamp, ssrc: MEDIA };
            let mut plain = vec![0; 1_500];
            let length = Writer::new(&mut plain, &header, &[]).unwrap().payload(&payload).unwrap();
            plain.truncate(length);
            let mut datagram = vec![0; 1_500];
            let mut writer = Writer::new(&mut datagram, &header, &[]).unwrap();
            writer.extension(NUMBER, &self.number()).unwrap();
            let length = writer.payload(&payload).unwrap();
            self.send(now, datagram, length, network);
            self.sent.insert(sequence, plain);
        }
    }

    fn number(&mut self) -> [u8; 2] {
        let sequence = self.sequence[2];
        self.sequence[2] = sequence.wrapping_add(1);
        TransportSequence { sequence, request: None }.bytes()
    }

    fn send(&mut self, now: Instant, mut datagram: Vec<u8>, length: usize, network: &mut Network) {
        let length = self.srtp.0.protect_rtp(&mut datagram, length).unwrap();
        datagram.truncate(length);
        network.send(now, To::Viewer, datagram);
    }

    fn handle_datagram(&mut self, now: Instant, mut datagram: Vec<u8>, network: &mut Network) {
        assert!(rtcp::is_rtcp(&datagram));
        let length = self.srtp.1.unprotect_rtcp(&mut datagram).unwrap();
        for packet in Packets::new(&datagram[..length]).map(Result::unwrap) {
            match packet {
                rtcp::Packet::Nack(nack) => nack.sequences().for_each(|lost| self.send_again(now, lost, network)),
                rtcp::Packet::TransportFeedback(feedback) => {
                    for status in &feedback {
                        match status {
                            Status::Lost { first, count } => {
                                self.told.extend((0..count).map(|step| (first.wrapping_add(step), false)))
                            }
                            Status::Received { sequence, .. } => drop(self.told.insert(sequence, true)),
                        }
                    }
                }
                rtcp::Packet::ReceiverReport(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn send_again(&mut self, now: Instant, lost: u16, network: &mut Network) {
        let plain = self.sent[&lost].clone();
        let original = Packet::parse(&plain).unwrap();
        let [_, sequence, _] = self.sequence;
        self.sequence[1] = sequence.wrapping_add(1);
        let header =
            Header { ssrc: AGAIN, payload_type: PayloadType::from_wire(97), sequence, ..Header::of(&original) };
        let mut datagram = vec![0; 1_500];
        let mut writer = Writer::new(&mut datagram, &header, &[]).unwrap();
        writer.extension(NUMBER, &self.number()).unwrap();
        let length = rtx::wrap(writer, &original).unwrap();
        self.send(now, datagram, length, network);
    }
}

impl Viewer {
    fn handle_datagram(&mut self, now: Instant, mut datagram: Vec<u8>) {
        assert!(!rtcp::is_rtcp(&datagram));
        let length = self.srtp.1.unprotect_rtp(&mut datagram).unwrap();
        let packet = Packet::parse(&datagram[..length]).unwrap();
        let number = TransportSequence::parse(packet.extension_of(NUMBER).unwrap()).unwrap().sequence;
        self.recorder.on_packet(number, micros(now));
        if packet.ssrc() == AGAIN {
            let original = rtx::unwrap(&mut datagram[..length], MEDIA, PayloadType::from_wire(96)).unwrap().unwrap();
            let packet = Packet::parse(original).unwrap();
            self.take(now, &packet);
        } else {
            self.reception.handle_packet(now, packet.sequence(), packet.timestamp());
            self.take(now, &packet);
        }
    }

    fn take(&mut self, now: Instant, packet: &Packet<'_>) {
        self.missing.handle_packet(now, packet.sequence());
        self.buffer.handle_packet(now, packet);
        self.drain();
    }

    fn handle_timeout(&mut self, now: Instant, begin: Instant, step: u32, network: &mut Network) {
        self.buffer.handle_timeout(now);
        self.drain();
        let mut buffer = [0; 1_200];
        let mut writer = rtcp::Writer::new(&mut buffer);
        if self.missing.poll_timeout().is_some_and(|due| due <= now) {
            let mut asked = Vec::new();
            assert_eq!(self.missing.take_due(now, 45 * MS, &mut asked), 0, "nothing is given up");
            if !asked.is_empty() {
                writer.nack(VIEWER, MEDIA, asked).unwrap();
            }
        }
        if step.is_multiple_of(50) && now > begin {
            if let Some(report) = self.reception.report(now, MEDIA) {
                writer.receiver_report(VIEWER, &[report]).unwrap();
            }
            while self.recorder.write(&mut writer, VIEWER, MEDIA).unwrap() {}
        }
        let length = writer.finish();
        if length > 0 {
            let length = self.srtp.0.protect_rtcp(&mut buffer, length).unwrap();
            network.send(now, To::Publisher, buffer[..length].to_vec());
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.buffer.poll_output() {
            match output {
                Output::Frame(frame) => self.frames.push(frame),
                Output::Lost { packets } => self.lost += packets,
            }
        }
    }
}

/// By any clock.
fn micros(now: Instant) -> i64 {
    use std::sync::OnceLock;
    static SINCE: OnceLock<Instant> = OnceLock::new();
    let since = *SINCE.get_or_init(|| now);
    i64::try_from(now.saturating_duration_since(since).as_micros()).unwrap()
}
