//! AV1, "RTP Payload Format For AV1" (AOM, v1.0) §4.
//!
//! ```text
//!   |Z|Y| W |N|-|-|-|   Z: the first element goes on with one; Y: the last goes on; N: a coded video sequence begins
//!   | size, LEB128 | element … | size | element … | element …      W: how many elements, the last without a size; 0: all have one
//! ```

use super::{Frame, Malformed};
use crate::leb128;

/// Whether the first element continues the last one of the packet before (Z).
pub const CONTINUES: u8 = 0x80;
/// Whether the last element goes on in the next packet (Y).
pub const GOES_ON: u8 = 0x40;
/// Whether the packet is the first of a coded video sequence (N).
pub const NEW_SEQUENCE: u8 = 0x08;

/// The first packet of a coded video sequence: it begins with a sequence header and a key frame (§4.4).
pub fn starts_key_frame(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & (NEW_SEQUENCE | CONTINUES) == NEW_SEQUENCE) && payload.len() > 1
}

/// The elements of a payload: OBUs, and at the ends fragments of them. Nothing if a size reaches beyond the payload.
pub fn elements(payload: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (&first, rest) = payload.split_first()?;
    let count = first >> 4 & 3;
    let mut walk = Walk { rest, left: count, sized: count == 0 };
    let whole = walk.clone().all(|element| element.is_some());
    whole.then(|| std::iter::from_fn(move || walk.next().flatten()))
}

#[derive(Clone)]
struct Walk<'a> {
    rest: &'a [u8],
    left: u8,
    /// Every element has a size.
    sized: bool,
}

impl<'a> Iterator for Walk<'a> {
    /// Nothing inside: an element that does not fit.
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.sized {
            if self.rest.is_empty() {
                return None;
            }
        } else {
            self.left = self.left.checked_sub(1)?;
            if self.left == 0 {
                return Some(Some(std::mem::take(&mut self.rest)));
            }
        }
        let taken = leb128::read(self.rest, leb128::LONGEST).and_then(|(size, behind)| behind.split_at_checked(size));
        let Some((element, behind)) = taken else {
            (self.rest, self.left) = (&[], 0);
            return Some(None);
        };
        self.rest = behind;
        Some(Some(element))
    }
}

/// `open` holds what there is of a fragmented OBU.
pub(super) fn append(payload: &[u8], data: &mut Vec<u8>, open: &mut Vec<u8>) -> Result<(), Malformed> {
    let &first = payload.first().ok_or(Malformed::TooShort)?;
    if open.is_empty() == (first & CONTINUES != 0) {
        return Err(Malformed::Fragment);
    }
    let mut elements = elements(payload).ok_or(Malformed::TooShort)?.peekable();
    while let Some(element) = elements.next() {
        open.extend_from_slice(element);
        let goes_on = first & GOES_ON != 0 && elements.peek().is_none();
        if !goes_on {
            append_obu(open, data)?;
            open.clear();
        }
    }
    Ok(())
}

/// Writes an OBU with its size, as files and decoders have it. Temporal delimiters and padding are left out.
fn append_obu(obu: &[u8], data: &mut Vec<u8>) -> Result<(), Malformed> {
    // An empty element is nothing (§4.3).
    if obu.is_empty() {
        return Ok(());
    }
    let Obu { header, body } = Obu::parse(obu).ok_or(Malformed::TooShort)?.0;
    if matches!(obu_type(header), TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
        return Ok(());
    }
    let (&first, extension) = header.split_first().ok_or(Malformed::TooShort)?;
    data.push(first | HAS_SIZE);
    data.extend_from_slice(extension);
    leb128::write(body.len() as u64, data);
    data.extend_from_slice(body);
    Ok(())
}

/// An OBU without its size (AV1 §5.3).
struct Obu<'a> {
    /// One byte, or two with the layer's.
    header: &'a [u8],
    body: &'a [u8],
}

impl<'a> Obu<'a> {
    /// The first in these bytes, and what is behind it. Without a size it takes all of them.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let &first = bytes.first()?;
        let (header, rest) = bytes.split_at_checked(if first & HAS_EXTENSION == 0 { 1 } else { 2 })?;
        if first & HAS_SIZE == 0 {
            return Some((Self { header, body: rest }, &[]));
        }
        let (size, rest) = leb128::read(rest, leb128::LONGEST)?;
        let (body, rest) = rest.split_at_checked(size)?;
        Some((Self { header, body }, rest))
    }
}

fn obu_type(header: &[u8]) -> u8 {
    header.first().map_or(0, |first| first >> 3 & 0x0f)
}

pub(super) fn packetize(
    frame: &Frame,
    limit: usize,
    scratch: &mut Vec<u8>,
    each: &mut impl FnMut(&[u8], bool),
) -> Result<(), Malformed> {
    let mut rest = frame.data.as_slice();
    let mut packet = Filling { limit, key: frame.key, elements: 0, last: None, scratch };
    packet.begin(0);
    while !rest.is_empty() {
        let (obu, behind) = Obu::parse(rest).ok_or(Malformed::TooShort)?;
        rest = behind;
        if !matches!(obu_type(obu.header), TEMPORAL_DELIMITER | TILE_LIST | PADDING) {
            packet.add(&obu, each);
        }
    }
    packet.end(0, true, each);
    Ok(())
}

/// A packet that is being filled with at most three elements.
struct Filling<'s> {
    limit: usize,
    /// The next packet begins a coded video sequence.
    key: bool,
    elements: u8,
    /// Where the last element begins, which has no size yet.
    last: Option<usize>,
    scratch: &'s mut Vec<u8>,
}

impl Filling<'_> {
    fn begin(&mut self, continues: u8) {
        self.scratch.clear();
        self.scratch.push(continues | if self.key { NEW_SEQUENCE } else { 0 });
        (self.elements, self.last, self.key) = (0, None, false);
    }

    fn end(&mut self, goes_on: u8, is_last: bool, each: &mut impl FnMut(&[u8], bool)) {
        if let Some(first) = self.scratch.first_mut() {
            *first |= goes_on | self.elements << 4;
        }
        if self.elements > 0 {
            each(self.scratch, is_last);
        }
    }

    fn add(&mut self, obu: &Obu<'_>, each: &mut impl FnMut(&[u8], bool)) {
        // Sizes are the elements', not the OBUs'.
        let mut header = [0; 2];
        let (header, _) = header.split_at_mut(obu.header.len().min(2));
        header.copy_from_slice(obu.header.get(..header.len()).unwrap_or_default());
        if let Some(first) = header.first_mut() {
            *first &= !HAS_SIZE;
        }
        let (mut head, mut body) = (&*header, obu.body);
        let mut continues = 0;
        while continues == 0 || !head.is_empty() || !body.is_empty() {
            if self.elements == 3 || self.room() < 2 {
                self.end(continues, false, each);
                self.begin(continues);
            }
            self.close_last();
            self.last = Some(self.scratch.len());
            self.elements += 1;
            take_into(&mut head, self.limit, self.scratch);
            take_into(&mut body, self.limit, self.scratch);
            if head.is_empty() && body.is_empty() {
                return;
            }
            // The packet is full: `room` says so, and the rest continues in the next.
            continues = CONTINUES;
            self.end(GOES_ON, false, each);
            self.begin(continues);
        }
    }

    /// Bytes left for another element, when the last one has got its size.
    fn room(&self) -> usize {
        let size = self.last.map_or(0, |last| leb128_length(self.scratch.len() - last));
        self.limit.saturating_sub(self.scratch.len() + size)
    }

    /// Puts the size in front of the last element: another one follows.
    fn close_last(&mut self) {
        let Some(last) = self.last.take() else { return };
        let element = self.scratch.split_off(last);
        leb128::write(element.len() as u64, self.scratch);
        self.scratch.extend_from_slice(&element);
    }
}

/// Moves as much as there is room for.
fn take_into(from: &mut &[u8], limit: usize, out: &mut Vec<u8>) {
    let (taken, rest) = from.split_at(from.len().min(limit.saturating_sub(out.len())));
    out.extend_from_slice(taken);
    *from = rest;
}

const fn leb128_length(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    if bits <= 7 { 1 } else { bits.div_ceil(7) as usize }
}

const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Timestamp;
    use crate::payload::{Assembler, Codec};

    fn all(payload: &[u8]) -> Option<Vec<&[u8]>> {
        elements(payload).map(Iterator::collect)
    }

    #[test]
    fn elements_have_sizes_or_are_counted() {
        assert_eq!(all(&[0x00, 1, 7, 2, 8, 9]), Some(vec![&[7][..], &[8, 9]]));
        assert_eq!(all(&[0x20, 1, 7, 8, 9]), Some(vec![&[7][..], &[8, 9]]));
        assert_eq!(all(&[0x10, 7]), Some(vec![&[7][..]]));
        assert_eq!((all(&[0x00, 2, 7]), all(&[0x20, 2, 7]), all(&[0x30, 1, 7]), all(&[])), (None, None, None, None));
        assert_eq!(all(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), None, "a size without end");
    }

    #[test]
    fn fragments_come_together_with_sizes() {
        let mut assembler = Assembler::new(Codec::Av1, 1_000);
        // A temporal delimiter, a sequence header with a size of its own, and the first part of a frame.
        assembler.push(&[0x78, 1, 0x10, 4, 0x0a, 2, 1, 2, 0x30, 5]).unwrap();
        assembler.push(&[0x90, 6, 7]).unwrap();
        let frame = assembler.finish(Timestamp(0)).unwrap();
        assert!(frame.key);
        assert_eq!(frame.data, [0x0a, 2, 1, 2, 0x32, 3, 5, 6, 7]);
        assembler.push(&[0x50, 0x30, 5]).unwrap();
        assert_eq!(assembler.finish(Timestamp(0)), Err(Malformed::Fragment), "no end");
        assert_eq!(assembler.push(&[0x90, 6]), Err(Malformed::Fragment), "no start");
        assembler.push(&[0x50, 0x30, 5]).unwrap();
        assert_eq!(assembler.push(&[0x10, 0x30, 6]), Err(Malformed::Fragment), "another one");
    }

    #[test]
    fn a_key_frame_begins_a_sequence() {
        assert!(
            starts_key_frame(&[0x18, 0x0a]) && !starts_key_frame(&[0x10, 0x0a]) && !starts_key_frame(&[0x98, 0x0a])
        );
        assert!(!starts_key_frame(&[0x18]) && !starts_key_frame(&[]));
    }

    #[test]
    fn lengths_of_lengths() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut bytes = Vec::new();
            leb128::write(value as u64, &mut bytes);
            assert_eq!(bytes.len(), leb128_length(value));
            assert_eq!(leb128::read(&bytes, leb128::LONGEST), Some((value, &[][..])));
        }
    }
}
