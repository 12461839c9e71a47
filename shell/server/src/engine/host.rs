//! What stands around the engine: its outputs go to outboxes, to the store and to the relay; what waits, waits here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Gauge, counter, gauge};
use smallvec::SmallVec;
use tandem_api::signal::{ClientFrame, ServerFrame};
use tandem_engine::{Command, CommandId, Engine, Input, Now, Output, Reply, RoomKept, TransportId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Outbox, Push, Sinks, Stored, Transport};
use crate::media::Told;
use crate::metrics as metric;

/// A store that was full is asked again after this time.
const STORE_RETRY: Duration = Duration::from_millis(100);
/// So long does what is not urgent wait for company, to be written with it in one system call.
const PATIENCE: Duration = Duration::from_millis(5);

pub(super) struct Host {
    engine: Engine,
    /// Until the engine is stopped.
    sinks: Option<Sinks>,
    outboxes: HashMap<TransportId, Arc<Outbox>>,
    /// Outboxes that got something by this input.
    woken: Woken,
    /// Outboxes in which nothing is urgent, and until when that may be so; in this order.
    patient: VecDeque<(Instant, Arc<Outbox>)>,
    /// Transports whose outbox has overflowed, not yet told to the engine.
    lost: Vec<TransportId>,
    /// To the command that is being handled.
    reply: Option<Reply>,
    /// Rooms' states that found the store's channel full: the latest of each.
    unstored: BTreeMap<String, Option<RoomKept>>,
    /// When the task that minds the timers will look; `None`: not before it is told to.
    alarm: Option<Instant>,
    counters: Counters,
}

/// One message goes to a handful of people, as a rule.
pub(super) type Woken = SmallVec<[Arc<Outbox>; 8]>;

/// What is left to do when the lock has been let go.
pub(super) struct Settled {
    pub woken: Woken,
    /// A timer is due before the alarm is.
    pub alarm_is_late: bool,
}

/// Looked up once: the registry is too slow for each frame.
struct Counters {
    frames_in: Counter,
    frames_out: Counter,
    overflows: Counter,
    records_dropped: Counter,
    transports: Gauge,
}

impl Counters {
    fn new() -> Self {
        Self {
            frames_in: counter!(metric::SIGNAL_FRAMES_TOTAL.name, "direction" => "in"),
            frames_out: counter!(metric::SIGNAL_FRAMES_TOTAL.name, "direction" => "out"),
            overflows: counter!(metric::SIGNAL_OVERFLOWS_TOTAL.name),
            records_dropped: counter!(metric::ENGINE_RECORDS_DROPPED_TOTAL.name),
            transports: gauge!(metric::SIGNAL_TRANSPORTS.name),
        }
    }
}

impl Host {
    pub fn new(engine: Engine, sinks: Sinks) -> Self {
        Self {
            engine,
            sinks: Some(sinks),
            outboxes: HashMap::new(),
            woken: Woken::new(),
            patient: VecDeque::new(),
            lost: Vec::new(),
            reply: None,
            unstored: BTreeMap::new(),
            alarm: None,
            counters: Counters::new(),
        }
    }

    pub fn has_stopped(&self) -> bool {
        self.sinks.is_none()
    }

    /// What it decides for this transport goes to its outbox from now on.
    pub fn add(&mut self, transport: &Transport) {
        self.outboxes.insert(transport.id, Arc::clone(&transport.outbox));
        self.counters.transports.increment(1);
    }

    pub fn handle_frame(&mut self, now: Now, transport: TransportId, frame: ClientFrame) {
        self.counters.frames_in.increment(1);
        self.handle(now, Input::Frame { transport, frame });
    }

    pub fn handle_closed(&mut self, now: Now, transport: TransportId) {
        self.forget(transport);
        self.handle(now, Input::Closed { transport });
    }

    pub fn ask(&mut self, now: Now, command: Command) -> Option<Reply> {
        // Answered before anything else is handled: one identity is enough.
        self.handle(now, Input::Command { id: CommandId(0), command });
        self.reply.take()
    }

    pub fn handle(&mut self, now: Now, input: Input) {
        self.engine.handle_input(now, input);
        self.drain(now);
        while let Some(transport) = self.lost.pop() {
            self.engine.handle_input(now, Input::Closed { transport });
            self.drain(now);
        }
    }

    pub fn handle_media(&mut self, now: Now, told: Told) {
        match told {
            Told::Event(event) => self.engine.handle_media(now, event),
            Told::Lost { shard } => self.engine.handle_media_lost(now, shard),
        }
        self.drain(now);
    }

    /// After every input.
    pub fn settle(&mut self, now: Now) -> Settled {
        if self.engine.poll_timeout().is_some_and(|deadline| deadline <= now.instant) {
            self.engine.handle_timeout(now);
            self.drain(now);
        }
        while self.patient.front().is_some_and(|(due, _)| *due <= now.instant) {
            if let Some((_, outbox)) = self.patient.pop_front()
                && outbox.make_urgent()
            {
                self.woken.push(outbox);
            }
        }
        self.store_leftovers();
        let deadline = self.deadline(now);
        let alarm_is_late = deadline.is_some_and(|deadline| self.alarm.is_none_or(|alarm| deadline < alarm));
        Settled { woken: std::mem::take(&mut self.woken), alarm_is_late }
    }

    /// The alarm is set: until when it may sleep, if there is any such time. `None` when the engine has stopped.
    pub fn set_alarm(&mut self) -> Option<Option<Instant>> {
        self.alarm = self.deadline(read_clock());
        (!self.has_stopped()).then_some(self.alarm)
    }

    /// Nobody will put anything in any more: what is there is written, then the transports close. What the store has not
    /// taken yet is the caller's to give.
    pub fn stop(&mut self) -> Option<(mpsc::Sender<Stored>, Vec<Stored>)> {
        let Sinks { store, .. } = self.sinks.take()?;
        for outbox in self.outboxes.values() {
            outbox.finish();
        }
        let unstored = std::mem::take(&mut self.unstored);
        Some((store, unstored.into_iter().map(|(room, kept)| Stored::Keep { room, kept }).collect()))
    }

    fn deadline(&self, now: Now) -> Option<Instant> {
        let retry = (!self.unstored.is_empty()).then(|| now.instant + STORE_RETRY);
        let patience = self.patient.front().map(|(due, _)| *due);
        [self.engine.poll_timeout(), retry, patience].into_iter().flatten().min()
    }

    fn drain(&mut self, now: Now) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { transport, frame } => self.send(now, transport, frame),
                Output::Close { transport } => {
                    if let Some(outbox) = self.forget(transport) {
                        outbox.finish();
                    }
                }
                Output::Reply { reply, .. } => self.reply = Some(reply),
                Output::Record(record) => self.record(record),
                Output::Keep { room, kept } => {
                    self.unstored.insert(room, kept);
                }
                Output::Media { shard, command } => {
                    if let Some(media) = self.sinks.as_ref().and_then(|sinks| sinks.media.as_ref()) {
                        media.give(shard, *command);
                    }
                }
                Output::Hook(hook) => {
                    if let Some(tell) = self.sinks.as_ref().and_then(|sinks| sinks.hook.as_ref()) {
                        tell(*hook);
                    }
                }
                Output::Revoke { user } => {
                    if let Some(sinks) = &self.sinks {
                        (sinks.revoke)(user);
                    }
                }
            }
        }
    }

    fn send(&mut self, now: Now, transport: TransportId, frame: ServerFrame) {
        let Some(outbox) = self.outboxes.get(&transport) else { return };
        match outbox.push(frame) {
            Push::Urgent => {
                self.counters.frames_out.increment(1);
                if self.woken.last().is_none_or(|last| !Arc::ptr_eq(last, outbox)) {
                    self.woken.push(Arc::clone(outbox));
                }
            }
            Push::Patient => {
                self.counters.frames_out.increment(1);
                self.patient.push_back((now.instant + PATIENCE, Arc::clone(outbox)));
            }
            Push::InCompany => self.counters.frames_out.increment(1),
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

    fn record(&mut self, record: tandem_engine::Record) {
        let stored = self.sinks.as_ref().is_some_and(|sinks| sinks.store.try_send(Stored::Record(record)).is_ok());
        if !stored {
            self.counters.records_dropped.increment(1);
        }
    }

    fn forget(&mut self, transport: TransportId) -> Option<Arc<Outbox>> {
        let outbox = self.outboxes.remove(&transport)?;
        self.counters.transports.decrement(1);
        Some(outbox)
    }

    /// Writes rooms' states; those that find no room in the channel are tried again a little later.
    fn store_leftovers(&mut self) {
        let Some(sinks) = &self.sinks else { return };
        while let Some((room, kept)) = self.unstored.pop_first() {
            match sinks.store.try_send(Stored::Keep { room, kept }) {
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

pub(super) fn read_clock() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant::now(), unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
}
