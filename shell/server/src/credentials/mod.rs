//! The credential service: applications with keys hand out credentials of the relay to their users.
//!
//! ```text
//!   own form, Cloudflare, Twilio, Xirsys, draft-uberti ──► Service ──► store: applications, what was taken back, usage
//!                 (crate::http)                               └──────► relay: ends sessions, refuses, bounds keys
//! ```
//!
//! One engine under all dialects. What a credential is, and that the relay verifies it without a database, is
//! [`tandem_stun::credential`]'s business.

mod book;
mod collect;
mod live;
mod names;
mod refused;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tandem_store::{Application, ApplicationChange, Kind, MadeApplication, NewApplication, Store};
use tandem_stun::credential::{Credential, credential};

pub use names::{KeyName, parse as parse_name};
pub use refused::Refused;

pub use collect::{Collector, queue};
pub use live::Scope;

use crate::http::attempts::Attempts;
use crate::metrics::{API_KEYS_REFUSED_TOTAL, TURN_CREDENTIALS_ISSUED_TOTAL};
use crate::{relay, unix_ms};

use book::Book;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inside>);

struct Inside {
    store: Store,
    attempts: Attempts,
    relay: Option<Relay>,
    most_ttl: u64,
    /// How long the relay remembers what was taken back.
    lifetime_ms: u64,
    book: Mutex<Book>,
}

/// The relay whose credentials these are.
#[derive(Clone)]
pub struct Relay {
    /// Does what it is told.
    pub handle: Arc<relay::Handle>,
    /// Where it is, and its secret; another one when the settings change.
    pub announced: Arc<ArcSwap<tandem_engine::Relay>>,
}

/// Where a client reached us, which is where it reaches the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Host name or address, as in a URL.
    pub host: String,
    /// Port of HTTPS.
    pub port: Option<u16>,
}

/// A credential that is handed out.
pub struct Issued {
    /// User name and password.
    pub credential: Credential,
    /// `stun:` URLs.
    pub stun: Vec<String>,
    /// `turn:` and `turns:` URLs.
    pub turn: Vec<String>,
    /// In how many seconds it expires.
    pub ttl: u64,
    /// When, in seconds since 1970.
    pub expiry: u64,
}

/// Never longer: what was taken back need not be remembered beyond.
pub const MOST_TTL: Duration = Duration::from_secs(48 * 3600);
/// Good for, where nothing else is asked for.
pub const USUAL_TTL: u64 = 86_400;
/// RFC 9110 §4.2.2: where no other is named.
const HTTPS: u16 = 443;
/// Characters of a label.
pub const MOST_TAG: usize = 64;

impl Service {
    /// On this store; without a relay nothing is handed out. Wrong keys count in `attempts`.
    pub fn new(store: Store, attempts: Attempts, relay: Option<Relay>, most_ttl: Duration) -> Service {
        let most_ttl = most_ttl.min(MOST_TTL).as_secs();
        let lifetime = relay.as_ref().map_or(MOST_TTL, |relay| relay.announced.load().ttl.max(MOST_TTL));
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        Service(Arc::new(Inside { store, attempts, relay, most_ttl, lifetime_ms, book: Mutex::default() }))
    }

    /// Applications are there.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The application whose key this is, while it is served.
    pub async fn authenticate(&self, client: IpAddr, key: &str) -> Result<Application, Refused> {
        if let Some(seconds) = self.0.attempts.blocked(client) {
            API_KEYS_REFUSED_TOTAL.add_labelled("blocked", 1);
            return Err(Refused::Blocked { seconds });
        }
        let Some(application) = self.0.store.authenticate_application(key).await? else {
            API_KEYS_REFUSED_TOTAL.add_labelled(if key.is_empty() { "missing" } else { "wrong" }, 1);
            if !key.is_empty() {
                self.0.attempts.count(client);
            }
            return Err(Refused::Unauthorized);
        };
        self.check_served(&application).await?;
        Ok(application)
    }

    /// The same, where the application is named beside its key: itself, one below it, or the identity of either.
    pub async fn authenticate_for(&self, client: IpAddr, id: &str, key: &str) -> Result<Application, Refused> {
        let application = self.authenticate(client, key).await?;
        match self.below(&application, id).await {
            // Whose key it is, is nobody's business who does not know both.
            Err(Refused::NotYours) => {
                self.0.attempts.count(client);
                Err(Refused::Unauthorized)
            }
            other => other,
        }
    }

    /// The application itself, or one below it, by identity or name.
    pub async fn below(&self, application: &Application, id: &str) -> Result<Application, Refused> {
        if application.id == id {
            return Ok(application.clone());
        }
        let found = self.0.store.application_below(&application.id, id).await?.ok_or(Refused::NotYours)?;
        if found.enabled { Ok(found) } else { Err(Refused::Disabled) }
    }

    async fn check_served(&self, application: &Application) -> Result<(), Refused> {
        let parent = match &application.parent {
            Some(parent) => self.0.store.application(parent).await?,
            None => None,
        };
        let is_served = application.enabled && parent.is_none_or(|parent| parent.enabled);
        if is_served { Ok(()) } else { Err(Refused::Disabled) }
    }

    /// Whether a page may ask with this application's key. Programs name no page.
    pub fn check_origin(&self, application: &Application, origin: Option<&str>) -> Result<(), Refused> {
        let is_listed = |origin: &str| application.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin));
        if origin.is_none_or(is_listed) { Ok(()) } else { Err(Refused::Origin) }
    }

    /// Whether the origin stands with any application.
    pub fn lists_origin(&self, origin: &str) -> bool {
        self.book().lists_origin(origin)
    }

    /// Hands out a credential.
    pub async fn issue(
        &self,
        application: &Application,
        ttl: u64,
        tag: &str,
        reached: &Reached,
    ) -> Result<Issued, Refused> {
        check_tag(tag)?;
        // Made by the command line a moment ago: the relay has to hear of its bounds, and of its end.
        if !self.book().knows(&application.id) {
            self.reconcile().await?;
        }
        if let Some((used, most)) = self.book().over(&application.id) {
            return Err(Refused::OverQuota { used, most });
        }
        let key = KeyName { id: &application.id, generation: application.generation };
        let rounds = self.0.store.rounds(&application.id, tag).await?;
        self.issue_as(&key.tagged(tag, rounds), ttl, reached)
    }

    /// Hands out a credential that belongs to no application: for the operator.
    pub fn issue_to_operator(&self, ttl: u64, reached: &Reached) -> Result<Issued, Refused> {
        self.issue_as("operator/check", ttl, reached)
    }

    /// For somebody in a room, under the name by which the engine takes it back. `None`: there is no relay.
    pub fn issue_to_participant(&self, user: &str, reached: &Reached) -> Option<Issued> {
        let relay = &**self.0.relay.as_ref()?.announced.load();
        let ttl = relay.ttl.as_secs();
        let expiry = (unix_ms() / 1000).saturating_add(ttl);
        let (stun, turn) = urls(relay, reached);
        Some(Issued { credential: credential(&relay.secret, expiry, user), stun, turn, ttl, expiry })
    }

    fn issue_as(&self, name: &str, ttl: u64, reached: &Reached) -> Result<Issued, Refused> {
        let relay = &**self.0.relay.as_ref().ok_or(Refused::Off)?.announced.load();
        let most = self.0.most_ttl;
        if !(1..=most).contains(&ttl) {
            return Err(Refused::Ttl { most, got: ttl.to_string() });
        }
        let mut serial = [0; 4];
        getrandom::fill(&mut serial).map_err(|_| Refused::Unavailable("the system gives no random numbers"))?;
        let expiry = (unix_ms() / 1000).saturating_add(ttl);
        let name = format!("{name}/{:08x}", u32::from_be_bytes(serial));
        let (stun, turn) = urls(relay, reached);
        TURN_CREDENTIALS_ISSUED_TOTAL.add(1);
        Ok(Issued { credential: credential(&relay.secret, expiry, &name), stun, turn, ttl, expiry })
    }

    /// Makes an application.
    pub async fn create(&self, new: &NewApplication) -> Result<MadeApplication, Refused> {
        let made = self.0.store.create_application(new, unix_ms()).await?;
        self.reconcile().await?;
        Ok(made)
    }

    /// Changes one; as it is from then on, for live sessions, too. `None`: there is none.
    pub async fn change(&self, id: &str, to: &ApplicationChange) -> Result<Option<Application>, Refused> {
        let after = self.0.store.change_application(id, to).await?;
        self.reconcile().await?;
        Ok(after)
    }

    /// Removes one and those below it. `false`: there is none.
    pub async fn remove(&self, id: &str) -> Result<bool, Refused> {
        let gone = remove(&self.0.store, id, unix_ms()).await?;
        self.reconcile().await?;
        Ok(!gone.is_empty())
    }

    /// Bytes of this month, those of applications below included.
    pub fn month_bytes(&self, id: &str) -> u64 {
        self.book().month_bytes(id)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each change leaves it whole.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A day, or as long as credentials may be good for.
    pub fn usual_ttl(&self) -> u64 {
        self.0.most_ttl.min(USUAL_TTL)
    }

    /// As long as credentials may be good for, in seconds.
    pub fn most_ttl(&self) -> u64 {
        self.0.most_ttl
    }
}

/// Removes an application and those below it, and remembers that what they handed out is of no use. A running server notices
/// within seconds.
pub async fn remove(store: &Store, id: &str, now: u64) -> Result<Vec<Application>, tandem_store::Error> {
    let gone = store.remove_application(id).await?;
    for application in &gone {
        let name = KeyName { id: &application.id, generation: application.generation }.text();
        store.revoke_credentials(&application.id, Kind::Key, &name, until(now)).await?;
    }
    Ok(gone)
}

/// When everything handed out up to now has expired, in Unix milliseconds.
fn until(now: u64) -> u64 {
    now.saturating_add(u64::try_from(MOST_TTL.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) fn check_tag(tag: &str) -> Result<(), Refused> {
    let fits = tag.chars().count() <= MOST_TAG && !tag.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Refused::Tag { most: MOST_TAG }) }
}

/// RFC 7064, RFC 7065: every way in, the cheapest first.
fn urls(relay: &tandem_engine::Relay, reached: &Reached) -> (Vec<String>, Vec<String>) {
    let host = relay.host.as_deref().map_or_else(|| reached.host.clone(), bracketed);
    let port = relay.port;
    let mut turn = vec![format!("turn:{host}:{port}?transport=udp"), format!("turn:{host}:{port}?transport=tcp")];
    let shared = reached.port.unwrap_or(HTTPS);
    let over_tls = [relay.tls_port, relay.shares_https_port.then_some(shared)];
    turn.extend(over_tls.into_iter().flatten().map(|port| format!("turns:{host}:{port}?transport=tcp")));
    (vec![format!("stun:{host}:{port}")], turn)
}

fn bracketed(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_every_way_in_and_an_ipv6_address_stands_in_brackets() {
        let mut relay = tandem_engine::Relay {
            secret: Vec::new(),
            ttl: Duration::ZERO,
            port: 3478,
            tls_port: Some(5349),
            shares_https_port: true,
            host: None,
        };
        let reached = Reached { host: "talk.example".into(), port: Some(8443) };
        let (stun, turn) = urls(&relay, &reached);
        assert_eq!(stun, ["stun:talk.example:3478"]);
        let wanted = [
            "turn:talk.example:3478?transport=udp",
            "turn:talk.example:3478?transport=tcp",
            "turns:talk.example:5349?transport=tcp",
            "turns:talk.example:8443?transport=tcp",
        ];
        assert_eq!(turn, wanted);
        relay.host = Some("2001:db8::7".into());
        relay.tls_port = None;
        relay.shares_https_port = false;
        assert_eq!(urls(&relay, &reached).1[1], "turn:[2001:db8::7]:3478?transport=tcp");
    }

    #[test]
    fn a_label_is_short_and_has_no_control_characters() {
        for good in ["", "alice", &"ü".repeat(64)] {
            assert!(check_tag(good).is_ok(), "{good}");
        }
        for bad in ["a\nb", "\u{0}", &"a".repeat(65)] {
            assert!(check_tag(bad).is_err(), "{bad:?}");
        }
    }
}
