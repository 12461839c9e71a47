//! What rooms share: settings, the way out, timers, tokens, which transport belongs to whom, counters.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tandem_api::signal::{Note, Reason, ServerFrame};

use crate::family::Errand;
use crate::interface::{Config, Now, Output, TransportId};
use crate::passes::Passes;
use crate::planes::Planes;
use crate::timers::Timers;
use crate::tokens::Tokens;

/// A room, for as long as it exists; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoomKey(pub u64);

/// A participant's place: `number` is the digits of its identity `p7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub room: RoomKey,
    pub number: u32,
}

/// Why something was not done; the sentence names what was expected and what came.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub reason: Reason,
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// A deadline, however far away a setting puts it.
pub(crate) fn deadline(now: Now, wait: Duration) -> Instant {
    now.instant.checked_add(wait).unwrap_or(now.instant + A_YEAR)
}

/// What the engine has done and holds, in O(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rooms that exist, empty ones that were made beforehand included.
    pub rooms: usize,
    /// Sessions that run: rooms with somebody in them.
    pub sessions: usize,
    /// Everyone with a place, those who ring or are away included.
    pub participants: usize,
    /// Transports that belong to somebody.
    pub transports: usize,
    /// Resume tokens that would be accepted.
    pub tokens: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Connections to the media plane.
    pub legs: usize,
    /// Tracks that are sent to it.
    pub tracks: usize,
    /// Joins that were let in, so far.
    pub joins: u64,
    /// Places that were taken again after a lost transport, so far.
    pub resumes: u64,
    /// Requests that were processed, so far.
    pub requests: u64,
    /// Joins, resumes and requests that were refused, so far.
    pub refusals: u64,
    /// Events that were told, so far.
    pub events: u64,
    /// Participants put out because they read too slowly, so far.
    pub too_slow: u64,
}

pub(crate) struct Context {
    pub config: Config,
    pub timers: Timers,
    pub tokens: Tokens,
    pub seats: BTreeMap<TransportId, Seat>,
    pub planes: Planes,
    pub passes: Passes,
    /// What rooms have agreed to, and is not done yet.
    pub errands: VecDeque<Errand>,
    /// When what is being handled came.
    pub unix_ms: u64,
    pub stats: Stats,
    out: VecDeque<Output>,
}

impl Context {
    pub(crate) fn new(mut config: Config, seed: [u8; 32]) -> Self {
        Self {
            planes: Planes::new(std::mem::take(&mut config.planes)),
            config,
            timers: Timers::default(),
            tokens: Tokens::new(seed),
            seats: BTreeMap::new(),
            passes: Passes::default(),
            errands: VecDeque::new(),
            unix_ms: 0,
            stats: Stats::default(),
            out: VecDeque::new(),
        }
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        if output.is_none() && self.out.capacity() > OUTPUTS_KEPT {
            // After a burst the memory goes back.
            self.out = VecDeque::new();
        }
        output
    }

    pub(crate) fn note(&mut self, transport: TransportId, note: Note) {
        self.emit(Output::Send { transport, frame: ServerFrame::Note(note) });
    }

    /// Says why and closes.
    pub(crate) fn refuse(&mut self, transport: TransportId, refusal: Refusal) {
        self.stats.refusals += 1;
        self.note(transport, Note::Refused { reason: refusal.reason, detail: refusal.detail, fatal: true });
        self.emit(Output::Close { transport });
    }
}

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const OUTPUTS_KEPT: usize = 1024;
