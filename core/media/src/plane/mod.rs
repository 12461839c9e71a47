//! The machine: endpoints, tracks, and who gets what.

mod commands;
mod control;
mod incoming;
mod outgoing;
mod timers;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use slab::Slab;
use tandem_rtp::Ssrc;
use tandem_rtp::ext::Ids;
use tandem_rtp::rtcp::Recorder;
use tandem_webrtc::{
    Breadth, Channel, ChannelId, Credentials, Message, NotACandidate, NotSent, Protocol, Remote, Transport,
};
use thiserror::Error;

use crate::command::Event;
use crate::endpoint::{Endpoint, Incoming, Source, Timers};
use crate::forward::{Forward, NOWHERE};
use crate::outbox::Outbox;
use crate::selection::Layer;
use crate::track::Track;
use crate::{EndpointId, Publication, Subscription, Tally, TrackId};

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

/// Somebody or something that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unknown {
    /// No such peer.
    #[error("there is no endpoint {0:?}")]
    Endpoint(EndpointId),
    /// No such track, or it is not this peer's, or this peer does not get it.
    #[error("there is no track {0:?} there")]
    Track(TrackId),
}

/// What a plane has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams nobody was known for.
    pub strangers: u64,
    /// Packets that were not authentic, replayed, malformed, or of no stream that was agreed on.
    pub refused: u64,
    /// Media packets that have come.
    pub received: u64,
    /// Media packets that have gone on.
    pub forwarded: u64,
    /// Packets that were sent again.
    pub retransmitted: u64,
    /// Packets a subscriber missed and could not be given any more.
    pub gone: u64,
    /// Keyframes publishers were asked for.
    pub keyframes: u64,
    /// Commands about somebody or something that was not there.
    pub in_vain: u64,
}

impl Counters {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            strangers: self.strangers + other.strangers,
            refused: self.refused + other.refused,
            received: self.received + other.received,
            forwarded: self.forwarded + other.forwarded,
            retransmitted: self.retransmitted + other.retransmitted,
            gone: self.gone + other.gone,
            keyframes: self.keyframes + other.keyframes,
            in_vain: self.in_vain + other.in_vain,
        }
    }
}

/// How a track comes in, by stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackTally {
    /// Packets and bytes of payload of each of its streams.
    pub streams: Vec<(u64, u64)>,
}

/// The media plane of one shard.
pub struct Plane {
    config: Config,
    endpoints: Slab<Endpoint>,
    tracks: Slab<Track>,
    forwards: Slab<Forward>,
    names: Names,
    /// Who wants to be looked at when; each endpoint once at most.
    due: BTreeSet<(Instant, usize)>,
    events: std::collections::VecDeque<Event>,
    counters: Counters,
    random: Random,
    /// Numbers to ask for, of the stream being looked at.
    asked: Vec<u16>,
}

/// Who is meant.
struct Names {
    endpoints: HashMap<EndpointId, usize, RandomState>,
    tracks: HashMap<TrackId, usize, RandomState>,
    addresses: HashMap<(Protocol, SocketAddr), usize, RandomState>,
    ufrags: HashMap<String, usize, RandomState>,
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
            forwards: Slab::new(),
            names: Names {
                endpoints: HashMap::with_hasher(map()),
                tracks: HashMap::with_hasher(map()),
                addresses: HashMap::with_hasher(map()),
                ufrags: HashMap::with_hasher(map()),
            },
            due: BTreeSet::new(),
            events: std::collections::VecDeque::new(),
            counters: Counters::default(),
            random: Random { state: RandomState::with_seeds(seed[3], seed[2], seed[1], seed[0]), count: 0 },
            asked: Vec::new(),
        }
    }

    /// A peer that will come, with what it is told of us. `false`: the name or the ufrag is taken.
    pub fn add(&mut self, now: Instant, id: EndpointId, credentials: Credentials, ids: Ids) -> bool {
        self.add_peer(now, id, (credentials, Breadth::Browsers), ids)
    }

    /// The same, with what is known of it.
    pub fn add_peer(
        &mut self,
        now: Instant,
        id: EndpointId,
        (credentials, breadth): (Credentials, Breadth),
        ids: Ids,
    ) -> bool {
        if self.names.endpoints.contains_key(&id) || self.names.ufrags.contains_key(&credentials.ufrag) {
            return false;
        }
        let ufrag = credentials.ufrag.clone();
        let foreign = self.config.foreign.as_ref().filter(|_| breadth == Breadth::Everybody);
        let transports = foreign.unwrap_or(&self.config.transports).clone();
        let transport = Transport::new(now, transports, credentials, self.random.next(), &self.config.listens);
        let place = self.endpoints.insert(Endpoint {
            id,
            ufrag: ufrag.clone(),
            transport,
            srtp: None,
            path: None,
            sources: Vec::new(),
            ids,
            own: Ssrc(self.random.word()),
            incoming: Incoming::default(),
            outgoing: Default::default(),
            slots: Default::default(),
            recorder: Recorder::new(),
            transport_sequence: 0,
            timers: Timers::default(),
            round_trip: FIRST_ROUND_TRIP,
            is_over: false,
        });
        self.names.endpoints.insert(id, place);
        self.names.ufrags.insert(ufrag, place);
        self.schedule(now, place);
        true
    }

    /// What a peer's description says.
    ///
    /// # Errors
    /// There is no such peer.
    pub fn set_remote(
        &mut self,
        now: Instant,
        id: EndpointId,
        remote: Remote,
        out: &mut impl Outbox,
    ) -> Result<(), Unknown> {
        let place = self.place(id)?;
        self.with(place, |endpoint| endpoint.transport.set_remote(now, remote));
        self.settle(now, place, out);
        Ok(())
    }

    /// A candidate of a peer, `candidate:…`.
    ///
    /// # Errors
    /// There is no such peer. What is no candidate is in the result.
    pub fn add_candidate(
        &mut self,
        now: Instant,
        id: EndpointId,
        line: &str,
        out: &mut impl Outbox,
    ) -> Result<Result<(), NotACandidate>, Unknown> {
        let place = self.place(id)?;
        let added = self.with(place, |endpoint| endpoint.transport.add_candidate(now, line));
        self.settle(now, place, out);
        Ok(added.unwrap_or(Ok(())))
    }

    /// Other header extensions were agreed on with a peer.
    ///
    /// # Errors
    /// There is no such peer.
    pub fn set_extensions(&mut self, id: EndpointId, ids: Ids) -> Result<(), Unknown> {
        let place = self.place(id)?;
        self.with(place, |endpoint| endpoint.ids = ids);
        Ok(())
    }

    /// ICE begins anew with a peer (RFC 8445 §9). `Ok(false)`: the ufrag is taken.
    ///
    /// # Errors
    /// There is no such peer.
    pub fn restart_ice(
        &mut self,
        now: Instant,
        id: EndpointId,
        credentials: Credentials,
        out: &mut impl Outbox,
    ) -> Result<bool, Unknown> {
        let place = self.place(id)?;
        if self.names.ufrags.contains_key(&credentials.ufrag) {
            return Ok(false);
        }
        let ufrag = credentials.ufrag.clone();
        let before = self.with(place, |endpoint| {
            endpoint.transport.restart_ice(now, credentials);
            std::mem::replace(&mut endpoint.ufrag, ufrag.clone())
        });
        before.map(|before| self.names.ufrags.remove(&before));
        self.names.ufrags.insert(ufrag, place);
        self.settle(now, place, out);
        Ok(true)
    }

    /// Says good-bye to a peer and forgets it, with its tracks and with what it gets.
    pub fn remove(&mut self, now: Instant, id: EndpointId, out: &mut impl Outbox) {
        let Some(place) = self.names.endpoints.remove(&id) else { return };
        self.with(place, |endpoint| endpoint.transport.close(now));
        self.settle(now, place, out);
        let mine: Vec<TrackId> =
            self.tracks.iter().filter(|(_, track)| track.endpoint == place).map(|(_, track)| track.id).collect();
        for track in mine {
            // It is there: it has just been found.
            let _ = self.unpublish(track);
        }
        let gets: Vec<usize> =
            self.endpoints.get(place).into_iter().flat_map(|it| it.outgoing.values().copied()).collect();
        gets.into_iter().for_each(|forward| self.drop_forward(forward));
        if let Some(endpoint) = self.endpoints.try_remove(place) {
            self.names.ufrags.remove(&endpoint.ufrag);
            for source in &endpoint.sources {
                if self.names.addresses.get(source) == Some(&place) {
                    self.names.addresses.remove(source);
                }
            }
            endpoint.timers.listed.map(|at| self.due.remove(&(at, place)));
        }
    }

    /// A peer sends a track.
    ///
    /// # Errors
    /// There is no such peer, or the track is there already.
    pub fn publish(&mut self, id: EndpointId, track: TrackId, publication: Publication) -> Result<(), Unknown> {
        let place = self.place(id)?;
        if self.names.tracks.contains_key(&track) {
            return Err(Unknown::Track(track));
        }
        let index = self.tracks.insert(Track::new(track, place, publication));
        self.names.tracks.insert(track, index);
        let (Some(endpoint), Some(track)) = (self.endpoints.get_mut(place), self.tracks.get(index)) else {
            return Ok(());
        };
        endpoint.incoming.tracks.push((track.spec.mid.clone(), index));
        for (stream, spec) in track.spec.streams.iter().enumerate().take(track.streams.len()) {
            let mut insert = |ssrc: Option<Ssrc>, is_rtx| {
                ssrc.map(|ssrc| endpoint.incoming.insert(ssrc, Source { track: index, stream, is_rtx }))
            };
            insert(spec.ssrc, false);
            insert(spec.rtx, true);
        }
        Ok(())
    }

    /// A track is not sent any more; whoever gets it does not, either.
    ///
    /// # Errors
    /// There is no such track.
    pub fn unpublish(&mut self, track: TrackId) -> Result<(), Unknown> {
        let index = self.names.tracks.remove(&track).ok_or(Unknown::Track(track))?;
        let Some(gone) = self.tracks.try_remove(index) else { return Err(Unknown::Track(track)) };
        for place in gone.forwards {
            // Slots stay, for another track.
            let is_slot = self.forwards.get(place).is_some_and(|forward| forward.want.is_some());
            match self.forwards.get_mut(place).filter(|_| is_slot) {
                Some(forward) => {
                    forward.track = NOWHERE;
                    forward.retarget();
                }
                None => self.drop_forward(place),
            }
        }
        self.with(gone.endpoint, |endpoint| endpoint.incoming.remove(index));
        Ok(())
    }

    /// A peer gets a track from here on: the layers that [`Plane::want`] says, at first none.
    ///
    /// # Errors
    /// There is no such peer or track.
    pub fn subscribe(&mut self, id: EndpointId, track: TrackId, subscription: Subscription) -> Result<(), Unknown> {
        let place = self.place(id)?;
        let index = *self.names.tracks.get(&track).ok_or(Unknown::Track(track))?;
        self.find_forward(place, index).inspect(|&forward| self.drop_forward(forward));
        let first = self.random.short();
        let (Some(endpoint), Some(of)) = (self.endpoints.get_mut(place), self.tracks.get_mut(index)) else {
            return Err(Unknown::Track(track));
        };
        let ssrcs = [Some(subscription.ssrc), subscription.rtx];
        let forward = self.forwards.insert(Forward::new((place, index), subscription, first, of.is_video()));
        of.forwards.push(forward);
        endpoint.outgoing.extend(ssrcs.into_iter().flatten().map(|ssrc| (ssrc, forward)));
        Ok(())
    }

    /// A peer does not get a track any more.
    ///
    /// # Errors
    /// There is no such peer or track, or it did not get it.
    pub fn unsubscribe(&mut self, id: EndpointId, track: TrackId) -> Result<(), Unknown> {
        let forward = self.forward_of(id, track)?;
        self.drop_forward(forward);
        Ok(())
    }

    /// How much of a track a peer is to get; `None`: nothing for now.
    ///
    /// # Errors
    /// There is no such peer or track, or it does not get it.
    pub fn want(&mut self, now: Instant, id: EndpointId, track: TrackId, layer: Option<Layer>) -> Result<(), Unknown> {
        let place = self.forward_of(id, track)?;
        let Some(forward) = self.forwards.get_mut(place) else { return Err(Unknown::Track(track)) };
        forward.selection.want(layer);
        let waits = forward.selection.waits_for();
        let index = forward.track;
        self.want_keyframe(now, index, waits);
        Ok(())
    }

    /// Opens a data channel. `Ok(None)`: the connection does not stand, or there are too many.
    ///
    /// # Errors
    /// There is no such peer.
    pub fn open(
        &mut self,
        now: Instant,
        id: EndpointId,
        channel: &Channel,
        out: &mut impl Outbox,
    ) -> Result<Option<ChannelId>, Unknown> {
        let place = self.place(id)?;
        let Channel { label, protocol, ordered, reliability, .. } = channel;
        let opened = self.with(place, |it| it.transport.open(now, label, protocol, *ordered, *reliability));
        self.settle(now, place, out);
        Ok(opened.flatten())
    }

    /// Uses a data channel that was agreed on elsewhere. `Ok(false)`: its number is taken.
    ///
    /// # Errors
    /// There is no such peer.
    pub fn agree(
        &mut self,
        now: Instant,
        id: EndpointId,
        channel: Channel,
        out: &mut impl Outbox,
    ) -> Result<bool, Unknown> {
        let place = self.place(id)?;
        let agreed = self.with(place, |endpoint| endpoint.transport.agree(now, channel));
        self.settle(now, place, out);
        Ok(agreed == Some(true))
    }

    /// Says something by a data channel.
    ///
    /// # Errors
    /// There is no such peer. Whether the channel has taken it is in the result.
    pub fn send(
        &mut self,
        now: Instant,
        id: EndpointId,
        message: &Message,
        out: &mut impl Outbox,
    ) -> Result<Result<(), NotSent>, Unknown> {
        let place = self.place(id)?;
        let Message { channel, is_text, bytes } = message;
        let sent = self.with(place, |endpoint| endpoint.transport.send(now, *channel, *is_text, bytes));
        self.settle(now, place, out);
        Ok(sent.unwrap_or(Err(NotSent::NotOpen)))
    }

    /// What has happened; drain after every call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What a peer has got of a track.
    ///
    /// # Errors
    /// There is no such peer or track, or it does not get it.
    pub fn tally(&self, id: EndpointId, track: TrackId) -> Result<Tally, Unknown> {
        let forward = self.forward_of(id, track)?;
        self.forwards.get(forward).map(|forward| forward.tally).ok_or(Unknown::Track(track))
    }

    /// What has come of a track.
    ///
    /// # Errors
    /// There is no such track.
    pub fn track_tally(&self, track: TrackId) -> Result<TrackTally, Unknown> {
        let found = self.names.tracks.get(&track).and_then(|&index| self.tracks.get(index));
        let streams = found.ok_or(Unknown::Track(track))?.streams.iter();
        Ok(TrackTally { streams: streams.map(|stream| (stream.reception.received(), stream.bytes)).collect() })
    }

    /// Peers, tracks, and ways of tracks to peers.
    pub fn census(&self) -> (usize, usize, usize) {
        (self.endpoints.len(), self.tracks.len(), self.forwards.len())
    }

    fn place(&self, id: EndpointId) -> Result<usize, Unknown> {
        self.names.endpoints.get(&id).copied().ok_or(Unknown::Endpoint(id))
    }

    fn with<R>(&mut self, place: usize, act: impl FnOnce(&mut Endpoint) -> R) -> Option<R> {
        self.endpoints.get_mut(place).map(act)
    }

    fn forward_of(&self, id: EndpointId, track: TrackId) -> Result<usize, Unknown> {
        let place = self.place(id)?;
        let index = *self.names.tracks.get(&track).ok_or(Unknown::Track(track))?;
        self.find_forward(place, index).ok_or(Unknown::Track(track))
    }

    fn find_forward(&self, endpoint: usize, track: usize) -> Option<usize> {
        let gets = self.endpoints.get(endpoint)?.outgoing.values();
        gets.copied().find(|&forward| self.forwards.get(forward).is_some_and(|forward| forward.track == track))
    }

    fn drop_forward(&mut self, place: usize) {
        let Some(forward) = self.forwards.try_remove(place) else { return };
        if let Some(track) = self.tracks.get_mut(forward.track) {
            track.forwards.retain(|&other| other != place);
        }
        self.with(forward.endpoint, |endpoint| {
            endpoint.outgoing.retain(|_, other| *other != place);
            endpoint.slots.retain(|_, other| *other != place);
        });
    }
}

/// Until one has been measured.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
