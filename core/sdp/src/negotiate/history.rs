//! What has been said in a session and cannot be said otherwise later: payload types and numbers of header extensions keep
//! their meaning (RFC 3264 §8.3.2, RFC 8285 §6), identities of m-lines are not given twice.

use std::collections::{BTreeMap, BTreeSet};

use super::matching::same;
use crate::address::number;
use crate::codec::{Format, MAX_PAYLOAD_TYPE};
use crate::extension::{Extmap, MAX_ONE_BYTE, MAX_TWO_BYTE};
use crate::session::{Kind, Session};
use crate::text::Token;

/// What is taken. Bounded by the spaces of numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What our payload types mean.
    formats: BTreeMap<u8, (Kind, Format)>,
    /// Payload types that mean something, to us or to them.
    taken: BTreeSet<u8>,
    extensions: BTreeMap<u16, Token>,
    next_mid: u64,
}

impl History {
    /// Takes in a description of ours.
    pub(crate) fn add_local(&mut self, session: &Session) {
        for section in session.sections() {
            for codec in section.codecs() {
                self.formats.entry(codec.number).or_insert_with(|| (section.media.kind.clone(), codec.format));
            }
        }
        self.add(session);
    }

    /// Takes in any description.
    pub(crate) fn add(&mut self, session: &Session) {
        for section in session.sections() {
            self.taken.extend(section.media.formats.iter().filter_map(|format| number::<u8>(format.as_str())));
            for Extmap { id, uri, .. } in section.extensions().filter(|extmap| extmap.id <= MAX_TWO_BYTE) {
                self.extensions.entry(*id).or_insert_with(|| uri.clone());
            }
            let mid = section.mid().and_then(|mid| number::<u64>(mid.as_str())).map_or(0, |mid| mid.saturating_add(1));
            // A stranger's largest number must not be the last there is.
            self.next_mid = self.next_mid.max(if mid > MAX_FOREIGN_MID { 0 } else { mid });
        }
    }

    /// An identity nobody has used.
    pub(crate) fn fresh_mid(&mut self) -> u64 {
        let mid = self.next_mid;
        self.next_mid = mid.saturating_add(1);
        mid
    }

    /// The payload type of a format: what it has, what it likes, what it means by itself, or the next free one.
    pub(crate) fn number_of(&mut self, kind: &Kind, format: &Format, liked: Option<u8>) -> Option<u8> {
        let had = self.formats.iter().find(|(_, (of, known))| of == kind && is_same(known, format));
        if let Some((number, _)) = had {
            return Some(*number);
        }
        let free = |number: &u8| !self.taken.contains(number);
        let by_itself = format.static_number();
        let allowed = liked.filter(|number| *number <= MAX_PAYLOAD_TYPE && !(64..96).contains(number));
        // RFC 5761 §4: 64 to 95 would look like RTCP. RFC 3551 §3 has 35 to 63 free where 96 to 127 do not suffice.
        let number = by_itself.into_iter().chain(allowed).chain(96..=127).chain(35..64).find(free)?;
        self.taken.insert(number);
        self.formats.insert(number, (kind.clone(), format.clone()));
        Some(number)
    }

    /// The number of a header extension.
    pub(crate) fn extension_id(&mut self, uri: &Token) -> Option<u16> {
        let had = self.extensions.iter().find(|(_, known)| *known == uri);
        if let Some((id, _)) = had {
            return Some(*id);
        }
        // 15 means the end of extensions in the one-byte form (RFC 8285 §4.2).
        let mut possible = (1..=MAX_ONE_BYTE).chain(MAX_ONE_BYTE + 2..=MAX_TWO_BYTE);
        let id = possible.find(|id| !self.extensions.contains_key(id))?;
        self.extensions.insert(id, uri.clone());
        Some(id)
    }
}

/// `rtx` and `red` mean another codec each, and that is all their parameters say.
fn is_same(known: &Format, format: &Format) -> bool {
    let by_parameters = format.is_rtx() || format.name.is("red");
    same(known, format) && (!by_parameters || known.parameters == format.parameters)
}

/// Identities that are numbers beyond this are strangers'; ours begin below.
const MAX_FOREIGN_MID: u64 = 1 << 32;
