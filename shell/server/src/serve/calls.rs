//! Engine and store, from the settings, and what flows between them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tandem_api::signal::IceServer;
use tandem_engine::Engine;
use tandem_store::{Change, Outcome, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::engine::{self, EngineHandle, OutboxLimits, Sinks, Stored};
use crate::http::health::{Condition, Health};
use crate::http::rest::AskEngine;
use crate::metrics::{STORE_WRITES_DROPPED_TOTAL, STORE_WRITES_TOTAL};
use crate::webhooks::Webhooks;
use crate::{relay, unix_ms};

/// Everything that carries calls, apart from the relay.
pub struct Calls {
    /// Decides.
    pub engine: EngineHandle,
    /// Remembers.
    pub store: Store,
    writer: JoinHandle<()>,
    cleaner: JoinHandle<()>,
    webhooks: Option<Webhooks>,
}

/// Changes that may wait for the database.
const QUEUE: usize = 8192;

/// A room comes back with everyone in it when we were away for no longer than this, or than the time places are kept.
const SHORT_ABSENCE: Duration = Duration::from_secs(120);

impl Calls {
    /// Starts the engine, and gives it the rooms an earlier process left.
    pub async fn start(
        settings: &Settings,
        store: Store,
        (relay, media): (Option<&super::relay::Relay>, Option<&super::media::Media>),
        health: &Health,
    ) -> anyhow::Result<Calls> {
        let window = settings.rooms.resume.0.max(SHORT_ABSENCE);
        let restored = store.restore(unix_ms(), u64::try_from(window.as_millis()).unwrap_or(u64::MAX)).await?;
        if !restored.rooms.is_empty() || restored.sessions_closed != 0 {
            let (rooms, closed) = (restored.rooms.len(), restored.sessions_closed);
            tracing::info!(rooms, closed, "rooms go on; sessions that could not are closed");
        }

        let webhooks = Webhooks::start(&settings.webhooks, &store).await?;
        let mut config = config(settings, relay.map(|relay| relay.announced.load().as_ref().clone()));
        config.hooks = webhooks.is_some();
        config.planes = media.map(|media| media.handle.terms()).unwrap_or_default();
        let outbox = OutboxLimits::above_backlog(&config);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
        let (sender, queue) = mpsc::channel(QUEUE);
        let sinks = Sinks {
            store: sender,
            revoke: revoker(relay.map(|relay| relay.handle.clone())),
            media: media.map(|media| media.handle.commands()),
            hook: webhooks.as_ref().map(Webhooks::tell),
        };
        let engine = engine::start(Engine::new(config, seed), outbox, sinks);
        let writer = tokio::spawn(write(store.clone(), queue, health.clone()));
        engine.restore(restored.rooms)?;
        let cleaner = tokio::spawn(forget(store.clone(), settings.history.keep.0));
        Ok(Calls { engine, store, writer, cleaner, webhooks })
    }

    /// For the HTTP API.
    pub fn ask(&self) -> AskEngine {
        let engine = self.engine.clone();
        Arc::new(move |command| std::future::ready(engine.command(command).ok()).boxed())
    }

    /// Stops the engine; then everything it decided is written to the disk. The store is for others to close.
    pub async fn stop(self) -> Store {
        self.cleaner.abort();
        self.engine.stop().await;
        // The engine held the sender: the writer ends when the queue is empty.
        if self.writer.await.is_err() {
            tracing::error!("not everything could be written");
        }
        drop(self.webhooks);
        self.store
    }
}

impl From<Stored> for Change {
    fn from(stored: Stored) -> Change {
        match stored {
            Stored::Record(record) => Change::Record(record),
            Stored::Keep { room, kept } => Change::Keep { room, kept },
        }
    }
}

async fn write(store: Store, queue: mpsc::Receiver<Stored>, health: Health) {
    let report = |outcome| match outcome {
        Outcome::Written(count) => {
            STORE_WRITES_TOTAL.add(u64::try_from(count).unwrap_or(u64::MAX));
            health.report("store", Condition::Ok);
        }
        Outcome::Lost(count, error) => {
            STORE_WRITES_DROPPED_TOTAL.add(u64::try_from(count).unwrap_or(u64::MAX));
            tracing::error!(count, %error, "the database does not take what is to be stored");
            let problem = "the database does not take what is to be stored: after a restart rooms would be gone";
            health.report("store", Condition::Degraded(problem.to_owned()));
        }
    };
    store.write(queue, unix_ms, report).await;
}

const CLEAN_EVERY: Duration = Duration::from_secs(3600);

async fn forget(store: Store, keep: Duration) {
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let mut interval = tokio::time::interval(CLEAN_EVERY);
    loop {
        interval.tick().await;
        match store.forget_sessions(unix_ms().saturating_sub(keep)).await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "old sessions are deleted"),
            Err(error) => tracing::error!(%error, "old sessions cannot be deleted"),
        }
    }
}

fn revoker(relay: Option<Arc<relay::Handle>>) -> Box<dyn Fn(String) + Send> {
    Box::new(move |user| {
        if let Some(relay) = &relay {
            relay.revoke(&user);
        }
    })
}

fn config(settings: &Settings, relay: Option<tandem_engine::Relay>) -> tandem_engine::Config {
    let (rooms, limits) = (&settings.rooms, &settings.limits);
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    tandem_engine::Config {
        resume: rooms.resume.0,
        max_rooms: count(rooms.max_rooms),
        max_participants: rooms.max_participants,
        mesh: rooms.mesh,
        relay_only: rooms.relay_only,
        tokens: rooms.tokens,
        hooks: false,
        sdp_bytes: limits.sdp_bytes.bytes(),
        chat_chars: count(limits.chat_chars),
        frame_bytes: limits.frame_bytes.bytes(),
        backlog_events: count(limits.backlog_events),
        backlog_bytes: limits.backlog_bytes.bytes(),
        requests_per_second: limits.requests_per_second,
        requests_burst: limits.requests_burst,
        planes: Vec::new(),
        relay,
        extra_ice_servers: settings.ice.extra_servers.iter().map(extra_server).collect(),
    }
}

fn extra_server(from: &crate::config::types::ExtraServer) -> IceServer {
    IceServer { urls: from.urls.clone(), username: from.username.clone(), credential: from.credential.clone() }
}
