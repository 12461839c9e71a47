//! A link between senders and a receiver, in virtual time: capacity, one queue for all, loss, delay, jitter and cross
//! traffic. Each sender is what the plane will be: an estimator, a pacer and somebody with something to send.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tandem_media::SlotId;
use tandem_media::bitrate::Bitrate;
use tandem_media::estimate::{Estimator, ProbeId};
use tandem_media::pace::{Class, Config, Output, Pacer, Pushed};

/// What lies between the two ends; may be changed while it runs.
#[derive(Debug, Clone)]
pub struct Link {
    pub capacity: Bitrate,
    /// How much waits in front of it before packets are dropped, as time at its capacity.
    pub queue: Duration,
    pub delay: Duration,
    pub jitter: Duration,
    pub loss: f64,
    pub cross: Bitrate,
    /// What is faster than this is dropped, and nothing waits.
    pub policed: Option<Bitrate>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            capacity: Bitrate::from_kbps(1_000),
            queue: Duration::from_millis(500),
            delay: Duration::from_millis(25),
            jitter: Duration::from_millis(2),
            loss: 0.0,
            cross: Bitrate::ZERO,
            policed: None,
        }
    }
}

/// What a sender has to send.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// A camera that follows the target up to a bound.
    Adaptive { most: Bitrate },
    /// The highest of these layers that fits into the target, as an SFU does it.
    Layers(&'static [u64]),
    /// So much, whatever the target.
    Fixed { rate: Bitrate, needed: Bitrate },
}

pub struct World {
    pub link: Link,
    pub senders: Vec<Sender>,
    start: Instant,
    now: u64,
    busy_until: u64,
    queue: VecDeque<(u64, Packet)>,
    queued: u64,
    flying: VecDeque<(u64, Packet)>,
    last_arrival: u64,
    cross_owed: u64,
    /// What the policer lets through at this moment, in bytes.
    tokens: f64,
    random: u64,
    trace: String,
}

pub struct Sender {
    pub estimator: Estimator,
    pub source: Source,
    pacer: Pacer<usize>,
    joins: u64,
    seq: u64,
    next_frame: u64,
    next_audio: u64,
    arrived: Vec<(u64, u64)>,
    reported: u64,
    /// On their way back, with the time they come in.
    feedback: VecDeque<(u64, Report)>,
    pub samples: Vec<Sample>,
    sent: u64,
    received: u64,
}

/// For each number when it arrived, if it did.
type Report = Vec<(u64, Option<Duration>)>;

/// A tenth of a second.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: f64,
    pub target: f64,
    pub sent: f64,
    pub received: f64,
    /// In milliseconds.
    pub queue: f64,
    pub loss: f64,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    /// None is cross traffic.
    sender: Option<usize>,
    seq: u64,
    size: usize,
}

impl World {
    pub fn new(seed: u64, link: Link) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let start = Instant::now();
        Self {
            link,
            senders: Vec::new(),
            start,
            now: 0,
            busy_until: 0,
            queue: VecDeque::new(),
            queued: 0,
            flying: VecDeque::new(),
            last_arrival: 0,
            cross_owed: 0,
            tokens: 0.0,
            random: seed,
            trace: String::new(),
        }
    }

    pub fn add(&mut self, start_kbps: u64, source: Source) -> usize {
        let start = Bitrate::from_kbps(start_kbps);
        let now = self.instant();
        self.senders.push(Sender {
            estimator: Estimator::new(now, start),
            source,
            pacer: Pacer::new(now, Config::default(), start),
            joins: self.now,
            seq: 0,
            next_frame: self.now,
            next_audio: self.now,
            arrived: Vec::new(),
            reported: 0,
            feedback: VecDeque::new(),
            samples: Vec::new(),
            sent: 0,
            received: 0,
        });
        self.senders.len() - 1
    }

    pub fn run(&mut self, seconds: f64) {
        let until = self.now + (seconds * 1e6) as u64;
        while self.now < until {
            self.tick();
            self.now += TICK;
        }
    }

    /// The mean of something over the samples of a sender in a span of seconds.
    pub fn mean(&self, sender: usize, from: f64, to: f64, what: impl Fn(&Sample) -> f64) -> f64 {
        let within: Vec<_> =
            self.senders[sender].samples.iter().filter(|s| s.at >= from && s.at < to).map(what).collect();
        assert!(!within.is_empty());
        within.iter().sum::<f64>() / within.len() as f64
    }

    /// When the target of a sender first was on the right side after some second.
    pub fn first(&self, sender: usize, from: f64, right: impl Fn(&Sample) -> bool) -> f64 {
        let found = self.senders[sender].samples.iter().find(|s| s.at >= from && right(s));
        found.map_or(f64::INFINITY, |s| s.at - from)
    }

    /// Fails with the whole trajectory.
    pub fn check(&self, holds: bool, what: &str) {
        assert!(holds, "{what}\n{}", self.trajectory());
    }

    pub fn trajectory(&self) -> String {
        let mut text = self.trace.clone();
        for (index, sender) in self.senders.iter().enumerate() {
            text += &format!("sender {index}:     s  target    sent  arrived (kb/s)  queue ms  loss %\n");
            for s in sender.samples.iter().step_by(5) {
                text += &format!(
                    "{:14.1} {:7.0} {:7.0} {:7.0} {:16.0} {:7.1}\n",
                    s.at,
                    s.target / 1e3,
                    s.sent / 1e3,
                    s.received / 1e3,
                    s.queue,
                    s.loss * 100.0
                );
            }
        }
        text
    }

    fn tick(&mut self) {
        self.fill_policer();
        for index in 0..self.senders.len() {
            self.send(index);
        }
        self.cross_traffic();
        self.serve();
        self.deliver();
        for index in 0..self.senders.len() {
            self.report(index);
        }
        if self.now.is_multiple_of(SAMPLE) {
            self.sample();
        }
    }

    fn send(&mut self, index: usize) {
        let (now, at) = (self.instant(), self.now);
        let sender = &mut self.senders[index];
        if sender.estimator.poll_timeout().is_some_and(|due| due <= now) {
            sender.estimator.handle_timeout(now);
        }
        let target = sender.estimator.target();
        sender.pacer.set_target(now, target);
        let (rate, needed) = sender.wants(target);
        if let Some(probe) = sender.estimator.poll_probe(now, needed) {
            self.trace += &format!("{:8.2} s: sender {index} probes at {}\n", at as f64 / 1e6, probe.rate);
            sender.pacer.start_probe(now, probe);
        }
        let mut out = Vec::new();
        for (class, size) in sender.produce(at, rate) {
            if let Pushed::Pass(size, probe) = sender.pacer.push(now, SlotId(0), class, size, size) {
                out.push((size, probe));
            }
        }
        while let Some(output) = sender.pacer.poll(now) {
            match output {
                Output::Send(size, probe) => out.push((size, probe)),
                Output::Pad(size, probe) => out.push((size, Some(probe))),
                Output::Late(_) => {}
            }
        }
        for (size, probe) in out {
            self.emit(index, size, probe);
        }
    }

    fn emit(&mut self, index: usize, size: usize, probe: Option<ProbeId>) {
        let now = self.instant();
        let sender = &mut self.senders[index];
        let seq = sender.seq;
        sender.seq += 1;
        sender.sent += size as u64;
        sender.estimator.on_sent(now, seq, size, probe);
        self.enqueue(Packet { sender: Some(index), seq, size });
    }

    fn enqueue(&mut self, packet: Packet) {
        if self.link.policed.is_some() {
            let size = packet.size as f64;
            if self.tokens < size {
                return;
            }
            self.tokens -= size;
        }
        let room = self.link.capacity.bytes_in(self.link.queue).max(3_000);
        if self.queued + packet.size as u64 <= room {
            self.queued += packet.size as u64;
            self.queue.push_back((self.now, packet));
        }
    }

    fn fill_policer(&mut self) {
        if let Some(rate) = self.link.policed {
            let full = rate.bytes_in(Duration::from_millis(100)) as f64;
            self.tokens = (self.tokens + rate.bps() as f64 / 8.0 * TICK as f64 / 1e6).min(full);
        }
    }

    fn cross_traffic(&mut self) {
        self.cross_owed += self.link.cross.bytes_in(Duration::from_micros(TICK));
        while self.cross_owed >= 1_000 {
            self.cross_owed -= 1_000;
            self.enqueue(Packet { sender: None, seq: 0, size: 1_000 });
        }
    }

    fn serve(&mut self) {
        while let Some((since, packet)) = self.queue.front().copied() {
            let takes = self.link.capacity.time_for(packet.size as u64).as_micros() as u64;
            let done = self.busy_until.max(since) + takes;
            if done > self.now {
                return;
            }
            self.queue.pop_front();
            self.queued -= packet.size as u64;
            self.busy_until = done;
            if self.random() >= self.link.loss {
                let jitter = (self.random() * self.link.jitter.as_micros() as f64) as u64;
                // Delay varies, the order does not.
                self.last_arrival = self.last_arrival.max(done + self.link.delay.as_micros() as u64 + jitter);
                self.flying.push_back((self.last_arrival, packet));
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((at, packet)) = self.flying.front().copied().filter(|(at, _)| *at <= self.now) {
            self.flying.pop_front();
            if let Some(sender) = packet.sender.and_then(|index| self.senders.get_mut(index)) {
                sender.received += packet.size as u64;
                sender.arrived.push((packet.seq, at));
            }
        }
    }

    fn report(&mut self, index: usize) {
        let now = self.instant();
        let back = self.now + self.link.delay.as_micros() as u64;
        let at = self.now;
        let sender = &mut self.senders[index];
        if (at - sender.joins).is_multiple_of(FEEDBACK) && !sender.arrived.is_empty() {
            let arrived = std::mem::take(&mut sender.arrived);
            let highest = arrived.last().map_or(0, |(seq, _)| *seq);
            let mut list: Vec<_> = (sender.reported..=highest).map(|seq| (seq, None)).collect();
            for (seq, at) in arrived {
                // The receiver's clock is another one.
                list[(seq - sender.reported) as usize].1 = Some(Duration::from_micros(at + 77_000_000));
            }
            sender.reported = highest + 1;
            sender.feedback.push_back((back, list));
        }
        while let Some((_, list)) = sender.feedback.pop_front_if(|(due, _)| *due <= at) {
            sender.estimator.on_feedback(now, list.into_iter());
        }
    }

    fn sample(&mut self) {
        let seconds = SAMPLE as f64 / 1e6;
        let queue = self.link.capacity.time_for(self.queued).as_secs_f64() * 1e3;
        for sender in &mut self.senders {
            sender.samples.push(Sample {
                at: self.now as f64 / 1e6,
                target: sender.estimator.target().bps() as f64,
                sent: sender.sent as f64 * 8.0 / seconds,
                received: sender.received as f64 * 8.0 / seconds,
                queue,
                loss: sender.estimator.loss(),
            });
            sender.sent = 0;
            sender.received = 0;
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    /// Between 0 and 1 (splitmix64).
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Sender {
    /// What is sent at this target, and what could be used.
    fn wants(&self, target: Bitrate) -> (Bitrate, Bitrate) {
        match self.source {
            Source::Adaptive { most } => (target.min(most), most),
            Source::Layers(layers) => {
                let rates = layers.iter().map(|kbps| Bitrate::from_kbps(*kbps));
                let best = rates.clone().rfind(|rate| *rate <= target).unwrap_or_default();
                (best, rates.max().unwrap_or_default().scale(1.1))
            }
            Source::Fixed { rate, needed } => (rate, needed),
        }
    }

    /// Thirty frames a second, and fifty small packets of audio.
    fn produce(&mut self, at: u64, rate: Bitrate) -> Vec<(Class, usize)> {
        let mut packets = Vec::new();
        if at >= self.next_audio {
            self.next_audio += 20_000;
            packets.push((Class::Audio, 120));
        }
        if at >= self.next_frame {
            self.next_frame += 33_333;
            let audio = Bitrate::from_kbps(48);
            let mut frame = rate.saturating_sub(audio).bytes_in(Duration::from_micros(33_333)) as usize;
            while frame > 0 {
                let size = frame.min(1_200);
                packets.push((Class::Video, size));
                frame -= size;
            }
        }
        packets
    }
}

const TICK: u64 = 250;
const SAMPLE: u64 = 100_000;
const FEEDBACK: u64 = 50_000;
