//! Packets to one peer: header, extensions, payload, protection; straight into the outbox.

use tandem_rtp::ext;
use tandem_rtp::header::{NoRoom, Writer};
use tandem_rtp::payload::Codec;
use tandem_rtp::rtcp;
use tandem_rtp::rtx::NUMBER;

use crate::endpoint::Endpoint;
use crate::outbox::{Mark, Outbox};
use crate::slot::Rewritten;

impl Endpoint {
    /// Sends a media packet; `original`: as a retransmission of that number. `false`: it could not be.
    pub(crate) fn send_media(
        &mut self,
        rewritten: &Rewritten,
        (codec, payload): (Codec, &[u8]),
        (original, mark): (Option<u16>, Mark),
        out: &mut impl Outbox,
    ) -> bool {
        let (Some(srtp), Some(path)) = (&mut self.srtp, self.path) else { return false };
        let room = out.room();
        let sequence = self.outgoing.transport_sequence + 1;
        let [.., high, low] = sequence.to_be_bytes();
        let write = |room: &mut [u8]| -> Result<usize, NoRoom> {
            let mut writer = Writer::new(room, &rewritten.header, &[])?;
            if let Some(id) = self.ids.id(ext::Kind::TransportSequence) {
                writer.extension(id, &[high, low])?;
            }
            let (head, mut rest) = writer.payload_room()?;
            let mut length = head + payload.len();
            if let Some(number) = original {
                let short = NoRoom { needed: head + NUMBER, room: head + rest.len() };
                let (place, behind) = rest.split_first_chunk_mut::<NUMBER>().ok_or(short)?;
                *place = number.to_be_bytes();
                rest = behind;
                length += NUMBER;
            }
            let short = NoRoom { needed: length, room: head + rest.len() };
            let place = rest.get_mut(..payload.len()).ok_or(short)?;
            place.copy_from_slice(payload);
            rewritten.rewrite(codec, place);
            Ok(length)
        };
        let Ok(length) = write(room) else { return false };
        let Ok(length) = srtp.sender.protect_rtp(room, length) else { return false };
        self.outgoing.transport_sequence = sequence;
        out.commit(path, length, mark);
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
