//! A plane, and peers that speak WebRTC to it over a network with a virtual clock.

#![allow(
    dead_code,
    unused_imports,
    clippy::indexing_slicing,
    reason = "shared by tests that use parts of it; of what they have made themselves"
)]

mod camera;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_media::allocate::Kind;
use tandem_media::{
    Command, Config, EndpointId, Event, GroupId, Layer, MAX_DATAGRAM, Mark, Outbox, Payload, Plane, Publication,
    SlotId, StreamSpec, Subscription, TrackId, Want,
};
use tandem_rtp::ext::{self, Ids};
use tandem_rtp::header::{Header, Writer};
use tandem_rtp::payload::Codec;
use tandem_rtp::rtcp::{self, Recorder};
use tandem_rtp::srtp::{Master, Receiver, Sender, Suite};
use tandem_rtp::{Packet, PayloadType, Ssrc};
use tandem_webrtc::{
    Breadth, ChannelId, Credentials, Identity, Key, Local, Mode, Output, Path, Protocol, Reliability, Remote, Role,
    SrtpKeys, SrtpProfile, Transport,
};

pub use camera::Camera;

pub const PEERS_ARE: &str = "a peer that has joined";
pub const SERVER: &str = "203.0.113.1:9000";

#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock; tests go on from it by hand")]
pub fn some_instant() -> Instant {
    Instant::now()
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn transports(ice: Mode) -> Arc<tandem_webrtc::Config> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
    let identity = Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity");
    let local = Local::new(identity).expect("usable");
    Arc::new(tandem_webrtc::Config { local, breadth: Breadth::Browsers, ice, max_message: 256 << 10 })
}

/// What the plane wants to be sent.
#[derive(Default)]
pub struct Sent {
    room: Vec<u8>,
    pub datagrams: VecDeque<(Path, Vec<u8>)>,
    pub marks: Vec<Mark>,
}

impl Outbox for Sent {
    fn room(&mut self) -> &mut [u8] {
        self.room.resize(MAX_DATAGRAM, 0);
        &mut self.room
    }

    fn commit(&mut self, path: Path, length: usize, mark: Mark) {
        self.marks.push(mark);
        self.datagrams.push_back((path, self.room[..length].to_vec()));
    }
}

/// A media packet as a peer has got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub header: Header,
    pub payload: Vec<u8>,
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub transport_sequence: Option<u16>,
}

impl Got {
    /// The value of a header extension; empty, if there is none.
    pub fn extension(&self, id: u8) -> &[u8] {
        self.extensions.iter().find(|(known, _)| *known == id).map_or(&[], |(_, value)| value)
    }
}

/// One browser.
///
/// Size: what a test may want to know of it.
pub struct Peer {
    pub id: EndpointId,
    pub address: SocketAddr,
    pub transport: Transport,
    pub config: Arc<tandem_webrtc::Config>,
    pub credentials: Credentials,
    pub srtp: Option<(Sender, Receiver)>,
    pub path: Option<Path>,
    pub got: Vec<Got>,
    /// The transport-wide numbers of all of it, and how many packets carried nothing.
    pub numbers: Vec<u16>,
    pub filling: usize,
    /// Each compound it has got.
    pub control: Vec<Vec<u8>>,
    /// Its data channels, by their labels.
    pub channels: BTreeMap<String, ChannelId>,
    /// Each message it has got, and the label of its channel.
    pub messages: Vec<(String, Vec<u8>)>,
    /// Media to it is lost where this says so.
    pub lose: fn(&Got) -> bool,
    pub connected: bool,
    /// Nothing it is sent arrives.
    pub deaf: bool,
    /// What it is sent goes through this.
    pub link: Option<Link>,
    /// Tells what has come and when, if it does.
    pub recorder: Option<Recorder>,
    told_at: Instant,
    born: Instant,
}

/// A narrow place on the way to a peer, with a queue before it.
pub struct Link {
    pub kbps: u64,
    pub queue: Duration,
    busy_until: Option<Instant>,
    flying: VecDeque<(Instant, Vec<u8>)>,
    pub dropped: u64,
    /// Whoever is at its end does something else again and again.
    busy: Option<Busy>,
}

/// Reads nothing for a while, again and again.
struct Busy {
    at_most: Duration,
    until: Option<Instant>,
    random: u64,
}

impl Busy {
    /// Whether it is busy now; every forty milliseconds or so it begins.
    fn is(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| until > now) {
            return true;
        }
        // xorshift64 (Marsaglia 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let [first, second, ..] = self.random.to_be_bytes();
        self.until = (first < 32).then(|| now + self.at_most * u32::from(second) / 256);
        false
    }
}

impl Link {
    pub fn of(kbps: u64) -> Self {
        let queue = Duration::from_millis(300);
        Self { kbps, queue, busy_until: None, flying: VecDeque::new(), dropped: 0, busy: None }
    }

    /// At its end somebody reads nothing for so long at most, again and again.
    pub fn busy_for(self, at_most: Duration) -> Self {
        Self { busy: Some(Busy { at_most, until: None, random: 1 }), ..self }
    }

    /// What is through by now, and when it is read.
    fn read(&mut self, now: Instant) -> Option<(Instant, Vec<u8>)> {
        let (at, datagram) = self.flying.pop_front_if(|(at, _)| *at <= now)?;
        Some((if self.busy.is_some() { now } else { at }, datagram))
    }

    fn enter(&mut self, now: Instant, datagram: Vec<u8>) {
        let begins = self.busy_until.map_or(now, |at| at.max(now));
        if begins - now > self.queue {
            self.dropped += 1;
            return;
        }
        let bits = 8 * (u64::try_from(datagram.len()).expect("small") + 28);
        let ends = begins + Duration::from_micros(bits * 1_000 / self.kbps);
        self.busy_until = Some(ends);
        self.flying.push_back((ends + DELAY, datagram));
    }
}

/// Between two feedbacks.
const TELLS: Duration = Duration::from_millis(50);
const DELAY: Duration = Duration::from_millis(20);

pub struct World {
    pub now: Instant,
    pub plane: Plane,
    pub server: Arc<tandem_webrtc::Config>,
    pub out: Sent,
    pub peers: BTreeMap<u64, Peer>,
    pub events: Vec<Event>,
    pub ids: Ids,
    /// To the plane.
    wire: VecDeque<(Path, Vec<u8>)>,
}

pub const VP8: Payload = payload(Codec::Vp8, 96, Some(97));
pub const OPUS: Payload = payload(Codec::Opus, 111, None);

pub const fn payload(codec: Codec, number: u8, rtx: Option<u8>) -> Payload {
    let rtx = match rtx {
        Some(number) => Some(PayloadType::from_wire(number)),
        None => None,
    };
    Payload { codec, number: PayloadType::from_wire(number), rtx, red: None }
}

/// After this what was wanted is decided about.
pub const ALLOCATED: u64 = 105;

/// All of it, up to a layer; `None`: it is not seen.
pub fn wish(layer: Option<Layer>) -> Want {
    Want { height: if layer.is_some() { u16::MAX } else { 0 }, priority: 0, most: layer }
}

pub fn number(slot: u64) -> SlotId {
    SlotId(u32::try_from(slot).expect("small"))
}

pub fn top(stream: u8) -> Option<Layer> {
    Some(Layer { stream, spatial: 0, temporal: 7 })
}

impl World {
    pub fn new() -> Self {
        let (now, server) = (some_instant(), transports(Mode::Lite));
        let listens = vec![(Protocol::Udp, at(SERVER))];
        let plane =
            Plane::new(Config { transports: server.clone(), foreign: None, listens, clock: (now, 0) }, [1, 2, 3, 4]);
        let mut ids = Ids::default();
        ids.set(ext::Kind::TransportSequence, 3);
        ids.set(ext::Kind::Mid, 4);
        ids.set(ext::Kind::Rid, 10);
        ids.set(ext::Kind::RepairedRid, 11);
        let (peers, events, wire) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        Self { now, plane, server, out: Sent::default(), peers, events, ids, wire }
    }

    /// With so many peers that are connected, named from 1 on.
    pub fn with(peers: u64) -> Self {
        let mut world = Self::new();
        (1..=peers).for_each(|id| world.join(id));
        world.run_ms(1_000);
        assert!(world.peers.values().all(|peer| peer.connected), "not all are connected");
        world
    }

    pub fn join(&mut self, id: u64) {
        let (now, config) = (self.now, transports(Mode::Full { is_controlling: true }));
        let seed = u8::try_from(id % 200).expect("small");
        let credentials = |whose: u8| {
            let [.., high, low] = id.to_be_bytes();
            Credentials::new(std::array::from_fn(|byte| [whose, high, low][byte % 3]))
        };
        let (ours, theirs) = (credentials(1), credentials(2));
        let address = SocketAddr::new([10, 0, seed, u8::try_from(id / 200).expect("small")].into(), 4_000);
        let mut transport = Transport::new(now, config.clone(), theirs.clone(), id, &[(Protocol::Udp, address)]);
        self.tell(Command::Add {
            endpoint: EndpointId(id),
            credentials: ours.clone(),
            ids: self.ids,
            breadth: Breadth::Browsers,
        });
        let prints = |config: &tandem_webrtc::Config| vec![config.local.fingerprint()];
        let channels = Some(0);
        let remote =
            Remote { credentials: theirs.clone(), fingerprints: prints(&config), role: Role::Server, channels };
        self.tell(Command::Remote { endpoint: EndpointId(id), remote });
        transport.set_remote(
            now,
            Remote { credentials: ours, fingerprints: prints(&self.server), role: Role::Client, channels },
        );
        transport.add_candidate(now, "candidate:1 1 udp 2113929471 203.0.113.1 9000 typ host").expect("one");
        self.peers.insert(
            id,
            Peer {
                id: EndpointId(id),
                address,
                transport,
                config,
                credentials: theirs,
                srtp: None,
                path: None,
                got: Vec::new(),
                numbers: Vec::new(),
                filling: 0,
                control: Vec::new(),
                channels: BTreeMap::new(),
                messages: Vec::new(),
                lose: |_| false,
                connected: false,
                deaf: false,
                link: None,
                recorder: None,
                told_at: now,
                born: now,
            },
        );
    }

    /// A camera of one stream for each of these names, or of one without a name.
    pub fn publish(&mut self, peer: u64, track: u64, payload: Payload, rids: &[&str]) {
        let streams = match rids {
            [] => vec![StreamSpec::default()],
            rids => {
                rids.iter().map(|rid| StreamSpec { rid: Some((*rid).to_owned()), ..StreamSpec::default() }).collect()
            }
        };
        let kind = if payload.codec.is_video() { Kind::Camera } else { Kind::Audio };
        let publication = Publication { mid: track.to_string(), kind, payloads: vec![payload], streams };
        self.tell(Command::Publish { endpoint: EndpointId(peer), track: TrackId(track), publication });
    }

    /// Opens a slot with the number of the track, and shows it there.
    pub fn subscribe(&mut self, peer: u64, track: u64, payload: Payload, layer: Option<Layer>) {
        self.open(peer, track, payload);
        self.tell(Command::Want { endpoint: EndpointId(peer), slot: number(track), want: wish(layer) });
        self.show(peer, track, Some(track));
    }

    pub fn open(&mut self, peer: u64, slot: u64, payload: Payload) {
        let ssrc = |of: u64| Ssrc(u32::try_from(of * 10_000 + peer).expect("small"));
        let subscription = Subscription { ssrc: ssrc(slot), rtx: Some(ssrc(slot + 100)), payloads: vec![payload] };
        self.tell(Command::OpenSlot { endpoint: EndpointId(peer), slot: number(slot), subscription });
    }

    pub fn want(&mut self, peer: u64, slot: u64, layer: Option<Layer>) {
        self.tell(Command::Want { endpoint: EndpointId(peer), slot: number(slot), want: wish(layer) });
        self.run_ms(ALLOCATED);
    }

    pub fn show(&mut self, peer: u64, slot: u64, track: Option<u64>) {
        let track = track.map(TrackId);
        self.tell(Command::Show { endpoint: EndpointId(peer), slot: number(slot), track });
        self.run_ms(ALLOCATED);
    }

    /// A peer opens a data channel.
    pub fn open_channel(&mut self, peer: u64, label: &str) {
        let now = self.now;
        let peer = self.peers.get_mut(&peer).expect("a peer");
        let id = peer.transport.open(now, label, "", true, Reliability::Reliable).expect("connected");
        peer.channels.insert(label.to_owned(), id);
    }

    /// A peer says something by a data channel.
    pub fn say(&mut self, peer: u64, label: &str, bytes: &[u8]) {
        let now = self.now;
        let peer = self.peers.get_mut(&peer).expect("a peer");
        peer.transport.send(now, peer.channels[label], false, bytes).expect("there is room");
    }

    pub fn join_group(&mut self, peer: u64, group: u64) {
        let (endpoint, member) = (EndpointId(peer), u32::try_from(peer).expect("small"));
        self.tell(Command::Join { endpoint, group: GroupId(group), member });
    }

    pub fn remove(&mut self, peer: u64) {
        self.tell(Command::Remove { endpoint: EndpointId(peer) });
    }

    /// A command that names what is there.
    pub fn tell(&mut self, command: Command) {
        let (before, text) = (self.plane.counters().ignored, format!("{command:?}"));
        self.plane.handle_command(self.now, command, &mut self.out);
        assert_eq!(self.plane.counters().ignored, before, "{text}");
    }

    /// A command that names what is not there (any more).
    pub fn tell_in_vain(&mut self, command: Command) {
        let before = self.plane.counters().ignored;
        self.plane.handle_command(self.now, command, &mut self.out);
        assert_eq!(self.plane.counters().ignored, before + 1);
    }

    /// A media packet of a peer to the plane.
    pub fn send(&mut self, peer: u64, header: Header, extensions: &[(u8, &[u8])], payload: &[u8]) {
        let peer = self.peers.get_mut(&peer).expect("a peer");
        let mut buffer = vec![0; 1_600];
        let mut writer = Writer::new(&mut buffer, &header, &[]).expect("room");
        extensions.iter().for_each(|(id, value)| writer.extension(*id, value).expect("room"));
        let length = writer.payload(payload).expect("room");
        let (sender, _) = peer.srtp.as_mut().expect("keys");
        // A number that was used before is not sent again.
        let Ok(length) = sender.protect_rtp(&mut buffer, length) else { return };
        buffer.truncate(length);
        self.wire.push_back((Path { protocol: Protocol::Udp, local: at(SERVER), remote: peer.address }, buffer));
    }

    /// A control packet of a peer to the plane.
    pub fn control(&mut self, peer: u64, write: impl FnOnce(&mut rtcp::Writer<'_>)) {
        let peer = self.peers.get_mut(&peer).expect("a peer");
        let mut buffer = vec![0; 1_600];
        let mut writer = rtcp::Writer::new(&mut buffer[..1_400]);
        write(&mut writer);
        let length = writer.finish();
        let (sender, _) = peer.srtp.as_mut().expect("keys");
        let length = sender.protect_rtcp(&mut buffer, length).expect("protected");
        buffer.truncate(length);
        self.wire.push_back((Path { protocol: Protocol::Udp, local: at(SERVER), remote: peer.address }, buffer));
    }

    /// Whatever bytes a peer takes for a control packet.
    pub fn control_bytes(&mut self, peer: u64, bytes: &[u8]) {
        let peer = self.peers.get_mut(&peer).expect(PEERS_ARE);
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + 100, 0);
        let (sender, _) = peer.srtp.as_mut().expect("keys");
        let Ok(length) = sender.protect_rtcp(&mut buffer, bytes.len()) else { return };
        buffer.truncate(length);
        self.wire.push_back((Path { protocol: Protocol::Udp, local: at(SERVER), remote: peer.address }, buffer));
    }

    /// What is on its way to the plane, taken off it.
    pub fn take_wire(&mut self) -> Vec<(Path, Vec<u8>)> {
        self.wire.drain(..).collect()
    }

    /// What is on its way arrives at once.
    pub fn deliver(&mut self) {
        for _ in 0..1_000 {
            while let Some((path, mut datagram)) = self.wire.pop_front() {
                self.plane.handle_datagram(self.now, path, &mut datagram, &mut self.out);
            }
            self.events.extend(std::iter::from_fn(|| self.plane.poll_event()));
            while let Some((path, mut datagram)) = self.out.datagrams.pop_front() {
                let peer = self.peers.values_mut().find(|peer| peer.address == path.remote);
                let Some(peer) = peer.filter(|peer| !peer.deaf) else { continue };
                match &mut peer.link {
                    Some(link) => link.enter(self.now, datagram),
                    None => peer.receive(self.now, &mut datagram, &self.ids),
                }
            }
            self.poll_peers();
            if self.wire.is_empty() && self.out.datagrams.is_empty() {
                return;
            }
        }
        panic!("they never fall silent");
    }

    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(5) {
            self.deliver();
            self.now += Duration::from_millis(5);
            if self.plane.poll_timeout().is_some_and(|at| at <= self.now) {
                self.plane.handle_timeout(self.now, &mut self.out);
            }
            self.arrive();
            self.tick_peers();
        }
        self.deliver();
    }

    /// What peers want to be sent is on its way.
    pub fn poll_peers(&mut self) {
        for peer in self.peers.values_mut() {
            while let Some(output) = peer.transport.poll_output() {
                peer.heed(output, &mut self.wire);
            }
        }
    }

    /// Time has passed for peers.
    pub fn tick_peers(&mut self) {
        for peer in self.peers.values_mut() {
            if peer.transport.poll_timeout().is_some_and(|at| at <= self.now) {
                peer.transport.handle_timeout(self.now);
            }
        }
    }

    /// What is through its link by now; and what peers tell of that.
    fn arrive(&mut self) {
        let mut tells = Vec::new();
        for (id, peer) in &mut self.peers {
            let mut is_busy = |link: &mut Link| link.busy.as_mut().is_some_and(|busy| busy.is(self.now));
            let reads = !peer.link.as_mut().is_some_and(&mut is_busy);
            while let Some((at, mut datagram)) = peer.link.as_mut().filter(|_| reads).and_then(|it| it.read(self.now)) {
                peer.receive(at, &mut datagram, &self.ids);
            }
            let is_time = peer.recorder.as_ref().is_some_and(|it| it.waiting() > 0 && peer.told_at + TELLS <= self.now);
            if is_time {
                peer.told_at = self.now;
                tells.push(*id);
            }
        }
        for id in tells {
            let mut recorder = self.peers.get_mut(&id).and_then(|peer| peer.recorder.take()).expect("one");
            self.control(id, |writer| {
                recorder.write(writer, Ssrc(7), Ssrc(9)).expect("room");
            });
            self.peers.get_mut(&id).expect("a peer").recorder = Some(recorder);
        }
    }

    pub fn peer(&self, id: u64) -> &Peer {
        &self.peers[&id]
    }
}

impl Peer {
    fn heed(&mut self, output: Output, wire: &mut VecDeque<(Path, Vec<u8>)>) {
        match output {
            Output::Send(path, bytes) => {
                let seen = Path { protocol: path.protocol, local: path.remote, remote: path.local };
                wire.push_back((seen, bytes));
            }
            Output::Path(path) => self.path = Some(path),
            Output::Keys(keys) => self.srtp = Some(contexts(&keys)),
            Output::Connected => self.connected = true,
            Output::Message(message) => {
                let by = |(label, id): (&String, &ChannelId)| (*id == message.channel).then(|| label.clone());
                let label = self.channels.iter().find_map(by).unwrap_or_default();
                self.messages.push((label, message.bytes));
            }
            Output::Closed(id) => self.channels.retain(|_, known| *known != id),
            _ => {}
        }
    }

    pub fn receive(&mut self, now: Instant, datagram: &mut [u8], ids: &Ids) {
        if !matches!(datagram.first(), Some(128..=191)) {
            let path = Path { protocol: Protocol::Udp, local: self.address, remote: at(SERVER) };
            return self.transport.handle_datagram(now, path, datagram);
        }
        let (_, receiver) = self.srtp.as_mut().expect("keys before media");
        if matches!(datagram.get(1), Some(192..=223)) {
            let length = receiver.unprotect_rtcp(datagram).expect("authentic control");
            return self.control.push(datagram[..length].to_vec());
        }
        let mut copy = datagram.to_vec();
        let length = receiver.unprotect_rtp(&mut copy).expect("authentic media");
        let packet = Packet::parse(&copy[..length]).expect("a packet");
        let transport_sequence =
            ids.value(&packet, ext::Kind::TransportSequence).map(|value| u16::from_be_bytes([value[0], value[1]]));
        let extensions = packet.extensions().map(|(id, value)| (id, value.to_vec())).collect();
        let (header, payload) = (Header::of(&packet), packet.payload().to_vec());
        let got = Got { header, payload, extensions, transport_sequence };
        self.numbers.extend(got.transport_sequence);
        if let (Some(recorder), Some(number)) = (&mut self.recorder, got.transport_sequence) {
            let at = now.saturating_duration_since(self.born).as_micros();
            recorder.on_packet(number, i64::try_from(at).expect("soon"));
        }
        if packet.payload().is_empty() {
            self.filling += 1;
        } else if !(self.lose)(&got) {
            self.got.push(got);
        }
    }

    /// The control packets it has got, each as it reads, by a word that names its kind.
    pub fn heard(&self, kind: &str) -> usize {
        let compounds = self.control.iter();
        compounds
            .flat_map(|compound| rtcp::Packets::new(compound))
            .filter(|packet| {
                let name = match packet.as_ref().expect("well made") {
                    rtcp::Packet::SenderReport(_) => "SR",
                    rtcp::Packet::ReceiverReport(_) => "RR",
                    rtcp::Packet::Nack(_) => "NACK",
                    rtcp::Packet::Pli { .. } => "PLI",
                    rtcp::Packet::TransportFeedback(_) => "TWCC",
                    _ => "other",
                };
                name == kind
            })
            .count()
    }
}

fn contexts(keys: &SrtpKeys) -> (Sender, Receiver) {
    let suite = match keys.profile {
        SrtpProfile::Aes128CmSha1_80 => Suite::Aes128CmSha1_80,
        SrtpProfile::AeadAes128Gcm => Suite::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => Suite::AeadAes256Gcm,
    };
    let master = |(key, salt): &(Vec<u8>, Vec<u8>)| Master::from_parts(suite, key, salt).expect("keys");
    (Sender::new(&master(&keys.ours), 500), Receiver::new(&master(&keys.theirs), 500))
}
