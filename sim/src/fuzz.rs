//! Bodies of the fuzz targets for signalling. `tests/corpus.rs` replays their corpus on every commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem_api::signal::{
    Candidate, ClientFrame, ClientKind, Entry, Event, Hello, Join, Json, Media, Numbered, PathKind, Permissions,
    Resume, ServerFrame, parse_frame, parse_hello,
};
use tandem_engine::{
    Command, CommandId, CreateRoom, Engine, Grants, Input, Now, Origin, Output, ParticipantChange, RoomChange,
    RoomKept, TransportId,
};

use crate::world::config;

/// Any bytes as text of a transport: understood or refused, and what was understood survives being printed.
pub fn signal_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(hello) = parse_hello(text) {
        let printed = serde_json::to_string(&hello).expect("a hello can be printed");
        assert_eq!(parse_hello(&printed).as_ref(), Ok(&hello), "{printed}");
    }
    match parse_frame(text) {
        Ok(frame) => {
            let printed = serde_json::to_string(&frame).expect("a frame can be printed");
            assert_eq!(parse_frame(&printed).as_ref(), Ok(&frame), "{printed}");
        }
        Err(error) => assert!(error.detail.chars().count() < 1000, "a refusal is short"),
    }
}

/// Any sequence of inputs: the engine does not panic, numbers events without gaps, answers each command once, and
/// forgets everything when all are gone.
pub fn engine_sequence(bytes: &[u8]) {
    let mut run = Run::new(bytes);
    while !run.bytes.is_empty() {
        run.act();
    }
    run.everyone_goes();
}

struct Run<'a> {
    bytes: &'a [u8],
    engine: Engine,
    now: Now,
    /// Last event number of each transport.
    seen: BTreeMap<TransportId, u64>,
    /// Next request number of each transport, as an honest client would count.
    next_id: BTreeMap<TransportId, u64>,
    last_transport: u64,
    tokens: Vec<String>,
    passes: Vec<String>,
    kept: BTreeMap<String, RoomKept>,
    commands: u64,
    answers: u64,
}

impl<'a> Run<'a> {
    #[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            engine: Engine::new(small(), [1; 32]),
            now: Now { instant: Instant::now(), unix_ms: 1_800_000_000_000 },
            seen: BTreeMap::new(),
            next_id: BTreeMap::new(),
            last_transport: 0,
            tokens: Vec::new(),
            passes: Vec::new(),
            kept: BTreeMap::new(),
            commands: 0,
            answers: 0,
        }
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn below(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn text<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        let n = usize::from(self.byte());
        texts.get(n % texts.len()).copied().unwrap_or_default()
    }

    fn act(&mut self) {
        match self.below(12) {
            0 | 1 => self.join(),
            2 => self.resume(),
            3..=7 => self.frame(),
            8 => {
                let transport = self.transport();
                self.feed(Input::Closed { transport });
                // A number is not used again by a shell; here it may be, and what came by it before does not count.
                self.seen.remove(&transport);
            }
            9 => self.command(),
            10 => {
                let seconds = u64::from(self.byte());
                self.pass(Duration::from_millis(seconds * 200));
            }
            _ => match self.below(8) {
                0 => self.feed(Input::Drain { reconnect: Duration::from_secs(1) }),
                1 => self.restart(),
                _ => self.pass(Duration::from_millis(10)),
            },
        }
    }

    fn join(&mut self) {
        self.last_transport += 1;
        let transport = TransportId(self.last_transport);
        let join = Join {
            room: self.text(ROOMS).to_owned(),
            name: self.text(NAMES).to_owned(),
            hide_address: self.flag(),
            media: self.media(),
            entry: if self.flag() { Entry::Ring } else { Entry::Open },
            encrypted: self.flag(),
            token: self.pass_text(),
        };
        let origin = self.origin();
        let grants = self.grants();
        self.feed(Input::Hello { transport, origin, hello: Hello::Join(join), grants });
    }

    fn resume(&mut self) {
        let transport = if self.below(4) == 0 {
            self.transport()
        } else {
            self.last_transport += 1;
            TransportId(self.last_transport)
        };
        let at = usize::from(self.byte());
        let token = self.tokens.get(at % self.tokens.len().max(1)).cloned().unwrap_or_default();
        let last = if self.flag() { Some(u64::from(self.byte())) } else { None };
        let resume = Resume { token, last, media: self.media() };
        let origin = self.origin();
        self.feed(Input::Hello { transport, origin, hello: Hello::Resume(resume), grants: None });
    }

    fn frame(&mut self) {
        let transport = self.transport();
        let next = self.next_id.entry(transport).or_insert(1);
        let mut id = *next;
        *next += 1;
        if self.below(16) == 0 {
            id = u64::from(self.byte());
        }
        let frame = self.some_frame(id, transport);
        self.feed(Input::Frame { transport, frame });
    }

    fn some_frame(&mut self, id: u64, transport: TransportId) -> ClientFrame {
        let who = self.text(PEOPLE).to_owned();
        let epoch = u32::from(self.below(3));
        match self.below(26) {
            0 => ClientFrame::Ack { n: self.seen.get(&transport).copied().unwrap_or_default() },
            1 => ClientFrame::Ack { n: u64::from(self.byte()) },
            2 => ClientFrame::Ping {},
            3 => ClientFrame::Leave { id },
            4 => ClientFrame::Offer { id, to: who, epoch, sdp: self.text(SDPS).to_owned() },
            5 => ClientFrame::Answer { id, to: who, epoch, sdp: self.text(SDPS).to_owned() },
            6 => ClientFrame::Candidate { id, to: who, epoch, candidate: self.candidate() },
            7 => ClientFrame::Message {
                id,
                to: self.flag().then_some(who),
                data: Json::from(&json!([self.byte(), {"a": null}])),
            },
            8 => ClientFrame::Chat { id, text: self.text(NAMES).to_owned(), to: self.flag().then_some(who) },
            9 => ClientFrame::Media { id, media: self.media() },
            10 => ClientFrame::Rename { id, name: self.text(NAMES).to_owned() },
            11 => ClientFrame::Path { id, peer: who, path: if self.flag() { PathKind::P2p } else { PathKind::Relay } },
            12 => ClientFrame::IceServers { id },
            13 | 14 => ClientFrame::Accept { id, participant: who },
            15 => ClientFrame::Decline { id, participant: who },
            16 => ClientFrame::Lock { id, locked: self.flag() },
            17 => ClientFrame::Remove { id, participant: who },
            18 => ClientFrame::Permit { id, participant: who, may: self.permissions() },
            19 => ClientFrame::Newcomers { id, watch_only: self.flag() },
            20 => ClientFrame::BreakoutOpen { id, rooms: self.below(4), assign: self.flag() },
            21 => ClientFrame::BreakoutClose { id },
            22 | 23 => {
                let from = self.flag().then(|| self.text(ROOMS).to_owned());
                ClientFrame::Move { id, participant: who, from, to: self.text(ROOMS).to_owned() }
            }
            24 => ClientFrame::Caption { id, line: 1, text: who, done: self.flag(), language: "en".into() },
            _ if self.flag() => ClientFrame::HandOver { id, to: who },
            _ => ClientFrame::End { id },
        }
    }

    fn command(&mut self) {
        let name = self.text(ROOMS).to_owned();
        let command = match self.below(8) {
            0 => Command::ListRooms { after: self.flag().then_some(name), limit: usize::from(self.byte()) },
            1 => Command::ShowRoom { name },
            2 => Command::CreateRoom(CreateRoom {
                name: self.flag().then_some(name),
                entry: if self.flag() { Entry::Ring } else { Entry::Open },
                relay_only: self.flag(),
                max_participants: self.flag().then_some(2),
                tokens: self.flag(),
                watch_only: self.flag(),
                metadata: None,
            }),
            3 => Command::DeleteRoom { name },
            4 => Command::MoveParticipant {
                room: name,
                participant: self.text(PEOPLE).to_owned(),
                to: self.text(ROOMS).to_owned(),
            },
            5 => Command::ChangeRoom {
                room: name,
                change: RoomChange {
                    tokens: Some(self.flag()),
                    watch_only: Some(self.flag()),
                    ..RoomChange::default()
                },
            },
            6 => Command::ChangeParticipant {
                room: name,
                participant: self.text(PEOPLE).to_owned(),
                change: ParticipantChange { may: Some(self.permissions()), ..ParticipantChange::default() },
            },
            _ => Command::RemoveParticipant { room: name, participant: self.text(PEOPLE).to_owned() },
        };
        self.ask(command);
    }

    fn ask(&mut self, command: Command) {
        self.commands += 1;
        self.feed(Input::Command { id: CommandId(self.commands), command });
        assert_eq!(self.answers, self.commands, "each command has one answer");
    }

    fn restart(&mut self) {
        self.engine = Engine::new(small(), [2; 32]);
        let kept = self.kept.values().cloned().collect();
        self.feed(Input::Restore(kept));
    }

    /// Time goes on, from one deadline to the next.
    fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now.instant = self.now.instant.max(at);
            self.engine.handle_timeout(self.now);
            self.drain();
            assert!(
                self.engine.poll_timeout().is_none_or(|next| next > self.now.instant),
                "no deadline stays in the past"
            );
        }
        self.now.instant = end;
    }

    fn everyone_goes(&mut self) {
        for n in 1..=self.last_transport {
            self.feed(Input::Closed { transport: TransportId(n) });
        }
        self.pass(Duration::from_secs(61));
        for name in self.kept.keys().cloned().collect::<Vec<_>>() {
            self.ask(Command::DeleteRoom { name });
        }
        let stats = self.engine.stats();
        let held = [stats.rooms, stats.sessions, stats.participants, stats.transports, stats.tokens, stats.timers];
        assert_eq!(held, [0; 6], "rooms, sessions, participants, transports, tokens, timers");
        assert!(self.kept.is_empty(), "nothing is kept of what is over: {:?}", self.kept.keys());
    }

    fn feed(&mut self, input: Input) {
        self.engine.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send { transport, frame: ServerFrame::Event(event) } => self.on_event(transport, &event),
                Output::Reply { .. } => self.answers += 1,
                Output::Keep { room, kept: Some(kept) } => drop(self.kept.insert(room, kept)),
                Output::Keep { room, kept: None } => drop(self.kept.remove(&room)),
                Output::Close { transport } => drop(self.seen.remove(&transport)),
                Output::Send { .. }
                | Output::Record(_)
                | Output::Revoke { .. }
                | Output::Media { .. }
                | Output::Hook(_) => {}
            }
        }
    }

    fn on_event(&mut self, transport: TransportId, event: &Numbered) {
        if let Event::Moved { pass, .. } = &*event.event {
            self.passes.push(pass.clone());
        }
        if let Event::Joined(joined) = &*event.event {
            assert_eq!(event.n, 1, "`joined` begins a numbering");
            self.tokens.push(joined.resume_token.clone());
            self.next_id.insert(transport, 1);
        } else if let Some(last) = self.seen.get(&transport) {
            assert_eq!(event.n, last + 1, "no event is missing, doubled or out of order");
        }
        self.seen.insert(transport, event.n);
    }

    fn transport(&mut self) -> TransportId {
        TransportId(u64::from(self.byte()) % (self.last_transport + 1))
    }

    fn media(&mut self) -> Media {
        let bits = self.byte();
        Media { audio: bits & 1 != 0, video: bits & 2 != 0, screen: bits & 4 != 0 }
    }

    fn permissions(&mut self) -> Permissions {
        Permissions { publish: self.media(), subscribe: self.flag(), data: self.flag(), admin: self.flag() }
    }

    /// One that somebody was given, or none.
    fn pass_text(&mut self) -> Option<String> {
        let at = usize::from(self.byte());
        self.passes.get(at % (self.passes.len() + 3)).cloned()
    }

    fn grants(&mut self) -> Option<Box<Grants>> {
        (self.below(4) == 0).then(|| {
            let identity = Some(self.text(PEOPLE).to_owned());
            Box::new(Grants { room: None, identity, name: None, metadata: None, may: self.permissions() })
        })
    }

    fn candidate(&mut self) -> Candidate {
        let candidate = self.text(CANDIDATES).to_owned();
        Candidate { candidate, sdp_mid: Some("0".into()), sdp_m_line_index: None, username_fragment: None }
    }

    fn origin(&mut self) -> Origin {
        let client = if self.below(5) == 0 { ClientKind::Classic } else { ClientKind::Web };
        Origin { address: [192, 0, 2, 1].into(), host: "2001:db8::1".into(), port: Some(443), client }
    }
}

/// Limits so small that they are met.
fn small() -> tandem_engine::Config {
    tandem_engine::Config {
        max_rooms: 3,
        max_participants: 4,
        backlog_events: 40,
        requests_burst: 30,
        requests_per_second: 20,
        ..config()
    }
}

const ROOMS: &[&str] = &["a", "b", "C", "d", "a-1", "a-2", "b-1", "", "x y", "\u{202e}"];
const NAMES: &[&str] = &["Ann", "Bo", " ", "\u{200b}", "Zoë \u{1f469}\u{200d}\u{1f680}"];
const PEOPLE: &[&str] = &["p1", "p2", "p3", "p4", "p5", "p0", "", "p01"];
const SDPS: &[&str] = &[
    "v=0\r\ns=-\r\nm=audio 9 RTP/AVP 0\r\nc=IN IP4 192.0.2.7\r\na=candidate:1 1 udp 1 192.0.2.7 5 typ host\r\n",
    "v=0",
    "",
    "nonsense",
];
const CANDIDATES: &[&str] = &[
    "candidate:1 1 udp 1 192.0.2.7 5 typ host",
    "candidate:1 1 udp 1 203.0.113.9 5 typ relay raddr 192.0.2.7 rport 6",
    "",
    "nonsense",
];
