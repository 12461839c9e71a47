//! A line of chat: what is accepted.

use unicode_normalization::char::is_combining_mark;

/// Why a line was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Nothing in it.
    #[error("expected a line of text, got nothing that can be seen")]
    Empty,
    /// More than fits.
    #[error("expected at most {most} characters, got {got}")]
    TooLong {
        /// As many are allowed.
        most: usize,
        /// As many came.
        got: usize,
    },
    /// A control character other than a tabulator or the end of a line.
    #[error("the control character U+{0:04X} is not allowed in a line of text")]
    Control(u32),
    /// A tower of accents.
    #[error("more than {MARKS_IN_A_ROW} accents stand on one letter")]
    TooManyMarks,
}

/// The line as the others get it: blanks around it are gone, line ends are `\n`.
pub fn parse_line(text: &str, most: usize) -> Result<String, BadText> {
    let got = text.chars().count();
    if got > most {
        return Err(BadText::TooLong { most, got });
    }
    let line = text.trim().replace("\r\n", "\n");
    let mut marks = 0;
    for c in line.chars() {
        if c.is_control() && !matches!(c, '\n' | '\t') {
            return Err(BadText::Control(u32::from(c)));
        }
        marks = if is_combining_mark(c) { marks + 1 } else { 0 };
        if marks > MARKS_IN_A_ROW {
            return Err(BadText::TooManyMarks);
        }
    }
    if line.is_empty() { Err(BadText::Empty) } else { Ok(line) }
}

const MARKS_IN_A_ROW: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_as_written_but_for_its_ends() {
        assert_eq!(parse_line(" a\r\n\tb \u{202b}שלום ", 100).as_deref(), Ok("a\n\tb \u{202b}שלום"));
    }

    #[test]
    fn empty_long_control_and_towering_lines_are_refused() {
        assert_eq!(parse_line(" \n ", 100), Err(BadText::Empty));
        assert_eq!(parse_line("ééé", 2), Err(BadText::TooLong { most: 2, got: 3 }));
        assert_eq!(parse_line("a\u{1b}[2J", 100), Err(BadText::Control(0x1b)));
        assert_eq!(parse_line(&format!("a{}", "\u{301}".repeat(50)), 100), Err(BadText::TooManyMarks));
    }
}
