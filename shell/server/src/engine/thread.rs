//! The thread that owns the engine: takes all that waits, reads the clock once, drains, wakes each transport once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Gauge, counter, gauge};
use tandem_engine::{CommandId, Engine, Input, Now, Output, Reply, RoomKept, TransportId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Envelope, Outbox, Push, Sinks, Stored};
use crate::metrics as metric;

/// Inputs handled with one reading of the clock.
const BATCH: usize = 256;
/// A store that was full is asked again after this time.
const STORE_RETRY: Duration = Duration::from_millis(100);

/// The running thread.
pub struct EngineThread {
    join: JoinHandle<()>,
}

impl EngineThread {
    /// Waits until the thread has ended: after `EngineHandle::stop`, or when all handles are gone.
    pub fn join(self) {
        if self.join.join().is_err() {
            tracing::error!("the engine thread panicked");
        }
    }
}

pub(super) fn spawn(
    engine: Engine,
    mailbox: mpsc::Receiver<Envelope>,
    budget: Arc<Semaphore>,
    sinks: Sinks,
) -> std::io::Result<EngineThread> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let join = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        let worker = Worker {
            engine,
            budget,
            sinks,
            outboxes: HashMap::new(),
            woken: Vec::new(),
            lost: Vec::new(),
            answers: HashMap::new(),
            next_command: 0,
            unstored: BTreeMap::new(),
            counters: Counters::new(),
        };
        runtime.block_on(worker.run(mailbox));
    })?;
    Ok(EngineThread { join })
}

struct Worker {
    engine: Engine,
    budget: Arc<Semaphore>,
    sinks: Sinks,
    outboxes: HashMap<TransportId, Arc<Outbox>>,
    /// Outboxes that got something in this wake-up.
    woken: Vec<Arc<Outbox>>,
    /// Transports whose outbox has overflowed, not yet told to the engine.
    lost: Vec<TransportId>,
    answers: HashMap<CommandId, oneshot::Sender<Reply>>,
    next_command: u64,
    /// Rooms' states that found the store's channel full: the latest of each.
    unstored: BTreeMap<String, Option<RoomKept>>,
    counters: Counters,
}

/// Looked up once: the registry is too slow for each frame.
struct Counters {
    frames_in: Counter,
    frames_out: Counter,
    overflows: Counter,
    wakeups: Counter,
    records_dropped: Counter,
    transports: Gauge,
}

impl Counters {
    fn new() -> Self {
        Self {
            frames_in: counter!(metric::SIGNAL_FRAMES_TOTAL.name, "direction" => "in"),
            frames_out: counter!(metric::SIGNAL_FRAMES_TOTAL.name, "direction" => "out"),
            overflows: counter!(metric::SIGNAL_OVERFLOWS_TOTAL.name),
            wakeups: counter!(metric::ENGINE_WAKEUPS_TOTAL.name),
            records_dropped: counter!(metric::ENGINE_RECORDS_DROPPED_TOTAL.name),
            transports: gauge!(metric::SIGNAL_TRANSPORTS.name),
        }
    }
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Onward {
    Go,
    Stop,
}

impl Worker {
    async fn run(mut self, mut mailbox: mpsc::Receiver<Envelope>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let received = match self.deadline() {
                None => mailbox.recv_many(&mut batch, BATCH).await,
                Some(deadline) => {
                    let receive = mailbox.recv_many(&mut batch, BATCH);
                    tokio::time::timeout_at(deadline.into(), receive).await.unwrap_or(usize::MAX)
                }
            };
            if received == 0 || self.wake_up(&mut batch) == Onward::Stop {
                break;
            }
        }
        // Nobody will put anything in any more: what is there is written, then the transport closes.
        for outbox in self.outboxes.values() {
            outbox.finish();
        }
        for (room, kept) in self.unstored {
            // A store that is gone stores nothing more.
            let _ = self.sinks.store.send(Stored::Keep { room, kept }).await;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let retry = (!self.unstored.is_empty()).then(|| Instant::now() + STORE_RETRY);
        [self.engine.poll_timeout(), retry].into_iter().flatten().min()
    }

    fn wake_up(&mut self, batch: &mut Vec<Envelope>) -> Onward {
        let now = read_clock();
        self.counters.wakeups.increment(1);
        let mut onward = Onward::Go;
        for envelope in batch.drain(..) {
            if self.accept(now, envelope) == Onward::Stop {
                onward = Onward::Stop;
            }
        }
        if self.engine.poll_timeout().is_some_and(|deadline| deadline <= now.instant) {
            self.engine.handle_timeout(now);
            self.drain();
        }
        self.store_leftovers();
        for outbox in self.woken.drain(..) {
            outbox.wake();
        }
        onward
    }

    fn accept(&mut self, now: Now, envelope: Envelope) -> Onward {
        let mut told = None;
        let input = match envelope {
            Envelope::Hello { transport, origin, hello } => {
                self.outboxes.insert(transport.id, transport.outbox);
                self.counters.transports.increment(1);
                Input::Hello { transport: transport.id, origin: *origin, hello }
            }
            Envelope::Frame { transport, frame, bytes } => {
                self.budget.add_permits(bytes as usize);
                self.counters.frames_in.increment(1);
                Input::Frame { transport, frame }
            }
            Envelope::Closed { transport } => {
                self.forget(transport);
                Input::Closed { transport }
            }
            Envelope::Command { command, answer } => {
                self.next_command += 1;
                let id = CommandId(self.next_command);
                self.answers.insert(id, answer);
                Input::Command { id, command }
            }
            Envelope::Restore { rooms, done } => {
                told = Some(done);
                Input::Restore(rooms)
            }
            Envelope::Drain { reconnect, done } => {
                told = Some(done);
                Input::Drain { reconnect }
            }
            Envelope::Stop => return Onward::Stop,
        };
        self.handle(now, input);
        if let Some(done) = told {
            // Whoever asked may have given up waiting.
            let _ = done.send(());
        }
        Onward::Go
    }

    fn handle(&mut self, now: Now, input: Input) {
        self.engine.handle_input(now, input);
        self.drain();
        while let Some(transport) = self.lost.pop() {
            self.engine.handle_input(now, Input::Closed { transport });
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { transport, frame } => self.send(transport, frame),
                Output::Close { transport } => {
                    if let Some(outbox) = self.forget(transport) {
                        outbox.finish();
                    }
                }
                Output::Reply { id, reply } => {
                    if let Some(answer) = self.answers.remove(&id) {
                        // Whoever asked may have given up waiting.
                        let _ = answer.send(reply);
                    }
                }
                Output::Record(record) => {
                    if self.sinks.store.try_send(Stored::Record(record)).is_err() {
                        self.counters.records_dropped.increment(1);
                    }
                }
                Output::Keep { room, kept } => {
                    self.unstored.insert(room, kept);
                }
                Output::Revoke { user } => (self.sinks.revoke)(user),
            }
        }
    }

    fn send(&mut self, transport: TransportId, frame: tandem_api::signal::ServerFrame) {
        let Some(outbox) = self.outboxes.get(&transport) else { return };
        match outbox.push(frame) {
            Push::Queued => {
                self.counters.frames_out.increment(1);
                if self.woken.last().is_none_or(|last| !Arc::ptr_eq(last, outbox)) {
                    self.woken.push(Arc::clone(outbox));
                }
            }
            Push::Overflow => {
                self.counters.overflows.increment(1);
                if let Some(outbox) = self.forget(transport) {
                    outbox.wake();
                }
                self.lost.push(transport);
            }
            Push::Ended => {}
        }
    }

    fn forget(&mut self, transport: TransportId) -> Option<Arc<Outbox>> {
        let outbox = self.outboxes.remove(&transport)?;
        self.counters.transports.decrement(1);
        Some(outbox)
    }

    /// Writes rooms' states; those that find no room in the channel are tried again at the next wake-up.
    fn store_leftovers(&mut self) {
        while let Some((room, kept)) = self.unstored.pop_first() {
            match self.sinks.store.try_send(Stored::Keep { room, kept }) {
                Ok(()) => {}
                Err(TrySendError::Full(Stored::Keep { room, kept })) => {
                    self.unstored.insert(room, kept);
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

fn read_clock() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}
