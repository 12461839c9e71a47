//! What an operator sees and does on a running relay of several shards: sessions, ending them, quotas by key, usage.

mod relay_client;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};

use relay_client::{Client, start, until};
use tandem_server::relay::{Config, Filter, Handle, KeyLimits, SessionView, Usage, Whom};

fn at(relay: &Handle) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, relay.port()).into()
}

fn several_shards(config: &mut Config) {
    config.peers.allow_loopback = true;
    config.shards = NonZeroU16::new(4);
}

fn of_key(key: &str) -> Filter {
    Filter { key: Some(key.to_owned()), ..Filter::default() }
}

fn sessions(relay: &Handle, filter: &Filter) -> Vec<SessionView> {
    relay.sessions(filter, None, 100).expect("an answer").sessions
}

#[test]
fn sessions_of_all_shards_are_shown_page_by_page() {
    let relay = start(several_shards);
    let users: Vec<String> = (0..10).map(|number| format!("k{}/user {number}", number % 2)).collect();
    let mut clients: Vec<Client> = users.iter().map(|user| Client::udp(at(&relay), user)).collect();
    let relayed: Vec<_> = clients.iter_mut().map(|client| client.allocate().expect("an allocation")).collect();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = relay.sessions(&Filter::default(), after, 3).expect("an answer");
        assert!(page.sessions.len() == 3 || page.next.is_none());
        seen.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id), "in order, each once");
    let mut shown: Vec<_> = seen.iter().map(|session| (session.user.clone(), session.relayed[0])).collect();
    shown.sort();
    let mut expected: Vec<_> = users.into_iter().zip(relayed).collect();
    expected.sort();
    assert_eq!(shown, expected);
    let of_key = sessions(&relay, &of_key("k1"));
    assert_eq!(of_key.len(), 5);
    for session in of_key {
        assert_eq!(session.key.as_deref(), Some("k1"));
        assert!(session.tag.is_some_and(|tag| tag.starts_with("user ")));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let now = u64::try_from(now.as_millis()).expect("this millennium");
        assert!(session.started <= now && session.started + 60_000 > now, "{} of {now}", session.started);
        assert_eq!(session.expires, session.started + 600_000);
    }
}

#[test]
fn ended_sessions_of_a_key_are_gone_from_every_shard_and_transport() {
    let relay = start(several_shards);
    let mut streams: Vec<Client> = (0..4).map(|_| Client::tcp(at(&relay), "k1/alice")).collect();
    let mut clients: Vec<Client> = (0..4).map(|_| Client::udp(at(&relay), "k1/bob")).collect();
    let mut other = Client::udp(at(&relay), "k2/bob");
    for client in streams.iter_mut().chain(&mut clients).chain([&mut other]) {
        client.allocate().expect("an allocation");
    }
    assert_eq!(relay.end(&Whom::Key("k1".into())), Ok(8));
    assert!(streams.iter_mut().all(Client::is_closed));
    for client in &mut clients {
        assert_eq!(client.refresh(), Err(437));
    }
    clients[0].allocate().expect("the credential is still good");
    assert_eq!(relay.end_and_revoke(&Whom::Tag("bob".into())), Ok(2));
    assert_eq!(clients[0].allocate().err(), Some(401));
    assert_eq!((relay.stats().turn.allocations, other.refresh()), (0, Err(401)));
    assert!(sessions(&relay, &Filter::default()).is_empty());
}

#[test]
fn one_session_is_ended_by_its_name() {
    let relay = start(several_shards);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::udp(at(&relay), "alice")).collect();
    for client in &mut clients {
        client.allocate().expect("an allocation");
    }
    let id = sessions(&relay, &Filter::default())[1].id;
    assert_eq!(relay.end(&Whom::Session(id)), Ok(1));
    assert_eq!(relay.end(&Whom::Session(id)), Ok(0));
    assert_eq!(clients.iter_mut().filter_map(|client| client.refresh().err()).collect::<Vec<_>>(), [437]);
}

#[test]
fn a_key_has_what_it_may_on_all_shards_together_and_its_bounds_change_while_it_runs() {
    let relay = start(several_shards);
    relay.set_key_limit("k1", Some(KeyLimits { allocations: Some(3), ..KeyLimits::default() }));
    let mut clients: Vec<Client> = (0..8).map(|number| Client::udp(at(&relay), &format!("k1/{number}"))).collect();
    let refused =
        |clients: &mut [Client]| clients.iter_mut().filter_map(|client| client.allocate().err()).collect::<Vec<_>>();
    assert_eq!(refused(&mut clients), [486; 5]);
    Client::udp(at(&relay), "k2/alice").allocate().expect("others are not bounded by it");
    relay.set_key_limit("k1", None);
    assert_eq!(refused(&mut clients[3..]), [0; 0]);
}

#[test]
fn what_users_have_used_adds_up_to_what_the_relay_has_done() {
    let taken: Arc<Mutex<Vec<Usage>>> = Arc::default();
    let books = Arc::clone(&taken);
    let relay = start(|config| {
        several_shards(config);
        config.usage = Some(Arc::new(move |batch| {
            books.lock().expect("whole").extend(batch);
            Ok(())
        }));
    });
    let (socket, outside) = {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = socket.local_addr().expect("an address");
        (socket, address)
    };
    let mut clients: Vec<Client> = (0..6).map(|number| Client::udp(at(&relay), ["alice", "bob"][number % 2])).collect();
    let relayed: Vec<_> = clients.iter_mut().map(|client| client.allocate().expect("an allocation")).collect();
    // Inside, mostly from shard to shard, and outside.
    for (index, client) in clients.iter_mut().enumerate() {
        client.bind(0x4000, relayed[(index + 1) % 6]).expect("a channel");
        client.bind(0x4001, relayed[(index + 5) % 6]).expect("a channel");
        client.bind(0x4002, outside).expect("a channel");
    }
    for (round, client) in clients.iter_mut().enumerate() {
        client.say(0x4000, &vec![1; 100 + round]);
        client.say(0x4002, &vec![2; 200 + round]);
        socket.send_to(&[3; 50], relayed[round]).expect("sent");
    }
    let expected = (6 * 4, (0..6).map(|round| 2 * (100 + round) + (200 + round) + 50).sum::<u64>());
    until("all is relayed", || (relay.stats().turn.packets, relay.stats().turn.bytes) == expected);
    // Some end before the relay does.
    assert_eq!(relay.end(&Whom::User("bob".into())), Ok(3));
    relay.shutdown();
    let mut sum = Usage::default();
    taken.lock().expect("whole").iter().for_each(|usage| sum.add(usage));
    assert_eq!((sum.up.packets + sum.down.packets, sum.up.bytes + sum.down.bytes), expected);
    assert_eq!((sum.up.packets, sum.down.packets), (12, 12));
    assert_eq!((sum.begun, sum.ended), (6, 6));
    let users: std::collections::BTreeSet<_> =
        taken.lock().expect("whole").iter().map(|usage| usage.user.clone()).collect();
    assert_eq!(users.into_iter().collect::<Vec<_>>(), ["alice", "bob"]);
}

#[test]
fn other_settings_count_on_every_shard_and_a_user_shares_its_bytes_over_all_of_them() {
    let relay = start(several_shards);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let outside = socket.local_addr().expect("an address");
    let mut clients: Vec<Client> = (0..8).map(|_| Client::udp(at(&relay), "alice")).collect();
    for client in &mut clients {
        client.allocate().expect("an allocation");
        client.bind(0x4000, outside).expect("a channel");
    }
    let mut config = Config { secret: relay_client::SECRET.to_vec(), ..Config::default() };
    several_shards(&mut config);
    config.limits.bytes_per_second_per_user = 1_000;
    relay.change(config.changes());
    until("each shard has heard of it", || {
        clients.iter_mut().for_each(|client| client.say(0x4000, &[0; 1_000]));
        let met = relay.stats().turn.met;
        met.get(tandem_server::relay::Limit::UserBytes) > 100
    });
    // No more than two seconds' worth for all, whichever shards they are on; one second's more for the time this takes.
    let before = relay.stats().turn.bytes;
    for _ in 0..100 {
        clients.iter_mut().for_each(|client| client.say(0x4000, &[0; 100]));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(relay.stats().turn.bytes - before <= 8_000, "{} bytes", relay.stats().turn.bytes - before);

    config.limits.bytes_per_second_per_user = 0;
    config.peers.deny = vec!["127.0.0.0/8".parse().expect("a range")];
    relay.change(config.changes());
    until("no shard relays to it any more", || {
        clients.iter_mut().all(|client| client.bind(0x4001, outside) == Err(403))
    });
}
