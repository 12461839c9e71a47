//! The numbers of RTP: what wraps on the wire, extended so that it does not, and compared so that wrapping does no harm.

use std::fmt;

/// A synchronization source (RFC 3550 §3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(pub u32);

impl fmt::Debug for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssrc {:08x}", self.0)
    }
}

/// Seven bits that say what a packet holds (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(u8);

impl PayloadType {
    /// 0 to 127.
    pub const fn new(value: u8) -> Option<Self> {
        if value < 0x80 { Some(Self(value)) } else { None }
    }

    /// The low seven bits of a byte of the wire.
    pub const fn from_wire(byte: u8) -> Self {
        Self(byte & 0x7f)
    }

    /// 0 to 127.
    pub const fn value(self) -> u8 {
        self.0
    }
}

/// A sequence number that does not wrap: the 16 bits of the wire with the number of times they have wrapped above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// The first packet of a stream. There is room below it for packets that were overtaken.
    pub const fn first(wire: u16) -> Self {
        Self(0x1_0000 + wire as u64)
    }

    /// The number nearest to this one that looks so on the wire.
    pub fn near(self, wire: u16) -> Self {
        let step = i64::from(wire.wrapping_sub(self.wire()).cast_signed());
        Self(self.0.saturating_add_signed(step))
    }

    /// The low 16 bits, as they are on the wire.
    pub const fn wire(self) -> u16 {
        let [.., high, low] = self.0.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// How often the wire's 16 bits had wrapped.
    pub const fn rollovers(self) -> u64 {
        self.0 >> 16
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A media timestamp as it is on the wire; compared by the shorter way around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// Ticks since another; negative if this one is older.
    pub const fn since(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// So many ticks later.
    #[must_use]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Whether it comes after another.
    pub const fn is_after(self, other: Self) -> bool {
        self.since(other) > 0
    }
}

/// Follows a stream's numbers as they come and extends each beside the highest seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    highest: Option<SeqNo>,
}

impl Extended {
    /// Extends a number of the wire, and moves on if it is the highest.
    pub fn extend(&mut self, wire: u16) -> SeqNo {
        let number = self.guess(wire);
        self.highest = self.highest.max(Some(number));
        number
    }

    /// What [`Extended::extend`] would say, without moving on.
    pub fn guess(&self, wire: u16) -> SeqNo {
        self.highest.map_or(SeqNo::first(wire), |highest| highest.near(wire))
    }

    /// The highest so far.
    pub const fn highest(&self) -> Option<SeqNo> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_where_the_wire_wraps() {
        let mut extended = Extended::default();
        let seen: Vec<u64> = [65_534, 65_535, 0, 65_533, 1].into_iter().map(|wire| extended.extend(wire).0).collect();
        assert_eq!(seen, [131_070, 131_071, 131_072, 131_069, 131_073]);
        assert_eq!(extended.highest(), Some(SeqNo(131_073)));
    }

    #[test]
    fn a_packet_before_the_first_lies_below_it() {
        let mut extended = Extended::default();
        assert_eq!(extended.extend(0), SeqNo(0x1_0000));
        assert_eq!(extended.extend(0xffff), SeqNo(0xffff));
        assert_eq!(SeqNo(3).near(0xffff), SeqNo(0), "there is nothing below zero");
    }

    #[test]
    fn half_the_circle_away_is_taken_for_older() {
        assert_eq!(SeqNo(0x2_0000).near(0x8000), SeqNo(0x1_8000));
        assert_eq!(SeqNo(0x2_0000).near(0x7fff), SeqNo(0x2_7fff));
    }

    #[test]
    fn timestamps_are_compared_across_the_wrap() {
        let (before, after) = (Timestamp(u32::MAX - 9), Timestamp(10));
        assert_eq!((after.since(before), before.since(after)), (20, -20));
        assert!(after.is_after(before) && !before.is_after(after) && !after.is_after(after));
        assert_eq!(before.plus(20), after);
    }

    #[test]
    fn payload_types_have_seven_bits() {
        assert_eq!(PayloadType::new(128), None);
        assert_eq!(PayloadType::from_wire(0xff).value(), 127);
    }
}
