//! The credential service, from the settings, and the books of the relay.

use std::sync::Arc;

use tandem_store::Store;
use tokio::task::JoinHandle;

use super::relay::Relay;
use crate::config::Settings;
use crate::credentials::{self, Collector, Service};
use crate::http::attempts::Attempts;

/// Runs beside the relay.
pub struct Credentials {
    /// Hands out and takes back.
    pub service: Service,
    /// Wrong keys of all kinds.
    pub attempts: Attempts,
    collector: Option<JoinHandle<()>>,
}

impl Credentials {
    /// Tells the relay what applications may do, and takes what it tells.
    pub async fn start(settings: &Settings, store: &Store, relay: Option<&mut Relay>) -> anyhow::Result<Credentials> {
        let attempts = Attempts::new(settings.limits.api_failures_per_minute);
        let (live, usage) = match relay {
            Some(relay) => {
                let live = credentials::Relay { handle: relay.handle.clone(), announced: Arc::clone(&relay.announced) };
                (Some(live), relay.usage.take())
            }
            None => (None, None),
        };
        let most_ttl = settings.relay.credential_max_ttl.0;
        let service = Service::new(store.clone(), attempts.clone(), live, most_ttl);
        let collector = Collector::new(service.clone(), settings.history.usage.0);
        collector.start().await?;
        let collector = usage.map(|usage| tokio::spawn(collector.run(usage)));
        Ok(Credentials { service, attempts, collector })
    }

    /// Waits until all that the relay has told is written. The relay has ended.
    pub async fn stop(self) {
        let Credentials { service, collector, .. } = self;
        drop(service);
        if let Some(collector) = collector
            && collector.await.is_err()
        {
            tracing::error!("not everything that was relayed could be written");
        }
    }
}
