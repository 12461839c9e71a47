//! Who gets how much: a subscriber's target shared among the tracks it receives.
//!
//! ```text
//!   audio ─► the lowest layer of every visible track ─► step by step, the most gain per bit first ─► what still fits
//!            (by priority, then by size)                 (camera: sharpness and motion; screen: sharpness)
//! ```
//!
//! Each track's layers are put on a line of diminishing gain, so that the steps of all tracks have one order, whatever the
//! budget; that makes it fair and lets more budget never mean less. A step up needs some room to spare and, after a step
//! down for want of budget, some time: what flaps is worse than what is a little low. Deterministic: the same tracks in the
//! same order with the same history give the same choice.

mod ladder;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::ladder::{Ladders, Rung};
use crate::SlotId;
use crate::bitrate::Bitrate;

/// What is to be shared out among.
#[derive(Debug, Clone, Copy)]
pub struct Track<'a> {
    /// Which track this is.
    pub key: SlotId,
    /// What it shows.
    pub kind: Kind,
    /// The size at which it is shown, in pixels; one that is not shown is paused. Of no account for audio.
    pub pixels: u32,
    /// Its weight, from 0: higher ones come first, and gain more by the same step.
    pub priority: u8,
    /// What can be had of it, in any order. A layer without a rate cannot be had. Of very many only the first count.
    pub layers: &'a [Layer],
}

/// What a track shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Always sent, and before all else.
    Audio,
    /// Gives up resolution and motion alike.
    Camera,
    /// Gives up motion rather than resolution: text must be legible.
    Screen,
}

/// One way of sending a track.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// The spatial layer or simulcast encoding, 0 the lowest.
    pub spatial: u8,
    /// The temporal layer, 0 the lowest.
    pub temporal: u8,
    /// In pixels.
    pub height: u16,
    /// As measured, all lower layers it depends on included.
    pub rate: Bitrate,
}

/// What is decided for one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Which track.
    pub key: SlotId,
    /// What is sent of it.
    pub choice: Choice,
}

/// What is sent of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    Paused,
    /// This layer.
    Layer(Layer),
}

/// Shares out, and remembers what it chose.
#[derive(Debug, Default)]
pub struct Allocator {
    history: BTreeMap<SlotId, History>,
    ladders: Ladders,
    entries: Vec<Entry>,
    steps: Vec<Step>,
    assignments: Vec<Assignment>,
    summary: Summary,
}

#[derive(Debug, Default)]
struct Summary {
    total: Bitrate,
    wanted: Bitrate,
    rounds: u64,
    hold_ends: Option<Instant>,
}

#[derive(Debug)]
struct History {
    /// None if it was paused.
    layer: Option<(u8, u8)>,
    /// Stepped down for want of budget: no step up before.
    held_until: Option<Instant>,
    round: u64,
}

/// A track that is shown, while it is being decided.
#[derive(Debug)]
struct Entry {
    key: SlotId,
    priority: u8,
    pixels: u32,
    rungs: std::ops::Range<usize>,
    /// The rate of what it has now, at the rate it has now.
    current: Bitrate,
    held: bool,
    chosen: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    entry: usize,
    rung: usize,
    below: usize,
    /// Gain per bit.
    slope: f64,
    rate: Bitrate,
}

/// What may be used: all of it to keep what there is, less to step up.
#[derive(Debug, Clone, Copy)]
struct Budget {
    keep: Bitrate,
    rise: Bitrate,
}

impl Choice {
    /// What it takes.
    #[must_use]
    pub fn rate(self) -> Bitrate {
        match self {
            Self::Paused => Bitrate::ZERO,
            Self::Layer(layer) => layer.rate,
        }
    }
}

impl Allocator {
    /// An allocator without history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shares `target` out. The answer has the tracks in the order in which they were given; the sum of its rates exceeds
    /// the target only by audio alone.
    pub fn allocate<'a>(
        &mut self,
        now: Instant,
        target: Bitrate,
        tracks: impl Iterator<Item = Track<'a>> + Clone,
    ) -> &[Assignment] {
        let audio = self.enter(now, tracks.clone());
        let left = target.saturating_sub(audio);
        let rise = target.scale(1.0 / MARGIN).saturating_sub(audio);
        let budget = Budget { keep: left, rise };
        let used = self.lowest(budget);
        let used = self.climb(budget, used);
        let used = self.fill(budget, used);
        self.summary.total = audio.saturating_add(used);
        self.settle(now, tracks);
        &self.assignments
    }

    /// What was decided last.
    #[must_use]
    pub fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    /// What it takes.
    #[must_use]
    pub fn total(&self) -> Bitrate {
        self.summary.total
    }

    /// The target at which every track would have the best that is of use to it: what to probe for.
    #[must_use]
    pub fn wanted(&self) -> Bitrate {
        self.summary.wanted
    }

    /// When to allocate again, though nothing else has changed: a track may step up from then on.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.summary.hold_ends
    }

    /// Takes the tracks in; what audio takes.
    fn enter<'a>(&mut self, now: Instant, tracks: impl Iterator<Item = Track<'a>>) -> Bitrate {
        self.ladders.clear();
        self.entries.clear();
        let (mut audio, mut wanted) = (Bitrate::ZERO, Bitrate::ZERO);
        for track in tracks {
            if track.kind == Kind::Audio {
                audio = audio.saturating_add(loudest(track.layers).rate);
                continue;
            }
            let rungs = self.ladders.build(&track);
            let Some(best) = self.ladders.all(&rungs).last() else { continue };
            wanted = wanted.saturating_add(best.layer.rate);
            let history = self.history.get(&track.key);
            let layer = history.and_then(|history| history.layer);
            let current = track.layers.iter().find(|l| layer == Some((l.spatial, l.temporal)));
            self.entries.push(Entry {
                key: track.key,
                priority: track.priority,
                pixels: track.pixels,
                rungs,
                current: current.map_or(Bitrate::ZERO, |layer| layer.rate),
                held: history.and_then(|history| history.held_until).is_some_and(|until| now < until),
                chosen: None,
            });
        }
        self.summary.wanted = audio.saturating_add(wanted).scale(MARGIN);
        self.entries.sort_by_key(|entry| (std::cmp::Reverse((entry.priority, entry.pixels)), entry.key));
        audio
    }

    /// The lowest layer for everybody, before anybody gets more.
    fn lowest(&mut self, budget: Budget) -> Bitrate {
        let mut used = Bitrate::ZERO;
        for entry in &mut self.entries {
            let Some(rung) = self.ladders.rung(entry.rungs.start) else { continue };
            let next = used.saturating_add(rung.layer.rate);
            let held = entry.held && rung.layer.rate > entry.current;
            if next <= budget.keep && !held {
                entry.chosen = Some(entry.rungs.start);
                used = next;
            }
        }
        used
    }

    /// Step by step, whoever gains most by it.
    fn climb(&mut self, budget: Budget, mut used: Bitrate) -> Bitrate {
        self.steps.clear();
        for (index, entry) in self.entries.iter().enumerate() {
            let steps = self.ladders.steps(&entry.rungs);
            self.steps.extend(steps.map(|(below, rung, slope, rate)| Step { entry: index, rung, below, slope, rate }));
        }
        // Equal gains: the lower step first, so that equals go up together.
        self.steps.sort_by(|a, b| b.slope.total_cmp(&a.slope).then((a.rate, a.entry).cmp(&(b.rate, b.entry))));
        for step in &self.steps {
            let Some(entry) = self.entries.get_mut(step.entry) else { continue };
            if entry.chosen == Some(step.below) {
                used = entry.take(&self.ladders, step.rung, budget, used);
            }
        }
        used
    }

    /// Whatever of the layers between the steps still fits.
    fn fill(&mut self, budget: Budget, mut used: Bitrate) -> Bitrate {
        for entry in &mut self.entries {
            for rung in entry.rungs.clone().rev() {
                if entry.chosen.is_some_and(|chosen| chosen < rung) {
                    used = entry.take(&self.ladders, rung, budget, used);
                }
            }
        }
        used
    }

    /// Writes down what has been decided, and forgets tracks that are gone.
    fn settle<'a>(&mut self, now: Instant, tracks: impl Iterator<Item = Track<'a>>) {
        self.summary.rounds = self.summary.rounds.wrapping_add(1);
        let round = self.summary.rounds;
        for entry in &self.entries {
            let history = self.history.entry(entry.key).or_insert(History { layer: None, held_until: None, round });
            let chosen = entry.chosen.and_then(|rung| self.ladders.rung(rung));
            let rate = chosen.map_or(Bitrate::ZERO, |rung| rung.layer.rate);
            // It would still be of use, and is too dear.
            let best = self.ladders.all(&entry.rungs).last().map_or(Bitrate::ZERO, |rung| rung.layer.rate);
            if rate < entry.current.min(best) {
                history.held_until = now.checked_add(HOLD);
            } else if !entry.held {
                history.held_until = None;
            }
            history.layer = chosen.map(|rung| (rung.layer.spatial, rung.layer.temporal));
            history.round = round;
        }
        self.history.retain(|_, history| history.round == round);
        self.summary.hold_ends = self.history.values().filter_map(|history| history.held_until).min();
        self.assignments.clear();
        for track in tracks {
            let choice = match track.kind {
                Kind::Audio => Choice::Layer(loudest(track.layers)),
                Kind::Camera | Kind::Screen => self.chosen(track),
            };
            self.assignments.push(Assignment { key: track.key, choice });
        }
    }

    fn chosen(&self, track: Track<'_>) -> Choice {
        let layer = self.history.get(&track.key).and_then(|history| history.layer);
        let layer = track.layers.iter().find(|l| layer == Some((l.spatial, l.temporal)));
        layer.map_or(Choice::Paused, |layer| Choice::Layer(*layer))
    }
}

impl Entry {
    /// Goes up to a rung if that can be afforded; what is used then.
    fn take(&mut self, ladders: &Ladders, rung: usize, budget: Budget, used: Bitrate) -> Bitrate {
        let rate = |rung: usize| ladders.rung(rung).map_or(Bitrate::ZERO, |rung: &Rung| rung.layer.rate);
        let now = self.chosen.map_or(Bitrate::ZERO, rate);
        let next = used.saturating_sub(now).saturating_add(rate(rung));
        let rises = rate(rung) > self.current;
        let most = if rises { budget.rise } else { budget.keep };
        if next > most || rises && self.held {
            return used;
        }
        self.chosen = Some(rung);
        next
    }
}

/// Audio has one layer as a rule.
fn loudest(layers: &[Layer]) -> Layer {
    layers.iter().max_by_key(|layer| layer.rate).copied().unwrap_or_default()
}

/// How much more than what it takes there must be before anybody steps up.
const MARGIN: f64 = 1.1;
/// How long a track that had to step down stays there.
const HOLD: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
