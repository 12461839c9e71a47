//! What the machines' shell and its operator do: settings, realms, users, notes, the kernel, and other processes.

use std::sync::Arc;
use std::time::Duration;

use tandem_stun::Cidr;
use tandem_stun::turn::{
    Account, Accounts, Answer, Changes, Config, Group, IcmpError, Name, Offloaded, OpenRefused, Realms, Server, Share,
    ThirdParty, TokenAlgorithm, TokenKey, Traffic, Transport, Usage, Whom,
};

use super::super::script::Script;
use super::super::world::{SECRET, UNIX, World, address, config, ip, some_instant};
use super::Pair;
use super::actors::{AS_RS_KEY, Actor, SERVER};

/// In force at the moment.
pub(super) struct Settings {
    first: u8,
    realms: Arc<Realms>,
    changes: Option<Changes>,
}

impl Settings {
    /// Of one shard's machine.
    fn config(&self, at: usize, now: std::time::Instant, since: Duration) -> Config {
        let mut all = config(now);
        all.wall_clock = (now, UNIX + since.as_secs());
        all.ports.last = all.ports.first + 7;
        (all.ports.shard, all.ports.shards) = (u16::try_from(at).expect("one of two"), 2);
        all.limits.answers_burst = BURST;
        all.limits.answers_per_second = PER_SECOND;
        all.limits.permissions = 4;
        all.limits.channels = 4;
        all.limits.allocations_per_user = 2;
        all.limits.connections_per_allocation = 2;
        all.peers.allow_loopback = self.first & 1 != 0;
        all.offload = self.first & 2 != 0;
        all.accounts = Accounts {
            fixed: vec![("carl".into(), "his password".into())],
            ask: self.first & 4 != 0,
            unhashed: false,
            third_party: (self.first & 8 != 0).then(|| {
                let key = TokenKey::new("north", TokenAlgorithm::A256Gcm, &AS_RS_KEY, None);
                ThirdParty { server_name: SERVER.into(), keys: vec![key.expect("a key")] }
            }),
        };
        all.realms = Arc::clone(&self.realms);
        if let Some(changes) = &self.changes {
            changes.apply_to(&mut all);
        }
        all
    }

    fn another(&mut self, choice: u8, now: std::time::Instant) -> Changes {
        self.changes = None;
        let mut changes = Changes::of(&self.config(0, now, Duration::ZERO));
        changes.limits.permissions = usize::from(choice & 3) + 1;
        changes.limits.channels = usize::from(choice >> 2 & 3) + 1;
        changes.end_on_expiry = choice & 16 != 0;
        if choice & 32 != 0 {
            changes.peers.deny.push("8.8.8.0/29".parse().expect("a network"));
        }
        match choice >> 6 {
            0 => changes.limits.allocations_per_user = 0,
            1 => changes.limits.bytes_per_second = 100,
            2 => changes.secrets = vec![b"another".to_vec(), SECRET.to_vec()],
            _ => changes.limits.packets_per_second = 3,
        }
        self.changes = Some(changes.clone());
        changes
    }
}

impl Pair {
    pub(super) fn new(first: u8) -> Self {
        let settings = Settings { first, realms: Arc::default(), changes: None };
        let started = some_instant();
        let worlds = [0, 1].map(|at| {
            let mut world = World::with(|own| *own = settings.config(at, started, Duration::ZERO));
            world.now = started;
            world
        });
        let mut pair = Self {
            worlds,
            settings,
            actors: Vec::new(),
            transaction: 1 << 64,
            answers: [0; 2],
            started,
            past: Default::default(),
            used: Usage::default(),
            tickets: Vec::new(),
            reservations: Vec::new(),
            processes: 1,
        };
        for (at, transport, user, port) in [
            (0, Transport::Udp, "alice", 1_000),
            (1, if first & 16 == 0 { Transport::Tcp } else { Transport::Udp }, "alice", 1_001),
            (0, if first & 32 == 0 { Transport::Tls } else { Transport::Dtls }, "key/bob", 1_002),
            (1, Transport::Udp, "north", 1_003),
        ] {
            let client = pair.worlds[at].client_over(transport, user, &format!("1.2.3.4:{port}"), "192.168.1.5:3478");
            pair.actors.push(Actor { client, at });
        }
        pair
    }

    /// One step of the operator's, or of the shell's.
    pub(super) fn operate(&mut self, who: usize, step: u8, script: &mut Script<'_>) {
        let at = who & 1;
        match step {
            0 | 1 => self.wait(Duration::from_secs(u64::from(script.byte().unwrap_or(0)) * 5)),
            2 | 3 => self.carry(usize::from(script.byte().unwrap_or(255) & 3) + 1),
            4 => self.become_another(at),
            5 => self.realms(script.byte().unwrap_or(0)),
            6 => {
                let changes = self.settings.another(script.byte().unwrap_or(0), self.worlds[0].now);
                self.worlds.iter_mut().for_each(|world| world.relay.handle_changes(world.now, &changes));
            }
            7 => {
                let whom = whom(script);
                let world = &mut self.worlds[at];
                let _ = match script.byte().unwrap_or(0) & 1 {
                    0 => world.relay.revoke(world.now, &whom),
                    _ => world.relay.end(world.now, &whom),
                };
            }
            8 | 9 => self.pass_beyond(at, script),
            10 => self.settle_offloads(),
            11 => self.found_out(at, script.byte().unwrap_or(0)),
            12 => {
                let refused = [OpenRefused::Taken, OpenRefused::Quota, OpenRefused::Exhausted];
                self.worlds[at].refusals.push(refused[usize::from(script.byte().unwrap_or(0)) % 3]);
            }
            13 => self.take_usage(),
            14 => self.little_things(at, script),
            _ => self.worlds[at].relay.handle_user_changed("dora"),
        }
        self.worlds.iter_mut().for_each(World::drain);
    }

    /// So many notes of each reach the other shard, in their order.
    pub(super) fn carry(&mut self, most: usize) {
        for _ in 0..most.min(TALKATIVE) {
            let mut silent = true;
            for at in [0, 1] {
                if self.worlds[at].told.is_empty() {
                    continue;
                }
                let (shard, note) = self.worlds[at].told.remove(0);
                assert_eq!(usize::from(shard), 1 - at, "nobody tells itself");
                self.worlds[1 - at].hear(note);
                silent = false;
            }
            if silent {
                return;
            }
        }
        assert!(most < TALKATIVE, "they never stop telling each other");
    }

    /// Another process goes on with one of the machines.
    fn become_another(&mut self, at: usize) {
        let world = &mut self.worlds[at];
        world.relay.end_connections(world.now);
        world.drain();
        self.carry(usize::MAX);
        let world = &mut self.worlds[at];
        let (now, since) = (world.now, world.now.duration_since(self.started));
        let (bytes, before) = (world.relay.snapshot(now), world.relay.relays());
        // What the kernel has relayed is counted by the one that has granted it.
        self.take_usage();
        let world = &mut self.worlds[at];
        let counters = world.relay.counters();
        self.past.packets += counters.packets;
        self.past.bytes += counters.bytes;
        self.past.allocated += counters.allocated;
        let config = self.settings.config(at, now, since);
        // Another seed for each, as there is in truth.
        self.processes = self.processes.wrapping_add(1);
        let seed = [self.processes; 32];
        world.relay = Server::go_on(config, seed, now, &bytes).expect("its own snapshot");
        assert_eq!(world.relay.relays(), before, "nothing is lost on the way");
        world.connecting.clear();
        world.established.clear();
        world.asked.clear();
        world.offloads.clear();
        world.onloads.clear();
    }

    fn realms(&mut self, choice: u8) {
        let mut realms = Realms::default();
        for (bit, realm) in [(1, "north"), (2, "tandem")] {
            if choice & bit != 0 {
                let facts = realms.add(realm);
                facts.secrets.push(SECRET.to_vec());
                facts.bytes_per_second = (choice & 4 != 0).then_some(1_000);
                facts.peers.deny.extend((choice & 8 != 0).then(|| Cidr::from(ip("8.8.8.8"))));
            }
        }
        if choice & 16 != 0 {
            realms.add_origin("https://north.example", "north");
            realms.peers.allow.push("10.0.0.0/8".parse().expect("a network"));
        }
        self.settings.realms = Arc::new(realms);
        for world in &mut self.worlds {
            world.relay.handle_realms(Arc::clone(&self.settings.realms));
        }
    }

    /// The kernel has relayed something.
    fn pass_beyond(&mut self, at: usize, script: &mut Script<'_>) {
        let world = &mut self.worlds[at];
        let granted: Vec<_> = world.offloads.keys().map(|(relay, _)| *relay).chain(world.onloads.clone()).collect();
        let choice = usize::from(script.byte().unwrap_or(0));
        if let Some(relay) = granted.get(choice % granted.len().max(1)) {
            let mut traffic = || Traffic {
                packets: script.byte().unwrap_or(0).into(),
                bytes: u64::from(script.byte().unwrap_or(0)) << 16,
            };
            let passed = Offloaded { up: traffic(), down: traffic(), dropped: traffic().packets };
            world.relay.handle_offloaded(world.now, *relay, passed);
        }
    }

    pub(super) fn settle_offloads(&mut self) {
        for world in &mut self.worlds {
            for relay in std::mem::take(&mut world.onloads) {
                world.relay.handle_onloaded(relay);
            }
        }
    }

    fn found_out(&mut self, at: usize, choice: u8) {
        let world = &mut self.worlds[at];
        let Some((id, user)) = world.asked.pop() else { return };
        let account = match &user.name {
            Name::Plain(name) if choice & 3 == 0 => Account::with_password(name, &user.realm, "her password"),
            Name::Hash(_) if choice & 3 == 0 => Account::with_password("dora", &user.realm, "her password"),
            _ => None,
        };
        let answer = match choice & 3 {
            1 => Answer::Unavailable,
            _ => account.map_or(Answer::Unknown, Answer::Known),
        };
        world.relay.handle_answer(world.now, id, answer);
    }

    fn little_things(&mut self, at: usize, script: &mut Script<'_>) {
        let world = &mut self.worlds[at];
        let (now, choice) = (world.now, script.byte().unwrap_or(0));
        match choice & 3 {
            0 => {
                let relay = world.open.keys().nth(usize::from(choice >> 2 & 3)).copied();
                let (kind, code) = (script.byte().unwrap_or(3), script.byte().unwrap_or(4));
                if let Some(relay) = relay {
                    let error = IcmpError { peer: address("8.8.8.8:9000"), kind, code, mtu: 1_280 };
                    world.relay.handle_icmp(now, relay, error);
                }
            }
            1 => world.relay.handle_own_address(ip("8.8.8.9")),
            2 => world.relay.handle_key_limit(now, "key", (choice & 4 != 0).then_some(u64::from(choice))),
            _ => {
                let share = Share { here: u32::from(choice >> 2), all: u32::from(choice >> 3) };
                let groups = [Group::Server, Group::User("alice".into()), Group::Key("key".into())];
                world.relay.handle_share(&groups[usize::from(choice >> 2) % 3], share);
            }
        }
    }

    pub(super) fn take_usage(&mut self) {
        for world in &mut self.worlds {
            world.relay.take_usage(world.now).iter().for_each(|usage| self.used.add(usage));
        }
    }
}

fn whom(script: &mut Script<'_>) -> Whom {
    let text = |choice: u8| ["alice", "key", "key/bob", "tandem", "carl"][usize::from(choice >> 3) % 5].to_owned();
    let choice = script.byte().unwrap_or(1);
    match choice & 7 {
        0 => Whom::Below(text(choice)),
        1 => Whom::User(text(choice)),
        2 => Whom::Key(text(choice)),
        3 => Whom::Tag(text(choice)),
        4 => Whom::Realm(text(choice)),
        _ => format!("{}-{}-{}", choice >> 3 & 1, choice >> 4 & 3, choice >> 6)
            .parse()
            .map_or_else(|_| Whom::User("alice".into()), Whom::Session),
    }
}

/// More notes than could be on their way.
const TALKATIVE: usize = 1_000;
/// Answers to one source that has proved nothing.
pub(super) const BURST: u32 = 40;
pub(super) const PER_SECOND: u32 = 20;
