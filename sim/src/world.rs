//! The engine, the browsers, and the network between them, on one clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tandem_api::signal::{ClientFrame, ClientKind, Counts, Entry, Participant, parse_frame, parse_hello};
use tandem_engine::{
    Command, CommandId, Config, Engine, Input, Now, Origin, Output, Record, Reply, RoomKept, RoomView, TransportId,
};

use crate::browser::{Browser, Phase};
use crate::chance::Chance;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrowserId(pub usize);

/// What arrives somewhere at some time.
enum Arrival {
    AtServer(TransportId, String),
    AtBrowser(TransportId, String),
    /// The server notices that a transport is gone.
    ServerSeesEnd(TransportId),
    /// The browser notices, and tries again a little later.
    BrowserSeesEnd(TransportId),
    Connect(BrowserId),
}

struct Transport {
    browser: BrowserId,
    greeted: bool,
    /// Delivery in each direction is in order: not before these.
    up: Instant,
    down: Instant,
    /// Nothing gets through any more, in either direction.
    cut: bool,
}

/// What is under way, and over which transports.
#[derive(Default)]
struct Network {
    transports: BTreeMap<TransportId, Transport>,
    current: BTreeMap<BrowserId, TransportId>,
    last_transport: u64,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    last_arrival: u64,
}

pub struct World {
    pub engine: Engine,
    pub chance: Chance,
    pub records: Vec<Record>,
    pub hooks: Vec<tandem_engine::Hook>,
    pub revoked: Vec<String>,
    pub kept: BTreeMap<String, RoomKept>,
    pub browsers: Vec<Browser>,
    config: Config,
    start: Instant,
    now: Instant,
    network: Network,
    last_command: u64,
    replies: BTreeMap<CommandId, Reply>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, config())
    }

    pub fn with(seed: u64, config: Config) -> Self {
        let mut chance = Chance::new(seed);
        let start = Instant::now();
        Self {
            engine: Engine::new(config.clone(), chance.seed()),
            chance,
            records: Vec::new(),
            hooks: Vec::new(),
            revoked: Vec::new(),
            kept: BTreeMap::new(),
            browsers: Vec::new(),
            config,
            start,
            now: start,
            network: Network::default(),
            last_command: 0,
            replies: BTreeMap::new(),
        }
    }

    // --- what a story does ---

    pub fn join(&mut self, room: &str, name: &str) -> BrowserId {
        self.join_with(Browser::new(room, name, Entry::Open))
    }

    pub fn join_with(&mut self, browser: Browser) -> BrowserId {
        let id = BrowserId(self.browsers.len());
        self.browsers.push(browser);
        self.connect(id);
        id
    }

    pub fn browser(&self, id: BrowserId) -> &Browser {
        self.browsers.get(id.0).expect("a browser of this world")
    }

    pub fn browser_mut(&mut self, id: BrowserId) -> &mut Browser {
        self.browsers.get_mut(id.0).expect("a browser of this world")
    }

    pub fn me(&self, id: BrowserId) -> String {
        self.browser(id).me.clone()
    }

    pub fn ask(&mut self, id: BrowserId, frame: impl FnOnce(u64) -> ClientFrame) {
        self.browser_mut(id).ask(frame);
        self.flush(id);
    }

    pub fn say(&mut self, id: BrowserId, text: &str) {
        self.ask(id, |id| ClientFrame::Chat { id, text: text.to_owned(), to: None });
    }

    pub fn shout(&mut self, id: BrowserId, text: &str) {
        self.browser_mut(id).shout(text);
        self.flush(id);
    }

    /// The network between this browser and the server breaks. Both notice, in whatever order.
    pub fn cut(&mut self, id: BrowserId) {
        let Some(transport) = self.network.current.get(&id).copied() else { return };
        if let Some(line) = self.network.transports.get_mut(&transport) {
            line.cut = true;
        }
        let (server, browser) = (self.chance.milliseconds(0, 3000), self.chance.milliseconds(0, 3000));
        self.arrive(self.now + server, Arrival::ServerSeesEnd(transport));
        self.arrive(self.now + browser, Arrival::BrowserSeesEnd(transport));
    }

    /// The browser gives up a transport that still works and opens another: what it sent on the old one may arrive before
    /// or after what it says on the new one.
    pub fn switch(&mut self, id: BrowserId) {
        let Some(transport) = self.network.current.remove(&id) else { return };
        let noticed = self.chance.milliseconds(0, 3000);
        self.arrive(self.now + noticed, Arrival::ServerSeesEnd(transport));
        self.browser_mut(id).on_closed();
        self.connect(id);
    }

    /// The tab is closed without a word.
    pub fn vanish(&mut self, id: BrowserId) {
        let Some(transport) = self.network.current.remove(&id) else { return };
        self.browser_mut(id).phase = Phase::Out(tandem_api::signal::LeaveReason::Left);
        if let Some(line) = self.network.transports.get_mut(&transport) {
            line.cut = true;
        }
        self.arrive(self.now, Arrival::ServerSeesEnd(transport));
    }

    pub fn reload(&mut self, id: BrowserId) {
        if let Some(transport) = self.network.current.remove(&id) {
            if let Some(line) = self.network.transports.get_mut(&transport) {
                line.cut = true;
            }
            let noticed = self.chance.milliseconds(0, 3000);
            self.arrive(self.now + noticed, Arrival::ServerSeesEnd(transport));
        }
        self.browser_mut(id).reload();
        self.connect(id);
    }

    /// The process ends without a word, and another takes its place.
    pub fn restart(&mut self) {
        let seed = self.chance.seed();
        self.engine = Engine::new(self.config.clone(), seed);
        for (id, transport) in std::mem::take(&mut self.network.transports) {
            if self.network.current.get(&transport.browser) == Some(&id) {
                let noticed = self.chance.milliseconds(0, 2000);
                self.arrive(self.now + noticed, Arrival::BrowserSeesEnd(id));
            }
        }
        let kept = self.kept.values().cloned().collect();
        self.handle(Input::Restore(kept));
    }

    pub fn drain(&mut self) {
        self.handle(Input::Drain { reconnect: Duration::from_secs(1) });
    }

    pub fn command(&mut self, command: Command) -> Reply {
        self.last_command += 1;
        let id = CommandId(self.last_command);
        self.handle(Input::Command { id, command });
        self.replies.remove(&id).expect("each command has one reply")
    }

    pub fn show(&mut self, room: &str) -> Option<RoomView> {
        match self.command(Command::ShowRoom { name: room.to_owned() }) {
            Reply::Room(view) => Some(view),
            _ => None,
        }
    }

    // --- time ---

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Until nothing is under way any more. Timers of the engine are not waited for.
    pub fn settle(&mut self) {
        let mut steps = 0;
        while !self.network.arrivals.is_empty() {
            self.step();
            steps += 1;
            assert!(steps < 1_000_000, "it never comes to rest");
        }
    }

    fn next(&self) -> Option<Instant> {
        let arrival = self.network.arrivals.first_key_value().map(|((at, _), _)| *at);
        [arrival, self.engine.poll_timeout()].into_iter().flatten().min()
    }

    fn step(&mut self) {
        let Some(next) = self.next() else { return };
        self.now = self.now.max(next);
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.reading());
            return self.drain_output();
        }
        if let Some((_, arrival)) = self.network.arrivals.pop_first() {
            self.on_arrival(arrival);
        }
    }

    fn reading(&self) -> Now {
        let since = u64::try_from((self.now - self.start).as_millis()).expect("fits");
        Now { instant: self.now, unix_ms: 1_800_000_000_000 + since }
    }

    fn arrive(&mut self, at: Instant, arrival: Arrival) {
        self.network.last_arrival += 1;
        self.network.arrivals.insert((at, self.network.last_arrival), arrival);
    }

    // --- the network ---

    fn connect(&mut self, id: BrowserId) {
        self.network.last_transport += 1;
        let transport = TransportId(self.network.last_transport);
        let line = Transport { browser: id, greeted: false, up: self.now, down: self.now, cut: false };
        self.network.transports.insert(transport, line);
        self.network.current.insert(id, transport);
        self.browser_mut(id).on_open();
        self.flush(id);
    }

    fn flush(&mut self, id: BrowserId) {
        let texts = self.browser_mut(id).take_out();
        let Some(transport) = self.network.current.get(&id).copied() else { return };
        for text in texts {
            let delay = self.chance.milliseconds(1, 120);
            let Some(line) = self.network.transports.get_mut(&transport) else { return };
            line.up = line.up.max(self.now + delay);
            let at = line.up;
            self.arrive(at, Arrival::AtServer(transport, text));
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::AtServer(transport, text) => self.at_server(transport, &text),
            Arrival::AtBrowser(transport, text) => {
                let Some(line) = self.network.transports.get(&transport) else { return };
                let id = line.browser;
                if line.cut || self.network.current.get(&id) != Some(&transport) || !self.browser(id).reads {
                    return;
                }
                self.browser_mut(id).on_text(&text);
                self.flush(id);
            }
            Arrival::ServerSeesEnd(transport) => {
                // A restarted server never had it.
                if self.network.transports.contains_key(&transport) {
                    self.handle(Input::Closed { transport });
                    if self
                        .network
                        .transports
                        .get(&transport)
                        .is_some_and(|line| self.network.current.get(&line.browser) != Some(&transport))
                    {
                        self.network.transports.remove(&transport);
                    }
                }
            }
            Arrival::BrowserSeesEnd(transport) => self.at_browsers_end(transport),
            Arrival::Connect(id) => {
                if !self.network.current.contains_key(&id) && !self.browser(id).is_out() {
                    self.connect(id);
                }
            }
        }
    }

    fn at_browsers_end(&mut self, transport: TransportId) {
        let Some(id) = self.network.current.iter().find(|(_, current)| **current == transport).map(|(id, _)| *id)
        else {
            return;
        };
        self.network.current.remove(&id);
        self.browser_mut(id).on_closed();
        if !self.browser(id).reads {
            // Whoever reads nothing does not see this either.
            return self.browser_mut(id).phase = Phase::Idle;
        }
        let pause = self.chance.milliseconds(50, 1500);
        self.arrive(self.now + pause, Arrival::Connect(id));
    }

    fn at_server(&mut self, transport: TransportId, text: &str) {
        let Some(line) = self.network.transports.get_mut(&transport).filter(|line| !line.cut) else { return };
        let greeted = std::mem::replace(&mut line.greeted, true);
        let input = if greeted {
            parse_frame(text).map(|frame| Input::Frame { transport, frame })
        } else {
            let client = ClientKind::Web;
            let origin = Origin { address: [192, 0, 2, 1].into(), host: "meet.example".into(), port: None, client };
            parse_hello(text).map(|hello| Input::Hello { transport, origin, hello, grants: None })
        };
        match input {
            Ok(input) => self.handle(input),
            Err(error) => {
                let note = serde_json::to_string(&error.into_note(false)).expect("a note can be printed");
                self.send(transport, note);
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle_input(self.reading(), input);
        self.drain_output();
    }

    fn drain_output(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { transport, frame } => {
                    self.send(transport, serde_json::to_string(&frame).expect("every frame can be printed"));
                }
                Output::Close { transport } => {
                    if let Some(line) = self.network.transports.get(&transport) {
                        let at = line.down.max(self.now) + Duration::from_millis(1);
                        self.arrive(at, Arrival::BrowserSeesEnd(transport));
                    }
                }
                Output::Reply { id, reply } => assert!(self.replies.insert(id, reply).is_none(), "replied twice"),
                Output::Record(record) => self.records.push(record),
                Output::Keep { room, kept: Some(kept) } => drop(self.kept.insert(room, kept)),
                Output::Keep { room, kept: None } => drop(self.kept.remove(&room)),
                Output::Revoke { user } => self.revoked.push(user),
                // There is no media plane in this world.
                Output::Media { .. } => {}
                Output::Hook(hook) => self.hooks.push(*hook),
            }
        }
    }

    fn send(&mut self, transport: TransportId, text: String) {
        let delay = self.chance.milliseconds(1, 120);
        let Some(line) = self.network.transports.get_mut(&transport) else { return };
        line.down = line.down.max(self.now + delay);
        let at = line.down;
        self.arrive(at, Arrival::AtBrowser(transport, text));
    }

    // --- what must hold when nothing is under way ---

    /// Everyone sees the same room, the server's counts are true, one is host, each pair has one agreed exchange.
    pub fn check(&mut self) {
        let rooms: std::collections::BTreeSet<String> =
            self.browsers.iter().filter(|b| b.phase == Phase::Live).map(|b| b.join.room.clone()).collect();
        for name in rooms {
            let view = self.show(&name).unwrap_or_else(|| panic!("`{name}` has somebody in it"));
            let live = self.browsers.iter().filter(|b| b.phase == Phase::Live && b.join.room == name && b.reads);
            let live: Vec<&Browser> = live.collect();
            check_view(&view);
            for browser in &live {
                let roster: Vec<Participant> = browser.roster.values().cloned().collect();
                let mut expected = view.participants.clone();
                expected.sort_by(|a, b| a.id.cmp(&b.id));
                assert_eq!(roster, expected, "the roster of {}", browser.me);
                assert_eq!(browser.room.as_ref(), Some(&view.room), "the room as {} sees it", browser.me);
            }
            check_pairs(&live);
        }
    }

    /// When all are gone nothing is left of them.
    pub fn check_empty(&self) {
        let stats = self.engine.stats();
        let held = [stats.rooms, stats.sessions, stats.participants, stats.transports, stats.tokens, stats.timers];
        assert_eq!(held, [0; 6], "rooms, sessions, participants, transports, tokens, timers");
        assert!(self.kept.is_empty(), "nothing is kept of a room that is over");
        self.check_records();
    }

    /// Each beginning has one end.
    fn check_records(&self) {
        let mut open = BTreeMap::<String, Vec<String>>::new();
        for record in &self.records {
            match record {
                Record::SessionStarted { session, .. } => {
                    assert!(open.insert(session.clone(), Vec::new()).is_none(), "{session} began twice");
                }
                Record::Joined { session, participant, .. } => {
                    let people = open.get_mut(session).expect("joined a running session");
                    assert!(!people.contains(participant), "{participant} joined twice");
                    people.push(participant.clone());
                }
                Record::Left { session, participant, .. } => {
                    let people = open.get_mut(session).expect("left a running session");
                    let at = people.iter().position(|p| p == participant).expect("left after having joined");
                    people.remove(at);
                }
                Record::SessionEnded { session, .. } => {
                    assert_eq!(open.remove(session), Some(Vec::new()), "{session} ended with nobody in it");
                }
                Record::Path { session, .. } => assert!(open.contains_key(session)),
            }
        }
        assert!(open.is_empty(), "sessions that never ended: {open:?}");
    }
}

fn check_view(view: &RoomView) {
    use tandem_api::signal::Presence;
    let mut counts = Counts::default();
    for person in view.participants.iter().filter(|p| p.state != Presence::Ringing) {
        counts.participants += 1;
        counts.audio += u32::from(person.media.audio);
        counts.video += u32::from(person.media.video);
        counts.screen += u32::from(person.media.screen);
    }
    assert_eq!(view.room.counts, counts, "the counts are true");
    let hosts = view.participants.iter().filter(|p| p.id == view.room.host && p.state != Presence::Ringing).count();
    assert_eq!(hosts, 1, "one of those who are in is host");
}

fn check_pairs(live: &[&Browser]) {
    use tandem_api::signal::Presence;
    let present: Vec<_> = live.iter().filter(|b| b.state() == Some(Presence::Here)).collect();
    for one in &present {
        for other in present.iter().filter(|other| other.me != one.me) {
            let agreed = one.agreed_with(&other.me);
            assert!(agreed.is_some(), "{} has no connection with {}: {:?}", one.me, other.me, one.peers.get(&other.me));
            assert_eq!(agreed, other.agreed_with(&one.me), "{} and {} agree", one.me, other.me);
        }
    }
}

/// Small limits, so that stories meet them.
pub fn config() -> Config {
    Config {
        resume: Duration::from_secs(30),
        max_rooms: 100,
        max_participants: 20,
        mesh: 4,
        relay_only: false,
        tokens: false,
        hooks: true,
        sdp_bytes: 20_000,
        chat_chars: 1000,
        frame_bytes: 65_536,
        backlog_events: 1000,
        backlog_bytes: 262_144,
        requests_per_second: 100,
        requests_burst: 400,
        relay: Some(tandem_engine::Relay {
            secret: b"secret".to_vec(),
            ttl: Duration::from_secs(43_200),
            port: 3478,
            tls_port: Some(5349),
            shares_https_port: false,
            host: None,
        }),
        extra_ice_servers: Vec::new(),
        planes: Vec::new(),
    }
}
