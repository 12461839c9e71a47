//! Why a text is no session description: what was expected, what came, and on which line.

/// Bytes that are not what RFC 8866 and its relatives say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A line is not what it must be.
    #[error("line {line}: expected {expected}, got `{got}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
        /// What stands there, cut; nothing of a line with a secret.
        got: String,
    },
    /// More of something than anybody honest has.
    #[error("line {line}: expected at most {most} {what}")]
    TooMany {
        /// Counted from 1.
        line: usize,
        /// As many are allowed.
        most: usize,
        /// Of what.
        what: &'static str,
    },
    /// A line that must be there is not.
    #[error("expected {expected}, and none came")]
    Missing {
        /// What should be there.
        expected: &'static str,
    },
}

/// The value of an attribute is not what was expected; the parser adds where.
pub(crate) type Expected = &'static str;

impl Malformed {
    pub(crate) fn line(line: usize, expected: Expected, got: &str) -> Self {
        Self::Line { line, expected, got: show(got) }
    }
}

/// What may be shown of a line: its beginning, unless it holds a secret.
fn show(got: &str) -> String {
    let secret = SECRETS.iter().find(|name| {
        let at = got.get(..name.len());
        at.is_some_and(|start| start.eq_ignore_ascii_case(name))
    });
    match secret {
        Some(name) => format!("{name}…"),
        None => got.chars().take(SHOWN).collect(),
    }
}

/// Lines of which only the beginning is repeated.
const SECRETS: [&str; 3] = ["a=ice-pwd:", "a=crypto:", "k="];
/// Characters of a bad line that are repeated in an error.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_short_and_tells_no_secret() {
        let error = Malformed::line(3, "a key", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:topsecret");
        assert_eq!(error.to_string(), "line 3: expected a key, got `a=crypto:…`");
        assert!(Malformed::line(1, "x", &"é".repeat(1_000)).to_string().len() < 300);
    }
}
