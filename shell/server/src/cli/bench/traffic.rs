//! The clients' work: one calls, and a peer or another client sends everything back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tandem_stun::client::Login;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::meter::{Meter, since, write_message};
use super::session::{By, Session, Target};

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Messages of each caller; `None`: as many as fit into the time.
    pub messages: Option<u64>,
    pub time: Option<Duration>,
    /// From one message of a caller to its next.
    pub every: Duration,
}

/// A caller and whoever answers it.
pub struct Call {
    caller: Session,
    /// Another client of the relay; `None`: a peer outside answers.
    answerer: Option<Session>,
    /// How long it took, allocations included.
    pub took: Duration,
}

/// What all callers have done so far, for whoever watches.
#[derive(Default)]
pub struct Progress {
    pub sent: AtomicU64,
    pub received: AtomicU64,
}

impl Call {
    /// Makes everything ready.
    pub async fn set_up(target: Target, peer: Option<SocketAddr>, logins: [Login; 2]) -> anyhow::Result<Self> {
        let start = Instant::now();
        let [first, second] = logins;
        let mut caller = Session::open(target, first).await?;
        let mut answerer = None;
        match peer {
            Some(peer) => caller.reach(peer).await?,
            None => {
                let mut other = Session::open(target, second).await?;
                if target.by == By::Connection {
                    other.permit(caller.relayed).await?;
                    let (called, accepted) = tokio::join!(caller.reach(other.relayed), other.accept());
                    called.and(accepted)?;
                } else {
                    other.reach(caller.relayed).await?;
                    caller.reach(other.relayed).await?;
                }
                answerer = Some(other);
            }
        }
        Ok(Self { caller, answerer, took: since(start) })
    }

    /// Sends, and counts what comes back, until there is nothing more to wait for.
    pub async fn run(
        mut self,
        number: u32,
        (target, load): (Target, Load),
        progress: Arc<Progress>,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<Meter> {
        let (over, answering) = watch::channel(false);
        let answerer = self.answerer.map(|answerer| tokio::spawn(answer(answerer, answering)));
        let mut meter = Meter::default();
        let outcome = call(&mut self.caller, number, (target, load), &progress, (&mut stop, &mut meter)).await;
        // Whoever has gone away has heard it too.
        let _ = over.send(true);
        if let Some(answerer) = answerer {
            answerer.await??;
        }
        outcome?;
        self.caller.close().await?;
        Ok(meter)
    }
}

async fn call(
    caller: &mut Session,
    number: u32,
    (target, load): (Target, Load),
    progress: &Progress,
    (stop, meter): (&mut watch::Receiver<bool>, &mut Meter),
) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(load.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut message, mut payload) = (Vec::new(), Vec::new());
    let mut sending = true;
    let mut end = load.time.map(|time| start + time);
    loop {
        if sending && (load.messages.is_some_and(|most| meter.sent >= most) || *stop.borrow()) {
            (sending, end) = (false, Some(Instant::now()));
        }
        if !sending && (meter.lost() == 0 || *stop.borrow()) {
            return Ok(());
        }
        let limit = if sending { end } else { end.map(|end| end + PATIENCE) };
        tokio::select! {
            _ = ticks.tick(), if sending => {
                let identity = (number, u32::try_from(meter.sent).unwrap_or(u32::MAX));
                write_message(&mut message, target.size, identity, since(start));
                caller.queue(&message);
                meter.sent += 1;
                progress.sent.fetch_add(1, Ordering::Relaxed);
            }
            received = caller.receive(&mut payload) => {
                received?;
                let before = meter.received;
                meter.on_payload(number, &payload, since(start));
                progress.received.fetch_add(meter.received - before, Ordering::Relaxed);
            }
            () = until(limit) => match sending {
                true => sending = false,
                false => return Ok(()),
            },
            _ = stop.changed() => {}
        }
    }
}

async fn answer(mut answerer: Session, mut over: watch::Receiver<bool>) -> anyhow::Result<()> {
    let mut payload = Vec::new();
    loop {
        tokio::select! {
            received = answerer.receive(&mut payload) => {
                received?;
                answerer.queue(&payload);
            }
            _ = over.changed() => return answerer.close().await,
        }
    }
}

async fn until(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit.into()).await,
        None => std::future::pending().await,
    }
}

/// What has not come back by then is lost.
const PATIENCE: Duration = Duration::from_secs(2);
