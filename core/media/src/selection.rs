//! Which packets of a track a subscriber gets: one of its simulcast layers, of that the spatial and temporal layers up to a
//! bound. It changes where the codec allows it, and only there.
//!
//! All layers below the bound go on, also those that a picture of the bound does not need (K-SVC): so whoever has to do with
//! less at once can.

use crate::shape::{Gate, Needs, Shape};

/// Layers up to these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Which of the streams a publisher sends of one picture; 0 is the smallest.
    pub stream: u8,
    /// Highest spatial layer inside of it.
    pub spatial: u8,
    /// Highest temporal layer inside of it.
    pub temporal: u8,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on; whether it begins another stream, and whether it is the last one of its picture now.
    Pass { switched: bool, marks: bool },
    /// It is left out, and those after it close up.
    Skip,
    /// It is of another stream.
    Other,
}

/// What one subscriber gets of one track.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    wanted: Option<Layer>,
    /// What it gets: the stream it has had a keyframe of.
    current: Option<Layer>,
    has: History,
}

/// Which frames, as dependency descriptors number them, a subscriber has got lately.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    /// The newest one.
    newest: Option<u16>,
    /// The lowest bit is the newest one's, those above it are those before it.
    got: u64,
}

impl Selection {
    /// What it is to get; `None`: nothing.
    pub(crate) fn want(&mut self, layer: Option<Layer>) {
        self.wanted = layer;
        if layer.is_none() {
            self.current = None;
        }
    }

    /// A stream begins anew: whoever gets it needs a keyframe again.
    pub(crate) fn begin_anew(&mut self, stream: u8) {
        self.current.take_if(|current| current.stream == stream);
    }

    pub(crate) fn current(&self) -> Option<Layer> {
        self.current
    }

    pub(crate) fn wanted(&self) -> Option<Layer> {
        self.wanted
    }

    /// The stream that a keyframe is needed of, so that it gets what it is to get.
    pub(crate) fn waits_for(&self) -> Option<u8> {
        let wanted = self.wanted?;
        match self.current {
            Some(current) if current.stream == wanted.stream => {
                (current.spatial < wanted.spatial).then_some(wanted.stream)
            }
            _ => Some(wanted.stream),
        }
    }

    /// Whether a packet goes on.
    pub(crate) fn judge(&mut self, stream: u8, shape: &Shape) -> Verdict {
        let Some(wanted) = self.wanted else { return Verdict::Other };
        let verdict = match &mut self.current {
            Some(current) if current.stream == stream => {
                // Where another stream is wanted, this one goes on until that one's keyframe is there.
                let goal = if wanted.stream == stream { wanted } else { *current };
                current.adapt(goal, shape, self.has);
                current.judge(shape)
            }
            _ if stream == wanted.stream && shape.is_keyframe && shape.starts => {
                // A keyframe begins everything.
                self.current = Some(wanted);
                self.has = History::default();
                match wanted.judge(shape) {
                    Verdict::Pass { marks, .. } => Verdict::Pass { switched: true, marks },
                    other => other,
                }
            }
            _ => Verdict::Other,
        };
        if let (Verdict::Pass { .. }, true, Gate::Targets { frame, .. }) = (verdict, shape.starts, shape.gate) {
            self.has.add(frame);
        }
        verdict
    }
}

impl Layer {
    /// Goes towards what is wanted, as far as this packet allows.
    fn adapt(&mut self, wanted: Self, shape: &Shape, has: History) {
        if !shape.starts {
            return;
        }
        if shape.is_keyframe {
            (self.spatial, self.temporal) = (wanted.spatial, wanted.temporal);
            return;
        }
        // Down only where a picture begins, or this one would not be finished.
        if shape.begins {
            self.temporal = self.temporal.min(wanted.temporal);
            self.spatial = self.spatial.min(wanted.spatial);
        }
        self.climb(wanted, shape, has);
    }

    /// Goes up in time where the frame is one at which that can be done. In space a keyframe is needed: where only upper layers
    /// begin anew, what is below them has ended its picture already when they come.
    fn climb(&mut self, wanted: Self, shape: &Shape, has: History) {
        let gets = shape.spatial <= self.spatial && shape.temporal <= self.temporal;
        // One that it does not get yet can only be the first of its picture, or some of that would be missing.
        let could_get = shape.begins && shape.spatial <= self.spatial && shape.temporal <= wanted.temporal;
        let temporal = match shape.gate {
            Gate::Lower if could_get => shape.temporal,
            // RFC 9628 §4.2: pictures of higher temporal layers need none before this one. Deviation: who gets only those
            // below goes on with this one, too: encoders mean that it needs no other of its layer.
            Gate::Above if gets => wanted.temporal,
            Gate::Above if could_get => shape.temporal,
            // AV1 RTP §A.4: from a frame that can be decoded and is a switch for a target, all of that target can be.
            Gate::Targets { frame, needs, switches } if gets || could_get && has.all(frame, needs) => {
                switches.temporal(self.spatial).map_or(0, |temporal| temporal.min(wanted.temporal))
            }
            Gate::Closed | Gate::Lower | Gate::Above | Gate::Targets { .. } => 0,
        };
        self.temporal = self.temporal.max(temporal);
    }

    fn judge(self, shape: &Shape) -> Verdict {
        if shape.spatial > self.spatial || shape.temporal > self.temporal {
            return Verdict::Skip;
        }
        Verdict::Pass { switched: false, marks: shape.ends && shape.spatial == self.spatial }
    }
}

impl History {
    fn add(&mut self, frame: u16) {
        let ahead = self.newest.map_or(i16::MAX, |newest| frame.wrapping_sub(newest).cast_signed());
        if ahead > 0 {
            self.got = self.got.checked_shl(u32::from(ahead.unsigned_abs())).unwrap_or(0) | 1;
            self.newest = Some(frame);
        } else {
            // One that was overtaken.
            self.got |= 1_u64.checked_shl(u32::from(ahead.unsigned_abs())).unwrap_or(0);
        }
    }

    /// Whether all are there that a frame needs.
    fn all(self, frame: u16, needs: Needs) -> bool {
        let ahead = self.newest.map_or(0, |newest| frame.wrapping_sub(newest).cast_signed());
        let Some(between) = u32::from(ahead.max(0).unsigned_abs()).checked_sub(1) else { return false };
        let got = self.got.checked_shl(between).unwrap_or(0);
        needs.are_in(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn layer(stream: u8, spatial: u8, temporal: u8) -> Layer {
        Layer { stream, spatial, temporal }
    }

    const PASS: Verdict = Verdict::Pass { switched: false, marks: true };
    const SWITCH: Verdict = Verdict::Pass { switched: true, marks: true };

    /// A frame of one packet.
    fn frame(temporal: u8) -> Shape {
        Shape { starts: true, begins: true, ends: true, temporal, ..Shape::default() }
    }

    fn keyframe() -> Shape {
        Shape { is_keyframe: true, ..frame(0) }
    }

    #[test]
    fn nothing_goes_on_before_a_keyframe() {
        let mut selection = Selection::default();
        assert_eq!((selection.judge(0, &keyframe()), selection.waits_for()), (Verdict::Other, None));
        selection.want(Some(layer(1, 0, 0)));
        assert_eq!((selection.judge(1, &frame(0)), selection.waits_for()), (Verdict::Other, Some(1)));
        // The middle of one is none.
        assert_eq!(selection.judge(1, &Shape { starts: false, ..keyframe() }), Verdict::Other);
        assert_eq!((selection.judge(1, &keyframe()), selection.waits_for()), (SWITCH, None));
        assert_eq!(selection.judge(1, &frame(0)), PASS);
        assert_eq!(selection.judge(0, &keyframe()), Verdict::Other);
    }

    #[test]
    fn the_old_stream_goes_on_until_the_new_one_can_begin() {
        let mut selection = Selection::default();
        selection.want(Some(layer(0, 0, 2)));
        assert_eq!(selection.judge(0, &keyframe()), SWITCH);
        selection.want(Some(layer(2, 0, 2)));
        assert_eq!(selection.waits_for(), Some(2));
        assert_eq!((selection.judge(0, &frame(2)), selection.judge(2, &frame(0))), (PASS, Verdict::Other));
        assert_eq!((selection.judge(2, &keyframe()), selection.judge(0, &frame(0))), (SWITCH, Verdict::Other));
        assert_eq!(selection.current(), Some(layer(2, 0, 2)));
    }

    #[test]
    fn temporal_layers_go_down_at_once_and_up_where_they_can() {
        let mut selection = Selection::default();
        selection.want(Some(layer(0, 0, 2)));
        selection.judge(0, &keyframe());
        selection.want(Some(layer(0, 0, 0)));
        assert_eq!(selection.judge(0, &frame(2)), Verdict::Skip);
        assert_eq!((selection.judge(0, &frame(0)), selection.judge(0, &frame(1))), (PASS, Verdict::Skip));
        selection.want(Some(layer(0, 0, 2)));
        assert_eq!(selection.waits_for(), None);
        assert_eq!(selection.judge(0, &frame(1)), Verdict::Skip);
        assert_eq!(selection.judge(0, &Shape { gate: Gate::Lower, ..frame(1) }), PASS);
        assert_eq!(selection.judge(0, &frame(2)), Verdict::Skip);
        assert_eq!(selection.judge(0, &Shape { gate: Gate::Lower, ..frame(2) }), PASS);
    }

    #[test]
    fn a_frame_is_never_cut_in_its_middle() {
        let mut selection = Selection::default();
        selection.want(Some(layer(0, 0, 1)));
        selection.judge(0, &keyframe());
        let begin = Shape { ends: false, gate: Gate::Lower, ..frame(1) };
        assert_eq!(selection.judge(0, &begin), Verdict::Pass { switched: false, marks: false });
        selection.want(Some(layer(0, 0, 0)));
        let end = Shape { starts: false, ..frame(1) };
        assert_eq!(selection.judge(0, &end), PASS);
    }

    #[test]
    fn spatial_layers_are_left_out_above_the_bound_and_the_last_one_kept_ends_the_picture() {
        let mut selection = Selection::default();
        selection.want(Some(layer(0, 1, 0)));
        let part = |spatial, is_keyframe| Shape { spatial, is_keyframe, begins: spatial == 0, ..frame(0) };
        let verdicts =
            |selection: &mut Selection, key: bool| [0, 1, 2].map(|s| selection.judge(0, &part(s, key && s == 0)));
        let (more, switch) =
            (Verdict::Pass { switched: false, marks: false }, Verdict::Pass { switched: true, marks: false });
        assert_eq!(verdicts(&mut selection, true), [switch, PASS, Verdict::Skip]);
        assert_eq!(verdicts(&mut selection, false), [more, PASS, Verdict::Skip]);
        // Down from the next picture on, up with the next keyframe only.
        selection.want(Some(layer(0, 0, 0)));
        assert_eq!(verdicts(&mut selection, false), [PASS, Verdict::Skip, Verdict::Skip]);
        selection.want(Some(layer(0, 2, 0)));
        assert_eq!(selection.waits_for(), Some(0));
        assert_eq!(verdicts(&mut selection, false), [PASS, Verdict::Skip, Verdict::Skip]);
        assert_eq!(verdicts(&mut selection, true), [more, more, PASS]);
        assert_eq!(selection.waits_for(), None);
    }

    #[test]
    fn who_is_to_get_nothing_gets_nothing_and_needs_a_keyframe_again() {
        let mut selection = Selection::default();
        selection.want(Some(layer(0, 0, 0)));
        selection.judge(0, &keyframe());
        selection.want(None);
        assert_eq!((selection.judge(0, &keyframe()), selection.waits_for()), (Verdict::Other, None));
        selection.want(Some(layer(0, 0, 0)));
        assert_eq!((selection.judge(0, &frame(0)), selection.waits_for()), (Verdict::Other, Some(0)));
    }
}
