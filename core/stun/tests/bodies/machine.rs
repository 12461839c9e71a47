//! Bytes as a sequence of what clients, peers, operators, shells and time do to the machines of two shards.
//!
//! Clients have good credentials, so that what lies behind them is reached; what they say may be wrong all the same.
//! After each step the books have to agree: sockets, table, timers, grants; at the end nothing may be left.

mod actors;
mod shell;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::message::{BINDING, Message, MessageClass};
use tandem_stun::turn::{Census, Counters, Forward, RelayId, Usage};

use super::script::Script;
use super::world::{Client, World};
use actors::Actor;

/// Two shards, who is there, and what has been counted.
pub(super) struct Pair {
    worlds: [World; 2],
    settings: shell::Settings,
    actors: Vec<Actor>,
    transaction: u128,
    /// Answers that each machine has sent to a stranger.
    answers: [u64; 2],
    started: Instant,
    /// Of machines that have been taken down.
    past: Counters,
    used: Usage,
    tickets: Vec<Vec<u8>>,
    reservations: Vec<Vec<u8>>,
    /// How many have gone on with another's machines.
    processes: u8,
}

/// See above.
pub fn turn_machine(bytes: &[u8]) {
    let mut script = Script { rest: bytes };
    let mut pair = Pair::new(script.byte().unwrap_or(0));
    for _ in 0..MAX_STEPS {
        let Some(step) = script.byte() else { break };
        let who = usize::from(step >> 6);
        match step & 0x30 {
            0x00 => pair.say(who, step & 0x0f, &mut script),
            0x10 => pair.connect(who, step & 0x0f, &mut script),
            0x20 => pair.roam(who, step & 0x0f, &mut script),
            _ => pair.operate(who, step & 0x0f, &mut script),
        }
        pair.check();
    }
    pair.end();
}

impl Pair {
    /// Whether the machine `at` answers what comes from `from`, and everybody else does what the packet asks for.
    fn deliver(&mut self, at: usize, from: tandem_stun::turn::FiveTuple, bytes: &[u8]) {
        let forward = self.worlds[at].packet(from, bytes);
        let (mut at, mut forward) = (at, forward);
        for _ in 0..MAX_HOPS {
            let now = self.worlds[at].now;
            let other = match forward {
                Forward::ToShard { shard, .. } | Forward::ToKeeper { shard, .. } | Forward::HandOver { shard } => shard,
                _ => return self.arrived(at, forward),
            };
            let other = usize::from(other);
            assert!(other < 2 && other != at, "to another shard, and one there is");
            let host = u16::try_from(at).expect("one of two");
            let world = &mut self.worlds[other];
            forward = match forward {
                Forward::ToShard { from, to, payload, .. } => world.relay.handle_hairpin(now, from, to, payload),
                Forward::ToKeeper { from, bytes, .. } => world.relay.handle_guest(now, host, from, bytes),
                _ => world.relay.handle_client(now, from, bytes),
            };
            world.drain();
            at = other;
        }
        panic!("a packet goes round in circles");
    }

    /// A packet that leaves must leave by an open socket, and never for a listener of ours or for somebody unknown.
    fn arrived(&mut self, at: usize, forward: Forward<'_>) {
        let world = &self.worlds[at];
        match forward {
            Forward::ToPeer { relay, peer, .. } => {
                assert!(world.open.contains_key(&relay));
                assert!(!(peer.ip().is_loopback() && peer.port() == 3_478), "{peer}");
            }
            Forward::ToClient { client, .. } => {
                assert!(world.relay.relays().iter().any(|(_, _, tuple)| *tuple == client), "{client:?} does not relay");
            }
            _ => {}
        }
    }

    fn check(&mut self) {
        for (at, world) in self.worlds.iter().enumerate() {
            let (counters, census) = (world.relay.counters(), world.relay.census());
            let known: BTreeMap<RelayId, ()> = world.relay.relays().into_iter().map(|(id, ..)| (id, ())).collect();
            assert!(known.keys().eq(world.open.keys()), "the table and the sockets: {known:?}, {:?}", world.open);
            assert_eq!(usize::try_from(counters.allocations).ok(), Some(world.open.len()));
            assert_eq!((census.allocations, census.deadlines), (known.len(), known.len()), "each has its timer");
            assert!(known.is_empty() || world.relay.poll_timeout().is_some());
            assert!(census.users <= known.len() && census.five_tuples <= 2 * known.len());
            // A port is taken for what relays there, is kept, or lent; nothing else takes one.
            assert!(census.ports <= known.len() + census.kept + census.lent, "{census:?}");
            let joined = u64::try_from(world.joined.len()).unwrap_or(u64::MAX);
            assert!(joined <= counters.connections && counters.connections <= 2 * counters.allocations);
            assert!(
                world.offloads.keys().all(|(relay, _)| known.contains_key(relay)),
                "a grant outlives its allocation"
            );
            assert_eq!(counters.connections, u64::try_from(census.connections).unwrap_or(u64::MAX));
            let seconds = world.now.duration_since(self.started).as_secs();
            let may = u64::from(shell::BURST) + (seconds + 1) * u64::from(shell::PER_SECOND);
            assert!(self.answers[at] <= may, "{} answers to a stranger, {may} expected", self.answers[at]);
        }
        let [one, other] = &self.worlds;
        let twice: Option<&SocketAddr> = one.open.values().find(|at| other.open.values().any(|also| also == *at));
        assert_eq!(twice, None, "two shards relay at one port");
    }

    /// Everybody goes, and time.
    fn end(&mut self) {
        for _ in 0..3 {
            self.wait(Duration::from_secs(4_000));
            self.carry(usize::MAX);
            self.settle_offloads();
        }
        self.take_usage();
        let counters: Vec<Counters> = self.worlds.iter().map(|world| world.relay.counters()).collect();
        let sum = |count: fn(&Counters) -> u64| count(&self.past) + counters.iter().map(count).sum::<u64>();
        assert_eq!(self.used.up.packets + self.used.down.packets, sum(|one| one.packets), "each packet is told once");
        assert_eq!(self.used.up.bytes + self.used.down.bytes, sum(|one| one.bytes), "each byte is told once");
        let allocated = sum(|one| one.allocated);
        assert_eq!((self.used.begun, self.used.ended), (allocated, allocated), "each session is told once");
        for world in &self.worlds {
            assert_eq!(world.relay.census(), Census::default(), "everything expires");
            assert_eq!((world.open.len(), world.relay.poll_timeout()), (0, None), "nothing is left to wait for");
        }
    }

    /// The last answer of any machine to this request.
    fn answer(&mut self, client: &Client, transaction: u128) -> Option<Vec<u8>> {
        let mut found = None;
        for (to, message) in self.worlds.iter_mut().flat_map(|world| world.sent.drain(..)) {
            // Raw bytes may have been of RFC 3489, and so their answers.
            let Ok(parsed) = Message::from_bytes(&message) else { continue };
            if to != client.tuple || parsed.transaction_id() != transaction.into() {
                continue;
            }
            if parsed.class() == MessageClass::Success {
                let is_signed = parsed.validate_integrity_with_key(&client.key).is_ok();
                assert!(is_signed || parsed.method() == BINDING, "answers to signed requests are signed");
                found = Some(message);
            }
        }
        found
    }

    fn wait(&mut self, time: Duration) {
        self.worlds.iter_mut().for_each(|world| world.wait(time));
    }
}

const MAX_STEPS: usize = 200;
/// To the keeper of a port, and on to whom it has lent it; or to the keeper of a client, and from there.
const MAX_HOPS: usize = 5;
