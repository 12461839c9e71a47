//! The channels of one shard that the kernel relays: granted, counted, withdrawn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use aya::maps::{HashMap, MapData};

use crate::layout::{Ends, Flow, Key, bucket, direction};
use crate::memory::Words;

/// What the kernel may do for one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<A> {
    /// Whose channel; names a bucket, too.
    pub allocation: A,
    /// Its number.
    pub channel: u16,
    /// The client.
    pub client: SocketAddr,
    /// Our address that the client sends to.
    pub server: SocketAddr,
    /// Our address that the peer sends to.
    pub relayed: SocketAddr,
    /// The peer.
    pub peer: SocketAddr,
    /// What the peer is.
    pub reach: Reach,
    /// How long packets of the client may pass.
    pub up_until: Instant,
    /// How long packets of the peer may pass.
    pub down_until: Instant,
    /// How many bytes may pass, both directions and all channels of the allocation together.
    pub rate: Rate,
}

/// Where the packets of a client go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Out, to the peer.
    Outside,
    /// To the client whose relayed address the peer is, if the kernel may do that for it.
    Inside,
}

/// A token bucket of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Comes in.
    pub per_second: u64,
    /// Fits in.
    pub burst: u64,
    /// Is in, when the allocation's first channel is granted.
    pub left: u64,
}

/// What the kernel has done for one channel since it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// From the client.
    pub up: Traffic,
    /// From the peer.
    pub down: Traffic,
    /// Packets over the rate.
    pub dropped: u64,
}

/// What was relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// So many.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
}

/// Which part of the tables is one shard's.
pub(crate) struct Share {
    pub(crate) first: u32,
    pub(crate) channels: u32,
    pub(crate) directions: Words,
    pub(crate) buckets: Words,
    pub(crate) touched: Words,
}

/// The channels of one shard.
pub struct Table<A: Copy + Ord> {
    flows: HashMap<MapData, Key, Flow>,
    share: Share,
    /// An instant, and the kernel's time then.
    clock: (Instant, u64),
    places: BTreeMap<(A, u16), Place>,
    /// By slot, counted from the share's first.
    names: Vec<Option<(A, u16)>>,
    buckets: BTreeMap<A, Bucket>,
    ends: BTreeSet<(Instant, (A, u16))>,
    /// Those freed last are used last: a packet on its way through the program may still count.
    free_slots: VecDeque<u32>,
    free_buckets: VecDeque<u32>,
    settled: VecDeque<(A, u16, Counts)>,
}

/// A granted channel.
struct Place {
    slot: u32,
    route: Route,
    ends: Instant,
    told: Counts,
}

/// All addresses of a channel.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Route {
    client: SocketAddr,
    server: SocketAddr,
    relayed: SocketAddr,
    peer: SocketAddr,
    reach: Reach,
}

struct Bucket {
    index: u32,
    channels: u32,
}

impl<A: Copy + Ord> Table<A> {
    pub(crate) fn new(flows: HashMap<MapData, Key, Flow>, share: Share, clock: (Instant, u64)) -> Self {
        let slots = share.first..share.first.saturating_add(share.channels);
        Self {
            flows,
            clock,
            places: BTreeMap::new(),
            names: slots.clone().map(|_| None).collect(),
            buckets: BTreeMap::new(),
            ends: BTreeSet::new(),
            free_slots: slots.clone().collect(),
            free_buckets: slots.collect(),
            settled: VecDeque::new(),
            share,
        }
    }

    /// Grants a channel, or goes on with it until other times and with another rate. `false`: there is no room, the
    /// sockets relay it.
    pub fn grant(&mut self, now: Instant, grant: &Grant<A>) -> bool {
        let (name, route) = ((grant.allocation, grant.channel), Route::of(grant));
        let ends = grant.up_until.max(grant.down_until);
        if ends <= now {
            self.withdraw(grant.allocation, grant.channel);
            return true;
        }
        match self.places.get(&name) {
            Some(place) if place.route == route => {}
            Some(_) => {
                self.withdraw(grant.allocation, grant.channel);
                if !self.insert(now, grant) {
                    return false;
                }
            }
            None => {
                if !self.insert(now, grant) {
                    return false;
                }
            }
        }
        let times = [self.nanos(grant.up_until), self.nanos(grant.down_until)];
        let Some(place) = self.places.get_mut(&name) else { return false };
        self.ends.remove(&(place.ends, name));
        self.ends.insert((ends, name));
        place.ends = ends;
        for (index, time) in directions(place.slot).into_iter().zip(times) {
            write(self.share.direction(index, direction::EXPIRES), time);
        }
        self.set_rate(now, grant);
        true
    }

    /// Takes a channel back.
    pub fn withdraw(&mut self, allocation: A, channel: u16) {
        let name = (allocation, channel);
        let Some(place) = self.places.remove(&name) else { return };
        for index in directions(place.slot) {
            write(self.share.direction(index, direction::EXPIRES), 0);
        }
        for key in place.route.keys(channel) {
            let _ = self.flows.remove(&key);
        }
        self.settle(name, &place);
        self.ends.remove(&(place.ends, name));
        if let Some(at) = self.at(place.slot) {
            *at = None;
        }
        self.free_slots.push_back(place.slot);
        let last = self.buckets.get_mut(&allocation).is_some_and(|bucket| {
            bucket.channels = bucket.channels.saturating_sub(1);
            bucket.channels == 0
        });
        if let Some(bucket) = last.then(|| self.buckets.remove(&allocation)).flatten() {
            self.free_buckets.push_back(bucket.index);
        }
    }

    /// Takes all channels of an allocation back.
    pub fn withdraw_all(&mut self, allocation: A) {
        let channels: Vec<u16> =
            self.places.range((allocation, 0)..=(allocation, u16::MAX)).map(|((_, channel), _)| *channel).collect();
        for channel in channels {
            self.withdraw(allocation, channel);
        }
    }

    /// Takes everything back.
    pub fn clear(&mut self) {
        while let Some((&(allocation, channel), _)) = self.places.first_key_value() {
            self.withdraw(allocation, channel);
        }
    }

    /// Bytes of this allocation have passed by the sockets: they count as if they had passed here.
    pub fn spend(&mut self, now: Instant, allocation: A, bytes: u64) {
        let Some(bucket) = self.buckets.get(&allocation) else { return };
        let now = self.nanos(now);
        let byte = read(self.share.bucket(bucket.index, bucket::BYTE));
        let cost = u64::try_from((u128::from(byte) * u128::from(bytes)) >> 16).unwrap_or(LONGEST).min(LONGEST);
        if let Some(place) = self.share.bucket(bucket.index, bucket::FULL_AT) {
            let _ = place.fetch_update(Relaxed, Relaxed, |full| Some(full.max(now).saturating_add(cost)));
        }
    }

    /// Ends what is over, and finds out what has been relayed, to be polled. Costs a look at one bit per channel there is room
    /// for, and more only for those that have been used.
    pub fn harvest(&mut self, now: Instant) {
        while let Some((_, (allocation, channel))) = self.ends.first().filter(|(at, _)| *at <= now).copied() {
            self.withdraw(allocation, channel);
        }
        let words = self.names.len() / 64;
        for word in 0..words {
            let index = usize::try_from(self.share.first / 64).unwrap_or_default().saturating_add(word);
            let Some(place) = self.share.touched.all().get(index) else { return };
            // Most words are zero: they are only looked at.
            let mut bits = if place.load(Relaxed) == 0 { 0 } else { place.swap(0, Relaxed) };
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                let local = word.saturating_mul(64).saturating_add(usize::try_from(bit).unwrap_or_default());
                if let Some(name) = self.names.get(local).copied().flatten() {
                    self.settle_named(name);
                }
            }
        }
    }

    /// What has been relayed in a channel and not yet told.
    pub fn poll_settled(&mut self) -> Option<(A, u16, Counts)> {
        self.settled.pop_front()
    }

    /// When to harvest at the latest, having done so just now.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let next = self.ends.first().map(|(at, _)| *at)?;
        Some(next.min(now + HARVEST))
    }

    /// How many channels are granted.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn insert(&mut self, now: Instant, grant: &Grant<A>) -> bool {
        let Some(slot) = self.free_slots.pop_front() else { return false };
        let Some(bucket) = self.take_bucket(now, grant) else {
            self.free_slots.push_front(slot);
            return false;
        };
        let route = Route::of(grant);
        for index in directions(slot) {
            for word in 0..direction::WORDS {
                write(self.share.direction(index, word), 0);
            }
        }
        let [here, back] = directions(slot);
        let [up, down] = route.flows(grant.channel);
        let [up_key, down_key] = route.keys(grant.channel);
        let (up, down) = (up.counted(here, back, bucket), down.counted(back, here, bucket));
        let name = (grant.allocation, grant.channel);
        self.places.insert(name, Place { slot, route, ends: grant.up_until, told: Counts::default() });
        if let Some(at) = self.at(slot) {
            *at = Some(name);
        }
        // Nothing passes yet: both directions are over until they are given their ends.
        let inserted = self.flows.insert(up_key, up, 0).and_then(|()| self.flows.insert(down_key, down, 0));
        if inserted.is_err() {
            self.withdraw(grant.allocation, grant.channel);
        }
        inserted.is_ok()
    }

    /// The bucket of an allocation, filled as granted if it has none yet.
    fn take_bucket(&mut self, now: Instant, grant: &Grant<A>) -> Option<u32> {
        if let Some(bucket) = self.buckets.get_mut(&grant.allocation) {
            bucket.channels = bucket.channels.saturating_add(1);
            return Some(bucket.index);
        }
        let index = self.free_buckets.pop_front()?;
        write(self.share.bucket(index, bucket::BYTE), 0);
        self.buckets.insert(grant.allocation, Bucket { index, channels: 1 });
        self.set_rate(now, grant);
        Some(index)
    }

    /// Fills a bucket as granted if its rate is another one than before.
    fn set_rate(&self, now: Instant, grant: &Grant<A>) {
        let Some(index) = self.buckets.get(&grant.allocation).map(|bucket| bucket.index) else { return };
        let word = |word| self.share.bucket(index, word);
        let (byte, burst) = in_time(grant.rate);
        if (read(word(bucket::BYTE)), read(word(bucket::BURST))) != (byte, burst) {
            let missing = (u128::from(grant.rate.burst.saturating_sub(grant.rate.left)) * u128::from(byte)) >> 16;
            let missing = u64::try_from(missing).unwrap_or(LONGEST).min(LONGEST);
            write(word(bucket::FULL_AT), self.nanos(now).saturating_add(missing));
            write(word(bucket::BYTE), byte);
            write(word(bucket::BURST), burst);
        }
    }

    fn settle_named(&mut self, name: (A, u16)) {
        if let Some(place) = self.places.remove(&name) {
            let told = self.settle(name, &place);
            self.places.insert(name, Place { told, ..place });
        }
    }

    /// Notes what a channel has done since last time; all it has done.
    fn settle(&mut self, (allocation, channel): (A, u16), place: &Place) -> Counts {
        let [up, down] = directions(place.slot);
        let word = |index, word| read(self.share.direction(index, word));
        let traffic =
            |index| Traffic { packets: word(index, direction::PACKETS), bytes: word(index, direction::BYTES) };
        let dropped = word(up, direction::DROPPED).saturating_add(word(down, direction::DROPPED));
        let all = Counts { up: traffic(up), down: traffic(down), dropped };
        let fresh = all.since(place.told);
        if fresh != Counts::default() {
            self.settled.push_back((allocation, channel, fresh));
        }
        all
    }

    fn at(&mut self, slot: u32) -> Option<&mut Option<(A, u16)>> {
        self.names.get_mut(usize::try_from(slot.checked_sub(self.share.first)?).ok()?)
    }

    fn nanos(&self, at: Instant) -> u64 {
        let (base, nanos) = self.clock;
        let whole = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(base) {
            Some(later) => nanos.saturating_add(whole(later)),
            None => nanos.saturating_sub(whole(base.saturating_duration_since(at))),
        }
    }
}

impl<A: Copy + Ord> Drop for Table<A> {
    /// A shard that ends leaves nothing behind: the next one in its place grants anew.
    fn drop(&mut self) {
        self.clear();
    }
}

impl Share {
    fn direction(&self, index: u32, word: usize) -> Option<&AtomicU64> {
        word_of(&self.directions, index, direction::WORDS, word)
    }

    fn bucket(&self, index: u32, word: usize) -> Option<&AtomicU64> {
        word_of(&self.buckets, index, bucket::WORDS, word)
    }
}

impl Route {
    fn of<A>(grant: &Grant<A>) -> Self {
        let Grant { client, server, relayed, peer, reach, .. } = *grant;
        Self { client, server, relayed, peer, reach }
    }

    /// From the client, and from the peer.
    fn keys(&self, channel: u16) -> [Key; 2] {
        [
            Key::new(Ends { source: self.client, target: self.server }, channel),
            Key::new(Ends { source: self.peer, target: self.relayed }, 0),
        ]
    }

    /// To the peer, and to the client.
    fn flows(&self, channel: u16) -> [Flow; 2] {
        [
            Flow::new(Ends { source: self.relayed, target: self.peer }, 0, self.reach == Reach::Inside),
            Flow::new(Ends { source: self.server, target: self.client }, channel, false),
        ]
    }
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            up: self.up.since(before.up),
            down: self.down.since(before.down),
            dropped: self.dropped.saturating_sub(before.dropped),
        }
    }
}

impl Traffic {
    fn since(self, before: Self) -> Self {
        Self { packets: self.packets.saturating_sub(before.packets), bytes: self.bytes.saturating_sub(before.bytes) }
    }
}

/// Up and down.
fn directions(slot: u32) -> [u32; 2] {
    [slot.saturating_mul(2), slot.saturating_mul(2).saturating_add(1)]
}

fn word_of(words: &Words, index: u32, each: usize, word: usize) -> Option<&AtomicU64> {
    words.all().get(usize::try_from(index).ok()?.checked_mul(each)?.checked_add(word)?)
}

fn read(place: Option<&AtomicU64>) -> u64 {
    place.map_or(0, |place| place.load(Relaxed))
}

fn write(place: Option<&AtomicU64>, value: u64) {
    if let Some(place) = place {
        place.store(value, Relaxed);
    }
}

/// What a byte takes, in 1/65536 ns, and a burst, in ns.
fn in_time(rate: Rate) -> (u64, u64) {
    let per_second = u128::from(rate.per_second.max(1));
    let limited = |value: u128| u64::try_from(value).unwrap_or(LONGEST).min(LONGEST);
    let byte = (u128::from(SECOND) << 16) / per_second;
    (limited(byte), limited(u128::from(rate.burst) * u128::from(SECOND) / per_second))
}

const SECOND: u64 = 1_000_000_000;
/// Times beyond mean never, and leave room to add to them.
const LONGEST: u64 = 1 << 62;
const HARVEST: Duration = Duration::from_millis(500);
