//! Other people's TURN programs against a started relay: coturn's `turnutils_*` (Debian package `coturn`).

mod relay_client;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relay_client::{SECRET, self_signed, until};
use tandem_dtls::{Identity, Key};
use tandem_server::relay::{self, Config, Discovery, Handle, Identities, Limits, PeerRules, Tls, Users};
use tandem_stun::credential;
use tandem_stun::turn::{ThirdParty, TokenAlgorithm, TokenKey};

/// Each relay has ports of its own, where the system takes none for clients: a port that is kept for somebody is not open yet,
/// and another test could have it.
fn config() -> Config {
    static NEXT: AtomicU16 = AtomicU16::new(16_000);
    let first = NEXT.fetch_add(400, Ordering::Relaxed);
    Config {
        relay_ports: first..=first + 399,
        listen: vec![Ipv4Addr::LOCALHOST.into(), "::1".parse().expect("an address")],
        port: 0,
        secret: SECRET.to_vec(),
        ..Config::default()
    }
}

fn with_tls() -> Config {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let identity = Identity::new(made.cert.der(), Key::Pkcs8(&made.signing_key.serialize_der())).expect("an ECDSA key");
    let dtls: Identities = Arc::new(move || Some(identity.clone()));
    Config { tls: Some(Tls { port: 0, config: self_signed() }), dtls: Some(dtls), ..config() }
}

fn start(config: Config) -> Handle {
    relay::start(config).expect("the relay starts")
}

/// Runs a program to its end; a missing one fails the test with the way out.
fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}): install the Debian package coturn"))
}

/// Runs `turnutils_uclient` with five messages of each client and expects that none is lost.
fn uclient(relay: &Handle, options: &[&str], server: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let login = credential::credential(SECRET, now + 600, "interop");
    let tls = options.contains(&"-S");
    let port = if tls { relay.tls_port().expect("TLS was asked for") } else { relay.port() }.to_string();
    let mut arguments = vec!["-u", &login.username, "-w", &login.password, "-p", &port, "-n", "5", "-z", "5"];
    arguments.extend(options);
    arguments.push(server);
    let output = run("turnutils_uclient", &arguments);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "turnutils_uclient {options:?} failed: {text}");
    assert!(text.contains("Total lost packets 0"), "turnutils_uclient {options:?} lost packets: {text}");
    until("something was relayed", || relay.stats().turn.bytes > 0);
}

/// The same with a peer outside that echoes.
fn uclient_to_peer(relay: &Handle, options: &[&str]) {
    let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let port = echo.local_addr().expect("an address").port().to_string();
    echo.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 2_000];
            while !done.load(Ordering::Relaxed) {
                if let Ok((length, from)) = echo.recv_from(&mut bytes) {
                    echo.send_to(&bytes[..length], from).expect("sent");
                }
            }
        });
        // A test that fails must not leave the echo waiting.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            uclient(relay, &[options, &["-e", "127.0.0.1", "-r", &port]].concat(), "127.0.0.1");
        }));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn clients_reach_each_other_by_channels_over_udp() {
    uclient(&start(config()), &["-y", "-c", "-m", "4"], "127.0.0.1");
}

#[test]
fn pairs_of_an_even_port_and_the_one_above_reach_each_other() {
    // RTP and RTCP: EVEN-PORT, then RESERVATION-TOKEN from another port, perhaps at another shard.
    for options in [&["-y", "-m", "8"][..], &["-y", "-t", "-m", "4"]] {
        uclient(&start(Config { shards: NonZeroU16::new(3), ..config() }), options, "127.0.0.1");
    }
}

#[test]
fn one_allocation_of_both_families_reaches_peers_of_both() {
    uclient(&start(config()), &["-y", "-Z", "-m", "4"], "127.0.0.1");
}

#[test]
fn packets_that_may_not_be_fragmented_are_relayed() {
    uclient(&start(config()), &["-y", "-c", "-s", "-g", "-m", "2"], "127.0.0.1");
    let outside = Config { peers: PeerRules { allow_loopback: true, ..PeerRules::default() }, ..config() };
    uclient_to_peer(&start(outside), &["-c", "-s", "-g", "-m", "2"]);
}

#[test]
fn clients_reach_each_other_by_send_indications_over_udp() {
    uclient(&start(config()), &["-y", "-c", "-s", "-m", "4"], "127.0.0.1");
}

#[test]
fn clients_reach_each_other_over_ipv6() {
    uclient(&start(config()), &["-y", "-c", "-x", "-m", "2"], "::1");
}

#[test]
fn clients_reach_each_other_by_channels_over_tcp() {
    uclient(&start(config()), &["-y", "-c", "-t", "-m", "4"], "127.0.0.1");
}

#[test]
fn clients_reach_each_other_by_send_indications_over_tcp() {
    uclient(&start(config()), &["-y", "-c", "-t", "-s", "-m", "2"], "127.0.0.1");
}

#[test]
fn clients_reach_each_other_by_channels_over_tls() {
    uclient(&start(with_tls()), &["-y", "-c", "-t", "-S", "-m", "4"], "127.0.0.1");
}

#[test]
fn clients_reach_each_other_by_send_indications_over_tls_and_ipv6() {
    uclient(&start(with_tls()), &["-y", "-c", "-t", "-S", "-s", "-x", "-m", "2"], "::1");
}

/// Clients that connect to each other's relayed addresses: this host has to be open for that.
fn uclient_with_connections(config: Config, options: &[&str]) {
    let peers = PeerRules { allow_loopback: true, ..PeerRules::default() };
    let relay = start(Config { peers, shards: NonZeroU16::new(3), ..config });
    uclient(&relay, &[&["-T", "-m", "4"], options].concat(), "127.0.0.1");
    until("they were joined", || relay.stats().turn.connected >= 8);
}

#[test]
fn clients_connect_to_each_other_over_tcp() {
    uclient_with_connections(config(), &[]);
}

#[test]
fn clients_that_use_tls_connect_to_each_other() {
    uclient_with_connections(with_tls(), &["-S"]);
}

#[test]
fn clients_that_pad_repeat_themselves_or_say_wrong_things_in_between_reach_each_other() {
    // -D pads ChannelData over UDP, -G asks for the same permissions and channels again, -N asks wrongly at first, -B leaves
    // in the middle, -X and -a ask for IPv4 and a bandwidth, -I sends before there is a permission.
    let cases: [&[&str]; 9] = [
        &["-D", "-c"],
        &["-D", "-t", "-c"],
        &["-G", "-c"],
        &["-G", "-s", "-t"],
        &["-N", "-c"],
        &["-B", "-c"],
        &["-B", "-t", "-c"],
        &["-X", "-a", "100000", "-c"],
        &["-o", "https://example.org", "-c"],
    ];
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || uclient(&start(config()), &[case, &["-y", "-m", "4"]].concat(), "127.0.0.1"));
        }
    });
}

#[test]
fn a_relay_that_is_attacked_and_sent_nonsense_serves_others_and_keeps_nothing() {
    let relay = start(config());
    let port = relay.port().to_string();
    let secret = String::from_utf8(SECRET.to_vec()).expect("text");
    // -R breaks the protocol at random (and never ends, with coturn's server neither), -O comes and goes.
    let mut attackers: Vec<_> = [&["-R", "-c"][..], &["-R", "-t", "-c"], &["-O", "-c"], &["-O", "-t", "-c"]]
        .into_iter()
        .zip(["rough", "rude", "quick", "hasty"])
        .map(|(mode, user)| {
            let arguments = ["-u", user, "-W", &secret, "-p", &port, "-n", "5", "-z", "5", "-m", "4", "-y"];
            Command::new("turnutils_uclient")
                .args(arguments)
                .args(mode)
                .arg("127.0.0.1")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the Debian package coturn")
        })
        .collect();
    // What breaks at random may be refused or not; a peer in a private network is.
    let arguments = ["-u", "lost", "-W", &secret, "-p", &port, "-c", "-e", "10.0.0.1", "127.0.0.1"];
    let mut lost = Command::new("turnutils_uclient");
    attackers.push(lost.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the same package"));
    uclient(&relay, &["-y", "-c", "-m", "4"], "127.0.0.1");
    until("somebody is refused", || relay.stats().turn.refused > 0);
    for attacker in &mut attackers {
        let _ = attacker.kill();
        attacker.wait().expect("it ends");
    }
    uclient(&relay, &["-y", "-c", "-t", "-m", "4"], "127.0.0.1");
    let stats = relay.stats();
    assert_eq!(stats.restarts, 0);
    // No user has more than it may.
    assert!(stats.turn.allocations <= 4 * 16, "{:?}", stats.turn);
}

#[test]
fn clients_reach_each_other_by_channels_over_dtls() {
    // Some of its clients speak DTLS 1.0 only; told that we do not, they come again with 1.2.
    let relay = start(Config { shards: NonZeroU16::new(3), ..with_tls() });
    uclient(&relay, &["-y", "-c", "-S", "-m", "8"], "127.0.0.1");
}

#[test]
fn clients_reach_each_other_by_send_indications_over_dtls_and_ipv6() {
    uclient(&start(with_tls()), &["-y", "-c", "-S", "-s", "-x", "-m", "4"], "::1");
    // Messages that are no multiple of four.
    uclient(&start(with_tls()), &["-y", "-c", "-S", "-s", "-l", "171", "-m", "2"], "127.0.0.1");
}

#[test]
fn a_client_over_dtls_reaches_a_peer_outside() {
    let outside = Config { peers: PeerRules { allow_loopback: true, ..PeerRules::default() }, ..with_tls() };
    uclient_to_peer(&start(outside), &["-c", "-S", "-m", "2"]);
}

#[test]
fn openssl_gets_a_binding_over_dtls_on_the_port_of_stun_too() {
    let relay = start(with_tls());
    for port in [relay.port(), relay.tls_port().expect("TLS was asked for")] {
        for suites in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
            let to = format!("127.0.0.1:{port}");
            let arguments = ["s_client", "-dtls1_2", "-cipher", suites, "-connect", &to, "-quiet", "-no_ign_eof"];
            let mut client = Command::new("openssl")
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("openssl runs: install the Debian package openssl");
            // A Binding request (RFC 8489 §5) in one record, and its answer.
            let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], [7; 12].as_slice()].concat();
            let mut input = client.stdin.take().expect("an input");
            input.write_all(&request).expect("written");
            let mut answer = [0; 20];
            client.stdout.take().expect("an output").read_exact(&mut answer).expect("an answer");
            assert_eq!((&answer[..2], &answer[4..]), (&[1, 1][..], &request[4..]), "over {suites} at {port}");
            drop(input);
            client.wait().expect("openssl ends");
            // It has said good-bye.
            until("nobody is left", || relay.stats().dtls == 0);
        }
    }
}

#[test]
fn clients_that_change_their_address_go_on_at_whatever_shard_they_reach() {
    // turnutils_uclient opens another socket after the allocation and shows its ticket from there.
    let relay = start(Config { shards: NonZeroU16::new(3), ..config() });
    uclient(&relay, &["-y", "-c", "-M", "-m", "8"], "127.0.0.1");
    uclient(&relay, &["-y", "-M", "-s", "-m", "4"], "127.0.0.1");
    until("they have moved", || relay.stats().turn.moved >= 12);
}

#[test]
fn a_user_with_a_password_of_its_own_is_let_in() {
    let relay = start(Config {
        users: Users { fixed: vec![("alice".into(), "in wonderland".into())], ..Users::default() },
        ..config()
    });
    let port = relay.port().to_string();
    let with = |password| {
        let arguments = ["-u", "alice", "-w", password, "-p", &port, "-n", "5", "-z", "5", "-y", "-c", "127.0.0.1"];
        run("turnutils_uclient", &arguments).status.success()
    };
    assert!(with("in wonderland"));
    assert!(!with("behind the looking glass"));
}

#[test]
fn stunclient_learns_its_address() {
    let relay = start(config());
    let output = run("turnutils_stunclient", &["-p", &relay.port().to_string(), "127.0.0.1"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("UDP reflexive addr: 127.0.0.1:"), "{text}");
    until("it is counted", || relay.stats().turn.bindings == 1);
}

#[test]
fn natdiscovery_finds_no_nat_in_front_of_it() {
    // Linux has all of 127.0.0.0/8: two addresses are at hand.
    let addresses: [IpAddr; 2] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(IpAddr::from);
    for listen in [addresses.to_vec(), vec![Ipv4Addr::UNSPECIFIED.into()]] {
        let discovery = Some(Discovery { addresses, port: 0 });
        let relay = start(Config { listen, discovery, shards: NonZeroU16::new(2), ..config() });
        let port = relay.port().to_string();
        for padding in [&[][..], &["-P"]] {
            let arguments = [&["-m", "-f", "-p", &port], padding, &["127.0.0.1"]].concat();
            let output = run("turnutils_natdiscovery", &arguments);
            let text =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(text.contains("NAT with Endpoint Independent Mapping!"), "{text}");
            assert!(text.contains("NAT with Endpoint Independent Filtering!"), "{text}");
        }
        let output = run("turnutils_stunclient", &["-f", "-p", &port, "127.0.0.1"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_full_relay_sends_clients_to_another_one() {
    let second = start(config());
    let alternates = vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), second.port())];
    let first = start(Config { alternates, limits: Limits { allocations: 0, ..Limits::default() }, ..config() });
    let port = first.port().to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let login = credential::credential(SECRET, now + 600, "interop");
    let user = ["-u", &login.username, "-w", &login.password, "-p", &port];
    let output = run("turnutils_uclient", &[&user[..], &["-n", "5", "-z", "5", "-y", "-c", "127.0.0.1"]].concat());
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Total lost packets 0"), "{text}");
    until("the second one has relayed", || second.stats().turn.packets > 0);
    assert_eq!(first.stats().turn.allocated, 0);
}

#[test]
fn a_wrong_password_gets_no_allocation() {
    let relay = start(config());
    let port = relay.port().to_string();
    let output = run("turnutils_uclient", &["-u", "4000000000:eve", "-w", "guess", "-p", &port, "-y", "127.0.0.1"]);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    until("it is counted", || relay.stats().turn.unauthorized > 0);
    assert_eq!(relay.stats().turn.allocated, 0);
}

#[test]
fn a_port_in_use_is_refused_with_its_number() {
    let first = start(config());
    let localhost: IpAddr = Ipv4Addr::LOCALHOST.into();
    let second = relay::start(Config { port: first.port(), listen: vec![localhost], ..config() });
    let error = second.err().expect("the port is taken");
    assert!(error.to_string().contains(&first.port().to_string()), "{error}");
}

#[test]
fn clients_with_tokens_of_an_authorisation_server_are_let_in() {
    // The keys of turnutils_uclient -J, which takes any of them for each request.
    let key = |kid, algorithm, bytes: &[u8]| TokenKey::new(kid, algorithm, bytes, None).expect("a key");
    let keys = vec![
        key("north", TokenAlgorithm::A256Gcm, b"01234567890123456789012345678901"),
        key("union", TokenAlgorithm::A128Gcm, b"1234567890123456"),
        key("oldempire", TokenAlgorithm::A256Gcm, b"12345678901234567890123456789012"),
    ];
    let third_party = Some(ThirdParty { server_name: "relay.example.org".into(), keys });
    let relay = start(Config { users: Users { third_party, ..Users::default() }, ..config() });
    for mode in [&["-c"][..], &["-s", "-c"], &["-t", "-c"]] {
        uclient(&relay, &[mode, &["-J", "-y", "-m", "4"]].concat(), "127.0.0.1");
    }
}
