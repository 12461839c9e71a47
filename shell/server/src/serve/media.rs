//! The media plane, from the settings, and what flows between it and the engine.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::engine::EngineHandle;
use crate::media::{self, Addresses, Config, Handle, Queue, Stats};
use crate::metrics;
use crate::relay::own_addresses;

/// A running media plane.
pub struct Media {
    /// Its threads.
    pub handle: std::sync::Arc<Handle>,
    queue: Option<Queue>,
    tasks: Vec<JoinHandle<()>>,
}

impl Media {
    /// Starts it, unless it is turned off.
    pub fn start(settings: &Settings) -> anyhow::Result<Option<Media>> {
        if !settings.media.enabled {
            return Ok(None);
        }
        let config = config(settings)?;
        let (sender, queue) = media::queue();
        let started = match media::start(&config, sender.clone()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && config.port != 0 => {
                tracing::warn!(
                    port = config.port,
                    "the ports of the media plane (media.port) are in use by another program: it takes any that are free"
                );
                media::start(&Config { port: 0, ..config }, sender)
            }
            started => started,
        };
        let handle = started.context("the media plane cannot start: another media.port or media.addresses may help")?;
        Ok(Some(Media { handle: handle.into(), queue: Some(queue), tasks: Vec::new() }))
    }

    /// What it tells goes to the engine from here on.
    pub fn connect(&mut self, engine: &EngineHandle) {
        if let Some(queue) = self.queue.take() {
            self.tasks.push(tokio::spawn(tell(queue, engine.clone())));
        }
        self.tasks.push(tokio::spawn(publish(std::sync::Arc::downgrade(&self.handle))));
    }

    /// Ends all connections.
    pub fn stop(self) {
        self.handle.shutdown();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn config(settings: &Settings) -> anyhow::Result<Config> {
    let from = &settings.media;
    let own = own_addresses().context("the addresses of this machine cannot be had")?;
    let listen = if from.addresses.is_empty() { vec![settings.http.address] } else { from.addresses.clone() };
    let external =
        if from.external_addresses.is_empty() { &settings.relay.external_addresses } else { &from.external_addresses };
    let external = external.iter().map(|external| (external.public, external.private)).collect();
    let cores = || std::thread::available_parallelism().ok().and_then(|cores| u16::try_from(cores.get()).ok());
    let shards = if from.threads == 0 { cores().unwrap_or(1) } else { from.threads };
    Ok(Config { addresses: Addresses::find(&listen, &own, external), port: from.port, shards })
}

async fn tell(mut queue: Queue, engine: EngineHandle) {
    let mut told = Vec::new();
    while queue.recv_many(&mut told, MANY).await > 0 {
        if engine.media(std::mem::take(&mut told)).is_err() {
            return;
        }
    }
}

/// Figures for Prometheus, for as long as it runs.
async fn publish(handle: std::sync::Weak<Handle>) {
    let mut before = Stats::default();
    let mut interval = tokio::time::interval(EVERY);
    loop {
        interval.tick().await;
        let Some(handle) = handle.upgrade() else { return };
        let stats = handle.stats();
        if stats == before {
            continue;
        }
        let (plane, old) = (stats.plane, before.plane);
        for (metric, now, before) in [
            (&metrics::MEDIA_RECEIVED_PACKETS_TOTAL, plane.received, old.received),
            (&metrics::MEDIA_FORWARDED_PACKETS_TOTAL, plane.forwarded, old.forwarded),
            (&metrics::MEDIA_RETRANSMITTED_PACKETS_TOTAL, plane.retransmitted, old.retransmitted),
            (&metrics::MEDIA_REFUSED_PACKETS_TOTAL, plane.refused + plane.strangers, old.refused + old.strangers),
            (&metrics::MEDIA_KEYFRAMES_TOTAL, plane.keyframes, old.keyframes),
            (&metrics::MEDIA_CARRIED_PACKETS_TOTAL, plane.carried, old.carried),
            (&metrics::MEDIA_UNSENT_PACKETS_TOTAL, stats.unsent, before.unsent),
            (&metrics::MEDIA_SHARD_RESTARTS_TOTAL, stats.restarts, before.restarts),
        ] {
            metric.add(now.saturating_sub(before));
        }
        metrics::MEDIA_ENDPOINTS.set(stats.endpoints);
        metrics::MEDIA_TRACKS.set(stats.tracks);
        metrics::MEDIA_FORWARDS.set(stats.forwards);
        before = stats;
    }
}

/// What is told in one go.
const MANY: usize = 256;
const EVERY: Duration = Duration::from_secs(2);
