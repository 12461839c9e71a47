//! Which packets of a track a subscriber gets: one of its simulcast layers, of that the spatial and temporal layers up to a
//! bound. It changes where the codec allows it, and only there.

/// What one packet is, as far as layers go. Comes from the payload descriptor, or from the dependency descriptor where frames
/// are encrypted end to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// First packet of a frame.
    pub(crate) starts: bool,
    /// Last packet of a frame; of one spatial layer, where there are several.
    pub(crate) ends: bool,
    /// The picture can be decoded without any other.
    pub(crate) is_keyframe: bool,
    /// Of SVC; 0 otherwise.
    pub(crate) spatial: u8,
    /// 0 where there is but one.
    pub(crate) temporal: u8,
    /// Whoever has seen all lower temporal layers can go on with this one from here.
    pub(crate) switches_up: bool,
}

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
        match &mut self.current {
            Some(current) if current.stream == stream => {
                // Where another stream is wanted, this one goes on until that one's keyframe is there.
                let goal = if wanted.stream == stream { wanted } else { *current };
                current.adapt(goal, shape);
                current.judge(shape)
            }
            _ if stream == wanted.stream && shape.is_keyframe && shape.starts => {
                let mut now = Layer { stream, spatial: 0, temporal: 0 };
                now.adapt(wanted, shape);
                // A keyframe begins everything.
                (now.spatial, now.temporal) = (wanted.spatial, wanted.temporal);
                self.current = Some(now);
                match now.judge(shape) {
                    Verdict::Pass { marks, .. } => Verdict::Pass { switched: true, marks },
                    other => other,
                }
            }
            _ => Verdict::Other,
        }
    }
}

impl Layer {
    /// Goes towards what is wanted, as far as this packet allows.
    fn adapt(&mut self, wanted: Self, shape: &Shape) {
        if !shape.starts {
            return;
        }
        // Down at any frame; a spatial layer down only where a picture begins, or this one would not be finished.
        self.temporal = self.temporal.min(wanted.temporal);
        if shape.spatial == 0 {
            self.spatial = self.spatial.min(wanted.spatial);
        }
        if shape.is_keyframe {
            (self.spatial, self.temporal) = (wanted.spatial, wanted.temporal);
        }
        if shape.switches_up && shape.temporal > self.temporal && shape.temporal <= wanted.temporal {
            self.temporal = shape.temporal;
        }
    }

    fn judge(self, shape: &Shape) -> Verdict {
        if shape.spatial > self.spatial || shape.temporal > self.temporal {
            return Verdict::Skip;
        }
        Verdict::Pass { switched: false, marks: shape.ends && shape.spatial == self.spatial }
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
        Shape { starts: true, ends: true, temporal, ..Shape::default() }
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
        assert_eq!(selection.judge(0, &Shape { switches_up: true, ..frame(1) }), PASS);
        assert_eq!(selection.judge(0, &frame(2)), Verdict::Skip);
        assert_eq!(selection.judge(0, &Shape { switches_up: true, ..frame(2) }), PASS);
    }

    #[test]
    fn a_frame_is_never_cut_in_its_middle() {
        let mut selection = Selection::default();
        selection.want(Some(layer(0, 0, 1)));
        selection.judge(0, &keyframe());
        let begin = Shape { ends: false, switches_up: true, ..frame(1) };
        assert_eq!(selection.judge(0, &begin), Verdict::Pass { switched: false, marks: false });
        selection.want(Some(layer(0, 0, 0)));
        let end = Shape { starts: false, ..frame(1) };
        assert_eq!(selection.judge(0, &end), PASS);
    }

    #[test]
    fn spatial_layers_are_left_out_above_the_bound_and_the_last_one_kept_ends_the_picture() {
        let mut selection = Selection::default();
        selection.want(Some(layer(0, 1, 0)));
        let part = |spatial, is_keyframe| Shape { spatial, is_keyframe, ..frame(0) };
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
