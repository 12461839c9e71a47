//! Numbers of seven bits in a byte, the lowest first (LEB128, AV1 §4.10.5).

/// A number of at most so many bytes that fits `N`, and what follows it.
pub(crate) fn read<N: TryFrom<u64>>(bytes: &[u8], longest: usize) -> Option<(N, &[u8])> {
    let mut value = 0_u64;
    for (place, &byte) in bytes.iter().enumerate().take(longest.min(LONGEST)) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value.try_into().ok()?, bytes.get(place + 1..)?));
        }
    }
    None
}

pub(crate) fn write(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [.., low] = value.to_be_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// 56 bits.
pub(crate) const LONGEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_longer_or_cut_off_is_not() {
        for (value, length) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::from(u32::MAX), 5)] {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(out.len(), length);
            assert_eq!(read(&out, length), Some((value, &[][..])));
            assert_eq!(read::<u64>(&out, length - 1), None);
        }
        assert_eq!(read::<u64>(&[0xff; 20], 20), None);
        assert_eq!(read::<u32>(&[0xff, 0xff, 0xff, 0xff, 0x1f], 5), None, "a bit too many");
    }
}
