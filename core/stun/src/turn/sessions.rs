//! Live sessions for an operator: who relays, and how to end it. A session is a client's five-tuple with its allocation, or
//! with two of different families.
//!
//! Asked by people and their programs, never by packets: here, and only here, allocations are walked.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::allocation::Owner;
use super::config::{FiveTuple, RelayId, Transport};
use super::usage::Traffic;
use super::{Output, Server};
use crate::credential::key_and_tag;

/// Names a session among all shards; never used twice by one machine. Written `shard-slot-generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// Which machine.
    pub shard: u16,
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// A text is no [`SessionId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the identity of a session, three numbers such as 0-17-4242, got {got:?}")]
pub struct NoSessionId {
    /// What came, or its beginning.
    pub got: String,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.shard, self.slot, self.generation)
    }
}

impl FromStr for SessionId {
    type Err = NoSessionId;

    fn from_str(text: &str) -> Result<Self, NoSessionId> {
        let mut parts = text.split('-');
        let mut next = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let numbers = (next(), next(), next());
        let parsed = match (numbers, parts.next()) {
            ((Some(shard), Some(slot), Some(generation)), None) => {
                (shard.parse().ok()).zip(slot.parse().ok()).zip(generation.parse().ok())
            }
            _ => None,
        };
        let ((shard, slot), generation) = parsed.ok_or_else(|| NoSessionId { got: text.chars().take(64).collect() })?;
        Ok(Self { shard, slot, generation })
    }
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Without the expiry; `<key>/<tag>` where a credential service has issued it.
    pub user: String,
    /// The realm it came in by.
    pub realm: String,
    /// Where it is, and how it reaches us.
    pub client: FiveTuple,
    /// XOR-RELAYED-ADDRESS, one or two.
    pub relayed: SmallVec<[SocketAddr; 2]>,
    /// When it was made.
    pub started: Instant,
    /// When it ends unless it is refreshed.
    pub expires: Instant,
    /// From the client.
    pub up: Traffic,
    /// To the client.
    pub down: Traffic,
    /// Permissions installed; expired ones are swept out late.
    pub permissions: usize,
    /// Channels bound; expired ones are swept out late.
    pub channels: usize,
}

/// Which sessions; what is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this user.
    pub user: Option<String>,
    /// With credentials of this key.
    pub key: Option<String>,
    /// With credentials of this tag.
    pub tag: Option<String>,
    /// In this realm.
    pub realm: Option<String>,
}

impl Filter {
    fn admits(&self, owner: &Owner) -> bool {
        let is =
            |wanted: &Option<String>, got: Option<&str>| wanted.as_deref().is_none_or(|wanted| got == Some(wanted));
        let (key, tag) = key_and_tag(&owner.user).unzip();
        is(&self.user, Some(&owner.user))
            && is(&self.realm, Some(&owner.realm))
            && is(&self.key, key)
            && is(&self.tag, tag)
    }
}

/// Whose sessions are to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// This one.
    Session(SessionId),
    /// All of a user.
    User(String),
    /// All whose names begin so, up to a slash: `<key>/<tag>` is one tag of one key.
    Below(String),
    /// All with credentials that a key has issued.
    Key(String),
    /// All with credentials of this tag, whichever key has issued them.
    Tag(String),
    /// All of a realm.
    Realm(String),
}

impl Whom {
    fn includes(&self, owner: &Owner, id: SessionId) -> bool {
        let (key, tag) = key_and_tag(&owner.user).unzip();
        match self {
            Self::Session(wanted) => *wanted == id,
            Self::User(user) => *user == owner.user,
            Self::Below(name) => {
                owner.user.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Key(wanted) => key == Some(wanted),
            Self::Tag(wanted) => tag == Some(wanted),
            Self::Realm(realm) => *realm == owner.realm,
        }
    }
}

impl Server {
    /// Live sessions in the order of their slots, at most `limit` of them, those after `after`. Walks over allocations.
    pub fn sessions(&self, filter: &Filter, after: Option<SessionId>, limit: usize) -> Vec<Session> {
        let after = after.map(|id| id.slot);
        let all = self.table.iter().filter(|&(slot, _)| after.is_none_or(|after| slot > after));
        let opened = all.filter(|(_, allocation)| allocation.opening.is_none());
        let fitting = opened.filter(|(_, allocation)| filter.admits(&allocation.owner));
        fitting.filter_map(|(slot, _)| self.session(slot)).take(limit).collect()
    }

    /// The session whose first allocation is in this slot. `None`: it is a second one.
    fn session(&self, slot: u32) -> Option<Session> {
        let first = self.table.get(slot)?;
        let legs = self.table.by_tuple(&first.tuple);
        let is_open = |&slot: &u32| self.table.get(slot).is_some_and(|leg| leg.opening.is_none());
        let slots: SmallVec<[u32; 2]> = legs.iter().filter(is_open).collect();
        if slots.first() != Some(&slot) {
            return None;
        }
        let mut session = Session {
            id: self.session_id(slot)?,
            user: first.owner.user.clone(),
            realm: first.owner.realm.clone(),
            client: first.tuple,
            relayed: SmallVec::new(),
            started: first.meter.started,
            expires: first.expires,
            up: Traffic::default(),
            down: Traffic::default(),
            permissions: 0,
            channels: 0,
        };
        for leg in slots.iter().filter_map(|&slot| self.table.get(slot)) {
            session.relayed.push(leg.relayed);
            session.started = session.started.min(leg.meter.started);
            session.expires = session.expires.max(leg.expires);
            session.up = session.up.plus(leg.meter.up);
            session.down = session.down.plus(leg.meter.down);
            session.permissions = session.permissions.saturating_add(leg.permissions.len());
            session.channels = session.channels.saturating_add(leg.channels.len());
        }
        Some(session)
    }

    fn session_id(&self, slot: u32) -> Option<SessionId> {
        let RelayId { slot, generation } = self.table.id_of(slot)?;
        Some(SessionId { shard: self.settings.shard, slot, generation })
    }

    /// Ends live sessions and tells how many. Streams are closed; over UDP a client learns it with its next request (437).
    pub fn end(&mut self, now: Instant, whom: &Whom) -> usize {
        let mut ended = 0;
        for slot in self.slots_of(whom) {
            // A session's second allocation has ended with the first.
            let Some(allocation) = self.table.get(slot) else { continue };
            let tuple = allocation.tuple;
            let next = allocation.mobility.and_then(|mobility| mobility.next);
            for client in [Some(tuple), next].into_iter().flatten().filter(|at| at.transport != Transport::Udp) {
                self.outputs.push_back(Output::Disconnect { client });
            }
            ended += 1;
            self.table.by_tuple(&tuple).iter().for_each(|slot| self.release(now, slot));
        }
        ended
    }

    /// Ends live sessions and refuses the credentials issued so far to whom they were of. A session and a realm have none of
    /// their own: these end, and may begin anew.
    pub fn revoke(&mut self, now: Instant, whom: &Whom) -> usize {
        if self.gate.revoke(now, whom) {
            self.counters.revoked += 1;
        }
        self.end(now, whom)
    }

    /// Whose credentials are refused: those that expire until then, in seconds since 1970.
    pub fn revocations(&self) -> Vec<(Whom, u64)> {
        self.gate.revoked.keep_for_later()
    }

    /// Credentials that another machine has refused are refused here, too; sessions stay.
    pub fn handle_revocations(&mut self, now: Instant, revocations: &[(Whom, u64)]) {
        let unix = self.gate.unix(now);
        for (whom, until) in revocations {
            self.gate.revoked.add(whom, unix, *until);
        }
    }

    fn slots_of(&self, whom: &Whom) -> Vec<u32> {
        match whom {
            Whom::Session(id) => {
                let relay = RelayId { slot: id.slot, generation: id.generation };
                let slot = if id.shard == self.settings.shard { self.table.by_id(relay) } else { None };
                slot.into_iter().collect()
            }
            Whom::User(user) => self.table.of_user(user),
            Whom::Below(_) | Whom::Key(_) | Whom::Tag(_) | Whom::Realm(_) => {
                let theirs = self.table.iter().filter(|&(slot, allocation)| {
                    self.session_id(slot).is_some_and(|id| whom.includes(&allocation.owner, id))
                });
                theirs.map(|(slot, _)| slot).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_session_is_read_as_it_is_written_and_nothing_else_is() {
        let id = SessionId { shard: 3, slot: 17, generation: u32::MAX };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "3", "3-17", "3-17-1-1", "3-+17-1", "3--1", "a-b-c", "70000-1-1", "1-1-4294967296"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
