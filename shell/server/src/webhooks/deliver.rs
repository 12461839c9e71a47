//! One event to one URL: signed, sent, and sent again after growing pauses until it is taken or given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tandem_store::Store;

use super::post::{Client, Target};
use super::queue::Queue;
use super::{Told, event};
use crate::metrics::{WEBHOOKS_DELIVERED_TOTAL, WEBHOOKS_DROPPED_TOTAL, WEBHOOKS_RETRIED_TOTAL};
use crate::tokens::{Claims, sign};
use crate::unix_ms;

/// Attempts before an event is given up.
const TRIES: u32 = 10;
/// And the time after which none is made.
const GIVE_UP: Duration = Duration::from_secs(600);
/// Before the second attempt; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A signature is good for so many seconds.
const SIGNATURE: u64 = 300;

/// Brings events to one URL.
pub(super) struct Courier {
    pub target: Target,
    pub client: Client,
    pub store: Store,
    /// Identity of the key that signs.
    pub key: String,
}

impl Courier {
    /// For ever.
    pub async fn work(self: Arc<Self>, queue: Arc<Queue>) {
        loop {
            let taken = queue.next().await;
            self.deliver(&taken.told).await;
        }
    }

    async fn deliver(&self, told: &Told) {
        let body = Bytes::from(event::body(told));
        let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
        let mut problem = String::new();
        for attempt in 1..=TRIES {
            match self.attempt(&body).await {
                Ok(()) => return WEBHOOKS_DELIVERED_TOTAL.add(1),
                Err(error) => problem = error,
            }
            if attempt == TRIES || began.elapsed() + pause > GIVE_UP {
                break;
            }
            tracing::debug!(host = self.target.authority(), problem, "a webhook is tried again");
            WEBHOOKS_RETRIED_TOTAL.add(1);
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        WEBHOOKS_DROPPED_TOTAL.add_labelled("failed", 1);
        let event = event::name(&told.hook.what);
        tracing::warn!(host = self.target.authority(), event, problem, "a webhook was not taken and is given up");
    }

    async fn attempt(&self, body: &Bytes) -> Result<(), String> {
        let signer = self.store.signer(&self.key).await.map_err(|error| error.to_string())?;
        let signer = signer.ok_or_else(|| format!("the key {} (webhooks.key) was revoked", self.key))?;
        let claims = Claims {
            iss: signer.id.clone(),
            exp: (unix_ms() / 1000).saturating_add(SIGNATURE),
            sha256: Some(BASE64_STANDARD.encode(Sha256::digest(body))),
            ..Claims::default()
        };
        let authorization = sign(&claims, &signer)?;
        let status = self.client.post(&self.target, &authorization, body.clone()).await?;
        if status.is_success() { Ok(()) } else { Err(format!("expected an answer of 200 to 299, got {status}")) }
    }
}
