//! Fields that do not end at bytes, most significant bit first.

/// Reads from the front.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At most 32 bits; nothing if there are not as many.
    pub(crate) fn read(&mut self, bits: usize) -> Option<u32> {
        let mut value = 0_u32;
        let end = self.at.checked_add(bits).filter(|&end| end <= self.bytes.len() * 8)?;
        while self.at < end {
            let byte = *self.bytes.get(self.at / 8)?;
            let offset = self.at % 8;
            let take = (8 - offset).min(end - self.at);
            let piece = (u32::from(byte) << offset & 0xff) >> (8 - take);
            value = value << take | piece;
            self.at += take;
        }
        Some(value)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.read(1).map(|bit| bit != 0)
    }

    /// At most 8 bits.
    pub(crate) fn small(&mut self, bits: usize) -> Option<u8> {
        self.read(bits).and_then(|value| u8::try_from(value).ok())
    }

    /// A number below `count` in as few bits as do, `ns(n)` of the AV1 specification §4.10.7.
    pub(crate) fn non_symmetric(&mut self, count: u32) -> Option<u32> {
        let (width, short) = non_symmetric_width(count);
        let value = self.read(width.saturating_sub(1))?;
        if value < short { Some(value) } else { Some((value << 1 | self.read(1)?) - short) }
    }
}

/// Appends to a vector.
#[derive(Debug)]
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Free bits of the last byte.
    free: usize,
}

impl<'o> Writer<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, free: 0 }
    }

    /// The low bits of a value, at most 32.
    pub(crate) fn write(&mut self, value: u32, bits: usize) {
        for place in (0..bits).rev() {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.out.last_mut() {
                *last |= u8::from(value >> place & 1 != 0) << self.free;
            }
        }
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.write(u32::from(flag), 1);
    }

    pub(crate) fn non_symmetric(&mut self, value: u32, count: u32) {
        let (width, short) = non_symmetric_width(count);
        if value < short {
            self.write(value, width.saturating_sub(1));
        } else {
            self.write(value + short, width);
        }
    }
}

/// Bits of the longer numbers below `count`, and how many numbers take one bit less.
fn non_symmetric_width(count: u32) -> (usize, u32) {
    let width = 32 - count.leading_zeros();
    let short = (1_u64 << width) - u64::from(count);
    (usize::try_from(width).unwrap_or(0), u32::try_from(short).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_across_bytes() {
        let mut reader = Reader::new(&[0b1010_0101, 0b1100_0011, 0xff]);
        assert_eq!(reader.read(3), Some(0b101));
        assert_eq!(reader.read(9), Some(0b0_0101_1100));
        assert_eq!(reader.read(13), None);
        assert_eq!((reader.read(12), reader.read(1), reader.read(0)), (Some(0x3ff), None, Some(0)));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = vec![7];
        let mut writer = Writer::new(&mut out);
        writer.write(5, 3);
        writer.write(0xdead_beef, 32);
        writer.flag(true);
        assert_eq!(out.len(), 6);
        let mut reader = Reader::new(&out[1..]);
        assert_eq!((reader.read(3), reader.read(32), reader.flag()), (Some(5), Some(0xdead_beef), Some(true)));
    }

    /// The table for n = 5 in the AV1 specification §4.10.7: 00, 01, 10, 110, 111.
    #[test]
    fn numbers_below_five_take_two_or_three_bits() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        (0..5).for_each(|value| writer.non_symmetric(value, 5));
        assert_eq!(out, [0b0001_1011, 0b0111_0000]);
        let mut reader = Reader::new(&out);
        assert_eq!((0..5).map(|_| reader.non_symmetric(5)).collect::<Option<Vec<_>>>(), Some(vec![0, 1, 2, 3, 4]));
        let mut reader = Reader::new(&[]);
        assert_eq!(reader.non_symmetric(1), Some(0), "there is no choice");
    }
}
