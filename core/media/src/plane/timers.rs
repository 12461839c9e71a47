//! What is done because time has passed: each endpoint is looked at when something of it is due, and not before.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tandem_rtp::Ssrc;

use super::Plane;
use crate::endpoint::Endpoint;
use crate::outbox::Outbox;

impl Plane {
    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut impl Outbox) {
        while let Some(&(at, place)) = self.due.first().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, place));
            self.with(place, |endpoint| endpoint.timers.listed = None);
            let is_due =
                self.endpoints.get_mut(place).is_some_and(|it| it.transport.poll_timeout().is_some_and(|at| at <= now));
            if is_due {
                self.with(place, |endpoint| endpoint.transport.handle_timeout(now));
            }
            self.tell_arrivals(now, place, out);
            self.ask(now, place, out);
            self.report(now, place, out);
            self.want_less(now, place);
            self.look(now, place);
            self.allocate(now, place);
            self.pace(now, place, out);
            self.settle(now, place, out);
        }
        self.handle_imports(now);
    }

    /// When to call [`Plane::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let imports = self.imports_due.first().map(|(at, _)| *at);
        self.due.first().map(|(at, _)| *at).into_iter().chain(imports).min()
    }

    /// Looks at an endpoint at that time at the latest.
    pub(super) fn wake(&mut self, place: usize, at: Instant) {
        if let Some(endpoint) = self.endpoints.get_mut(place) {
            endpoint.wake(at, (&mut self.due, place));
        }
    }

    /// Looks at an endpoint when something of it is due next.
    pub(super) fn schedule(&mut self, now: Instant, place: usize) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        let mut next = if endpoint.is_over { None } else { endpoint.transport.poll_timeout() };
        let timers = endpoint.timers;
        let mut take = |at: Option<Instant>| next = next.into_iter().chain(at).min();
        if endpoint.srtp.is_some() {
            take(timers.feedback);
            take(timers.report);
            for (_, track) in &endpoint.incoming.tracks {
                let streams = self.tracks.get(*track).into_iter().flat_map(|track| &track.streams);
                streams.for_each(|stream| take(stream.poll_timeout(now)));
            }
            if let Some(downlink) = &endpoint.downlink {
                take(downlink.look_at);
                take(downlink.allocate_at);
                take(downlink.pacer.poll_timeout());
                // Whoever has all that is of use need not be asked.
                let lacks = downlink.needed() > downlink.estimator.target();
                take(downlink.estimator.poll_timeout().filter(|_| lacks));
            }
        }
        for (_, track) in &endpoint.incoming.tracks {
            let track = self.tracks.get(*track).filter(|track| track.is_video());
            take(track.and_then(|track| track.watch.poll_timeout()));
        }
        // Not in the past, or it would be looked at for ever.
        next.inspect(|&at| self.wake(place, at.max(now + SHORTEST)));
    }

    /// Sends what has waited for its turn.
    fn pace(&mut self, now: Instant, place: usize, out: &mut impl Outbox) {
        let Self { endpoints, slots, counters, spares, .. } = self;
        let Some(endpoint) = endpoints.get_mut(place) else { return };
        let filled = endpoint.outgoing.filled;
        let filling = || filled.and_then(|slot| slots.get_mut(slot)?.filling());
        counters.late += endpoint.pace(now, filling, (spares, out));
    }

    /// Which packets have come when, for the peer's own estimate.
    fn tell_arrivals(&mut self, now: Instant, place: usize, out: &mut impl Outbox) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        if endpoint.timers.feedback.is_none_or(|at| at > now) {
            return;
        }
        endpoint.timers.feedback = None;
        let media = endpoint.incoming.any();
        let mut recorder = std::mem::take(&mut endpoint.recorder);
        let own = endpoint.own;
        // A burst can be more than one packet takes; who sends so much is told the rest next time.
        for _ in 0..4 {
            if recorder.waiting() == 0
                || !endpoint.send_control(out, |writer| recorder.write(writer, own, media).map(|_| ()))
            {
                break;
            }
        }
        endpoint.recorder = recorder;
    }

    /// Asks for packets that are missing, and for keyframes.
    fn ask(&mut self, now: Instant, place: usize, out: &mut impl Outbox) {
        let Self { endpoints, tracks, asked, counters, .. } = self;
        let Some(endpoint) = endpoints.get_mut(place).filter(|endpoint| endpoint.srtp.is_some()) else { return };
        let own = endpoint.own;
        for at in 0..endpoint.incoming.tracks.len() {
            let Some(track) = endpoint.incoming.tracks.get(at).and_then(|(_, index)| tracks.get_mut(*index)) else {
                continue;
            };
            if !track.is_video() {
                continue;
            }
            for stream in &mut track.streams {
                let Some(ssrc) = stream.ssrc else { continue };
                asked.clear();
                if stream.missing.take_due(now, endpoint.round_trip, asked) > 0 {
                    stream.keyframes.want();
                }
                if !asked.is_empty() {
                    endpoint.send_control(out, |writer| writer.nack(own, ssrc, asked.iter().copied()));
                }
                if stream.rates.flows()
                    && stream.keyframes.poll(now)
                    && endpoint.send_control(out, |writer| writer.pli(own, ssrc))
                {
                    counters.keyframes += 1;
                }
            }
        }
    }

    /// How its streams come in (RFC 3550 §6.4.2), once a second while something comes: a silent room costs nothing.
    fn report(&mut self, now: Instant, place: usize, out: &mut impl Outbox) {
        let Self { endpoints, tracks, .. } = self;
        let Some(endpoint) = endpoints.get_mut(place) else { return };
        if endpoint.timers.report.take_if(|at| *at <= now).is_none() {
            return;
        }
        let (mut blocks, mut stopped, mut flows) = (Vec::new(), Vec::new(), false);
        for (_, index) in &endpoint.incoming.tracks {
            for stream in tracks.get_mut(*index).into_iter().flat_map(|track| &mut track.streams) {
                if stream.rates.has_stopped(now) {
                    stopped.push(*index);
                }
                flows |= stream.rates.flows();
                blocks.extend(stream.ssrc.and_then(|ssrc| stream.reception.report(now, ssrc)));
            }
        }
        endpoint.timers.report = flows.then(|| now + REPORT);
        let own = endpoint.own;
        for blocks in blocks.chunks(MOST_BLOCKS) {
            endpoint.send_control(out, |writer| writer.receiver_report(own, blocks));
        }
        stopped.into_iter().for_each(|track| self.reconsider_track(now, track));
    }
}

impl Endpoint {
    /// Looks at it at that time at the latest.
    pub(crate) fn wake(&mut self, at: Instant, (due, place): (&mut BTreeSet<(Instant, usize)>, usize)) {
        if self.timers.listed.is_some_and(|listed| listed <= at) {
            return;
        }
        if let Some(listed) = self.timers.listed.replace(at) {
            due.remove(&(listed, place));
        }
        due.insert((at, place));
    }

    /// Something was sent to it, or waits.
    pub(crate) fn wake_after_sending(&mut self, now: Instant, list: (&mut BTreeSet<(Instant, usize)>, usize)) {
        let Some(downlink) = &mut self.downlink else { return };
        let looks = *downlink.look_at.get_or_insert(now + LOOK);
        let at = downlink.pacer.poll_timeout().map_or(looks, |at| at.min(looks));
        self.wake(at, list);
    }
}

impl crate::endpoint::Incoming {
    /// Feedback on a transport names some stream of it.
    fn any(&self) -> Ssrc {
        self.first().unwrap_or(Ssrc(0))
    }
}

/// Between two feedbacks on arrivals.
pub(super) const FEEDBACK: Duration = Duration::from_millis(50);
/// After something was sent, the estimate is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// Between two receiver reports.
pub(super) const REPORT: Duration = Duration::from_secs(1);
/// Nobody is looked at more often.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
/// RFC 3550 §6.4: the count has five bits.
const MOST_BLOCKS: usize = 31;
