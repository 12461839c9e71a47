//! Extension values of a few bytes.

use std::time::Duration;

/// Loudness of the packet (RFC 6464 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// Whether the sender takes it for speech.
    pub voice: bool,
    /// 0 to 127: so many decibels below the loudest there is.
    pub below_overload: u8,
}

impl AudioLevel {
    /// From the element's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        // The two-byte form may carry padding behind it.
        let first = *value.first()?;
        Some(Self { voice: first & 0x80 != 0, below_overload: first & 0x7f })
    }

    /// The element's value.
    pub const fn bytes(self) -> [u8; 1] {
        [if self.voice { 0x80 } else { 0 } | (self.below_overload & 0x7f)]
    }
}

/// When a packet left its sender: seconds in 6.18 fixed point, so it wraps every 64 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// Of a time since any epoch.
    pub fn of(time: Duration) -> Self {
        let fraction = (u64::from(time.subsec_nanos()) << 18) / 1_000_000_000;
        let units = ((time.as_secs() & 0x3f) << 18) | fraction;
        Self(u32::try_from(units).unwrap_or(0) & MASK_24)
    }

    /// From the element's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let &[a, b, c] = value else { return None };
        Some(Self(u32::from_be_bytes([0, a, b, c])))
    }

    /// The element's value.
    pub const fn bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// Time since another, by the shorter way around: microseconds, negative if this one is older.
    pub fn micros_since(self, other: Self) -> i64 {
        // Shifted to the top, the sign of 32 bits is the sign of 24.
        let units = (self.0.wrapping_sub(other.0) << 8).cast_signed() >> 8;
        (i64::from(units) * 1_000_000) >> 18
    }
}

/// The packet's number in its transport; feedback comes by it (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
/// Version 02 may also ask for feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSequence {
    /// One more with each packet of the transport.
    pub sequence: u16,
    /// Version 02: the bits that ask for feedback, `T` and how many packets it is to tell of.
    pub request: Option<u16>,
}

impl TransportSequence {
    /// From the element's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        match *value {
            [a, b] => Some(Self { sequence: u16::from_be_bytes([a, b]), request: None }),
            [a, b, c, d] => {
                Some(Self { sequence: u16::from_be_bytes([a, b]), request: Some(u16::from_be_bytes([c, d])) })
            }
            _ => None,
        }
    }

    /// The element's value, version 01.
    pub const fn bytes(self) -> [u8; 2] {
        self.sequence.to_be_bytes()
    }
}

/// Mid, rid and repaired rid: letters, digits and what else a token may hold (RFC 8852 §3.3, RFC 9143 §15).
pub fn text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let is_token = |byte: u8| byte.is_ascii_graphic() && !br#""(),/:;<=>?@[\]"#.contains(&byte);
    (!text.is_empty() && text.len() <= TEXT && text.bytes().all(is_token)).then_some(text)
}

/// How the picture is to be turned before it is shown (3GPP TS 26.114 §7.4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation {
    /// A camera on the back of the device.
    pub back: bool,
    /// Mirrored.
    pub flip: bool,
    /// Quarters of a turn, clockwise, 0 to 3.
    pub quarters: u8,
}

impl Orientation {
    /// From the element's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let first = *value.first()?;
        Some(Self { back: first & 8 != 0, flip: first & 4 != 0, quarters: first & 3 })
    }

    /// The element's value.
    pub const fn bytes(self) -> [u8; 1] {
        [if self.back { 8 } else { 0 } | if self.flip { 4 } else { 0 } | (self.quarters & 3)]
    }
}

/// How long a receiver may and must wait: units of 10 ms, 12 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// At least.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

impl PlayoutDelay {
    /// From the element's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let &[a, b, c] = value else { return None };
        let units = |value: u32| Duration::from_millis(10 * u64::from(value & 0x0fff));
        let both = u32::from_be_bytes([0, a, b, c]);
        Some(Self { min: units(both >> 12), max: units(both) }).filter(|delay| delay.min <= delay.max)
    }

    /// The element's value; more than 40.95 s are 40.95 s.
    pub fn bytes(self) -> [u8; 3] {
        let units = |delay: Duration| u32::try_from(delay.as_millis() / 10).unwrap_or(u32::MAX).min(0x0fff);
        let [_, a, b, c] = (units(self.min) << 12 | units(self.max)).to_be_bytes();
        [a, b, c]
    }
}

/// When the first sample of the frame was taken, by the clock of whoever took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// An NTP timestamp: seconds in 32.32 fixed point.
    pub ntp: u64,
    /// The sender's estimate of how far that clock is from its own, in 32.32 fixed point.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// From the element's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (ntp, rest) = value.split_first_chunk()?;
        let clock_offset = match rest {
            [] => None,
            _ => Some(i64::from_be_bytes(rest.try_into().ok()?)),
        };
        Some(Self { ntp: u64::from_be_bytes(*ntp), clock_offset })
    }

    /// The element's value: 8 or 16 bytes.
    pub fn bytes(self) -> smallvec::SmallVec<[u8; 16]> {
        let mut bytes = smallvec::SmallVec::from_slice(&self.ntp.to_be_bytes());
        if let Some(offset) = self.clock_offset {
            bytes.extend_from_slice(&offset.to_be_bytes());
        }
        bytes
    }
}

const MASK_24: u32 = 0x00ff_ffff;
/// What the one-byte form has room for; nobody chooses longer ones.
const TEXT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_read_as_it_was_written() {
        let level = AudioLevel { voice: true, below_overload: 42 };
        assert_eq!((level.bytes(), AudioLevel::parse(&[0xaa])), ([0xaa], Some(level)));
        let turned = Orientation { back: true, flip: false, quarters: 3 };
        assert_eq!((turned.bytes(), Orientation::parse(&[0x0b])), ([0x0b], Some(turned)));
        let delay = PlayoutDelay { min: Duration::from_millis(100), max: Duration::from_millis(40_950) };
        assert_eq!((delay.bytes(), PlayoutDelay::parse(&[0, 0xaf, 0xff])), ([0, 0xaf, 0xff], Some(delay)));
        for clock_offset in [None, Some(-1)] {
            let time = AbsCaptureTime { ntp: 1 << 33, clock_offset };
            assert_eq!(AbsCaptureTime::parse(&time.bytes()), Some(time));
        }
        assert_eq!(TransportSequence::parse(&[1, 2]), Some(TransportSequence { sequence: 0x0102, request: None }));
        let asking = TransportSequence { sequence: 1, request: Some(0x8005) };
        assert_eq!(TransportSequence::parse(&[0, 1, 0x80, 5]), Some(asking));
    }

    #[test]
    fn other_sizes_are_refused() {
        assert_eq!(AudioLevel::parse(&[]), None);
        assert_eq!(AbsSendTime::parse(&[0; 4]), None);
        assert_eq!(TransportSequence::parse(&[0; 3]), None);
        assert_eq!(PlayoutDelay::parse(&[0; 2]), None);
        assert_eq!(PlayoutDelay::parse(&[0xff, 0xf0, 0]), None, "at least more than at most");
        assert_eq!(AbsCaptureTime::parse(&[0; 9]), None);
        assert_eq!(AbsCaptureTime::parse(&[0; 17]), None);
    }

    #[test]
    fn send_times_wrap_every_64_seconds() {
        let early = AbsSendTime::of(Duration::from_millis(63_500));
        let late = AbsSendTime::of(Duration::from_millis(64_250));
        assert_eq!(early.bytes(), [0xfe, 0, 0]);
        assert_eq!(AbsSendTime::parse(&early.bytes()), Some(early));
        assert_eq!((late.micros_since(early), early.micros_since(late)), (750_000, -750_000));
    }

    #[test]
    fn names_are_tokens() {
        assert_eq!((text(b"hi-1"), text(b""), text(b"a b"), text(b"a,b")), (Some("hi-1"), None, None, None));
        assert_eq!((text(&[0xff]), text(&[b'a'; 17])), (None, None));
    }
}
