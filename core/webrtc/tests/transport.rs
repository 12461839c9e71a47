//! A server that plays ICE lite and a client that plays it all, back to back over a network with loss and a virtual clock.

#![allow(clippy::indexing_slicing, reason = "of what the test has made itself")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_webrtc::{
    Breadth, Channel, ChannelId, Config, Credentials, Ended, Fingerprint, Identity, Key, Local, Message, Mode, NotSent,
    Output, Path, Protocol, Reliability, Remote, Role, SrtpKeys, Transport, addressee,
};

#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock; tests go on from it by hand")]
fn some_instant() -> Instant {
    Instant::now()
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What DTLS is spoken by: the server, and the client.
const WAYS: [[Breadth; 2]; 4] = [
    [Breadth::Browsers, Breadth::Browsers],
    [Breadth::Browsers, Breadth::Everybody],
    [Breadth::Everybody, Breadth::Browsers],
    [Breadth::Everybody, Breadth::Everybody],
];

fn config(ice: Mode, breadth: Breadth) -> Arc<Config> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
    let identity = Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity");
    Arc::new(Config { local: Local::new(identity).expect("usable"), breadth, ice, max_message: 256 << 10 })
}

/// One end, and what it has told.
struct End {
    transport: Transport,
    config: Arc<Config>,
    credentials: Credentials,
    /// By what its datagrams go out, under which name they arrive.
    addresses: Vec<(SocketAddr, SocketAddr)>,
    sources: Vec<SocketAddr>,
    paths: Vec<Path>,
    keys: Option<SrtpKeys>,
    opened: Vec<Channel>,
    messages: Vec<Message>,
    closed: Vec<ChannelId>,
    connected: usize,
    lost: usize,
    channels_lost: usize,
    ended: Option<Ended>,
}

impl End {
    fn new(now: Instant, (mode, breadth): (Mode, Breadth), seed: u8, addresses: &[(&str, &str)]) -> Self {
        let config = config(mode, breadth);
        let addresses: Vec<_> = addresses.iter().map(|(inside, outside)| (at(inside), at(outside))).collect();
        let credentials = Credentials::new([seed; 24]);
        let listens: Vec<_> = addresses.iter().map(|(inside, _)| (Protocol::Udp, *inside)).collect();
        Self {
            transport: Transport::new(now, config.clone(), credentials.clone(), u64::from(seed), &listens),
            config,
            credentials,
            addresses,
            sources: Vec::new(),
            paths: Vec::new(),
            keys: None,
            opened: Vec::new(),
            messages: Vec::new(),
            closed: Vec::new(),
            connected: 0,
            lost: 0,
            channels_lost: 0,
            ended: None,
        }
    }

    fn describe(&self, role: Role, channels: Option<u32>) -> Remote {
        let fingerprints = vec![self.config.local.fingerprint()];
        Remote { credentials: self.credentials.clone(), fingerprints, role, channels }
    }
}

/// Index 0 is the server (lite, passive), 1 the client (full, active).
struct Net {
    now: Instant,
    ends: [End; 2],
    wire: VecDeque<(usize, Path, Vec<u8>)>,
    sent: usize,
    lose: fn(usize) -> bool,
    /// Datagrams by these addresses of the client get nowhere.
    dead: Vec<SocketAddr>,
}

const SERVER: &str = "203.0.113.1:8000";
/// Inside its network, and as the NAT shows it.
const CLIENT: (&str, &str) = ("192.168.0.2:4000", "198.51.100.7:61000");

impl Net {
    fn new() -> Self {
        Self::with(&[CLIENT], Some(256 << 10))
    }

    fn with(client: &[(&str, &str)], channels: Option<u32>) -> Self {
        Self::by([Breadth::Browsers; 2], client, channels)
    }

    fn by(way: [Breadth; 2], client: &[(&str, &str)], channels: Option<u32>) -> Self {
        let now = some_instant();
        let server = End::new(now, (Mode::Lite, way[0]), 1, &[(SERVER, SERVER)]);
        let client = End::new(now, (Mode::Full { is_controlling: true }, way[1]), 2, client);
        let (of_server, of_client) = (server.describe(Role::Client, channels), client.describe(Role::Server, channels));
        let mut net =
            Self { now, ends: [server, client], wire: VecDeque::new(), sent: 0, lose: |_| false, dead: Vec::new() };
        net.ends[0].transport.set_remote(now, of_client);
        net.ends[1].transport.set_remote(now, of_server);
        net.tell_candidate();
        net
    }

    fn tell_candidate(&mut self) {
        let line = "candidate:1 1 udp 2113929471 203.0.113.1 8000 typ host";
        self.ends[1].transport.add_candidate(self.now, line).expect("a candidate");
    }

    fn drain(&mut self) {
        for from in 0..2 {
            while let Some(output) = self.ends[from].transport.poll_output() {
                let end = &mut self.ends[from];
                match output {
                    Output::Send(path, datagram) => {
                        self.sent += 1;
                        let dead = [path.local, path.remote].iter().any(|one| self.dead.contains(one));
                        if !dead && !(self.lose)(self.sent) {
                            let other = &self.ends[1 - from];
                            let name = |end: &End, inside| {
                                end.addresses.iter().find(|(one, _)| *one == inside).expect("one of ours").1
                            };
                            let inside = |end: &End, outside| {
                                end.addresses.iter().find(|(_, one)| *one == outside).expect("one of theirs").0
                            };
                            let seen = Path {
                                protocol: path.protocol,
                                local: inside(other, path.remote),
                                remote: name(&self.ends[from], path.local),
                            };
                            self.wire.push_back((1 - from, seen, datagram));
                        }
                    }
                    Output::Source(_, source) => end.sources.push(source),
                    Output::Path(path) => end.paths.push(path),
                    Output::Lost => end.lost += 1,
                    Output::Keys(keys) => end.keys = Some(keys),
                    Output::Connected => end.connected += 1,
                    Output::Opened(channel) => end.opened.push(channel),
                    Output::Message(message) => end.messages.push(message),
                    Output::Closed(id) => end.closed.push(id),
                    Output::ChannelsLost => end.channels_lost += 1,
                    Output::Ended(why) => end.ended = Some(why),
                }
            }
        }
    }

    /// Goes on for so long, each datagram taking 10 ms.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.drain();
            let due = self.wire.len();
            self.now += Duration::from_millis(10);
            for _ in 0..due {
                let (to, path, datagram) = self.wire.pop_front().expect("as many as there were");
                self.ends[to].transport.handle_datagram(self.now, path, &datagram);
                self.drain();
            }
            for end in &mut self.ends {
                if end.transport.poll_timeout().is_some_and(|at| at <= self.now) {
                    end.transport.handle_timeout(self.now);
                }
            }
        }
        self.drain();
    }

    fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    fn say(&mut self, from: usize, id: ChannelId, text: &str) {
        self.ends[from].transport.send(self.now, id, true, text.as_bytes()).expect("taken");
    }
}

fn chat(id: u16) -> Channel {
    let (label, protocol) = ("chat".to_owned(), String::new());
    Channel { id: ChannelId(id), label, protocol, ordered: true, reliability: Reliability::Reliable }
}

#[test]
fn both_find_a_path_agree_on_keys_and_know_each_other_by_address() {
    for way in WAYS {
        let mut net = Net::by(way, &[CLIENT], Some(256 << 10));
        net.run_ms(1_000);
        let [server, client] = &net.ends;
        assert_eq!(server.sources, [at(CLIENT.1)]);
        assert_eq!(
            server.paths.last(),
            Some(&Path { protocol: Protocol::Udp, local: at(SERVER), remote: at(CLIENT.1) })
        );
        assert_eq!(client.paths.last().map(|path| path.remote), Some(at(SERVER)));
        let (ours, theirs) = (server.keys.as_ref().expect("keys"), client.keys.as_ref().expect("keys"));
        assert_eq!((&ours.ours, &ours.theirs, ours.profile), (&theirs.theirs, &theirs.ours, theirs.profile));
        assert_eq!((server.connected, client.connected), (1, 1));
    }
}

#[test]
fn it_works_with_every_fourth_datagram_lost() {
    for way in WAYS {
        let mut net = Net::by(way, &[CLIENT], Some(256 << 10));
        net.lose = |sent| sent % 4 == 0;
        net.run_ms(20_000);
        assert_eq!(net.ends.iter().map(|end| end.connected).collect::<Vec<_>>(), [1, 1]);
        let id = net.ends[1].transport.open(net.now, "chat", "", true, Reliability::Reliable).expect("a channel");
        net.run_ms(5_000);
        for i in 0..50 {
            net.say(1, id, &i.to_string());
        }
        net.run_ms(20_000);
        let said: Vec<_> = net.ends[0].messages.iter().map(|message| message.bytes.clone()).collect();
        assert_eq!(said, (0..50).map(|i| i.to_string().into_bytes()).collect::<Vec<_>>());
    }
}

#[test]
fn channels_are_opened_by_either_side_used_and_closed() {
    for way in WAYS {
        let mut net = Net::by(way, &[CLIENT], Some(256 << 10));
        net.run_ms(1_000);
        let of_client = net.ends[1].transport.open(net.now, "notes", "text", true, Reliability::Reliable).expect("one");
        let of_server =
            net.ends[0].transport.open(net.now, "lossy", "", false, Reliability::Retransmits(0)).expect("one");
        assert_eq!((of_client.0 % 2, of_server.0 % 2), (0, 1));
        net.run_ms(500);
        for end in &net.ends {
            let mut labels: Vec<_> = end.opened.iter().map(|channel| channel.label.as_str()).collect();
            labels.sort_unstable();
            assert_eq!(labels, ["lossy", "notes"]);
            let lossy = end.opened.iter().find(|channel| channel.label == "lossy").expect("one");
            assert_eq!((lossy.ordered, lossy.reliability), (false, Reliability::Retransmits(0)));
        }
        net.say(0, of_client, "hello");
        net.say(1, of_server, "");
        net.ends[1].transport.send(net.now, of_client, false, &[0; 100_000]).expect("taken");
        net.run_ms(2_000);
        assert_eq!(net.ends[1].messages, [Message { channel: of_client, is_text: true, bytes: b"hello".to_vec() }]);
        let lengths: Vec<_> =
            net.ends[0].messages.iter().map(|message| (message.is_text, message.bytes.len())).collect();
        assert_eq!(lengths.len(), 2);
        assert!(lengths.contains(&(true, 0)) && lengths.contains(&(false, 100_000)), "{lengths:?}");
        net.ends[1].transport.close_channel(net.now, of_client);
        net.run_ms(500);
        assert_eq!(net.ends[0].closed, [of_client]);
        let late = net.ends[0].transport.send(net.now, of_client, true, b"late");
        assert_eq!(late, Err(NotSent::NotOpen));
    }
}

#[test]
fn channels_agreed_on_need_no_opening() {
    let mut net = Net::new();
    for end in &mut net.ends {
        assert!(end.transport.agree(net.now, chat(0)));
        assert!(!end.transport.agree(net.now, chat(0)), "twice the same number");
    }
    net.run_ms(1_500);
    assert_eq!(net.ends[0].opened, [chat(0)]);
    net.say(0, ChannelId(0), "from the server");
    net.say(1, ChannelId(0), "from the client");
    net.run_ms(500);
    assert_eq!(net.ends[1].messages[0].bytes, b"from the server");
    assert_eq!(net.ends[0].messages[0].bytes, b"from the client");
    assert!(net.ends[0].transport.agree(net.now, chat(4)));
    assert!(!net.ends[0].transport.agree(net.now, chat(1_024)), "beyond the last stream");
}

#[test]
fn what_a_peer_does_not_take_is_not_kept_without_bound() {
    let mut net = Net::new();
    net.run_ms(1_000);
    let id = net.ends[0].transport.open(net.now, "files", "", true, Reliability::Reliable).expect("one");
    net.run_ms(500);
    net.lose = |_| true;
    let mut taken = 0;
    while net.ends[0].transport.send(net.now, id, false, &[7; 60_000]).is_ok() {
        taken += 60_000;
        assert!(taken <= tandem_webrtc::BUFFERED, "no bound");
    }
    assert_eq!(net.ends[0].transport.send(net.now, id, false, &[7; 60_000]), Err(NotSent::Full));
    assert!(net.ends[0].transport.buffered(id) > 900_000);
    assert_eq!(net.ends[0].transport.send(net.now, id, false, &vec![7; 300_000]), Err(NotSent::TooLong));
}

#[test]
fn without_data_channels_in_the_description_there_are_none() {
    let mut net = Net::with(&[CLIENT], None);
    net.run_ms(1_000);
    assert_eq!(net.ends[0].connected, 1);
    assert_eq!(net.ends[1].transport.open(net.now, "chat", "", true, Reliability::Reliable), None);
}

#[test]
fn another_certificate_than_the_one_described_ends_it_and_gives_no_keys() {
    for way in WAYS {
        let mut net = Net::by(way, &[CLIENT], Some(256 << 10));
        let other = config(Mode::Lite, Breadth::Browsers).local.fingerprint();
        let mut described = net.ends[1].describe(Role::Server, None);
        described.fingerprints = vec![other];
        let now = net.now;
        net.ends[0] = End::new(now, (Mode::Lite, way[0]), 1, &[(SERVER, SERVER)]);
        net.ends[0].transport.set_remote(now, described);
        let server = net.ends[0].describe(Role::Client, None);
        net.ends[1] = End::new(now, (Mode::Full { is_controlling: true }, way[1]), 2, &[CLIENT]);
        net.ends[1].transport.set_remote(now, server);
        net.tell_candidate();
        net.run_ms(2_000);
        assert_eq!(net.ends[0].ended, Some(Ended::WrongCertificate));
        assert!(net.ends[0].keys.is_none() && net.ends[0].connected == 0);
    }
}

#[test]
fn records_from_where_no_check_has_come_begin_nothing() {
    let mut net = Net::new();
    // A ClientHello of anybody: the client's own, taken off the wire and sent from elsewhere.
    net.run_ms(1_000);
    let (mut fresh, now) = (End::new(net.now, (Mode::Lite, Breadth::Browsers), 9, &[(SERVER, SERVER)]), net.now);
    fresh.transport.set_remote(now, net.ends[1].describe(Role::Server, None));
    let hello = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4][..], &[1, 0, 0, 0]].concat();
    let path = Path { protocol: Protocol::Udp, local: at(SERVER), remote: at("198.51.100.66:6666") };
    fresh.transport.handle_datagram(now, path, &hello);
    assert!(fresh.transport.poll_output().is_none());
}

#[test]
fn checks_with_a_wrong_password_leave_nothing_behind() {
    let mut net = Net::new();
    let mut stranger = End::new(
        net.now,
        (Mode::Full { is_controlling: true }, Breadth::Browsers),
        3,
        &[("10.0.0.1:1", "198.51.100.66:1")],
    );
    let mut described = net.ends[0].describe(Role::Client, None);
    described.credentials.password = "not the right one, but as long".into();
    stranger.transport.set_remote(net.now, described);
    let line = "candidate:1 1 udp 2113929471 203.0.113.1 8000 typ host";
    stranger.transport.add_candidate(net.now, line).expect("a candidate");
    let mut checks = 0;
    for _ in 0..100 {
        net.now += Duration::from_millis(100);
        stranger.transport.handle_timeout(net.now);
        while let Some(Output::Send(_, check)) = stranger.transport.poll_output() {
            checks += 1;
            assert_eq!(addressee(&check), Some(net.ends[0].credentials.ufrag.as_str()));
            let path = Path { protocol: Protocol::Udp, local: at(SERVER), remote: at("198.51.100.66:1") };
            net.ends[0].transport.handle_datagram(net.now, path, &check);
        }
    }
    assert!(checks > 3, "{checks}");
    net.drain();
    assert!(net.ends[0].sources.is_empty() && net.wire.iter().all(|(to, ..)| *to == 0), "it was answered");
}

#[test]
fn a_peer_with_the_password_has_at_most_so_many_addresses() {
    let mut net = Net::new();
    net.run_ms(1_000);
    let mut described = net.ends[0].describe(Role::Client, None);
    described.role = Role::Client;
    for i in 0..200_u16 {
        let outside = format!("198.51.100.8:{}", 1_000 + i);
        // Each with the client's own credentials: they are one peer with many addresses.
        let mut one =
            End::new(net.now, (Mode::Full { is_controlling: true }, Breadth::Browsers), 2, &[("10.0.0.1:1", &outside)]);
        one.transport.set_remote(net.now, described.clone());
        let line = "candidate:1 1 udp 2113929471 203.0.113.1 8000 typ host";
        one.transport.add_candidate(net.now, line).expect("a candidate");
        one.transport.handle_timeout(net.now + Duration::from_millis(60));
        while let Some(output) = one.transport.poll_output() {
            if let Output::Send(_, check) = output {
                let path = Path { protocol: Protocol::Udp, local: at(SERVER), remote: at(&outside) };
                net.ends[0].transport.handle_datagram(net.now, path, &check);
            }
        }
        while let Some(output) = net.ends[0].transport.poll_output() {
            if let Output::Source(_, source) = output {
                net.ends[0].sources.push(source);
            }
        }
    }
    let known = net.ends[0].sources.len();
    assert!((10..=32).contains(&known), "{known}");
}

#[test]
fn a_restart_of_ice_moves_to_another_network_and_what_was_agreed_on_goes_on() {
    let wifi = CLIENT;
    let mobile = ("100.64.0.9:4001", "198.51.100.99:7000");
    let mut net = Net::with(&[wifi, mobile], Some(0));
    // At first there is one network only.
    net.dead = vec![at(mobile.0), at(mobile.1)];
    net.run_ms(2_000);
    let id = net.ends[1].transport.open(net.now, "chat", "", true, Reliability::Reliable).expect("one");
    net.run_ms(500);
    assert_eq!(net.ends[0].paths.last().map(|path| path.remote), Some(at(wifi.1)));
    net.dead = vec![at(wifi.0), at(wifi.1)];
    net.say(1, id, "on the way");
    let (old, new) = (net.ends[0].credentials.clone(), [Credentials::new([21; 24]), Credentials::new([22; 24])]);
    let now = net.now;
    for (end, credentials) in net.ends.iter_mut().zip(&new) {
        end.transport.restart_ice(now, credentials.clone());
        end.credentials = credentials.clone();
    }
    assert_ne!(old, net.ends[0].credentials);
    let (of_server, of_client) =
        (net.ends[0].describe(Role::Client, Some(0)), net.ends[1].describe(Role::Server, Some(0)));
    net.ends[0].transport.set_remote(now, of_client);
    net.ends[1].transport.set_remote(now, of_server);
    net.tell_candidate();
    net.run_ms(5_000);
    assert_eq!(net.ends[0].paths.last().map(|path| path.remote), Some(at(mobile.1)));
    assert_eq!(net.ends[0].messages.iter().map(|m| m.bytes.as_slice()).collect::<Vec<_>>(), [b"on the way"]);
    assert_eq!(net.ends.iter().map(|end| end.connected).collect::<Vec<_>>(), [1, 1], "one handshake");
}

#[test]
fn a_silent_peer_is_lost_and_found_again_when_it_speaks() {
    let mut net = Net::new();
    net.run_ms(1_000);
    net.lose = |_| true;
    net.run_ms(60_000);
    assert!(net.ends[0].lost == 1, "lost {} times", net.ends[0].lost);
    let paths = net.ends[0].paths.len();
    net.lose = |_| false;
    // Browsers check again by themselves; the agent of the test has given up, so it begins anew.
    let now = net.now;
    let mut again = End::new(now, (Mode::Full { is_controlling: true }, Breadth::Browsers), 2, &[CLIENT]);
    again.transport.set_remote(now, net.ends[0].describe(Role::Client, None));
    net.ends[1] = again;
    net.tell_candidate();
    net.run_ms(2_000);
    assert!(net.ends[0].paths.len() > paths, "no path again");
}

#[test]
fn a_good_bye_is_heard() {
    for way in WAYS {
        let mut net = Net::by(way, &[CLIENT], Some(256 << 10));
        net.run_ms(1_000);
        let now = net.now;
        net.ends[1].transport.close(now);
        net.run_ms(500);
        assert_eq!(net.ends[0].ended, Some(Ended::Closed));
        assert_eq!(net.ends[1].transport.send(net.now, ChannelId(0), true, b"late"), Err(NotSent::NotOpen));
    }
}

#[test]
fn whatever_comes_nothing_panics_and_little_is_said() {
    for way in WAYS {
        let mut net = Net::by(way, &[CLIENT], Some(256 << 10));
        net.run_ms(1_000);
        let path = net.ends[0].paths[0];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || -> u8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        for _ in 0..20_000 {
            let length = usize::from(random()) % 200;
            let mut bytes: Vec<u8> = (0..length).map(|_| random()).collect();
            if let (Some(first), true) = (bytes.first_mut(), random() < 128) {
                *first = [0, 1, 20, 22, 23][usize::from(random()) % 5];
            }
            net.ends[0].transport.handle_datagram(net.now, path, &bytes);
        }
        net.drain();
        assert!(net.ends[0].ended.is_none());
        // And it still works.
        let id = net.ends[1].transport.open(net.now, "chat", "", true, Reliability::Reliable).expect("one");
        net.run_ms(1_000);
        net.say(1, id, "still here");
        net.run_ms(500);
        assert_eq!(net.ends[0].messages[0].bytes, b"still here");
    }
}

#[test]
fn fingerprints_are_read_as_they_stand_in_descriptions() {
    let print = config(Mode::Lite, Breadth::Browsers).local.fingerprint();
    assert_eq!(Fingerprint::parse(&print.to_string()), Ok(print));
}
