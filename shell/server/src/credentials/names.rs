//! Names of credentials at the relay: `<key>[-<generation>]/<label>[~<round>]/<serial>`.
//!
//! Whatever is taken back is a beginning of such a name up to a slash: all of an application, all of a label, or one
//! credential. What is issued afterwards has another generation or round, so it is not what was taken back. Labels are
//! percent-encoded (RFC 3986 §2.1) where they would be taken for something else; the name is plain ASCII, which SASLprep and
//! OpaqueString leave as it is.

use std::fmt::Write as _;

/// Whose credentials these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyName<'a> {
    /// The application.
    pub id: &'a str,
    /// How often all of it was taken back.
    pub generation: u32,
}

impl KeyName<'_> {
    /// As the relay knows it.
    pub fn text(self) -> String {
        match self.generation {
            0 => self.id.to_owned(),
            generation => format!("{}-{generation}", self.id),
        }
    }

    /// What the names of a label's credentials begin with.
    pub fn tagged(self, tag: &str, round: u32) -> String {
        let mut name = self.text();
        name.push('/');
        for byte in tag.bytes() {
            if is_plain(byte) {
                name.push(char::from(byte));
            } else {
                let _ = write!(name, "%{byte:02X}");
            }
        }
        if round > 0 {
            let _ = write!(name, "~{round}");
        }
        name
    }
}

/// Application and label of a name. `None`: another one has made it.
pub fn parse(name: &str) -> Option<(&str, String)> {
    let mut parts = name.split('/');
    let (Some(key), Some(tag), Some(_serial), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let id = key.split_once('-').map_or(key, |(id, _)| id);
    let is_id = id.len() == 12 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let tag = decode(tag.split_once('~').map_or(tag, |(tag, _)| tag))?;
    is_id.then_some((id, tag))
}

/// Unreserved but for `~`, and a few that e-mail addresses and the like have.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._@+=:".contains(&byte)
}

fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3fa94c10b2de";

    #[test]
    fn application_and_label_are_found_again_whatever_the_label() {
        for tag in ["", "alice", "a/b", "50 %", "grün ~1", "a~2", "me@example.org", "\u{1F600}", "%41"] {
            for (generation, round) in [(0, 0), (3, 0), (0, 7), (12, 34)] {
                let name = format!("{}/k3x9", KeyName { id: ID, generation }.tagged(tag, round));
                assert!(name.is_ascii() && !name.contains(' '), "{name}");
                assert_eq!(parse(&name), Some((ID, tag.to_owned())), "{name}");
            }
        }
        assert_eq!(KeyName { id: ID, generation: 0 }.tagged("alice", 0), "3fa94c10b2de/alice");
        assert_eq!(KeyName { id: ID, generation: 2 }.tagged("a/b", 1), "3fa94c10b2de-2/a%2Fb~1");
    }

    #[test]
    fn names_of_others_are_not_ours() {
        for other in [
            "",
            "alice",
            "session.p1",
            "shop/alice/x",
            "3fa94c10b2de/alice",
            "3fa94c10b2de/%/x",
            "3fa94c10b2de/a/b/c",
            "3fa94c10b2de/%FF/x",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
