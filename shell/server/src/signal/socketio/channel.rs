//! Namespace `/<channel>` of the classic vocabulary: a participant of the room of that name.
//!
//! ```text
//!  client                                   room
//!   connects                 ── join ──►                      ◄── connected, or connect_error
//!   message {sender, …}      ── message to everyone ──►       ◄── message {sender, …}
//!   disconnects              ── leave ──►                     ◄── user-left <sender>
//! ```
//!
//! Clients of Socket.IO 4 break off the connection when a server sends an event named `connect`: for them `connect` is the
//! answer to their own request. It is given when the participant is in the room, and not before.
//!
//! A page of 2015 wraps what it says as `{sender, data: {sender, …}}` and expects the others to get the inner object,
//! as its server did. What has no such inner object goes to the others as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use tandem_api::signal::{
    ClientFrame, ClientKind, Event, Hello, Join, Json, Note, Numbered, Outcome, ParseError, Reason, ServerFrame,
};

use super::classic::{CALLED, Classic};
use super::mailbox::{Inbox, Mailbox, Said, TooSlow, emit};
use crate::engine::{After, Batch, Outbox};
use crate::signal::session::{Onward, Session};
use crate::signal::{Shared, origin};

const MESSAGE: &str = "message";
const REFUSED: &str = "refused";
/// Name of somebody who has not said one yet.
const NAMELESS: &str = "guest";

/// Enters the room before the client is told that it is connected.
pub(super) async fn prepare(socket: SocketRef, classic: Arc<Classic>) -> Result<(), String> {
    classic.enter_space(socket.id, socket.ns())?;
    // Also when the client goes away before it is connected: the socket's extensions die with it.
    let space = Arc::new(InSpace { classic: Arc::clone(&classic), socket: socket.id, path: socket.ns().to_owned() });
    socket.extensions.insert(space);
    Mailbox::attach(&socket, &[MESSAGE]);

    let channel = socket.ns().trim_start_matches('/').to_owned();
    let sender = classic.sender(socket.id, &channel).filter(|sender| !sender.is_empty());
    let origin = origin::of_request(socket.req_parts(), ClientKind::Classic);
    let mut session = Session::new(Arc::clone(&classic.shared), origin, None);
    let named = sender.is_some();
    let join = Join {
        room: channel,
        name: sender.unwrap_or_else(|| NAMELESS.to_owned()),
        hide_address: false,
        media: tandem_api::signal::Media::default(),
        entry: tandem_api::signal::Entry::Open,
        encrypted: false,
        token: None,
    };
    let _: Onward = session.handle_hello(Hello::Join(join));
    let first = session.transport.outbox.next().await;
    let refused = first.frames.iter().find_map(|frame| match frame {
        ServerFrame::Note(Note::Refused { detail, .. }) => Some(detail.clone()),
        _ => None,
    });
    if let Some(detail) = refused {
        return Err(detail);
    }
    socket.extensions.insert(Entered(Arc::new(Mutex::new(Some(Seat { session, first, named })))));
    Ok(())
}

/// A participant whose client is about to be told.
#[derive(Clone)]
struct Entered(Arc<Mutex<Option<Seat>>>);

struct Seat {
    session: Session,
    /// What the room said first.
    first: Batch,
    named: bool,
}

/// A socket counts for its namespace as long as this lives.
struct InSpace {
    classic: Arc<Classic>,
    socket: socketioxide::socket::Sid,
    path: String,
}

impl Drop for InSpace {
    fn drop(&mut self) {
        self.classic.leave_space(self.socket, &self.path);
    }
}

pub(super) fn start(socket: SocketRef, classic: &Arc<Classic>) {
    let Some(inbox) = Mailbox::take(&socket) else { return };
    let Some(Entered(seat)) = socket.extensions.remove::<Entered>() else { return };
    let Some(Seat { session, first, named }) = seat.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    // It may have said its name while it was entering.
    let channel = socket.ns().trim_start_matches('/');
    if let Some(sender) = classic.sender(socket.id, channel).filter(|sender| !named && !sender.is_empty()) {
        Mailbox::tell(&socket, CALLED, Value::String(sender));
    }
    let member = Member {
        outbox: Arc::clone(&session.transport.outbox),
        session,
        socket,
        named,
        next_id: 1,
        names: BTreeMap::new(),
        shared: Arc::clone(&classic.shared),
    };
    tokio::spawn(member.serve(first, inbox));
}

/// One classic client in a room.
struct Member {
    session: Session,
    outbox: Arc<Outbox>,
    socket: SocketRef,
    /// Its name on the roster is what it calls itself.
    named: bool,
    /// Of the next request.
    next_id: u64,
    /// What the others call themselves, by identity.
    names: BTreeMap<String, String>,
    shared: Arc<Shared>,
}

impl Member {
    async fn serve(mut self, first: Batch, mut inbox: Inbox) {
        let mut go_on = self.write(first).await;
        while go_on.is_ok() {
            go_on = tokio::select! {
                biased;
                batch = self.outbox.next() => self.write(batch).await,
                said = inbox.next() => match said {
                    Some(said) => { self.hear(said); Ok(()) }
                    None => Err(TooSlow),
                },
            };
        }
        let id = self.take_id();
        let _: Onward = self.session.handle_frame(ClientFrame::Leave { id });
        drop(self.session);
        let space = self.socket.extensions.remove::<Arc<InSpace>>();
        // Gone already, as a rule.
        let _ = self.socket.disconnect();
        drop(space);
    }

    fn hear(&mut self, said: Said) {
        if said.event == CALLED {
            if let Ok(Value::String(sender)) = said.data {
                self.call_itself(sender);
            }
            return;
        }
        let parsed = said.data.and_then(parse_message);
        let (sender, data) = match parsed {
            Ok(parsed) => parsed,
            Err(detail) => {
                let _: Onward = self.session.misunderstood(ParseError { reason: Reason::Malformed, detail });
                return;
            }
        };
        self.call_itself(sender);
        let id = self.take_id();
        let _: Onward = self.session.handle_frame(ClientFrame::Message { id, to: None, data: Json::from(&data) });
    }

    /// The first name it gives is the one on the roster.
    fn call_itself(&mut self, name: String) {
        if !self.named {
            self.named = true;
            let id = self.take_id();
            let _: Onward = self.session.handle_frame(ClientFrame::Rename { id, name });
        }
    }

    async fn write(&mut self, batch: Batch) -> Result<(), TooSlow> {
        let mut seen = None;
        for frame in &batch.frames {
            if let ServerFrame::Event(Numbered { n, .. }) = frame {
                seen = Some(*n);
            }
            if let Some((event, data)) = self.translate(frame) {
                emit(&self.socket, &self.outbox, event, &data, self.shared.config.write_timeout).await?;
            }
        }
        if let Some(n) = seen {
            let _: Onward = self.session.handle_frame(ClientFrame::Ack { n });
        }
        if batch.after == After::Wait { Ok(()) } else { Err(TooSlow) }
    }

    /// What a classic client understands of it.
    fn translate(&mut self, frame: &ServerFrame) -> Option<(&'static str, Argument)> {
        let event = match frame {
            ServerFrame::Event(Numbered { event, .. }) => event,
            ServerFrame::Note(Note::Refused { reason, detail, .. }) => return Some(refused(*reason, detail)),
            ServerFrame::Note(
                Note::Resumed { .. }
                | Note::Seen(_)
                | Note::Pong {}
                | Note::Draining { .. }
                | Note::Speakers { .. }
                | Note::Layers { .. }
                | Note::Caption { .. },
            ) => {
                return None;
            }
        };
        match &**event {
            Event::Joined(joined) => {
                let named = joined.participants.iter().map(|other| (other.id.clone(), other.name.clone()));
                self.names.extend(named);
                None
            }
            Event::ParticipantJoined { participant } | Event::ParticipantChanged { participant } => {
                self.names.insert(participant.id.clone(), participant.name.clone());
                None
            }
            Event::ParticipantLeft { participant, .. } => {
                let name = self.names.remove(participant).unwrap_or_else(|| participant.clone());
                Some(("user-left", Argument::Made(Value::String(name))))
            }
            Event::Message { from, data } => Some((MESSAGE, self.translate_message(from, data))),
            Event::Reply { outcome: Outcome::Refused { reason, detail }, .. } => Some(refused(*reason, detail)),
            Event::Out { reason } => Some(("out", Argument::Made(json!({ "reason": reason })))),
            Event::Reply { outcome: Outcome::Ok, .. }
            | Event::RoomChanged { .. }
            | Event::Offer { .. }
            | Event::Answer { .. }
            | Event::Candidate { .. }
            | Event::Chat { .. }
            | Event::MediaAnswer { .. }
            | Event::MediaEnded { .. }
            | Event::Watched { .. }
            | Event::Muted { .. }
            | Event::Moved { .. }
            | Event::IceServers { .. } => None,
        }
    }

    /// With the name its sender goes by; passed on as it is where that stands in it.
    fn translate_message(&mut self, from: &str, data: &Json) -> Argument {
        let name = self.names.get_mut(from);
        match (serde_json::from_str(data.text()), name) {
            (Ok(Signed { sender }), Some(name)) => {
                if *name != sender {
                    *name = sender.into_owned();
                }
                Argument::Passed(data.clone())
            }
            (Ok(Signed { .. }), None) => Argument::Passed(data.clone()),
            (Err(_), name) => Argument::Made(json!({ "sender": name.map_or(from, |name| name), "data": data })),
        }
    }

    fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        id
    }
}

/// The argument of an event.
#[derive(Serialize)]
#[serde(untagged)]
enum Argument {
    Made(Value),
    Passed(Json),
}

/// A message in which its sender's name stands.
#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow)]
    sender: Cow<'a, str>,
}

fn refused(reason: Reason, detail: &str) -> (&'static str, Argument) {
    (REFUSED, Argument::Made(json!({ "reason": reason, "detail": detail })))
}

/// Who says it, and what the others are to get.
fn parse_message(mut data: Value) -> Result<(String, Value), String> {
    let Some(sender) = data.get("sender").and_then(Value::as_str).map(str::to_owned) else {
        return Err("in `message`: expected an object with a text `sender`".to_owned());
    };
    let inner = data.get_mut("data").filter(|inner| inner.get("sender").is_some_and(Value::is_string));
    let relayed = inner.map(Value::take);
    Ok((sender, relayed.unwrap_or(data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_message_loses_its_wrapper_and_any_other_goes_as_it_is() {
        let inner = json!({ "sender": "ann", "message": { "sdp": "v=0" } });
        let wrapped = json!({ "sender": "ann", "data": inner });
        assert_eq!(parse_message(wrapped).unwrap(), ("ann".to_owned(), inner));
        for plain in [json!({ "sender": "ann", "data": "hello" }), json!({ "sender": "ann", "x": 1 })] {
            assert_eq!(parse_message(plain.clone()).unwrap(), ("ann".to_owned(), plain));
        }
    }

    #[test]
    fn a_message_without_a_sender_is_refused() {
        for data in [json!("hello"), json!({ "data": 1 }), json!({ "sender": 1 }), Value::Null] {
            assert!(parse_message(data).unwrap_err().contains("sender"));
        }
    }
}
