//! What the service does to the running relay: shows and ends sessions, takes back what was handed out.

use tandem_store::{Application, Kind};
use tandem_stun::credential::parse_username;

use super::book::Order;
use super::{KeyName, Refused, Relay, Service, check_tag, until};
use crate::relay::{Filter, Handle, Page, SessionId, Unreachable, Whom};
use crate::unix_ms;

/// What of an application is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Key,
    /// All with this label.
    Tag(String),
    /// The credential with this user name.
    Credential(String),
}

impl Service {
    /// Takes back what was handed out, and ends what lives of it; how many sessions that were. What is handed out afterwards
    /// is good.
    pub async fn revoke(&self, application: &Application, scope: Scope) -> Result<usize, Refused> {
        let key = KeyName { id: &application.id, generation: application.generation };
        let (store, id, end) = (&self.0.store, &application.id, until(unix_ms()));
        let whom = match scope {
            Scope::Key => {
                let before = store.next_generation(id).await?.ok_or(Refused::NotYours)?;
                let name = KeyName { id, generation: before.generation }.text();
                store.revoke_credentials(id, Kind::Key, &name, end).await?;
                Whom::Key(name)
            }
            Scope::Tag(tag) => {
                check_tag(&tag)?;
                // Rounds begin anew when this is forgotten: by then the relay, even if it was reminded at the last moment, must
                // have forgotten it, too.
                let end = end.saturating_add(self.0.lifetime_ms);
                let round = store.revoke_credentials(id, Kind::Tag, &tag, end).await?.rounds;
                Whom::Below(key.tagged(&tag, round))
            }
            Scope::Credential(username) => {
                let name =
                    issued_name(&username).filter(|name| super::parse_name(name).is_some_and(|(of, _)| of == id));
                let name = name.ok_or(Refused::NotIssued)?;
                store.revoke_credentials(id, Kind::Credential, name, end).await?;
                Whom::Below(name.to_owned())
            }
        };
        let ended = self.on_relay(move |relay| relay.end_and_revoke(&whom)).await?;
        self.reconcile().await?;
        Ok(ended)
    }

    /// Live sessions. A key that is an application's identity stands for the application, and the label is its own; any other is
    /// the beginning of names that somebody else has made.
    pub async fn sessions(&self, mut filter: Filter, after: Option<SessionId>, limit: usize) -> Result<Page, Refused> {
        if let Some(application) = self.application(filter.key.as_deref()).await? {
            let key = KeyName { id: &application.id, generation: application.generation };
            if let Some(tag) = &filter.tag {
                let rounds = self.0.store.rounds(&application.id, tag).await?;
                let name = key.tagged(tag, rounds);
                filter.tag = name.split_once('/').map(|(_, tag)| tag.to_owned());
            }
            filter.key = Some(key.text());
        }
        self.on_relay(move |relay| relay.sessions(&filter, after, limit)).await
    }

    async fn application(&self, key: Option<&str>) -> Result<Option<Application>, Refused> {
        match key {
            Some(key) => Ok(self.0.store.application(key).await?),
            None => Ok(None),
        }
    }

    /// Ends live sessions; how many. Credentials stay good. A key is taken as by [`Service::sessions`].
    pub async fn end(&self, mut whom: Whom) -> Result<usize, Refused> {
        if let Whom::Key(key) = &mut whom
            && let Some(Application { id, generation, .. }) = self.application(Some(key)).await?
        {
            *key = KeyName { id: &id, generation }.text();
        }
        self.on_relay(move |relay| relay.end(&whom)).await
    }

    /// The same, and the credentials handed out so far are refused.
    pub async fn end_and_revoke(&self, whom: Whom) -> Result<usize, Refused> {
        if let Whom::Key(key) = &whom
            && let Some(application) = self.application(Some(key)).await?
        {
            // Otherwise the relay would refuse what it hands out from here on, too.
            return self.revoke(&application, Scope::Key).await;
        }
        self.on_relay(move |relay| relay.end_and_revoke(&whom)).await
    }

    /// Tells the relay what has changed in the database, by whomever.
    pub async fn reconcile(&self) -> Result<(), Refused> {
        let all = self.0.store.applications().await?;
        let orders = self.book().set_applications(all);
        if orders.is_empty() || self.0.relay.is_none() {
            return Ok(());
        }
        let told = self.on_relay(move |relay| orders.into_iter().try_for_each(|order| obey(relay, order))).await;
        if told.is_err() {
            self.book().doubt();
        }
        told
    }

    /// A relay that starts knows nothing of what was taken back before.
    pub async fn remind(&self) -> Result<(), Refused> {
        let mut all = Vec::new();
        let now = unix_ms();
        for revoked in self.0.store.revoked_credentials(now).await? {
            let generation = match revoked.kind {
                Kind::Tag => self.0.store.application(&revoked.application).await?.map_or(0, |found| found.generation),
                Kind::Key | Kind::Credential => 0,
            };
            match revoked.kind {
                Kind::Key => all.push(Whom::Key(revoked.name)),
                Kind::Credential => all.push(Whom::Below(revoked.name)),
                // All of it has expired.
                Kind::Tag if revoked.until.saturating_sub(self.0.lifetime_ms) < now => {}
                Kind::Tag => {
                    let key = KeyName { id: &revoked.application, generation };
                    all.extend((0..revoked.rounds).map(|round| Whom::Below(key.tagged(&revoked.name, round))));
                }
            }
        }
        if all.is_empty() || self.0.relay.is_none() {
            return Ok(());
        }
        self.book().begin_reminder();
        let told =
            self.on_relay(move |relay| all.iter().try_for_each(|whom| relay.end_and_revoke(whom).map(drop))).await;
        if told.is_err() {
            self.book().doubt();
        }
        told
    }

    /// How often threads of the relay have started anew.
    pub(super) fn restarts(&self) -> u64 {
        self.0.relay.as_ref().map_or(0, |relay| relay.handle.stats().restarts)
    }

    /// Its shards are waited for: not by a thread of the runtime.
    pub(super) async fn on_relay<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Handle) -> Result<T, Unreachable> + Send + 'static,
    ) -> Result<T, Refused> {
        let Relay { handle, .. } = self.0.relay.clone().ok_or(Refused::Off)?;
        let acted = tokio::task::spawn_blocking(move || act(&handle)).await;
        match acted {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Unreachable)) | Err(_) => Err(Refused::Unavailable("a thread of the relay does not answer")),
        }
    }
}

fn obey(relay: &Handle, order: Order) -> Result<(), Unreachable> {
    match order {
        Order::Bound(key, limits) => relay.set_key_limit(&key, Some(limits)),
        Order::End(key) => drop(relay.end(&Whom::Key(key))?),
        Order::Forget(key) => {
            relay.set_key_limit(&key, None);
            relay.end_and_revoke(&Whom::Key(key))?;
        }
    }
    Ok(())
}

/// Without the expiry.
fn issued_name(username: &str) -> Option<&str> {
    parse_username(username).map(|(_, name)| name)
}
