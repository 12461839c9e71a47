//! A fake browser: the session as our own client keeps it, a roster, and a peer connection to each other participant.
//!
//! It takes and gives text; `out` is what it wants sent on its transport.

use std::collections::{BTreeMap, VecDeque};

use tandem_api::signal::{
    ClientFrame, ClientKind, Entry, Event, Hello, Join, Joined, LeaveReason, Media, Note, Numbered, Outcome,
    Participant, Presence, Reason, Resume, Room, ServerFrame,
};

use crate::peer::{Peer, Signalling};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No transport.
    Idle,
    /// `join` or `resume` was said.
    Greeting,
    Live,
    /// Out for good.
    Out(LeaveReason),
    /// The server would not have it.
    Refused(Reason),
}

/// A browser as the engine sees it.
///
/// Size: a story looks at all of it.
pub struct Browser {
    pub phase: Phase,
    pub join: Join,
    pub me: String,
    pub room: Option<Room>,
    pub roster: BTreeMap<String, Participant>,
    pub peers: BTreeMap<String, Peer>,
    /// Lines of text that came, with who said them.
    pub heard: Vec<(String, String)>,
    pub refusals: Vec<(Reason, String)>,
    pub draining: bool,
    /// Where it was sent, and with which pass.
    pub moved: Option<(String, String)>,
    /// A page that hangs: nothing is read, nothing is acknowledged.
    pub reads: bool,
    token: Option<String>,
    last: Option<u64>,
    next_id: u64,
    pending: VecDeque<ClientFrame>,
    out: Vec<String>,
}

impl Browser {
    pub fn new(room: &str, name: &str, entry: Entry) -> Self {
        let media = Media { audio: true, video: false, screen: false };
        Self {
            phase: Phase::Idle,
            join: Join {
                room: room.into(),
                name: name.into(),
                hide_address: false,
                media,
                entry,
                encrypted: false,
                token: None,
            },
            me: String::new(),
            room: None,
            roster: BTreeMap::new(),
            peers: BTreeMap::new(),
            heard: Vec::new(),
            refusals: Vec::new(),
            draining: false,
            moved: None,
            reads: true,
            token: None,
            last: None,
            next_id: 1,
            pending: VecDeque::new(),
            out: Vec::new(),
        }
    }

    pub fn is_out(&self) -> bool {
        matches!(self.phase, Phase::Out(_) | Phase::Refused(_))
    }

    pub fn state(&self) -> Option<Presence> {
        self.roster.get(&self.me).map(|me| me.state)
    }

    pub fn take_out(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out)
    }

    /// A transport is open.
    pub fn on_open(&mut self) {
        self.phase = Phase::Greeting;
        self.out.clear();
        let hello = match &self.token {
            None => Hello::Join(self.join.clone()),
            Some(token) => Hello::Resume(Resume { token: token.clone(), last: self.last, media: self.join.media }),
        };
        self.print(&hello);
    }

    /// The transport is gone.
    pub fn on_closed(&mut self) {
        if !self.is_out() {
            self.phase = Phase::Idle;
        }
        self.out.clear();
    }

    /// The page begins anew; only the token was stored.
    pub fn reload(&mut self) {
        let fresh = Self::new(&self.join.room, &self.join.name, self.join.entry);
        let old = std::mem::replace(self, fresh);
        self.token = old.token;
        self.heard = old.heard;
        self.join.hide_address = old.join.hide_address;
    }

    /// A request with whatever number is its turn.
    pub fn ask(&mut self, frame: impl FnOnce(u64) -> ClientFrame) {
        let frame = frame(self.next_id);
        self.next_id += 1;
        if self.phase == Phase::Live {
            self.print(&frame);
        }
        self.pending.push_back(frame);
    }

    /// Whatever it likes, past all bookkeeping.
    pub fn shout(&mut self, text: &str) {
        self.out.push(text.to_owned());
    }

    pub fn on_text(&mut self, text: &str) {
        let frame: ServerFrame = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        match frame {
            ServerFrame::Event(numbered) => self.on_event(numbered),
            ServerFrame::Note(note) => self.on_note(note),
        }
    }

    fn print<T: serde::Serialize>(&mut self, value: &T) {
        self.out.push(serde_json::to_string(value).expect("every frame can be printed"));
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Resumed { received } => {
                assert_eq!(self.phase, Phase::Greeting, "`resumed` answers a greeting");
                self.phase = Phase::Live;
                let unprocessed: Vec<_> =
                    self.pending.iter().filter(|f| f.id().is_some_and(|id| id > received)).cloned().collect();
                for frame in unprocessed {
                    self.print(&frame);
                }
            }
            Note::Refused { reason, detail, fatal } => {
                if fatal && self.phase == Phase::Greeting && reason != Reason::Draining {
                    self.phase = Phase::Refused(reason);
                }
                self.refusals.push((reason, detail));
            }
            Note::Draining { .. } => self.draining = true,
            Note::Seen(_) | Note::Pong {} | Note::Speakers { .. } | Note::Layers { .. } | Note::Caption { .. } => {}
        }
    }

    fn on_event(&mut self, Numbered { n, event }: Numbered) {
        let event = std::sync::Arc::unwrap_or_clone(event);
        if let Event::Joined(joined) = event {
            assert_eq!(n, 1, "`joined` begins a numbering");
            self.last = Some(1);
            self.on_joined(*joined);
        } else {
            assert_eq!(Some(n), self.last.map(|last| last + 1), "{}: missing, doubled or out of order", self.join.name);
            self.last = Some(n);
            self.on_change(event);
        }
        self.print(&ClientFrame::Ack { n });
    }

    fn on_joined(&mut self, joined: Joined) {
        assert_eq!(self.phase, Phase::Greeting, "`joined` answers a greeting");
        let restored = !self.me.is_empty();
        if restored {
            assert_eq!(self.me, joined.you, "the same identity as before");
        }
        self.phase = Phase::Live;
        self.me = joined.you;
        self.token = Some(joined.resume_token);
        self.room = Some(joined.room);
        self.draining = false;
        self.roster = joined.participants.into_iter().map(|p| (p.id.clone(), p)).collect();
        self.next_id = 1;
        // What was not answered is asked again, but for what was meant for a connection: those are made again below.
        let pending = std::mem::take(&mut self.pending);
        for frame in pending {
            match frame {
                ClientFrame::Chat { text, to, .. } => self.ask(|id| ClientFrame::Chat { id, text, to }),
                ClientFrame::Media { media, .. } => self.ask(|id| ClientFrame::Media { id, media }),
                ClientFrame::Leave { .. } => self.ask(|id| ClientFrame::Leave { id }),
                _ => {}
            }
        }
        self.peers.retain(|id, peer| self.roster.get(id).is_some_and(|p| p.epoch == peer.epoch));
        let half_done: Vec<_> = self.peers.keys().cloned().collect();
        for id in half_done {
            self.offer(&id);
        }
        self.connect();
    }

    fn on_change(&mut self, event: Event) {
        match event {
            Event::Joined(_) => {}
            Event::Reply { to, outcome } => self.on_reply(to, outcome),
            Event::ParticipantJoined { participant } => {
                let old = self.roster.insert(participant.id.clone(), participant);
                assert!(old.is_none(), "joined twice");
                self.connect();
            }
            Event::ParticipantChanged { participant } => {
                let old = self.roster.insert(participant.id.clone(), participant);
                assert!(old.is_some(), "changed without having joined");
                self.connect();
            }
            Event::ParticipantLeft { participant, .. } => {
                assert!(self.roster.remove(&participant).is_some(), "left without having joined");
                self.peers.remove(&participant);
            }
            Event::RoomChanged { room } => self.room = Some(room),
            Event::Moved { room, pass } => self.moved = Some((room, pass)),
            Event::Offer { from, sdp } => self.on_offer(&from, &sdp),
            Event::Answer { from, sdp } => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.on_answer(&sdp);
                }
            }
            Event::Candidate { from, candidate } => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.candidates.push(candidate.candidate);
                }
            }
            Event::Chat { from, text, .. } => self.heard.push((from, text)),
            Event::Message { from, data } => self.heard.push((from, data.text().to_owned())),
            Event::IceServers { .. }
            | Event::MediaAnswer { .. }
            | Event::MediaEnded { .. }
            | Event::Watched { .. }
            | Event::Muted { .. } => {}
            Event::Out { reason } => {
                self.phase = Phase::Out(reason);
                self.peers.clear();
            }
        }
    }

    fn on_reply(&mut self, to: u64, outcome: Outcome) {
        let frame = self.pending.pop_front().expect("a reply answers a request");
        assert_eq!(frame.id(), Some(to), "replies come in the order of the requests");
        if let Outcome::Refused { reason, detail } = outcome {
            self.refusals.push((reason, detail));
        }
    }

    /// A connection to everyone who is in, if we are; none to an earlier life of anybody.
    fn connect(&mut self) {
        let Some(me) = self.roster.get(&self.me).cloned() else { return };
        if me.state == Presence::Ringing {
            return;
        }
        self.peers.retain(|id, peer| self.roster.get(id).is_some_and(|p| p.epoch == peer.epoch));
        let wanted: Vec<_> = self
            .roster
            .values()
            .filter(|p| p.id != self.me && p.state != Presence::Ringing && p.client == ClientKind::Web)
            .filter(|p| !self.peers.contains_key(&p.id))
            .map(|p| (p.id.clone(), p.epoch))
            .collect();
        for (id, epoch) in wanted {
            self.peers.insert(id.clone(), Peer::new(&me.id, me.epoch, &id, epoch));
            self.offer(&id);
        }
    }

    fn offer(&mut self, to: &str) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        let (epoch, sdp, candidate) = (peer.epoch, peer.offer(), peer.next_candidate());
        let to = to.to_owned();
        let target = to.clone();
        self.ask(|id| ClientFrame::Offer { id, to, epoch, sdp });
        self.ask(|id| ClientFrame::Candidate { id, to: target, epoch, candidate });
    }

    fn on_offer(&mut self, from: &str, sdp: &str) {
        self.connect();
        let Some(peer) = self.peers.get_mut(from) else { return };
        let epoch = peer.epoch;
        if let Some(sdp) = peer.on_offer(sdp) {
            self.ask(|id| ClientFrame::Answer { id, to: from.to_owned(), epoch, sdp });
        }
    }

    /// What both ends of a connection agreed on, once nothing is under way.
    pub fn agreed_with(&self, other: &str) -> Option<&str> {
        let peer = self.peers.get(other)?;
        if peer.signalling == Signalling::Stable { peer.agreed.as_deref() } else { None }
    }
}
