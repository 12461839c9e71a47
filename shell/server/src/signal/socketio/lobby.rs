//! Namespace `/` of the classic vocabulary: announce a channel, ask whether one is there, ask about all of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;
use tandem_api::signal::Participant;
use tandem_engine::{Command, Reply, RoomView};

use super::classic::Classic;
use super::mailbox::{Mailbox, Said};

const EVENTS: [&str; 4] = ["new-channel", "join-channel", "presence", "admin_enquire"];
/// Wrong keys until the connection is closed.
const WRONG_KEYS: u8 = 3;
/// Rooms in one answer to an operator.
const ROOMS: usize = 1000;

/// `new-channel`, `join-channel`.
#[derive(Deserialize)]
struct Announcement {
    channel: String,
    #[serde(default)]
    sender: String,
}

/// `presence`: the bare name, or an object, as later servers of this kind took it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Which {
    Name(String),
    Object { channel: String },
}

#[derive(Deserialize)]
struct Enquiry {
    #[serde(default)]
    ask: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    format: Option<Value>,
}

#[derive(Serialize)]
struct Client {
    id: String,
    name: String,
}

pub(super) fn prepare(socket: &SocketRef, _classic: &Arc<Classic>) -> Result<(), String> {
    Mailbox::attach(socket, &EVENTS);
    Ok(())
}

pub(super) fn start(socket: SocketRef, classic: &Arc<Classic>) {
    let Some(mut inbox) = Mailbox::take(&socket) else { return };
    let classic = Arc::clone(classic);
    tokio::spawn(async move {
        let mut wrong_keys = 0;
        while let Some(said) = inbox.next().await {
            answer(&socket, &classic, said, &mut wrong_keys).await;
            if wrong_keys >= WRONG_KEYS {
                break;
            }
        }
        classic.withdraw(socket.id);
        // Gone already, as a rule.
        let _ = socket.disconnect();
    });
}

async fn answer(socket: &SocketRef, classic: &Classic, said: Said, wrong_keys: &mut u8) {
    let outcome = match said.event.as_str() {
        "new-channel" | "join-channel" => said
            .read::<Announcement>()
            .and_then(|Announcement { channel, sender }| classic.announce(socket.id, channel, sender).map(|()| None)),
        "presence" => match said.read::<Which>() {
            Ok(Which::Name(channel) | Which::Object { channel }) => {
                Ok(Some(("presence", Value::Bool(is_present(classic, channel)))))
            }
            Err(error) => Err(error),
        },
        _ => match said.read::<Enquiry>() {
            Ok(enquiry) => Ok(Some(("response_to_admin_enquire", enquire(classic, enquiry, wrong_keys).await))),
            Err(error) => Err(error),
        },
    };
    let sent = match outcome {
        Ok(None) => return,
        Ok(Some((event, data))) => socket.emit(event, &data),
        Err(detail) => socket.emit("refused", &json!({ "reason": "malformed", "detail": detail })),
    };
    if sent.is_err() {
        tracing::debug!("an answer found its socket gone or full");
    }
}

fn is_present(classic: &Classic, channel: String) -> bool {
    if classic.is_announced(&channel) {
        return true;
    }
    let command = Command::ShowRoom { name: channel };
    matches!(classic.shared.engine.command(command), Ok(Reply::Room(view)) if !view.participants.is_empty())
}

async fn enquire(classic: &Classic, enquiry: Enquiry, wrong_keys: &mut u8) -> Value {
    if !(classic.verify_key)(enquiry.key).await {
        *wrong_keys = wrong_keys.saturating_add(1);
        return json!({ "error": "expected the operator's API key in `key`" });
    }
    match enquiry.ask.as_str() {
        "channel_clients" => match classic.shared.engine.command(Command::ShowRoom { name: enquiry.channel }) {
            Ok(Reply::Room(view)) => {
                let name = view.room.name.clone();
                json!({ "response": "channel_clients", "channel": name, "clients": clients(&view), "format": enquiry.format })
            }
            _ => json!({ "error": "no such channel" }),
        },
        "channels" | "" => match classic.shared.engine.command(Command::ListRooms { after: None, limit: ROOMS }) {
            Ok(Reply::Rooms { rooms, more }) => {
                let channels: serde_json::Map<String, Value> = rooms.iter().map(channel).collect();
                json!({ "response": "channels", "channels": channels, "more": more, "format": enquiry.format })
            }
            _ => json!({ "error": "the server is going down" }),
        },
        other => {
            let asked: String = other.chars().take(40).collect();
            json!({ "error": format!("expected ask `channels` or `channel_clients`, got `{asked}`") })
        }
    }
}

fn channel(view: &RoomView) -> (String, Value) {
    let users: Vec<&str> = view.participants.iter().map(|participant| participant.name.as_str()).collect();
    let details = json!({ "channel": view.room.name, "timestamp": view.room.started_at, "users": users });
    (view.room.name.clone(), details)
}

fn clients(view: &RoomView) -> Vec<Client> {
    let client = |participant: &Participant| Client { id: participant.id.clone(), name: participant.name.clone() };
    view.participants.iter().map(client).collect()
}

impl Said {
    fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, String> {
        let event = self.event;
        serde_json::from_value(self.data?).map_err(|error| format!("in `{event}`: {error}"))
    }
}
