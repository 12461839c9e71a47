//! Where RTP comes from: `a=ssrc`, `a=ssrc-group` (RFC 5576) and `a=msid` (RFC 8830).

use std::fmt;

use crate::address::number;
use crate::layers::join;
use crate::malformed::Expected;
use crate::text::{Text, Token};

/// A synchronisation source, RFC 3550 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(pub u32);

/// `a=ssrc`: one thing about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcAttribute {
    /// Which.
    pub ssrc: Ssrc,
    /// `cname`, `msid`.
    pub name: Token,
    /// After the colon.
    pub value: Option<Text>,
}

/// `a=ssrc-group`: sources that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `FID`: a stream and its retransmissions. `FEC-FR`, `SIM`.
    pub semantics: Token,
    /// In an order that means something.
    pub ssrcs: Vec<Ssrc>,
}

/// `a=msid`: the stream of a page that a track belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msid {
    /// `-` if it belongs to none.
    pub stream: Token,
    /// The track, if it is named.
    pub track: Option<Token>,
}

impl SsrcAttribute {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let (ssrc, rest) = value.split_once(' ').ok_or("a source and an attribute")?;
        let ssrc = number(ssrc).map(Ssrc).ok_or("a source below 2^32")?;
        let (name, value) = rest.split_once(':').map_or((rest, None), |(name, value)| (name, Some(value)));
        let name = Token::new(name).ok_or("the name of an attribute")?;
        let value = value.map(|value| Text::new(value).ok_or("its value")).transpose()?;
        Ok(Self { ssrc, name, value })
    }
}

impl SsrcGroup {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let semantics = words.next().and_then(Token::new).ok_or("what the group means")?;
        let ssrcs: Vec<_> = words
            .take(MAX_GROUP + 1)
            .map(|word| number(word).map(Ssrc))
            .collect::<Option<_>>()
            .ok_or("sources below 2^32")?;
        if ssrcs.len() > MAX_GROUP { Err("fewer sources") } else { Ok(Self { semantics, ssrcs }) }
    }

    /// A stream and its retransmissions, RFC 5576 §4.2 with RFC 4588 §8.
    pub fn retransmission(&self) -> Option<(Ssrc, Ssrc)> {
        match (self.semantics.is("FID"), self.ssrcs.as_slice()) {
            (true, &[stream, retransmissions]) => Some((stream, retransmissions)),
            _ => None,
        }
    }
}

impl Msid {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let stream = words.next().and_then(Token::new).ok_or("the identity of a stream")?;
        let track = words.next().map(|word| Token::new(word).ok_or("the identity of a track")).transpose()?;
        if words.next().is_some() { Err("nothing after the track") } else { Ok(Self { stream, track }) }
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SsrcAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ssrc, self.name)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, ":{value}"))
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.semantics)?;
        if self.ssrcs.is_empty() {
            return Ok(());
        }
        f.write_str(" ")?;
        join(f, &self.ssrcs, " ")
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stream)?;
        self.track.as_ref().map_or(Ok(()), |track| write!(f, " {track}"))
    }
}

/// A simulcast of old has three.
const MAX_GROUP: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_their_groups_are_printed_as_they_are_read() {
        for text in ["11111 cname:user@example.com", "1 msid:- {e380}", "2 previous-ssrc:5 6", "3 mslabel"] {
            assert_eq!(SsrcAttribute::parse(text).expect(text).to_string(), text);
        }
        for text in ["FID 1 2", "SIM 1 2 3", "FEC-FR 7 8", "FID"] {
            assert_eq!(SsrcGroup::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(SsrcGroup::parse("FID 1 2").expect("a group").retransmission(), Some((Ssrc(1), Ssrc(2))));
        assert_eq!(SsrcGroup::parse("FID 1 2 3").expect("a group").retransmission(), None);
        assert!(SsrcAttribute::parse("4294967296 cname:x").is_err() && SsrcGroup::parse("FID -1").is_err());
        for text in ["- {e380}", "stream track", "{c3d2}"] {
            assert_eq!(Msid::parse(text).expect(text).to_string(), text);
        }
    }
}
