//! Packets to one peer: header, extensions, payload, protection; straight into the outbox, or after their turn has come.

use std::time::Instant;

use tandem_rtp::header::{Header, NoRoom, Writer};
use tandem_rtp::payload::Codec;
use tandem_rtp::rtx::NUMBER;
use tandem_rtp::{ext, rtcp};

use crate::SlotId;
use crate::carried::Carried;
use crate::downlink::{Spares, Waiting};
use crate::endpoint::Endpoint;
use crate::estimate::ProbeId;
use crate::outbox::{MAX_DATAGRAM, Mark, Outbox};
use crate::pace::{Class, Output};
use crate::slot::Rewritten;

/// A media packet to one peer, before it is written.
pub(crate) struct Draft<'a> {
    pub(crate) slot: SlotId,
    pub(crate) rewritten: Rewritten,
    pub(crate) codec: Codec,
    pub(crate) payload: &'a [u8],
    /// It is a retransmission of this number.
    pub(crate) original: Option<u16>,
    pub(crate) carried: &'a Carried<'a>,
}

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Sent,
    /// It leaves later.
    Waits,
    /// It does not.
    Lost,
}

impl Draft<'_> {
    fn class(&self) -> Class {
        match (self.original, self.codec.is_video()) {
            (_, false) => Class::Audio,
            (Some(_), true) => Class::Retransmission,
            (None, true) => Class::Video,
        }
    }

    /// Writes the packet, its transport-wide number left open.
    fn write(&self, room: &mut [u8], ids: &ext::Ids) -> Result<usize, NoRoom> {
        let mut writer = Writer::new(room, &self.rewritten.header, &[])?;
        if let Some(id) = ids.id(ext::Kind::TransportSequence) {
            writer.extension(id, &[0, 0])?;
        }
        self.carried.write(&mut writer, ids, self.rewritten.frame)?;
        let (head, mut rest) = writer.payload_room()?;
        let mut length = head + self.payload.len();
        if let Some(number) = self.original {
            let short = NoRoom { needed: head + NUMBER, room: head + rest.len() };
            let (place, behind) = rest.split_first_chunk_mut::<NUMBER>().ok_or(short)?;
            *place = number.to_be_bytes();
            rest = behind;
            length += NUMBER;
        }
        let short = NoRoom { needed: length, room: head + rest.len() };
        let place = rest.get_mut(..self.payload.len()).ok_or(short)?;
        place.copy_from_slice(self.payload);
        self.rewritten.rewrite(self.codec, place);
        Ok(length)
    }
}

impl Endpoint {
    /// Sends a media packet, or lets it wait for its turn.
    pub(crate) fn send_media(
        &mut self,
        now: Instant,
        draft: &Draft<'_>,
        (spares, out): (&mut Spares, &mut impl Outbox),
    ) -> Fate {
        let Some(downlink) = self.downlink.as_deref_mut().filter(|_| self.srtp.is_some() && self.path.is_some()) else {
            return Fate::Lost;
        };
        let (class, mark) = (draft.class(), Mark::of(draft.codec));
        if mark == Mark::Video {
            downlink.began.get_or_insert(now);
        }
        if let Some(probe) = downlink.pacer.pass(now, class, draft.payload.len() + OVERHEAD) {
            let Ok(length) = draft.write(out.room(), &self.ids) else { return Fate::Lost };
            return if self.transmit(now, length, (probe, mark), out) { Fate::Sent } else { Fate::Lost };
        }
        let mut bytes = spares.take();
        bytes.resize(MAX_DATAGRAM, 0);
        let Ok(length) = draft.write(&mut bytes, &self.ids) else { return Fate::Lost };
        bytes.truncate(length);
        match downlink.wait(now, (draft.slot, class), Waiting { bytes, mark }) {
            None => Fate::Waits,
            Some(dropped) => {
                spares.give(dropped.bytes);
                Fate::Lost
            }
        }
    }

    /// Numbers and protects what lies in the outbox's room, and sends it.
    fn transmit(
        &mut self,
        now: Instant,
        length: usize,
        (probe, mark): (Option<ProbeId>, Mark),
        out: &mut impl Outbox,
    ) -> bool {
        let (Some(srtp), Some(path), Some(downlink)) = (&mut self.srtp, self.path, &mut self.downlink) else {
            return false;
        };
        let room = out.room();
        let sequence = self.outgoing.transport_sequence + 1;
        let id = self.ids.id(ext::Kind::TransportSequence);
        let number = id.zip(room.get_mut(..length)).and_then(|(id, packet)| ext::value_mut(packet, id));
        let is_numbered = number.is_some();
        if let Some(number) = number {
            let [.., high, low] = sequence.to_be_bytes();
            number.copy_from_slice(&[high, low]);
        }
        let Ok(length) = srtp.sender.protect_rtp(room, length) else { return false };
        if is_numbered {
            self.outgoing.transport_sequence = sequence;
            downlink.estimator.on_sent(now, sequence, length + UDP, probe);
        } else {
            downlink.estimator.on_sent_unnumbered(now, length + UDP);
        }
        out.commit(path, length, mark);
        true
    }

    /// Sends what waits and whose turn has come, and fills a probe. Returns how many packets have waited too long.
    pub(crate) fn pace(
        &mut self,
        now: Instant,
        mut filling: impl FnMut() -> Option<Header>,
        (spares, out): (&mut Spares, &mut impl Outbox),
    ) -> u64 {
        let mut late = 0;
        while let Some(output) = self.downlink.as_mut().and_then(|downlink| downlink.pacer.poll(now)) {
            match output {
                Output::Send(Waiting { bytes, mark }, probe) => {
                    if let Some(room) = out.room().get_mut(..bytes.len()) {
                        room.copy_from_slice(&bytes);
                        self.transmit(now, bytes.len(), (probe, mark), out);
                    }
                    spares.give(bytes);
                }
                Output::Late(Waiting { bytes, .. }) => {
                    late += 1;
                    spares.give(bytes);
                }
                Output::Pad(bytes, probe) => {
                    if !self.fill(now, bytes, probe, &mut filling, out)
                        && let Some(downlink) = &mut self.downlink
                    {
                        downlink.pacer.abandon_probe();
                    }
                }
            }
        }
        late
    }

    /// Packets that carry nothing but padding, in a stream of retransmissions: its numbers are of no account to decoders.
    fn fill(
        &mut self,
        now: Instant,
        bytes: usize,
        probe: ProbeId,
        filling: &mut impl FnMut() -> Option<Header>,
        out: &mut impl Outbox,
    ) -> bool {
        let Some(id) = self.ids.id(ext::Kind::TransportSequence) else { return false };
        for _ in 0..bytes.div_ceil(usize::from(u8::MAX)) {
            let Some(header) = filling() else { return false };
            let written = Writer::new(out.room(), &header, &[]).and_then(|mut writer| {
                writer.extension(id, &[0, 0])?;
                writer.padding(u8::MAX)
            });
            let Ok(length) = written else { return false };
            if !self.transmit(now, length, (Some(probe), Mark::Video), out) {
                return false;
            }
        }
        true
    }

    /// Sends a control packet that `write` fills in; nothing if it stays empty.
    pub(crate) fn send_control(
        &mut self,
        out: &mut impl Outbox,
        write: impl FnOnce(&mut rtcp::Writer<'_>) -> Result<(), rtcp::NoRoom>,
    ) -> bool {
        let (Some(srtp), Some(path)) = (&mut self.srtp, self.path) else { return false };
        let room = out.room();
        let plain = room.len().min(CONTROL);
        let Some(place) = room.get_mut(..plain) else { return false };
        let mut writer = rtcp::Writer::new(place);
        if write(&mut writer).is_err() || writer.is_empty() {
            return false;
        }
        let length = writer.finish();
        let Ok(length) = srtp.sender.protect_rtcp(room, length) else { return false };
        out.commit(path, length, Mark::Other);
        true
    }
}

/// A control packet before it is protected.
const CONTROL: usize = 1_200;
/// Of IP and UDP.
const UDP: usize = 28;
/// What headers, extensions and protection add to a payload, about.
const OVERHEAD: usize = 40 + UDP;
