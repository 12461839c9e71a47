//! The engine, and the handle by which everything else speaks to it.
//!
//! ```text
//!  transports ─┐                         ┌─► Outbox of each transport, woken once
//!  HTTP API  ──┼─► lock: Host { Engine } ┼─► store (bounded channel)
//!  alarm     ──┘   one input at a time   └─► relay (callback)
//! ```
//!
//! Whoever has something to say to the engine says it on its own thread, under one lock: an input takes a microsecond or
//! two, and handing it to another thread costs more than handling it (`docs/decisions/0005`). A transport handles what it
//! has read before it reads more, so what waits for the engine is bounded by the transports there are. What a frame means
//! is the engine's business, how it is written the transports'; it is written when the lock has been let go.

mod host;
mod outbox;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tandem_api::signal::{ClientFrame, Hello};
use tandem_engine::{Command, Engine, Grants, Hook, Input, Now, Origin, Record, Relay, Reply, RoomKept, TransportId};
use tokio::sync::{Notify, mpsc};

use crate::media;
use host::Host;
pub use outbox::{After, Batch, Outbox, OutboxLimits, Push, encode};

/// What is to be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// A line of history.
    Record(Record),
    /// How a room stands, in place of what was stored for it; `None`: it is gone.
    Keep {
        /// Name of the room.
        room: String,
        /// Its state.
        kept: Option<RoomKept>,
    },
}

/// Where the engine's decisions go that are not for a transport.
pub struct Sinks {
    /// To the store. When it is full, history is dropped and counted; a room's state waits, the latest one only.
    pub store: mpsc::Sender<Stored>,
    /// Ends everything that a TURN user relays. Called under the engine's lock: must not block.
    pub revoke: Box<dyn Fn(String) + Send>,
    /// The media plane, where there is one.
    pub media: Option<media::Commands>,
    /// Tells third parties, where they want to hear. Called under the engine's lock: must not block.
    pub hook: Option<Box<dyn Fn(Hook) + Send>>,
}

/// The engine has been stopped, or has panicked: the process is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct Stopped;

/// Takes the engine into use, and starts the task that minds its timers.
///
/// Needs a tokio runtime.
#[must_use]
pub fn start(engine: Engine, outbox: OutboxLimits, sinks: Sinks) -> EngineHandle {
    let shared = Arc::new(Shared {
        host: Mutex::new(Host::new(engine, sinks)),
        alarm: Notify::new(),
        next: AtomicU64::new(1),
        outbox,
    });
    let handle = EngineHandle { shared };
    // Ends by itself when the engine has stopped.
    drop(tokio::spawn(handle.clone().mind_timers()));
    handle
}

/// Speaks to the engine. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
}

struct Shared {
    host: Mutex<Host>,
    /// The time of the next timer has moved to the fore.
    alarm: Notify,
    next: AtomicU64,
    outbox: OutboxLimits,
}

/// One transport: its number and what waits for it.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Never used twice.
    pub id: TransportId,
    /// Filled by the engine, emptied by the transport.
    pub outbox: Arc<Outbox>,
}

impl EngineHandle {
    /// A transport that the engine hears of by its hello.
    #[must_use]
    pub fn open(&self) -> Transport {
        let id = TransportId(self.shared.next.fetch_add(1, Ordering::Relaxed));
        Transport { id, outbox: Arc::new(Outbox::new(self.shared.outbox)) }
    }

    /// The first frame of a transport, and what the token in it grants.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn hello(
        &self,
        transport: &Transport,
        origin: Origin,
        hello: Hello,
        grants: Option<Box<Grants>>,
    ) -> Result<(), Stopped> {
        self.with(|host, now| {
            host.add(transport);
            host.handle(now, Input::Hello { transport: transport.id, origin, hello, grants });
        })
    }

    /// A later frame.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn frame(&self, transport: TransportId, frame: ClientFrame) -> Result<(), Stopped> {
        self.with(|host, now| host.handle_frame(now, transport, frame))
    }

    /// The transport is gone.
    pub fn closed(&self, transport: TransportId) {
        // A stopped engine has forgotten its transports anyway.
        let _ = self.with(|host, now| host.handle_closed(now, transport));
    }

    /// Asks on behalf of a third party.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn command(&self, command: Command) -> Result<Reply, Stopped> {
        self.with(|host, now| host.ask(now, command))?.ok_or(Stopped)
    }

    /// Rooms as they stood when the last process ended; only before anything else.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn restore(&self, rooms: Vec<RoomKept>) -> Result<(), Stopped> {
        self.with(|host, now| host.handle(now, Input::Restore(rooms)))
    }

    /// What the media plane tells, in order.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn media(&self, told: Vec<media::Told>) -> Result<(), Stopped> {
        self.with(|host, now| told.into_iter().for_each(|told| host.handle_media(now, told)))
    }

    /// Announces the relay in another way from here on.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn announce(&self, relay: Relay) -> Result<(), Stopped> {
        self.with(|host, now| host.handle(now, Input::Relay(Some(relay))))
    }

    /// Tells every client to come back later and refuses newcomers.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn drain(&self, reconnect: Duration) -> Result<(), Stopped> {
        self.with(|host, now| host.handle(now, Input::Drain { reconnect }))
    }

    /// Whether it takes anything: not after it was stopped, or has panicked.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().is_ok_and(|host| !host.has_stopped())
    }

    /// Takes nothing more, has every transport write what waits for it, and resolves when the store has all it is to get.
    pub async fn stop(&self) {
        // Even one that has panicked lets go of the store.
        let leftovers = self.shared.host.lock().unwrap_or_else(PoisonError::into_inner).stop();
        self.shared.alarm.notify_one();
        if let Some((store, leftovers)) = leftovers {
            for stored in leftovers {
                // A store that is gone stores nothing more.
                let _ = store.send(stored).await;
            }
        }
    }

    /// One input: handled, its consequences drawn, everyone woken for whom there is something.
    fn with<T>(&self, act: impl FnOnce(&mut Host, Now) -> T) -> Result<T, Stopped> {
        let mut host = self.lock()?;
        if host.has_stopped() {
            return Err(Stopped);
        }
        let now = host::read_clock();
        let told = act(&mut host, now);
        let settled = host.settle(now);
        drop(host);
        for outbox in settled.woken {
            outbox.wake();
        }
        if settled.alarm_is_late {
            self.shared.alarm.notify_one();
        }
        Ok(told)
    }

    /// A lock that is poisoned means that the engine has panicked in the middle of something: nothing it holds can be
    /// relied upon.
    fn lock(&self) -> Result<MutexGuard<'_, Host>, Stopped> {
        self.shared.host.lock().map_err(|_| Stopped)
    }

    async fn mind_timers(self) {
        while let Ok(Some(alarm)) = self.lock().map(|mut host| host.set_alarm()) {
            let far = Instant::now() + Duration::from_secs(3600);
            let sleep = tokio::time::sleep_until(alarm.unwrap_or(far).into());
            tokio::select! {
                () = sleep => if self.with(|_, _| ()).is_err() { break },
                () = self.shared.alarm.notified() => {}
            }
        }
        if self.lock().is_err() {
            tracing::error!("the engine has panicked: no call can go on, the process has to be restarted");
        }
    }
}
