//! M-lines that share a transport, RFC 9143. The first of a group that lives describes it for all (§7.2).

use std::collections::{BTreeMap, BTreeSet};

use super::refused::Refused;
use crate::group::Mid;
use crate::session::Session;

/// Which m-lines share the transport of which.
#[derive(Clone, Debug, Default)]
pub(super) struct Bundles {
    /// From an m-line to the one that describes its transport.
    tagged: BTreeMap<usize, usize>,
}

impl Bundles {
    /// As an answer groups them.
    pub(super) fn of_answer(offer: &Session, answer: &Session) -> Result<Self, Refused> {
        let offered = Offered::read(offer)?;
        let mut bundles = Self::default();
        for group in answer.groups().filter(|group| group.is_bundle()) {
            let mut shared = None;
            for mid in &group.mids {
                let Some((at, of)) = offered.group_of(mid) else {
                    return Err(Refused::Group { got: mid.to_string() });
                };
                // RFC 9143 §7.3.3 has no refused m-line in a group; one that is there is passed over.
                let alive = answer.media.get(at).is_some_and(|media| media.port != 0);
                if !alive || bundles.tagged.contains_key(&at) {
                    continue;
                }
                let (tagged, group) = *shared.get_or_insert((at, of));
                if group != of {
                    return Err(Refused::Group { got: mid.to_string() });
                }
                bundles.tagged.insert(at, tagged);
            }
        }
        Ok(bundles)
    }

    /// Whose transport an m-line has: its own, if it shares none.
    pub(super) fn tagged(&self, line: usize) -> usize {
        self.tagged.get(&line).copied().unwrap_or(line)
    }

    /// Whether an m-line shares a transport.
    pub(super) fn contains(&self, line: usize) -> bool {
        self.tagged.contains_key(&line)
    }
}

/// Groups as an offer has them.
pub(super) struct Offered<'a> {
    /// M-line and group of an identity.
    places: BTreeMap<&'a Mid, (usize, Option<usize>)>,
    /// M-lines of each group in order.
    pub(super) groups: Vec<Vec<usize>>,
}

impl<'a> Offered<'a> {
    /// RFC 9143 §7.3: identities that no m-line has are passed over, and so is a second group of an m-line.
    pub(super) fn read(offer: &'a Session) -> Result<Self, Refused> {
        let mut places = BTreeMap::new();
        for (line, section) in offer.sections().enumerate() {
            let Some(mid) = section.mid() else { continue };
            if places.insert(mid, (line, None)).is_some() {
                return Err(Refused::MidTwice { line, got: mid.to_string() });
            }
        }
        let mut groups = Vec::new();
        for group in offer.groups().filter(|group| group.is_bundle()) {
            let at = groups.len();
            let mut members = Vec::new();
            for mid in &group.mids {
                if let Some((line, of @ None)) = places.get_mut(mid) {
                    *of = Some(at);
                    members.push(*line);
                }
            }
            groups.push(members);
        }
        Ok(Self { places, groups })
    }

    fn group_of(&self, mid: &Mid) -> Option<(usize, usize)> {
        let (line, group) = self.places.get(mid)?;
        group.map(|group| (*line, group))
    }

    /// All m-lines that are in a group.
    pub(super) fn members(&self) -> BTreeSet<usize> {
        self.groups.iter().flatten().copied().collect()
    }
}
