//! RTP header extensions: `a=extmap`, RFC 8285.

use std::fmt;

use crate::address::number;
use crate::direction::Direction;
use crate::malformed::Expected;
use crate::text::{Text, Token};

/// `a=extmap`: which number stands for which extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extmap {
    /// 1 to 255, or 4096 to 4351 where there are more than an answer may take (RFC 8285 §6).
    pub id: u16,
    /// Whether it is sent only, received only; both, if it is not said.
    pub direction: Option<Direction>,
    /// Which extension.
    pub uri: Token,
    /// What some extensions need to be told.
    pub attributes: Option<Text>,
}

/// The largest number of the one-byte form, RFC 8285 §4.2.
pub const MAX_ONE_BYTE: u16 = 14;
/// The largest number in a packet, RFC 8285 §4.3.
pub const MAX_TWO_BYTE: u16 = 255;

impl Extmap {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.trim_matches(' ').splitn(3, ' ');
        let (Some(id), Some(uri)) = (words.next(), words.next()) else { return Err("a number and a URI") };
        let (id, direction) = match id.split_once('/') {
            Some((id, direction)) => (id, Some(Direction::parse(direction).ok_or("a direction after the slash")?)),
            None => (id, None),
        };
        let possible = |id: &u16| (1..=MAX_TWO_BYTE).contains(id) || (4_096..=4_351).contains(id);
        let id = number(id).filter(possible).ok_or("a number of 1 to 255, or 4096 to 4351")?;
        let uri = Token::new(uri).ok_or("a URI")?;
        let attributes = words.next().map(str::trim).filter(|rest| !rest.is_empty());
        let attributes = attributes.map(|rest| Text::new(rest).ok_or("attributes")).transpose()?;
        Ok(Self { id, direction, uri, attributes })
    }
}

impl fmt::Display for Extmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.direction.map_or(Ok(()), |direction| write!(f, "/{}", direction.name()))?;
        write!(f, " {}", self.uri)?;
        self.attributes.as_ref().map_or(Ok(()), |rest| write!(f, " {rest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_8285_are_read_and_printed() {
        for text in [
            "1 http://example.com/082005/ext.htm#ttime",
            "2/sendrecv http://example.com/082005/ext.htm#xmeta short",
            "4096 URI-gps-string",
            "3 urn:ietf:params:rtp-hdrext:encrypt urn:ietf:params:rtp-hdrext:smpte-tc 25@600/24",
        ] {
            assert_eq!(Extmap::parse(text).expect(text).to_string(), text);
        }
        for bad in ["", "1", "0 urn:x", "256 urn:x", "4352 urn:x", "1/both urn:x", "-1 urn:x", "1  urn:x"] {
            assert!(Extmap::parse(bad).is_err(), "{bad}");
        }
    }
}
