//! The words of a description. Whoever holds one of these knows that it fits on its line: what is printed can be read again,
//! and no text, wherever it came from, begins a line of its own.

use std::fmt;

/// A word without blanks, of visible characters: `mid`, `msid`, a user fragment, the name of a codec. Wider than the
/// `token` of RFC 8866 §9, since real descriptions are: Firefox writes `msid:{…}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Box<str>);

/// The rest of a line: anything but the end of the line and NUL (RFC 8866 §9 `byte-string`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Box<str>);

/// A word nobody may see in a log: a password, a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Token);

impl Token {
    /// `None`: empty, too long, or with a blank or a control character in it.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=MAX_TOKEN).contains(&text.len());
        let visible = |c: char| !c.is_whitespace() && !c.is_control();
        (fits && text.chars().all(visible)).then(|| Self(text.into()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names of codecs, protocols and the like are the same in any case.
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }

    /// A word of our own writing, which is known to be one.
    pub(crate) fn ours(text: &str) -> Self {
        debug_assert!(Self::new(text).is_some(), "{text:?} is no token");
        Self(text.into())
    }
}

impl Text {
    /// `None`: it would not stay on its line.
    pub fn new(text: &str) -> Option<Self> {
        let stays = |c: char| !matches!(c, '\r' | '\n' | '\0');
        text.chars().all(stays).then(|| Self(text.into()))
    }

    /// What is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text of our own writing, which is known to stay on its line.
    pub(crate) fn ours(text: &str) -> Self {
        debug_assert!(Self::new(text).is_some(), "{text:?} is no text");
        Self(text.into())
    }
}

impl Secret {
    /// `None`: no [`Token`].
    pub fn new(text: &str) -> Option<Self> {
        Token::new(text).map(Self)
    }

    /// The word itself.
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longer than any honest word: identities are UUIDs, URIs of header extensions stay below 100.
const MAX_TOKEN: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_begins_a_line_of_its_own() {
        for bad in ["", "a b", "a\r\nb", "a\nb", "a\tb", "a\0", "a\u{2028}b", &"x".repeat(MAX_TOKEN + 1)] {
            assert_eq!(Token::new(bad), None, "{bad:?}");
        }
        for bad in ["a\r", "a\nm=audio 9 RTP/AVP 0", "\0"] {
            assert_eq!(Text::new(bad), None, "{bad:?}");
        }
        assert_eq!(Text::new(" two words ").expect("a text").as_str(), " two words ");
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("correct-horse").expect("a secret");
        assert!(!format!("{secret:?}").contains("horse"));
    }
}
