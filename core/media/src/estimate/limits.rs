//! Three things that bound the target besides delay and loss: an application with little to say, a far end that has fallen
//! silent, and what a peer without transport-wide feedback reports.

use std::time::Duration;

use super::aimd::Demand;
use super::{Bitrate, LEAST, MOST};

/// Does the application use the target? A bucket that fills at a share of it and is drained by what is sent.
#[derive(Debug)]
pub(super) struct Use {
    rate: Bitrate,
    spare: u64,
    at: u64,
    demand: Demand,
}

impl Use {
    pub(super) fn new(target: Bitrate) -> Self {
        Self { rate: target.scale(USED), spare: 0, at: 0, demand: Demand::Full }
    }

    pub(super) fn set_target(&mut self, now: u64, target: Bitrate) {
        self.fill(now);
        self.rate = target.scale(USED);
    }

    pub(super) fn on_sent(&mut self, now: u64, size: u64) {
        self.fill(now);
        self.spare = self.spare.saturating_sub(size);
        if self.spare < self.full() / 2 {
            self.demand = Demand::Full;
        }
    }

    pub(super) fn demand(&mut self, now: u64) -> Demand {
        self.fill(now);
        if self.spare > self.full() / 5 * 4 {
            self.demand = Demand::Little;
        }
        self.demand
    }

    fn fill(&mut self, now: u64) {
        let time = Duration::from_micros(now.saturating_sub(self.at));
        self.at = self.at.max(now);
        self.spare = self.spare.saturating_add(self.rate.bytes_in(time)).min(self.full());
    }

    fn full(&self) -> u64 {
        self.rate.bytes_in(USE_WINDOW)
    }
}

/// Packets go out and nothing comes back: the target is halved again and again, and taken back by degrees afterwards.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// There has been feedback once; a peer that never gives any is none of this.
    expected: bool,
    /// When the oldest packet not answered was sent, and how many there are.
    since: Option<u64>,
    unanswered: u32,
    halved: Option<u64>,
    cap: Option<Bitrate>,
}

impl Silence {
    pub(super) fn cap(&self) -> Option<Bitrate> {
        self.cap
    }

    pub(super) fn on_sent(&mut self, now: u64) {
        self.since.get_or_insert(now);
        self.unanswered = self.unanswered.saturating_add(1);
    }

    pub(super) fn on_feedback(&mut self, now: u64, rtt: Duration, target: Bitrate) {
        self.expected = true;
        self.since = None;
        self.unanswered = 0;
        let Some(cap) = self.cap else { return };
        if self.halved.is_some_and(|at| now.saturating_sub(at) < micros(rtt.max(RESUME))) {
            return;
        }
        self.halved = Some(now);
        let cap = cap.scale(1.5);
        self.cap = (cap < target).then_some(cap);
    }

    pub(super) fn due(&self, rtt: Duration) -> Option<u64> {
        if !self.expected || self.unanswered < UNANSWERED || self.cap.is_some_and(|cap| cap <= LEAST) {
            return None;
        }
        let from = self.since?.max(self.halved.unwrap_or(0));
        Some(from.saturating_add(micros(PATIENCE + rtt * 2)))
    }

    pub(super) fn handle_timeout(&mut self, now: u64, rtt: Duration, target: Bitrate) {
        if self.due(rtt).is_some_and(|due| now >= due) {
            self.halved = Some(now);
            self.cap = Some(self.cap.unwrap_or(target).min(target).scale(0.5).max(LEAST));
        }
    }
}

/// Receiver reports (RFC 3550 §6.4) and REMB (draft-alvestrand-rmcat-remb-03), for peers that give nothing better.
#[derive(Debug)]
pub(super) struct Reports {
    target: Bitrate,
    remb: Option<Bitrate>,
    reported: Option<u64>,
    reduced: Option<u64>,
}

impl Reports {
    pub(super) fn new(start: Bitrate) -> Self {
        Self { target: start, remb: None, reported: None, reduced: None }
    }

    /// What reports alone allow.
    pub(super) fn target(&self) -> Bitrate {
        self.target
    }

    /// What the receiver wants at most.
    pub(super) fn remb(&self) -> Option<Bitrate> {
        self.remb
    }

    pub(super) fn on_remb(&mut self, most: Bitrate) {
        let most = most.clamp(LEAST, MOST);
        self.remb = Some(most);
        self.target = self.target.min(most);
    }

    /// Below 2 % up by 8 % a second, above 10 % down by half of what was lost (draft-ietf-rmcat-gcc-02 §6).
    pub(super) fn on_loss(&mut self, now: u64, lost: f64, rtt: Duration, demand: Demand) {
        let time = self.reported.replace(now).map_or(0, |at| now.saturating_sub(at));
        if lost > 0.10 {
            let pause = micros(REPORT_PAUSE + rtt);
            if self.reduced.is_none_or(|at| now.saturating_sub(at) >= pause) {
                self.reduced = Some(now);
                self.target = self.target.scale(1.0 - 0.5 * lost).max(LEAST);
            }
        } else if lost < 0.02 && demand == Demand::Full {
            let seconds = Duration::from_micros(time).as_secs_f64().min(5.0);
            let most = self.remb.unwrap_or(MOST);
            self.target = self.target.scale(1.08_f64.powf(seconds)).min(most);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const USED: f64 = 0.65;
const USE_WINDOW: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(500);
const RESUME: Duration = Duration::from_millis(100);
const UNANSWERED: u32 = 5;
const REPORT_PAUSE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_that_sends_half_of_the_target_has_little_to_say() {
        let mut used = Use::new(Bitrate::from_kbps(1_000));
        for n in 0..200 {
            used.on_sent(n * 20_000, 1_250);
        }
        assert_eq!(used.demand(4_000_000), Demand::Little);
        for n in 0..200 {
            used.on_sent(4_000_000 + n * 10_000, 1_250);
        }
        assert_eq!(used.demand(6_000_000), Demand::Full);
    }

    #[test]
    fn silence_halves_again_and_again_and_ends_by_degrees() {
        let mut silence = Silence::default();
        let (rtt, target) = (Duration::from_millis(100), Bitrate::from_kbps(1_000));
        silence.on_feedback(0, rtt, target);
        for n in 0..10 {
            silence.on_sent(n);
        }
        let due = silence.due(rtt).unwrap();
        silence.handle_timeout(due, rtt, target);
        assert_eq!(silence.cap(), Some(Bitrate::from_kbps(500)));
        let due = silence.due(rtt).unwrap();
        silence.handle_timeout(due, rtt, target);
        assert_eq!(silence.cap(), Some(Bitrate::from_kbps(250)));
        for n in 1..=4 {
            silence.on_feedback(due + n * 200_000, rtt, target);
        }
        assert_eq!(silence.cap(), None);
    }

    #[test]
    fn a_peer_that_never_gave_feedback_is_not_silent() {
        let mut silence = Silence::default();
        for n in 0..1_000 {
            silence.on_sent(n);
        }
        assert_eq!(silence.due(Duration::ZERO), None);
    }

    #[test]
    fn reports_go_up_without_loss_and_down_with_it() {
        let mut reports = Reports::new(Bitrate::from_kbps(1_000));
        let rtt = Duration::from_millis(50);
        for n in 0..=10 {
            reports.on_loss(n * 1_000_000, 0.0, rtt, Demand::Full);
        }
        let up = reports.target();
        assert!(up > Bitrate::from_kbps(2_100), "{up}");
        reports.on_loss(11_000_000, 0.05, rtt, Demand::Full);
        assert_eq!(reports.target(), up);
        for n in 0..100 {
            reports.on_loss(12_000_000 + n, 0.2, rtt, Demand::Full);
        }
        assert_eq!(reports.target(), up.scale(0.9), "a flood of reports counts once");
        reports.on_remb(Bitrate::from_kbps(400));
        assert_eq!(reports.target(), Bitrate::from_kbps(400));
    }
}
