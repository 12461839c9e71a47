//! What an operator asks of the running relay: who is on it, who is to go, how much each may have.
//!
//! A question is an order in each shard's mailbox with a way back; packets do not wait for it, the asking thread does.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tandem_stun::credential::key_and_tag;
pub use tandem_stun::turn::{Changes, Filter, SessionId, Traffic, Whom};
use tandem_stun::turn::{Session, Transport};

use super::mailbox::Order;
use super::{Handle, KeyLimits, wall_clock};

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Names it; `shard-slot-generation`.
    pub id: SessionId,
    /// Without the expiry of its credential.
    pub user: String,
    /// Which key has issued the credential, if one has.
    pub key: Option<String>,
    /// And the application's own label.
    pub tag: Option<String>,
    /// The realm it came in by.
    pub realm: String,
    /// How it reaches us.
    pub transport: Transport,
    /// Where it is.
    pub client: SocketAddr,
    /// The address of ours that it reached.
    pub server: SocketAddr,
    /// Where its peers see it: one address, or one of each family.
    pub relayed: Vec<SocketAddr>,
    /// When it was made, in Unix milliseconds.
    pub started: u64,
    /// When it ends unless it is refreshed, in Unix milliseconds.
    pub expires: u64,
    /// From the client.
    pub up: Traffic,
    /// To the client.
    pub down: Traffic,
    /// Permissions.
    pub permissions: usize,
    /// Channels.
    pub channels: usize,
}

/// Some of the sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their identities.
    pub sessions: Vec<SessionView>,
    /// For `after`, when there are more.
    pub next: Option<SessionId>,
}

/// A shard has not answered: it is starting anew, or ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a thread of the relay does not answer")]
pub struct Unreachable;

impl Handle {
    /// Live sessions, at most `limit` and at most [`MOST`], those after `after`. Waits for the shards: not for async tasks.
    ///
    /// # Errors
    /// A shard does not answer.
    pub fn sessions(&self, filter: &Filter, after: Option<SessionId>, limit: usize) -> Result<Page, Unreachable> {
        let limit = limit.clamp(1, MOST);
        let mut found = Vec::new();
        let first = after.map_or(0, |id| id.shard);
        for (shard, mailbox) in (0..).zip(self.mailboxes.iter()).filter(|(shard, _)| *shard >= first) {
            // One more than asked for tells whether there are more.
            let wanted = (limit + 1).saturating_sub(found.len());
            if wanted == 0 {
                break;
            }
            let (reply, answer) = sync_channel(1);
            let after = after.filter(|id| id.shard == shard);
            mailbox.order(Order::Sessions { filter: filter.clone(), after, limit: wanted, reply });
            found.extend(receive(&answer)?);
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let clock = wall_clock();
        let sessions: Vec<SessionView> = found.into_iter().map(|session| view(session, clock)).collect();
        let next = sessions.last().filter(|_| more).map(|session| session.id);
        Ok(Page { sessions, next })
    }

    /// Ends live sessions, and tells how many: streams are closed, clients over UDP learn it with their next request. Credentials
    /// stay good. Waits for the shards: not for async tasks.
    ///
    /// # Errors
    /// A shard does not answer; the others have done it.
    pub fn end(&self, whom: &Whom) -> Result<usize, Unreachable> {
        self.end_with(whom, Credentials::Kept)
    }

    /// As [`Handle::end`], and credentials issued so far are refused; those of a session and a realm stay good.
    ///
    /// # Errors
    /// A shard does not answer; the others have done it.
    pub fn end_and_revoke(&self, whom: &Whom) -> Result<usize, Unreachable> {
        self.end_with(whom, Credentials::Refused)
    }

    fn end_with(&self, whom: &Whom, credentials: Credentials) -> Result<usize, Unreachable> {
        let answers: Vec<_> = self
            .mailboxes
            .iter()
            .map(|mailbox| {
                let (reply, answer) = sync_channel(1);
                mailbox.order(Order::End { whom: whom.clone(), credentials, reply: Some(reply) });
                answer
            })
            .collect();
        let ended: Vec<_> = answers.iter().map(receive).collect();
        ended.into_iter().sum()
    }

    /// Ends all allocations of this user and refuses the credentials issued to it so far. Does not wait.
    pub fn revoke(&self, user: &str) {
        for mailbox in self.mailboxes.iter() {
            let whom = Whom::User(user.to_owned());
            mailbox.order(Order::End { whom, credentials: Credentials::Refused, reply: None });
        }
    }

    /// Bounds what all users of a key may have together, from now on. `None`: no bounds of its own. Does not wait.
    pub fn set_key_limit(&self, key: &str, limits: Option<KeyLimits>) {
        self.quota.set_key_limit(key, limits);
        let bytes_per_second = limits.and_then(|limits| limits.bytes_per_second);
        for mailbox in self.mailboxes.iter() {
            mailbox.order(Order::KeyLimit { key: key.to_owned(), bytes_per_second });
        }
    }

    /// Goes on by other settings: what is relayed goes on, too, unless its peer is refused from here on. Does not wait. The bound
    /// of all allocations is per shard, see [`Handle::shards`].
    pub fn change(&self, changes: Changes) {
        self.quota.change(&changes.limits);
        let changes = Arc::new(changes);
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&changes));
        for mailbox in self.mailboxes.iter() {
            mailbox.order(Order::Change(Arc::clone(&changes)));
        }
    }

    /// How many threads share the work.
    pub fn shards(&self) -> usize {
        self.mailboxes.len()
    }
}

/// What becomes of the credentials of those who are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Kept,
    Refused,
}

fn receive<T>(answer: &Receiver<T>) -> Result<T, Unreachable> {
    answer.recv_timeout(PATIENCE).map_err(|_| Unreachable)
}

fn view(from: Session, clock: (Instant, u64)) -> SessionView {
    let (key, tag) = key_and_tag(&from.user).map(|(key, tag)| (key.to_owned(), tag.to_owned())).unzip();
    SessionView {
        id: from.id,
        key,
        tag,
        realm: from.realm,
        transport: from.client.transport,
        client: from.client.client,
        server: from.client.server,
        relayed: from.relayed.into_vec(),
        started: unix_ms(from.started, clock),
        expires: unix_ms(from.expires, clock),
        up: from.up,
        down: from.down,
        permissions: from.permissions,
        channels: from.channels,
        user: from.user,
    }
}

fn unix_ms(at: Instant, (second, unix): (Instant, u64)) -> u64 {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let base = unix.saturating_mul(1_000);
    base.saturating_add(ms(at.saturating_duration_since(second)))
        .saturating_sub(ms(second.saturating_duration_since(at)))
}

/// Sessions of one answer at most.
pub const MOST: usize = 1_000;
/// A shard turns within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
