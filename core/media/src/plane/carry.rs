//! At home: a track is handed to other planes, once to each that asks for it, however many are shown it there.

use std::sync::Arc;
use std::time::Instant;

use tandem_rtp::Packet;
use tandem_rtp::ext::Ids;
use tandem_rtp::rtcp::SenderInfo;

use super::Plane;
use crate::TrackId;
use crate::carrier::Carrier;
use crate::command::Event;
use crate::crossing::{Crossing, Parcel, Shard, Tells};
use crate::endpoint::Source;
use crate::outbox::Outbox;

impl Plane {
    /// What another plane tells.
    pub fn handle_crossing(&mut self, now: Instant, from: Shard, crossing: Crossing, out: &mut impl Outbox) {
        if self.heed(now, from, crossing.0, out).is_none() {
            self.counters.ignored += 1;
        }
    }

    /// What is for another plane, and for which; drain after every call.
    pub fn poll_crossing(&mut self) -> Option<(Shard, Crossing)> {
        self.across.pop_front()
    }

    pub(super) fn tell(&mut self, shard: Shard, tells: Tells) {
        self.across.push_back((shard, Crossing(tells)));
    }

    /// `None`: it is about something that is not there (any more).
    fn heed(&mut self, now: Instant, from: Shard, tells: Tells, out: &mut impl Outbox) -> Option<()> {
        match tells {
            Tells::Wanted { track, streams } => self.on_wanted(now, from, track, streams),
            Tells::Keyframe { track, stream } => {
                let index = self.local(track)?;
                self.want_keyframe(now, index, Some(stream));
                Some(())
            }
            Tells::Dropped { track } => {
                let index = self.local(track)?;
                self.forget_carrier(now, index, from)
            }
            Tells::Packet(parcel) => self.on_parcel(now, from, &parcel, out),
            Tells::Clock { track, stream, info } => {
                let index = self.imported(from, track)?;
                self.pass_clock(now, (index, stream), &info, out);
                Some(())
            }
            Tells::Muted { track, muted } => {
                let index = self.imported(from, track)?;
                self.stop(now, index, muted)
            }
            Tells::Gone { track } => {
                let index = self.imported(from, track)?;
                self.drop_track(now, index)
            }
            Tells::Heard { group, track, level } => self.on_heard(now, from, (group, track), level),
            Tells::Silent { group, track } => self.on_silent(from, group, track),
            Tells::Said { group, to, lane, bytes } => self.on_said(now, (group, to), lane, &bytes, out),
            Tells::Missed { group } => self.on_missed(now, group, out),
            Tells::Lost => {
                self.on_lost(now, from);
                Some(())
            }
        }
    }

    /// A track whose publisher is connected here.
    fn local(&self, track: TrackId) -> Option<usize> {
        let index = *self.names.tracks.get(&track)?;
        self.tracks.get(index)?.publisher().map(|_| index)
    }

    fn on_wanted(&mut self, now: Instant, from: Shard, id: TrackId, streams: u8) -> Option<()> {
        let Some(index) = self.local(id) else {
            // It was gone before this was asked.
            self.tell(from, Tells::Gone { track: id });
            return None;
        };
        let Self { tracks, across, events, serial, .. } = self;
        let track = tracks.get_mut(index)?;
        let streams = streams.min(u8::try_from(track.streams.len()).unwrap_or(u8::MAX));
        let place = track.carriers.iter().position(|carrier| carrier.shard == from).unwrap_or_else(|| {
            track.carriers.push(Carrier::new(from));
            if track.is_muted {
                across.push_back((from, Crossing(Tells::Muted { track: id, muted: true })));
            }
            track.carriers.len() - 1
        });
        let carrier = track.carriers.get_mut(place)?;
        let before = std::mem::replace(&mut carrier.streams, streams);
        for stream in before..streams {
            *serial = serial.wrapping_add(1);
            carrier.begin(stream.into(), *serial);
        }
        let publisher = track.publisher()?;
        let due = track.is_video().then(|| {
            let more = track.watch.change(now, before, streams);
            events.extend(more.map(|streams| Event::Watched { track: id, streams }));
            track.watch.poll_timeout()
        });
        due.flatten().into_iter().for_each(|at| self.wake(publisher, at));
        Some(())
    }

    /// What was held back is no gap.
    pub(super) fn begin_carrying_anew(&mut self, index: usize) {
        let Self { tracks, serial, .. } = self;
        let Some(track) = tracks.get_mut(index) else { return };
        for carrier in &mut track.carriers {
            for stream in 0..carrier.streams {
                *serial = serial.wrapping_add(1);
                carrier.begin(stream.into(), *serial);
            }
        }
    }

    fn forget_carrier(&mut self, now: Instant, index: usize, shard: Shard) -> Option<()> {
        let track = self.tracks.get_mut(index)?;
        let place = track.carriers.iter().position(|carrier| carrier.shard == shard)?;
        let before = track.carriers.swap_remove(place).streams;
        let publisher = track.publisher()?;
        if track.is_video() {
            track.watch.change(now, before, 0);
            let due = track.watch.poll_timeout();
            due.into_iter().for_each(|at| self.wake(publisher, at));
        }
        Some(())
    }

    /// A packet that is new goes to each plane that has asked for its stream.
    pub(super) fn carry(&mut self, source: Source, ids: &Ids, packet: &Packet<'_>) {
        let Self { tracks, across, counters, .. } = self;
        let Some(track) = tracks.get_mut(source.track).filter(|track| !track.is_muted) else { return };
        let Ok(stream) = u8::try_from(source.stream) else { return };
        let mut bytes: Option<Arc<[u8]>> = None;
        for carrier in &mut track.carriers {
            let Some(way) = carrier.next(source.stream) else { continue };
            let bytes = bytes.get_or_insert_with(|| packet.bytes().into()).clone();
            let parcel = Parcel { track: track.id, stream, is_again: source.is_rtx, way, ids: *ids, bytes };
            across.push_back((carrier.shard, Crossing(Tells::Packet(Box::new(parcel)))));
            counters.carried += 1;
        }
    }

    /// What a publisher says of its clock, likewise.
    pub(super) fn carry_clock(&mut self, index: usize, stream: u8, info: &SenderInfo) {
        let Self { tracks, across, .. } = self;
        let Some(track) = tracks.get(index).filter(|track| !track.is_muted) else { return };
        for carrier in track.carriers.iter().filter(|carrier| stream < carrier.streams) {
            across.push_back((carrier.shard, Crossing(Tells::Clock { track: track.id, stream, info: *info })));
        }
    }

    /// All that another plane has had is gone: what came from there, what went there, whoever was heard there.
    fn on_lost(&mut self, now: Instant, shard: Shard) {
        let tracks: Vec<usize> = self.tracks.iter().map(|(index, _)| index).collect();
        for index in tracks {
            let home = self.tracks.get(index).and_then(|track| track.import()).map(|import| import.home);
            if home == Some(shard) {
                // It is there: it has just been found.
                let _ = self.drop_track(now, index);
            } else if home.is_none() {
                // Not every track is carried there.
                let _ = self.forget_carrier(now, index, shard);
            }
        }
        let groups: Vec<usize> = self.groups.iter().map(|(index, _)| index).collect();
        groups.into_iter().for_each(|group| self.forget_far_voices(group, |from| from != shard));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tandem_rtp::{PayloadType, Timestamp, payload::Codec};
    use tandem_webrtc::{Breadth, Credentials, Identity, Key, Local, Mode, Path};

    use super::*;
    use crate::allocate::Kind;
    use crate::carrier::Origin;
    use crate::crossing::Way;
    use crate::{Command, Config, EndpointId, MAX_DATAGRAM, Mark, Payload, Publication, StreamSpec};

    #[derive(Default)]
    struct Sink(Vec<u8>);

    impl Outbox for Sink {
        fn room(&mut self) -> &mut [u8] {
            self.0.resize(MAX_DATAGRAM, 0);
            &mut self.0
        }

        fn commit(&mut self, _: Path, _: usize, _: Mark) {}
    }

    fn plane(now: Instant) -> Plane {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
        let identity = Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity");
        let local = Local::new(identity).expect("usable");
        let config = tandem_webrtc::Config { local, breadth: Breadth::Browsers, ice: Mode::Lite, max_message: 1 << 10 };
        let listens = Vec::new();
        Plane::new(Config { transports: Arc::new(config), foreign: None, listens, clock: (now, 0) }, [1, 2, 3, 4])
    }

    #[test]
    fn values_that_no_plane_would_tell_change_nothing() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let now = Instant::now();
        let (mut plane, mut out) = (plane(now), Sink::default());
        let number = PayloadType::new(96).expect("seven bits");
        let payloads = vec![Payload { codec: Codec::Vp8, number, rtx: None, red: None }];
        let streams = vec![StreamSpec::default(); 2];
        let publication = Publication { mid: "1".to_owned(), kind: Kind::Camera, payloads, streams };
        let (endpoint, credentials) = (EndpointId(1), Credentials::new([7; 24]));
        let add = Command::Add { endpoint, credentials, ids: Ids::default(), breadth: Breadth::Browsers };
        let (own, far) = (TrackId(1), TrackId(2));
        let publish = Command::Publish { endpoint, track: own, publication: publication.clone() };
        for command in [add, publish, Command::Import { track: far, home: Shard(1), publication }] {
            plane.handle_command(now, command, &mut out);
        }
        let parcel = |track: TrackId, stream: u8, bytes: &[u8]| {
            let (way, ids) = (Way::default(), Ids::default());
            Tells::Packet(Box::new(Parcel { track, stream, is_again: true, way, ids, bytes: bytes.into() }))
        };
        let info = SenderInfo { ntp: 0, rtp: Timestamp(0), packets: 0, octets: 0 };
        let packet = [&[0x80, 96][..], &[0; 30]].concat();
        let mut tells = vec![
            Tells::Wanted { track: own, streams: u8::MAX },
            Tells::Keyframe { track: own, stream: u8::MAX },
            Tells::Keyframe { track: far, stream: 0 },
            Tells::Clock { track: far, stream: u8::MAX, info },
            Tells::Wanted { track: far, streams: 1 },
            Tells::Dropped { track: far },
        ];
        for stream in [0, 1, 2, 4, u8::MAX] {
            tells.extend([&[][..], &[0x80], &[0xff; 40], &packet].map(|bytes| parcel(far, stream, bytes)));
            tells.push(parcel(own, stream, &packet));
        }
        for from in [Shard(1), Shard(2), Shard(usize::MAX)] {
            for tells in tells.clone() {
                plane.handle_crossing(now, from, Crossing(tells), &mut out);
            }
        }
        assert_eq!((plane.census(), plane.imports(), plane.counters().received), ((1, 1, 0), 1, 0));
        let carriers = &plane.tracks.iter().next().expect("the first").1.carriers;
        assert_eq!(carriers.iter().map(|carrier| carrier.streams).collect::<Vec<_>>(), [2, 2, 2]);
        let answers: VecDeque<_> = std::iter::from_fn(|| plane.poll_crossing()).collect();
        // It is told that it wants nothing yet; and whoever asks at the wrong place that there is nothing.
        assert_eq!(answers.front(), Some(&(Shard(1), Crossing(Tells::Wanted { track: far, streams: 0 }))));
        assert_eq!(answers.iter().filter(|(_, it)| *it == Crossing(Tells::Gone { track: far })).count(), 3);
        assert!(matches!(&plane.tracks.iter().nth(1).expect("the second").1.origin, Origin::There(_)));
    }
}
