//! Over there: tracks that another plane hands on are as if they were published here, but that their publisher is asked by
//! that plane, and that they come only as long as somebody is shown them.

use std::time::{Duration, Instant};

use tandem_rtp::Packet;

use super::Plane;
use super::timers::{REPORT, SHORTEST};
use crate::carrier::{Follows, Import, Origin};
use crate::crossing::{Parcel, Shard, Tells};
use crate::endpoint::Source;
use crate::outbox::Outbox;
use crate::track::Track;
use crate::{Publication, TrackId};

impl Plane {
    /// A track of another plane can be shown from here on. One that is known already stays as it is.
    pub(super) fn import(&mut self, now: Instant, id: TrackId, home: Shard, publication: Publication) -> Option<()> {
        let idle_at = now + IDLE;
        if let Some(&index) = self.names.tracks.get(&id) {
            let track = self.tracks.get_mut(index)?;
            let idle_at = track.slots.is_empty().then_some(idle_at);
            // One that is published here is none.
            track.import_mut()?.idle_at = idle_at;
            idle_at.into_iter().for_each(|at| self.wake_import(index, at));
            return Some(());
        }
        self.serial = self.serial.wrapping_add(1);
        let origin = Origin::There(Box::new(Import::new(home, idle_at)));
        let index = self.tracks.insert(Track::new(now, (id, self.serial), origin, publication));
        self.names.tracks.insert(id, index);
        self.tell(home, Tells::Wanted { track: id, streams: 0 });
        self.wake_import(index, idle_at);
        Some(())
    }

    /// A track that comes from there.
    pub(super) fn imported(&self, from: Shard, track: TrackId) -> Option<usize> {
        let index = *self.names.tracks.get(&track)?;
        self.tracks.get(index)?.import().filter(|import| import.home == from).map(|_| index)
    }

    pub(super) fn on_parcel(
        &mut self,
        now: Instant,
        from: Shard,
        parcel: &Parcel,
        out: &mut impl Outbox,
    ) -> Option<()> {
        let index = self.imported(from, parcel.track)?;
        let source = Source { track: index, stream: parcel.stream.into(), is_rtx: parcel.is_again };
        let packet = Packet::parse(&parcel.bytes).ok()?;
        let track = self.tracks.get_mut(index)?;
        let stream = track.streams.get_mut(source.stream)?;
        let is_lacking = match &mut track.origin {
            Origin::There(import) => import.follow(source.stream, parcel.way)?,
            Origin::Here(_) => return None,
        };
        match is_lacking {
            Follows::Next => {}
            Follows::Gap => stream.keyframes.want(),
            Follows::Anew => {
                self.begin_anew(index, source.stream, packet.ssrc());
                for slot in self.tracks.get(index)?.slots.clone() {
                    self.want_for(now, slot);
                }
            }
        }
        let came = self.take_in(now, source, &parcel.ids, &packet, out);
        came.and_then(|came| came.due).into_iter().for_each(|at| self.wake_import(index, at));
        let import = self.tracks.get_mut(index)?.import_mut()?;
        if import.look_at.is_none() {
            let at = now + REPORT;
            import.look_at = Some(at);
            self.wake_import(index, at);
        }
        Some(())
    }

    /// How many streams of a track are wanted here. Its home is told if that is something else.
    pub(super) fn ask_for(&mut self, index: usize, streams: u8) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let id = track.id;
        let Some(import) = track.import_mut() else { return };
        if std::mem::replace(&mut import.told, streams) != streams {
            let home = import.home;
            self.tell(home, Tells::Wanted { track: id, streams });
        }
    }

    /// Who is shown a track has changed: sound that nobody is shown does not come, and what nobody has been shown for a while
    /// is forgotten.
    pub(super) fn mind_import(&mut self, now: Instant, index: usize) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let (is_shown, is_muted, is_video) = (!track.slots.is_empty(), track.is_muted, track.is_video());
        let Some(import) = track.import_mut() else { return };
        import.idle_at = (!is_shown).then_some(now + IDLE);
        let idle_at = import.idle_at;
        if !is_video {
            self.ask_for(index, u8::from(is_shown && !is_muted));
        }
        idle_at.into_iter().for_each(|at| self.wake_import(index, at));
    }

    /// Looks at an imported track at that time at the latest.
    pub(super) fn wake_import(&mut self, index: usize, at: Instant) {
        let Self { tracks, imports_due, .. } = self;
        let Some(import) = tracks.get_mut(index).and_then(Track::import_mut) else { return };
        if import.listed.is_some_and(|listed| listed <= at) {
            return;
        }
        if let Some(listed) = import.listed.replace(at) {
            imports_due.remove(&(listed, index));
        }
        imports_due.insert((at, index));
    }

    /// Time has passed.
    pub(super) fn handle_imports(&mut self, now: Instant) {
        while let Some(&(at, index)) = self.imports_due.first().filter(|(at, _)| *at <= now) {
            self.imports_due.remove(&(at, index));
            let Some(track) = self.tracks.get_mut(index) else { continue };
            let is_shown = !track.slots.is_empty();
            let id = track.id;
            let Some(import) = track.import_mut() else { continue };
            import.listed = None;
            let home = import.home;
            if !is_shown && import.idle_at.is_some_and(|at| at <= now) {
                self.tell(home, Tells::Dropped { track: id });
                // It is there: it has just been found.
                let _ = self.drop_track(now, index);
                continue;
            }
            self.ask_home(now, index, home);
            self.look_after_import(now, index);
            let next = self.tracks.get(index).and_then(|track| track.next_look(now));
            next.into_iter().for_each(|at| self.wake_import(index, at.max(now + SHORTEST)));
        }
    }

    /// Asks for keyframes. Packets that are missing the home asks its publisher for.
    fn ask_home(&mut self, now: Instant, index: usize, home: Shard) {
        let Self { tracks, asked, across, .. } = self;
        let Some(track) = tracks.get_mut(index).filter(|track| track.is_video()) else { return };
        let id = track.id;
        for (stream, number) in track.streams.iter_mut().zip(0..) {
            asked.clear();
            if stream.missing.take_due(now, AGAIN, asked) > 0 {
                stream.keyframes.want();
            }
            if stream.rates.flows() && stream.keyframes.poll(now) {
                let tells = Tells::Keyframe { track: id, stream: number };
                across.push_back((home, crate::Crossing(tells)));
            }
        }
    }

    /// Streams that have stopped, and those of which less is wanted.
    fn look_after_import(&mut self, now: Instant, index: usize) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let less = if track.is_video() { track.watch.handle_timeout(now) } else { None };
        let looks = track.import_mut().is_some_and(|import| import.look_at.take_if(|at| *at <= now).is_some());
        let mut has_stopped = false;
        if looks {
            track.streams.iter_mut().for_each(|stream| has_stopped |= stream.rates.has_stopped(now));
            let flows = track.streams.iter().any(|stream| stream.rates.flows());
            track.import_mut().into_iter().for_each(|import| import.look_at = flows.then(|| now + REPORT));
        }
        less.into_iter().for_each(|streams| self.ask_for(index, streams));
        if has_stopped {
            self.reconsider_track(now, index);
        }
    }
}

impl Track {
    /// When something of one that is imported is due.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let import = self.import()?;
        let streams = self.streams.iter().filter_map(|stream| stream.poll_timeout(now));
        let watch = if self.is_video() { self.watch.poll_timeout() } else { None };
        streams.chain(import.look_at).chain(import.idle_at).chain(watch).min()
    }
}

/// A track that nobody is shown is forgotten after so long: whoever has just looked away may look again.
const IDLE: Duration = Duration::from_secs(3);
/// So long after each other a packet is missed that the home may still get from its publisher.
const AGAIN: Duration = Duration::from_millis(100);
