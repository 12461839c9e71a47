//! A fake shell around one engine: numbers requests, collects outputs, moves time.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod offers;

use std::time::{Duration, Instant};

use tandem_api::signal::{
    Candidate, ClientFrame, ClientKind, Entry, Event, Hello, IceServer, Join, Joined, Media, Note, Outcome,
    Permissions, Presence, Reason, ServerFrame,
};
use tandem_engine::{
    Command, CommandId, Config, CreateRoom, Engine, Grants, Input, Now, Origin, Output, Relay, Reply, RoomKept,
    TransportId,
};

pub const START_MS: u64 = 1_800_000_000_000;

pub struct House {
    pub engine: Engine,
    pub now: Now,
    pub all: Vec<Output>,
    pub next_id: std::collections::BTreeMap<u64, u64>,
}

impl House {
    pub fn new() -> Self {
        Self::with(config())
    }

    #[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
    pub fn with(config: Config) -> Self {
        let now = Now { instant: Instant::now(), unix_ms: START_MS };
        Self { engine: Engine::new(config, [3; 32]), now, all: Vec::new(), next_id: Default::default() }
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle_input(self.now, input);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.all.push(output);
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_ms += u64::try_from(time.as_millis()).expect("fits");
        self.engine.handle_timeout(self.now);
        self.drain();
    }

    pub fn hello(&mut self, transport: u64, hello: Hello) {
        self.input(Input::Hello { transport: TransportId(transport), origin: origin(), hello, grants: None });
    }

    pub fn enter(&mut self, transport: u64, room: &str, name: &str, grants: Grants) {
        let (hello, grants) = (Hello::Join(join(room, name)), Some(Box::new(grants)));
        self.input(Input::Hello { transport: TransportId(transport), origin: origin(), hello, grants });
    }

    pub fn frame(&mut self, transport: u64, frame: ClientFrame) {
        self.input(Input::Frame { transport: TransportId(transport), frame });
    }

    pub fn closed(&mut self, transport: u64) {
        self.input(Input::Closed { transport: TransportId(transport) });
    }

    pub fn join(&mut self, transport: u64, room: &str, name: &str) -> Joined {
        self.hello(transport, Hello::Join(join(room, name)));
        self.joined(transport)
    }

    pub fn joined(&self, transport: u64) -> Joined {
        let find = |event| if let Event::Joined(joined) = event { Some(*joined) } else { None };
        self.events(transport).into_iter().find_map(find).expect("it is in")
    }

    pub fn try_ask(&mut self, transport: u64, frame: impl FnOnce(u64) -> ClientFrame) -> Option<Outcome> {
        let next = self.next_id.entry(transport).or_insert(0);
        *next += 1;
        let id = *next;
        let before = self.all.len();
        self.frame(transport, frame(id));
        self.all[before..].iter().find_map(|output| match output {
            Output::Send { transport: to, frame: ServerFrame::Event(event) } if to.0 == transport => {
                match &*event.event {
                    Event::Reply { to, outcome } if *to == id => Some(outcome.clone()),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    pub fn ask(&mut self, transport: u64, frame: impl FnOnce(u64) -> ClientFrame) -> Outcome {
        self.try_ask(transport, frame).expect("each request has a reply")
    }

    pub fn reason(&mut self, transport: u64, frame: impl FnOnce(u64) -> ClientFrame) -> Reason {
        match self.ask(transport, frame) {
            Outcome::Refused { reason, .. } => reason,
            Outcome::Ok => panic!("it was not refused"),
        }
    }

    pub fn command(&mut self, command: Command) -> Reply {
        self.input(Input::Command { id: CommandId(1), command });
        let find = |output: &Output| if let Output::Reply { reply, .. } = output { Some(reply.clone()) } else { None };
        self.all.iter().rev().find_map(find).expect("each command has an answer")
    }

    pub fn frames(&self, transport: u64) -> impl Iterator<Item = &ServerFrame> {
        self.all.iter().filter_map(move |output| match output {
            Output::Send { transport: to, frame } if to.0 == transport => Some(frame),
            _ => None,
        })
    }

    pub fn events(&self, transport: u64) -> Vec<Event> {
        self.frames(transport)
            .filter_map(|frame| if let ServerFrame::Event(event) = frame { Some((*event.event).clone()) } else { None })
            .collect()
    }

    pub fn notes(&self, transport: u64) -> Vec<Note> {
        self.frames(transport)
            .filter_map(|frame| if let ServerFrame::Note(note) = frame { Some(note.clone()) } else { None })
            .collect()
    }

    /// The last word on a transport, which was then closed.
    pub fn refused(&self, transport: u64) -> (Reason, String) {
        assert!(self.all.contains(&Output::Close { transport: TransportId(transport) }), "it was closed");
        match self.notes(transport).pop() {
            Some(Note::Refused { reason, detail, fatal: true }) => (reason, detail),
            other => panic!("{other:?}"),
        }
    }

    pub fn kept(&self, name: &str) -> Option<RoomKept> {
        let of_room = |output: &Output| match output {
            Output::Keep { room, kept } if room == name => Some(kept.clone()),
            _ => None,
        };
        self.all.iter().rev().find_map(of_room).flatten()
    }

    pub fn state(&mut self, room: &str, who: &str) -> Option<Presence> {
        match self.command(Command::ShowRoom { name: room.into() }) {
            Reply::Room(view) => view.participants.into_iter().find(|p| p.id == who).map(|p| p.state),
            _ => None,
        }
    }

    pub fn clear(&mut self) {
        self.all.clear();
    }
}

pub fn join(room: &str, name: &str) -> Join {
    Join {
        room: room.into(),
        name: name.into(),
        hide_address: false,
        media: Media::default(),
        entry: Entry::Open,
        encrypted: false,
        token: None,
    }
}

pub fn wanted(name: Option<&str>) -> CreateRoom {
    CreateRoom {
        name: name.map(str::to_owned),
        entry: Entry::Open,
        relay_only: false,
        max_participants: None,
        tokens: false,
        watch_only: false,
        metadata: None,
    }
}

/// What a token says of somebody who may do the usual.
pub fn grants(identity: &str) -> Grants {
    let (identity, may) = (Some(identity.to_owned()), Permissions::USUAL);
    Grants { room: None, identity, name: None, metadata: None, may }
}

pub fn offer(id: u64, to: &str, epoch: u32, sdp: &str) -> ClientFrame {
    ClientFrame::Offer { id, to: to.into(), epoch, sdp: sdp.into() }
}

pub fn trickle(id: u64, to: &str, candidate: &str) -> ClientFrame {
    let candidate =
        Candidate { candidate: candidate.into(), sdp_mid: None, sdp_m_line_index: Some(0), username_fragment: None };
    ClientFrame::Candidate { id, to: to.into(), epoch: 1, candidate }
}

pub fn origin() -> Origin {
    Origin { address: [192, 0, 2, 1].into(), host: "2001:db8::1".into(), port: Some(8443), client: ClientKind::Web }
}

pub fn config() -> Config {
    Config {
        resume: Duration::from_secs(30),
        max_rooms: 100,
        max_participants: 10,
        mesh: 4,
        relay_only: false,
        tokens: false,
        hooks: false,
        sdp_bytes: 100_000,
        chat_chars: 1000,
        frame_bytes: 262_144,
        backlog_events: 100,
        backlog_bytes: 262_144,
        requests_per_second: 10,
        requests_burst: 20,
        relay: Some(Relay {
            secret: b"secret".to_vec(),
            ttl: Duration::from_secs(3600),
            port: 3478,
            tls_port: Some(5349),
            shares_https_port: false,
            host: None,
        }),
        planes: Vec::new(),
        extra_ice_servers: vec![IceServer { urls: vec!["stun:stun.example".into()], username: None, credential: None }],
    }
}
