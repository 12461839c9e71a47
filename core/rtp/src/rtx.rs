//! Retransmission, RFC 4588: a lost packet once more, in a stream of its own, with its own number in front of the payload.
//!
//! ```text
//!   | header of the retransmission | original sequence number, 16 bits | original payload |
//! ```

use crate::header::{self, Header, NoRoom, Writer};
use crate::numbers::{PayloadType, Ssrc};
use crate::packet::{Malformed, Packet};

/// Appends a lost packet's number and payload to the header of its retransmission; says how long that is.
pub fn wrap(writer: Writer<'_>, original: &Packet<'_>) -> Result<usize, NoRoom> {
    let (head, room) = writer.payload_room()?;
    let payload = original.payload();
    let needed = head + NUMBER + payload.len();
    let short = NoRoom { needed, room: head + room.len() };
    let (number, rest) = room.split_first_chunk_mut::<NUMBER>().ok_or(short)?;
    *number = original.sequence().to_be_bytes();
    rest.get_mut(..payload.len()).ok_or(short)?.copy_from_slice(payload);
    Ok(needed)
}

/// Turns a retransmission into the packet it repeats, where it lies: the header moves two bytes on, over the number. Its
/// extensions stay: they are the retransmission's. Nothing if it repeats none: such packets are sent to fill a link.
pub fn unwrap(packet: &mut [u8], ssrc: Ssrc, payload_type: PayloadType) -> Result<Option<&mut [u8]>, Malformed> {
    let seen = Packet::parse(packet)?;
    let Some(&number) = seen.payload().first_chunk() else { return Ok(None) };
    let original = Header { sequence: u16::from_be_bytes(number), ssrc, payload_type, ..Header::of(&seen) };
    let head = seen.payload_range().start;
    packet.copy_within(..head, NUMBER);
    let packet = packet.get_mut(NUMBER..).unwrap_or_default();
    header::rewrite(packet, &original)?;
    Ok(Some(packet))
}

/// Bytes of the original's number (OSN, §4).
pub const NUMBER: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Timestamp;

    fn header(ssrc: u32, payload_type: u8, sequence: u16) -> Header {
        let payload_type = PayloadType::new(payload_type).unwrap();
        Header { marker: true, payload_type, sequence, timestamp: Timestamp(5), ssrc: Ssrc(ssrc) }
    }

    #[test]
    fn a_retransmission_becomes_what_it_repeats() {
        let (mut lost, mut again) = ([0; 100], [0; 100]);
        let length = Writer::new(&mut lost, &header(1, 96, 500), &[]).unwrap().payload(b"lost").unwrap();
        let original = Packet::parse(&lost[..length]).unwrap();
        let mut writer = Writer::new(&mut again, &header(2, 97, 7), &[]).unwrap();
        writer.extension(4, b"mid").unwrap();
        let length = wrap(writer, &original).unwrap();
        assert_eq!(length, 12 + 8 + 2 + 4);
        let found = unwrap(&mut again[..length], Ssrc(1), PayloadType::new(96).unwrap()).unwrap().unwrap();
        let found = Packet::parse(found).unwrap();
        assert_eq!((Header::of(&found), found.payload()), (header(1, 96, 500), &b"lost"[..]));
        assert_eq!(found.extension_of(4), Some(&b"mid"[..]));
    }

    #[test]
    fn without_a_number_nothing_is_repeated() {
        let mut padding = [0xa0, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4];
        assert_eq!(unwrap(&mut padding, Ssrc(1), PayloadType::from_wire(96)), Ok(None));
        let mut one = [0x80, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9];
        assert_eq!(unwrap(&mut one, Ssrc(1), PayloadType::from_wire(96)), Ok(None));
        assert!(unwrap(&mut one[..11], Ssrc(1), PayloadType::from_wire(96)).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let lost = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9, 9];
        let original = Packet::parse(&lost).unwrap();
        let mut buffer = [0; 16];
        let writer = Writer::new(&mut buffer, &header(2, 97, 7), &[]).unwrap();
        assert_eq!(wrap(writer, &original), Err(NoRoom { needed: 17, room: 16 }));
        let writer = Writer::new(&mut buffer[..13], &header(2, 97, 7), &[]).unwrap();
        assert_eq!(wrap(writer, &original), Err(NoRoom { needed: 17, room: 13 }));
    }
}
