//! Source descriptions, good-byes and application packets, RFC 3550 §6.5 to §6.7.

use super::{Raw, ssrc};
use crate::numbers::Ssrc;

/// Who is behind a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDescription<'a> {
    count: u8,
    body: &'a [u8],
}

/// What is told of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Of which source.
    pub ssrc: Ssrc,
    items: &'a [u8],
}

/// Type and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// 1 is the CNAME; the others are in RFC 3550 §6.5 and the registry.
    pub kind: u8,
    /// Meant to be UTF-8.
    pub text: &'a [u8],
}

/// Iterates over the sources of a description.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    left: u8,
    rest: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn parse(raw: Raw<'a>) -> Option<Self> {
        let description = Self { count: raw.count, body: raw.body };
        (description.chunks().count() == usize::from(raw.count)).then_some(description)
    }

    /// What is told of each source, at most 31.
    pub const fn chunks(&self) -> Chunks<'a> {
        Chunks { left: self.count, rest: self.body }
    }

    /// The canonical name of the first source that has one.
    pub fn cname(&self) -> Option<(Ssrc, &'a [u8])> {
        self.chunks().find_map(|chunk| {
            let name = chunk.items().find(|item| item.kind == CNAME)?;
            Some((chunk.ssrc, name.text))
        })
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (ssrc, items) = ssrc(self.rest)?;
        let mut at = 0;
        // Items end at a null; the chunk at the next word.
        while *items.get(at)? != 0 {
            at += 2 + usize::from(*items.get(at + 1)?);
        }
        let told = items.get(..at)?;
        self.rest = items.get((at + 1).next_multiple_of(4)..)?;
        Some(Chunk { ssrc, items: told })
    }
}

impl<'a> Chunk<'a> {
    /// What is told.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (&[kind, length], behind) = rest.split_first_chunk()?;
            let (text, behind) = behind.split_at_checked(usize::from(length))?;
            rest = behind;
            Some(Item { kind, text })
        })
    }
}

/// Sources that leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye<'a> {
    sources: &'a [[u8; 4]],
    /// Why; empty if not told.
    pub reason: &'a [u8],
}

impl<'a> Goodbye<'a> {
    pub(super) fn parse(raw: Raw<'a>) -> Option<Self> {
        let (sources, rest) = raw.body.split_at_checked(4 * usize::from(raw.count))?;
        let reason = match rest.split_first() {
            Some((&length, text)) => text.get(..usize::from(length))?,
            None => &[],
        };
        Some(Self { sources: sources.as_chunks().0, reason })
    }

    /// Who leaves, at most 31.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        self.sources.iter().map(|&bytes| Ssrc(u32::from_be_bytes(bytes)))
    }
}

/// What an application defines for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'a> {
    /// Five bits.
    pub subtype: u8,
    /// Whose.
    pub ssrc: Ssrc,
    /// Four letters.
    pub name: [u8; 4],
    /// Whole words.
    pub data: &'a [u8],
}

impl<'a> App<'a> {
    pub(super) fn parse(raw: Raw<'a>) -> Option<Self> {
        let (ssrc, rest) = ssrc(raw.body)?;
        let (&name, data) = rest.split_first_chunk()?;
        Some(Self { subtype: raw.count, ssrc, name, data })
    }
}

pub(super) const CNAME: u8 = 1;

#[cfg(test)]
mod tests {
    use super::super::{Packet, Packets, Writer};
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for name in ["", "a", "ab", "abc", "host@example"] {
            let mut buffer = [0xff; 64];
            let mut writer = Writer::new(&mut buffer);
            writer.cname(Ssrc(9), name).unwrap();
            writer.goodbye(&[Ssrc(1), Ssrc(2)], "later").unwrap();
            writer.app(3, Ssrc(4), *b"TAND", &[1, 2, 3, 4]).unwrap();
            let length = writer.finish();
            let packets: Vec<_> = Packets::new(&buffer[..length]).map(Result::unwrap).collect();
            let [Packet::SourceDescription(told), Packet::Goodbye(bye), Packet::App(app)] = packets.as_slice() else {
                panic!("{packets:?}")
            };
            assert_eq!(told.cname(), Some((Ssrc(9), name.as_bytes())));
            assert_eq!((bye.sources().collect::<Vec<_>>(), bye.reason), (vec![Ssrc(1), Ssrc(2)], &b"later"[..]));
            assert_eq!(*app, App { subtype: 3, ssrc: Ssrc(4), name: *b"TAND", data: &[1, 2, 3, 4] });
        }
    }

    /// RFC 3550 §6.5: several items, two sources, each padded to a word by one to four nulls.
    #[test]
    fn chunks_end_at_words() {
        let body = [0, 0, 0, 1, 1, 1, b'a', 2, 1, b'b', 0, 0, 0, 0, 0, 2, 1, 2, b'c', b'd', 0, 0, 0, 0];
        let told = SourceDescription::parse(Raw { count: 2, kind: 202, body: &body }).unwrap();
        let all: Vec<_> = told.chunks().flat_map(|chunk| chunk.items().map(move |item| (chunk.ssrc, item))).collect();
        assert_eq!(
            all,
            [
                (Ssrc(1), Item { kind: 1, text: b"a" }),
                (Ssrc(1), Item { kind: 2, text: b"b" }),
                (Ssrc(2), Item { kind: 1, text: b"cd" })
            ]
        );
        assert!(SourceDescription::parse(Raw { count: 3, kind: 202, body: &body }).is_none());
        assert!(
            SourceDescription::parse(Raw { count: 2, kind: 202, body: &body[..20] }).is_none(),
            "no null at the end"
        );
        let long = [0, 0, 0, 1, 1, 200, 0, 0];
        assert!(SourceDescription::parse(Raw { count: 1, kind: 202, body: &long }).is_none());
    }

    #[test]
    fn a_goodbye_of_more_sources_than_it_has_is_refused() {
        assert!(Goodbye::parse(Raw { count: 2, kind: 203, body: &[0; 7] }).is_none());
        assert!(Goodbye::parse(Raw { count: 1, kind: 203, body: &[0, 0, 0, 1, 9, b'a', 0, 0] }).is_none());
        assert!(Goodbye::parse(Raw { count: 0, kind: 203, body: &[] }).is_some());
    }
}
