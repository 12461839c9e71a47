//! OpaqueString (RFC 8265 §4.2), what RFC 8489 §9.2.2 wants of user names, realms and passwords before they become a key.

use unicode_normalization::UnicodeNormalization as _;

/// Prepares a text: other spaces become U+0020, then NFC. `None`: empty, or with control characters.
pub fn opaque(text: &str) -> Option<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return None;
    }
    if text.is_ascii() {
        return Some(text.to_owned());
    }
    Some(text.chars().map(|letter| if is_other_space(letter) { ' ' } else { letter }).nfc().collect())
}

/// Unicode category Zs without U+0020.
fn is_other_space(letter: char) -> bool {
    matches!(letter, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::opaque;

    #[test]
    fn texts_are_prepared_as_rfc_8265_section_4_3_shows() {
        assert_eq!(opaque("correct horse battery staple").as_deref(), Some("correct horse battery staple"));
        assert_eq!(opaque("Correct Horse").as_deref(), Some("Correct Horse"), "case is kept");
        assert_eq!(opaque("πßå").as_deref(), Some("πßå"));
        assert_eq!(opaque("Jack of \u{2666}s").as_deref(), Some("Jack of \u{2666}s"));
        assert_eq!(opaque("foo\u{1680}bar").as_deref(), Some("foo bar"));
        assert_eq!(opaque("e\u{301}").as_deref(), Some("\u{e9}"));
        assert_eq!((opaque(""), opaque("my cat is a \u{9}by")), (None, None));
    }
}
