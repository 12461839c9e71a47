//! The course of a measurement: publishers come, subscribers come, it is counted, everybody goes.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::{mpsc, watch};

use super::super::Errors;
use super::super::meter::Spread;
use super::Command;
use super::client::{Client, Notice, Progress};
use super::http::{Connection, Site};
use super::janus::Janus;
use super::join::{Plan, Session, Way, Who, local_towards};
use super::process::Process;
use super::report::{Joins, Line, Summary, Window};
use super::source::Media;
use super::stamp::Clock;
use super::whip::Whip;
use super::worker::{Measured, Order, Worker};

/// Runs it from the first client to the figures.
pub async fn measure(command: &Command, media: Media, site: Site) -> anyhow::Result<Summary> {
    str0m::crypto::from_feature_flags().install_process_default();
    let plan = plan(command, media, &site).await?;
    let usage = || command.server_pid.map(|pid| Process(pid).usage()).transpose();
    let mut run = Run::new(command, plan, site)?;
    run.join((0..command.load.publishers).map(Who::Publisher).collect()).await;
    run.settle(|tally| tally.connected).await;
    if run.tally.connected == 0 && !run.is_stopped() {
        run.end_sessions().await;
        bail!("no publisher has come in: {}", run.errors.texts.first().map_or("they do not connect", String::as_str));
    }
    let (alone, started) = (usage()?, Instant::now());
    run.join((0..command.load.subscribers).map(Who::Subscriber).collect()).await;
    run.settle(|tally| tally.connected.min(tally.playing + u32::from(command.load.publishers))).await;
    let joining = run.tally.last_connected.unwrap_or(started).saturating_duration_since(started);
    let together = usage()?;
    run.wait(FINDS_OUT).await;
    run.order(|| Order::Begin)?;
    let (begun, sent_before, before_window) = (Instant::now(), run.progress.sent(), usage()?);
    run.wait(Duration::from_secs(command.seconds.into())).await;
    let (took, sent, after_window) = (begun.elapsed(), run.progress.sent() - sent_before, usage()?);
    run.order(|| Order::Stop)?;
    tokio::time::sleep(DRAIN).await;
    let window = Window { took, joining, sent, usage: [alone, together, before_window, after_window] };
    run.end_sessions().await;
    run.finish(command, &window)
}

async fn plan(command: &Command, media: Media, site: &Site) -> anyhow::Result<Plan> {
    let way = match &command.janus {
        Some(_) => Way::Janus(Janus::new(&mut Connection::new(site.clone())).await?),
        None => Way::Whip(Whip { room: command.room.clone() }),
    };
    let provider = str0m::crypto::CryptoProvider::get_default().context("no cryptography")?;
    let certificate = provider.dtls_provider.generate_certificate().context("no certificate can be made")?;
    Ok(Plan { way, media, publishers: command.load.publishers, certificate, local: local_towards(site.address)? })
}

/// What goes on.
struct Run {
    plan: Arc<Plan>,
    site: Site,
    at_once: u16,
    workers: Vec<Worker>,
    progress: Arc<Progress>,
    notices: Receiver<Notice>,
    line: Line,
    sessions: Vec<Session>,
    errors: Errors,
    tally: Tally,
    stopped: watch::Receiver<bool>,
}

/// How far the clients have come.
#[derive(Default)]
struct Tally {
    asked: u32,
    /// With descriptions exchanged.
    arrived: u32,
    connected: u32,
    /// Subscribers that have a whole frame.
    playing: u32,
    /// Connections that have broken down.
    ended: u32,
    connecting: Spread,
    starting: Spread,
    last_connected: Option<Instant>,
}

type Arrival = anyhow::Result<(Box<Client>, Session)>;

impl Run {
    fn new(command: &Command, plan: Plan, site: Site) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = command.load.threads.map_or(cores, usize::from);
        let (clock, progress) = (Clock::new(), Arc::new(Progress::new(command.load.publishers)));
        let (notices, notices_out) = channel();
        let worker = |number| Worker::start(number, (clock, Arc::clone(&progress)), notices.clone());
        let workers = (0..threads).map(worker).collect::<std::io::Result<Vec<_>>>().context("no threads")?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                // Whoever does not listen has ended.
                let _ = stop.send(true);
            }
            std::future::pending::<()>().await;
        });
        Ok(Self {
            plan: Arc::new(plan),
            site,
            at_once: command.load.at_once,
            workers,
            progress,
            notices: notices_out,
            line: Line::new(),
            sessions: Vec::new(),
            errors: Errors::default(),
            tally: Tally::default(),
            stopped,
        })
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Lets everybody in, so many at a time.
    async fn join(&mut self, who: VecDeque<Who>) {
        self.tally.asked += u32::try_from(who.len()).unwrap_or(u32::MAX);
        let (arrivals, mut arrived) = mpsc::channel::<Arrival>(usize::from(self.at_once));
        let queue = Arc::new(Mutex::new(who));
        for _ in 0..self.at_once {
            tokio::spawn(usher(Arc::clone(&self.plan), self.site.clone(), Arc::clone(&queue), arrivals.clone()));
        }
        drop(arrivals);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                arrival = arrived.recv() => match arrival {
                    None => return,
                    Some(Ok((client, session))) => self.admit(client, session),
                    Some(Err(error)) => self.errors.add(&error),
                },
                _ = ticks.tick() => {
                    self.look();
                    if self.is_stopped() {
                        queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                }
            }
        }
    }

    fn admit(&mut self, client: Box<Client>, session: Session) {
        self.sessions.push(session);
        let number = usize::try_from(self.tally.arrived).unwrap_or(0) % self.workers.len().max(1);
        self.tally.arrived += 1;
        if let Some(worker) = self.workers.get(number)
            && let Err(error) = worker.order(Order::Add(client))
        {
            self.errors.add(&error.into());
        }
    }

    /// Waits until all who have arrived are as far as this counts, but not for ever.
    async fn settle(&mut self, count: impl Fn(&Tally) -> u32) {
        let end = Instant::now() + PATIENCE;
        while count(&self.tally) + self.tally.ended < self.tally.arrived && Instant::now() < end && !self.is_stopped() {
            tokio::time::sleep(TICK).await;
            self.look();
        }
    }

    async fn wait(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end && !self.is_stopped() {
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + TICK)).await;
            self.look();
        }
    }

    /// Takes the news in, and tells how it goes.
    fn look(&mut self) {
        for notice in self.notices.try_iter() {
            match notice {
                Notice::Connected(took) => {
                    self.tally.connected += 1;
                    self.tally.connecting.add(took);
                    self.tally.last_connected = Some(Instant::now());
                }
                Notice::Playing(took) => {
                    self.tally.playing += 1;
                    self.tally.starting.add(took);
                }
                Notice::Ended => self.tally.ended += 1,
            }
        }
        self.line.show(&self.progress, (self.tally.connected, self.tally.asked));
    }

    fn order(&self, order: impl Fn() -> Order) -> anyhow::Result<()> {
        self.workers.iter().try_for_each(|worker| worker.order(order()))?;
        Ok(())
    }

    /// Tells the server that everybody goes.
    async fn end_sessions(&mut self) {
        self.look();
        let queue = Arc::new(Mutex::new(std::mem::take(&mut self.sessions)));
        let mut ending = tokio::task::JoinSet::new();
        for _ in 0..self.at_once {
            let (queue, site) = (Arc::clone(&queue), self.site.clone());
            ending.spawn(async move {
                let mut connection = Connection::new(site);
                loop {
                    let session = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    // Whom the server has lost before need not be taken away.
                    match session {
                        None => return,
                        Some(Session::Whip(location)) => drop(Whip::end(&mut connection, &location).await),
                        Some(Session::Janus(session)) => drop(Janus::end(&mut connection, &session).await),
                    }
                }
            });
        }
        let _ = tokio::time::timeout(PATIENCE, ending.join_all()).await;
    }

    fn finish(self, command: &Command, window: &Window) -> anyhow::Result<Summary> {
        self.line.clear();
        let mut measured = Measured::default();
        for worker in self.workers {
            let one = worker.finish()?;
            measured.audio.merge(&one.audio);
            measured.video.merge(&one.video);
            measured.late.merge(&one.late);
        }
        let Tally { asked, connected, playing, ended, connecting, starting, .. } = self.tally;
        let mut errors = self.errors.texts;
        let unconnected = self.tally.arrived.saturating_sub(connected);
        if unconnected > 0 {
            errors.push(format!(
                "{unconnected} clients have exchanged descriptions and do not connect: is UDP let through?"
            ));
        }
        let silent = connected.saturating_sub(playing + u32::from(command.load.publishers));
        if silent > 0 {
            errors.push(format!("{silent} subscribers are connected and have got no whole frame"));
        }
        if ended > 0 {
            errors.push(format!("{ended} connections have broken down"));
        }
        let failed = (asked - connected.min(asked)).max(silent.max(ended));
        let joins = Joins::new((asked, failed), (connecting, starting), window.joining, errors);
        Ok(Summary::new(&command.load, joins, window, (&measured, &self.progress)))
    }
}

/// Brings one after the other in, over one connection.
async fn usher(plan: Arc<Plan>, site: Site, queue: Arc<Mutex<VecDeque<Who>>>, arrivals: mpsc::Sender<Arrival>) {
    let mut connection = Connection::new(site);
    loop {
        let Some(who) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
        let arrival = plan.join(&mut connection, who).await;
        let arrival = arrival.map(|(client, session)| (Box::new(client), session));
        if arrivals.send(arrival).await.is_err() {
            return;
        }
    }
}

const TICK: Duration = Duration::from_millis(100);
/// Who is not in by then stays out.
const PATIENCE: Duration = Duration::from_secs(15);
/// By then a server has found out what each way carries; before, it may let packets wait.
const FINDS_OUT: Duration = Duration::from_secs(1);
/// What is still on its way when publishers stop.
const DRAIN: Duration = Duration::from_millis(700);
