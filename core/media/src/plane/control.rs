//! Control packets (RTCP): what publishers say of their clocks, and subscribers of what they have got.

use std::time::{Duration, Instant};

use tandem_rtp::Ssrc;
use tandem_rtp::reception::middle;
use tandem_rtp::rtcp::{Packet, Packets, ReportBlock, SenderInfo};

use super::Plane;
use crate::outbox::{Mark, Outbox};

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
                    report.blocks().for_each(|block| self.on_block(now, place, &block));
                }
                Packet::ReceiverReport(report) => {
                    report.blocks().for_each(|block| self.on_block(now, place, &block));
                }
                Packet::Nack(nack) => self.on_nack(place, nack.media, nack.sequences(), out),
                Packet::Pli { media, .. } => self.on_picture_lost(now, place, media),
                Packet::Fir(fir) => fir.entries().for_each(|(media, _)| self.on_picture_lost(now, place, media)),
                Packet::SourceDescription(_)
                | Packet::Goodbye(_)
                | Packet::App(_)
                | Packet::Remb(_)
                | Packet::TransportFeedback(_)
                | Packet::ExtendedReports(_)
                | Packet::Unknown(_) => {}
            }
        }
    }

    /// The publisher's clocks (RFC 3550 §6.4.1) are those of its subscribers, too: sound and picture stay together.
    fn on_sender_report(&mut self, now: Instant, place: usize, sender: Ssrc, info: &SenderInfo, out: &mut impl Outbox) {
        let Self { endpoints, tracks, slots, .. } = self;
        let Some(source) = endpoints.get(place).and_then(|endpoint| endpoint.incoming.get(sender)) else { return };
        let Some(track) = tracks.get_mut(source.track) else { return };
        let Some(stream) = track.streams.get_mut(source.stream) else { return };
        stream.reception.handle_sender_report(now, info.ntp);
        for &place in &track.slots {
            let Some(slot) = slots.get_mut(place) else { continue };
            let Some(endpoint) = endpoints.get_mut(slot.endpoint) else { continue };
            if !slot.passes(u8::try_from(source.stream).unwrap_or(u8::MAX)) {
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

    fn on_block(&mut self, now: Instant, place: usize, block: &ReportBlock) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        let Some(&slot) = endpoint.outgoing.ssrcs.get(&Ssrc(block.ssrc)) else { return };
        let Some(slot) = self.slots.get_mut(slot).filter(|it| it.spec.ssrc.0 == block.ssrc) else { return };
        slot.tally.fraction_lost = block.fraction_lost;
        // A round trip is what has passed since our report, less what the peer has held it (RFC 3550 §6.4.1).
        if let Some((ntp, sent)) = slot.reported.filter(|(ntp, _)| *ntp == block.last_sender_report && *ntp != 0) {
            let held = Duration::from_micros(u64::from(block.delay) * 1_000_000 / 65_536);
            let _ = ntp;
            if let Some(round_trip) = now.saturating_duration_since(sent).checked_sub(held) {
                endpoint.round_trip = (endpoint.round_trip * 7 + round_trip.min(Duration::from_secs(2))) / 8;
            }
        }
    }

    fn on_nack(&mut self, place: usize, media: Ssrc, missing: impl Iterator<Item = u16>, out: &mut impl Outbox) {
        let Self { endpoints, tracks, slots, counters, .. } = self;
        let Some(endpoint) = endpoints.get_mut(place) else { return };
        let Some(slot) = endpoint.outgoing.ssrcs.get(&media).and_then(|&slot| slots.get_mut(slot)) else { return };
        for number in missing.take(MOST_AGAIN) {
            let stored = slot.again(number).and_then(|(again, rewritten)| {
                let (serial, place) = again.track;
                let track = tracks.get(place).filter(|track| track.serial == serial)?;
                let stream = track.streams.get(usize::from(again.stream))?;
                let stored = stream.store.get(again.seq)?;
                let codec = track.codec(stored.header.payload_type)?;
                Some((stored, codec, again, rewritten))
            });
            let Some((stored, codec, again, rewritten)) = stored else {
                counters.gone += 1;
                continue;
            };
            if endpoint.send_media(&rewritten, (codec, stored.payload()), (Some(again.number), Mark::of(codec)), out) {
                slot.tally.retransmitted += 1;
                counters.retransmitted += 1;
            }
        }
    }

    fn on_picture_lost(&mut self, now: Instant, place: usize, media: Ssrc) {
        let slot = self.endpoints.get(place).and_then(|endpoint| endpoint.outgoing.ssrcs.get(&media).copied());
        let Some(slot) = slot.and_then(|slot| self.slots.get(slot)) else { return };
        let stream = slot.selection.current().or(slot.selection.wanted()).map(|layer| layer.stream);
        let Some(track) = slot.shows else { return };
        self.want_keyframe(now, track, stream);
    }
}

/// Counters in reports have 32 bits and wrap.
fn low(number: u64) -> u32 {
    let [.., a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// In one control packet: as many as a large picture has.
const MOST_AGAIN: usize = 256;
/// RFC 3550 §6.5.1. All that we send is one participant's, as far as its clocks go.
const CNAME: &str = "tandem";
