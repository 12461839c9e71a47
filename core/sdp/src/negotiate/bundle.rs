//! M-lines that share a transport, RFC 9143. The first of a group that lives describes it for all (§7.2).

use std::collections::BTreeMap;

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
    pub(super) fn of_answer(offered: &Groups<'_>, answer: &Session) -> Result<Self, Refused> {
        let mut bundles = Self::default();
        for group in answer.groups().filter(|group| group.is_bundle()) {
            let mut shared = None;
            for mid in &group.mids {
                let Some((at, of)) = offered.place_of(mid) else {
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

/// Groups as a description has them.
pub(super) struct Groups<'a> {
    /// M-line and group of an identity.
    places: BTreeMap<&'a Mid, (usize, Option<usize>)>,
    /// M-lines of each group in order.
    members: Vec<Vec<usize>>,
    /// From an m-line that does not say how it travels to the one of its group that does.
    described: BTreeMap<usize, usize>,
}

impl<'a> Groups<'a> {
    /// RFC 9143 §7.3: identities that no m-line has are passed over, and so is a second group of an m-line.
    pub(super) fn read(session: &'a Session) -> Result<Self, Refused> {
        let mut places = BTreeMap::new();
        for (line, section) in session.sections().enumerate() {
            let Some(mid) = section.mid() else { continue };
            if places.insert(mid, (line, None)).is_some() {
                return Err(Refused::MidTwice { line, got: mid.to_string() });
            }
        }
        let mut all = Vec::new();
        let mut described = BTreeMap::new();
        for group in session.groups().filter(|group| group.is_bundle()) {
            let at = all.len();
            let mut members = Vec::new();
            for mid in &group.mids {
                if let Some((line, of @ None)) = places.get_mut(mid) {
                    *of = Some(at);
                    members.push(*line);
                }
            }
            let says = |line: &usize| session.section(*line).is_some_and(|section| section.credentials().is_some());
            let (saying, silent): (Vec<usize>, Vec<usize>) = members.iter().copied().partition(says);
            if let Some(first) = saying.first() {
                described.extend(silent.into_iter().map(|line| (line, *first)));
            }
            all.push(members);
        }
        Ok(Self { places, members: all, described })
    }

    fn place_of(&self, mid: &Mid) -> Option<(usize, usize)> {
        let (line, group) = self.places.get(mid)?;
        group.map(|group| (*line, group))
    }

    /// The group of an identity.
    pub(super) fn group_of(&self, mid: Option<&Mid>) -> Option<usize> {
        self.place_of(mid?).map(|(_, group)| group)
    }

    /// The m-lines of a group in order.
    pub(super) fn members(&self, group: usize) -> &[usize] {
        self.members.get(group).map_or(&[], Vec::as_slice)
    }

    /// Which m-line says how this one travels. RFC 9143 §7.1.3: those that share a transport need to say it once.
    pub(super) fn describing(&self, line: usize) -> usize {
        self.described.get(&line).copied().unwrap_or(line)
    }
}
