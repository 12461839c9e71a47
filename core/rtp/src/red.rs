//! Redundant audio, RFC 2198: earlier payloads once more in front of the packet's own.
//!
//! ```text
//!   |1| payload type | timestamp offset, 14 bits | length, 10 bits |    for each earlier one, the oldest first
//!   |0| payload type |                                                  the packet's own
//!   | earlier payloads … | own payload |
//! ```

use crate::numbers::{PayloadType, Timestamp};

/// A payload in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What it is.
    pub payload_type: PayloadType,
    /// Its own time.
    pub timestamp: Timestamp,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// The payloads of a packet, the oldest first; the last is the packet's own.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    heads: &'a [u8],
    payloads: &'a [u8],
    timestamp: Timestamp,
}

impl<'a> Blocks<'a> {
    /// Of a packet's payload and timestamp; nothing if heads or lengths reach beyond it.
    pub fn parse(payload: &'a [u8], timestamp: Timestamp) -> Option<Self> {
        let mut walk = payload;
        let mut earlier = 0;
        while walk.first()? & FOLLOWS != 0 {
            let (&head, rest) = walk.split_first_chunk::<HEAD>()?;
            earlier += length_of(head);
            walk = rest;
        }
        let (heads, payloads) = payload.split_at_checked(payload.len() - walk.len() + 1)?;
        (earlier <= payloads.len()).then_some(Self { heads, payloads, timestamp })
    }

    /// The packet's own payload.
    pub fn own(&self) -> Option<Block<'a>> {
        self.clone().last()
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let &first = self.heads.first()?;
        let payload_type = PayloadType::from_wire(first);
        if first & FOLLOWS == 0 {
            self.heads = &[];
            return Some(Block { payload_type, timestamp: self.timestamp, payload: self.payloads });
        }
        let (&head, heads) = self.heads.split_first_chunk::<HEAD>()?;
        let (payload, payloads) = self.payloads.split_at_checked(length_of(head))?;
        (self.heads, self.payloads) = (heads, payloads);
        let [_, high, middle, _] = head;
        let offset = u32::from(u16::from_be_bytes([high, middle]) >> 2);
        Some(Block { payload_type, timestamp: Timestamp(self.timestamp.0.wrapping_sub(offset)), payload })
    }
}

/// Writes another payload type over those of all payloads; those of one packet are of one codec.
pub fn renumber(payload: &mut [u8], number: PayloadType) {
    let mut rest = payload;
    while let Some((first, behind)) = rest.split_first_mut() {
        let follows = *first & FOLLOWS;
        *first = follows | number.value();
        match behind.split_at_mut_checked(HEAD - 1) {
            Some((_, behind)) if follows != 0 => rest = behind,
            _ => return,
        }
    }
}

fn length_of([_, _, high, low]: [u8; HEAD]) -> usize {
    usize::from(u16::from_be_bytes([high & 3, low]))
}

/// Writes a payload with earlier ones in front, the oldest first, and says how many bytes that takes; nothing if the
/// buffer has no room. Earlier ones that are too long or too far back for their fields are left out.
pub fn write(own: &Block<'_>, earlier: &[Block<'_>], buffer: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        buffer.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
        Some(at)
    };
    let fitting = || earlier.iter().filter_map(|block| Some((block, head(own, block)?)));
    for (_, head) in fitting() {
        put(&head)?;
    }
    put(&[own.payload_type.value()])?;
    for (block, _) in fitting() {
        put(block.payload)?;
    }
    put(own.payload)
}

fn head(own: &Block<'_>, block: &Block<'_>) -> Option<[u8; HEAD]> {
    let offset = u32::try_from(own.timestamp.since(block.timestamp)).ok().filter(|&offset| offset < 1 << 14)?;
    let length = u32::try_from(block.payload.len()).ok().filter(|&length| length < 1 << 10)?;
    let [_, a, b, c] = (offset << 10 | length).to_be_bytes();
    Some([FOLLOWS | block.payload_type.value(), a, b, c])
}

const FOLLOWS: u8 = 0x80;
const HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn block(timestamp: u32, payload: &[u8]) -> Block<'_> {
        Block { payload_type: PayloadType::from_wire(111), timestamp: Timestamp(timestamp), payload }
    }

    #[test]
    fn earlier_payloads_stand_in_front() {
        let (own, earlier) = (block(500, b"own"), [block(500_u32.wrapping_sub(1_920), b"oldest"), block(20, b"old")]);
        let mut buffer = [0; 64];
        let length = write(&own, &earlier, &mut buffer).unwrap();
        assert_eq!(buffer[..9], [0x80 | 111, 0b0001_1110, 0, 6, 0x80 | 111, 0b0000_0111, 0b1000_0000, 3, 111]);
        assert_eq!(buffer[9..length], *b"oldestoldown");
        let blocks = Blocks::parse(&buffer[..length], Timestamp(500)).unwrap();
        assert_eq!(blocks.own(), Some(own));
        assert_eq!(blocks.collect::<Vec<_>>(), [earlier[0], earlier[1], own]);
    }

    #[test]
    fn numbers_of_all_payloads_are_changed_and_nothing_else() {
        let (own, earlier) = (block(500, b"own"), [block(20, b"oldest"), block(260, b"old")]);
        let mut buffer = [0; 64];
        let length = write(&own, &earlier, &mut buffer).unwrap();
        renumber(&mut buffer[..length], PayloadType::from_wire(96));
        let found: Vec<_> = Blocks::parse(&buffer[..length], Timestamp(500)).unwrap().collect();
        let expected = [earlier[0], earlier[1], own].map(|it| Block { payload_type: PayloadType::from_wire(96), ..it });
        assert_eq!(found, expected);
        // Of what is cut off nothing is touched that is not there.
        for mut cut in [vec![], vec![0x80], vec![0x80, 0, 0], vec![0xff; 4]] {
            renumber(&mut cut, PayloadType::from_wire(96));
        }
    }

    #[test]
    fn what_has_no_field_for_it_is_left_out() {
        let long = [0; 1_024];
        let earlier = [block(0, b"far"), block(19_000, &long), block(21_000, b"later"), block(19_500, b"near")];
        let mut buffer = [0; 64];
        let length = write(&block(20_000, b"own"), &earlier, &mut buffer).unwrap();
        let found: Vec<_> = Blocks::parse(&buffer[..length], Timestamp(20_000)).unwrap().collect();
        assert_eq!(found, [block(19_500, b"near"), block(20_000, b"own")]);
        assert_eq!(write(&block(0, b"own"), &[], &mut buffer[..3]), None);
        assert_eq!(write(&block(0, b"own"), &[], &mut buffer[..4]), Some(4));
    }

    #[test]
    fn what_promises_more_than_it_has_is_refused() {
        let parse = |payload| Blocks::parse(payload, Timestamp(0)).map(Iterator::count);
        assert_eq!(
            (parse(&[]), parse(&[0x80, 0, 0]), parse(&[0x80, 0, 0, 1]), parse(&[0x80, 0, 0, 1, 0])),
            (None, None, None, None)
        );
        assert_eq!((parse(&[0x80, 0, 0, 1, 0, 9]), parse(&[111])), (Some(2), Some(1)));
        assert_eq!(parse(&[0xff; 40]), None);
    }
}
