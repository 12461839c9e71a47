//! All joined connections of a shard: what they wait for, and those that rest because they have carried too much.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::TcpStream;
use std::time::Instant;

use slab::Slab;
use tandem_stun::turn::{Carried, ConnectionId};

use super::pair::{End, Pair, Side, Tools};
use super::streams::Left;
use crate::net::epoll::{Epoll, Interest};

/// The pairs of one shard.
pub(super) struct Pairs {
    live: Slab<Pair>,
    by_id: HashMap<ConnectionId, usize>,
    resting: BTreeSet<(Instant, usize)>,
    tools: Tools,
    /// Added to twice a pair's number, and one for its peer's end, to make a token.
    token: u64,
}

/// What a pair has done.
pub(super) struct Done {
    pub(super) id: ConnectionId,
    pub(super) carried: Carried,
    /// It has ended.
    pub(super) is_over: bool,
}

impl Pairs {
    pub(super) fn new(token: u64) -> Self {
        Self { live: Slab::new(), by_id: HashMap::new(), resting: BTreeSet::new(), tools: Tools::new(), token }
    }

    /// Joins a client's stream with a peer.
    pub(super) fn join(&mut self, epoll: &Epoll, id: ConnectionId, client: Left, peer: TcpStream) -> Done {
        let Left { socket, secure, inbox, unsent } = client;
        let mut pair = Pair::new(id, End::new(socket, secure, unsent), End::new(peer, None, Vec::new()));
        let begun = pair.begin(&inbox);
        let key = self.live.insert(pair);
        self.by_id.insert(id, key);
        self.conclude(epoll, key, begun).unwrap_or(Done { id, carried: Carried::default(), is_over: true })
    }

    /// Something can be done at an end. `None`: it is gone.
    pub(super) fn on_ready(&mut self, epoll: &Epoll, index: u64) -> Option<Done> {
        let (key, side) = (index / 2, if index.is_multiple_of(2) { Side::Client } else { Side::Peer });
        let key = usize::try_from(key).ok()?;
        let outcome = self.live.get_mut(key)?.on_ready(side, &mut self.tools);
        self.conclude(epoll, key, outcome)
    }

    fn conclude(&mut self, epoll: &Epoll, key: usize, outcome: io::Result<Carried>) -> Option<Done> {
        let id = self.live.get(key)?.id;
        match outcome.and_then(|carried| self.watch(epoll, key).map(|()| carried)) {
            Ok(carried) => {
                let is_over = self.live.get(key)?.is_over();
                if is_over {
                    self.remove(id);
                }
                Some(Done { id, carried, is_over })
            }
            Err(error) => {
                tracing::debug!(%error, "a relayed connection ends");
                if let Some(pair) = self.remove(id) {
                    pair.abort();
                }
                Some(Done { id, carried: Carried::default(), is_over: true })
            }
        }
    }

    /// Waits for what each end is to be waited for.
    fn watch(&mut self, epoll: &Epoll, key: usize) -> io::Result<()> {
        let Some(pair) = self.live.get_mut(key) else { return Ok(()) };
        let first = self.token | u64::try_from(key.saturating_mul(2)).unwrap_or(u64::MAX);
        for (side, token) in [(Side::Client, first), (Side::Peer, first | 1)] {
            let wanted = pair.wanted(side);
            let end = pair.end(side);
            change(epoll, end, token, wanted)?;
        }
        Ok(())
    }

    /// It has carried too much: nothing is read of it until then.
    pub(super) fn rest(&mut self, epoll: &Epoll, id: ConnectionId, until: Instant) {
        let Some(&key) = self.by_id.get(&id) else { return };
        let Some(pair) = self.live.get_mut(key) else { return };
        if let Some(former) = pair.resting.replace(until) {
            self.resting.remove(&(former, key));
        }
        self.resting.insert((until, key));
        self.rewatch(epoll, key);
    }

    fn rewatch(&mut self, epoll: &Epoll, key: usize) {
        // An end that cannot be waited for is found out at the next reading or writing of the other.
        if let Err(error) = self.watch(epoll, key) {
            tracing::debug!(%error, "a relayed connection cannot be waited for");
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.resting.first().map(|&(at, _)| at)
    }

    /// Goes on with those that have rested.
    pub(super) fn handle_timeout(&mut self, now: Instant, epoll: &Epoll) {
        while let Some(&(at, key)) = self.resting.first().filter(|&&(at, _)| at <= now) {
            self.resting.remove(&(at, key));
            if let Some(pair) = self.live.get_mut(key) {
                pair.resting = None;
            }
            self.rewatch(epoll, key);
        }
    }

    /// Lets go of a pair; what closes its sockets is dropping it.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Pair> {
        let key = self.by_id.remove(&id)?;
        let pair = self.live.try_remove(key)?;
        if let Some(until) = pair.resting {
            self.resting.remove(&(until, key));
        }
        Some(pair)
    }
}

fn change(epoll: &Epoll, end: &mut End, token: u64, wanted: Option<Interest>) -> io::Result<()> {
    let former = std::mem::replace(&mut end.interest, wanted);
    match (former, wanted) {
        (None, None) => Ok(()),
        (Some(former), Some(wanted)) if former == wanted => Ok(()),
        (None, Some(wanted)) => epoll.add(end.fd(), token, wanted),
        (Some(_), Some(wanted)) => epoll.change(end.fd(), token, wanted),
        // What is not to be waited for is not registered: the end of a connection is told of whatever one asks for.
        (Some(_), None) => epoll.remove(end.fd()),
    }
}
