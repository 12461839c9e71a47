//! The gate: long-term credentials (RFC 8489 §9.2.4), ephemeral or of known users, stateless nonces, and revocation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_types::attribute::{
    AttributeStaticType, AttributeType, Nonce, PasswordAlgorithm, PasswordAlgorithms, RawAttribute, Realm, Userhash,
    Username,
};
use stun_types::message::Message;

use super::allocation::Owner;
use super::answer::Seal;
use super::changes::Changes;
use super::config::Config;
use super::limiter::{Rate, Sources};
use super::nonce::{Features, Nonces};
use super::realms::Realms;
use super::revoked::Revoked;
use super::seeded::Seeded;
use super::sessions::Whom;
use super::token::{ACCESS_TOKEN, TOLERANCE};
use super::users::{Found, Keys, Name, Secret, UserKey, Users};
use crate::credential;
use crate::integrity::{self, Algorithm, Integrity};
use crate::opaque::opaque;
use crate::wire::Stun;

/// Decides who comes in. Keeps nothing for those who do not.
pub(super) struct Gate {
    realm: String,
    realms: Arc<Realms>,
    secrets: Vec<Vec<u8>>,
    pub(super) users: Users,
    /// Our name in the eyes of authorisation servers, where tokens are taken.
    third_party: Option<String>,
    credential_lifetime: Duration,
    end_on_expiry: bool,
    wall_clock: (Instant, u64),
    pub(super) nonces: Nonces,
    sources: Sources,
    pub(super) revoked: Revoked,
}

/// Why a request does not come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// 400: integrity without the attributes it needs.
    Incomplete,
    /// 401: no integrity at all; the usual first request.
    Unauthenticated,
    /// 401: wrong or expired credential.
    Wrong,
    /// 438.
    Stale,
    /// 441: not the one who made the allocation.
    NotOwner,
    /// Not yet known: to be asked for.
    Unknown(UserKey),
}

impl Gate {
    pub(super) fn new(config: &Config, hash: Seeded) -> Self {
        let limits = &config.limits;
        let accounts = &config.accounts;
        let features = Features { user_hash: (accounts.ask || !accounts.fixed.is_empty()) && !accounts.unhashed };
        let rate = Rate { per_second: limits.answers_per_second.into(), burst: limits.answers_burst.into() };
        Self {
            realm: config.realm.clone(),
            realms: Arc::clone(&config.realms),
            secrets: config.secrets.clone(),
            users: Users::new(&config.accounts),
            third_party: config.accounts.third_party.as_ref().map(|third_party| third_party.server_name.clone()),
            credential_lifetime: config.credential_lifetime,
            end_on_expiry: config.end_on_expiry,
            wall_clock: config.wall_clock,
            nonces: Nonces::new(config.nonce_key, config.wall_clock.0, features),
            sources: Sources::new(hash, rate),
            revoked: Revoked::default(),
        }
    }

    /// The realm a client is asked for: its ORIGIN's, or the one that it names itself, or the default.
    pub(super) fn realm(&self, message: &Message<'_>) -> String {
        // Frames within frames: the first one that is known.
        let mut origins = message.iter_attributes().filter(|(_, attribute)| attribute.header.get_type() == ORIGIN);
        let asked = origins
            .find_map(|(_, raw)| self.realms.of_origin(std::str::from_utf8(&raw.value).ok()?).map(str::to_owned));
        let named = || message.attribute::<Realm>().ok().map(|named| named.realm().to_owned());
        let realm = asked.or_else(|| named().filter(|named| self.realms.has(named)));
        realm.unwrap_or_else(|| self.realm.clone())
    }

    pub(super) fn realms(&self) -> &Realms {
        &self.realms
    }

    pub(super) fn set_realms(&mut self, realms: Arc<Realms>) {
        self.realms = realms;
    }

    pub(super) fn change(&mut self, changes: &Changes) {
        self.secrets.clone_from(&changes.secrets);
        self.users.set_fixed(&changes.users);
        self.credential_lifetime = changes.credential_lifetime;
        self.end_on_expiry = changes.end_on_expiry;
    }

    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.sources.set_rate(rate);
    }

    pub(super) fn nonce(&self, now: Instant, client: SocketAddr) -> String {
        self.nonces.issue(now, client)
    }

    /// Whether a source that has proved nothing gets an answer to so many bytes.
    pub(super) fn admit(&mut self, now: Instant, client: SocketAddr, heard: usize) -> bool {
        self.sources.admit(now, client.ip(), heard)
    }

    /// It got one.
    pub(super) fn charge(&mut self, now: Instant, client: SocketAddr, sent: usize) {
        self.sources.charge(now, client.ip(), sent);
    }

    /// It has shown a nonce that was sent to its address, and a credential.
    pub(super) fn prove(&mut self, now: Instant, client: SocketAddr) {
        self.sources.prove(now, client.ip());
    }

    pub(super) fn set_wall_clock(&mut self, now: Instant, unix: u64) {
        self.wall_clock = (now, unix);
    }

    pub(super) fn unix(&self, now: Instant) -> u64 {
        let (at, unix) = self.wall_clock;
        unix.saturating_add(now.saturating_duration_since(at).as_secs())
    }

    /// Refuses the credentials issued so far. `false`: there are none of that kind.
    pub(super) fn revoke(&mut self, now: Instant, whom: &Whom) -> bool {
        if let Whom::User(user) = whom {
            // Users of other realms carry them in their labels.
            self.users.forget(user.rsplit_once('@').map_or(user, |(name, _)| name));
            self.users.forget(user);
        }
        let unix = self.unix(now);
        self.revoked.add(whom, unix, unix.saturating_add(self.credential_lifetime.as_secs()))
    }

    /// Checks a request, in the order of RFC 8489 §9.2.4. `holder` owns the five-tuple's allocation, if there is one.
    pub(super) fn check(
        &self,
        now: Instant,
        client: SocketAddr,
        message: &Message<'_>,
        holder: Option<&Owner>,
    ) -> Result<Authentic, Closed> {
        let stun = Stun { kind: 0, bytes: message.as_bytes() };
        let integrity = Integrity::of(stun).ok_or(Closed::Unauthenticated)?;
        let realm = message.attribute::<Realm>().map_err(|_| Closed::Incomplete)?.realm().to_owned();
        let nonce = message.attribute::<Nonce>().map_err(|_| Closed::Incomplete)?;
        let token = message.raw_attribute(ACCESS_TOKEN).filter(|_| self.third_party.is_some());
        let user = UserKey { name: name(message, token.as_ref())?, realm };
        if !self.nonces.is_valid(now, client, nonce.nonce()) {
            return Err(Closed::Stale);
        }
        let proof = Proof { stun, integrity, algorithm: algorithm(message)? };
        if user.realm != self.realm && !self.realms.has(&user.realm) {
            return Err(Closed::Wrong);
        }
        let unix = self.unix(now);
        if let Some(token) = token {
            let (owner, seal) = self.by_token(now, &proof, user.clone(), &token.value)?;
            return match holder {
                Some(holder) if holder.is(&user) => Ok(Authentic::Renewed(owner, seal)),
                Some(_) => Err(Closed::NotOwner),
                None => Ok(Authentic::Stranger(owner, seal)),
            };
        }
        match holder {
            // RFC 7635 §4: without another token the session ends with the one it began with.
            Some(owner) if owner.token_until.is_some_and(|until| until.saturating_add(TOLERANCE) < unix) => {
                Err(Closed::Wrong)
            }
            // RFC 8656 §5: the same credential for the life of the allocation, even after it has expired.
            Some(owner) if owner.is(&user) => proof.verify(&owner.keys).map(Authentic::Holder),
            Some(_) => {
                self.stranger(now, &proof, user)?;
                Err(Closed::NotOwner)
            }
            None => self.stranger(now, &proof, user).map(|(owner, seal)| Authentic::Stranger(owner, seal)),
        }
    }

    /// RFC 7635 §4.2: the token brings the key that protects the message it came with.
    fn by_token(&self, now: Instant, proof: &Proof<'_>, user: UserKey, token: &[u8]) -> Result<(Owner, Seal), Closed> {
        let account = match self.users.find(now, &user) {
            Found::Known(account) => account,
            Found::Unknown => return Err(Closed::Wrong),
            Found::Ask => return Err(Closed::Unknown(user)),
        };
        let (Secret::Token(key), Some(server_name)) = (&account.secret, &self.third_party) else {
            return Err(Closed::Wrong);
        };
        let grant = key.open(server_name, self.unix(now), token).ok_or(Closed::Wrong)?;
        // Tokens are told apart as the tags of one key are.
        let label = self.label(&format!("{}/{}", account.username, grant.fingerprint), &user.realm);
        let keys = grant.keys.iter().map(|key| (Keys::of_token(key), label.as_str()));
        let (owner, seal) = admit(keys, proof, &account.username, &user.realm)?;
        Ok((Owner { token_until: Some(grant.until), ..owner }, seal))
    }

    /// What clients are told about tokens.
    pub(super) fn third_party(&self) -> Option<&str> {
        self.third_party.as_deref()
    }

    /// RFC 7635 §4.3: no longer than the token is good, give or take what clocks may differ; and no longer than the ephemeral
    /// credential, where the operator wants it so.
    pub(super) fn at_most(&self, now: Instant, owner: &Owner, lifetime: Duration) -> Duration {
        let left = |until: u64| until.saturating_add(TOLERANCE).saturating_sub(self.unix(now));
        let of_token = owner.token_until.map(left);
        let of_credential = owner.credential_until.filter(|_| self.end_on_expiry);
        let of_credential = of_credential.map(|until| until.saturating_sub(self.unix(now)));
        let most = of_token.into_iter().chain(of_credential).map(Duration::from_secs).min();
        most.map_or(lifetime, |most| lifetime.min(most))
    }

    fn stranger(&self, now: Instant, proof: &Proof<'_>, user: UserKey) -> Result<(Owner, Seal), Closed> {
        if let Name::Plain(username) = &user.name
            && let Some((expiry, name)) = credential::parse_username(username)
            && !(self.secrets.is_empty() && self.realms.secrets(&user.realm).is_empty())
        {
            return self.ephemeral(now, proof, (username, expiry, name), &user.realm);
        }
        let account = match self.users.find(now, &user) {
            Found::Known(account) => account,
            Found::Unknown => return Err(Closed::Wrong),
            Found::Ask => return Err(Closed::Unknown(user)),
        };
        let label = self.label(&account.username, &user.realm);
        let keys = account.keys(&user.realm).into_iter().map(|keys| (keys, label.as_str()));
        admit(keys, proof, &account.username, &user.realm)
    }

    /// By a shared secret: one that is good everywhere, or one of the realm.
    fn ephemeral(
        &self,
        now: Instant,
        proof: &Proof<'_>,
        (username, expiry, name): (&str, u64, &str),
        realm: &str,
    ) -> Result<(Owner, Seal), Closed> {
        if expiry <= self.unix(now) {
            return Err(Closed::Wrong);
        }
        let label = self.label(name, realm);
        let of_realm = self.realms.secrets(realm).iter().map(|secret| (secret, label.as_str()));
        let keys = self
            .secrets
            .iter()
            .map(|secret| (secret, name))
            .chain(of_realm)
            .filter(|(_, label)| !self.revoked.includes(label, expiry))
            .map(|(secret, label)| {
                (Keys::of_password(username, realm, &credential::password(secret, username)), label)
            });
        let (owner, seal) = admit(keys, proof, username, realm)?;
        Ok((Owner { credential_until: Some(expiry), ..owner }, seal))
    }

    /// The default realm's users go by their names; others are told apart in quotas and revocations.
    fn label(&self, name: &str, realm: &str) -> String {
        if realm == self.realm { name.to_owned() } else { format!("{name}@{realm}") }
    }
}

/// The first of these keys that verifies, and as whom.
fn admit<'k>(
    mut keys: impl Iterator<Item = (Keys, &'k str)>,
    proof: &Proof<'_>,
    username: &str,
    realm: &str,
) -> Result<(Owner, Seal), Closed> {
    let verified = keys.find_map(|(keys, user)| proof.verify(&keys).ok().map(|seal| (keys, user, seal)));
    let (keys, user, seal) = verified.ok_or(Closed::Wrong)?;
    Ok((
        Owner {
            username: username.to_owned(),
            user: user.to_owned(),
            realm: realm.to_owned(),
            keys,
            token_until: None,
            credential_until: None,
        },
        seal,
    ))
}

/// A message and how it claims to be protected.
struct Proof<'m> {
    stun: Stun<'m>,
    integrity: Integrity,
    algorithm: Algorithm,
}

impl Proof<'_> {
    /// What the answer is to be sealed with, if the message holds.
    fn verify(&self, keys: &Keys) -> Result<Seal, Closed> {
        let key = keys.by(self.algorithm).ok_or(Closed::Wrong)?;
        match integrity::verify(self.stun, self.integrity, key) {
            true => Ok(Seal { integrity: self.integrity, key: key.clone() }),
            false => Err(Closed::Wrong),
        }
    }
}

/// With a token, USERNAME names the key that opens it.
fn name(message: &Message<'_>, token: Option<&RawAttribute<'_>>) -> Result<Name, Closed> {
    if message.has_attribute(Username::TYPE) {
        let username = message.attribute::<Username>().map_err(|_| Closed::Incomplete)?;
        let kind = if token.is_some() { Name::Kid } else { Name::Plain };
        return opaque(username.username()).map(kind).ok_or(Closed::Incomplete);
    }
    let hash = message.attribute::<Userhash>().map_err(|_| Closed::Incomplete)?;
    Ok(Name::Hash(*hash.hash()))
}

/// RFC 8489 §9.2.4: neither attribute means MD5; both must be there, the list as we offered it, and the choice on it.
/// Every nonce of ours says that there was a list, so taking it out of our answer is noticed.
fn algorithm(message: &Message<'_>) -> Result<Algorithm, Closed> {
    let offered = message.raw_attribute(PasswordAlgorithms::TYPE);
    let chosen = message.raw_attribute(PasswordAlgorithm::TYPE);
    let (offered, chosen) = match (offered, chosen) {
        (None, None) => return Ok(Algorithm::Md5),
        (Some(offered), Some(chosen)) => (offered, chosen),
        _ => return Err(Closed::Incomplete),
    };
    if offered.value.as_ref() != OFFERED {
        return Err(Closed::Incomplete);
    }
    // An algorithm and its parameters, of which there are none.
    match chosen.value.as_ref() {
        [0, 1, 0, 0] => Ok(Algorithm::Md5),
        [0, 2, 0, 0] => Ok(Algorithm::Sha256),
        _ => Err(Closed::Incomplete),
    }
}

/// Who a valid credential belongs to, and what the answer is sealed with.
pub(super) enum Authentic {
    /// The owner of this five-tuple's allocation.
    Holder(Seal),
    /// The owner of this five-tuple's allocation, with another token.
    Renewed(Owner, Seal),
    /// Somebody without an allocation.
    Stranger(Owner, Seal),
}

/// PASSWORD-ALGORITHMS: SHA-256, then MD5, neither with parameters.
pub(super) const OFFERED: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
/// draft-johnston-tram-stun-origin: scheme, host and port of the page that relays.
const ORIGIN: AttributeType = AttributeType::new(0x802F);
