//! Somebody at the relay: comes, relays, moves, goes or vanishes; or lies.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_stun::turn::{FiveTuple, Transport};

use super::message::{Answer, EVEN_PORT, Login, Request, TICKET, TOKEN};
use super::{World, place};

/// One client.
pub struct Person {
    tuple: FiveTuple,
    login: Login,
    honesty: Honesty,
    /// Acts left.
    left: usize,
    ticket: Option<Vec<u8>>,
    /// For the neighbour of its port.
    token: Option<Vec<u8>>,
    relayed: Option<SocketAddr>,
    last: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Honesty {
    Honest,
    /// Does not know the password.
    Guesses,
    /// Sends what it has seen of others, and parts of it.
    Repeats,
    /// Many unsigned requests from many places.
    Floods,
}

impl Person {
    /// Whoever comes; `number` is nobody else's.
    pub fn new(world: &mut World, number: usize) -> Self {
        let transport = match world.chance.below(10) {
            0 => Transport::Tcp,
            1 => Transport::Tls,
            _ => Transport::Udp,
        };
        let honesty = match world.chance.below(20) {
            0 => Honesty::Guesses,
            1 | 2 => Honesty::Repeats,
            3 => Honesty::Floods,
            _ => Honesty::Honest,
        };
        // A few have many devices.
        let users = if world.chance.one_in(8) { 12 } else { 3_000 };
        let user = format!("user-{}", world.chance.below(users));
        let login = Login::new(&user, (honesty == Honesty::Guesses).then_some("guess"));
        let left = 2 + world.chance.below(12);
        let tuple = place(transport, number);
        Self { tuple, login, honesty, left, ticket: None, token: None, relayed: None, last: Vec::new() }
    }

    /// The neighbour of a port that was kept, elsewhere.
    fn sibling(&self, number: usize) -> Self {
        Self {
            tuple: place(Transport::Udp, number),
            login: self.login.with_nonce(Vec::new()),
            honesty: Honesty::Honest,
            left: 3,
            ticket: None,
            token: self.token.clone(),
            relayed: None,
            last: Vec::new(),
        }
    }

    /// One act. When it wants to act again, and who comes because of it. `fresh`: numbers of places nobody has been at.
    pub fn act(&mut self, world: &mut World, fresh: &mut impl FnMut() -> usize) -> (Option<Duration>, Option<Self>) {
        if self.left == 0 {
            self.leave(world);
            return (None, None);
        }
        self.left -= 1;
        match self.honesty {
            Honesty::Floods => self.flood(world, fresh),
            Honesty::Repeats => self.repeat(world, fresh),
            Honesty::Guesses => {
                world.told.lies += 1;
                let answer = self.ask(world, &Request::allocate(&[]));
                assert!(answer.is_none_or(|answer| !answer.is_success()), "a guess is not let in");
            }
            Honesty::Honest if self.relayed.is_none() => return self.allocate(world, fresh),
            Honesty::Honest => self.relay(world, fresh),
        }
        (Some(world.chance.milliseconds(100, 800_000)), None)
    }

    fn allocate(&mut self, world: &mut World, fresh: &mut impl FnMut() -> usize) -> (Option<Duration>, Option<Self>) {
        let even: &[u8] = &[if world.chance.one_in(2) { 0x80 } else { 0 }];
        let claim = self.token.take();
        let kind = world.chance.below(4);
        let request = match (&claim, kind) {
            (Some(token), _) => Request::allocate(&[(TOKEN, token)]),
            (None, 0) => Request::allocate(&[(EVEN_PORT, even)]),
            (None, 1) => Request::allocate(&[(TICKET, &[])]),
            // One of each family.
            (None, 2) => Request::allocate(&[(0x8000, &[2, 0, 0, 0])]),
            (None, _) => Request::allocate(&[]),
        };
        let answer = self.ask(world, &request);
        let Some(answer) = answer.filter(Answer::is_success) else {
            return (Some(world.chance.milliseconds(500, 5_000)), None);
        };
        world.told.claimed += usize::from(claim.is_some());
        self.relayed = answer.relayed();
        self.ticket = answer.value(TICKET).map(<[u8]>::to_vec);
        self.token = answer.value(TOKEN).map(<[u8]>::to_vec);
        let sibling = self.token.is_some() && !world.chance.one_in(3);
        let sibling = sibling.then(|| self.sibling(fresh()));
        self.token = None;
        (Some(world.chance.milliseconds(100, 20_000)), sibling)
    }

    /// Something that one with an allocation does.
    fn relay(&mut self, world: &mut World, fresh: &mut impl FnMut() -> usize) {
        let inside = world.some_relayed().filter(SocketAddr::is_ipv4);
        let outside = SocketAddr::from(([8, 8, 8, u8::try_from(world.chance.below(5)).expect("few")], 9_000));
        let peer = if world.chance.one_in(3) { inside.unwrap_or(outside) } else { outside };
        let number = 0x4000 + u16::try_from(world.chance.below(8)).expect("few");
        match world.chance.below(8) {
            0 | 1 => {
                self.ask(world, &Request::refresh(600, None));
            }
            2 => {
                self.ask(world, &Request::permit(peer));
            }
            3 | 4 => {
                self.ask(world, &Request::bind(number, peer));
                for _ in 0..3 {
                    world.packet(self.tuple, &[&number.to_be_bytes()[..], &[0, 4], b"data"].concat());
                }
            }
            5 => self.move_away(world, fresh),
            6 if !self.last.is_empty() => {
                // A retransmission.
                let last = self.last.clone();
                world.packet(self.tuple, &last);
            }
            _ if world.chance.one_in(60) => world.revoke(&self.login.user.clone()),
            _ => {}
        }
    }

    /// RFC 8016, where it has a ticket; else it comes to nothing.
    fn move_away(&mut self, world: &mut World, fresh: &mut impl FnMut() -> usize) {
        let Some(ticket) = self.ticket.clone() else { return };
        let elsewhere = place(self.tuple.transport, fresh());
        let former = std::mem::replace(&mut self.tuple, elsewhere);
        self.login.nonce.clear();
        let answer = self.ask(world, &Request::refresh(600, Some(&ticket)));
        match answer.filter(Answer::is_success) {
            Some(answer) => self.ticket = answer.value(TICKET).map(<[u8]>::to_vec),
            None => {
                self.tuple = former;
                self.login.nonce.clear();
            }
        }
        if self.tuple.transport != Transport::Udp && world.chance.one_in(2) {
            world.close(former);
        }
    }

    fn leave(&mut self, world: &mut World) {
        match world.chance.below(3) {
            0 => {
                self.ask(world, &Request::refresh(0, None));
            }
            1 if self.tuple.transport != Transport::Udp => world.close(self.tuple),
            // Its battery is empty.
            _ => {}
        }
    }

    fn flood(&mut self, world: &mut World, fresh: &mut impl FnMut() -> usize) {
        // A claim of somebody else may be on its way.
        world.carry_notes();
        let before: u64 = world.shards.iter().map(|shard| shard.counters().allocations).sum();
        for _ in 0..20 {
            world.told.lies += 1;
            let bytes = Request::allocate(&[]).write(1, None);
            world.packet(place(Transport::Udp, fresh()), &bytes);
        }
        let after: u64 = world.shards.iter().map(|shard| shard.counters().allocations).sum();
        assert_eq!(before, after, "who proves nothing gets nothing");
    }

    /// A request with a true signature, from elsewhere, cut, or with another byte.
    fn repeat(&mut self, world: &mut World, fresh: &mut impl FnMut() -> usize) {
        world.told.lies += 1;
        world.carry_notes();
        let answer = world.packet(self.tuple, &Request::allocate(&[]).write(2, None)).map(Answer::new);
        let Some(nonce) = answer.and_then(|answer| answer.value(0x0015).map(<[u8]>::to_vec)) else { return };
        let seen = Request::allocate(&[]).write(3, Some(&self.login.with_nonce(nonce)));
        let elsewhere = place(Transport::Udp, fresh());
        let answer = world.packet(elsewhere, &seen).map(Answer::new);
        assert!(answer.is_none_or(|answer| answer.code() == Some(438)), "a nonce is good for its client only");
        let mut changed = seen.clone();
        let at = world.chance.below(changed.len());
        changed[at] ^= 1 << world.chance.below(8);
        let before = world.told.allocated;
        let cut = world.chance.below(seen.len());
        world.packet(self.tuple, &seen[..cut]);
        world.packet(self.tuple, &changed);
        assert_eq!(world.told.allocated, before, "byte {at} is not covered");
    }

    /// A request and its answer, after the challenge that comes in between.
    fn ask(&mut self, world: &mut World, request: &Request) -> Option<Answer> {
        for _ in 0..2 {
            let transaction = u64::from_be_bytes(*world.chance.seed().first_chunk().expect("eight bytes"));
            self.last = request.write(transaction, Some(&self.login));
            let last = self.last.clone();
            let answer = Answer::new(world.packet(self.tuple, &last)?);
            match (answer.code(), answer.value(0x0015)) {
                (Some(401 | 438), Some(nonce)) => self.login.nonce = nonce.to_vec(),
                _ => return Some(answer),
            }
        }
        None
    }
}
