//! What is done because time has passed: each endpoint is looked at when something of it is due, and not before.

use std::time::{Duration, Instant};

use tandem_rtp::Ssrc;
use tandem_rtp::rtcp::ReportBlock;

use super::Plane;
use crate::outbox::Outbox;
use crate::track::Track;

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
            self.settle(now, place, out);
        }
    }

    /// When to call [`Plane::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Looks at an endpoint at that time at the latest.
    pub(super) fn wake(&mut self, place: usize, at: Instant) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        if endpoint.timers.listed.is_some_and(|listed| listed <= at) {
            return;
        }
        if let Some(listed) = endpoint.timers.listed.replace(at) {
            self.due.remove(&(listed, place));
        }
        self.due.insert((at, place));
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
        }
        // Not in the past, or it would be looked at for ever.
        next.inspect(|&at| self.wake(place, at.max(now + SHORTEST)));
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
                if stream.keyframes.poll(now) && endpoint.send_control(out, |writer| writer.pli(own, ssrc)) {
                    counters.keyframes += 1;
                }
            }
        }
    }

    /// How its streams come in (RFC 3550 §6.4.2), once a second.
    fn report(&mut self, now: Instant, place: usize, out: &mut impl Outbox) {
        let Self { endpoints, tracks, .. } = self;
        let Some(endpoint) = endpoints.get_mut(place).filter(|endpoint| endpoint.srtp.is_some()) else { return };
        if endpoint.incoming.tracks.is_empty() || endpoint.timers.report.is_some_and(|at| at > now) {
            return;
        }
        let mut blocks: Vec<ReportBlock> = Vec::new();
        for (_, index) in &endpoint.incoming.tracks {
            let streams = tracks.get_mut(*index).into_iter().flat_map(|track| &mut track.streams);
            blocks.extend(streams.filter_map(|stream| stream.reception.report(now, stream.ssrc?)));
        }
        // A silent room costs nothing.
        endpoint.timers.report = (!blocks.is_empty()).then(|| now + REPORT);
        let own = endpoint.own;
        for blocks in blocks.chunks(MOST_BLOCKS) {
            endpoint.send_control(out, |writer| writer.receiver_report(own, blocks));
        }
        let mine: Vec<usize> = endpoint.incoming.tracks.iter().map(|(_, index)| *index).collect();
        for index in mine {
            if self.tracks.get_mut(index).is_some_and(Track::look) {
                self.choose_all(now, index);
            }
        }
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
/// Between two receiver reports.
pub(super) const REPORT: Duration = Duration::from_secs(1);
/// Nobody is looked at more often.
const SHORTEST: Duration = Duration::from_millis(1);
/// RFC 3550 §6.4: the count has five bits.
const MOST_BLOCKS: usize = 31;
