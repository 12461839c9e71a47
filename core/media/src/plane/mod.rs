//! The machine: endpoints, tracks, and who gets what.

mod allocation;
mod carry;
mod command;
mod control;
mod groups;
mod imports;
mod incoming;
mod outgoing;
mod slots;
mod spread;
mod timers;
mod tracks;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use slab::Slab;
use tandem_webrtc::Protocol;

use self::allocation::Shares;
use crate::allocate::Assignment;
use crate::command::Event;
use crate::crossing::{Crossing, Shard};
use crate::downlink::Spares;
use crate::endpoint::Endpoint;
use crate::group::Group;
use crate::lanes::Said;
use crate::slot::Slot;
use crate::track::Track;
use crate::{EndpointId, GroupId, SlotId, Tally, TrackId};

/// What a plane begins with.
pub struct Config {
    /// Certificate, and which part of ICE is played.
    pub transports: Arc<tandem_webrtc::Config>,
    /// The same for peers that may be anybody's program, with certificates of any kind; `None`: no different from browsers.
    pub foreign: Option<Arc<tandem_webrtc::Config>>,
    /// Where datagrams come in.
    pub listens: Vec<(Protocol, SocketAddr)>,
    /// An instant, and its NTP time (RFC 3550 §4).
    pub clock: (Instant, u64),
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a plane has done.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// Those of two planes together.
            #[must_use]
            pub const fn plus(self, other: Self) -> Self {
                Self { $($name: self.$name.saturating_add(other.$name),)* }
            }
        }
    };
}

counters! {
    /// Commands, and what other planes tell, about somebody or something that was not there, or whose name was taken.
    ignored,
    /// Datagrams nobody was known for.
    strangers,
    /// Packets that were not authentic, replayed, malformed, or of no stream that was agreed on.
    refused,
    /// Media packets that have come.
    received,
    /// Media packets that have gone on.
    forwarded,
    /// Packets that were sent again.
    retransmitted,
    /// Packets a subscriber missed and could not be given any more.
    gone,
    /// Keyframes publishers were asked for.
    keyframes,
    /// Media packets that had to wait for too long, or with too many others.
    late,
    /// Packets that were handed to other planes.
    carried,
    /// Messages a data channel did not take: it was not open, full, or they were too long.
    unsaid,
    /// Messages by a lane that were text, named nobody who is there, or came from outside of any group.
    misspoken,
}

/// How a track comes in, by stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackTally {
    /// Packets and bytes of payload of each of its streams.
    pub streams: Vec<(u64, u64)>,
}

/// The media plane of one shard.
///
/// Size: a coordinator of tables that a packet borrows apart from each other.
pub struct Plane {
    config: Config,
    endpoints: Slab<Endpoint>,
    tracks: Slab<Track>,
    slots: Slab<Slot>,
    groups: Slab<Group>,
    names: Names,
    /// Who wants to be looked at when; each endpoint once at most.
    due: BTreeSet<(Instant, usize)>,
    /// The same of tracks that another plane hands on.
    imports_due: BTreeSet<(Instant, usize)>,
    /// For other planes.
    across: VecDeque<(Shard, Crossing)>,
    events: VecDeque<Event>,
    counters: Counters,
    random: Random,
    /// Tracks so far.
    serial: u32,
    /// Numbers to ask for, of the stream being looked at.
    asked: Vec<u16>,
    /// Slots that get something else since the last packet.
    changed: Vec<usize>,
    /// By lanes of groups, and not passed on yet.
    said: VecDeque<Said>,
    shares: Shares,
    spares: Spares,
    /// What was decided last.
    chosen: Vec<Assignment>,
}

/// Who is meant.
struct Names {
    endpoints: HashMap<EndpointId, usize, RandomState>,
    tracks: HashMap<TrackId, usize, RandomState>,
    addresses: HashMap<(Protocol, SocketAddr), usize, RandomState>,
    ufrags: HashMap<String, usize, RandomState>,
    groups: HashMap<GroupId, usize, RandomState>,
}

/// Numbers nobody needs to guess, and nobody can steer: SSRCs, first sequence numbers, tie-breakers.
struct Random {
    state: RandomState,
    count: u64,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.state.hash_one(self.count)
    }

    fn short(&mut self) -> u16 {
        let [.., a, b] = self.next().to_be_bytes();
        // Far from the wrap: SRTP's receivers guess the rollover counter from the first one (RFC 3711 §3.3.1).
        u16::from_be_bytes([a, b]) >> 1
    }

    fn word(&mut self) -> u32 {
        let [.., a, b, c, d] = self.next().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

impl Plane {
    /// Nobody is there yet. The seed decides about hashes and numbers.
    pub fn new(config: Config, seed: [u64; 4]) -> Self {
        let state = || RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        let map = || state();
        Self {
            config,
            endpoints: Slab::new(),
            tracks: Slab::new(),
            slots: Slab::new(),
            groups: Slab::new(),
            names: Names {
                endpoints: HashMap::with_hasher(map()),
                tracks: HashMap::with_hasher(map()),
                addresses: HashMap::with_hasher(map()),
                ufrags: HashMap::with_hasher(map()),
                groups: HashMap::with_hasher(map()),
            },
            due: BTreeSet::new(),
            imports_due: BTreeSet::new(),
            across: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            random: Random { state: RandomState::with_seeds(seed[3], seed[2], seed[1], seed[0]), count: 0 },
            serial: 0,
            asked: Vec::new(),
            changed: Vec::new(),
            said: VecDeque::new(),
            shares: Shares::default(),
            spares: Spares::default(),
            chosen: Vec::new(),
        }
    }

    /// What has happened; drain after every call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What a peer has got by a slot, if both are there.
    pub fn tally(&self, endpoint: EndpointId, slot: SlotId) -> Option<Tally> {
        let place = self.slot_place(endpoint, slot)?;
        self.slots.get(place).map(|slot| slot.tally)
    }

    /// What has come of a track, if it is there.
    pub fn track_tally(&self, track: TrackId) -> Option<TrackTally> {
        let track = self.names.tracks.get(&track).and_then(|&place| self.tracks.get(place))?;
        let streams = track.streams.iter().map(|stream| (stream.reception.received(), stream.bytes));
        Some(TrackTally { streams: streams.collect() })
    }

    /// Peers, their tracks, and slots in which one is shown.
    pub fn census(&self) -> (usize, usize, usize) {
        let (own, shown) = self.tracks.iter().fold((0, 0), |(own, shown), (_, track)| {
            (own + usize::from(track.import().is_none()), shown + track.slots.len())
        });
        (self.endpoints.len(), own, shown)
    }

    /// Tracks of other planes that may be shown here.
    pub fn imports(&self) -> usize {
        self.tracks.iter().filter(|(_, track)| track.import().is_some()).count()
    }

    fn place(&self, id: EndpointId) -> Option<usize> {
        self.names.endpoints.get(&id).copied()
    }

    fn slot_place(&self, endpoint: EndpointId, slot: SlotId) -> Option<usize> {
        self.endpoints.get(self.place(endpoint)?)?.outgoing.slots.get(&slot).copied()
    }

    fn with<R>(&mut self, place: usize, act: impl FnOnce(&mut Endpoint) -> R) -> Option<R> {
        self.endpoints.get_mut(place).map(act)
    }
}
