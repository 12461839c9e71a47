//! Datagrams: whose they are, and what becomes of media.

use std::time::Instant;

use tandem_rtp::ext;
use tandem_rtp::{Packet, Ssrc, rtcp, rtx};
use tandem_webrtc::{Output, Path, addressee};

use super::Plane;
use super::outgoing::{Draft, Fate};
use crate::carried::Carried;
use crate::command::Event;
use crate::endpoint::{Source, Srtp};
use crate::lanes::{Lanes, Said};
use crate::outbox::{Mark, Outbox};
use crate::redundancy::Body;
use crate::slot::Arrived;
use crate::track::Taken;

impl Plane {
    /// A datagram has come. Media is decrypted where it lies.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut impl Outbox) {
        let Some(place) = self.whose(path, datagram) else {
            self.counters.strangers += 1;
            return;
        };
        match datagram.first() {
            // RFC 7983 §7: RTP and RTCP; which of both, RFC 5761 §4 tells by the second byte.
            Some(128..=191) if rtcp::is_rtcp(datagram) => self.on_control(now, place, datagram, out),
            Some(128..=191) => self.on_media(now, place, datagram, out),
            _ => {
                self.with(place, |endpoint| endpoint.transport.handle_datagram(now, path, datagram));
                self.settle(now, place, out);
            }
        }
    }

    /// Checks name their addressee (RFC 8445 §7.3); everything else comes from where a check has come from.
    fn whose(&self, path: Path, datagram: &[u8]) -> Option<usize> {
        if datagram.first().is_some_and(|first| *first < 4)
            && let Some(ufrag) = addressee(datagram)
        {
            return self.names.ufrags.get(ufrag).copied();
        }
        self.names.addresses.get(&(path.protocol, path.remote)).copied()
    }

    /// All that a transport wants done, and what follows from it.
    pub(super) fn settle(&mut self, now: Instant, place: usize, out: &mut impl Outbox) {
        self.drain(now, place, out);
        while let Some(said) = self.said.pop_front() {
            self.pass_on(now, said, out);
        }
    }

    pub(super) fn drain(&mut self, now: Instant, place: usize, out: &mut impl Outbox) {
        while let Some(output) = self.endpoints.get_mut(place).and_then(|endpoint| endpoint.transport.poll_output()) {
            let Some(endpoint) = self.endpoints.get_mut(place) else { return };
            let id = endpoint.id;
            match output {
                Output::Send(path, bytes) => {
                    if let Some(room) = out.room().get_mut(..bytes.len()) {
                        room.copy_from_slice(&bytes);
                        out.commit(path, bytes.len(), Mark::Other);
                    }
                }
                Output::Source(protocol, source) => {
                    endpoint.sources.push((protocol, source));
                    self.names.addresses.insert((protocol, source), place);
                }
                Output::Path(path) => {
                    endpoint.path = Some(path);
                    self.events.push_back(Event::Found(id, path));
                }
                Output::Keys(keys) => endpoint.srtp = Srtp::new(&keys),
                Output::Connected => self.on_connected(now, place),
                Output::Lost => self.events.push_back(Event::Lost(id)),
                Output::Opened(channel) => {
                    endpoint.lanes.open(&channel);
                    self.events.push_back(Event::Opened(id, channel));
                }
                Output::Message(message) => match endpoint.lanes.of(message.channel) {
                    Some(lane) => self.said.push_back(Said { place, lane, message }),
                    None => self.events.push_back(Event::Message(id, message)),
                },
                Output::Closed(channel) => {
                    endpoint.lanes.close(channel);
                    self.events.push_back(Event::Closed(id, channel));
                }
                Output::ChannelsLost => endpoint.lanes = Lanes::default(),
                Output::Ended(why) => {
                    endpoint.is_over = true;
                    endpoint.srtp = None;
                    self.events.push_back(Event::Ended(id, why));
                }
            }
        }
        self.schedule(now, place);
    }

    fn on_connected(&mut self, now: Instant, place: usize) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        self.events.push_back(Event::Connected(endpoint.id));
        // What it waits for can be sent from here on.
        let gets: Vec<usize> = endpoint.outgoing.slots.values().copied().collect();
        for slot in gets {
            self.want_for(now, slot);
        }
    }

    /// Asks for the keyframe that somebody waits for.
    pub(super) fn want_for(&mut self, now: Instant, slot: usize) {
        let Some(slot) = self.slots.get(slot) else { return };
        if let Some(track) = slot.shows {
            self.want_keyframe(now, track, slot.selection.waits_for());
        }
    }

    pub(super) fn want_keyframe(&mut self, now: Instant, track: usize, stream: Option<u8>) {
        let index = track;
        let Some(track) = self.tracks.get_mut(index).filter(|track| track.is_video()) else { return };
        let publisher = track.publisher();
        let Some(stream) = stream.and_then(|stream| track.streams.get_mut(usize::from(stream))) else { return };
        stream.keyframes.want();
        let Some(due) = stream.keyframes.poll_timeout(now) else { return };
        match publisher {
            Some(publisher) => self.wake(publisher, due),
            None => self.wake_import(index, due),
        }
    }

    fn on_media(&mut self, now: Instant, place: usize, datagram: &mut [u8], out: &mut impl Outbox) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        let Some(srtp) = &mut endpoint.srtp else { return };
        let Some(plain) = srtp.receiver.unprotect_rtp(datagram).ok().and_then(|length| datagram.get_mut(..length))
        else {
            self.counters.refused += 1;
            return;
        };
        let Ok(packet) = Packet::parse(plain) else { return };
        if let Some(value) = endpoint.ids.value(&packet, ext::Kind::TransportSequence)
            && let Some(numbered) = ext::TransportSequence::parse(value)
        {
            let at = now.saturating_duration_since(self.config.clock.0).as_micros();
            endpoint.recorder.on_packet(numbered.sequence, i64::try_from(at).unwrap_or(i64::MAX));
            if endpoint.timers.feedback.is_none() {
                endpoint.timers.feedback = Some(now + super::timers::FEEDBACK);
                self.wake(place, now + super::timers::FEEDBACK);
            }
        }
        let Some(source) = self.source(place, &packet) else {
            self.counters.refused += 1;
            return;
        };
        self.counters.received += 1;
        self.on_packet(now, source, plain, out);
    }

    /// Which stream a packet is of; one that names itself is remembered by its SSRC (RFC 8843 §9.2, RFC 8852).
    fn source(&mut self, place: usize, packet: &Packet<'_>) -> Option<Source> {
        let endpoint = self.endpoints.get_mut(place)?;
        if let Some(source) = endpoint.incoming.get(packet.ssrc()) {
            return Some(source);
        }
        let (ids, incoming) = (endpoint.ids, &mut endpoint.incoming);
        let by_type = || {
            let mut fit = incoming.tracks.iter().map(|(_, index)| *index).filter(|&index| {
                let track = self.tracks.get(index);
                track.is_some_and(|it| {
                    it.codec(packet.payload_type())
                        .or(it.repaired(packet.payload_type()).and_then(|number| it.codec(number)))
                        .is_some()
                })
            });
            // Only where there is no doubt.
            fit.next().filter(|_| fit.next().is_none())
        };
        // Whoever names an m-line means that one.
        let index = match ids.value(packet, ext::Kind::Mid) {
            Some(mid) => incoming.track_named(mid)?,
            None => by_type()?,
        };
        let track = self.tracks.get_mut(index)?;
        let is_rtx = track.repaired(packet.payload_type()).is_some();
        let kind = if is_rtx { ext::Kind::RepairedRid } else { ext::Kind::Rid };
        let rid = ids.value(packet, kind).and_then(ext::text);
        let stream = track.stream_named(rid)?;
        let source = Source { track: index, stream, is_rtx };
        let known = track.streams.get_mut(stream).filter(|_| !is_rtx);
        let before = known.and_then(|known| known.ssrc.replace(packet.ssrc()));
        before.into_iter().for_each(|before| incoming.forget(before));
        incoming.insert(packet.ssrc(), source);
        if before.is_some() {
            self.begin_anew(index, stream, packet.ssrc());
        }
        Some(source)
    }

    /// A stream goes on under another name, for whoever gets it, here and elsewhere.
    pub(super) fn begin_anew(&mut self, index: usize, stream: usize, ssrc: Ssrc) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        self.serial = self.serial.wrapping_add(1);
        track.begin_anew(stream, ssrc, self.serial);
        track.carriers.iter_mut().for_each(|carrier| carrier.begin(stream, self.serial));
        let stream = u8::try_from(stream).unwrap_or(u8::MAX);
        for slot in &track.slots {
            self.slots.get_mut(*slot).into_iter().for_each(|slot| slot.selection.begin_anew(stream));
        }
    }

    /// A packet of a known stream; a retransmission becomes what it repeats.
    fn on_packet(&mut self, now: Instant, source: Source, plain: &mut [u8], out: &mut impl Outbox) {
        let Some(track) = self.tracks.get_mut(source.track) else { return };
        let Some(publisher) = track.publisher() else { return };
        let Some(ids) = self.endpoints.get(publisher).map(|endpoint| endpoint.ids) else { return };
        let plain: &[u8] = if source.is_rtx {
            let Some(stream) = track.streams.get(source.stream) else { return };
            let Some((number, ssrc)) = Packet::parse(plain)
                .ok()
                .and_then(|packet| track.repaired(packet.payload_type()))
                .zip(stream.ssrc.or(Some(Ssrc(0))))
            else {
                return;
            };
            match rtx::unwrap(plain, ssrc, number) {
                Ok(Some(original)) => original,
                // Nothing but filling for a link that is being measured.
                Ok(None) | Err(_) => return,
            }
        } else {
            plain
        };
        let Ok(packet) = Packet::parse(plain) else { return };
        let level = ids.value(&packet, ext::Kind::AudioLevel).filter(|_| !track.is_video());
        let level = level.and_then(ext::AudioLevel::parse);
        let Some(came) = self.take_in(now, source, &ids, &packet, out) else { return };
        if came.is_carried {
            self.carry(source, &ids, &packet);
        }
        if let Some(level) = level {
            self.hear(now, source.track, level);
        }
        came.due.inspect(|&at| self.wake(publisher, at));
        if let Some(endpoint) = self.endpoints.get_mut(publisher).filter(|endpoint| endpoint.timers.report.is_none()) {
            let at = now + super::timers::REPORT;
            endpoint.timers.report = Some(at);
            self.wake(publisher, at);
        }
    }

    /// Keeps a packet and sends it on. `None`: it is nothing of the track.
    pub(super) fn take_in(
        &mut self,
        now: Instant,
        source: Source,
        ids: &ext::Ids,
        packet: &Packet<'_>,
        out: &mut impl Outbox,
    ) -> Option<Came> {
        let track = self.tracks.get_mut(source.track)?;
        track.ids = *ids;
        let codec = track.codec(packet.payload_type());
        let Some(body) = Body::of(&track.spec.payloads, packet) else {
            self.counters.refused += 1;
            return None;
        };
        let (id, is_carried) = (track.id, !track.carriers.is_empty());
        let is_own = track.publisher().is_some();
        let (stream, codec) = track.streams.get_mut(source.stream).zip(codec)?;
        let is_first = stream.reception.received() == 0;
        let taken = stream.take(now, codec, ids, (packet, source.is_rtx));
        let due = stream.poll_timeout(now);
        let Some(taken) = taken else { return Some(Came { is_carried: false, due }) };
        if is_first && is_own {
            self.events.push_back(Event::Flows(id));
        }
        if taken.appears {
            self.reconsider_track(now, source.track);
        }
        let carried = Carried::of(packet, ids);
        self.forward(now, source, &taken, (body, &carried), out);
        Some(Came { is_carried, due })
    }

    /// To whoever gets the track: no other peer is looked at.
    fn forward(
        &mut self,
        now: Instant,
        source: Source,
        taken: &Taken,
        (body, carried): (Body<'_>, &Carried<'_>),
        out: &mut impl Outbox,
    ) {
        let Self { endpoints, tracks, slots, counters, changed, due, spares, .. } = self;
        let Some(track) = tracks.get(source.track) else { return };
        let Taken { seq, codec, header, read, .. } = taken;
        let arrived = Arrived {
            now,
            track: (track.serial, source.track),
            stream: stream(source),
            codec: *codec,
            seq: *seq,
            header: *header,
            read,
            body,
        };
        for &place in &track.slots {
            let Some(slot) = slots.get_mut(place) else { continue };
            // Filling has a number and no payload: subscribers are filled by us.
            if body.payload.is_empty() || read.is_unknown {
                slot.numbers.skip(&arrived);
                continue;
            }
            let Some(endpoint) = endpoints.get_mut(slot.endpoint).filter(|endpoint| endpoint.srtp.is_some()) else {
                continue;
            };
            let passed = slot.pass(&arrived);
            if slot.told != slot.selection.current() {
                changed.push(place);
            }
            let Some((rewritten, _)) = passed else { continue };
            let payload = body.under(rewritten.header.payload_type, &rewritten.payload);
            let draft = Draft { slot: slot.id, rewritten, codec: *codec, payload, original: None, carried };
            match endpoint.send_media(now, &draft, (spares, out)) {
                Fate::Lost => {
                    counters.late += 1;
                    continue;
                }
                Fate::Sent | Fate::Waits => {}
            }
            slot.tally.packets += 1;
            slot.tally.bytes += payload.len() as u64;
            counters.forwarded += 1;
            endpoint.wake_after_sending(now, (due, slot.endpoint));
        }
        while let Some(place) = self.changed.pop() {
            self.tell_layer(place);
        }
    }
}

/// What has become of a packet.
pub(super) struct Came {
    /// It is new, and other planes have its track, too.
    is_carried: bool,
    /// When its stream wants to ask for something.
    pub(super) due: Option<Instant>,
}

/// There are at most [`crate::MAX_STREAMS`].
fn stream(source: Source) -> u8 {
    u8::try_from(source.stream).unwrap_or(u8::MAX)
}
