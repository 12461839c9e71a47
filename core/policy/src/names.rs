//! Names of rooms and of people: what is accepted, and in which form it is kept.
//!
//! A room's name is an identifier: it stands in links, is read aloud, and two rooms must not look alike. So it is brought
//! into one form (NFKC, lower case) and held to the "highly restrictive" level of Unicode Technical Standard #39 §5.2.
//! A person's name is text: nearly everything may be written, as long as it cannot disturb what stands around it.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_security::confusable_detection::skeleton;
use unicode_security::{GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection};

/// Longest name of a room, in characters.
pub const ROOM_CHARS: usize = 64;
/// Longest name of a person, in characters.
pub const PERSON_CHARS: usize = 64;

/// The rule of names that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing in it, or nothing that can be seen.
    #[error("expected a name, got nothing that can be seen")]
    Empty,
    /// More than fits.
    #[error("expected at most {most} characters, got {got}")]
    TooLong {
        /// As many are allowed.
        most: usize,
        /// As many came.
        got: usize,
    },
    /// A character that may not stand in such a name.
    #[error("the character U+{:04X} at place {place} is not allowed here: {why}", u32::from(*character))]
    Character {
        /// Which.
        character: char,
        /// Where, counted in characters from 1.
        place: usize,
        /// For a person.
        why: &'static str,
    },
    /// A tower of accents.
    #[error("at place {place} more than {MARKS_IN_A_ROW} accents stand on one letter")]
    TooManyMarks {
        /// Where, counted in characters from 1.
        place: usize,
    },
    /// Letters of several scripts that are easily confused.
    #[error("letters of different scripts are mixed, which lets one name pass for another")]
    MixedScripts,
    /// Foreign letters that together look like plain Latin ones.
    #[error("the letters look like `{0}` but are not: names may not pass for others")]
    LooksLike(String),
}

/// The name of a room, in the one form it is kept and compared in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(String);

impl RoomName {
    /// Reads what stands in a link or was typed.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        // A bound before the work: normalisation can make eighteen characters of one.
        bounded(text.trim(), ROOM_CHARS)?;
        let name = fold(text.trim());
        bounded(&name, ROOM_CHARS)?;
        check_characters(&name, room_character)?;
        if !name.chars().any(char::is_alphanumeric) {
            return Err(BadName::Empty);
        }
        if name.is_ascii() {
            return Ok(Self(name));
        }
        if !name.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive) {
            return Err(BadName::MixedScripts);
        }
        let looks: String = skeleton(&name).collect();
        if looks.is_ascii() { Err(BadName::LooksLike(looks)) } else { Ok(Self(name)) }
    }

    /// A name that can be said aloud and not be guessed: `tovu-rabi-keno-lipa-duza`.
    ///
    /// Ten syllables of one in 85 each (64.09 bits) hold every value of the eight random bytes.
    pub fn pronounceable(random: [u8; 8]) -> Self {
        const CONSONANTS: &[u8; 17] = b"bdfghjklmnprstvwz";
        const VOWELS: &[u8; 5] = b"aeiou";
        let mut rest = u64::from_le_bytes(random);
        let mut name = String::with_capacity(24);
        for syllable in 0..10 {
            if syllable > 0 && syllable % 2 == 0 {
                name.push('-');
            }
            let consonant = CONSONANTS.get((rest % 17) as usize).copied().unwrap_or(b'b');
            rest /= 17;
            let vowel = VOWELS.get((rest % 5) as usize).copied().unwrap_or(b'a');
            rest /= 5;
            name.push(char::from(consonant));
            name.push(char::from(vowel));
        }
        Self(name)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text, for keeping.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// The name of a person, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Reads what was typed: outer blanks go, inner ones become single.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        bounded(text.trim(), PERSON_CHARS)?;
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ").nfc().collect::<String>();
        bounded(&name, PERSON_CHARS)?;
        check_characters(&name, person_character)?;
        check_joiners(&name)?;
        if !name.chars().any(is_visible) {
            return Err(BadName::Empty);
        }
        Ok(Self(name))
    }

    /// As text, for keeping.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// NFKC and lower case, until neither changes anything.
fn fold(text: &str) -> String {
    let once = |text: &str| text.nfkc().collect::<String>().to_lowercase().nfkc().collect::<String>();
    let folded = once(text);
    let again = once(&folded);
    if again == folded { folded } else { once(&again) }
}

fn bounded(text: &str, most: usize) -> Result<(), BadName> {
    let got = text.chars().count();
    if got > most { Err(BadName::TooLong { most, got }) } else { Ok(()) }
}

/// Each character alone, and how many marks stand on one letter.
fn check_characters(name: &str, refusal: fn(char) -> Option<&'static str>) -> Result<(), BadName> {
    let mut marks = 0;
    let mut place = 0;
    for character in name.chars() {
        place += 1;
        if let Some(why) = refusal(character) {
            return Err(BadName::Character { character, place, why });
        }
        marks = if is_combining_mark(character) { marks + 1 } else { 0 };
        if marks > 0 && place == 1 {
            return Err(BadName::Character { character, place, why: "an accent needs a letter before it" });
        }
        if marks > MARKS_IN_A_ROW {
            return Err(BadName::TooManyMarks { place });
        }
    }
    Ok(())
}

fn room_character(c: char) -> Option<&'static str> {
    use GeneralCategory as G;
    if c.is_ascii() {
        return match c {
            'a'..='z' | '0'..='9' | '-' | '_' => None,
            ' ' | '\t' => Some("a room's name has no blanks; use a hyphen"),
            _ => Some("a room's name has letters, digits, hyphens and underscores only"),
        };
    }
    match c.general_category() {
        G::LowercaseLetter | G::ModifierLetter | G::OtherLetter | G::DecimalNumber => {}
        G::NonspacingMark | G::SpacingMark => {}
        G::Control | G::Format | G::LineSeparator | G::ParagraphSeparator => return Some("it cannot be seen"),
        _ => return Some("a room's name has letters, digits, hyphens and underscores only"),
    }
    if c.identifier_allowed() { None } else { Some("it is no letter in everyday use, or looks like another") }
}

fn person_character(c: char) -> Option<&'static str> {
    use GeneralCategory as G;
    match c {
        // Join letters in Persian and Indic scripts, and people in emoji; `check_joiners` sees to their places.
        '\u{200c}' | '\u{200d}' => return None,
        // Choose between text and picture, as in many emoji.
        '\u{fe0e}' | '\u{fe0f}' => return None,
        // Blanks that call themselves letters or marks.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{034f}' | '\u{17b4}' | '\u{17b5}' => {
            return Some("it cannot be seen");
        }
        '\u{fe00}'..='\u{fe0d}' | '\u{180b}'..='\u{180f}' | '\u{e0100}'..='\u{e01ef}' => {
            return Some("it cannot be seen");
        }
        _ => {}
    }
    match c.general_category() {
        G::Control => Some("it is a control character"),
        G::Format => Some("it cannot be seen, or changes the direction of what follows"),
        G::LineSeparator | G::ParagraphSeparator => Some("a name is one line"),
        G::Surrogate | G::PrivateUse | G::Unassigned => Some("it has no meaning that everyone shares"),
        _ => None,
    }
}

/// A joiner stands between two visible characters, alone.
fn check_joiners(name: &str) -> Result<(), BadName> {
    let mut before = None;
    let mut characters = name.chars().zip(1..).peekable();
    while let Some((character, place)) = characters.next() {
        let joiner = is_joiner(character);
        let after = characters.peek().map(|(next, _)| *next);
        let alone =
            before.is_some_and(|b| !is_joiner(b) && b != ' ') && after.is_some_and(|a| !is_joiner(a) && a != ' ');
        if joiner && !alone {
            return Err(BadName::Character { character, place, why: "it must stand between two letters or pictures" });
        }
        before = Some(character);
    }
    Ok(())
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn is_visible(c: char) -> bool {
    !c.is_whitespace() && !is_joiner(c) && !is_combining_mark(c)
}

const MARKS_IN_A_ROW: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(text: &str) -> Result<String, BadName> {
        RoomName::parse(text).map(RoomName::into_string)
    }

    fn person(text: &str) -> Result<String, BadName> {
        PersonName::parse(text).map(PersonName::into_string)
    }

    #[test]
    fn names_of_rooms_come_into_one_form() {
        for (typed, kept) in [
            ("Standup_2026", "standup_2026"),
            ("  tovu-rabi ", "tovu-rabi"),
            ("ＦＵＬＬ", "full"),
            ("cafe\u{301}", "café"),
            ("Straße", "straße"),
            ("Команда", "команда"),
            ("会議室", "会議室"),
            ("मीटिंग", "मीटिंग"),
            ("غرفة", "غرفة"),
        ] {
            assert_eq!(room(typed).as_deref(), Ok(kept), "{typed}");
        }
    }

    #[test]
    fn each_trick_with_a_rooms_name_is_refused_by_its_rule() {
        let character = |text: &str| matches!(room(text), Err(BadName::Character { .. }));
        for text in [
            "a b",
            "a/b",
            "a.b",
            "..",
            "a%2fb",
            "a\0b",
            "a\u{7}",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{feff}",
            "a\u{ad}b",
            "\u{301}a",
            "a\u{20dd}",
            "room😀",
            "a\u{3164}b",
            "\u{115f}x",
            "a\u{fe0f}",
            "a\u{e0041}",
            "½a",
            "a\u{2028}b",
            "a\u{e000}b",
        ] {
            assert!(character(text), "{text:?} gave {:?}", room(text));
        }
        for text in ["", "   ", "---", "_"] {
            assert_eq!(room(text), Err(BadName::Empty), "{text:?}");
        }
        assert_eq!(room("pаypal"), Err(BadName::MixedScripts), "a Cyrillic а among Latin letters");
        assert_eq!(room("сосо"), Err(BadName::LooksLike("coco".into())), "all Cyrillic, looks Latin");
        assert!(matches!(room(&format!("q{}", "\u{301}".repeat(6))), Err(BadName::TooManyMarks { place: 6 })));
        assert_eq!(room(&"a".repeat(65)), Err(BadName::TooLong { most: 64, got: 65 }));
        // One ligature becomes eighteen letters: the bound holds for what comes out, too.
        assert!(matches!(room(&"\u{fdfa}".repeat(60)), Err(BadName::TooLong { .. })));
    }

    #[test]
    fn a_refusal_says_which_character_and_where() {
        let error = RoomName::parse("ab\u{202e}c").unwrap_err().to_string();
        assert!(error.contains("U+202E") && error.contains("place 3"), "{error}");
    }

    #[test]
    fn people_may_be_called_nearly_anything() {
        for (typed, kept) in [
            ("Ann", "Ann"),
            ("  Ann   Lee ", "Ann Lee"),
            ("Zoe\u{308}", "Zoë"),
            ("O'Brien-Müller, Jr.", "O'Brien-Müller, Jr."),
            ("Ольга Koch", "Ольга Koch"),
            ("👩\u{200d}🚀 Sam ❤\u{fe0f}", "👩\u{200d}🚀 Sam ❤\u{fe0f}"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("<b>&amp;", "<b>&amp;"),
        ] {
            assert_eq!(person(typed).as_deref(), Ok(kept), "{typed}");
        }
    }

    #[test]
    fn a_persons_name_cannot_disturb_what_stands_around_it() {
        for text in [
            "a\u{7}b",
            "a\u{202e}b",
            "a\u{2067}b",
            "a\u{200b}b",
            "\u{200d}a",
            "a\u{200d}\u{200d}b",
            "a\u{200d}",
            "a\u{e0041}",
            "\u{3164}",
        ] {
            assert!(matches!(person(text), Err(BadName::Character { .. })), "{text:?} gave {:?}", person(text));
        }
        assert_eq!(person("\n\t "), Err(BadName::Empty));
        assert!(matches!(person(&format!("a{}", "\u{316}".repeat(40))), Err(BadName::TooManyMarks { .. })));
        assert!(matches!(person(&"x".repeat(65)), Err(BadName::TooLong { .. })));
    }

    #[test]
    fn a_pronounceable_name_is_a_rooms_name_and_each_random_value_has_its_own() {
        assert_eq!(RoomName::pronounceable([0; 8]).as_str(), "baba-baba-baba-baba-baba");
        let last = RoomName::pronounceable([0xff; 8]);
        assert_ne!(last, RoomName::pronounceable([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
        assert_eq!(RoomName::parse(last.as_str()), Ok(last));
        assert!(85_u128.pow(10) >= 1 << 64);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_accepted_again_unchanged(text in "\\PC{0,20}|[a-zäöüßА-я0-9_-]{1,20}") {
            if let Ok(name) = room(&text) {
                prop_assert_eq!(room(&name), Ok(name.clone()));
            }
            if let Ok(name) = person(&text) {
                prop_assert_eq!(person(&name), Ok(name.clone()));
            }
        }
    }
}
