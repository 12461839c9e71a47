//! Who gets how much: a subscriber's estimate, shared out among its slots.

use std::ops::Range;
use std::time::Instant;

use super::Plane;
use crate::SlotId;
use crate::allocate::{self, Assignment, Choice, Kind};
use crate::bitrate::Bitrate;
use crate::command::Event;
use crate::selection::Layer;
use crate::track::{STREAM, Stream, Track};

/// What there is to be shared out among; memory that is used again and again.
#[derive(Default)]
pub(super) struct Shares {
    entries: Vec<Entry>,
    layers: Vec<allocate::Layer>,
    /// Some of it comes.
    flows: bool,
}

struct Entry {
    slot: usize,
    key: SlotId,
    kind: Kind,
    pixels: u32,
    priority: u8,
    layers: Range<usize>,
}

impl Plane {
    /// Something has changed that a peer's allocation depends on.
    pub(super) fn reconsider(&mut self, now: Instant, place: usize) {
        let downlink = self.endpoints.get_mut(place).and_then(|endpoint| endpoint.downlink.as_mut());
        let at = downlink.map(|downlink| downlink.want_allocation(now));
        at.into_iter().for_each(|at| self.wake(place, at));
    }

    /// Something has changed about a track: of interest to whoever gets it, and nobody else.
    pub(super) fn reconsider_track(&mut self, now: Instant, track: usize) {
        for at in 0.. {
            let slot = self.tracks.get(track).and_then(|track| track.slots.get(at));
            let Some(slot) = slot.and_then(|&slot| self.slots.get(slot)) else { return };
            self.reconsider(now, slot.endpoint);
        }
    }

    /// Shares out what a peer's way carries, if it is time.
    pub(super) fn allocate(&mut self, now: Instant, place: usize) {
        let downlink = self.endpoints.get_mut(place).and_then(|endpoint| endpoint.downlink.as_mut());
        let Some(downlink) = downlink.filter(|downlink| downlink.allocate_at.is_some_and(|at| at <= now)) else {
            return;
        };
        downlink.begin_allocation(now);
        let mut shares = std::mem::take(&mut self.shares);
        self.collect(now, place, &mut shares);
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        let can_probe = endpoint.can_probe();
        let Some(downlink) = &mut endpoint.downlink else { return };
        let (mut target, lowest) = (downlink.estimator.target(), shares.lowest());
        // Who tells nothing, or cannot be asked, could never be found able to take more than nothing; at the
        // beginning nothing is known. And rather a little too much than no picture at all.
        if !downlink.heard || !can_probe || downlink.is_new(now) || lowest <= target.scale(TOLERANCE) {
            target = target.max(lowest);
        }
        downlink.flows = shares.flows;
        let assignments = downlink.allocator.allocate(now, target, shares.tracks());
        let chosen: &mut Vec<Assignment> = &mut self.chosen;
        chosen.clear();
        chosen.extend_from_slice(assignments);
        for at in 0..shares.entries.len() {
            let Some((entry, assigned)) = shares.entries.get(at).zip(self.chosen.get(at)) else { break };
            if entry.kind != Kind::Audio {
                self.assign(now, entry.slot, assigned.choice);
            }
        }
        self.shares = shares;
        self.probe(now, place);
    }

    /// All that a peer is to see or hear.
    fn collect(&self, now: Instant, place: usize, shares: &mut Shares) {
        shares.entries.clear();
        shares.layers.clear();
        shares.flows = false;
        let slots = self.endpoints.get(place).into_iter().flat_map(|endpoint| &endpoint.outgoing.slots);
        for (&key, &slot) in slots {
            let Some(it) = self.slots.get(slot) else { continue };
            let Some(track) = it.shows.and_then(|track| self.tracks.get(track)).filter(|track| !track.is_muted) else {
                continue;
            };
            if !it.takes(&track.spec.payloads) || track.is_video() && it.want.height == 0 {
                continue;
            }
            let start = shares.layers.len();
            track.candidates(now, it.want.most, &mut shares.layers);
            shares.flows |= track.is_video() && track.streams.iter().any(|stream| stream.rates.flows());
            let height = u32::from(it.want.height);
            shares.entries.push(Entry {
                slot,
                key,
                kind: track.spec.kind,
                pixels: (height * height / 9).saturating_mul(16),
                priority: it.want.priority,
                layers: start..shares.layers.len(),
            });
        }
    }

    /// What a slot of pictures gets from here on.
    fn assign(&mut self, now: Instant, place: usize, choice: Choice) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        let Some(track) = slot.shows.and_then(|track| self.tracks.get(track)) else { return };
        let (layer, demand) = match choice {
            Choice::Paused => (None, 0),
            Choice::Layer(layer) => {
                let stream = layer.spatial / STREAM;
                (Some(reachable(track, layer, slot.want.most)), stream + 1)
            }
        };
        slot.selection.want(layer);
        self.demand(now, place, demand);
        self.tell_layer(place);
        self.want_for(now, place);
    }

    /// A slot wants so many streams of what it shows.
    pub(super) fn demand(&mut self, now: Instant, place: usize, streams: u8) {
        let Some(slot) = self.slots.get_mut(place) else { return };
        let before = std::mem::replace(&mut slot.demand, streams);
        let Some((index, track)) = slot.shows.and_then(|track| Some((track, self.tracks.get_mut(track)?))) else {
            return;
        };
        if before == streams || !track.is_video() {
            return;
        }
        let (id, publisher) = (track.id, track.publisher());
        let (more, due) = (track.watch.change(now, before, streams), track.watch.poll_timeout());
        if let Some(publisher) = publisher {
            self.events.extend(more.map(|streams| Event::Watched { track: id, streams }));
            due.into_iter().for_each(|at| self.wake(publisher, at));
        } else {
            more.into_iter().for_each(|streams| self.ask_for(index, streams));
            due.into_iter().for_each(|at| self.wake_import(index, at));
        }
    }

    /// Less of a peer's tracks is wanted than before.
    pub(super) fn want_less(&mut self, now: Instant, place: usize) {
        let Self { endpoints, tracks, events, .. } = self;
        for (_, track) in endpoints.get(place).into_iter().flat_map(|endpoint| &endpoint.incoming.tracks) {
            let Some(track) = tracks.get_mut(*track).filter(|track| track.is_video()) else { continue };
            let less = track.watch.handle_timeout(now);
            events.extend(less.map(|streams| Event::Watched { track: track.id, streams }));
        }
    }

    /// Looks after a peer's estimate.
    pub(super) fn look(&mut self, now: Instant, place: usize) {
        let Some(downlink) = self.endpoints.get_mut(place).and_then(|it| it.downlink.as_mut()) else { return };
        let looks = downlink.look_at.take_if(|at| *at <= now).is_some();
        let is_due = downlink.estimator.poll_timeout().is_some_and(|at| at <= now);
        if is_due {
            downlink.estimator.handle_timeout(now);
        }
        if looks || is_due {
            let is_stale = downlink.is_stale(now);
            if downlink.follow(now) || is_stale {
                self.reconsider(now, place);
            }
            self.probe(now, place);
        }
    }

    /// Asks a peer's way for more, if it is time and more could be used.
    pub(super) fn probe(&mut self, now: Instant, place: usize) {
        let Some(endpoint) = self.endpoints.get_mut(place).filter(|endpoint| endpoint.can_probe()) else { return };
        let Some(downlink) = endpoint.downlink.as_mut() else { return };
        let needed = downlink.needed();
        if let Some(probe) = downlink.estimator.poll_probe(now, needed) {
            downlink.pacer.start_probe(now, probe);
            self.wake(place, now);
        }
    }
}

impl Shares {
    fn tracks(&self) -> impl Iterator<Item = allocate::Track<'_>> + Clone {
        self.entries.iter().map(|entry| allocate::Track {
            key: entry.key,
            kind: entry.kind,
            pixels: entry.pixels,
            priority: entry.priority,
            layers: self.layers.get(entry.layers.clone()).unwrap_or_default(),
        })
    }

    /// What the least of everything takes.
    fn lowest(&self) -> Bitrate {
        let lowest = |track: allocate::Track<'_>| track.layers.iter().map(|layer| layer.rate).min();
        self.tracks().filter_map(lowest).sum()
    }
}

/// What is to be asked for so that a layer comes: of a stream that sleeps, something else until it has woken.
fn reachable(track: &Track, layer: allocate::Layer, most: Option<Layer>) -> Layer {
    let most = most.unwrap_or(super::slots::ALL);
    let (stream, spatial) = (layer.spatial / STREAM, layer.spatial % STREAM);
    let flows = |stream: &u8| track.streams.get(usize::from(*stream)).is_some_and(|it| it.rates.flows());
    if !flows(&stream) {
        let other = (0..stream).rev().find(flows).or_else(|| (stream + 1..=most.stream.min(STREAM)).find(flows));
        if let Some(stream) = other {
            return Layer { stream, ..most };
        }
    }
    // The highest there is: of that whatever will come.
    let measured = track.streams.get(usize::from(stream)).into_iter().flat_map(Stream::layers);
    let top = measured.fold((0, 0), |(s, t): (u8, u8), (spatial, temporal, _)| (s.max(spatial), t.max(temporal)));
    let open = |chosen: u8, top: u8, most: u8| if chosen >= top { most } else { chosen };
    Layer { stream, spatial: open(spatial, top.0, most.spatial), temporal: open(layer.temporal, top.1, most.temporal) }
}

/// Estimates are no better than this.
const TOLERANCE: f64 = 1.25;
