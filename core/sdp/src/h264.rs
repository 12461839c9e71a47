//! The profile and level of H.264 as `profile-level-id` says them, RFC 6184 §8.1, and what two of them have in common (§8.2.2).

use std::fmt;

use crate::parameters::Parameters;

/// Three bytes: a profile, as its number and constraint flags tell together, and a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileLevel {
    profile: Profile,
    level: Level,
}

/// The profiles of RFC 6184 §8.1, table 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Constrained Baseline.
    ConstrainedBaseline,
    /// Baseline.
    Baseline,
    /// Main.
    Main,
    /// Extended.
    Extended,
    /// Constrained High: as High without the flags 4 and 5 of interlacing and B slices.
    ConstrainedHigh,
    /// High.
    High,
    /// High 10 and above, by its number and flags.
    Other {
        /// `profile_idc`.
        number: u8,
        /// `profile-iop`.
        flags: u8,
    },
}

/// A level as a number that can be compared: 10 times itself, with 1b between 1 and 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    /// `level_idc`.
    number: u8,
    order: u16,
}

impl ProfileLevel {
    /// What the parameters say; what RFC 6184 §8.1 says in their place, if they say nothing.
    pub fn of(parameters: &Parameters) -> Option<Self> {
        parameters.value("profile-level-id").map_or(Some(Self::SILENT), Self::parse)
    }

    /// Six hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let [_, number, flags, level] = u32::from_str_radix(hex.then_some(text)?, 16).ok()?.to_be_bytes();
        let profile = Profile::of(number, flags);
        Some(Self { profile, level: Level::of(profile, flags, level) })
    }

    /// Which profile.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Which level.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The profile both have, at the lower level. `None`: they have none in common.
    pub fn common(self, other: Self) -> Option<Self> {
        let level = self.level.min(other.level);
        (self.profile == other.profile).then_some(Self { profile: self.profile, level })
    }

    /// Baseline, level 1: where nothing is said.
    const SILENT: Self = Self { profile: Profile::Baseline, level: Level { number: 10, order: 100 } };
}

impl Profile {
    /// RFC 6184 §8.1, table 5. Bits of the flags from the left: constraint_set0 to 5, two reserved.
    const fn of(number: u8, flags: u8) -> Self {
        match (number, flags) {
            (0x42, f) if f & 0b0100_1111 == 0b0100_0000 => Self::ConstrainedBaseline,
            (0x4D, f) if f & 0b1000_1111 == 0b1000_0000 => Self::ConstrainedBaseline,
            (0x58, f) if f & 0b1100_1111 == 0b1100_0000 => Self::ConstrainedBaseline,
            (0x42, f) if f & 0b0100_1111 == 0 => Self::Baseline,
            (0x58, f) if f & 0b1100_1111 == 0b1000_0000 => Self::Baseline,
            (0x4D, f) if f & 0b1010_1111 == 0 => Self::Main,
            (0x58, f) if f & 0b1100_1111 == 0 => Self::Extended,
            (0x64, 0x00) => Self::High,
            (0x64, 0x0C) => Self::ConstrainedHigh,
            (number, flags) => Self::Other { number, flags },
        }
    }

    const fn bytes(self) -> (u8, u8) {
        match self {
            Self::ConstrainedBaseline => (0x42, 0xE0),
            Self::Baseline => (0x42, 0x00),
            Self::Main => (0x4D, 0x00),
            Self::Extended => (0x58, 0x00),
            Self::ConstrainedHigh => (0x64, 0x0C),
            Self::High => (0x64, 0x00),
            Self::Other { number, flags } => (number, flags),
        }
    }
}

impl Level {
    /// ITU-T H.264 §A.3: level 1b is 11 with constraint_set3 in the old profiles, 9 in the others.
    const fn of(profile: Profile, flags: u8, number: u8) -> Self {
        let old =
            matches!(profile, Profile::ConstrainedBaseline | Profile::Baseline | Profile::Main | Profile::Extended);
        let is_1b = (old && number == 11 && flags & 0b0001_0000 != 0) || (!old && number == 9);
        Self { number, order: if is_1b { 105 } else { number as u16 * 10 } }
    }
}

impl fmt::Display for ProfileLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, flags) = self.profile.bytes();
        let is_old_1b = self.level.order == 105 && self.level.number == 11;
        let flags = if is_old_1b { flags | 0b0001_0000 } else { flags };
        write!(f, "{number:02x}{flags:02x}{:02x}", self.level.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ProfileLevel {
        ProfileLevel::parse(text).unwrap_or_else(|| panic!("{text} is no profile-level-id"))
    }

    #[test]
    fn profiles_are_told_by_number_and_flags() {
        for (text, profile) in [
            ("42e01f", Profile::ConstrainedBaseline),
            ("42C02A", Profile::ConstrainedBaseline),
            ("4de01f", Profile::ConstrainedBaseline),
            ("58f01f", Profile::ConstrainedBaseline),
            ("42001f", Profile::Baseline),
            ("42a01f", Profile::Baseline),
            ("4d001f", Profile::Main),
            ("4d401f", Profile::Main),
            ("58001f", Profile::Extended),
            ("64001f", Profile::High),
            ("640c1f", Profile::ConstrainedHigh),
            ("f4001f", Profile::Other { number: 0xF4, flags: 0 }),
        ] {
            assert_eq!(read(text).profile(), profile, "{text}");
        }
        for bad in ["", "42e01", "42e01g", "+2e01f", "42e01f0"] {
            assert_eq!(ProfileLevel::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn level_1b_lies_between_1_and_1_1() {
        let levels = ["42e00a", "42f00b", "42e00b", "42e00c", "42e01f"].map(|text| read(text).level());
        assert!(levels.is_sorted() && levels[1] < levels[2]);
        assert_eq!(read("42f00b").to_string(), "42f00b");
        assert_eq!(read("640009").level().order, 105);
    }

    #[test]
    fn two_have_their_profile_and_the_lower_level_in_common() {
        assert_eq!(read("42e01f").common(read("4d800c")).map(|both| both.to_string()).as_deref(), Some("42e00c"));
        assert_eq!(read("42e01f").common(read("42001f")), None);
        let silent = ProfileLevel::of(&Parameters::none()).expect("the default");
        assert_eq!((silent.profile(), silent.to_string().as_str()), (Profile::Baseline, "42000a"));
    }
}
