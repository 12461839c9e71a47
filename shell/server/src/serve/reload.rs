//! Settings that change while the server runs: on SIGHUP, on `tandem reload`, and when the settings file is another one.
//!
//! All of them are read again, from the same file, environment and flags. What can be changed is; what cannot is named; when
//! something is wrong nothing changes at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};

use super::relay::{self, Relay};
use crate::config::settings::{Effect, TABLE};
use crate::config::{Invalid, Loaded, Settings, Sources, load};
use crate::data_dir::DataDir;
use crate::engine::EngineHandle;
use crate::relay::Handle;

/// What reading the settings again has changed, by their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// In force from here on.
    pub applied: Vec<String>,
    /// These wait for the next start.
    pub restart: Vec<String>,
}

/// The relay, and what others are told of it.
type Announced = (Arc<Handle>, Arc<ArcSwap<tandem_engine::Relay>>);

/// Reads the settings again and applies what it can.
pub struct Reload {
    /// `None`: the settings did not come from anywhere that could be read again.
    sources: Option<Sources>,
    file: Option<PathBuf>,
    data: DataDir,
    relay: Option<Announced>,
    engine: EngineHandle,
    state: Mutex<State>,
}

struct State {
    /// In force.
    settings: Settings,
    /// Former secrets of the relay, and until when each is good.
    former: Vec<(Vec<u8>, Instant)>,
}

impl Reload {
    /// For a server that was started with these settings. Watches the file, and listens for SIGHUP, as long as it is there.
    pub(super) fn start(
        loaded: &Loaded,
        data: &DataDir,
        relay: Option<&Relay>,
        engine: &EngineHandle,
    ) -> anyhow::Result<Arc<Self>> {
        let former = relay.map(|relay| relay.former.clone()).unwrap_or_default();
        let reload = Arc::new(Self {
            sources: loaded.file.is_some().then(|| loaded.sources.clone()),
            file: loaded.file.clone(),
            data: data.clone(),
            relay: relay.map(|relay| (Arc::clone(&relay.handle), Arc::clone(&relay.announced))),
            engine: engine.clone(),
            state: Mutex::new(State { settings: loaded.settings.clone(), former }),
        });
        tokio::spawn(watch(Arc::downgrade(&reload)));
        let hangup = signal(SignalKind::hangup())?;
        tokio::spawn(listen(Arc::downgrade(&reload), hangup));
        Ok(reload)
    }

    /// Reads the settings again. Reads files: not for async tasks.
    ///
    /// # Errors
    /// Everything that is wrong with them; then all stays as it was.
    pub fn reload(&self) -> Result<Reloaded, Invalid> {
        let Some(sources) = &self.sources else {
            return Err(Invalid(vec!["there is no settings file to read again: name one with --config".to_owned()]));
        };
        let wanted = load(sources)?.settings;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = state.settings.clone();
        let mut reloaded = Reloaded::default();
        for setting in TABLE.iter().filter(|setting| !(setting.is_same)(&state.settings, &wanted)) {
            match setting.effect {
                Effect::Live => {
                    (setting.take_over)(&wanted, &mut next);
                    reloaded.applied.push(setting.key());
                }
                Effect::Restart | Effect::Content => reloaded.restart.push(setting.key()),
            }
        }
        self.apply(&mut state, next)?;
        tell(&reloaded);
        Ok(reloaded)
    }

    /// The relay's secrets that are good, and for how long each is, were it replaced at once: what another program needs to go
    /// on with.
    pub(super) fn secrets(&self) -> Vec<(Vec<u8>, Duration)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let former = state.former.iter().map(|(secret, until)| (secret.clone(), until.saturating_duration_since(now)));
        match relay::secret(&state.settings, &self.data) {
            Ok(secret) => former.chain([(secret.into_bytes(), lifetime(&state.settings))]).collect(),
            Err(error) => {
                tracing::error!("credentials handed out so far are refused: {error:#}");
                former.collect()
            }
        }
    }

    /// The relay and whoever announces it go on by these.
    fn apply(&self, state: &mut State, next: Settings) -> Result<(), Invalid> {
        if let Some((handle, announced)) = &self.relay {
            let unusable = |error: anyhow::Error| Invalid(vec![format!("{error:#}")]);
            let (before, secret) = (
                relay::secret(&state.settings, &self.data).map_err(unusable)?,
                relay::secret(&next, &self.data).map_err(unusable)?,
            );
            if before != secret {
                // Whatever was handed out with it has expired by then.
                let until = Instant::now() + lifetime(&state.settings);
                state.former.push((before.into_bytes(), until));
            }
            state.former.retain(|(former, _)| *former != secret.as_bytes());
            let former = state.former.iter().map(|(secret, _)| secret.clone()).collect();
            relay::change(handle, &next, &secret, former);
            let another = relay::announced(handle, &next, secret);
            announced.store(Arc::new(another.clone()));
            // An engine that has stopped announces nothing any more.
            let _ = self.engine.announce(another);
        }
        state.settings = next;
        Ok(())
    }

    /// Former secrets whose time is over are forgotten.
    fn forget(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, before) = (Instant::now(), state.former.len());
        state.former.retain(|(_, until)| *until > now);
        if state.former.len() < before {
            let settings = state.settings.clone();
            if let Err(error) = self.apply(&mut state, settings) {
                tracing::error!(%error, "a former secret of the relay is still good");
            }
        }
    }
}

/// How long a credential handed out at this moment may be good.
fn lifetime(settings: &Settings) -> Duration {
    settings.relay.credential_ttl.0.max(settings.relay.credential_max_ttl.0)
}

fn tell(reloaded: &Reloaded) {
    let Reloaded { applied, restart } = reloaded;
    if !applied.is_empty() {
        tracing::info!(settings = applied.join(", "), "changed settings are in force");
    }
    if !restart.is_empty() {
        tracing::warn!(settings = restart.join(", "), "changed settings wait for the next start");
    }
}

/// Looks at the file as the certificates' files are looked at.
async fn watch(reload: Weak<Reload>) {
    let stamp = |reload: &Weak<Reload>| {
        let data = std::fs::metadata(reload.upgrade()?.file.as_ref()?).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    let mut seen = stamp(&reload);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(all) = reload.upgrade() else { return };
        let found = stamp(&reload);
        let is_another = found.is_some() && found != seen;
        seen = found.or(seen);
        let work = move || if is_another { again(&all) } else { all.forget() };
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::error!(%error, "the settings stay as they were");
        }
    }
}

async fn listen(reload: Weak<Reload>, mut hangup: tokio::signal::unix::Signal) {
    while hangup.recv().await.is_some() {
        let Some(all) = reload.upgrade() else { return };
        if let Err(error) = tokio::task::spawn_blocking(move || again(&all)).await {
            tracing::error!(%error, "the settings stay as they were");
        }
    }
}

fn again(reload: &Reload) {
    match reload.reload() {
        Ok(reloaded) if reloaded == Reloaded::default() => tracing::info!("the settings are what they were"),
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "the settings stay as they were"),
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_relays_settings_change_while_it_runs_and_not_its_ports() {
        let live: Vec<String> =
            TABLE.iter().filter(|setting| setting.effect == Effect::Live).map(|setting| setting.key()).collect();
        assert!(live.iter().all(|key| key.starts_with("relay.")), "{live:?}");
        for fixed in ["relay.enabled", "relay.port", "relay.tls_port", "relay.port_range"] {
            assert!(!live.iter().any(|key| key == fixed), "{fixed}");
        }
    }
}
