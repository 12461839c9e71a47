//! How long a request waits for its answer, and when it is sent again: RFC 8489 §6.2.1 over datagrams, §6.2.2 over streams.

use std::time::{Duration, Instant};

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP and DTLS: what is lost is sent again.
    Datagrams,
    /// TCP and TLS: nothing is lost, ChannelData is padded.
    Stream,
}

/// The wait of one request.
pub(super) struct Patience {
    carrier: Carrier,
    /// Rc.
    most: u32,
    requests: u32,
    sent_at: Instant,
    due: Instant,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send the same bytes again.
    Again,
    /// Nobody answers.
    GiveUp {
        requests: u32,
    },
}

impl Patience {
    /// The request is sent now.
    pub(super) fn new(now: Instant, carrier: Carrier) -> Self {
        let wait = match carrier {
            Carrier::Datagrams => FIRST_WAIT,
            Carrier::Stream => STREAM_WAIT,
        };
        Self { carrier, most: MOST_REQUESTS, requests: 1, sent_at: now, due: now + wait }
    }

    /// A request over datagrams for which silence is an answer, too: 3.5 s in all.
    pub(super) fn short(now: Instant) -> Self {
        Self { most: SHORT_REQUESTS, ..Self::new(now, Carrier::Datagrams) }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Due {
        if now < self.due {
            return Due::Nothing;
        }
        if self.carrier == Carrier::Stream || self.requests >= self.most {
            return Due::GiveUp { requests: self.requests };
        }
        let wait = FIRST_WAIT * 2_u32.saturating_pow(self.requests);
        self.requests += 1;
        self.due = now + if self.requests == MOST_REQUESTS { LAST_WAIT } else { wait };
        self.sent_at = now;
        Due::Again
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// When the request was sent last.
    pub(super) fn sent_at(&self) -> Instant {
        self.sent_at
    }
}

/// RFC 8489 §6.2.1: RTO, Rc, Rm.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MOST_REQUESTS: u32 = 7;
const SHORT_REQUESTS: u32 = 3;
const LAST_WAIT: Duration = Duration::from_secs(8);
/// RFC 8489 §6.2.2: Ti.
const STREAM_WAIT: Duration = Duration::from_millis(39_500);
