//! A thread with many clients: it sleeps until a socket can be read or a client has something to do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::super::meter::Spread;
use super::client::{Around, Client, Notice, Progress, Role};
use super::sink::Figures;
use super::stamp::Clock;

/// What a worker is told.
pub enum Order {
    Add(Box<Client>),
    /// What was measured so far does not count.
    Begin,
    /// Publishers stop; what is on its way is waited for.
    Stop,
    /// Everybody goes, and the figures are handed over.
    Finish(SyncSender<Measured>),
}

/// What all clients of a worker have measured.
#[derive(Clone, Default)]
pub struct Measured {
    pub audio: Figures,
    pub video: Figures,
    /// How late the generator itself was.
    pub late: Spread,
}

/// Hands orders to a thread.
pub struct Worker {
    orders: Sender<Order>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

impl Worker {
    /// News of clients go to `notices`.
    pub fn start(
        number: usize,
        (clock, progress): (Clock, Arc<Progress>),
        notices: Sender<Notice>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (orders, inbox) = channel();
        let crew = Crew {
            poll,
            inbox,
            notices,
            clients: Vec::new(),
            timers: BinaryHeap::new(),
            clock,
            progress,
            stopped: None,
        };
        let thread = std::thread::Builder::new().name(format!("bench-{number}")).spawn(move || crew.run())?;
        Ok(Self { orders, waker, thread })
    }

    pub fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).map_err(|_| io::Error::other("a thread of the generator has broken down"))?;
        self.waker.wake()
    }

    /// Ends it, with what it has measured.
    pub fn finish(self) -> io::Result<Measured> {
        let (reply, measured) = sync_channel(1);
        self.order(Order::Finish(reply))?;
        let measured = measured.recv().map_err(|_| io::Error::other("a thread of the generator has broken down"));
        self.thread.join().map_err(|_| io::Error::other("a thread of the generator has broken down"))??;
        measured
    }
}

/// The thread's own.
struct Crew {
    poll: Poll,
    inbox: Receiver<Order>,
    notices: Sender<Notice>,
    clients: Vec<Member>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    clock: Clock,
    progress: Arc<Progress>,
    /// Since when publishers are silent.
    stopped: Option<Instant>,
}

struct Member {
    client: Box<Client>,
    /// The entry among the timers that counts.
    armed: Option<Instant>,
}

impl Crew {
    fn run(mut self) -> io::Result<()> {
        let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 2048]);
        loop {
            let wait = self.timers.peek().map(|Reverse((due, _))| due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let progress = Arc::clone(&self.progress);
            let around = Around { clock: self.clock, progress: &progress };
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let index = event.token().0;
                if let Some(member) = self.clients.get_mut(index) {
                    member.client.handle_readable(&mut buffer, around);
                    self.settle(index);
                }
            }
            self.pass_timers(around);
            loop {
                match self.inbox.try_recv() {
                    Ok(Order::Finish(reply)) => {
                        let _ = reply.send(self.finish(around));
                        return Ok(());
                    }
                    Ok(order) => self.obey(order, around)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
        }
    }

    fn obey(&mut self, order: Order, around: Around<'_>) -> io::Result<()> {
        match order {
            Order::Add(mut client) => {
                let index = self.clients.len();
                self.poll.registry().register(&mut client.socket, Token(index), Interest::READABLE)?;
                client.handle_timeout(Instant::now(), around);
                self.clients.push(Member { client, armed: None });
                self.settle(index);
            }
            Order::Begin => self.clients.iter_mut().for_each(|member| match &mut member.client.role {
                Role::Subscriber(sink) => sink.begin(),
                Role::Publisher(outgoing) => outgoing.late = Spread::default(),
            }),
            Order::Stop | Order::Finish(_) => {
                self.stopped = Some(Instant::now());
                self.clients.iter_mut().for_each(|member| {
                    if let Role::Publisher(outgoing) = &mut member.client.role {
                        outgoing.stop();
                    }
                });
            }
        }
        Ok(())
    }

    fn finish(&mut self, around: Around<'_>) -> Measured {
        let end = self.stopped.unwrap_or_else(Instant::now);
        let mut measured = Measured::default();
        for Member { client, .. } in &mut self.clients {
            match &mut client.role {
                Role::Subscriber(sink) => {
                    sink.finish(end, |publisher| around.progress.frames_sent(publisher));
                    measured.audio.merge(&sink.audio);
                    measured.video.merge(&sink.video);
                }
                Role::Publisher(outgoing) => measured.late.merge(&outgoing.late),
            }
            client.close(around);
        }
        measured
    }

    fn pass_timers(&mut self, around: Around<'_>) {
        let now = Instant::now();
        while let Some(Reverse((due, index))) = self.timers.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            self.timers.pop();
            let Some(member) = self.clients.get_mut(index).filter(|member| member.armed == Some(due)) else { continue };
            member.armed = None;
            // It may have been put off since.
            if member.client.poll_timeout().is_some_and(|due| due <= now) {
                member.client.handle_timeout(now, around);
            }
            self.settle(index);
        }
    }

    /// After each change of a client: its news, and when to look at it again.
    fn settle(&mut self, index: usize) {
        let Some(member) = self.clients.get_mut(index) else { return };
        for notice in member.client.take_notices() {
            // Nobody listens any more at the end.
            let _ = self.notices.send(notice);
        }
        let Some(due) = member.client.poll_timeout() else { return };
        // Not more often than once in a while: a stack that asks to be woken now would be asked for ever.
        let due = due.max(Instant::now() + Duration::from_micros(200));
        if member.armed.is_none_or(|armed| due < armed) {
            member.armed = Some(due);
            self.timers.push(Reverse((due, index)));
        }
    }
}

const WAKER: Token = Token(usize::MAX);
