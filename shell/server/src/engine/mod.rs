//! The engine's thread, and the handle by which everything else speaks to it.
//!
//! ```text
//!  transports ─┐                    ┌─► Outbox of each transport
//!  HTTP API  ──┼─► bounded mailbox ─► thread: Engine ─┼─► store (bounded channel)
//!  drain     ──┘   (count, bytes)   └─► relay (callback)
//! ```
//!
//! A full mailbox makes senders wait: a transport that cannot hand over a frame does not read the next one. The thread
//! takes all that waits per wake-up, reads the clock once, and wakes each transport once at the end. What a frame means
//! is the engine's business, how it is written the transports'.

mod outbox;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tandem_api::signal::{ClientFrame, Hello};
use tandem_engine::{Command, Engine, Origin, Record, Reply, RoomKept, TransportId};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use outbox::{After, Batch, Encoding, Outbox, OutboxLimits, Parcel, Push, encode};
pub use thread::EngineThread;

/// How much may wait for the engine, and for each transport.
#[derive(Clone, Copy, Debug)]
pub struct MailboxLimits {
    /// Inputs that may wait for the engine.
    pub inputs: usize,
    /// Bytes of the frames among them.
    pub bytes: u32,
    /// For each transport.
    pub outbox: OutboxLimits,
}

impl MailboxLimits {
    /// What fits an engine of this configuration.
    #[must_use]
    pub fn for_engine(config: &tandem_engine::Config) -> Self {
        Self { inputs: 1024, bytes: 16 << 20, outbox: OutboxLimits::above_backlog(config) }
    }
}

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
    /// Ends everything that a TURN user relays. Called on the engine thread: must not block.
    pub revoke: Box<dyn Fn(String) + Send>,
}

/// The engine thread is gone: the process is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct Stopped;

/// Starts the engine's thread.
///
/// # Errors
/// When the system gives us no thread.
pub fn start(engine: Engine, limits: MailboxLimits, sinks: Sinks) -> std::io::Result<(EngineHandle, EngineThread)> {
    let (sender, receiver) = mpsc::channel(limits.inputs.max(1));
    let budget = Arc::new(Semaphore::new(limits.bytes as usize));
    let thread = thread::spawn(engine, receiver, Arc::clone(&budget), sinks)?;
    let shared = Shared { sender, budget, next: AtomicU64::new(1), limits };
    Ok((EngineHandle { shared: Arc::new(shared) }, thread))
}

/// Speaks to the engine. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
}

struct Shared {
    sender: mpsc::Sender<Envelope>,
    budget: Arc<Semaphore>,
    next: AtomicU64,
    limits: MailboxLimits,
}

/// One transport: its number and what waits for it.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Never used twice.
    pub id: TransportId,
    /// Filled by the engine thread, emptied by the transport.
    pub outbox: Arc<Outbox>,
}

enum Envelope {
    Hello { transport: Transport, origin: Box<Origin>, hello: Hello },
    Frame { transport: TransportId, frame: ClientFrame, bytes: u32 },
    Closed { transport: TransportId },
    Command { command: Command, answer: oneshot::Sender<Reply> },
    Restore { rooms: Vec<RoomKept>, done: oneshot::Sender<()> },
    Drain { reconnect: Duration, done: oneshot::Sender<()> },
    Stop,
}

impl EngineHandle {
    /// A transport that the engine hears of by its hello.
    #[must_use]
    pub fn open(&self, encoding: Encoding) -> Transport {
        let id = TransportId(self.shared.next.fetch_add(1, Ordering::Relaxed));
        Transport { id, outbox: Arc::new(Outbox::new(encoding, self.shared.limits.outbox)) }
    }

    /// The first frame of a transport.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn hello(&self, transport: &Transport, origin: Origin, hello: Hello) -> Result<(), Stopped> {
        self.post(Envelope::Hello { transport: transport.clone(), origin: Box::new(origin), hello }).await
    }

    /// A later frame, which took so many bytes on the wire. Waits while the mailbox is full.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn frame(&self, transport: TransportId, frame: ClientFrame, bytes: usize) -> Result<(), Stopped> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.shared.limits.bytes);
        let slot = self.shared.sender.reserve().await.map_err(|_| Stopped)?;
        // The engine thread gives the bytes back when it has handled the frame. Nothing is awaited in between.
        self.shared.budget.acquire_many(bytes).await.map_err(|_| Stopped)?.forget();
        slot.send(Envelope::Frame { transport, frame, bytes });
        Ok(())
    }

    /// The transport is gone.
    pub async fn closed(&self, transport: TransportId) {
        // A stopped engine has forgotten its transports anyway.
        let _ = self.post(Envelope::Closed { transport }).await;
    }

    /// Asks on behalf of a third party.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn command(&self, command: Command) -> Result<Reply, Stopped> {
        let (answer, reply) = oneshot::channel();
        self.post(Envelope::Command { command, answer }).await?;
        reply.await.map_err(|_| Stopped)
    }

    /// Rooms as they stood when the last process ended; only before anything else.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn restore(&self, rooms: Vec<RoomKept>) -> Result<(), Stopped> {
        let (done, wait) = oneshot::channel();
        self.post(Envelope::Restore { rooms, done }).await?;
        wait.await.map_err(|_| Stopped)
    }

    /// Tells every client to come back later and refuses newcomers; resolves when all of them have been told.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn drain(&self, reconnect: Duration) -> Result<(), Stopped> {
        let (done, wait) = oneshot::channel();
        self.post(Envelope::Drain { reconnect, done }).await?;
        wait.await.map_err(|_| Stopped)
    }

    /// Whether the thread is there.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.shared.sender.is_closed()
    }

    /// Ends the thread when it has handled all that was sent before.
    pub async fn stop(&self) {
        // Already stopped is as good.
        let _ = self.post(Envelope::Stop).await;
    }

    async fn post(&self, envelope: Envelope) -> Result<(), Stopped> {
        self.shared.sender.send(envelope).await.map_err(|_| Stopped)
    }
}
