//! H.264, RFC 6184: single NAL units, aggregates of them (STAP-A) and fragments (FU-A), packetization mode 1.

use super::{Frame, Malformed, pieces};

/// What a NAL unit's first byte says it is (§5.2).
pub const fn nal_type(header: u8) -> u8 {
    header & 0x1f
}

/// The NAL units that begin in a payload: their types. Nothing if the payload breaks off or is of another mode.
pub fn nal_types(payload: &[u8]) -> Option<impl Iterator<Item = u8>> {
    let (&first, rest) = payload.split_first()?;
    let mut units = Units { rest: &[] };
    let single = match nal_type(first) {
        kind @ 1..=23 => Some(kind),
        STAP_A => {
            units.rest = rest;
            None
        }
        FU_A => {
            let header = *rest.first()?;
            (header & FU_START != 0).then_some(nal_type(header))
        }
        _ => return None,
    };
    Some(single.into_iter().chain(units.filter_map(|unit| unit.first().map(|&header| nal_type(header)))))
}

/// A parameter set, with which key frames begin, or the first slice of a picture that needs no other. Senders whose
/// parameter sets are in the session description send only the latter.
pub fn starts_key_frame(payload: &[u8]) -> bool {
    nal_types(payload).is_some_and(|mut types| types.any(|kind| kind == SPS || kind == IDR))
}

/// Whether a payload certainly belongs to a picture that began before: a fragment behind the first, or a slice that does
/// not begin with the first macroblock, which is written as one bit (H.264 §7.3.3, §9.1). Parameter sets and slices with it
/// may begin a picture.
pub fn goes_on(payload: &[u8]) -> bool {
    let is_later_slice =
        |kind, first: Option<&u8>| (1..=IDR).contains(&kind) && first.is_some_and(|bits| bits & 0x80 == 0);
    match *payload {
        [first, header, ref rest @ ..] if nal_type(first) == FU_A => {
            header & FU_START == 0 || is_later_slice(nal_type(header), rest.first())
        }
        [first, ref rest @ ..] => is_later_slice(nal_type(first), rest.first()),
        [] => false,
    }
}

/// Units of an aggregate: 16 bits of size before each.
struct Units<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&size, rest) = self.rest.split_first_chunk()?;
        let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(size)))?;
        self.rest = rest;
        Some(unit)
    }
}

/// `open` is not empty while a fragmented unit is not complete.
pub(super) fn append(payload: &[u8], data: &mut Vec<u8>, open: &mut Vec<u8>) -> Result<(), Malformed> {
    let (&first, rest) = payload.split_first().ok_or(Malformed::TooShort)?;
    let kind = nal_type(first);
    if !open.is_empty() && kind != FU_A {
        return Err(Malformed::Fragment);
    }
    match kind {
        1..=23 => append_unit(&[payload], data),
        STAP_A => {
            let mut units = Units { rest };
            units.by_ref().filter(|unit| !unit.is_empty()).for_each(|unit| append_unit(&[unit], data));
            if !units.rest.is_empty() {
                return Err(Malformed::TooShort);
            }
        }
        FU_A => {
            let (&header, fragment) = rest.split_first().ok_or(Malformed::TooShort)?;
            let unit = (first & 0xe0) | nal_type(header);
            match (header & FU_START != 0, open.as_slice()) {
                (true, []) => append_unit(&[&[unit], fragment], data),
                (false, &[begun]) if begun == unit => data.extend_from_slice(fragment),
                _ => return Err(Malformed::Fragment),
            }
            open.clear();
            if header & FU_END == 0 {
                open.push(unit);
            }
        }
        _ => return Err(Malformed::Unsupported { kind }),
    }
    Ok(())
}

fn append_unit(parts: &[&[u8]], data: &mut Vec<u8>) {
    data.extend([0, 0, 0, 1]);
    parts.iter().for_each(|part| data.extend_from_slice(part));
}

pub(super) fn packetize(
    frame: &Frame,
    limit: usize,
    scratch: &mut Vec<u8>,
    each: &mut impl FnMut(&[u8], bool),
) -> Result<(), Malformed> {
    if annex_b(&frame.data).next().is_none() {
        return Err(Malformed::TooShort);
    }
    // Delimiters and filler are for byte streams.
    let mut units = annex_b(&frame.data)
        .filter(|unit| unit.first().is_some_and(|&header| !matches!(nal_type(header), AUD | FILLER)))
        .peekable();
    while let Some(unit) = units.next() {
        if unit.len() > limit {
            fragment(unit, limit, scratch, units.peek().is_none(), each);
            continue;
        }
        scratch.clear();
        let mut size = 1 + 2 + unit.len();
        while let Some(next) = units.next_if(|next| size + 2 + next.len() <= limit) {
            if scratch.is_empty() {
                // The aggregate is as important as the most important of it (§5.7).
                scratch.push(STAP_A);
                aggregate(unit, scratch);
            }
            aggregate(next, scratch);
            size += 2 + next.len();
        }
        each(if scratch.is_empty() { unit } else { scratch }, units.peek().is_none());
    }
    Ok(())
}

fn aggregate(unit: &[u8], scratch: &mut Vec<u8>) {
    let importance = unit.first().map_or(0, |header| header & 0x60);
    if let Some(first) = scratch.first_mut() {
        *first = (*first & 0x1f) | (*first & 0x60).max(importance);
    }
    // Below the limit of a payload, which a datagram holds.
    scratch.extend(u16::try_from(unit.len()).unwrap_or(u16::MAX).to_be_bytes());
    scratch.extend_from_slice(unit);
}

fn fragment(unit: &[u8], limit: usize, scratch: &mut Vec<u8>, is_last: bool, each: &mut impl FnMut(&[u8], bool)) {
    let Some((&header, rest)) = unit.split_first() else { return };
    let pieces = pieces(rest, limit - 2);
    let last = pieces.len() - 1;
    for (index, piece) in pieces.enumerate() {
        let place = if index == 0 { FU_START } else { 0 } | if index == last { FU_END } else { 0 };
        scratch.clear();
        scratch.extend([(header & 0xe0) | FU_A, place | nal_type(header)]);
        scratch.extend_from_slice(piece);
        each(scratch, is_last && index == last);
    }
}

/// The NAL units between start codes of three or four bytes (H.264 Annex B).
pub fn annex_b(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(data).and_then(|(_, behind)| data.get(behind..));
    std::iter::from_fn(move || {
        let bytes = rest?;
        match start_code(bytes) {
            Some((at, behind)) => {
                rest = bytes.get(behind..);
                bytes.get(..at)
            }
            None => {
                rest = None;
                Some(bytes)
            }
        }
    })
    .filter(|unit| !unit.is_empty())
}

/// Where a start code begins, zeros before it included, and what is behind it.
fn start_code(bytes: &[u8]) -> Option<(usize, usize)> {
    let at = bytes.windows(3).position(|window| window == [0, 0, 1])?;
    let zeros = bytes.get(..at).unwrap_or_default().iter().rev().take_while(|&&byte| byte == 0).count();
    Some((at - zeros, at + 3))
}

/// A slice of a picture that needs no other.
pub const IDR: u8 = 5;
/// Sequence parameter set.
pub const SPS: u8 = 7;
/// Picture parameter set.
pub const PPS: u8 = 8;
const AUD: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_begin_with_parameters_or_their_first_slice() {
        assert!(starts_key_frame(&[0x67, 1, 2]) && starts_key_frame(&[0x65, 1]));
        assert!(starts_key_frame(&[0x78, 0, 2, 0x68, 1, 0, 2, 0x67, 1]), "in an aggregate");
        assert!(starts_key_frame(&[0x7c, 0x85, 1]), "a fragment's start");
        assert!(!starts_key_frame(&[0x7c, 0x05, 1]), "a fragment's middle");
        assert!(!starts_key_frame(&[0x41, 1]) && !starts_key_frame(&[0x78, 0, 2, 0x41, 1]));
        assert!(!starts_key_frame(&[]) && !starts_key_frame(&[0x7c]) && !starts_key_frame(&[0x78, 0, 9, 0x67]));
        assert!(nal_types(&[0x1a, 5]).is_none(), "an MTAP");
    }

    #[test]
    fn later_slices_and_fragments_go_on() {
        assert!(goes_on(&[0x41, 0x40]) && goes_on(&[0x7c, 0x05, 0x80]) && goes_on(&[0x7c, 0x81, 0x40]));
        assert!(!goes_on(&[0x41, 0x80]) && !goes_on(&[0x7c, 0x85, 0x88]) && !goes_on(&[0x67, 0x42]) && !goes_on(&[]));
    }

    #[test]
    fn units_lie_between_start_codes() {
        let units = |data: &'static [u8]| annex_b(data).collect::<Vec<_>>();
        assert_eq!(units(&[0, 0, 0, 1, 7, 0, 0, 1, 8, 8, 0, 0, 0, 1, 5]), [&[7][..], &[8, 8], &[5]]);
        assert_eq!(units(&[0, 0, 1, 7, 0, 0, 3, 1]), [&[7, 0, 0, 3, 1]]);
        assert_eq!(units(&[7, 8]), [&[] as &[u8]; 0]);
        assert_eq!(units(&[0, 0, 1]), [&[] as &[u8]; 0]);
    }

    #[test]
    fn fragments_come_together_or_not_at_all() {
        let (mut data, mut open) = (Vec::new(), Vec::new());
        append(&[0x7c, 0x85, 1, 2], &mut data, &mut open).unwrap();
        append(&[0x7c, 0x05, 3], &mut data, &mut open).unwrap();
        append(&[0x7c, 0x45, 4], &mut data, &mut open).unwrap();
        assert_eq!((data.as_slice(), open.len()), (&[0, 0, 0, 1, 0x65, 1, 2, 3, 4][..], 0));
        assert_eq!(append(&[0x7c, 0x05, 3], &mut data, &mut open), Err(Malformed::Fragment), "no start");
        append(&[0x7c, 0x85, 1], &mut data, &mut open).unwrap();
        assert_eq!(append(&[0x7c, 0x85, 1], &mut data, &mut open), Err(Malformed::Fragment), "two starts");
        assert_eq!(append(&[0x41, 1], &mut data, &mut open), Err(Malformed::Fragment), "no end");
        open.clear();
        assert_eq!(append(&[0x78, 0, 9, 1], &mut data, &mut open), Err(Malformed::TooShort));
        assert_eq!(append(&[0x1d, 9, 1], &mut data, &mut open), Err(Malformed::Unsupported { kind: 29 }));
    }
}
