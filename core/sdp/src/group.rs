//! M-lines that belong together: `a=mid` and `a=group`, RFC 5888.

use std::fmt;

use crate::layers::join;
use crate::malformed::Expected;
use crate::text::Token;

/// Names an m-line, for as long as it lives; its packets carry it (RFC 9143 §15).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mid(Token);

/// `a=group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `BUNDLE`, `LS`.
    pub semantics: Token,
    /// In an order that means something.
    pub mids: Vec<Mid>,
}

impl Mid {
    /// `None`: no word, or longer than the 255 bytes that a header extension holds.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= 255).then(|| Token::new(text)).flatten().map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Group {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let semantics = words.next().and_then(Token::new).ok_or("what the group means")?;
        let mids = words.map(Mid::new).collect::<Option<Vec<_>>>().ok_or("identities of m-lines")?;
        Ok(Self { semantics, mids })
    }

    /// Whether its m-lines share a transport, RFC 9143.
    pub fn is_bundle(&self) -> bool {
        self.semantics.is("BUNDLE")
    }
}

impl fmt::Display for Mid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.semantics)?;
        if self.mids.is_empty() {
            return Ok(());
        }
        f.write_str(" ")?;
        join(f, &self.mids, " ")
    }
}
