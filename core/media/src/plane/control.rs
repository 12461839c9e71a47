//! Control packets (RTCP): what publishers say of their clocks, and subscribers of what they have got.

use std::time::{Duration, Instant};

use tandem_rtp::Ssrc;
use tandem_rtp::reception::middle;
use tandem_rtp::rtcp::{Packet, Packets, ReportBlock, SenderInfo, TransportFeedback};

use super::Plane;
use super::outgoing::{Draft, Fate};
use crate::bitrate::Bitrate;
use crate::carried::Carried;
use crate::outbox::Outbox;
use crate::redundancy::Body;
use crate::store::low;

impl Plane {
    pub(super) fn on_control(&mut self, now: Instant, place: usize, datagram: &mut [u8], out: &mut impl Outbox) {
        let Some(srtp) = self.endpoints.get_mut(place).and_then(|endpoint| endpoint.srtp.as_mut()) else { return };
        let Some(plain) = srtp.receiver.unprotect_rtcp(datagram).ok().and_then(|length| datagram.get(..length)) else {
            self.counters.refused += 1;
            return;
        };
        for packet in Packets::new(plain) {
            let Ok(packet) = packet else {
                self.counters.refused += 1;
                return;
            };
            match packet {
                Packet::SenderReport(report) => {
                    self.on_sender_report(now, place, report.sender, &report.info, out);
                    self.on_blocks(now, place, report.blocks());
                }
                Packet::ReceiverReport(report) => self.on_blocks(now, place, report.blocks()),
                Packet::Nack(nack) => self.on_nack((now, place), nack.media, nack.sequences(), out),
                Packet::Pli { media, .. } => self.on_picture_lost(now, place, media),
                Packet::Fir(fir) => fir.entries().for_each(|(media, _)| self.on_picture_lost(now, place, media)),
                Packet::TransportFeedback(feedback) => self.on_feedback(now, place, &feedback),
                Packet::Remb(remb) => self.on_remb(now, place, Bitrate::from_bps(remb.bitrate)),
                Packet::SourceDescription(_)
                | Packet::Goodbye(_)
                | Packet::App(_)
                | Packet::ExtendedReports(_)
                | Packet::Unknown(_) => {}
            }
        }
    }

    /// The publisher's clocks (RFC 3550 §6.4.1) are those of its subscribers, too: sound and picture stay together.
    fn on_sender_report(&mut self, now: Instant, place: usize, sender: Ssrc, info: &SenderInfo, out: &mut impl Outbox) {
        let Some(source) = self.endpoints.get(place).and_then(|endpoint| endpoint.incoming.get(sender)) else { return };
        let Some(track) = self.tracks.get_mut(source.track) else { return };
        let Some(stream) = track.streams.get_mut(source.stream) else { return };
        stream.reception.handle_sender_report(now, info.ntp);
        let (is_carried, number) = (!track.carriers.is_empty(), u8::try_from(source.stream).unwrap_or(u8::MAX));
        self.pass_clock(now, (source.track, number), info, out);
        if is_carried {
            self.carry_clock(source.track, number, info);
        }
    }

    /// To whoever gets that stream of a track.
    pub(super) fn pass_clock(
        &mut self,
        now: Instant,
        (index, stream): (usize, u8),
        info: &SenderInfo,
        out: &mut impl Outbox,
    ) {
        let Self { endpoints, tracks, slots, .. } = self;
        let Some(track) = tracks.get(index) else { return };
        for &place in &track.slots {
            let Some(slot) = slots.get_mut(place) else { continue };
            let Some(endpoint) = endpoints.get_mut(slot.endpoint) else { continue };
            if !slot.passes(stream) {
                continue;
            }
            let told = SenderInfo {
                ntp: info.ntp,
                rtp: slot.numbers.time(info.rtp),
                packets: low(slot.tally.packets),
                octets: low(slot.tally.bytes),
            };
            let ssrc = slot.spec.ssrc;
            if endpoint.send_control(out, |writer| {
                writer.sender_report(ssrc, &told, &[])?;
                writer.cname(ssrc, CNAME)
            }) {
                slot.reported = Some((middle(info.ntp), now));
            }
        }
    }

    /// What a subscriber says of what it gets.
    fn on_blocks(&mut self, now: Instant, place: usize, blocks: impl Iterator<Item = ReportBlock>) {
        let Self { endpoints, slots, .. } = self;
        let Some(endpoint) = endpoints.get_mut(place) else { return };
        let (mut told, mut lost, mut round_trip) = (0_u32, 0_u32, None);
        for block in blocks {
            let slot = endpoint.outgoing.ssrcs.get(&Ssrc(block.ssrc)).and_then(|&slot| slots.get_mut(slot));
            let Some(slot) = slot.filter(|slot| slot.spec.ssrc.0 == block.ssrc) else { continue };
            slot.tally.fraction_lost = block.fraction_lost;
            (told, lost) = (told + 1, lost + u32::from(block.fraction_lost));
            // A round trip is what has passed since our report, less what the peer has held it (RFC 3550 §6.4.1).
            let sent = slot.reported.filter(|(ntp, _)| *ntp == block.last_sender_report && *ntp != 0);
            let held = Duration::from_micros(u64::from(block.delay) * 1_000_000 / 65_536);
            let passed = sent.map(|(_, sent)| now.saturating_duration_since(sent));
            round_trip = passed.and_then(|passed| passed.checked_sub(held)).or(round_trip);
        }
        let round_trip = round_trip.map(|it| it.min(LONGEST_ROUND_TRIP));
        if let Some(measured) = round_trip {
            endpoint.round_trip = (endpoint.round_trip * 7 + measured) / 8;
        }
        if let (Some(downlink), Some(mean)) = (&mut endpoint.downlink, lost.checked_div(told)) {
            downlink.heard = true;
            downlink.estimator.on_report(now, u8::try_from(mean).unwrap_or(u8::MAX), round_trip);
            self.follow(now, place);
        }
    }

    fn on_feedback(&mut self, now: Instant, place: usize, feedback: &TransportFeedback<'_>) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        let Some(downlink) = &mut endpoint.downlink else { return };
        downlink.on_feedback(now, endpoint.outgoing.transport_sequence, feedback);
        endpoint.round_trip = downlink.estimator.rtt();
        self.follow(now, place);
        self.probe(now, place);
    }

    fn on_remb(&mut self, now: Instant, place: usize, most: Bitrate) {
        let Some(downlink) = self.endpoints.get_mut(place).and_then(|it| it.downlink.as_mut()) else { return };
        downlink.heard = true;
        downlink.estimator.on_remb(now, most);
        self.follow(now, place);
    }

    /// The estimate may be another.
    fn follow(&mut self, now: Instant, place: usize) {
        let downlink = self.endpoints.get_mut(place).and_then(|it| it.downlink.as_mut());
        if downlink.is_some_and(|downlink| downlink.follow(now)) {
            self.reconsider(now, place);
        }
    }

    fn on_nack(
        &mut self,
        (now, place): (Instant, usize),
        media: Ssrc,
        missing: impl Iterator<Item = u16>,
        out: &mut impl Outbox,
    ) {
        let Self { endpoints, tracks, slots, counters, due, spares, .. } = self;
        let Some(endpoint) = endpoints.get_mut(place) else { return };
        let Some(slot) = endpoint.outgoing.ssrcs.get(&media).and_then(|&slot| slots.get_mut(slot)) else { return };
        for number in missing.take(MOST_AGAIN) {
            let stored = slot.again(number).and_then(|(again, rewritten)| {
                let (serial, place) = again.track;
                let track = tracks.get(place).filter(|track| track.serial == serial)?;
                let stream = track.streams.get(usize::from(again.stream))?;
                let stored = stream.store.get(again.seq)?;
                let codec = track.codec(stored.header.payload_type)?;
                let packet = tandem_rtp::Packet::parse(stored.packet).ok()?;
                let body = Body::of(&track.spec.payloads, &packet)?;
                let payload = body.under(again.known.payload_type, &rewritten.payload);
                Some((packet, payload, codec, track.ids, again, rewritten))
            });
            let Some((packet, payload, codec, ids, again, rewritten)) = stored else {
                counters.gone += 1;
                continue;
            };
            let carried = Carried::of(&packet, &ids);
            let original = Some(again.number);
            let draft = Draft { slot: slot.id, rewritten, codec, payload, original, carried: &carried };
            if endpoint.send_media(now, &draft, (spares, out)) != Fate::Lost {
                slot.tally.retransmitted += 1;
                counters.retransmitted += 1;
            }
        }
        endpoint.wake_after_sending(now, (due, place));
    }

    fn on_picture_lost(&mut self, now: Instant, place: usize, media: Ssrc) {
        let slot = self.endpoints.get(place).and_then(|endpoint| endpoint.outgoing.ssrcs.get(&media).copied());
        let Some(slot) = slot.and_then(|slot| self.slots.get(slot)) else { return };
        let stream = slot.selection.current().or(slot.selection.wanted()).map(|layer| layer.stream);
        let Some(track) = slot.shows else { return };
        self.want_keyframe(now, track, stream);
    }
}

/// In one control packet: as many as a large picture has.
const MOST_AGAIN: usize = 256;
/// RFC 3550 §6.5.1. All that we send is one participant's, as far as its clocks go.
const CNAME: &str = "tandem";
/// What is longer was not measured well.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(2);
