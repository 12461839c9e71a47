//! Two people in a room, over HTTPS, from an address of their own.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::attack::{connect, connector, secure};
use crate::process::Process;

/// Far beyond what anything here takes: a test that waits so long hangs for good.
const PATIENCE: Duration = Duration::from_secs(60);

struct Person {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

pub struct Pair {
    speaker: Person,
    listener: Person,
    said: u64,
}

impl Pair {
    pub async fn join(server: &Process, room: &str, from: [u8; 4]) -> Pair {
        let speaker = Person::join(server, room, "Ann", from).await;
        let listener = Person::join(server, room, "Bob", from).await;
        Pair { speaker, listener, said: 0 }
    }

    /// One message arrives, unchanged.
    pub async fn say_and_hear(&mut self) {
        self.said += 1;
        let said = json!({ "type": "message", "id": self.said, "data": self.said });
        self.speaker.say(said).await;
        let reply = self.speaker.hear("reply").await;
        assert_eq!((&reply["to"], &reply["outcome"]), (&json!(self.said), &json!("ok")), "{reply}");
        assert_eq!(self.listener.hear("message").await["data"], self.said);
    }
}

impl Person {
    async fn join(server: &Process, room: &str, name: &str, from: [u8; 4]) -> Person {
        let socket = connect(SocketAddr::from(([127, 0, 0, 1], server.port)), from).await;
        let stream = secure(&connector(&server.certificate), socket).await.unwrap();
        let request = format!("wss://localhost:{}/signal", server.port).into_client_request().unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        let mut person = Person { socket };
        person.say(json!({ "type": "join", "room": room, "name": name })).await;
        person.hear("joined").await;
        person
    }

    async fn say(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame of this type, others passed over; all are acknowledged.
    async fn hear(&mut self, kind: &str) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("something to hear");
            let Message::Text(text) = message.unwrap().unwrap() else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["n"].is_u64() {
                self.say(json!({ "type": "ack", "n": frame["n"] })).await;
            }
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}
