//! Sound that repeats what was sent before (RED, RFC 2198): as it is for those who have agreed on it, with the numbers of theirs,
//! and its own payload alone for those who have not.

use tandem_rtp::{Packet, PayloadType, red};

use crate::slot::Payload;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    pub(crate) payload: &'a [u8],
    /// What of it is its own, without that which it repeats.
    own: Option<&'a [u8]>,
}

impl<'a> Body<'a> {
    /// Of a packet of one of these payloads. `None`: it repeats something else, or less than it says.
    pub(crate) fn of(payloads: &[Payload], packet: &Packet<'a>) -> Option<Self> {
        let (payload, number) = (packet.payload(), packet.payload_type());
        let Some(codec) = payloads.iter().find(|known| known.red == Some(number)) else {
            return Some(Self { payload, own: None });
        };
        // Filling of a link that is being measured.
        if payload.is_empty() {
            return Some(Self { payload, own: None });
        }
        let blocks = red::Blocks::parse(payload, packet.timestamp())?;
        let is_whole = blocks.clone().all(|block| block.payload_type == codec.number);
        Some(Self { payload, own: blocks.own().map(|own| own.payload) }).filter(|_| is_whole)
    }

    /// The number under which it goes to a subscriber.
    pub(crate) fn number_for(&self, theirs: &Payload) -> PayloadType {
        if self.own.is_some() { theirs.red.unwrap_or(theirs.number) } else { theirs.number }
    }

    /// What goes under a number: all of it, or what is its own.
    pub(crate) fn under(&self, number: PayloadType, theirs: &Payload) -> &'a [u8] {
        self.own.filter(|_| number == theirs.number).unwrap_or(self.payload)
    }
}
