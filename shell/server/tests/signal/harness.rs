//! A server of the routes alone, and a WebSocket client that speaks the session protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tandem_api::signal::{Permissions, Reason};
use tandem_engine::{Engine, Grants};
use tandem_server::engine::{EngineHandle, OutboxLimits, Sinks, Stored};
use tandem_server::signal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Far beyond what anything here takes: a test that waits so long hangs for good.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    pub address: SocketAddr,
    pub engine: EngineHandle,
    /// Held, so that the channel stays open.
    pub _store: mpsc::Receiver<Stored>,
}

/// Limits out of the way of what a test is about.
pub fn engine_config() -> tandem_engine::Config {
    tandem_engine::Config {
        resume: Duration::from_secs(30),
        max_rooms: 10_000,
        max_participants: 16,
        mesh: 4,
        relay_only: false,
        tokens: false,
        hooks: false,
        sdp_bytes: 128 << 10,
        chat_chars: 4000,
        frame_bytes: 64 << 10,
        backlog_events: 1024,
        backlog_bytes: 1 << 20,
        requests_per_second: 1_000_000,
        requests_burst: 1_000_000,
        relay: None,
        extra_ice_servers: Vec::new(),
        planes: Vec::new(),
    }
}

pub async fn start() -> Server {
    start_with(engine_config(), signal::Config::default(), None).await
}

pub async fn start_with(engine: tandem_engine::Config, config: signal::Config, outbox: Option<OutboxLimits>) -> Server {
    let (to_store, store) = mpsc::channel(64);
    let outbox = outbox.unwrap_or_else(|| OutboxLimits::above_backlog(&engine));
    let sinks = Sinks { store: to_store, revoke: Box::new(|_user| {}), media: None, hook: None };
    let engine = tandem_server::engine::start(Engine::new(engine, [7; 32]), outbox, sinks);
    let key: signal::KeyVerifier = Arc::new(|key| Box::pin(std::future::ready(key == "operator")));
    let token: signal::TokenVerifier = Arc::new(|_, token| Box::pin(async move { granted(&token).await }));
    let router: Router = signal::routes(engine.clone(), config, signal::Verifiers { key, token });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
    });
    Server { address, engine, _store: store }
}

/// `good.<identity>` is a token, after a while, as a database takes; everything else with a dot is a bad one.
async fn granted(token: &str) -> Result<Grants, (Reason, String)> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    let identity = token.strip_prefix("good.").ok_or_else(|| (Reason::BadToken, "it is bad".to_owned()))?;
    let identity = Some(identity.to_owned());
    Ok(Grants { room: None, identity, name: None, metadata: None, may: Permissions::USUAL })
}

pub struct Client {
    pub ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub async fn open(server: &Server) -> Self {
        let request = format!("ws://{}/signal", server.address).into_client_request().unwrap();
        let (ws, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Self { ws }
    }

    /// In the room; and what `joined` said.
    pub async fn join(server: &Server, room: &str, name: &str) -> (Self, Value) {
        let mut client = Self::open(server).await;
        client.send(json!({ "type": "join", "room": room, "name": name })).await;
        let joined = client.next().await;
        assert_eq!(joined["type"], "joined", "{joined}");
        (client, joined)
    }

    pub async fn send(&mut self, frame: Value) {
        self.ws.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame; panics when the connection ends instead.
    pub async fn next(&mut self) -> Value {
        self.next_or_end().await.expect("a frame, not the end")
    }

    /// The next frame, or `None` when the connection has ended.
    pub async fn next_or_end(&mut self) -> Option<Value> {
        let text = async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, text).await.expect("something to happen")
    }

    /// The next frame of this type, others passed over.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}

pub fn id_of(joined: &Value) -> String {
    joined["you"].as_str().unwrap().to_owned()
}
