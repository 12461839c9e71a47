//! The layers of a track in the order of what they take and give.
//!
//! A layer that takes more and gives no more is left out. Of the rest, those on the upper hull are the steps: each gains less
//! per bit than the one before, so a track never has to take a bad step to reach a good one.

use std::ops::Range;

use super::{Kind, Layer, Track};
use crate::bitrate::Bitrate;

/// The ladders of all tracks, one after another.
#[derive(Debug, Default)]
pub(super) struct Ladders {
    rungs: Vec<Rung>,
}

/// A layer that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rung {
    pub(super) layer: Layer,
    gain: f64,
    /// One of the steps, not only something between two of them.
    step: bool,
}

impl Ladders {
    pub(super) fn clear(&mut self) {
        self.rungs.clear();
    }

    /// Takes the layers of a track in. A track that is not shown has no rungs.
    pub(super) fn build(&mut self, track: &Track<'_>) -> Range<usize> {
        let start = self.rungs.len();
        if track.pixels == 0 {
            return start..start;
        }
        let layers = track.layers.iter().take(LAYERS).filter(|layer| layer.rate.bps() > 0);
        // Each size has its own full motion: of one that sleeps, or has no slower variants, a single layer is known.
        let top = |size: u8| layers.clone().filter(|layer| layer.spatial == size).map(|layer| layer.temporal).max();
        let rung = |layer: &Layer| {
            let gain = gain(track, layer, top(layer.spatial).unwrap_or(0));
            Rung { layer: *layer, gain, step: false }
        };
        self.rungs.extend(layers.clone().map(rung));
        let all = self.rungs.get_mut(start..).unwrap_or_default();
        all.sort_by(|a, b| a.layer.rate.cmp(&b.layer.rate).then(b.gain.total_cmp(&a.gain)));
        let mut best = f64::NEG_INFINITY;
        let mut kept = start;
        for index in start..self.rungs.len() {
            if let Some(rung) = self.rungs.get(index).copied().filter(|rung| rung.gain > best) {
                best = rung.gain;
                if let Some(slot) = self.rungs.get_mut(kept) {
                    *slot = rung;
                }
                kept += 1;
            }
        }
        self.rungs.truncate(kept);
        self.mark(start);
        start..kept
    }

    pub(super) fn all(&self, range: &Range<usize>) -> &[Rung] {
        self.rungs.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn rung(&self, index: usize) -> Option<&Rung> {
        self.rungs.get(index)
    }

    /// The steps above the lowest: from which rung, to which, the gain per bit, and the rate.
    pub(super) fn steps(&self, range: &Range<usize>) -> impl Iterator<Item = (usize, usize, f64, Bitrate)> {
        let mut below = range.start;
        range.clone().skip(1).filter_map(move |index| {
            let (from, to) = (self.rungs.get(below)?, self.rungs.get(index)?);
            to.step.then(|| {
                let step = (below, index, slope(from, to), to.layer.rate);
                below = index;
                step
            })
        })
    }

    /// Finds the upper hull: from each step to that rung above it to which the gain per bit is highest.
    fn mark(&mut self, start: usize) {
        let mut at = start;
        while let Some(from) = self.rungs.get(at).copied() {
            if let Some(rung) = self.rungs.get_mut(at) {
                rung.step = true;
            }
            let above = self.rungs.iter().enumerate().skip(at + 1);
            let next = above.map(|(index, to)| (index, slope(&from, to))).max_by(|a, b| {
                // The nearer of two that are equally good.
                a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))
            });
            let Some((index, _)) = next else { return };
            at = index;
        }
    }
}

fn slope(from: &Rung, to: &Rung) -> f64 {
    let bits = to.layer.rate.saturating_sub(from.layer.rate).as_f64().max(1.0);
    (to.gain - from.gain) / bits
}

/// What a layer is worth at the size at which it is shown. At full resolution and motion the square root of that size, so
/// that large pictures are worth more, but not so much more that they leave nothing to the small ones.
fn gain(track: &Track<'_>, layer: &Layer, top: u8) -> f64 {
    let shown = f64::from(track.pixels);
    let height = f64::from(layer.height);
    let useful = (height * height * WIDE).min(shown);
    let slower = i32::from(top.saturating_sub(layer.temporal));
    let (sharpness, motion) = match track.kind {
        Kind::Audio | Kind::Camera => (useful.sqrt(), CAMERA_MOTION),
        Kind::Screen => (useful / shown.sqrt(), SCREEN_MOTION),
    };
    (1.0 + f64::from(track.priority)) * sharpness * motion.powi(slower)
}

/// Pictures are taken to be 16 wide and 9 high.
const WIDE: f64 = 16.0 / 9.0;
/// What half the frames are worth.
const CAMERA_MOTION: f64 = 0.75;
const SCREEN_MOTION: f64 = 0.92;
/// Three encodings of four temporal layers are twelve.
const LAYERS: usize = 32;
