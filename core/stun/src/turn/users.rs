//! Users with long-term passwords: from the settings, or from whoever answers questions (law: no slow question is asked
//! inside).
//!
//! ```text
//!   request ─► known? ──yes──► verified
//!                 └─no─► parked, Output::Query(id, user) ─► handle_answer(id, answer) ─► handled once more
//! ```
//!
//! Answers are kept for a short while, refusals for a shorter one; both are bounded.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use stun_types::attribute::Userhash;

use super::parked::{Parked, Parking, Waiting};
use super::token::TokenKey;
use super::{FiveTuple, Output, Server};
use crate::integrity::{Algorithm, Key};
use crate::opaque::opaque;

/// Names one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(u64);

/// Whom a client says it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserKey {
    /// REALM.
    pub realm: String,
    /// USERNAME or USERHASH.
    pub name: Name,
}

/// How a client names itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// USERNAME, prepared as OpaqueString.
    Plain(String),
    /// USERHASH: SHA-256 of `user ":" realm`, RFC 8489 §14.4.
    Hash([u8; 32]),
    /// USERNAME beside an ACCESS-TOKEN: the key that opens it, RFC 7635 §6.2. The answer's secret is [`Secret::Token`].
    Kid(String),
}

/// A user and what its messages are protected with.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name, also if the question was about a hash.
    pub username: String,
    /// What proves it.
    pub secret: Secret,
}

/// What a user knows. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// One password, or several of which each is good, while one is being replaced.
    Passwords(Vec<String>),
    /// Long-term keys, where no password is kept. A missing one means that its algorithm cannot be used.
    Keys {
        /// `MD5(user ":" realm ":" password)`.
        md5: Option<[u8; 16]>,
        /// `SHA-256(user ":" realm ":" password)`.
        sha256: Option<[u8; 32]>,
    },
    /// Nothing: this opens the tokens that others come with.
    Token(TokenKey),
}

/// What is known about a user.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// This.
    Known(Account),
    /// There is no such user.
    Unknown,
    /// It could not be found out: who still wants in will ask again.
    Unavailable,
}

/// Users from the settings, and whether others may be asked for.
#[derive(Clone, Default)]
pub struct Accounts {
    /// User name and password, good in every realm.
    pub fixed: Vec<(String, String)>,
    /// Whether [`Output::Query`] is answered. Otherwise nobody but the fixed ones is known.
    pub ask: bool,
    /// Those who are asked for cannot be found by USERHASH: clients are not told that they may hide their names
    /// (RFC 8489 §9.2).
    pub unhashed: bool,
    /// Authorisation servers whose tokens are taken.
    pub third_party: Option<ThirdParty>,
}

/// Third-party authorisation, RFC 7635.
#[derive(Clone)]
pub struct ThirdParty {
    /// What clients are told in THIRD-PARTY-AUTHORIZATION: tokens are made for this name.
    pub server_name: String,
    /// Keys shared with authorisation servers; others may be asked for.
    pub keys: Vec<TokenKey>,
}

/// The long-term keys of one password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keys {
    md5: Option<Key>,
    sha256: Option<Key>,
}

impl Keys {
    pub(super) fn of_password(username: &str, realm: &str, password: &str) -> Self {
        let make = |algorithm| Some(Key::long_term(algorithm, username, realm, password));
        Self { md5: make(Algorithm::Md5), sha256: make(Algorithm::Sha256) }
    }

    /// A key that came in a token: whatever the algorithm, there is no password it could have been made from.
    pub(super) fn of_token(key: &Key) -> Self {
        Self { md5: Some(key.clone()), sha256: Some(key.clone()) }
    }

    pub(super) fn by(&self, algorithm: Algorithm) -> Option<&Key> {
        match algorithm {
            Algorithm::Md5 => self.md5.as_ref(),
            Algorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}

/// USERHASH of RFC 8489 §14.4.
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    Userhash::compute(username, realm)
}

impl Account {
    /// With the keys of a password, which itself need not be kept. `None`: empty texts, or ones with control characters.
    pub fn with_password(username: &str, realm: &str, password: &str) -> Option<Self> {
        let (username, password) = (opaque(username)?, opaque(password)?);
        let key = |algorithm| Key::long_term(algorithm, &username, realm, &password);
        let (md5, sha256) =
            (key(Algorithm::Md5).bytes().try_into().ok(), key(Algorithm::Sha256).bytes().try_into().ok());
        Some(Self { username, secret: Secret::Keys { md5, sha256 } })
    }

    /// Each set of keys that is good for this user.
    pub(super) fn keys(&self, realm: &str) -> SmallVec<[Keys; 2]> {
        match &self.secret {
            Secret::Passwords(passwords) => {
                let prepared = passwords.iter().take(MAX_PASSWORDS).filter_map(|password| opaque(password));
                prepared.map(|password| Keys::of_password(&self.username, realm, &password)).collect()
            }
            Secret::Keys { md5, sha256 } => {
                let md5 = md5.as_ref().map(|key| Key::from_bytes(key));
                smallvec![Keys { md5, sha256: sha256.as_ref().map(|key| Key::from_bytes(key)) }]
            }
            Secret::Token(_) => SmallVec::new(),
        }
    }
}

/// All that is known about users at the moment, and who waits to be known.
pub(super) struct Users {
    fixed: BTreeMap<String, Account>,
    token_keys: BTreeMap<String, Account>,
    ask: bool,
    cache: BTreeMap<UserKey, (Option<Account>, Instant)>,
    /// When what was cached is forgotten; in order of each kind.
    order: [VecDeque<(Instant, UserKey)>; 2],
    waiting: Parked<UserKey>,
    asked: BTreeMap<QueryId, UserKey>,
    last: u64,
}

/// What is known about somebody.
pub(super) enum Found {
    Known(Account),
    Unknown,
    Ask,
}

impl Users {
    pub(super) fn new(accounts: &Accounts) -> Self {
        Self {
            fixed: known(&accounts.fixed),
            token_keys: token_keys(accounts),
            ask: accounts.ask,
            cache: BTreeMap::new(),
            order: Default::default(),
            waiting: Parked::new(),
            asked: BTreeMap::new(),
            last: 0,
        }
    }

    /// Other users from the settings.
    pub(super) fn set_fixed(&mut self, fixed: &[(String, String)]) {
        self.fixed = known(fixed);
    }

    pub(super) fn find(&self, now: Instant, user: &UserKey) -> Found {
        let fixed = match &user.name {
            Name::Plain(name) => self.fixed.get(name),
            Name::Hash(hash) => self.fixed.values().find(|of| Userhash::compute(&of.username, &user.realm) == *hash),
            Name::Kid(kid) => self.token_keys.get(kid),
        };
        if let Some(account) = fixed {
            return Found::Known(account.clone());
        }
        match self.cache.get(user) {
            Some((Some(account), until)) if *until > now => Found::Known(account.clone()),
            Some((None, until)) if *until > now => Found::Unknown,
            _ if self.ask => Found::Ask,
            _ => Found::Unknown,
        }
    }

    /// Keeps a request that waits to be known; the question, unless it has been asked already.
    pub(super) fn park(&mut self, now: Instant, user: UserKey, from: FiveTuple, bytes: &[u8]) -> Option<QueryId> {
        if self.waiting.park(now, user.clone(), from, bytes) != Parking::Ask {
            return None;
        }
        self.last += 1;
        let id = QueryId(self.last);
        self.asked.insert(id, user);
        Some(id)
    }

    /// Learns an answer; whoever waited for it.
    fn learn(&mut self, now: Instant, id: QueryId, answer: Answer) -> Vec<Waiting> {
        // Answers that come too late are learnt, too, as long as the question is remembered; others mean nothing.
        let Some(user) = self.asked.remove(&id) else { return Vec::new() };
        let (account, lifetime, order) = match answer {
            Answer::Known(account) => (Some(account), KNOWN, 0),
            Answer::Unknown => (None, UNKNOWN, 1),
            Answer::Unavailable => {
                self.waiting.take(&user);
                return Vec::new();
            }
        };
        self.forget_old(now);
        if self.cache.len() >= MAX_CACHED
            && let Some((_, oldest)) = self.order.iter_mut().rev().find_map(VecDeque::pop_front)
        {
            self.cache.remove(&oldest);
        }
        if let Some(order) = self.order.get_mut(order) {
            order.push_back((now + lifetime, user.clone()));
        }
        self.cache.insert(user.clone(), (account, now + lifetime));
        self.waiting.take(&user)
    }

    fn forget_old(&mut self, now: Instant) {
        for order in &mut self.order {
            while let Some((_, user)) = order.pop_front_if(|(until, _)| *until <= now) {
                if self.cache.get(&user).is_some_and(|(_, until)| *until <= now) {
                    self.cache.remove(&user);
                }
            }
        }
    }

    /// What was learnt about a user is no longer true.
    pub(super) fn forget(&mut self, username: &str) {
        let is_it = |user: &UserKey, account: &Option<Account>| {
            matches!(&user.name, Name::Plain(name) | Name::Kid(name) if name == username)
                || account.as_ref().is_some_and(|account| account.username == username)
        };
        self.cache.retain(|user, (account, _)| !is_it(user, account));
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(user) = self.waiting.expire(now) {
            self.asked.retain(|_, asked| *asked != user);
        }
    }

    /// Requests that wait, and questions that have not been answered.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.waiting.len(), self.asked.len())
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.next_deadline()
    }
}

fn token_keys(accounts: &Accounts) -> BTreeMap<String, Account> {
    let keys = accounts.third_party.iter().flat_map(|third_party| &third_party.keys);
    let account = |key: &TokenKey| Account { username: key.kid().to_owned(), secret: Secret::Token(key.clone()) };
    keys.map(|key| (key.kid().to_owned(), account(key))).collect()
}

/// Users from the settings, by their names.
fn known(fixed: &[(String, String)]) -> BTreeMap<String, Account> {
    let account = |(name, password): &(String, String)| {
        let username = opaque(name)?;
        Some((username.clone(), Account { username, secret: Secret::Passwords(vec![password.clone()]) }))
    };
    fixed.iter().filter_map(account).collect()
}

impl Server {
    /// The answer to an [`Output::Query`]. One that is no longer waited for is ignored.
    pub fn handle_answer(&mut self, now: Instant, id: QueryId, answer: Answer) {
        for waiting in self.gate.users.learn(now, id, answer) {
            self.handle_client(now, waiting.from, &waiting.bytes);
        }
    }

    /// A user has another password, or none any more: the next request asks anew. Allocations stay.
    pub fn handle_user_changed(&mut self, username: &str) {
        self.gate.users.forget(username);
    }

    /// Somebody we know nothing about waits until we do.
    pub(super) fn ask(&mut self, now: Instant, user: UserKey, from: FiveTuple, bytes: &[u8]) {
        if let Some(id) = self.gate.users.park(now, user.clone(), from, bytes) {
            self.counters.queries += 1;
            self.outputs.push_back(Output::Query { id, user });
        }
    }
}

/// How long a user who was found is believed.
const KNOWN: Duration = Duration::from_secs(60);
/// How long a user who was not found is not looked for again.
const UNKNOWN: Duration = Duration::from_secs(5);
/// Users remembered at the same time; a further one takes the place of the oldest, first of those not found.
const MAX_CACHED: usize = 8_192;
/// Passwords of one user that are tried.
const MAX_PASSWORDS: usize = 4;
