//! What one thread leaves for a shard: orders, which are few, and packets between allocations, which are bounded.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_stun::turn::{
    Answer, Changes, Filter, FiveTuple, Group, Note, QueryId, Realms, Session, SessionId, Share, Whom,
};

use super::door::Adopted;
use super::handover::Parts;
use super::operate::Credentials;
use crate::net::epoll::Wake;

/// Of one shard.
pub(super) struct Mailbox {
    inside: Mutex<Contents>,
    wake: Wake,
}

/// An order to a shard. Has no `Debug`: an answer holds keys.
pub(super) enum Order {
    UserChanged(String),
    Realms(Arc<Realms>),
    /// Tell live sessions.
    Sessions {
        filter: Filter,
        after: Option<SessionId>,
        limit: usize,
        reply: SyncSender<Vec<Session>>,
    },
    /// End live sessions, and tell how many, if somebody wants to know.
    End {
        whom: Whom,
        credentials: Credentials,
        reply: Option<SyncSender<usize>>,
    },
    /// All users of a key together may relay so many bytes per second.
    KeyLimit {
        key: String,
        bytes_per_second: Option<u64>,
    },
    /// The part of a shared bound that belongs to this shard.
    Share {
        group: Group,
        share: Share,
    },
    /// Other settings.
    Change(Arc<Changes>),
    /// From the machine of another shard. As many as requests wait for an answer, which the machine bounds.
    Note(Note),
    /// To a question that the shard has asked in its life of this number: what a later one asks has the same names.
    Answer {
        life: u64,
        id: QueryId,
        answer: Answer,
    },
    /// A connection that becomes this shard's. As many as whoever accepted them lets in.
    Adopt(Box<Adopted>),
    /// Close what cannot be handed over, take nothing in any more but what other shards say, and tell when that is done.
    Retire(SyncSender<()>),
    /// Tell whether anything has been said to other shards since the last time.
    Said(SyncSender<bool>),
    /// End, and leave everything to the program to come.
    HandOver(SyncSender<Parts>),
    Stop,
    /// What a bug of ours would do.
    #[cfg(test)]
    Panic,
}

/// What has been left; swapped out as a whole, so that its buffers are used again.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) orders: Vec<Order>,
    parcels: Vec<Parcel>,
    bytes: Vec<u8>,
}

struct Parcel {
    way: Way,
    range: Range<usize>,
}

/// What a packet from another shard is.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// From one relayed address to another.
    Inside { from: SocketAddr, to: SocketAddr },
    /// From a client whose packets reach the shard `host`, and whose allocation is here.
    Guest { host: u16, from: FiveTuple },
}

impl Mailbox {
    pub(super) fn new(wake: Wake) -> Self {
        Self { inside: Mutex::default(), wake }
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }

    pub(super) fn order(&self, order: Order) {
        self.lock().orders.push(order);
        self.wake.ring();
    }

    /// Whether the order to stop waits here.
    pub(super) fn holds_stop(&self) -> bool {
        self.lock().orders.iter().any(|order| matches!(order, Order::Stop))
    }

    /// Leaves a packet. `false`: the box is full, the packet is lost.
    pub(super) fn parcel(&self, way: Way, payload: &[u8]) -> bool {
        let mut inside = self.lock();
        let start = inside.bytes.len();
        if inside.parcels.len() >= MAX_PARCELS || start + payload.len() > MAX_BYTES {
            return false;
        }
        let was_empty = inside.parcels.is_empty();
        inside.bytes.extend_from_slice(payload);
        inside.parcels.push(Parcel { way, range: start..start + payload.len() });
        drop(inside);
        if was_empty {
            self.wake.ring();
        }
        true
    }

    /// Takes everything, and leaves the emptied buffers of last time.
    pub(super) fn take(&self, contents: &mut Contents) {
        self.wake.clear();
        contents.orders.clear();
        contents.parcels.clear();
        contents.bytes.clear();
        std::mem::swap(&mut *self.lock(), contents);
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // A thread that panicked while pushing leaves a whole value behind.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// The packets.
    pub(super) fn parcels(&self) -> impl Iterator<Item = (Way, &[u8])> {
        self.parcels.iter().filter_map(|parcel| Some((parcel.way, self.bytes.get(parcel.range.clone())?)))
    }
}

const MAX_PARCELS: usize = 2_048;
const MAX_BYTES: usize = 2 * 1_024 * 1_024;
