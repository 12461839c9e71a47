//! Webhooks: what happens in rooms, told to programs of the operator's by HTTP, in the words and with the signature that users of
//! LiveKit know.
//!
//! ```text
//!                           ┌─► Queue of a URL ─► workers: sign, POST, again after a pause
//!   engine ─ Hook ─► tell ──┤
//!                           └─► Queue of another, which waits for nobody
//! ```
//!
//! What happens in one room arrives in order. Nothing is kept on disk: what waits when the process ends is lost.

mod deliver;
mod event;
mod post;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tandem_engine::Hook;
use tandem_store::Store;
use tokio::task::JoinSet;

use crate::config::settings;
use crate::metrics::WEBHOOKS_DROPPED_TOTAL;
use deliver::Courier;
use post::Client;
pub use post::Target;
use queue::Queue;

/// Rooms whose events are on the way to one URL at the same time.
const WORKERS: usize = 8;

/// Something that has happened, and its number in this process.
#[derive(Debug)]
struct Told {
    hook: Hook,
    serial: u64,
}

/// Tells. Ends when it is dropped.
pub struct Webhooks {
    queues: Vec<Arc<Queue>>,
    _workers: JoinSet<()>,
}

impl Webhooks {
    /// `None`: nobody wants to hear. Needs a tokio runtime.
    pub async fn start(settings: &settings::Webhooks, store: &Store) -> anyhow::Result<Option<Webhooks>> {
        let Some(key) = settings.key.as_ref().filter(|_| !settings.urls.is_empty()) else { return Ok(None) };
        let unknown = || format!("webhooks.key: there is no valid API key `{key}`: `tandem key list` shows them all");
        store.signer(key).await?.with_context(unknown)?;
        let client = Client::new(settings.timeout.0)?;
        let most = usize::try_from(settings.queue).unwrap_or(usize::MAX);
        let mut workers = JoinSet::new();
        let mut queues = Vec::new();
        for url in &settings.urls {
            let target = url.parse::<Target>().map_err(|error| anyhow::anyhow!("webhooks.urls: {error}"))?;
            let courier = Courier { target, client: client.clone(), store: store.clone(), key: key.clone() };
            let (courier, queue) = (Arc::new(courier), Arc::new(Queue::new(most)));
            for _ in 0..WORKERS {
                workers.spawn(Arc::clone(&courier).work(Arc::clone(&queue)));
            }
            queues.push(queue);
        }
        Ok(Some(Webhooks { queues, _workers: workers }))
    }

    /// Takes what happens, and never waits.
    pub fn tell(&self) -> Box<dyn Fn(Hook) + Send> {
        let queues = self.queues.clone();
        let next = AtomicU64::new(1);
        Box::new(move |hook| {
            let told = Arc::new(Told { hook, serial: next.fetch_add(1, Ordering::Relaxed) });
            for queue in &queues {
                if queue.push(Arc::clone(&told)).is_some() {
                    WEBHOOKS_DROPPED_TOTAL.add_labelled("full", 1);
                }
            }
        })
    }
}
