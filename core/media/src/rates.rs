//! How much a stream takes, layer by layer, and whether it comes at all.

use std::time::{Duration, Instant};

use crate::bitrate::Bitrate;

/// Of one stream.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    since: Option<Instant>,
    last: Option<Instant>,
    bytes: [[u32; TEMPORAL]; SPATIAL],
    rates: [[Option<Bitrate>; TEMPORAL]; SPATIAL],
    /// It comes, as far as has been told.
    flows: bool,
}

impl Rates {
    /// A packet of a layer has come. `true`: before it, nothing did.
    pub(crate) fn on_packet(&mut self, now: Instant, (spatial, temporal): (u8, u8), size: usize) -> bool {
        let since = *self.since.get_or_insert(now);
        let time = now.saturating_duration_since(since);
        if time >= WINDOW {
            self.fold(time);
            self.since = Some(now);
        }
        self.last = Some(now);
        let layer = self.bytes.get_mut(usize::from(spatial)).and_then(|row| row.get_mut(usize::from(temporal)));
        if let Some(bytes) = layer {
            *bytes = bytes.saturating_add(u32::try_from(size).unwrap_or(u32::MAX));
        }
        !std::mem::replace(&mut self.flows, true)
    }

    /// Whether it comes no more, if that has not been told before.
    pub(crate) fn has_stopped(&mut self, now: Instant) -> bool {
        let quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) > QUIET);
        let stops = self.flows && quiet;
        if stops {
            self.flows = false;
            // What was measured is what it will take when it comes again.
            (self.since, self.bytes) = (None, Default::default());
        }
        stops
    }

    pub(crate) fn flows(&self) -> bool {
        self.flows
    }

    /// What each layer takes with all those below it: spatial, temporal, rate. Nothing before it has been measured.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (u8, u8, Bitrate)> {
        let rate = |spatial: usize, temporal: usize| {
            let rows = self.rates.iter().take(spatial + 1);
            rows.flat_map(|row| row.iter().take(temporal + 1)).filter_map(|rate| *rate).sum::<Bitrate>()
        };
        let all = self.rates.iter().zip(0_u8..).flat_map(|(row, spatial)| {
            row.iter().zip(0_u8..).filter(|(rate, _)| rate.is_some()).map(move |(_, temporal)| (spatial, temporal))
        });
        all.map(move |(spatial, temporal)| (spatial, temporal, rate(spatial.into(), temporal.into())))
    }

    fn fold(&mut self, time: Duration) {
        // After a pause it is as at the beginning.
        let is_first = time > 4 * WINDOW;
        let cells = self.bytes.iter_mut().flatten().zip(self.rates.iter_mut().flatten());
        for (bytes, rate) in cells {
            let measured = Bitrate::of(u64::from(std::mem::take(bytes)), time).unwrap_or_default();
            let smoothed = match *rate {
                Some(before) if !is_first => before.scale(0.5).saturating_add(measured.scale(0.5)),
                Some(_) | None => measured,
            };
            *rate = Some(smoothed).filter(|rate| *rate >= LEAST);
        }
    }
}

/// As measured so long.
const WINDOW: Duration = Duration::from_millis(500);
/// A stream of which nothing has come for so long has stopped. Shared screens that stand still send a picture a second.
const QUIET: Duration = Duration::from_millis(2_500);
/// A layer that takes less is not there.
const LEAST: Bitrate = Bitrate::from_bps(500);
const SPATIAL: usize = 4;
const TEMPORAL: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_measured_with_what_is_below_them() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let start = Instant::now();
        let mut rates = Rates::default();
        assert!(rates.on_packet(start, (0, 0), 0), "it begins");
        for step in 1..=200_u32 {
            let layer = [(0, 0), (0, 1), (1, 0), (1, 1)][usize::try_from(step % 4).unwrap()];
            assert!(!rates.on_packet(start + step * Duration::from_millis(10), layer, 500));
        }
        let layers: Vec<_> = rates.layers().map(|(s, t, rate)| (s, t, (rate.bps() + 5_000) / 10_000)).collect();
        assert_eq!(layers, [(0, 0, 10), (0, 1, 20), (1, 0, 20), (1, 1, 40)], "in 10 kb/s");
        let later = start + Duration::from_secs(10);
        assert!(rates.has_stopped(later) && !rates.has_stopped(later) && !rates.flows());
        assert_eq!(rates.layers().count(), 4, "what was measured is remembered");
        assert!(rates.on_packet(later, (0, 0), 500));
    }
}
